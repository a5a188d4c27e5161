//! Rules that are edited while users are on their way.

use super::*;

/// Puts other rules in force, as a batch does under a higher `config_version`.
fn edit(world: &mut World, config: &TenantConfig) {
    let (rules, faults) = TenantRules::compile(config);
    assert!(faults.is_empty(), "{faults:?}");
    world.rules = rules;
}

fn send(world: &mut World, action: &str, day: u32) -> Vec<&'static str> {
    let ts = format!("2026-03-{day:02}T10:00:00Z");
    reasons(&world.send("ada", action, &ts, json!({"amount": 5})))
}

fn quest(goal: &Value) -> Value {
    json!({"steps": [{"id": "a", "on": ["a"], "goal": goal}, {"id": "b", "on": ["b"]}],
           "repeat": {"max": 9}, "rewards": points(1)})
}

#[test]
fn a_reset_makes_all_users_begin_their_cycle_anew() {
    let mut config = config(&[quest(&json!({"count": 2}))]);
    let mut world = World::new(&config);
    assert_eq!(send(&mut world, "a", 1), ["PROGRESS"]);
    assert_eq!(send(&mut world, "a", 1), ["PROGRESS"]);
    config.campaigns[0].progress_version = 2;
    edit(&mut world, &config);
    // Step a was done; now it is open again, and b alone completes nothing.
    assert_eq!(send(&mut world, "b", 2), ["PROGRESS"]);
    assert_eq!(send(&mut world, "a", 2), ["PROGRESS"]);
    assert_eq!(send(&mut world, "a", 2), ["GRANTED"]);
    // The next cycle goes on under the same version of progress.
    for (action, reason) in [("a", "PROGRESS"), ("b", "PROGRESS"), ("a", "GRANTED")] {
        assert_eq!(send(&mut world, action, 3), [reason]);
    }
    assert_eq!(cycles(&world), [1, 2]);
}

#[test]
fn a_reset_begins_a_rolling_window_anew_and_leaves_what_is_completed() {
    let mut rule = quest(&json!({"count": 1}));
    rule["window"] = json!({"rolling": "P3D"});
    rule["repeat"] = json!({"max": 2});
    let mut config = config(&[rule]);
    let mut world = World::new(&config);
    for (action, reason) in [("a", "PROGRESS"), ("b", "GRANTED"), ("a", "PROGRESS")] {
        assert_eq!(send(&mut world, action, 1), [reason]);
    }
    config.campaigns[0].progress_version = 2;
    edit(&mut world, &config);
    assert_eq!(send(&mut world, "a", 3), ["PROGRESS"]);
    // Three days after the first event of day 1, but not after that of day 3.
    assert_eq!(send(&mut world, "b", 5), ["GRANTED"]);
    assert_eq!(send(&mut world, "a", 5), ["REPEAT_LIMIT"]);
    assert_eq!(cycles(&world), [1, 2]);
}

#[test]
fn kept_progress_stays_with_steps_of_the_same_id_and_kind_of_goal() {
    let mut config = config(&[quest(&json!({"count": 8}))]);
    let mut world = World::new(&config);
    send(&mut world, "a", 1);
    send(&mut world, "b", 1);
    // Another target of the same kind keeps the one event counted.
    let with = |config: &mut TenantConfig, goal| {
        config.campaigns[0].rule_json = quest(&goal).to_string();
    };
    with(&mut config, json!({"count": 3}));
    edit(&mut world, &config);
    assert_eq!(send(&mut world, "a", 2), ["PROGRESS"]);
    // Two events are not two euros.
    with(&mut config, json!({"sum": {"of": "event.amount", "target": 10}}));
    edit(&mut world, &config);
    assert_eq!(send(&mut world, "a", 2), ["PROGRESS"]);
    assert_eq!(send(&mut world, "a", 2), ["GRANTED"]);
}

#[test]
fn completions_of_one_moment_and_cycle_differ_by_their_event() {
    let mut config = config(&[quest(&json!({"count": 1}))]);
    let mut world = World::new(&config);
    send(&mut world, "a", 1);
    config.campaigns[0].progress_version = 2;
    edit(&mut world, &config);
    send(&mut world, "a", 1);
    let completions = world.working.changes.completions.iter();
    let told: Vec<_> = completions
        .map(|(_, c)| (c.step.as_deref(), c.cycle, c.completed_at, c.event_id.as_str()))
        .collect();
    let at = "2026-03-01T10:00:00Z".parse().expect("a time");
    assert_eq!(told, [(Some("a"), 1, at, "e0"), (Some("a"), 1, at, "e1")]);
}

/// The cycles of the quest that were paid.
fn cycles(world: &World) -> Vec<u32> {
    let completions = world.working.changes.completions.iter();
    completions.filter(|(_, c)| c.incentive.is_some()).map(|(_, c)| c.cycle).collect()
}

#[test]
fn a_budget_or_repetition_added_later_begins_at_nothing() {
    let with = |more: Value| {
        let mut rule = json!({"on": ["p"], "rewards": points(10)});
        for (name, part) in more.as_object().expect("parts") {
            rule[name] = part.clone();
        }
        rule
    };
    let budget = |id: &str, max: u32| json!({"id": id, "measure": "AMOUNT", "currency": "POINTS", "max": max});
    let mut config = config(&[with(json!({}))]);
    let mut world = World::new(&config);
    let mut granted_under = |more: Value, events: u32| -> Vec<&str> {
        config.campaigns[0].rule_json = with(more).to_string();
        edit(&mut world, &config);
        (0..events).flat_map(|_| send(&mut world, "p", 1)).collect()
    };
    assert_eq!(granted_under(json!({}), 3), ["GRANTED"; 3]);
    // Thirty points are spent already; the budget has room for twenty more.
    let spent = granted_under(json!({"budgets": [budget("b", 20)]}), 3);
    assert_eq!(spent, ["GRANTED", "GRANTED", "BUDGET_EXHAUSTED"]);
    // The same id goes on, another begins at nothing, and one that comes back goes on.
    let raised = granted_under(json!({"budgets": [budget("b", 30)]}), 2);
    assert_eq!(raised, ["GRANTED", "BUDGET_EXHAUSTED"]);
    assert_eq!(granted_under(json!({"budgets": [budget("c", 10)]}), 1), ["GRANTED"]);
    assert_eq!(granted_under(json!({"budgets": [budget("b", 30)]}), 1), ["BUDGET_EXHAUSTED"]);
    let repeat = granted_under(json!({"repeat": {"max": 1}}), 2);
    assert_eq!(repeat, ["GRANTED", "REPEAT_LIMIT"]);
}
