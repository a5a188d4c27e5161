use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;

fn parse(text: &str) -> Value<'_> {
    Payload::parse_value(text).unwrap()
}

fn error(text: &str) -> PayloadError {
    Payload::parse(text).unwrap_err()
}

#[test]
fn values_read_as_written() {
    for (text, compact) in [
        ("{}", "{}"),
        (" { \"a\" : [ 1 , true , null , false ] } ", r#"{"a":[1,true,null,false]}"#),
        (
            r#"{"a":42.10,"b":-0.5,"c":1e3,"d":25e-3,"e":-0}"#,
            r#"{"a":42.10,"b":-0.5,"c":1000,"d":0.025,"e":0}"#,
        ),
        (r#"{"a":"\u00e9\n\/\ud83d\ude00\"\\"}"#, "{\"a\":\"é\\n/😀\\\"\\\\\"}"),
        (r#"{"":{"":[]}}"#, r#"{"":{"":[]}}"#),
        (r#"{"\u0001":"\b\f"}"#, r#"{"\u0001":"\u0008\u000c"}"#),
    ] {
        let payload = Payload::parse(text).unwrap();
        assert_eq!(payload.to_string(), compact, "{text}");
        assert_eq!(Payload::parse(compact).unwrap().to_string(), compact, "{text}");
    }
}

#[test]
fn texts_without_escape_are_borrowed() {
    let payload = Payload::parse(r#"{"plain":"é😀","escaped":"\n"}"#).unwrap();
    let borrowed = |key| match payload.get(key) {
        Some(Value::Text(text)) => matches!(text, Cow::Borrowed(_)),
        other => panic!("{other:?}"),
    };
    assert!(borrowed("plain"));
    assert!(!borrowed("escaped"));
}

#[test]
fn numbers_are_exact_or_refused() {
    let ok = [
        ("0", "0"),
        ("-0.0", "0.0"),
        ("0.1", "0.1"),
        ("100.00", "100.00"),
        ("123456789012345678", "123456789012345678"),
        ("1234567890123456789012345678", "1234567890123456789012345678"),
        ("-1234567890123456789012345678", "-1234567890123456789012345678"),
        ("0.1234567890123456789012345678", "0.1234567890123456789012345678"),
        ("1.000000000000000000000000000000000000", "1.000000000000000000000000000"),
        ("1e27", "1000000000000000000000000000"),
        ("10E+26", "1000000000000000000000000000"),
        ("1e-28", "0.0000000000000000000000000001"),
        ("1000e-30", "0.0000000000000000000000000010"),
        ("0e400", "0"),
        ("0.000e-99999999999999999999", "0"),
        ("12345678901234567890.5", "12345678901234567890.5"),
    ];
    for (text, shown) in ok {
        assert_eq!(parse(text), Value::Number(shown.parse().unwrap()), "{text}");
        assert_eq!(exact_decimal(text).unwrap().to_string(), shown, "{text}");
    }
    use NumberError::{Digits, Range, Syntax};
    let refused = [
        ("1e400", Range),
        ("1e28", Range),
        ("1e-40", Range),
        ("1e99999999999999999999", Range),
        ("1e-99999999999999999999", Range),
        ("12345678901234567890123456789", Digits),
        ("0.12345678901234567890123456789", Digits),
        ("1.5e-28", Range),
        ("01", Syntax),
        ("-", Syntax),
        ("1.", Syntax),
        ("1e", Syntax),
        ("1e+", Syntax),
        ("-01", Syntax),
    ];
    for (text, why) in refused {
        assert_eq!(exact_decimal(text), Err(why), "{text}");
        let fault = error(&format!("{{\"a\":[{text}]}}"));
        assert_eq!(
            (fault.offset, fault.pointer.as_str(), fault.kind),
            (6, "/a/0", why.into()),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_payload_is_refused_with_its_place() {
    use PayloadErrorKind as K;
    let table = [
        ("", "", 0, K::Ends("a JSON value")),
        ("[1]", "", 0, K::NotAnObject("a list")),
        ("{\"a\":1} x", "", 8, K::Trailing),
        ("{\"a\":1}{}", "", 7, K::Trailing),
        ("{\"a\":NaN}", "/a", 5, K::Syntax { expected: "a JSON value", found: 'N' }),
        ("{\"a\":Infinity}", "/a", 5, K::Syntax { expected: "a JSON value", found: 'I' }),
        ("{\"a\":+1}", "/a", 5, K::Syntax { expected: "a JSON value", found: '+' }),
        ("{\"a\":1,}", "", 7, K::Syntax { expected: "a key in double quotes", found: '}' }),
        ("{a:1}", "", 1, K::Syntax { expected: "a key in double quotes", found: 'a' }),
        ("{\"a\" 1}", "", 5, K::Syntax { expected: "a colon after the key", found: '1' }),
        (
            "{\"a\":1 \"b\":2}",
            "",
            7,
            K::Syntax { expected: "a comma or } in an object", found: '"' },
        ),
        ("{\"a\":[1 2]}", "/a", 8, K::Syntax { expected: "a comma or ] in a list", found: '2' }),
        ("{\"a\":[1,]}", "/a/1", 8, K::Syntax { expected: "a JSON value", found: ']' }),
        ("{\"a\":1", "", 6, K::Ends("a comma or } in an object")),
        ("{\"a\":\"x", "/a", 7, K::Ends("the closing quote of a string")),
        ("{\"a\":\"x\\", "/a", 8, K::Ends("the rest of an escape")),
        ("{\"a\":\"\\x\"}", "/a", 6, K::Escape),
        ("{\"a\":\"\\u12g4\"}", "/a", 6, K::Escape),
        ("{\"a\":\"\\u12\"}", "/a", 6, K::Escape),
        ("{\"a\":\"\\u0000\"}", "/a", 6, K::Nul),
        ("{\"a\":\"b\0\"}", "/a", 7, K::Nul),
        ("{\"a\":\"b\n\"}", "/a", 7, K::Control(10)),
        ("{\"a\":\"\\ud800\"}", "/a", 6, K::LoneSurrogate),
        ("{\"a\":\"\\ud800\\u0041\"}", "/a", 6, K::LoneSurrogate),
        ("{\"a\":\"\\udc00\\ud800\"}", "/a", 6, K::LoneSurrogate),
        (
            "{\"a/b\":{\"c~d\":[0,{\"e\":é}]}}",
            "/a~1b/c~0d/1/e",
            22,
            K::Syntax { expected: "a JSON value", found: 'é' },
        ),
        ("{\"a\":{\"b\":1,\"b\":2}}", "/a/b", 5, K::DuplicateKey("b".into())),
        ("{\"b\":1,\"\\u0062\":2}", "/b", 0, K::DuplicateKey("b".into())),
        ("\u{feff}{}", "", 0, K::Syntax { expected: "a JSON value", found: '\u{feff}' }),
    ];
    for (text, pointer, offset, kind) in table {
        assert_eq!(error(text), PayloadError { pointer: pointer.into(), offset, kind }, "{text:?}");
    }
}

#[test]
fn messages_say_what_where_and_how_to_mend() {
    assert_eq!(
        error("{\"basket\":{\"total\":1e400}}").to_string(),
        "a number lies outside what is held exactly: below 10^28, at most 28 digits after the \
         point; send it as text (at byte 19, /basket/total)"
    );
    assert_eq!(
        error("3").to_string(),
        "the payload must be a JSON object, not a number; wrap it as {\"value\": …} (at byte 0)"
    );
}

#[test]
fn bounds_hold() {
    let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    assert!(Payload::parse(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(error(&nested(DEPTH_MAX + 1)).kind, PayloadErrorKind::TooDeep);
    assert_eq!(error(&format!("{{\"a\":{}", "[".repeat(200_000))).kind, PayloadErrorKind::TooDeep);

    let string = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes));
    assert!(Payload::parse(&string(STRING_BYTES_MAX)).is_ok());
    assert_eq!(error(&string(STRING_BYTES_MAX + 1)).kind, PayloadErrorKind::StringTooLong);
    let escaped = format!("{{\"a\":\"\\n{}\"}}", "x".repeat(STRING_BYTES_MAX));
    assert_eq!(error(&escaped).kind, PayloadErrorKind::StringTooLong);

    let long = format!("{{\"a\":1}}{}", " ".repeat(TEXT_BYTES_MAX));
    assert_eq!(error(&long).kind, PayloadErrorKind::TooLong(long.len()));
}

#[test]
fn an_object_of_many_keys_is_checked_without_squaring() {
    let mut text: String = (0..25_000).map(|i| format!("\"{i:x}\":0,")).collect();
    text.insert(0, '{');
    let twice = format!("{text}\"ff\":1}}");
    assert_eq!(error(&twice).kind, PayloadErrorKind::DuplicateKey("ff".into()));
    let once = format!("{text}\"x\":1}}");
    assert_eq!(Payload::parse(&once).unwrap().members().len(), 25_001);
}

#[test]
fn paths_lead_to_values() {
    let payload = Payload::parse(r#"{"a":{"b":{"c":7}},"l":[1]}"#).unwrap();
    assert_eq!(payload.at(&["a", "b", "c"]), Some(&Value::Number(Decimal::from(7))));
    assert_eq!(payload.at(&["a", "x"]), None);
    assert_eq!(payload.at(&["l", "0"]), None);
    assert_eq!(payload.at::<&str>(&[]), None);
}

#[test]
fn the_same_content_hashes_the_same() {
    let hash = |text| Payload::parse(text).unwrap().content_hash(&[b"purchase"]);
    let one = hash(r#"{"amount":42.10,"items":[{"a":1,"b":"x"}]}"#);
    for same in [
        r#"{ "items" : [ {"b":"\u0078","a":1.0} ], "amount" : 421e-1 }"#,
        r#"{"amount":42.1,"items":[{"a":1,"b":"x"}]}"#,
    ] {
        assert_eq!(hash(same), one, "{same}");
    }
    for other in [
        r#"{"amount":42.11,"items":[{"a":1,"b":"x"}]}"#,
        r#"{"amount":"42.1","items":[{"a":1,"b":"x"}]}"#,
        r#"{"amount":42.1,"items":[{"a":1},{"b":"x"}]}"#,
    ] {
        assert_ne!(hash(other), one, "{other}");
    }
    let payload = Payload::parse("{}").unwrap();
    assert_ne!(payload.content_hash(&[b"a", b"b"]), payload.content_hash(&[b"ab"]));
    assert_eq!(hash(r#"{"a":-0}"#), hash(r#"{"a":0.00}"#));
}

#[test]
fn a_long_value_is_cut_between_characters() {
    assert_eq!(show(&parse(r#""ééé""#), 100), "\"ééé\"");
    assert_eq!(show(&parse(r#""ééé""#), 4), "\"é…");
}

#[test]
fn json_values_convert_exactly() {
    let json = serde_json::json!({"a": 0.1, "b": [1, -2, u64::MAX, null], "c": {"d": "x"}});
    let payload = Payload::from_json(&json).unwrap();
    assert_eq!(
        payload.to_string(),
        r#"{"a":0.1,"b":[1,-2,18446744073709551615,null],"c":{"d":"x"}}"#
    );
    let bad = serde_json::json!({"a": [1e300]});
    let fault = Payload::from_json(&bad).unwrap_err();
    assert_eq!((fault.pointer.as_str(), fault.kind), ("/a/0", NumberError::Range.into()));
    let nul = serde_json::json!({"a": "\0"});
    assert_eq!(Payload::from_json(&nul).unwrap_err().kind, PayloadErrorKind::Nul);
}

/// What `serde_json` makes of the same text; numbers as the float it holds.
fn same(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Value::Number(a), serde_json::Value::Number(b)) => {
            a.to_string().parse::<f64>().ok() == b.as_f64()
        }
        (Value::Text(a), serde_json::Value::String(b)) => a == b,
        (Value::List(a), serde_json::Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), serde_json::Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(k, v)| b.get(k.as_ref()).is_some_and(|o| same(v, o)))
        }
        _ => false,
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        (-1e6..1e6f64).prop_map(|f| serde_json::Value::from((f * 100.0).round() / 100.0)),
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        number,
        "[^\0]{0,12}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[^\0]{0,4}", inner, 0..6)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

/// Texts near JSON: mutated fragments reach more of the scanner than random characters.
fn nearly_json() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud83d", "\\ude00", "\"a\":", "\"b\"",
        "1", "-", "0", ".", "5e", "e-3", "1e400", "true", "nul", "null", " ", "\n", "é", "😀",
        "\u{1}",
    ]);
    prop::collection::vec(fragment, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn agrees_with_serde_json(json in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
        let text = text.unwrap();
        let ours = Payload::parse_value(&text).unwrap();
        prop_assert!(same(&ours, &json), "{text}");
        prop_assert_eq!(&ours, &Value::from_json(&json).unwrap().into_owned());
        let back: serde_json::Value = serde_json::from_str(&show(&ours, usize::MAX)).unwrap();
        prop_assert!(same(&ours, &back), "{}", text);
    }

    #[test]
    fn never_panics_and_accepts_no_more_than_serde_json(text in prop_oneof![nearly_json(), ".{0,40}"]) {
        match (Payload::parse_value(&text), serde_json::from_str::<serde_json::Value>(&text)) {
            (Ok(ours), Ok(theirs)) => prop_assert!(same(&ours, &theirs), "{text}"),
            (Ok(_), Err(e)) => prop_assert!(false, "{text}: {e}"),
            (Err(ours), Ok(_)) => prop_assert!(
                matches!(
                    ours.kind,
                    PayloadErrorKind::Number(NumberError::Range | NumberError::Digits)
                        | PayloadErrorKind::DuplicateKey(_)
                        | PayloadErrorKind::Nul
                ),
                "{text}: {ours}"
            ),
            (Err(ours), Err(_)) => prop_assert!(ours.offset <= text.len(), "{text}"),
        }
    }

    #[test]
    fn decimals_round_trip(mantissa in -(10i128.pow(28) - 1)..10i128.pow(28), scale in 0u32..=28) {
        let number = Decimal::from_i128_with_scale(mantissa, scale);
        let read = exact_decimal(&number.to_string()).unwrap();
        prop_assert_eq!((read, read.scale()), (number, scale));
    }
}
