//! Named places at which the process can be told to die, so that a test can crash it exactly
//! there. Compiled in always, because what is tested should be what is shipped; inert unless armed.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

domain::choice! {
    /// A place on the path of an event.
    pub enum CrashPoint {
        /// Events are in the log, their sender has no answer yet.
        AfterAppend = "after_append",
        /// A batch was taken, nothing is loaded yet.
        BeforeLoad = "before_load",
        /// A batch is decided, nothing is written yet.
        AfterDecide = "after_decide",
        /// The batch is about to be handed to the store.
        BeforeCommit = "before_commit",
        /// Half of the batch's rows are written, the transaction is open.
        InCommit = "in_commit",
        /// The batch is durable, nobody knows it yet.
        AfterCommit = "after_commit",
        /// Incentives are about to be published.
        BeforePublish = "before_publish",
        /// They are published, the publication is not recorded yet.
        AfterPublish = "after_publish",
        /// The publication is about to be recorded.
        BeforeLog = "before_log",
        /// The publication is recorded.
        AfterLog = "after_log",
    }
}

/// What to die of: the n-th time a point is reached, written `after_commit:3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPlan {
    /// Where.
    pub point: CrashPoint,
    /// At which time, from 1.
    pub count: u64,
}

/// Why a text is not a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrashPlanError {
    /// No such point.
    #[error("the crash point {0}")]
    Point(#[from] domain::shape::UnknownWord),
    /// No count.
    #[error("{0:?} is no count; write the crash point as NAME:COUNT with a count from 1")]
    Count(String),
}

impl FromStr for CrashPlan {
    type Err = CrashPlanError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, count) = text.split_once(':').unwrap_or((text, "1"));
        let count = count.parse().ok().filter(|n| *n > 0);
        let count = count.ok_or_else(|| CrashPlanError::Count(text.to_owned()))?;
        Ok(Self { point: name.parse()?, count })
    }
}

impl fmt::Display for CrashPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.point.as_str(), self.count)
    }
}

static ARMED: OnceLock<(CrashPlan, AtomicU64)> = OnceLock::new();

/// Arms the process, once for its life. False when it was armed before.
pub fn arm(plan: CrashPlan) -> bool {
    ARMED.set((plan, AtomicU64::new(0))).is_ok()
}

/// Marks a place. Dies here when the process was told to.
pub fn point(here: CrashPoint) {
    if let Some((plan, reached)) = ARMED.get()
        && plan.point == here
        && reached.fetch_add(1, Ordering::Relaxed) + 1 == plan.count
    {
        tracing::warn!(point = here.as_str(), "crash point reached: the process aborts as told");
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_from_text() {
        let plan = |point, count| Some(CrashPlan { point, count });
        for (text, expected) in [
            ("after_commit:3", plan(CrashPoint::AfterCommit, 3)),
            ("in_commit", plan(CrashPoint::InCommit, 1)),
            ("in_commit:0", None),
            ("in_commit:x", None),
            ("nowhere:1", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        for point in CrashPoint::ALL {
            let plan = CrashPlan { point: *point, count: 7 };
            assert_eq!(plan.to_string().parse(), Ok(plan));
        }
    }

    #[test]
    fn an_unarmed_point_does_nothing() {
        CrashPoint::ALL.iter().for_each(|p| point(*p));
    }
}
