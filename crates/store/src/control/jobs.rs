//! Work that outlives its request, with its progress: a cohort's recompute, a backtest.

use domain::id::{JobId, TenantId};
use domain::time::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::sql::{FromRow, Row, Sql, params, statements, words};
use super::{Page, PageRequest};
use crate::error::{Result, StoreError};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select job_id, tenant_id, kind, subject_id, status, progress_done, progress_total,
                    error, created_at, finished_at
             from jobs ",
            $rest
        )
    };
}

statements! {
    INSERT = "insert into jobs (job_id, tenant_id, kind, subject_id, status, progress_done,
                                progress_total, created_at)
              values ($1, $2, $3, $4, 'RUNNING', 0, null, $5)";
    PROGRESS = "update jobs set progress_done = $3, progress_total = $4
                where tenant_id = $1 and job_id = $2 and status = 'RUNNING'";
    FINISH = "update jobs set status = $3, error = $4, finished_at = $5
              where tenant_id = $1 and job_id = $2 and status = 'RUNNING'";
    // Without a tenant: at the start of the process, whose jobs ended with the last one.
    FAIL_RUNNING = "update jobs set status = 'FAILED', error = $1, finished_at = $2
                    where status = 'RUNNING'";
    GET = select!("where tenant_id = $1 and job_id = $2");
    LIST = select!("where tenant_id = $1 and job_id < $2 order by job_id desc limit $3");
}

domain::choice! {
    /// Where a job stands.
    pub enum JobStatus {
        /// Under way.
        Running = "RUNNING",
        /// It has ended well.
        Done = "DONE",
        /// It has ended with an error.
        Failed = "FAILED",
    }
}
words!(JobStatus);

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRow {
    /// Its id.
    pub job_id: JobId,
    /// Whose.
    pub tenant_id: TenantId,
    /// What it does, a code: `COHORT_RECOMPUTE`.
    pub kind: String,
    /// What it works on.
    pub subject_id: Option<Uuid>,
    /// Where it stands.
    pub status: JobStatus,
    /// How many items are done.
    pub progress_done: u64,
    /// Of how many, when that is known.
    pub progress_total: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl FromRow for JobRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            job_id: row.get("job_id")?,
            tenant_id: row.get("tenant_id")?,
            kind: row.get("kind")?,
            subject_id: row.get("subject_id")?,
            status: row.get("status")?,
            progress_done: row.get("progress_done")?,
            progress_total: row.get("progress_total")?,
            error: row.get("error")?,
            created_at: row.get("created_at")?,
            finished_at: row.get("finished_at")?,
        })
    }
}

/// Notes the start of a job.
pub fn start(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: JobId,
    (kind, subject): (&str, Option<Uuid>),
    at: Timestamp,
) -> Result<()> {
    sql.execute(&INSERT, params![id, tenant, kind, subject, at])?;
    Ok(())
}

/// Notes how far a job is. Callers do it a few times a second at most.
pub fn progress(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: JobId,
    done: u64,
    total: Option<u64>,
) -> Result<()> {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    sql.execute(&PROGRESS, params![tenant, id, count(done), total.map(count)])?;
    Ok(())
}

/// Notes the end of a job; `error` says why it failed. A job that has ended stays as it is. Errors:
/// [`StoreError::NotFound`].
pub fn finish(
    sql: &mut dyn Sql,
    tenant: TenantId,
    id: JobId,
    error: Option<&str>,
    at: Timestamp,
) -> Result<JobRow> {
    let status = if error.is_none() { JobStatus::Done } else { JobStatus::Failed };
    sql.execute(&FINISH, params![tenant, id, status, error, at])?;
    get(sql, tenant, id)?.ok_or_else(|| StoreError::not_found(format!("job {id}")))
}

/// Fails every job that is still RUNNING: called at the start of the process that runs the jobs,
/// since those of the last one ended with it. Returns how many.
pub fn fail_running(sql: &mut dyn Sql, error: &str, at: Timestamp) -> Result<u64> {
    sql.execute(&FAIL_RUNNING, params![error, at])
}

/// A job; `None` when the tenant has none of this id.
pub fn get(sql: &mut dyn Sql, tenant: TenantId, id: JobId) -> Result<Option<JobRow>> {
    sql.row(&GET, params![tenant, id])
}

/// A tenant's jobs, the newest first.
pub fn list(
    sql: &mut dyn Sql,
    tenant: TenantId,
    page: PageRequest<JobId>,
) -> Result<Page<JobRow, JobId>> {
    let before = page.after.unwrap_or(JobId(Uuid::max()));
    let rows = sql.rows(&LIST, params![tenant, before, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &JobRow| row.job_id))
}
