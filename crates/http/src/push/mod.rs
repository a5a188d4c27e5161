//! Push to the devices of end users (DCM): `GET /ws` and, where WebSockets do not get through,
//! `GET /sse`. The protocol is written down in `docs/push.md`.
//!
//! What a client gets, in order and without a hole, is decided by [`engine::hub::Session`]; this
//! module is about connections: who may open one ([`access`], [`upgrade`]), what is said on it
//! ([`message`]), when it ends ([`close`]) and that none of them can hurt another
//! ([`connection`], [`budget`]).

pub mod access;
mod bell;
mod budget;
pub mod close;
mod connection;
mod message;
mod metrics;
mod refusal;
pub(crate) mod sse;
pub(crate) mod upgrade;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use domain::id::user_id;
use engine::hub::{Capacity, Dialect, End, Hub, Session};
use engine::ports::Clock;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::auth::jwt::{LEEWAY_US, UserToken};
use crate::routes;

pub use access::{Origins, Refused, Verified, VerifyEndUser};
pub use close::Close;
pub use metrics::PushMetrics;

/// Settings of push. The defaults suit phones and browsers.
#[derive(Clone, Debug)]
pub struct PushSettings {
    /// How long a connection without a token in its request may take to send one.
    pub auth_within: Duration,
    /// Connections at the same time that have not sent their token yet.
    pub unauthenticated: usize,
    /// Pause between two pings.
    pub ping_every: Duration,
    /// How long anything may take to be heard after a ping.
    pub pong_within: Duration,
    /// How long one batch of frames may take to be written.
    pub write_within: Duration,
    /// How long the client may take to answer a close.
    pub close_within: Duration,
    /// How long a client of `incent.v1` may take to say from where it resumes, before it gets what
    /// is new.
    pub resume_within: Duration,
    /// Pause between two signs of life of an event stream.
    pub heartbeat_every: Duration,
    /// Largest message of a client, bytes. A connection keeps a buffer as large as the largest it
    /// has sent.
    pub message_bytes: usize,
    /// Messages a second that a client may send.
    pub messages_per_second: u32,
    /// Messages that it may send at once after a pause.
    pub messages_burst: u32,
    /// Bounds of the queue of one connection.
    pub capacity: Capacity,
    /// From which web pages connections are taken.
    pub origins: Origins,
}

impl Default for PushSettings {
    fn default() -> Self {
        Self {
            auth_within: Duration::from_secs(10),
            unauthenticated: 2_000,
            ping_every: Duration::from_secs(25),
            pong_within: Duration::from_secs(8),
            write_within: Duration::from_secs(10),
            close_within: Duration::from_secs(2),
            resume_within: Duration::from_secs(1),
            heartbeat_every: Duration::from_secs(15),
            message_bytes: 16 * 1024,
            messages_per_second: 20,
            messages_burst: 60,
            capacity: Capacity::default(),
            origins: Origins::Any,
        }
    }
}

/// Push, as shared by all its connections.
pub struct Push {
    hub: Arc<Hub>,
    verifier: Arc<dyn VerifyEndUser>,
    clock: Arc<dyn Clock>,
    settings: PushSettings,
    unauthenticated: Arc<Semaphore>,
    metrics: PushMetrics,
}

impl Push {
    /// Push of a hub.
    pub fn new(
        hub: Arc<Hub>,
        verifier: Arc<dyn VerifyEndUser>,
        clock: Arc<dyn Clock>,
        settings: PushSettings,
        metrics: PushMetrics,
    ) -> Arc<Self> {
        let unauthenticated = Arc::new(Semaphore::new(settings.unauthenticated));
        Arc::new(Self { hub, verifier, clock, settings, unauthenticated, metrics })
    }

    /// Ends all connections with a close that says resume, and returns when they are gone. Callers
    /// bound the time.
    pub async fn drain(&self) {
        self.hub.drain();
        self.hub.emptied().await;
    }

    /// Verifies a token and begins a session at the user's last incentive. What is issued from the
    /// moment this returns will be pushed.
    async fn admit(&self, token: &str, dialect: Dialect) -> Result<Admitted, Close> {
        let user = self.verifier.verify(token).await?;
        let expires = self.deadline(&user)?;
        let id = user_id(user.tenant, &user.user);
        let mut session = self.hub.subscribe(user.tenant, id, self.settings.capacity)?;
        if dialect == Dialect::V1 {
            session.follow_progress();
        }
        let last_seq = session.start().await?;
        Ok(Admitted { user, session, last_seq, expires, dialect })
    }

    /// When the user's right to listen ends.
    fn deadline(&self, user: &UserToken) -> Result<Instant, Close> {
        let until = user.expires_at.plus_micros(LEEWAY_US);
        let left = until.micros() - self.clock.now().micros();
        match u64::try_from(left) {
            Ok(left) if left > 0 => Ok(Instant::now() + Duration::from_micros(left)),
            _ => Err(Close::TokenExpired),
        }
    }
}

/// A user who may listen, and their session, which has not been released yet.
struct Admitted {
    user: UserToken,
    session: Session,
    last_seq: u64,
    expires: Instant,
    dialect: Dialect,
}

/// The routes of push and nothing else, for tests and benchmarks.
pub fn router(push: Arc<Push>) -> Router {
    let mut router = Router::new();
    for route in routes::table() {
        let Some(connect) = route.connect() else { continue };
        let push = push.clone();
        let open = move |request: Request| (connect.open)(push.clone(), request);
        router = router.route(route.path, get(open));
    }
    router
}

impl From<End> for Close {
    fn from(end: End) -> Self {
        match end {
            End::GoingAway => Self::GoingAway,
            End::Unavailable => Self::Unavailable,
            End::TooManyDevices => Self::TooManyDevices,
            End::Revoked => Self::Revoked,
            End::Full => Self::Full,
        }
    }
}
