//! What unit tests of this crate share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::time::Timestamp;
use engine::ports::{Clock, IdGen};
use prometheus_client::registry::Registry;

use crate::{App, Config, Metrics, Parts};

/// A clock that stands still.
#[derive(Debug)]
pub struct Still(pub Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Ids that count up.
#[derive(Debug, Default)]
pub struct Counting(AtomicU64);

impl IdGen for Counting {
    fn uuid(&self) -> uuid::Uuid {
        uuid::Uuid::from_u64_pair(0x0199_0000_0000_7000, self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn secret(&self) -> [u8; 32] {
        domain::id::hash_parts(&[self.uuid().as_bytes()]).repeat(2).try_into().expect("32 bytes")
    }
}

/// A server without a store.
pub fn app() -> App {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let now = "2026-06-01T12:00:00Z".parse().expect("a time");
    App::new(Parts {
        clock: Arc::new(Still(now)),
        ids: Arc::new(Counting::default()),
        probes: Vec::new(),
        metrics,
        registry: Arc::new(registry),
        config: Config { admin_token: Some("admin-token".into()), ..Config::new([7; 32]) },
    })
}
