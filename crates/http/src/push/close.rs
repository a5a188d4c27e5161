//! Why a connection is closed, in the numbers that clients see.

/// A close code with its reason. 4000–4099: reconnect, with growing pauses, and resume. 4100–4199:
/// do not reconnect before something has changed. Others are those of RFC 6455.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Close {
    /// The server stops or restarts.
    GoingAway = 4000,
    /// The client reads too slowly to be written to.
    SlowReader = 4001,
    /// The client has not answered a ping.
    Silent = 4002,
    /// What the client missed cannot be read at the moment.
    Unavailable = 4003,
    /// The token did not come in time.
    AuthTimeout = 4004,
    /// The server holds as many connections as it may.
    Full = 4005,
    /// The token is not valid, or there is none.
    TokenRefused = 4100,
    /// The token has expired.
    TokenExpired = 4101,
    /// Access was withdrawn.
    Revoked = 4102,
    /// A newer device of the same user took its place.
    TooManyDevices = 4103,
    /// The client sends messages that are none.
    BadMessage = 4104,
    /// The client sends too many messages.
    TooManyMessages = 4105,
    /// A frame breaks the WebSocket protocol.
    Protocol = 1002,
    /// A message is larger than allowed.
    TooLarge = 1009,
}

impl Close {
    /// Its number.
    pub fn code(self) -> u16 {
        self as u16
    }
    /// Its reason, at most 123 bytes as RFC 6455 wants.
    pub fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "the server is going away; reconnect and resume",
            Self::SlowReader => "frames are not read fast enough; reconnect and resume",
            Self::Silent => "no answer to a ping; reconnect and resume",
            Self::Unavailable => "incentives cannot be read at the moment; reconnect and resume",
            Self::AuthTimeout => "no token came in time; reconnect and send AUTH first",
            Self::Full => "the server has no room for more connections; reconnect later",
            Self::TokenRefused => "the token is not valid; get another one",
            Self::TokenExpired => "the token has expired; get another one",
            Self::Revoked => "access was revoked",
            Self::TooManyDevices => "too many devices of this user; the oldest was signed out",
            Self::BadMessage => "not a message of this protocol; see docs/push.md",
            Self::TooManyMessages => "too many messages; see docs/push.md",
            Self::Protocol => "a frame breaks the WebSocket protocol",
            Self::TooLarge => "the message is too large",
        }
    }
    /// True when the client should reconnect.
    pub fn says_reconnect(self) -> bool {
        (4000..4100).contains(&self.code())
    }
}
