//! The one SQLite client of the process: a writer thread with group commit, a few reader threads
//! and a checkpointer, each with a connection of its own.

mod checkpoint;
mod connection;
mod job;
mod lock;
mod reader;
mod writer;

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use self::checkpoint::{Checkpointer, Checkpoints};
use self::connection::Purpose;
use self::job::{Job, job};
use self::lock::DirLock;
pub use self::lock::LOCK_FILE;
use self::reader::Own;
use self::writer::{Room, Writer};
use crate::error::{Result, StoreError};

/// How a database is opened. The defaults suit a small server.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// Reader threads, hence queries at the same time.
    pub readers: NonZeroUsize,
    /// Writes, and reads, that may wait before callers wait to hand theirs in.
    pub queue_max: NonZeroUsize,
    /// Most writes in one commit.
    pub group_max: NonZeroUsize,
    /// Page cache of the writer, KiB. A large one slows small commits down: after a commit that has
    /// split a page SQLite walks through all of it, and what it lacks the system's cache has.
    pub cache_kib: u32,
    /// How much of the file is mapped into memory for reading, bytes. Counts as resident memory.
    pub mmap_bytes: i64,
    /// Pages in the write-ahead log that call for a checkpoint. While a checkpoint is made durable
    /// each commit waits longer for the disk, so there should be few; the next start after a crash
    /// reads the whole log.
    pub wal_pages: u32,
    /// Page size of a new file, bytes; a power of two from 512 to 65536.
    pub page_size: u32,
    /// How long to wait for another program that has the file locked.
    pub busy_timeout: Duration,
}

impl Default for DbOptions {
    fn default() -> Self {
        let count = |n| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Self {
            readers: count(3),
            queue_max: count(1024),
            group_max: count(256),
            cache_kib: 8 * 1024,
            mmap_bytes: 256 << 20,
            wal_pages: 131_072,
            page_size: 2048,
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// What the client has done and where it stands, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DbStats {
    /// Transactions committed.
    pub commits: u64,
    /// Closures written; divided by `commits`, the mean size of a group.
    pub writes: u64,
    /// Checkpoints run.
    pub checkpoints: u64,
    /// Pages in the write-ahead log.
    pub wal_pages: u32,
    /// Writes waiting in the queue.
    pub queued: usize,
}

/// A handle to the database; clones share it. When the last one is dropped, what is queued is
/// written, the log is moved into the file and the directory is released.
#[derive(Clone)]
pub struct SqliteDb {
    inner: Arc<Inner>,
}

type Queue = RwLock<Option<mpsc::Sender<Box<dyn Job>>>>;

struct Inner {
    path: PathBuf,
    writes: Queue,
    reads: Queue,
    own: Own,
    checkpoints: Arc<Checkpoints>,
    room: Arc<Room>,
    stopping: Arc<AtomicBool>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    checkpointer: JoinHandle<()>,
    /// Released last.
    _lock: DirLock,
}

impl SqliteDb {
    /// Opens or makes the database file; its directory must exist. Blocks while SQLite recovers
    /// the log of a killed process. Errors: [`StoreError::Locked`] when another process has the
    /// directory, [`StoreError::Damaged`] when the file is no database.
    pub fn open(path: &Path, options: &DbOptions) -> Result<Self> {
        let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let lock = DirLock::take(dir)?;
        let mut conn = connection::open(path, options, Purpose::Write)?;
        sync_dir(dir)?;

        let (checkpoints, poked) = Checkpoints::new(options.wal_pages);
        let checkpoints = Arc::new(checkpoints);
        let shared = checkpoints.clone();
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            shared.set_wal_pages(u32::try_from(pages).unwrap_or(0));
            Ok(())
        }))?;

        let (write, queue) = mpsc::channel(options.queue_max.get());
        let group_max = options.group_max.get();
        let room = Arc::<Room>::default();
        let writer =
            Writer { conn, queue, group_max, checkpoints: checkpoints.clone(), room: room.clone() };

        let stopping = Arc::new(AtomicBool::new(false));
        let checkpointer = Checkpointer {
            conn: connection::open(path, options, Purpose::Checkpoint)?,
            file: File::open(path).map_err(|e| StoreError::io("open", path, e))?,
            shared: checkpoints.clone(),
            poked,
            stopping: stopping.clone(),
        };
        let (read, queue) = mpsc::channel(options.queue_max.get());
        let threads = Threads {
            writer: spawn(path, "store-write", move || writer.run())?,
            readers: reader::spawn(path, options, queue)?,
            checkpointer: spawn(path, "store-checkpoint", move || checkpointer.run())?,
            _lock: lock,
        };
        let inner = Inner {
            path: path.to_owned(),
            writes: RwLock::new(Some(write)),
            reads: RwLock::new(Some(read)),
            own: Own::open(path, options)?,
            checkpoints,
            room,
            stopping,
            threads: Mutex::new(Some(threads)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs a closure in a transaction on the writer thread and returns when it is durable. An
    /// error of the closure rolls back what it did and nothing else. The closure must not begin,
    /// commit or roll back. Once handed in it is run even when the caller stops waiting.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        call(&self.inner.writes, work).await
    }

    /// [`Self::write`] for threads outside the async runtime; panics inside it.
    pub fn write_blocking<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        call_blocking(&self.inner.writes, work)
    }

    /// Runs a closure on a reader thread, in a read transaction: all its queries see one state,
    /// which holds every write that was answered before.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        call(&self.inner.reads, work).await
    }

    /// [`Self::read`] for threads outside the async runtime; panics inside it.
    pub fn read_blocking<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        call_blocking(&self.inner.reads, work)
    }

    /// [`Self::read`] on the caller's own thread, which it blocks: for the one that has a thread of
    /// its own and nothing to do until it knows, as the calculator. Each hand-over to another thread
    /// and back would wait for a processor twice. Whoever comes at the same time is served by a reader.
    pub async fn read_here<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        match self.inner.own.read(work) {
            Ok(result) => result,
            Err(work) => self.read(work).await,
        }
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Where it stands.
    pub fn stats(&self) -> DbStats {
        let counts = &self.inner.checkpoints.counts;
        let queued = sender(&self.inner.writes).map_or(0, |s| s.max_capacity() - s.capacity());
        DbStats {
            commits: counts.commits.load(Ordering::Relaxed),
            writes: counts.writes.load(Ordering::Relaxed),
            checkpoints: counts.checkpoints.load(Ordering::Relaxed),
            wal_pages: self.inner.checkpoints.wal_pages(),
            queued,
        }
    }

    /// What the last commit lacked, if it failed for want of room; `None` again after one that
    /// succeeded. See [`Self::try_room`].
    pub fn lack_of_room(&self) -> Option<String> {
        self.inner.room.lack()
    }

    /// Writes one page that changes nothing, to learn whether there is room again. Errors:
    /// [`StoreError::Full`] when there is not.
    pub async fn try_room(&self) -> Result<()> {
        self.write(|conn| {
            let version: i64 = conn.query_row("pragma user_version", [], |row| row.get(0))?;
            Ok(conn.execute_batch(&format!("pragma user_version = {version}"))?)
        })
        .await
    }

    /// Writes what is queued, moves the log into the file and releases the directory. Calls after
    /// it get [`StoreError::Closed`].
    pub async fn close(&self) {
        let inner = self.inner.clone();
        if tokio::task::spawn_blocking(move || inner.shut_down()).await.is_err() {
            tracing::error!("closing the database failed; the next start recovers its log");
        }
    }

    /// [`Self::close`] for threads outside the async runtime.
    pub fn close_blocking(&self) {
        self.inner.shut_down();
    }
}

impl Inner {
    fn shut_down(&self) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(threads) = threads else { return };
        for queue in [&self.writes, &self.reads] {
            queue.write().unwrap_or_else(PoisonError::into_inner).take();
        }
        self.own.close();
        join(threads.writer);
        threads.readers.into_iter().for_each(join);
        self.stopping.store(true, Ordering::Release);
        self.checkpoints.poke();
        join(threads.checkpointer);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn join(thread: JoinHandle<()>) {
    // A closure may own the last handle; its thread cannot wait for itself and ends by itself.
    if thread.thread().id() == std::thread::current().id() {
        return;
    }
    if thread.join().is_err() {
        tracing::error!("a thread of the database ended by a panic");
    }
}

fn sender(queue: &Queue) -> Result<mpsc::Sender<Box<dyn Job>>> {
    queue.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)
}

async fn call<T, F>(queue: &Queue, work: F) -> Result<T>
where
    F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let sender = sender(queue)?;
    let (job, answer) = job(work);
    sender.send(job).await.map_err(|_| StoreError::Closed)?;
    drop(sender);
    answer.await.unwrap_or(Err(StoreError::Closed))
}

fn call_blocking<T, F>(queue: &Queue, work: F) -> Result<T>
where
    F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let sender = sender(queue)?;
    let (job, answer): (_, oneshot::Receiver<Result<T>>) = job(work);
    sender.blocking_send(job).map_err(|_| StoreError::Closed)?;
    drop(sender);
    answer.blocking_recv().unwrap_or(Err(StoreError::Closed))
}

fn spawn(
    path: &Path,
    name: &'static str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(body).map_err(|e| StoreError::io("start a thread for", path, e))
}

/// Makes the new file's name durable, not only its content.
fn sync_dir(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        let synced = File::open(dir).and_then(|d| d.sync_all());
        synced.map_err(|e| StoreError::io("sync", dir, e))?;
    }
    Ok(())
}
