use std::num::NonZeroUsize;
use std::sync::mpsc::{Sender, channel};

use rusqlite::Connection;
use store::db::LOCK_FILE;
use store::{DbOptions, Result, SqliteDb, StoreError};
use testkit::dir::TempDir;

use crate::TestDb;

fn numbers(t: &SqliteDb) -> Vec<i64> {
    t.read_blocking(|c| {
        let mut q = c.prepare("select n from numbers order by n")?;
        Ok(q.query_map([], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?)
    })
    .expect("reads")
}

fn insert(n: i64) -> impl FnOnce(&Connection) -> Result<usize> + Send {
    move |c| Ok(c.execute("insert into numbers values ($1, zeroblob(2000))", [n])?)
}

fn with_numbers(options: &DbOptions) -> TestDb {
    let t = TestDb::with(options);
    t.db.write_blocking(|c| {
        Ok(c.execute_batch("create table numbers (n integer primary key, filler blob) strict")?)
    })
    .expect("creates");
    t
}

/// Holds the writer until the sender is dropped, so that what is queued meanwhile is one group.
async fn hold_writer(db: &SqliteDb) -> (Sender<()>, tokio::task::JoinHandle<Result<()>>) {
    let (go, wait) = channel::<()>();
    let (started, running) = tokio::sync::oneshot::channel();
    let db = db.clone();
    let task = tokio::spawn(async move {
        db.write(move |_| {
            started.send(()).ok();
            wait.recv().ok();
            Ok(())
        })
        .await
    });
    running.await.expect("the writer runs it");
    (go, task)
}

async fn queued(db: &SqliteDb, n: usize) {
    while db.stats().queued < n {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_one_commit_and_a_failure_harms_no_neighbour() {
    let t =
        tokio::task::spawn_blocking(|| with_numbers(&DbOptions::default())).await.expect("made");
    let before = t.db.stats().commits;
    let (held, holding) = hold_writer(&t.db).await;
    let mut tasks = Vec::new();
    for n in 0..9 {
        let db = t.db.clone();
        tasks.push(tokio::spawn(async move {
            db.write(move |c| {
                insert(n)(c)?;
                match n % 3 {
                    0 => Ok(n),
                    1 => Err(StoreError::invalid(format!("{n} is refused"))),
                    _ => panic!("{n} is a defect"),
                }
            })
            .await
        }));
        queued(&t.db, n as usize + 1).await;
    }
    drop(held);
    holding.await.expect("runs").expect("commits");
    for (n, task) in tasks.into_iter().enumerate() {
        let answer = task.await.expect("answers");
        match n % 3 {
            0 => assert_eq!(answer.expect("kept"), n as i64),
            1 => assert_eq!(answer.expect_err("refused").to_string(), format!("{n} is refused")),
            _ => assert!(
                matches!(answer, Err(StoreError::Panicked { detail }) if detail.contains("defect"))
            ),
        }
    }
    assert_eq!(t.db.stats().commits - before, 2, "the held write, then one group");
    let db = t.db.clone();
    let kept = tokio::task::spawn_blocking(move || numbers(&db)).await.expect("reads");
    assert_eq!(kept, [0, 3, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answered_write_is_seen_by_the_next_read() {
    let t =
        tokio::task::spawn_blocking(|| with_numbers(&DbOptions::default())).await.expect("made");
    for n in 0..50 {
        t.db.write(insert(n)).await.expect("writes");
        let most: i64 =
            t.db.read(|c| Ok(c.query_row("select max(n) from numbers", [], |r| r.get(0))?))
                .await
                .expect("reads");
        assert_eq!(most, n);
    }
    t.db.close().await;
}

#[test]
fn a_reader_cannot_write() {
    let t = with_numbers(&DbOptions::default());
    let error = t.db.read_blocking(insert(1)).expect_err("refused");
    assert!(error.to_string().contains("readonly"), "{error}");
}

#[test]
fn a_second_opener_is_told_who_holds_the_directory() {
    let t = TestDb::new();
    let error = SqliteDb::open(&t.path(), &DbOptions::default()).err().expect("refused");
    let StoreError::Locked { lock_file, pid } = &error else { panic!("{error:?}") };
    assert_eq!(lock_file, &t.dir.path().join(LOCK_FILE));
    assert_eq!(*pid, Some(std::process::id()));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
}

#[test]
fn everything_answered_is_there_after_a_drop() {
    let t = with_numbers(&DbOptions::default());
    (0..20).for_each(|n| assert_eq!(t.db.write_blocking(insert(n)).expect("writes"), 1));
    let (path, TestDb { db, dir }) = (t.path(), t);
    drop(db);
    assert_eq!(std::fs::metadata(path.with_extension("db-wal")).map_or(0, |m| m.len()), 0);
    let db = SqliteDb::open(&path, &DbOptions::default()).expect("opens again");
    assert_eq!(numbers(&db), (0..20).collect::<Vec<_>>());
    drop((db, dir));
}

#[test]
fn everything_answered_is_there_after_a_kill() {
    let t = with_numbers(&DbOptions::default());
    (0..20).for_each(|n| assert_eq!(t.db.write_blocking(insert(n)).expect("writes"), 1));
    // What a killed process leaves behind: the file and the log as they are at this moment.
    let left = TempDir::new();
    for name in ["incent.db", "incent.db-wal"] {
        std::fs::copy(t.dir.path().join(name), left.path().join(name)).expect("copies");
    }
    let db = SqliteDb::open(&left.path().join("incent.db"), &DbOptions::default());
    assert_eq!(numbers(&db.expect("recovers")), (0..20).collect::<Vec<_>>());
}

#[test]
fn calls_after_close_are_refused() {
    let t = with_numbers(&DbOptions::default());
    t.db.close_blocking();
    assert!(matches!(t.db.write_blocking(insert(1)), Err(StoreError::Closed)));
    assert!(matches!(t.db.read_blocking(|_| Ok(())), Err(StoreError::Closed)));
    SqliteDb::open(&t.path(), &DbOptions::default()).expect("the directory is free");
}

#[test]
fn a_full_disk_is_told_and_mended() {
    let t = with_numbers(&DbOptions::default());
    let limit = |pages: &'static str| {
        t.db.write_blocking(move |c| {
            let count: i64 = c.query_row("pragma page_count", [], |r| r.get(0))?;
            let most = if pages == "now" { count + 4 } else { 1 << 30 };
            Ok(c.query_row(&format!("pragma max_page_count = {most}"), [], |r| r.get::<_, i64>(0))?)
        })
        .expect("sets the limit");
    };
    limit("now");
    let mut stored = Vec::new();
    let full = loop {
        let n = stored.len() as i64;
        assert!(n < 1000, "the limit is never reached");
        match t.db.write_blocking(insert(n)) {
            Ok(_) => stored.push(n),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::Full { .. }), "{full:?}");
    assert!(full.to_string().contains("free some space"), "{full}");
    assert_eq!(numbers(&t.db), stored, "what was answered is there, nothing else");
    limit("none");
    t.db.write_blocking(insert(5000)).expect("goes on once there is room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_in_a_group_is_told_to_all_whose_work_is_gone() {
    let t =
        tokio::task::spawn_blocking(|| with_numbers(&DbOptions::default())).await.expect("made");
    let (held, holding) = hold_writer(&t.db).await;
    let work: [fn(&Connection) -> Result<usize>; 3] = [
        |c| insert(1)(c),
        |c| {
            let pages: i64 = c.query_row("pragma page_count", [], |r| r.get(0))?;
            c.query_row(&format!("pragma max_page_count = {pages}"), [], |r| r.get::<_, i64>(0))?;
            for n in 100..200 {
                if let Err(error) = insert(n)(c) {
                    c.query_row("pragma max_page_count = 1000000", [], |r| r.get::<_, i64>(0))?;
                    return Err(error);
                }
            }
            Ok(0)
        },
        |c| insert(3)(c),
    ];
    let mut tasks = Vec::new();
    for (i, work) in work.into_iter().enumerate() {
        let db = t.db.clone();
        tasks.push(tokio::spawn(async move { db.write(work).await }));
        queued(&t.db, i + 1).await;
    }
    drop(held);
    holding.await.expect("runs").expect("a group of its own");
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("answers"));
    }
    assert!(matches!(answers[0], Err(StoreError::Full { .. })), "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::Full { .. })), "{answers:?}");
    assert!(matches!(answers[2], Ok(1)), "{answers:?}");
    let db = t.db.clone();
    assert_eq!(tokio::task::spawn_blocking(move || numbers(&db)).await.expect("reads"), [3]);
}

#[test]
fn the_log_is_moved_into_the_file_beside_the_writer() {
    let options = DbOptions { wal_pages: 50, ..DbOptions::default() };
    let t = with_numbers(&options);
    let (mut most, mut written) = (0, 0);
    for n in 0..500 {
        let before = t.db.stats().wal_pages;
        t.db.write_blocking(insert(n)).expect("writes");
        let now = t.db.stats().wal_pages;
        written += now.saturating_sub(before);
        most = most.max(now);
    }
    let stats = t.db.stats();
    assert!(stats.checkpoints >= 4, "{stats:?}");
    assert!(most < written / 2, "it is begun anew, not only copied: {most} of {written} pages");
    assert_eq!(numbers(&t.db).len(), 500);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let dir = TempDir::new();
    let path = dir.path().join("incent.db");
    std::fs::write(&path, "tenant,amount\n".repeat(1000)).expect("writes");
    let error = SqliteDb::open(&path, &DbOptions::default()).err().expect("refused");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert_eq!(std::fs::read(&path).expect("reads").len(), 14_000, "it is left as it was");
}

#[test]
fn what_cannot_be_opened_is_named() {
    let dir = TempDir::new();
    let folder = dir.path().join("incent.db");
    std::fs::create_dir(&folder).expect("makes");
    for path in [folder, dir.path().join("missing/incent.db")] {
        let error = SqliteDb::open(&path, &DbOptions::default()).err().expect("refused");
        let parent = path.parent().expect("a parent").display().to_string();
        assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
        assert!(error.to_string().contains(&parent), "{error}");
    }
}

#[test]
fn a_queue_of_one_serves_many_callers() {
    let one = NonZeroUsize::MIN;
    let options =
        DbOptions { queue_max: one, group_max: one, readers: one, ..DbOptions::default() };
    let t = with_numbers(&options);
    std::thread::scope(|scope| {
        for lane in 0..8 {
            let db = &t.db;
            scope.spawn(move || {
                for n in 0..20 {
                    db.write_blocking(insert(lane * 100 + n)).expect("writes");
                    db.read_blocking(|_| Ok(())).expect("reads");
                }
            });
        }
    });
    assert_eq!(numbers(&t.db).len(), 160);
}
