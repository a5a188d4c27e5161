//! What has to be done now and then while the server runs.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::dispatch;

/// Pause between two rounds.
const EVERY: Duration = Duration::from_secs(3600);

/// Forgets answers kept under idempotency keys for more than a day, at once and then every hour,
/// until it is told to stop.
pub async fn housekeeping(app: App, stop: CancellationToken) {
    loop {
        if let Err(error) = dispatch::forget_old(&app).await {
            tracing::warn!(%error, "old answers could not be forgotten; the next round tries again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
