//! Completed cycles that wait for payment (`onLimit: RETRY`).

use super::*;

/// Two cycles wait; the first is worth more than any day has room for, the second is not. Paying
/// past the first would leave one of them in the queue although it was paid.
#[test]
fn waiting_cycles_are_paid_in_their_order_and_once() {
    let rule = |max: u32| {
        json!({"steps": [{"id": "a", "on": ["p"]}], "repeat": {"max": 9}, "onLimit": "RETRY",
               "rewards": [{"type": "POINTS", "amount": {"formula": "event.amount"}}],
               "budgets": [{"id": "day", "measure": "AMOUNT", "currency": "POINTS",
                            "scope": "USER", "per": "DAY", "max": max}]})
    };
    let mut config = config(&[rule(30)]);
    let mut world = World::new(&config);
    let send = |world: &mut World, action: &str, day: u32, amount: u32| {
        let ts = format!("2026-03-{day:02}T10:00:00Z");
        reasons(&world.send("ada", action, &ts, json!({"amount": amount})))
    };
    assert_eq!(send(&mut world, "p", 1, 20), ["GRANTED"]);
    assert_eq!(send(&mut world, "p", 1, 35), ["COMPLETED_UNPAID"]);
    assert_eq!(send(&mut world, "p", 1, 25), ["COMPLETED_UNPAID"]);
    for day in [2, 3] {
        assert_eq!(send(&mut world, "other", day, 0), [] as [&str; 0], "the first one waits");
    }
    config.campaigns[0].rule_json = rule(60).to_string();
    world.rules = TenantRules::compile(&config).0;
    assert_eq!(send(&mut world, "other", 4, 0), ["GRANTED"]);
    assert_eq!(send(&mut world, "other", 5, 0), [] as [&str; 0], "nothing waits any more");
    let incentives = &world.working.changes.incentives;
    let paid: Vec<_> = incentives.iter().map(|i| (i.event_id.as_str(), i.amount)).collect();
    assert_eq!(paid, [("e0", 20.into()), ("e1", 35.into()), ("e2", 25.into())]);
    let completions = world.working.changes.completions.iter().filter(|(_, c)| c.step.is_none());
    let cycles: Vec<_> = completions.map(|(_, c)| (c.cycle, c.incentive.is_some())).collect();
    assert_eq!(cycles, [(1, true), (2, false), (3, false), (2, true), (3, true)]);
}
