//! Loading what a batch needs: point look-ups in one read transaction, in key order so that
//! neighbours share pages.

use domain::decide::{Loaded, Needs, StoredUser};
use domain::id::{TenantId, UserId};
use domain::limit::Meter;
use domain::state::UserState;
use domain::time::Day;
use rusqlite::{Connection, OptionalExtension as _};
use rust_decimal::Decimal;

use super::rows::{Columns, EVER, blob};
use crate::error::{Result, StoreError};

const STATE: &str = "select version, state from user_states where user_id = ?1";
const ATTRIBUTES: &str = "select attributes from users where user_id = ?1";
const MEMBER: &str = "select 1 from cohort_members
     where cohort_id = ?1 and membership_version = ?2 and user_id = ?3";
const MARK: &str = "select 1 from user_marks where user_id = ?1 and mark_key = ?2";
const USED_EVER: &str = "select used from limit_usage
     where tenant_id = ?1 and limit_key = ?2 and bucket = ?3";
const USED_SINCE: &str = "select bucket, used from limit_usage
     where tenant_id = ?1 and limit_key = ?2 and bucket >= ?3 order by bucket";
const CONFIG_VERSION: &str = "select config_version from tenant_states where tenant_id = ?1";

pub(super) fn load(conn: &Connection, needs: &Needs) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    users(conn, needs, &mut loaded)?;
    let mut mark = conn.prepare_cached(MARK)?;
    for (user, key) in &needs.marks {
        if mark.exists((blob(&user.0), key))? {
            loaded.marks.insert((*user, *key));
        }
    }
    for ((tenant, key), from) in &needs.usage {
        if let Some(meter) = meter(conn, *tenant, key, *from)? {
            loaded.usage.insert((*tenant, key.clone()), meter);
        }
    }
    let mut version = conn.prepare_cached(CONFIG_VERSION)?;
    for tenant in &needs.tenants {
        if let Some(v) = version.query_row([blob(&tenant.0)], |r| r.get(0)).optional()? {
            loaded.config_versions.insert(*tenant, v);
        }
    }
    Ok(loaded)
}

fn users(conn: &Connection, needs: &Needs, loaded: &mut Loaded) -> Result<()> {
    let mut state = conn.prepare_cached(STATE)?;
    let mut attributes = conn.prepare_cached(ATTRIBUTES)?;
    let mut member = conn.prepare_cached(MEMBER)?;
    for user in &needs.users {
        let id = blob(&user.0);
        let mut stored = StoredUser::default();
        let mut rows = state.query([id])?;
        if let Some(row) = rows.next()? {
            stored.version = row.get(0)?;
            let text = row.get_ref(1)?.as_str().map_err(|e| unreadable(*user, &e.to_string()))?;
            stored.state = parse(*user, text)?;
        }
        drop(rows);
        if needs.attributes {
            stored.attributes = attributes.query_row([id], |r| r.get(0)).optional()?;
        }
        for (cohort, version) in &needs.cohorts {
            if member.exists((blob(&cohort.0), version, id))? {
                stored.cohorts.push(*cohort);
            }
        }
        loaded.users.insert(*user, stored);
    }
    Ok(())
}

fn parse(user: UserId, text: &str) -> Result<UserState> {
    serde_json::from_str(text).map_err(|e| unreadable(user, &e.to_string()))
}

fn unreadable(user: UserId, detail: &str) -> StoreError {
    StoreError::Corrupt {
        table: "user_states".to_owned(),
        column: "state".to_owned(),
        row: user.to_string(),
        detail: detail.to_owned(),
    }
}

fn meter(
    conn: &Connection,
    tenant: TenantId,
    key: &str,
    from: Day,
) -> Result<Option<Meter<Decimal>>> {
    let mut ever = conn.prepare_cached(USED_EVER)?;
    let mut rows = ever.query((blob(&tenant.0), key, EVER))?;
    // Every use counts for ever, so without that bucket there is no other.
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut meter =
        Meter { ever: Columns::of("limit_usage", row).text::<Decimal>()?, days: Vec::new() };
    drop(rows);
    let mut since = conn.prepare_cached(USED_SINCE)?;
    let mut rows = since.query((blob(&tenant.0), key, i64::from(from.0).max(EVER + 1)))?;
    while let Some(row) = rows.next()? {
        let c = &mut Columns::of("limit_usage", row);
        meter.days.push((Day(c.whole()?), c.text::<Decimal>()?));
    }
    Ok(Some(meter))
}
