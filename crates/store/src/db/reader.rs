//! Reading: on a few threads, or on the thread of the one caller that has its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::connection::{self, Purpose};
use super::job::{self, Job};
use super::{DbOptions, spawn as spawn_thread};
use crate::error::Result;

type SharedQueue = Arc<Mutex<mpsc::Receiver<Box<dyn Job>>>>;

/// Starts the reader threads. They end when every sender is gone and the queue is empty.
pub(super) fn spawn(
    path: &Path,
    options: &DbOptions,
    queue: mpsc::Receiver<Box<dyn Job>>,
) -> Result<Vec<JoinHandle<()>>> {
    let queue: SharedQueue = Arc::new(Mutex::new(queue));
    let reader = |_| {
        let conn = connection::open(path, options, Purpose::Read)?;
        let queue = queue.clone();
        spawn_thread(path, "store-read", move || run(&conn, &queue))
    };
    (0..options.readers.get()).map(reader).collect()
}

fn run(conn: &Connection, queue: &SharedQueue) {
    loop {
        // The lock is held while waiting and released before the work: one reader waits at the
        // queue, the others at the lock.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(mut job) = next else { return };
        if let Err(error) = in_transaction(conn, || job.run(conn)) {
            job.fail(&error);
        }
        job.answer();
    }
}

/// The connection for reading on the caller's thread; `None` once it is closed.
pub(super) struct Own(Mutex<Option<Connection>>);

impl Own {
    pub(super) fn open(path: &Path, options: &DbOptions) -> Result<Self> {
        Ok(Self(Mutex::new(Some(connection::open(path, options, Purpose::Read)?))))
    }

    /// Runs the closure here, or gives it back: somebody else is reading, or it is closed.
    pub(super) fn read<T, F>(&self, work: F) -> Result<Result<T>, F>
    where
        F: FnOnce(&Connection) -> Result<T>,
    {
        let own = match self.0.try_lock() {
            Ok(own) => own,
            Err(TryLockError::Poisoned(own)) => own.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(work),
        };
        let Some(conn) = &*own else { return Err(work) };
        Ok(in_transaction(conn, || job::run(work, conn)).flatten())
    }

    /// Waits for the read under way.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// All queries in it see one state. Errors: it cannot be begun.
fn in_transaction<T>(conn: &Connection, work: impl FnOnce() -> T) -> Result<T> {
    connection::execute(conn, "begin")?;
    let result = work();
    if let Err(error) = connection::execute(conn, "rollback") {
        tracing::error!(%error, "a read cannot be ended");
    }
    Ok(result)
}
