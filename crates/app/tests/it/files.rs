//! `import` and `export`.

use serde_json::json;

use crate::support::Platform;

const SHOP: &str = r#"
kind: Tenant
name: Acme
---
kind: Campaign
name: Ten, "points"
type: SIMPLE
status: ACTIVE
rule:
  on: [purchase]
  rewards: [{type: POINTS, amount: {formula: event.amount * 2}}]
"#;

const ORDERS: &str = "\
order,customer,date,total,note
o-1,u1,2026-01-03,12.50,
o-2,u2,2026-01-01,7,\"two
lines\"
o-3,,2026-01-02,7,nobody
o-4,u1,2026-13-02,7,no such month
o-5,u1,2026-01-02,many,
o-6,u1,2026-01-02,5.25,
o-7,u1,2026-01-02
";

fn shop() -> (Platform, String) {
    let platform = Platform::start();
    platform.file("shop.yaml", SHOP);
    platform.run(None, &["apply", "-f", "shop.yaml"]).well();
    let tenant = platform.tenant("Acme");
    platform.send(
        "PUT",
        &format!("/api/v1/tenants/{tenant}"),
        &json!({"name": "Acme", "timeZone": "UTC", "allowedLateness": "P3650D"}),
    );
    platform.file("orders.csv", ORDERS);
    (platform, tenant)
}

const COLUMNS: [&str; 12] = [
    "import",
    "orders.csv",
    "--user",
    "customer",
    "--time",
    "date",
    "--action",
    "purchase",
    "--event-id",
    "order",
    "--payload",
    "amount=total:number",
];

#[test]
fn broken_rows_are_kept_with_their_reasons_and_the_rest_goes_on() {
    let (platform, tenant) = shop();
    let said = platform.run(Some(&tenant), &COLUMNS).well();
    let summary = &said.lines()[0];
    assert_eq!(
        (&summary["accepted"], &summary["duplicates"], &summary["rejected"]),
        (&json!(3), &json!(0), &json!(4))
    );
    assert!(said.err.contains("4 rows were rejected"), "{}", said.err);
    let rejected = platform.read("orders.csv.rejected.csv");
    let lines: Vec<&str> = rejected.lines().collect();
    assert_eq!(lines[0], "order,customer,date,total,note,rejected_line,rejected_why");
    assert_eq!(lines[1], r#"o-3,,2026-01-02,7,nobody,5,"""customer"" is empty""#);
    assert!(lines[2].starts_with("o-4,u1,2026-13-02,7,no such month,6,"), "{}", lines[2]);
    assert!(lines[3].starts_with("o-5,u1,2026-01-02,many,,7,"), "{}", lines[3]);
    assert_eq!(lines[4], r#""o-7,u1,2026-01-02",,,,,9,"has 3 columns, the headings have 5""#);
    assert!(!platform.has("orders.csv.import.json"), "nothing is left to resume");

    // Again: everything is there already. The mended rows go in under the ids they had.
    let again = platform.run(Some(&tenant), &COLUMNS).well();
    assert_eq!(again.lines()[0]["duplicates"], 3);
    let mended = rejected.replace("o-3,,", "o-3,u9,").replace("2026-13-02", "2026-10-02");
    platform.file("mended.csv", &mended);
    let mut args = COLUMNS;
    args[1] = "mended.csv";
    let mended = platform.run(Some(&tenant), &args).well();
    assert_eq!(mended.lines()[0]["accepted"], 2, "{}", mended.out);
}

#[test]
fn what_was_granted_can_be_exported() {
    let (platform, tenant) = shop();
    platform.run(Some(&tenant), &COLUMNS).well();
    // Decided when this one is, as the log is decided in order.
    let last = ["trigger", "purchase", "--user", "u3", "--set", "amount=1", "--event-id", "o-9"];
    platform.run(Some(&tenant), &last).well();
    let said = platform.run(Some(&tenant), &["export", "incentives"]).well();
    let mut lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(
        lines.remove(0),
        "incentiveId,campaignId,campaign,userId,eventId,type,currency,amount,issuedAt,couponCode"
    );
    let mut rows: Vec<String> = lines
        .iter()
        .map(|line| {
            line.split_once(r#","Ten, ""points""","#).expect("the campaign's name").1.to_owned()
        })
        .map(|rest| rest.split(',').take(5).collect::<Vec<_>>().join(","))
        .collect();
    rows.sort();
    assert_eq!(
        rows,
        [
            "u1,o-1,POINTS,POINTS,25",
            "u1,o-6,POINTS,POINTS,10.5",
            "u2,o-2,POINTS,POINTS,14",
            "u3,o-9,POINTS,POINTS,2"
        ]
    );
    let jsonl = platform
        .run(
            Some(&tenant),
            &["export", "incentives", "--format", "jsonl", "--user", "u2", "--out", "u2.jsonl"],
        )
        .well();
    assert_eq!(jsonl.out, "");
    let one: serde_json::Value = serde_json::from_str(platform.read("u2.jsonl").trim()).unwrap();
    assert_eq!((&one["eventId"], &one["amount"]), (&json!("o-2"), &json!("14")));
}

#[test]
fn a_replay_is_sorted_by_time_and_needs_a_tenant_in_replay() {
    let (platform, tenant) = shop();
    let replay = [&COLUMNS[..], &["--as", "replay"]].concat();
    let said = platform.run(Some(&tenant), &replay);
    let rejected = platform.read("orders.csv.rejected.csv");
    assert!(rejected.contains("not in replay"), "{said:?}\n{rejected}");

    platform.send("POST", &format!("/api/v1/tenants/{tenant}:startReplay"), &json!({}));
    let said = platform.run(Some(&tenant), &replay).well();
    assert_eq!(said.lines()[0]["accepted"], 3, "{}", said.out);
    platform.send("POST", &format!("/api/v1/tenants/{tenant}:endReplay"), &json!({}));
    let last = ["trigger", "purchase", "--user", "u3", "--set", "amount=1", "--event-id", "o-9"];
    platform.run(Some(&tenant), &last).well();
    let said = platform.run(Some(&tenant), &["export", "incentives", "--format", "jsonl"]).well();
    let mut issued: Vec<(String, String)> = said
        .lines()
        .iter()
        .map(|row| {
            (
                row["issuedAt"].as_str().unwrap().to_owned(),
                row["eventId"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    issued.sort();
    let shown: Vec<(&str, &str)> =
        issued.iter().take(3).map(|(at, id)| (at.as_str(), id.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("2026-01-01T00:00:00Z", "o-2"),
            ("2026-01-02T00:00:00Z", "o-6"),
            ("2026-01-03T00:00:00Z", "o-1"),
        ]
    );
}

#[test]
fn a_dry_run_sends_nothing_and_wrong_columns_are_named() {
    let (platform, tenant) = shop();
    let said = platform.run(Some(&tenant), &[&COLUMNS[..], &["--dry-run"]].concat()).well();
    assert_eq!(said.lines().len(), 3);
    assert_eq!(said.lines()[0]["payload"]["amount"], 12.5);
    assert!(said.err.contains("line 5: \"customer\" is empty"), "{}", said.err);
    assert!(said.err.contains("3 rows are events, 4 are broken; nothing was sent"), "{}", said.err);
    let mut wrong = COLUMNS;
    wrong[3] = "custmer";
    platform
        .run(Some(&tenant), &wrong)
        .failed(2, &["no column \"custmer\"; did you mean \"customer\"?"]);
    let missing = ["import", "nothing.csv", "--user", "u"];
    platform.run(Some(&tenant), &missing).failed(2, &["which action are these events?"]);
}
