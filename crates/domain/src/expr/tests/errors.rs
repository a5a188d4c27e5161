//! What is refused, with its place and its words.

use proptest::prelude::*;

use super::*;

/// Each error as `offset [its text] message; hint`.
fn said(text: &str, errors: &[ExprError]) -> String {
    let one = |error: &ExprError| {
        let (start, length) = (error.offset as usize, error.length as usize);
        let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{start} [{}] {}{hint}", &text[start..start + length], error.message)
    };
    errors.iter().map(one).collect::<Vec<_>>().join(" | ")
}

fn refusal(text: &str, want: Want) -> String {
    match compile(text, &mut Fields::new(), want) {
        Ok(_) => "compiles".to_owned(),
        Err(errors) => said(text, &errors),
    }
}

/// A text and what is said of it.
const MISTAKES: &[(&str, &str)] = &[
    (
        "",
        "0 [] the text is empty; write a condition such as event.amount >= 100, or leave the field out",
    ),
    (
        "  ",
        "0 [  ] the text is empty; write a condition such as event.amount >= 100, or leave the field out",
    ),
    (
        "1 + 2",
        "0 [1 + 2] a condition must be true or false, this gives a number; as in event.amount >= 100",
    ),
    ("event.amount >", "14 [] the text ends where a value or the rest of one should follow"),
    ("event.amount = 5", "13 [=] = is no operator here; write == to compare"),
    ("a & b", "2 [&] & is no operator here; write &&"),
    ("event.a and event.b", "8 [and] and is no operator here; write &&"),
    ("not event.a", "0 [not] not is no operator here; write !"),
    ("(event.a > 1", "0 [(] the bracket ( is never closed"),
    ("event.a > 1)", "11 [)] ) closes no bracket"),
    ("(event.a > 1]", "12 []] ] closes the bracket ("),
    ("event.name == \"x", "14 [\"] this text has no closing quote"),
    ("event.name == “x”", "14 [“] “ is no quote here; put texts in straight quotes: \"books\""),
    (
        "event.größe > 1",
        "8 [ö] 'ö' does not fit here; put texts in quotes, and names with other characters too: event[\"größe\"]",
    ),
    (
        "event.größe == \"é\"",
        "8 [ö] 'ö' does not fit here; put texts in quotes, and names with other characters too: event[\"größe\"]",
    ),
    ("evnt.amount > 1", "0 [evnt] there is no evnt; did you mean event?"),
    (
        "amount > 1",
        "0 [amount] there is no amount; write event.amount for a field of the event, \"amount\" for a text",
    ),
    ("event > 1", "0 [event] event alone is no value; name one of its fields: event.…"),
    ("user == 1", "0 [user] user alone is no value; name one of its fields: user.…"),
    (
        "event.ts > 5",
        "0 [event.ts > 5] a time is compared with a number; compare values of the same type",
    ),
    ("event.ts.x > 1", "0 [event.ts.x] event.ts has no members"),
    (
        "event.ts > event.x",
        "11 [event.x] event.x is a text here, a time is needed; write timestamp(event.x)",
    ),
    (
        "event.ts > \"2026-01-01\"",
        "11 [\"2026-01-01\"] \"2026-01-01\" is a text here, a time is needed; write timestamp(\"2026-01-01\")",
    ),
    (
        "hour(event.x) > 1",
        "5 [event.x] event.x is a text here, a time is needed; write timestamp(event.x)",
    ),
    (
        "hour(\"2026\") > 1",
        "5 [\"2026\"] \"2026\" is a text here, a time is needed; write timestamp(\"2026\")",
    ),
    (
        "hour(event.ts, \"Mars/Base\") > 1",
        "15 [\"Mars/Base\"] \"Mars/Base\" is not an IANA time zone; write it as Europe/Paris",
    ),
    (
        "hour(event.ts, event.zone) > 1",
        "15 [event.zone] a time zone is a text in quotes; as in hour(event.ts, \"Europe/Paris\")",
    ),
    (
        "event.a > \"x\" + 1",
        "10 [\"x\" + 1] texts cannot be joined; + adds numbers; compare the parts one by one instead",
    ),
    (
        "\"a\" + event.b == \"ab\"",
        "0 [\"a\" + event.b] texts cannot be joined; + adds numbers; compare the parts one by one instead",
    ),
    (
        "event.ts + 5 > event.ts",
        "0 [event.ts + 5] times can only be compared and subtracted; write event.ts - timestamp(…) < 3600",
    ),
    (
        "1 == \"1\"",
        "0 [1 == \"1\"] a number is compared with a text; numbers are written without quotes, texts with them",
    ),
    ("true > false", "0 [true] a bool has no order; use == or !="),
    (
        "event.a in 5",
        "11 [5] this is a number, a list is needed here; as in event.country in [\"FR\", \"DE\"]",
    ),
    ("event.action in [1, \"x\"]", "17 [1] this is a number, but a text is looked for"),
    (
        "event.a && 5",
        "11 [5] this is a number, a bool is needed here; as in event.amount >= 100 && event.country == \"FR\"",
    ),
    ("!5", "1 [5] this is a number, a bool is needed here; as in !event.isReturn"),
    ("-\"x\" > 1", "1 [\"x\"] this is a text, a number is needed here; as in -event.amount"),
    (
        "5 ? 1 : 2",
        "0 [5] this is a number, a bool is needed here; as in event.amount > 100 ? 2 : 1",
    ),
    ("min(1) > 0", "0 [min(1)] min takes 2 or more values, not 1; as in min(event.amount, 100)"),
    ("min() > 0", "0 [min()] min takes 2 or more values, not 0; as in min(event.amount, 100)"),
    ("flor(event.a) > 1", "0 [flor] there is no function flor; did you mean floor?"),
    (
        "event.a.strtsWith(\"x\")",
        "8 [strtsWith] there is no function strtsWith; did you mean startsWith?",
    ),
    (
        "event.a.matches(\"x\")",
        "8 [matches] there is no function matches; regular expressions are not supported; use startsWith, endsWith or contains",
    ),
    ("getHours(event.ts) > 1", "0 [getHours] there is no function getHours; write hour(event.ts)"),
    (
        "int(event.a) > 1",
        "0 [int] there is no function int; numbers are exact decimals; use floor, ceil or round",
    ),
    (
        "now() > event.ts",
        "0 [now] there is no function now; a decision knows no clock, so that it can be repeated; use event.ts",
    ),
    (
        "floor(\"x\") > 1",
        "6 [\"x\"] this is a text, a number is needed here; as in floor(event.amount / 10)",
    ),
    ("round(event.a, event.b) > 1", "15 [event.b] the places to keep are a number from 0 to 28"),
    ("round(event.a, 99) > 1", "15 [99] the places to keep are a number from 0 to 28"),
    ("round(event.a, -1) > 1", "15 [-1] the places to keep are a number from 0 to 28"),
    ("event.a / 0 > 1", "0 [event.a / 0] this divides by zero"),
    ("1 / 0 > 1", "0 [1 / 0] this divides by zero"),
    ("event.a % (2 - 2) > 1", "0 [event.a % (2 - 2)] this divides by zero"),
    ("1e20 * 1e20 > 1", "0 [1e20 * 1e20] this has a result of more than 28 digits"),
    (
        "timestamp(\"yesterday\") < event.ts",
        "0 [timestamp(\"yesterday\")] this is not a time; write it as \"2026-11-22T10:00:00Z\"",
    ),
    (
        "inCohort(event.x)",
        "9 [event.x] the id of a cohort is a text in quotes; as in inCohort(\"0192f0c1-…\")",
    ),
    ("inCohort(\"gold\")", "9 [\"gold\"] \"gold\" is not the id of a cohort"),
    (
        "weekday(event.ts) == \"Saturday\"",
        "21 [\"Saturday\"] \"Saturday\" is no day of the week; did you mean \"SAT\"?",
    ),
    (
        "weekday(event.ts) in [\"SAT\", \"Holiday\"]",
        "29 [\"Holiday\"] \"Holiday\" is no day of the week; weekday gives one of MON TUE WED THU FRI SAT SUN",
    ),
    ("{\"a\": 1} == event.a", "0 [{\"a\": 1}] objects cannot be made here"),
    ("b\"x\" == event.a", "0 [b\"x\"] bytes are not supported; use a text"),
    (
        "event.items[event.i] > 1",
        "12 [event.i] an index is a number from 0 or a key in quotes; use exists or filter to look for an item",
    ),
    (
        "event.items[-1] > 1",
        "12 [-1] an index is a number from 0 or a key in quotes; use exists or filter to look for an item",
    ),
    (
        "event.items.filter(i, i.x > 1)[0].y > 2",
        "0 [event.items.filter(i, i.x > 1)[0].y] only event, user and list items have members; write event.basket.total, event.items[0] or item.price",
    ),
    (
        "(event.a + 1).b > 2",
        "0 [(event.a + 1).b] only event, user and list items have members; write event.basket.total, event.items[0] or item.price",
    ),
    (
        "has(event) ",
        "4 [event] has() takes a field; write has(event.amount); a name with other characters is put in backticks",
    ),
    (
        "has(5)",
        "4 [5] has() takes a field; write has(event.amount); a name with other characters is put in backticks",
    ),
    (
        "has(event[\"a\"])",
        "9 [[] has() takes a field; write has(event.amount); a name with other characters is put in backticks",
    ),
    (
        "has(event.a, event.b)",
        "0 [has] has is not called like this; it takes one field, as in has(event.amount)",
    ),
    (
        "exists(event.a)",
        "0 [exists] exists is not called like this; write event.items.exists(item, item.price > 5)",
    ),
    (
        "event.l.exists(event.x, true)",
        "20 [.] the first argument names the item; write event.items.exists(item, item.price > 5)",
    ),
    (
        "event.l.exists(user, true)",
        "0 [event.l.exists(user, true)] the name user is taken; choose another name for the item",
    ),
    (
        "event.l.exists(i, event.m.exists(i, true))",
        "18 [event.m.exists(i, true)] the name i is taken; choose another name for the item",
    ),
    (
        "event.l.exists(i, 5)",
        "18 [5] this is a number, a bool is needed here; as in event.items.exists(item, item.price > 5)",
    ),
    (
        "event.l.exists(i)",
        "8 [exists] exists is not called like this; write event.items.exists(item, item.price > 5)",
    ),
    ("event.l.exists(item, itm.x > 1)", "21 [itm] there is no itm; did you mean item?"),
    (
        "99999999999999999999 < event.a",
        "0 [99999999999999999999] the number 99999999999999999999 is too large; larger whole numbers can be written as 1e19, up to 28 digits",
    ),
    (
        "1e400 < event.a",
        "0 [1e400] the number 1e400 is too large; larger whole numbers can be written as 1e19, up to 28 digits",
    ),
    (
        "0.12345678901234567890123456789 < event.a",
        "0 [0.12345678901234567890123456789] this number has more digits than are held exactly; round it to 28 digits",
    ),
    (
        "event.name == \"\\q\"",
        "14 [\"\\] this text holds an escape that does not exist; write a backslash as \\\\",
    ),
    ("for == 1", "0 [for] for is a reserved word"),
    (
        "event.in == 1",
        "6 [in] in is a word of the language; write [\"in\"] for a field of that name",
    ),
    (
        "event.a event.b",
        "8 [event] event does not fit here; an operator or a bracket may be missing in front of it",
    ),
    ("event.a > 1 &&", "14 [] the text ends where a value or the rest of one should follow"),
    (
        "event.a > > 1",
        "10 [>] > does not fit here; an operator or a bracket may be missing in front of it",
    ),
    ("f(1,)", "4 [)] ) does not fit here; an operator or a bracket may be missing in front of it"),
    ("[1, 2", "0 [[] the bracket [ is never closed"),
    ("event.a ? 1", "11 [] the text ends where a value or the rest of one should follow"),
    (
        "event.a == 1;",
        "12 [;] ';' does not fit here; put texts in quotes, and names with other characters too: event[\"größe\"]",
    ),
    (
        "@x",
        "0 [@] '@' does not fit here; put texts in quotes, and names with other characters too: event[\"größe\"]",
    ),
    (
        "event.a.?b",
        "7 [.] . does not fit here; an operator or a bracket may be missing in front of it",
    ),
    ("event[0] == 1", "0 [event[0]] event is no list"),
    ("event.`a", "6 [`] this name has no closing backtick"),
    ("size(5) > 1", "5 [5] this is a number, a list is needed here; as in size(event.items)"),
    (
        "size(event.a, 2) > 1",
        "0 [size(event.a, 2)] size takes 1 value, not 2; as in size(event.items)",
    ),
    (
        "contains(5, 1)",
        "9 [5] this is a number, a list is needed here; as in event.tags.contains(\"new\")",
    ),
    (
        "\"abc\".contains(5)",
        "15 [5] this is a number, a text is needed here; as in event.tags.contains(\"new\")",
    ),
    ("event.a == // c\n 2 &", "19 [&] & is no operator here; write &&"),
    (
        "default(event.a) > 1",
        "0 [default(event.a)] default takes 2 values, not 1; as in default(event.quantity, 1)",
    ),
    (
        "a.b(c) > 1 && d.e > 2",
        "2 [b] there is no function b; the functions are listed in docs/rules.md | 14 [d] there is no d; fields begin with event. or user.",
    ),
    (
        "event.ts == event.ts - 5",
        "23 [5] this is a number, a time is needed here; as in event.ts - timestamp(\"2026-01-01T00:00:00Z\"), in seconds",
    ),
    ("Event.a > 1", "0 [Event] there is no Event; did you mean event?"),
    ("event.a == True", "11 [True] there is no True; did you mean true?"),
    (
        "event.a == None",
        "11 [None] there is no None; write event.None for a field of the event, \"None\" for a text",
    ),
    ("event.a == NULL", "11 [NULL] there is no NULL; did you mean null?"),
    ("event.a == [1, 1/0]", "15 [1/0] this divides by zero"),
    (
        "!event.a > 5",
        "0 [!event.a > 5] a bool is compared with a number; compare values of the same type",
    ),
    (
        "event.items.map(i, i.price) > 5",
        "0 [event.items.map(i, i.price) > 5] a list is compared with a number; compare values of the same type",
    ),
    (
        "event.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q > 1",
        "0 [event.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q] a path has at most 16 steps",
    ),
    (
        "event.items.x(1).y > 2",
        "0 [event.items.x(1).y] only event, user and list items have members; write event.basket.total, event.items[0] or item.price",
    ),
    (
        "event.ts > null",
        "0 [event.ts > null] a time is compared with null; compare values of the same type",
    ),
];

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, expected) in MISTAKES {
        assert_eq!(refusal(text, Want::Condition), *expected, "{text}");
    }
}

#[test]
fn what_looks_odd_but_is_right_compiles() {
    for text in [
        "event.amount",
        "event.for == 1",
        "event.`a b` == 1",
        "event.a == 1 // a remark",
        "event.a\n  == 1",
        "event.x in event.y",
        "event.default == 1",
        "\"“quotes” = & |\" == event.a",
        "event.a == r'\\q'",
        "event.a == \"\"\"three \"quotes\" \"\"\"",
    ] {
        assert_eq!(refusal(text, Want::Condition), "compiles", "{text}");
    }
}

#[test]
fn formulas_give_numbers() {
    assert_eq!(refusal("event.amount * 0.1", Want::Number), "compiles");
    assert_eq!(refusal("event.amount", Want::Number), "compiles");
    assert_eq!(
        refusal("event.amount > 5", Want::Number),
        "0 [event.amount > 5] a formula must give a number, this gives a bool; as in event.amount * 0.1"
    );
}

#[test]
fn bounds_hold() {
    let first = |text: &str| {
        let errors = compile(text, &mut Fields::new(), Want::Any).unwrap_err();
        assert_eq!(errors.len(), 1, "{text}");
        errors[0].message.clone()
    };
    let ok = |text: &str| assert_eq!(refusal(text, Want::Any), "compiles", "{text}");

    let long = format!("event.a == \"{}\"", "x".repeat(TEXT_BYTES_MAX));
    assert_eq!(first(&long), "the text has 4109 bytes, at most 4096 are allowed");

    let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    ok(&nested(DEPTH_MAX));
    let deep = "this is nested more than 32 levels deep; split it, or use sum([…]) for long sums";
    assert_eq!(first(&nested(DEPTH_MAX + 1)), deep);
    assert_eq!(first(&nested(2_000)), deep);
    assert_eq!(first(&"[".repeat(4_000)), deep);
    let sum = |n: usize| format!("event.a{}", " + 1".repeat(n));
    ok(&sum(DEPTH_MAX - 1));
    assert_eq!(first(&sum(DEPTH_MAX)), deep);
    assert_eq!(first(&sum(700)), deep);
    ok(&format!("true{}", " && true".repeat(200)));

    let list = |n: usize| format!("event.a in [{}]", vec!["1"; n].join(","));
    ok(&list(NODES_MAX - 3));
    let parts = "the text has more than 500 parts; split it into several rules";
    assert_eq!(first(&list(NODES_MAX - 2)), parts);
    assert_eq!(first(&list(1_000)), "the text is too long");
}

#[test]
fn the_fields_of_a_tenant_are_bounded() {
    let mut fields = Fields::new();
    for i in 0..FIELDS_MAX {
        compile(&format!("event.f{i}"), &mut fields, Want::Any).unwrap();
    }
    assert!(compile("event.f0", &mut fields, Want::Any).is_ok());
    let errors = compile("event.more", &mut fields, Want::Any).unwrap_err();
    assert_eq!(errors[0].message, "the rules of a tenant read at most 4096 fields");
}

#[test]
fn an_error_is_a_json_document() {
    let errors = compile("event.a = 1", &mut Fields::new(), Want::Any).unwrap_err();
    let json = serde_json::to_value(&errors[0]).unwrap();
    let expected = serde_json::json!({
        "offset": 8, "length": 1, "message": "= is no operator here", "hint": "write == to compare"
    });
    assert_eq!(json, expected);
    assert_eq!(errors[0].to_string(), "= is no operator here (at byte 8); write == to compare");
}

/// Texts near our language, to reach far into the compiler.
fn nearly_valid() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "event",
        "user",
        ".",
        "a",
        "ts",
        "action",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "?",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "==",
        "!=",
        "<",
        ">=",
        "&&",
        "||",
        " in ",
        "\"x\"",
        "\"é\"",
        "'",
        "1",
        "2.5",
        "1e5",
        ".5",
        "0x1f",
        "5u",
        "1e400",
        "has(",
        ".exists(x, ",
        ".map(x, ",
        "min(",
        "round(",
        "hour(",
        "default(",
        "x",
        "`a b`",
        "true",
        "null",
        "é",
        "😀",
        " ",
        "\n",
        "//",
        "\\",
        "b'x'",
        "r'x'",
        "@",
        "=",
        "&",
        "event.a",
        "event.b.c",
        "[0]",
        "event.ts",
    ]);
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn no_text_panics_and_errors_lie_inside(text in prop_oneof![nearly_valid(), ".{0,40}"]) {
        if let Err(errors) = compile(&text, &mut Fields::new(), Want::Any) {
            prop_assert!(!errors.is_empty());
            prop_assert!(!said(&text, &errors).is_empty());
        }
    }
}
