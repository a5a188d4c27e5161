//! Events: what users did.

pub mod batch;
pub mod send;

mod incoming;

use std::time::Duration;

use axum::http::HeaderMap;
use domain::event::RecordKind;
use domain::id::{EventId, TenantId};
use domain::shape::{FaultCode, Faults};
use engine::ingest::{IngestError, Ingested, Rejection};
use engine::ports::Position;

use crate::app::{App, Decided};
use crate::problem::{Code, Problem, sentence};

pub use incoming::{NewEvent, read_event};

/// Longest time that a caller may wait for a decision, seconds.
const WAIT_SECONDS_MAX: u64 = 30;

domain::choice! {
    /// What became of an event that was sent.
    pub enum Receipt {
        /// It is in the log, durably.
        Accepted = "ACCEPTED",
        /// The log had it already; nothing was written.
        Duplicate = "DUPLICATE",
        /// It was refused.
        Rejected = "REJECTED",
    }
}

impl From<&Ingested> for Receipt {
    fn from(ingested: &Ingested) -> Self {
        match ingested {
            Ingested::Accepted { .. } => Self::Accepted,
            Ingested::Duplicate { .. } => Self::Duplicate,
            Ingested::Rejected(_) => Self::Rejected,
        }
    }
}

domain::choice! {
    /// How events take part.
    pub enum TakePart {
        /// As they happen.
        Live = "live",
        /// Stored for backtest, cohorts and profiles; they earn nothing.
        History = "history",
        /// Decided as if it were their time; for a tenant that is being replayed.
        Replay = "replay",
    }
}

impl From<TakePart> for RecordKind {
    fn from(how: TakePart) -> Self {
        match how {
            TakePart::Live => Self::Live,
            TakePart::History => Self::History,
            TakePart::Replay => Self::Replay,
        }
    }
}

domain::shape! {
    /// How the events take part.
    pub struct SendAs {
        /// `live`, `history` or `replay`.
        "as" how: TakePart = TakePart::Live,
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let text = sentence(&rejection.to_string());
        match rejection {
            Rejection::Faulty(fault) => Self::invalid(&Faults::one(fault)),
            Rejection::IdReused => Self::new(Code::IdReused, text),
            Rejection::WrongMode(_) => Self::new(Code::WrongMode, text),
            Rejection::NoTenant => Self::new(Code::NotFound, text),
        }
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::TooMany(_) => {
                Self::invalid_field("/events", FaultCode::TooLong, error.to_string())
            }
            IngestError::Port(error) => error.into(),
        }
    }
}

/// How long the caller wants to wait for the decision: `Prefer: wait=N` (RFC 7240). A preference is
/// no demand: what cannot be read is passed over and what is too long is cut.
pub fn wait_wanted(headers: &HeaderMap) -> Option<Duration> {
    let headers = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let preferences = headers.flat_map(|value| value.split([',', ';']));
    let mut seconds = preferences.filter_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let wait = name.trim().eq_ignore_ascii_case("wait");
        wait.then(|| value.trim().trim_matches('"').parse::<u64>().ok()).flatten()
    });
    seconds.next_back().map(|seconds| Duration::from_secs(seconds.min(WAIT_SECONDS_MAX)))
}

/// Pause before the store is asked again whether an event is decided; it doubles up to the other.
const ASK_AFTER: Duration = Duration::from_millis(2);
/// The longest of these pauses: callers who wait long are many, and the store has other work.
const ASK_AFTER_MAX: Duration = Duration::from_millis(250);

/// An event that is in the log, as its caller waits for it.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// Whose.
    pub tenant: TenantId,
    /// Its id.
    pub event: EventId,
    /// Where it is in its partition.
    pub offset: i64,
}

/// Waits until an event is decided. False when it was not in time, or nobody decides.
pub async fn decided(app: &App, event: &Awaited, wait: Duration) -> bool {
    let decided = async {
        match &app.decided {
            Decided::Here(progress) => {
                let mut progress = progress.clone();
                let is_past = |at: &Position| at.next_offset > event.offset;
                progress.wait_for(|at| at.as_ref().is_some_and(is_past)).await.is_ok()
            }
            Decided::Anywhere => has_outcome(app, event).await,
        }
    };
    tokio::time::timeout(wait, decided).await.unwrap_or(false)
}

/// Asks until the event has an outcome. False when the store does not answer.
async fn has_outcome(app: &App, event: &Awaited) -> bool {
    let mut pause = ASK_AFTER;
    loop {
        tokio::time::sleep(pause).await;
        match app.hot.outcome(event.tenant, &event.event).await {
            Ok(None) => pause = (pause * 2).min(ASK_AFTER_MAX),
            Ok(Some(_)) => return true,
            Err(error) => {
                tracing::debug!(%error, "a caller waits no longer for a decision");
                return false;
            }
        }
    }
}
