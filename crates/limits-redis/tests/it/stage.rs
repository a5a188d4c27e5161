//! A Redis, gates in front of it, and a ledger that stands for the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::decide::{Lane, Loaded, Needs, StoredUser};
use domain::id::{EventId, IncentiveId, TenantId, UserId, UserRef, user_id};
use domain::incentive::Incentive;
use domain::limit::{Meter, TENANT_LIMIT_KEY};
use domain::time::{Day, SECOND_US, Timestamp, Zone};
use engine::metrics::Metrics;
use engine::ports::{
    Advice, BatchCommit, Committed, DayUse, HotStore, IdGen as _, IncentiveEvent, LimitGate as _,
    LimitMove, Place, PortError, PortErrorKind, PortFuture, Position, Reservation, UserUse,
};
use limits_redis::{RedisLimits, Settings, Surroundings};
use testkit::clock::{CountingIds, ManualClock};
use testkit::redis::RedisServer;
use uuid::Uuid;

pub const TENANT: TenantId = TenantId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_00aa));
/// Anything takes less on any machine.
pub const LONG: Duration = Duration::from_secs(60);

/// The server's clock.
pub fn now(server: &RedisServer) -> Timestamp {
    let seconds = server.ask(&["time"])[0].parse::<i64>().expect("seconds");
    Timestamp::from_micros(seconds * SECOND_US).expect("a time")
}

/// A zone in which the day has hours to go, so that no test sees midnight.
pub fn zone(now: Timestamp) -> Zone {
    let is_early = Zone::utc().civil(now).hour() < 12;
    Zone::named(if is_early { "UTC" } else { "Pacific/Honolulu" }).expect("a zone")
}

/// Settings under which nothing happens by itself.
pub fn settings(url: &str) -> Settings {
    Settings {
        patience: LONG,
        answer_within: LONG,
        look_every: LONG * 60,
        sweep_every: LONG * 60,
        scrub_every: LONG * 60,
        scrub_pause: Duration::ZERO,
        ..Settings::new(url)
    }
}

/// Waits for something that comes by itself.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let wait = async {
        while !holds() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Caps: of the tenant on a day and in all, of a user on a day and in all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caps(pub [Option<u64>; 4]);

/// What is committed: stands for the store, and plans batches as the calculator does.
#[derive(Debug)]
pub struct Ledger {
    pub tenant: TenantId,
    pub day: Day,
    pub zone: Zone,
    pub caps: Caps,
    inner: Mutex<Standing>,
}

#[derive(Clone, Debug, Default)]
struct Standing {
    lane: i64,
    tenant: u64,
    users: BTreeMap<UserRef, u64>,
}

impl Ledger {
    /// Nothing committed, on the day of this moment.
    pub fn on(now: Timestamp, caps: Caps) -> Arc<Self> {
        let zone = zone(now);
        Self::of(zone.day(now), zone, caps)
    }

    /// Nothing committed, on this day.
    pub fn of(day: Day, zone: Zone, caps: Caps) -> Arc<Self> {
        Arc::new(Self { tenant: TENANT, day, zone, caps, inner: Mutex::default() })
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.inner.lock().expect("no panic")
    }

    /// A user's use.
    pub fn used(&self, user: &str) -> u64 {
        let user = UserRef::new(user).expect("a reference");
        self.inner().users.get(&user).copied().unwrap_or(0)
    }

    /// The tenant's use.
    pub fn tenant_used(&self) -> u64 {
        self.inner().tenant
    }

    /// How many batches are committed.
    pub fn lane(&self) -> i64 {
        self.inner().lane
    }

    /// A batch of incentives with these numbers for these users, decided on what is committed now.
    pub fn plan(&self, owner: (i32, i64, i64), grants: &[(u128, &str)]) -> Arc<Reservation> {
        let (partition, epoch, batch_seq) = owner;
        let stands = self.inner();
        let [tenant_day, tenant_total, user_day, user_total] = self.caps.0;
        let mut users: Vec<UserUse> = Vec::new();
        let mut incentives = Vec::new();
        for (id, user) in grants {
            let user_ref = UserRef::new(user).expect("a reference");
            let place = users.iter().position(|u| u.user_ref == user_ref).unwrap_or_else(|| {
                let from = stands.users.get(&user_ref).copied().unwrap_or(0);
                let moved = |cap| LimitMove { from, to: from, cap };
                users.push(UserUse { user_ref, day: moved(user_day), total: moved(user_total) });
                users.len() - 1
            });
            users[place].day.to += 1;
            users[place].total.to += 1;
            incentives.push((IncentiveId(Uuid::from_u128(*id)), place));
        }
        let (from, to) = (stands.tenant, stands.tenant + grants.len() as u64);
        let moved = |cap| LimitMove { from, to, cap };
        let day = DayUse {
            tenant: self.tenant,
            day: self.day,
            starts_at: self.zone.start_of(self.day),
            ends_at: self.zone.start_of(Day(self.day.0 + 1)),
            lane_version: stands.lane,
            tenant_day: moved(tenant_day),
            tenant_total: moved(tenant_total),
            users,
            incentives,
        };
        Arc::new(Reservation { partition, epoch, batch_seq, days: vec![day] })
    }

    /// Commits a batch that was decided on what is committed now.
    pub fn commit(&self, batch: &Reservation) {
        let mut stands = self.inner();
        let day = &batch.days[0];
        assert_eq!(stands.lane, day.lane_version, "the store would refuse it");
        stands.lane += 1;
        stands.tenant = day.tenant_day.to;
        for user in &day.users {
            stands.users.insert(user.user_ref.clone(), user.day.to);
        }
    }
}

fn never<'a, T: 'a>() -> PortFuture<'a, T> {
    let message = "nobody asks this of a ledger".to_owned();
    Box::pin(async { Err(PortError { kind: PortErrorKind::Invalid, message }) })
}

impl HotStore for Ledger {
    fn load<'a>(&'a self, needs: Arc<Needs>) -> PortFuture<'a, Loaded> {
        let stands = self.inner();
        let mut loaded = Loaded::default();
        for (user, used) in &stands.users {
            let id = user_id(self.tenant, user);
            if needs.users.contains(&id) {
                let mut stored = StoredUser::default();
                stored.state.limit.add(Some(self.day), *used);
                loaded.users.insert(id, stored);
            }
        }
        let mut meter = Meter::default();
        meter.add(Some(self.day), stands.tenant.into());
        loaded.usage.insert((self.tenant, TENANT_LIMIT_KEY.to_owned()), meter);
        let lane = Lane { append_time: Timestamp::default(), version: stands.lane };
        loaded.lanes.insert(self.tenant, lane);
        Box::pin(async { Ok(loaded) })
    }
    fn take_over<'a>(&'a self, _: i32) -> PortFuture<'a, Position> {
        never()
    }
    fn commit<'a>(&'a self, _: Arc<BatchCommit>) -> PortFuture<'a, Committed> {
        never()
    }
    fn unpublished<'a>(
        &'a self,
        _: i32,
        _: Place,
        _: usize,
    ) -> PortFuture<'a, Vec<IncentiveEvent>> {
        never()
    }
    fn published<'a>(
        &'a self,
        _: i32,
        _: Arc<Vec<(IncentiveId, UserId)>>,
        _: Place,
        _: Timestamp,
    ) -> PortFuture<'a, ()> {
        never()
    }
    fn missed<'a>(&'a self, _: UserId, _: u64, _: usize) -> PortFuture<'a, Vec<Arc<Incentive>>> {
        never()
    }
    fn last_seq<'a>(&'a self, _: UserId) -> PortFuture<'a, u64> {
        never()
    }
    fn outcome<'a>(&'a self, _: TenantId, _: &'a EventId) -> PortFuture<'a, Option<String>> {
        never()
    }
}

/// One process' gate.
pub struct Gate {
    pub limits: Arc<RedisLimits>,
    pub metrics: Metrics,
}

impl Gate {
    /// A gate that asks already.
    pub async fn open(settings: &Settings, store: Arc<dyn HotStore>, now: Timestamp) -> Self {
        let gate = Self::closed(settings, store, now);
        gate.is_connected().await;
        // The comparison that follows upon the first thing that goes well.
        gate.barrier().await;
        until("it has compared", || gate.metrics.limits_events("scrubbed") > 0).await;
        gate
    }

    /// A gate that does not ask yet.
    pub fn closed(settings: &Settings, store: Arc<dyn HotStore>, now: Timestamp) -> Self {
        let metrics = Metrics::detached();
        let ids = CountingIds::default();
        // Generations must differ between processes.
        static MADE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let skip = MADE.fetch_add(1, std::sync::atomic::Ordering::SeqCst) * 1000;
        (0..skip).for_each(|_| {
            ids.uuid();
        });
        let around = Surroundings {
            store,
            clock: Arc::new(ManualClock::at(now)),
            ids: Arc::new(ids),
            metrics: metrics.clone(),
        };
        let limits = RedisLimits::start(settings, around).expect("an address");
        Self { limits: Arc::new(limits), metrics }
    }

    /// Waits for the connection.
    pub async fn is_connected(&self) {
        until("it is connected", || self.limits.is_asking()).await;
    }

    pub async fn reserve(&self, batch: &Arc<Reservation>) -> Advice {
        self.limits.reserve(batch).await
    }

    /// Settles, and waits until that is done.
    pub async fn settle(&self, batch: &Arc<Reservation>) {
        self.limits.settle(batch.clone());
        self.barrier().await;
    }

    /// Waits until everything handed over so far is done.
    pub async fn barrier(&self) {
        let (partition, epoch, batch_seq) = (i32::MAX, 1, 1);
        let nothing = Reservation { partition, epoch, batch_seq, days: Vec::new() };
        self.limits.reserve(&Arc::new(nothing)).await;
    }

    /// Compares everything with the store.
    pub async fn scrub(&self) {
        // The first one to end may have begun before this was called.
        for _ in 0..2 {
            let before = self.metrics.limits_events("scrubbed");
            self.limits.scrub_now();
            until("it is scrubbed", || self.metrics.limits_events("scrubbed") > before).await;
        }
        self.barrier().await;
    }
}

/// What Redis says of the tenant and its users: tenant's key and users' keys, without their
/// common beginning, with their numbers.
pub fn shown(server: &RedisServer) -> BTreeMap<String, String> {
    let tag = format!("limit:{{{TENANT}}}:");
    let keys = server.ask(&["keys", &format!("{tag}*daily")]);
    if keys.iter().all(String::is_empty) {
        return BTreeMap::new();
    }
    let command: Vec<&str> = ["mget"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    let names = keys.iter().filter_map(|key| Some(key.strip_prefix(&tag)?.to_owned()));
    names.zip(server.ask(&command)).collect()
}

/// How many incentives are reserved and not settled.
pub fn reserved(server: &RedisServer, ledger: &Ledger) -> usize {
    reserved_on(server, ledger.day)
}

/// The same on a day.
pub fn reserved_on(server: &RedisServer, day: Day) -> usize {
    let key = format!("limit:{{{TENANT}}}:pending:{}", day.0);
    server.ask(&["hkeys", &key]).iter().filter(|field| field.len() == 32).count()
}
