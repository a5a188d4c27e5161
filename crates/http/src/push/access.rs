//! Who may listen: the token of an end user, and the web page a connection comes from.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::Close;
use crate::auth::jwt::UserToken;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, ORIGIN, SEC_WEBSOCKET_PROTOCOL};

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It proves nothing.
    #[error("is not valid")]
    Invalid,
    /// It was valid once.
    #[error("has expired")]
    Expired,
    /// What is needed to verify it cannot be read at the moment.
    #[error("cannot be verified at the moment")]
    Unavailable,
}

impl From<Refused> for Close {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid => Self::TokenRefused,
            Refused::Expired => Self::TokenExpired,
            Refused::Unavailable => Self::Unavailable,
        }
    }
}

/// What verifying a token gives.
pub type Verified<'a> = Pin<Box<dyn Future<Output = Result<UserToken, Refused>> + Send + 'a>>;

/// Verifies the tokens of end users.
pub trait VerifyEndUser: Send + Sync {
    /// Whose token it is. The token must not be logged.
    fn verify<'a>(&'a self, token: &'a str) -> Verified<'a>;
}

/// From which web pages connections are taken. Clients that are no browsers send no origin and are
/// always taken: it is the token that proves who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// From any.
    Any,
    /// From these, as `https://shop.example`.
    Listed(Arc<[String]>),
}

impl Origins {
    /// True when a request with these headers may connect.
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let (Self::Listed(listed), Some(origin)) = (self, headers.get(ORIGIN)) else { return true };
        listed.iter().any(|one| origin.as_bytes().eq_ignore_ascii_case(one.as_bytes()))
    }
}

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    /// In the `Authorization` header: no browser, so it can read the answer to its request.
    Header(&'a str),
    /// Among the subprotocols, where browsers can put it: they see close codes only.
    Subprotocol(&'a str),
    /// It is to come as the first message.
    ToCome,
}

/// Subprotocol under which a token travels.
const BEARER: &str = "bearer.";

/// Finds the token. Errors: there is something in its place that is none.
pub(super) fn credential(headers: &HeaderMap) -> Result<Credential<'_>, Refused> {
    if headers.contains_key(AUTHORIZATION) {
        return bearer(headers).map(Credential::Header);
    }
    let mut tokens = subprotocols(headers).filter_map(|one| one.strip_prefix(BEARER));
    match (tokens.next(), tokens.next()) {
        (None, _) => Ok(Credential::ToCome),
        (Some(token), None) if !token.is_empty() => Ok(Credential::Subprotocol(token)),
        _ => Err(Refused::Invalid),
    }
}

/// The token of the `Authorization` header. Errors: there is none, or something else.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Refused::Invalid) };
    let (scheme, token) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Refused::Invalid)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(Refused::Invalid)
    }
}

/// The subprotocols that a request offers.
pub(super) fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')).map(str::trim)
}
