//! `POST /api/v1/tenants/{tenantId}/api-keys/{keyId}:revoke`: refuses a key from now on.

use domain::id::{KeyId, TenantId};
use store::control::keys;

use super::ApiKeyInfo;
use crate::call::{Call, Okay, Path, Reply};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which key.
    pub struct OneApiKey {
        /// Whose.
        "tenantId" tenant_id: TenantId,
        /// Its id.
        "keyId" key_id: KeyId,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "revokeApiKey",
    summary: "Revoke an API key for good",
    about: "Refused at once by this process, within 5 seconds by others. Doing it again changes \
            nothing.",
    problems: &[],
};

/// Revokes it.
pub async fn handle(call: Call, Path(one): Path<OneApiKey>) -> Result<Okay<ApiKeyInfo>, Problem> {
    let reply = call
        .write(move |sql, change| {
            let row = keys::revoke(sql, one.tenant_id, one.key_id, change)?;
            Ok(Reply::new(row.into()))
        })
        .await?;
    call.app.forget_key(one.key_id);
    Ok(reply)
}
