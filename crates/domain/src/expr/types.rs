//! The compiled tree: one kind of node for each construct, each with its static type and its
//! place in the text.

use rust_decimal::Decimal;

use super::fields::{SlotId, Step};
use super::functions::Function;
use super::source::Span;
use super::value::Val;
use crate::id::CohortId;
use crate::time::Zone;

/// What a value is. Fields of events and users are [`Type::Any`] until an event is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// true or false.
    Bool,
    /// An exact decimal.
    Number,
    /// A text.
    Text,
    /// An instant.
    Time,
    /// A list of anything.
    List,
    /// `null`.
    Null,
    /// Known only when an event is there.
    Any,
}

impl Type {
    /// Its name with an article: `a number`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "a bool",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Time => "a time",
            Self::List => "a list",
            Self::Null => "null",
            Self::Any => "an object",
        }
    }

    /// Whether a value of this type can stand where `wanted` is needed.
    pub(super) fn fits(self, wanted: Self) -> bool {
        self == wanted || self == Self::Any || wanted == Self::Any
    }

    /// The type of a value that comes from one of two places.
    pub(super) fn either(self, other: Self) -> Self {
        if self == other { self } else { Self::Any }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) ty: Type,
    pub(super) span: Span,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A bool, number, text, time or null.
    Const(Val<'static>),
    /// A field of the event or the user.
    Field(SlotId),
    /// `event.action`.
    Action,
    /// `event.ts`.
    Ts,
    /// A field of the item that a list function goes through, or the item itself. `up` counts
    /// from the innermost item; `name` is its path, for messages.
    Item { up: usize, steps: Box<[Step]>, name: SlotId },
    /// What is true, false or unknown.
    Logic(Logic),
    /// What is a number.
    Math(Math),
    /// `condition ? yes : no`.
    If(Box<[Node; 3]>),
    /// `default(value, otherwise)`.
    Default(Box<[Node; 2]>),
    /// `[a, b]`.
    List(Box<[Node]>),
    /// A function of values only.
    Call(Function, Box<[Node]>),
    /// A function of a time in a zone; without one the tenant's.
    Calendar { part: Part, at: Box<Node>, zone: Option<Zone> },
    /// `list.filter(x, keep)`, `list.map(x, to)`, `list.map(x, keep, to)`.
    Gather { list: Box<Node>, keep: Option<Box<Node>>, to: Option<Box<Node>> },
}

#[derive(Clone, Debug)]
pub(super) enum Logic {
    And(Box<[Node]>),
    Or(Box<[Node]>),
    Not(Box<Node>),
    Compare(Comparison, Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    /// A field compared with what is known: by far the commonest conditions, in one step.
    Test(SlotId, Test),
    /// `has(event.x)`.
    Has(SlotId),
    /// `has(item.x)`.
    ItemHas {
        up: usize,
        steps: Box<[Step]>,
    },
    InCohort(CohortId),
    Quantified {
        which: Quantifier,
        list: Box<Node>,
        body: Box<Node>,
    },
}

/// `field op constant`.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Number(Comparison, Decimal),
    /// `==` or, when false, `!=`.
    Text(bool, Box<str>),
    TextIn(Box<[Box<str>]>),
}

#[derive(Clone, Debug)]
pub(super) enum Math {
    Negate(Box<Node>),
    Binary(Operator, Box<[Node; 2]>),
    /// Seconds from the second time to the first.
    Elapsed(Box<[Node; 2]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// The same comparison with its sides exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    pub(super) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    #[inline]
    pub(super) fn accepts(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    All,
    Exists,
    ExistsOne,
}

/// What a calendar function tells of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Weekday,
    Hour,
    Minute,
    DayOfMonth,
    Month,
    Year,
    DayOfYear,
    DaysInMonth,
    IsoWeek,
    Date,
}

impl Node {
    /// The field that this node reads, for the reason of an unknown.
    pub(super) fn slot(&self) -> Option<SlotId> {
        match self.kind {
            Kind::Field(slot) | Kind::Item { name: slot, .. } => Some(slot),
            _ => None,
        }
    }

    /// The nodes directly under this one.
    pub(super) fn children(&self) -> Vec<&Node> {
        match &self.kind {
            Kind::Const(_) | Kind::Field(_) | Kind::Action | Kind::Ts | Kind::Item { .. } => vec![],
            Kind::If(parts) => parts.iter().collect(),
            Kind::Default(pair) => pair.iter().collect(),
            Kind::List(parts) | Kind::Call(_, parts) => parts.iter().collect(),
            Kind::Calendar { at, .. } => vec![at],
            Kind::Gather { list, keep, to } => [Some(list), keep.as_ref(), to.as_ref()]
                .into_iter()
                .flatten()
                .map(|n| &**n)
                .collect(),
            Kind::Math(math) => match math {
                Math::Negate(inner) => vec![inner],
                Math::Binary(_, pair) | Math::Elapsed(pair) => pair.iter().collect(),
            },
            Kind::Logic(logic) => match logic {
                Logic::And(parts) | Logic::Or(parts) => parts.iter().collect(),
                Logic::Not(inner) => vec![inner],
                Logic::Compare(_, pair) | Logic::In(pair) => pair.iter().collect(),
                Logic::Quantified { list, body, .. } => vec![list, body],
                Logic::Test(..) | Logic::Has(_) | Logic::ItemHas { .. } | Logic::InCohort(_) => {
                    vec![]
                }
            },
        }
    }

    /// Whether its value is the same for every event. Calendar functions without a zone are not:
    /// the zone is the tenant's.
    pub(super) fn is_constant(&self) -> bool {
        match &self.kind {
            Kind::Const(_) => true,
            Kind::Calendar { at, zone, .. } => zone.is_some() && at.is_constant(),
            Kind::Field(_) | Kind::Action | Kind::Ts | Kind::Item { .. } => false,
            Kind::Logic(
                Logic::Test(..) | Logic::Has(_) | Logic::ItemHas { .. } | Logic::InCohort(_),
            ) => false,
            _ => self.children().into_iter().all(Node::is_constant),
        }
    }
}
