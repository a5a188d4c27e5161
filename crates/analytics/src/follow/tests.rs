//! A feed that is played: what it brings lands, whatever it and the disk do.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use engine::captured::{CapturedBatch, CapturedIncentive};
use engine::ports::PortFuture;
use testkit::clock::ManualClock;
use testkit::dir::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::landing::Cut;
use crate::landing::tests::row;

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plays what it was given, and then brings nothing.
struct Played {
    left: Mutex<VecDeque<Result<CapturedBatch, PortErrorKind>>>,
    is_over: AtomicBool,
}

impl CapturedFeed for Played {
    fn take<'a>(&'a self, _: usize) -> PortFuture<'a, CapturedBatch> {
        Box::pin(async move {
            let next = self.left.lock().unwrap().pop_front();
            if next.is_none() {
                self.is_over.store(true, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            next.unwrap_or_else(|| Ok(CapturedBatch::default()))
                .map_err(|kind| PortError { kind, message: "the feed says no".to_owned() })
        })
    }
    fn done<'a>(&'a self, _: &'a BTreeMap<i32, i64>) -> PortFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn lag<'a>(&'a self) -> PortFuture<'a, u64> {
        Box::pin(async { Ok(0) })
    }
}

fn batch(rows: impl Iterator<Item = CapturedIncentive>, offset: i64) -> CapturedBatch {
    CapturedBatch { rows: rows.collect(), offsets: BTreeMap::from([(0, offset)]) }
}

/// A follower in a directory, on a thread of its own.
struct Playing {
    feed: Arc<Played>,
    status: Status,
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
    _runtime: Runtime,
}

impl Playing {
    fn new(
        dir: &TempDir,
        cut: Cut,
        feed: impl IntoIterator<Item = Result<CapturedBatch, PortErrorKind>>,
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let (status, stop) = (Status::default(), CancellationToken::new());
        let clock = Arc::new(ManualClock::default());
        let landing = Landing::open(dir.path(), "t", cut, clock.now()).unwrap();
        let left = Mutex::new(feed.into_iter().collect());
        let feed = Arc::new(Played { left, is_over: AtomicBool::new(false) });
        let (metrics, shown) = (Metrics::default(), status.clone());
        let around = Around { feed: feed.clone(), clock, metrics, status: shown };
        let thread = std::thread::spawn({
            let (handle, stop) = (runtime.handle().clone(), stop.clone());
            move || follow(landing, around, &handle, &stop)
        });
        Self { feed, status, stop, thread, _runtime: runtime }
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", self.status);
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Whether all that the feed had was taken, and then nothing more.
    fn has_taken_all(&self) -> bool {
        self.feed.is_over.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.stop.cancel();
        self.thread.join().unwrap();
    }
}

fn landed(dir: &TempDir) -> u64 {
    let manifest = crate::Manifest::read(dir.path()).unwrap().unwrap();
    manifest.files.iter().map(|file| file.rows).sum()
}

#[test]
fn what_is_in_hand_lands_at_the_end() {
    let dir = TempDir::new();
    let rows = || (0..5).map(|n| row(1, 0, (1, n)));
    let feed = [Ok(batch(rows(), 5)), Ok(batch(rows(), 5))];
    let playing = Playing::new(&dir, Cut::default(), feed);
    playing.until("rows came", Playing::has_taken_all);
    assert_eq!(landed(&dir), 0, "five minutes are not over");
    playing.stop();
    assert_eq!(landed(&dir), 5);
    let playing = Playing::new(&dir, Cut::default(), [Ok(batch(rows(), 5))]);
    playing.until("they came again", Playing::has_taken_all);
    playing.stop();
    assert_eq!(landed(&dir), 5, "and were dropped");
}

#[test]
fn a_feed_that_stops_is_told_and_what_came_lands() {
    let dir = TempDir::new();
    let feed = [
        Ok(batch((0..3).map(|n| row(1, 0, (1, n))), 3)),
        Err(PortErrorKind::Unavailable),
        Ok(batch((3..5).map(|n| row(1, 0, (1, n))), 5)),
        Err(PortErrorKind::Corrupt),
    ];
    let playing = Playing::new(&dir, Cut::default(), feed);
    playing.until("it halts", |playing| {
        playing.feed.left.lock().unwrap().is_empty() && playing.status.check().is_err()
    });
    assert_eq!(playing.status.check(), Err("the feed says no".to_owned()));
    assert_eq!(landed(&dir), 5, "without waiting for more");
    assert_eq!(playing.status.landed().rows.values().sum::<u64>(), 5);
    playing.stop();
}

#[test]
fn rows_wait_in_hand_for_a_disk_that_says_no() {
    let dir = TempDir::new();
    // A file stands where the folder of the files belongs.
    let in_the_way = dir.path().join("incentives");
    fs::write(&in_the_way, "").unwrap();
    let cut = Cut { rows: 2, ..Cut::default() };
    let feed = (1..=3).map(|n| Ok(batch([row(1, 0, (n, 0))].into_iter(), n)));
    let playing = Playing::new(&dir, cut, feed);
    playing.until("it is told", |playing| playing.status.check().is_err());
    assert_eq!(landed(&dir), 0);
    assert!(!playing.has_taken_all(), "no more is taken than may be held");
    fs::remove_file(in_the_way).unwrap();
    playing.until("it goes on by itself", |playing| {
        playing.status.check().is_ok() && playing.has_taken_all()
    });
    playing.stop();
    assert_eq!(landed(&dir), 3);
}
