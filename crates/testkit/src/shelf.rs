//! A store in memory that keeps nothing but what a batch wrote and gives nothing but what a batch
//! asked for. User states go through their stored form.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::{Changes, Loaded, MarkWrite, Needs, StoredUser, UsageWrite};
use domain::id::{CohortId, TenantId, UserId};
use domain::limit::Meter;
use domain::state::{STATE_BYTES_MAX, UserState};
use domain::time::Day;
use rust_decimal::Decimal;

#[derive(Debug, Default)]
struct Row {
    version: i64,
    state: String,
    attributes: Option<String>,
}

/// What was written.
#[derive(Debug, Default)]
pub struct Shelf {
    users: BTreeMap<UserId, Row>,
    marks: BTreeSet<(UserId, [u8; 16])>,
    usage: BTreeMap<(TenantId, String, Option<Day>), Decimal>,
}

impl Shelf {
    /// Answers what a batch needs.
    pub fn load(&self, needs: &Needs, members: &BTreeMap<CohortId, BTreeSet<UserId>>) -> Loaded {
        let user = |id: &UserId| {
            let asked = needs.cohorts.iter().map(|(cohort, _)| *cohort);
            let joined = asked.filter(|cohort| members.get(cohort).is_some_and(|m| m.contains(id)));
            let row = self.users.get(id);
            StoredUser {
                version: row.map_or(0, |row| row.version),
                state: row.map(|row| state(&row.state)).unwrap_or_default(),
                attributes: row.and_then(|row| row.attributes.clone()).filter(|_| needs.attributes),
                cohorts: joined.collect(),
            }
        };
        Loaded {
            users: needs.users.iter().map(|id| (*id, user(id))).collect(),
            marks: needs.marks.intersection(&self.marks).copied().collect(),
            usage: needs.usage.iter().filter_map(|(key, from)| self.meter(key, *from)).collect(),
            ..Loaded::default()
        }
    }

    fn meter(
        &self,
        key: &(TenantId, String),
        from: Day,
    ) -> Option<((TenantId, String), Meter<Decimal>)> {
        let own =
            self.usage.iter().filter(|((tenant, name, _), _)| (tenant, name) == (&key.0, &key.1));
        let mut meter = Meter::default();
        let mut found = false;
        for ((.., bucket), used) in own {
            found = true;
            match bucket {
                None => meter.ever = *used,
                Some(day) if *day >= from => meter.days.push((*day, *used)),
                Some(_) => {}
            }
        }
        found.then(|| (key.clone(), meter))
    }

    /// Version of a user's row; 0 = there is none.
    pub fn version(&self, user: UserId) -> i64 {
        self.users.get(&user).map_or(0, |row| row.version)
    }

    /// Writes a batch.
    ///
    /// # Panics
    /// As the writing of its parts.
    pub fn write(&mut self, changes: &Changes) {
        for changed in &changes.users {
            let attributes = changed.attributes.as_deref();
            self.write_user((changed.user, changed.expected_version), &changed.state, attributes);
        }
        self.write_usage(&changes.usage);
        self.write_marks(&changes.marks);
    }

    /// Writes a user's row over the version expected.
    ///
    /// # Panics
    /// When it has another version, or its state does not survive its stored form.
    pub fn write_user(
        &mut self,
        (user, expected): (UserId, i64),
        new: &UserState,
        attributes: Option<&str>,
    ) {
        let row = self.users.entry(user).or_default();
        assert_eq!(row.version, expected, "version of {user}");
        row.version += 1;
        row.state = serde_json::to_string(new).expect("JSON");
        assert_eq!(state(&row.state), *new, "a state survives its stored form");
        assert!(row.state.len() <= STATE_BYTES_MAX, "{} bytes: {}", row.state.len(), row.state);
        if let Some(attributes) = attributes {
            row.attributes = Some(attributes.to_owned());
        }
    }

    /// Writes uses of limits and budgets.
    pub fn write_usage(&mut self, usage: &[UsageWrite]) {
        for write in usage {
            self.usage.insert((write.tenant, write.key.clone(), write.bucket), write.used);
        }
    }

    /// Writes marks.
    ///
    /// # Panics
    /// When one is there already.
    pub fn write_marks(&mut self, marks: &[MarkWrite]) {
        for mark in marks {
            assert!(self.marks.insert((mark.user, mark.key)), "a mark is set once");
        }
    }

    /// Use by key and bucket.
    pub fn usage(&self) -> BTreeMap<(String, Option<Day>), Decimal> {
        let rows = self.usage.iter();
        rows.map(|((_, key, bucket), used)| ((key.clone(), *bucket), *used)).collect()
    }

    /// All user states.
    pub fn states(&self) -> impl Iterator<Item = (UserId, UserState)> + '_ {
        self.users.iter().map(|(user, row)| (*user, state(&row.state)))
    }
}

fn state(text: &str) -> UserState {
    serde_json::from_str(text).expect("a state")
}
