//! The recompute of a dynamic cohort: every user of the tenant held against its criteria, as of one
//! moment of the tenant's log.
//!
//! A new membership is built beside the one in force and switched to at once. The same log and the
//! same moment give the same members, live or in a replay.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use domain::cohort::{Criteria, CriteriaProgram, PastEvent, Tally};
use domain::id::{ActionCode, CohortId, TenantId, UserId, UserRef};
use domain::payload::Payload;
use domain::time::{Timestamp, Zone};

use super::cohorts::{self, CohortRow, CohortType};
use super::sql::{Row, Sql, params, statements};
use super::{Change, Control, config, memberships};
use crate::error::{Result, StoreError};

statements! {
    COUNT = "select count(*) as events from events
             where tenant_id = $1 and outcome is not null and append_time < $2 and event_ts >= $3";
    EVENTS = "select user_id, action_code, event_ts, coalesce(payload, 'null') as payload
              from events
              where tenant_id = $1 and outcome is not null and append_time < $2 and event_ts >= $3
              order by log_offset";
    USERS = "select user_id, external_ref, attributes from users
             where tenant_id = $1 and created_at < $2 order by external_ref";
}

/// Members written in one transaction.
const CHUNK: usize = memberships::MEMBERS_PER_CALL_MAX;
/// Rows of old memberships deleted in one transaction.
const PURGE_ROWS: u32 = 10_000;
/// Events between two reports of progress.
const PROGRESS_EVERY: u64 = 10_000;

/// How far a recompute is: events looked at, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Looked at so far.
    pub done: u64,
    /// In all.
    pub total: u64,
}

/// Recomputes a dynamic cohort as of `as_of`: events appended before it that are decided count.
/// `progress` is told how far it is; it must not block.
/// Errors: [`StoreError::NotFound`], [`StoreError::WrongState`] for a static cohort or when a later
/// recompute has taken over; the membership in force then stays.
pub async fn recompute(
    control: &Control,
    (tenant, cohort): (TenantId, CohortId),
    as_of: Timestamp,
    change: Change,
    progress: impl Fn(Progress) + Send + 'static,
) -> Result<CohortRow> {
    let building = control.write(move |sql| cohorts::begin(sql, tenant, cohort)).await?;
    match build(control, (tenant, cohort), building, as_of, progress).await {
        Ok(()) => {}
        Err(error) => {
            let why = error.to_string();
            let failed =
                control.write(move |sql| cohorts::fail(sql, tenant, cohort, building, &why));
            // A recompute that was overtaken has nothing to note.
            if let Err(second) = failed.await {
                tracing::warn!(%cohort, error = %second, "could not note the failure of a recompute");
            }
            return Err(error);
        }
    }
    let finish =
        move |sql: &mut dyn Sql| cohorts::finish(sql, tenant, cohort, building, as_of, &change);
    let row = control.write(finish).await?;
    loop {
        let purge = move |sql: &mut dyn Sql| memberships::purge(sql, tenant, cohort, PURGE_ROWS);
        if control.write(purge).await? < u64::from(PURGE_ROWS) {
            return Ok(row);
        }
    }
}

async fn build(
    control: &Control,
    (tenant, cohort): (TenantId, CohortId),
    building: i64,
    as_of: Timestamp,
    progress: impl Fn(Progress) + Send + 'static,
) -> Result<()> {
    let progress = Mutex::new(progress);
    let members = control
        .read(move |sql| {
            let (program, zone) = program(sql, tenant, cohort)?;
            let report = |p| progress.lock().unwrap_or_else(PoisonError::into_inner)(p);
            let tallies = tally(sql, tenant, &program, (&zone, as_of), &report)?;
            who_belongs(sql, tenant, &program, (&zone, as_of), &tallies)
        })
        .await?;
    for chunk in members.chunks(CHUNK) {
        let chunk = chunk.to_vec();
        control.write(move |sql| memberships::fill(sql, tenant, cohort, building, &chunk)).await?;
    }
    Ok(())
}

fn program(
    sql: &mut dyn Sql,
    tenant: TenantId,
    cohort: CohortId,
) -> Result<(CriteriaProgram, Zone)> {
    let row = cohorts::get(sql, tenant, cohort)?;
    let row = row.ok_or_else(|| StoreError::not_found(format!("cohort {cohort}")))?;
    let Some(json) = row.criteria_json.filter(|_| row.kind == CohortType::Dynamic) else {
        let why = format!("cohort {cohort} is STATIC: its members are listed, not computed");
        return Err(StoreError::wrong_state(why));
    };
    let criteria: Criteria = domain::shape::read_json(json.as_bytes())
        .map_err(|e| StoreError::invalid(format!("the criteria of cohort {cohort}: {e}")))?;
    let program = CriteriaProgram::compile(&criteria)
        .map_err(|e| StoreError::invalid(format!("the criteria of cohort {cohort}: {e}")))?;
    let config = config::tenant_config(sql, tenant)?;
    let config = config.ok_or_else(|| StoreError::not_found(format!("tenant {tenant}")))?;
    Ok((program, config.zone))
}

/// What each user did, of those who did anything that may count.
fn tally(
    sql: &mut dyn Sql,
    tenant: TenantId,
    program: &CriteriaProgram,
    (zone, as_of): (&Zone, Timestamp),
    report: &dyn Fn(Progress),
) -> Result<HashMap<UserId, Vec<Tally>>> {
    let since = program.earliest(as_of);
    let total: Option<i64> = sql.value(&COUNT, params![tenant, as_of, since], "events")?;
    let mut progress = Progress { done: 0, total: total.unwrap_or(0).unsigned_abs() };
    let mut tallies: HashMap<UserId, Vec<Tally>> = HashMap::new();
    let mut each = |row: &Row<'_>| {
        let payload: String = row.get("payload")?;
        // Events whose payload cannot be read are dead letters; they count for nothing.
        if let Ok(payload) = Payload::parse(&payload) {
            let action: ActionCode = row.get("action_code")?;
            let event = PastEvent { action: &action, ts: row.get("event_ts")?, payload: &payload };
            let own = tallies.entry(row.get("user_id")?).or_insert_with(|| program.tallies());
            program.add(own, event, zone, as_of);
        }
        progress.done += 1;
        if progress.done.is_multiple_of(PROGRESS_EVERY) {
            report(progress);
        }
        Ok(())
    };
    sql.query(&EVENTS, params![tenant, as_of, since], &mut each)?;
    report(Progress { done: progress.total, ..progress });
    Ok(tallies)
}

fn who_belongs(
    sql: &mut dyn Sql,
    tenant: TenantId,
    program: &CriteriaProgram,
    (zone, as_of): (&Zone, Timestamp),
    tallies: &HashMap<UserId, Vec<Tally>>,
) -> Result<Vec<UserRef>> {
    let none = program.tallies();
    let mut members = Vec::new();
    sql.query(&USERS, params![tenant, as_of], &mut |row| {
        let user: UserId = row.get("user_id")?;
        let attributes: String = row.get("attributes")?;
        let attributes = if program.asks_user() { Payload::parse(&attributes).ok() } else { None };
        let own = tallies.get(&user).unwrap_or(&none);
        if program.holds(own, attributes.as_ref(), zone, as_of) {
            members.push(row.get("external_ref")?);
        }
        Ok(())
    })?;
    Ok(members)
}
