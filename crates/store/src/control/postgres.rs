//! The facade over a connection of the PostgreSQL client. Its functions wait for the asynchronous
//! client, so they run on blocking threads only: see `docs/adr/0002-sql-facade.md`.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use deadpool_postgres::Object;
use tokio::runtime::Handle;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::sql::{Column, Columns, Row, Sql, Statement, Value};
use crate::error::{Result, StoreError};
use crate::postgres::PgDb;
use crate::postgres::values::{Amount, CompactDocument, Document, Instant, numeric_text};

/// Operators may look through a year: their statements have other bounds than the event path's.
const BEGIN_READ: &str = "begin isolation level repeatable read read only;
    set local statement_timeout = '5min'; set local idle_in_transaction_session_timeout = '30s'";
const BEGIN_WRITE: &str = "begin; set local statement_timeout = '60s';
    set local idle_in_transaction_session_timeout = '30s'";

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// Runs a closure in a transaction on a blocking thread.
pub(super) async fn run<T, F>(db: &PgDb, purpose: Purpose, work: F) -> Result<T>
where
    F: FnOnce(&mut dyn Sql) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let client = db.client().await?;
    let runtime = Handle::current();
    let work = move || {
        let mut session = PgSession { client, runtime };
        session.transaction(purpose, work)
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| StoreError::Panicked { detail: e.to_string() })?
}

/// A transaction of the PostgreSQL client.
struct PgSession {
    client: Object,
    runtime: Handle,
}

impl PgSession {
    fn transaction<T>(
        &mut self,
        purpose: Purpose,
        work: impl FnOnce(&mut dyn Sql) -> Result<T>,
    ) -> Result<T> {
        let begin = if purpose == Purpose::Read { BEGIN_READ } else { BEGIN_WRITE };
        self.runtime.block_on(self.client.batch_execute(begin))?;
        let mut open = Open { session: self, is_ended: false };
        let done = work(&mut *open.session)?;
        // After a statement that failed, `commit` alone would quietly roll back.
        open.end("select 1; commit")?;
        Ok(done)
    }
}

/// An open transaction, rolled back unless it is ended: also when the closure panics.
struct Open<'s> {
    session: &'s mut PgSession,
    is_ended: bool,
}

impl Open<'_> {
    fn end(&mut self, how: &str) -> Result<()> {
        let PgSession { client, runtime } = &*self.session;
        runtime.block_on(client.batch_execute(how))?;
        self.is_ended = true;
        Ok(())
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.is_ended
            && let Err(error) = self.end("rollback")
        {
            tracing::debug!(%error, "a transaction ended with its connection");
        }
    }
}

impl PgSession {
    fn rows(
        &mut self,
        statement: &'static Statement,
        params: &[Value<'_>],
    ) -> Result<Vec<tokio_postgres::Row>> {
        let Self { client, runtime } = self;
        runtime.block_on(async {
            let prepared = client.prepare_cached(statement.sql).await?;
            let params: Vec<_> = params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
            Ok(client.query(&prepared, &params).await?)
        })
    }
}

impl Sql for PgSession {
    fn execute(&mut self, statement: &'static Statement, params: &[Value<'_>]) -> Result<u64> {
        let Self { client, runtime } = self;
        runtime.block_on(async {
            let prepared = client.prepare_cached(statement.sql).await?;
            let params: Vec<_> = params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
            Ok(client.execute(&prepared, &params).await?)
        })
    }

    fn execute_each(
        &mut self,
        statement: &'static Statement,
        lists: &mut dyn Iterator<Item = Vec<Value<'_>>>,
    ) -> Result<u64> {
        let mut changed = 0;
        for params in lists {
            changed += self.execute(statement, &params)?;
        }
        Ok(changed)
    }

    fn query(
        &mut self,
        statement: &'static Statement,
        params: &[Value<'_>],
        each: &mut dyn FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        for row in self.rows(statement, params)? {
            each(&Row::new(&PgColumns::of(&row), statement))?;
        }
        Ok(())
    }
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Value::Null => return Ok(IsNull::Yes),
            Value::Int(n) => match *ty {
                Type::INT2 => out.put_i16(i16::try_from(*n)?),
                Type::INT4 => out.put_i32(i32::try_from(*n)?),
                Type::INT8 => out.put_i64(*n),
                Type::NUMERIC => return Amount((*n).into()).to_sql(ty, out),
                _ => return Err(misfit(self, ty)),
            },
            Value::Bool(b) => match *ty {
                Type::BOOL => out.put_u8(u8::from(*b)),
                Type::INT8 => out.put_i64(i64::from(*b)),
                Type::INT4 => out.put_i32(i32::from(*b)),
                _ => return Err(misfit(self, ty)),
            },
            Value::Time(at) => return Instant(*at).to_sql_checked(ty, out),
            Value::Text(text) | Value::Json(text) => {
                return Document(text).to_sql_checked(ty, out);
            }
            Value::Bytes(bytes) => match *ty {
                Type::BYTEA => out.put_slice(bytes),
                Type::UUID if bytes.len() == 16 => out.put_slice(bytes),
                _ => return Err(misfit(self, ty)),
            },
            Value::Uuid(id) => match *ty {
                Type::UUID | Type::BYTEA => out.put_slice(id.as_bytes()),
                _ => return Err(misfit(self, ty)),
            },
            Value::Decimal(amount) => return Amount(*amount).to_sql_checked(ty, out),
        }
        Ok(IsNull::No)
    }

    /// What fits is seen value by value.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn misfit(value: &Value<'_>, ty: &Type) -> Box<dyn Error + Sync + Send> {
    format!("{value:?} is given where the statement asks for {ty}").into()
}

/// A row in its neutral form: PostgreSQL's instants, amounts and documents have forms of their own.
struct PgColumns<'r>(Vec<(&'r str, Result<Owned, String>)>);

enum Owned {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl<'r> PgColumns<'r> {
    fn of(row: &'r tokio_postgres::Row) -> Self {
        let column = |(i, c): (usize, &'r tokio_postgres::Column)| {
            let value = row.try_get::<_, Option<Owned>>(i).map_err(|e| e.to_string());
            (c.name(), value.map(|value| value.unwrap_or(Owned::Null)))
        };
        Self(row.columns().iter().enumerate().map(column).collect())
    }
}

impl FromSql<'_> for Owned {
    fn from_sql(ty: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT2 => Self::Int(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::BOOL => Self::Int(bool::from_sql(ty, raw)?.into()),
            Type::TIMESTAMPTZ => Self::Int(Instant::from_sql(ty, raw)?.0.micros()),
            Type::NUMERIC => Self::Text(numeric_text(raw)?),
            Type::JSONB => Self::Text(CompactDocument::from_sql(ty, raw)?.0),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => {
                Self::Text(String::from_sql(ty, raw)?)
            }
            Type::UUID | Type::BYTEA => Self::Bytes(raw.to_vec()),
            _ => return Err(format!("it holds {ty}").into()),
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Columns for PgColumns<'_> {
    fn named(&self, name: &str) -> Result<Column<'_>, String> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        let (_, value) = found.ok_or_else(|| format!("there is no column {name}"))?;
        Ok(match value.as_ref().map_err(Clone::clone)? {
            Owned::Null => Column::Null,
            Owned::Int(n) => Column::Int(*n),
            Owned::Text(text) => Column::Text(text),
            Owned::Bytes(bytes) => Column::Bytes(bytes),
        })
    }

    fn label(&self) -> String {
        match self.0.first() {
            Some((_, Ok(Owned::Int(n)))) => n.to_string(),
            Some((_, Ok(Owned::Text(text)))) => text.clone(),
            Some((_, Ok(Owned::Bytes(bytes)))) => uuid::Uuid::from_slice(bytes)
                .map_or_else(|_| format!("{} bytes", bytes.len()), |id| id.to_string()),
            _ => "unknown".to_owned(),
        }
    }
}
