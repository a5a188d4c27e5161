//! How a request is refused before it becomes a connection.

use axum::extract::Request;
use axum::response::Response;

use super::Close;
use super::access::Refused;
use crate::dispatch::RequestId;
use crate::problem::{Code, Origin, Part, Problem};

/// Who is answered, should the request be refused.
pub(super) struct Asker {
    request_id: String,
    path: String,
}

impl Asker {
    /// Of a request.
    pub(super) fn of(request: &Request) -> Self {
        let id = request.extensions().get::<RequestId>();
        Self {
            request_id: id.map_or_else(String::new, |id| id.0.to_string()),
            path: request.uri().path().to_owned(),
        }
    }
    /// The answer.
    pub(super) fn refuse(&self, problem: Problem) -> Response {
        problem.into_response(Origin { request_id: &self.request_id, path: &self.path })
    }
}

/// What would be a close, had the connection been opened.
impl From<Close> for Problem {
    fn from(close: Close) -> Self {
        let detail = sentence(close.reason());
        match close {
            Close::GoingAway | Close::Full => Self::new(Code::Overloaded, detail).retry_after(1),
            close if close.says_reconnect() => Self::unavailable(Code::Unavailable, detail),
            _ => Self::new(Code::Unauthenticated, detail),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Close::from(refused).into()
    }
}

fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// The request comes from a web page that is not listed.
pub(super) fn foreign_page() -> Problem {
    let detail = "Connections from this web page are not taken; list its origin for push.";
    Problem::new(Code::Forbidden, detail)
}

/// The cursor is no number.
pub(super) fn bad_cursor(part: Part, name: &str) -> Problem {
    Problem::invalid_parameter(part, name, "must be a whole number from 0")
}

/// The request does not ask for a WebSocket.
pub(super) fn no_upgrade() -> Problem {
    let detail = "Ask with a WebSocket client, or read the event stream at /sse.";
    Problem::new(Code::UpgradeRequired, detail)
}
