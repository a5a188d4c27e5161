//! The scripts against a plain model of what Redis is to show: two partitions of one tenant, each
//! with its owners, batches decided, decided again, committed, settled late or never, and Redis
//! emptied in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::ports::{Advice, Reservation};
use testkit::random::Random;
use testkit::redis::RedisServer;

use crate::stage::{Caps, Gate, Ledger, now, settings, shown};

const USERS: [&str; 4] = ["ada", "bob", "eve", "a:{b}"];

/// What Redis knows.
#[derive(Default)]
struct Model {
    lane: i64,
    /// Committed uses it was told; the tenant's is under "".
    told: BTreeMap<String, u64>,
    /// By incentive, whose batch reserved it, and for whom.
    pending: BTreeMap<u128, (i32, String)>,
}

impl Model {
    fn learn(&mut self, of: &str, use_: u64, lane: i64) {
        let known = self.told.entry(of.to_owned()).or_insert(use_);
        *known = if lane >= self.lane { use_ } else { use_.max(*known) };
    }

    fn waiting(&self, of: &str) -> u64 {
        self.pending.values().filter(|(_, user)| of.is_empty() || user == of).count() as u64
    }

    /// Returns how many found no room.
    fn reserve(&mut self, batch: &Reservation, before: Option<&Reservation>) -> usize {
        if let Some(before) = before {
            self.end(before, |id| !ids(batch).any(|(kept, _)| kept == id));
        }
        let day = &batch.days[0];
        if day.incentives.is_empty() {
            return 0;
        }
        self.learn("", day.tenant_day.from, day.lane_version);
        for user in &day.users {
            self.learn(user.user_ref.as_str(), user.day.from, day.lane_version);
        }
        let mut refused = 0;
        for (id, place) in ids(batch) {
            let user = &day.users[place];
            let name = user.user_ref.as_str();
            let fits = |used: u64, of: &str, cap: Option<u64>| {
                cap.is_none_or(|cap| used + self.waiting(of) < cap)
            };
            let has_room = fits(self.told[""], "", day.tenant_day.cap)
                && fits(day.tenant_total.from, "", day.tenant_total.cap)
                && fits(self.told[name], name, user.day.cap)
                && fits(user.total.from, name, user.total.cap);
            if has_room || self.pending.contains_key(&id) {
                self.pending.insert(id, (batch.partition, name.to_owned()));
            } else {
                refused += 1;
            }
        }
        self.lane = self.lane.max(day.lane_version);
        refused
    }

    fn settle(&mut self, batch: &Reservation) {
        self.end(batch, |_| true);
        let (day, lane) = (&batch.days[0], batch.days[0].lane_version + 1);
        if day.incentives.is_empty() {
            return;
        }
        self.learn("", day.tenant_day.to, lane);
        for user in &day.users {
            self.learn(user.user_ref.as_str(), user.day.to, lane);
        }
        self.lane = self.lane.max(lane);
    }

    fn end(&mut self, batch: &Reservation, is_wanted: impl Fn(u128) -> bool) {
        for (id, _) in ids(batch).filter(|(id, _)| is_wanted(*id)) {
            if self.pending.get(&id).is_some_and(|(of, _)| *of == batch.partition) {
                self.pending.remove(&id);
            }
        }
    }

    fn shown(&self) -> BTreeMap<String, String> {
        let name = |of: &str| match of {
            "" => "daily".to_owned(),
            "a:{b}" => "{a%3A%7Bb%7D}:daily".to_owned(),
            of => format!("{{{of}}}:daily"),
        };
        let shown = self.told.iter();
        shown.map(|(of, told)| (name(of), (told + self.waiting(of)).to_string())).collect()
    }
}

fn ids(batch: &Reservation) -> impl Iterator<Item = (u128, usize)> {
    batch.days[0].incentives.iter().map(|(id, place)| (id.0.as_u128(), *place))
}

/// One partition's owner.
struct Owner {
    gate: Gate,
    partition: i32,
    batch_seq: i64,
    /// Reserved and not settled.
    held: Option<Arc<Reservation>>,
    /// Committed; the gate is told of it later, before the next one is reserved.
    late: Option<Arc<Reservation>>,
}

struct Run {
    server: RedisServer,
    ledger: Arc<Ledger>,
    model: Model,
    owners: [Owner; 2],
    next_id: u128,
}

impl Run {
    async fn new(server: RedisServer, caps: Caps) -> Self {
        let ledger = Ledger::on(now(&server), caps);
        let open = async |partition| {
            let gate = Gate::open(&settings(&server.url()), ledger.clone(), now(&server)).await;
            Owner { gate, partition, batch_seq: 1, held: None, late: None }
        };
        let owners = [open(0).await, open(1).await];
        Self { server, ledger, model: Model::default(), owners, next_id: 1 }
    }

    /// Decides a batch, some of it perhaps as before.
    async fn reserve(&mut self, owner: usize, dice: &mut Random) -> usize {
        self.tell(owner).await;
        let Owner { gate, partition, batch_seq, held, .. } = &mut self.owners[owner];
        let mut grants = Vec::new();
        for (id, place) in held.iter().flat_map(|held| ids(held)) {
            let users = &held.as_ref().expect("it is held").days[0].users;
            let user = USERS.iter().find(|u| **u == users[place].user_ref.as_str());
            if dice.one_in(2) {
                grants.push((id, *user.expect("one of them")));
            }
        }
        for _ in 0..dice.below(6) {
            grants.push((self.next_id, *dice.pick(&USERS)));
            self.next_id += 1;
        }
        let batch = self.ledger.plan((*partition, 1, *batch_seq), &grants);
        let refused = self.model.reserve(&batch, held.as_deref());
        let advice = gate.reserve(&batch).await;
        let expected = match refused {
            _ if grants.is_empty() => Advice::Silent,
            0 => Advice::Room,
            refused => Advice::NoRoom(refused),
        };
        assert_eq!(advice, expected);
        *held = Some(batch);
        refused
    }

    /// Commits what is reserved, if nobody else has committed since; perhaps nobody hears of it.
    fn commit(&mut self, owner: usize, is_told: bool) {
        let Owner { batch_seq, held, late, .. } = &mut self.owners[owner];
        let Some(batch) = held.take() else { return };
        let is_stale = self.ledger.lane() != batch.days[0].lane_version;
        if is_stale || batch.days[0].incentives.is_empty() {
            *held = Some(batch);
            return;
        }
        self.ledger.commit(&batch);
        *batch_seq += 1;
        // The next reservation takes the place of one that nobody hears of.
        *(if is_told { late } else { held }) = Some(batch);
    }

    /// Tells of a commit.
    async fn tell(&mut self, owner: usize) {
        let Owner { gate, late, .. } = &mut self.owners[owner];
        if let Some(batch) = late.take() {
            gate.settle(&batch).await;
            self.model.settle(&batch);
        }
    }

    fn flush(&mut self) {
        self.server.ask(&["flushall"]);
        self.model = Model::default();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_shows_what_the_model_says() {
    let mut server = RedisServer::start(&[]);
    let (mut refused, mut late) = (0, 0);
    for seed in 0..10 {
        let mut dice = Random(seed);
        let mut cap = |most| (!dice.one_in(3)).then(|| 1 + dice.below(most));
        let caps = Caps([cap(60), cap(90), cap(20), cap(30)]);
        server.ask(&["flushall"]);
        let mut run = Run::new(server, caps).await;
        for step in 0..50 {
            let owner = dice.size(2);
            match dice.below(20) {
                0..=7 => refused += run.reserve(owner, &mut dice).await,
                8..=13 => run.commit(owner, !dice.one_in(8)),
                14..=18 => run.tell(owner).await,
                _ => run.flush(),
            }
            let stands = shown(&run.server);
            assert_eq!(stands, run.model.shown(), "seed {seed}, step {step}, {caps:?}");
            late += usize::from(run.owners.iter().all(|owner| owner.late.is_some()));
        }
        server = run.server;
    }
    assert!(refused > 20 && late > 3, "{refused} refused, {late} late: not worth while");
}
