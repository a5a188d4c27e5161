//! What of a batch has to be worked out before it is written, so that the writer thread only
//! binds and steps.

use domain::id::{TenantId, hash_parts};
use domain::incentive::{Completion, Incentive};
use domain::state::STATE_BYTES_MAX;
use engine::ports::{BatchCommit, StateWrite};
use serde::Serialize;
use uuid::Uuid;

use super::rows::blob;
use crate::error::{Result, StoreError};

/// The texts and derived ids of a batch, each list in the order of the batch's own.
#[derive(Debug)]
pub(super) struct EncodedBatch {
    /// User states as JSON.
    pub states: Vec<String>,
    /// Uses of limits and budgets.
    pub used: Vec<String>,
    /// Amounts of incentives.
    pub amounts: Vec<String>,
    /// Budgets of incentives as JSON.
    pub budgets: Vec<Option<String>>,
    /// Ids of completions.
    pub completions: Vec<Uuid>,
    /// The tenants' `config_version` as JSON.
    pub config_versions: String,
    /// Outcome counts as JSON.
    pub counts: String,
}

impl EncodedBatch {
    /// Errors: [`StoreError::Invalid`] for a state over its bound.
    pub fn of(batch: &BatchCommit) -> Result<Self> {
        Ok(Self {
            states: batch.states.iter().map(state).collect::<Result<_>>()?,
            used: batch.usage.iter().map(|u| u.used.to_string()).collect(),
            amounts: batch.incentives.iter().map(|i| i.amount.to_string()).collect(),
            budgets: batch.incentives.iter().map(|i| budgets(i)).collect::<Result<_>>()?,
            completions: batch.completions.iter().map(|(t, c)| completion_id(*t, c)).collect(),
            config_versions: json(&batch.config_versions)?,
            counts: json(&batch.counts)?,
        })
    }
}

fn state(write: &StateWrite) -> Result<String> {
    let text = json(&write.state)?;
    if text.len() > STATE_BYTES_MAX {
        return Err(StoreError::invalid(format!(
            "the state of user {} has {} bytes, at most {STATE_BYTES_MAX} are stored",
            write.user,
            text.len()
        )));
    }
    Ok(text)
}

fn budgets(incentive: &Incentive) -> Result<Option<String>> {
    if incentive.budgets.is_empty() {
        return Ok(None);
    }
    json(&incentive.budgets).map(Some)
}

/// An event completes a step, and completes or pays a cycle, at most once; see
/// [`Completion::event_id`].
fn completion_id(tenant: TenantId, c: &Completion) -> Uuid {
    let at = c.completed_at.micros();
    let mut bytes = hash_parts(&[
        b"completion",
        blob(&tenant.0),
        blob(&c.user.0),
        blob(&c.campaign.0),
        c.step.as_deref().unwrap_or_default().as_bytes(),
        &c.cycle.to_be_bytes(),
        c.event_id.as_str().as_bytes(),
    ]);
    // Time in front, so that new rows go to the end of the index.
    let ms = u64::try_from(at / 1000).unwrap_or(0);
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    Uuid::new_v8(bytes)
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| StoreError::invalid(format!("a value cannot be written as JSON: {e}")))
}
