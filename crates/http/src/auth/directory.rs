//! What is known of API keys and tenants, cached for a few seconds so that a call costs no query.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::{KeyId, TenantId};
use domain::time::{SECOND_US, Timestamp};
use store::control::{keys, tenants};
use subtle::ConstantTimeEq as _;

use super::jwt::{Jwks, fetcher};
use super::key::ApiKey;
use super::{Caller, unknown_credential};
use crate::app::App;
use crate::problem::Problem;
use crate::route::Scope;

/// How long a key is believed. A key revoked in this process is refused at once, one revoked in
/// another process after this time.
const BELIEVED_US: i64 = 5 * SECOND_US;
/// Most keys and tenants remembered.
const REMEMBERED_MAX: usize = 10_000;
/// `last_used_at` is noted again when it is older.
const TOUCHED_US: i64 = 600 * SECOND_US;

/// What is known of credentials.
pub struct Directory {
    keys: Mutex<Keys>,
    tenants: Mutex<HashSet<TenantId>>,
    pub(super) jwks: Jwks,
}

/// The keys remembered.
#[derive(Default)]
struct Keys {
    by_id: HashMap<KeyId, Known>,
    /// Rises with each revocation: what was read before one is not remembered after it.
    revocations: u64,
}

/// A key as it was read from the store.
#[derive(Clone)]
struct Known {
    tenant: TenantId,
    scopes: Arc<[Scope]>,
    secret_hash: [u8; 32],
    expires_at: Option<Timestamp>,
    read_at: Timestamp,
}

impl Directory {
    /// Knowing nothing yet.
    pub fn new(dev: bool) -> Self {
        Self { keys: Mutex::default(), tenants: Mutex::default(), jwks: Jwks::new(fetcher(dev)) }
    }

    /// Who holds a key. Errors: 401 when it is unknown, wrong, revoked or expired.
    pub(super) async fn holder_of(&self, app: &App, key: &ApiKey) -> Result<Caller, Problem> {
        let now = app.now();
        let remembered = lock(&self.keys).by_id.get(&key.id).cloned();
        let known = match remembered.filter(|known| now < known.read_at.plus_micros(BELIEVED_US)) {
            Some(known) => known,
            None => self.read_key(app, key.id, now).await?,
        };
        let same = bool::from(known.secret_hash.ct_eq(&key.hash()));
        if !same || known.expires_at.is_some_and(|at| at <= now) {
            return Err(unknown_credential());
        }
        Ok(Caller::Key { tenant: known.tenant, key: key.id, scopes: known.scopes })
    }

    /// Forgets a key, because it was revoked.
    pub(crate) fn forget_key(&self, key: KeyId) {
        let mut keys = lock(&self.keys);
        keys.revocations += 1;
        keys.by_id.remove(&key);
    }

    async fn read_key(&self, app: &App, id: KeyId, now: Timestamp) -> Result<Known, Problem> {
        let revocations = lock(&self.keys).revocations;
        let row = app.control.read(move |sql| keys::find(sql, id)).await?;
        let row = row.filter(|row| row.revoked_at.is_none()).ok_or_else(unknown_credential)?;
        let known = Known {
            tenant: row.tenant_id,
            // A scope that this version does not know allows nothing.
            scopes: row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            secret_hash: row.secret_hash,
            expires_at: row.expires_at,
            read_at: now,
        };
        {
            let mut keys = lock(&self.keys);
            if keys.by_id.len() >= REMEMBERED_MAX {
                keys.by_id.clear();
            }
            if keys.revocations == revocations {
                keys.by_id.insert(id, known.clone());
            }
        }
        if row.last_used_at.is_none_or(|at| at.plus_micros(TOUCHED_US) < now) {
            let control = app.control.clone();
            // Nobody waits for it, and losing it costs nothing.
            tokio::spawn(async move {
                control.write(move |sql| keys::touch(sql, row.tenant_id, id, now)).await
            });
        }
        Ok(known)
    }

    /// True when there is such a tenant. Tenants are never deleted, so a yes holds for ever.
    pub(super) async fn has_tenant(&self, app: &App, tenant: TenantId) -> Result<bool, Problem> {
        if lock(&self.tenants).contains(&tenant) {
            return Ok(true);
        }
        let exists = app.control.read(move |sql| tenants::get(sql, tenant)).await?.is_some();
        if exists {
            let mut tenants = lock(&self.tenants);
            if tenants.len() >= REMEMBERED_MAX {
                tenants.clear();
            }
            tenants.insert(tenant);
        }
        Ok(exists)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
