//! The same forward-only migrations as on SQLite, under an advisory lock: of several processes that
//! start at once, one migrates and the others find it done.

use domain::time::Timestamp;
use tokio_postgres::Transaction;

use super::PgDb;
use super::values::Instant;
use crate::error::{Result, StoreError};
use crate::migrate::{Applied, Migration, check, checksum, migrations};

/// The schema of the distributed profile.
pub const POSTGRES: &[Migration] =
    migrations!("postgres": 1 "hot", 2 "control", 3 "progress", 4 "captured");

/// Who migrates holds it; any fixed number will do.
const LOCK: &str = "select pg_advisory_xact_lock(7310868735)";
const UNBOUNDED: &str = "set local statement_timeout = 0; set local lock_timeout = 0;
    set local idle_in_transaction_session_timeout = 0";
const CREATE_TABLE: &str = "
create table if not exists schema_migrations (
    version    bigint      not null primary key,
    name       text        not null,
    checksum   text        not null,
    applied_at timestamptz not null
)";

/// Brings the database to this program's schema, all steps or none. Returns the names of the steps
/// that it applied. Errors: [`StoreError::Schema`] when the database is of a newer program or was
/// migrated by altered files.
pub async fn migrate(db: &PgDb, now: Timestamp) -> Result<Vec<&'static str>> {
    let mut client = db.client().await?;
    // The pool's own kind of transaction keeps statements that outlive it.
    let transaction = tokio_postgres::Client::transaction(&mut client).await?;
    transaction.batch_execute(UNBOUNDED).await?;
    transaction.batch_execute(LOCK).await?;
    let names = apply(&transaction, POSTGRES, now).await?;
    transaction.commit().await?;
    Ok(names)
}

/// Whether the database has exactly this program's schema. Errors: [`StoreError::Schema`] says what
/// to do.
pub async fn check_current(db: &PgDb) -> Result<()> {
    let mut client = db.client().await?;
    let transaction = tokio_postgres::Client::transaction(&mut client).await?;
    let is_there = "select to_regclass('schema_migrations') is not null";
    let known = match transaction.query_one(is_there, &[]).await?.try_get(0)? {
        true => applied(&transaction).await?,
        false => Vec::new(),
    };
    check(&known, POSTGRES)?;
    let Some(step) = POSTGRES.get(known.len()) else { return Ok(()) };
    let what = match known.is_empty() {
        true => "the database has no tables of ours yet: run `incent migrate` once".to_owned(),
        false => format!(
            "the database lacks migration {:04}_{}: it was written by an older version; run \
             `incent migrate` of this one, which applies it",
            step.version, step.name
        ),
    };
    Err(StoreError::Schema { what })
}

async fn apply(
    transaction: &Transaction<'_>,
    steps: &[Migration],
    now: Timestamp,
) -> Result<Vec<&'static str>> {
    transaction.batch_execute(CREATE_TABLE).await?;
    let known = applied(transaction).await?;
    check(&known, steps)?;
    let mut names = Vec::new();
    for step in &steps[known.len()..] {
        transaction.batch_execute(step.sql).await.map_err(|e| StoreError::Schema {
            what: format!(
                "migration {:04}_{} cannot be applied: {}",
                step.version,
                step.name,
                StoreError::from(e)
            ),
        })?;
        let insert = "insert into schema_migrations (version, name, checksum, applied_at)
                      values ($1, $2, $3, $4)";
        let (version, checksum) = (i64::from(step.version), checksum(step.sql));
        transaction.execute(insert, &[&version, &step.name, &checksum, &Instant(now)]).await?;
        names.push(step.name);
    }
    Ok(names)
}

async fn applied(transaction: &Transaction<'_>) -> Result<Vec<Applied>> {
    let query = "select version, name, checksum from schema_migrations order by version";
    let rows = transaction.query(query, &[]).await?;
    let read = |row: &tokio_postgres::Row| {
        let version: i64 = row.try_get(0)?;
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        Ok(Applied { version, name: row.try_get(1)?, checksum: row.try_get(2)? })
    };
    rows.iter().map(read).collect()
}
