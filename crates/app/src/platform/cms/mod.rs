//! What a calculator decides by, asked for over HTTP where the CMS is another process: the second
//! mechanism of the control plane's port.
//!
//! [`cache`] keeps the answers, revalidates them and says when they may be used; [`link`] asks.
//! Neither has to be right for what is granted to be right: the commit compares the version that a
//! batch was decided under with the one in the database, under its lock.

mod cache;
mod link;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use domain::config::TenantConfig;
use domain::id::{CohortId, TenantId};
use domain::time::Timestamp;
use engine::ports::{ControlPlane, PortError, PortErrorKind, PortFuture};
use http::Probe;
use store::control::{Control, LocalControlPlane, config};

use super::Sources;
use super::distributed::wait_for;
use crate::config::cms::Cms;
use crate::config::distributed::Distributed;
use crate::failure::Outcome;
use crate::roles::Roles;
use cache::{Answer, Ask, Cache};
use link::{Link, Said};

/// A control plane whose configurations come from a CMS. Cohorts are recomputed in the store: who
/// decides has it anyway.
struct HttpControlPlane {
    cache: Arc<Cache>,
    store: LocalControlPlane,
}

/// Where the calculator of this process gets its rules, and what `/readyz` says about it. Errors:
/// the CMS refuses us, or does not answer within a minute.
pub(super) async fn plane(
    settings: &Distributed,
    roles: Roles,
    control: &Control,
    sources: &Sources,
) -> Outcome<(Arc<dyn ControlPlane>, Option<Probe>)> {
    let (clock, metrics) = (sources.clock.clone(), sources.metrics.clone());
    let store = LocalControlPlane::new(control.clone(), clock.clone());
    let Some(cms) = settings.cms.as_ref().filter(|_| roles.calculator && !roles.cms) else {
        return Ok((Arc::new(store), None));
    };
    let link = Arc::new(Link::new(cms));
    wait_for("the CMS", async || link.check().await).await?;
    tracing::info!(url = cms.url, "what decides is asked for there");
    let cache = Cache::new(asking(link, control.clone()), clock, metrics);
    let told = cache.clone();
    let check = move || told.trouble().map_or(Ok(()), Err);
    let probe = Probe { name: "cms", check: Box::new(check) };
    Ok((Arc::new(HttpControlPlane { cache, store }), Some(probe)))
}

/// Asks a CMS whether it lets us read what decides. Errors: it does not answer, or refuses us.
pub async fn check(cms: &Cms) -> Result<(), PortError> {
    Arc::new(Link::new(cms)).check().await
}

/// Asks over the link. That a tenant does not exist is believed only if the store says so too: its
/// events would be dead letters.
fn asking(link: Arc<Link>, control: Control) -> Ask {
    Box::new(move |tenant, held| {
        let (link, control) = (link.clone(), control.clone());
        Box::pin(async move {
            let detail = match link.ask(tenant, held).await? {
                Said::Unchanged => return Ok(Answer::Unchanged),
                Said::Config(config) => return Ok(Answer::Changed(config)),
                Said::NoTenant(detail) => detail,
            };
            match control.read(move |sql| config::version(sql, tenant)).await? {
                None => Ok(Answer::NoTenant),
                Some(_) => Err(PortError {
                    kind: PortErrorKind::Unavailable,
                    message: format!(
                        "the CMS at {} does not know tenant {tenant}, which is in our database \
                         ({detail}): see that it is the root of a CMS on the same database",
                        link.url()
                    ),
                }),
            }
        })
    })
}

impl ControlPlane for HttpControlPlane {
    fn config(&self, tenant: TenantId) -> PortFuture<'_, Option<TenantConfig>> {
        Box::pin(async move {
            let given = self.cache.config(tenant).await?;
            Ok(given.map(|config| config.as_ref().clone()))
        })
    }

    fn still_holds(&self, tenant: TenantId, config_version: i64) -> bool {
        self.cache.still_holds(tenant, config_version)
    }

    fn outdated(&self, tenant: TenantId, config_version: i64) {
        self.cache.outdated(tenant, config_version);
    }

    fn refresh_cohort(
        &self,
        tenant: TenantId,
        cohort: CohortId,
        as_of: Timestamp,
    ) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let refreshed = self.store.refresh_cohort(tenant, cohort, as_of).await;
            // Also when it failed: it may have got half way.
            self.cache.doubt(tenant);
            refreshed
        })
    }
}
