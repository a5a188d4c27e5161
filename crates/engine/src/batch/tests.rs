//! Defects, conflicts and cohorts that are due, against a store and a control plane in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Mutex;

use domain::config::{CampaignSource, CohortSource, TenantConfig, TenantMode};
use domain::decide::Loaded;
use domain::id::{CampaignId, CohortId, EventId, IncentiveId, UserId};
use domain::incentive::Incentive;
use domain::limit::LimitSpec;
use domain::rule::CampaignType;
use domain::time::{DAY_US, Period, Timestamp, Zone};
use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::ports::{
    Advice, Appended, Bus, Clock, Committed, ControlPlane, IncentiveEvent, LimitGate, NewRecord,
    Place, PortFuture, Reservation,
};

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const COHORT: CohortId = CohortId(Uuid::from_u128(2));

/// What happened, in order.
type Diary = Arc<Mutex<Vec<String>>>;

fn note(diary: &Diary, line: String) {
    diary.lock().expect("no panic").push(line);
}

/// Every port in one: a store that keeps commits and a control plane with one weekly cohort.
struct World {
    diary: Diary,
    config: Mutex<TenantConfig>,
    /// Commits to be answered with `Stale` first.
    stale: Mutex<usize>,
    batches: Mutex<Vec<Arc<BatchCommit>>>,
    refresh_fails: bool,
    /// The control plane does not stand for what it said.
    doubted: Mutex<bool>,
}

fn world(refresh: Option<Period>, computed_at: Option<Timestamp>) -> World {
    let cohort = CohortSource { id: COHORT, membership_version: 0, refresh, computed_at };
    let config = TenantConfig {
        tenant: TENANT,
        config_version: 1,
        zone: Zone::named("Europe/Paris").expect("a zone"),
        lateness_us: 7 * DAY_US,
        mode: TenantMode::Live,
        tenant_limit: LimitSpec::default(),
        user_limit: LimitSpec::default(),
        campaigns: Vec::new(),
        dormant: Vec::new(),
        coupon_key: [0; 32],
        cohorts: vec![cohort],
    };
    World {
        diary: Diary::default(),
        config: Mutex::new(config),
        stale: Mutex::new(0),
        batches: Mutex::default(),
        refresh_fails: false,
        doubted: Mutex::new(false),
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> PortFuture<'a, T> {
    Box::pin(async move { Ok(value) })
}

impl HotStore for World {
    fn take_over<'a>(&'a self, _: i32) -> PortFuture<'a, Position> {
        ready(start())
    }
    fn load<'a>(&'a self, needs: Arc<Needs>) -> PortFuture<'a, Loaded> {
        let version = self.config.lock().expect("no panic").config_version;
        let config_versions = needs.tenants.iter().map(|t| (*t, version)).collect();
        ready(Loaded { config_versions, ..Loaded::default() })
    }
    fn commit<'a>(&'a self, batch: Arc<BatchCommit>) -> PortFuture<'a, Committed> {
        let mut stale = self.stale.lock().expect("no panic");
        if *stale > 0 {
            *stale -= 1;
            note(&self.diary, format!("stale {}..{}", batch.offset_from, batch.offset_to));
            return ready(Committed::Stale);
        }
        note(&self.diary, format!("commit {}..{}", batch.offset_from, batch.offset_to));
        self.batches.lock().expect("no panic").push(batch);
        ready(Committed::Done)
    }
    fn unpublished<'a>(
        &'a self,
        _: i32,
        _: Place,
        _: usize,
    ) -> PortFuture<'a, Vec<IncentiveEvent>> {
        ready(Vec::new())
    }
    fn published<'a>(
        &'a self,
        _: i32,
        _: Arc<Vec<(IncentiveId, UserId)>>,
        _: Place,
        _: Timestamp,
    ) -> PortFuture<'a, ()> {
        ready(())
    }
    fn missed<'a>(&'a self, _: UserId, _: u64, _: usize) -> PortFuture<'a, Vec<Arc<Incentive>>> {
        ready(Vec::new())
    }
    fn last_seq<'a>(&'a self, _: UserId) -> PortFuture<'a, u64> {
        ready(0)
    }
    fn outcome<'a>(&'a self, _: TenantId, _: &'a EventId) -> PortFuture<'a, Option<String>> {
        ready(None)
    }
}

impl ControlPlane for World {
    fn config(&self, tenant: TenantId) -> PortFuture<'_, Option<TenantConfig>> {
        note(&self.diary, "config".to_owned());
        ready((tenant == TENANT).then(|| self.config.lock().expect("no panic").clone()))
    }
    fn still_holds(&self, _: TenantId, config_version: i64) -> bool {
        let doubted = *self.doubted.lock().expect("no panic");
        if doubted {
            note(&self.diary, format!("{config_version} does not hold"));
        }
        !doubted
    }
    fn outdated(&self, _: TenantId, config_version: i64) {
        note(&self.diary, format!("{config_version} is outdated"));
    }
    fn refresh_cohort(&self, _: TenantId, _: CohortId, as_of: Timestamp) -> PortFuture<'_, ()> {
        note(&self.diary, format!("refresh {as_of}"));
        if self.refresh_fails {
            let message = "its criteria make no sense".to_owned();
            return Box::pin(async { Err(PortError { kind: PortErrorKind::Invalid, message }) });
        }
        let mut config = self.config.lock().expect("no panic");
        config.config_version += 1;
        config.cohorts[0].computed_at = Some(as_of);
        ready(())
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

impl Bus for World {
    fn append<'a>(&'a self, _: Vec<NewRecord>) -> PortFuture<'a, Vec<Appended>> {
        ready(Vec::new())
    }
    fn take<'a>(&'a self, _: i32, _: i64, _: usize) -> PortFuture<'a, Vec<Taken>> {
        ready(Vec::new())
    }
    fn ready<'a>(&'a self, _: i32, _: i64) -> PortFuture<'a, ()> {
        ready(())
    }
    fn end<'a>(&'a self, _: i32) -> PortFuture<'a, i64> {
        ready(0)
    }
    fn verify<'a>(&'a self, _: i32, _: Position) -> PortFuture<'a, ()> {
        ready(())
    }
    fn assigned(&self) -> watch::Receiver<BTreeSet<i32>> {
        watch::Sender::new(BTreeSet::from([0])).subscribe()
    }
    fn publish<'a>(&'a self, _: i32, _: &'a [IncentiveEvent]) -> PortFuture<'a, ()> {
        ready(())
    }
}

fn start() -> Position {
    Position { epoch: 1, next_offset: 0, batch_seq: 0, published: Place::BEFORE_ALL, mark: None }
}

fn decider(world: &Arc<World>) -> Decider {
    let ports = Ports {
        bus: world.clone(),
        store: world.clone(),
        control: world.clone(),
        clock: world.clone(),
        limits: None,
    };
    Decider::new(0, ports, Metrics::detached())
}

/// Records of one user at these times.
fn records(times: &[&str]) -> Vec<Record> {
    let record = |(offset, ts): (i64, &&str)| {
        let append_time = ts.parse().expect("a time");
        let id = format!("e-{offset}");
        let event = testkit::event::event(TENANT, &id).ts(append_time).build();
        Record { offset, append_time, kind: domain::event::RecordKind::Live, event }
    };
    (0..).zip(times).map(record).collect()
}

async fn run(world: &Arc<World>, decider: &mut Decider, records: &[Record]) -> Vec<String> {
    let records: Vec<_> = records.iter().cloned().map(Taken::admitted).collect();
    let mut position = start();
    let end = records.last().map_or(0, |taken| taken.offset + 1);
    while position.next_offset < end {
        let from = usize::try_from(position.next_offset).expect("from 0");
        decider.run(&mut position, records[from..].to_vec()).await.expect("decides");
        decider.settle(&mut position).await.expect("commits");
    }
    assert_eq!(position.next_offset, end);
    std::mem::take(&mut *world.diary.lock().expect("no panic"))
}

const NOON: &str = "2026-03-02T12:00:00Z";

#[tokio::test]
async fn a_conflict_is_read_and_decided_again() {
    let world = Arc::new(world(None, None));
    *world.stale.lock().expect("no panic") = 4;
    let diary = run(&world, &mut decider(&world), &records(&[NOON; 8])).await;
    let expected = [
        // After the third conflict in a row it tries half as many.
        "config",
        "stale 0..8",
        "config",
        "stale 0..8",
        "config",
        "stale 0..8",
        "config",
        "stale 0..4",
        "config",
        "commit 0..4",
        "commit 4..8",
    ];
    assert_eq!(diary, expected);
}

#[tokio::test]
async fn a_changed_configuration_is_seen_before_anything_is_decided() {
    let world = Arc::new(world(None, None));
    let mut decider = decider(&world);
    run(&world, &mut decider, &records(&[NOON])).await;
    world.config.lock().expect("no panic").config_version = 2;
    let diary = run(&world, &mut decider, &records(&[NOON])).await;
    // The control plane hears of it first, so that it does not say the same again.
    assert_eq!(diary, ["1 is outdated", "config", "commit 0..1"]);
    let batches = world.batches.lock().expect("no panic");
    assert_eq!(batches[1].config_versions, BTreeMap::from([(TENANT, 2)]));
}

#[tokio::test]
async fn what_the_control_plane_does_not_stand_for_is_asked_for_again() {
    let world = Arc::new(world(None, None));
    let mut decider = decider(&world);
    let diary = run(&world, &mut decider, &records(&[NOON])).await;
    assert_eq!(diary, ["config", "commit 0..1"]);
    assert_eq!(run(&world, &mut decider, &records(&[NOON])).await, ["commit 0..1"]);
    *world.doubted.lock().expect("no panic") = true;
    let diary = run(&world, &mut decider, &records(&[NOON, NOON])).await;
    assert_eq!(diary, ["1 does not hold", "config", "commit 0..2"]);
}

#[tokio::test]
async fn a_record_whose_decision_fails_by_a_defect_stops_nothing() {
    for poison in [0, 3, 6] {
        let world = Arc::new(world(None, None));
        let mut decider = decider(&world);
        decider.decide = match poison {
            0 => |_, e, _| fail_at(e, 0),
            3 => |_, e, _| fail_at(e, 3),
            _ => |_, e, _| fail_at(e, 6),
        };
        run(&world, &mut decider, &records(&[NOON; 7])).await;
        let batches = world.batches.lock().expect("no panic");
        let letters: Vec<_> = batches.iter().flat_map(|b| &b.dead_letters).collect();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].source, format!("tenant-events:0@{poison}"));
        let outcomes: Vec<_> = batches.iter().flat_map(|b| &b.outcomes).collect();
        let offsets: Vec<_> = outcomes.iter().map(|o| o.offset).collect();
        assert_eq!(offsets, (0..7).collect::<Vec<_>>());
        for outcome in outcomes {
            let is_dead = outcome.outcome.contains("UNREADABLE");
            assert_eq!(is_dead, outcome.offset == poison, "{outcome:?}");
        }
        let numbers: Vec<_> = batches.iter().map(|b| b.batch_seq).collect();
        assert_eq!(numbers, (1..=batches.len() as i64).collect::<Vec<_>>());
    }
}

fn fail_at(event: &Parsed<'_>, offset: i64) -> EventOutcome {
    assert_ne!(event.record.offset, offset, "a defect of the decision, on purpose");
    EventOutcome::plain(Status::Decided)
}

/// Two weeks of events in Paris, where a day begins at 23:00Z.
const WEEKS: [&str; 6] = [
    "2026-03-01T22:59:59Z", // Sunday
    "2026-03-01T23:00:00Z", // Monday
    "2026-03-03T10:00:00Z",
    "2026-03-08T22:00:00Z",
    "2026-03-16T10:00:00Z", // a week without events between
    "2026-03-16T11:00:00Z",
];

#[tokio::test]
async fn a_cohort_is_recomputed_where_the_log_passes_into_a_new_week() {
    let expected = [
        "config",
        "refresh 2026-02-22T23:00:00Z",
        "config",
        "commit 0..1",
        "refresh 2026-03-01T23:00:00Z",
        "config",
        "commit 1..4",
        "refresh 2026-03-15T23:00:00Z",
        "config",
        "commit 4..6",
    ];
    let world = Arc::new(world(Some(Period::Week), None));
    assert_eq!(run(&world, &mut decider(&world), &records(&WEEKS)).await, expected);

    // One by one, the same happens between the same events.
    let world = Arc::new(self::world(Some(Period::Week), None));
    let (mut decider, mut position) = (decider(&world), start());
    for record in records(&WEEKS) {
        decider.run(&mut position, vec![Taken::admitted(record)]).await.expect("decides");
    }
    decider.settle(&mut position).await.expect("commits");
    let diary = std::mem::take(&mut *world.diary.lock().expect("no panic"));
    let refreshes = |diary: &[String]| -> Vec<(usize, String)> {
        let mut commits = 0;
        let mut found = Vec::new();
        for line in diary {
            if let Some(range) = line.strip_prefix("commit ") {
                let end = range.split("..").nth(1).expect("an end");
                commits = end.parse().expect("a number");
            } else if line.starts_with("refresh") {
                found.push((commits, line.clone()));
            }
        }
        found
    };
    assert_eq!(refreshes(&diary), refreshes(&expected.map(str::to_owned)));
}

#[tokio::test]
async fn what_is_not_due_is_not_recomputed() {
    let computed = |ts: &str| Some(ts.parse().expect("a time"));
    for (refresh, computed_at) in [
        (None, None),
        (Some(Period::Week), computed("2026-03-15T23:00:00Z")),
        (Some(Period::Year), computed("2026-01-01T00:00:00Z")),
    ] {
        let world = Arc::new(world(refresh, computed_at));
        let diary = run(&world, &mut decider(&world), &records(&WEEKS)).await;
        assert_eq!(diary, ["config", "commit 0..6"], "{refresh:?}");
    }
    // History decides nothing, so it needs no members.
    let world = Arc::new(world(Some(Period::Week), None));
    let mut history = records(&WEEKS);
    history.iter_mut().for_each(|r| r.kind = domain::event::RecordKind::History);
    assert_eq!(run(&world, &mut decider(&world), &history).await, ["config", "commit 0..6"]);
}

#[tokio::test]
async fn a_cohort_that_cannot_be_recomputed_does_not_stop_the_log() {
    let mut world = world(Some(Period::Week), None);
    world.refresh_fails = true;
    let world = Arc::new(world);
    let diary = run(&world, &mut decider(&world), &records(&WEEKS)).await;
    assert_eq!(diary, ["config", "refresh 2026-02-22T23:00:00Z", "config", "commit 0..6"]);
}

/// A gate that always says no.
impl LimitGate for World {
    fn taken_over(&self, partition: i32, epoch: i64) {
        note(&self.diary, format!("{partition} taken over by {epoch}"));
    }
    fn reserve<'a>(
        &'a self,
        reservation: &'a Arc<Reservation>,
    ) -> Pin<Box<dyn Future<Output = Advice> + Send + 'a>> {
        let wanted = reservation.days[0].incentives.len();
        note(&self.diary, format!("reserve {wanted}"));
        Box::pin(async move { Advice::NoRoom(wanted) })
    }
    fn settle(&self, reservation: Arc<Reservation>) {
        let wanted = reservation.days[0].incentives.len();
        note(&self.diary, format!("settle {wanted}"));
    }
    fn give_back(&self, reservation: Arc<Reservation>) {
        let wanted = reservation.days[0].incentives.len();
        note(&self.diary, format!("give back {wanted}"));
    }
}

fn points() -> CampaignSource {
    CampaignSource {
        id: CampaignId(Uuid::from_u128(3)),
        number: 1,
        kind: CampaignType::Simple,
        version: 1,
        progress_version: 0,
        priority: 0,
        created_at: Timestamp::default(),
        start_at: None,
        end_at: None,
        cohort_id: None,
        rule_json: r#"{"version":1,"on":["purchase"],"rewards":[{"type":"POINTS","amount":"1"}]}"#
            .to_owned(),
    }
}

#[tokio::test]
async fn a_gate_is_asked_before_each_commit_told_after_it_and_refuses_nothing() {
    let world = Arc::new(world(None, None));
    world.config.lock().expect("no panic").campaigns.push(points());
    *world.stale.lock().expect("no panic") = 1;
    let mut decider = decider(&world);
    decider.hearers.limits = Some(world.clone());
    let diary = run(&world, &mut decider, &records(&[NOON; 3])).await;
    let refused = ["config", "reserve 3", "stale 0..3", "give back 3"];
    let expected = [&refused[..], &["config", "reserve 3", "commit 0..3", "settle 3"]].concat();
    assert_eq!(diary, expected);
    let batches = world.batches.lock().expect("no panic");
    assert_eq!(batches[0].incentives.len(), 3, "its no is advice");
}

#[tokio::test]
async fn a_batch_that_grants_nothing_does_not_ask() {
    let world = Arc::new(world(None, None));
    let mut decider = decider(&world);
    decider.hearers.limits = Some(world.clone());
    let diary = run(&world, &mut decider, &records(&[NOON])).await;
    assert_eq!(diary, ["config", "commit 0..1"]);
}

/// One point per user, ever.
fn once() -> CampaignSource {
    let rule_json = r#"{"version":1,"on":["purchase"],"repeat":{"max":1},
        "rewards":[{"type":"POINTS","amount":"1"}]}"#;
    CampaignSource { rule_json: rule_json.to_owned(), ..points() }
}

#[tokio::test]
async fn the_next_batch_is_decided_on_what_the_one_before_it_will_leave() {
    // This store shows nobody's state, as one does that has not committed yet.
    let world = Arc::new(world(None, None));
    world.config.lock().expect("no panic").campaigns.push(once());
    let (mut decider, mut position) = (decider(&world), start());
    for record in records(&[NOON; 3]) {
        let taken = vec![Taken::admitted(record)];
        decider.run(&mut position, taken).await.expect("decides");
        assert!(decider.pending.is_some(), "it is not waited for");
    }
    decider.settle(&mut position).await.expect("commits");
    assert_eq!(position.next_offset, 3);
    assert_eq!(*decider.position().borrow(), Some(position));
    let batches = world.batches.lock().expect("no panic");
    let granted: Vec<_> = batches.iter().map(|b| b.incentives.len()).collect();
    assert_eq!(granted, [1, 0, 0]);
    let expected: Vec<_> = batches.iter().flat_map(|b| &b.states).collect();
    assert!((0..).zip(&expected).all(|(n, state)| state.expected_version == n), "{expected:?}");
}

#[tokio::test]
async fn what_was_decided_on_a_batch_that_is_refused_is_thrown_away() {
    let world = Arc::new(world(None, None));
    *world.stale.lock().expect("no panic") = 1;
    let (mut decider, mut position) = (decider(&world), start());
    let log: Vec<_> = records(&[NOON; 30]).into_iter().map(Taken::admitted).collect();
    decider.run(&mut position, log[..2].to_vec()).await.expect("decides");
    assert_eq!(position.next_offset, 2, "as if it were committed");
    decider.run(&mut position, log[2..4].to_vec()).await.expect("decides");
    assert_eq!(position, start(), "back to what is committed");
    assert_eq!(*world.diary.lock().expect("no panic"), ["config", "stale 0..2"]);
    // After a conflict it waits for each commit, for a while.
    let mut waited = 0;
    for taken in log {
        decider.run(&mut position, vec![taken]).await.expect("decides");
        waited += u32::from(decider.pending.is_none());
    }
    assert_eq!(waited, CAUTIOUS_AFTER_CONFLICT);
    assert_eq!(position.next_offset, 30);
}
