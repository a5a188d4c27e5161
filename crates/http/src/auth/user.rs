//! End users, by a token of their tenant's issuer.

use store::control::push_auth::{self, PushAuthRow, TokenKey};

use super::jwt::{self, Keys, Refusal, Trust, UserToken};
use super::unknown_credential;
use crate::app::App;
use crate::problem::Problem;

/// Verifies an end user's token with the settings of the tenant that it claims. Errors: 401 for
/// every token that does not hold, with the same words; the log has the reason.
pub async fn verify_user(app: &App, token: &str) -> Result<UserToken, Problem> {
    let refused = |why: &Refusal| {
        tracing::debug!(%why, "a user's token was refused");
        unknown_credential()
    };
    let tenant = jwt::claimed_tenant(token).map_err(|why| refused(&why))?;
    let row = app.control.read(move |sql| push_auth::get(sql, tenant)).await?;
    let trust = row.as_ref().map(trust_of).ok_or_else(unknown_credential)?;
    let jwks = &app.shared().directory.jwks;
    jwt::verify(jwks, &trust, tenant, token, app.now()).await.map_err(|why| refused(&why))
}

/// The stored settings as the verification wants them.
pub fn trust_of(row: &PushAuthRow) -> Trust {
    Trust {
        issuer: (!row.issuer.is_empty()).then(|| row.issuer.clone()),
        keys: match &row.key {
            TokenKey::Secret(secret) => Keys::Secret(secret.as_bytes().to_vec()),
            TokenKey::Jwks(url) => Keys::Jwks(url.clone()),
        },
        algorithms: row.algorithms.iter().filter_map(|name| name.parse().ok()).collect(),
    }
}
