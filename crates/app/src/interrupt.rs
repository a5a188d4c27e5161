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
                    let mut signals = Signals::listen();
                    signals.next().await;
                    flag.0.store(true, Ordering::Relaxed);
                    signals.next().await;
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
    let mut signals = Signals::listen();
    tokio::spawn(async move {
        signals.next().await;
        cancel.cancel();
        signals.next().await;
        std::process::exit(Code::Interrupted as i32);
    });
    token
}

/// Ctrl-C and SIGTERM, listened to from the moment it is made: none that comes between two waits is
/// missed.
#[cfg(unix)]
struct Signals(Option<[tokio::signal::unix::Signal; 2]>);

#[cfg(unix)]
impl Signals {
    /// Begins to listen. To be called inside a runtime.
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let one = |kind| signal(kind).ok();
        Self(one(SignalKind::interrupt()).zip(one(SignalKind::terminate())).map(Into::into))
    }

    /// Returns at the next one; never when the system refuses to tell, and then a signal ends the
    /// process as usual.
    async fn next(&mut self) {
        match &mut self.0 {
            Some([interrupt, terminate]) => tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            },
            None => std::future::pending().await,
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
