//! `POST /api/v1/cohorts/{cohortId}:recompute`: finds the members of a dynamic cohort anew, as a job.

use std::time::Duration;

use domain::config::TenantMode;
use domain::id::{CohortId, JobId, TenantId};
use domain::time::Timestamp;
use store::StoreError;
use store::control::cohorts::{self, CohortType};
use store::control::recompute::{Progress, Resumes, recompute};
use store::control::{Change, Control, Sql, jobs, tenants};
use tokio::sync::watch;

use super::OneCohort;
use crate::api::jobs::Job;
use crate::call::{Accepted, Call, Path, Reply, address};
use crate::problem::{Code, Problem};
use crate::route::Doc;

/// What the job is called.
pub const KIND: &str = "COHORT_RECOMPUTE";
/// Shortest time between two notes of its progress.
const NOTED_EVERY: Duration = Duration::from_millis(250);

/// What it does.
pub const DOC: Doc = Doc {
    id: "recomputeCohort",
    summary: "Find the members of a dynamic cohort anew",
    about: "A job: see `Location` for its progress. The membership in force stays until the new one \
            is complete. One that is begun later supersedes one that still runs.",
    problems: &[Code::InvalidState],
};

/// Starts it.
pub async fn handle(call: Call, Path(one): Path<OneCohort>) -> Result<Accepted<Job>, Problem> {
    let id = one.cohort_id;
    let tenant = call.tenant_of_cohort(id).await?;
    let wanted = Recompute { tenant, cohort: id, job: JobId(call.app.ids.uuid()) };
    let reply = call
        .write(move |sql, change| {
            let cohort = cohorts::get(sql, tenant, id)?;
            let cohort = cohort.ok_or_else(|| StoreError::not_found(format!("cohort {id}")))?;
            if cohort.kind == CohortType::Static {
                return Err(StoreError::wrong_state(format!(
                    "cohort {id} is STATIC: its members are listed, not computed"
                )));
            }
            note_start(sql, wanted, change)?;
            let job = jobs::get(sql, tenant, wanted.job)?;
            let job = job.ok_or_else(|| StoreError::not_found("job just made"))?;
            Ok(Reply::new(Job::from(job)).at(address("/api/v1/jobs", wanted.job)))
        })
        .await?;
    wanted.spawn(&call);
    Ok(reply)
}

/// A recompute to be done.
#[derive(Clone, Copy, Debug)]
pub struct Recompute {
    /// Whose cohort.
    pub tenant: TenantId,
    /// Which.
    pub cohort: CohortId,
    /// Under which job.
    pub job: JobId,
}

/// Notes the start of its job: part of the transaction that calls for it.
pub fn note_start(sql: &mut dyn Sql, wanted: Recompute, change: &Change) -> store::Result<()> {
    jobs::start(sql, wanted.tenant, wanted.job, (KIND, Some(wanted.cohort.0)), change.at)
}

impl Recompute {
    /// Runs it in the background. A process that stops meanwhile fails the job at its next start.
    pub fn spawn(self, call: &Call) {
        let (control, clock, change) =
            (call.app.control.clone(), call.app.clock.clone(), call.change());
        tokio::spawn(async move {
            let (progress, heard) = watch::channel(Progress::default());
            let noting = tokio::spawn(note_progress(control.clone(), self, heard));
            let done = self.run(&control, change, progress).await;
            noting.abort();
            let (error, at) = (done.err().map(|error| error.to_string()), clock.now());
            let finish = move |sql: &mut dyn Sql| {
                jobs::finish(sql, self.tenant, self.job, error.as_deref(), at)
            };
            if let Err(error) = control.write(finish).await {
                tracing::error!(job = %self.job, %error, "the end of a job could not be noted");
            }
        });
    }

    async fn run(
        self,
        control: &Control,
        change: Change,
        progress: watch::Sender<Progress>,
    ) -> store::Result<()> {
        let (tenant, now) = (self.tenant, change.at);
        let as_of = control.read(move |sql| end_of_log(sql, tenant, now)).await?;
        let report = move |now| {
            progress.send_replace(now);
        };
        // Asked for by somebody, and rarely: from the beginning of the log.
        let resumes = Resumes::default();
        recompute(control, &resumes, (self.tenant, self.cohort), as_of, change, report).await?;
        Ok(())
    }
}

async fn note_progress(control: Control, of: Recompute, mut heard: watch::Receiver<Progress>) {
    while heard.changed().await.is_ok() {
        let Progress { done, total } = *heard.borrow_and_update();
        let note =
            move |sql: &mut dyn Sql| jobs::progress(sql, of.tenant, of.job, done, Some(total));
        if let Err(error) = control.write(note).await {
            tracing::warn!(job = %of.job, %error, "the progress of a job could not be noted");
        }
        tokio::time::sleep(NOTED_EVERY).await;
    }
}

/// The moment of the tenant's log as of which a membership is computed: members follow from the log,
/// so in a replay it lies in the past, and before the first event at the beginning of time.
fn end_of_log(sql: &mut dyn Sql, tenant: TenantId, now: Timestamp) -> store::Result<Timestamp> {
    let row = tenants::get(sql, tenant)?;
    let row = row.ok_or_else(|| StoreError::not_found(format!("tenant {tenant}")))?;
    let last = row.last_append_time;
    Ok(match row.mode {
        _ if last == Timestamp::default() => last,
        TenantMode::Live => now.max(last.plus_micros(1)),
        TenantMode::Replay => last.plus_micros(1),
    })
}
