//! Conditions and formulas, read straight from the parser's tree: values are owned, every node is
//! evaluated anew, nothing is checked or prepared beforehand.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators};
use cel::parser::{Expression, Parser};
use domain::decide::Reason;
use domain::id::CohortId;
use domain::payload::Value;
use domain::time::{Timestamp, Zone};
use rust_decimal::{Decimal, RoundingStrategy};

/// A value, owned.
#[derive(Clone, Debug)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(String),
    Time(Timestamp),
    List(Vec<Plain>),
    Object(Vec<(String, Plain)>),
}

/// Why there is no value: the reason that the campaign's line shows.
type Got = Result<Plain, Reason>;

const MISSING: Reason = Reason::FieldMissing;
const MISMATCH: Reason = Reason::TypeMismatch;
const ERROR: Reason = Reason::RuleError;

/// Texts parsed so far. Parsing is all that is done once.
#[derive(Default)]
pub(super) struct Trees(RefCell<HashMap<String, Rc<Expression>>>);

impl Trees {
    #[expect(clippy::expect_used, reason = "the rule was checked when it was saved")]
    fn of(&self, text: &str) -> Rc<Expression> {
        let parse = || {
            let parser = Parser::new().enable_ident_escape_syntax(true);
            Rc::new(parser.parse(text).expect("an expression"))
        };
        Rc::clone(self.0.borrow_mut().entry(text.to_owned()).or_insert_with(parse))
    }
}

/// All that an expression may look at.
pub(super) struct Sight<'s> {
    pub trees: &'s Trees,
    pub payload: Plain,
    pub user: Plain,
    pub action: &'s str,
    pub ts: Timestamp,
    pub zone: &'s Zone,
    pub cohorts: &'s [CohortId],
}

impl Plain {
    pub fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => Self::Number(*n),
            Value::Text(text) => Self::Text(text.to_string()),
            Value::List(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Object(members) => {
                Self::Object(members.iter().map(|(k, v)| (k.to_string(), Self::of(v))).collect())
            }
        }
    }

    /// Whether two values of a `oncePer` expression are the same value: numbers by size, objects
    /// whatever the order of their members, a time as its text.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
            }
            (Self::Object(a), Self::Object(b)) => {
                let has =
                    |key: &str, value: &Self| b.iter().any(|(k, v)| k == key && v.same(value));
                a.len() == b.len() && a.iter().all(|(key, value)| has(key, value))
            }
            (a, b) => a.as_text().is_some_and(|a| b.as_text().is_some_and(|b| a == b)),
        }
    }

    fn as_text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Time(at) => Some(at.to_string()),
            _ => None,
        }
    }
}

impl Sight<'_> {
    /// Whether a condition holds. Errors: what leaves it unknown.
    pub fn holds(&self, text: &str) -> Result<bool, Reason> {
        self.evaluation().truth(&self.trees.of(text))
    }

    /// The number that a formula gives. Errors: why there is none.
    pub fn number(&self, text: &str) -> Result<Decimal, Reason> {
        self.evaluation().number(&self.trees.of(text))
    }

    /// The value that an expression gives. Errors: why there is none.
    pub fn value(&self, text: &str) -> Result<Plain, Reason> {
        self.evaluation().eval(&self.trees.of(text))
    }

    fn evaluation(&self) -> Evaluation<'_, '_> {
        Evaluation { sight: self, names: Vec::new() }
    }
}

struct Evaluation<'e, 's> {
    sight: &'e Sight<'s>,
    /// Names that loops give, innermost last.
    names: Vec<(String, Got)>,
}

impl Evaluation<'_, '_> {
    fn eval(&mut self, node: &Expression) -> Got {
        match &node.expr {
            Expr::Literal(literal) => constant(literal),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) if is_event(&select.operand) && select.field == "action" => {
                Ok(if select.test {
                    Plain::Bool(true)
                } else {
                    Plain::Text(self.sight.action.into())
                })
            }
            Expr::Select(select) if is_event(&select.operand) && select.field == "ts" => {
                Ok(if select.test { Plain::Bool(true) } else { Plain::Time(self.sight.ts) })
            }
            Expr::Select(select) => {
                let found =
                    self.eval(&select.operand).and_then(|inner| member(inner, &select.field));
                if select.test {
                    Ok(Plain::Bool(found.is_ok()))
                } else {
                    found.map_err(|_| MISSING)
                }
            }
            Expr::List(list) => {
                let items = list.elements.iter().map(|item| self.eval(item));
                Ok(Plain::List(items.collect::<Result<_, _>>()?))
            }
            Expr::Comprehension(each) => self.each(each),
            Expr::Call(call) => self.call(call),
            _ => Err(ERROR),
        }
    }

    fn name(&self, name: &str) -> Got {
        let bound = self.names.iter().rev().find(|(known, _)| known == name);
        match (bound, name) {
            (Some((_, value)), _) => value.clone(),
            (None, "event") => Ok(self.sight.payload.clone()),
            (None, "user") => Ok(self.sight.user.clone()),
            (None, _) => Err(MISSING),
        }
    }

    fn truth(&mut self, node: &Expression) -> Result<bool, Reason> {
        match self.eval(node)? {
            Plain::Bool(b) => Ok(b),
            _ => Err(MISMATCH),
        }
    }

    fn number(&mut self, node: &Expression) -> Result<Decimal, Reason> {
        match self.eval(node)? {
            Plain::Number(n) => Ok(n),
            _ => Err(MISMATCH),
        }
    }

    fn call(&mut self, call: &CallExpr) -> Got {
        let args: Vec<&Expression> = call.target.as_deref().into_iter().chain(&call.args).collect();
        match (call.func_name.as_str(), args.as_slice()) {
            (operators::LOGICAL_AND, [a, b]) => self.junction(a, b, false),
            (operators::LOGICAL_OR, [a, b]) => self.junction(a, b, true),
            (operators::LOGICAL_NOT, [a]) => Ok(Plain::Bool(!self.truth(a)?)),
            (operators::CONDITIONAL, [condition, yes, no]) => {
                if self.truth(condition)? {
                    self.eval(yes)
                } else {
                    self.eval(no)
                }
            }
            (operators::NOT_STRICTLY_FALSE, [a]) => {
                Ok(Plain::Bool(!matches!(self.eval(a), Ok(Plain::Bool(false)))))
            }
            ("default", [a, otherwise]) => match self.eval(a) {
                Ok(Plain::Null) | Err(MISSING) => self.eval(otherwise),
                other => other,
            },
            ("inCohort", [id]) => match self.eval(id)? {
                Plain::Text(id) => {
                    Ok(Plain::Bool(self.sight.cohorts.iter().any(|c| c.to_string() == id)))
                }
                _ => Err(MISMATCH),
            },
            (operators::IN, [wanted, list]) => {
                let wanted = self.eval(wanted)?;
                self.among(&wanted, list)
            }
            (name, args) => {
                // One after the other: the first that cannot be used gives the reason.
                let mut values = Vec::new();
                for arg in args {
                    let value = self.eval(arg)?;
                    if !is_usable(name, &value) {
                        return Err(MISMATCH);
                    }
                    values.push(value);
                }
                self.apply(name, &values)
            }
        }
    }

    /// Both sides, always: what decides alone decides, otherwise the first unknown does.
    fn junction(&mut self, a: &Expression, b: &Expression, decisive: bool) -> Got {
        match (self.truth(a), self.truth(b)) {
            (Ok(a), _) if a == decisive => Ok(Plain::Bool(decisive)),
            (_, Ok(b)) if b == decisive => Ok(Plain::Bool(decisive)),
            (Err(why), _) | (_, Err(why)) => Err(why),
            _ => Ok(Plain::Bool(!decisive)),
        }
    }

    /// A list written in the rule is compared item by item, so that an item without a value
    /// matters only when no other is equal.
    fn among(&mut self, wanted: &Plain, list: &Expression) -> Got {
        let items: Vec<Got> = match &list.expr {
            Expr::List(written) => written.elements.iter().map(|item| self.eval(item)).collect(),
            _ => match self.eval(list)? {
                Plain::List(items) => items.into_iter().map(Ok).collect(),
                _ => return Err(MISMATCH),
            },
        };
        is_among(wanted, items)
    }

    fn each(&mut self, each: &ComprehensionExpr) -> Got {
        let Plain::List(items) = self.eval(&each.iter_range)? else { return Err(MISMATCH) };
        let mut so_far = self.eval(&each.accu_init);
        for item in items {
            self.names.push((each.iter_var.clone(), Ok(item)));
            self.names.push((each.accu_var.clone(), so_far.clone()));
            if let Ok(true) = self.truth(&each.loop_cond) {
                so_far = self.eval(&each.loop_step);
            }
            self.names.truncate(self.names.len() - 2);
        }
        self.names.push((each.accu_var.clone(), so_far));
        let result = self.eval(&each.result);
        self.names.pop();
        result
    }

    fn apply(&self, name: &str, values: &[Plain]) -> Got {
        use operators::{EQUALS, GREATER, GREATER_EQUALS, INDEX, LESS, LESS_EQUALS, NOT_EQUALS};
        let ordered = |accepts: fn(Ordering) -> bool| match values {
            [a, b] => order(a, b).map(|order| Plain::Bool(accepts(order))).ok_or(MISMATCH),
            _ => Err(ERROR),
        };
        match (name, values) {
            (EQUALS, [a, b]) => equal(a, b).map(Plain::Bool).ok_or(MISMATCH),
            (NOT_EQUALS, [a, b]) => equal(a, b).map(|same| Plain::Bool(!same)).ok_or(MISMATCH),
            (LESS, _) => ordered(Ordering::is_lt),
            (LESS_EQUALS, _) => ordered(Ordering::is_le),
            (GREATER, _) => ordered(Ordering::is_gt),
            (GREATER_EQUALS, _) => ordered(Ordering::is_ge),
            (INDEX, [Plain::List(items), Plain::Number(n)]) => {
                let at = usize::try_from(*n).ok();
                at.and_then(|at| items.get(at)).cloned().ok_or(MISSING)
            }
            (INDEX, [object, Plain::Text(key)]) => member(object.clone(), key),
            (INDEX, _) => Err(MISSING),
            ("contains", [Plain::List(items), wanted]) => {
                is_among(wanted, items.iter().cloned().map(Ok).collect())
            }
            (_, [Plain::Text(text), rest @ ..]) => of_text(name, text, rest),
            (_, [Plain::Time(at), rest @ ..]) => self.of_time(name, *at, rest),
            (operators::ADD, [Plain::List(a), Plain::List(b)]) => {
                Ok(Plain::List([a.as_slice(), b.as_slice()].concat()))
            }
            ("size", [Plain::List(items)]) => Ok(Plain::Number(items.len().into())),
            ("sum", [Plain::List(items)]) => arithmetic("sum", items),
            _ => arithmetic(name, values),
        }
    }

    fn of_time(&self, name: &str, at: Timestamp, rest: &[Plain]) -> Got {
        if let (operators::SUBSTRACT, [Plain::Time(other)]) = (name, rest) {
            return Ok(Plain::Number(Decimal::new(at.micros() - other.micros(), 6)));
        }
        let local = match rest {
            [] => self.sight.zone.civil(at),
            [Plain::Text(zone)] => Zone::named(zone).map_err(|_| ERROR)?.civil(at),
            _ => return Err(MISMATCH),
        };
        let text = |pattern: &str| local.strftime(pattern).to_string();
        let whole = match name {
            "weekday" => return Ok(Plain::Text(text("%a").to_uppercase())),
            "date" => return Ok(Plain::Text(text("%Y-%m-%d"))),
            "hour" => text("%H"),
            "minute" => text("%M"),
            "dayOfMonth" => text("%d"),
            "month" => text("%m"),
            "year" => text("%Y"),
            "dayOfYear" => text("%j"),
            "isoWeek" => text("%V"),
            "daysInMonth" => local.date().last_of_month().strftime("%d").to_string(),
            _ => return Err(MISMATCH),
        };
        whole.parse().map(Plain::Number).map_err(|_| ERROR)
    }
}

fn is_event(node: &Expression) -> bool {
    matches!(&node.expr, Expr::Ident(name) if name == "event")
}

fn constant(literal: &LiteralValue) -> Got {
    match literal {
        LiteralValue::Boolean(b) => Ok(Plain::Bool(*b.inner())),
        LiteralValue::Int(n) => Ok(Plain::Number((*n.inner()).into())),
        // The shortest text that reads back as this float is what the rule's writer typed.
        LiteralValue::Double(n) => {
            n.inner().to_string().parse().map(Plain::Number).map_err(|_| ERROR)
        }
        LiteralValue::String(text) => Ok(Plain::Text(text.inner().to_owned())),
        LiteralValue::Null => Ok(Plain::Null),
        _ => Err(ERROR),
    }
}

/// Whether an operator or function can take a value at all, whatever its other operands are.
fn is_usable(name: &str, value: &Plain) -> bool {
    use operators::{ADD, DIVIDE, MODULO, MULTIPLY, NEGATE, SUBSTRACT};
    match (name, value) {
        (_, Plain::Number(_)) => !matches!(name, "startsWith" | "endsWith" | "lower" | "upper"),
        (SUBSTRACT, Plain::Time(_)) => true,
        // Loops add lists to what they have gathered.
        (ADD, Plain::List(_)) => true,
        (ADD | SUBSTRACT | MULTIPLY | DIVIDE | MODULO | NEGATE, _) => false,
        ("min" | "max" | "floor" | "ceil" | "abs" | "round", _) => false,
        ("startsWith" | "endsWith" | "lower" | "upper", value) => matches!(value, Plain::Text(_)),
        _ => true,
    }
}

fn member(value: Plain, key: &str) -> Got {
    match value {
        Plain::Object(members) => {
            members.into_iter().find(|(k, _)| k == key).map(|(_, v)| v).ok_or(MISSING)
        }
        _ => Err(MISSING),
    }
}

fn of_text(name: &str, text: &str, rest: &[Plain]) -> Got {
    match (name, rest) {
        ("startsWith", [Plain::Text(part)]) => Ok(Plain::Bool(text.starts_with(part))),
        ("endsWith", [Plain::Text(part)]) => Ok(Plain::Bool(text.ends_with(part))),
        ("contains", [Plain::Text(part)]) => Ok(Plain::Bool(text.contains(part))),
        ("lower", []) => Ok(Plain::Text(text.to_lowercase())),
        ("upper", []) => Ok(Plain::Text(text.to_uppercase())),
        ("size", []) => Ok(Plain::Number(text.chars().count().into())),
        ("timestamp", []) => text.parse().map(Plain::Time).map_err(|_| MISMATCH),
        _ => Err(MISMATCH),
    }
}

fn arithmetic(name: &str, values: &[Plain]) -> Got {
    let number = |value: &Plain| match value {
        Plain::Number(n) => Ok(*n),
        _ => Err(MISMATCH),
    };
    let numbers = values.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    let result = match (name, numbers.as_slice()) {
        (operators::ADD, [a, b]) => a.checked_add(*b),
        (operators::SUBSTRACT, [a, b]) => a.checked_sub(*b),
        (operators::MULTIPLY, [a, b]) => a.checked_mul(*b),
        // Division by zero and overflow are one reason, RULE_ERROR.
        (operators::DIVIDE, [a, b]) => a.checked_div(*b),
        (operators::MODULO, [a, b]) => a.checked_rem(*b),
        (operators::NEGATE, [a]) => Some(-*a),
        ("sum", all) => all.iter().try_fold(Decimal::ZERO, |sum, n| sum.checked_add(*n)),
        ("min", all) => all.iter().min().copied(),
        ("max", all) => all.iter().max().copied(),
        ("floor", [a]) => Some(a.floor()),
        ("ceil", [a]) => Some(a.ceil()),
        ("abs", [a]) => Some(a.abs()),
        ("round", [a]) => Some(a.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero)),
        ("round", [a, places]) => {
            let places = u32::try_from(*places).map_err(|_| ERROR)?;
            Some(a.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero))
        }
        _ => return Err(MISMATCH),
    };
    result.map(Plain::Number).ok_or(ERROR)
}

/// `None` where the types cannot be compared. Null equals only null.
fn equal(a: &Plain, b: &Plain) -> Option<bool> {
    match (a, b) {
        (Plain::Null, Plain::Null) => Some(true),
        (Plain::Null, _) | (_, Plain::Null) => Some(false),
        (Plain::Bool(a), Plain::Bool(b)) => Some(a == b),
        (Plain::List(a), Plain::List(b)) => {
            let pairs: Vec<Option<bool>> = a.iter().zip(b).map(|(a, b)| equal(a, b)).collect();
            match a.len() != b.len() || pairs.contains(&Some(false)) {
                true => Some(false),
                false if pairs.contains(&None) => None,
                false => Some(true),
            }
        }
        _ => order(a, b).map(Ordering::is_eq),
    }
}

fn order(a: &Plain, b: &Plain) -> Option<Ordering> {
    match (a, b) {
        (Plain::Number(a), Plain::Number(b)) => Some(a.cmp(b)),
        (Plain::Text(a), Plain::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Plain::Time(a), Plain::Time(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn is_among(wanted: &Plain, items: Vec<Got>) -> Got {
    let compare = |item: Got| item.and_then(|item| equal(wanted, &item).ok_or(MISMATCH));
    let verdicts: Vec<Result<bool, Reason>> = items.into_iter().map(compare).collect();
    if verdicts.contains(&Ok(true)) {
        return Ok(Plain::Bool(true));
    }
    verdicts.into_iter().find_map(Result::err).map_or(Ok(Plain::Bool(false)), Err)
}
