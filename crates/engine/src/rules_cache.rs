//! Compiled rules by tenant, and when their cohorts are due.

use std::collections::HashMap;
use std::sync::Arc;

use domain::compile::TenantRules;
use domain::config::{CohortSource, TenantConfig, TenantMode};
use domain::id::{CohortId, TenantId};
use domain::time::{Period, Timestamp, Zone};

use crate::ports::{ControlPlane, PortError, PortErrorKind};

/// Tenants kept compiled; beyond it those that the batch in hand does not need are dropped.
const TENANTS_MAX: usize = 1024;

/// One tenant, compiled at one `config_version`.
#[derive(Debug)]
pub struct Tenant {
    /// The rules.
    pub rules: TenantRules,
    /// Which kind of events it takes.
    pub mode: TenantMode,
    refreshed: Vec<Refreshed>,
    due_at: Timestamp,
}

/// A cohort that is recomputed as the tenant's log passes into a new period.
#[derive(Clone, Copy, Debug)]
struct Refreshed {
    cohort: CohortId,
    period: Period,
    computed_at: Option<Timestamp>,
}

impl Tenant {
    /// `hopeless`: cohorts whose recompute has failed under this configuration.
    fn compile(config: &TenantConfig, hopeless: &[CohortId]) -> Self {
        let (rules, faults) = TenantRules::compile(config);
        for fault in faults {
            tracing::error!(
                tenant = %config.tenant, campaign = %fault.campaign, why = fault.why,
                "a campaign cannot be compiled and decides nothing; save it again"
            );
        }
        let cohorts = config.cohorts.iter().filter(|c| !hopeless.contains(&c.id));
        let refreshed: Vec<_> = cohorts.filter_map(Refreshed::of).collect();
        let due = refreshed.iter().map(|c| c.due_at(&config.zone)).min();
        Self { rules, mode: config.mode, refreshed, due_at: due.unwrap_or(Timestamp::MAX) }
    }

    fn due(&self, append_time: Timestamp) -> impl Iterator<Item = &Refreshed> {
        let zone = self.rules.zone();
        self.refreshed.iter().filter(move |c| append_time >= c.due_at(zone))
    }

    /// True when a cohort has to be recomputed before a record of this append time is decided.
    pub fn is_due(&self, append_time: Timestamp) -> bool {
        append_time >= self.due_at
    }
}

impl Refreshed {
    fn of(source: &CohortSource) -> Option<Self> {
        let period = source.refresh?;
        Some(Self { cohort: source.id, period, computed_at: source.computed_at })
    }

    /// The beginning of the period that a record lies in.
    fn as_of(&self, zone: &Zone, append_time: Timestamp) -> Timestamp {
        zone.start_of(self.period.first_day(zone.day(append_time)))
    }

    /// The beginning of the period after the one it was computed in; at once if it never was.
    fn due_at(&self, zone: &Zone) -> Timestamp {
        let Some(at) = self.computed_at else { return Timestamp::default() };
        let first = self.period.first_day(zone.day(at));
        zone.start_of(self.period.next_first_day(first))
    }
}

/// What the control plane has said, until it is known to be outdated.
pub struct RulesCache {
    control: Arc<dyn ControlPlane>,
    tenants: HashMap<TenantId, Arc<Tenant>>,
}

impl RulesCache {
    /// Empty.
    pub fn new(control: Arc<dyn ControlPlane>) -> Self {
        Self { control, tenants: HashMap::new() }
    }

    /// A tenant that was made sure of; `None` when there is no such tenant.
    pub fn get(&self, tenant: TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(&tenant)
    }

    /// Makes sure of the tenants. Errors: those of the control plane.
    pub async fn ensure(
        &mut self,
        tenants: impl Iterator<Item = TenantId> + Clone,
    ) -> Result<(), PortError> {
        if self.tenants.len() > TENANTS_MAX {
            let needed: Vec<_> = tenants.clone().collect();
            self.tenants.retain(|id, _| needed.contains(id));
        }
        let mut last = None;
        for tenant in tenants {
            // Records of one tenant come in runs.
            if last.replace(tenant) == Some(tenant) || self.tenants.contains_key(&tenant) {
                continue;
            }
            if let Some(config) = self.control.config(tenant).await? {
                self.tenants.insert(tenant, Arc::new(Tenant::compile(&config, &[])));
            }
        }
        Ok(())
    }

    /// Forgets those of the tenants whose rules the control plane does not stand for any more.
    pub fn forget_unheld(&mut self, tenants: impl Iterator<Item = TenantId>) {
        let mut last = None;
        for tenant in tenants {
            // Records of one tenant come in runs.
            if last.replace(tenant) == Some(tenant) {
                continue;
            }
            let version = self.tenants.get(&tenant).map(|known| known.rules.config_version());
            if version.is_some_and(|version| !self.control.still_holds(tenant, version)) {
                self.tenants.remove(&tenant);
            }
        }
    }

    /// Forgets a tenant's rules if they are not of this version, which the store has, and tells the
    /// control plane. True when they were not.
    pub fn forget_unless(&mut self, tenant: TenantId, config_version: i64) -> bool {
        let known = self.tenants.get(&tenant).map(|known| known.rules.config_version());
        let Some(version) = known.filter(|known| *known != config_version) else { return false };
        self.control.outdated(tenant, version);
        self.tenants.remove(&tenant);
        true
    }

    /// Forgets everything: something has changed, and we do not know what.
    pub fn forget_all(&mut self) {
        self.tenants.clear();
    }

    /// Recomputes the tenant's cohorts that are due at this append time, as of the beginning of the
    /// period that it lies in, and reads the tenant anew. So a cohort's members depend on the log
    /// alone, not on batches or on when somebody looked. One that cannot be recomputed keeps its
    /// members until the configuration changes: it must not stop the log. Errors: those of the
    /// control plane that a later try may mend.
    pub async fn refresh_cohorts(
        &mut self,
        tenant: TenantId,
        append_time: Timestamp,
    ) -> Result<(), PortError> {
        let Some(known) = self.tenants.get(&tenant).cloned() else { return Ok(()) };
        let mut tried = Vec::new();
        for due in known.due(append_time) {
            let as_of = due.as_of(known.rules.zone(), append_time);
            match self.control.refresh_cohort(tenant, due.cohort, as_of).await {
                Ok(()) => tracing::info!(%tenant, cohort = %due.cohort, %as_of, "recomputed"),
                Err(error) if error.kind == PortErrorKind::Invalid => tracing::error!(
                    %tenant, cohort = %due.cohort, %as_of, %error,
                    "a cohort cannot be recomputed and keeps its members; save it again"
                ),
                Err(error) => return Err(error),
            }
            tried.push(due.cohort);
        }
        self.tenants.remove(&tenant);
        if let Some(config) = self.control.config(tenant).await? {
            let mut read = Tenant::compile(&config, &[]);
            tried.retain(|cohort| read.due(append_time).any(|c| c.cohort == *cohort));
            if !tried.is_empty() {
                read = Tenant::compile(&config, &tried);
            }
            self.tenants.insert(tenant, Arc::new(read));
        }
        Ok(())
    }
}
