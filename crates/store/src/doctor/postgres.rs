//! The same promises on PostgreSQL. Those over batches and positions are cheap; those over the whole
//! ledger read all of it and are asked for.

use super::{Examination, Finding, PLACES_MAX};
use crate::error::Result;
use crate::postgres::PgDb;

/// A promise about the stored rows.
struct Promise {
    states: &'static str,
    /// A query for the places where it is not so: one text column.
    broken: &'static str,
}

/// What no operator can mend by hand.
const DEFECT: &str = "keep a backup of the database as it is and report it; restore one from before \
                      if amounts are affected";

const CHEAP: &[Promise] = &[
    Promise {
        states: "batches follow one another without a gap up to the position",
        broken: "with ordered as (
                     select partition, batch_seq, offset_from, offset_to,
                         lag(batch_seq, 1, 0::bigint) over w as seq_before,
                         lag(offset_to, 1, offset_from) over w as to_before
                     from batches window w as (partition by partition order by batch_seq))
                 select partition || ': batch ' || batch_seq from ordered
                 where batch_seq <> seq_before + 1 or offset_from < to_before
                     or offset_to <= offset_from
                 union all
                 select p.partition || ': position ' || p.next_offset || ' after batch '
                     || p.batch_seq
                 from positions p left join batches b
                     on b.partition = p.partition and b.batch_seq = p.batch_seq
                 where p.batch_seq > 0 and (b.offset_to is null or b.offset_to <> p.next_offset)",
    },
    Promise {
        states: "no batch was written by an owner who had been replaced",
        broken: "select partition || ': batch ' || batch_seq || ' of epoch ' || epoch from (
                     select partition, batch_seq, epoch, lag(epoch, 1, 0::bigint) over (
                         partition by partition order by batch_seq) as epoch_before
                     from batches) b
                 where epoch < epoch_before",
    },
];

const DEEP: &[Promise] = &[
    Promise {
        states: "nothing is rewarded twice",
        // Behind the time in front, an id is the hash of what it is granted for.
        broken: "select 'incentives of user ' || user_ref || ' for event ' || event_id || ': '
                     || count(*) || ' for one cause'
                 from incentives
                 group by tenant_id, user_ref, event_id, substring(uuid_send(incentive_id) from 7)
                 having count(*) > 1",
    },
    Promise {
        states: "a user's state knows the number of the last incentive",
        broken: "select 'user ' || s.user_id || ': state says ' || s.seq || ', incentives say '
                     || coalesce(i.seq, 0)
                 from user_states s left join (
                     select user_id, max(seq) as seq from incentives group by user_id) i
                     using (user_id)
                 where i.seq is not null and s.seq <> i.seq",
    },
    Promise {
        states: "the order of publication is dense in each batch",
        broken: "select source_partition || ': batch ' || batch_seq || ': ' || count(*)
                     || ' incentives, last ' || max(ordinal)
                 from incentives group by source_partition, batch_seq
                 having min(ordinal) <> 0 or max(ordinal) <> count(*) - 1",
    },
    Promise {
        states: "each incentive up to the relay's place is recorded as published",
        broken: "select 'incentive ' || i.incentive_id from incentives i
                 join positions p on p.partition = i.source_partition
                 where (i.batch_seq, i.ordinal) <= (p.published_batch, p.published_ordinal)
                 and not exists (
                     select 1 from incentive_event_log l where l.incentive_id = i.incentive_id)",
    },
];

/// Examines a database of this program's schema, as of one moment; with `deep` also what reads the
/// whole ledger. Errors: those of the database.
pub async fn examine_postgres(db: &PgDb, deep: bool) -> Result<Examination> {
    let mut client = db.client().await?;
    let transaction = tokio_postgres::Client::transaction(&mut client).await?;
    let one_state = "set transaction isolation level repeatable read, read only;
                     set local statement_timeout = 0";
    transaction.batch_execute(one_state).await?;
    let mut examination = Examination::default();
    for promise in CHEAP.iter().chain(DEEP.iter().filter(|_| deep)) {
        examination.examined.push(promise.states);
        let query = format!(
            "select place, count(*) over () from ({}) as broken (place) limit {PLACES_MAX}",
            promise.broken
        );
        let rows = transaction.query(&query, &[]).await?;
        let Some(first) = rows.first() else { continue };
        let count: i64 = first.try_get(1)?;
        let places: std::result::Result<Vec<String>, _> =
            rows.iter().map(|row| row.try_get(0)).collect();
        examination.findings.push(Finding {
            states: promise.states,
            count: count.unsigned_abs(),
            places: places?,
            mend: DEFECT,
        });
    }
    // Counting a ledger takes as long as reading it.
    let tables: &[&str] = match deep {
        true => &["tenants", "campaigns", "users", "events", "incentives", "dead_letters"],
        false => &["tenants", "campaigns", "dead_letters"],
    };
    for table in tables {
        let count = format!("select count(*) from {table}");
        let count: i64 = transaction.query_one(&count, &[]).await?.try_get(0)?;
        examination.rows.push((table, count.unsigned_abs()));
    }
    Ok(examination)
}
