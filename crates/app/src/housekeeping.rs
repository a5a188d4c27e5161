//! What has to be done now and then, in small steps: campaigns whose time is over become ENDED, and
//! answers kept for idempotency keys are forgotten.

use std::sync::Arc;
use std::time::Duration;

use domain::config::TenantMode;
use domain::time::{DAY_US, SECOND_US};
use engine::ports::Clock;
use store::control::campaigns::end_due;
use store::control::tenants::{self, TenantRow};
use store::control::{Change, Control, PAGE_SIZE_MAX, PageRequest, idempotency};
use tokio_util::sync::CancellationToken;

/// Pause between two rounds.
const EVERY: Duration = Duration::from_secs(60);
/// How long an answer is kept for its idempotency key: a day, and some hours for a retry that began
/// just before.
const ANSWERS_KEPT_US: i64 = DAY_US + 6 * 3600 * SECOND_US;
/// Answers forgotten in one transaction.
const FORGOTTEN_MAX: u32 = 1_000;

/// Keeps house until told to stop. What fails is logged and tried again in the next round.
pub async fn keep_house(control: Control, clock: Arc<dyn Clock>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        if let Err(error) = round(&control, clock.as_ref()).await {
            tracing::warn!(%error, "housekeeping failed; it is tried again in a minute");
        }
    }
}

/// One round.
async fn round(control: &Control, clock: &dyn Clock) -> store::Result<()> {
    let before = clock.now().plus_micros(-ANSWERS_KEPT_US);
    while control.write(move |sql| idempotency::forget(sql, before, FORGOTTEN_MAX)).await?
        >= u64::from(FORGOTTEN_MAX)
    {}
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
