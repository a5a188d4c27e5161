//! The one way in: every document from outside (REST bodies, rule documents, files of `apply`) is
//! read here, and its JSON Schema comes from the same declaration.
//!
//! Why not serde's `Deserialize`: it stops at the first error and cannot point at each bad field,
//! it takes the last of two equal keys in silence, and a schema written beside a reader drifts away
//! from it. So one declaration gives the struct, its reader, its schema and its `Serialize`.
//!
//! A new document takes five lines:
//!
//! ```
//! domain::shape! {
//!     /// A new tenant.
//!     pub struct CreateTenant {
//!         /// Its name, shown in the console.
//!         "name" name: Text<1, 200>,
//!         /// The IANA zone of its calendar day.
//!         "timeZone" time_zone: Zone = Zone::utc(),
//!         /// Its limits; without them there is no cap.
//!         "limits" limits: Option<LimitSpec>,
//!     }
//! }
//! let tenant: CreateTenant = domain::shape::read_json(body)?;
//! ```
//!
//! A field of type `Option` may be left out or `null`; a field with `= default` may be left out; all
//! others are required. `} check path::to::function;` after the struct names a
//! `fn(&Self, &mut Reader<'_>)` for what concerns several fields. [`crate::view!`] declares what only
//! goes out, [`crate::choice!`] a set of words, [`crate::variant!`] an object with exactly one of
//! several fields. What fits none of them implements [`Described`] and [`Shape`] by hand, with
//! [`Reader::object`] and [`schema`].
//!
//! Every number that [`parse`] lets through is carried exactly: one that an integer of 64 bits or a
//! double cannot hold is refused with the hint to write it as text.

mod choice;
mod declare;
mod fault;
mod ids;
mod json;
mod many;
mod number;
mod payload;
mod reader;
pub mod schema;
mod suggest;
#[cfg(test)]
mod tests;
mod text;
mod time;

use serde_json::Value;

pub use choice::{UnknownWord, read_word};
pub use fault::{FAULTS_MAX, Fault, FaultCode, Faults};
pub use json::{JsonError, ReadError, parse};
pub use many::{ITEMS_MAX, Many};
pub use number::Whole;
pub use reader::{Object, Reader};
pub use schema::Schemas;
pub use suggest::{shown, suggest};
pub use text::{Lines, TEXT_CHARS_MAX, Text};
pub use time::Date;

/// What the macros need from other crates.
#[doc(hidden)]
pub mod reexport {
    pub use {serde, serde_json};
}

/// Deepest nesting of lists and objects in a document.
pub const DEPTH_MAX: usize = 32;

/// A type with a JSON Schema.
pub trait Described {
    /// Its schema. A named type registers its definition with [`Schemas::define`] and gives the
    /// reference to it.
    fn schema(defs: &mut Schemas) -> Value;
}

/// A type that is read from a JSON value.
pub trait Shape: Described + Sized {
    /// Reads the value; `None` after at least one fault was recorded with the reader. What it
    /// accepts, its schema accepts too; it may be stricter.
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self>;

    /// What stands for a field of this type that is left out; `None` if it must be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// Reads a whole document. Errors: all that is wrong with it.
///
/// The value should come from [`parse`], or for YAML from a reader that refuses duplicate keys.
pub fn read<T: Shape>(value: &Value) -> Result<T, Faults> {
    let mut faults = Faults::default();
    let read = Reader::new(&mut faults).read(value);
    finish(read, faults)
}

/// Reads a JSON text. Errors: the place where it is not JSON, or all that is wrong with the document.
pub fn read_json<T: Shape>(text: &[u8]) -> Result<T, ReadError> {
    let mut faults = Faults::default();
    let value = json::parse_into(text, &mut faults)?;
    let read = Reader::new(&mut faults).read(&value);
    Ok(finish(read, faults)?)
}

fn finish<T>(read: Option<T>, mut faults: Faults) -> Result<T, Faults> {
    if let (Some(value), true) = (read, faults.is_empty()) {
        return Ok(value);
    }
    if faults.is_empty() {
        // A reader that gives nothing must say why; should one forget it, nobody is let through.
        faults.push(Fault::new("", FaultCode::Syntax, "cannot be read"));
    }
    Err(faults)
}
