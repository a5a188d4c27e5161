//! Moving the write-ahead log into the database file, beside the writer and never inside a commit.
//!
//! A PASSIVE checkpoint copies while the writer goes on, so it never catches up with a busy one,
//! and then SQLite leaves what it copied unsynced. So it is repeated, and synced here, until little
//! is left; for that rest the writer is held between two commits (RESTART), after which it begins
//! the log anew. When nothing was written for a while the log file is cut to nothing (TRUNCATE).

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::error::{Result, StoreError};

/// After this long without a poke, what is left in the log is moved and the log file is cut.
const IDLE: Duration = Duration::from_secs(5);
/// PASSIVE rounds before the writer is held for the rest; each leaves a fraction of the one before.
const PASSIVE_ROUNDS_MAX: u32 = 4;
/// When at most this share of the threshold is left, holding the writer is short.
const REST_SHARE: u32 = 128;

/// Shared by the writer, the checkpointer and whoever reads the counts.
pub(super) struct Checkpoints {
    turns: Mutex<Turns>,
    turn_over: Condvar,
    /// Pages in the log after the last commit, from SQLite's own hook.
    wal_pages: AtomicU32,
    /// A checkpoint is due at this many pages: the threshold, or more while a reader is in the way.
    due_at: AtomicU32,
    threshold: u32,
    poke: SyncSender<()>,
    pub(super) counts: Counts,
}

#[derive(Default)]
struct Turns {
    writing: bool,
    checkpointing: bool,
}

/// What has been done since the start.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) commits: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) checkpoints: AtomicU64,
}

impl Checkpoints {
    /// Also returns the receiver of pokes for [`Checkpointer`].
    pub(super) fn new(threshold: u32) -> (Self, Receiver<()>) {
        let (poke, poked) = sync_channel(1);
        let shared = Self {
            turns: Mutex::default(),
            turn_over: Condvar::new(),
            wal_pages: AtomicU32::new(0),
            due_at: AtomicU32::new(threshold),
            threshold,
            poke,
            counts: Counts::default(),
        };
        (shared, poked)
    }

    pub(super) fn wal_pages(&self) -> u32 {
        self.wal_pages.load(Ordering::Relaxed)
    }

    pub(super) fn set_wal_pages(&self, pages: u32) {
        self.wal_pages.store(pages, Ordering::Relaxed);
    }

    /// Wakes the checkpointer.
    pub(super) fn poke(&self) {
        let _already_poked = self.poke.try_send(());
    }

    /// Wakes the checkpointer when the log has grown past the threshold.
    pub(super) fn poke_when_due(&self) {
        if self.is_due() {
            self.poke();
        }
    }

    fn is_due(&self) -> bool {
        self.wal_pages() >= self.due_at.load(Ordering::Relaxed)
    }

    /// Notes the end of a checkpoint that held the writer. A long reader keeps the log from being
    /// begun anew: then the next try waits for another threshold of pages, lest every commit be
    /// held up in vain.
    fn checkpointed(&self, progress: &Progress) {
        let due_at = if progress.complete {
            // The writer begins the log anew; SQLite's hook counts from there.
            self.set_wal_pages(0);
            self.threshold
        } else {
            self.wal_pages().saturating_add(self.threshold)
        };
        self.due_at.store(due_at, Ordering::Relaxed);
    }

    /// Waits until no checkpoint holds the writer, and keeps the next from doing so until dropped.
    pub(super) fn writer_turn(&self) -> Turn<'_> {
        let mut turns = self.wait(self.turns(), |t| t.checkpointing);
        turns.writing = true;
        drop(turns);
        Turn { of: self, end: |t| t.writing = false }
    }

    /// Asks for the next turn (before any later commit) and waits for the commit under way.
    fn checkpoint_turn(&self) -> Turn<'_> {
        let mut turns = self.turns();
        turns.checkpointing = true;
        drop(self.wait(turns, |t| t.writing));
        Turn { of: self, end: |t| t.checkpointing = false }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        turns: MutexGuard<'a, Turns>,
        busy: fn(&Turns) -> bool,
    ) -> MutexGuard<'a, Turns> {
        self.turn_over.wait_while(turns, |t| busy(t)).unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Turn<'a> {
    of: &'a Checkpoints,
    end: fn(&mut Turns),
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        (self.end)(&mut self.of.turns());
        self.of.turn_over.notify_all();
    }
}

/// The thread that checkpoints.
pub(super) struct Checkpointer {
    pub(super) conn: Connection,
    /// The database file, for syncing it. Never closed before the connections are: closing any
    /// handle of a file drops the process's POSIX locks on it, SQLite's too.
    pub(super) file: File,
    pub(super) shared: Arc<Checkpoints>,
    pub(super) poked: Receiver<()>,
    /// Set when the writer has ended: cut the log and end.
    pub(super) stopping: Arc<AtomicBool>,
}

/// What a checkpoint reports.
struct Progress {
    /// Everything is in the database file and no reader needs the log.
    complete: bool,
    /// Pages of the log that are in the database file.
    moved: u32,
}

impl Checkpointer {
    /// Runs until `stopping` is set and it is poked.
    pub(super) fn run(self) {
        loop {
            let round = match self.poked.recv_timeout(IDLE) {
                _ if self.stopping.load(Ordering::Acquire) => break,
                // A poke may be left over from the commits during the last round.
                Ok(()) if !self.shared.is_due() => Ok(()),
                Ok(()) => self.shrink(),
                Err(RecvTimeoutError::Timeout) => self.cut_when_idle(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = round {
                tracing::warn!(%error, "a checkpoint failed; the log keeps growing until the next");
            }
        }
        // The writer has ended: no turn to wait for.
        if let Err(error) = self.checkpoint("TRUNCATE") {
            tracing::warn!(%error, "the last checkpoint failed; the next start does it");
        }
    }

    fn shrink(&self) -> Result<()> {
        for _ in 0..PASSIVE_ROUNDS_MAX {
            let progress = self.copy()?;
            let rest = self.shared.wal_pages().saturating_sub(progress.moved);
            if rest <= self.shared.threshold / REST_SHARE {
                break;
            }
        }
        let _turn = self.shared.checkpoint_turn();
        self.shared.checkpointed(&self.checkpoint("RESTART")?);
        Ok(())
    }

    fn cut_when_idle(&self) -> Result<()> {
        if self.shared.wal_pages() == 0 {
            return Ok(());
        }
        self.copy()?;
        let _turn = self.shared.checkpoint_turn();
        self.shared.checkpointed(&self.checkpoint("TRUNCATE")?);
        Ok(())
    }

    /// Copies what is in the log beside the writer, and makes it durable.
    fn copy(&self) -> Result<Progress> {
        let progress = self.checkpoint("PASSIVE")?;
        let path = Path::new(self.conn.path().unwrap_or_default());
        self.file.sync_data().map_err(|e| StoreError::io("sync", path, e))?;
        Ok(progress)
    }

    /// A reader in the way is no error: the next round gets further.
    fn checkpoint(&self, mode: &'static str) -> Result<Progress> {
        self.shared.counts.checkpoints.fetch_add(1, Ordering::Relaxed);
        let sql = format!("pragma wal_checkpoint({mode})");
        let progress = self.conn.query_row(&sql, [], |row| {
            let moved = u32::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
            Ok(Progress { complete: row.get::<_, i64>(0)? == 0, moved })
        })?;
        Ok(progress)
    }
}
