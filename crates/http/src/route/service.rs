//! Which component serves a route. One process may have all of them; where each is scaled on its
//! own, a process serves its own routes and says of the others that they are elsewhere.

use axum::http::Method;

domain::choice! {
    /// A component with routes of its own, by the role that runs it.
    pub enum Service {
        /// Takes events: all that goes into the log by a request.
        Events = "events",
        /// Tenants, limits, campaigns and the reading of what was decided.
        Cms = "cms",
        /// Cohorts and their jobs.
        Cohorts = "cohorts",
        /// Connections of devices.
        Push = "dcm",
    }
}

impl Service {
    /// Whose an operation of the API is; `None` for those that every process serves, such as
    /// `/readyz`.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/api/v1/")?;
        let is_under = |first: &str| rest.split(['/', ':']).next() == Some(first);
        // A change of a user's attributes is an event.
        let is_event = is_under("events") || (is_under("users") && *method != Method::GET);
        Some(match () {
            () if is_event => Self::Events,
            () if is_under("cohorts") || rest.ends_with("/cohorts") || is_under("jobs") => {
                Self::Cohorts
            }
            () => Self::Cms,
        })
    }
}

/// Which services a process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services(Vec<Service>);

impl Services {
    /// These.
    pub fn of(services: impl IntoIterator<Item = Service>) -> Self {
        Self(services.into_iter().collect())
    }
    /// All of them.
    pub fn all() -> Self {
        Self::of(Service::ALL.iter().copied())
    }
    /// Whether this one is among them.
    pub fn has(&self, service: Service) -> bool {
        self.0.contains(&service)
    }
}
