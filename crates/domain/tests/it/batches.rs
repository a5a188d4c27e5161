//! A log decided in batches, as the worker does it.

use std::sync::Arc;

use domain::compile::TenantRules;
use domain::decide::{
    EventOutcome, MarkWrite, Needs, Parsed, Status, StoredOutcome, Working, decide, plan,
};
use domain::id::UserId;
use domain::incentive::{Completion, Incentive};
use testkit::random::Random;
use testkit::reference::Setting;
use testkit::shelf::Shelf;
use testkit::world::World;

/// How a log is cut.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Always so many records, but for the last.
    Even(usize),
    /// From 1 to 40, by a seed.
    Random(u64),
}

/// All that a log came to.
pub struct Ledger {
    pub outcomes: Vec<EventOutcome>,
    pub incentives: Vec<Arc<Incentive>>,
    pub completions: Vec<Completion>,
    pub marks: Vec<MarkWrite>,
    pub shelf: Shelf,
}

/// The rules of a world's settings, compiled once.
pub fn compiled(world: &World) -> Vec<TenantRules> {
    let compile = |(_, setting): &(i64, Setting)| {
        let (rules, faults) = TenantRules::compile(&setting.config);
        assert!(faults.is_empty(), "{faults:?}");
        rules
    };
    world.settings.iter().map(compile).collect()
}

/// Decides the world's log. A change of the configuration ends a batch.
pub fn run(world: &World, rules: &[TenantRules], cut: Cut) -> Ledger {
    let mut dice = Random(match cut {
        Cut::Random(seed) => seed,
        Cut::Even(_) => 0,
    });
    let mut ledger = Ledger {
        outcomes: Vec::new(),
        incentives: Vec::new(),
        completions: Vec::new(),
        marks: Vec::new(),
        shelf: Shelf::default(),
    };
    let mut next = 0;
    while next < world.records.len() {
        let size = match cut {
            Cut::Even(size) => size,
            Cut::Random(_) => usize::try_from(dice.between(1, 40)).unwrap(),
        };
        let offset = world.records[next].offset;
        let change = world.settings.iter().map(|(from, _)| *from).find(|from| *from > offset);
        let under_one = |record: &&domain::event::Record| change.is_none_or(|c| record.offset < c);
        let batch: Vec<_> = world.records[next..].iter().take(size).take_while(under_one).collect();
        next += batch.len();
        let place = world.settings.iter().rposition(|(from, _)| *from <= offset).unwrap_or(0);
        decide_batch((&rules[place], &world.settings[place].1), &batch, &mut ledger);
    }
    ledger
}

fn decide_batch(
    (rules, setting): (&TenantRules, &Setting),
    batch: &[&domain::event::Record],
    ledger: &mut Ledger,
) {
    let parsed: Vec<Option<Parsed<'_>>> = batch.iter().map(|r| Parsed::new(r).ok()).collect();
    let mut needs = Needs::default();
    for event in parsed.iter().flatten() {
        plan(rules, event, &mut needs);
    }
    let mut working = Working::new(ledger.shelf.load(&needs, &setting.members));
    for event in &parsed {
        let outcome = match event {
            Some(event) => decide(rules, event, &mut working),
            None => EventOutcome::plain(Status::Unreadable),
        };
        check_stored_form(&outcome);
        ledger.outcomes.push(outcome);
    }
    let changes = working.into_changes();
    ledger.shelf.write(&changes);
    ledger.incentives.extend(changes.incentives);
    ledger.completions.extend(changes.completions.into_iter().map(|(_, c)| c));
    ledger.marks.extend(changes.marks);
}

fn check_stored_form(outcome: &EventOutcome) {
    let stored = StoredOutcome::parse(&outcome.to_stored()).expect("an outcome reads back");
    assert_eq!((stored.status, stored.grants), (outcome.status, outcome.grants));
    let lines = stored.lines.iter().map(|l| (l.number, l.version, l.reason, l.numbers));
    let considered = outcome.considered.iter().map(|c| (c.number, c.version, c.reason, c.numbers));
    assert!(lines.eq(considered), "{outcome:?} reads back as {stored:?}");
}

impl Ledger {
    /// Users by what remains of them: the order of batches does not show.
    pub fn states(&self) -> Vec<(UserId, domain::state::UserState)> {
        self.shelf.states().collect()
    }
}
