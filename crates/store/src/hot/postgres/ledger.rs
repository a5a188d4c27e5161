//! The ledger as the truth behind the aggregates: read as a whole, from a place on, and by day.

use domain::id::{CampaignId, TenantId, UserRef};
use domain::time::{Day, Timestamp, Zone};
use engine::aggregates::{Ledger, LedgerDays, Sum, UserSums};
use engine::captured::{Applied, CapturedIncentive};
use engine::ports::{Place, PortFuture};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::super::INCENTIVE_COLUMNS;
use super::rows::{Columns, TOPIC, incentive};
use super::{Params, query};
use crate::error::Result;
use crate::postgres::PgDb;
use crate::postgres::values::{Amount, Instant};

/// Rows fetched at once of what is read as a whole.
const FETCH: i32 = 1000;
/// One state of all, and no bound on how long it takes: who reads waits for whoever takes.
const AS_OF_ONE_MOMENT: &str = "
    set transaction isolation level repeatable read, read only;
    set local statement_timeout = 0;
    set local idle_in_transaction_session_timeout = 0";
const TENANTS: &str = "
    select tenant_id from tenants where tenant_id > $1 order by tenant_id limit $2";
/// Of each partition: all its batches that are committed are in what is read with this.
const PLACES: &str = "select partition, batch_seq from positions where topic = $1";
/// Months that were dropped are in `closed_sums`.
const USERS: &str = "
    select user_ref, campaign_id, reward_currency, limit_day,
        sum(incentives)::bigint, sum(amount), max(last_at), max(last_seq)
    from (
        select user_ref, campaign_id, reward_currency, limit_day, count(*) as incentives,
            sum(reward_amount) as amount, max(issued_at) as last_at, max(seq) as last_seq
        from incentives where tenant_id = $1
        group by user_ref, campaign_id, reward_currency, limit_day
        union all
        select user_ref, campaign_id, reward_currency, limit_day, incentives, amount,
            last_issued_at, last_seq
        from closed_sums where tenant_id = $1) s
    group by user_ref, campaign_id, reward_currency, limit_day
    order by user_ref";
const DAYS: &str = "
    with known as (
        select i.limit_day, i.reward_currency,
            count(*) filter (where c.is_counted) as incentives,
            coalesce(sum(i.reward_amount) filter (where c.is_counted), 0) as amount,
            max(i.issued_at) filter (where c.is_counted) as last_at,
            count(*) filter (where not c.is_counted) as beyond
        from incentives i
        left join unnest($2::integer[], $3::bigint[], $4::integer[])
            as p (source_partition, batch_seq, ordinal) on p.source_partition = i.source_partition
        cross join lateral (select
            coalesce((i.batch_seq, i.ordinal) <= (p.batch_seq, p.ordinal), false) as is_counted) c
        where i.tenant_id = $1 and i.incentive_id >= $5 and i.limit_day >= $6
        group by i.limit_day, i.reward_currency
        union all
        select limit_day, reward_currency, incentives, amount, last_issued_at, 0
        from closed_sums where tenant_id = $1 and limit_day >= $6)
    select limit_day, reward_currency, sum(incentives)::bigint, sum(amount), max(last_at),
        sum(beyond)::bigint
    from known group by limit_day, reward_currency";

/// The day of a tenant's latest incentive.
const LATEST: &str = "
    select limit_day from incentives where tenant_id = $1 order by incentive_id desc limit 1";

/// The ledger in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgLedger {
    db: PgDb,
}

impl PgLedger {
    /// Over a pool of connections.
    pub fn new(db: PgDb) -> Self {
        Self { db }
    }

    async fn tenants(&self, after: Option<TenantId>, max: u32) -> Result<Vec<TenantId>> {
        let client = self.db.client().await?;
        let (after, max) = (after.map_or(Uuid::nil(), |id| id.0), i64::from(max));
        let rows = query(&client, TENANTS, &[&after, &max]).await?;
        rows.iter().map(|row| Columns::of("tenants", row).get().map(TenantId)).collect()
    }

    async fn users(&self, tenant: TenantId, to: mpsc::Sender<UserSums>) -> Result<Applied> {
        let mut client = self.db.client().await?;
        let transaction = tokio_postgres::Client::transaction(&mut client).await?;
        transaction.batch_execute(AS_OF_ONE_MOMENT).await?;
        let mut places = Applied::default();
        for row in transaction.query(PLACES, &[&TOPIC]).await? {
            let place = Place { batch_seq: row.try_get(1)?, ordinal: i32::MAX };
            places.move_to((tenant, row.try_get(0)?), place);
        }
        let statement = transaction.prepare(USERS).await?;
        let portal = transaction.bind(&statement, &[&tenant.0]).await?;
        let mut user: Option<UserSums> = None;
        loop {
            let rows = transaction.query_portal(&portal, FETCH).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let c = &mut Columns::of("incentives", row);
                let name = c.text::<UserRef>()?;
                if user.as_ref().is_none_or(|user| user.user != name) {
                    let done = user.replace(UserSums { user: name, last_seq: 0, sums: vec![] });
                    if let Some(done) = done
                        && to.send(done).await.is_err()
                    {
                        return Ok(places);
                    }
                }
                if let Some(user) = &mut user {
                    user.sums.push((CampaignId(c.get()?), c.get()?, Day(c.get()?), sum(c)?));
                    user.last_seq = user.last_seq.max(c.whole()?);
                }
            }
        }
        if let Some(done) = user {
            // Nobody takes it any more: then nobody asks for the places.
            _ = to.send(done).await;
        }
        Ok(places)
    }

    async fn beyond(
        &self,
        tenant: TenantId,
        places: &Applied,
        max: u32,
    ) -> Result<Vec<CapturedIncentive>> {
        let client = self.db.client().await?;
        let (partitions, batches, ordinals) = columns(tenant, places);
        let sql = format!(
            "select {INCENTIVE_COLUMNS}, i.source_partition, i.batch_seq, i.ordinal
             from positions s
             left join unnest($2::integer[], $3::bigint[], $4::integer[])
                 as p (partition, batch_seq, ordinal) on p.partition = s.partition
             cross join lateral (
                 select * from incentives n
                 where n.source_partition = s.partition and n.tenant_id = $1
                     and (n.batch_seq, n.ordinal)
                         > (coalesce(p.batch_seq, 0), coalesce(p.ordinal, -1))
                 order by n.batch_seq, n.ordinal limit $5) i
             where s.topic = $6
             order by i.source_partition, i.batch_seq, i.ordinal limit $5"
        );
        let max = i64::from(max);
        let params: Params<'_> = &[&tenant.0, &partitions, &batches, &ordinals, &max, &TOPIC];
        let rows = query(&client, &sql, params).await?;
        rows.iter().map(|row| captured(&mut Columns::of("incentives", row))).collect()
    }

    async fn days(
        &self,
        tenant: TenantId,
        places: &Applied,
        recent: Option<i32>,
    ) -> Result<LedgerDays> {
        let mut client = self.db.client().await?;
        let transaction = tokio_postgres::Client::transaction(&mut client).await?;
        transaction.batch_execute(AS_OF_ONE_MOMENT).await?;
        let latest = transaction.query_opt(LATEST, &[&tenant.0]).await?;
        let latest: Option<i32> = latest.map(|row| row.try_get(0)).transpose()?;
        let since = recent.zip(latest).map(|(days, latest)| Day(latest - days));
        let (partitions, batches, ordinals) = columns(tenant, places);
        let (first_id, first_day) = (since.map_or(Uuid::nil(), first_id), since.unwrap_or(NO_DAY));
        let params: Params<'_> =
            &[&tenant.0, &partitions, &batches, &ordinals, &first_id, &first_day.0];
        let mut ledger = LedgerDays { since, ..LedgerDays::default() };
        for row in &transaction.query(DAYS, params).await? {
            let c = &mut Columns::of("incentives", row);
            let (day, currency): (i32, String) = (c.get()?, c.get()?);
            let (incentives, amount) = (c.whole()?, c.get::<Amount>()?.0.normalize());
            let last_at = c.get::<Option<Instant>>()?.map_or(Timestamp::from_stored(0), |at| at.0);
            if incentives > 0 {
                let sum = Sum { incentives, amount, last_at };
                ledger.days.insert((Day(day), currency), sum);
            }
            ledger.beyond += c.whole::<u64>()?;
        }
        Ok(ledger)
    }
}

/// Before all days.
const NO_DAY: Day = Day(i32::MIN);

/// No incentive of a day has a smaller id, in whatever zone the day began.
fn first_id(day: Day) -> Uuid {
    let begins = Zone::utc().start_of(Day(day.0 - 2));
    let mut bytes = [0; 16];
    let ms = u64::try_from(begins.micros() / 1000).unwrap_or(0);
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

/// A tenant's places as columns.
fn columns(tenant: TenantId, places: &Applied) -> (Vec<i32>, Vec<i64>, Vec<i32>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for ((_, partition), place) in places.iter().filter(|((of, _), _)| *of == tenant) {
        columns.0.push(partition);
        columns.1.push(place.batch_seq);
        columns.2.push(place.ordinal);
    }
    columns
}

/// Reads `count(*), sum(reward_amount), max(issued_at)`.
fn sum(c: &mut Columns<'_>) -> Result<Sum> {
    Ok(Sum { incentives: c.whole()?, amount: c.get::<Amount>()?.0.normalize(), last_at: c.time()? })
}

fn captured(c: &mut Columns<'_>) -> Result<CapturedIncentive> {
    let one = incentive(c)?;
    let source_partition = c.get()?;
    let place = Place { batch_seq: c.get()?, ordinal: c.get()? };
    Ok(CapturedIncentive {
        id: one.id,
        tenant: one.tenant,
        user: one.user,
        user_ref: one.user_ref.clone(),
        campaign: one.campaign,
        campaign_version: one.campaign_version,
        event_id: one.event_id.clone(),
        kind: one.kind,
        currency: one.currency.clone(),
        amount: one.amount,
        coupon_code: one.coupon_code.clone(),
        issued_at: one.issued_at,
        seq: one.seq,
        day: one.limits.day,
        source_partition,
        place,
    })
}

impl Ledger for PgLedger {
    fn tenants<'a>(&'a self, after: Option<TenantId>, max: u32) -> PortFuture<'a, Vec<TenantId>> {
        Box::pin(async move { Ok(self.tenants(after, max).await?) })
    }

    fn users<'a>(
        &'a self,
        tenant: TenantId,
        sums: mpsc::Sender<UserSums>,
    ) -> PortFuture<'a, Applied> {
        Box::pin(async move { Ok(self.users(tenant, sums).await?) })
    }

    fn beyond<'a>(
        &'a self,
        tenant: TenantId,
        places: &'a Applied,
        max: u32,
    ) -> PortFuture<'a, Vec<CapturedIncentive>> {
        Box::pin(async move { Ok(self.beyond(tenant, places, max).await?) })
    }

    fn days<'a>(
        &'a self,
        tenant: TenantId,
        places: &'a Applied,
        recent: Option<i32>,
    ) -> PortFuture<'a, LedgerDays> {
        Box::pin(async move { Ok(self.days(tenant, places, recent).await?) })
    }
}
