//! How the tokens of a tenant's end users are verified.

pub mod put;
pub mod read;

use domain::time::Timestamp;
use store::control::push_auth::{PushAuthRow, TokenKey};

domain::view! {
    /// How the tokens of end users are verified. The secret is never shown.
    pub struct PushAuth {
        /// What the claim `iss` must be; `null` = it does not matter.
        "issuer" issuer: Option<String>,
        /// Where the issuer's public keys are.
        "jwksUrl" jwks_url: Option<String>,
        /// True when tokens are signed with a shared secret.
        "hasSecret" has_secret: bool,
        /// The algorithms allowed.
        "algorithms" algorithms: Vec<String>,
        /// When it was last set.
        "updatedAt" updated_at: Timestamp,
    }
}

impl From<PushAuthRow> for PushAuth {
    fn from(row: PushAuthRow) -> Self {
        let (jwks_url, has_secret) = match row.key {
            TokenKey::Jwks(url) => (Some(url), false),
            TokenKey::Secret(_) => (None, true),
        };
        Self {
            issuer: Some(row.issuer).filter(|issuer| !issuer.is_empty()),
            jwks_url,
            has_secret,
            algorithms: row.algorithms,
            updated_at: row.updated_at,
        }
    }
}
