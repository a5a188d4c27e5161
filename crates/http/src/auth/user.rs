//! End users, by a token of their tenant's issuer.

use store::control::push_auth::{self, PushAuthRow, TokenKey};

use super::jwt::{self, Keys, Refusal, Trust, UserToken};
use super::unknown_credential;
use crate::app::App;
use crate::problem::Problem;
use crate::push::{Refused, Verified, VerifyEndUser};

/// Why an end user's token is not taken.
enum Unverified {
    /// It does not hold.
    Refused(Refusal),
    /// Its tenant has not said how tokens are verified, or there is no such tenant.
    NoTrust,
    /// The settings cannot be read.
    Unavailable(Problem),
}

/// Verifies an end user's token with the settings of the tenant that it claims. Errors: 401 for
/// every token that does not hold, with the same words; the log has the reason.
pub async fn verify_user(app: &App, token: &str) -> Result<UserToken, Problem> {
    verify(app, token).await.map_err(|why| match why {
        Unverified::Refused(_) | Unverified::NoTrust => unknown_credential(),
        Unverified::Unavailable(problem) => problem,
    })
}

impl VerifyEndUser for App {
    fn verify<'a>(&'a self, token: &'a str) -> Verified<'a> {
        Box::pin(async move {
            verify(self, token).await.map_err(|why| match why {
                Unverified::Refused(Refusal::Expired) => Refused::Expired,
                Unverified::Refused(Refusal::NoKeys(_)) | Unverified::Unavailable(_) => {
                    Refused::Unavailable
                }
                Unverified::Refused(_) | Unverified::NoTrust => Refused::Invalid,
            })
        })
    }
}

async fn verify(app: &App, token: &str) -> Result<UserToken, Unverified> {
    let tenant = jwt::claimed_tenant(token).map_err(refused)?;
    let row = app.control.read(move |sql| push_auth::get(sql, tenant)).await;
    let row = row.map_err(|error| Unverified::Unavailable(error.into()))?;
    let trust = row.as_ref().map(trust_of).ok_or(Unverified::NoTrust)?;
    let jwks = &app.shared().directory.jwks;
    jwt::verify(jwks, &trust, tenant, token, app.now()).await.map_err(refused)
}

fn refused(why: Refusal) -> Unverified {
    tracing::debug!(%why, "a user's token was refused");
    Unverified::Refused(why)
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
