//! One partition, from the moment it is assigned until it has been left. Work on it comes in
//! shifts: a worker with its relay. A shift that another owner ended is followed by the next one
//! after a growing pause; one that halted is the last, and stays on the board until the partition
//! is assigned anew.

use std::io;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Board, Gear};
use crate::policy::Health;
use crate::ports::Position;
use crate::worker::Worker;

/// A partition of ours.
pub(super) struct Post {
    partition: i32,
    gear: Gear,
    board: Board,
    leave: CancellationToken,
}

/// How the worker of a shift ended.
struct Ended {
    health: Health,
    /// Whether it decided anything.
    has_committed: bool,
}

impl Post {
    pub fn new(partition: i32, gear: Gear, board: Board, leave: CancellationToken) -> Self {
        Self { partition, gear, board, leave }
    }

    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Works on the partition until it is to be left.
    pub async fn hold(self) {
        let mut failures = 0;
        while !self.leave.is_cancelled() {
            let Ended { health, has_committed } = self.shift().await;
            if self.leave.is_cancelled() {
                break;
            }
            let why = match health {
                Health::Halted(_) => {
                    self.leave.cancelled().await;
                    break;
                }
                Health::Waiting(why) => why,
                // Ours by assignment: who took it may not have heard so yet, or it is we who have
                // not heard.
                _ => "another process took it over; it is taken back by itself".to_owned(),
            };
            failures = if has_committed { 1 } else { failures + 1 };
            self.pause(failures, why).await;
        }
        self.board.clear(self.partition);
        self.gear.metrics.forget_partition(self.partition);
    }

    async fn pause(&self, failures: u32, why: String) {
        let (partition, pause) = (self.partition, self.gear.settings.taken_back.pause(failures));
        tracing::warn!(partition, why, ?pause, "work on the partition begins anew after a pause");
        self.note_calculator(Health::Waiting(why));
        // Told to leave: the caller looks.
        let _left = self.leave.run_until_cancelled(tokio::time::sleep(pause)).await;
    }

    /// A worker and its relay, from the take-over until both have ended.
    async fn shift(&self) -> Ended {
        let Gear { ports, metrics, hub, settings } = self.gear.clone();
        let mut worker = Worker::new(self.partition, settings.batch_max, ports, metrics);
        if let Some(hub) = hub {
            worker.announce_progress_to(hub);
        }
        let (progress, health) = (worker.progress(), worker.health());
        let relay = worker.relay();
        let (relay_health, stop_relay) = (relay.health(), CancellationToken::new());
        let thread = worker.on_thread(Handle::current(), self.leave.clone());
        let relay = tokio::spawn(relay.run(stop_relay.clone()));
        let (abort_relay, relay_ended) = (relay.abort_handle(), CancellationToken::new());

        let work = async {
            let ended = self.work(thread, progress, health).await;
            // Without its worker the relay ends by itself when all that was committed is announced.
            let within = |token: &CancellationToken| {
                tokio::time::timeout(settings.relay_within, token.clone().cancelled_owned())
            };
            if within(&relay_ended).await.is_err() {
                stop_relay.cancel();
            }
            // A call of a port may not return for long; what it did is done again by the next one.
            if within(&relay_ended).await.is_err() {
                tracing::warn!(partition = self.partition, "the relay is cut off");
                abort_relay.abort();
            }
            ended
        };
        let announce = async {
            self.announce(relay, relay_health).await;
            relay_ended.cancel();
        };
        tokio::join!(work, announce).0
    }

    /// Follows the worker to its end.
    async fn work(
        &self,
        thread: io::Result<thread::JoinHandle<Health>>,
        progress: watch::Receiver<Option<Position>>,
        health: watch::Receiver<Health>,
    ) -> Ended {
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                let health = Health::Waiting(format!("no thread to work on: {error}"));
                return Ended { health, has_committed: false };
            }
        };
        let (mut first, mut last) = (None, None);
        let reached = |position: Option<Position>| {
            last = position.map(|p| p.batch_seq).or(last);
            first = first.or(last);
            self.board.reached(self.partition, position);
        };
        let noted = |health| self.note_calculator(health);
        tokio::join!(each(progress, reached), each(health, noted));
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        let health = match joined {
            Ok(Ok(health)) => health,
            _ => Health::Halted("the calculator's thread broke off by a defect".to_owned()),
        };
        Ended { health, has_committed: last > first }
    }

    /// Follows the relay to its end.
    async fn announce(&self, relay: JoinHandle<Health>, health: watch::Receiver<Health>) {
        let note = |health| self.board.note(self.partition, |standing| standing.relay = health);
        each(health, note).await;
        if relay.await.is_err_and(|error| error.is_panic()) {
            let why = "it broke off by a defect; restart the process";
            tracing::error!(partition = self.partition, why, "the relay has halted");
            note(Health::Halted(why.to_owned()));
        }
    }

    fn note_calculator(&self, health: Health) {
        self.board.note(self.partition, |standing| standing.calculator = health);
    }
}

/// Hands on what a channel says, from now until its sender is gone.
async fn each<T: Clone>(mut channel: watch::Receiver<T>, mut tell: impl FnMut(T)) {
    loop {
        let value = channel.borrow_and_update().clone();
        tell(value);
        if channel.changed().await.is_err() {
            return;
        }
    }
}
