//! Work that outlives its request.

pub mod read;

use domain::id::JobId;
use domain::time::Timestamp;
use store::control::jobs::{JobRow, JobStatus};
use uuid::Uuid;

domain::view! {
    /// A job and how far it is.
    pub struct Job {
        /// Its id.
        "jobId" job_id: JobId,
        /// What it does, a code.
        "kind" kind: String,
        /// What it works on.
        "subjectId" subject_id: Option<Uuid>,
        /// Where it stands.
        "status" status: JobStatus,
        /// How many items are done.
        "done" done: u64,
        /// Of how many, when that is known.
        "total" total: Option<u64>,
        /// Why it failed.
        "error" error: Option<String>,
        /// When it was started.
        "createdAt" created_at: Timestamp,
        /// When it ended.
        "finishedAt" finished_at: Option<Timestamp>,
    }
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        Self {
            job_id: row.job_id,
            kind: row.kind,
            subject_id: row.subject_id,
            status: row.status,
            done: row.progress_done,
            total: row.progress_total,
            error: row.error,
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}
