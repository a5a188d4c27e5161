//! What to do when a port fails. One table for the worker, the relay and whoever asks how we are.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ports::{PortError, PortErrorKind};

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again after a growing pause.
    Retry(Backoff),
    /// End quietly: somebody else does the work now.
    Stop,
    /// End loudly: an operator must look first.
    Halt,
}

/// The answer to one kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What happens next.
    pub next: Next,
    /// What an operator can do about it.
    pub remedy: &'static str,
}

/// Pauses that double from `first` to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// No pause is longer.
    pub most: Duration,
}

impl Backoff {
    /// Pauses after a conflict with another writer: it is over as soon as we read again.
    pub const CONFLICT: Self =
        Self { first: Duration::from_millis(1), most: Duration::from_millis(100) };

    /// The pause after the n-th failure in a row, from 1.
    pub fn pause(self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.most)
    }
}

/// The policy for a kind of failure.
pub fn policy(kind: PortErrorKind) -> Policy {
    let retry = |first_ms, most_ms| {
        let [first, most] = [first_ms, most_ms].map(Duration::from_millis);
        Next::Retry(Backoff { first, most })
    };
    match kind {
        PortErrorKind::Unavailable => Policy {
            next: retry(10, 5_000),
            remedy: "it is tried again by itself; look at the service that it names if this lasts",
        },
        PortErrorKind::Full => Policy {
            next: retry(500, 10_000),
            remedy: "free some space; work goes on by itself, nothing that was answered is lost",
        },
        PortErrorKind::Fenced => Policy {
            next: Next::Stop,
            remedy: "nothing to do: another process has taken this partition over",
        },
        PortErrorKind::Corrupt => Policy {
            next: Next::Halt,
            remedy: "keep a copy of the data, run `incent doctor`, restore a backup if it says so; \
                     events are still accepted and will be decided afterwards",
        },
        PortErrorKind::Invalid => Policy {
            next: Next::Halt,
            remedy: "this is a defect of the program: keep the log and report it; events are still \
                     accepted and will be decided by a mended version",
        },
    }
}

/// How a long-running part is, for `/readyz` and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not begun.
    #[default]
    Starting,
    /// At work.
    Working,
    /// Waiting for something to come back; says what and what to do.
    Waiting(String),
    /// Ended because it was told to, or because another process has taken over.
    Stopped,
    /// Ended by a failure that an operator must look at; says which and what to do.
    Halted(String),
}

impl Health {
    /// True while work is being done.
    pub fn is_ready(&self) -> bool {
        *self == Self::Working
    }

    /// The health that a failure leads to.
    pub fn after(error: &PortError) -> Self {
        let Policy { next, remedy } = policy(error.kind);
        match next {
            Next::Retry(_) => Self::Waiting(format!("{error}; {remedy}")),
            Next::Stop => Self::Stopped,
            Next::Halt => Self::Halted(format!("{error}; {remedy}")),
        }
    }
}

/// Why a long-running part has ended.
#[derive(Debug)]
pub struct Ended(pub Health);

/// Carries a long-running part through failures by the policy of their kind, and tells how it is.
pub struct Persistence<'a> {
    health: &'a watch::Sender<Health>,
    stop: &'a CancellationToken,
    /// In a row.
    failures: AtomicU32,
}

impl<'a> Persistence<'a> {
    /// For a part whose health is told there, until it is told to stop.
    pub fn new(health: &'a watch::Sender<Health>, stop: &'a CancellationToken) -> Self {
        Self { health, stop, failures: AtomicU32::new(0) }
    }

    /// Ends when told to stop.
    pub fn unless_told_to_stop(&self) -> Result<(), Ended> {
        if self.stop.is_cancelled() { Err(Ended(Health::Stopped)) } else { Ok(()) }
    }

    /// Waits for something, or ends when told to stop first.
    pub async fn unless_stopped<F: Future>(&self, wait: F) -> Result<F::Output, Ended> {
        let stopped = self.stop.run_until_cancelled(wait).await;
        stopped.ok_or(Ended(Health::Stopped))
    }

    /// Notes that the work goes well.
    pub fn goes_well(&self) {
        if self.failures.swap(0, Ordering::Relaxed) > 0 || !self.health.borrow().is_ready() {
            self.health.send_replace(Health::Working);
        }
    }

    /// Waits as long as the policy wants before the next try, or ends.
    pub async fn after(&self, error: PortError) -> Result<(), Ended> {
        let health = Health::after(&error);
        let Next::Retry(backoff) = policy(error.kind).next else { return Err(Ended(health)) };
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if let Health::Waiting(why) = &health {
            tracing::warn!(failures, why, "waiting");
        }
        self.health.send_replace(health);
        self.unless_stopped(tokio::time::sleep(backoff.pause(failures))).await
    }

    /// Tries until it succeeds, or ends.
    pub async fn insist<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, Ended>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        loop {
            match call().await {
                Ok(value) => return Ok(value),
                Err(error) => self.after(error).await?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(70) };
        let pauses = [0, 1, 2, 3, 4, 5, 1_000_000].map(|n| backoff.pause(n).as_millis());
        assert_eq!(pauses, [10, 10, 20, 40, 70, 70, 70]);
    }

    #[test]
    fn each_kind_of_failure_leads_to_its_health() {
        use PortErrorKind as K;
        for (kind, expected) in [
            (K::Unavailable, "Waiting"),
            (K::Full, "Waiting"),
            (K::Fenced, "Stopped"),
            (K::Corrupt, "Halted"),
            (K::Invalid, "Halted"),
        ] {
            let health = Health::after(&PortError { kind, message: "it failed".to_owned() });
            let text = format!("{health:?}");
            assert!(text.starts_with(expected), "{kind:?}: {text}");
            assert!(expected == "Stopped" || text.contains("it failed; "), "{text}");
            assert!(!health.is_ready());
        }
    }
}
