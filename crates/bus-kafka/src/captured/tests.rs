//! What Debezium writes, in all the ways that it may, and what is read of it.

use domain::id::{EventId, UserRef, user_id};
use domain::incentive::RewardType;
use domain::time::Day;
use engine::captured::CapturedIncentive;
use engine::ports::Place;
use uuid::Uuid;

use super::envelope::read;

/// A record as the real connector wrote it.
const CREATED: &str = r#"{
  "before": null,
  "after": {
    "incentive_id": "0197a8f5-1c00-8a1b-9c2d-3e4f5a6b7c8d",
    "tenant_id": "7e4a0000-0000-7000-8000-000000000001",
    "user_id": "5f6e0000-0000-8000-8000-000000000002",
    "user_ref": "Zoë|{}:'\"",
    "campaign_id": "ca3b0000-0000-7000-8000-000000000003",
    "campaign_version": 3,
    "event_id": "o-4711",
    "type": "CASHBACK",
    "reward_currency": "EUR",
    "reward_amount": "42.10",
    "coupon_code": null,
    "issued_at": "2025-06-27T12:34:56.789012Z",
    "seq": 7,
    "source_partition": 5,
    "batch_seq": 19,
    "ordinal": 2,
    "tenant_day_used": 1, "tenant_day_cap": null,
    "tenant_total_used": 1, "tenant_total_cap": 10,
    "user_day_used": 1, "user_day_cap": null,
    "user_total_used": 1, "user_total_cap": null,
    "limit_day": 20266,
    "budgets": "[]"
  },
  "source": {"version": "3.4.0.Final", "connector": "postgresql", "snapshot": "false",
             "table": "incentives", "lsn": 24023128},
  "transaction": null,
  "op": "c",
  "ts_ms": 1751027696999
}"#;

fn row(text: &str) -> CapturedIncentive {
    read(Some(text.as_bytes())).expect("is read").expect("a row")
}

fn refused(text: &str) -> String {
    read(Some(text.as_bytes())).expect_err("cannot be read")
}

#[test]
fn every_column_is_read() {
    let told = row(CREATED);
    let user_ref = UserRef::new("Zoë|{}:'\"").expect("a reference");
    assert_ne!(told.user, user_id(told.tenant, &user_ref), "the row says whose it is");
    let expected = CapturedIncentive {
        id: domain::id::IncentiveId(
            Uuid::parse_str("0197a8f5-1c00-8a1b-9c2d-3e4f5a6b7c8d").expect("an id"),
        ),
        tenant: "7e4a0000-0000-7000-8000-000000000001".parse().expect("an id"),
        user: "5f6e0000-0000-8000-8000-000000000002".parse().expect("an id"),
        user_ref,
        campaign: "ca3b0000-0000-7000-8000-000000000003".parse().expect("an id"),
        campaign_version: 3,
        event_id: EventId::new("o-4711").expect("an id"),
        kind: RewardType::Cashback,
        currency: "EUR".to_owned(),
        amount: "42.1".parse().expect("a decimal"),
        coupon_code: None,
        issued_at: "2025-06-27T12:34:56.789012Z".parse().expect("a time"),
        seq: 7,
        day: Day(20_266),
        source_partition: 5,
        place: Place { batch_seq: 19, ordinal: 2 },
    };
    assert_eq!(told, expected);
}

#[test]
fn a_snapshot_reads_like_an_insert() {
    assert_eq!(row(&CREATED.replace(r#""op": "c""#, r#""op": "r""#)), row(CREATED));
}

#[test]
fn amounts_are_exact_however_java_writes_them() {
    for (written, amount) in [
        ("42.10", "42.1"),
        ("0.00000001", "0.00000001"),
        ("1E-8", "0.00000001"),
        ("12345678901234567890.12345678", "12345678901234567890.12345678"),
        ("500", "500"),
    ] {
        let told = row(&CREATED.replace("42.10", written));
        assert_eq!(told.amount.to_string(), amount, "{written}");
    }
}

#[test]
fn what_tells_of_no_new_row_is_passed_over() {
    assert_eq!(read(None), Ok(None), "a tombstone");
    for text in [
        r#"{"before": {"incentive_id": "x"}, "after": null, "op": "d"}"#,
        r#"{"op": "t", "ts_ms": 1}"#,
        r#"{"op": "m", "message": {"prefix": "x"}}"#,
    ] {
        assert_eq!(read(Some(text.as_bytes())), Ok(None), "{text}");
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let embedded = format!(r#"{{"schema": {{"type": "struct"}}, "payload": {CREATED}}}"#);
    for (text, why) in [
        (embedded.as_str(), "value.converter.schemas.enable=false"),
        (&CREATED.replace("\"42.10\"", "\"EGo=\""), "decimal.handling.mode=string"),
        (&CREATED.replace("CASHBACK", "VOUCHER"), "VOUCHER"),
        (&CREATED.replace(r#""op": "c""#, r#""op": "u""#), "changes a row of the ledger"),
        (&CREATED.replace(r#""seq": 7,"#, ""), "missing field `seq`"),
        (&CREATED.replace("2025-06-27T12:34:56.789012Z", "1751027696789012"), "is not a time"),
        (r#"{"op": "c", "after": null}"#, "without the row"),
        (r#"{"hello": "world"}"#, "names no operation"),
        ("", "can read"),
    ] {
        let told = refused(text);
        assert!(told.contains(why), "{told}");
    }
}
