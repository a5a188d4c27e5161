//! What is said of refused and failed requests: a line a second of each kind, so that a flood of
//! them cannot drown the log. How many there are is told by the metric `incent_http_requests`.

use std::sync::{Mutex, PoisonError};

use domain::id::TenantId;
use domain::time::{SECOND_US, Timestamp};

use super::Origin;
use crate::auth::Caller;
use crate::problem::{Code, Problem};
use crate::route::Route;

/// Lets one line a second pass and counts those that it holds back.
#[derive(Debug, Default)]
struct Throttle(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    until: Timestamp,
    back: u64,
}

impl Throttle {
    /// How many lines were held back since the last one; `None` when this one is held back too.
    fn pass(&self, now: Timestamp) -> Option<u64> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now < held.until {
            held.back += 1;
            return None;
        }
        held.until = now.plus_micros(SECOND_US);
        Some(std::mem::take(&mut held.back))
    }
}

/// The lines of a server.
#[derive(Debug, Default)]
pub struct Lines {
    denied: Throttle,
    unavailable: Throttle,
    limited: Throttle,
}

impl Lines {
    /// Somebody tried to change what their credential does not let them change.
    pub fn denied(
        &self,
        now: Timestamp,
        (route, request_id): (&Route, &str),
        caller: Option<&Caller>,
        problem: &Problem,
    ) {
        if !route.changes() {
            return;
        }
        let Some(held_back) = self.denied.pass(now) else { return };
        let (operation, code) = (route.doc.id, problem.code().as_str());
        // Not the user's own id: user references are logged at debug and below only.
        let actor = match caller {
            None => "unknown".to_owned(),
            Some(Caller::User { .. }) => "user".to_owned(),
            Some(caller) => caller.actor(),
        };
        tracing::warn!(request_id, operation, code, actor, held_back, "a change was denied");
    }

    /// A request was answered 503. Clients try again by themselves.
    pub fn unavailable(&self, now: Timestamp, origin: Origin<'_>, problem: &Problem) {
        let Some(held_back) = self.unavailable.pass(now) else { return };
        let Origin { request_id, path } = origin;
        let (code, cause) = (problem.code().as_str(), problem.cause());
        tracing::warn!(request_id, path, code, cause, held_back, "requests cannot be served");
    }

    /// A tenant sends more than the server takes of one.
    pub fn limited(&self, now: Timestamp, request_id: &str, tenant: TenantId, code: Code) {
        let Some(held_back) = self.limited.pass(now) else { return };
        let code = code.as_str();
        tracing::warn!(request_id, %tenant, code, held_back, "a tenant sends more than its share");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_second_passes_and_tells_how_many_did_not() {
        let throttle = Throttle::default();
        let passed = [0, 1, 999_999, 1_000_000, 1_500_000, 1_999_999, 5_000_000]
            .map(|us| throttle.pass(Timestamp::from_stored(us)));
        assert_eq!(passed, [Some(0), None, None, Some(2), None, None, Some(2)]);
    }
}
