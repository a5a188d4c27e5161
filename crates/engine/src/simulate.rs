//! Dry run: the decision for one event, on the users and limits as they stand, with nothing
//! written. The same `plan`, `load` and `decide` as the worker's batch.

use std::sync::Arc;

use domain::compile::{CompileFault, TenantRules};
use domain::config::TenantConfig;
use domain::decide::{
    EventOutcome, Evidence, Needs, Parsed, StoredUser, Working, decide, evidence, plan,
};
use domain::event::Record;
use domain::incentive::Incentive;
use domain::payload::PayloadError;
use domain::state::UserState;

use crate::ports::{HotStore, PortError};

/// What an event would do.
#[derive(Clone, Debug)]
pub struct DryRun {
    /// Each campaign considered, with its reason.
    pub outcome: EventOutcome,
    /// What would be granted. The ids are those that the live decision would give.
    pub incentives: Vec<Arc<Incentive>>,
    /// What the expressions of the campaigns saw.
    pub evidence: Vec<Evidence>,
    /// The user's state before.
    pub before: UserState,
    /// The user's state after.
    pub after: UserState,
}

/// Why a dry run failed.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The payload cannot be read.
    #[error("the payload cannot be read: {0}")]
    Payload(#[from] PayloadError),
    /// A rule does not compile.
    #[error("the rule of campaign {} does not compile: {}", .0.campaign, .0.why)]
    Rule(CompileFault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] PortError),
}

/// Decides one event under a configuration, which may hold another version of a campaign than the
/// one in force. Errors: [`SimulateError`].
pub async fn simulate(
    store: &dyn HotStore,
    config: &TenantConfig,
    record: &Record,
) -> Result<DryRun, SimulateError> {
    let (rules, faults) = TenantRules::compile(config);
    if let Some(fault) = faults.into_iter().next() {
        return Err(SimulateError::Rule(fault));
    }
    let event = Parsed::new(record)?;
    let mut needs = Needs::default();
    plan(&rules, &event, &mut needs);
    let loaded = store.load(Arc::new(needs)).await?;
    let user = loaded.users.get(&event.user).cloned().unwrap_or_default();
    let evidence = evidence(&rules, &event, &user);
    let mut working = Working::new(loaded);
    let outcome = decide(&rules, &event, &mut working);
    let changes = working.into_changes();
    let StoredUser { state: before, .. } = user;
    let after = changes.users.into_iter().find(|u| u.user == event.user);
    let after = after.map_or_else(|| before.clone(), |u| u.state);
    Ok(DryRun { outcome, incentives: changes.incentives, evidence, before, after })
}
