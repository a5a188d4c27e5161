//! Loading what a batch needs in one round trip: the queries go out together on one connection.
//! The tenants' lanes are read first. Whatever another batch of the same tenant commits after that
//! makes ours stale in its commit, so the rest need not be of the same moment.

use deadpool_postgres::Object;
use domain::decide::{Lane, Loaded, Needs, StoredUser};
use domain::id::{CohortId, EventKey, TenantId, UserId};
use domain::limit::Meter;
use domain::state::UserState;
use domain::time::Day;
use engine::guard::{self, Guard};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::Params;
use super::repeats::Repeats;
use super::rows::{Columns, EVER};
use crate::error::Result;
use crate::postgres::PgDb;
use crate::postgres::values::{Amount, CompactDocument};

const LANES: &str = "
    select tenant_id, config_version, last_append_time, lane_version
    from tenant_states where tenant_id = any($1)";
const STATES: &str = "select user_id, version, state from user_states where user_id = any($1)";
const ATTRIBUTES: &str = "select user_id, attributes from users where user_id = any($1)";
// Where keys stand in several columns they are looked up one by one. Left to choose, the planner joins
// by reading the whole of a table that has grown since it was last analysed: `offset 0` keeps it from
// that.
const MEMBERS: &str = "
    select m.user_id, m.cohort_id
    from unnest($1::uuid[], $2::bigint[]) as c (cohort_id, version),
    lateral (
        select * from cohort_members m
        where m.cohort_id = c.cohort_id and m.membership_version = c.version
            and m.user_id = any($3) offset 0
    ) m
    order by m.user_id, m.cohort_id";
const MARKS: &str = "
    select m.user_id, m.mark_key
    from unnest($1::uuid[], $2::uuid[]) as k (user_id, mark_key),
    lateral (
        select * from user_marks m
        where m.user_id = k.user_id and m.mark_key = k.mark_key offset 0
    ) m";
const USAGE: &str = "
    select u.tenant_id, u.limit_key, u.bucket, u.used
    from unnest($1::uuid[], $2::text[], $3::bigint[]) as k (tenant_id, limit_key, since),
    lateral (
        select * from limit_usage u
        where u.tenant_id = k.tenant_id and u.limit_key = k.limit_key
            and (u.bucket >= k.since or u.bucket = -2147483648) offset 0
    ) u
    order by u.tenant_id, u.limit_key, u.bucket";
const EVENT_IDS: &str = "
    select i.tenant_id, i.event_key, i.content_hash
    from unnest($1::uuid[], $2::uuid[]) as k (tenant_id, event_key),
    lateral (
        select * from event_ids i
        where i.tenant_id = k.tenant_id and i.event_key = k.event_key offset 0
    ) i";

pub(super) async fn load(db: &PgDb, repeats: &Repeats, needs: &Needs) -> Result<Loaded> {
    let client = db.client().await?;
    let asked = Asked::of(needs, repeats);
    let prepared = Prepared::of(&client, &asked).await?;
    let a = &asked;
    let (tenants, users): (Params<'_>, Params<'_>) = (&[&a.tenants], &[&a.users]);
    let cohorts: Params<'_> = &[&a.cohorts.0, &a.cohorts.1, &a.users];
    let keys: Params<'_> = &[&a.marks.0, &a.marks.1];
    let since: Params<'_> = &[&a.usage.0, &a.usage.1, &a.usage.2];
    let ids: Params<'_> = &[&a.event_ids.0, &a.event_ids.1];
    let (lanes, states, attributes, members, marks, usage, decided) = tokio::try_join!(
        biased;
        ask(&client, &prepared.lanes, tenants),
        ask(&client, &prepared.states, users),
        ask(&client, &prepared.attributes, users),
        ask(&client, &prepared.members, cohorts),
        ask(&client, &prepared.marks, keys),
        ask(&client, &prepared.usage, since),
        ask(&client, &prepared.event_ids, ids),
    )?;
    let mut loaded = Loaded::default();
    loaded.users.extend(needs.users.iter().map(|user| (*user, StoredUser::default())));
    read(&lanes, "tenant_states", &mut loaded, lane)?;
    read(&states, "user_states", &mut loaded, state)?;
    read(&attributes, "users", &mut loaded, attribute)?;
    read(&members, "cohort_members", &mut loaded, member)?;
    read(&marks, "user_marks", &mut loaded, mark)?;
    read(&usage, "limit_usage", &mut loaded, used)?;
    read(&decided, "event_ids", &mut loaded, event_id)?;
    if !loaded.event_ids.is_empty() {
        repeats.seen();
    }
    Ok(loaded)
}

async fn ask(
    client: &Object,
    statement: &Option<Statement>,
    params: Params<'_>,
) -> Result<Vec<Row>> {
    match statement {
        Some(statement) => Ok(client.query(statement, params).await?),
        None => Ok(Vec::new()),
    }
}

/// The needs as parameters.
struct Asked<'a> {
    users: Vec<Uuid>,
    has_attributes: bool,
    tenants: Vec<Uuid>,
    cohorts: (Vec<Uuid>, Vec<i64>),
    marks: (Vec<Uuid>, Vec<Uuid>),
    usage: (Vec<Uuid>, Vec<&'a str>, Vec<i64>),
    event_ids: (Vec<Uuid>, Vec<Uuid>),
}

impl<'a> Asked<'a> {
    fn of(needs: &'a Needs, repeats: &Repeats) -> Self {
        let mut usage = (Vec::new(), Vec::new(), Vec::new());
        for ((tenant, key), from) in &needs.usage {
            usage.0.push(tenant.0);
            usage.1.push(key.as_str());
            usage.2.push(i64::from(from.0).max(EVER + 1));
        }
        let uuid = |bytes: &[u8; 16]| Uuid::from_bytes(*bytes);
        let ids = needs.event_ids.iter().map(|(tenant, key)| (tenant.0, uuid(&key.0)));
        let looks_up = !needs.event_ids.is_empty() && repeats.are_likely();
        Self {
            users: needs.users.iter().map(|user| user.0).collect(),
            has_attributes: needs.attributes,
            tenants: needs.tenants.iter().map(|tenant| tenant.0).collect(),
            cohorts: needs.cohorts.iter().map(|(cohort, version)| (cohort.0, *version)).unzip(),
            marks: needs.marks.iter().map(|(user, key)| (user.0, uuid(key))).unzip(),
            usage,
            event_ids: if looks_up { ids.unzip() } else { Default::default() },
        }
    }
}

/// The statements of what is asked for; the rest is not sent.
struct Prepared {
    lanes: Option<Statement>,
    states: Option<Statement>,
    attributes: Option<Statement>,
    members: Option<Statement>,
    marks: Option<Statement>,
    usage: Option<Statement>,
    event_ids: Option<Statement>,
}

impl Prepared {
    async fn of(client: &Object, asked: &Asked<'_>) -> Result<Self> {
        let has_users = !asked.users.is_empty();
        let asks_for_ids = !asked.event_ids.0.is_empty() && guard::holds(Guard::Dedupe);
        Ok(Self {
            lanes: prepare(client, LANES, !asked.tenants.is_empty()).await?,
            states: prepare(client, STATES, has_users).await?,
            attributes: prepare(client, ATTRIBUTES, has_users && asked.has_attributes).await?,
            members: prepare(client, MEMBERS, has_users && !asked.cohorts.0.is_empty()).await?,
            marks: prepare(client, MARKS, !asked.marks.0.is_empty()).await?,
            usage: prepare(client, USAGE, !asked.usage.0.is_empty()).await?,
            event_ids: prepare(client, EVENT_IDS, asks_for_ids).await?,
        })
    }
}

async fn prepare(client: &Object, sql: &str, is_asked: bool) -> Result<Option<Statement>> {
    match is_asked {
        true => Ok(Some(client.prepare_cached(sql).await?)),
        false => Ok(None),
    }
}

fn read(
    rows: &[Row],
    table: &'static str,
    loaded: &mut Loaded,
    each: fn(&mut Columns<'_>, &mut Loaded) -> Result<()>,
) -> Result<()> {
    rows.iter().try_for_each(|row| each(&mut Columns::of(table, row), loaded))
}

fn lane(c: &mut Columns<'_>, loaded: &mut Loaded) -> Result<()> {
    let tenant = TenantId(c.get()?);
    loaded.config_versions.insert(tenant, c.get()?);
    let lane = Lane { append_time: c.time()?, version: c.get()? };
    loaded.lanes.insert(tenant, lane);
    Ok(())
}

fn user<'l>(c: &mut Columns<'_>, loaded: &'l mut Loaded) -> Result<&'l mut StoredUser> {
    Ok(loaded.users.entry(UserId(c.get()?)).or_default())
}

fn state(c: &mut Columns<'_>, loaded: &mut Loaded) -> Result<()> {
    let stored = user(c, loaded)?;
    stored.version = c.get()?;
    let parsed = serde_json::from_str::<UserState>(c.get::<&str>()?);
    stored.state = parsed.map_err(|e| c.corrupt(&e.to_string()))?;
    Ok(())
}

fn attribute(c: &mut Columns<'_>, loaded: &mut Loaded) -> Result<()> {
    let stored = user(c, loaded)?;
    stored.attributes = Some(c.get::<CompactDocument>()?.0);
    Ok(())
}

fn member(c: &mut Columns<'_>, loaded: &mut Loaded) -> Result<()> {
    let stored = user(c, loaded)?;
    stored.cohorts.push(CohortId(c.get()?));
    Ok(())
}

fn mark(c: &mut Columns<'_>, loaded: &mut Loaded) -> Result<()> {
    loaded.marks.insert((UserId(c.get()?), c.get::<Uuid>()?.into_bytes()));
    Ok(())
}

fn event_id(c: &mut Columns<'_>, loaded: &mut Loaded) -> Result<()> {
    let key = (TenantId(c.get()?), EventKey(c.get::<Uuid>()?.into_bytes()));
    loaded.event_ids.insert(key, c.get::<Uuid>()?.into_bytes());
    Ok(())
}

/// Every use counts for ever, so that bucket is there, and it comes first.
fn used(c: &mut Columns<'_>, loaded: &mut Loaded) -> Result<()> {
    let key = (TenantId(c.get()?), c.get::<String>()?);
    let (bucket, used) = (c.get::<i64>()?, c.get::<Amount>()?.0);
    if bucket == EVER {
        loaded.usage.insert(key, Meter { ever: used, days: Vec::new() });
        return Ok(());
    }
    let day = i32::try_from(bucket).map_err(|_| c.corrupt("is no day"))?;
    match loaded.usage.get_mut(&key) {
        Some(meter) => meter.days.push((Day(day), used)),
        None => return Err(c.corrupt("counts on a day and not for ever")),
    }
    Ok(())
}
