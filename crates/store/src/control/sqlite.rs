//! The facade over a connection of the SQLite client.

use rusqlite::Connection;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

use super::sql::{Column, Columns, Row, Sql, Statement, Value};
use crate::error::{Result, StoreError};

/// A transaction of the SQLite client.
pub struct SqliteSession<'c>(pub &'c Connection);

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Int(n) => ToSqlOutput::Borrowed(ValueRef::Integer(*n)),
            Value::Bool(b) => ToSqlOutput::Borrowed(ValueRef::Integer(i64::from(*b))),
            Value::Time(at) => ToSqlOutput::Borrowed(ValueRef::Integer(at.micros())),
            Value::Text(text) | Value::Json(text) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
            }
            Value::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Value::Uuid(id) => ToSqlOutput::Borrowed(ValueRef::Blob(id.as_bytes())),
            Value::Decimal(amount) => ToSqlOutput::from(amount.to_string()),
        })
    }
}

impl Sql for SqliteSession<'_> {
    fn execute(&mut self, statement: &'static Statement, params: &[Value<'_>]) -> Result<u64> {
        let mut prepared = self.0.prepare_cached(statement.sql)?;
        bind(&mut prepared, params)?;
        Ok(prepared.raw_execute()? as u64)
    }

    fn execute_each(
        &mut self,
        statement: &'static Statement,
        lists: &mut dyn Iterator<Item = Vec<Value<'_>>>,
    ) -> Result<u64> {
        let mut prepared = self.0.prepare_cached(statement.sql)?;
        let mut changed = 0;
        for params in lists {
            bind(&mut prepared, &params)?;
            changed += prepared.raw_execute()? as u64;
        }
        Ok(changed)
    }

    fn query(
        &mut self,
        statement: &'static Statement,
        params: &[Value<'_>],
        each: &mut dyn FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut prepared = self.0.prepare_cached(statement.sql)?;
        bind(&mut prepared, params)?;
        let mut rows = prepared.raw_query();
        while let Some(row) = rows.next()? {
            each(&Row::new(&SqliteColumns(row), statement))?;
        }
        Ok(())
    }
}

/// Binds each parameter to the placeholder of its number. SQLite takes `$3` for a name and numbers
/// the names by their first use.
fn bind(prepared: &mut rusqlite::Statement<'_>, params: &[Value<'_>]) -> Result<()> {
    if prepared.parameter_count() != params.len() {
        let (has, given) = (prepared.parameter_count(), params.len());
        let what = format!("a statement has {has} placeholders and got {given} parameters");
        return Err(StoreError::Invalid { what });
    }
    for index in 1..=params.len() {
        let name = prepared.parameter_name(index).unwrap_or_default();
        let number = name.trim_start_matches('$').parse::<usize>();
        let value = number.ok().and_then(|n| params.get(n.checked_sub(1)?));
        let value = value.ok_or_else(|| {
            StoreError::invalid(format!("the placeholder {name:?} has no parameter"))
        })?;
        prepared.raw_bind_parameter(index, value)?;
    }
    Ok(())
}

struct SqliteColumns<'r>(&'r rusqlite::Row<'r>);

impl Columns for SqliteColumns<'_> {
    fn named(&self, name: &str) -> Result<Column<'_>, String> {
        match self.0.get_ref(name).map_err(|e| e.to_string())? {
            ValueRef::Null => Ok(Column::Null),
            ValueRef::Integer(n) => Ok(Column::Int(n)),
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => Ok(Column::Text(text)),
                Err(_) => Err("it holds a text that is not UTF-8".to_owned()),
            },
            ValueRef::Blob(bytes) => Ok(Column::Bytes(bytes)),
            ValueRef::Real(x) => Err(format!("it holds the float {x}")),
        }
    }

    fn label(&self) -> String {
        match self.0.get_ref(0) {
            Ok(ValueRef::Integer(n)) => n.to_string(),
            Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            Ok(ValueRef::Blob(bytes)) => uuid::Uuid::from_slice(bytes)
                .map_or_else(|_| format!("{} bytes", bytes.len()), |id| id.to_string()),
            _ => "unknown".to_owned(),
        }
    }
}
