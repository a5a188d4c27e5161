//! What a hub counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of a hub.
#[derive(Clone, Debug, Default)]
pub struct HubMetrics {
    /// Live sessions.
    pub sessions: Gauge,
    /// Incentives handed to a connection.
    pub delivered: Counter,
    /// Incentives that clients acknowledged, counted per device.
    pub acknowledged: Counter,
    /// Announcements that a session had seen already.
    pub repeated: Counter,
    /// How often a session's queue was full and was dropped.
    pub lagging: Counter,
    /// How often a session found that announcements are missing.
    pub holes: Counter,
    /// Pages read from the store.
    pub pages: Counter,
}

impl HubMetrics {
    /// Makes them visible under `incent_push_…`.
    pub fn register(&self, registry: &mut Registry) {
        let counters = [
            ("delivered", "Incentives handed to a connection", &self.delivered),
            ("acknowledged", "Incentives that clients acknowledged", &self.acknowledged),
            ("repeated", "Announcements that a session had seen already", &self.repeated),
            ("lagging", "Queues dropped because their reader is slow", &self.lagging),
            ("holes", "Times that announcements were missing", &self.holes),
            ("pages", "Pages of missed incentives read from the store", &self.pages),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("incent_push_{name}"), help, counter.clone());
        }
        registry.register("incent_push_sessions", "Live sessions", self.sessions.clone());
    }
}
