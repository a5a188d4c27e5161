//! From what was decided to what is written.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::decide::{Changes, EventOutcome, Status};
use domain::event::Record;
use domain::id::{ActionCode, TenantId, UserId};
use domain::time::Timestamp;

use crate::batch::Item;
use crate::ports::{BatchCommit, DeadLetter, OutcomeWrite, Position, StateWrite};
use crate::rules_cache::RulesCache;

/// A batch as the pure decision leaves it.
pub(crate) struct Decided {
    /// In the order of the items.
    pub outcomes: Vec<EventOutcome>,
    pub changes: Changes,
    pub dead_letters: Vec<DeadLetter>,
}

/// The rows of a batch that follows the position.
pub(crate) fn assemble(
    position: &Position,
    items: &[Item<'_>],
    decided: Decided,
    rules: &RulesCache,
) -> (Vec<EventOutcome>, BatchCommit) {
    let Decided { outcomes, changes, dead_letters } = decided;
    let last = items.last().map_or(position.next_offset, |item| item.record.offset + 1);
    let batch = BatchCommit {
        epoch: position.epoch,
        batch_seq: position.batch_seq + 1,
        offset_from: position.next_offset,
        offset_to: last,
        config_versions: config_versions(items, rules),
        outcomes: outcome_rows(items, &outcomes),
        counts: counts(&outcomes),
        states: states(items, changes.users),
        usage: changes.usage,
        marks: changes.marks,
        incentives: changes.incentives,
        completions: changes.completions,
        dead_letters,
        ..BatchCommit::default()
    };
    (outcomes, batch)
}

fn outcome_rows(items: &[Item<'_>], outcomes: &[EventOutcome]) -> Vec<OutcomeWrite> {
    let row = |(item, outcome): (&Item<'_>, &EventOutcome)| OutcomeWrite {
        offset: item.record.offset,
        outcome: outcome.to_stored(),
    };
    items.iter().zip(outcomes).map(row).collect()
}

fn config_versions(items: &[Item<'_>], rules: &RulesCache) -> BTreeMap<TenantId, i64> {
    let mut versions = BTreeMap::new();
    for item in items {
        let tenant = item.tenant();
        if let Some(known) = rules.get(tenant) {
            versions.entry(tenant).or_insert_with(|| known.rules.config_version());
        }
    }
    versions
}

fn counts(outcomes: &[EventOutcome]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry(outcome.status.as_str()).or_default() += 1;
    }
    counts
}

fn states(items: &[Item<'_>], users: Vec<domain::decide::ChangedUser>) -> Vec<StateWrite> {
    let mut seen: HashMap<UserId, Timestamp> = HashMap::with_capacity(users.len());
    for parsed in items.iter().filter_map(|item| item.parsed.as_ref().ok()) {
        seen.entry(parsed.user).or_insert(parsed.record.append_time);
    }
    let write = |changed: domain::decide::ChangedUser| StateWrite {
        seen_at: seen.get(&changed.user).copied().unwrap_or_default(),
        user: changed.user,
        user_ref: changed.user_ref,
        tenant: changed.tenant,
        expected_version: changed.expected_version,
        state: changed.state,
        attributes: changed.attributes,
    };
    users.into_iter().map(write).collect()
}

/// A record that cannot be decided, as it is kept.
pub(crate) fn unreadable(partition: i32, record: &Record, why: &str) -> DeadLetter {
    let source = format!("tenant-events:{partition}@{}", record.offset);
    let raw = record.event.payload.as_bytes().to_vec();
    DeadLetter {
        // By append time: deciding the log again makes the same row.
        id: DeadLetter::id_of(record.append_time, &source, &raw),
        tenant: Some(record.event.tenant_id),
        source,
        reason: Status::Unreadable.as_str(),
        detail: why.to_owned(),
        raw,
        received_at: record.append_time,
    }
}

/// Actions that have registered themselves, so that not every batch writes them again.
#[derive(Default)]
pub(crate) struct KnownActions(HashSet<(TenantId, ActionCode)>);

impl KnownActions {
    /// Forgotten beyond this many: to write one again does no harm.
    const MAX: usize = 100_000;

    /// Actions of the items that are not known, each once, with their first append time.
    pub fn unknown(&self, items: &[Item<'_>]) -> Vec<(TenantId, ActionCode, Timestamp)> {
        let mut found: Vec<(TenantId, ActionCode, Timestamp)> = Vec::new();
        let mut last: Option<(TenantId, &ActionCode)> = None;
        for item in items {
            let (tenant, action) = (item.tenant(), &item.record.event.action);
            if last.replace((tenant, action)) == Some((tenant, action)) || action.is_reserved() {
                continue;
            }
            let key = (tenant, action.clone());
            let is_new = !self.0.contains(&key)
                && !found.iter().any(|(t, a, _)| (*t, a) == (tenant, action));
            if is_new {
                found.push((key.0, key.1, item.record.append_time));
            }
        }
        found
    }

    /// Remembers what was written.
    pub fn learn(&mut self, written: &[(TenantId, ActionCode, Timestamp)]) {
        if self.0.len() > Self::MAX {
            self.0.clear();
        }
        self.0.extend(written.iter().map(|(tenant, action, _)| (*tenant, action.clone())));
    }
}
