//! Operators and function calls: the right number and types of operands, and short forms for the
//! commonest comparisons.

use std::str::FromStr;

use cel::common::ast::{CallExpr, Expr as Syntax, LiteralValue, operators};
use cel::parser::Expression;

use super::ExprError;
use super::compile::{Compiled, Compiler};
use super::functions::{ELSEWHERE, Function, Meaning, TABLE};
use super::source::Span;
use super::types::{Comparison, Kind, Logic, Math, Node, Operator, Part, Test, Type};
use super::value::Val;
use crate::id::CohortId;
use crate::shape::suggest;
use crate::time::Zone;

/// Most places that `round` can keep.
const PLACES_MAX: u32 = 28;

const WEEKDAYS: [&str; 7] = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];

impl Compiler<'_, '_> {
    /// An operator or a function. `x.f(y)` is the same as `f(x, y)`.
    pub(super) fn call(&mut self, node: &Expression, call: &CallExpr, depth: usize) -> Compiled {
        use Comparison as C;
        let name = call.func_name.as_str();
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return self.function(node, call, depth);
        }
        let span = self.source.span(node);
        let args = self.nodes(&call.args, depth)?;
        let made = match (name, <[Node; 2]>::try_from(args)) {
            (operators::LOGICAL_AND, Ok(pair)) => self.junction(pair, true, span),
            (operators::LOGICAL_OR, Ok(pair)) => self.junction(pair, false, span),
            (operators::EQUALS, Ok(pair)) => self.compare(C::Equal, pair, span),
            (operators::NOT_EQUALS, Ok(pair)) => self.compare(C::NotEqual, pair, span),
            (operators::LESS, Ok(pair)) => self.compare(C::Less, pair, span),
            (operators::LESS_EQUALS, Ok(pair)) => self.compare(C::LessOrEqual, pair, span),
            (operators::GREATER, Ok(pair)) => self.compare(C::Greater, pair, span),
            (operators::GREATER_EQUALS, Ok(pair)) => self.compare(C::GreaterOrEqual, pair, span),
            (operators::IN, Ok(pair)) => self.among(pair, span),
            (operators::ADD, Ok(pair)) => self.arithmetic(Operator::Add, pair, span),
            (operators::SUBSTRACT, Ok(pair)) => self.arithmetic(Operator::Subtract, pair, span),
            (operators::MULTIPLY, Ok(pair)) => self.arithmetic(Operator::Multiply, pair, span),
            (operators::DIVIDE, Ok(pair)) => self.arithmetic(Operator::Divide, pair, span),
            (operators::MODULO, Ok(pair)) => self.arithmetic(Operator::Remainder, pair, span),
            (operators::LOGICAL_NOT, Err(args)) => self.not(args, span),
            (operators::NEGATE, Err(args)) => self.negate(args, span),
            (operators::CONDITIONAL, Err(args)) => self.choice(args, span),
            _ => self.refuse(span, "this operator is not supported"),
        }?;
        self.folded(made)
    }

    fn not(&mut self, args: Vec<Node>, span: Span) -> Compiled {
        let [inner] = <[Node; 1]>::try_from(args).ok()?;
        self.needs(&inner, Type::Bool, "!event.isReturn")?;
        Some(Node { kind: Kind::Logic(Logic::Not(Box::new(inner))), ty: Type::Bool, span })
    }

    fn negate(&mut self, args: Vec<Node>, span: Span) -> Compiled {
        let [inner] = <[Node; 1]>::try_from(args).ok()?;
        self.needs(&inner, Type::Number, "-event.amount")?;
        Some(Node { kind: Kind::Math(Math::Negate(Box::new(inner))), ty: Type::Number, span })
    }

    fn choice(&mut self, args: Vec<Node>, span: Span) -> Compiled {
        let parts = <[Node; 3]>::try_from(args).ok()?;
        self.needs(&parts[0], Type::Bool, "event.amount > 100 ? 2 : 1")?;
        let ty = parts[1].ty.either(parts[2].ty);
        Some(Node { kind: Kind::If(Box::new(parts)), ty, span })
    }

    /// Joins the parts of `a && b && c` into one node.
    fn junction(&mut self, pair: [Node; 2], and: bool, span: Span) -> Compiled {
        for part in &pair {
            self.needs(part, Type::Bool, "event.amount >= 100 && event.country == \"FR\"")?;
        }
        let mut parts = Vec::new();
        for part in pair {
            match part.kind {
                Kind::Logic(Logic::And(inner)) if and => parts.extend(inner),
                Kind::Logic(Logic::Or(inner)) if !and => parts.extend(inner),
                _ => parts.push(part),
            }
        }
        let logic = if and { Logic::And(parts.into()) } else { Logic::Or(parts.into()) };
        Some(Node { kind: Kind::Logic(logic), ty: Type::Bool, span })
    }

    fn compare(&mut self, comparison: Comparison, pair: [Node; 2], span: Span) -> Compiled {
        let [a, b] = &pair;
        for (side, other) in [(a, b), (b, a)] {
            if other.ty == Type::Time && matches!(side.ty, Type::Text | Type::Any) {
                self.needs(side, Type::Time, "event.ts < timestamp(\"2026-12-24T00:00:00Z\")")?;
            }
            self.check_weekday(side, other)?;
        }
        let known = a.ty != Type::Any && b.ty != Type::Any;
        let with_null = a.ty == Type::Null || b.ty == Type::Null;
        if known && a.ty != b.ty && !(with_null && comparison.is_equality()) {
            let message = format!("{} is compared with {}", a.ty.name(), b.ty.name());
            let hint = match (a.ty, b.ty) {
                (Type::Number, Type::Text) | (Type::Text, Type::Number) => {
                    "numbers are written without quotes, texts with them"
                }
                _ => "compare values of the same type",
            };
            self.report(ExprError::new(span, message).hint(hint));
            return None;
        }
        for side in [a, b] {
            let ordered = matches!(side.ty, Type::Number | Type::Text | Type::Time | Type::Any);
            if !ordered && !comparison.is_equality() {
                let message = format!("{} has no order", side.ty.name());
                self.report(ExprError::new(side.span, message).hint("use == or !="));
                return None;
            }
        }
        Some(Node { kind: Kind::Logic(lowered(comparison, pair)), ty: Type::Bool, span })
    }

    /// A day that `weekday` never gives would make a condition that never holds.
    fn check_weekday(&mut self, function: &Node, day: &Node) -> Option<()> {
        let is_weekday = matches!(function.kind, Kind::Calendar { part: Part::Weekday, .. });
        match &day.kind {
            Kind::Const(Val::Text(text)) if is_weekday && !WEEKDAYS.contains(&&**text) => {
                let meant = text.get(..3).map(str::to_uppercase).unwrap_or_default();
                let hint = match WEEKDAYS.iter().find(|day| **day == meant) {
                    Some(day) => format!("did you mean \"{day}\"?"),
                    None => format!("weekday gives one of {}", WEEKDAYS.join(" ")),
                };
                let message = format!("{text:?} is no day of the week");
                self.report(ExprError::new(day.span, message).hint(hint));
                None
            }
            _ => Some(()),
        }
    }

    fn among(&mut self, pair: [Node; 2], span: Span) -> Compiled {
        let [wanted, list] = &pair;
        self.needs(list, Type::List, "event.country in [\"FR\", \"DE\"]")?;
        if let Kind::List(items) = &list.kind {
            for item in items {
                if !item.ty.fits(wanted.ty) && item.ty != Type::Null && wanted.ty != Type::Null {
                    let (item_ty, wanted) = (item.ty.name(), wanted.ty.name());
                    let message = format!("this is {item_ty}, but {wanted} is looked for");
                    return self.refuse(item.span, message);
                }
                self.check_weekday(wanted, item)?;
            }
        }
        let logic = match (wanted.slot(), texts(list)) {
            (Some(slot), Some(texts)) if matches!(wanted.kind, Kind::Field(_)) => {
                Logic::Test(slot, Test::TextIn(texts))
            }
            _ => Logic::In(Box::new(pair)),
        };
        Some(Node { kind: Kind::Logic(logic), ty: Type::Bool, span })
    }

    fn arithmetic(&mut self, operator: Operator, pair: [Node; 2], span: Span) -> Compiled {
        let [a, b] = &pair;
        let has = |ty| a.ty == ty || b.ty == ty;
        if operator == Operator::Subtract && has(Type::Time) {
            for side in &pair {
                let example = "event.ts - timestamp(\"2026-01-01T00:00:00Z\"), in seconds";
                self.needs(side, Type::Time, example)?;
            }
            let math = Math::Elapsed(Box::new(pair));
            return Some(Node { kind: Kind::Math(math), ty: Type::Number, span });
        }
        if operator == Operator::Add && has(Type::Text) {
            let error = ExprError::new(span, "texts cannot be joined")
                .hint("+ adds numbers; compare the parts one by one instead");
            self.report(error);
            return None;
        }
        if has(Type::Time) {
            let error = ExprError::new(span, "times can only be compared and subtracted")
                .hint("write event.ts - timestamp(…) < 3600");
            self.report(error);
            return None;
        }
        for side in &pair {
            self.needs(side, Type::Number, "event.amount * 2")?;
        }
        let divides = matches!(operator, Operator::Divide | Operator::Remainder);
        if divides && matches!(&b.kind, Kind::Const(Val::Number(n)) if n.is_zero()) {
            return self.refuse(span, "this divides by zero");
        }
        let math = Math::Binary(operator, Box::new(pair));
        Some(Node { kind: Kind::Math(math), ty: Type::Number, span })
    }

    fn function(&mut self, node: &Expression, call: &CallExpr, depth: usize) -> Compiled {
        let span = self.source.span(node);
        let name = call.func_name.as_str();
        let Some((_, meaning, example)) = TABLE.iter().find(|(known, ..)| *known == name) else {
            return self.unknown_function(name, self.source.function_name(node));
        };
        let args: Vec<&Expression> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let (least, most) = match meaning {
            Meaning::Plain { takes, more: true, .. } => (takes.len(), usize::MAX),
            Meaning::Plain { takes, .. } => (takes.len(), takes.len()),
            Meaning::Calendar(..) | Meaning::Round => (1, 2),
            Meaning::Default => (2, 2),
            Meaning::InCohort => (1, 1),
        };
        if !(least..=most).contains(&args.len()) {
            let values = if least == 1 { "value" } else { "values" };
            let more = if most > least { " or more" } else { "" };
            let message = format!("{name} takes {least}{more} {values}, not {}", args.len());
            self.report(ExprError::new(span, message).hint(format!("as in {example}")));
            return None;
        }
        let made = match *meaning {
            Meaning::Plain { function, takes, gives, .. } => {
                let args = self.nodes(args, depth)?;
                let types = takes.iter().chain(takes.last().into_iter().cycle());
                for (arg, ty) in args.iter().zip(types) {
                    self.needs(arg, *ty, example)?;
                }
                self.check_container(function, &args, example)?;
                Node { kind: Kind::Call(function, args.into()), ty: gives, span }
            }
            Meaning::Calendar(part, ty) => self.calendar(part, ty, &args, depth, example)?,
            Meaning::Round => self.round(&args, depth, example)?,
            Meaning::Default => {
                let pair = <[Node; 2]>::try_from(self.nodes(args, depth)?).ok()?;
                let ty = pair[0].ty.either(pair[1].ty);
                Node { kind: Kind::Default(Box::new(pair)), ty, span }
            }
            Meaning::InCohort => {
                let cohort: CohortId = self.named(args[0], "the id of a cohort", example)?;
                if !self.cohorts.contains(&cohort) {
                    self.cohorts.push(cohort);
                }
                Node { kind: Kind::Logic(Logic::InCohort(cohort)), ty: Type::Bool, span }
            }
        };
        self.folded(Node { span, ..made })
    }

    /// `size` and `contains` take texts and lists.
    fn check_container(&mut self, function: Function, args: &[Node], example: &str) -> Option<()> {
        let Some(first) = args.first() else { return Some(()) };
        if !matches!(function, Function::Size | Function::Contains) {
            return Some(());
        }
        match first.ty {
            Type::Text if function == Function::Contains => {
                args.get(1).map_or(Some(()), |part| self.needs(part, Type::Text, example))
            }
            Type::Text | Type::List | Type::Any => Some(()),
            _ => self.needs(first, Type::List, example),
        }
    }

    fn calendar(
        &mut self,
        part: Part,
        ty: Type,
        args: &[&Expression],
        depth: usize,
        example: &str,
    ) -> Compiled {
        let at = self.node(args[0], depth + 1)?;
        self.needs(&at, Type::Time, example)?;
        let zone = match args.get(1) {
            None => None,
            Some(name) => {
                let text =
                    self.literal_text(name, "a time zone", "hour(event.ts, \"Europe/Paris\")")?;
                match Zone::named(&text) {
                    Ok(zone) => Some(zone),
                    Err(error) => return self.refuse(self.source.span(name), error.to_string()),
                }
            }
        };
        let span = at.span;
        Some(Node { kind: Kind::Calendar { part, at: Box::new(at), zone }, ty, span })
    }

    fn round(&mut self, args: &[&Expression], depth: usize, example: &str) -> Compiled {
        let number = self.node(args[0], depth + 1)?;
        self.needs(&number, Type::Number, example)?;
        let places = match args.get(1).map(|places| (places, &places.expr)) {
            None => Some(0),
            Some((_, Syntax::Literal(LiteralValue::Int(n)))) => {
                u32::try_from(*n.inner()).ok().filter(|places| *places <= PLACES_MAX)
            }
            Some(_) => None,
        };
        let Some(places) = places else {
            let span = self.source.span(args[1]);
            return self
                .refuse(span, format!("the places to keep are a number from 0 to {PLACES_MAX}"));
        };
        let span = number.span;
        let kind = Kind::Call(Function::Round(places), Box::new([number]));
        Some(Node { kind, ty: Type::Number, span })
    }

    /// An argument that must be a text in quotes.
    fn literal_text(&mut self, arg: &Expression, what: &str, example: &str) -> Option<String> {
        if let Syntax::Literal(LiteralValue::String(text)) = &arg.expr {
            return Some(text.inner().to_owned());
        }
        let error = ExprError::new(self.source.span(arg), format!("{what} is a text in quotes"))
            .hint(format!("as in {example}"));
        self.report(error);
        None
    }

    fn named<T: FromStr>(&mut self, arg: &Expression, what: &str, example: &str) -> Option<T> {
        let text = self.literal_text(arg, what, example)?;
        text.parse().ok().or_else(|| {
            let message = format!("{text:?} is not {what}");
            self.refuse(self.source.span(arg), message);
            None
        })
    }

    fn unknown_function(&mut self, name: &str, span: Span) -> Compiled {
        let elsewhere = ELSEWHERE.iter().find(|(known, _)| *known == name).map(|(_, hint)| *hint);
        let list_functions = ["exists", "all", "exists_one", "filter", "map"];
        let hint = match elsewhere {
            Some(hint) => hint.to_owned(),
            None if name == "has" => "it takes one field, as in has(event.amount)".to_owned(),
            None if list_functions.contains(&name) => {
                format!("write event.items.{name}(item, item.price > 5)")
            }
            None => {
                let known = TABLE.iter().map(|(known, ..)| *known);
                match suggest(name, known.chain(list_functions).chain(["has"])) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => "the functions are listed in docs/rules.md".to_owned(),
                }
            }
        };
        let message = match name == "has" || list_functions.contains(&name) {
            true => format!("{name} is not called like this"),
            false => format!("there is no function {name}"),
        };
        self.report(ExprError::new(span, message).hint(hint));
        None
    }
}

/// A field compared with a number or a text is tested in one step.
fn lowered(comparison: Comparison, pair: [Node; 2]) -> Logic {
    let (turned, field, constant) = match (&pair[0].kind, &pair[1].kind) {
        (Kind::Field(slot), Kind::Const(value)) => (comparison, *slot, value),
        (Kind::Const(value), Kind::Field(slot)) => (comparison.mirrored(), *slot, value),
        _ => return Logic::Compare(comparison, Box::new(pair)),
    };
    match constant {
        Val::Number(n) => Logic::Test(field, Test::Number(turned, *n)),
        Val::Text(text) if turned.is_equality() => {
            Logic::Test(field, Test::Text(turned == Comparison::Equal, text.as_ref().into()))
        }
        _ => Logic::Compare(comparison, Box::new(pair)),
    }
}

/// The items of a list of constant texts that has any.
fn texts(list: &Node) -> Option<Box<[Box<str>]>> {
    let Kind::List(items) = &list.kind else { return None };
    let texts: Option<Box<[Box<str>]>> = items
        .iter()
        .map(|item| match &item.kind {
            Kind::Const(Val::Text(text)) => Some(text.as_ref().into()),
            _ => None,
        })
        .collect();
    texts.filter(|texts| !texts.is_empty())
}
