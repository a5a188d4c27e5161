//! What one tenant may take of a server that all share: events by the second, requests at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::TenantId;

use crate::app::App;
use crate::call::Call;
use crate::problem::{Code, Problem};

/// Requests in progress, by tenant. A tenant without any is not in it.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<HashMap<TenantId, usize>>);

/// A request in progress; dropped, it is no longer.
#[derive(Debug)]
pub struct Entered {
    in_flight: Arc<InFlight>,
    tenant: TenantId,
}

impl InFlight {
    /// Counts one more request of a tenant; `None` when so many run already.
    fn enter(self: &Arc<Self>, tenant: TenantId, max: usize) -> Option<Entered> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(tenant).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Entered { in_flight: self.clone(), tenant })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut running = self.in_flight.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = running.get(&self.tenant).copied().unwrap_or_default().saturating_sub(1);
        match left {
            0 => running.remove(&self.tenant),
            left => running.insert(self.tenant, left),
        };
    }
}

/// Counts a request until what is returned is dropped; one that is of no tenant is not counted.
/// Errors: [`Code::TenantBusy`].
pub fn enter(
    app: &App,
    tenant: Option<TenantId>,
    request_id: &str,
) -> Result<Option<Entered>, Problem> {
    let Some(tenant) = tenant else { return Ok(None) };
    let (shared, max) = (app.shared(), app.config.tenant_in_flight_max);
    if let Some(entered) = shared.tenants_in_flight.enter(tenant, max) {
        return Ok(Some(entered));
    }
    app.metrics.requests_over_share.inc();
    shared.lines.limited(app.now(), request_id, tenant, Code::TenantBusy);
    let detail = format!(
        "{max} requests of this tenant are running here, as many as one tenant may have at a time. \
         Wait for their answers, and send events in batches."
    );
    Err(Problem::new(Code::TenantBusy, detail).retry_after(1))
}

impl Call {
    /// Counts events that are about to be offered to the log, for the caller's tenant, which is
    /// returned. They count whatever becomes of them. Errors: [`Code::TenantRateLimited`], then none
    /// is counted; as [`Call::tenant`].
    pub fn take_events(&self, events: usize) -> Result<TenantId, Problem> {
        let (app, tenant) = (&self.app, self.tenant()?);
        let tokens = u32::try_from(events).unwrap_or(u32::MAX);
        let standing = app.shared().tenant_events.take(tenant, tokens, app.now());
        // A request sends its events once, so there is none yet.
        let _ = self.tenant_events.set(standing);
        let Some(seconds) = standing.wait else { return Ok(tenant) };
        app.metrics.events_over_rate.inc_by(u64::from(tokens));
        app.shared().lines.limited(app.now(), &self.request_id, tenant, Code::TenantRateLimited);
        let rate = app.config.tenant_events;
        let detail = format!(
            "All keys of this tenant together may send {} events a second here, and {} at once \
             after a pause. Of the {events} in this request none was taken: send it again in \
             {seconds} s, or ask the operator for a higher tenantEventsPerSecond.",
            rate.per_second, rate.burst
        );
        Err(Problem::new(Code::TenantRateLimited, detail).retry_after(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: u128) -> TenantId {
        TenantId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn a_tenant_has_its_share_and_others_have_theirs() {
        let in_flight = Arc::new(InFlight::default());
        let first = in_flight.enter(tenant(1), 2).expect("the first two enter");
        let _second = in_flight.enter(tenant(1), 2).expect("the first two enter");
        assert!(in_flight.enter(tenant(1), 2).is_none());
        assert!(in_flight.enter(tenant(2), 2).is_some());
        drop(first);
        assert!(in_flight.enter(tenant(1), 2).is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_has_gone() {
        let in_flight = Arc::new(InFlight::default());
        let all: Vec<_> = (0..9).map(|n| in_flight.enter(tenant(n % 3), 3)).collect();
        assert_eq!(in_flight.0.lock().expect("no panic").len(), 3);
        drop(all);
        assert!(in_flight.0.lock().expect("no panic").is_empty());
    }
}
