//! Promises that one query can check: it names the rows that break them.

use rusqlite::Connection;

use super::{Finding, PLACES_MAX};
use crate::error::Result;

/// A promise about the stored rows.
pub struct Invariant {
    /// What should be true.
    pub states: &'static str,
    /// A query for the places where it is not: one text column.
    broken: &'static str,
    /// What to do about it.
    mend: &'static str,
}

/// What no operator can mend by hand.
const DEFECT: &str = "keep a copy of the data directory and report it; restore a backup from before \
                      if amounts are affected";

impl Invariant {
    /// Looks for places where it does not hold.
    pub fn check(&self, conn: &Connection) -> Result<Option<Finding>> {
        let mut query = conn.prepare(self.broken)?;
        let mut rows = query.query([])?;
        let (mut count, mut places) = (0, Vec::new());
        while let Some(row) = rows.next()? {
            count += 1;
            if places.len() < PLACES_MAX {
                places.push(row.get(0)?);
            }
        }
        let finding = Finding { states: self.states, count, places, mend: self.mend };
        Ok((count > 0).then_some(finding))
    }
}

/// All of them.
pub(super) const ALL: &[Invariant] = &[
    Invariant {
        states: "each incentive belongs to an event that was decided",
        broken: "select 'incentive ' || hex(i.incentive_id) || ' for event ' || i.event_id
                 from incentives i where (i.tenant_id, i.event_id, i.user_id) not in (
                     select tenant_id, event_id, user_id from events
                     where outcome is not null)",
        mend: DEFECT,
    },
    Invariant {
        states: "nothing is rewarded twice",
        // Behind the time in front, an id is the hash of what it is granted for.
        broken: "select 'incentives of user ' || user_ref || ' for event ' || event_id
                     || ': ' || count(*) || ' for one cause'
                 from incentives group by substr(incentive_id, 7) having count(*) > 1",
        mend: DEFECT,
    },
    Invariant {
        states: "no use of a limit passes its cap",
        broken: "select 'incentive ' || hex(incentive_id) from incentives
                 where tenant_day_used > tenant_day_cap or tenant_total_used > tenant_total_cap
                     or user_day_used > user_day_cap or user_total_used > user_total_cap",
        mend: DEFECT,
    },
    Invariant {
        states: "a user's incentives are numbered without a gap from 1",
        broken: "select 'user ' || user_ref || ': ' || count(*) || ' incentives, numbers '
                     || min(seq) || ' to ' || max(seq)
                 from incentives group by user_id
                 having min(seq) <> 1 or max(seq) <> count(*) or count(distinct seq) <> count(*)",
        mend: DEFECT,
    },
    Invariant {
        states: "a user's state knows the number of the last incentive",
        broken: "select 'user ' || hex(s.user_id) || ': state says ' || s.seq || ', incentives say '
                     || coalesce((select max(i.seq) from incentives i where i.user_id = s.user_id), 0)
                 from user_states s where s.seq <> coalesce(
                     (select max(i.seq) from incentives i where i.user_id = s.user_id), 0)",
        mend: DEFECT,
    },
    Invariant {
        states: "each user with a state is a known user",
        broken: "select 'user ' || hex(s.user_id) from user_states s
                 where not exists (select 1 from users u where u.user_id = s.user_id)",
        mend: DEFECT,
    },
    Invariant {
        states: "each campaign that granted something exists",
        broken: "select 'campaign ' || hex(campaign_id) from (select distinct campaign_id from incentives)
                 where campaign_id not in (select campaign_id from campaigns)",
        mend: DEFECT,
    },
    Invariant {
        states: "the log is decided up to the position and not beyond",
        broken: "select 'record ' || e.log_offset || case when e.outcome is null
                     then ' is undecided' else ' is decided too early' end
                 from events e, positions p
                 where p.topic = 'tenant-events' and p.partition = 0
                 and (e.outcome is null) <> (e.log_offset >= p.next_offset)",
        mend: DEFECT,
    },
    Invariant {
        states: "batches follow one another without a gap up to the position",
        broken: "with ordered as (
                     select partition, batch_seq, offset_from, offset_to,
                         lag(batch_seq, 1, 0) over w as seq_before,
                         lag(offset_to, 1, offset_from) over w as to_before
                     from batches window w as (partition by partition order by batch_seq))
                 select 'batch ' || batch_seq from ordered
                 where batch_seq <> seq_before + 1 or offset_from <> to_before
                     or offset_to <= offset_from
                 union all
                 select 'position ' || p.next_offset || ' after batch ' || p.batch_seq
                 from positions p left join batches b
                     on b.partition = p.partition and b.batch_seq = p.batch_seq
                 where p.topic = 'tenant-events' and p.batch_seq > 0
                     and (b.offset_to is null or b.offset_to <> p.next_offset)",
        mend: DEFECT,
    },
    Invariant {
        states: "no batch was written by an owner who had been replaced",
        broken: "select 'batch ' || batch_seq || ' of epoch ' || epoch from (
                     select batch_seq, epoch, lag(epoch, 1, 0) over (
                         partition by partition order by batch_seq) as epoch_before from batches)
                 where epoch < epoch_before",
        mend: DEFECT,
    },
    Invariant {
        states: "each record of a batch was counted under one outcome",
        broken: "select 'batch ' || b.batch_seq || ': ' || (b.offset_to - b.offset_from)
                     || ' records, ' || (select total(c.value) from json_each(b.counts) c)
                 from batches b where b.offset_to - b.offset_from
                     <> (select total(c.value) from json_each(b.counts) c)",
        mend: DEFECT,
    },
    Invariant {
        states: "the order of publication is dense in each batch",
        broken: "select 'batch ' || batch_seq || ': ' || count(*) || ' incentives, last '
                     || max(ordinal)
                 from incentives group by source_partition, batch_seq
                 having min(ordinal) <> 0 or max(ordinal) <> count(*) - 1",
        mend: DEFECT,
    },
    Invariant {
        states: "what was published is an incentive",
        broken: "select 'publication of ' || hex(l.incentive_id) from incentive_event_log l
                 where not exists (
                     select 1 from incentives i where i.incentive_id = l.incentive_id)",
        mend: DEFECT,
    },
    Invariant {
        states: "each incentive up to the relay's place is recorded as published",
        broken: "select 'incentive ' || hex(i.incentive_id) from incentives i join positions p
                     on p.topic = 'tenant-events' and p.partition = i.source_partition
                 where (i.batch_seq, i.ordinal) <= (p.published_batch, p.published_ordinal)
                 and not exists (
                     select 1 from incentive_event_log l where l.incentive_id = i.incentive_id)",
        mend: "the incentives are safe, but their users may not have been told; report it",
    },
    Invariant {
        states: "each event id points to its record",
        broken: "select 'offset ' || k.log_offset from event_ids k where not exists (
                     select 1 from events e where e.log_offset = k.log_offset
                     and e.tenant_id = k.tenant_id)",
        mend: DEFECT,
    },
    Invariant {
        states: "each record has its event id",
        broken: "select 'record ' || e.log_offset || ' (' || e.event_id || ')' from events e
                 where (select count(*) from events) <> (select count(*) from event_ids)
                 and not exists (select 1 from event_ids k where k.log_offset = e.log_offset)",
        mend: DEFECT,
    },
    Invariant {
        states: "the time of a tenant's log never goes back",
        broken: "select 'record ' || log_offset from (
                     select log_offset, append_time, lag(append_time, 1, 0) over (
                         partition by tenant_id order by log_offset) as time_before from events)
                 where append_time < time_before",
        mend: DEFECT,
    },
    Invariant {
        states: "cohorts have the size that they say",
        broken: "select 'cohort ' || c.name || ': ' || c.size from cohorts c
                 where c.size <> (select count(*) from cohort_members m
                     where m.cohort_id = c.cohort_id
                     and m.membership_version = c.membership_version)",
        mend: "recompute the cohort, or write its list again",
    },
];
