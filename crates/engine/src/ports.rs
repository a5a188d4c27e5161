//! The ports. One exists only where two mechanisms do: SQLite and PostgreSQL behind [`HotStore`],
//! durable tables and Kafka behind [`Bus`], the control plane in this process or over HTTP behind
//! [`ControlPlane`], Redis or nothing behind [`LimitGate`]. They are `dyn`: a call is per batch, so
//! dispatch costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use domain::config::TenantConfig;
use domain::decide::{Lane, Loaded, MarkWrite, Needs, UsageWrite};
use domain::event::{ActionEvent, Record, RecordKind};
use domain::id::{
    ActionCode, CohortId, EventId, EventKey, IncentiveId, TenantId, UserId, UserRef, hash_parts,
};
use domain::incentive::{Completion, Incentive};
use domain::state::UserState;
use domain::time::{Day, Timestamp};
use tokio::sync::watch;

use crate::record::{Mark, Taken};

/// What a port's call returns.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, PortError>> + Send + 'a>>;

/// Why a port failed. The kind decides what the caller does next, see [`crate::policy`].
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// Which kind of failure.
    pub kind: PortErrorKind,
    /// What failed and how to mend it, in plain words.
    pub message: String,
}

/// Kinds of failure, by what they call for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortErrorKind {
    /// The service cannot be reached or is busy: try again with a growing pause.
    Unavailable,
    /// The disk or a quota is full: pause, become unready, try again.
    Full,
    /// Another owner has taken over: stop this partition.
    Fenced,
    /// Stored data contradicts itself: halt and tell the operator.
    Corrupt,
    /// The caller broke the port's contract: a bug.
    Invalid,
}

/// The clock. Tests drive their own.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Ids that are made, not derived. Tests make their own.
pub trait IdGen: Send + Sync {
    /// A new UUIDv7.
    fn uuid(&self) -> uuid::Uuid;
    /// 32 secret random bytes.
    fn secret(&self) -> [u8; 32];
}

// ---------------------------------------------------------------------------------------- the bus

/// An event offered to the log.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The event.
    pub event: ActionEvent,
    /// How it takes part.
    pub kind: RecordKind,
    /// Hash of what the tenant sent, see [`crate::ingest`]: the same id with another hash is refused.
    pub content_hash: [u8; 16],
}

/// What became of an offered event. All of it is exact where the log is kept in the store; on any
/// other log only `Accepted` is, the rest is as far as it can be told, and the decision tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// In the log, durably, at this offset.
    Accepted {
        /// Offset of the record in its partition.
        offset: i64,
    },
    /// The log had this event already; nothing was written.
    Duplicate {
        /// Offset of the first one.
        offset: i64,
    },
    /// Its id was used for other content; kept as a dead letter.
    IdReused,
    /// The tenant is being replayed, or is not: this kind of record is refused for now.
    WrongMode,
    /// No such tenant, or it is suspended.
    NoTenant,
}

/// The durable log of events and the announcements of incentives.
pub trait Bus: Send + Sync {
    /// Appends to `tenant-events`. When it returns, every accepted event is durable. Append times
    /// are given by the log; for each tenant they never go back once an event is admitted.
    fn append<'a>(&'a self, records: Vec<NewRecord>) -> PortFuture<'a, Vec<Appended>>;
    /// Up to `max` records of a partition from `offset` on, in order, wherever the last call ended:
    /// a reader with a place of its own goes there first. Empty when there are none, or when the
    /// partition is not assigned to this process any more.
    fn take<'a>(&'a self, partition: i32, offset: i64, max: usize) -> PortFuture<'a, Vec<Taken>>;
    /// Returns when there may be records at or after `offset`, at the latest after a second.
    fn ready<'a>(&'a self, partition: i32, offset: i64) -> PortFuture<'a, ()>;
    /// First offset after the last record of a partition.
    fn end<'a>(&'a self, partition: i32) -> PortFuture<'a, i64>;
    /// Compares the log with a position that was taken over. Errors of kind `Corrupt`: it is
    /// another log than the position's (its mark differs), it ends before the position, or records
    /// from the position on are gone.
    fn verify<'a>(&'a self, partition: i32, position: Position) -> PortFuture<'a, ()>;
    /// The partitions that this process is to decide, as they come and go. Taking one over fences
    /// whoever had it, so being told late costs time and never correctness.
    fn assigned(&self) -> watch::Receiver<BTreeSet<i32>>;
    /// Publishes what a source partition granted to `incentive-generated`, in order. When it
    /// returns, all are durable there.
    fn publish<'a>(&'a self, partition: i32, events: &'a [IncentiveEvent]) -> PortFuture<'a, ()>;
}

/// The announcement of an incentive, a record of `incentive-generated`.
#[derive(Clone, Debug, PartialEq)]
pub struct IncentiveEvent {
    /// What was granted.
    pub incentive: Arc<Incentive>,
    /// Its place in the order of publication.
    pub place: Place,
}

/// Who is told, inside this process, about each incentive that was published.
pub trait Announce: Send + Sync {
    /// Tells about incentives, in their order of publication, some perhaps more than once. Never
    /// waits.
    fn announce(&self, events: &[IncentiveEvent]);
}

/// A place in the dense order of publication of one source partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Sequence number of the batch, dense from 1.
    pub batch_seq: i64,
    /// Ordinal in the batch, dense from 0.
    pub ordinal: i32,
}

impl Place {
    /// The place before the first of all.
    pub const BEFORE_ALL: Self = Self { batch_seq: 0, ordinal: -1 };
}

// --------------------------------------------------------------------------------- the hot store

/// Where the owner of a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Rises at each take-over; commits of an older epoch fail.
    pub epoch: i64,
    /// Offset of the next record to decide.
    pub next_offset: i64,
    /// Sequence number of the last batch committed; 0 = none.
    pub batch_seq: i64,
    /// Place of the last incentive published.
    pub published: Place,
    /// Mark of the record before `next_offset`; `None` where the log has none, or at the beginning.
    pub mark: Option<Mark>,
}

/// A user's row to write.
#[derive(Clone, Debug)]
pub struct StateWrite {
    /// Whose.
    pub user: UserId,
    /// The tenant's id of the user; a row in `users` is made when there is none.
    pub user_ref: UserRef,
    /// Of which tenant.
    pub tenant: TenantId,
    /// The version that was loaded; a mismatch is a conflict.
    pub expected_version: i64,
    /// The new state.
    pub state: UserState,
    /// New attributes, when the batch changed them: a JSON object as text.
    pub attributes: Option<String>,
    /// Append time of the user's first event in the batch: when a new user was first seen.
    pub seen_at: Timestamp,
}

/// A record that cannot be decided, kept with its exact bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// UUIDv8, ordered by time of arrival and derived from the rest: writing one again is no change.
    pub id: uuid::Uuid,
    /// Whose, as far as it can be told.
    pub tenant: Option<TenantId>,
    /// Where it came from: `ingest`, or topic, partition and offset as `tenant-events:0@17`.
    pub source: String,
    /// A stable code: `UNREADABLE`, `ID_REUSED`.
    pub reason: &'static str,
    /// What is wrong with it, in plain words.
    pub detail: String,
    /// The exact bytes.
    pub raw: Vec<u8>,
    /// When it arrived.
    pub received_at: Timestamp,
}

impl DeadLetter {
    /// The id of a dead letter that arrived then and there.
    pub fn id_of(received_at: Timestamp, source: &str, raw: &[u8]) -> uuid::Uuid {
        let mut bytes = hash_parts(&[b"dead letter", source.as_bytes(), raw]);
        let ms = u64::try_from(received_at.micros() / 1000).unwrap_or(0);
        bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        uuid::Uuid::new_v8(bytes)
    }
}

/// An event's outcome to write.
#[derive(Clone, Debug)]
pub struct OutcomeWrite {
    /// Which record.
    pub offset: i64,
    /// The outcome in its stored form, see `domain::decide::EventOutcome`.
    pub outcome: String,
}

/// An event of a log outside the store, decided for the first time: its row and its id to write.
#[derive(Clone, Debug)]
pub struct EventWrite {
    /// The event, with its append time as admitted.
    pub record: Record,
    /// Key of its id.
    pub key: EventKey,
    /// Hash of what the tenant sent.
    pub content_hash: [u8; 16],
    /// The outcome in its stored form.
    pub outcome: String,
    /// False when the payload is no JSON: its bytes are in a dead letter, not in the row.
    pub is_readable: bool,
}

/// How far a batch moves a tenant's lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneMove {
    /// The lane as it was loaded; another one stored is a conflict. Its version rises by one.
    pub from: Lane,
    /// Append time of the tenant's last event in the batch.
    pub to: Timestamp,
}

/// One batch, to be written in one transaction or not at all.
#[derive(Clone, Debug, Default)]
pub struct BatchCommit {
    /// Source partition.
    pub partition: i32,
    /// The owner's epoch.
    pub epoch: i64,
    /// This batch's number: the last one + 1.
    pub batch_seq: i64,
    /// First offset of the batch: must be the stored `next_offset`.
    pub offset_from: i64,
    /// First offset after the batch.
    pub offset_to: i64,
    /// Wall clock at the commit, for the record only.
    pub committed_at: Timestamp,
    /// `config_version` each tenant was decided under; a mismatch is a conflict.
    pub config_versions: BTreeMap<TenantId, i64>,
    /// Outcomes of events whose rows are there: the log is kept in the store.
    pub outcomes: Vec<OutcomeWrite>,
    /// Events whose rows are not: the log is elsewhere.
    pub events: Vec<EventWrite>,
    /// Lanes of the tenants of `events`.
    pub lanes: BTreeMap<TenantId, LaneMove>,
    /// Mark of the batch's last record, for [`Position::mark`].
    pub mark: Option<Mark>,
    /// How many events had which outcome.
    pub counts: BTreeMap<&'static str, u64>,
    /// User rows.
    pub states: Vec<StateWrite>,
    /// Uses of limits and budgets.
    pub usage: Vec<UsageWrite>,
    /// Marks.
    pub marks: Vec<MarkWrite>,
    /// Incentives, in their order of publication.
    pub incentives: Vec<Arc<Incentive>>,
    /// Steps and quests completed.
    pub completions: Vec<(TenantId, Completion)>,
    /// Actions that may be new to their tenant, and when they were first seen.
    pub actions: Vec<(TenantId, ActionCode, Timestamp)>,
    /// Records of the batch that cannot be decided.
    pub dead_letters: Vec<DeadLetter>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Written.
    Done,
    /// Something it read has changed: load again and decide again.
    Stale,
    /// Another batch of ours is there in its place, from a commit whose answer was lost: go on
    /// behind it.
    Overtaken {
        /// Offset of the next record to decide.
        next_offset: i64,
        /// Number of the batch that is there.
        batch_seq: i64,
    },
}

/// The store of the event path.
pub trait HotStore: Send + Sync {
    /// Takes a partition over: raises the epoch and tells where to go on.
    fn take_over<'a>(&'a self, partition: i32) -> PortFuture<'a, Position>;
    /// Loads what a batch needs in one round trip, all of it as of one moment. Event ids that are
    /// known may be missing, once: then the commit answers `Stale`, and the next load has them.
    fn load<'a>(&'a self, needs: Arc<Needs>) -> PortFuture<'a, Loaded>;
    /// Writes a batch in one transaction. Where a batch of ours is there already it answers
    /// `Overtaken`, even if it looks the same: after a commit whose answer was lost the same records
    /// are decided again, perhaps under another configuration, and what was written stands. Errors
    /// of kind `Fenced` when the epoch is not ours.
    fn commit<'a>(&'a self, batch: Arc<BatchCommit>) -> PortFuture<'a, Committed>;
    /// Incentives after a place that are not yet published, in order.
    fn unpublished<'a>(
        &'a self,
        partition: i32,
        after: Place,
        max: usize,
    ) -> PortFuture<'a, Vec<IncentiveEvent>>;
    /// Records the publication of incentives (`incentive_event_log`) and the relay's new place.
    fn published<'a>(
        &'a self,
        partition: i32,
        events: Arc<Vec<(IncentiveId, UserId)>>,
        up_to: Place,
        at: Timestamp,
    ) -> PortFuture<'a, ()>;
    /// A user's incentives with `seq` above `after`, ascending, at most `max`: what a client missed.
    fn missed<'a>(
        &'a self,
        user: UserId,
        after: u64,
        max: usize,
    ) -> PortFuture<'a, Vec<Arc<Incentive>>>;
    /// The `seq` of a user's last incentive.
    fn last_seq<'a>(&'a self, user: UserId) -> PortFuture<'a, u64>;
    /// Outcome of an event in its stored form, `None` while undecided or unknown.
    fn outcome<'a>(
        &'a self,
        tenant: TenantId,
        event: &'a EventId,
    ) -> PortFuture<'a, Option<String>>;
}

// ----------------------------------------------------------------------------- the control plane

/// Where the calculator gets its configuration.
pub trait ControlPlane: Send + Sync {
    /// A tenant's configuration in force; `None` when there is no such tenant. It may be one that
    /// was in force a while ago: the commit compares its version with the stored one. Never one that
    /// [`Self::outdated`] has told of since it was asked for.
    fn config<'a>(&'a self, tenant: TenantId) -> PortFuture<'a, Option<TenantConfig>>;
    /// Whether what was answered at this version may still be decided by without asking again.
    /// Never waits. Where each answer is read anew it may: the commit tells when it has changed.
    fn still_holds(&self, _tenant: TenantId, _config_version: i64) -> bool {
        true
    }
    /// Tells that the store has another version than this one, so that no answer of it that was
    /// asked for earlier is given again. Never waits.
    fn outdated(&self, _tenant: TenantId, _config_version: i64) {}
    /// Recomputes a cohort as of a moment of the tenant's log and switches to the new membership.
    fn refresh_cohort<'a>(
        &'a self,
        tenant: TenantId,
        cohort: CohortId,
        as_of: Timestamp,
    ) -> PortFuture<'a, ()>;
}

// ------------------------------------------------------------------------------------- the limits

/// How a batch moves one use of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitMove {
    /// The use as it was loaded.
    pub from: u64,
    /// The use that the batch commits.
    pub to: u64,
    /// The cap in force; `None` = no cap.
    pub cap: Option<u64>,
}

/// A user's part in a [`DayUse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserUse {
    /// The tenant's id of the user.
    pub user_ref: UserRef,
    /// On the day.
    pub day: LimitMove,
    /// Over the window of the total.
    pub total: LimitMove,
}

/// What a batch uses of one tenant's limits on one of its calendar days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayUse {
    /// Whose.
    pub tenant: TenantId,
    /// The tenant's calendar day.
    pub day: Day,
    /// The day's first instant.
    pub starts_at: Timestamp,
    /// The next day's first instant.
    pub ends_at: Timestamp,
    /// Version of the tenant's lane before the batch: the uses `from` are those that it had then,
    /// the uses `to` belong to the version after it. 0 where the store keeps no lanes.
    pub lane_version: i64,
    /// The tenant's use on the day.
    pub tenant_day: LimitMove,
    /// The tenant's use over the window of its total.
    pub tenant_total: LimitMove,
    /// The users who earn something, in the order in which they come first.
    pub users: Vec<UserUse>,
    /// The incentives in their order of publication, each with the place of its user in `users`.
    pub incentives: Vec<(IncentiveId, usize)>,
}

/// What a batch is about to use of limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Source partition.
    pub partition: i32,
    /// The owner's epoch.
    pub epoch: i64,
    /// The batch's number.
    pub batch_seq: i64,
    /// By tenant and day; the days of a tenant ascend.
    pub days: Vec<DayUse>,
}

/// What a gate says to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// There is room for all of it.
    Room,
    /// There is none for so many of its incentives, as far as the gate knows.
    NoRoom(usize),
    /// The gate knows nothing, or not in time.
    Silent,
}

/// The view of limits that all processes share, in front of the store. It advises and never
/// decides: its yes authorises nothing, for the commit compares what the batch was decided on, and
/// its no refuses nothing, for the batch was decided on exact values. So it may be slow, wrong,
/// empty or gone, and nothing here fails.
pub trait LimitGate: Send + Sync {
    /// Tells that this process has taken a partition over: what older epochs had reserved and not
    /// committed is void. Never waits.
    fn taken_over(&self, partition: i32, epoch: i64);
    /// Reserves what a batch is about to use, in the place of whatever the partition had reserved
    /// and not settled. Waits a moment at most. The same incentive is never counted twice.
    fn reserve<'a>(
        &'a self,
        reservation: &'a Arc<Reservation>,
    ) -> Pin<Box<dyn Future<Output = Advice> + Send + 'a>>;
    /// Tells that a reservation is committed: the uses `to` are what is used now. Never waits.
    fn settle(&self, reservation: Arc<Reservation>);
    /// Tells that a reservation's batch was refused: it is decided again, and may not grant any of
    /// it then. Never waits.
    fn give_back(&self, reservation: Arc<Reservation>);
}
