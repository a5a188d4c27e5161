//! What compilation makes of campaigns: their order, the index, and what is left out.

use serde_json::{Value, json};

use super::*;
use crate::decide::tests::{GOLD, TENANT, campaign_id, config, source};
use crate::limit::Window;
use crate::rule::CampaignType;
use crate::time::{Period, Timestamp};

fn rule(on: &[&str]) -> Value {
    json!({"on": on, "rewards": [{"type": "POINTS", "amount": 1}]})
}

fn compiled(rules: &[Value]) -> TenantRules {
    let (rules, faults) = TenantRules::compile(&config(rules));
    assert!(faults.is_empty(), "{faults:?}");
    rules
}

/// The numbers of the campaigns that listen to an action, in the order in which they compete.
fn listening(rules: &TenantRules, action: &str) -> Vec<u32> {
    let mut places = vec![99];
    rules.listening(&action.parse().expect("an action"), &mut places);
    places.iter().map(|place| rules.campaigns[*place as usize].number).collect()
}

#[test]
fn campaigns_compete_by_priority_then_age_then_id() {
    let mut config =
        config(&[rule(&["p"]), rule(&["p"]), rule(&["p"]), rule(&["p"]), rule(&["p"])]);
    let at = Timestamp::from_stored;
    let order = [(0, at(9)), (5, at(8)), (5, at(7)), (0, at(1)), (0, at(1))];
    for (campaign, (priority, created_at)) in config.campaigns.iter_mut().zip(order) {
        (campaign.priority, campaign.created_at) = (priority, created_at);
    }
    // Of the same priority and age the lesser id comes first, whatever the order of the rows.
    config.campaigns.reverse();
    let (rules, _) = TenantRules::compile(&config);
    assert_eq!(listening(&rules, "p"), [3, 2, 4, 5, 1]);
}

#[test]
fn an_action_finds_its_campaigns() {
    let quest = json!({
        "steps": [{"id": "a", "on": ["q", "p"]}, {"id": "b", "on": ["p", "r"]}],
        "rewards": [{"type": "POINTS", "amount": 1}],
    });
    let rules =
        compiled(&[rule(&["p"]), rule(&["q", "p"]), rule(&["*"]), rule(&["p.*", "p.x"]), quest]);
    let table = [
        ("p", vec![1, 2, 3, 5]),
        ("q", vec![2, 3, 5]),
        ("r", vec![3, 5]),
        ("p.x", vec![3, 4]),
        ("p.y", vec![3, 4]),
        ("other", vec![3]),
        // The platform's own actions are no match for a pattern.
        ("$user.updated", vec![]),
    ];
    for (action, expected) in table {
        assert_eq!(listening(&rules, action), expected, "{action}");
    }
    assert_eq!(listening(&compiled(&[]), "p"), [0; 0]);
}

#[test]
fn a_campaign_that_does_not_compile_is_left_out_and_told() {
    let mut config =
        config(&[rule(&["p"]), rule(&["p"]), rule(&["p"]), rule(&["p"]), rule(&["p"])]);
    let broken = [
        r#"{"on": ["p"]"#,
        r#"{"on": ["p"], "version": 2, "rewards": [{"type": "POINTS", "amount": 1}]}"#,
        r#"{"on": ["p"], "when": "event.x >", "rewards": [{"type": "POINTS", "amount": 1}]}"#,
    ];
    for (campaign, text) in config.campaigns[1..].iter_mut().zip(broken) {
        campaign.rule_json = text.to_owned();
    }
    let (rules, faults) = TenantRules::compile(&config);
    assert_eq!(listening(&rules, "p"), [1, 5], "the others go on");
    let told: Vec<(CampaignId, &str)> =
        faults.iter().map(|fault| (fault.campaign, fault.why.as_str())).collect();
    assert_eq!(
        told,
        [
            (
                campaign_id(2),
                "the text is not JSON: line 1, column 13: expected a comma or } after a field, but the text ends here"
            ),
            (campaign_id(3), "/version must be from 1 to 1, not 2"),
            (
                campaign_id(4),
                "/when the text ends where a value or the rest of one should follow, at character 10"
            ),
        ]
    );
    assert!(!rules.keeps(campaign_id(3)), "it is in neither list");
}

#[test]
fn attributes_are_loaded_only_when_a_rule_looks_at_them() {
    let with = |field: &str, value: Value| {
        let mut rule = rule(&["p"]);
        rule[field] = value;
        compiled(&[rule]).uses_attributes()
    };
    assert!(!compiled(&[rule(&["p"])]).uses_attributes());
    assert!(!with("when", json!("event.user == \"x\" && event.amount > 1")));
    assert!(!with("oncePer", json!("event.id")));
    assert!(with("when", json!("event.amount > 1 || user.tier == \"gold\"")));
    assert!(with("when", json!("has(user.tier)")));
    assert!(with("when", json!("event.items.exists(i, i.price > user.age)")));
    let amount = json!([{"type": "POINTS", "amount": {"percent": {"rate": 1, "of": "user.age"}}}]);
    assert!(with("rewards", amount));
}

#[test]
fn all_cohorts_that_a_rule_asks_about_are_known() {
    let id = |n: u32| format!("0199f3a8-0000-7000-8000-00000000000{n}");
    let document = json!({
        "on": ["p"],
        "when": format!("inCohort(\"{}\")", id(1)),
        "cohorts": {"include": [id(2)], "exclude": [id(3)]},
        "ladder": [
            {"cohort": id(4), "rewards": [{"type": "POINTS", "amount": 1}]},
            {"when": format!("!inCohort(\"{}\")", id(5)), "rewards": [
                {"type": "POINTS", "amount": {"formula": format!("inCohort(\"{}\") ? 1 : 2", id(6))}},
            ]},
        ],
    });
    let mut config = config(&[document]);
    config.campaigns[0].cohort_id = Some(GOLD);
    let (rules, faults) = TenantRules::compile(&config);
    assert!(faults.is_empty(), "{faults:?}");
    let mut asked: Vec<String> = rules.campaigns[0].asks.iter().map(ToString::to_string).collect();
    asked.sort();
    let mut expected: Vec<String> = (1..=6).map(id).collect();
    expected.push(GOLD.to_string());
    expected.sort();
    assert_eq!(asked, expected);
    assert_eq!(rules.membership(GOLD), Some(1));
    assert_eq!(rules.membership(id(1).parse().expect("an id")), None);
}

#[test]
fn what_can_only_be_wrong_is_refused() {
    let points = json!([{"type": "POINTS", "amount": 1}]);
    let once_per = |text: &str| json!({"on": ["p"], "oncePer": text, "rewards": points});
    let table = [
        (
            json!({"on": ["p"], "ladder": [{"rewards": points}, {"when": "event.x > 1", "rewards": points}]}),
            "/ladder/0 always matches, so the lines below can never be reached",
        ),
        (
            once_per("user.tier"),
            "/oncePer may only look at the event, not at the user or a cohort (put what concerns the user into when)",
        ),
        (
            once_per(&format!("inCohort(\"{GOLD}\") ? event.a : event.b")),
            "/oncePer may only look at the event, not at the user or a cohort (put what concerns the user into when)",
        ),
        (
            json!({"on": ["p"], "when": "event.x / (1 - 1) > 2", "rewards": points}),
            "/when this divides by zero, at character 1",
        ),
        (
            json!({"on": ["p"], "rewards": [{"type": "POINTS", "amount": {"formula": "event.x % 0"}}]}),
            "/rewards/0/amount/formula this divides by zero, at character 1",
        ),
    ];
    for (document, expected) in table {
        let faults = check_rule(&document, CampaignType::Simple).expect_err("refused");
        assert_eq!(faults.to_string(), expected);
    }
    let fine =
        json!({"on": ["p"], "ladder": [{"cohort": GOLD, "rewards": points}, {"rewards": points}]});
    assert!(check_rule(&fine, CampaignType::Simple).is_ok());
}

#[test]
fn windows_and_defaults() {
    let quest = |more: Value| {
        let mut document = json!({
            "steps": [{"id": "a", "on": ["p"]}, {"id": "b", "on": ["p"]}],
            "rewards": [{"type": "POINTS", "amount": 1}],
        });
        for (name, value) in more.as_object().expect("an object") {
            document[name] = value.clone();
        }
        compiled(&[document])
    };
    let repeat = |rules: &TenantRules| {
        let repeat = &rules.campaigns[0].repeat;
        (repeat.max, repeat.window, repeat.cooldown.map(|c| c.seconds()))
    };
    let ever = Some(Window::Ever);
    assert_eq!(repeat(&compiled(&[rule(&["p"])])), (None, None, None), "SIMPLE: no cap");
    assert_eq!(repeat(&quest(json!({}))), (Some(1), ever, None), "QUEST: once");
    assert_eq!(repeat(&quest(json!({"repeat": {"cooldown": "PT1H"}}))), (None, ever, Some(3600)));
    let weekly = quest(json!({"repeat": {"max": 2, "per": "WEEK"}}));
    assert_eq!(repeat(&weekly), (Some(2), Some(Window::Period(Period::Week)), None));
    let enough = |rules: &TenantRules| match &rules.campaigns[0].kind {
        Kind::Quest(quest) => quest.enough,
        Kind::Simple(_) => 0,
    };
    assert_eq!(enough(&quest(json!({}))), 2);
    assert_eq!(enough(&quest(json!({"atLeast": 1}))), 1);
    assert_eq!(quest(json!({"onLimit": "RETRY"})).retrying, [0]);
    assert_eq!(quest(json!({})).retrying, [0_u32; 0]);
}

#[test]
fn budgets_of_all_users_have_a_row_and_those_of_one_user_none() {
    let document = json!({
        "on": ["p"],
        "rewards": [{"type": "POINTS", "amount": 1}],
        "budgets": [
            {"id": "all", "measure": "COUNT", "max": 5, "per": "ROLLING", "days": 7},
            {"id": "own", "measure": "AMOUNT", "currency": "POINTS", "scope": "USER", "per": "YEAR", "max": 9, "onEdge": "CLAMP"},
        ],
    });
    let rules = compiled(&[document]);
    let [all, own] = rules.campaigns[0].budgets.as_slice() else { panic!("two budgets") };
    assert_eq!(all.key, Some((TENANT, format!("campaign:{}:all", campaign_id(1)))));
    assert_eq!((all.window, all.currency.as_deref(), all.clamp), (Window::Days(7), None, false));
    assert_eq!(own.key, None);
    assert_eq!(
        (own.window, own.currency.as_deref(), own.clamp),
        (Window::Period(Period::Year), Some("POINTS"), true)
    );
    assert!(rules.campaigns[0].growth_bytes > 0, "the user's row keeps the second");
    assert_eq!(compiled(&[rule(&["p"])]).campaigns[0].growth_bytes, 0);
}

#[test]
fn the_place_of_each_expression_is_told() {
    let document = json!({
        "on": ["p"], "when": "event.a > 1", "oncePer": "event.id",
        "ladder": [
            {"when": "event.b > 1", "rewards": [
                {"type": "POINTS", "amount": 1},
                {"type": "POINTS", "amount": {"formula": "event.c"}},
            ]},
        ],
    });
    let places = |document: Value| -> Vec<String> {
        let rules = compiled(&[document]);
        rules.campaigns[0].expressions().into_iter().map(|(place, _)| place).collect()
    };
    assert_eq!(
        places(document),
        ["/when", "/oncePer", "/ladder/0/when", "/ladder/0/rewards/1/amount"]
    );
    let quest = json!({
        "steps": [{"id": "a", "on": ["p"], "when": "event.a > 1", "goal": {"sum": {"of": "event.x", "target": 1}}}],
        "rewards": [{"type": "POINTS", "amount": {"formula": "event.c"}}],
    });
    assert_eq!(places(quest), ["/steps/0/when", "/steps/0/goal/sum/of", "/rewards/0/amount"]);
}

#[test]
fn sources_are_compiled_under_their_own_kind() {
    let mut source = source(1, &rule(&["p"]));
    source.kind = CampaignType::Quest;
    let mut config = config(&[]);
    config.campaigns = vec![source];
    let (rules, faults) = TenantRules::compile(&config);
    assert!(rules.campaigns.is_empty());
    assert!(faults[0].why.contains("/steps is required"), "{}", faults[0].why);
}
