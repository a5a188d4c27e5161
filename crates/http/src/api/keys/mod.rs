//! API keys.

pub mod create;
pub mod list;
pub mod revoke;

use domain::id::{KeyId, TenantId};
use domain::time::Timestamp;
use store::control::keys::KeyRow;

domain::view! {
    /// An API key, without its secret.
    pub struct ApiKeyInfo {
        /// Its id.
        "keyId" key_id: KeyId,
        /// Whose.
        "tenantId" tenant_id: TenantId,
        /// What it is for.
        "name" name: String,
        /// What it may do.
        "scopes" scopes: Vec<String>,
        /// The beginning of the key, to recognise it by.
        "prefix" prefix: String,
        /// When it was made.
        "createdAt" created_at: Timestamp,
        /// From when it is refused.
        "expiresAt" expires_at: Option<Timestamp>,
        /// Since when it is refused.
        "revokedAt" revoked_at: Option<Timestamp>,
        /// When it was last used, within ten minutes.
        "lastUsedAt" last_used_at: Option<Timestamp>,
    }
}

impl From<KeyRow> for ApiKeyInfo {
    fn from(row: KeyRow) -> Self {
        Self {
            key_id: row.key_id,
            tenant_id: row.tenant_id,
            name: row.name,
            scopes: row.scopes,
            prefix: row.prefix,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}
