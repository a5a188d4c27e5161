//! A push server on a port of its own, its store, and clients.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::id::{TenantId, UserId, UserRef, user_id};
use domain::time::Timestamp;
use engine::hub::{Capacity, Hub, HubSettings};
use engine::ports::{Announce as _, Clock, IncentiveEvent};
use futures_util::{SinkExt as _, StreamExt as _};
use http::auth::jwt::{LEEWAY_US, UserToken};
use http::push::{self, Push, PushMetrics, PushSettings, Refused, Verified, VerifyEndUser};
use prometheus_client::registry::Registry;
use serde_json::Value;
use testkit::inbox::MemoryInbox;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

pub const TENANT: TenantId = TenantId(uuid::Uuid::from_u128(1));

/// What must happen happens long before this; it only keeps a failing test from hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must come.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: it did not come"),
    }
}

/// A clock that stands still: the life of a token is then its `expires_at` alone.
struct Still;

pub fn now() -> Timestamp {
    "2025-06-27T12:00:00Z".parse().unwrap()
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        now()
    }
}

/// Tokens `good.USER` and `brief.USER.MS`, which is good for so many milliseconds more; `expired`
/// and `down` fail in their way, all others are not valid.
struct Tokens;

impl VerifyEndUser for Tokens {
    fn verify<'a>(&'a self, token: &'a str) -> Verified<'a> {
        let mut parts = token.split('.');
        let (kind, user, ms) = (parts.next(), parts.next(), parts.next());
        let ms = ms.map_or(3_600_000, |ms| ms.parse().unwrap());
        let answer = match (kind, user) {
            (Some("good" | "brief"), Some(user)) => Ok(UserToken {
                tenant: TENANT,
                user: UserRef::new(user).unwrap(),
                expires_at: now().plus_micros(ms * 1000 - LEEWAY_US),
            }),
            (Some("expired"), _) => Err(Refused::Expired),
            (Some("down"), _) => Err(Refused::Unavailable),
            _ => Err(Refused::Invalid),
        };
        Box::pin(async move { answer })
    }
}

pub struct World {
    pub hub: Arc<Hub>,
    pub push: Arc<Push>,
    pub store: MemoryInbox,
    pub registry: Registry,
    pub at: SocketAddr,
}

pub fn hub_settings() -> HubSettings {
    HubSettings { devices_per_user: 3, page: 4, ..HubSettings::default() }
}

impl World {
    pub async fn new(settings: PushSettings) -> Self {
        Self::with(hub_settings(), settings).await
    }

    pub async fn with(hub_settings: HubSettings, settings: PushSettings) -> Self {
        let store = MemoryInbox::default();
        let hub = Hub::new(store.clone(), hub_settings);
        let mut registry = Registry::default();
        let metrics = PushMetrics::register(&mut registry);
        let push = Push::new(hub.clone(), Arc::new(Tokens), Arc::new(Still), settings, metrics);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let router = push::router(push.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { hub, push, store, registry, at }
    }

    /// Commits the `seq`-th incentive of a user, without announcing it.
    pub fn commit(&self, user: &str, seq: u64) -> IncentiveEvent {
        self.store.commit(TENANT, user, seq)
    }

    /// Commits and announces incentives of a user.
    pub fn grant(&self, user: &str, seqs: impl IntoIterator<Item = u64>) {
        for seq in seqs {
            let event = self.commit(user, seq);
            self.hub.announce(&[event]);
        }
    }

    /// Tries to connect.
    pub async fn try_connect(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(Client, Response), Error> {
        let mut request = format!("ws://{}{path}", self.at).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_str(value)?);
        }
        let stream = TcpStream::connect(self.at).await.map_err(Error::Io)?;
        let (socket, response) = soon("the handshake", client_async(request, stream)).await?;
        Ok((Client(socket), response))
    }

    /// The status with which a connection is refused.
    pub async fn refused(&self, path: &str, headers: &[(&'static str, &str)]) -> (u16, Value) {
        match self.try_connect(path, headers).await {
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                (response.status().as_u16(), serde_json::from_slice(body).unwrap_or_default())
            }
            Err(other) => panic!("{path}: {other}"),
            Ok(_) => panic!("{path}: it was taken"),
        }
    }

    /// A plain client.
    pub async fn plain(&self, user: &str) -> Client {
        let token = format!("Bearer good.{user}");
        self.try_connect("/ws", &[("authorization", &token)]).await.unwrap().0
    }

    /// A client of `incent.v1` that has read its HELLO, and what it said.
    pub async fn v1(&self, user: &str) -> (Client, Value) {
        let token = format!("Bearer good.{user}");
        let headers = [("authorization", &*token), ("sec-websocket-protocol", "incent.v1")];
        let (mut client, _) = self.try_connect("/ws", &headers).await.unwrap();
        let hello = client.json().await;
        assert_eq!(hello["type"], "HELLO");
        (client, hello)
    }

    pub fn user(user: &str) -> UserId {
        user_id(TENANT, &UserRef::new(user).unwrap())
    }

    /// Waits until all sessions are gone.
    pub async fn emptied(&self) {
        soon("the end of the sessions", self.hub.emptied()).await;
    }
}

/// Settings under which nothing happens by itself.
pub fn quiet() -> PushSettings {
    PushSettings {
        resume_within: Duration::from_secs(600),
        write_within: Duration::from_secs(600),
        close_within: Duration::from_millis(200),
        ..PushSettings::default()
    }
}

/// Settings with a queue of few frames.
pub fn narrow(frames: usize) -> PushSettings {
    PushSettings { capacity: Capacity { frames, bytes: 1 << 20 }, ..quiet() }
}

/// A WebSocket client.
pub struct Client(pub WebSocketStream<TcpStream>);

impl Client {
    /// The next message that is no ping or pong.
    pub async fn message(&mut self) -> Message {
        loop {
            let next = soon("a message", self.0.next()).await;
            match next.expect("the connection is open").unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }
    /// The next text.
    pub async fn text(&mut self) -> String {
        match self.message().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("no text: {other:?}"),
        }
    }
    /// The next text, read as JSON.
    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }
    /// The `seq`s of so many incentives, which must come next.
    pub async fn seqs(&mut self, many: usize) -> Vec<u64> {
        let mut seqs = Vec::with_capacity(many);
        while seqs.len() < many {
            let frame = self.json().await;
            assert_eq!(frame["type"], "INCENTIVE_NOTIFICATION", "{frame}");
            seqs.push(frame["seq"].as_u64().unwrap());
        }
        seqs
    }
    /// Sends a text.
    pub async fn say(&mut self, text: &str) {
        soon("sending", self.0.send(Message::text(text))).await.unwrap();
    }
    /// Asks for what it missed, and reads the answer: after which, and the last one.
    pub async fn resume(&mut self, after: u64) -> (u64, u64) {
        self.say(&format!(r#"{{"type":"RESUME","afterSeq":{after}}}"#)).await;
        loop {
            let answer = self.json().await;
            if answer["type"] == "RESUMED" {
                let number = |name: &str| answer[name].as_u64().unwrap();
                return (number("afterSeq"), number("lastSeq"));
            }
        }
    }
    /// The code and reason with which the server closes; everything before is read and dropped.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.message().await {
                Message::Close(Some(close)) => {
                    return (close.code.into(), close.reason.as_str().to_owned());
                }
                Message::Text(_) => {}
                other => panic!("no close with a code: {other:?}"),
            }
        }
    }
}
