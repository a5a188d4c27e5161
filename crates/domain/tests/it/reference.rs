//! Random tenants and logs: the decision equals the slow reference row by row, whatever the
//! batches. A failing case is cut down to its smallest part and printed with its seed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use domain::decide::{EventOutcome, Reason, Status};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use testkit::random::Random;
use testkit::reference::{Counting, Reference, is_granted};
use testkit::world::{Size, World};

use crate::batches::{Cut, Ledger, compiled, run};

/// Cases that are always run, so that what they meet is known.
const ALWAYS: std::ops::Range<u64> = 0..60;

/// Further cases at most, and the time for them.
const CASES: u32 = 3_000;
const TIME: Duration = Duration::from_secs(8);

#[test]
fn every_batching_of_a_random_log_equals_the_reference() {
    let met = RefCell::new(Met::default());
    for seed in ALWAYS {
        if let Err(why) = check(seed, &mut met.borrow_mut()) {
            panic!("{why}");
        }
    }
    let begin = Instant::now();
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&any::<u64>().no_shrink(), |seed| {
        if begin.elapsed() < TIME {
            check(seed, &mut met.borrow_mut()).map_err(TestCaseError::fail)?;
        }
        Ok(())
    });
    if let Err(why) = result {
        panic!("{why}");
    }
    met.into_inner().is_enough();
}

/// How often the cases came upon what they must come upon, or they would show nothing.
#[derive(Debug, Default)]
struct Met {
    cases: u64,
    statuses: BTreeMap<&'static str, u64>,
    reasons: BTreeMap<&'static str, u64>,
}

impl Met {
    fn note(&mut self, outcomes: &[EventOutcome]) {
        self.cases += 1;
        for outcome in outcomes {
            *self.statuses.entry(outcome.status.as_str()).or_default() += 1;
            for considered in &outcome.considered {
                *self.reasons.entry(considered.reason.as_str()).or_default() += 1;
            }
        }
    }

    fn is_enough(&self) {
        println!("{self:#?}");
        // Duplicates and unreadable records never reach the decision; a full state takes more
        // campaigns than these worlds have.
        let beyond = [Reason::UserStateFull];
        let wanted = Reason::ALL.iter().filter(|reason| !beyond.contains(reason));
        for reason in wanted {
            assert!(self.reasons.contains_key(reason.as_str()), "never {reason:?}");
        }
        for status in [Status::Decided, Status::History, Status::UserUpdated, Status::TooLate] {
            assert!(self.statuses.contains_key(status.as_str()), "never {status:?}");
        }
    }
}

fn world(seed: u64) -> World {
    let mut dice = Random(seed);
    let size = Size {
        users: 1 + dice.below(4),
        campaigns: 1 + dice.below(5),
        records: 5 + usize::try_from(dice.below(150)).unwrap(),
    };
    World::random(&mut dice, size)
}

fn check(seed: u64, met: &mut Met) -> Result<(), String> {
    let world = world(seed);
    match compare(&world, seed) {
        Ok(outcomes) => {
            met.note(&outcomes);
            Ok(())
        }
        Err(_) => {
            let small = smallest(world, seed);
            let why = compare(&small, seed).err().unwrap_or_default();
            Err(format!("seed {seed}\n{why}\n{}", show(&small)))
        }
    }
}

/// The outcomes. Errors: one difference in words.
fn compare(world: &World, seed: u64) -> Result<Vec<EventOutcome>, String> {
    let cuts = [Cut::Even(1), Cut::Even(7), Cut::Even(500), Cut::Random(seed)];
    let rules = compiled(world);
    for cut in cuts {
        let ledger = catch_unwind(AssertUnwindSafe(|| run(world, &rules, cut)));
        let ledger = ledger.map_err(|_| format!("{cut:?}: panics"))?;
        against_reference(world, &ledger).map_err(|why| format!("{cut:?}: {why}"))?;
    }
    let (one, many) = (run(world, &rules, Cut::Even(1)), run(world, &rules, Cut::Even(500)));
    if one.states() != many.states() || one.marks != many.marks {
        return Err("states or marks depend on the batches".into());
    }
    Ok(one.outcomes)
}

fn against_reference(world: &World, ledger: &Ledger) -> Result<(), String> {
    let mut settings = world.settings.iter();
    let (_, first) = settings.next().expect("a setting");
    let mut settings = settings.peekable();
    let mut reference = Reference::new(first.clone(), Counting::Slow);
    for (record, got) in world.records.iter().zip(&ledger.outcomes) {
        while let Some((_, next)) = settings.next_if(|(from, _)| *from <= record.offset) {
            reference.set(next.clone());
        }
        let wanted = reference.decide(record);
        if *got != wanted {
            return Err(format!(
                "event {}\n   decided {got:?}\n reference {wanted:?}",
                record.offset
            ));
        }
    }
    for (got, wanted) in ledger.incentives.iter().zip(reference.incentives()) {
        if !is_granted(got, wanted) {
            return Err(format!("incentive\n   decided {got:?}\n reference {wanted:?}"));
        }
    }
    same("number of incentives", &ledger.incentives.len(), &reference.incentives().count())?;
    same("completions", &ledger.completions, &reference.completions().to_vec())?;
    same_usage(ledger, &reference)?;
    same_progress(world, ledger, &reference)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Result<(), String> {
    if got == wanted {
        Ok(())
    } else {
        Err(format!("{what}\n   decided {got:?}\n reference {wanted:?}"))
    }
}

fn same_usage(ledger: &Ledger, reference: &Reference) -> Result<(), String> {
    // Of campaigns that have ended the reference says nothing.
    let wanted = reference.usage();
    let mut got = ledger.shelf.usage();
    got.retain(|key, _| wanted.contains_key(key));
    same("usage", &got, &wanted)
}

fn same_progress(world: &World, ledger: &Ledger, reference: &Reference) -> Result<(), String> {
    let campaigns = &world.settings[0].1.config.campaigns;
    for (user, state) in ledger.states() {
        let granted = reference.incentives().filter(|i| i.user == user).count();
        same("seq", &state.seq, &(granted as u64))?;
        for campaign in campaigns {
            let quest = state.campaigns.get(&campaign.id).and_then(|c| c.quest.as_ref());
            let got = quest.map(|quest| testkit::reference::QuestProgress {
                cycle: quest.cycle,
                steps: quest.steps.iter().map(|(id, s)| (id.clone(), (s.value, s.done))).collect(),
                waiting: quest.unpaid.iter().map(|u| u.cycle).collect(),
            });
            same("progress", &got, &reference.progress(user, campaign.id))?;
        }
    }
    Ok(())
}

/// Leaves out campaigns and records for as long as a difference remains.
fn smallest(mut world: World, seed: u64) -> World {
    let fails = |world: &World| compare(world, seed).is_err();
    for campaign in world.settings[0].1.config.campaigns.clone() {
        let without = world.without_campaign(campaign.id);
        if fails(&without) {
            world = without;
        }
    }
    let mut count = world.records.len();
    while count > 0 {
        let mut from = 0;
        while from < world.records.len() {
            let without = world.without_records(from, count);
            if fails(&without) {
                world = without;
            } else {
                from += count;
            }
        }
        count /= 2;
    }
    world
}

fn show(world: &World) -> String {
    let mut text = String::new();
    for (from, setting) in &world.settings {
        let config = &setting.config;
        text += &format!(
            "from {from}: {} lateness {} h\n",
            config.zone.name(),
            config.lateness_us / 3_600_000_000
        );
        text += &format!("  tenant {:?}\n  user {:?}\n", config.tenant_limit, config.user_limit);
        for c in &config.campaigns {
            let period = (c.start_at, c.end_at, c.cohort_id, c.priority);
            text += &format!("  {} {:?} {period:?} {}\n", c.number, c.kind, c.rule_json);
        }
    }
    for record in &world.records {
        let (event, kind, at) = (&record.event, record.kind, record.append_time);
        let (id, user, action, ts) =
            (&event.event_id, &event.user_id, &event.action, event.event_ts);
        text +=
            &format!("  {id} {kind:?} {user} {action} at {ts}, appended {at}: {}\n", event.payload);
    }
    text
}
