//! Partitions of `events` and `incentives`, a month each: made ahead of time, dropped when the
//! retention has passed. What lies in no month (a replay of the past) is in the default partition.

use domain::time::{Day, Period, Timestamp, Zone};
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::PgDb;
use crate::error::{Result, StoreError};

/// Months made ahead of the present one.
const AHEAD: usize = 2;
/// Rows deleted in one statement.
const STEP_ROWS: i64 = 10_000;

/// How long rows are kept, in days.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Events and their ids. Longer than the topic keeps its records plus the allowed lateness: an
    /// id that is forgotten could be decided again.
    pub events_days: i64,
    /// Incentives.
    pub incentives_days: i64,
}

/// What keeping the partitions did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Partitions made.
    pub made: Vec<String>,
    /// Partitions dropped.
    pub dropped: Vec<String>,
    /// Event ids forgotten.
    pub ids_forgotten: u64,
}

/// A table that is partitioned by time, and how a moment is written as a bound of it.
struct Table {
    name: &'static str,
    bound: fn(Timestamp) -> String,
}

const TABLES: [Table; 2] = [
    Table { name: "events", bound: |at| format!("'{at}'") },
    Table { name: "incentives", bound: |at| format!("'{}'", first_id(at)) },
];

/// No incentive of this moment or later has a smaller id.
fn first_id(at: Timestamp) -> Uuid {
    let mut bytes = [0; 16];
    let ms = u64::try_from(at.micros() / 1000).unwrap_or(0);
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

/// Makes the partitions of this month and the next ones, and drops those that lie wholly before
/// the retention. Several processes may do so at once. Errors: those of the database.
pub async fn keep_partitions(db: &PgDb, now: Timestamp, retention: Retention) -> Result<Kept> {
    let mut client = db.client().await?;
    let mut kept = Kept::default();
    for (table, days) in TABLES.iter().zip([retention.events_days, retention.incentives_days]) {
        let transaction = tokio_postgres::Client::transaction(&mut client).await?;
        transaction.batch_execute("select pg_advisory_xact_lock(7310868736)").await?;
        make_ahead(&transaction, table, now, &mut kept).await?;
        drop_before(&transaction, table, now.plus_micros(-days * DAY_US), &mut kept).await?;
        transaction.commit().await?;
    }
    let horizon = super::values::Instant(now.plus_micros(-retention.events_days * DAY_US));
    let forget = "
        delete from event_ids i using (
            select tenant_id, event_key from event_ids where append_time < $1 limit $2) as old
        where i.tenant_id = old.tenant_id and i.event_key = old.event_key";
    kept.ids_forgotten = client.execute(forget, &[&horizon, &STEP_ROWS]).await?;
    Ok(kept)
}

const DAY_US: i64 = domain::time::DAY_US;

async fn make_ahead(
    transaction: &Transaction<'_>,
    table: &Table,
    now: Timestamp,
    kept: &mut Kept,
) -> Result<()> {
    let zone = Zone::utc();
    let mut first = Period::Month.first_day(zone.day(now));
    for _ in 0..=AHEAD {
        let next = Period::Month.next_first_day(first);
        let name = partition_name(table.name, &zone, first);
        let is_there = "select to_regclass($1) is not null";
        if !transaction.query_one(is_there, &[&name]).await?.try_get::<_, bool>(0)? {
            let (parent, bounds) = (table.name, [zone.start_of(first), zone.start_of(next)]);
            let [from, to] = bounds.map(table.bound);
            let column = if parent == "events" { "append_time" } else { "incentive_id" };
            // Rows that came before their month was made move into it.
            let make = format!(
                "create table {name} (like {parent} including defaults including constraints);
                 with moved as (
                    delete from {parent}_default where {column} >= {from} and {column} < {to}
                    returning *)
                 insert into {name} select * from moved;
                 alter table {parent} attach partition {name} for values from ({from}) to ({to});"
            );
            transaction.batch_execute(&make).await?;
            kept.made.push(name);
        }
        first = next;
    }
    Ok(())
}

/// Keeps what a month of incentives comes to, however long it takes to add it up.
fn close(month: &str) -> String {
    format!(
        "set local statement_timeout = 0;
         insert into closed_sums as c (tenant_id, user_ref, campaign_id, reward_currency, limit_day,
             incentives, amount, last_issued_at, last_seq)
         select tenant_id, user_ref, campaign_id, reward_currency, limit_day,
             count(*), sum(reward_amount), max(issued_at), max(seq)
         from {month} group by tenant_id, user_ref, campaign_id, reward_currency, limit_day
         on conflict (tenant_id, user_ref, campaign_id, reward_currency, limit_day) do update
         set incentives = c.incentives + excluded.incentives, amount = c.amount + excluded.amount,
             last_issued_at = greatest(c.last_issued_at, excluded.last_issued_at),
             last_seq = greatest(c.last_seq, excluded.last_seq)"
    )
}

/// `events_2026_03`.
fn partition_name(table: &str, zone: &Zone, first: Day) -> String {
    let date = zone.start_of(first).to_string();
    format!("{table}_{}", date[..7].replace('-', "_"))
}

async fn drop_before(
    transaction: &Transaction<'_>,
    table: &Table,
    horizon: Timestamp,
    kept: &mut Kept,
) -> Result<()> {
    let zone = Zone::utc();
    let month = Period::Month.first_day(zone.day(horizon));
    let oldest_kept = partition_name(table.name, &zone, month);
    let list = "
        select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = to_regclass($1) and c.relname <> $1 || '_default' order by c.relname";
    for row in transaction.query(list, &[&table.name]).await? {
        let name: String = row.try_get(0).map_err(StoreError::from)?;
        // The names sort as their months do.
        if name < oldest_kept {
            if table.name == "incentives" {
                transaction.batch_execute(&close(&name)).await?;
            }
            transaction.batch_execute(&format!("drop table {name}")).await?;
            kept.dropped.push(name);
        }
    }
    Ok(())
}
