//! Random tenants with random logs: every construct of the rules, events late and early, users in
//! and out of cohorts, days on which the clocks change.

mod events;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use domain::config::{CampaignSource, CohortSource, TenantConfig, TenantMode};
use domain::event::Record;
use domain::id::{CampaignId, CohortId, TenantId, UserRef, user_id};
use domain::limit::LimitSpec;
use domain::rule::CampaignType;
use domain::time::{DAY_US, SECOND_US, Timestamp, Zone};
use uuid::Uuid;

use crate::random::Random;
use crate::reference::Setting;

/// The tenant of every world.
pub const TENANT: TenantId = TenantId(Uuid::from_u128(1));

/// The cohorts of every world.
pub const COHORTS: [CohortId; 3] = [
    CohortId(Uuid::from_u128(0xC1)),
    CohortId(Uuid::from_u128(0xC2)),
    CohortId(Uuid::from_u128(0xC3)),
];

/// A tenant and its log.
#[derive(Clone, Debug)]
pub struct World {
    /// The configuration and the offset of the record from which it is in force, ascending; the
    /// first from 0.
    pub settings: Vec<(i64, Setting)>,
    /// The log, offsets dense from 0.
    pub records: Vec<Record>,
}

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Users, at most 16.
    pub users: u64,
    /// Campaigns.
    pub campaigns: u64,
    /// Records.
    pub records: usize,
}

impl World {
    /// A world of such a size.
    pub fn random(dice: &mut Random, size: Size) -> Self {
        let span = events::Span::random(dice);
        let first = setting(dice, size, &span);
        let mut settings = vec![(0, first)];
        for _ in 0..dice.below(3) {
            let at = dice.between(1, i64::try_from(size.records).unwrap_or(i64::MAX));
            settings.push((at, settings[0].1.clone()));
        }
        settings.sort_by_key(|(at, _)| *at);
        settings.dedup_by_key(|(at, _)| *at);
        for place in 1..settings.len() {
            let mut next = settings[place - 1].1.clone();
            change(dice, size.users, &mut next);
            settings[place].1 = next;
        }
        let lateness_us = settings[0].1.config.lateness_us;
        let records = events::records(dice, size, &span, lateness_us);
        Self { settings, records }
    }

    /// The setting in force for a record.
    pub fn setting_at(&self, offset: i64) -> &Setting {
        let in_force = self.settings.iter().rev().find(|(from, _)| *from <= offset);
        &in_force.unwrap_or(&self.settings[0]).1
    }

    /// The same world without some of its campaigns.
    #[must_use]
    pub fn without_campaign(&self, id: CampaignId) -> Self {
        let mut world = self.clone();
        for (_, setting) in &mut world.settings {
            setting.config.campaigns.retain(|c| c.id != id);
        }
        world
    }

    /// The same world without the records from `from` on, `count` of them.
    #[must_use]
    pub fn without_records(&self, from: usize, count: usize) -> Self {
        let mut world = self.clone();
        let to = (from + count).min(world.records.len());
        world.records.drain(from..to);
        world
    }
}

/// The user of a number.
#[expect(clippy::expect_used, reason = "the reference is a good one")]
pub(crate) fn user(number: u64) -> UserRef {
    UserRef::new(&format!("u{number}")).expect("a user reference")
}

fn setting(dice: &mut Random, size: Size, span: &events::Span) -> Setting {
    let campaigns = (1..).take(usize::try_from(size.campaigns).unwrap_or(0));
    let campaigns = campaigns.map(|number| campaign(dice, number, span)).collect();
    let version = |id| CohortSource { id, membership_version: 1, refresh: None, computed_at: None };
    let lateness_us = *dice.pick(&[0, 3600 * SECOND_US, 2 * DAY_US, 7 * DAY_US]);
    let config = TenantConfig {
        tenant: TENANT,
        config_version: 1,
        zone: span.zone(),
        lateness_us,
        mode: TenantMode::Live,
        tenant_limit: limit(dice, 40),
        user_limit: limit(dice, 12),
        campaigns,
        dormant: Vec::new(),
        coupon_key: [7; 32],
        cohorts: COHORTS.map(version).to_vec(),
    };
    Setting { config, members: members(dice, size.users) }
}

fn members(dice: &mut Random, users: u64) -> BTreeMap<CohortId, BTreeSet<domain::id::UserId>> {
    let mut of = |_| -> BTreeSet<_> {
        (0..users).filter(|_| dice.one_in(2)).map(|n| user_id(TENANT, &user(n))).collect()
    };
    COHORTS.iter().map(|id| (*id, of(id))).collect()
}

fn limit(dice: &mut Random, scale: u64) -> LimitSpec {
    if dice.one_in(3) {
        return LimitSpec::default();
    }
    let mut cap = |n: u64| dice.one_in(2).then(|| 1 + dice.below(n));
    let (max_per_day, max_total) = (cap(scale / 3), cap(scale));
    let window_days = dice.one_in(2).then(|| *dice.pick(&[1, 2, 3, 7, 30, 366]));
    LimitSpec { max_per_day, max_total, window_days }
}

fn campaign(dice: &mut Random, number: u32, span: &events::Span) -> CampaignSource {
    let (kind, rule) = match dice.one_in(2) {
        true => (CampaignType::Simple, rules::simple(dice)),
        false => (CampaignType::Quest, rules::quest(dice, span)),
    };
    CampaignSource {
        // Not in the order of the numbers, so that ties are broken visibly.
        id: CampaignId(Uuid::from_u128(0xCA_0000 + u128::from(number * 7 % 11))),
        number,
        kind,
        version: 1,
        progress_version: 0,
        priority: i32::try_from(dice.below(3)).unwrap_or(0),
        created_at: Timestamp::from_stored(dice.between(0, 1)),
        start_at: dice.one_in(10).then(|| span.moment(dice)),
        end_at: dice.one_in(10).then(|| span.moment(dice)),
        cohort_id: dice.one_in(10).then(|| *dice.pick(&COHORTS)),
        rule_json: rule.to_string(),
    }
}

/// Changes what an operator may change while events flow.
fn change(dice: &mut Random, users: u64, setting: &mut Setting) {
    let config = &mut setting.config;
    config.config_version += 1;
    match dice.below(7) {
        0 => config.tenant_limit = limit(dice, 40),
        1 => config.user_limit = limit(dice, 12),
        2 if config.campaigns.len() > 1 => {
            let place = usize::try_from(dice.below(config.campaigns.len() as u64)).unwrap_or(0);
            let gone = config.campaigns.remove(place);
            if dice.one_in(2) {
                config.dormant.push(gone.id);
            }
        }
        3 => {
            for campaign in &mut config.campaigns {
                campaign.priority = i32::try_from(dice.below(3)).unwrap_or(0);
                campaign.version += 1;
            }
        }
        4 => {
            for quest in quests(config) {
                quest.version += 1;
                quest.progress_version = quest.version;
            }
        }
        5 => quests(config).for_each(|quest| rules::change_goals(dice, quest)),
        _ => {
            setting.members = members(dice, users);
            for cohort in &mut config.cohorts {
                cohort.membership_version += 1;
            }
        }
    }
}

fn quests(config: &mut TenantConfig) -> impl Iterator<Item = &mut CampaignSource> {
    config.campaigns.iter_mut().filter(|campaign| campaign.kind == CampaignType::Quest)
}

/// A zone of the bundled data.
#[expect(clippy::expect_used, reason = "the names are known")]
pub(crate) fn zone(name: &str) -> Zone {
    Zone::named(name).expect("a zone")
}
