//! Names in an expression: fields of the event and the user, items of lists.

use cel::common::ast::{Expr as Syntax, LiteralValue, SelectExpr, operators};
use cel::parser::Expression;

use super::ExprError;
use super::compile::{Compiled, Compiler, ItemName};
use super::fields::{FIELDS_MAX, Root, STEPS_MAX, SlotId, Step};
use super::source::Span;
use super::types::{Kind, Logic, Node, Type};
use super::value::Val;
use crate::shape::suggest;

/// A path as it was written.
struct Path<'e> {
    root: &'e str,
    root_span: Span,
    steps: Vec<Step>,
}

/// What a path leads to.
enum Place {
    Action,
    Ts,
    Field(SlotId),
    Item { up: usize, steps: Box<[Step]>, name: SlotId },
}

impl Compiler<'_, '_> {
    /// The value at a path.
    pub(super) fn read(&mut self, node: &Expression) -> Compiled {
        let span = self.source.span(node);
        let path = self.path(node, span)?;
        let (kind, ty) = match self.place(path, span)? {
            Place::Action => (Kind::Action, Type::Text),
            Place::Ts => (Kind::Ts, Type::Time),
            Place::Field(slot) => (Kind::Field(slot), Type::Any),
            Place::Item { up, steps, name } => (Kind::Item { up, steps, name }, Type::Any),
        };
        Some(Node { kind, ty, span })
    }

    /// `has(path)`: whether there is a value at the path, be it null. Never unknown.
    pub(super) fn has(&mut self, node: &Expression, select: &SelectExpr) -> Compiled {
        let span = self.source.span(node);
        let mut path = self.path(&select.operand, span)?;
        path.steps.push(Step::Key(select.field.as_str().into()));
        let kind = match self.place(path, span)? {
            Place::Action | Place::Ts => Kind::Const(Val::Bool(true)),
            Place::Field(slot) => Kind::Logic(Logic::Has(slot)),
            Place::Item { up, steps, .. } => Kind::Logic(Logic::ItemHas { up, steps }),
        };
        Some(Node { kind, ty: Type::Bool, span })
    }

    /// Gives a name to the items of a list while its function is compiled.
    pub(super) fn bind_item(&mut self, node: &Expression, name: &str, list: &Node) -> Option<()> {
        let taken = matches!(name, "event" | "user") || self.items.iter().any(|i| i.name == name);
        if taken {
            let error = ExprError::new(self.source.span(node), format!("the name {name} is taken"))
                .hint("choose another name for the item");
            self.report(error);
            return None;
        }
        let path = match list.slot() {
            Some(slot) => format!("{}[]", self.fields.path(slot)),
            None => name.to_owned(),
        };
        self.items.push(ItemName { name: name.to_owned(), path });
        Some(())
    }

    /// Takes a path apart: the name it begins with, and its steps.
    fn path<'e>(&mut self, node: &'e Expression, span: Span) -> Option<Path<'e>> {
        let mut steps = Vec::new();
        let mut at = node;
        let root = loop {
            at = match &at.expr {
                Syntax::Ident(name) => break Some(name.as_str()),
                Syntax::Select(select) if !select.test => {
                    steps.push(Step::Key(select.field.as_str().into()));
                    &select.operand
                }
                Syntax::Call(call) if call.func_name == operators::INDEX => {
                    let [inner, index] = call.args.as_slice() else { break None };
                    steps.push(self.index(index)?);
                    inner
                }
                _ => break None,
            };
        };
        steps.reverse();
        match root {
            Some(_) if steps.len() > STEPS_MAX => {
                self.refuse(span, format!("a path has at most {STEPS_MAX} steps"));
                None
            }
            Some(root) => Some(Path { root, root_span: self.source.token(at.id), steps }),
            None => {
                let error = ExprError::new(span, "only event, user and list items have members")
                    .hint("write event.basket.total, event.items[0] or item.price");
                self.report(error);
                None
            }
        }
    }

    fn index(&mut self, index: &Expression) -> Option<Step> {
        match &index.expr {
            Syntax::Literal(LiteralValue::Int(n)) if *n.inner() >= 0 => {
                u32::try_from(*n.inner()).ok().map(Step::Index)
            }
            Syntax::Literal(LiteralValue::String(key)) => Some(Step::Key(key.inner().into())),
            _ => None,
        }
        .or_else(|| {
            let span = self.source.span(index);
            let error = ExprError::new(span, "an index is a number from 0 or a key in quotes")
                .hint("use exists or filter to look for an item");
            self.report(error);
            None
        })
    }

    fn place(&mut self, path: Path<'_>, span: Span) -> Option<Place> {
        let Path { root, root_span, steps } = path;
        if let Some(index) = self.items.iter().rposition(|item| item.name == root) {
            let base = self.items.get(index).map(|item| item.path.clone()).unwrap_or_default();
            let name = self.slot(Root::Item, &base, &steps, span)?;
            return Some(Place::Item {
                up: self.items.len() - 1 - index,
                steps: steps.into(),
                name,
            });
        }
        let own = match steps.first() {
            Some(Step::Key(key)) if root == "event" && matches!(&**key, "action" | "ts") => {
                Some(key.clone())
            }
            _ => None,
        };
        match (root, steps.as_slice(), own.as_deref()) {
            (_, [_], Some("action")) => Some(Place::Action),
            (_, [_], Some(_)) => Some(Place::Ts),
            (_, _, Some(key)) => self.no_place(span, format!("event.{key} has no members")),
            ("event" | "user", [], _) => {
                let error = ExprError::new(span, format!("{root} alone is no value"))
                    .hint(format!("name one of its fields: {root}.…"));
                self.report(error);
                None
            }
            ("event" | "user", [Step::Index(_), ..], _) => {
                self.no_place(span, format!("{root} is no list"))
            }
            ("event", ..) => self.slot(Root::Event, root, &steps, span).map(Place::Field),
            ("user", ..) => self.slot(Root::User, root, &steps, span).map(Place::Field),
            _ => self.unknown_name(root, steps.is_empty(), root_span),
        }
    }

    fn slot(&mut self, root: Root, base: &str, steps: &[Step], span: Span) -> Option<SlotId> {
        let Some(slot) = self.fields.intern(root, base, steps) else {
            self.refuse(span, format!("the rules of a tenant read at most {FIELDS_MAX} fields"));
            return None;
        };
        if root != Root::Item && !self.slots.contains(&slot) {
            self.slots.push(slot);
        }
        Some(slot)
    }

    fn no_place(&mut self, span: Span, message: String) -> Option<Place> {
        self.report(ExprError::new(span, message));
        None
    }

    fn unknown_name(&mut self, name: &str, alone: bool, span: Span) -> Option<Place> {
        const KNOWN: [&str; 5] = ["event", "user", "true", "false", "null"];
        let items = self.items.iter().map(|item| item.name.as_str());
        let hint = match suggest(name, KNOWN.into_iter().chain(items)) {
            Some(meant) => format!("did you mean {meant}?"),
            None if alone => {
                format!("write event.{name} for a field of the event, \"{name}\" for a text")
            }
            None => "fields begin with event. or user.".to_owned(),
        };
        self.report(ExprError::new(span, format!("there is no {name}")).hint(hint));
        None
    }
}
