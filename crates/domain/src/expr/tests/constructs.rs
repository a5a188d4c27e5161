//! A table for each construct.

use super::*;

#[test]
fn literals_are_exact() {
    check(&[
        ("true", "true"),
        ("null", "null"),
        ("\"a\\n\\u00e9\"", "\"a\\né\""),
        ("'single'", "\"single\""),
        ("r'raw\\n'", "\"raw\\\\n\""),
        ("42", "42"),
        ("-42", "-42"),
        ("- 42", "-42"),
        ("0x1F", "31"),
        ("7u", "7"),
        ("007", "7"),
        ("0.1", "0.1"),
        ("00.10", "0.10"),
        (".5", "0.5"),
        ("-2.50", "-2.50"),
        ("-0.0", "0.0"),
        ("1e3", "1000"),
        ("25e-3", "0.025"),
        ("9007199254740993.0", "9007199254740993.0"),
        ("0.1234567890123456789", "0.1234567890123456789"),
        ("1e27 + 0", "1000000000000000000000000000"),
    ]);
}

#[test]
fn fields_are_found() {
    check(&[
        ("event.amount", "120.50"),
        ("event.basket.total", "99.99"),
        ("event.basket.`my key`.x", "7"),
        ("event[\"basket\"][\"my key\"].x", "7"),
        ("event.basket.action", "\"inner\""),
        ("event.items[1].sku", "\"T-7\""),
        ("event.tags[0]", "\"new\""),
        ("event.action", "\"purchase\""),
        ("event.ts", "\"2026-11-21T23:30:15.5Z\""),
        ("user.tier", "\"gold\""),
        ("user.address.country", "\"DE\""),
        ("event.nothing", "null"),
    ]);
    check_unknown(&[
        ("event.absent", "FIELD_MISSING: event.absent is missing"),
        ("event.basket.absent.deep", "FIELD_MISSING: event.basket.absent.deep is missing"),
        ("event.amount.deep", "FIELD_MISSING: event.amount.deep is missing"),
        ("event.tags[2]", "FIELD_MISSING: event.tags[2] is missing"),
        ("event.basket[\"a b\"]", "FIELD_MISSING: event.basket[\"a b\"] is missing"),
        ("user.absent", "FIELD_MISSING: user.absent is missing"),
    ]);
    assert_eq!(
        run_with("user.tier == 'gold'", EVENT, None),
        Err("FIELD_MISSING: user.tier is missing".to_owned())
    );
}

#[test]
fn comparisons() {
    check(&[
        ("event.amount >= 100", "true"),
        ("event.amount == 120.5", "true"),
        ("120.5 == event.amount", "true"),
        ("100 < event.amount", "true"),
        ("100 > event.amount", "false"),
        ("event.amount != 120.500", "false"),
        ("event.amount > event.quantity", "true"),
        ("event.amount < 1e20", "true"),
        ("event.tiny < 0.1", "true"),
        ("event.tiny == 0.0100000000000000", "true"),
        ("event.big > 0.0000000000000000000000000001", "true"),
        ("event.negative < -2", "true"),
        ("event.country == \"FR\"", "true"),
        ("event.country != \"FR\"", "false"),
        ("\"DE\" == event.country", "false"),
        ("event.country < \"G\"", "true"),
        ("event.country >= \"FRA\"", "false"),
        ("\"G\" > event.country", "true"),
        ("event.gift == true", "true"),
        ("event.gift != event.returned", "true"),
        ("event.nothing == null", "true"),
        ("event.amount == null", "false"),
        ("event.amount != null", "true"),
        ("event.nothing == 5", "false"),
        ("event.nothing != 5", "true"),
        ("event.nothing == \"x\"", "false"),
        ("event.nothing != \"x\"", "true"),
        ("event.tags == [\"new\", \"sale\"]", "true"),
        ("event.tags == [\"new\"]", "false"),
        ("event.numbers == [1.0, 2.50, 3]", "true"),
        ("event.mixed == [2, 5, null]", "false"),
        ("event.ts > timestamp(\"2026-11-21T00:00:00Z\")", "true"),
        ("timestamp(event.at) <= event.ts", "true"),
        ("event.ts == null", "false"),
        ("1 == 1", "true"),
        ("event.action == \"purchase\"", "true"),
    ]);
    check_unknown(&[
        ("event.absent > 5", "FIELD_MISSING: event.absent is missing"),
        ("event.absent == null", "FIELD_MISSING: event.absent is missing"),
        ("event.country > 5", "TYPE_MISMATCH: event.country is not a number"),
        ("event.country == 5", "TYPE_MISMATCH: event.country is not a number"),
        ("event.amount == \"x\"", "TYPE_MISMATCH: event.amount is not a text"),
        ("event.nothing > 5", "TYPE_MISMATCH: event.nothing is not a number"),
        (
            "event.basket == event.basket",
            "TYPE_MISMATCH: event.basket holds a value of another type than is needed here",
        ),
        (
            "event.mixed == [1, 5, null]",
            "TYPE_MISMATCH: event.mixed holds a value of another type than is needed here",
        ),
        ("event.amount > event.country", "TYPE_MISMATCH: event.amount is not a text"),
    ]);
}

#[test]
fn logic_is_three_valued() {
    check(&[
        ("true && event.gift", "true"),
        ("event.gift && event.returned", "false"),
        ("event.returned && event.absent", "false"),
        ("event.absent && event.returned", "false"),
        ("event.absent > 1 && event.amount > 1 && event.returned", "false"),
        ("event.gift || event.absent", "true"),
        ("event.absent || event.gift", "true"),
        ("event.returned || !event.returned", "true"),
        ("!(event.absent && event.returned)", "true"),
        ("!!event.gift", "true"),
        ("event.gift ? 1 : 2", "1"),
        ("event.returned ? event.absent : 2", "2"),
    ]);
    check_unknown(&[
        ("event.gift && event.absent", "FIELD_MISSING: event.absent is missing"),
        ("event.absent || event.returned", "FIELD_MISSING: event.absent is missing"),
        ("!event.absent", "FIELD_MISSING: event.absent is missing"),
        ("event.absent ? 1 : 1", "FIELD_MISSING: event.absent is missing"),
        ("event.a > 1 && event.b > 1", "FIELD_MISSING: event.a is missing"),
        ("event.b > 1 && event.a > 1", "FIELD_MISSING: event.b is missing"),
        ("event.country && true", "TYPE_MISMATCH: event.country is not a bool"),
    ]);
}

#[test]
fn arithmetic_is_exact() {
    check(&[
        ("0.1 + 0.2 == 0.3", "true"),
        ("event.amount * 0.1", "12.050"),
        ("event.amount - 20.50", "100.00"),
        ("event.amount + event.quantity", "123.50"),
        ("event.quantity / 2", "1.5"),
        ("1 / 3 * 3 == 1", "false"),
        ("10 / 3", "3.3333333333333333333333333333"),
        ("event.quantity % 2", "1"),
        ("-7 % 3", "-1"),
        ("-event.amount", "-120.50"),
        ("-event.zero", "0"),
        ("-(-event.quantity)", "3"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("event.ts - timestamp(event.at)", "15.5"),
        ("timestamp(event.at) - event.ts < 0", "true"),
    ]);
    check_unknown(&[
        ("event.amount / event.zero", "DIVISION_BY_ZERO: division by event.zero, which is zero"),
        ("event.amount % (event.zero * 2)", "DIVISION_BY_ZERO: division by zero"),
        ("event.big * event.big", "OVERFLOW: a result has more than 28 digits"),
        ("event.amount * event.country", "TYPE_MISMATCH: event.country is not a number"),
        ("event.nothing + 1", "TYPE_MISMATCH: event.nothing is not a number"),
        (
            "timestamp(event.city)",
            "NOT_A_TIME: event.city is not a time such as 2026-11-22T10:00:00Z",
        ),
    ]);
}

#[test]
fn membership() {
    check(&[
        ("event.country in [\"FR\", \"DE\"]", "true"),
        ("event.country in [\"DE\"]", "false"),
        ("!(event.country in [\"DE\"])", "true"),
        ("event.quantity in [1, 2, 3.0]", "true"),
        ("event.nothing in [\"FR\"]", "false"),
        ("event.nothing in [null]", "true"),
        ("event.country in []", "false"),
        ("\"new\" in event.tags", "true"),
        ("\"old\" in event.tags", "false"),
        ("1 in event.mixed", "true"),
        ("event.tags.contains(\"sale\")", "true"),
        ("event.numbers.contains(2.50)", "true"),
        ("event.none.contains(1)", "false"),
        ("event.country in [event.category, user.address.country]", "false"),
        ("event.country in [event.absent, \"FR\"]", "true"),
        ("event.action in [\"purchase\", \"order\"]", "true"),
    ]);
    check_unknown(&[
        ("event.absent in [\"FR\"]", "FIELD_MISSING: event.absent is missing"),
        ("event.quantity in [\"FR\"]", "TYPE_MISMATCH: event.quantity is not a text"),
        ("event.country in [event.absent, \"DE\"]", "FIELD_MISSING: event.absent is missing"),
        (
            "2 in event.mixed",
            "TYPE_MISMATCH: event.mixed holds a value of another type than is needed here",
        ),
        ("1 in event.country", "TYPE_MISMATCH: event.country is not a list"),
        ("event.basket.contains(1)", "TYPE_MISMATCH: event.basket is not a list"),
    ]);
}

#[test]
fn missing_fields_can_be_dealt_with() {
    check(&[
        ("has(event.amount)", "true"),
        ("has(event.absent)", "false"),
        ("has(event.absent.deep)", "false"),
        ("has(event.nothing)", "true"),
        ("has(user.tier)", "true"),
        ("has(event.ts)", "true"),
        ("default(event.absent, 0) + 1", "1"),
        ("default(event.nothing, 7)", "7"),
        ("default(event.amount, 0)", "120.50"),
        ("default(event.absent * 2, 5)", "5"),
        ("default(event.absent, event.quantity)", "3"),
        ("has(event.absent) && event.absent > 5", "false"),
    ]);
    check_unknown(&[
        (
            "default(event.amount / event.zero, 5)",
            "DIVISION_BY_ZERO: division by event.zero, which is zero",
        ),
        ("default(event.country * 2, 5)", "TYPE_MISMATCH: event.country is not a number"),
        ("default(event.absent, event.gone)", "FIELD_MISSING: event.gone is missing"),
    ]);
}

#[test]
fn number_functions() {
    check(&[
        ("min(event.amount, 100)", "100"),
        ("max(event.amount, 100, 500)", "500"),
        ("event.amount.min(100)", "100"),
        ("floor(event.amount / 10) * 2", "24"),
        ("floor(-2.5)", "-3"),
        ("ceil(-2.5)", "-2"),
        ("ceil(event.amount)", "121"),
        ("abs(event.negative)", "2.5"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(2.345, 2)", "2.35"),
        ("round(event.amount / 7, 2)", "17.21"),
        ("size(event.tags)", "2"),
        ("size(\"Besançon\")", "8"),
        ("event.city.size()", "8"),
        ("size([1, 2, 3])", "3"),
        ("sum(event.numbers)", "6.5"),
        ("sum([])", "0"),
        ("sum([event.amount, 0.5, event.quantity])", "124.00"),
    ]);
    check_unknown(&[
        ("min(event.amount, event.country)", "TYPE_MISMATCH: event.country is not a number"),
        ("max(event.absent, 1)", "FIELD_MISSING: event.absent is missing"),
        ("size(event.amount)", "TYPE_MISMATCH: event.amount is not a list"),
        (
            "sum(event.mixed)",
            "TYPE_MISMATCH: event.mixed holds a value of another type than is needed here",
        ),
        (
            "sum([event.big, event.big, event.big, event.big, event.big, event.big, event.big, event.big])",
            "OVERFLOW: a result has more than 28 digits",
        ),
    ]);
}

#[test]
fn text_functions() {
    check(&[
        ("event.category.startsWith(\"bo\")", "true"),
        ("event.category.endsWith(\"ks\")", "true"),
        ("event.category.contains(\"ook\")", "true"),
        ("event.category.contains(\"\")", "true"),
        ("event.empty.contains(\"x\")", "false"),
        ("event.city.upper()", "\"BESANÇON\""),
        ("lower(event.country) == \"fr\"", "true"),
    ]);
    check_unknown(&[
        ("event.amount.startsWith(\"1\")", "TYPE_MISMATCH: event.amount is not a text"),
        ("event.category.startsWith(event.amount)", "TYPE_MISMATCH: event.amount is not a text"),
        ("event.absent.lower()", "FIELD_MISSING: event.absent is missing"),
    ]);
}

#[test]
fn calendar_functions_know_zones() {
    // 23:30 UTC on Saturday the 21st is 00:30 on Sunday the 22nd in Paris, the tenant's zone.
    check(&[
        ("weekday(event.ts)", "\"SUN\""),
        ("weekday(event.ts, \"UTC\")", "\"SAT\""),
        ("weekday(event.ts) in [\"SAT\", \"SUN\"]", "true"),
        ("hour(event.ts)", "0"),
        ("hour(event.ts, \"America/New_York\")", "18"),
        ("minute(event.ts)", "30"),
        ("dayOfMonth(event.ts)", "22"),
        ("month(event.ts)", "11"),
        ("year(event.ts)", "2026"),
        ("dayOfYear(event.ts)", "326"),
        ("daysInMonth(event.ts)", "30"),
        ("dayOfMonth(event.ts) > daysInMonth(event.ts) - 7", "false"),
        ("isoWeek(event.ts)", "47"),
        ("isoWeek(event.ts, \"Asia/Tokyo\")", "47"),
        ("date(event.ts)", "\"2026-11-22\""),
        ("date(event.ts, \"UTC\")", "\"2026-11-21\""),
        ("date(event.ts) >= \"2026-11-22\"", "true"),
        ("weekday(timestamp(event.at))", "\"SUN\""),
        ("weekday(timestamp(\"2026-01-01T12:00:00Z\"))", "\"THU\""),
        ("isoWeek(timestamp(\"2027-01-01T12:00:00Z\"))", "53"),
        ("hour(timestamp(\"2026-03-29T01:30:00Z\"))", "3"),
        ("daysInMonth(timestamp(\"2028-02-10T00:00:00Z\"))", "29"),
    ]);
}

#[test]
fn lists_are_gone_through() {
    check(&[
        ("event.items.exists(i, i.price > 20)", "true"),
        ("event.items.exists(i, i.price > 50)", "false"),
        ("event.items.all(i, i.price > 5)", "true"),
        ("event.items.all(i, i.sku.startsWith(\"B\"))", "false"),
        ("event.items.exists_one(i, i.sku.startsWith(\"T\"))", "true"),
        ("event.items.exists_one(i, i.sku.startsWith(\"B\"))", "false"),
        ("event.none.all(i, i > 5)", "true"),
        ("event.none.exists(i, i > 5)", "false"),
        ("size(event.items.filter(i, i.sku.startsWith(\"B\")))", "2"),
        ("sum(event.items.map(i, i.price * i.quantity))", "55.50"),
        ("sum(event.items.map(i, i.sku.startsWith(\"B\"), i.price))", "40.00"),
        ("sum(event.items.filter(i, i.tags.contains(\"new\")).map(i, i.quantity))", "3"),
        ("event.items.map(i, i.sku)", "[\"B-1\",\"T-7\",\"B-2\"]"),
        ("event.numbers.map(n, n * 2)", "[2,5.0,6]"),
        ("event.items.exists(i, has(i.gift) && i.gift)", "true"),
        ("event.items.exists(i, has(i.absent))", "false"),
        ("event.items.exists(i, i.tags.exists(t, t == \"sale\" && i.price > 20))", "true"),
        ("event.items.exists(i, i.tags.exists(t, t == \"sale\" && i.price < 20))", "false"),
        ("event.items.exists(i, i.tags[1] == \"new\")", "true"),
        ("event.holes.exists(h, h.price == 1)", "true"),
        ("event.holes.all(h, h.price > 5)", "false"),
        ("[1, 2, 3].exists(x, x == event.quantity)", "true"),
        ("event.items.exists(i, i.price > event.amount)", "false"),
        ("event.items.map(i, i.tags).exists(t, t == [\"new\"])", "true"),
    ]);
    check_unknown(&[
        ("event.holes.exists(h, h.price > 5)", "FIELD_MISSING: event.holes[].price is missing"),
        (
            "event.holes.exists_one(h, h.price == 1)",
            "FIELD_MISSING: event.holes[].price is missing",
        ),
        ("sum(event.holes.map(h, h.price))", "FIELD_MISSING: event.holes[].price is missing"),
        ("event.holes.filter(h, h.price > 0)", "FIELD_MISSING: event.holes[].price is missing"),
        ("event.amount.exists(i, i > 5)", "TYPE_MISMATCH: event.amount is not a list"),
        ("event.absent.all(i, i > 5)", "FIELD_MISSING: event.absent is missing"),
        (
            "event.holes.filter(h, has(h.price)).all(h, h.price > 0)",
            "TYPE_MISMATCH: h.price is not a number",
        ),
    ]);
}

#[test]
fn cohorts_are_asked_for() {
    let text = format!("inCohort(\"{GOLD}\") && !inCohort(\"{SILVER}\") && inCohort('{GOLD}')");
    assert_eq!(run(&text).as_deref(), Ok("true"));
    let expr = compile(&text, &mut Fields::new(), Want::Condition).unwrap();
    assert_eq!(expr.cohorts(), [GOLD.parse().unwrap(), SILVER.parse().unwrap()]);
}

#[test]
fn constants_are_folded_by_the_same_evaluator() {
    let mut fields = Fields::new();
    let folded = |text: &str, fields: &mut Fields| {
        let expr = compile(text, fields, Want::Any).unwrap();
        matches!(expr.root.kind, types::Kind::Const(_))
    };
    for text in [
        "1 + 2 * 3",
        "round(2.345, 2)",
        "\"A\".lower() == \"a\"",
        "1 < 2 ? 3 : 4",
        "timestamp(\"2026-01-01T00:00:00Z\")",
        "5 in [1, 5]",
        "hour(timestamp(\"2026-01-01T00:00:00Z\"), \"Europe/Paris\")",
    ] {
        assert!(folded(text, &mut fields), "{text}");
    }
    for text in ["event.x + 1", "hour(timestamp(\"2026-01-01T00:00:00Z\"))", "weekday(event.ts)"] {
        assert!(!folded(text, &mut fields), "{text}");
    }
}

#[test]
fn a_tenant_shares_its_fields() {
    let mut fields = Fields::new();
    let one = compile("event.a > 1 && event.b.c == 2 && event.a < 9", &mut fields, Want::Condition);
    let two = compile("event[\"b\"].c > user.a", &mut fields, Want::Condition);
    let paths = |expr: &Expr| -> Vec<String> {
        expr.fields().iter().map(|slot| fields.path(*slot).to_owned()).collect()
    };
    assert_eq!(paths(&one.unwrap()), ["event.a", "event.b.c"]);
    assert_eq!(paths(&two.unwrap()), ["event.b.c", "user.a"]);
    assert_eq!(fields.len(), 3);
}

#[test]
fn many_fields_are_read_once_each() {
    let mut fields = Fields::new();
    let sum: Vec<String> = (0..100).map(|i| format!("event.f{i}")).collect();
    let text = format!("sum([{}])", sum.join(", "));
    let expr = compile(&text, &mut fields, Want::Number).unwrap();
    let members: Vec<String> = (0..100).map(|i| format!("\"f{i}\": {i}")).collect();
    let event = format!("{{{}}}", members.join(","));
    let payload = Payload::parse(&event).unwrap();
    let zone = Zone::utc();
    let ts = Timestamp::default();
    let facts = Facts { payload: &payload, user: None, action: "a", ts, zone: &zone, cohorts: &[] };
    let scope = Scope::new(&fields, facts);
    for _ in 0..2 {
        assert_eq!(expr.number(&scope), Ok(4950.into()));
    }
}

#[test]
fn work_is_bounded() {
    let items = vec!["1"; 1_000].join(",");
    let event = format!("{{\"l\": [{items}]}}");
    let nested = "event.l.all(a, event.l.all(b, event.l.all(c, a + b + c > 0)))";
    assert_eq!(
        run_with(nested, &event, None),
        Err("TOO_MUCH_WORK: the lists have too many items to go through for one event".to_owned())
    );
    assert_eq!(run_with("event.l.all(a, a > 0)", &event, None).as_deref(), Ok("true"));
    // Each evaluation has its own allowance.
    let payload = Payload::parse(&event).unwrap();
    let mut fields = Fields::new();
    let expr = compile("event.l.all(a, a in event.l)", &mut fields, Want::Condition).unwrap();
    let (zone, ts) = (Zone::utc(), Timestamp::default());
    let facts = Facts { payload: &payload, user: None, action: "a", ts, zone: &zone, cohorts: &[] };
    let scope = Scope::new(&fields, facts);
    let verdicts = [expr.holds(&scope), expr.holds(&scope)];
    assert_eq!(verdicts.map(Verdict::as_code), ["TOO_MUCH_WORK"; 2]);
}
