//! Promises about totals. Exact decimals are text in the database, so they are added up here.

use std::collections::{BTreeMap, HashMap};

use domain::decide::StoredOutcome;
use domain::id::CampaignId;
use domain::limit::{BudgetUse, budget_key};
use domain::rule::Measure;
use rusqlite::Connection;
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use super::{Finding, PLACES_MAX};
use crate::error::Result;

/// A promise about totals.
pub(super) struct Sum {
    pub states: &'static str,
    broken: fn(&Connection) -> Result<Vec<String>>,
}

const MEND: &str = "no limit can be trusted until this is mended: pause the campaigns concerned, keep \
                    a copy of the data directory and report it";

impl Sum {
    pub fn check(&self, conn: &Connection) -> Result<Option<Finding>> {
        let broken = (self.broken)(conn)?;
        let count = broken.len() as u64;
        let places = broken.into_iter().take(PLACES_MAX).collect();
        let finding = Finding { states: self.states, count, places, mend: MEND };
        Ok((count > 0).then_some(finding))
    }
}

/// All of them.
pub(super) const ALL: &[Sum] = &[
    Sum { states: "the tenants' use is the number of their incentives", broken: tenant_use },
    Sum { states: "the use of budgets is what their incentives add up to", broken: budget_use },
    Sum { states: "events say how many incentives they granted", broken: grants },
];

/// Key, bucket and use of each row of `limit_usage`.
type Usage = BTreeMap<(Uuid, String, i64), Decimal>;

const EVER: i64 = i32::MIN as i64;

fn usage(conn: &Connection, budgets: bool) -> Result<Usage> {
    let mut query = conn.prepare(
        "select tenant_id, limit_key, bucket, used from limit_usage
         where (limit_key <> 'tenant') = $1",
    )?;
    let rows = query.query_map([budgets], |r| {
        let (tenant, used): ([u8; 16], String) = (r.get(0)?, r.get(3)?);
        let used: Decimal = used.parse().unwrap_or(Decimal::MIN);
        Ok(((Uuid::from_bytes(tenant), r.get(1)?, r.get(2)?), used))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn tenant_use(conn: &Connection) -> Result<Vec<String>> {
    let mut query = conn.prepare(
        "select tenant_id, limit_day, count(*) from incentives group by tenant_id, limit_day",
    )?;
    let mut counted = Usage::new();
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let tenant = Uuid::from_bytes(row.get(0)?);
        let (day, count): (i64, i64) = (row.get(1)?, row.get(2)?);
        for bucket in [day, EVER] {
            let key = (tenant, "tenant".to_owned(), bucket);
            *counted.entry(key).or_default() += Decimal::from(count);
        }
    }
    Ok(compare(&usage(conn, false)?, &counted))
}

fn budget_use(conn: &Connection) -> Result<Vec<String>> {
    let stored = usage(conn, true)?;
    let measures = measures(conn)?;
    let mut counted = Usage::new();
    let mut query = conn.prepare(
        "select tenant_id, campaign_id, reward_amount, budgets from incentives
         where budgets is not null",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (tenant, campaign) = (Uuid::from_bytes(row.get(0)?), Uuid::from_bytes(row.get(1)?));
        let (amount, text): (String, String) = (row.get(2)?, row.get(3)?);
        let Ok(uses) = serde_json::from_str::<Vec<BudgetUse>>(&text) else {
            return Ok(vec![format!("the budgets {text} cannot be read")]);
        };
        for budget in uses {
            let name = budget_key(CampaignId(campaign), &budget.id);
            let taken = match measures.get(&name) {
                Some(Some(Measure::Count)) => Decimal::ONE,
                Some(Some(Measure::Amount)) => amount.parse().unwrap_or_default(),
                _ => continue,
            };
            let buckets = [EVER].into_iter().chain(budget.bucket.map(|day| i64::from(day.0)));
            for bucket in buckets {
                *counted.entry((tenant, name.clone(), bucket)).or_default() += taken;
            }
        }
    }
    // Budgets per user are kept in the user's state; old buckets may be forgotten.
    counted.retain(|key, _| stored.contains_key(key));
    let comparable =
        |(_, name, _): &(Uuid, String, i64)| matches!(measures.get(name), Some(Some(_)));
    let stored = stored.into_iter().filter(|(key, _)| comparable(key)).collect();
    Ok(compare(&stored, &counted))
}

/// What each budget counts, by its key; `None` when that was changed under the same id, so that its
/// use is a mixture.
fn measures(conn: &Connection) -> Result<HashMap<String, Option<Measure>>> {
    let mut query = conn.prepare(
        "select campaign_id, rule_json from campaigns
         union select campaign_id, rule_json from campaign_revisions",
    )?;
    let mut rows = query.query([])?;
    let mut measures: HashMap<String, Option<Measure>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (campaign, rule): ([u8; 16], String) = (row.get(0)?, row.get(1)?);
        let rule: Value = serde_json::from_str(&rule).unwrap_or_default();
        for budget in rule.get("budgets").and_then(Value::as_array).into_iter().flatten() {
            let text = |field: &str| budget.get(field).and_then(Value::as_str).unwrap_or_default();
            let key = budget_key(CampaignId(Uuid::from_bytes(campaign)), text("id"));
            let measure = text("measure").parse::<Measure>().ok();
            measures
                .entry(key)
                .and_modify(|known| {
                    if *known != measure {
                        *known = None;
                    }
                })
                .or_insert(measure);
        }
    }
    Ok(measures)
}

fn compare(stored: &Usage, counted: &Usage) -> Vec<String> {
    let zero = Decimal::ZERO;
    let keys = stored.keys().chain(counted.keys().filter(|key| !stored.contains_key(*key)));
    keys.filter_map(|key| {
        let says = stored.get(key).unwrap_or(&zero);
        let is = counted.get(key).unwrap_or(&zero);
        let (tenant, name, bucket) = key;
        let when = if *bucket == EVER { "ever".to_owned() } else { format!("day {bucket}") };
        (says != is).then(|| {
            format!("tenant {tenant}, {name}, {when}: stored {says}, the incentives say {is}")
        })
    })
    .collect()
}

/// By user and moment: what a quest could not pay at first is granted with a later event than the
/// one that it names.
fn grants(conn: &Connection) -> Result<Vec<String>> {
    type Moment = (Uuid, i64);
    let mut granted: BTreeMap<Moment, (i64, i64)> = BTreeMap::new();
    let mut query =
        conn.prepare("select user_id, issued_at, count(*) from incentives group by 1, 2")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        granted.insert((Uuid::from_bytes(row.get(0)?), row.get(1)?), (0, row.get(2)?));
    }
    let mut broken = Vec::new();
    let mut query = conn.prepare(
        "select user_id, append_time, event_id, outcome from events where outcome is not null",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (event, outcome): (String, String) = (row.get(2)?, row.get(3)?);
        match StoredOutcome::parse(&outcome) {
            Some(read) if read.grants > 0 => {
                let moment = (Uuid::from_bytes(row.get(0)?), row.get(1)?);
                granted.entry(moment).or_default().0 += i64::from(read.grants);
            }
            Some(_) => {}
            None => broken.push(format!("event {event}: its outcome cannot be read")),
        }
    }
    let differ = granted.into_iter().filter(|(_, (says, is))| says != is);
    broken.extend(differ.map(|((user, at), (says, is))| {
        format!("user {user} at {at}: events say {says}, incentives say {is}")
    }));
    Ok(broken)
}
