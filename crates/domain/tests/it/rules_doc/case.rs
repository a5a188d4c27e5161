//! Cases: the events that meet the rules of an example, and what they must give. The format is
//! explained at the head of `docs/rules.md`.

use domain::decide::{Considered, Status};
use domain::event::{RecordKind, USER_UPDATED};
use domain::id::CohortId;
use domain::incentive::{Incentive, RewardType};
use domain::limit::LimitSpec;
use domain::time::{Length, Timestamp, Zone};

use super::world::{CampaignDoc, Decided, Sent, Setting, id_of, run, run_reference};

/// A line of a case: an event and what it must give.
struct Line {
    sent: Sent,
    expected: String,
    number: usize,
}

/// Runs a case in batches of one, as one batch, and through the slow reference. Gives what is not
/// as it should be, each with the line number in the case, from 1.
pub fn failures(campaigns: &[CampaignDoc], case: &str) -> Vec<(usize, String)> {
    let (setting, lines) = read(case);
    assert!(!lines.is_empty(), "a case without events: {case:?}");
    let events: Vec<Sent> = lines.iter().map(|line| line.sent.clone()).collect();
    let runs = [
        ("in batches of one", run(campaigns, &setting, &events, 1)),
        ("in one batch", run(campaigns, &setting, &events, events.len())),
        ("by the reference", run_reference(campaigns, &setting, &events)),
    ];
    let mut failures = Vec::new();
    for (how, decided) in runs {
        for (line, decided) in lines.iter().zip(&decided) {
            let given = shown(campaigns, decided, line.expected.contains(" of "));
            if !alike(&line.expected, &given) {
                let why = format!("expected {}, got {given}, {how}", line.expected);
                failures.push((line.number, why));
            }
        }
    }
    failures
}

fn read(case: &str) -> (Setting, Vec<Line>) {
    let mut setting = Setting::default();
    let mut lines: Vec<Line> = Vec::new();
    for (number, text) in (1..).zip(case.lines()) {
        let text = text.split(" # ").next().unwrap_or_default().trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let earlier = lines.last().map(|line| line.sent.arrived);
        match text.split_once(" -> ") {
            Some((event, expected)) => {
                let sent = event_of(event, &setting.zone, earlier);
                lines.push(Line { sent, expected: expected.trim().to_owned(), number });
            }
            None if text.starts_with("user ") => {
                let (user, attributes) =
                    text["user ".len()..].split_once(' ').expect("user NAME {…}");
                let sent = Sent {
                    action: USER_UPDATED.to_owned(),
                    ts: earlier.unwrap_or_default(),
                    arrived: earlier.unwrap_or_default(),
                    user: user.to_owned(),
                    payload: attributes.to_owned(),
                    kind: RecordKind::Live,
                };
                lines.push(Line { sent, expected: "USER_UPDATED".to_owned(), number });
            }
            None => {
                assert!(lines.is_empty(), "settings come before events: {text}");
                set(&mut setting, text);
            }
        }
    }
    (setting, lines)
}

/// `zone …`, `lateness …`, `cohort … members`, `limit user|tenant …`.
fn set(setting: &mut Setting, text: &str) {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["zone", name] => setting.zone = Zone::named(name).expect("a zone"),
        ["lateness", length] => {
            setting.lateness_us = length.parse::<Length>().expect("a length").micros();
        }
        ["cohort", id, members @ ..] => {
            let id: CohortId = id.parse().expect("the id of a cohort");
            let members = members.iter().map(|m| id_of(m.trim_end_matches(',')));
            setting.members.entry(id).or_default().extend(members);
        }
        ["limit", "user", caps @ ..] => setting.user_limit = limit(caps),
        ["limit", "tenant", caps @ ..] => setting.tenant_limit = limit(caps),
        _ => panic!("no setting and no event (is its -> missing?): {text}"),
    }
}

fn limit(words: &[&str]) -> LimitSpec {
    let mut spec = LimitSpec::default();
    for pair in words.chunks(2) {
        let [name, cap] = pair else { panic!("a cap without a number: {words:?}") };
        match *name {
            "maxPerDay" => spec.max_per_day = Some(cap.parse().expect("a number")),
            "maxTotal" => spec.max_total = Some(cap.parse().expect("a number")),
            "windowDays" => spec.window_days = Some(cap.parse().expect("a number")),
            _ => panic!("no cap: {name}"),
        }
    }
    spec
}

/// `[history] ACTION TIME [USER] [{PAYLOAD}] [arrived TIME]`.
pub fn event_of(text: &str, zone: &Zone, earlier: Option<Timestamp>) -> Sent {
    let (kind, text) = match text.strip_prefix("history ") {
        Some(rest) => (RecordKind::History, rest),
        None => (RecordKind::Live, text),
    };
    let (text, arrived) = match text.rsplit_once(" arrived ") {
        Some((rest, time)) => (rest, Some(instant(time, zone))),
        None => (text, None),
    };
    let (before, payload) = match text.find('{') {
        Some(at) => text.split_at(at),
        None => (text, "{}"),
    };
    let words: Vec<&str> = before.split_whitespace().collect();
    let (action, time, user) = match words.as_slice() {
        [action, time] => (*action, *time, "ada"),
        [action, time, user] => (*action, *time, *user),
        _ => panic!("an event is ACTION TIME [USER] [{{PAYLOAD}}] [arrived TIME]: {text}"),
    };
    let ts = instant(time, zone);
    // As in the log: append time never goes back.
    let arrived = arrived.unwrap_or(ts).max(earlier.unwrap_or_default());
    Sent {
        action: action.to_owned(),
        ts,
        arrived,
        user: user.to_owned(),
        payload: payload.trim().to_owned(),
        kind,
    }
}

/// An instant, or a time on the clock of the tenant's zone.
pub fn instant(text: &str, zone: &Zone) -> Timestamp {
    let text = text.trim();
    if let Ok(at) = text.parse() {
        return at;
    }
    let local: jiff::civil::DateTime =
        text.parse().unwrap_or_else(|e| panic!("{text} is no time: {e}"));
    let zone = jiff::tz::TimeZone::get(zone.name()).expect("a zone");
    let at = local.to_zoned(zone).expect("a time in range").timestamp();
    Timestamp::from_micros(at.as_microsecond()).expect("a time in range")
}

/// What became of an event: `REASON 12 POINTS (1 of 3)`, for several campaigns
/// `Gold: REASON …; Silver: REASON …`.
fn shown(campaigns: &[CampaignDoc], decided: &Decided, with_numbers: bool) -> String {
    if decided.outcome.status != Status::Decided {
        return decided.outcome.status.as_str().to_owned();
    }
    if decided.outcome.considered.is_empty() {
        return "-".to_owned();
    }
    let mut incentives: Vec<&Incentive> = decided.incentives.iter().map(|i| &**i).collect();
    let considered = decided.outcome.considered.iter().map(|considered| {
        let (own, others) =
            incentives.drain(..).partition(|i: &&Incentive| i.campaign == considered.campaign);
        incentives = others;
        let name = match campaigns {
            [_] => String::new(),
            many => format!("{}: ", many[considered.number as usize - 1].name),
        };
        format!("{name}{}", line(considered, &own, with_numbers))
    });
    considered.collect::<Vec<_>>().join("; ")
}

fn line(considered: &Considered, incentives: &[&Incentive], with_numbers: bool) -> String {
    let mut text = considered.reason.as_str().to_owned();
    let rewards: Vec<String> = incentives.iter().map(|i| reward(i)).collect();
    if !rewards.is_empty() {
        text = format!("{text} {}", rewards.join(" + "));
    }
    match considered.numbers {
        Some((used, cap)) if with_numbers => {
            format!("{text} ({} of {})", used.normalize(), cap.normalize())
        }
        _ => text,
    }
}

fn reward(incentive: &Incentive) -> String {
    let value = format!("{} {}", incentive.amount.normalize(), incentive.currency);
    match (incentive.kind, &incentive.coupon_code) {
        (RewardType::Coupon, Some(code)) => format!("COUPON {value} {code}"),
        _ => value,
    }
}

/// Equal, where a `?` stands for any letter or digit of a generated code; the reference has `#`.
fn alike(expected: &str, given: &str) -> bool {
    expected.chars().count() == given.chars().count()
        && expected
            .chars()
            .zip(given.chars())
            .all(|(e, g)| e == g || (e == '?' && (g.is_ascii_alphanumeric() || g == '#')))
}
