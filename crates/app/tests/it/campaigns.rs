//! `apply`, `trigger` and `explain`.

use crate::support::Platform;

const SHOP: &str = r#"
kind: Campaign
name: Five back
type: SIMPLE
status: ACTIVE
cohort: Gold
rule:
  on: [purchase]
  when: event.amount >= 40 && event.country in ["FR", "DE"]
  rewards:
    - type: CASHBACK
      currency: EUR
      amount: {percent: {rate: 5, of: event.amount}}
---
kind: Cohort
name: Gold
type: STATIC
userIds: [ada, bob]
---
kind: Limits
perUser: {maxPerDay: 3}
---
kind: Tenant
name: Acme
timeZone: Europe/Paris
"#;

fn results(platform: &Platform, args: &[&str]) -> Vec<(String, String, usize)> {
    let said =
        platform.run(None, &[&["apply", "-f", "shop.yaml", "-o", "jsonl"], args].concat()).well();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let lines = said.lines().into_iter();
    lines
        .map(|c| (text(&c["kind"]), text(&c["result"]), c["differences"].as_array().unwrap().len()))
        .collect()
}

fn expected(rows: [(&str, &str, usize); 4]) -> Vec<(String, String, usize)> {
    rows.map(|(kind, result, n)| (kind.to_owned(), result.to_owned(), n)).to_vec()
}

#[test]
fn apply_does_what_files_say_once() {
    let platform = Platform::start();
    platform.file("shop.yaml", SHOP);
    let all = |result| {
        [
            ("Tenant", result, 0),
            ("Limits", result, 0),
            ("Cohort", result, 0),
            ("Campaign", result, 0),
        ]
    };
    let mut first = all("created");
    // A tenant always has limits, so they are changed; the campaign is activated.
    first[1] = ("Limits", "updated", 1);
    first[3].2 = 1;
    assert_eq!(results(&platform, &["--dry-run"]), expected(first));
    assert_eq!(platform.get("/api/v1/tenants", None)["items"].as_array().unwrap().len(), 0);
    assert_eq!(results(&platform, &[]), expected(first));
    assert_eq!(results(&platform, &[]), expected(all("unchanged")));

    platform.file(
        "shop.yaml",
        &SHOP.replace("rate: 5", "rate: 7").replace("[ada, bob]", "[bob, cy, ada]"),
    );
    let mut changed = all("unchanged");
    changed[2] = ("Cohort", "updated", 1);
    changed[3] = ("Campaign", "updated", 1);
    assert_eq!(results(&platform, &["--dry-run"]), expected(changed));
    let said = platform.run(None, &["apply", "-f", "shop.yaml", "-o", "table"]).well();
    assert!(said.out.contains("~ Campaign  Five back"), "{}", said.out);
    assert!(said.out.contains("/rule/rewards/0/amount/percent/rate"), "{}", said.out);
    assert!(said.err.contains("0 created, 2 updated, 2 unchanged"), "{}", said.err);
    assert_eq!(results(&platform, &[]), expected(all("unchanged")));

    let tenant = platform.tenant("Acme");
    let campaigns = platform.get(&format!("/api/v1/tenants/{tenant}/campaigns"), Some(&tenant));
    assert_eq!(campaigns["items"][0]["status"], "ACTIVE");
    assert_eq!(campaigns["items"][0]["version"], 2);
    platform.file("shop.yaml", &SHOP.replace("status: ACTIVE", "status: PAUSED"));
    platform.run(None, &["apply", "-f", "shop.yaml"]).well();
    let campaigns = platform.get(&format!("/api/v1/tenants/{tenant}/campaigns"), Some(&tenant));
    assert_eq!(campaigns["items"][0]["status"], "PAUSED");
}

#[test]
fn apply_asks_what_becomes_of_progress_in_a_running_quest() {
    let platform = Platform::start();
    let quest = |steps: &str| {
        format!(
            "kind: Tenant\nname: Acme\n---\nkind: Campaign\nname: Tour\ntype: QUEST\n\
             status: ACTIVE\nrule:\n  steps: {steps}\n  rewards: [{{type: POINTS, amount: 5}}]\n"
        )
    };
    platform.file("quest.yaml", &quest("[{id: a, on: [look]}, {id: b, on: [visit]}]"));
    let apply = |args: &[&str]| {
        platform.run(None, &[&["apply", "-f", "quest.yaml", "-o", "table"], args].concat())
    };
    apply(&[]).well();
    platform.file("quest.yaml", &quest("[{id: a, on: [look]}]"));
    apply(&[]).failed(1, &["/progress", "step \"b\" is removed", "--progress keep"]);
    apply(&["--progress", "reset"]).well();
    apply(&["--progress", "reset"]).well();
    let tenant = platform.tenant("Acme");
    let campaigns = platform.get(&format!("/api/v1/tenants/{tenant}/campaigns"), Some(&tenant));
    let campaign = &campaigns["items"][0];
    // The second time nothing differed, so nothing was reset again.
    assert_eq!((&campaign["version"], &campaign["progressVersion"]), (&2.into(), &2.into()));
}

#[test]
fn faulty_documents_are_told_all_at_once_and_change_nothing() {
    let platform = Platform::start();
    let faulty = SHOP
        .replace("event.amount >=", "event.amount => ")
        .replace("timeZone: Europe/Paris", "timezone: Europe/Paris")
        .replace("kind: Cohort", "kind: Cohrt");
    platform.file("shop.yaml", &faulty);
    platform.run(None, &["apply", "-f", "shop.yaml"]).failed(
        2,
        &[
            "nothing was changed",
            "shop.yaml #1: /rule/when",
            "shop.yaml #2: /kind",
            "did you mean Cohort?",
            "shop.yaml #4: /timezone",
        ],
    );
    assert_eq!(platform.get("/api/v1/tenants", None)["items"].as_array().unwrap().len(), 0);
    platform.file("shop.yaml", &SHOP.replace("cohort: Gold", "cohort: Glod"));
    platform
        .run(None, &["apply", "-f", "shop.yaml"])
        .failed(4, &["no cohort \"Glod\"; did you mean \"Gold\"?"]);
}

#[test]
fn a_trigger_shows_its_verdict_and_explain_tells_why() {
    let platform = Platform::start();
    platform.file("shop.yaml", SHOP);
    platform.run(None, &["apply", "-f", "shop.yaml"]).well();
    let tenant = platform.tenant("Acme");
    let trigger = |args: &[&str]| {
        platform.run(Some(&tenant), &[&["trigger", "purchase"], args].concat()).well()
    };
    let paid =
        ["--user", "ada", "--set", "amount=42.10", "--set", "country=FR", "--event-id", "o-1"];
    let said = trigger(&[&paid[..], &["-o", "table"]].concat());
    assert_eq!(said.out, "o-1 ACCEPTED  earned 2.11 EUR\n");
    let again = trigger(&[&paid[..], &["-o", "table"]].concat());
    assert_eq!(again.out, "o-1 DUPLICATE  earned 2.11 EUR\n");
    let mut other = [&["trigger", "purchase"], &paid[..]].concat();
    other[5] = "amount=43";
    platform.run(Some(&tenant), &other).failed(5, &["used for another event"]);
}

#[test]
fn explain_shows_the_values_that_conditions_saw() {
    let platform = Platform::start();
    platform.file("shop.yaml", SHOP);
    platform.run(None, &["apply", "-f", "shop.yaml"]).well();
    let tenant = platform.tenant("Acme");
    let args = [
        "trigger",
        "purchase",
        "--user",
        "bob",
        "--set",
        "amount=39",
        "--set",
        "country=FR",
        "--event-id",
        "o-2",
    ];
    platform.run(Some(&tenant), &args).well();
    let said = platform.run(Some(&tenant), &["explain", "--event", "o-2", "-o", "table"]).well();
    for words in [
        "o-2 purchase by bob",
        "earned nothing",
        "Five back",
        "RULE_FALSE",
        "event.amount is 39",
        "✗ event.amount >= 40",
        "✓ event.country in",
    ] {
        assert!(said.out.contains(words), "no {words:?} in:\n{}", said.out);
    }
    let json = platform.run(Some(&tenant), &["explain", "--event", "o-2", "-o", "json"]).well();
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["decisions"][0]["reason"], "RULE_FALSE");
    assert_eq!(json["evidence"][0]["parts"][0]["outcome"], "FALSE");

    let trial = [
        "explain",
        "--user",
        "cy",
        "--campaign",
        "five back",
        "--set",
        "amount=50",
        "--set",
        "country=FR",
        "-o",
        "table",
    ];
    let said = platform.run(Some(&tenant), &trial).well();
    assert!(said.out.contains("COHORT_MISS"), "{}", said.out);
    platform
        .run(Some(&tenant), &["explain", "--event", "nothing"])
        .failed(4, &["there is no event \"nothing\""]);
    platform
        .run(Some(&tenant), &["explain", "--user", "cy", "--campaign", "five bakc"])
        .failed(4, &["did you mean \"Five back\"?"]);
}
