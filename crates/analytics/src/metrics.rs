//! What the landing counts and measures, by the names under which it is scraped.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::landing::{Landed, Landing};
use crate::reconcile::Drift;

/// Counters and gauges of a landing; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    rows: Counter,
    repeats: Counter,
    amounts_as_text: Counter,
    merges: Counter,
    failures: Counter,
    files: Gauge,
    in_hand: Gauge,
    lag: Gauge,
    since_last_row: Gauge,
    drift: Family<[(&'static str, &'static str); 1], Gauge>,
}

impl Metrics {
    /// Metrics under their names in a registry, each beginning with `incent_analytics_`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let r = registry.sub_registry_with_prefix("incent_analytics");
        let m = metrics.clone();
        r.register("rows", "Rows landed", m.rows);
        r.register("repeats", "Rows that had come before and were dropped", m.repeats);
        let help = "Rows whose amount has too many decimal places and stands as text";
        r.register("amounts_as_text", help, m.amounts_as_text);
        r.register("merges", "Files made of several small ones", m.merges);
        r.register("failures", "Attempts to land or to merge that failed", m.failures);
        r.register("files", "Files that the manifest names", m.files);
        r.register("in_hand_rows", "Rows that have come and not landed yet", m.in_hand);
        r.register("lag_records", "Records in the topic that have not come yet", m.lag);
        r.register("since_last_row_seconds", "Seconds since a row came", m.since_last_row);
        let help = "Rows of the last days that should have landed and have not (missing), or that \
                    landed and are not in the database (surplus)";
        r.register("drift", help, m.drift);
        metrics
    }

    /// Counts a row that came.
    pub fn came(&self, is_new: bool) {
        if !is_new {
            self.repeats.inc();
        }
    }

    /// Counts what has landed.
    pub fn landed(&self, landed: Landed) {
        self.rows.inc_by(landed.rows);
        self.amounts_as_text.inc_by(landed.amounts_as_text);
    }

    /// Counts a merge.
    pub fn merged(&self) {
        self.merges.inc();
    }

    /// Counts an attempt that failed.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// Shows how a landing stands: `lag` records have not come yet, and the last row came so many
    /// seconds ago.
    pub fn stands(&self, landing: &Landing, lag: u64, since_last_row: i64) {
        self.files.set(gauge(landing.manifest().files.len() as u64));
        self.in_hand.set(gauge(landing.in_hand() as u64));
        self.lag.set(gauge(lag));
        self.since_last_row.set(since_last_row);
    }

    /// Shows how the landing differs from the database.
    pub fn differs(&self, drift: &Drift) {
        for (kind, rows) in [("missing", drift.missing()), ("surplus", drift.surplus())] {
            self.drift.get_or_create(&[("kind", kind)]).set(gauge(rows));
        }
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
