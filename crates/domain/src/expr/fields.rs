//! The fields that a tenant's expressions read, and their values for one event.
//!
//! All expressions of a tenant share one [`Fields`]: a path such as `event.basket.total` is looked
//! up in an event at most once, however many campaigns ask for it.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::civil::DateTime;

use super::value::Val;
use super::{Why, WhyKind};
use crate::id::CohortId;
use crate::payload::{Payload, Value};
use crate::time::{Timestamp, Zone};

/// Most different fields of one tenant's expressions.
pub const FIELDS_MAX: usize = 4_096;
/// Most steps of a path.
pub const STEPS_MAX: usize = 16;

/// A field in [`Fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(u16);

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// The payload of the event.
    Event,
    /// The attributes of the user.
    User,
    /// The item of a list that is gone through. Such a path has a name here, for messages, but no
    /// value of its own.
    Item,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into an object.
    Key(Box<str>),
    /// Into a list, from 0.
    Index(u32),
}

#[derive(Clone, Debug)]
struct Field {
    root: Root,
    /// The first step, always into an object; of an item's path nothing.
    key: Box<str>,
    rest: Box<[Step]>,
    path: Box<str>,
}

/// The fields that the expressions of one tenant read.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    fields: Vec<Field>,
    by_path: BTreeMap<Box<str>, SlotId>,
}

impl Fields {
    /// No fields yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The path of a field as a rule writes it: `event.basket.total`.
    pub fn path(&self, slot: SlotId) -> &str {
        self.fields.get(usize::from(slot.0)).map_or("", |field| &field.path)
    }

    /// True for a field of the user's attributes.
    pub fn is_user(&self, slot: SlotId) -> bool {
        self.fields.get(usize::from(slot.0)).is_some_and(|field| field.root == Root::User)
    }

    /// True when some expression reads the user's attributes.
    pub fn uses_user(&self) -> bool {
        self.fields.iter().any(|field| field.root == Root::User)
    }

    /// The slot of a path that begins with `base` (`event`, `user`, `event.items[]`); `None` when
    /// there is no room.
    pub(super) fn intern(&mut self, root: Root, base: &str, steps: &[Step]) -> Option<SlotId> {
        let path = written(base, steps).into_boxed_str();
        if let Some(known) = self.by_path.get(&path) {
            return Some(*known);
        }
        let slot = SlotId(u16::try_from(self.fields.len()).ok()?);
        if self.fields.len() >= FIELDS_MAX {
            return None;
        }
        let (key, rest): (Box<str>, &[Step]) = match steps.split_first() {
            Some((Step::Key(key), rest)) => (key.clone(), rest),
            _ => ("".into(), steps),
        };
        self.fields.push(Field { root, key, rest: rest.into(), path: path.clone() });
        self.by_path.insert(path, slot);
        Some(slot)
    }
}

fn written(base: &str, steps: &[Step]) -> String {
    let plain = |key: &str| {
        key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let mut path = base.to_owned();
    for step in steps {
        // Writing to a String does not fail.
        _ = match step {
            Step::Key(key) if plain(key) => write!(path, ".{key}"),
            Step::Key(key) => write!(path, "[{key:?}]"),
            Step::Index(index) => write!(path, "[{index}]"),
        };
    }
    path
}

/// Goes along a path, from a value inwards.
pub(super) fn walk<'v, 'a>(from: &'v Value<'a>, steps: &[Step]) -> Option<&'v Value<'a>> {
    steps.iter().try_fold(from, |value, step| match (value, step) {
        (Value::Object(_), Step::Key(key)) => value.get(key),
        (Value::List(items), Step::Index(index)) => items.get(usize::try_from(*index).ok()?),
        _ => None,
    })
}

/// All that an expression may read.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The event's payload.
    pub payload: &'a Payload<'a>,
    /// The user's attributes, where there are any.
    pub user: Option<&'a Payload<'a>>,
    /// The event's action code.
    pub action: &'a str,
    /// The event's own time.
    pub ts: Timestamp,
    /// The tenant's zone, for calendar functions without one.
    pub zone: &'a Zone,
    /// The cohorts that the user belongs to.
    pub cohorts: &'a [CohortId],
}

/// How many fields lie in the scope itself; reading one beyond costs an allocation per event.
const NEAR: usize = 16;

/// Item visits allowed for one evaluation, so that nested lists cannot hold up a batch.
pub const WORK_MAX: u32 = 20_000;

/// A field once it is read: its value, or that it is missing.
type Read<'a> = Option<&'a Value<'a>>;

/// The facts of one event with the fields read so far. Make one per event and evaluate all the
/// tenant's expressions in it. Not shared between threads.
pub struct Scope<'a> {
    fields: &'a Fields,
    facts: Facts<'a>,
    /// Bit by bit, which of the near fields are read.
    is_read: Cell<u16>,
    near: [Cell<Read<'a>>; NEAR],
    far: OnceCell<Box<[OnceCell<Read<'a>>]>>,
    local_ts: OnceCell<DateTime>,
    work: Cell<u32>,
}

impl<'a> Scope<'a> {
    /// Nothing is read yet. `fields` must be the one that the expressions were compiled with.
    pub fn new(fields: &'a Fields, facts: Facts<'a>) -> Self {
        Self {
            fields,
            facts,
            is_read: Cell::new(0),
            near: [const { Cell::new(None) }; NEAR],
            far: OnceCell::new(),
            local_ts: OnceCell::new(),
            work: Cell::new(0),
        }
    }

    /// The facts.
    pub fn facts(&self) -> &Facts<'a> {
        &self.facts
    }

    /// The fields.
    pub fn fields(&self) -> &'a Fields {
        self.fields
    }

    /// The value of a field of the event or user; `None` when it is missing.
    #[inline]
    pub fn field(&self, slot: SlotId) -> Option<&'a Value<'a>> {
        let index = usize::from(slot.0);
        let Some(cell) = self.near.get(index) else { return self.far_field(index) };
        let bit = 1 << index;
        if self.is_read.get() & bit == 0 {
            self.is_read.set(self.is_read.get() | bit);
            cell.set(self.read(index));
        }
        cell.get()
    }

    #[cold]
    fn far_field(&self, index: usize) -> Option<&'a Value<'a>> {
        let far = self.far.get_or_init(|| {
            let count = self.fields.len().saturating_sub(NEAR);
            (0..count).map(|_| OnceCell::new()).collect()
        });
        *far.get(index - NEAR)?.get_or_init(|| self.read(index))
    }

    #[inline]
    fn read(&self, index: usize) -> Option<&'a Value<'a>> {
        let field = self.fields.fields.get(index)?;
        let payload = match field.root {
            Root::Event => self.facts.payload,
            Root::User => self.facts.user?,
            Root::Item => return None,
        };
        let value = payload.get(&field.key)?;
        if field.rest.is_empty() { Some(value) } else { walk(value, &field.rest) }
    }

    /// The field as an operand, or why there is none.
    #[inline]
    pub(super) fn operand(&self, slot: SlotId) -> Result<Val<'a>, Why> {
        match self.field(slot) {
            Some(value) => Ok(Val::of(value)),
            None => Err(Why::of(WhyKind::FieldMissing, Some(slot))),
        }
    }

    /// The event's time on the clock of the tenant's zone, worked out once.
    pub(super) fn local_ts(&self) -> DateTime {
        *self.local_ts.get_or_init(|| self.facts.zone.civil(self.facts.ts))
    }

    /// Begins an evaluation with its full allowance of work.
    pub(super) fn begin(&self) {
        self.work.set(WORK_MAX);
    }

    /// Takes some of the allowance. Errors: [`WhyKind::TooMuchWork`] when it is used up.
    pub(super) fn spend(&self, steps: usize) -> Result<(), Why> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.work.get().checked_sub(steps));
        self.work.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or(Why::of(WhyKind::TooMuchWork, None))
    }
}

impl std::fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("facts", &self.facts).finish_non_exhaustive()
    }
}
