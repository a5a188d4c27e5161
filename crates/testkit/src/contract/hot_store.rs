//! The contract of a hot store.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::decide::{Loaded, MarkWrite, Needs, Status, UsageWrite};
use domain::event::ActionEvent;
use domain::id::{CampaignId, CohortId, IncentiveId, TenantId, UserId};
use domain::incentive::{Completion, Incentive};
use domain::limit::{BudgetUse, Meter, TENANT_LIMIT_KEY, Use};
use domain::state::UserState;
use domain::time::{Day, Timestamp};
use engine::ports::{
    BatchCommit, Committed, DeadLetter, HotStore, Place, PortErrorKind, Position, StateWrite,
};
use engine::record::Taken;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{Subject, Table};
use crate::event::{event, time};
use crate::incentive::incentive;

/// Makes a test of each case for the subject that `$make` (a future) gives.
#[macro_export]
macro_rules! hot_store_contract {
    ($make:expr) => {
        $crate::contract_tests! { $make, $crate::contract::hot_store:
            taking_over_raises_the_epoch_and_fences_the_old_owner
            what_is_committed_is_loaded
            days_before_the_one_asked_for_are_not_loaded
            a_changed_configuration_makes_a_batch_stale
            a_changed_user_makes_a_batch_stale_and_undoes_all_of_it
            a_commit_that_is_repeated_changes_nothing
            a_batch_cut_elsewhere_than_the_one_that_is_there_is_overtaken
            a_batch_that_does_not_follow_is_refused
            a_use_above_its_cap_is_refused_with_its_whole_batch
            a_state_above_its_bound_is_refused
            outcomes_are_kept_by_event
            incentives_are_published_in_their_dense_order_and_recorded
            what_a_user_has_missed_is_found_by_seq
            users_keep_their_attributes_and_the_day_they_were_first_seen
            dead_letters_and_completions_are_kept
            actions_register_themselves_up_to_a_bound
            a_restart_keeps_the_position
        }
    };
}

/// A tenant with `n` events in the log, and a store taken over.
struct Desk {
    store: Arc<dyn HotStore>,
    tenant: TenantId,
    at: Position,
    version: i64,
    log: Vec<Taken>,
}

impl Desk {
    async fn with_events(s: &dyn Subject, n: i64) -> Self {
        let tenant = s.tenant().await.expect("a tenant");
        let records = (0..n).map(|i| event(tenant, &format!("e-{i}")).record()).collect();
        s.bus().append(records).await.expect("appends");
        let store = s.store();
        let at = store.take_over(0).await.expect("takes over");
        let needs = Needs { tenants: [tenant].into(), ..Needs::default() };
        let loaded = store.load(Arc::new(needs)).await.expect("loads");
        let log = s.bus().take(0, 0, 1000).await.expect("takes");
        Self { store, tenant, at, version: loaded.config_versions[&tenant], log }
    }

    /// The next batch: one event, nothing else.
    fn batch(&self) -> BatchCommit {
        let offset = self.at.next_offset;
        let mut batch = BatchCommit {
            epoch: self.at.epoch,
            batch_seq: self.at.batch_seq + 1,
            offset_from: offset,
            offset_to: offset + 1,
            config_versions: BTreeMap::from([(self.tenant, self.version)]),
            counts: BTreeMap::from([("DECIDED", 1)]),
            ..BatchCommit::default()
        };
        if let Some(taken) = usize::try_from(offset).ok().and_then(|at| self.log.get(at)) {
            batch.keep(taken, Status::Decided, format!("outcome of {offset}"));
            batch.mark = taken.mark;
        }
        batch
    }

    async fn commit(&mut self, batch: BatchCommit) -> Committed {
        let (to, seq) = (batch.offset_to, batch.batch_seq);
        let committed = self.store.commit(Arc::new(batch)).await.expect("commits");
        if committed == Committed::Done {
            (self.at.next_offset, self.at.batch_seq) = (to, seq);
        }
        committed
    }

    async fn refused(&self, batch: BatchCommit) -> PortErrorKind {
        self.store.commit(Arc::new(batch)).await.expect_err("refused").kind
    }

    fn user(&self, name: &str) -> UserId {
        event(self.tenant, "x").user(name).build().user()
    }

    fn state(&self, name: &str, expected_version: i64, seq: u64) -> StateWrite {
        let event: ActionEvent = event(self.tenant, "x").user(name).build();
        StateWrite {
            user: event.user(),
            user_ref: event.user_id.clone(),
            tenant: self.tenant,
            expected_version,
            state: UserState { seq, ..UserState::default() },
            attributes: None,
            seen_at: time("2026-03-02T12:00:00Z"),
        }
    }

    async fn load(&self, needs: Needs) -> Loaded {
        self.store.load(Arc::new(needs)).await.expect("loads")
    }

    async fn load_users(&self, names: &[&str]) -> Loaded {
        let users = names.iter().map(|n| self.user(n)).collect();
        self.load(Needs { users, attributes: true, ..Needs::default() }).await
    }
}

fn place(batch_seq: i64, ordinal: i32) -> Place {
    Place { batch_seq, ordinal }
}

/// A zombie's transaction must not land.
pub async fn taking_over_raises_the_epoch_and_fences_the_old_owner(s: &mut dyn Subject) {
    let mut old = Desk::with_events(s, 2).await;
    assert_eq!((old.at.epoch, old.at.next_offset, old.at.batch_seq), (1, 0, 0));
    assert_eq!(old.at.published, Place::BEFORE_ALL);
    let batch = old.batch();
    assert_eq!(old.commit(batch).await, Committed::Done);
    let new = s.store().take_over(0).await.expect("takes over");
    assert_eq!((new.epoch, new.next_offset, new.batch_seq), (2, 1, 1));
    assert_eq!(old.refused(old.batch()).await, PortErrorKind::Fenced);
    old.at = new;
    let batch = old.batch();
    assert_eq!(old.commit(batch).await, Committed::Done);
}

/// All that a batch writes is there for the next one.
pub async fn what_is_committed_is_loaded(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 1).await;
    let (t, ada) = (desk.tenant, desk.user("ada"));
    let key = |k: &str| (t, k.to_owned());
    let usage = |k: &str, bucket, used: &str| UsageWrite {
        tenant: t,
        key: k.to_owned(),
        bucket,
        used: used.parse().expect("a decimal"),
    };
    let mut state = desk.state("ada", 0, 3);
    state.state.seen.insert("purchase".parse().expect("an action"), 7);
    let mark = MarkWrite {
        user: ada,
        key: [9; 16],
        campaign: CampaignId(Uuid::from_u128(5)),
        at: time("2026-03-02T12:00:00Z"),
    };
    let batch = BatchCommit {
        states: vec![state.clone()],
        usage: vec![
            usage(TENANT_LIMIT_KEY, None, "12"),
            usage(TENANT_LIMIT_KEY, Some(Day(20_000)), "5"),
            usage(TENANT_LIMIT_KEY, Some(Day(-3)), "7"),
            usage("campaign:x:spend", None, "0.10"),
        ],
        marks: vec![mark],
        ..desk.batch()
    };
    assert_eq!(desk.commit(batch).await, Committed::Done);

    let cohort = CohortId(Uuid::from_u128(6));
    let loaded = desk
        .load(Needs {
            users: [ada, desk.user("bob")].into(),
            attributes: false,
            cohorts: [(cohort, 1)].into(),
            marks: [(ada, [9; 16]), (ada, [8; 16])].into(),
            usage: [TENANT_LIMIT_KEY, "campaign:x:spend", "campaign:x:other"]
                .map(|k| (key(k), Day(-366)))
                .into(),
            tenants: [t].into(),
            ..Needs::default()
        })
        .await;
    assert_eq!((loaded.users[&ada].version, &loaded.users[&ada].state), (1, &state.state));
    assert_eq!(loaded.users[&desk.user("bob")].version, 0);
    assert_eq!(loaded.marks, [(ada, [9; 16])].into());
    let days = vec![(Day(-3), Decimal::from(7)), (Day(20_000), Decimal::from(5))];
    let tenant_use = Meter { ever: Decimal::from(12), days };
    assert_eq!(loaded.usage[&key(TENANT_LIMIT_KEY)], tenant_use);
    assert_eq!(loaded.usage[&key("campaign:x:spend")].ever.to_string(), "0.10");
    assert!(!loaded.usage.contains_key(&key("campaign:x:other")));
    assert_eq!(loaded.config_versions[&t], desk.version);
}

/// A year of days is not read for a limit of one.
pub async fn days_before_the_one_asked_for_are_not_loaded(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 1).await;
    let t = desk.tenant;
    let bucket = |bucket| UsageWrite { tenant: t, key: "k".into(), bucket, used: Decimal::ONE };
    let batch = BatchCommit {
        usage: [None, Some(Day(9)), Some(Day(10)), Some(Day(11))].map(bucket).into(),
        ..desk.batch()
    };
    desk.commit(batch).await;
    let needs = Needs { usage: [((t, "k".to_owned()), Day(10))].into(), ..Needs::default() };
    let days = &desk.load(needs).await.usage[&(t, "k".to_owned())].days;
    assert_eq!(*days, [(Day(10), Decimal::ONE), (Day(11), Decimal::ONE)]);
}

/// What an operator changed since the batch was loaded is not overlooked.
pub async fn a_changed_configuration_makes_a_batch_stale(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 1).await;
    s.set_mode(desk.tenant, domain::config::TenantMode::Replay).await.expect("a change");
    let batch = BatchCommit { states: vec![desk.state("ada", 0, 1)], ..desk.batch() };
    assert_eq!(desk.commit(batch.clone()).await, Committed::Stale);
    assert_eq!(s.rows(Table::UserStates).await.expect("rows"), Vec::<String>::new());
    let needs = Needs { tenants: [desk.tenant].into(), ..Needs::default() };
    let version = desk.load(needs).await.config_versions[&desk.tenant];
    let batch = BatchCommit { config_versions: [(desk.tenant, version)].into(), ..batch };
    assert_eq!(desk.commit(batch).await, Committed::Done);
}

/// A user's row is written over the one that was read, or not at all.
pub async fn a_changed_user_makes_a_batch_stale_and_undoes_all_of_it(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 4).await;
    let batch = BatchCommit { states: vec![desk.state("bob", 0, 1)], ..desk.batch() };
    assert_eq!(desk.commit(batch).await, Committed::Done);
    let before = s.rows(Table::UserStates).await.expect("rows");
    for (name, expected_version) in [("new already", 0), ("changed", 2), ("never there", 1)] {
        let user = if name == "never there" { "eve" } else { "bob" };
        let states = vec![desk.state("ada", 0, 1), desk.state(user, expected_version, 9)];
        let batch = BatchCommit { states, ..desk.batch() };
        assert_eq!(desk.commit(batch).await, Committed::Stale, "{name}");
        assert_eq!(s.rows(Table::UserStates).await.expect("rows"), before, "{name}");
        assert_eq!(desk.at.next_offset, 1);
    }
    let batch = BatchCommit { states: vec![desk.state("bob", 1, 2)], ..desk.batch() };
    assert_eq!(desk.commit(batch).await, Committed::Done);
    assert_eq!(desk.load_users(&["bob"]).await.users[&desk.user("bob")].version, 2);
}

/// The answer to a commit may be lost on its way.
pub async fn a_commit_that_is_repeated_changes_nothing(s: &mut dyn Subject) {
    let desk = Desk::with_events(s, 1).await;
    let first = incentive(desk.tenant, "ada", 1);
    let batch = Arc::new(BatchCommit {
        states: vec![desk.state("ada", 0, 1)],
        incentives: vec![Arc::new(first)],
        ..desk.batch()
    });
    let there = Committed::Overtaken { next_offset: 1, batch_seq: 1 };
    for expected in [Committed::Done, there, there] {
        let committed = desk.store.commit(batch.clone()).await.expect("answers");
        assert_eq!(committed, expected);
    }
    for (table, rows) in [(Table::Incentives, 1), (Table::Batches, 1), (Table::UserStates, 1)] {
        assert_eq!(s.rows(table).await.expect("rows").len(), rows, "{table}");
    }
    let loaded = desk.load_users(&["ada"]).await;
    assert_eq!(loaded.users[&desk.user("ada")].version, 1);
}

/// The answer was lost, and meanwhile the log has grown: the next batch is a longer one.
pub async fn a_batch_cut_elsewhere_than_the_one_that_is_there_is_overtaken(s: &mut dyn Subject) {
    let desk = Desk::with_events(s, 3).await;
    desk.store.commit(Arc::new(desk.batch())).await.expect("commits");
    let longer =
        BatchCommit { offset_to: 3, states: vec![desk.state("ada", 0, 1)], ..desk.batch() };
    let committed = desk.store.commit(Arc::new(longer)).await.expect("answers");
    assert_eq!(committed, Committed::Overtaken { next_offset: 1, batch_seq: 1 });
    assert!(s.rows(Table::UserStates).await.expect("rows").is_empty());
}

/// No offset is skipped and none decided twice.
pub async fn a_batch_that_does_not_follow_is_refused(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 5).await;
    let batch = desk.batch();
    desk.commit(batch).await;
    let good = desk.batch();
    let gap = BatchCommit { offset_from: 2, offset_to: 3, ..good.clone() };
    let again = BatchCommit { offset_from: 0, offset_to: 2, ..good.clone() };
    let number = BatchCommit { batch_seq: good.batch_seq + 1, ..good.clone() };
    for (name, batch) in [("gap", gap), ("again", again), ("number", number)] {
        assert_eq!(desk.refused(batch).await, PortErrorKind::Invalid, "{name}");
    }
    assert_eq!(desk.commit(good).await, Committed::Done);
}

/// The last guard of a limit is the database's own.
pub async fn a_use_above_its_cap_is_refused_with_its_whole_batch(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 2).await;
    let fits = Use { used: 5, cap: Some(5) };
    let over = Use { used: 6, cap: Some(5) };
    let with = |change: fn(&mut Incentive, Use), used: Use| {
        let mut incentive = incentive(desk.tenant, "ada", 1);
        change(&mut incentive, used);
        BatchCommit {
            states: vec![desk.state("ada", 0, 1)],
            incentives: vec![Arc::new(incentive)],
            ..desk.batch()
        }
    };
    let limits: [fn(&mut Incentive, Use); 4] = [
        |i, u| i.limits.tenant_day = u,
        |i, u| i.limits.tenant_total = u,
        |i, u| i.limits.user_day = u,
        |i, u| i.limits.user_total = u,
    ];
    for change in limits {
        assert_eq!(desk.refused(with(change, over)).await, PortErrorKind::Invalid);
        assert!(s.rows(Table::UserStates).await.expect("rows").is_empty());
    }
    let batch = with(limits[0], fits);
    assert_eq!(desk.commit(batch).await, Committed::Done);
}

/// One user must not make the table's rows grow without end.
pub async fn a_state_above_its_bound_is_refused(s: &mut dyn Subject) {
    let desk = Desk::with_events(s, 1).await;
    let mut write = desk.state("ada", 0, 1);
    let days = (0..2000).map(|d| (Day(d), 1_000_000)).collect();
    write.state.limit = Meter { ever: 1, days };
    let batch = BatchCommit { states: vec![write], ..desk.batch() };
    assert_eq!(desk.refused(batch).await, PortErrorKind::Invalid);
}

/// Why an event was decided as it was can be asked at once.
pub async fn outcomes_are_kept_by_event(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 2).await;
    let (store, t) = (desk.store.clone(), desk.tenant);
    let outcome = |id: &'static str| {
        let store = store.clone();
        async move { store.outcome(t, &id.parse().expect("an id")).await.expect("reads") }
    };
    assert_eq!(outcome("e-0").await, None);
    let batch = desk.batch();
    desk.commit(batch).await;
    assert_eq!(outcome("e-0").await.as_deref(), Some("outcome of 0"));
    assert_eq!(outcome("e-1").await, None, "not decided yet");
    assert_eq!(outcome("e-2").await, None, "not there");
    let other = s.tenant().await.expect("a tenant");
    let of_other = store.outcome(other, &"e-0".parse().expect("an id")).await.expect("reads");
    assert_eq!(of_other, None, "another tenant's");
}

/// The relay goes on where it was, in order, and what it records twice is there once.
pub async fn incentives_are_published_in_their_dense_order_and_recorded(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 3).await;
    let mut seq = 0;
    for grants in [2, 0, 3] {
        let mut next = || {
            seq += 1;
            let mut one = incentive(desk.tenant, "ada", seq);
            one.amount = "12.50".parse().expect("a decimal");
            one.coupon_code = (seq == 2).then(|| "MAY-1".to_owned());
            one.budgets = vec![BudgetUse {
                id: "spend".into(),
                used: Decimal::ONE,
                cap: Decimal::TEN,
                bucket: Some(Day(20_000)),
            }];
            Arc::new(one)
        };
        let incentives: Vec<_> = (0..grants).map(|_| next()).collect();
        let batch = BatchCommit { incentives, ..desk.batch() };
        desk.commit(batch).await;
    }
    let all = desk.store.unpublished(0, Place::BEFORE_ALL, 10).await.expect("reads");
    let places: Vec<_> = all.iter().map(|e| e.place).collect();
    assert_eq!(places, [place(1, 0), place(1, 1), place(3, 0), place(3, 1), place(3, 2)]);
    let sent = incentive(desk.tenant, "ada", 2);
    assert_eq!((all[1].incentive.id, all[1].incentive.seq), (sent.id, 2));
    assert_eq!(all[1].incentive.coupon_code.as_deref(), Some("MAY-1"));
    assert_eq!(all[1].incentive.amount.to_string(), "12.50");
    assert_eq!(all[1].incentive.limits, sent.limits);
    assert_eq!(all[1].incentive.budgets[0].id, "spend");
    let some = desk.store.unpublished(0, place(1, 0), 2).await.expect("reads");
    assert_eq!(some, all[1..3]);

    let ids = |range: std::ops::Range<usize>| -> Arc<Vec<(IncentiveId, UserId)>> {
        Arc::new(all[range].iter().map(|e| (e.incentive.id, e.incentive.user)).collect())
    };
    let now = Timestamp::default();
    for (range, up_to) in [(0..3, place(3, 0)), (0..3, place(3, 0)), (0..1, place(1, 0))] {
        desk.store.published(0, ids(range), up_to, now).await.expect("records");
    }
    assert_eq!(s.rows(Table::Publications).await.expect("rows").len(), 3);
    let position = desk.store.take_over(0).await.expect("takes over");
    assert_eq!(position.published, place(3, 0), "a late record does not set it back");
}

/// A client that comes back gets the rest, in order.
pub async fn what_a_user_has_missed_is_found_by_seq(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 1).await;
    let of = |user: &str, seq| {
        let mut one = incentive(desk.tenant, user, seq);
        // Several at the same moment: seq orders them.
        one.issued_at = time("2026-03-02T12:00:00Z");
        Arc::new(one)
    };
    let incentives = (1..=9).map(|seq| of("ada", seq)).chain([of("bob", 1)]).collect();
    let states = vec![desk.state("ada", 0, 9), desk.state("bob", 0, 1)];
    let batch = BatchCommit { incentives, states, ..desk.batch() };
    desk.commit(batch).await;
    let (store, ada) = (desk.store.clone(), desk.user("ada"));
    let missed = |after, max| {
        let store = store.clone();
        async move {
            let missed = store.missed(ada, after, max).await.expect("reads");
            missed.iter().map(|i| i.seq).collect::<Vec<_>>()
        }
    };
    assert_eq!(missed(0, 100).await, (1..=9).collect::<Vec<_>>());
    assert_eq!(missed(4, 3).await, [5, 6, 7]);
    assert_eq!(missed(9, 3).await, Vec::<u64>::new());
    assert_eq!(missed(u64::MAX, 3).await, Vec::<u64>::new());
    assert_eq!(store.last_seq(ada).await.expect("reads"), 9);
    assert_eq!(store.last_seq(desk.user("eve")).await.expect("reads"), 0);
}

/// Attributes are replaced when a batch changed them and left alone when not.
pub async fn users_keep_their_attributes_and_the_day_they_were_first_seen(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 3).await;
    let gold = |version, attributes: Option<&str>| StateWrite {
        attributes: attributes.map(str::to_owned),
        seen_at: time("2026-03-05T00:00:00Z"),
        ..desk.state("ada", version, 0)
    };
    let first = vec![desk.state("ada", 0, 0), desk.state("bob", 0, 0)];
    for states in [first, vec![gold(1, Some(r#"{"tier":"gold"}"#))], vec![gold(2, None)]] {
        let batch = BatchCommit { states, ..desk.batch() };
        assert_eq!(desk.commit(batch).await, Committed::Done);
    }
    let loaded = desk.load_users(&["ada", "bob"]).await;
    let attributes = |name| loaded.users[&desk.user(name)].attributes.as_deref();
    assert_eq!((attributes("ada"), attributes("bob")), (Some(r#"{"tier":"gold"}"#), Some("{}")));
    let rows = s.rows(Table::Users).await.expect("rows");
    let first_seen = time("2026-03-02T12:00:00Z").micros().to_string();
    assert!(rows.iter().all(|row| row.contains(&first_seen)), "{rows:?}");
}

/// What could not be decided, and what was completed.
pub async fn dead_letters_and_completions_are_kept(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 2).await;
    let at = time("2026-03-02T12:00:00Z");
    let letter = DeadLetter {
        id: DeadLetter::id_of(at, "tenant-events:0@0", b"\xff"),
        tenant: Some(desk.tenant),
        source: "tenant-events:0@0".into(),
        reason: "UNREADABLE",
        detail: "why".into(),
        raw: b"\xff".to_vec(),
        received_at: at,
    };
    let done = |step: Option<&str>, event: &str, unpaid_reason| {
        let completion = Completion {
            user: desk.user("ada"),
            campaign: CampaignId(Uuid::from_u128(5)),
            step: step.map(str::to_owned),
            cycle: 1,
            event_id: event.parse().expect("an event id"),
            action: "purchase".parse().expect("an action"),
            incentive: None,
            unpaid_reason,
            completed_at: at,
        };
        (desk.tenant, completion)
    };
    let batch = BatchCommit {
        dead_letters: vec![letter.clone(), letter],
        completions: vec![
            done(Some("buy"), "e1", None),
            // Again in the same cycle and at the same moment: its window began anew.
            done(Some("buy"), "e2", None),
            done(None, "e2", Some("LIMIT_USER_DAY")),
            // Paid at the same moment, once there was room.
            done(None, "e3", None),
        ],
        ..desk.batch()
    };
    assert_eq!(desk.commit(batch).await, Committed::Done);
    assert_eq!(s.rows(Table::DeadLetters).await.expect("rows").len(), 1);
    assert_eq!(s.rows(Table::Completions).await.expect("rows").len(), 4);
}

/// A tenant that invents actions does not fill the table.
pub async fn actions_register_themselves_up_to_a_bound(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 2).await;
    let at = time("2026-03-02T12:00:00Z");
    for _ in 0..2 {
        let action = |n| (desk.tenant, format!("a{n}").parse().expect("an action"), at);
        let batch = BatchCommit { actions: (0..1100).map(action).collect(), ..desk.batch() };
        assert_eq!(desk.commit(batch).await, Committed::Done);
    }
    assert_eq!(s.rows(Table::Actions).await.expect("rows").len(), 1000);
}

/// What was committed is there after a restart, and the next owner goes on behind it.
pub async fn a_restart_keeps_the_position(s: &mut dyn Subject) {
    let mut desk = Desk::with_events(s, 3).await;
    let incentives = vec![Arc::new(incentive(desk.tenant, "ada", 1))];
    let batch = BatchCommit { incentives, offset_to: 2, ..desk.batch() };
    desk.commit(batch).await;
    let before = s.rows(Table::Incentives).await.expect("rows");
    drop(desk);
    s.restart().await.expect("starts again");
    let at = s.store().take_over(0).await.expect("takes over");
    assert_eq!((at.epoch, at.next_offset, at.batch_seq), (2, 2, 1));
    assert_eq!(s.rows(Table::Incentives).await.expect("rows"), before);
}
