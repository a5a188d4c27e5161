//! The fault test of the distributed profile: real processes on a PostgreSQL, a Kafka, a Debezium
//! and a Redis of their own, while all of them are killed, frozen, emptied and cut off from one another as the
//! seed says. In the end the invariants hold, and every row is that of the slow reference.
//!
//! Read `schedule` for what goes wrong, `nemesis` for how, `traffic` for what flows in meanwhile,
//! and `verdict` for what is looked at afterwards. `cargo x chaos` runs it with other numbers.

mod capture;
mod grounds;
mod member;
mod nemesis;
mod schedule;
mod shops;
mod traffic;
mod verdict;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain::time::{SECOND_US, Timestamp};
use engine::guard::Guard;

use crate::distributed::device::Device;
use crate::distributed::foreign::Foreign;
use crate::distributed::rest::Rest;
use crate::distributed::topic;
use grounds::{EVENTS_TOPIC, Grounds, INCENTIVES_TOPIC};
use nemesis::Nemesis;
use schedule::{Fault, kinds, schedule};
use shops::Shop;
use traffic::{BATCH, Plan, Traffic, Watch};

/// Tenants of a run.
const TENANTS: usize = 8;
/// Requests at a time.
const SENDERS: usize = 2;
/// Devices that listen.
const DEVICES: usize = 4;

/// The numbers of a run.
#[derive(Clone, Copy, Debug)]
struct Terms {
    seed: u64,
    events: usize,
    faults: usize,
    /// No fault is begun after so many seconds.
    seconds: u64,
}

/// Those of CI.
const USUAL: Terms = Terms { seed: 20_261_123, events: 200_000, faults: 150, seconds: 420 };

impl Terms {
    /// Those of `cargo x chaos`, else the usual ones.
    #[expect(clippy::disallowed_methods, reason = "a test has no other arguments")]
    fn of_this_run() -> Self {
        let number = |name: &str, usual: u64| match std::env::var(format!("INCENT_CHAOS_{name}")) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
            Err(_) => usual,
        };
        let size = |name, usual: usize| {
            usize::try_from(number(name, usual as u64)).expect("a number of this machine")
        };
        Self {
            seed: number("SEED", USUAL.seed),
            events: size("EVENTS", USUAL.events),
            faults: size("FAULTS", USUAL.faults),
            seconds: number("SECONDS", USUAL.seconds),
        }
    }
}

/// The protection that this run does without, if it is to show that it is needed.
#[expect(clippy::disallowed_methods, reason = "a test has no other arguments")]
fn without() -> Option<Guard> {
    let name = std::env::var("INCENT_CHAOS_WITHOUT").ok()?;
    Some(name.parse().expect("a protection"))
}

/// Says how to have a run again that has failed.
struct Replay(Terms, PathBuf);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Terms { seed, events, faults, seconds } = self.0;
            println!(
                "chaos failed. Again: cargo x chaos --seed {seed} --events {events} --faults \
                 {faults} --seconds {seconds}\nwhat happened and all logs: {}",
                self.1.display()
            );
        }
    }
}

#[test]
fn whatever_fails_it_ends_as_if_nothing_had() {
    let terms = Terms::of_this_run();
    let begin = Instant::now();
    let phase = |name: &str| println!("{:6.1} s  {name}", begin.elapsed().as_secs_f32());
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/chaos");
    let dir = dir.join(terms.seed.to_string());
    // Of a run before.
    let _gone = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a folder");
    let dir = dir.canonicalize().expect("a folder");
    let log = File::create(dir.join("schedule.log")).expect("a file");
    let _replay = Replay(terms, dir.clone());
    let without = without();
    let faults = schedule(terms.seed, terms.faults);
    println!("{terms:?}: {:?}", kinds(&faults));

    let grounds = Grounds::start(&dir, without);
    let (rest, cms) = (Rest::new(&grounds.front.url()), Rest::new(&grounds.cms.url()));
    let events_each = terms.events / TENANTS;
    let mut shops = shops::set_up(&cms, &grounds.db, TENANTS, events_each);
    let devices = (0..DEVICES).map(|n| {
        let user = format!("{:05}", n + 1);
        Device::listen(&dir, &grounds.push.url(), &shops[n].tenant, &user)
    });
    let devices: Vec<Device> = devices.collect();
    phase("everything is set up");
    let run = Run { terms, dir, begin, faults, grounds, rest, cms };
    let Some(guard) = without else { return run.ends_well(&mut shops, devices, log) };
    // Only what fails from here on shows something.
    let ended = catch_unwind(AssertUnwindSafe(|| run.ends_well(&mut shops, devices, log)));
    assert!(ended.is_err(), "without {guard} it does not fail: nothing shows that it is needed");
    println!("without {guard} it fails, as it should: see above why");
}

/// A run that is set up.
struct Run {
    terms: Terms,
    dir: PathBuf,
    begin: Instant,
    faults: Vec<Fault>,
    grounds: Grounds,
    rest: Rest,
    cms: Rest,
}

impl Run {
    /// Lets events flow and inflicts the faults, and compares what there is at the end.
    fn ends_well(self, shops: &mut [Shop], devices: Vec<Device>, log: File) {
        let Self { terms, dir, begin, faults, grounds, rest, cms } = self;
        let phase = |name: &str| println!("{:6.1} s  {name}", begin.elapsed().as_secs_f32());
        let now_s = grounds.db.number("select extract(epoch from now())::bigint");
        let plan = Plan {
            seed: terms.seed,
            tenants: shops.iter().map(|shop| shop.tenant.clone()).collect(),
            begun: Timestamp::from_stored((now_s - 1) * SECOND_US),
            batches: terms.events / BATCH,
        };
        let traffic = Traffic::new(plan);
        let foreign = Foreign::start(&grounds.kafka.brokers(), EVENTS_TOPIC);
        let mut nemesis = Nemesis::new(grounds, (&traffic, shops), terms.seed, log);
        let inflicted = std::thread::scope(|scope| {
            let _watch = Watch(&traffic);
            for _ in 0..SENDERS {
                scope.spawn(|| traffic.send(&rest));
            }
            scope.spawn(|| traffic.produce(foreign));
            let inflicted = nemesis.run(&faults, Duration::from_secs(terms.seconds));
            nemesis.calm();
            traffic.close();
            traffic.wait_for(usize::MAX);
            inflicted
        });
        phase(&format!("{inflicted} of {} faults are over", faults.len()));
        let (mut grounds, shops, came) = nemesis.over();
        verdict::all_is_decided(&grounds.db, &traffic);
        phase("all is decided and announced");
        verdict::devices_have_heard(&grounds.db, devices);
        verdict::redis_shows_what_is_granted(&grounds, shops);
        phase("the devices have heard, Redis shows what is granted");
        verdict::aggregates_are_what_is_granted(&grounds.db, &cms, shops);
        phase("the aggregates are what is granted");
        verdict::files_hold_what_is_granted(&grounds.db, &dir);
        phase("the files hold each incentive once");
        for member in grounds.members() {
            let status = member.stop();
            assert!(status.success(), "{} does not stop in order: {status}", member.name);
        }
        let (db, tally) = (&grounds.db, traffic.tally());
        let repeated = topic::has_each_once(db, &grounds.kafka.brokers(), INCENTIVES_TOPIC);
        verdict::dead_letters_are_kept(db, &tally);
        phase(&format!("the topic has each incentive, {repeated} of them more than once"));
        verdict::ledger_is_that_of_the_reference(db, shops);
        phase("the invariants hold, the reference agrees");
        verdict::everything_was_met(&grounds, &came, &faults[..inflicted], &tally);
    }
}
