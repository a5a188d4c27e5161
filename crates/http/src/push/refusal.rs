//! How a request is refused before it becomes a connection.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::Close;

/// Why a request is refused: a problem document (RFC 9457).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// What a connection would have been closed with.
    Closed(Close),
    /// From a web page that is not listed.
    Origin,
    /// The cursor is no number.
    Cursor,
    /// Not a request for a WebSocket.
    NoUpgrade,
}

impl Refusal {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Closed(close) if close.says_reconnect() => {
                (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", close.reason())
            }
            Self::Closed(close) => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", close.reason()),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "FORBIDDEN",
                "Connections from this web page are not taken; list its origin.",
            ),
            Self::Cursor => (
                StatusCode::BAD_REQUEST,
                "INVALID_PARAMETER",
                "afterSeq and Last-Event-ID are whole numbers from 0.",
            ),
            Self::NoUpgrade => (
                StatusCode::UPGRADE_REQUIRED,
                "UPGRADE_REQUIRED",
                "This address speaks WebSocket; use /sse for an event stream.",
            ),
        }
    }

    /// The answer.
    pub(super) fn response(self) -> Response {
        let (status, code, detail) = self.parts();
        let document = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        let mut response = Response::new(Body::from(document.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"incent\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Close> for Refusal {
    fn from(close: Close) -> Self {
        Self::Closed(close)
    }
}
