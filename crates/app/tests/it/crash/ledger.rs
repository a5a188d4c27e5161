//! What a database holds after all is decided, read without the product's own readers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use domain::config::{CampaignSource, CohortSource, TenantConfig, TenantMode};
use domain::decide::StoredOutcome;
use domain::event::{ActionEvent, Record, RecordKind};
use domain::id::{CampaignId, CohortId, TenantId, UserId};
use domain::incentive::Incentive;
use domain::limit::{BudgetUse, LimitSpec};
use domain::state::UserState;
use domain::time::{Day, SECOND_US, Timestamp};
use rusqlite::{Connection, OpenFlags, Row};
use testkit::reference::Setting;
use uuid::Uuid;

use crate::story::{CompletionRow, Decided, Story, Usage};

/// A data directory, read only.
pub struct Ledger {
    db: Connection,
}

impl Ledger {
    /// Opens the database of a data directory.
    pub fn open(data_dir: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(data_dir.join("incent.db"), flags);
        Self { db: db.expect("a database") }
    }

    fn rows<T>(&self, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let mut query = self.db.prepare(sql).expect("a query");
        let rows = query.query_map([], read).expect("rows");
        rows.collect::<rusqlite::Result<_>>().expect("readable rows")
    }

    fn number(&self, sql: &str) -> i64 {
        self.db.query_row(sql, [], |row| row.get(0)).expect("a number")
    }

    /// How many records there are.
    pub fn records(&self) -> i64 {
        self.number("select count(*) from events")
    }

    /// How many incentives there are.
    pub fn incentives(&self) -> i64 {
        self.number("select count(*) from incentives")
    }

    /// How often a partition was taken over.
    pub fn epochs(&self) -> i64 {
        self.number("select count(distinct epoch) from batches")
    }

    /// Incentives that nobody was told about.
    pub fn unpublished(&self) -> i64 {
        self.number(
            "select (select count(*) from incentives) - (select count(*) from incentive_event_log)",
        )
    }

    /// The ids of the events in the order of the log.
    pub fn event_ids(&self) -> Vec<String> {
        self.rows("select event_id from events order by log_offset", |row| row.get(0))
    }

    /// The one tenant's configuration as it stands.
    pub fn setting(&self) -> Setting {
        let mut config = self.tenant();
        for (scope, spec) in
            self.rows("select scope, max_per_day, max_total, window_days from limits", |row| {
                let cap = |n: Option<i64>| n.map(i64::unsigned_abs);
                let (max_per_day, max_total) = (cap(row.get(1)?), cap(row.get(2)?));
                let spec = LimitSpec { max_per_day, max_total, window_days: row.get(3)? };
                Ok((row.get::<_, String>(0)?, spec))
            })
        {
            match scope.as_str() {
                "GLOBAL" => config.tenant_limit = spec,
                _ => config.user_limit = spec,
            }
        }
        for (status, campaign) in self.campaigns() {
            match status.as_str() {
                "ACTIVE" => config.campaigns.push(campaign),
                "PAUSED" => config.dormant.push(campaign.id),
                _ => {}
            }
        }
        config.cohorts = self.rows("select cohort_id, membership_version from cohorts", |row| {
            let (id, membership_version) = (CohortId(id(row, 0)?), row.get(1)?);
            Ok(CohortSource { id, membership_version, refresh: None, computed_at: None })
        });
        let mut members: BTreeMap<CohortId, BTreeSet<UserId>> = BTreeMap::new();
        let in_force = "select m.cohort_id, m.user_id from cohort_members m join cohorts c
                        on c.cohort_id = m.cohort_id and c.membership_version = m.membership_version";
        for (cohort, user) in self.rows(in_force, |row| Ok((id(row, 0)?, id(row, 1)?))) {
            members.entry(CohortId(cohort)).or_default().insert(UserId(user));
        }
        Setting { config, members }
    }

    fn tenant(&self) -> TenantConfig {
        let sql = "select t.tenant_id, t.time_zone, t.allowed_lateness_s, s.config_version
                   from tenants t join tenant_states s on s.tenant_id = t.tenant_id";
        let mut tenants = self.rows(sql, |row| {
            let zone: String = row.get(1)?;
            Ok(TenantConfig {
                tenant: TenantId(id(row, 0)?),
                config_version: row.get(3)?,
                zone: parsed(&serde_json::json!(zone).to_string()),
                lateness_us: row.get::<_, i64>(2)? * SECOND_US,
                mode: TenantMode::Replay,
                tenant_limit: LimitSpec::default(),
                user_limit: LimitSpec::default(),
                campaigns: Vec::new(),
                dormant: Vec::new(),
                // Codes are compared by their form.
                coupon_key: [0; 32],
                cohorts: Vec::new(),
            })
        });
        assert_eq!(tenants.len(), 1, "one tenant");
        tenants.remove(0)
    }

    fn campaigns(&self) -> Vec<(String, CampaignSource)> {
        let sql =
            "select campaign_id, number, type, version, priority, created_at, start_at, end_at,
                          cohort_id, rule_json, status, progress_version from campaigns";
        self.rows(sql, |row| {
            let kind: String = row.get(2)?;
            let time = |at: Option<i64>| at.map(Timestamp::from_stored);
            let source = CampaignSource {
                id: CampaignId(id(row, 0)?),
                number: row.get(1)?,
                kind: kind.parse().expect("a type"),
                version: row.get(3)?,
                progress_version: row.get(11)?,
                priority: row.get(4)?,
                created_at: Timestamp::from_stored(row.get(5)?),
                start_at: time(row.get(6)?),
                end_at: time(row.get(7)?),
                cohort_id: row
                    .get::<_, Option<[u8; 16]>>(8)?
                    .map(|c| CohortId(Uuid::from_bytes(c))),
                rule_json: row.get(9)?,
            };
            Ok((row.get(10)?, source))
        })
    }

    /// The log, with what was decided.
    fn log(&self) -> Vec<(Record, StoredOutcome)> {
        let sql =
            "select log_offset, append_time, kind, tenant_id, event_id, user_ref, action_code,
                          event_ts, payload, outcome from events order by log_offset";
        self.rows(sql, |row| {
            let text = |column: usize| row.get::<_, String>(column);
            let record = Record {
                offset: row.get(0)?,
                append_time: Timestamp::from_stored(row.get(1)?),
                kind: RecordKind::from_code(row.get(2)?).expect("a kind"),
                event: ActionEvent {
                    tenant_id: TenantId(id(row, 3)?),
                    event_id: text(4)?.parse().expect("an event id"),
                    user_id: text(5)?.parse().expect("a user reference"),
                    action: text(6)?.parse().expect("an action"),
                    event_ts: Timestamp::from_stored(row.get(7)?),
                    payload: text(8)?.into(),
                },
            };
            let outcome = StoredOutcome::parse(&text(9)?).expect("an outcome");
            Ok((record, outcome))
        })
    }

    /// Offsets from which another version of the configuration was in force.
    pub fn versions(&self) -> Vec<(i64, i64)> {
        let sql = "select offset_from, config_versions from batches order by batch_seq";
        let mut versions: Vec<(i64, i64)> = self.rows(sql, |row| {
            let text: String = row.get(1)?;
            let by_tenant: BTreeMap<String, i64> = parsed(&text);
            Ok((row.get(0)?, *by_tenant.values().next().expect("a tenant")))
        });
        versions.dedup_by_key(|(_, version)| *version);
        versions
    }

    /// All of it, as the reference tells it too.
    pub fn story(&self) -> Story {
        let mut versions = self.versions().into_iter().peekable();
        let mut version = versions.next().expect("a batch").1;
        let mut decided = |(record, outcome): (Record, StoredOutcome)| {
            while let Some((_, next)) = versions.next_if(|(from, _)| *from <= record.offset) {
                version = next;
            }
            Decided { record, outcome, version }
        };
        Story {
            log: self.log().into_iter().map(&mut decided).collect(),
            incentives: self.ledger(),
            usage: self.usage(),
            completions: self.completions(),
            states: self.states(),
        }
    }

    /// The incentives in their order of publication.
    fn ledger(&self) -> Vec<Incentive> {
        let sql = "select incentive_id, tenant_id, user_id, user_ref, campaign_id, campaign_version,
                event_id, type, reward_currency, reward_amount, coupon_code, issued_at, seq, budgets,
                json_object('day', limit_day,
                    'tenantDay', json_object('used', tenant_day_used, 'cap', tenant_day_cap),
                    'tenantTotal', json_object('used', tenant_total_used, 'cap', tenant_total_cap),
                    'userDay', json_object('used', user_day_used, 'cap', user_day_cap),
                    'userTotal', json_object('used', user_total_used, 'cap', user_total_cap))
             from incentives order by source_partition, batch_seq, ordinal";
        self.rows(sql, |row| {
            let text = |column: usize| row.get::<_, String>(column);
            let budgets: Option<String> = row.get(13)?;
            Ok(Incentive {
                id: domain::id::IncentiveId(id(row, 0)?),
                tenant: TenantId(id(row, 1)?),
                user: UserId(id(row, 2)?),
                user_ref: text(3)?.parse().expect("a user reference"),
                campaign: CampaignId(id(row, 4)?),
                campaign_version: row.get(5)?,
                event_id: text(6)?.parse().expect("an event id"),
                kind: parsed(&format!("{:?}", text(7)?)),
                currency: text(8)?,
                amount: text(9)?.parse().expect("an amount"),
                coupon_code: row.get(10)?,
                issued_at: Timestamp::from_stored(row.get(11)?),
                seq: row.get::<_, i64>(12)?.unsigned_abs(),
                limits: parsed(&text(14)?),
                budgets: budgets.map(|b| parsed::<Vec<BudgetUse>>(&b)).unwrap_or_default(),
            })
        })
    }

    fn usage(&self) -> Usage {
        let sql = "select limit_key, bucket, used from limit_usage";
        let rows = self.rows(sql, |row| {
            let (bucket, used): (i32, String) = (row.get(1)?, row.get(2)?);
            let bucket = (bucket != i32::MIN).then_some(Day(bucket));
            Ok(((row.get(0)?, bucket), used.parse().expect("a number")))
        });
        rows.into_iter().collect()
    }

    fn completions(&self) -> Vec<CompletionRow> {
        let sql =
            "select user_id, campaign_id, step_id, cycle, action_code, incentive_id is not null,
                          unpaid_reason, completed_at from user_aggregations";
        self.rows(sql, |row| {
            let (user, campaign) = (UserId(id(row, 0)?), CampaignId(id(row, 1)?));
            let step = (row.get(2)?, row.get(3)?, row.get(4)?);
            let paid = (row.get(5)?, row.get(6)?, row.get(7)?);
            Ok((user, campaign, step.0, step.1, step.2, paid.0, paid.1, paid.2))
        })
    }

    fn states(&self) -> Vec<(UserId, UserState)> {
        self.rows("select user_id, state from user_states", |row| {
            Ok((UserId(id(row, 0)?), parsed(&row.get::<_, String>(1)?)))
        })
    }

    /// Everything that two runs of the same log must have in common, a line for each row.
    pub fn dump(&self) -> BTreeMap<&'static str, Vec<String>> {
        TABLES.iter().map(|(table, sql)| (*table, self.rows(sql, line))).collect()
    }
}

/// Batches differ from run to run, and with them versions and the numbering within a batch; the
/// order of publication does not.
const TABLES: [(&str, &str); 10] = [
    ("events", "select * from events order by log_offset"),
    ("event_ids", "select * from event_ids order by event_key"),
    (
        "incentives",
        "select row_number() over (order by source_partition, batch_seq, ordinal) as place,
                incentive_id, tenant_id, user_id, user_ref, campaign_id, campaign_version, event_id,
                type, reward_currency, reward_amount, coupon_code, issued_at, seq, tenant_day_used,
                tenant_day_cap, tenant_total_used, tenant_total_cap, user_day_used, user_day_cap,
                user_total_used, user_total_cap, limit_day, budgets
         from incentives order by place",
    ),
    ("user_states", "select user_id, tenant_id, seq, state from user_states order by user_id"),
    ("user_marks", "select * from user_marks order by user_id, mark_key"),
    ("limit_usage", "select * from limit_usage order by limit_key, bucket"),
    ("user_aggregations", "select * from user_aggregations order by aggregation_id"),
    ("incentive_event_log", "select incentive_id, user_id from incentive_event_log order by 1"),
    ("users", "select * from users order by user_id"),
    ("actions", "select * from actions order by action_code"),
];

fn line(row: &Row<'_>) -> rusqlite::Result<String> {
    let columns = row.as_ref().column_count();
    let cell = |column: usize| row.get_ref(column).map(|value| format!("{value:?}"));
    Ok((0..columns).map(cell).collect::<rusqlite::Result<Vec<_>>>()?.join(" | "))
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get(column).map(Uuid::from_bytes)
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}
