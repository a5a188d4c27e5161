//! JSON texts: what is accepted, what is refused and where.

use serde_json::json;

use super::*;

#[test]
fn texts_that_are_not_json_say_where() {
    let cases = [
        ("", "line 1, column 1: expected a value, but the text ends here"),
        (
            " {\n  \"a\": 1,\n}",
            "line 3, column 1: expected the name of a field in double quotes, found '}'",
        ),
        (
            "{\"a\": 1 \"b\": 2}",
            "line 1, column 9: expected a comma or } after a field, found '\"'",
        ),
        ("{\"a\" 1}", "line 1, column 6: expected a colon after the name of a field, found '1'"),
        ("[1, 2", "line 1, column 6: expected a comma or ] after an item, but the text ends here"),
        ("[1, ]", "line 1, column 5: expected a value, found ']'"),
        ("{a: 1}", "line 1, column 2: expected the name of a field in double quotes, found 'a'"),
        ("['a']", "line 1, column 2: expected a value; text stands in double quotes, found '\\''"),
        ("[\"é\", NaN]", "line 1, column 7: expected a value, found 'N'"),
        ("nul", "line 1, column 1: expected a value, found 'n'"),
        ("01", "line 1, column 1: a number must not begin with 0"),
        ("-", "line 1, column 2: expected a digit, but the text ends here"),
        ("1.", "line 1, column 3: expected a digit, but the text ends here"),
        ("[1e+]", "line 1, column 5: expected a digit, found ']'"),
        ("+1", "line 1, column 1: expected a value, found '+'"),
        ("1 2", "line 1, column 3: expected the end of the text, found '2'"),
        ("[\"a\nb\"]", "line 1, column 4: a control character in a text; write it as an escape"),
        ("[\"ab]", "line 1, column 2: the text that begins here has no closing quote"),
        ("[\"ab\\", "line 1, column 2: the text that begins here has no closing quote"),
        (
            "[\"\\x\"]",
            "line 1, column 2: the text that begins here holds an escape that does not exist",
        ),
        (
            "[\"\\ud800\"]",
            "line 1, column 2: the text that begins here holds an escape that does not exist",
        ),
        (
            "[\"\\é\"]",
            "line 1, column 2: the text that begins here holds an escape that does not exist",
        ),
    ];
    for (text, expected) in cases {
        match parse(text.as_bytes()) {
            Err(ReadError::Json(error)) => assert_eq!(error.to_string(), expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let error = parse(b"[\"ab\xff\"]").expect_err("no UTF-8");
    assert_eq!(
        error.to_string(),
        "the text is not JSON: line 1, column 5: is not UTF-8 from here on"
    );
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
    let error = parse(nested(DEPTH_MAX + 1).as_bytes()).expect_err("too deep");
    assert_eq!(
        error.to_string(),
        "the text is not JSON: line 1, column 33: nested deeper than 32 levels",
    );
    assert!(parse("[".repeat(1_000_000).as_bytes()).is_err());
    assert!(parse("{\"a\":".repeat(1_000_000).as_bytes()).is_err());
}

#[test]
fn what_is_json_is_read() {
    let cases = [
        ("\u{feff} {} ", json!({})),
        (r#"{"a": [true, false, null]}"#, json!({"a": [true, false, null]})),
        (r#""\ud83d\ude00\u00e9\n\"\/""#, json!("😀é\n\"/")),
        ("-0", json!(0)),
        ("9223372036854775807", json!(i64::MAX)),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1E2", json!(100.0)),
        ("0.1000", json!(0.1)),
        ("100000000000000000000000", json!(1e23)),
        ("1.7976931348623157e308", json!(f64::MAX)),
        ("5e-324", json!(5e-324)),
        ("0e99999999999999999999", json!(0.0)),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text.as_bytes()).ok(), Some(expected), "{text}");
    }
}

#[test]
fn equal_keys_and_inexact_numbers_are_refused_each_with_its_place() {
    let text = r#"{"a": {"b": 1, "b": 2, "c": [9007199254740993.5]}, "a": 1, "A": 2,
        "d": 1e-99999999999999999999}"#;
    let error = parse(text.as_bytes()).expect_err("duplicates");
    let ReadError::Faults(faults) = error else { panic!("must be faults") };
    let found: Vec<_> = faults.list().iter().map(|f| (f.pointer.as_str(), f.code)).collect();
    assert_eq!(
        found,
        [
            ("/a/b", FaultCode::Duplicate),
            ("/a/c/0", FaultCode::Inexact),
            ("/a", FaultCode::Duplicate),
            ("/d", FaultCode::Inexact),
        ]
    );
}
