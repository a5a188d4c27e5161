//! The real process is killed again and again while purchases stream in. In the end the database
//! equals, row by row, an uninterrupted run of the same log and the slow reference.

mod ledger;
mod senders;
mod shop;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use engine::crash::CrashPoint;
use serde_json::{Value, json};
use testkit::dir::TempDir;
use testkit::random::Random;
use testkit::reference::Setting;

use crate::process::{Process, tail};
use ledger::Ledger;
use senders::{Field, Tally, Watch};
use shop::Shop;

/// Purchases replayed.
const PURCHASES: usize = 24_000;
/// Purchases in a request.
const BATCH: usize = 50;
/// Requests at a time.
const SENDERS: usize = 3;
/// Lives that end at a moment of chance.
const RANDOM_KILLS: usize = 34;
/// Lives that end at each named point.
const KILLS_AT_EACH_POINT: usize = 2;
/// How long a process may take to reach the point at which it is to die.
const REACHES_WITHIN: Duration = Duration::from_secs(10);
/// How long a process without work is given to come to its point before it gets more.
const ON_ITS_WAY: Duration = Duration::from_millis(50);
/// Batches that a life may need to come to its point.
const LEFT_PER_LIFE: usize = 3;

/// The seed of a run to be had again; without one each run has its own. Which requests are sent and
/// when the process is to die follow from it, what it is doing then does not.
const SEED: Option<u64> = None;

const REPLAY: &str = "?as=replay";

#[test]
fn killed_again_and_again_it_ends_as_if_nothing_had_happened() {
    let seed = SEED.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let begin = Instant::now();
    let phase = |name: &str| println!("{:5.1} s {name}", begin.elapsed().as_secs_f32());
    println!("seed {seed}");
    let (dir, fresh) = (TempDir::new(), TempDir::new());
    let shop = shop::set_up(dir.path());
    copy(dir.path(), fresh.path());

    phase("the shop is set up");
    let purchases = shop::purchases(PURCHASES);
    let killed = torment(dir.path(), &shop, &purchases, seed);
    killed.show();
    phase("all is decided after the last death");
    let ledger = Ledger::open(dir.path());
    killed.is_enough(ledger.epochs());
    assert_eq!(
        ledger.records(),
        i64::try_from(PURCHASES).expect("a number") + 1,
        "{}",
        tail(dir.path())
    );
    assert_eq!(ledger.unpublished(), 0, "incentives that nobody was told about");
    examine(dir.path());
    ledger.story().equals_reference(&killed.settings);

    phase("the reference agrees");
    undisturbed(fresh.path(), &shop, &purchases, &ledger, &killed.settings);
    examine(fresh.path());
    let (one, other) = (ledger.dump(), Ledger::open(fresh.path()).dump());
    for (table, rows) in &one {
        let differ = rows.iter().zip(&other[table]).find(|(a, b)| a != b);
        assert!(differ.is_none(), "{table}: {differ:#?}");
        assert_eq!(rows.len(), other[table].len(), "rows of {table}");
    }
    phase("the undisturbed run agrees");
    println!("{} incentives over {} epochs", ledger.incentives(), ledger.epochs());
}

/// What the killing came to.
#[derive(Debug, Default)]
struct Killed {
    at_random: usize,
    at_points: BTreeMap<&'static str, usize>,
    while_starting: usize,
    tally: Tally,
    settings: BTreeMap<i64, Setting>,
}

impl Killed {
    fn show(&self) {
        println!(
            "{} random deaths, {:?}, {} of them while starting; {:?}; {} configurations",
            self.at_random,
            self.at_points,
            self.while_starting,
            self.tally,
            self.settings.len()
        );
    }

    /// The test shows nothing unless the process died often and everywhere, and answers were lost.
    fn is_enough(&self, epochs: i64) {
        assert!(epochs > 10, "most lives were too short to commit anything");
        let at_points: usize = self.at_points.values().sum();
        assert!(self.at_random + at_points >= 50, "too few deaths");
        for point in CrashPoint::ALL {
            assert!(self.at_points.contains_key(point.as_str()), "never died {}", point.as_str());
        }
        assert!(self.tally.lost_answers > 0 && self.tally.durable_unknown > 0);
        assert!(self.tally.repeated > 0 && self.settings.len() > 2);
    }
}

/// One process after the other on a data directory, while senders go on as if nothing happened.
struct Torment<'t> {
    data_dir: &'t Path,
    shop: &'t Shop,
    field: &'t Field,
    random: Random,
    killed: Killed,
    paused: bool,
}

/// Kills the process again and again, then lets it finish and stops it in order.
fn torment(data_dir: &Path, shop: &Shop, purchases: &[Value], seed: u64) -> Killed {
    let field = Field::new(purchases, BATCH, shop.caller.clone(), seed ^ 1);
    let field = &field;
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| field.send(REPLAY));
        }
        let _watch = Watch(field);
        let (random, killed) = (Random(seed), Killed::default());
        Torment { data_dir, shop, field, random, killed, paused: false }.run()
    })
}

impl Torment<'_> {
    fn run(mut self) -> Killed {
        let mut lives = vec![None; RANDOM_KILLS];
        for point in CrashPoint::ALL {
            lives.extend([Some(*point); KILLS_AT_EACH_POINT]);
        }
        for place in (1..lives.len()).rev() {
            lives.swap(place, self.random.size(place + 1));
        }
        self.remember();
        let count = lives.len();
        for (lived, death) in lives.into_iter().enumerate() {
            // Each life takes its share of what it need not leave for the lives to come: those
            // that die at a point go on until they come to it.
            let to_come = count - lived;
            let share =
                1 + self.field.left().saturating_sub(LEFT_PER_LIFE * to_come) / (to_come + 1);
            match death {
                None => self.live_and_die_by_chance(share),
                Some(point) => self.live_and_die_at(point, share),
            }
        }
        self.live_to_the_end();
        self.killed.tally = self.field.tally();
        self.killed
    }

    /// Dies after some of its requests, at a moment that nobody chose.
    fn live_and_die_by_chance(&mut self, share: usize) {
        let process = Process::start(self.data_dir, None).expect("a process");
        if self.random.one_in(4) {
            self.pause_or_activate(&process);
        }
        self.field.open(process.url(), share);
        let requests = self.random.size(share + 1);
        self.field.wait_for(requests, || false);
        // Often at once, now and then after some batches.
        let span_us = 20_000 << (2 * self.random.below(3));
        self.field.pass(Duration::from_micros(self.random.below(span_us)));
        self.field.close();
        process.kill();
        self.killed.at_random += 1;
    }

    /// Dies by itself when it comes to a point, be it while it starts.
    fn live_and_die_at(&mut self, point: CrashPoint, share: usize) {
        let plan = format!("{}:{}", point.as_str(), 1 + self.random.below(2));
        let Some(mut process) = Process::start(self.data_dir, Some(&plan)) else {
            *self.killed.at_points.entry(point.as_str()).or_default() += 1;
            self.killed.while_starting += 1;
            return;
        };
        self.field.open(process.url(), share);
        let by = Instant::now() + REACHES_WITHIN;
        while !process.has_ended() && Instant::now() < by {
            let idle =
                self.field.wait_for(usize::MAX, || process.has_ended() || Instant::now() >= by);
            // What is acknowledged may still be on its way to the point.
            self.field.pass(if idle { ON_ITS_WAY } else { Duration::ZERO });
            if idle && !process.has_ended() {
                // Not there yet, and nothing more to do: some more to do.
                self.field.open(process.url(), 1);
            }
        }
        assert!(process.has_ended(), "{plan} was not reached: {}", self.field.shown());
        self.field.close();
        *self.killed.at_points.entry(point.as_str()).or_default() += 1;
    }

    fn live_to_the_end(&mut self) {
        let process = Process::start(self.data_dir, None).expect("a process");
        self.field.open(process.url(), usize::MAX / 2);
        while !self.field.wait_for(usize::MAX, || false) {}
        finish(process, self.shop);
    }

    /// An operator changes their mind.
    fn pause_or_activate(&mut self, process: &Process) {
        let verb = if self.paused { "activate" } else { "pause" };
        self.shop.switch(process.url(), verb);
        self.paused = !self.paused;
        self.remember();
    }

    /// The configuration in force from now on.
    fn remember(&mut self) {
        let setting = Ledger::open(self.data_dir).setting();
        self.killed.settings.insert(setting.config.config_version, setting);
    }
}

/// One more event, whose decision tells that all before it are decided; then an orderly stop.
fn finish(process: Process, shop: &Shop) {
    let last = json!({ "eventId": "last", "userId": "00001", "action": "goodbye", "eventTs": "1998-07-01T00:00:00Z" });
    let url = format!("{}/api/v1/events{REPLAY}", process.url());
    let answer = shop.caller.expect("POST", &url, Some(&last));
    assert_eq!(answer["decision"]["status"], "DECIDED", "{answer:#}");
    assert!(process.stop().success(), "the process stops in order");
}

/// The same log with the same changes of the configuration, sent by one sender to a process that
/// nobody kills.
fn undisturbed(
    data_dir: &Path,
    shop: &Shop,
    purchases: &[Value],
    wanted: &Ledger,
    settings: &BTreeMap<i64, Setting>,
) {
    let by_id: BTreeMap<&str, &Value> =
        purchases.iter().filter_map(|event| Some((event["eventId"].as_str()?, event))).collect();
    let log = wanted.event_ids();
    let process = Process::start(data_dir, None).expect("a process");
    let url = format!("{}/api/v1/events", process.url());
    let mut versions = wanted.versions().into_iter().peekable();
    let first = *settings.keys().next().expect("the configuration at the beginning");
    let mut in_force = versions.next().map(|(_, version)| version).expect("a batch");
    switch(shop, &process, settings, first..in_force);
    let mut place = 0;
    while place + 1 < log.len() {
        let change = versions
            .peek()
            .map_or(log.len() - 1, |(from, _)| usize::try_from(*from).expect("an offset"));
        let to = (place + 400).min(change).min(log.len() - 1);
        let events: Vec<&Value> = log[place..to].iter().map(|id| by_id[id.as_str()]).collect();
        let sent = json!({ "events": events });
        shop.caller.expect("POST", &format!("{url}:batch{REPLAY}"), Some(&sent));
        place = to;
        if place == change
            && let Some((_, version)) = versions.next()
        {
            // Everything before the change is decided before it.
            shop.caller.expect(
                "POST",
                &format!("{url}{REPLAY}"),
                Some(by_id[log[place - 1].as_str()]),
            );
            switch(shop, &process, settings, in_force..version);
            in_force = version;
        }
    }
    finish(process, shop);
}

/// Goes from one version of the configuration to another, as the operator did.
fn switch(shop: &Shop, process: &Process, settings: &BTreeMap<i64, Setting>, between: Range<i64>) {
    for next in between.start + 1..=between.end {
        let active = settings[&next].config.dormant.is_empty();
        shop.switch(process.url(), if active { "activate" } else { "pause" });
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

fn examine(data_dir: &Path) {
    let examination = store::doctor::examine_file(&data_dir.join("incent.db"), true);
    let findings = examination.expect("an examination").findings;
    assert!(findings.is_empty(), "{findings:#?}");
}
