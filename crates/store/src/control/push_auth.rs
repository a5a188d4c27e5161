//! How the tokens of a tenant's end users are checked.

use std::fmt;

use domain::id::TenantId;
use domain::time::Timestamp;
use serde::Serialize;

use super::Change;
use super::audit::{self, Entry, image};
use super::config::lock;
use super::sql::{FromRow, Row, Sql, Value, params, statements};
use crate::error::Result;

statements! {
    PUT = "insert into push_auth (tenant_id, issuer, jwks_url, secret, algorithms, updated_at)
           values ($1, $2, $3, $4, $5, $6)
           on conflict (tenant_id) do update
           set issuer = excluded.issuer, jwks_url = excluded.jwks_url, secret = excluded.secret,
               algorithms = excluded.algorithms, updated_at = excluded.updated_at";
    GET = "select issuer, jwks_url, secret, algorithms, updated_at from push_auth
           where tenant_id = $1";
}

/// Where the key comes from that signs the tokens.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenKey {
    /// The issuer publishes its keys here.
    Jwks(String),
    /// Both sides know it.
    Secret(String),
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jwks(url) => write!(f, "Jwks({url:?})"),
            Self::Secret(_) => f.write_str("Secret(…)"),
        }
    }
}

impl Serialize for TokenKey {
    /// For the audit log: the secret stays out of it.
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::Jwks(url) => url,
            Self::Secret(_) => "(a shared secret)",
        })
    }
}

/// How the tokens of a tenant's end users are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushAuthRow {
    /// The `iss` of the tokens.
    pub issuer: String,
    /// What they are signed with.
    pub key: TokenKey,
    /// The algorithms allowed, by their JWA names.
    pub algorithms: Vec<String>,
    /// When it was last set.
    pub updated_at: Timestamp,
}

impl FromRow for PushAuthRow {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let key = match (row.get("jwks_url")?, row.get("secret")?) {
            (Some(url), None) => TokenKey::Jwks(url),
            (None, Some(secret)) => TokenKey::Secret(secret),
            _ => return Err(row.corrupt("secret", "exactly one of jwks_url and secret is set")),
        };
        Ok(Self {
            issuer: row.get("issuer")?,
            key,
            algorithms: row.json("algorithms")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

/// A tenant's setting; `None` when it has none: no end user can connect.
pub fn get(sql: &mut dyn Sql, tenant: TenantId) -> Result<Option<PushAuthRow>> {
    sql.row(&GET, params![tenant])
}

/// Sets it. Setting the same again changes nothing. Errors:
/// [`crate::StoreError::NotFound`] without such a tenant.
pub fn put(
    sql: &mut dyn Sql,
    tenant: TenantId,
    (issuer, key): (&str, &TokenKey),
    algorithms: &[String],
    change: &Change,
) -> Result<PushAuthRow> {
    lock(sql, tenant)?;
    let old = get(sql, tenant)?;
    let row = PushAuthRow {
        issuer: issuer.to_owned(),
        key: key.clone(),
        algorithms: algorithms.to_vec(),
        updated_at: change.at,
    };
    if let Some(old) = &old
        && (PushAuthRow { updated_at: old.updated_at, ..row.clone() }) == *old
    {
        return Ok(old.clone());
    }
    let (jwks_url, secret) = match key {
        TokenKey::Jwks(url) => (Some(url), None),
        TokenKey::Secret(secret) => (None, Some(secret)),
    };
    let algorithms = serde_json::json!(algorithms).to_string();
    let params = params![tenant, issuer, jwks_url, secret, Value::Json(&algorithms), change.at];
    sql.execute(&PUT, params)?;
    let entry = Entry {
        action: "push_auth.set",
        subject: "push_auth".to_owned(),
        config_version: None,
        before: old.as_ref().map(image).transpose()?.flatten(),
        after: image(&row)?,
    };
    audit::record(sql, tenant, change, &entry)?;
    Ok(row)
}
