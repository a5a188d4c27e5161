//! The recompute of a dynamic cohort: every user of the tenant held against its criteria, as of one
//! moment of the tenant's log.
//!
//! A new membership is built beside the one in force and switched to at once. The same log and the
//! same moment give the same members, live or in a replay, and wherever the recompute began to read.

mod scan;

use std::sync::Arc;

use domain::cohort::{Criteria, CriteriaProgram};
use domain::id::{CohortId, TenantId, UserId, UserRef};
use domain::payload::Payload;
use domain::time::Timestamp;

use super::cohorts::{self, CohortRow, CohortType};
use super::sql::{Sql, Statement, params, statements};
use super::{Change, Control, config, memberships};
use crate::error::{Result, StoreError};
pub use scan::Resumes;
use scan::{Question, Tallied};

statements! {
    USERS = "select user_id, external_ref, attributes from users
             where tenant_id = $1 and created_at < $2 and external_ref > $3
             order by external_ref limit $4";
}

/// The statements of this module and of those under it.
pub(super) fn statements() -> impl Iterator<Item = &'static Statement> {
    [ALL, scan::ALL].into_iter().flatten()
}

/// Members written in one transaction.
const CHUNK: usize = memberships::MEMBERS_PER_CALL_MAX;
/// Rows of old memberships deleted in one transaction.
const PURGE_ROWS: u32 = 10_000;
/// Users looked at in one read.
const USERS_PER_READ: u32 = 10_000;

/// How far a recompute is: places of the log looked at, and how many there are to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Looked at so far.
    pub done: u64,
    /// In all.
    pub total: u64,
}

/// Recomputes a dynamic cohort as of `as_of`: events appended before it that are decided count.
/// It goes on from what `resumes` keeps of an earlier one. `progress` is told how far it is; it must
/// not block.
/// Errors: [`StoreError::NotFound`], [`StoreError::WrongState`] for a static cohort or when a later
/// recompute has taken over; the membership in force then stays.
pub async fn recompute(
    control: &Control,
    resumes: &Resumes,
    (tenant, cohort): (TenantId, CohortId),
    as_of: Timestamp,
    change: Change,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<CohortRow> {
    let building = control.write(move |sql| cohorts::begin(sql, tenant, cohort)).await?;
    let of = (tenant, cohort);
    match build(control, resumes, (of, building), as_of, &progress).await {
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
    resumes: &Resumes,
    ((tenant, cohort), building): ((TenantId, CohortId), i64),
    as_of: Timestamp,
    progress: &(impl Fn(Progress) + Sync),
) -> Result<()> {
    let question = control.read(move |sql| question(sql, tenant, cohort, as_of)).await?;
    let question = Arc::new(question);
    let tallied = match question.program.asks_events() {
        true => scan::tally(control, resumes, (tenant, cohort), &question, progress).await?,
        false => Tallied::nothing(),
    };
    let (members, tallied) = who_belongs(control, tenant, &question, tallied).await?;
    scan::keep(control, resumes, cohort, &question, tallied);
    for chunk in members.chunks(CHUNK) {
        let chunk = chunk.to_vec();
        control.write(move |sql| memberships::fill(sql, tenant, cohort, building, &chunk)).await?;
    }
    Ok(())
}

fn question(
    sql: &mut dyn Sql,
    tenant: TenantId,
    cohort: CohortId,
    as_of: Timestamp,
) -> Result<Question> {
    let row = cohorts::get(sql, tenant, cohort)?;
    let row = row.ok_or_else(|| StoreError::not_found(format!("cohort {cohort}")))?;
    let Some(criteria_json) = row.criteria_json.filter(|_| row.kind == CohortType::Dynamic) else {
        let why = format!("cohort {cohort} is STATIC: its members are listed, not computed");
        return Err(StoreError::wrong_state(why));
    };
    let criteria: Criteria = domain::shape::read_json(criteria_json.as_bytes())
        .map_err(|e| StoreError::invalid(format!("the criteria of cohort {cohort}: {e}")))?;
    let program = CriteriaProgram::compile(&criteria)
        .map_err(|e| StoreError::invalid(format!("the criteria of cohort {cohort}: {e}")))?;
    let config = config::tenant_config(sql, tenant)?;
    let config = config.ok_or_else(|| StoreError::not_found(format!("tenant {tenant}")))?;
    Ok(Question { program, criteria_json, zone: config.zone, as_of })
}

/// The members, in the order of the tenant's ids of them.
async fn who_belongs(
    control: &Control,
    tenant: TenantId,
    question: &Arc<Question>,
    mut tallied: Tallied,
) -> Result<(Vec<UserRef>, Tallied)> {
    let Question { program, zone, as_of, .. } = question.as_ref();
    let mut members = Vec::new();
    if !program.asks_user() && !program.holds(&program.tallies(), None, zone, *as_of) {
        // Who did nothing does not belong, so those who did something are all there are.
        let doings = tallied.users.values();
        let belong = doings.filter(|own| program.holds(&own.tallies, None, zone, *as_of));
        members.extend(belong.map(|own| own.user_ref.clone()));
        members.sort_unstable();
        return Ok((members, tallied));
    }
    let mut after = Some(String::new());
    while let Some(begin) = after {
        let question = question.clone();
        (after, members, tallied) = control
            .read(move |sql| {
                let next = held_against(sql, tenant, (&question, &begin), &tallied, &mut members)?;
                Ok((next, members, tallied))
            })
            .await?;
    }
    Ok((members, tallied))
}

/// Adds the members among the users after one; the last of them when there may be more.
fn held_against(
    sql: &mut dyn Sql,
    tenant: TenantId,
    (question, after): (&Question, &str),
    tallied: &Tallied,
    members: &mut Vec<UserRef>,
) -> Result<Option<String>> {
    let Question { program, zone, as_of, .. } = question;
    let none = program.tallies();
    let (mut seen, mut last) = (0, None);
    sql.query(&USERS, params![tenant, *as_of, after, USERS_PER_READ], &mut |row| {
        let user: UserId = row.get("user_id")?;
        let user_ref: UserRef = row.get("external_ref")?;
        let attributes: String = row.get("attributes")?;
        let attributes = if program.asks_user() { Payload::parse(&attributes).ok() } else { None };
        let own = tallied.users.get(&user).map_or(&none, |own| &own.tallies);
        seen += 1;
        last = Some(user_ref.as_str().to_owned());
        if program.holds(own, attributes.as_ref(), zone, *as_of) {
            members.push(user_ref);
        }
        Ok(())
    })?;
    Ok(last.filter(|_| seen == USERS_PER_READ))
}
