//! From what was decided to what is written.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::decide::{Changes, EventOutcome, Status};
use domain::id::{ActionCode, TenantId, UserId};
use domain::time::Timestamp;

use crate::batch::{Item, Refused};
use crate::ports::{BatchCommit, DeadLetter, EventWrite, OutcomeWrite, Position, StateWrite};
use crate::record::{Body, Taken};
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
    let last = items.last().map_or(position.next_offset, |item| item.taken.offset + 1);
    let mut batch = BatchCommit {
        epoch: position.epoch,
        batch_seq: position.batch_seq + 1,
        offset_from: position.next_offset,
        offset_to: last,
        config_versions: config_versions(items, rules),
        mark: items.last().and_then(|item| item.taken.mark),
        counts: counts(&outcomes),
        states: states(items, changes.users),
        usage: changes.usage,
        marks: changes.marks,
        incentives: changes.incentives,
        completions: changes.completions,
        dead_letters,
        ..BatchCommit::default()
    };
    for (item, outcome) in items.iter().zip(&outcomes) {
        batch.keep(item.taken, outcome.status, outcome.to_stored());
    }
    (outcomes, batch)
}

impl BatchCommit {
    /// Adds what is written of a record: its outcome, with the row itself where the log has none.
    /// What was not admitted has no row.
    pub fn keep(&mut self, taken: &Taken, status: Status, outcome: String) {
        match &taken.body {
            Body::Admitted(_) => self.outcomes.push(OutcomeWrite { offset: taken.offset, outcome }),
            Body::Unreadable(_) => {}
            Body::Offered(offered) if status.has_row() => self.events.push(EventWrite {
                record: offered.record.clone(),
                key: offered.key().1,
                content_hash: offered.content_hash,
                outcome,
                is_readable: status != Status::Unreadable,
            }),
            Body::Offered(_) => {}
        }
    }
}

fn config_versions(items: &[Item<'_>], rules: &RulesCache) -> BTreeMap<TenantId, i64> {
    let mut versions = BTreeMap::new();
    for tenant in items.iter().filter_map(Item::tenant) {
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

/// A record that is not decided, as it is kept.
pub(crate) fn dead_letter(partition: i32, taken: &Taken, refused: &Refused) -> DeadLetter {
    let source = format!("tenant-events:{partition}@{}", taken.offset);
    let (raw, tenant) = match &taken.body {
        Body::Admitted(record) => (record.event.payload.as_bytes(), Some(record.event.tenant_id)),
        Body::Offered(offered) => (&offered.raw[..], Some(offered.record.event.tenant_id)),
        Body::Unreadable(bytes) => (&bytes.raw[..], bytes.tenant),
    };
    // The operator's, for nobody else would ever look.
    let tenant = tenant.filter(|_| refused.status != Status::NoTenant);
    DeadLetter {
        // By append time: deciding the log again makes the same row.
        id: DeadLetter::id_of(taken.append_time, &source, raw),
        tenant,
        source,
        reason: refused.status.as_str(),
        detail: refused.why.clone(),
        raw: raw.to_vec(),
        received_at: taken.append_time,
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
        for record in items.iter().filter_map(Item::registered) {
            let (tenant, action) = (record.event.tenant_id, &record.event.action);
            if last.replace((tenant, action)) == Some((tenant, action)) || action.is_reserved() {
                continue;
            }
            let key = (tenant, action.clone());
            let is_new = !self.0.contains(&key)
                && !found.iter().any(|(t, a, _)| (*t, a) == (tenant, action));
            if is_new {
                found.push((key.0, key.1, record.append_time));
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
