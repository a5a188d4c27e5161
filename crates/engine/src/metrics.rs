//! What the event path counts and measures, by the names under which it is scraped.

use domain::decide::{EventOutcome, Status};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::ports::Advice;

type Label = [(&'static str, &'static str); 1];
type ByPartition = Family<[(&'static str, String); 1], Gauge>;

/// Counters and histograms of the event path; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    offered: Family<Label, Counter>,
    events: Family<Label, Counter>,
    decisions: Family<Label, Counter>,
    incentives: Counter,
    published: Counter,
    dead_letters: Counter,
    stale: Counter,
    batch_events: Histogram,
    decide_seconds: Histogram,
    commit_seconds: Histogram,
    decided_lags: ByPartition,
    relay_lags: ByPartition,
    /// Those of one partition.
    decided_lag: Gauge,
    relay_lag: Gauge,
    limits_mode: Family<Label, Gauge>,
    limits_advice: Family<Label, Counter>,
    limits_events: Family<Label, Counter>,
    captured_lag: Family<[(&'static str, String); 1], Gauge>,
    slot_behind: Family<[(&'static str, String); 1], Gauge>,
    slot_active: Family<[(&'static str, String); 1], Gauge>,
    connector_failed: Family<[(&'static str, String); 1], Gauge>,
    connector_starts: Family<[(&'static str, String); 1], Counter>,
    aggregated: Counter,
    aggregates_drift: Gauge,
    aggregates_behind: Gauge,
    aggregates_mended: Family<Label, Counter>,
    cms_asked: Family<Label, Counter>,
    cms_given: Family<Label, Counter>,
}

impl Metrics {
    /// Metrics under their names in a registry, each beginning with `incent_`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::detached();
        let r = registry.sub_registry_with_prefix("incent");
        let m = metrics.clone();
        r.register("events_offered", "Events offered for ingestion, by result", m.offered);
        r.register("events_decided", "Events decided, by outcome", m.events);
        r.register("decisions", "Campaigns considered for events, by reason", m.decisions);
        r.register("incentives", "Incentives granted", m.incentives);
        r.register("incentives_published", "Incentives published", m.published);
        r.register("dead_letters", "Records that could not be decided", m.dead_letters);
        r.register("batches_stale", "Batches decided again after a conflict", m.stale);
        r.register("batch_events", "Events in a batch", m.batch_events);
        let help = "Time to load and decide a batch, in seconds";
        r.register("batch_decide_seconds", help, m.decide_seconds);
        let help = "Time to commit a batch, in seconds";
        r.register("batch_commit_seconds", help, m.commit_seconds);
        r.register("decided_lag_records", "Records in the log, not yet decided", m.decided_lags);
        r.register("relay_lag_batches", "Batches committed, not yet published", m.relay_lags);
        let help = "1 for what answers for limits: redis in front of the store, or the store alone";
        r.register("limits_mode", help, m.limits_mode);
        r.register("limits_advice", "Batches by what Redis said to them", m.limits_advice);
        let help = "What befell the limits kept in Redis, by kind";
        r.register("limits_events", help, m.limits_events);
        let help = "Captured records in the topic, not yet taken, by topic";
        r.register("captured_lag_records", help, m.captured_lag);
        let help = "Bytes of PostgreSQL's log that the reader of a slot has not confirmed";
        r.register("slot_behind_bytes", help, m.slot_behind);
        r.register("slot_active", "1 while somebody reads from the slot", m.slot_active);
        let help = "What has failed of a connector and its tasks";
        r.register("connector_failed", help, m.connector_failed);
        let help = "Times that what had failed of a connector was started again";
        r.register("connector_starts", help, m.connector_starts);
        r.register("aggregated_incentives", "Incentives counted in aggregates", m.aggregated);
        let help = "Incentives by which aggregates and ledger differed when last compared";
        r.register("aggregates_drift", help, m.aggregates_drift);
        let help = "Incentives in the ledger, not yet in the aggregates, when last compared";
        r.register("aggregates_behind", help, m.aggregates_behind);
        let help = "Tenants whose aggregates were mended from the ledger, by reason";
        r.register("aggregates_mended", help, m.aggregates_mended);
        let help = "Times the CMS was asked for a configuration, by its answer";
        r.register("cms_asked", help, m.cms_asked);
        let help = "Times a configuration was decided by or handed out, by where it came from";
        r.register("cms_given", help, m.cms_given);
        metrics
    }

    /// Metrics that nobody scrapes.
    pub fn detached() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        Self {
            offered: Family::default(),
            events: Family::default(),
            decisions: Family::default(),
            incentives: Counter::default(),
            published: Counter::default(),
            dead_letters: Counter::default(),
            stale: Counter::default(),
            batch_events: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            decide_seconds: seconds(),
            commit_seconds: seconds(),
            decided_lags: Family::default(),
            relay_lags: Family::default(),
            decided_lag: Gauge::default(),
            relay_lag: Gauge::default(),
            limits_mode: Family::default(),
            limits_advice: Family::default(),
            limits_events: Family::default(),
            captured_lag: Family::default(),
            slot_behind: Family::default(),
            slot_active: Family::default(),
            connector_failed: Family::default(),
            connector_starts: Family::default(),
            aggregated: Counter::default(),
            aggregates_drift: Gauge::default(),
            aggregates_behind: Gauge::default(),
            aggregates_mended: Family::default(),
            cms_asked: Family::default(),
            cms_given: Family::default(),
        }
    }

    /// The same metrics, for who works on this partition.
    pub(crate) fn of_partition(&self, partition: i32) -> Self {
        let label = [("partition", partition.to_string())];
        let decided_lag = Gauge::clone(&self.decided_lags.get_or_create(&label));
        let relay_lag = Gauge::clone(&self.relay_lags.get_or_create(&label));
        Self { decided_lag, relay_lag, ..self.clone() }
    }

    /// Shows nothing more of a partition that somebody else works on.
    pub(crate) fn forget_partition(&self, partition: i32) {
        let label = [("partition", partition.to_string())];
        self.decided_lags.remove(&label);
        self.relay_lags.remove(&label);
    }

    pub(crate) fn offered(&self, result: &'static str) {
        self.offered.get_or_create(&[("result", result)]).inc();
    }

    /// Counts a batch that is committed.
    pub(crate) fn committed(&self, outcomes: &[EventOutcome], incentives: usize, dead: usize) {
        self.batch_events.observe(outcomes.len() as f64);
        self.incentives.inc_by(incentives as u64);
        self.dead_letters.inc_by(dead as u64);
        for outcome in outcomes {
            self.events.get_or_create(&[("outcome", outcome.status.as_str())]).inc();
            for considered in &outcome.considered {
                self.decisions.get_or_create(&[("reason", considered.reason.as_str())]).inc();
            }
        }
    }

    pub(crate) fn stale(&self) {
        self.stale.inc();
    }

    pub(crate) fn batch_seconds(&self, decide: f64, commit: f64) {
        self.decide_seconds.observe(decide);
        self.commit_seconds.observe(commit);
    }

    pub(crate) fn decided_lag(&self, end: i64, decided: i64) {
        self.decided_lag.set(end.saturating_sub(decided));
    }

    pub(crate) fn published(&self, incentives: usize) {
        self.published.inc_by(incentives as u64);
    }

    pub(crate) fn relay_lag(&self, committed_batch: i64, published_batch: i64) {
        self.relay_lag.set(committed_batch.saturating_sub(published_batch).max(0));
    }

    pub(crate) fn advised(&self, advice: Advice) {
        let answer = match advice {
            Advice::Room => "room",
            Advice::NoRoom(_) => "no_room",
            Advice::Silent => "silent",
        };
        self.limits_advice.get_or_create(&[("answer", answer)]).inc();
    }

    /// Whether Redis takes part in answering for limits at the moment.
    pub fn limits_in_redis(&self, is_there: bool) {
        for (mode, holds) in [("redis", is_there), ("store", !is_there)] {
            self.limits_mode.get_or_create(&[("mode", mode)]).set(i64::from(holds));
        }
    }

    /// Counts something that befell the limits kept in Redis: one of a few fixed words.
    pub fn limits_event(&self, kind: &'static str) {
        self.limits_events.get_or_create(&[("kind", kind)]).inc();
    }

    /// How often it befell them.
    pub fn limits_events(&self, kind: &'static str) -> u64 {
        self.limits_events.get_or_create(&[("kind", kind)]).get()
    }

    /// How many captured records of a topic are still to be taken.
    pub fn captured_lag(&self, topic: &str, records: u64) {
        let lag = i64::try_from(records).unwrap_or(i64::MAX);
        self.captured_lag.get_or_create(&[("topic", topic.to_owned())]).set(lag);
    }

    /// How a replication slot is.
    pub fn slot(&self, name: &str, behind_bytes: u64, is_active: bool) {
        let label = [("slot", name.to_owned())];
        let behind = i64::try_from(behind_bytes).unwrap_or(i64::MAX);
        self.slot_behind.get_or_create(&label).set(behind);
        self.slot_active.get_or_create(&label).set(i64::from(is_active));
    }

    /// Shows nothing more of slots: they may have gone.
    pub fn forget_slots(&self) {
        self.slot_behind.clear();
        self.slot_active.clear();
    }

    /// How much has failed of a connector and its tasks; `None` when that is not known.
    pub fn connector(&self, name: &str, failed: Option<usize>) {
        let label = [("connector", name.to_owned())];
        match failed.map(|n| i64::try_from(n).unwrap_or(i64::MAX)) {
            Some(failed) => _ = self.connector_failed.get_or_create(&label).set(failed),
            None => _ = self.connector_failed.remove(&label),
        }
    }

    /// Counts that what had failed of a connector was started again.
    pub fn connector_started(&self, name: &str) {
        self.connector_starts.get_or_create(&[("connector", name.to_owned())]).inc();
    }

    /// Counts incentives that were counted in aggregates.
    pub fn aggregated(&self, incentives: usize) {
        self.aggregated.inc_by(incentives as u64);
    }

    /// What a comparison of the aggregates with the ledger has found.
    pub fn aggregates_compared(&self, drift: u64, behind: u64) {
        self.aggregates_drift.set(i64::try_from(drift).unwrap_or(i64::MAX));
        self.aggregates_behind.set(i64::try_from(behind).unwrap_or(i64::MAX));
    }

    /// Counts a tenant whose aggregates were mended from the ledger: one of a few fixed words.
    pub fn aggregates_mended(&self, reason: &'static str) {
        self.aggregates_mended.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts a question to the CMS by its answer: one of a few fixed words.
    pub fn cms_asked(&self, answer: &'static str) {
        self.cms_asked.get_or_create(&[("answer", answer)]).inc();
    }

    /// Counts a use of a configuration by where it came from: one of a few fixed words.
    pub fn cms_given(&self, from: &'static str) {
        self.cms_given.get_or_create(&[("from", from)]).inc();
    }

    /// Questions to the CMS so far with this answer.
    pub fn cms_answers(&self, answer: &'static str) -> u64 {
        self.cms_asked.get_or_create(&[("answer", answer)]).get()
    }

    /// Uses of configurations so far that came from there.
    pub fn cms_uses(&self, from: &'static str) -> u64 {
        self.cms_given.get_or_create(&[("from", from)]).get()
    }

    /// Events decided so far with this outcome.
    pub fn events_decided(&self, status: Status) -> u64 {
        self.events.get_or_create(&[("outcome", status.as_str())]).get()
    }

    /// Incentives granted so far.
    pub fn incentives_granted(&self) -> u64 {
        self.incentives.get()
    }
}
