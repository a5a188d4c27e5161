//! From the library's syntax tree to our own: names, types, bounds, constants.

use std::borrow::Cow;

use cel::common::ast::{Expr as Syntax, LiteralValue, operators};
use cel::parser::Expression;
use rust_decimal::Decimal;

use super::eval::{Frame, eval};
use super::fields::{Facts, Fields, Scope};
use super::macros::{Does, ListFunction, recognise};
use super::source::{Source, Span, is_negative, too_deep};
use super::types::{Kind, Logic, Node, Type};
use super::value::Val;
use super::{DEPTH_MAX, Expr, ExprError, NODES_MAX, SlotId, Want, WhyKind};
use crate::id::CohortId;
use crate::payload::{Payload, exact_decimal};
use crate::time::{Timestamp, Zone};

/// Most errors reported at once.
const ERRORS_MAX: usize = 20;

/// A compiled node; `None` when an error has been reported for it.
pub(super) type Compiled = Option<Node>;

pub(super) fn compile(text: &str, fields: &mut Fields, want: Want) -> Result<Expr, Vec<ExprError>> {
    let source = Source::parse(text).map_err(|error| vec![error])?;
    let mut compiler = Compiler {
        source: &source,
        fields,
        errors: Vec::new(),
        slots: Vec::new(),
        cohorts: Vec::new(),
        items: Vec::new(),
        nodes: 0,
        too_deep: false,
    };
    let root = compiler.node(&source.tree, 1);
    let root = root.and_then(|root| compiler.wanted(root, want));
    let Compiler { mut errors, slots, cohorts, .. } = compiler;
    match root {
        Some(root) if errors.is_empty() => {
            Ok(Expr { text: text.into(), root, slots: slots.into(), cohorts: cohorts.into() })
        }
        _ => {
            errors.sort_by_key(|error| error.offset);
            errors.truncate(ERRORS_MAX);
            Err(errors)
        }
    }
}

/// The item of a list function: its name in the text, and its path for messages.
pub(super) struct ItemName {
    pub(super) name: String,
    pub(super) path: String,
}

pub(super) struct Compiler<'c, 't> {
    pub(super) source: &'c Source<'t>,
    pub(super) fields: &'c mut Fields,
    errors: Vec<ExprError>,
    pub(super) slots: Vec<SlotId>,
    pub(super) cohorts: Vec<CohortId>,
    pub(super) items: Vec<ItemName>,
    nodes: usize,
    too_deep: bool,
}

impl Compiler<'_, '_> {
    /// Compiles a node and all under it.
    pub(super) fn node(&mut self, node: &Expression, depth: usize) -> Compiled {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            // One report is enough; every further node stops here too.
            let first = self.nodes == NODES_MAX + 1;
            let message =
                format!("the text has more than {NODES_MAX} parts; split it into several rules");
            return if first { self.refuse(self.whole(), message) } else { None };
        }
        if depth > DEPTH_MAX {
            let first = !std::mem::replace(&mut self.too_deep, true);
            return if first { self.refuse(self.source.span(node), too_deep()) } else { None };
        }
        match &node.expr {
            Syntax::Literal(literal) => self.literal(node, literal),
            Syntax::Ident(_) => self.read(node),
            Syntax::Select(select) if select.test => self.has(node, select),
            Syntax::Select(_) => self.read(node),
            Syntax::Call(call) if call.func_name == operators::INDEX => self.read(node),
            Syntax::Call(call) => self.call(node, call, depth),
            Syntax::List(list) => {
                let parts = self.nodes(&list.elements, depth)?;
                Some(self.made(node, Kind::List(parts.into()), Type::List))
            }
            Syntax::Comprehension(each) => match recognise(each) {
                Some(function) => self.list_function(node, &function, depth),
                None => self.refuse(self.source.span(node), "this list function is not supported"),
            },
            Syntax::Map(_) | Syntax::Struct(_) => {
                self.refuse(self.source.span(node), "objects cannot be made here")
            }
            Syntax::Unspecified => self.refuse(self.source.span(node), "this is not an expression"),
        }
    }

    /// Compiles several nodes, so that errors in all of them are reported.
    pub(super) fn nodes<'e>(
        &mut self,
        nodes: impl IntoIterator<Item = &'e Expression>,
        depth: usize,
    ) -> Option<Vec<Node>> {
        let compiled: Vec<Compiled> =
            nodes.into_iter().map(|node| self.node(node, depth + 1)).collect();
        compiled.into_iter().collect()
    }

    fn literal(&mut self, node: &Expression, literal: &LiteralValue) -> Compiled {
        let (value, ty) = match literal {
            LiteralValue::Boolean(b) => (Val::Bool(*b.inner()), Type::Bool),
            LiteralValue::String(text) => {
                (Val::Text(Cow::Owned(text.inner().to_owned())), Type::Text)
            }
            LiteralValue::Null => (Val::Null, Type::Null),
            LiteralValue::Int(n) => (Val::Number(Decimal::from(*n.inner())), Type::Number),
            LiteralValue::UInt(n) => (Val::Number(Decimal::from(*n.inner())), Type::Number),
            LiteralValue::Double(_) => {
                let size = self.exact(node)?;
                // Not `-`, which would make a minus zero.
                let signed = if is_negative(literal) { Decimal::ZERO - size } else { size };
                (Val::Number(signed), Type::Number)
            }
            LiteralValue::Bytes(_) => {
                return self.refuse(self.source.span(node), "bytes are not supported; use a text");
            }
        };
        Some(self.made(node, Kind::Const(value), ty))
    }

    /// The library keeps a fraction as a binary float; its text is still there.
    fn exact(&mut self, node: &Expression) -> Option<Decimal> {
        let written = self.source.token(node.id).of(self.source.text).trim_start_matches('0');
        let missing_zero = if written.starts_with(|c: char| c.is_ascii_digit()) { "" } else { "0" };
        match exact_decimal(&format!("{missing_zero}{written}")) {
            Ok(number) => Some(number),
            Err(_) => {
                let message = "this number has more digits than are held exactly";
                let error = ExprError::new(self.source.token(node.id), message)
                    .hint("round it to 28 digits");
                self.report(error);
                None
            }
        }
    }

    /// `list.exists(item, …)` and its like.
    fn list_function(
        &mut self,
        node: &Expression,
        function: &ListFunction<'_>,
        depth: usize,
    ) -> Compiled {
        let list = self.node(function.list, depth + 1)?;
        self.needs(&list, Type::List, "list.exists(item, item.price > 5)")?;
        self.bind_item(node, function.item, &list)?;
        let kind = self.list_body(&function.does, list, depth);
        self.items.pop();
        let (kind, ty) = kind?;
        Some(self.made(node, kind, ty))
    }

    fn list_body(&mut self, does: &Does<'_>, list: Node, depth: usize) -> Option<(Kind, Type)> {
        let list = Box::new(list);
        match does {
            Does::Quantify(which, body) => {
                let body = self.node(body, depth + 1)?;
                self.needs(&body, Type::Bool, "event.items.exists(item, item.price > 5)")?;
                let which = *which;
                let body = Box::new(body);
                Some((Kind::Logic(Logic::Quantified { which, list, body }), Type::Bool))
            }
            Does::Gather { keep, to } => {
                let keep = match keep {
                    None => None,
                    Some(keep) => {
                        let keep = self.node(keep, depth + 1)?;
                        self.needs(&keep, Type::Bool, "event.items.filter(item, item.price > 5)")?;
                        Some(Box::new(keep))
                    }
                };
                let to = match to {
                    None => None,
                    Some(to) => Some(Box::new(self.node(to, depth + 1)?)),
                };
                Some((Kind::Gather { list, keep, to }, Type::List))
            }
        }
    }

    /// A node with its place in the text.
    pub(super) fn made(&self, node: &Expression, kind: Kind, ty: Type) -> Node {
        Node { kind, ty, span: self.source.span(node) }
    }

    /// A node, replaced by its value if that is the same for every event.
    /// A constant without a value, such as `1 / 0`, is an error.
    pub(super) fn folded(&mut self, node: Node) -> Compiled {
        if matches!(node.kind, Kind::Const(_)) || !node.is_constant() {
            return Some(node);
        }
        match constant(&node) {
            Ok(Some(value)) => {
                Some(Node { ty: value.type_of(), kind: Kind::Const(value), span: node.span })
            }
            Ok(None) => Some(node),
            Err(kind) => self.refuse(
                node.span,
                match kind {
                    WhyKind::DivisionByZero => "this divides by zero",
                    WhyKind::Overflow => "this has a result of more than 28 digits",
                    WhyKind::NotATime => "this is not a time; write it as \"2026-11-22T10:00:00Z\"",
                    _ => "this has no value",
                },
            ),
        }
    }

    /// Checks that a node can have the type that is needed in its place.
    pub(super) fn needs(&mut self, node: &Node, wanted: Type, example: &str) -> Option<()> {
        let from_event = matches!(node.kind, Kind::Field(_) | Kind::Item { .. });
        if wanted == Type::Time && (from_event || node.ty == Type::Text) {
            let text = node.span.of(self.source.text);
            let message = format!("{text} is a text here, a time is needed");
            self.report(
                ExprError::new(node.span, message).hint(format!("write timestamp({text})")),
            );
            return None;
        }
        if node.ty.fits(wanted) {
            return Some(());
        }
        let message = format!("this is {}, {} is needed here", node.ty.name(), wanted.name());
        self.report(ExprError::new(node.span, message).hint(format!("as in {example}")));
        None
    }

    /// Checks what the whole expression gives.
    fn wanted(&mut self, root: Node, want: Want) -> Compiled {
        let (ty, what) = match want {
            Want::Any => return Some(root),
            Want::Condition => (Type::Bool, "a condition must be true or false"),
            Want::Number => (Type::Number, "a formula must give a number"),
        };
        if root.ty.fits(ty) {
            return Some(root);
        }
        let example = match want {
            Want::Number => "event.amount * 0.1",
            _ => "event.amount >= 100",
        };
        let message = format!("{what}, this gives {}", root.ty.name());
        self.report(ExprError::new(root.span, message).hint(format!("as in {example}")));
        None
    }

    pub(super) fn whole(&self) -> Span {
        Span::new(0, self.source.text.len())
    }

    pub(super) fn report(&mut self, error: ExprError) {
        self.errors.push(error);
    }

    pub(super) fn refuse(&mut self, span: Span, message: impl Into<String>) -> Compiled {
        self.report(ExprError::new(span, message));
        None
    }
}

/// The value of a constant node, with the evaluator that events go through. Lists stay as they
/// are: they are compared item by item where they stand.
fn constant(node: &Node) -> Result<Option<Val<'static>>, WhyKind> {
    let (fields, payload, zone) = (Fields::new(), Payload::default(), Zone::utc());
    let facts = Facts {
        payload: &payload,
        user: None,
        action: "",
        ts: Timestamp::default(),
        zone: &zone,
        cohorts: &[],
    };
    let scope = Scope::new(&fields, facts);
    match eval(node, Frame::begin(&scope)) {
        Ok(Val::Null) => Ok(Some(Val::Null)),
        Ok(Val::Bool(b)) => Ok(Some(Val::Bool(b))),
        Ok(Val::Number(n)) => Ok(Some(Val::Number(n))),
        Ok(Val::Text(text)) => Ok(Some(Val::Text(Cow::Owned(text.into_owned())))),
        Ok(Val::Time(at)) => Ok(Some(Val::Time(at))),
        Ok(Val::List(_) | Val::Made(_) | Val::Object(_)) => Ok(None),
        Err(why) => Err(why.kind),
    }
}
