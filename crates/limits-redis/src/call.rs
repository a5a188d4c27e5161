//! What is said to Redis: calls of a script for one tenant and day with at most a hundred
//! incentives each, and what it answers.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use domain::id::{IncentiveId, TenantId, UserRef};
use domain::time::{DAY_US, Day, Timestamp};
use engine::guard::{self, Guard};
use engine::ports::{DayUse, LimitMove, Reservation, UserUse};
use redis::{Cmd, Value};

use crate::keys;
use crate::scripts::Program;

/// Most incentives, and most users, in one call: a script keeps everybody waiting.
pub(crate) const CALL_MAX: usize = 100;
/// Integers beyond this are not exact in Lua; as a cap it is none.
const EXACT_MAX: u64 = 1 << 53;

/// A day as keys of it need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Today {
    pub day: Day,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
}

impl Today {
    pub fn of(day: &DayUse) -> Self {
        Self { day: day.day, starts_at: day.starts_at, ends_at: day.ends_at }
    }

    /// When keys written now expire: at the day's end, but within 24 hours, also on the day that
    /// has 25. Each use writes it anew.
    fn expires_at(self, now: Timestamp) -> Timestamp {
        self.ends_at.min(now.plus_micros(DAY_US))
    }
}

/// How a partition's owner is known to Redis for one tenant.
#[derive(Clone, Debug)]
pub(crate) struct Met {
    pub generation: String,
    /// The last call that was answered.
    pub acknowledged: u64,
}

/// One call of CHECK_AND_INCR or SETTLE, but for what is known only when it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub tenant: TenantId,
    program: Program,
    today: Today,
    lane_version: i64,
    batch_seq: i64,
    keys: Vec<String>,
    tail: Vec<String>,
}

/// Who sends a call, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    pub partition: i32,
    pub epoch: i64,
    pub met: &'a Met,
    pub sequence: u64,
    pub now: Timestamp,
}

impl Call {
    fn new(day: &DayUse, program: Program, batch_seq: i64, lane_version: i64) -> Self {
        let today = Today::of(day);
        let keys = head_keys(day.tenant, today.day);
        Self { tenant: day.tenant, program, today, lane_version, batch_seq, keys, tail: vec![] }
    }

    /// The command.
    pub fn command(&self, sender: Sender<'_>) -> Cmd {
        let Sender { partition, epoch, met, sequence, now } = sender;
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(self.program.hash()).arg(self.keys.len()).arg(&self.keys);
        cmd.arg(partition).arg(epoch).arg(&met.generation);
        cmd.arg(sequence).arg(met.acknowledged).arg(self.lane_version);
        cmd.arg(self.today.day.0).arg(millis(self.today.starts_at));
        cmd.arg(millis(self.today.expires_at(now))).arg(self.batch_seq).arg(&self.tail);
        cmd
    }

    /// The day that it speaks of.
    pub fn today(&self) -> Today {
        self.today
    }
}

fn head_keys(tenant: TenantId, day: Day) -> Vec<String> {
    vec![keys::state(tenant), keys::pending(tenant, day), keys::tenant_daily(tenant)]
}

fn millis(at: Timestamp) -> i64 {
    at.micros() / 1000
}

fn number(n: u64) -> String {
    n.min(EXACT_MAX).to_string()
}

fn cap(of: LimitMove) -> String {
    of.cap.map_or_else(|| "-1".to_owned(), number)
}

/// Users, and incentives with the place of their user among them.
type Part<'d> = (Vec<&'d UserUse>, Vec<(IncentiveId, usize)>);

/// The incentives of a day in parts, each with the users that it needs.
fn parts(day: &DayUse, is_wanted: impl Fn(&IncentiveId) -> bool) -> Vec<Part<'_>> {
    let wanted: Vec<_> = day.incentives.iter().filter(|(id, _)| is_wanted(id)).collect();
    let part = |incentives: &[&(IncentiveId, usize)]| {
        let (mut users, mut places) = (Vec::new(), HashMap::new());
        let mut place_of = |user: usize| {
            *places.entry(user).or_insert_with(|| {
                users.push(&day.users[user]);
                users.len() - 1
            })
        };
        let incentives = incentives.iter().map(|(id, user)| (*id, place_of(*user))).collect();
        (users, incentives)
    };
    wanted.chunks(CALL_MAX).map(part).collect()
}

/// Reserves a day's part of a batch.
pub(crate) fn reserve(day: &DayUse, batch_seq: i64) -> Vec<Call> {
    let call = |(users, incentives): Part<'_>| {
        let mut call = Call::new(day, Program::CheckAndIncr, batch_seq, day.lane_version);
        // Users of one tenant share its caps.
        let (user_day, user_total) = (cap(users[0].day), cap(users[0].total));
        call.tail.extend([number(day.tenant_day.from), cap(day.tenant_day)]);
        call.tail.extend([number(day.tenant_total.from), cap(day.tenant_total)]);
        call.tail.extend([user_day, user_total]);
        for user in users {
            call.keys.push(keys::user_daily(day.tenant, &user.user_ref));
            call.tail.extend([number(user.day.from), number(user.total.from)]);
        }
        for (id, user) in incentives {
            call.tail.extend([id.0.as_simple().to_string(), (user + 1).to_string()]);
        }
        call
    };
    parts(day, |_| true).into_iter().map(call).collect()
}

/// Settles a day's part of a committed batch. What later calls settle is not used yet for the
/// earlier ones: they still see it reserved, and would count it twice.
pub(crate) fn settle(day: &DayUse, batch_seq: i64) -> Vec<Call> {
    let parts = parts(day, |_| true);
    let mut later_of: HashMap<UserRef, u64> = HashMap::new();
    for (users, incentives) in &parts {
        for (_, user) in incentives {
            *later_of.entry(users[*user].user_ref.clone()).or_default() += 1;
        }
    }
    let mut later = day.incentives.len() as u64;
    let call = |(users, incentives): Part<'_>| {
        later -= incentives.len() as u64;
        for (_, user) in &incentives {
            if let Some(later) = later_of.get_mut(&users[*user].user_ref) {
                *later -= 1;
            }
        }
        let mut call = Call::new(day, Program::Settle, batch_seq, day.lane_version + 1);
        call.tail.extend(["1".to_owned(), used(day.tenant_day.to.saturating_sub(later))]);
        for user in users {
            call.keys.push(keys::user_daily(day.tenant, &user.user_ref));
            let later = later_of.get(&user.user_ref).copied().unwrap_or(0);
            call.tail.push(used(user.day.to.saturating_sub(later)));
        }
        call.tail.extend(incentives.iter().map(|(id, _)| id.0.as_simple().to_string()));
        call
    };
    parts.into_iter().map(call).collect()
}

/// A use to be set; "not known" where only counting is left.
fn used(number_of: u64) -> String {
    match guard::holds(Guard::Settle) {
        true => number(number_of),
        false => String::new(),
    }
}

/// Ends what a reservation holds and its successor, if it has one, does not: the batch was refused.
pub(crate) fn release(before: &Reservation, successor: Option<&Reservation>) -> Vec<Call> {
    let days = successor.into_iter().flat_map(|successor| &successor.days);
    let kept: HashSet<IncentiveId> =
        days.flat_map(|day| day.incentives.iter().map(|(id, _)| *id)).collect();
    let mut calls = Vec::new();
    for day in &before.days {
        for (users, incentives) in parts(day, |id| !kept.contains(id)) {
            let mut call = Call::new(day, Program::Settle, before.batch_seq, day.lane_version);
            call.tail.extend([String::new(), String::new()]);
            for user in users {
                call.keys.push(keys::user_daily(day.tenant, &user.user_ref));
                call.tail.push(String::new());
            }
            call.tail.extend(incentives.iter().map(|(id, _)| id.0.as_simple().to_string()));
            calls.push(call);
        }
    }
    calls
}

/// Uses as the store knows them, and reservations that are void.
#[derive(Clone, Debug)]
pub(crate) struct Mend {
    pub partition: i32,
    pub epoch: i64,
    pub tenant: TenantId,
    pub today: Today,
    /// Version of the tenant's lane at which the uses were read.
    pub lane_version: i64,
    /// The last batch that is settled.
    pub settled_batch: i64,
    /// The tenant's use of the day.
    pub tenant_use: u64,
    /// Users' uses of the day, at most [`CALL_MAX`].
    pub users: Vec<(UserRef, u64)>,
    /// Incentives whose reservation is void, at most [`CALL_MAX`].
    pub void: Vec<String>,
}

/// Sets a mend right.
pub(crate) fn mend(mend: &Mend) -> Call {
    let Mend { tenant, today, lane_version, settled_batch, .. } = *mend;
    let mut keys = head_keys(tenant, today.day);
    let mut tail = vec![String::new(), number(mend.tenant_use)];
    for (user, used) in &mend.users {
        keys.push(keys::user_daily(tenant, user));
        tail.push(number(*used));
    }
    tail.extend(mend.void.iter().cloned());
    let program = Program::Settle;
    Call { tenant, program, today, lane_version, batch_seq: settled_batch, keys, tail }
}

/// Makes an owner known for a tenant. `renew`: what is there is an old copy.
pub(crate) fn meet(tenant: TenantId, sender: Sender<'_>, renew: bool, today: Today) -> Cmd {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(Program::Meet.hash()).arg(1).arg(keys::state(tenant));
    cmd.arg(sender.partition).arg(sender.epoch).arg(&sender.met.generation);
    cmd.arg(sender.sequence).arg(u8::from(renew));
    cmd.arg(millis(today.expires_at(sender.now).plus_micros(DAY_US)));
    cmd
}

/// What a script answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done; so many further values came along.
    Done(usize),
    /// Done, and how many uses it had to correct.
    Corrected(u64),
    /// Met, under this generation.
    Generation(String),
    /// Counted and committed before.
    Settled,
    /// Of a day that is over.
    Past,
    /// A later epoch has the partition.
    Fenced,
    /// Redis knows nothing of the tenant.
    Unknown,
    /// Somebody else gave it a new generation.
    Other,
    /// Redis came back from an old copy.
    Stale,
    /// A later call was there first.
    Late,
    /// What no script of ours says.
    Unreadable,
}

impl Answer {
    /// Reads what a script returned.
    pub fn read(program: Program, value: &Value) -> Self {
        let Value::Array(values) = value else { return Self::Unreadable };
        let Some((head, rest)) = values.split_first() else { return Self::Unreadable };
        let Some(word) = text(head) else { return Self::Unreadable };
        match (word, program, rest) {
            ("DONE", Program::CheckAndIncr, refused) => Self::Done(refused.len()),
            ("DONE", Program::Settle, [Value::Int(n)]) => {
                Self::Corrected(u64::try_from(*n).unwrap_or(0))
            }
            ("DONE", Program::Meet, [generation]) => match text(generation) {
                Some(generation) => Self::Generation(generation.to_owned()),
                None => Self::Unreadable,
            },
            ("SETTLED", ..) => Self::Settled,
            ("PAST", ..) => Self::Past,
            ("FENCED", ..) => Self::Fenced,
            ("UNKNOWN", ..) => Self::Unknown,
            ("OTHER", ..) => Self::Other,
            ("STALE", ..) => Self::Stale,
            ("LATE", ..) => Self::Late,
            _ => Self::Unreadable,
        }
    }

    /// True when the owner has to make itself known first, and may then try again.
    pub fn calls_for_meeting(&self) -> bool {
        matches!(self, Self::Unknown | Self::Other | Self::Stale)
    }
}

impl Call {
    /// Reads the answer to it.
    pub fn answer(&self, value: &Value) -> Answer {
        Answer::read(self.program, value)
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
