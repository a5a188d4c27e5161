//! Ctrl-C and SIGTERM for commands that work in a loop: the first asks them to stop at the next
//! safe place, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::failure::{Code, Failure, Outcome};

/// Whether the command was asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts to listen for the signals. Errors when the system refuses the handler.
    pub fn listen() -> Outcome<Self> {
        let interrupt = Self::default();
        let flag = interrupt.clone();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| {
                Failure::new(Code::Failure, "cannot start a runtime").why(e.to_string())
            })?;
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                runtime.block_on(async {
                    signal().await;
                    flag.0.store(true, Ordering::Relaxed);
                    signal().await;
                    std::process::exit(Code::Interrupted as i32);
                });
            })
            .map_err(|e| Failure::new(Code::Failure, "cannot start a thread").why(e.to_string()))?;
        Ok(interrupt)
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
    /// An error when we were asked to stop.
    pub fn check(&self) -> Outcome {
        if self.is_set() { Err(Failure::interrupted()) } else { Ok(()) }
    }
    /// Waits unless asked to stop; true when the whole time has passed.
    pub fn sleep(&self, time: std::time::Duration) -> bool {
        let step = std::time::Duration::from_millis(50);
        let mut left = time;
        while !left.is_zero() && !self.is_set() {
            std::thread::sleep(left.min(step));
            left = left.saturating_sub(step);
        }
        !self.is_set()
    }
}

/// A token that the first Ctrl-C or SIGTERM cancels; the second one ends the process at once. To be
/// called inside a runtime.
pub fn stop_token() -> CancellationToken {
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        signal().await;
        cancel.cancel();
        signal().await;
        std::process::exit(Code::Interrupted as i32);
    });
    token
}

/// Returns at the next Ctrl-C or SIGTERM.
async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler there is nothing to wait for; Ctrl-C then ends the process as usual.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
