//! The facade under the control plane: statements, parameters and rows that both databases have.
//!
//! A function of the control plane takes `&mut dyn Sql` and is the same for SQLite and PostgreSQL.
//! `docs/sql.md` names the subset, `docs/adr/0002-sql-facade.md` says why it looks like this.

use domain::id::{
    ActionCode, CampaignId, CohortId, EventId, IncentiveId, JobId, KeyId, LimitId, TenantId,
    UserId, UserRef,
};
use domain::time::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::error::{Result, StoreError};

/// An SQL text with a name. All of them are listed in [`super::statements`], so that a test can
/// prepare each against each database.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Module and constant, for messages.
    pub name: &'static str,
    /// The text, with placeholders `$1`, `$2`, … for its parameters.
    pub sql: &'static str,
}

/// Declares statements and the list `ALL` of them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* const $name: $crate::control::sql::Statement =
            $crate::control::sql::Statement {
                name: concat!(module_path!(), "::", stringify!($name)),
                sql: $sql,
            };)+
        pub(super) const ALL: &[$crate::control::sql::Statement] = &[$($name),+];
    };
}
pub(super) use statements;

/// Parameters of a statement: each expression by its [`Value`] conversion.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::control::sql::Value::from($value)),*] };
}
pub(super) use params;

/// A parameter. Each database binds it as its own type, see the table in `docs/sql.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value, of whatever type the statement asks for.
    Null,
    /// A count, a version, a number of days.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// Bytes that are no id.
    Bytes(&'a [u8]),
    /// An id.
    Uuid(Uuid),
    /// True or false.
    Bool(bool),
    /// An instant.
    Time(Timestamp),
    /// An amount.
    Decimal(Decimal),
    /// A JSON document.
    Json(&'a str),
}

macro_rules! from_value {
    ($($from:ty => $value:expr;)+) => {$(
        impl<'a> From<$from> for Value<'a> {
            fn from(value: $from) -> Self {
                let make: fn($from) -> Value<'a> = $value;
                make(value)
            }
        }
    )+};
}

from_value! {
    i64 => Value::Int;
    i32 => |n| Value::Int(i64::from(n));
    u32 => |n| Value::Int(i64::from(n));
    u16 => |n| Value::Int(i64::from(n));
    bool => Value::Bool;
    &'a str => Value::Text;
    &'a String => |s| Value::Text(s);
    &'a [u8] => Value::Bytes;
    Uuid => Value::Uuid;
    Timestamp => Value::Time;
    Decimal => Value::Decimal;
    &'a UserRef => |r| Value::Text(r.as_str());
    &'a EventId => |r| Value::Text(r.as_str());
    &'a ActionCode => |r| Value::Text(r.as_str());
}

impl<'a, T> From<Option<T>> for Value<'a>
where
    Value<'a>: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Value::from)
    }
}

/// A stored value in its neutral form: what an adapter makes of its own types.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Column<'a> {
    /// No value.
    Null,
    /// Integers, booleans (0 and 1) and instants (microseconds since 1970).
    Int(i64),
    /// Texts, JSON documents and amounts.
    Text(&'a str),
    /// Bytes and ids.
    Bytes(&'a [u8]),
}

/// The columns of a row as an adapter has them.
pub trait Columns {
    /// The column of this name; the error says why there is none.
    fn named(&self, name: &str) -> Result<Column<'_>, String>;
    /// The first column as text, to name the row in messages.
    fn label(&self) -> String;
}

/// A row of an answer.
#[derive(Clone, Copy)]
pub struct Row<'r> {
    columns: &'r dyn Columns,
    statement: &'r Statement,
}

impl<'r> Row<'r> {
    /// For adapters.
    pub fn new(columns: &'r dyn Columns, statement: &'r Statement) -> Self {
        Self { columns, statement }
    }

    /// The value of a column. Errors: [`StoreError::Corrupt`] when it is not of the type.
    pub fn get<T: FromColumn>(&self, name: &str) -> Result<T> {
        let value = self.columns.named(name).and_then(T::from_column);
        value.map_err(|detail| self.corrupt(name, detail))
    }

    /// A column that holds a JSON document of a type.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        let text: String = self.get(name)?;
        serde_json::from_str(&text).map_err(|e| self.corrupt(name, e.to_string()))
    }

    /// An error about a column whose value contradicts something else.
    pub fn corrupt(&self, column: &str, detail: impl Into<String>) -> StoreError {
        StoreError::Corrupt {
            table: self.statement.name.to_owned(),
            column: column.to_owned(),
            row: self.columns.label(),
            detail: detail.into(),
        }
    }
}

/// A type that is read from one column.
pub trait FromColumn: Sized {
    /// The value, or what is wrong with the column.
    fn from_column(column: Column<'_>) -> Result<Self, String>;
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(column: Column<'_>) -> Result<Self, String> {
        match column {
            Column::Null => Ok(None),
            some => T::from_column(some).map(Some),
        }
    }
}

fn wrong<T>(column: Column<'_>, wanted: &str) -> Result<T, String> {
    let holds = match column {
        Column::Null => "nothing",
        Column::Int(_) => "an integer",
        Column::Text(_) => "a text",
        Column::Bytes(_) => "bytes",
    };
    Err(format!("it holds {holds} instead of {wanted}"))
}

impl FromColumn for i64 {
    fn from_column(column: Column<'_>) -> Result<Self, String> {
        match column {
            Column::Int(n) => Ok(n),
            other => wrong(other, "an integer"),
        }
    }
}

macro_rules! from_int {
    ($($int:ty)+) => {$(
        impl FromColumn for $int {
            fn from_column(column: Column<'_>) -> Result<Self, String> {
                let n = i64::from_column(column)?;
                Self::try_from(n).map_err(|_| format!("{n} is out of range"))
            }
        }
    )+};
}
from_int!(i32 u16 u32 u64);

impl FromColumn for bool {
    fn from_column(column: Column<'_>) -> Result<Self, String> {
        match column {
            Column::Int(n @ (0 | 1)) => Ok(n == 1),
            other => wrong(other, "true or false"),
        }
    }
}

impl FromColumn for String {
    fn from_column(column: Column<'_>) -> Result<Self, String> {
        match column {
            Column::Text(text) => Ok(text.to_owned()),
            other => wrong(other, "a text"),
        }
    }
}

impl FromColumn for Vec<u8> {
    fn from_column(column: Column<'_>) -> Result<Self, String> {
        match column {
            Column::Bytes(bytes) => Ok(bytes.to_vec()),
            other => wrong(other, "bytes"),
        }
    }
}

impl<const N: usize> FromColumn for [u8; N] {
    fn from_column(column: Column<'_>) -> Result<Self, String> {
        match column {
            Column::Bytes(bytes) => {
                bytes.try_into().map_err(|_| format!("it has {} bytes, not {N}", bytes.len()))
            }
            other => wrong(other, "bytes"),
        }
    }
}

impl FromColumn for Uuid {
    fn from_column(column: Column<'_>) -> Result<Self, String> {
        <[u8; 16]>::from_column(column).map(Uuid::from_bytes)
    }
}

impl FromColumn for Timestamp {
    fn from_column(column: Column<'_>) -> Result<Self, String> {
        Timestamp::from_micros(i64::from_column(column)?).map_err(|e| e.to_string())
    }
}

impl FromColumn for Decimal {
    fn from_column(column: Column<'_>) -> Result<Self, String> {
        let text = String::from_column(column)?;
        text.parse().map_err(|_| format!("{text:?} is no decimal"))
    }
}

macro_rules! ids {
    ($($id:ident)+) => {$(
        impl From<$id> for Value<'_> {
            fn from(id: $id) -> Self {
                Value::Uuid(id.0)
            }
        }
        impl FromColumn for $id {
            fn from_column(column: Column<'_>) -> Result<Self, String> {
                Uuid::from_column(column).map($id)
            }
        }
    )+};
}
ids!(TenantId UserId CampaignId CohortId LimitId IncentiveId KeyId JobId);

macro_rules! texts {
    ($($text:ident)+) => {$(
        impl FromColumn for $text {
            fn from_column(column: Column<'_>) -> Result<Self, String> {
                $text::new(&String::from_column(column)?).map_err(|e| format!("it {e}"))
            }
        }
    )+};
}
texts!(UserRef EventId ActionCode);

/// Stores the words of a `domain::choice!` as text.
macro_rules! words {
    ($($choice:ty),+ $(,)?) => {$(
        impl From<$choice> for $crate::control::sql::Value<'_> {
            fn from(word: $choice) -> Self {
                Self::Text(word.as_str())
            }
        }
        impl $crate::control::sql::FromColumn for $choice {
            fn from_column(
                column: $crate::control::sql::Column<'_>,
            ) -> std::result::Result<Self, String> {
                let text = String::from_column(column)?;
                text.parse().map_err(|e: domain::shape::UnknownWord| e.to_string())
            }
        }
    )+};
}
pub(super) use words;

/// A type that is read from a row.
pub trait FromRow: Sized {
    /// Errors: [`StoreError::Corrupt`].
    fn from_row(row: &Row<'_>) -> Result<Self>;
}

/// A transaction on either database.
pub trait Sql {
    /// Runs a statement that answers with no rows; returns how many rows it changed.
    fn execute(&mut self, statement: &'static Statement, params: &[Value<'_>]) -> Result<u64>;

    /// Runs a statement for each list of parameters; returns how many rows all changed. An adapter
    /// may send them together.
    fn execute_each(
        &mut self,
        statement: &'static Statement,
        lists: &mut dyn Iterator<Item = Vec<Value<'_>>>,
    ) -> Result<u64>;

    /// Runs a statement and hands over its rows one by one, until an error.
    fn query(
        &mut self,
        statement: &'static Statement,
        params: &[Value<'_>],
        each: &mut dyn FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()>;
}

impl dyn Sql + '_ {
    /// All rows of an answer.
    pub fn rows<T: FromRow>(
        &mut self,
        statement: &'static Statement,
        params: &[Value<'_>],
    ) -> Result<Vec<T>> {
        self.map(statement, params, T::from_row)
    }

    /// All rows of an answer, each through a function.
    pub fn map<T>(
        &mut self,
        statement: &'static Statement,
        params: &[Value<'_>],
        read: impl Fn(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.query(statement, params, &mut |row| {
            rows.push(read(row)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// The row of an answer that has at most one.
    pub fn row<T: FromRow>(
        &mut self,
        statement: &'static Statement,
        params: &[Value<'_>],
    ) -> Result<Option<T>> {
        Ok(self.rows(statement, params)?.pop())
    }

    /// The column of an answer that has at most one row.
    pub fn value<T: FromColumn>(
        &mut self,
        statement: &'static Statement,
        params: &[Value<'_>],
        column: &str,
    ) -> Result<Option<T>> {
        Ok(self.map(statement, params, |row| row.get(column))?.pop())
    }
}
