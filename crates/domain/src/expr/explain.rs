//! What an expression saw in one event, for the explain API. It calls the evaluator on the parts
//! of a condition; it decides nothing itself.

use serde::Serialize;

use super::eval::{Frame, eval};
use super::fields::Scope;
use super::types::{Kind, Logic, Node, Type};
use super::value::Val;
use super::{SlotId, Why};

/// Longest value shown, in bytes.
const SHOWN_BYTES_MAX: usize = 200;

/// One part of an expression and what it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The part of the text.
    pub text: String,
    /// Where it begins in the whole text, in bytes.
    pub offset: u32,
    /// Its length in bytes.
    pub length: u32,
    /// What it came to.
    pub outcome: Outcome,
    /// The value as JSON, cut when long, for what is no condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The code of the reason of an unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The reason of an unknown in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The fields that it read; only where it is not split further.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<SeenField>,
    /// The parts of an and, or, not or choice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Seen>,
}

/// What a part came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// A condition that holds.
    True,
    /// A condition that does not hold.
    False,
    /// No value, see the reason.
    Unknown,
    /// A value that is no bool.
    Value,
}

/// A field and its value in the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenField {
    /// Its path: `event.amount`.
    pub path: String,
    /// Its value as JSON, cut when long; `null` in JSON terms when it is missing.
    pub value: Option<String>,
}

/// Explains a whole expression.
pub(super) fn explain(text: &str, root: &Node, scope: &Scope<'_>) -> Seen {
    let mut seen = Seen {
        text: root.span.of(text).to_owned(),
        offset: root.span.start,
        length: root.span.end - root.span.start,
        outcome: Outcome::Unknown,
        value: None,
        code: None,
        reason: None,
        fields: Vec::new(),
        parts: parts(root).into_iter().map(|part| explain(text, part, scope)).collect(),
    };
    match eval(root, Frame::begin(scope)) {
        Ok(Val::Bool(true)) => seen.outcome = Outcome::True,
        Ok(Val::Bool(false)) => seen.outcome = Outcome::False,
        Ok(value) => {
            seen.outcome = Outcome::Value;
            seen.value = Some(value.show(SHOWN_BYTES_MAX));
        }
        Err(why) => blame(&mut seen, why, scope),
    }
    if seen.parts.is_empty() {
        read_by(root, scope, &mut seen.fields);
    }
    seen
}

fn blame(seen: &mut Seen, why: Why, scope: &Scope<'_>) {
    seen.code = Some(why.code());
    seen.reason = Some(why.describe(scope.fields()));
}

/// The parts that are worth a line of their own. Going into list functions would need their items.
fn parts(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::Logic(Logic::And(parts) | Logic::Or(parts)) => parts.iter().collect(),
        Kind::Logic(Logic::Not(inner)) if !is_leaf(inner) => vec![inner],
        Kind::If(parts) => {
            parts.iter().filter(|part| !matches!(part.kind, Kind::Const(_))).collect()
        }
        _ => Vec::new(),
    }
}

fn is_leaf(node: &Node) -> bool {
    parts(node).is_empty()
}

fn read_by(node: &Node, scope: &Scope<'_>, into: &mut Vec<SeenField>) {
    let mut add = |path: &str, value: Option<Val<'_>>| {
        if !into.iter().any(|seen| seen.path == path) {
            let value = value.map(|value| value.show(SHOWN_BYTES_MAX));
            into.push(SeenField { path: path.to_owned(), value });
        }
    };
    let mut add_slot =
        |slot: SlotId| add(scope.fields().path(slot), scope.field(slot).map(Val::of));
    match &node.kind {
        Kind::Field(slot) | Kind::Logic(Logic::Test(slot, _) | Logic::Has(slot)) => add_slot(*slot),
        Kind::Action => add("event.action", Some(Val::Text(scope.facts().action.into()))),
        Kind::Ts => add("event.ts", Some(Val::Time(scope.facts().ts))),
        _ => node.children().into_iter().for_each(|child| read_by(child, scope, into)),
    }
}

/// The name of a type as the API shows it.
impl Serialize for Type {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::Bool => "BOOL",
            Self::Number => "NUMBER",
            Self::Text => "TEXT",
            Self::Time => "TIME",
            Self::List => "LIST",
            Self::Null => "NULL",
            Self::Any => "ANY",
        })
    }
}
