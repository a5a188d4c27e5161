//! The control plane in this process, as the calculator sees it.

use std::sync::Arc;

use domain::config::TenantConfig;
use domain::id::{CohortId, TenantId};
use domain::time::Timestamp;
use engine::ports::{Clock, ControlPlane, PortFuture};

use super::recompute::{Resumes, recompute};
use super::{Change, Control, config};

/// The calculator's view of a control plane in the same process.
pub struct LocalControlPlane {
    control: Control,
    clock: Arc<dyn Clock>,
    /// A cohort that is refreshed once a day need not read the whole log each time.
    resumes: Resumes,
}

impl LocalControlPlane {
    /// Reads from this control plane.
    pub fn new(control: Control, clock: Arc<dyn Clock>) -> Self {
        Self { control, clock, resumes: Resumes::default() }
    }
}

impl ControlPlane for LocalControlPlane {
    fn config(&self, tenant: TenantId) -> PortFuture<'_, Option<TenantConfig>> {
        Box::pin(async move {
            Ok(self.control.read(move |sql| config::tenant_config(sql, tenant)).await?)
        })
    }

    fn refresh_cohort(
        &self,
        tenant: TenantId,
        cohort: CohortId,
        as_of: Timestamp,
    ) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let change = Change { actor: "system".to_owned(), at: self.clock.now() };
            recompute(&self.control, &self.resumes, (tenant, cohort), as_of, change, |_| {})
                .await?;
            Ok(())
        })
    }
}
