//! The embedded profile: one SQLite file is store, log and limits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::crew::Board;
use engine::hub::{Hub, HubSettings};
use engine::ports::HotStore;
use http::Probe;
use store::control::{Control, LedgerAnswers, LocalControlPlane, jobs};
use store::embedded::SqliteBus;
use store::hot::SqliteHotStore;
use store::{DbOptions, SqliteDb};

use super::{Base, Holder, House, Sources};
use crate::data_dir;
use crate::failure::{Code, Failure, Outcome};
use crate::housekeeping::{keep_house, watch_room};

/// The one partition of the embedded log.
pub const PARTITION: i32 = 0;
/// How long the calculator may take to take over at the start.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(20);

/// Opens the data directory and brings its schema up to date. Errors: it is in use, damaged, of a
/// newer version, or cannot be written.
pub(super) async fn open(dir: &Path, options: &DbOptions, sources: &Sources) -> Outcome<Base> {
    data_dir::make(dir)?;
    let told = |doing| move |error: store::StoreError| data_dir::failure(doing, dir, &error);
    let Sources { clock, ids, .. } = sources;
    let db = SqliteDb::open(&dir.join(data_dir::DATABASE), options).map_err(told("open"))?;
    let steps = store::migrate::migrate(&db, clock.now()).await.map_err(told("migrate"))?;
    if !steps.is_empty() {
        tracing::info!(?steps, "schema brought up to date");
    }
    let control = Control::Sqlite(db.clone());
    let now = clock.now();
    control
        .write(move |sql| jobs::fail_running(sql, "the process that ran it ended", now))
        .await
        .map_err(told("write to"))?;

    let hot: Arc<dyn HotStore> = Arc::new(SqliteHotStore::new(db.clone()));
    let hub = Hub::new(hot.clone(), HubSettings::default());
    let bus = SqliteBus::open(db.clone(), clock.clone(), hub.clone()).await;
    let bus = Arc::new(bus.map_err(told("read the log of"))?);
    let server_key = data_dir::server_key(dir, ids.as_ref())?;

    let mut house = House::default();
    house.run(|stop| keep_house(control.clone(), clock.clone(), stop));
    house.run(|stop| watch_room(db.clone(), stop));
    let room = db.clone();
    let room = move || room.lack_of_room().map_or(Ok(()), Err);
    let probes = vec![Probe { name: "store", check: Box::new(room) }];
    let holder = Holder::Embedded(db);
    // The commit itself decides on limits, and nobody else has a view of them.
    let limits = None;
    let aggregates = Arc::new(LedgerAnswers::new(control.clone()));
    let plane = Arc::new(LocalControlPlane::new(control.clone(), clock.clone()));
    Ok(Base {
        control,
        plane,
        hot,
        aggregates,
        hub,
        bus,
        limits,
        probes,
        server_key,
        house,
        holder,
    })
}

/// Waits until the calculator has taken the log over. Errors: it does not, and why.
pub(super) async fn taken_over(board: &Board, dir: &Path) -> Outcome {
    let mut progress = board.progress(PARTITION);
    let taken_over = async {
        tokio::select! {
            // The board itself keeps the channel open.
            _ = progress.wait_for(Option::is_some) => Ok(()),
            why = board.halted() => Err(why),
        }
    };
    let in_time = tokio::time::timeout(TAKE_OVER_WITHIN, taken_over).await;
    let late = |_| Err(board.check().err().unwrap_or_default());
    in_time.unwrap_or_else(late).map_err(|why| {
        Failure::new(Code::Failure, "the calculator does not start")
            .why(why)
            .mend(format!("run incent doctor --data-dir {}", dir.display()))
    })
}
