//! The tenant's log, added up user by user. It is read in short pieces, so that no read holds an old
//! state of the database, and a recompute goes on where the one before it came to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::cohort::{CriteriaProgram, PastEvent, Tally};
use domain::id::{ActionCode, CohortId, TenantId, UserId, UserRef};
use domain::payload::Payload;
use domain::time::{Timestamp, Zone};

use super::Progress;
use crate::control::Control;
use crate::control::sql::{Row, Sql, params, statements};
use crate::error::Result;

statements! {
    LAST = "select max(log_offset) as last from events where tenant_id = $1";
    EVENTS = "select log_offset, user_id, user_ref, action_code, event_ts,
                     coalesce(payload, 'null') as payload
              from events
              where tenant_id = $1 and log_offset > $2 and log_offset <= $3
                and outcome is not null and append_time >= $4 and append_time < $5
                and event_ts >= $6
              order by log_offset";
}

/// Offsets of the log that one read goes through.
const OFFSETS_PER_READ: i64 = 20_000;
/// Cohorts that can go on; beyond them the next recompute of one begins at the beginning.
const COHORTS_KEPT_MAX: usize = 64;
/// Users whose tallies are kept for all of them together, some 150 bytes each.
const USERS_KEPT_MAX: usize = 100_000;

/// What is to be found out.
pub(super) struct Question {
    pub program: CriteriaProgram,
    /// The criteria as stored: a kept part of the answer is one to the same criteria only.
    pub criteria_json: String,
    pub zone: Zone,
    pub as_of: Timestamp,
}

/// What one user did.
pub(super) struct Doings {
    pub user_ref: UserRef,
    pub tallies: Vec<Tally>,
}

/// What is known of a log so far.
pub(super) struct Tallied {
    pub users: HashMap<UserId, Doings>,
    /// The reading began after this offset …
    begin: i64,
    /// … and with this append time.
    from: Timestamp,
    /// The first and the last offset since then that counted.
    counted: Option<(i64, i64)>,
}

impl Tallied {
    /// Before the first offset of the log.
    pub fn nothing() -> Self {
        Self { users: HashMap::new(), begin: -1, from: Timestamp::default(), counted: None }
    }
}

/// Where the recomputes of cohorts came to.
#[derive(Default)]
pub struct Resumes(Mutex<HashMap<CohortId, Resume>>);

struct Resume {
    criteria_json: String,
    zone: Zone,
    as_of: Timestamp,
    /// Up to this offset everything is in the tallies, or will never count again …
    through: i64,
    /// … and so is what was appended before this.
    before: Timestamp,
    users: HashMap<UserId, Doings>,
}

impl Resumes {
    /// What was kept of a cohort, if it answers the same question at an earlier moment.
    fn take(&self, cohort: CohortId, of: &Question) -> Option<Resume> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&cohort)?;
        let same = kept.criteria_json == of.criteria_json
            && kept.zone == of.zone
            && kept.as_of <= of.as_of;
        same.then_some(kept)
    }

    fn keep(&self, cohort: CohortId, resume: Resume) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let users: usize = kept.values().map(|resume| resume.users.len()).sum();
        if kept.len() < COHORTS_KEPT_MAX && users + resume.users.len() <= USERS_KEPT_MAX {
            kept.insert(cohort, resume);
        } else {
            // Room for those that are still recomputed: some of these may be gone.
            kept.clear();
        }
    }
}

/// What each user did, of those who did anything that may count.
pub(super) async fn tally(
    control: &Control,
    resumes: &Resumes,
    (tenant, cohort): (TenantId, CohortId),
    question: &Arc<Question>,
    progress: &(impl Fn(Progress) + Sync),
) -> Result<Tallied> {
    let kept = resumes.take(cohort, question);
    let mut tallied = kept.map_or_else(Tallied::nothing, |kept| Tallied {
        users: kept.users,
        begin: kept.through,
        from: kept.before,
        counted: None,
    });
    let begin = tallied.begin;
    let last = control.read(move |sql| last(sql, tenant)).await?;
    let mut at = begin;
    while at < last {
        let (from, to) = (at, last.min(at + OFFSETS_PER_READ));
        let question = question.clone();
        tallied = control
            .read(move |sql| {
                add(sql, tenant, &question, (from, to), &mut tallied)?;
                Ok(tallied)
            })
            .await?;
        at = to;
        let count = |offsets: i64| offsets.unsigned_abs();
        progress(Progress { done: count(at - begin), total: count(last - begin) });
    }
    Ok(tallied)
}

/// Keeps what the next recompute of the cohort need not find out again.
pub(super) fn keep(
    control: &Control,
    resumes: &Resumes,
    cohort: CohortId,
    question: &Question,
    tallied: Tallied,
) {
    let (first, last) = tallied.counted.unwrap_or((tallied.begin + 1, tallied.begin));
    // With a window that moves on, what counted now may not count then; what came before it never
    // will.
    let (through, before, users) = match question.program.slides() {
        true => (first - 1, Timestamp::default(), HashMap::new()),
        false => (last, question.as_of, tallied.users),
    };
    let through = if control.has_one_log() { through } else { -1 };
    let (criteria_json, zone) = (question.criteria_json.clone(), question.zone.clone());
    let as_of = question.as_of;
    resumes.keep(cohort, Resume { criteria_json, zone, as_of, through, before, users });
}

fn last(sql: &mut dyn Sql, tenant: TenantId) -> Result<i64> {
    let last: Option<Option<i64>> = sql.value(&LAST, params![tenant], "last")?;
    Ok(last.flatten().unwrap_or(-1))
}

fn add(
    sql: &mut dyn Sql,
    tenant: TenantId,
    question: &Question,
    (from, to): (i64, i64),
    tallied: &mut Tallied,
) -> Result<()> {
    let Question { program, zone, as_of, .. } = question;
    let tallied_from = tallied.from;
    let mut each = |row: &Row<'_>| {
        let offset: i64 = row.get("log_offset")?;
        tallied.counted = Some((tallied.counted.map_or(offset, |(first, _)| first), offset));
        let payload: String = row.get("payload")?;
        // Events whose payload cannot be read are dead letters; they count for nothing.
        let Ok(payload) = Payload::parse(&payload) else { return Ok(()) };
        let action: ActionCode = row.get("action_code")?;
        let event = PastEvent { action: &action, ts: row.get("event_ts")?, payload: &payload };
        let own = match tallied.users.entry(row.get("user_id")?) {
            std::collections::hash_map::Entry::Occupied(own) => own.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let user_ref = row.get("user_ref")?;
                new.insert(Doings { user_ref, tallies: program.tallies() })
            }
        };
        program.add(&mut own.tallies, event, zone, *as_of);
        Ok(())
    };
    let since = program.earliest(*as_of);
    sql.query(&EVENTS, params![tenant, from, to, tallied_from, *as_of, since], &mut each)
}
