//! What a store tells of one tenant after all is decided, whichever store it is, and its comparison
//! with the slow reference: event by event, row by row.

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::StoredOutcome;
use domain::event::Record;
use domain::id::{CampaignId, UserId};
use domain::incentive::Incentive;
use domain::state::UserState;
use domain::time::Day;
use rust_decimal::Decimal;
use testkit::reference::{Counting, QuestProgress, Reference, Setting, code_fits};

/// Use of limits and budgets by key and bucket; `None` is the bucket for ever.
pub type Usage = BTreeMap<(String, Option<Day>), Decimal>;

/// User, campaign, step, cycle, action, whether it is paid, why it is not, and when, in µs.
pub type CompletionRow =
    (UserId, CampaignId, Option<String>, u32, String, bool, Option<String>, i64);

/// An event with what was decided.
pub struct Decided {
    pub record: Record,
    pub outcome: StoredOutcome,
    /// The version of the configuration that it was decided under.
    pub version: i64,
}

/// All that is stored of a tenant.
pub struct Story {
    /// In the order in which it was decided.
    pub log: Vec<Decided>,
    /// In the same order.
    pub incentives: Vec<Incentive>,
    pub usage: Usage,
    pub completions: Vec<CompletionRow>,
    pub states: Vec<(UserId, UserState)>,
}

impl Story {
    /// Compares everything with the slow reference, run over the log under the recorded versions.
    pub fn equals_reference(&self, settings: &BTreeMap<i64, Setting>) {
        let in_force = |version: i64| {
            settings.get(&version).unwrap_or_else(|| panic!("version {version} is not known"))
        };
        let mut version = self.log.first().expect("an event").version;
        let mut reference = Reference::new(in_force(version).clone(), Counting::ByDay);
        for decided in &self.log {
            if decided.version != version {
                version = decided.version;
                reference.set(in_force(version).clone());
            }
            same_outcome(decided, &mut reference);
        }
        self.same_incentives(&reference);
        self.same_usage(&reference);
        self.same_completions(&reference);
        self.same_states(&reference);
    }

    fn same_incentives(&self, reference: &Reference) {
        let wanted: Vec<&Incentive> = reference.incentives().collect();
        for (mut got, wanted) in self.incentives.iter().cloned().zip(&wanted) {
            let (code, pattern) = (&got.coupon_code, &wanted.coupon_code);
            if code.as_ref().zip(pattern.as_ref()).is_some_and(|(c, p)| code_fits(p, c)) {
                got.coupon_code.clone_from(&wanted.coupon_code);
            }
            assert_eq!(got, **wanted);
        }
        assert_eq!(self.incentives.len(), wanted.len(), "number of incentives");
    }

    fn same_usage(&self, reference: &Reference) {
        let mut wanted = reference.usage();
        // The reference speaks of the campaigns that are active in the end.
        let known: BTreeSet<String> = wanted.keys().map(|(key, _)| key.clone()).collect();
        wanted.retain(|_, used| !used.is_zero());
        let mut stored = self.usage.clone();
        stored.retain(|(key, _), _| known.contains(key));
        assert_eq!(wanted, stored, "use of limits and budgets");
    }

    fn same_completions(&self, reference: &Reference) {
        let all = reference.completions().iter().map(|c| {
            let unpaid = c.unpaid_reason.map(str::to_owned);
            let (action, paid) = (c.action.as_str().to_owned(), c.incentive.is_some());
            let at = c.completed_at.micros();
            (c.user, c.campaign, c.step.clone(), c.cycle, action, paid, unpaid, at)
        });
        let (mut wanted, mut got) = (all.collect::<Vec<CompletionRow>>(), self.completions.clone());
        got.sort();
        wanted.sort();
        assert_eq!(got.len(), wanted.len(), "number of completions");
        assert!(got == wanted, "completions differ");
    }

    fn same_states(&self, reference: &Reference) {
        let mut granted: BTreeMap<UserId, u64> = BTreeMap::new();
        for incentive in reference.incentives() {
            *granted.entry(incentive.user).or_default() += 1;
        }
        for (user, state) in &self.states {
            assert_eq!(state.seq, granted.get(user).copied().unwrap_or(0), "seq of {user}");
            for (campaign, own) in &state.campaigns {
                let got = own.quest.as_ref().map(|quest| QuestProgress {
                    cycle: quest.cycle,
                    steps: quest
                        .steps
                        .iter()
                        .map(|(s, p)| (s.clone(), (p.value, p.done)))
                        .collect(),
                    waiting: quest.unpaid.iter().map(|u| u.cycle).collect(),
                });
                assert_eq!(got, reference.progress(*user, *campaign), "progress of {user}");
            }
        }
        let known: BTreeSet<UserId> = self.states.iter().map(|(user, _)| *user).collect();
        assert!(granted.keys().all(|user| known.contains(user)), "users without a state");
    }
}

fn same_outcome(decided: &Decided, reference: &mut Reference) {
    let Decided { record, outcome: stored, .. } = decided;
    let wanted = reference.decide(record);
    let lines: Vec<_> =
        wanted.considered.iter().map(|c| (c.number, c.version, c.reason, c.numbers)).collect();
    let got: Vec<_> =
        stored.lines.iter().map(|l| (l.number, l.version, l.reason, l.numbers)).collect();
    let place = format!("event {} at {}", record.event.event_id, record.offset);
    assert_eq!((stored.status, stored.grants), (wanted.status, wanted.grants), "{place}");
    assert_eq!(got, lines, "{place}");
}
