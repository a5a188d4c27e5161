//! A tenant in memory and its log. Events go the way of the live path (plan, load, decide, write) in
//! batches of any size, and to the slow reference.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::compile::TenantRules;
use domain::config::{CampaignSource, CohortSource, TenantConfig, TenantMode};
use domain::decide::{EventOutcome, Needs, Parsed, Working, decide, plan};
use domain::event::{ActionEvent, Record, RecordKind};
use domain::id::{CampaignId, CohortId, TenantId, UserId, UserRef, user_id};
use domain::incentive::Incentive;
use domain::limit::LimitSpec;
use domain::rule::CampaignType;
use domain::time::{Timestamp, Zone};
use testkit::reference::{self, Counting, Reference};
use uuid::Uuid;

use testkit::shelf::Shelf;

pub const TENANT: TenantId = TenantId(Uuid::from_u128(1));

/// A campaign of a case.
#[derive(Clone, Debug)]
pub struct CampaignDoc {
    pub name: String,
    pub rule: String,
    pub kind: CampaignType,
    pub priority: i32,
    pub start_at: Option<Timestamp>,
    pub end_at: Option<Timestamp>,
    pub cohort: Option<CohortId>,
}

/// What surrounds the events of a case.
#[derive(Clone, Debug)]
pub struct Setting {
    pub zone: Zone,
    pub lateness_us: i64,
    pub tenant_limit: LimitSpec,
    pub user_limit: LimitSpec,
    pub members: BTreeMap<CohortId, BTreeSet<UserId>>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            zone: Zone::named("Europe/Paris").expect("a zone"),
            lateness_us: 7 * domain::time::DAY_US,
            tenant_limit: LimitSpec::default(),
            user_limit: LimitSpec::default(),
            members: BTreeMap::new(),
        }
    }
}

/// An event of a case.
#[derive(Clone, Debug)]
pub struct Sent {
    pub action: String,
    pub ts: Timestamp,
    pub arrived: Timestamp,
    pub user: String,
    pub payload: String,
    pub kind: RecordKind,
}

/// What became of an event.
pub struct Decided {
    pub outcome: EventOutcome,
    pub incentives: Vec<Arc<Incentive>>,
}

/// The id of the n-th campaign of a case, from 1.
fn campaign_id(n: u32) -> CampaignId {
    CampaignId(Uuid::from_u128(100 + u128::from(n)))
}

/// The id of a user.
pub fn id_of(user: &str) -> UserId {
    user_id(TENANT, &UserRef::new(user).expect("a reference"))
}

fn config(campaigns: &[CampaignDoc], setting: &Setting) -> TenantConfig {
    let sources = (1_u32..).zip(campaigns).map(|(number, doc)| CampaignSource {
        id: campaign_id(number),
        number,
        kind: doc.kind,
        version: 1,
        progress_version: 0,
        priority: doc.priority,
        created_at: Timestamp::from_stored(i64::from(number)),
        start_at: doc.start_at,
        end_at: doc.end_at,
        cohort_id: doc.cohort,
        rule_json: doc.rule.clone(),
    });
    let cohort = |id: &CohortId| CohortSource {
        id: *id,
        membership_version: 1,
        refresh: None,
        computed_at: None,
    };
    TenantConfig {
        tenant: TENANT,
        config_version: 1,
        zone: setting.zone.clone(),
        lateness_us: setting.lateness_us,
        mode: TenantMode::Live,
        tenant_limit: setting.tenant_limit,
        user_limit: setting.user_limit,
        campaigns: sources.collect(),
        cohorts: setting.members.keys().map(cohort).collect(),
        dormant: Vec::new(),
        coupon_key: [7; 32],
    }
}

fn record(offset: i64, sent: &Sent) -> Record {
    let what = |part: &str| format!("{part} of {sent:?}");
    Record {
        offset,
        append_time: sent.arrived,
        kind: sent.kind,
        event: ActionEvent {
            tenant_id: TENANT,
            // Quotes double in the stored form of a state that remembers the event.
            event_id: format!("\"e\"{offset}").parse().expect("an id"),
            user_id: sent.user.parse().unwrap_or_else(|e| panic!("{}: {e}", what("user"))),
            action: sent.action.parse().unwrap_or_else(|e| panic!("{}: {e}", what("action"))),
            event_ts: sent.ts,
            payload: sent.payload.clone().into(),
        },
    }
}

fn records(events: &[Sent]) -> Vec<Record> {
    (0..).zip(events).map(|(i, sent)| record(i, sent)).collect()
}

/// Decides the events in batches of this size.
pub fn run(
    campaigns: &[CampaignDoc],
    setting: &Setting,
    events: &[Sent],
    batch_events: usize,
) -> Vec<Decided> {
    let (rules, faults) = TenantRules::compile(&config(campaigns, setting));
    assert!(faults.is_empty(), "{faults:?}");
    let mut shelf = Shelf::default();
    let mut decided = Vec::new();
    for batch in records(events).chunks(batch_events) {
        let parsed: Vec<Parsed<'_>> =
            batch.iter().map(|r| Parsed::new(r).unwrap_or_else(|e| panic!("{r:?}: {e}"))).collect();
        let mut needs = Needs::default();
        parsed.iter().for_each(|event| plan(&rules, event, &mut needs));
        let mut working = Working::new(shelf.load(&needs, &setting.members));
        let outcomes: Vec<EventOutcome> =
            parsed.iter().map(|event| decide(&rules, event, &mut working)).collect();
        let changes = working.into_changes();
        shelf.write(&changes);
        decided.extend(dealt(outcomes, changes.incentives));
    }
    decided
}

/// What the slow reference makes of the events.
pub fn run_reference(
    campaigns: &[CampaignDoc],
    setting: &Setting,
    events: &[Sent],
) -> Vec<Decided> {
    let (config, members) = (config(campaigns, setting), setting.members.clone());
    let mut reference = Reference::new(reference::Setting { config, members }, Counting::Slow);
    let outcomes = records(events).iter().map(|record| reference.decide(record)).collect();
    let incentives = reference.incentives().cloned().map(Arc::new).collect();
    dealt(outcomes, incentives)
}

/// Gives each event its incentives, which are in the order of the log.
fn dealt(outcomes: Vec<EventOutcome>, incentives: Vec<Arc<Incentive>>) -> Vec<Decided> {
    let mut incentives = incentives.into_iter();
    let mut deal = |outcome: EventOutcome| {
        let incentives = incentives.by_ref().take(outcome.grants as usize).collect();
        Decided { outcome, incentives }
    };
    outcomes.into_iter().map(&mut deal).collect()
}
