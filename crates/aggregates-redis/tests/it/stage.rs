//! A Redis, a ledger in memory, and a feed that delivers what a test says, as often as it says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aggregates_redis::{Aggregator, Comparison, Keeper, Running, Settings, Surroundings};
use domain::id::{CampaignId, EventId, IncentiveId, TenantId, UserRef, user_id};
use domain::incentive::RewardType;
use domain::time::{Day, Timestamp};
use engine::aggregates::{
    Aggregates as _, Cell, DaySum, Leader, Leaderboard, Ledger, LedgerDays, Sum, SumsAsked,
    UserSums, by_rank,
};
use engine::captured::{Applied, CapturedBatch, CapturedFeed, CapturedIncentive};
use engine::metrics::Metrics;
use engine::ports::{Place, PortFuture};
use testkit::clock::{CountingIds, ManualClock};
use testkit::redis::RedisServer;
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

pub const TENANT: TenantId = TenantId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_00aa));
pub const OTHER: TenantId = TenantId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_00bb));
/// Anything takes less on any machine.
pub const LONG: Duration = Duration::from_secs(60);

pub fn campaign(n: u128) -> CampaignId {
    CampaignId(Uuid::from_u128(0xca00 + n))
}

pub fn user(name: &str) -> UserRef {
    UserRef::new(name).expect("a reference")
}

// ------------------------------------------------------------------------------------- the ledger

/// What is committed: rows in the order of their places.
#[derive(Default)]
pub struct Rows(Mutex<Vec<CapturedIncentive>>);

impl Rows {
    /// Commits a batch of a source partition: for each row whose, of which campaign, on which day,
    /// in which currency, how much. Returns the rows as they are captured.
    pub fn grant(
        &self,
        tenant: TenantId,
        partition: i32,
        batch: &[(&str, u128, i32, &str, &str)],
    ) -> Vec<CapturedIncentive> {
        let mut rows = self.0.lock().expect("no panic");
        let last = rows.iter().filter(|r| r.source_partition == partition);
        let batch_seq = last.map(|r| r.place.batch_seq).max().unwrap_or(0) + 1;
        let first = rows.len();
        for (ordinal, (name, of, day, currency, amount)) in (0..).zip(batch) {
            let mine = rows.iter().filter(|r| r.tenant == tenant && r.user_ref == user(name));
            let (seq, n) = (mine.count() as u64 + 1, rows.len());
            rows.push(CapturedIncentive {
                id: IncentiveId(Uuid::from_u128(n as u128)),
                tenant,
                user: user_id(tenant, &user(name)),
                user_ref: user(name),
                campaign: campaign(*of),
                campaign_version: 1,
                event_id: EventId::new(&format!("e{n}")).expect("an id"),
                kind: RewardType::Cashback,
                currency: (*currency).to_owned(),
                amount: amount.parse().expect("a decimal"),
                coupon_code: None,
                issued_at: Timestamp::from_stored(1_000_000 * (n as i64 + 1)),
                seq,
                day: Day(*day),
                source_partition: partition,
                place: Place { batch_seq, ordinal },
            });
        }
        rows[first..].to_vec()
    }

    fn of(&self, tenant: TenantId) -> Vec<CapturedIncentive> {
        let rows = self.0.lock().expect("no panic");
        rows.iter().filter(|row| row.tenant == tenant).cloned().collect()
    }

    /// What a cell must hold, added up from the rows.
    fn cell(&self, tenant: TenantId, cell: &Cell) -> Sum {
        let is_in = |row: &&CapturedIncentive| {
            row.currency == cell.currency
                && cell.user.as_ref().is_none_or(|user| *user == row.user_ref)
                && cell.campaign.is_none_or(|campaign| campaign == row.campaign)
                && cell.day.is_none_or(|day| day == row.day)
        };
        self.of(tenant).iter().filter(is_in).fold(Sum::default(), |sum, row| sum.with(row.into()))
    }
}

impl Ledger for Rows {
    fn tenants<'a>(&'a self, after: Option<TenantId>, max: u32) -> PortFuture<'a, Vec<TenantId>> {
        let all: BTreeSet<TenantId> =
            self.0.lock().expect("no panic").iter().map(|row| row.tenant).collect();
        let some = all.into_iter().filter(|id| after.is_none_or(|after| *id > after));
        let some: Vec<TenantId> = some.take(max as usize).collect();
        Box::pin(async move { Ok(some) })
    }

    fn users<'a>(
        &'a self,
        tenant: TenantId,
        sums: mpsc::Sender<UserSums>,
    ) -> PortFuture<'a, Applied> {
        let (mut places, mut users) = (Applied::default(), BTreeMap::<UserRef, UserSums>::new());
        for row in self.of(tenant) {
            places.advance(&row);
            let name = row.user_ref.clone();
            let of = users.entry(name.clone());
            let of = of.or_insert(UserSums { user: name, last_seq: 0, sums: vec![] });
            of.last_seq = row.seq;
            of.sums.push((row.campaign, row.currency.clone(), row.day, Sum::from(&row)));
        }
        Box::pin(async move {
            for user in users.into_values() {
                if sums.send(user).await.is_err() {
                    break;
                }
            }
            Ok(places)
        })
    }

    fn beyond<'a>(
        &'a self,
        tenant: TenantId,
        places: &'a Applied,
        max: u32,
    ) -> PortFuture<'a, Vec<CapturedIncentive>> {
        let mut rows = self.of(tenant);
        rows.retain(|row| row.place > places.of(tenant, row.source_partition));
        rows.sort_by_key(|row| (row.source_partition, row.place));
        rows.truncate(max as usize);
        Box::pin(async move { Ok(rows) })
    }

    fn days<'a>(
        &'a self,
        tenant: TenantId,
        places: &'a Applied,
        recent: Option<i32>,
    ) -> PortFuture<'a, LedgerDays> {
        let latest = self.of(tenant).last().map(|row| row.day.0);
        let since = recent.zip(latest).map(|(days, latest)| Day(latest - days));
        let mut days = LedgerDays { since, ..LedgerDays::default() };
        for row in self.of(tenant).iter().filter(|row| since.is_none_or(|day| row.day >= day)) {
            if row.place > places.of(tenant, row.source_partition) {
                days.beyond += 1;
                continue;
            }
            let sum = days.days.entry((row.day, row.currency.clone())).or_default();
            *sum = sum.with(row.into());
        }
        Box::pin(async move { Ok(days) })
    }
}

// --------------------------------------------------------------------------------------- the feed

/// Delivers batches of rows.
#[derive(Default)]
pub struct Feed {
    waiting: Mutex<VecDeque<Vec<CapturedIncentive>>>,
    delivered: Mutex<usize>,
    done: Mutex<usize>,
    bell: Notify,
}

impl Feed {
    /// Delivers rows, and returns when they are counted.
    pub async fn deliver(&self, rows: &[CapturedIncentive]) {
        let wanted = {
            let mut delivered = self.delivered.lock().expect("no panic");
            *delivered += 1;
            *delivered
        };
        self.waiting.lock().expect("no panic").push_back(rows.to_vec());
        self.bell.notify_waiters();
        until("the rows are counted", || *self.done.lock().expect("no panic") >= wanted).await;
    }
}

impl CapturedFeed for Feed {
    fn take<'a>(&'a self, _: usize) -> PortFuture<'a, CapturedBatch> {
        Box::pin(async move {
            let rows = self.waiting.lock().expect("no panic").pop_front();
            match rows {
                Some(rows) => Ok(CapturedBatch { rows, offsets: [(0, 1)].into() }),
                None => {
                    let bell = self.bell.notified();
                    _ = tokio::time::timeout(Duration::from_millis(5), bell).await;
                    Ok(CapturedBatch::default())
                }
            }
        })
    }

    fn done<'a>(&'a self, offsets: &'a BTreeMap<i32, i64>) -> PortFuture<'a, ()> {
        *self.done.lock().expect("no panic") += usize::from(!offsets.is_empty());
        Box::pin(async { Ok(()) })
    }

    fn lag<'a>(&'a self) -> PortFuture<'a, u64> {
        Box::pin(async { Ok(0) })
    }
}

/// Waits for something that comes by itself.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    let wait = async {
        while !holds() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

// -------------------------------------------------------------------------------------- the stage

/// Everything together.
pub struct Stage {
    pub server: RedisServer,
    pub rows: Arc<Rows>,
    pub feed: Arc<Feed>,
    pub keeper: Arc<Keeper>,
    pub metrics: Metrics,
    ids: Arc<CountingIds>,
}

impl Stage {
    pub fn new() -> Self {
        let server = RedisServer::start(&[]);
        let (rows, feed) = (Arc::new(Rows::default()), Arc::new(Feed::default()));
        let (metrics, ids) = (Metrics::detached(), Arc::new(CountingIds::default()));
        let settings = Settings { answer_within: LONG, ..Settings::new(&server.url()) };
        let keeper = Keeper::new(&settings, rows.clone(), ids.clone());
        let keeper = Arc::new(keeper.expect("a keeper"));
        Self { server, rows, feed, keeper, metrics, ids }
    }

    /// Starts an aggregator that compares this often.
    pub fn aggregator(&self, compare_every: Duration) -> Running {
        let settings = Settings { answer_within: LONG, ..Settings::new(&self.server.url()) };
        let keeper = Keeper::new(&settings, self.rows.clone(), self.ids.clone());
        Aggregator::start(Surroundings {
            feed: self.feed.clone(),
            topic: "captured".to_owned(),
            keeper: Arc::new(keeper.expect("a keeper")),
            clock: Arc::new(ManualClock::at("2026-06-01T12:00:00Z".parse().expect("a time"))),
            metrics: self.metrics.clone(),
            compare_every,
        })
    }

    /// Everything that Redis answers about a tenant is what the rows say.
    #[track_caller]
    pub fn agrees(&self, tenant: TenantId) -> impl Future<Output = ()> + '_ {
        let at = std::panic::Location::caller();
        async move {
            let compared = self.keeper.compare(tenant, None).await.expect("compares");
            assert_eq!(compared.comparison, Comparison::Right, "{at}");
            assert_eq!(compared.behind, 0, "{at}");
            let rows = self.rows.of(tenant);
            let users: BTreeSet<_> = rows.iter().map(|row| Some(row.user_ref.clone())).collect();
            let campaigns: BTreeSet<_> = rows.iter().map(|row| Some(row.campaign)).collect();
            let currencies: BTreeSet<_> = rows.iter().map(|row| row.currency.clone()).collect();
            let days = rows.iter().map(|row| row.day);
            let (from, to) = (days.clone().min().expect("a row"), days.max().expect("a row"));
            for user in users.iter().cloned().chain([None]) {
                for campaign in campaigns.iter().copied().chain([None]) {
                    let asked = SumsAsked {
                        tenant,
                        campaign,
                        user: user.clone(),
                        currency: None,
                        from,
                        to,
                    };
                    let told = self.keeper.sums(&asked).await.expect("sums").rows;
                    assert_eq!(told, self.sums(&asked, &currencies), "{at}: {asked:?}");
                }
            }
            for campaign in campaigns.into_iter().chain([None]) {
                for day in (from.0..=to.0).map(|day| Some(Day(day))).chain([None]) {
                    for currency in currencies.iter().cloned() {
                        let board = Leaderboard { campaign, day, currency };
                        self.board_agrees(tenant, &board, &users).await;
                    }
                }
            }
        }
    }

    fn sums(&self, asked: &SumsAsked, currencies: &BTreeSet<String>) -> Vec<DaySum> {
        let mut sums = Vec::new();
        for day in (asked.from.0..=asked.to.0).map(Day) {
            for currency in currencies {
                let (user, campaign) = (asked.user.clone(), asked.campaign);
                let cell = Cell { user, campaign, day: Some(day), currency: currency.clone() };
                let sum = self.rows.cell(asked.tenant, &cell);
                if sum.incentives > 0 {
                    sums.push(DaySum { day, currency: currency.clone(), sum });
                }
            }
        }
        sums
    }

    async fn board_agrees(
        &self,
        tenant: TenantId,
        board: &Leaderboard,
        users: &BTreeSet<Option<UserRef>>,
    ) {
        let Leaderboard { campaign, day, currency } = board.clone();
        let leader = |user: &UserRef| {
            let user_of = Some(user.clone());
            let cell = Cell { user: user_of, campaign, day, currency: currency.clone() };
            let sum = self.rows.cell(tenant, &cell);
            (sum.incentives > 0).then(|| Leader { user: user.clone(), sum })
        };
        let mut expected: Vec<Leader> = users.iter().flatten().filter_map(leader).collect();
        expected.sort_by(by_rank);
        for max in [1, 2, 1000] {
            let told = self.keeper.leaders(tenant, board, max).await.expect("leaders").rows;
            let wanted = &expected[..expected.len().min(max as usize)];
            assert_eq!(told, wanted, "{board:?}, first {max}");
        }
    }
}
