//! The evaluator against a naive one: a direct reading of the library's syntax tree, without slots,
//! folding, short forms or borrowed values, that runs list functions as the loops the library
//! expands them into. Random expressions, random events.

mod writer;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr as Syntax, LiteralValue, operators};
use cel::parser::{Expression, Parser};
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};

use self::writer::{Writer, any_value, object};
use super::*;

/// A value of the naive evaluator; all owned.
#[derive(Clone, Debug)]
enum Plain {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(String),
    Time(Timestamp),
    List(Vec<Plain>),
    Object(Vec<(String, Plain)>),
}

/// A value or the code of an unknown.
type Outcome = Result<Plain, &'static str>;

const MISSING: Outcome = Err("FIELD_MISSING");
const MISMATCH: Outcome = Err("TYPE_MISMATCH");

fn plain(value: &Value<'_>) -> Plain {
    match value {
        Value::Null => Plain::Null,
        Value::Bool(b) => Plain::Bool(*b),
        Value::Number(n) => Plain::Number(*n),
        Value::Text(text) => Plain::Text(text.to_string()),
        Value::List(items) => Plain::List(items.iter().map(plain).collect()),
        Value::Object(members) => {
            Plain::Object(members.iter().map(|(k, v)| (k.to_string(), plain(v))).collect())
        }
    }
}

struct Naive<'n> {
    text: &'n str,
    info: &'n cel::common::ast::SourceInfo,
    /// Names and their values, innermost last.
    names: Vec<(String, Outcome)>,
    zone: Zone,
}

impl Naive<'_> {
    fn eval(&mut self, node: &Expression) -> Outcome {
        match &node.expr {
            Syntax::Literal(literal) => self.literal(node, literal),
            Syntax::Ident(name) => {
                let found = self.names.iter().rev().find(|(known, _)| known == name);
                found.map_or(MISSING, |(_, value)| value.clone())
            }
            Syntax::Select(select) => {
                let inner = self.eval(&select.operand);
                let found = match &inner {
                    Ok(Plain::Object(members)) => {
                        members.iter().find(|(key, _)| *key == select.field).map(|(_, v)| v.clone())
                    }
                    _ => None,
                };
                if select.test {
                    Ok(Plain::Bool(found.is_some()))
                } else {
                    found.map_or(MISSING, Ok)
                }
            }
            Syntax::List(list) => {
                let items: Result<Vec<Plain>, _> =
                    list.elements.iter().map(|item| self.eval(item)).collect();
                Ok(Plain::List(items?))
            }
            Syntax::Call(call) => self.call(call),
            Syntax::Comprehension(each) => self.each(each),
            other => panic!("{other:?}"),
        }
    }

    fn literal(&self, node: &Expression, literal: &LiteralValue) -> Outcome {
        Ok(match literal {
            LiteralValue::Boolean(b) => Plain::Bool(*b.inner()),
            LiteralValue::Int(n) => Plain::Number(Decimal::from(*n.inner())),
            LiteralValue::Double(n) => {
                let (start, last) = self.info.offset_for(node.id).unwrap();
                let size = &self.text[start as usize..=last as usize];
                let size = Decimal::from_scientific(size).or_else(|_| size.parse()).unwrap();
                Plain::Number(if *n.inner() < 0.0 { -size } else { size })
            }
            LiteralValue::String(text) => Plain::Text(text.inner().to_owned()),
            LiteralValue::Null => Plain::Null,
            other => panic!("{other:?}"),
        })
    }

    fn truth(&mut self, node: &Expression) -> Result<bool, &'static str> {
        match self.eval(node)? {
            Plain::Bool(b) => Ok(b),
            _ => Err("TYPE_MISMATCH"),
        }
    }

    fn call(&mut self, call: &CallExpr) -> Outcome {
        let args: Vec<&Expression> = call.target.as_deref().into_iter().chain(&call.args).collect();
        match call.func_name.as_str() {
            // Both sides, always: what decides alone, decides; otherwise the first unknown.
            operators::LOGICAL_AND => self.junction(&args, false),
            operators::LOGICAL_OR => self.junction(&args, true),
            operators::LOGICAL_NOT => Ok(Plain::Bool(!self.truth(args[0])?)),
            operators::CONDITIONAL => {
                let chosen = if self.truth(args[0])? { args[1] } else { args[2] };
                self.eval(chosen)
            }
            "@not_strictly_false" => {
                Ok(Plain::Bool(!matches!(self.eval(args[0]), Ok(Plain::Bool(false)))))
            }
            "default" => match self.eval(args[0]) {
                Err("FIELD_MISSING") | Ok(Plain::Null) => self.eval(args[1]),
                other => other,
            },
            // Item by item, as an item without a value matters only if no other is equal.
            operators::IN if matches!(args[1].expr, Syntax::List(_)) => {
                let wanted = self.eval(args[0])?;
                let Syntax::List(list) = &args[1].expr else { unreachable!() };
                let items: Vec<Outcome> =
                    list.elements.iter().map(|item| self.eval(item)).collect();
                among(&wanted, items)
            }
            name => {
                // In order, so that the first operand that cannot be used gives the reason.
                let mut values = Vec::new();
                for arg in &args {
                    let value = self.eval(arg)?;
                    // Only the library's own loops add lists.
                    let loops = matches!(&args[0].expr, Syntax::Ident(n) if n.starts_with('@'));
                    if !loops && !usable(name, values.len(), &value) {
                        return MISMATCH;
                    }
                    values.push(value);
                }
                self.apply(name, &values)
            }
        }
    }

    fn junction(&mut self, args: &[&Expression], decisive: bool) -> Outcome {
        let (left, right) = (self.truth(args[0]), self.truth(args[1]));
        match (left, right) {
            (Ok(l), _) if l == decisive => Ok(Plain::Bool(decisive)),
            (_, Ok(r)) if r == decisive => Ok(Plain::Bool(decisive)),
            (Err(why), _) | (_, Err(why)) => Err(why),
            _ => Ok(Plain::Bool(!decisive)),
        }
    }

    fn each(&mut self, each: &ComprehensionExpr) -> Outcome {
        let Plain::List(items) = self.eval(&each.iter_range)? else { return MISMATCH };
        let quantified = matches!(each.accu_init.expr, Syntax::Literal(_));
        if let Syntax::Literal(LiteralValue::Int(_)) = each.accu_init.expr {
            return self.exactly_one(each, items);
        }
        let mut result = self.eval(&each.accu_init);
        for item in items {
            self.names.push((each.iter_var.clone(), Ok(item)));
            self.names.push((each.accu_var.clone(), result.clone()));
            let go_on = self.eval(&each.loop_cond);
            if matches!(go_on, Ok(Plain::Bool(true))) {
                result = self.eval(&each.loop_step);
            }
            self.names.truncate(self.names.len() - 2);
            if result.is_err() && !quantified {
                break;
            }
        }
        self.names.push((each.accu_var.clone(), result));
        let result = self.eval(&each.result);
        self.names.pop();
        result
    }

    /// Sharper than the library's loop: two that hold decide, whatever is unknown.
    fn exactly_one(&mut self, each: &ComprehensionExpr, items: Vec<Plain>) -> Outcome {
        let Syntax::Call(step) = &each.loop_step.expr else { unreachable!() };
        let mut held = Vec::new();
        for item in items {
            self.names.push((each.iter_var.clone(), Ok(item)));
            held.push(self.truth(&step.args[0]));
            self.names.pop();
        }
        let count = held.iter().filter(|h| **h == Ok(true)).count();
        match held.into_iter().find_map(Result::err) {
            Some(why) if count < 2 => Err(why),
            _ => Ok(Plain::Bool(count == 1)),
        }
    }

    fn apply(&self, name: &str, values: &[Plain]) -> Outcome {
        use std::cmp::Ordering;
        let compared = |accepts: fn(Ordering) -> bool| {
            order(&values[0], &values[1]).map_or(MISMATCH, |order| Ok(Plain::Bool(accepts(order))))
        };
        match name {
            operators::EQUALS => {
                equal(&values[0], &values[1]).map_or(MISMATCH, |e| Ok(Plain::Bool(e)))
            }
            operators::NOT_EQUALS => {
                equal(&values[0], &values[1]).map_or(MISMATCH, |e| Ok(Plain::Bool(!e)))
            }
            operators::LESS => compared(Ordering::is_lt),
            operators::LESS_EQUALS => compared(Ordering::is_le),
            operators::GREATER => compared(Ordering::is_gt),
            operators::GREATER_EQUALS => compared(Ordering::is_ge),
            operators::IN => match &values[1] {
                Plain::List(items) => among(&values[0], items.iter().cloned().map(Ok).collect()),
                _ => MISMATCH,
            },
            "contains" => match values {
                [Plain::List(items), wanted] => {
                    among(wanted, items.iter().cloned().map(Ok).collect())
                }
                [Plain::Text(whole), Plain::Text(part)] => {
                    Ok(Plain::Bool(whole.contains(part.as_str())))
                }
                _ => MISMATCH,
            },
            "startsWith" | "endsWith" => match values {
                [Plain::Text(whole), Plain::Text(part)] => Ok(Plain::Bool(match name {
                    "startsWith" => whole.starts_with(part.as_str()),
                    _ => whole.ends_with(part.as_str()),
                })),
                _ => MISMATCH,
            },
            "lower" | "upper" => match &values[0] {
                Plain::Text(text) if name == "lower" => Ok(Plain::Text(text.to_lowercase())),
                Plain::Text(text) => Ok(Plain::Text(text.to_uppercase())),
                _ => MISMATCH,
            },
            "size" => match &values[0] {
                Plain::Text(text) => Ok(Plain::Number(text.chars().count().into())),
                Plain::List(items) => Ok(Plain::Number(items.len().into())),
                _ => MISMATCH,
            },
            "weekday" | "hour" => self.calendar(name, values),
            operators::ADD if matches!(values[0], Plain::List(_)) => match values {
                [Plain::List(a), Plain::List(b)] => Ok(Plain::List([&a[..], b].concat())),
                _ => MISMATCH,
            },
            operators::SUBSTRACT if matches!(values, [Plain::Time(_), Plain::Time(_)]) => {
                let [Plain::Time(a), Plain::Time(b)] = values else { unreachable!() };
                Ok(Plain::Number(Decimal::new(a.micros() - b.micros(), 6)))
            }
            _ => numeric(name, values),
        }
    }

    fn calendar(&self, name: &str, values: &[Plain]) -> Outcome {
        let Plain::Time(at) = &values[0] else { return MISMATCH };
        let zone = match values.get(1) {
            Some(Plain::Text(name)) => Zone::named(name).unwrap(),
            _ => self.zone.clone(),
        };
        let civil = zone.civil(*at);
        Ok(match name {
            "hour" => Plain::Number(civil.hour().into()),
            _ => Plain::Text(civil.strftime("%a").to_string().to_uppercase()),
        })
    }
}

/// Whether a function can take a value at all, whatever its other operands are.
fn usable(name: &str, position: usize, value: &Plain) -> bool {
    match name {
        "contains" if position == 0 => matches!(value, Plain::Text(_) | Plain::List(_)),
        operators::MULTIPLY | operators::DIVIDE | operators::MODULO | operators::NEGATE => {
            matches!(value, Plain::Number(_))
        }
        "min" | "max" | "floor" | "ceil" | "abs" | "round" => matches!(value, Plain::Number(_)),
        operators::ADD => matches!(value, Plain::Number(_)),
        operators::SUBSTRACT => matches!(value, Plain::Number(_) | Plain::Time(_)),
        "startsWith" | "endsWith" => matches!(value, Plain::Text(_)),
        _ => true,
    }
}

fn numeric(name: &str, values: &[Plain]) -> Outcome {
    let list = match values {
        [Plain::List(items)] if name == "sum" => items,
        _ if name == "sum" => return MISMATCH,
        _ => values,
    };
    let mut numbers = Vec::new();
    for value in list {
        match value {
            Plain::Number(n) => numbers.push(*n),
            _ => return MISMATCH,
        }
    }
    let places = if name == "round" && numbers.len() == 2 { numbers.pop() } else { None };
    let zero_divisor =
        matches!(name, operators::DIVIDE | operators::MODULO) && numbers[1].is_zero();
    if zero_divisor {
        return Err("DIVISION_BY_ZERO");
    }
    let result = match name {
        operators::ADD => numbers[0].checked_add(numbers[1]),
        operators::SUBSTRACT => numbers[0].checked_sub(numbers[1]),
        operators::MULTIPLY => numbers[0].checked_mul(numbers[1]),
        operators::DIVIDE => numbers[0].checked_div(numbers[1]),
        operators::MODULO => numbers[0].checked_rem(numbers[1]),
        operators::NEGATE => Some(-numbers[0]),
        "sum" => numbers.iter().try_fold(Decimal::ZERO, |total, n| total.checked_add(*n)),
        "min" => numbers.iter().min().copied(),
        "max" => numbers.iter().max().copied(),
        "floor" => Some(numbers[0].floor()),
        "ceil" => Some(numbers[0].ceil()),
        "abs" => Some(numbers[0].abs()),
        "round" => {
            let places = places.map_or(0, |p| u32::try_from(p).unwrap());
            let half_up = RoundingStrategy::MidpointAwayFromZero;
            Some(numbers[0].round_dp_with_strategy(places, half_up))
        }
        other => panic!("{other}"),
    };
    result.map_or(Err("OVERFLOW"), |n| Ok(Plain::Number(n)))
}

fn equal(a: &Plain, b: &Plain) -> Option<bool> {
    match (a, b) {
        (Plain::Null, Plain::Null) => Some(true),
        (Plain::Null, _) | (_, Plain::Null) => Some(false),
        (Plain::Bool(a), Plain::Bool(b)) => Some(a == b),
        (Plain::Number(a), Plain::Number(b)) => Some(a == b),
        (Plain::Text(a), Plain::Text(b)) => Some(a == b),
        (Plain::Time(a), Plain::Time(b)) => Some(a == b),
        (Plain::List(a), Plain::List(b)) if a.len() != b.len() => Some(false),
        (Plain::List(a), Plain::List(b)) => {
            let pairs: Vec<_> = a.iter().zip(b).map(|(a, b)| equal(a, b)).collect();
            if pairs.contains(&Some(false)) {
                Some(false)
            } else if pairs.contains(&None) {
                None
            } else {
                Some(true)
            }
        }
        _ => None,
    }
}

fn order(a: &Plain, b: &Plain) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Plain::Number(a), Plain::Number(b)) => Some(a.cmp(b)),
        (Plain::Text(a), Plain::Text(b)) => Some(a.cmp(b)),
        (Plain::Time(a), Plain::Time(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn among(wanted: &Plain, items: Vec<Outcome>) -> Outcome {
    let verdicts: Vec<Result<bool, &'static str>> = items
        .into_iter()
        .map(|item| item.and_then(|item| equal(wanted, &item).ok_or("TYPE_MISMATCH")))
        .collect();
    if verdicts.contains(&Ok(true)) {
        return Ok(Plain::Bool(true));
    }
    verdicts.into_iter().find_map(Result::err).map_or(Ok(Plain::Bool(false)), Err)
}

fn agree(
    text: &str,
    event: &serde_json::Value,
    user: &serde_json::Value,
) -> Result<(), TestCaseError> {
    let mut fields = Fields::new();
    let Ok(expr) = compile(text, &mut fields, Want::Any) else {
        // Types that can never fit, constants without a value.
        return Err(TestCaseError::reject("refused"));
    };
    let (payload, user) = (Payload::from_json(event).unwrap(), Payload::from_json(user).unwrap());
    let zone = Zone::named("Europe/Paris").unwrap();
    let ts: Timestamp = "2026-11-21T23:30:00Z".parse().unwrap();
    let facts =
        Facts { payload: &payload, user: Some(&user), action: "x", ts, zone: &zone, cohorts: &[] };
    let scope = Scope::new(&fields, facts);
    let ours = expr.value(&scope).map(|value| plain(&value)).map_err(Why::code);

    let (tree, info) = Parser::new().parse_with_source_info(text).unwrap();
    let members = |payload: &Payload<'_>| -> Vec<(String, Plain)> {
        payload.members().iter().map(|(k, v)| (k.to_string(), plain(v))).collect()
    };
    let mut event = members(&payload);
    event.push(("action".into(), Plain::Text("x".into())));
    event.push(("ts".into(), Plain::Time(ts)));
    let names = vec![
        ("event".into(), Ok(Plain::Object(event))),
        ("user".into(), Ok(Plain::Object(members(&user)))),
    ];
    let theirs = Naive { text, info: &info, names, zone: zone.clone() }.eval(&tree);

    let same = match (&ours, &theirs) {
        (Ok(a), Ok(b)) => alike(a, b),
        (Err(a), Err(b)) => a == b,
        _ => false,
    };
    prop_assert!(same, "{text}\n ours {ours:?}\n naive {theirs:?}");
    let verdict = match &ours {
        Ok(Plain::Bool(true)) => "TRUE",
        Ok(Plain::Bool(false)) => "FALSE",
        Ok(_) => "TYPE_MISMATCH",
        Err(code) => code,
    };
    prop_assert_eq!(expr.holds(&scope).as_code(), verdict);
    let seen = serde_json::to_value(expr.explain(&scope)).unwrap();
    let shown = seen["code"].as_str().or(seen["outcome"].as_str());
    let expected =
        if matches!(ours, Ok(ref v) if !matches!(v, Plain::Bool(_))) { "VALUE" } else { verdict };
    prop_assert_eq!(shown, Some(expected));
    Ok(())
}

/// The same value, objects included.
fn alike(a: &Plain, b: &Plain) -> bool {
    match (a, b) {
        (Plain::List(a), Plain::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Plain::Object(a), Plain::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && alike(a, b))
        }
        _ => equal(a, b) == Some(true),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, max_global_rejects: 4_000, ..ProptestConfig::default() })]
    #[test]
    fn conditions_and_formulas_agree_with_a_naive_evaluator(
        seed in any::<u64>(),
        depth in 0usize..5,
        formula in any::<bool>(),
        event in object(any_value()),
        user in object(any_value()),
    ) {
        let mut writer = Writer::new(seed);
        let text = if formula { writer.number(depth) } else { writer.condition(depth) };
        agree(&text, &event, &user)?;
    }
}
