use domain::time::Zone;
use uuid::Uuid;

use super::*;

const TENANT: TenantId = TenantId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001));

/// The cluster's slot of a key, as its specification computes it: CRC16 (XMODEM) of what stands
/// between the first `{` and the next `}`, or of all.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    let step = |crc: u16, byte: u8| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ 0x1021 }
        })
    };
    hashed.bytes().fold(0, step) % 16_384
}

fn day(users: &[&str]) -> DayUse {
    let moved = |from, to| LimitMove { from, to, cap: Some(u64::MAX) };
    let users: Vec<_> = users
        .iter()
        .map(|user| UserUse {
            user_ref: user.parse().expect("a reference"),
            day: moved(0, 1),
            total: moved(0, 1),
        })
        .collect();
    let incentives = (0..users.len()).map(|n| (IncentiveId(Uuid::from_u128(n as u128)), n));
    DayUse {
        tenant: TENANT,
        day: Day(20_541),
        starts_at: Timestamp::default(),
        ends_at: Timestamp::default(),
        lane_version: 7,
        tenant_day: moved(0, users.len() as u64),
        tenant_total: moved(0, users.len() as u64),
        incentives: incentives.collect(),
        users,
    }
}

/// What `CLUSTER KEYSLOT` answers.
const SLOTS: [(&str, u16); 5] = [
    ("123456789", 12_739),
    ("foo", 12_182),
    ("{user1000}.following", 3443),
    ("foo{}{bar}", 8363),
    ("foo{bar}{zap}", 5061),
];

#[test]
fn slots_are_those_of_the_specification() {
    for (key, expected) in SLOTS {
        assert_eq!(slot(key), expected, "{key}");
    }
}

#[test]
fn all_keys_of_a_call_lie_in_the_tenants_slot() {
    let hostile = ["ada", "}:{x", "{other}", "}{", "%7B", "a:b", "Žofie"];
    let day = day(&hostile);
    let reservation = |days| Reservation { partition: 0, epoch: 1, batch_seq: 1, days };
    let wanted = Mend {
        partition: 0,
        epoch: 1,
        tenant: TENANT,
        today: Today::of(&day),
        lane_version: 1,
        settled_batch: 1,
        tenant_use: 1,
        users: hostile.iter().map(|user| (user.parse().expect("a reference"), 1)).collect(),
        void: vec!["x".to_owned()],
    };
    let mut calls = reserve(&day, 1);
    calls.extend(settle(&day, 1));
    calls.extend(release(&reservation(vec![day.clone()]), None));
    calls.push(mend(&wanted));
    assert_eq!(calls.len(), 4);
    for call in calls {
        assert_eq!(call.keys.len(), 3 + hostile.len());
        let slots: HashSet<u16> = call.keys.iter().map(|key| slot(key)).collect();
        assert_eq!(slots, HashSet::from([slot(&TENANT.to_string())]), "{:?}", call.keys);
    }
}

#[test]
fn a_call_has_at_most_a_hundred_incentives_and_their_users() {
    let names: Vec<String> = (0..230).map(|n| format!("user-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for calls in [reserve(&day(&names), 1), settle(&day(&names), 1)] {
        let keys: Vec<_> = calls.iter().map(|call| call.keys.len()).collect();
        assert_eq!(keys, [103, 103, 33]);
    }
}

#[test]
fn keys_live_until_the_day_ends_and_never_longer_than_24_hours() {
    let paris = Zone::named("Europe/Paris").expect("a zone");
    for (now, expected) in [
        ("2026-03-02T10:00:00Z", "2026-03-02T23:00:00Z"),
        // The day that has 23 hours.
        ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        // The day that has 25.
        ("2026-10-24T22:00:00Z", "2026-10-25T22:00:00Z"),
        ("2026-10-24T22:59:59Z", "2026-10-25T22:59:59Z"),
        ("2026-10-24T23:00:01Z", "2026-10-25T23:00:00Z"),
    ] {
        let now: Timestamp = now.parse().expect("a time");
        let day = paris.day(now);
        let (starts_at, ends_at) = (paris.start_of(day), paris.start_of(Day(day.0 + 1)));
        let expires_at = Today { day, starts_at, ends_at }.expires_at(now);
        assert_eq!(expires_at.to_string(), expected);
        // So the script knows it from yesterday's.
        assert!(expires_at > starts_at);
    }
}

#[test]
fn only_what_a_script_says_is_understood() {
    let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    for (program, values, expected) in [
        (Program::CheckAndIncr, vec![text("DONE"), Value::Int(3), Value::Int(9)], Answer::Done(2)),
        (Program::Settle, vec![text("DONE"), Value::Int(4)], Answer::Corrected(4)),
        (Program::Meet, vec![text("DONE"), text("g")], Answer::Generation("g".to_owned())),
        (Program::Settle, vec![text("STALE")], Answer::Stale),
        (Program::Settle, vec![text("DONE")], Answer::Unreadable),
        (Program::Settle, vec![text("HELLO")], Answer::Unreadable),
        (Program::Settle, vec![], Answer::Unreadable),
    ] {
        assert_eq!(Answer::read(program, &Value::Array(values)), expected);
    }
    assert_eq!(Answer::read(Program::Settle, &Value::Nil), Answer::Unreadable);
}

#[test]
fn each_call_settles_no_more_than_its_own() {
    // One user earns in each of the calls, and had earned two before.
    let mut day = day(&["ada"]);
    day.incentives = (0..230).map(|n| (IncentiveId(Uuid::from_u128(n)), 0)).collect();
    (day.users[0].day.to, day.tenant_day.to) = (232, 1230);
    let used: Vec<_> = settle(&day, 1).into_iter().map(|call| call.tail[1..3].to_vec()).collect();
    assert_eq!(used, [["1100", "102"], ["1200", "202"], ["1230", "232"]]);
}
