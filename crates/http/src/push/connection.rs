//! One WebSocket connection: one small task that waits for the client, for the session and for the
//! clock, and writes what is ready in one go.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::hub::{Delivery, Dialect, End, Session};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, Message};

use super::bell::Bell;
use super::budget::Budget;
use super::message::{ClientMessage, ErrorCode, ServerMessage};
use super::wire::{Wire, text_frame};
use super::{Admitted, Close, Push};
use crate::auth::jwt::UserToken;

/// Frames written before the client and the clock are looked at again.
const BATCH: usize = 64;
/// Room for frames that a thread keeps from one write to the next, bytes.
const ROOM: usize = 64 * 1024;

thread_local! {
    /// Where frames are written before the socket takes them. Each write takes all or leaves the
    /// rest with its connection, so connections need no room of their own.
    static FRAMES: RefCell<BytesMut> = RefCell::default();
}

/// A client's connection.
pub(super) type WebSocket = WebSocketStream<Wire<TokioIo<Upgraded>>>;

/// How far a connection has come when its WebSocket opens.
pub(super) enum Opening {
    /// The token was in the request and is valid.
    Admitted(Box<Admitted>),
    /// The token was in the request and is refused. Browsers see close codes only.
    Refused(Close),
    /// The token is to come as the first message; this is its place among those who have not sent
    /// it yet.
    ToCome(Dialect, OwnedSemaphorePermit),
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    mut socket: WebSocket,
    push: Arc<Push>,
    opening: Opening,
    after: Option<u64>,
) {
    // What comes before and after the long wait in the middle is boxed, so that an idle connection
    // does not carry room for it.
    let opened = match opening {
        Opening::Admitted(admitted) => Ok((*admitted, after)),
        Opening::Refused(close) => Err(close.into()),
        Opening::ToCome(dialect, slot) => {
            let first = Box::pin(first_message(&mut socket, &push, dialect)).await;
            drop(slot);
            first.map(|(admitted, asked)| (admitted, asked.or(after)))
        }
    };
    let ended = match opened {
        Ok((admitted, after)) => {
            let mut connection = Connection::new(socket, push.clone(), &admitted);
            let ended = connection.run(admitted, after).await;
            socket = connection.socket;
            ended
        }
        Err(ended) => ended,
    };
    Box::pin(finish(&mut socket, &push, ended)).await;
}

/// Waits for the token of a connection that has shown none.
async fn first_message(
    socket: &mut WebSocket,
    push: &Push,
    dialect: Dialect,
) -> Result<(Admitted, Option<u64>), Ended> {
    let settings = &push.settings;
    let mut budget =
        Budget::new(settings.messages_per_second, settings.messages_burst, Instant::now());
    let first = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Binary(_) | Message::Frame(_))) => {
                    return Err(Close::BadMessage.into());
                }
                Some(Ok(Message::Close(_))) | None => return Err(Ended::ByClient),
                Some(Err(error)) => return Err(read_error(error).into()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) if budget.take(Instant::now()) => {}
                Some(Ok(_)) => return Err(Close::TooManyMessages.into()),
            }
        }
    };
    let text = timeout(settings.auth_within, first).await.map_err(|_| Close::AuthTimeout)??;
    match ClientMessage::parse(&text) {
        Ok(ClientMessage::Auth { token, after_seq }) => {
            Ok((push.admit(&token, dialect).await?, after_seq))
        }
        Ok(_) => Err(Close::TokenRefused.into()),
        Err(_) => Err(Close::BadMessage.into()),
    }
}

/// How a connection comes to its end.
#[derive(Debug)]
enum Ended {
    /// The client has closed it, or it broke.
    ByClient,
    /// We close it.
    ByUs(Close),
}

impl From<Close> for Ended {
    fn from(close: Close) -> Self {
        Self::ByUs(close)
    }
}

/// Says why we close, and waits for the answer a moment, so that what was said before arrives.
async fn finish(socket: &mut WebSocket, push: &Push, ended: Ended) {
    let close = match ended {
        Ended::ByUs(close) => Some(close),
        Ended::ByClient => None,
    };
    push.metrics.ended(close);
    let goodbye = async {
        if let Some(close) = close {
            let frame = CloseFrame { code: close.code().into(), reason: close.reason().into() };
            socket.send(Message::Close(Some(frame))).await?;
        }
        while let Some(message) = socket.next().await {
            message?;
        }
        Ok::<(), Error>(())
    };
    // A client that is gone cannot be told anything.
    _ = timeout(push.settings.close_within, goodbye).await;
}

/// What a connection waits for.
enum Event {
    /// Something is to be done by the clock.
    Due,
    /// The client has said something; `None` = it has gone.
    Heard(Option<Result<Message, Error>>),
    /// The session has something to give, or is over.
    Ready(Result<(), End>),
}

struct Connection {
    socket: WebSocket,
    push: Arc<Push>,
    user: UserToken,
    dialect: Dialect,
    budget: Budget,
    next_ping: Instant,
    /// When something must have been heard, after a ping.
    heard_by: Option<Instant>,
    expires: Instant,
    /// Until when new incentives are held back for a client that may resume.
    held_until: Option<Instant>,
}

impl Connection {
    fn new(socket: WebSocket, push: Arc<Push>, admitted: &Admitted) -> Self {
        let now = Instant::now();
        let settings = &push.settings;
        Self {
            budget: Budget::new(settings.messages_per_second, settings.messages_burst, now),
            // Pings of connections that began together are spread over the interval.
            next_ping: now + settings.ping_every.mul_f64(0.5 + admitted.session.spread() / 2.0),
            heard_by: None,
            expires: admitted.expires,
            held_until: None,
            user: admitted.user.clone(),
            dialect: admitted.dialect,
            socket,
            push,
        }
    }

    async fn run(&mut self, admitted: Admitted, after: Option<u64>) -> Ended {
        let Admitted { mut session, last_seq, .. } = admitted;
        if let Err(ended) = Box::pin(self.greet(&mut session, last_seq, after)).await {
            return ended;
        }
        let mut clock = std::pin::pin!(sleep_until(self.due()));
        let bell = Bell::rung();
        loop {
            // Set anew only when it must be: most turns of this loop leave it alone.
            if clock.deadline() != self.due() {
                clock.as_mut().reset(self.due());
                bell.ring();
            }
            let event = self.event(&mut session, clock.as_mut(), &bell).await;
            let step = match event {
                Event::Due => self.on_time(&mut session).await,
                Event::Heard(Some(Ok(message))) => {
                    Box::pin(self.on_message(&mut session, message)).await
                }
                Event::Heard(Some(Err(error))) => Err(read_error(error).into()),
                Event::Heard(None) => Err(Ended::ByClient),
                Event::Ready(Ok(())) => self.write(&mut session).await,
                Event::Ready(Err(end)) => Err(Close::from(end).into()),
            };
            if let Err(ended) = step {
                return ended;
            }
        }
    }

    /// The next thing to happen. What wakes a connection is most often its session; clock and
    /// socket are asked only when they have rung.
    async fn event(
        &mut self,
        session: &mut Session,
        mut clock: Pin<&mut Sleep>,
        bell: &Bell,
    ) -> Event {
        poll_fn(|cx| {
            if bell.has_rung(cx) {
                let cx = &mut bell.context();
                if clock.as_mut().poll(cx).is_ready() {
                    bell.ring();
                    return Poll::Ready(Event::Due);
                }
                if let Poll::Ready(heard) = self.socket.poll_next_unpin(cx) {
                    bell.ring();
                    return Poll::Ready(Event::Heard(heard));
                }
            }
            session.poll_ready(cx).map(Event::Ready)
        })
        .await
    }

    /// The first words of the server.
    async fn greet(
        &mut self,
        session: &mut Session,
        last_seq: u64,
        after: Option<u64>,
    ) -> Result<(), Ended> {
        if self.dialect == Dialect::V1 {
            let user = self.user.user.clone();
            let hello = ServerMessage::Hello {
                user_id: user.as_str(),
                last_seq,
                ping_seconds: self.push.settings.ping_every.as_secs(),
                expires_at: self.user.expires_at,
            };
            self.say(&hello).await?;
        }
        match after {
            Some(after) => self.resume(session, after).await?,
            None if self.dialect == Dialect::V1 => {
                self.held_until = Some(Instant::now() + self.push.settings.resume_within);
            }
            None => session.release(),
        }
        Ok(())
    }

    async fn resume(&mut self, session: &mut Session, after: u64) -> Result<(), Ended> {
        let resumed = session.resume(after).await.map_err(Close::from)?;
        self.say(&ServerMessage::Resumed { after_seq: resumed.after, last_seq: resumed.last })
            .await?;
        self.held_until = None;
        session.release();
        Ok(())
    }

    /// When there is something to do even if nothing happens.
    fn due(&self) -> Instant {
        let heard_by = self.heard_by.unwrap_or(self.next_ping);
        let held_until = self.held_until.unwrap_or(heard_by);
        heard_by.min(held_until).min(self.expires)
    }

    async fn on_time(&mut self, session: &mut Session) -> Result<(), Ended> {
        let now = Instant::now();
        if now >= self.expires {
            return Err(Close::TokenExpired.into());
        }
        if self.held_until.is_some_and(|at| now >= at) {
            self.held_until = None;
            session.release();
        }
        match self.heard_by {
            Some(at) if now >= at => return Err(Close::Silent.into()),
            None if now >= self.next_ping => {
                self.heard_by = Some(now + self.push.settings.pong_within);
                self.next_ping = now + self.push.settings.ping_every;
                self.send(Message::Ping(Bytes::new())).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn on_message(&mut self, session: &mut Session, message: Message) -> Result<(), Ended> {
        self.heard_by = None;
        if !self.budget.take(Instant::now()) {
            return Err(Close::TooManyMessages.into());
        }
        match message {
            Message::Text(text) => self.on_text(session, &text).await,
            Message::Binary(_) | Message::Frame(_) => Err(Close::BadMessage.into()),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(Ended::ByClient),
        }
    }

    async fn on_text(&mut self, session: &mut Session, text: &str) -> Result<(), Ended> {
        let message = match ClientMessage::parse(text) {
            Ok(message) => message,
            Err(detail) => {
                return self
                    .say(&ServerMessage::Error { code: ErrorCode::BadMessage, detail: &detail })
                    .await;
            }
        };
        match message {
            ClientMessage::Auth { token, .. } => self.renew(&token).await,
            ClientMessage::Resume { after_seq } => self.resume(session, after_seq).await,
            ClientMessage::Ack { seq } => {
                if let Some(news) = session.acknowledge(seq) {
                    // There can be no more of these than frames that it was given.
                    if news > 0 {
                        self.budget.give_back();
                    }
                    return Ok(());
                }
                let detail = "it acknowledges an incentive that was not sent on this connection";
                self.say(&ServerMessage::Error { code: ErrorCode::AckAhead, detail }).await
            }
        }
    }

    /// Takes a newer token of the same user.
    async fn renew(&mut self, token: &str) -> Result<(), Ended> {
        let user = self.push.verifier.verify(token).await.map_err(Close::from)?;
        if (user.tenant, &user.user) != (self.user.tenant, &self.user.user) {
            return Err(Close::TokenRefused.into());
        }
        self.expires = self.push.deadline(&user)?;
        self.say(&ServerMessage::Renewed { expires_at: user.expires_at }).await
    }

    /// Writes what is ready, in one go.
    async fn write(&mut self, session: &mut Session) -> Result<(), Ended> {
        let (wire, dialect) = (self.socket.get_mut(), self.dialect);
        let mut is_begun = false;
        let writing = poll_fn(|cx| {
            if std::mem::replace(&mut is_begun, true) {
                return wire.poll_rest(cx);
            }
            FRAMES.with_borrow_mut(|frames| {
                frames.clear();
                for _ in 0..BATCH {
                    let Some(delivery) = session.next_ready() else { break };
                    append(delivery, dialect, frames);
                }
                let sent = wire.poll_send(cx, frames);
                if frames.capacity() > ROOM {
                    *frames = BytesMut::new();
                }
                sent
            })
        });
        in_time(self.push.settings.write_within, writing).await
    }

    /// Says something to a client of `incent.v1`; others would not understand.
    async fn say(&mut self, message: &ServerMessage<'_>) -> Result<(), Ended> {
        match self.dialect {
            Dialect::V1 => self.send(Message::Text(message.text().into())).await,
            Dialect::Plain => Ok(()),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Ended> {
        in_time(self.push.settings.write_within, self.socket.send(message)).await
    }
}

/// Waits for a write, as long as a client that reads at all could take.
async fn in_time<E>(
    within: Duration,
    writing: impl Future<Output = Result<(), E>>,
) -> Result<(), Ended> {
    let mut writing = std::pin::pin!(writing);
    // Most writes are taken at once and need no timer.
    let done = match writing.as_mut().now_or_never() {
        Some(done) => Ok(done),
        None => timeout(within, writing).await,
    };
    match done {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ended::ByClient),
        Err(_) => Err(Close::SlowReader.into()),
    }
}

/// Appends the frame of a delivery; nothing when the dialect has no word for it.
fn append(delivery: Delivery, dialect: Dialect, frames: &mut BytesMut) {
    match (delivery, dialect) {
        (Delivery::Incentive(frame), _) => {
            text_frame(frames, |out| frame.append_to(dialect, out));
        }
        (Delivery::Progress(progress), Dialect::V1) => {
            text_frame(frames, |out| out.extend_from_slice(&progress.text()));
        }
        (Delivery::Hole { from, to }, Dialect::V1) => {
            let missing = ServerMessage::Missing { from_seq: from, to_seq: to }.text();
            text_frame(frames, |out| out.extend_from_slice(missing.as_bytes()));
        }
        (Delivery::Progress(_) | Delivery::Hole { .. }, Dialect::Plain) => {}
    }
}

/// What to say about a frame that cannot be read.
fn read_error(error: Error) -> Close {
    match error {
        Error::Capacity(_) => Close::TooLarge,
        _ => Close::Protocol,
    }
}
