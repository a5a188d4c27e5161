//! Tokens of end users: compact JWS, signed by the tenant's issuer or with a secret it shares with us.
//!
//! RFC 8725 in short: the tenant's own settings say which algorithms and keys count, the token never
//! does. An algorithm is bound to a type of key, so an RSA key can never serve as an HMAC secret.
//! Nothing that the token names is fetched or opened. All required claims are required *and* typed.

pub mod address;
mod fetch;
mod jwks;
mod parse;
#[cfg(test)]
mod tests;

use domain::id::{TenantId, UserRef};
use domain::time::{DAY_US, SECOND_US, Timestamp};
use jsonwebtoken::DecodingKey;
use subtle::ConstantTimeEq as _;

pub use fetch::{Fetch, fetcher};
pub use jwks::Jwks;
pub use parse::TOKEN_BYTES_MAX;
use parse::Token;

/// The audience that a token must name.
pub const AUDIENCE: &str = "incent-push";
/// How far the issuer's clock may differ from ours, microseconds.
pub const LEEWAY_US: i64 = 30 * SECOND_US;
/// Longest life of a token, microseconds.
pub const LIFETIME_MAX_US: i64 = DAY_US;
/// Shortest shared secret, bytes: as long as the hash (RFC 7518 §3.2).
pub const SECRET_BYTES_MIN: usize = 32;

domain::choice! {
    /// How a token may be signed.
    pub enum Algorithm {
        /// HMAC with SHA-256 and a shared secret.
        Hs256 = "HS256",
        /// RSA PKCS #1 v1.5 with SHA-256; keys of 2048 bits or more.
        Rs256 = "RS256",
        /// ECDSA over P-256 with SHA-256.
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

impl Algorithm {
    /// True for signatures with a shared secret.
    pub fn is_shared(self) -> bool {
        self == Self::Hs256
    }
    fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// How the tokens of a tenant's users are verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Trust {
    /// What `iss` must be; `None` = it does not matter.
    pub issuer: Option<String>,
    /// Where the keys are.
    pub keys: Keys,
    /// Which algorithms count.
    pub algorithms: Vec<Algorithm>,
}

/// Where the keys of an issuer are.
#[derive(Clone, PartialEq, Eq)]
pub enum Keys {
    /// One secret, shared with the issuer.
    Secret(Vec<u8>),
    /// A set of public keys at an address.
    Jwks(String),
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = match &self.keys {
            Keys::Secret(_) => "a secret",
            Keys::Jwks(url) => url,
        };
        write!(f, "Trust({:?}, {keys}, {:?})", self.issuer, self.algorithms)
    }
}

/// A token that has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserToken {
    /// Whose user.
    pub tenant: TenantId,
    /// Which.
    pub user: UserRef,
    /// Until when it is valid.
    pub expires_at: Timestamp,
}

/// Why a token is refused. For our log and for tests; callers are only told that it is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a compact JWS as we take it.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// Its header asks for something that we do not do.
    #[error("header: {0}")]
    Header(&'static str),
    /// Signed with an algorithm that its tenant has not allowed.
    #[error("the algorithm is not allowed")]
    Algorithm,
    /// No key of its issuer fits.
    #[error("no key of the issuer fits")]
    UnknownKey,
    /// The issuer's keys cannot be had.
    #[error("the issuer's keys cannot be fetched: {0}")]
    NoKeys(String),
    /// The signature is not that of the key.
    #[error("the signature does not match")]
    Signature,
    /// A claim is missing, of the wrong type or does not hold.
    #[error("claim: {0}")]
    Claim(&'static str),
    /// It held, and its time is over.
    #[error("expired")]
    Expired,
}

/// The tenant that a token says it is of, before anything is verified: it tells whose settings to
/// verify it with, and nothing else may be done with it. Errors: not a token.
pub fn claimed_tenant(token: &str) -> Result<TenantId, Refusal> {
    Token::parse(token)?.tenant()
}

/// Verifies a token with the settings of the tenant that it claims. Errors: [`Refusal`].
pub async fn verify(
    jwks: &Jwks,
    trust: &Trust,
    tenant: TenantId,
    token: &str,
    now: Timestamp,
) -> Result<UserToken, Refusal> {
    let token = Token::parse(token)?;
    let algorithm = token.algorithm().filter(|algorithm| trust.algorithms.contains(algorithm));
    let algorithm = algorithm.ok_or(Refusal::Algorithm)?;
    match (&trust.keys, algorithm.is_shared()) {
        (Keys::Secret(secret), true) => {
            signed_with(&token, &DecodingKey::from_secret(secret), algorithm)?;
        }
        (Keys::Jwks(url), false) => {
            let key = jwks.key(url, algorithm, token.key_id(), now).await?;
            signed_with(&token, &key, algorithm)?;
        }
        _ => return Err(Refusal::Algorithm),
    }
    claims_hold(&token, trust, tenant, now)
}

fn signed_with(token: &Token<'_>, key: &DecodingKey, algorithm: Algorithm) -> Result<(), Refusal> {
    let (signature, message) = (token.signature_text(), token.signing_input().as_bytes());
    match jsonwebtoken::crypto::verify(signature, message, key, algorithm.of_library()) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Refusal::Signature),
    }
}

fn claims_hold(
    token: &Token<'_>,
    trust: &Trust,
    tenant: TenantId,
    now: Timestamp,
) -> Result<UserToken, Refusal> {
    if token.tenant()? != tenant {
        return Err(Refusal::Claim("tenant is another one"));
    }
    if token.text_claim("aud")? != AUDIENCE {
        return Err(Refusal::Claim("aud is not ours"));
    }
    if let Some(wanted) = &trust.issuer {
        let issuer = token.text_claim("iss")?;
        if !bool::from(issuer.as_bytes().ct_eq(wanted.as_bytes())) {
            return Err(Refusal::Claim("iss is another one"));
        }
    }
    let user = UserRef::new(token.text_claim("sub")?);
    let user = user.map_err(|_| Refusal::Claim("sub is no user id"))?;
    let expires_at = times_hold(token, now)?;
    Ok(UserToken { tenant, user, expires_at })
}

fn times_hold(token: &Token<'_>, now: Timestamp) -> Result<Timestamp, Refusal> {
    let expires_at = token.time_claim("exp")?.ok_or(Refusal::Claim("exp is missing"))?;
    let (issued_at, not_before) = (token.time_claim("iat")?, token.time_claim("nbf")?);
    let soon = now.plus_micros(LEEWAY_US);
    if expires_at.plus_micros(LEEWAY_US) <= now {
        return Err(Refusal::Expired);
    }
    if issued_at.is_some_and(|at| at > soon) || not_before.is_some_and(|at| at > soon) {
        return Err(Refusal::Claim("iat or nbf lies in the future"));
    }
    let begins = issued_at.unwrap_or(now);
    if expires_at > begins.plus_micros(LIFETIME_MAX_US + LEEWAY_US) || expires_at <= begins {
        return Err(Refusal::Claim("it lives longer than a day, or not at all"));
    }
    Ok(expires_at)
}
