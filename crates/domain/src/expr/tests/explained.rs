//! What an explanation shows.

use serde_json::json;

use super::*;

fn explained(text: &str) -> serde_json::Value {
    let mut fields = Fields::new();
    let expr = compile(text, &mut fields, Want::Any).unwrap();
    let (payload, user) = (Payload::parse(EVENT).unwrap(), Payload::parse(USER).unwrap());
    let zone = Zone::utc();
    let facts = Facts {
        payload: &payload,
        user: Some(&user),
        action: "purchase",
        ts: "2026-11-21T23:30:00Z".parse().unwrap(),
        zone: &zone,
        cohorts: &[],
    };
    serde_json::to_value(expr.explain(&Scope::new(&fields, facts))).unwrap()
}

#[test]
fn each_part_shows_what_it_saw() {
    let seen = explained("event.amount >= 100 && (event.gone == 1 || user.tier in [\"silver\"])");
    let expected = json!({
        "text": "event.amount >= 100 && (event.gone == 1 || user.tier in [\"silver\"])",
        "offset": 0, "length": 67,
        "outcome": "UNKNOWN", "code": "FIELD_MISSING", "reason": "event.gone is missing",
        "parts": [
            {
                "text": "event.amount >= 100", "offset": 0, "length": 19, "outcome": "TRUE",
                "fields": [{"path": "event.amount", "value": "120.50"}],
            },
            {
                "text": "event.gone == 1 || user.tier in [\"silver\"]", "offset": 24, "length": 42,
                "outcome": "UNKNOWN", "code": "FIELD_MISSING", "reason": "event.gone is missing",
                "parts": [
                    {
                        "text": "event.gone == 1", "offset": 24, "length": 15,
                        "outcome": "UNKNOWN", "code": "FIELD_MISSING",
                        "reason": "event.gone is missing",
                        "fields": [{"path": "event.gone", "value": null}],
                    },
                    {
                        "text": "user.tier in [\"silver\"]", "offset": 43, "length": 23,
                        "outcome": "FALSE",
                        "fields": [{"path": "user.tier", "value": "\"gold\""}],
                    },
                ],
            },
        ],
    });
    assert_eq!(seen, expected);
}

#[test]
fn formulas_show_their_values() {
    let seen = explained("event.gift ? floor(event.amount / 10) : 0");
    assert_eq!((&seen["outcome"], &seen["value"]), (&json!("VALUE"), &json!("12")));
    let parts: Vec<_> = seen["parts"].as_array().unwrap().iter().map(|p| &p["text"]).collect();
    assert_eq!(parts, ["event.gift", "floor(event.amount / 10)"]);
}

#[test]
fn all_that_a_part_reads_is_listed_once() {
    let seen = explained("event.ts > timestamp(event.at) || event.action == event.country");
    let fields = |i: usize| seen["parts"][i]["fields"].clone();
    assert_eq!(
        fields(0),
        json!([
            {"path": "event.ts", "value": "\"2026-11-21T23:30:00Z\""},
            {"path": "event.at", "value": "\"2026-11-21T23:30:00Z\""},
        ])
    );
    assert_eq!(
        fields(1),
        json!([
            {"path": "event.action", "value": "\"purchase\""},
            {"path": "event.country", "value": "\"FR\""},
        ])
    );
    let seen =
        explained("event.items.exists(i, i.price > event.quantity && i.price < event.quantity)");
    assert_eq!(seen["fields"].as_array().unwrap().len(), 2);
}

#[test]
fn parts_are_the_text_as_it_was_written() {
    for (text, expected) in [
        ("-1 < event.a", "-1 < event.a"),
        (" ( event.a + 1 ) * 2 ", "( event.a + 1 ) * 2"),
        ("has ( event.a )", "has ( event.a )"),
        ("event.x . `my key`", "event.x . `my key`"),
        ("max( 1, (event.a) )", "max( 1, (event.a) )"),
        ("event.l.exists(x, x > (1))", "event.l.exists(x, x > (1))"),
        ("!(event.a)", "!(event.a)"),
        ("\"é)\" == event.a[ \"(\" ]", "\"é)\" == event.a[ \"(\" ]"),
        ("event.a in [ 'x', \"é\" ] ", "event.a in [ 'x', \"é\" ]"),
        ("'ab' // remark )", "'ab'"),
        ("\"é\"", "\"é\""),
    ] {
        assert_eq!(explained(text)["text"], expected, "{text}");
    }
}
