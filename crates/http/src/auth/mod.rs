//! Who calls, and what they may reach.

mod directory;
pub mod jwt;
pub mod key;
mod user;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use domain::id::{KeyId, TenantId, UserRef};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::problem::{Code, Part, Problem};
use crate::route::{Access, Route, Scope};

pub use directory::Directory;
pub use user::{trust_of, verify_user};

/// The header by which the platform admin acts for a tenant.
pub const TENANT_HEADER: &str = "incent-tenant";

/// Who makes a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Caller {
    /// Anybody.
    Anonymous,
    /// The platform admin, perhaps acting for a tenant.
    Admin {
        /// For whom.
        tenant: Option<TenantId>,
    },
    /// Another process of the platform, by the service credential. It reads what it decides by, of
    /// any tenant, and nothing else.
    Service,
    /// A tenant's backend, by its API key.
    Key {
        /// Whose key.
        tenant: TenantId,
        /// Which.
        key: KeyId,
        /// What it may do.
        scopes: Arc<[Scope]>,
    },
    /// An end user, by a token of the tenant's issuer.
    User {
        /// Whose user.
        tenant: TenantId,
        /// Which.
        user: UserRef,
    },
}

/// What a credential is known by, without being one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CredentialId {
    /// The platform admin's token.
    Admin,
    /// The token of the platform's own processes.
    Service,
    /// An API key.
    Key(KeyId),
    /// An end user.
    User(TenantId, UserRef),
}

impl Caller {
    /// On whose behalf; `None` for the public, and for the platform admin unless bound to a tenant.
    pub fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Anonymous | Self::Service => None,
            Self::Admin { tenant } => *tenant,
            Self::Key { tenant, .. } | Self::User { tenant, .. } => Some(*tenant),
        }
    }
    /// True for the platform admin.
    pub fn is_admin(&self) -> bool {
        matches!(self, Self::Admin { .. })
    }
    /// True for those who belong to no tenant and may name any.
    pub fn is_above_tenants(&self) -> bool {
        matches!(self, Self::Admin { .. } | Self::Service)
    }
    /// What their credential is known by.
    pub fn credential(&self) -> Option<CredentialId> {
        match self {
            Self::Anonymous => None,
            Self::Admin { .. } => Some(CredentialId::Admin),
            Self::Service => Some(CredentialId::Service),
            Self::Key { key, .. } => Some(CredentialId::Key(*key)),
            Self::User { tenant, user } => Some(CredentialId::User(*tenant, user.clone())),
        }
    }
    /// Who acted, for the audit log: `admin`, `service`, `key:…`, `user:…`.
    pub fn actor(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Admin { .. } => "admin".to_owned(),
            Self::Service => "service".to_owned(),
            Self::Key { key, .. } => format!("key:{key}"),
            Self::User { user, .. } => format!("user:{user}"),
        }
    }
}

/// Finds out who calls and whether they may reach the route; a change that is denied is logged.
/// Errors: 401 without a valid credential, 403 with one that does not reach so far, 404 for what is
/// another tenant's.
pub async fn admit(
    app: &App,
    (route, request_id): (&Route, &str),
    headers: &HeaderMap,
    path: &[(Arc<str>, String)],
) -> Result<Caller, Problem> {
    if route.access == Access::Public {
        return Ok(Caller::Anonymous);
    }
    let denied = |caller: Option<&Caller>, problem: Problem| {
        app.shared().lines.denied(app.now(), (route, request_id), caller, &problem);
        problem
    };
    let known = match bearer(headers) {
        Ok(token) => identify(app, token).await,
        Err(problem) => Err(problem),
    };
    let known = known.map_err(|problem| denied(None, problem))?;
    let admitted = reach(app, route, known.clone(), headers, path).await;
    admitted.map_err(|problem| denied(Some(&known), problem))
}

/// The caller, bound to a tenant, if they may reach the route.
async fn reach(
    app: &App,
    route: &Route,
    caller: Caller,
    headers: &HeaderMap,
    path: &[(Arc<str>, String)],
) -> Result<Caller, Problem> {
    let caller = bind_tenant(caller, headers, path)?;
    if let Caller::Admin { tenant: Some(tenant) } = caller
        && !app.shared().directory.has_tenant(app, tenant).await?
    {
        return Err(Problem::not_found("tenant"));
    }
    match (&caller, route.access) {
        (Caller::Admin { .. }, _) => Ok(caller),
        (Caller::Service, Access::TenantOrService(_)) => Ok(caller),
        (Caller::Service, _) => {
            let detail = "The service credential only reads what calculators decide by.";
            Err(Problem::new(Code::Forbidden, detail))
        }
        (
            Caller::Key { scopes, .. },
            Access::Tenant(scope) | Access::TenantOrUser(scope) | Access::TenantOrService(scope),
        ) => {
            if scopes.contains(&scope) {
                Ok(caller)
            } else {
                Err(missing_scope(scope))
            }
        }
        (Caller::User { user, .. }, Access::TenantOrUser(_)) => {
            let own = path.iter().any(|(name, id)| &**name == "userId" && id == user.as_str());
            if own { Ok(caller) } else { Err(Problem::not_found("user")) }
        }
        _ => Err(Problem::new(Code::Forbidden, "Only the platform admin can do this.")),
    }
}

fn missing_scope(scope: Scope) -> Problem {
    Problem::new(Code::Forbidden, format!("The API key lacks the scope {scope}."))
}

/// The token of `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let refused = |detail: &str| Err(Problem::new(Code::Unauthenticated, detail));
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (all.next(), all.next()) else {
        return refused("Send one header Authorization: Bearer with a credential.");
    };
    let token = header.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        Some(token) if !token.is_empty() => Ok(token),
        _ => refused("The header Authorization must be: Bearer, a space, and the credential."),
    }
}

async fn identify(app: &App, token: &str) -> Result<Caller, Problem> {
    if token.starts_with(key::PREFIX) {
        let key = key::ApiKey::parse(token).ok_or_else(unknown_credential)?;
        return app.shared().directory.holder_of(app, &key).await;
    }
    let is = |secret: &Option<Arc<str>>| {
        secret.as_ref().is_some_and(|s| bool::from(s.as_bytes().ct_eq(token.as_bytes())))
    };
    if is(&app.config.admin_token) {
        return Ok(Caller::Admin { tenant: None });
    }
    if is(&app.config.service_token) {
        return Ok(Caller::Service);
    }
    let user = verify_user(app, token).await?;
    Ok(Caller::User { tenant: user.tenant, user: user.user })
}

/// The one answer to every credential that is not valid, whatever is wrong with it.
fn unknown_credential() -> Problem {
    Problem::new(Code::Unauthenticated, "The credential is not valid: unknown, expired or revoked.")
}

/// Binds the platform admin to the tenant of the path or the header, and refuses other callers what
/// lies under another tenant's path.
fn bind_tenant(
    caller: Caller,
    headers: &HeaderMap,
    path: &[(Arc<str>, String)],
) -> Result<Caller, Problem> {
    let in_path = path.iter().find(|(name, _)| &**name == "tenantId").map(|(_, id)| id);
    let in_path =
        in_path.map(|id| id.parse::<TenantId>().map_err(|_| Problem::not_found("tenant")));
    let in_path = in_path.transpose()?;
    let in_header = headers.get(TENANT_HEADER).map(|value| {
        let id = value.to_str().ok().and_then(|text| text.parse::<TenantId>().ok());
        id.ok_or_else(|| {
            Problem::invalid_parameter(Part::Header, "Incent-Tenant", "must be the id of a tenant")
        })
    });
    let in_header = in_header.transpose()?;
    if let (Some(path), Some(header)) = (in_path, in_header)
        && path != header
    {
        return Err(Problem::not_found("tenant"));
    }
    let named = in_path.or(in_header);
    match caller {
        Caller::Admin { .. } => Ok(Caller::Admin { tenant: named }),
        // It acts for no tenant, so a path of one is as far from it as any other.
        Caller::Service if in_header.is_none() => Ok(Caller::Service),
        other if named.is_none() || named == other.tenant() => Ok(other),
        _ => Err(Problem::not_found("tenant")),
    }
}
