//! What every adapter must do. A suite is a list of cases under the same names for each adapter;
//! an adapter brings a [`Subject`] and calls the suite's macro, which makes a test of each case.

pub mod bus;
pub mod hot_store;
pub mod path;

use std::sync::Arc;

use domain::config::TenantMode;
use domain::id::{CampaignId, CohortId, TenantId};
use domain::limit::LimitSpec;
use engine::ports::{Bus, ControlPlane, HotStore, PortFuture};
use engine::worker::Ports;

use crate::clock::ManualClock;

/// An adapter under test: a log and a store over one database, and what a suite needs beside the
/// ports to prepare and to look behind them.
pub trait Subject: Send + Sync {
    /// The log.
    fn bus(&self) -> Arc<dyn Bus>;
    /// The store.
    fn store(&self) -> Arc<dyn HotStore>;
    /// The clock that the log reads. It stands at 2026-03-02T12:00:00Z at first.
    fn clock(&self) -> Arc<ManualClock>;
    /// Makes a tenant in Paris that is ACTIVE, LIVE and has no limits.
    fn tenant(&self) -> PortFuture<'_, TenantId>;
    /// Switches a tenant between live events and a replay.
    fn set_mode(&self, tenant: TenantId, mode: TenantMode) -> PortFuture<'_, ()>;
    /// Suspends a tenant.
    fn suspend(&self, tenant: TenantId) -> PortFuture<'_, ()>;
    /// The control plane.
    fn control_plane(&self) -> Arc<dyn ControlPlane>;
    /// Sets the tenant's GLOBAL and USER limits.
    fn set_limits(
        &self,
        tenant: TenantId,
        global: LimitSpec,
        user: LimitSpec,
    ) -> PortFuture<'_, ()>;
    /// Makes a dynamic cohort, recomputed weekly, that nobody is in yet.
    fn weekly_cohort(&self, tenant: TenantId, criteria_json: String) -> PortFuture<'_, CohortId>;
    /// Makes a campaign in force; a QUEST when its rule has steps.
    fn campaign(
        &self,
        tenant: TenantId,
        rule_json: String,
        cohort: Option<CohortId>,
    ) -> PortFuture<'_, CampaignId>;
    /// Pauses a campaign. When it returns, nothing more is granted.
    fn pause(&self, tenant: TenantId, campaign: CampaignId) -> PortFuture<'_, ()>;
    /// Another one over a new, empty database, which makes the same ids.
    fn fresh(&self) -> PortFuture<'_, Box<dyn Subject>>;
    /// Stops and starts again: what is not durable is lost.
    fn restart(&mut self) -> PortFuture<'_, ()>;
    /// All rows of a table as text, in a fixed order, columns separated by `|`: for comparisons
    /// and counts. Wall-clock times are left out.
    fn rows(&self, table: Table) -> PortFuture<'_, Vec<String>>;
    /// The ports, for the calculator.
    fn ports(&self) -> Ports {
        let (bus, store) = (self.bus(), self.store());
        Ports { bus, store, control: self.control_plane(), clock: self.clock(), limits: None }
    }
}

domain::choice! {
    /// A table of the event path.
    pub enum Table {
        /// Log records with their outcomes.
        Events = "events",
        /// Idempotency keys.
        EventIds = "event_ids",
        /// Incentives in the order of publication.
        Incentives = "incentives",
        /// User states.
        UserStates = "user_states",
        /// Users.
        Users = "users",
        /// Marks.
        Marks = "user_marks",
        /// Uses of limits and budgets.
        Usage = "limit_usage",
        /// Completed steps and quests.
        Completions = "user_aggregations",
        /// Publications.
        Publications = "incentive_event_log",
        /// Dead letters.
        DeadLetters = "dead_letters",
        /// Actions.
        Actions = "actions",
        /// Batches.
        Batches = "batches",
    }
}

/// Makes a test of each case of a suite; each gets a subject of its own.
#[macro_export]
macro_rules! contract_tests {
    ($make:expr, $suite:path: $($case:ident)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            use $suite as suite;
            let mut subject = $make.await;
            suite::$case(&mut subject).await;
        }
    )+};
}
