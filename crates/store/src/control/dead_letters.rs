//! Records that could not be decided, with their exact bytes and the reason.

use domain::id::TenantId;
use domain::time::Timestamp;
use uuid::Uuid;

use super::sql::{FromRow, Row, Sql, params, statements};
use super::{Page, PageRequest};
use crate::error::{Result, StoreError};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select dead_letter_id, tenant_id, source, reason, detail, raw, received_at, replayed_at
             from dead_letters ",
            $rest
        )
    };
}

statements! {
    INSERT = "insert into dead_letters
                  (dead_letter_id, tenant_id, source, reason, detail, raw, received_at)
              values ($1, $2, $3, $4, $5, $6, $7)";
    GET = select!("where tenant_id = $1 and dead_letter_id = $2");
    LIST = select!("where tenant_id = $1 and dead_letter_id < $2
                    order by dead_letter_id desc limit $3");
    // Without a tenant: no tenant could be read out of these, so only the platform admin sees them.
    LIST_UNOWNED = select!("where tenant_id is null and dead_letter_id < $1
                            order by dead_letter_id desc limit $2");
    MARK_REPLAYED = "update dead_letters set replayed_at = $3
                     where tenant_id = $1 and dead_letter_id = $2";
    COUNT_OPEN = "select count(*) as n from dead_letters
                  where tenant_id = $1 and replayed_at is null";
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterRow {
    /// Its id, a UUIDv7.
    pub dead_letter_id: Uuid,
    /// Whose; `None` when that could not be read.
    pub tenant_id: Option<TenantId>,
    /// Where it came in: `ingest`, `tenant-events:0@17`.
    pub source: String,
    /// Why it could not be decided, a code.
    pub reason: String,
    /// The same in words.
    pub detail: String,
    /// Its exact bytes.
    pub raw: Vec<u8>,
    /// When it came in.
    pub received_at: Timestamp,
    /// When it was sent again.
    pub replayed_at: Option<Timestamp>,
}

impl FromRow for DeadLetterRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            dead_letter_id: row.get("dead_letter_id")?,
            tenant_id: row.get("tenant_id")?,
            source: row.get("source")?,
            reason: row.get("reason")?,
            detail: row.get("detail")?,
            raw: row.get("raw")?,
            received_at: row.get("received_at")?,
            replayed_at: row.get("replayed_at")?,
        })
    }
}

/// Keeps a dead letter.
pub fn insert(sql: &mut dyn Sql, letter: &DeadLetterRow) -> Result<()> {
    let params = params![
        letter.dead_letter_id,
        letter.tenant_id,
        &letter.source,
        &letter.reason,
        &letter.detail,
        letter.raw.as_slice(),
        letter.received_at,
    ];
    sql.execute(&INSERT, params)?;
    Ok(())
}

/// A dead letter; `None` when the tenant has none of this id.
pub fn get(sql: &mut dyn Sql, tenant: TenantId, id: Uuid) -> Result<Option<DeadLetterRow>> {
    sql.row(&GET, params![tenant, id])
}

/// A tenant's dead letters, the newest first.
pub fn list(
    sql: &mut dyn Sql,
    tenant: TenantId,
    page: PageRequest<Uuid>,
) -> Result<Page<DeadLetterRow, Uuid>> {
    let before = page.after.unwrap_or(Uuid::max());
    let rows = sql.rows(&LIST, params![tenant, before, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &DeadLetterRow| row.dead_letter_id))
}

/// Dead letters of which no tenant could be read, the newest first: for the platform admin.
pub fn list_unowned(
    sql: &mut dyn Sql,
    page: PageRequest<Uuid>,
) -> Result<Page<DeadLetterRow, Uuid>> {
    let before = page.after.unwrap_or(Uuid::max());
    let rows = sql.rows(&LIST_UNOWNED, params![before, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &DeadLetterRow| row.dead_letter_id))
}

/// Notes that a dead letter was sent again. Errors: [`StoreError::NotFound`].
pub fn mark_replayed(sql: &mut dyn Sql, tenant: TenantId, id: Uuid, at: Timestamp) -> Result<()> {
    match sql.execute(&MARK_REPLAYED, params![tenant, id, at])? {
        0 => Err(StoreError::not_found(format!("dead letter {id}"))),
        _ => Ok(()),
    }
}

/// How many of a tenant's dead letters were not sent again.
pub fn count_open(sql: &mut dyn Sql, tenant: TenantId) -> Result<u64> {
    Ok(sql.value(&COUNT_OPEN, params![tenant], "n")?.unwrap_or(0))
}
