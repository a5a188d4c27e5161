//! What a tenant's campaigns have done so far, counted from the rows themselves: the summary that
//! `incent dev` ends with. It reads every row of the tenant, so it is no query for a busy page.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::decide::{Reason, Status, StoredOutcome};
use domain::id::{CampaignId, TenantId, UserId, UserRef};
use domain::time::Timestamp;
use rusqlite::Connection;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::db::SqliteDb;
use crate::error::{Result, StoreError};
use crate::hot::record::blob;

const CAMPAIGNS: &str = "
    select campaign_id, number, name, type, status from campaigns where tenant_id = $1
    order by priority desc, created_at, campaign_id";
const INCENTIVES: &str = "
    select campaign_id, user_id, user_ref, reward_currency, reward_amount from incentives
    where tenant_id = $1";
const OUTCOMES: &str = "select outcome, event_ts from events where tenant_id = $1";

/// Amounts by currency.
pub type Amounts = BTreeMap<String, Decimal>;

/// What one campaign has done.
#[derive(Clone, Debug, PartialEq)]
pub struct CampaignReport {
    /// Which campaign.
    pub id: CampaignId,
    /// Its name.
    pub name: String,
    /// SIMPLE or QUEST.
    pub kind: String,
    /// DRAFT, ACTIVE, PAUSED or ENDED.
    pub status: String,
    /// Incentives granted.
    pub grants: u64,
    /// Distinct users who got one.
    pub users: u64,
    /// What they add up to.
    pub amounts: Amounts,
    /// Events for which it was considered and granted nothing, by reason.
    pub others: BTreeMap<Reason, u64>,
}

/// What one user has earned.
#[derive(Clone, Debug, PartialEq)]
pub struct Earner {
    /// The tenant's own id of the user.
    pub user: UserRef,
    /// Incentives granted.
    pub grants: u64,
    /// What they add up to.
    pub amounts: Amounts,
}

/// What a tenant's campaigns have done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Events in the log.
    pub events: u64,
    /// Events by what became of them; undecided ones are not here.
    pub statuses: BTreeMap<Status, u64>,
    /// Event time of the first and the last.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Each campaign, in the order in which they compete.
    pub campaigns: Vec<CampaignReport>,
    /// Incentives granted.
    pub grants: u64,
    /// Distinct users who got one.
    pub users: u64,
    /// What they add up to.
    pub amounts: Amounts,
    /// Everybody who earned something, unordered.
    pub earners: Vec<Earner>,
}

/// Counts. Errors: the database cannot be read, or a stored value makes no sense.
pub async fn report(db: &SqliteDb, tenant: TenantId) -> Result<Report> {
    db.read(move |conn| {
        let mut report = Report::default();
        let numbers = campaigns(conn, tenant, &mut report)?;
        incentives(conn, tenant, &mut report)?;
        outcomes(conn, tenant, &numbers, &mut report)?;
        Ok(report)
    })
    .await
}

/// The campaigns; returns the place in the report of each campaign's number.
fn campaigns(
    conn: &Connection,
    tenant: TenantId,
    report: &mut Report,
) -> Result<HashMap<u32, usize>> {
    let mut query = conn.prepare(CAMPAIGNS)?;
    let mut rows = query.query([blob(&tenant.0)])?;
    let mut numbers = HashMap::new();
    while let Some(row) = rows.next()? {
        numbers.insert(row.get(1)?, report.campaigns.len());
        report.campaigns.push(CampaignReport {
            id: CampaignId(Uuid::from_bytes(row.get(0)?)),
            name: row.get(2)?,
            kind: row.get(3)?,
            status: row.get(4)?,
            grants: 0,
            users: 0,
            amounts: Amounts::new(),
            others: BTreeMap::new(),
        });
    }
    Ok(numbers)
}

fn incentives(conn: &Connection, tenant: TenantId, report: &mut Report) -> Result<()> {
    let places: HashMap<CampaignId, usize> =
        report.campaigns.iter().enumerate().map(|(place, c)| (c.id, place)).collect();
    let mut users_of: Vec<BTreeSet<UserId>> = vec![BTreeSet::new(); report.campaigns.len()];
    let mut earners: HashMap<UserId, Earner> = HashMap::new();
    let mut query = conn.prepare(INCENTIVES)?;
    let mut rows = query.query([blob(&tenant.0)])?;
    while let Some(row) = rows.next()? {
        let campaign = CampaignId(Uuid::from_bytes(row.get(0)?));
        let user = UserId(Uuid::from_bytes(row.get(1)?));
        let (user_ref, currency, amount): (String, String, String) =
            (row.get(2)?, row.get(3)?, row.get(4)?);
        let amount: Decimal = amount.parse().map_err(|_| corrupt("reward_amount", &amount))?;
        if let Some(place) = places.get(&campaign) {
            let of_campaign = &mut report.campaigns[*place];
            of_campaign.grants += 1;
            *of_campaign.amounts.entry(currency.clone()).or_default() += amount;
            users_of[*place].insert(user);
        }
        let earner = match earners.entry(user) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let user = UserRef::new(&user_ref).map_err(|_| corrupt("user_ref", &user_ref))?;
                new.insert(Earner { user, grants: 0, amounts: Amounts::new() })
            }
        };
        earner.grants += 1;
        *earner.amounts.entry(currency.clone()).or_default() += amount;
        report.grants += 1;
        *report.amounts.entry(currency).or_default() += amount;
    }
    for (campaign, users) in report.campaigns.iter_mut().zip(users_of) {
        campaign.users = users.len() as u64;
    }
    report.users = earners.len() as u64;
    report.earners = earners.into_values().collect();
    Ok(())
}

fn outcomes(
    conn: &Connection,
    tenant: TenantId,
    numbers: &HashMap<u32, usize>,
    report: &mut Report,
) -> Result<()> {
    let mut query = conn.prepare(OUTCOMES)?;
    let mut rows = query.query([blob(&tenant.0)])?;
    while let Some(row) = rows.next()? {
        report.events += 1;
        let at = Timestamp::from_stored(row.get(1)?);
        report.span = match report.span {
            None => Some((at, at)),
            Some((first, last)) => Some((first.min(at), last.max(at))),
        };
        let outcome: Option<String> = row.get(0)?;
        let Some(outcome) = outcome else { continue };
        let read = StoredOutcome::parse(&outcome).ok_or_else(|| corrupt("outcome", &outcome))?;
        *report.statuses.entry(read.status).or_default() += 1;
        for line in &read.lines {
            if let Some(place) = numbers.get(&line.number)
                && line.reason != Reason::Granted
            {
                *report.campaigns[*place].others.entry(line.reason).or_default() += 1;
            }
        }
    }
    Ok(())
}

fn corrupt(column: &str, found: &str) -> StoreError {
    StoreError::Corrupt {
        table: "incentives".to_owned(),
        column: column.to_owned(),
        row: found.to_owned(),
        detail: "cannot be read".to_owned(),
    }
}
