//! Our expression language: conditions and formulas of rules.
//!
//! The syntax is CEL's and is parsed by the `cel` crate. Types, compilation and evaluation are our
//! own, because money needs exact decimals, a missing field must not count as false, and a
//! third-party interpreter is ten times slower on conditions like ours.
//!
//! ```text
//! event.amount >= 100 && event.category == "books" && event.country in ["FR", "DE"]
//! ```
//!
//! An expression is compiled once, when its campaign is saved or loaded, against the [`Fields`] of
//! its tenant, and is then evaluated in the [`Scope`] of each event. Reading order: [`types`] (the
//! tree), [`compile`], [`eval`], [`functions`], [`explain`].

mod calls;
mod compile;
mod eval;
mod explain;
mod fields;
mod functions;
mod macros;
mod paths;
mod source;
#[cfg(test)]
mod tests;
mod tokens;
mod types;
mod value;

use std::fmt;

use rust_decimal::Decimal;
use serde::Serialize;

pub use explain::{Outcome, Seen, SeenField};
pub use fields::{FIELDS_MAX, Facts, Fields, STEPS_MAX, Scope, SlotId, WORK_MAX};
pub use types::Type;

use crate::id::CohortId;
use crate::payload::Value;
use crate::shape::{Fault, FaultCode};
use eval::Frame;
use source::Span;
use types::Node;

/// Longest text of an expression, in bytes.
pub const TEXT_BYTES_MAX: usize = 4_096;
/// Most nodes: fields, literals, operators, calls.
pub const NODES_MAX: usize = 500;
/// Deepest nesting.
pub const DEPTH_MAX: usize = 32;

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Something that holds or not.
    Condition,
    /// A number, such as an amount.
    Number,
    /// Any value, such as what makes an event unique.
    Any,
}

/// A compiled expression.
#[derive(Clone)]
pub struct Expr {
    text: Box<str>,
    root: Node,
    slots: Box<[SlotId]>,
    cohorts: Box<[CohortId]>,
}

/// The names of the functions, beside `has` and the list functions of CEL.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    functions::TABLE.iter().map(|(name, ..)| *name)
}

/// Compiles a text and adds the fields it reads to those of the tenant.
/// Errors: everything that is wrong with it, in the order of the text.
pub fn compile(text: &str, fields: &mut Fields, want: Want) -> Result<Expr, Vec<ExprError>> {
    compile::compile(text, fields, want)
}

impl Expr {
    /// Whether the condition holds for an event. Something else than a bool is unknown.
    #[inline]
    pub fn holds(&self, scope: &Scope<'_>) -> Verdict {
        eval::truth(&self.root, Frame::begin(scope))
    }

    /// The number it gives for an event. Errors: why there is none.
    pub fn number(&self, scope: &Scope<'_>) -> Result<Decimal, Why> {
        eval::number(&self.root, Frame::begin(scope))
    }

    /// The value it gives for an event; a time as its text. Errors: why there is none.
    pub fn value<'s>(&'s self, scope: &'s Scope<'_>) -> Result<Value<'s>, Why> {
        eval::eval(&self.root, Frame::begin(scope)).map(value::Val::into_value)
    }

    /// What each part of it saw and gave, for people.
    pub fn explain(&self, scope: &Scope<'_>) -> Seen {
        explain::explain(&self.text, &self.root, scope)
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its static type.
    pub fn type_of(&self) -> Type {
        self.root.ty
    }

    /// The fields of the event and the user that it reads, each once.
    pub fn fields(&self) -> &[SlotId] {
        &self.slots
    }

    /// The cohorts that it asks for, each once.
    pub fn cohorts(&self) -> &[CohortId] {
        &self.cohorts
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expr({})", self.text)
    }
}

/// What a condition comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be told, so it does not hold.
    Unknown(Why),
}

impl Verdict {
    /// Whether it holds.
    pub fn holds(self) -> bool {
        self == Self::True
    }

    pub(crate) fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            unknown => unknown,
        }
    }
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl From<Result<bool, Why>> for Verdict {
    fn from(result: Result<bool, Why>) -> Self {
        result.map_or_else(Self::Unknown, Self::from)
    }
}

/// Why something has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    /// What kind of reason.
    pub kind: WhyKind,
    /// The field at fault, where it is one; [`Fields::path`] gives its path.
    pub slot: Option<SlotId>,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyKind {
    /// The field is not in the event or among the user's attributes.
    FieldMissing,
    /// The value has another type than the one named; [`Type::Any`] stands for the type of
    /// something inside it.
    TypeMismatch(Type),
    /// A divisor is zero.
    DivisionByZero,
    /// A result has more than 28 digits in front of the point.
    Overflow,
    /// A text is not a time.
    NotATime,
    /// Lists with so many items that going through them was stopped.
    TooMuchWork,
}

impl Why {
    pub(crate) const fn of(kind: WhyKind, slot: Option<SlotId>) -> Self {
        Self { kind, slot }
    }

    /// The stable code of the reason, for outcomes and the API.
    pub fn code(self) -> &'static str {
        match self.kind {
            WhyKind::FieldMissing => "FIELD_MISSING",
            WhyKind::TypeMismatch(_) => "TYPE_MISMATCH",
            WhyKind::DivisionByZero => "DIVISION_BY_ZERO",
            WhyKind::Overflow => "OVERFLOW",
            WhyKind::NotATime => "NOT_A_TIME",
            WhyKind::TooMuchWork => "TOO_MUCH_WORK",
        }
    }

    /// The reason as a sentence without its full stop: `event.amount is missing`.
    pub fn describe(self, fields: &Fields) -> String {
        let subject = self.slot.map_or("a value", |slot| fields.path(slot));
        match self.kind {
            WhyKind::FieldMissing => format!("{subject} is missing"),
            WhyKind::TypeMismatch(Type::Any) => {
                format!("{subject} holds a value of another type than is needed here")
            }
            WhyKind::TypeMismatch(wanted) => format!("{subject} is not {}", wanted.name()),
            WhyKind::DivisionByZero => match self.slot {
                Some(slot) => format!("division by {}, which is zero", fields.path(slot)),
                None => "division by zero".to_owned(),
            },
            WhyKind::Overflow => "a result has more than 28 digits".to_owned(),
            WhyKind::NotATime => {
                format!("{subject} is not a time such as 2026-11-22T10:00:00Z")
            }
            WhyKind::TooMuchWork => {
                "the lists have too many items to go through for one event".to_owned()
            }
        }
    }
}

/// What is wrong with the text of an expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExprError {
    /// Where it begins, in bytes.
    pub offset: u32,
    /// How many bytes it covers; 0 at the end of the text.
    pub length: u32,
    /// What is wrong.
    pub message: String,
    /// How to mend it, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ExprError {
    fn new(span: Span, message: impl Into<String>) -> Self {
        let (offset, length) = (span.start, span.end - span.start);
        Self { offset, length, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same as a fault of the document in which the text stands at `pointer`.
    pub(crate) fn into_fault(self, text: &str, pointer: &str) -> Fault {
        let before = text.get(..self.offset as usize).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let character = before[line_start..].chars().count() + 1;
        let place = match before.matches('\n').count() {
            0 => format!("at character {character}"),
            lines => format!("at line {}, character {character}", lines + 1),
        };
        let fault =
            Fault::new(pointer, FaultCode::Expression, format!("{}, {place}", self.message));
        match self.hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.message, self.offset)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for ExprError {}
