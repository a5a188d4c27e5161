//! Whatever is thrown at a reader: no panic, what is read reads back, and the schema agrees.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, json};

use super::checker::check;
use super::*;

/// Values that are good or nearly good somewhere in [`Sample`].
fn tempting() -> impl Strategy<Value = Value> {
    let texts = select(vec![
        "",
        " ",
        "A",
        "SIMPLE",
        "quest",
        "DAY",
        "UTC",
        "Europe/Paris",
        "2026-01-01T00:00:00Z",
        "2026-01-02",
        "2031-05-05T05:05:05.123456Z",
        "P7D",
        "PT3H",
        "PT90S",
        "order.paid",
        "12.50",
        "-0.00",
        "1e5",
        "\u{0}",
        "a\nb",
        "é😀",
        "0199f3a8-5b1e-7c3d-9a42-6f1b2c3d4e5f",
        "~0/~1",
    ]);
    let numbers = select(vec![
        json!(0),
        json!(1),
        json!(-3),
        json!(7),
        json!(5.0),
        json!(0.1),
        json!(1e30),
        json!(1e-9),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0.1 + 0.2),
    ]);
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        6 => texts.prop_map(Value::from),
        4 => numbers,
        1 => any::<String>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let names = select(vec![
            "count", "sum", "name", "startAt", "inner", "price", "x/y", "~", "amount", "percent",
            "of", "max",
        ]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((names, inner), 0..4).prop_map(|fields| {
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

/// A value that is good for this field, most of the time.
fn fitting(name: &'static str) -> BoxedStrategy<Value> {
    let good: Vec<Value> = match name {
        "name" => vec!["A".into(), "Zoë".into()],
        "about" => vec!["a\nb".into()],
        "timeZone" => vec!["UTC".into(), "Asia/Kolkata".into()],
        "kind" => vec!["SIMPLE".into(), Value::Null],
        "startAt" => vec!["2026-01-01T00:00:00Z".into(), "1970-01-01T00:00:00.5Z".into()],
        "endAt" => vec!["2027-01-01T01:00:00+01:00".into()],
        "price" => vec!["12.50".into(), json!(0.1), json!(-7), json!(1e-7), json!(3e20)],
        "cooldown" => vec!["P1DT2H3M4S".into(), "PT36H".into()],
        "per" => vec!["YEAR".into()],
        "from" => vec!["2024-02-29".into()],
        "goals" => vec![json!([{"count": 3}, {"sum": "1.5"}]), json!([{"sum": 2}])],
        "tenantId" => vec!["0199F3A8-5b1e-7c3d-9a42-6f1b2c3d4e5f".into()],
        "userId" => vec!["u:{}%".into()],
        "on" => vec![json!(["order.paid", "$x"])],
        "active" => vec![false.into()],
        "weight" => vec![u64::MAX.into(), json!(5.0)],
        "labels" => vec![json!({"a": "b", "": "x"})],
        "extra" => vec![json!([1, {"a": null}])],
        "payload" => vec![json!({"amount": 42.1, "items": [1, "é", null, true]})],
        "a/b~c" => vec![json!(-5)],
        _ => vec![json!({"name": "B", "startAt": "2026-01-01T00:00:00Z"}), Value::Null],
    };
    prop_oneof![30 => select(good), 1 => tempting()].boxed()
}

fn sample() -> impl Strategy<Value = Value> {
    let required = (fitting("name"), fitting("startAt"));
    let names = [
        "about", "timeZone", "kind", "endAt", "price", "cooldown", "per", "from", "goals",
        "tenantId", "userId", "on", "active", "weight", "labels", "extra", "payload", "a/b~c",
        "inner",
    ];
    let others = select(names.to_vec()).prop_flat_map(|name| (Just(name), fitting(name)));
    (required, proptest::collection::vec(others, 0..8)).prop_map(|((name, start), others)| {
        let mut fields = Map::new();
        fields.insert("name".to_owned(), name);
        fields.insert("startAt".to_owned(), start);
        fields.extend(others.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(fields)
    })
}

/// Reads the value; if it is good, it must match the schema, read back equal from what is written,
/// and so must the text of it. Returns whether it was good.
fn holds(document: &Value, value: &Value) -> Result<bool, TestCaseError> {
    let Ok(first) = read::<Sample>(value) else { return Ok(false) };
    prop_assert_eq!(check(document, value), Ok(()));
    let written = serde_json::to_value(&first).expect("it is JSON");
    prop_assert_eq!(check(document, &written), Ok(()));
    let second = read::<Sample>(&written);
    prop_assert_eq!(second.as_ref(), Ok(&first), "{}", written);
    let text = serde_json::to_string_pretty(value).expect("it is JSON");
    let third = read_json::<Sample>(text.as_bytes());
    prop_assert_eq!(third.as_ref(), Ok(&first), "{}", text);
    Ok(true)
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn what_is_read_reads_back_and_matches_its_schema() {
    let document = schema::document::<Sample>("https://incent.example/sample.json");
    let good = std::cell::Cell::new(0);
    let cases = 2000;
    runner(cases)
        .run(&sample(), |value| {
            good.set(good.get() + u32::from(holds(&document, &value)?));
            Ok(())
        })
        .expect("holds for every document");
    let good = good.get();
    assert!((cases / 4..cases).contains(&good), "{good} good documents of {cases} show little");
}

#[test]
fn no_value_makes_a_reader_panic() {
    let document = schema::document::<Sample>("https://incent.example/sample.json");
    runner(2000)
        .run(&tempting(), |value| {
            holds(&document, &value)?;
            let amount = read::<Amount>(&value);
            if amount.is_ok() {
                let schema = schema::document::<Amount>("https://incent.example/amount.json");
                prop_assert_eq!(check(&schema, &value), Ok(()));
            }
            Ok(())
        })
        .expect("holds for every value");
}

#[test]
fn a_text_is_read_as_serde_json_reads_it() {
    runner(2000)
        .run(&tempting(), |value| {
            let text = serde_json::to_string(&value).expect("it is JSON");
            prop_assert_eq!(parse(text.as_bytes()).ok(), Some(value));
            Ok(())
        })
        .expect("holds for every value");
    // Texts from the pieces of JSON: refused exactly when serde_json refuses them, but for what it
    // lets pass.
    let pieces = select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b\"",
        "\"\\u00e9\"",
        "\"",
        "\\",
        "1",
        "-",
        "0",
        ".5",
        "e9",
        "true",
        "null",
        " ",
        "\n",
        "\u{feff}",
        "é",
        "\u{7}",
    ]);
    let texts = proptest::collection::vec(pieces, 0..10).prop_map(|pieces| pieces.concat());
    runner(6000)
        .run(&texts, |text| {
            let theirs = serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}'));
            match (parse(text.as_bytes()), theirs) {
                // For them "-0" is a float, and "10e90" reads as 9.999999999999999e90.
                (Ok(_), Ok(_)) if text.contains("-0") || text.contains('e') => {}
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
                (Err(ReadError::Faults(_)), Err(error)) => {
                    prop_assert!(error.to_string().starts_with("number out of range"), "{}", text);
                }
                (Err(ReadError::Faults(_)), Ok(_)) | (Err(ReadError::Json(_)), Err(_)) => {}
                (Ok(_), Err(_)) | (Err(ReadError::Json(_)), Ok(_)) => {
                    prop_assert!(text.starts_with("\u{feff}\u{feff}"), "{}", text);
                }
            }
            Ok(())
        })
        .expect("holds for every text");
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    runner(1000)
        .run(&bytes, |bytes| {
            let _ = read_json::<Sample>(&bytes);
            Ok(())
        })
        .expect("no bytes make it panic");
}

#[test]
fn a_decimal_is_the_one_that_was_written() {
    let digits = ("-?[1-9][0-9]{0,16}", "[0-9]{0,8}", -3..4i32);
    runner(2000)
        .run(&digits, |(whole, fraction, power)| {
            let point = if fraction.is_empty() { "" } else { "." };
            let text = format!("{whole}{point}{fraction}");
            let with_power = format!("{text}e{power}");
            let Ok(exact) = Decimal::from_str_exact(&text) else { return Ok(()) };
            for (text, exact) in [
                (text, exact),
                (with_power.clone(), Decimal::from_scientific(&with_power).unwrap_or_default()),
            ] {
                match read_json::<Decimal>(text.as_bytes()) {
                    Ok(read) => prop_assert_eq!(read, exact, "{}", text),
                    Err(ReadError::Faults(faults)) => {
                        prop_assert_eq!(faults.list()[0].code, FaultCode::Inexact);
                        let digits = text.split('e').next().unwrap_or_default();
                        let digits = digits.bytes().filter(u8::is_ascii_digit).count();
                        prop_assert!(digits > 15, "{}", text);
                    }
                    Err(ReadError::Json(error)) => {
                        return Err(TestCaseError::fail(error.to_string()));
                    }
                }
            }
            Ok(())
        })
        .expect("holds for every decimal");
}
