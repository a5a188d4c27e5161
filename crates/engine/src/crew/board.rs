//! What others see of the crew: how each partition is, and how far it is decided.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::policy::Health;
use crate::ports::Position;

/// Troubles told in one text.
const TROUBLES_TOLD: usize = 5;

/// How a partition is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who decides it.
    pub calculator: Health,
    /// Who announces what it grants.
    pub relay: Health,
}

/// How the partitions of this process are; clones show the same.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    standings: watch::Sender<BTreeMap<i32, Standing>>,
    progress: Mutex<BTreeMap<i32, watch::Sender<Option<Position>>>>,
}

impl Board {
    /// The partitions that are worked on, or being left, and how each is.
    pub fn standings(&self) -> watch::Receiver<BTreeMap<i32, Standing>> {
        self.0.standings.subscribe()
    }

    /// How far a partition is decided: `None` while it is not ours or not taken over yet, then the
    /// position of the last commit. A record is decided when its offset lies before `next_offset`.
    pub fn progress(&self, partition: i32) -> watch::Receiver<Option<Position>> {
        self.progress_of(partition).subscribe()
    }

    /// Whether all partitions are at work, or about to be. Errors: what is wrong with which, in
    /// plain words.
    pub fn check(&self) -> Result<(), String> {
        let standings = self.0.standings.borrow();
        let mut troubles = standings.iter().flat_map(|(partition, standing)| {
            let told = standing.troubles();
            told.map(move |(part, wrong)| format!("partition {partition}: the {part} {wrong}"))
        });
        let Some(mut text) = troubles.next() else { return Ok(()) };
        for (n, more) in troubles.enumerate() {
            if n + 1 == TROUBLES_TOLD {
                text.push_str("; and more");
                break;
            }
            // Writing to a text cannot fail.
            let _ = write!(text, "; {more}");
        }
        Err(text)
    }

    /// Returns once a part has halted for good, with what is wrong. Nothing more will come of its
    /// partition unless an operator looks.
    pub async fn halted(&self) -> String {
        let is_halted = |health: &Health| matches!(health, Health::Halted(_));
        let halted = |s: &Standing| is_halted(&s.calculator) || is_halted(&s.relay);
        let mut standings = self.standings();
        // The board itself keeps the channel open.
        drop(standings.wait_for(|all| all.values().any(halted)).await);
        self.check().err().unwrap_or_default()
    }

    /// Notes how a partition is.
    pub(super) fn note(&self, partition: i32, change: impl FnOnce(&mut Standing)) {
        self.0.standings.send_modify(|all| change(all.entry(partition).or_default()));
    }

    /// Notes how far a partition is decided.
    pub(super) fn reached(&self, partition: i32, position: Option<Position>) {
        self.progress_of(partition).send_replace(position);
    }

    /// Forgets a partition that is not ours any more.
    pub(super) fn clear(&self, partition: i32) {
        self.reached(partition, None);
        self.0.standings.send_modify(|all| _ = all.remove(&partition));
    }

    fn progress_of(&self, partition: i32) -> watch::Sender<Option<Position>> {
        let mut all = self.0.progress.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(partition).or_default().clone()
    }
}

impl Standing {
    /// Which parts are kept from their work, and by what.
    fn troubles(&self) -> impl Iterator<Item = (&'static str, String)> {
        let calculator = trouble(&self.calculator).map(|wrong| ("calculator", wrong));
        // A relay outlives its worker for a while and then stops: that is as it should be.
        let has_left = self.relay == Health::Stopped && self.calculator.is_ready();
        let relay = trouble(&self.relay).or(has_left.then(|| "has stopped".to_owned()));
        calculator.into_iter().chain(relay.map(|wrong| ("relay", wrong)))
    }
}

fn trouble(health: &Health) -> Option<String> {
    match health {
        // What has had nothing to do yet is still starting; what has stopped was told to, or
        // begins anew at once.
        Health::Working | Health::Starting | Health::Stopped => None,
        Health::Waiting(why) => Some(format!("waits: {why}")),
        Health::Halted(why) => Some(format!("has halted: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_one_text_of_bounded_length() {
        let board = Board::default();
        assert_eq!(board.check(), Ok(()));
        board.note(3, |standing| standing.calculator = Health::Working);
        assert_eq!(board.check(), Ok(()));
        board.note(3, |standing| standing.relay = Health::Halted("a defect".to_owned()));
        assert_eq!(board.check(), Err("partition 3: the relay has halted: a defect".to_owned()));
        board.note(1, |standing| standing.calculator = Health::Waiting("the disk".to_owned()));
        let both = "partition 1: the calculator waits: the disk; \
                    partition 3: the relay has halted: a defect";
        assert_eq!(board.check(), Err(both.to_owned()));
        (10..30).for_each(|n| {
            board.note(n, |standing| {
                *standing = Standing { calculator: Health::Working, relay: Health::Stopped };
            });
        });
        let many = board.check().unwrap_err();
        assert!(many.ends_with("partition 12: the relay has stopped; and more"), "{many}");
        board.clear(1);
        board.clear(3);
        assert!(board.check().unwrap_err().starts_with("partition 10: "));
    }
}
