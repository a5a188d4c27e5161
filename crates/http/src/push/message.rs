//! What client and server say to each other beside incentives.

use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A message of a client.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "type", rename_all = "UPPERCASE", rename_all_fields = "camelCase")]
#[serde(deny_unknown_fields)]
pub(super) enum ClientMessage {
    /// Shows a token: the first message of a connection that has shown none, later a newer one.
    Auth {
        token: String,
        #[serde(default)]
        after_seq: Option<u64>,
    },
    /// Asks for everything after an incentive it has.
    Resume { after_seq: u64 },
    /// Has everything up to an incentive.
    Ack { seq: u64 },
}

impl ClientMessage {
    /// Reads one. Errors: what is wrong with it, for the client alone, since it may quote a token.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// A message of the server that is no incentive. For clients of `incent.v1` only.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "UPPERCASE", rename_all_fields = "camelCase")]
pub(super) enum ServerMessage<'a> {
    /// The first one: who is listening, and where they stand.
    Hello { user_id: &'a str, last_seq: u64, ping_seconds: u64, expires_at: Timestamp },
    /// Everything after `after_seq` follows, in order.
    Resumed { after_seq: u64, last_seq: u64 },
    /// These are older than the retention and cannot be had any more.
    Missing { from_seq: u64, to_seq: u64 },
    /// A newer token was taken.
    Renewed { expires_at: Timestamp },
    /// A message was not understood, and nothing came of it.
    Error { code: ErrorCode, detail: &'a str },
    /// The last one of an event stream, which has no close codes.
    Close { code: u16, reason: &'a str },
}

/// What was wrong with a client's message.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ErrorCode {
    /// Not a message.
    BadMessage,
    /// It acknowledges what it was never given.
    AckAhead,
}

impl ServerMessage<'_> {
    /// Its text.
    pub(super) fn text(&self) -> String {
        // Texts and numbers only, so writing cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_messages() {
        use ClientMessage::*;
        for (text, expected) in [
            (r#"{"type":"AUTH","token":"t"}"#, Some(Auth { token: "t".into(), after_seq: None })),
            (
                r#"{"afterSeq":3,"token":"t","type":"AUTH"}"#,
                Some(Auth { token: "t".into(), after_seq: Some(3) }),
            ),
            (r#"{"type":"RESUME","afterSeq":0}"#, Some(Resume { after_seq: 0 })),
            (r#"{"type":"ACK","seq":18446744073709551615}"#, Some(Ack { seq: u64::MAX })),
            (r#"{"type":"RESUME"}"#, None),
            (r#"{"type":"RESUME","afterSeq":-1}"#, None),
            (r#"{"type":"RESUME","afterSeq":1.5}"#, None),
            (r#"{"type":"RESUME","afterSeq":1,"more":2}"#, None),
            (r#"{"type":"ACK","seq":18446744073709551616}"#, None),
            (r#"{"type":"ack","seq":1}"#, None),
            (r#"{"seq":1}"#, None),
            ("[]", None),
            ("ping", None),
            ("", None),
        ] {
            assert_eq!(ClientMessage::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn server_messages() {
        let at: Timestamp = "2025-06-27T12:34:56Z".parse().unwrap();
        for (message, expected) in [
            (
                ServerMessage::Hello {
                    user_id: "u\"1",
                    last_seq: 7,
                    ping_seconds: 25,
                    expires_at: at,
                },
                r#"{"type":"HELLO","userId":"u\"1","lastSeq":7,"pingSeconds":25,"expiresAt":"2025-06-27T12:34:56Z"}"#,
            ),
            (
                ServerMessage::Resumed { after_seq: 3, last_seq: 7 },
                r#"{"type":"RESUMED","afterSeq":3,"lastSeq":7}"#,
            ),
            (
                ServerMessage::Missing { from_seq: 1, to_seq: 2 },
                r#"{"type":"MISSING","fromSeq":1,"toSeq":2}"#,
            ),
            (
                ServerMessage::Renewed { expires_at: at },
                r#"{"type":"RENEWED","expiresAt":"2025-06-27T12:34:56Z"}"#,
            ),
            (
                ServerMessage::Error { code: ErrorCode::BadMessage, detail: "no" },
                r#"{"type":"ERROR","code":"BAD_MESSAGE","detail":"no"}"#,
            ),
            (
                ServerMessage::Close { code: 4000, reason: "bye" },
                r#"{"type":"CLOSE","code":4000,"reason":"bye"}"#,
            ),
        ] {
            assert_eq!(message.text(), expected);
        }
    }
}
