//! What PostgreSQL holds, read without the product's own readers.

use std::collections::{BTreeMap, BTreeSet};

use domain::config::{CampaignSource, CohortSource, TenantConfig, TenantMode};
use domain::decide::StoredOutcome;
use domain::event::{ActionEvent, Record, RecordKind};
use domain::id::{CampaignId, CohortId, IncentiveId, TenantId, UserId};
use domain::incentive::Incentive;
use domain::limit::{LimitSpec, LimitUse};
use domain::time::{Day, SECOND_US, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use testkit::reference::Setting;

use super::asked::Asked;
use crate::story::{CompletionRow, Decided, Story, Usage};

/// A query's rows, each as a JSON document.
fn rows<T: DeserializeOwned>(db: &Asked, query: &str) -> Vec<T> {
    let rows = db.rows(&format!("select to_jsonb(q)::text from ({query}) q"));
    rows.iter().map(|row| parsed(row)).collect()
}

fn parsed<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// A column that holds a time, in µs.
fn us(column: &str) -> String {
    format!("(extract(epoch from {column}) * 1000000)::bigint")
}

#[derive(Deserialize)]
struct Tenant {
    config_version: i64,
    time_zone: String,
    lateness_s: i64,
    limits: Vec<Limit>,
    campaigns: Vec<Campaign>,
    cohorts: Vec<Cohort>,
}

#[derive(Deserialize)]
struct Limit {
    scope: String,
    max_per_day: Option<u64>,
    max_total: Option<u64>,
    window_days: Option<u16>,
}

#[derive(Deserialize)]
struct Campaign {
    campaign_id: CampaignId,
    number: u32,
    r#type: String,
    version: u32,
    progress_version: u32,
    priority: i32,
    created_us: i64,
    start_us: Option<i64>,
    end_us: Option<i64>,
    cohort_id: Option<CohortId>,
    rule: String,
    status: String,
}

#[derive(Deserialize)]
struct Cohort {
    cohort_id: CohortId,
    membership_version: i64,
    members: BTreeSet<UserId>,
}

/// A tenant's configuration as it stands, in one statement: it is one version's.
fn tenant_query(tenant: &str) -> String {
    let list =
        |query: String| format!("(select coalesce(jsonb_agg(to_jsonb(x)), '[]') from ({query}) x)");
    let of = "tenant_id = t.tenant_id";
    let limits =
        list(format!("select scope, max_per_day, max_total, window_days from limits where {of}"));
    let campaigns = list(format!(
        "select campaign_id, number, type, version, progress_version, priority, cohort_id,
             {} as created_us, {} as start_us, {} as end_us, rule_json::text as rule, status
         from campaigns where {of} order by number",
        us("created_at"),
        us("start_at"),
        us("end_at")
    ));
    let cohorts = list(format!(
        "select cohort_id, membership_version, (
             select coalesce(jsonb_agg(user_id), '[]') from cohort_members m
             where m.cohort_id = c.cohort_id and m.membership_version = c.membership_version
         ) as members from cohorts c where {of}"
    ));
    format!(
        "select s.config_version, t.time_zone, t.allowed_lateness_s as lateness_s,
             {limits} as limits, {campaigns} as campaigns, {cohorts} as cohorts
         from tenants t join tenant_states s using (tenant_id) where t.tenant_id = '{tenant}'"
    )
}

/// A tenant's configuration as it stands.
pub fn setting(db: &Asked, tenant: &str) -> Setting {
    let query = tenant_query(tenant);
    let read: Tenant = rows(db, &query).pop().expect("the tenant");
    let mut config = TenantConfig {
        tenant: parsed(&json!(tenant).to_string()),
        config_version: read.config_version,
        zone: parsed(&json!(read.time_zone).to_string()),
        lateness_us: read.lateness_s * SECOND_US,
        mode: TenantMode::Live,
        tenant_limit: LimitSpec::default(),
        user_limit: LimitSpec::default(),
        campaigns: Vec::new(),
        dormant: Vec::new(),
        // Codes are compared by their form.
        coupon_key: [0; 32],
        cohorts: Vec::new(),
    };
    for Limit { scope, max_per_day, max_total, window_days } in read.limits {
        let spec = LimitSpec { max_per_day, max_total, window_days };
        match scope.as_str() {
            "GLOBAL" => config.tenant_limit = spec,
            _ => config.user_limit = spec,
        }
    }
    for campaign in read.campaigns {
        match campaign.status.as_str() {
            "ACTIVE" => config.campaigns.push(campaign.source()),
            "PAUSED" => config.dormant.push(campaign.campaign_id),
            _ => {}
        }
    }
    let mut members = BTreeMap::new();
    for Cohort { cohort_id: id, membership_version, members: joined } in read.cohorts {
        config.cohorts.push(CohortSource {
            id,
            membership_version,
            refresh: None,
            computed_at: None,
        });
        members.insert(id, joined);
    }
    Setting { config, members }
}

impl Campaign {
    fn source(self) -> CampaignSource {
        CampaignSource {
            id: self.campaign_id,
            number: self.number,
            kind: self.r#type.parse().expect("a type"),
            version: self.version,
            progress_version: self.progress_version,
            priority: self.priority,
            created_at: Timestamp::from_stored(self.created_us),
            start_at: self.start_us.map(Timestamp::from_stored),
            end_at: self.end_us.map(Timestamp::from_stored),
            cohort_id: self.cohort_id,
            rule_json: self.rule,
        }
    }
}

/// When each batch was committed, and under which versions: by partition, in the order of offsets.
/// Two batches with events of one tenant are never under way at once, so their times order them.
pub struct Batches(BTreeMap<i32, Vec<Batch>>);

#[derive(Deserialize)]
struct Batch {
    partition: i32,
    batch_seq: i64,
    offset_from: i64,
    committed_us: i64,
    config_versions: BTreeMap<TenantId, i64>,
}

impl Batches {
    /// All of them.
    pub fn read(db: &Asked) -> Self {
        let query = format!(
            "select partition, batch_seq, offset_from, config_versions, {} as committed_us
             from batches order by partition, batch_seq",
            us("committed_at")
        );
        let mut by_partition: BTreeMap<i32, Vec<Batch>> = BTreeMap::new();
        for batch in rows::<Batch>(db, &query) {
            by_partition.entry(batch.partition).or_default().push(batch);
        }
        Self(by_partition)
    }

    /// The one that an offset is in.
    fn of(&self, partition: i32, offset: i64) -> &Batch {
        let all = &self.0[&partition];
        &all[all.partition_point(|batch| batch.offset_from <= offset) - 1]
    }

    /// The one of this number.
    fn numbered(&self, partition: i32, batch_seq: i64) -> &Batch {
        let all = &self.0[&partition];
        &all[all.partition_point(|batch| batch.batch_seq < batch_seq)]
    }

    /// Batches that were committed after a moment under an older version of a tenant's.
    pub fn outdated(&self, tenant: &str, (version, answered_us): (i64, i64)) -> usize {
        let tenant: TenantId = parsed(&json!(tenant).to_string());
        let is_outdated = |batch: &&Batch| {
            let of = batch.config_versions.get(&tenant);
            batch.committed_us > answered_us && of.is_some_and(|of| *of < version)
        };
        self.0.values().flatten().filter(is_outdated).count()
    }
}

/// All that is stored of a tenant.
pub fn story(db: &Asked, batches: &Batches, tenant: &str) -> Story {
    Story {
        log: log(db, batches, tenant),
        incentives: incentives(db, batches, tenant),
        usage: usage(db, tenant),
        completions: completions(db, tenant),
        states: states(db, tenant),
    }
}

fn log(db: &Asked, batches: &Batches, tenant: &str) -> Vec<Decided> {
    #[derive(Deserialize)]
    struct Row {
        source_partition: i32,
        log_offset: i64,
        append_us: i64,
        kind: i64,
        event_id: String,
        user_ref: String,
        action_code: String,
        event_us: i64,
        payload: String,
        outcome: String,
    }
    let query = format!(
        "select source_partition, log_offset, {} as append_us, kind, event_id, user_ref,
             action_code, {} as event_us, payload::text as payload, outcome
         from events where tenant_id = '{tenant}'",
        us("append_time"),
        us("event_ts")
    );
    let tenant: TenantId = parsed(&json!(tenant).to_string());
    let mut log: Vec<(i64, Decided)> = rows::<Row>(db, &query)
        .into_iter()
        .map(|row| {
            let batch = batches.of(row.source_partition, row.log_offset);
            let version = batch.config_versions[&tenant];
            let record = Record {
                offset: row.log_offset,
                append_time: Timestamp::from_stored(row.append_us),
                kind: RecordKind::from_code(row.kind).expect("a kind"),
                event: ActionEvent {
                    tenant_id: tenant,
                    event_id: row.event_id.parse().expect("an event id"),
                    user_id: row.user_ref.parse().expect("a user reference"),
                    action: row.action_code.parse().expect("an action"),
                    event_ts: Timestamp::from_stored(row.event_us),
                    payload: row.payload.into(),
                },
            };
            let outcome = StoredOutcome::parse(&row.outcome).expect("an outcome");
            (batch.committed_us, Decided { record, outcome, version })
        })
        .collect();
    log.sort_by_key(|(committed, decided)| (*committed, decided.record.offset));
    log.into_iter().map(|(_, decided)| decided).collect()
}

fn incentives(db: &Asked, batches: &Batches, tenant: &str) -> Vec<Incentive> {
    #[derive(Deserialize)]
    struct Row {
        incentive_id: IncentiveId,
        tenant_id: TenantId,
        user_id: UserId,
        user_ref: String,
        campaign_id: CampaignId,
        campaign_version: u32,
        event_id: String,
        r#type: String,
        reward_currency: String,
        amount: String,
        coupon_code: Option<String>,
        issued_us: i64,
        seq: u64,
        source_partition: i32,
        batch_seq: i64,
        ordinal: i32,
        limits: LimitUse,
        budgets: Option<String>,
    }
    let used = |name: &str| format!("jsonb_build_object('used', {name}_used, 'cap', {name}_cap)");
    let query = format!(
        "select incentive_id, tenant_id, user_id, user_ref, campaign_id, campaign_version, event_id,
             type, reward_currency, reward_amount::text as amount, coupon_code, {} as issued_us, seq,
             source_partition, batch_seq, ordinal, budgets::text as budgets,
             jsonb_build_object('day', limit_day, 'tenantDay', {}, 'tenantTotal', {},
                 'userDay', {}, 'userTotal', {}) as limits
         from incentives where tenant_id = '{tenant}'",
        us("issued_at"),
        used("tenant_day"),
        used("tenant_total"),
        used("user_day"),
        used("user_total")
    );
    let mut rows = rows::<Row>(db, &query);
    rows.sort_by_key(|row| {
        let batch = batches.numbered(row.source_partition, row.batch_seq);
        (batch.committed_us, row.ordinal)
    });
    let incentive = |row: Row| Incentive {
        id: row.incentive_id,
        tenant: row.tenant_id,
        user: row.user_id,
        user_ref: row.user_ref.parse().expect("a user reference"),
        campaign: row.campaign_id,
        campaign_version: row.campaign_version,
        event_id: row.event_id.parse().expect("an event id"),
        kind: parsed(&json!(row.r#type).to_string()),
        currency: row.reward_currency,
        amount: row.amount.parse().expect("an amount"),
        coupon_code: row.coupon_code,
        issued_at: Timestamp::from_stored(row.issued_us),
        seq: row.seq,
        limits: row.limits,
        budgets: row.budgets.map(|budgets| parsed(&budgets)).unwrap_or_default(),
    };
    rows.into_iter().map(incentive).collect()
}

fn usage(db: &Asked, tenant: &str) -> Usage {
    let query = format!(
        "select limit_key, bucket, used::text as used from limit_usage
         where tenant_id = '{tenant}'"
    );
    #[derive(Deserialize)]
    struct Row {
        limit_key: String,
        bucket: i32,
        used: String,
    }
    let entry = |row: Row| {
        let bucket = (row.bucket != i32::MIN).then_some(Day(row.bucket));
        ((row.limit_key, bucket), row.used.parse().expect("a number"))
    };
    rows::<Row>(db, &query).into_iter().map(entry).collect()
}

fn completions(db: &Asked, tenant: &str) -> Vec<CompletionRow> {
    #[derive(Deserialize)]
    struct Row {
        user_id: UserId,
        campaign_id: CampaignId,
        step_id: Option<String>,
        cycle: u32,
        action_code: String,
        is_paid: bool,
        unpaid_reason: Option<String>,
        completed_us: i64,
    }
    let query = format!(
        "select user_id, campaign_id, step_id, cycle, action_code,
             incentive_id is not null as is_paid, unpaid_reason, {} as completed_us
         from user_aggregations where tenant_id = '{tenant}'",
        us("completed_at")
    );
    let row = |r: Row| {
        let Row { user_id, campaign_id, step_id, cycle, action_code, is_paid, .. } = r;
        let end = (is_paid, r.unpaid_reason, r.completed_us);
        (user_id, campaign_id, step_id, cycle, action_code, end.0, end.1, end.2)
    };
    rows::<Row>(db, &query).into_iter().map(row).collect()
}

fn states(db: &Asked, tenant: &str) -> Vec<(UserId, domain::state::UserState)> {
    #[derive(Deserialize)]
    struct Row {
        user_id: UserId,
        state: String,
    }
    let query = format!("select user_id, state from user_states where tenant_id = '{tenant}'");
    let rows = rows::<Row>(db, &query).into_iter();
    rows.map(|row| (row.user_id, parsed(&row.state))).collect()
}
