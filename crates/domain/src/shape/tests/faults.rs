//! Tables: a document and exactly what is said about it.

use super::*;

/// A field of [`Sample`] with a value, and what is said about it; empty if it is good.
const FIELDS: &[(&str, &str, &str)] = &[
    // Text.
    ("name", r#""Zoë""#, ""),
    ("name", r#""""#, "TOO_SHORT must not be blank"),
    ("name", r#""   ""#, "TOO_SHORT must not be blank"),
    ("name", r#""123456789012345678901""#, "TOO_LONG has 21 characters, at most 20 are allowed"),
    ("name", r#""éééééééééééééééééééé""#, ""),
    (
        "name",
        r#""a\u0000b""#,
        "SYNTAX holds the control character U+0000 (use printable characters)",
    ),
    ("name", r#""a\nb""#, "SYNTAX holds the control character U+000A (use printable characters)"),
    ("name", "7", "WRONG_TYPE must be text, not a number"),
    ("name", "null", "WRONG_TYPE must be text, not null"),
    ("name", "[]", "WRONG_TYPE must be text, not a list"),
    ("about", r#""a\n\tb""#, ""),
    (
        "about",
        r#""a\u0007b""#,
        "SYNTAX holds the control character U+0007 (use printable characters)",
    ),
    // Words.
    ("kind", r#""QUEST""#, ""),
    ("kind", "null", ""),
    ("kind", r#""quest""#, r#"NOT_IN_SET "quest" is none of SIMPLE, QUEST (did you mean QUEST?)"#),
    ("kind", r#""other""#, r#"NOT_IN_SET "other" is none of SIMPLE, QUEST"#),
    (
        "per",
        r#""WEEKS""#,
        r#"NOT_IN_SET "WEEKS" is none of DAY, WEEK, MONTH, QUARTER, YEAR (did you mean WEEK?)"#,
    ),
    ("active", r#""yes""#, "WRONG_TYPE must be true or false, not text"),
    // Times.
    ("endAt", r#""2026-11-22T10:00:00Z""#, ""),
    ("endAt", r#""2026-11-22T10:00:00+02:00""#, ""),
    (
        "endAt",
        r#""tomorrow""#,
        r#"SYNTAX "tomorrow" is not a time (write it as 2026-11-22T10:00:00Z)"#,
    ),
    ("endAt", r#""1969-12-31T23:59:59Z""#, "OUT_OF_RANGE lies outside 1970-01-01 to 9999-12-30"),
    ("endAt", r#""1997-01-01T00:00:00Z""#, "CONFLICT must be later than startAt"),
    ("endAt", "1763805600", "WRONG_TYPE must be text, not a number"),
    ("timeZone", r#""America/New_York""#, ""),
    (
        "timeZone",
        r#""America/NewYork""#,
        r#"NOT_IN_SET "America/NewYork" is not an IANA time zone (did you mean America/New_York?)"#,
    ),
    (
        "timeZone",
        r#""CEST+1""#,
        r#"NOT_IN_SET "CEST+1" is not an IANA time zone (write it as Europe/Paris)"#,
    ),
    ("cooldown", r#""PT3H""#, ""),
    (
        "cooldown",
        r#""3h""#,
        r#"SYNTAX "3h" is not a duration from PT1S to P3650D (write it as PT3H or P7D)"#,
    ),
    (
        "cooldown",
        r#""soon""#,
        r#"SYNTAX "soon" is not a duration from PT1S to P3650D (write it as PT3H or P7D)"#,
    ),
    (
        "cooldown",
        r#""P1M""#,
        r#"SYNTAX "P1M" has months or years, whose length varies (use days or a calendar window)"#,
    ),
    ("from", r#""2026-02-28""#, ""),
    ("from", r#""2026-02-29""#, r#"SYNTAX "2026-02-29" is not a date (write it as 2026-11-22)"#),
    ("from", r#""20260228""#, r#"SYNTAX "20260228" is not a date (write it as 2026-11-22)"#),
    // Numbers.
    ("price", "12.50", ""),
    ("price", r#""-12.50""#, ""),
    ("price", "1e3", ""),
    ("price", "0.30000000000000004", ""),
    ("price", r#""79228162514264337593543950335""#, ""),
    (
        "price",
        r#""79228162514264337593543950336""#,
        r#"OUT_OF_RANGE "79228162514264337593543950336" does not fit into 28 digits"#,
    ),
    ("price", "1e40", "OUT_OF_RANGE 1e+40 does not fit into 28 digits"),
    ("price", "1e400", "OUT_OF_RANGE 1e400 is too large a number"),
    (
        "price",
        "1e-400",
        r#"INEXACT 1e-400 cannot be carried exactly as a number (write it as text: "1e-400")"#,
    ),
    (
        "price",
        "0.10000000000000000001",
        r#"INEXACT 0.10000000000000000001 cannot be carried exactly as a number (write it as text: "0.10000000000000000001")"#,
    ),
    (
        "price",
        "18446744073709551617",
        r#"INEXACT 18446744073709551617 cannot be carried exactly as a number (write it as text: "18446744073709551617")"#,
    ),
    ("price", r#""1e3""#, r#"SYNTAX "1e3" is not a decimal number (write it as "12.50")"#),
    ("price", r#""1_000""#, r#"SYNTAX "1_000" is not a decimal number (write it as "12.50")"#),
    ("price", r#""12,50""#, r#"SYNTAX "12,50" is not a decimal number (write it as "12.50")"#),
    ("price", r#"".5""#, r#"SYNTAX ".5" is not a decimal number (write it as "12.50")"#),
    ("price", r#""NaN""#, r#"SYNTAX "NaN" is not a decimal number (write it as "12.50")"#),
    ("price", "true", "WRONG_TYPE must be a decimal number, not true or false"),
    ("weight", "18446744073709551615", ""),
    ("weight", "5.0", ""),
    ("weight", "5.5", "WRONG_TYPE must be a whole number, not 5.5"),
    ("weight", "-1", "OUT_OF_RANGE must be from 0 to 18446744073709551615, not -1"),
    ("weight", r#""5""#, "WRONG_TYPE must be a whole number, not text"),
    // Lists, maps, variants.
    ("goals", "[]", ""),
    ("goals", "{}", "WRONG_TYPE must be a list, not an object"),
    ("goals", "[1,2,3,4]", "TOO_LONG has 4 items, at most 3 are allowed"),
    ("goals/0", r#"[{}]"#, "REQUIRED must have one of the fields count, sum"),
    (
        "goals/0/sum",
        r#"[{"count": 1, "sum": 2}]"#,
        "CONFLICT cannot stand beside count (give only one of count, sum)",
    ),
    ("goals/0/count", r#"[{"count": 0}]"#, "OUT_OF_RANGE must be from 1 to 1000, not 0"),
    ("goals/1", r#"[{"count": 1}, 4]"#, "WRONG_TYPE must be an object, not a number"),
    ("goals/0/count", r#"[{"count": null}]"#, "WRONG_TYPE must be a whole number, not null"),
    ("labels/x~1y", r#"{"x/y": ""}"#, "TOO_SHORT must not be blank"),
    ("extra", r#"{"any": [1, null]}"#, ""),
    ("payload", r#"{"amount": 42.10}"#, ""),
    ("payload", "[]", "WRONG_TYPE must be an object, not a list"),
    (
        "payload/a/0",
        r#"{"a": ["\u0000"]}"#,
        "SYNTAX a string holds the character U+0000 (remove it)",
    ),
    (
        "payload/a",
        r#"{"a": 1e30}"#,
        "OUT_OF_RANGE a number lies outside what is held exactly: below 10^28, at most 28 digits after the point (send it as text)",
    ),
    ("a~1b~0c", "6", "OUT_OF_RANGE must be from -5 to 5, not 6"),
    // Ids.
    ("tenantId", r#""0199f3a8-5b1e-7c3d-9a42-6f1b2c3d4e5f""#, ""),
    (
        "tenantId",
        r#""0199f3a85b1e7c3d9a426f1b2c3d4e5f""#,
        r#"SYNTAX "0199f3a85b1e7c3d9a426f1b2c3d4e5f" is not a UUID (write it as 0199f3a8-5b1e-7c3d-9a42-6f1b2c3d4e5f)"#,
    ),
    ("userId", r#""u:{1}""#, ""),
    ("userId", r#""""#, "TOO_SHORT must not be empty"),
    (
        "userId",
        r#""a\u007f""#,
        "SYNTAX holds the control character U+007F (use printable characters)",
    ),
    (
        "on/1",
        r#"["order.paid", "order paid"]"#,
        "SYNTAX holds ' ' (letters, digits and . _ : - $ are allowed)",
    ),
    // Nested.
    ("inner/startAt", r#"{"name": "b"}"#, "REQUIRED is required"),
    (
        "inner/inner/nmae",
        r#"{"name": "b", "startAt": "2026-01-01T00:00:00Z", "inner": {"nmae": 1, "name": "c", "startAt": "2026-01-01T00:00:00Z"}}"#,
        "UNKNOWN_FIELD is not a known field (did you mean name?)",
    ),
];

#[test]
fn each_field_says_what_is_wrong() {
    for (pointer, value, expected) in FIELDS {
        let name = pointer.split('/').next().unwrap_or_default();
        let name = name.replace("a~1b~0c", "a/b~c");
        let mut fields = vec![format!("{name:?}: {value}")];
        if name != "name" {
            fields.push(r#""name": "A""#.to_owned());
        }
        fields.push(r#""startAt": "2026-01-01T00:00:00Z""#.to_owned());
        let found = faults_of::<Sample>(&format!("{{{}}}", fields.join(", ")));
        let expected: Vec<String> = match *expected {
            "" => vec![],
            text => vec![format!("/{pointer} {text}")],
        };
        assert_eq!(found, expected, "{name}: {value}");
    }
}

#[test]
fn all_faults_are_reported_in_one_go() {
    let text = r#"{"name": 3, "timezone": "UTC", "kind": "quest", "colour": 1,
        "goals": [{"count": 0}, {"count": 1, "sum": 2}, {"cuont": 3}],
        "price": 0.10000000000000000001, "endAt": "soon", "name": ""}"#;
    let known = "known fields: name, about, timeZone, kind, startAt, endAt, price, cooldown, per, \
        from, goals, tenantId, userId, on, active, weight, labels, extra, payload, a/b~c, inner";
    let expected = [
        "/price INEXACT 0.10000000000000000001 cannot be carried exactly as a number (write it \
            as text: \"0.10000000000000000001\")",
        "/name DUPLICATE stands twice in its object",
        &format!("/colour UNKNOWN_FIELD is not a known field ({known})"),
        "/timezone UNKNOWN_FIELD is not a known field (did you mean timeZone?)",
        "/name TOO_SHORT must not be blank",
        "/kind NOT_IN_SET \"quest\" is none of SIMPLE, QUEST (did you mean QUEST?)",
        "/startAt REQUIRED is required",
        "/endAt SYNTAX \"soon\" is not a time (write it as 2026-11-22T10:00:00Z)",
        "/goals/0/count OUT_OF_RANGE must be from 1 to 1000, not 0",
        "/goals/1/sum CONFLICT cannot stand beside count (give only one of count, sum)",
        "/goals/2/cuont UNKNOWN_FIELD is not a known field (did you mean count?)",
        "/goals/2 REQUIRED must have one of the fields count, sum",
    ];
    assert_eq!(faults_of::<Sample>(text), expected);
}

#[test]
fn a_hand_written_reader_says_as_much() {
    let cases: &[(&str, &[&str])] = &[
        (r#"{"amount": "5"}"#, &[]),
        (r#"{"percent": 5, "of": "event.amount", "max": null}"#, &[]),
        (r#"{}"#, &[" REQUIRED must have one of the fields amount, percent"]),
        (r#"5"#, &[" WRONG_TYPE must be an object, not a number"]),
        (
            r#"{"amount": 5, "percent": null}"#,
            &["/percent CONFLICT cannot stand beside amount (give only one of amount, percent)"],
        ),
        (
            r#"{"percent": null, "of": "x"}"#,
            &["/percent WRONG_TYPE must be a whole number, not null"],
        ),
        (r#"{"amount": 5, "max": null}"#, &["/max CONFLICT belongs to percent"]),
        (r#"{"amount": 5, "of": "x"}"#, &["/of CONFLICT belongs to percent"]),
        (
            r#"{"percent": 0, "max": "x"}"#,
            &[
                "/percent OUT_OF_RANGE must be from 1 to 100, not 0",
                "/of REQUIRED is required",
                "/max SYNTAX \"x\" is not a decimal number (write it as \"12.50\")",
            ],
        ),
        (
            r#"{"amount": 5, "percent": 5, "fo": 1}"#,
            &[
                "/fo UNKNOWN_FIELD is not a known field (known fields: amount, percent, of, max)",
                "/percent CONFLICT cannot stand beside amount (give only one of amount, percent)",
            ],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(faults_of::<Amount>(text), *expected, "{text}");
    }
}

#[test]
fn a_tag_is_read_before_the_rest() {
    let mut faults = Faults::default();
    let mut at = Reader::new(&mut faults);
    let value = serde_json::json!({"type": "QUEST", "unknown": 1});
    assert_eq!(at.tag::<Kind>(&value, "type"), Some(Kind::Quest));
    assert_eq!(at.tag::<Kind>(&value, "kind"), None);
    assert_eq!(at.tag::<Kind>(&Value::Null, "type"), None);
    let found: Vec<_> = faults.list().iter().map(line).collect();
    assert_eq!(found, ["/kind REQUIRED is required", " WRONG_TYPE must be an object, not null"]);
}

#[test]
fn defaults_stand_for_what_is_left_out() {
    let text = br#"{"name": "A", "startAt": "2026-01-01T00:00:00Z", "price": 42.10}"#;
    let sample: Sample = read_json(text).expect("a good document");
    assert_eq!(sample.time_zone, Zone::utc());
    assert_eq!(sample.per, Period::Month);
    assert!(sample.active && sample.goals.is_empty() && sample.inner.is_none());
    assert_eq!(sample.price, Some(Decimal::new(421, 1)));
    let written = serde_json::to_value(&sample).expect("it is JSON");
    assert_eq!(written["price"], "42.1", "decimals go out as text");
    assert_eq!(written["endAt"], Value::Null, "nulls are written");
    assert_eq!(written.as_object().map(serde_json::Map::len), Some(21));
}

#[test]
fn faults_are_bounded() {
    let many: Vec<String> = (0..500).map(|n| format!(r#""x{n}": 1"#)).collect();
    let text = format!("{{{}}}", many.join(","));
    let Err(ReadError::Faults(faults)) = read_json::<Sample>(text.as_bytes()) else {
        panic!("must be refused");
    };
    assert_eq!(faults.list().len(), FAULTS_MAX);
    // name and startAt are missing as well.
    assert_eq!(faults.more(), 500 + 2 - FAULTS_MAX);
    assert!(faults.to_string().ends_with("\nand 452 more"));

    let long = format!(r#"{{"{}": {{}}}}"#, "k".repeat(1_000_000));
    let shown: usize = faults_of::<Sample>(&long).iter().map(String::len).sum();
    assert!(shown < 2000, "a long key is cut in the answer: {shown}");
    let long = format!(r#"{{"kind": "{}"}}"#, "é".repeat(500_000));
    let shown: usize = faults_of::<Sample>(&long).iter().map(String::len).sum();
    assert!(shown < 2000, "a long text is cut in the answer: {shown}");
}

#[test]
fn depth_is_bounded_without_a_text_too() {
    let mut value = serde_json::json!({"name": "A", "startAt": "2026-01-01T00:00:00Z"});
    for _ in 0..DEPTH_MAX + 5 {
        value = serde_json::json!({
            "name": "A", "startAt": "2026-01-01T00:00:00Z", "inner": value,
        });
    }
    let faults = read::<Sample>(&value).expect_err("it is too deep");
    assert_eq!(faults.list()[0].code, FaultCode::TooDeep);
    assert_eq!(faults.list()[0].pointer, format!("{}/name", "/inner".repeat(DEPTH_MAX)));
}

#[test]
fn faults_of_a_part_move_under_its_place() {
    let part = Faults::one(Fault::new("/when", FaultCode::Expression, "does not parse"));
    let mut faults = Faults::default();
    Reader::new(&mut faults).field("rule", |at| at.refuse_all(part));
    assert_eq!(faults.to_string(), "/rule/when does not parse");
    assert_eq!(
        serde_json::to_value(&faults).expect("it is JSON"),
        serde_json::json!([
            {"pointer": "/rule/when", "code": "EXPRESSION", "detail": "does not parse", "hint": null}
        ]),
    );
    let mut many = Faults::default();
    many.extend((0..60).map(|n| Fault::new(&format!("/{n}"), FaultCode::Required, "is required")));
    faults.merge(many);
    assert_eq!((faults.list().len(), faults.more()), (FAULTS_MAX, 11));
    let whole = Fault::new("", FaultCode::WrongType, "must be an object, not null");
    assert_eq!(whole.to_string(), "the document must be an object, not null");
}

#[test]
fn words_are_read_and_shown() {
    assert_eq!("QUEST".parse(), Ok(Kind::Quest));
    assert_eq!(Kind::ALL.len(), Kind::WORDS.len());
    assert_eq!(format!("{:>7}|", Kind::Quest), "  QUEST|");
    let error = "SIMPEL".parse::<Kind>().expect_err("no such word");
    assert_eq!(error.to_string(), r#""SIMPEL" is none of SIMPLE, QUEST; did you mean SIMPLE?"#);
}

#[test]
fn only_near_words_are_suggested() {
    let known = ["name", "timeZone", "limits", "on", "maxPerDay"];
    let cases = [
        ("nmae", Some("name")),
        ("Name", Some("name")),
        ("time_zone", Some("timeZone")),
        ("timezon", Some("timeZone")),
        ("max-per-day", Some("maxPerDay")),
        ("limit", Some("limits")),
        ("of", None),
        ("ON", Some("on")),
        ("colour", None),
        ("", None),
        ("___", None),
    ];
    for (text, expected) in cases {
        assert_eq!(suggest(text, known), expected, "{text}");
    }
}
