//! What push counts beside its hub (`engine::hub::HubMetrics`).

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Close;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    /// The close code, or 0 when the client went away by itself.
    code: u16,
}

/// Counters of push.
#[derive(Clone, Debug, Default)]
pub struct PushMetrics {
    ended: Family<EndLabels, Counter>,
}

impl PushMetrics {
    /// Counters that can be seen under `incent_push_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "Connections that ended, by close code; 0 = the client went away";
        registry.register("incent_push_ended", help, metrics.ended.clone());
        metrics
    }

    /// Counts the end of a connection; `None` = the client went away.
    pub(super) fn ended(&self, close: Option<Close>) {
        self.ended.get_or_create(&EndLabels { code: close.map_or(0, Close::code) }).inc();
    }
}
