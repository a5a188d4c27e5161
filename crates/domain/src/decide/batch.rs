//! What a batch needs and what it changes: the working copy through which its events run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rust_decimal::Decimal;

use super::Parsed;
use crate::id::{CampaignId, CohortId, EventKey, TenantId, UserId, UserRef};
use crate::incentive::{Completion, Incentive};
use crate::limit::Meter;
use crate::state::UserState;
use crate::time::{Day, Timestamp};

/// What a batch has to know. Made by [`super::plan`].
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Users.
    pub users: BTreeSet<UserId>,
    /// True when a rule looks at user attributes.
    pub attributes: bool,
    /// Cohorts whose membership is asked for, with the membership version in force.
    pub cohorts: BTreeSet<(CohortId, i64)>,
    /// Marks asked for.
    pub marks: BTreeSet<(UserId, [u8; 16])>,
    /// Meters asked for, by tenant and key; daily buckets before the day are not needed.
    pub usage: BTreeMap<(TenantId, String), Day>,
    /// Tenants whose `config_version` is asked for.
    pub tenants: BTreeSet<TenantId>,
    /// Event ids that may have been decided before. Asked for only where the log is outside the
    /// store.
    pub event_ids: BTreeSet<(TenantId, EventKey)>,
}

/// A user as stored.
#[derive(Clone, Debug, Default)]
pub struct StoredUser {
    /// Version of the state row; 0 = there is none yet.
    pub version: i64,
    /// The state.
    pub state: UserState,
    /// The attributes, a JSON object as text; only when asked for.
    pub attributes: Option<String>,
    /// Cohorts of those asked for that the user is in.
    pub cohorts: Vec<CohortId>,
}

/// The answer to [`Needs`]. What is not there was not stored.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// By user.
    pub users: BTreeMap<UserId, StoredUser>,
    /// Marks that exist.
    pub marks: BTreeSet<(UserId, [u8; 16])>,
    /// Meters by tenant and key.
    pub usage: BTreeMap<(TenantId, String), Meter<Decimal>>,
    /// `tenant_states.config_version` by tenant.
    pub config_versions: BTreeMap<TenantId, i64>,
    /// How far each tenant's log is decided. Told only where the log is outside the store.
    pub lanes: BTreeMap<TenantId, Lane>,
    /// Event ids that were decided before, with the hash of their content.
    pub event_ids: BTreeMap<(TenantId, EventKey), [u8; 16]>,
}

/// How far a tenant's log is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Append time of its last event.
    pub append_time: Timestamp,
    /// Rises with each batch in which the tenant has events, whatever the partition.
    pub version: i64,
}

/// One use to write: the bucket's new absolute value.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageWrite {
    /// Whose.
    pub tenant: TenantId,
    /// Of which limit or budget.
    pub key: String,
    /// The bucket; `None` = for ever.
    pub bucket: Option<Day>,
    /// Its new value.
    pub used: Decimal,
}

/// A mark to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkWrite {
    /// Whose.
    pub user: UserId,
    /// Its key.
    pub key: [u8; 16],
    /// Which campaign set it.
    pub campaign: CampaignId,
    /// Append time of the event.
    pub at: Timestamp,
}

/// A user's row as the batch leaves it.
#[derive(Clone, Debug)]
pub struct ChangedUser {
    /// Whose.
    pub user: UserId,
    /// The tenant's id of the user.
    pub user_ref: UserRef,
    /// Of which tenant.
    pub tenant: TenantId,
    /// The version that was loaded; 0 = there was no row.
    pub expected_version: i64,
    /// The new state.
    pub state: UserState,
    /// New attributes, when the batch changed them: a JSON object as text.
    pub attributes: Option<String>,
}

/// All that a batch changes, in log order where order matters.
#[derive(Debug, Default)]
pub struct Changes {
    /// User rows.
    pub users: Vec<ChangedUser>,
    /// Uses of limits and budgets, absolute.
    pub usage: Vec<UsageWrite>,
    /// Marks.
    pub marks: Vec<MarkWrite>,
    /// Incentives, in their order of publication.
    pub incentives: Vec<Arc<Incentive>>,
    /// Steps and quests completed.
    pub completions: Vec<(TenantId, Completion)>,
}

/// The working copy of a batch: what was loaded, as changed by the events decided so far.
#[derive(Debug, Default)]
pub struct Working {
    pub(crate) users: BTreeMap<UserId, WorkingUser>,
    pub(crate) marks: BTreeSet<(UserId, [u8; 16])>,
    pub(crate) usage: BTreeMap<(TenantId, String), WorkingMeter>,
    pub(crate) changes: Changes,
}

/// A user in the working copy.
#[derive(Debug, Default)]
pub(crate) struct WorkingUser {
    pub stored: StoredUser,
    pub user_ref: Option<UserRef>,
    pub tenant: Option<TenantId>,
    pub attributes_changed: bool,
}

impl WorkingUser {
    /// Notes whose row it is.
    pub fn meet(&mut self, event: &Parsed<'_>) {
        let event = &event.record.event;
        self.user_ref.get_or_insert_with(|| event.user_id.clone());
        self.tenant.get_or_insert(event.tenant_id);
    }
}

/// A meter in the working copy, and the buckets that the batch has changed.
#[derive(Debug, Default)]
pub(crate) struct WorkingMeter {
    pub meter: Meter<Decimal>,
    pub touched: BTreeSet<Option<Day>>,
}

impl Working {
    /// Starts from what was loaded.
    pub fn new(loaded: Loaded) -> Self {
        let users = loaded.users.into_iter();
        let usage = loaded.usage.into_iter();
        Self {
            users: users
                .map(|(id, stored)| (id, WorkingUser { stored, ..WorkingUser::default() }))
                .collect(),
            marks: loaded.marks,
            usage: usage
                .map(|(key, meter)| (key, WorkingMeter { meter, ..WorkingMeter::default() }))
                .collect(),
            changes: Changes::default(),
        }
    }

    /// Ends the batch: all that is to be written.
    pub fn into_changes(self) -> Changes {
        let mut changes = self.changes;
        for (user, working) in self.users {
            // A user without a reference was loaded but met by no event of the batch.
            if let (Some(user_ref), Some(tenant)) = (working.user_ref, working.tenant) {
                let StoredUser { version, state, attributes, .. } = working.stored;
                let attributes = if working.attributes_changed { attributes } else { None };
                changes.users.push(ChangedUser {
                    user,
                    user_ref,
                    tenant,
                    expected_version: version,
                    state,
                    attributes,
                });
            }
        }
        for ((tenant, key), working) in self.usage {
            for bucket in working.touched {
                let used = match bucket {
                    None => working.meter.ever,
                    Some(day) => working
                        .meter
                        .days
                        .iter()
                        .find(|(d, _)| *d == day)
                        .map_or(Decimal::ZERO, |(_, n)| *n),
                };
                changes.usage.push(UsageWrite { tenant, key: key.clone(), bucket, used });
            }
        }
        changes
    }
}
