//! Reading and writing the control plane on behalf of a call.

use axum::http::header::{ETAG, LOCATION};
use domain::shape::Described;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::StoreError;
use store::control::idempotency::{self, KeptAnswer};
use store::control::{Change, PageRequest, Sql};

use super::{Call, PageQuery, Reply};
use crate::problem::{Code, Problem, sentence};

impl Call {
    /// Runs a closure in a read transaction.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Problem>
    where
        F: FnOnce(&mut dyn Sql) -> store::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        Ok(self.app.control.read(work).await?)
    }

    /// Runs a change in a transaction and keeps its answer in the same transaction under the call's
    /// idempotency key, if it has one: a request that is repeated has its effect once.
    pub async fn write<T, F, const STATUS: u16>(&self, work: F) -> Result<Reply<T, STATUS>, Problem>
    where
        F: FnOnce(&mut dyn Sql, &Change) -> store::Result<Reply<T, STATUS>> + Send + 'static,
        T: Serialize + Described + Send + 'static,
    {
        let change = self.change();
        let repeat = self.repeat.clone();
        let reply = self
            .app
            .control
            .write(move |sql| {
                let reply = work(sql, &change)?;
                if let Some(request) = &repeat {
                    idempotency::keep(sql, request, &reply.kept()?, change.at)?;
                }
                Ok(reply)
            })
            .await?;
        self.mark_kept();
        Ok(reply)
    }

    /// Who makes the change, and when.
    pub fn change(&self) -> Change {
        Change { actor: self.caller.actor(), at: self.app.now() }
    }

    /// The page that is asked for, of a list with this kind of key. Errors:
    /// [`Code::InvalidPageToken`].
    pub fn page<K: DeserializeOwned>(
        &self,
        query: &impl PageQuery,
    ) -> Result<PageRequest<K>, Problem> {
        let size = u32::try_from(query.page_size().get()).unwrap_or(1);
        let after = match query.page_token() {
            None => None,
            Some(token) => {
                let key = self.open_token(token)?;
                // It was sealed by us, so it was written by us; another version may have another key.
                let key = serde_json::from_slice(&key);
                Some(key.map_err(|_| {
                    Problem::new(Code::InvalidPageToken, "Begin without the token.")
                })?)
            }
        };
        Ok(PageRequest::new(after, size)?)
    }
}

impl<T: Serialize + Described, const STATUS: u16> Reply<T, STATUS> {
    /// The answer as it is kept for a repetition: one line of headers, then the body.
    pub(crate) fn kept(&self) -> store::Result<KeptAnswer> {
        let unwritable = |error: serde_json::Error| {
            StoreError::invalid(format!("the answer cannot be kept: {error}"))
        };
        let headers: Vec<(&str, &str)> = self
            .headers()
            .filter(|(name, _)| *name == ETAG.as_str() || *name == LOCATION.as_str())
            .collect();
        let mut response = serde_json::to_vec(&headers).map_err(unwritable)?;
        response.push(b'\n');
        match self.kept_body() {
            Some(body) => response.extend_from_slice(body.to_string().as_bytes()),
            None => serde_json::to_writer(&mut response, self.document()).map_err(unwritable)?,
        }
        response.push(b'\n');
        Ok(KeptAnswer { status: self.code(), response })
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let text = sentence(&error.to_string());
        match error {
            StoreError::NotFound { .. } => Self::new(Code::NotFound, text),
            StoreError::Conflict { .. } => Self::new(Code::AlreadyExists, text),
            StoreError::Stale { .. } => Self::new(Code::StaleVersion, text),
            StoreError::WrongState { .. } => Self::new(Code::InvalidState, text),
            StoreError::Invalid { .. } => Self::new(Code::InvalidDocument, text),
            StoreError::Full { .. } => Self::unavailable(Code::StorageFull, text),
            StoreError::Busy { .. }
            | StoreError::Unavailable { .. }
            | StoreError::Raced { .. }
            | StoreError::Closed
            | StoreError::Locked { .. } => Self::unavailable(Code::Unavailable, text),
            StoreError::Io { .. }
            | StoreError::Damaged { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Schema { .. }
            | StoreError::Panicked { .. }
            | StoreError::Sql { .. } => Self::internal(text),
        }
    }
}
