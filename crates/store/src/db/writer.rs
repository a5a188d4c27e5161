//! The writer thread: group commit.
//!
//! It takes what is waiting (bounded), runs each closure, commits once and only then answers all
//! of them. With one disk sync per commit this is what makes durability affordable when many
//! callers write at the same time, and it costs a lone caller nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::checkpoint::Checkpoints;
use super::connection::execute;
use super::job::Job;
use crate::error::{Result, StoreError};

pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) queue: mpsc::Receiver<Box<dyn Job>>,
    /// Most closures in one transaction.
    pub(super) group_max: usize,
    pub(super) checkpoints: Arc<Checkpoints>,
    pub(super) room: Arc<Room>,
}

/// Whether there was room for the last commit.
#[derive(Default)]
pub(super) struct Room(Mutex<Option<String>>);

impl Room {
    /// What the last commit lacked, if it failed for want of room.
    pub(super) fn lack(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns from a group. One in which every closure failed for a reason of its own says nothing.
    fn after(&self, group: &[Box<dyn Job>]) {
        let full = |job: &dyn Job| match job.error() {
            Some(error @ StoreError::Full { .. }) => Some(error.to_string()),
            _ => None,
        };
        let lack = group.iter().find_map(|job| full(job.as_ref()));
        if lack.is_some() || group.iter().any(|job| job.error().is_none()) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lack;
        }
    }
}

impl Writer {
    /// Runs until every sender is gone and the queue is empty.
    pub(super) fn run(mut self) {
        let mut group = Vec::with_capacity(self.group_max);
        while let Some(first) = self.queue.blocking_recv() {
            group.push(first);
            while group.len() < self.group_max {
                match self.queue.try_recv() {
                    Ok(next) => group.push(next),
                    Err(_) => break,
                }
            }
            self.write_group(&mut group);
            self.room.after(&group);
            self.checkpoints.counts.commits.fetch_add(1, Ordering::Relaxed);
            self.checkpoints.counts.writes.fetch_add(group.len() as u64, Ordering::Relaxed);
            group.drain(..).for_each(Job::answer);
            self.checkpoints.poke_when_due();
        }
    }

    fn write_group(&self, group: &mut [Box<dyn Job>]) {
        let _turn = self.checkpoints.writer_turn();
        if let Err(error) = self.commit_group(group) {
            tracing::warn!(%error, writes = group.len(), "a commit failed and was rolled back");
            self.rollback();
            group.iter_mut().for_each(|job| job.fail(&error));
        }
    }

    fn commit_group(&self, group: &mut [Box<dyn Job>]) -> Result<()> {
        let mut kept = 0;
        execute(&self.conn, "begin immediate")?;
        for i in 0..group.len() {
            let (before, rest) = group.split_at_mut(i);
            let job = &mut rest[0];
            if self.run_one(job.as_mut(), kept)? {
                kept += 1;
            }
            // A full disk or a failing one makes SQLite roll back the whole transaction by itself:
            // what ran before is gone too, and its callers must hear it.
            if self.conn.is_autocommit() {
                let lost = lost_with(job.error());
                before.iter_mut().for_each(|job| job.fail(&lost));
                job.fail(&lost);
                kept = 0;
                execute(&self.conn, "begin immediate")?;
            }
        }
        execute(&self.conn, "commit")?;
        Ok(())
    }

    /// Runs one closure so that its failure leaves what ran before it alone. A savepoint makes
    /// SQLite copy every page that is changed under it, so there is none while there is nothing to
    /// protect: then the transaction itself is rolled back.
    fn run_one(&self, job: &mut dyn Job, kept: usize) -> Result<bool> {
        if kept > 0 {
            execute(&self.conn, "savepoint one")?;
        }
        let done = job.run(&self.conn);
        if self.conn.is_autocommit() {
            return Ok(false);
        }
        let after: &[&str] = match (done, kept > 0) {
            (true, true) => &["release one"],
            (true, false) => &[],
            (false, true) => &["rollback to one", "release one"],
            (false, false) => &["rollback", "begin immediate"],
        };
        after.iter().try_for_each(|sql| execute(&self.conn, sql))?;
        Ok(done)
    }

    fn rollback(&self) {
        if !self.conn.is_autocommit()
            && let Err(error) = execute(&self.conn, "rollback")
        {
            tracing::error!(%error, "a rollback failed");
        }
    }
}

fn lost_with(cause: Option<&StoreError>) -> StoreError {
    cause.cloned().unwrap_or_else(|| StoreError::Sql {
        detail: "the transaction was rolled back by the database; try again".to_owned(),
    })
}
