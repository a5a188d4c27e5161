//! `GET /api/v1/jobs/{jobId}`: how far a job is.

use domain::id::JobId;
use store::control::jobs;

use super::Job;
use crate::call::{Call, Okay, Path, Reply};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which job.
    pub struct OneJob {
        /// Its id.
        "jobId" job_id: JobId,
    }
}

/// What it does.
pub const DOC: Doc =
    Doc { id: "getJob", summary: "Read how far a job is", about: "", problems: &[] };

/// Reads it.
pub async fn handle(call: Call, Path(one): Path<OneJob>) -> Result<Okay<Job>, Problem> {
    let tenant = call.tenant()?;
    let row = call.read(move |sql| jobs::get(sql, tenant, one.job_id)).await?;
    row.map(|row| Reply::new(row.into())).ok_or_else(|| Problem::not_found("job"))
}
