//! The invariants that one query each can check. The numbers are those of the design's list; what
//! is not here is checked by the comparison with the slow reference, or by reading the topic.

use super::asked::Asked;

/// What must not be, and a query that counts where it is.
const BROKEN: [(&str, &str); 15] = [
    (
        "I-1: one incentive for each cause",
        "select count(*) from (select 1 from incentives
         group by tenant_id, user_ref, event_id, substring(uuid_send(incentive_id) from 7)
         having count(*) > 1) x",
    ),
    (
        "I-2: one outcome for each event id",
        "select count(*) from (select 1 from events group by tenant_id, event_id
         having count(*) > 1) x",
    ),
    (
        "I-2: each event has its id, each id its event",
        "select abs((select count(*) from events) - (select count(*) from event_ids))",
    ),
    (
        "I-3: no offset is skipped or decided twice",
        "select count(*) from (
             select offset_from - lag(offset_to, 1, 0::bigint) over w as hole,
                 batch_seq - lag(batch_seq, 1, 0::bigint) over w as step
             from batches window w as (partition by partition order by batch_seq)) x
         where hole <> 0 or step <> 1",
    ),
    (
        "I-3: each record of a batch is counted under one outcome",
        "select count(*) from batches b where b.offset_to - b.offset_from <> (
             select sum(value::bigint) from jsonb_each_text(b.counts))",
    ),
    (
        "I-3: what was newly decided is in the ledger of events",
        "select abs((select count(*) from events) - (select sum(value::bigint)
             from batches b, jsonb_each_text(b.counts)
             where key not in ('DUPLICATE', 'ID_REUSED', 'UNREADABLE')))",
    ),
    (
        "I-4: epochs never fall",
        "select count(*) from (
             select epoch < lag(epoch, 1, 0::bigint) over (
                 partition by partition order by batch_seq) as falls from batches) x where falls",
    ),
    (
        "I-6: no use passes its cap",
        "select count(*) from incentives
         where tenant_day_used > tenant_day_cap or tenant_total_used > tenant_total_cap
             or user_day_used > user_day_cap or user_total_used > user_total_cap",
    ),
    (
        "I-7: the tenants' use is the number of their incentives",
        "select count(*) from (
             select tenant_id, bucket, used from limit_usage where limit_key = 'tenant') u
         full join (
             select tenant_id, limit_day::bigint as bucket, count(*) as used
             from incentives group by 1, 2
             union all
             select tenant_id, -2147483648, count(*) from incentives group by 1) i
         using (tenant_id, bucket) where u.used is distinct from i.used",
    ),
    (
        "I-12: the order of publication is dense in each batch, and each batch exists",
        "select count(*) from (
             select source_partition, batch_seq, min(ordinal) as first, max(ordinal) as last,
                 count(*) as many, count(distinct ordinal) as different
             from incentives group by 1, 2) i
         left join batches b on b.partition = i.source_partition and b.batch_seq = i.batch_seq
         where b.partition is null or first <> 0 or last <> many - 1 or different <> many",
    ),
    (
        "I-13: everything is recorded as published, once",
        "select abs((select count(*) from incentives)
             - (select count(*) from incentive_event_log))",
    ),
    (
        "I-14: nothing is published that is not there",
        "select count(*) from incentive_event_log l where not exists (
             select 1 from incentives i where i.incentive_id = l.incentive_id)",
    ),
    (
        "I-15: a user's incentives are numbered without a gap",
        "select count(*) from (select 1 from incentives group by user_id
         having min(seq) <> 1 or max(seq) <> count(*) or count(distinct seq) <> count(*)) x",
    ),
    (
        "I-17: the day of a limit follows from append time and zone",
        "select count(*) from incentives i join tenants t using (tenant_id)
         where limit_day <> (issued_at at time zone time_zone)::date - date '1970-01-01'",
    ),
    (
        "I-20: an incentive is that of an event, a user and a campaign of its tenant",
        "select count(*) from incentives i
         left join events e on e.tenant_id = i.tenant_id and e.event_id = i.event_id
             and e.user_id = i.user_id
         left join campaigns c on c.tenant_id = i.tenant_id and c.campaign_id = i.campaign_id
         where e.event_id is null or c.campaign_id is null",
    ),
];

/// Asks all of them, and what `incent doctor` asks.
///
/// # Panics
/// When one does not hold: says which, and in how many places.
pub fn hold(db: &Asked) {
    for (promise, broken) in BROKEN {
        assert_eq!(db.number(broken), 0, "{promise}");
    }
    let examination = db.wait(store::doctor::examine_postgres(&db.pool, true));
    let findings = examination.expect("an examination").findings;
    assert!(findings.is_empty(), "{findings:#?}");
}
