//! Admission of events from a log outside the store: whether their tenant takes their kind, when
//! they count as appended, and whether their id is new. A log inside the store has done all of it
//! at append, and nothing here costs it anything.

use std::collections::{BTreeMap, HashMap};

use domain::config::TenantMode;
use domain::decide::{Lane, Needs, Status};
use domain::event::RecordKind;
use domain::id::{EventKey, TenantId};
use domain::time::Timestamp;

use crate::batch::{Item, Refused};
use crate::ports::LaneMove;
use crate::record::{Body, Offered, Taken};
use crate::rules_cache::RulesCache;

/// Tenants whose last append time is remembered; beyond it all are asked for again.
const LANES_MAX: usize = 10_000;

/// When the log took a record, as it counts for its tenant: never before `last`, the tenant's
/// latest one so far. `None` when the tenant does not take this kind now.
pub fn append_time(
    mode: TenantMode,
    last: Timestamp,
    kind: RecordKind,
    (log_time, event_ts): (Timestamp, Timestamp),
) -> Option<Timestamp> {
    let at = match (kind, mode) {
        (RecordKind::Live | RecordKind::History, TenantMode::Live) => log_time,
        (RecordKind::Replay, TenantMode::Replay) => event_ts,
        // In a replay the log's clock is the replay's: history does not move it.
        (RecordKind::History, TenantMode::Replay) => last,
        (RecordKind::Live, TenantMode::Replay) | (RecordKind::Replay, TenantMode::Live) => {
            return None;
        }
    };
    Some(at.max(last))
}

/// Why an event is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub status: Status,
    pub why: &'static str,
}

/// Nobody's.
pub(crate) const NO_TENANT: Refusal =
    Refusal { status: Status::NoTenant, why: "there is no such tenant" };
const NOT_IN_REPLAY: Refusal = Refusal {
    status: Status::WrongMode,
    why: "the tenant was not in replay; start one and send it again",
};
const IN_REPLAY: Refusal = Refusal {
    status: Status::WrongMode,
    why: "the tenant replayed its past and took no live events; send it again",
};
const ID_REUSED: Refusal =
    Refusal { status: Status::IdReused, why: "the event id stands for other content" };
const DUPLICATE: Refusal =
    Refusal { status: Status::Duplicate, why: "the same event was decided before" };

/// The tenants' lanes, as this decider left them.
#[derive(Default)]
pub(crate) struct Lanes(HashMap<TenantId, Lane>);

impl Lanes {
    /// What has to be asked for before the records can be admitted.
    pub fn unknown(&mut self, records: &[Taken]) -> Option<Needs> {
        if self.0.len() > LANES_MAX {
            self.0.clear();
        }
        let offered = records.iter().filter_map(Taken::offered);
        let tenants = offered.map(|o| o.record.event.tenant_id);
        let tenants: std::collections::BTreeSet<_> =
            tenants.filter(|t| !self.0.contains_key(t)).collect();
        (!tenants.is_empty()).then(|| Needs { tenants, ..Needs::default() })
    }

    /// Notes what was stored. True when something else was known: decide again.
    pub fn correct(&mut self, stored: &BTreeMap<TenantId, Lane>) -> bool {
        let mut is_news = false;
        for (tenant, lane) in stored {
            is_news |= self.0.insert(*tenant, *lane).is_some_and(|known| known != *lane);
        }
        is_news
    }

    /// Forgets everything: another owner may have moved on.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Sets the append times of records that follow what was committed, in order, and tells which
    /// are refused. They depend on the log and the tenants' modes alone, not on batches.
    pub fn admit(&self, records: &mut [Taken], rules: &RulesCache) -> Vec<Option<Refusal>> {
        let mut last: HashMap<TenantId, Timestamp> = HashMap::new();
        let mut admit = |log_time: Timestamp, Offered { record, .. }: &mut Offered| {
            let tenant = record.event.tenant_id;
            let (Some(known), Some(stored)) = (rules.get(tenant), self.0.get(&tenant)) else {
                return Some(NO_TENANT);
            };
            let last = last.entry(tenant).or_insert(stored.append_time);
            let times = (log_time, record.event.event_ts);
            match append_time(known.mode, *last, record.kind, times) {
                Some(at) => (*last, record.append_time) = (at, at),
                None if record.kind == RecordKind::Replay => return Some(NOT_IN_REPLAY),
                None => return Some(IN_REPLAY),
            }
            None
        };
        let admit = |taken: &mut Taken| match &mut taken.body {
            Body::Offered(offered) => admit(taken.append_time, offered),
            Body::Admitted(_) | Body::Unreadable(_) => None,
        };
        records.iter_mut().map(admit).collect()
    }

    /// How far the admitted records of a batch move their tenants' lanes.
    pub fn moved<'a>(
        &self,
        admitted: impl Iterator<Item = &'a Item<'a>>,
    ) -> BTreeMap<TenantId, LaneMove> {
        let mut moved = BTreeMap::new();
        for record in admitted.filter_map(|item| item.taken.record()) {
            let tenant = record.event.tenant_id;
            let from = self.0.get(&tenant).copied().unwrap_or_default();
            let lane = moved.entry(tenant).or_insert(LaneMove { from, to: from.append_time });
            lane.to = lane.to.max(record.append_time);
        }
        moved
    }

    /// Notes what was committed.
    pub fn advance(&mut self, moved: &BTreeMap<TenantId, LaneMove>) {
        let lane = |m: &LaneMove| Lane { append_time: m.to, version: m.from.version + 1 };
        self.0.extend(moved.iter().map(|(tenant, m)| (*tenant, lane(m))));
    }
}

/// The ids of a batch: those decided before it, and its own so far.
pub(crate) struct Ids(BTreeMap<(TenantId, EventKey), [u8; 16]>);

impl Ids {
    /// Begins with those decided before.
    pub fn known(decided: BTreeMap<(TenantId, EventKey), [u8; 16]>) -> Self {
        Self(decided)
    }

    /// Takes the item's id for its content, where that is ours to do. Errors: it is taken, by the
    /// same event or by another one.
    pub fn admit(&mut self, item: &Item<'_>) -> Result<(), Refused> {
        let (Some(key), Some(offered)) = (item.key, item.taken.offered()) else { return Ok(()) };
        let mut is_new = false;
        let first = *self.0.entry(key).or_insert_with(|| {
            is_new = true;
            offered.content_hash
        });
        if is_new {
            return Ok(());
        }
        Err(if first == offered.content_hash { DUPLICATE } else { ID_REUSED }.into())
    }
}
