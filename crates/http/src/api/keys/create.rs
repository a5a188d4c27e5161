//! `POST /api/v1/tenants/{tenantId}/api-keys`: a new API key, shown once.

use std::collections::BTreeSet;

use domain::id::{KeyId, TenantId};
use domain::shape::{FaultCode, Many, Text};
use domain::time::Timestamp;
use store::control::keys::{self, NewKey};

use crate::api::tenants::OneTenant;
use crate::auth::Caller;
use crate::auth::key::ApiKey;
use crate::call::{Call, Created, Document, Path, Reply, address};
use crate::problem::Problem;
use crate::route::{Doc, Scope};

domain::shape! {
    /// A new API key.
    pub struct CreateApiKey {
        /// What it is for.
        "name" name: Text<1, 200>,
        /// What it may do.
        "scopes" scopes: Many<Scope, 1, 16>,
        /// From when it is refused; left out, it is valid until it is revoked.
        "expiresAt" expires_at: Option<Timestamp>,
    }
}

domain::view! {
    /// A new API key.
    pub struct NewApiKey {
        /// Its id.
        "keyId" key_id: KeyId,
        /// Whose.
        "tenantId" tenant_id: TenantId,
        /// What it is for.
        "name" name: String,
        /// What it may do.
        "scopes" scopes: Vec<String>,
        /// The key itself. Shown now and never again: `null` when the request is repeated.
        "key" key: Option<String>,
        /// The beginning of the key, to recognise it by.
        "prefix" prefix: String,
        /// When it was made.
        "createdAt" created_at: Timestamp,
        /// From when it is refused.
        "expiresAt" expires_at: Option<Timestamp>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "createApiKey",
    summary: "Make an API key",
    about: "The key is shown once and stored as a hash. A key can give away only scopes that it has.",
    problems: &[],
};

/// Makes it.
pub async fn handle(
    call: Call,
    Path(one): Path<OneTenant>,
    Document(new): Document<CreateApiKey>,
) -> Result<Created<NewApiKey>, Problem> {
    let now = call.app.now();
    if new.expires_at.is_some_and(|at| at <= now) {
        let detail = "lies in the past";
        return Err(Problem::invalid_field("/expiresAt", FaultCode::OutOfRange, detail));
    }
    may_give(&call.caller, &new.scopes)?;
    let scopes: BTreeSet<Scope> = new.scopes.iter().copied().collect();
    let key = ApiKey::new(KeyId(call.app.ids.uuid()), call.app.ids.secret());
    let new = NewKey {
        key_id: key.id,
        name: new.name.into_string(),
        scopes: scopes.into_iter().map(|scope| scope.to_string()).collect(),
        secret_hash: key.hash(),
        prefix: key.shown(),
        expires_at: new.expires_at,
    };
    call.write(move |sql, change| {
        let row = keys::create(sql, one.tenant_id, &new, change)?;
        let before = format!("/api/v1/tenants/{}/api-keys", one.tenant_id);
        let at = address(&before, row.key_id);
        let mut shown = NewApiKey {
            key_id: row.key_id,
            tenant_id: row.tenant_id,
            name: row.name,
            scopes: row.scopes,
            key: None,
            prefix: row.prefix,
            created_at: row.created_at,
            expires_at: row.expires_at,
        };
        let kept = serde_json::to_value(&shown).unwrap_or_default();
        shown.key = Some(key.reveal());
        Ok(Reply::new(shown).at(at).repeated_as(kept))
    })
    .await
}

/// A key must not make one that reaches further than itself.
fn may_give(caller: &Caller, wanted: &[Scope]) -> Result<(), Problem> {
    let Caller::Key { scopes, .. } = caller else { return Ok(()) };
    match wanted.iter().position(|scope| !scopes.contains(scope)) {
        None => Ok(()),
        Some(at) => Err(Problem::invalid_field(
            &format!("/scopes/{at}"),
            FaultCode::NotAllowed,
            format!("the key that makes this one does not have the scope {}", wanted[at]),
        )),
    }
}
