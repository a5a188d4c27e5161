//! Counters of the HTTP server.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Which requests a counter counts. The operation is the route's id, so there are only so many.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Operation id; `none` when no route matched.
    pub operation: &'static str,
    /// Status of the answer.
    pub status: u16,
}

/// Which operation a histogram is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabels {
    /// Operation id; `none` when no route matched.
    pub operation: &'static str,
}

/// Counters of the HTTP server.
#[derive(Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<OperationLabels, Histogram, fn() -> Histogram>,
    /// Open connections.
    pub connections: Gauge,
    /// Events refused because their tenant had sent as many as it may.
    pub events_over_rate: Counter,
    /// Requests refused because their tenant had as many in progress as it may.
    pub requests_over_share: Counter,
}

/// Upper bounds of the buckets, seconds.
const BUCKETS: [f64; 10] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0];

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            connections: Gauge::default(),
            events_over_rate: Counter::default(),
            requests_over_share: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("incent_http");
        registry.register("requests", "Requests answered", metrics.requests.clone());
        let help = "Time from the request's headers to its answer";
        registry.register_with_unit(
            "request_duration",
            help,
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register("connections", "Open connections", metrics.connections.clone());
        let help = "Events refused because their tenant had sent as many as it may";
        registry.register("events_over_rate", help, metrics.events_over_rate.clone());
        let help = "Requests refused because their tenant had as many in progress as it may";
        registry.register("requests_over_share", help, metrics.requests_over_share.clone());
        metrics
    }

    /// Counts an answer.
    pub fn answered(&self, operation: &'static str, status: u16, seconds: f64) {
        self.requests.get_or_create(&RequestLabels { operation, status }).inc();
        self.seconds.get_or_create(&OperationLabels { operation }).observe(seconds);
    }
}
