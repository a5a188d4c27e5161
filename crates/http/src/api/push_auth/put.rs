//! `PUT /api/v1/tenants/{tenantId}/push-auth`.

use domain::shape::{Fault, FaultCode, Faults, Many, Text};
use store::control::push_auth::{self, TokenKey};

use super::PushAuth;
use crate::api::tenants::OneTenant;
use crate::auth::jwt::{Algorithm, SECRET_BYTES_MIN, address};
use crate::call::{Call, Document, Okay, Path, Reply};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// How the tokens of end users are verified. Exactly one of `jwksUrl` and `secret`.
    pub struct PutPushAuth {
        /// What the claim `iss` must be; left out, it does not matter.
        "issuer" issuer: Option<Text<1, 512>>,
        /// Where the issuer's public keys are: an https address.
        "jwksUrl" jwks_url: Option<Text<1, 2048>>,
        /// A secret shared with the issuer, at least 32 bytes.
        "secret" secret: Option<Text<1, 1024>>,
        /// The algorithms allowed: HS256 with a secret, the others with public keys.
        "algorithms" algorithms: Many<Algorithm, 1, 4>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "putPushAuth",
    summary: "Set how the tokens of end users are verified",
    about: "A token has the claims sub = userId, tenant = tenantId, aud = `incent-push` and exp, at \
            most a day ahead.",
    problems: &[],
};

/// Sets it.
pub async fn handle(
    call: Call,
    Path(one): Path<OneTenant>,
    Document(new): Document<PutPushAuth>,
) -> Result<Okay<PushAuth>, Problem> {
    let key = key(&new, call.app.config.dev)?;
    let issuer = new.issuer.map(|issuer| issuer.into_string()).unwrap_or_default();
    let mut algorithms: Vec<String> = new.algorithms.iter().map(|a| a.to_string()).collect();
    algorithms.sort();
    algorithms.dedup();
    call.write(move |sql, change| {
        let row = push_auth::put(sql, one.tenant_id, (&issuer, &key), &algorithms, change)?;
        Ok(Reply::new(row.into()))
    })
    .await
}

/// The key, if it goes with the algorithms. Errors: every fault.
fn key(new: &PutPushAuth, dev: bool) -> Result<TokenKey, Faults> {
    let mut faults = Faults::default();
    let mut refuse = |at: &str, code, detail: &str| faults.push(Fault::new(at, code, detail));
    for (at, algorithm) in new.algorithms.iter().enumerate() {
        if algorithm.is_shared() != new.secret.is_some() {
            let detail = "does not go with this kind of key: HS256 is for a secret, all others are \
                          for public keys";
            refuse(&format!("/algorithms/{at}"), FaultCode::Conflict, detail);
        }
    }
    match (&new.jwks_url, &new.secret) {
        (Some(url), None) => {
            if let Err(why) = address::check(url, dev) {
                refuse("/jwksUrl", FaultCode::NotAllowed, why);
            }
            faults.or_ok(TokenKey::Jwks(url.to_string()))
        }
        (None, Some(secret)) => {
            if secret.len() < SECRET_BYTES_MIN {
                refuse("/secret", FaultCode::TooShort, "must have at least 32 bytes");
            }
            faults.or_ok(TokenKey::Secret(secret.to_string()))
        }
        (Some(_), Some(_)) => {
            refuse("/secret", FaultCode::Conflict, "cannot stand beside jwksUrl");
            Err(faults)
        }
        (None, None) => {
            refuse("", FaultCode::Required, "must have jwksUrl or secret");
            Err(faults)
        }
    }
}
