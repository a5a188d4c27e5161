//! What has to be done now and then, in small steps: campaigns whose time is over become ENDED, and
//! a disk that was full is tried again.

use std::sync::Arc;
use std::time::Duration;

use domain::config::TenantMode;
use domain::time::SECOND_US;
use engine::ports::Clock;
use store::SqliteDb;
use store::control::campaigns::end_due;
use store::control::tenants::{self, TenantRow};
use store::control::{Change, Control, PAGE_SIZE_MAX, PageRequest};
use tokio_util::sync::CancellationToken;

/// Pause between two rounds.
const EVERY: Duration = Duration::from_secs(60);
/// Pause between two looks at a disk that may be full.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Keeps house until told to stop. What fails is logged and tried again in the next round.
pub async fn keep_house(control: Control, clock: Arc<dyn Clock>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        if let Err(error) = round(&control, clock.as_ref()).await {
            tracing::warn!(%error, "housekeeping failed; it is tried again in a minute");
        }
    }
}

/// While a write failed for want of room, tries whether there is some again. Without it a process
/// that is not ready gets no more writes from its load balancer, and would never be ready again.
pub async fn watch_room(db: SqliteDb, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        if db.lack_of_room().is_some() && db.try_room().await.is_ok() {
            tracing::info!("there is room for writes again");
        }
    }
}

/// Pause between two looks at the partitions of PostgreSQL's tables. The first is at once: a new
/// database has none.
#[cfg(feature = "distributed")]
const PARTITIONS_EVERY: Duration = Duration::from_secs(3600);

/// Makes the months ahead and drops those behind the retention, until told to stop. Several
/// processes may do so at once.
#[cfg(feature = "distributed")]
pub async fn keep_partitions(
    db: store::PgDb,
    clock: Arc<dyn Clock>,
    retention: store::postgres::Retention,
    stop: CancellationToken,
) {
    loop {
        match store::postgres::keep_partitions(&db, clock.now(), retention).await {
            Ok(kept) if kept == store::postgres::Kept::default() => {}
            Ok(kept) => {
                let (made, dropped) = (kept.made.join(" "), kept.dropped.join(" "));
                tracing::info!(made, dropped, ids = kept.ids_forgotten, "partitions are kept");
            }
            Err(error) => {
                tracing::warn!(%error, "the partitions were not kept; it is tried again in an hour");
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(PARTITIONS_EVERY)).await.is_none() {
            return;
        }
    }
}

/// One round.
async fn round(control: &Control, clock: &dyn Clock) -> store::Result<()> {
    let mut page = PageRequest::first(PAGE_SIZE_MAX)?;
    loop {
        let tenants = control.read(move |sql| tenants::list(sql, page)).await?;
        for tenant in tenants.items {
            end_campaigns(control, clock, tenant).await?;
        }
        match tenants.next {
            Some(next) => page = PageRequest::new(Some(next), PAGE_SIZE_MAX)?,
            None => return Ok(()),
        }
    }
}

/// By the time of the log: events come with their own time, and late ones still count.
async fn end_campaigns(
    control: &Control,
    clock: &dyn Clock,
    tenant: TenantRow,
) -> store::Result<()> {
    // A replay is decided the same whenever it is run: nothing changes under it.
    if tenant.mode == TenantMode::Replay {
        return Ok(());
    }
    let id = tenant.tenant_id;
    let before = tenant.last_append_time.plus_micros(-tenant.allowed_lateness_s * SECOND_US);
    let change = Change { actor: "system".to_owned(), at: clock.now() };
    let ended = control.write(move |sql| end_due(sql, id, before, &change)).await?;
    if !ended.is_empty() {
        tracing::info!(tenant = %id, campaigns = ended.len(), "campaigns are over");
    }
    Ok(())
}
