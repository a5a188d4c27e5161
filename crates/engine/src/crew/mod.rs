//! The crew: whoever works on the partitions that the bus assigns to this process. It follows
//! [`crate::ports::Bus::assigned`]: a partition that comes gets a post, with a worker on a thread
//! of its own and a relay; one that goes is left in order. Embedded or distributed is all the same
//! here: a log in the store has one partition, and it is always ours.
//!
//! Read on in `post`: the life of one partition. [`Board`] is what others see of it.

mod board;
mod post;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::policy::Backoff;
use crate::worker::{BATCH_MAX_DEFAULT, Ports};
pub use board::{Board, Standing};
use post::Post;

/// How a crew works.
#[derive(Clone, Copy, Debug)]
pub struct CrewSettings {
    /// Records in a batch at most.
    pub batch_max: usize,
    /// How long a relay may go on announcing what is committed when its partition is left. The
    /// rest is announced by whoever has the partition next.
    pub relay_within: Duration,
    /// Pauses before a partition is taken back from another owner while it is assigned to us.
    pub taken_back: Backoff,
}

impl Default for CrewSettings {
    fn default() -> Self {
        let [first, most] = [200, 10_000].map(Duration::from_millis);
        Self {
            batch_max: BATCH_MAX_DEFAULT,
            relay_within: Duration::from_secs(5),
            taken_back: Backoff { first, most },
        }
    }
}

/// What a crew works with.
#[derive(Clone)]
pub struct Gear {
    /// The ports.
    pub ports: Ports,
    /// Where work is counted.
    pub metrics: Metrics,
    /// Whose sessions hear of progress in quests.
    pub hub: Option<Arc<Hub>>,
    /// How to work.
    pub settings: CrewSettings,
}

/// A crew at work.
#[derive(Debug)]
pub struct Crew {
    board: Board,
    stop: CancellationToken,
    foreman: JoinHandle<()>,
}

impl Crew {
    /// Begins with what is assigned now. To be called inside a runtime.
    pub fn start(gear: Gear) -> Self {
        let (board, stop) = (Board::default(), CancellationToken::new());
        let assigned = gear.ports.bus.assigned();
        let foreman = Foreman { gear, board: board.clone(), posts: BTreeMap::new() };
        let foreman = tokio::spawn(foreman.follow(assigned, stop.clone()));
        Self { board, stop, foreman }
    }

    /// What is seen of the crew from outside; it outlives the crew.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Leaves all partitions in order: each worker finishes its batch, then its relay announces
    /// what is committed. Returns when all have ended.
    pub async fn stop(self) {
        self.stop.cancel();
        if self.foreman.await.is_err() {
            tracing::error!("the crew's foreman broke off");
        }
    }
}

/// A partition that is worked on, or being left.
struct Manned {
    leave: CancellationToken,
    task: JoinHandle<()>,
}

/// Sees to it that what is assigned is manned.
struct Foreman {
    gear: Gear,
    board: Board,
    posts: BTreeMap<i32, Manned>,
}

impl Foreman {
    async fn follow(
        mut self,
        mut assigned: watch::Receiver<BTreeSet<i32>>,
        stop: CancellationToken,
    ) {
        loop {
            let wanted = assigned.borrow_and_update().clone();
            self.man(&wanted);
            match stop.run_until_cancelled(assigned.changed()).await {
                Some(Ok(())) => {}
                // A bus that is gone assigns nothing more; what we have is ours until we stop.
                Some(Err(_)) => stop.cancelled().await,
                None => break,
            }
        }
        self.man(&BTreeSet::new());
        for (partition, manned) in self.posts {
            if manned.task.await.is_err() {
                tracing::error!(partition, "work on the partition broke off");
            }
        }
    }

    /// Leaves what is not wanted, mans what is.
    fn man(&mut self, wanted: &BTreeSet<i32>) {
        for (partition, manned) in &self.posts {
            if !wanted.contains(partition) {
                manned.leave.cancel();
            }
        }
        self.posts.retain(|_, manned| !manned.task.is_finished());
        for partition in wanted {
            if self.posts.get(partition).is_some_and(|manned| !manned.leave.is_cancelled()) {
                continue;
            }
            let before = self.posts.remove(partition);
            let leave = CancellationToken::new();
            let post = Post::new(*partition, self.gear.clone(), self.board.clone(), leave.clone());
            let task = tokio::spawn(async move {
                // It came back while it was being left: two workers would fence each other.
                if let Some(before) = before
                    && before.task.await.is_err()
                {
                    tracing::error!(partition = post.partition(), "work on it broke off before");
                }
                post.hold().await;
            });
            self.posts.insert(*partition, Manned { leave, task });
        }
    }
}
