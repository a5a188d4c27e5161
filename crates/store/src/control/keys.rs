//! API keys of tenants. The secret part of a key is stored as a hash only.

use domain::id::{KeyId, TenantId};
use domain::time::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::audit::{self, Entry, image};
use super::config::lock;
use super::sql::{FromRow, Row, Sql, Value, params, statements};
use super::{Change, Page, PageRequest};
use crate::error::{Result, StoreError};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select key_id, tenant_id, name, scopes, secret_hash, prefix, created_at, expires_at,
                    revoked_at, last_used_at
             from api_keys ",
            $rest
        )
    };
}

statements! {
    INSERT = "insert into api_keys
                  (key_id, tenant_id, name, scopes, secret_hash, prefix, created_at, expires_at)
              values ($1, $2, $3, $4, $5, $6, $7, $8)";
    // Without a tenant: this is how one becomes known.
    FIND = select!("where key_id = $1");
    GET = select!("where tenant_id = $1 and key_id = $2");
    LIST = select!("where tenant_id = $1 and key_id < $2 order by key_id desc limit $3");
    REVOKE = "update api_keys set revoked_at = $3 where tenant_id = $1 and key_id = $2";
    TOUCH = "update api_keys set last_used_at = $3
             where tenant_id = $1 and key_id = $2
               and (last_used_at < $3 or last_used_at is null)";
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRow {
    /// Its id, which the key itself holds in clear.
    pub key_id: KeyId,
    /// Whose.
    pub tenant_id: TenantId,
    /// What it is for.
    pub name: String,
    /// What it may do: `events:write`, …
    pub scopes: Vec<String>,
    /// Hash of the secret part.
    #[serde(skip)]
    pub secret_hash: [u8; 32],
    /// The beginning of the key, to recognise it by.
    pub prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it is refused.
    pub expires_at: Option<Timestamp>,
    /// Since when it is refused.
    pub revoked_at: Option<Timestamp>,
    /// When it was last seen, to the precision with which the caller notes it.
    #[serde(skip)]
    pub last_used_at: Option<Timestamp>,
}

impl FromRow for KeyRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            key_id: row.get("key_id")?,
            tenant_id: row.get("tenant_id")?,
            name: row.get("name")?,
            scopes: row.json("scopes")?,
            secret_hash: row.get("secret_hash")?,
            prefix: row.get("prefix")?,
            created_at: row.get("created_at")?,
            expires_at: row.get("expires_at")?,
            revoked_at: row.get("revoked_at")?,
            last_used_at: row.get("last_used_at")?,
        })
    }
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its id, a UUIDv7.
    pub key_id: KeyId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Hash of the secret part.
    pub secret_hash: [u8; 32],
    /// The beginning of the key, to recognise it by.
    pub prefix: String,
    /// From when it is refused.
    pub expires_at: Option<Timestamp>,
}

/// Stores a key. Errors: [`StoreError::NotFound`] without such a tenant.
pub fn create(
    sql: &mut dyn Sql,
    tenant: TenantId,
    new: &NewKey,
    change: &Change,
) -> Result<KeyRow> {
    lock(sql, tenant)?;
    let scopes = serde_json::json!(new.scopes).to_string();
    let params = params![
        new.key_id,
        tenant,
        &new.name,
        Value::Json(&scopes),
        new.secret_hash.as_slice(),
        &new.prefix,
        change.at,
        new.expires_at,
    ];
    sql.execute(&INSERT, params)?;
    let row = must_get(sql, tenant, new.key_id)?;
    record(sql, change, "key.create", None, &row)?;
    Ok(row)
}

/// The key of this id, whosoever it is, revoked and expired ones too: the caller compares the
/// secret and the times.
pub fn find(sql: &mut dyn Sql, id: KeyId) -> Result<Option<KeyRow>> {
    sql.row(&FIND, params![id])
}

/// A tenant's keys, the newest first.
pub fn list(
    sql: &mut dyn Sql,
    tenant: TenantId,
    page: PageRequest<KeyId>,
) -> Result<Page<KeyRow, KeyId>> {
    let before = page.after.unwrap_or(KeyId(Uuid::max()));
    let rows = sql.rows(&LIST, params![tenant, before, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &KeyRow| row.key_id))
}

/// Revokes a key for good. Doing it again changes nothing. Errors: [`StoreError::NotFound`].
pub fn revoke(sql: &mut dyn Sql, tenant: TenantId, id: KeyId, change: &Change) -> Result<KeyRow> {
    lock(sql, tenant)?;
    let old = must_get(sql, tenant, id)?;
    if old.revoked_at.is_some() {
        return Ok(old);
    }
    sql.execute(&REVOKE, params![tenant, id, change.at])?;
    let row = must_get(sql, tenant, id)?;
    record(sql, change, "key.revoke", Some(&old), &row)?;
    Ok(row)
}

/// Notes that a key was used. Callers do it seldom, not with each request.
pub fn touch(sql: &mut dyn Sql, tenant: TenantId, id: KeyId, at: Timestamp) -> Result<()> {
    sql.execute(&TOUCH, params![tenant, id, at])?;
    Ok(())
}

fn must_get(sql: &mut dyn Sql, tenant: TenantId, id: KeyId) -> Result<KeyRow> {
    let row = sql.row(&GET, params![tenant, id])?;
    row.ok_or_else(|| StoreError::not_found(format!("API key {id}")))
}

fn record(
    sql: &mut dyn Sql,
    change: &Change,
    action: &'static str,
    old: Option<&KeyRow>,
    new: &KeyRow,
) -> Result<()> {
    let entry = Entry {
        action,
        subject: format!("key:{}", new.key_id),
        config_version: None,
        before: old.map(image).transpose()?.flatten(),
        after: image(new)?,
    };
    audit::record(sql, new.tenant_id, change, &entry)
}
