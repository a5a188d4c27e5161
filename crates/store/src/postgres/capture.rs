//! How capturing changes is set up, and how far behind who reads them is.

use super::PgDb;
use crate::error::Result;

/// The publication that the connectors read, see the migrations.
pub const PUBLICATION: &str = "incent_incentives";

/// What there is for those who capture changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// `logical` where changes can be captured.
    pub wal_level: String,
    /// Whether rows of partitions are published as rows of the ledger; `None` = there is no
    /// publication of ours.
    pub is_by_root: Option<bool>,
    /// The places that the server keeps for readers of this database.
    pub slots: Vec<Slot>,
}

/// A replication slot of this database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether somebody reads from it now.
    pub is_active: bool,
    /// Bytes of the log that its reader has not confirmed.
    pub behind_bytes: u64,
    /// Bytes of the log that the server keeps for it.
    pub kept_bytes: u64,
    /// True when the server has thrown away what the reader had not read.
    pub is_lost: bool,
}

const SETTING: &str = "
    select current_setting('wal_level'),
        (select pubviaroot from pg_publication where pubname = $1)";
const SLOTS: &str = "
    select slot_name::text, active,
        pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(confirmed_flush_lsn, restart_lsn))::bigint,
        pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint,
        coalesce(wal_status, '') = 'lost'
    from pg_replication_slots
    where slot_type = 'logical' and database = current_database()
    order by slot_name";

/// Looks at it. Errors: those of the database.
pub async fn capture(db: &PgDb) -> Result<Capture> {
    let client = db.client().await?;
    let setting = client.query_one(SETTING, &[&PUBLICATION]).await?;
    let bytes = |n: Option<i64>| u64::try_from(n.unwrap_or(0)).unwrap_or(0);
    let mut slots = Vec::new();
    for row in client.query(SLOTS, &[]).await? {
        slots.push(Slot {
            name: row.try_get(0)?,
            is_active: row.try_get(1)?,
            behind_bytes: bytes(row.try_get(2)?),
            kept_bytes: bytes(row.try_get(3)?),
            is_lost: row.try_get(4)?,
        });
    }
    Ok(Capture { wal_level: setting.try_get(0)?, is_by_root: setting.try_get(1)?, slots })
}
