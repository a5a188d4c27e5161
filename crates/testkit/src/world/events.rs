//! Random logs.

use std::sync::Arc;

use domain::event::{ActionEvent, Record, RecordKind, USER_UPDATED};
use domain::id::{ActionCode, EventId};
use domain::time::{DAY_US, SECOND_US, Timestamp, Zone};

use super::{Size, TENANT, user, zone};
use crate::random::Random;

/// Moments near which something happens to the calendar, and the zone in which it does.
const TIMES: [(&str, &str); 12] = [
    ("Europe/Paris", "2024-03-30T20:00:00Z"),
    ("Europe/Paris", "2024-10-26T20:00:00Z"),
    ("America/New_York", "2025-03-08T12:00:00Z"),
    ("America/New_York", "2025-10-31T12:00:00Z"),
    // Midnight does not exist on 4 November.
    ("America/Sao_Paulo", "2018-11-03T12:00:00Z"),
    // Midnight comes twice on the night of 17 February.
    ("America/Sao_Paulo", "2018-02-16T12:00:00Z"),
    // 30 December does not exist.
    ("Pacific/Apia", "2011-12-28T12:00:00Z"),
    // Half an hour of summer time.
    ("Australia/Lord_Howe", "2024-10-04T12:00:00Z"),
    ("Asia/Kathmandu", "2024-02-27T12:00:00Z"),
    ("UTC", "2023-12-28T00:00:00Z"),
    ("UTC", "2024-02-27T00:00:00Z"),
    ("Pacific/Kiritimati", "2026-12-30T00:00:00Z"),
];

const ACTIONS: [&str; 5] = ["purchase", "purchase", "order.paid", "order.shipped", "login"];

/// The stretch of time that a log covers.
#[derive(Clone, Debug)]
pub(super) struct Span {
    zone: &'static str,
    start: Timestamp,
    length_us: i64,
}

impl Span {
    #[expect(clippy::expect_used, reason = "the times are good ones")]
    pub fn random(dice: &mut Random) -> Self {
        let (zone, start) = *dice.pick(&TIMES);
        let length_us =
            *dice.pick(&[DAY_US / 4, 3 * DAY_US, 10 * DAY_US, 60 * DAY_US, 500 * DAY_US]);
        Self { zone, start: start.parse().expect("a time"), length_us }
    }

    pub fn zone(&self) -> Zone {
        zone(self.zone)
    }

    /// A moment in it.
    pub fn moment(&self, dice: &mut Random) -> Timestamp {
        self.start.plus_micros(dice.between(0, self.length_us))
    }
}

pub(super) fn records(dice: &mut Random, size: Size, span: &Span, lateness_us: i64) -> Vec<Record> {
    let kind = if dice.one_in(3) { RecordKind::Replay } else { RecordKind::Live };
    let mut appended: Vec<Timestamp> = (0..size.records).map(|_| span.moment(dice)).collect();
    appended.sort_unstable();
    let with_place = (0_i64..).zip(appended);
    with_place.map(|(offset, at)| record(dice, size, (offset, at), (kind, lateness_us))).collect()
}

#[expect(clippy::expect_used, reason = "ids of the generator are good ones")]
fn record(
    dice: &mut Random,
    size: Size,
    (offset, append_time): (i64, Timestamp),
    (kind, lateness_us): (RecordKind, i64),
) -> Record {
    let kind = if dice.one_in(25) { RecordKind::History } else { kind };
    let late_us = match (kind, dice.below(8)) {
        (RecordKind::Replay, _) => 0,
        (_, 0) => dice.between(0, lateness_us),
        // Too late now and then.
        (_, 1) => dice.between(0, lateness_us + lateness_us / 8),
        (_, 2) => -dice.between(0, 600 * SECOND_US),
        (_, 3) => dice.between(0, 60 * SECOND_US),
        _ => 0,
    };
    let is_update = dice.one_in(15);
    let action = if is_update { USER_UPDATED } else { dice.pick(&ACTIONS) };
    let payload = if is_update { attributes(dice) } else { payload(dice) };
    Record {
        offset,
        append_time,
        kind,
        event: ActionEvent {
            tenant_id: TENANT,
            event_id: EventId::new(&format!("e-{offset}")).expect("an event id"),
            user_id: user(dice.below(size.users)),
            action: ActionCode::new(action).expect("an action"),
            event_ts: append_time.plus_micros(-late_us),
            payload: Arc::from(payload),
        },
    }
}

fn payload(dice: &mut Random) -> String {
    let mut fields = Vec::new();
    let amount = match dice.below(12) {
        0 => None,
        1 => Some("\"ten\"".to_owned()),
        2 => Some("null".to_owned()),
        3 => Some("0".to_owned()),
        4 => Some(format!("-{}", dice.below(50))),
        5 => Some(format!("{}e1", dice.below(20))),
        6 => Some(format!("{}.{:03}", dice.below(60), dice.below(1000))),
        _ => Some(format!("{}.{:02}", dice.below(120), dice.below(100))),
    };
    fields.extend(amount.map(|amount| format!(r#""amount":{amount}"#)));
    if !dice.one_in(5) {
        let category = dice.pick(&["\"books\"", "\"music\"", "\"toys\"", "\"BOOKS\"", "null", "7"]);
        fields.push(format!(r#""category":{category}"#));
    }
    if !dice.one_in(4) {
        fields.push(format!(
            r#""sku":{}"#,
            dice.pick(&["\"a\"", "\"b\"", "1", "1.0", "\"1\"", "true"])
        ));
    }
    if dice.one_in(3) {
        fields.push(format!(r#""quantity":{}"#, dice.below(5)));
    }
    if dice.one_in(3) {
        let prices: Vec<String> =
            (0..dice.below(4)).map(|_| format!(r#"{{"price":{}}}"#, dice.below(30))).collect();
        fields.push(format!(r#""items":[{}]"#, prices.join(",")));
    }
    format!("{{{}}}", fields.join(","))
}

fn attributes(dice: &mut Random) -> String {
    let tier = dice.pick(&[r#""tier":"gold""#, r#""tier":"silver""#, r#""tier":null"#, ""]);
    let age = if dice.one_in(2) { format!(r#""age":{}"#, dice.below(90)) } else { String::new() };
    let fields: Vec<&str> = [*tier, age.as_str()].into_iter().filter(|f| !f.is_empty()).collect();
    format!("{{{}}}", fields.join(","))
}
