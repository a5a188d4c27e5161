//! `incent listen`: a user's incentives the moment they are pushed, as a device would get them.

use std::time::Duration;

use domain::time::Timestamp;
use engine::ports::Clock;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use super::token::sign;
use crate::clock::SystemClock;
use crate::config::connection::{self, Connection};
use crate::failure::{Code, Failure, Outcome};
use crate::interrupt::stop_token;
use crate::output::{Format, Ink, Output};

/// Flags of `listen`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reconnects by itself and resumes after the last incentive seen. On a terminal each incentive is a line
with its latency; in a pipe (or with -o jsonl) it is the frame itself with latencyMs.

Examples:
  incent listen --user u1
  incent listen --user u1 --after-seq 0 --count 10
  incent listen --token \"$(incent token --user u1)\" -o jsonl")]
pub struct Args {
    /// The tenant's own id of the user; a token is signed for them
    #[arg(long, value_name = "USER", required_unless_present = "token")]
    pub user: Option<String>,
    /// An end user's token, instead
    #[arg(
        long,
        env = "INCENT_PUSH_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        conflicts_with = "user"
    )]
    pub token: Option<String>,
    /// The tenant's shared secret to sign with [default: that of dev.env]
    #[arg(long, env = "INCENT_PUSH_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub secret: Option<String>,
    /// The issuer, when the tenant's settings name one
    #[arg(long, env = "INCENT_PUSH_ISSUER", value_name = "ISSUER")]
    pub issuer: Option<String>,
    /// Begin after this number, 0 for everything since the beginning [default: what is new]
    #[arg(long, value_name = "SEQ")]
    pub after_seq: Option<u64>,
    /// End after so many incentives
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Where the platform is.
    #[command(flatten)]
    pub connection: connection::Flags,
}

/// Longest pause before a new connection.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// First pause before a new connection.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// How long a signed token lives; a new one is signed for each connection.
const TOKEN_TTL: Duration = Duration::from_secs(12 * 3600);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How a connection ended.
enum Ended {
    /// As many as were wanted have come.
    Enough,
    /// Ctrl-C.
    Stopped,
    /// Lost, or closed with a code that says reconnect.
    Lost(String),
}

/// Listens until told to stop.
pub fn run(args: Args, out: &Output) -> Outcome {
    let connection = Connection::resolve(args.connection.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Code::Failure, "cannot start a runtime").why(e.to_string()))?;
    runtime.block_on(async {
        let (seen, stop) = (args.after_seq, stop_token());
        Listener { seen, got: 0, args, connection, out: *out, stop }.listen().await
    })
}

struct Listener {
    args: Args,
    connection: Connection,
    out: Output,
    /// The last number seen: where to resume.
    seen: Option<u64>,
    got: u64,
    stop: CancellationToken,
}

impl Listener {
    async fn listen(mut self) -> Outcome {
        let mut pause = PAUSE_MIN;
        let mut once_connected = false;
        loop {
            let lost = match self.connect().await {
                Ok(socket) => {
                    (pause, once_connected) = (PAUSE_MIN, true);
                    match self.read(socket).await? {
                        Ended::Enough => return Ok(()),
                        Ended::Stopped => return Err(Failure::interrupted()),
                        Ended::Lost(why) => why,
                    }
                }
                // The first connection must work; later ones are tried again and again.
                Err(failure) if !once_connected || failure.code == Code::Auth => {
                    return Err(failure);
                }
                Err(failure) => failure.what,
            };
            self.out.say(&format!("{lost}; connecting again in {pause:.1?}"));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return Err(Failure::interrupted()),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn token(&self) -> Outcome<String> {
        if let Some(token) = &self.args.token {
            return Ok(token.clone());
        }
        let secret = self.args.secret.clone().or_else(|| self.connection.push_secret.clone());
        let user = self.args.user.as_deref().unwrap_or_default();
        let issuer = self.args.issuer.as_deref();
        sign(&self.connection, secret, user, issuer, TOKEN_TTL).map(|(token, _)| token)
    }

    async fn connect(&self) -> Outcome<Socket> {
        let address = self.connection.url.replacen("http", "ws", 1);
        let url = format!("{address}/ws");
        let wrong = |why: String| Failure::usage(format!("{url:?} is not an address")).why(why);
        let mut request = url.as_str().into_client_request().map_err(|e| wrong(e.to_string()))?;
        let headers = request.headers_mut();
        for (name, value) in [
            ("authorization", format!("Bearer {}", self.token()?)),
            ("sec-websocket-protocol", "incent.v1".to_owned()),
        ] {
            let value = HeaderValue::from_str(&value).map_err(|e| wrong(e.to_string()))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) => Err(refused(&url, &response)),
            Err(error) => Err(Failure::new(Code::Unavailable, format!("cannot reach {url}"))
                .why(error.to_string())
                .mend(
                    "start the platform (incent dev, or incent serve), or name another with --url",
                )),
        }
    }

    async fn read(&mut self, mut socket: Socket) -> Outcome<Ended> {
        if let Some(seq) = self.seen {
            let resume = json!({"type": "RESUME", "afterSeq": seq}).to_string();
            if socket.send(Message::text(resume)).await.is_err() {
                return Ok(Ended::Lost("the connection was lost".to_owned()));
            }
        }
        loop {
            let message = tokio::select! {
                message = socket.next() => message,
                () = self.stop.cancelled() => {
                    // Whether the farewell arrives does not matter.
                    let _ = socket.close(None).await;
                    return Ok(Ended::Stopped);
                }
            };
            match message {
                Some(Ok(Message::Text(text))) => {
                    if let Some(seq) = self.frame(&text)? {
                        let ack = json!({"type": "ACK", "seq": seq}).to_string();
                        if socket.send(Message::text(ack)).await.is_err() {
                            return Ok(Ended::Lost("the connection was lost".to_owned()));
                        }
                        if self.args.count.is_some_and(|count| self.got >= count) {
                            let _ = socket.close(None).await;
                            return Ok(Ended::Enough);
                        }
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame.map_or((1005, String::new()), |f| {
                        (u16::from(f.code), f.reason.to_string())
                    });
                    let what = format!("closed by the platform: {reason} ({code})");
                    if (4100..4200).contains(&code) {
                        return Err(Failure::new(Code::Auth, what));
                    }
                    return Ok(Ended::Lost(what));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    return Ok(Ended::Lost(format!("the connection was lost: {error}")));
                }
                None => return Ok(Ended::Lost("the connection was lost".to_owned())),
            }
        }
    }

    /// Shows a frame; gives the number to acknowledge.
    fn frame(&mut self, text: &str) -> Outcome<Option<u64>> {
        let received = SystemClock.now();
        let Ok(mut frame) = serde_json::from_str::<Value>(text) else {
            self.out.warn(&format!("a frame that is not JSON: {text}"));
            return Ok(None);
        };
        let kind = frame.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind.as_str() {
            "INCENTIVE_NOTIFICATION" => {
                let seq = frame.get("seq").and_then(Value::as_u64);
                self.seen = seq.or(self.seen);
                self.got += 1;
                let issued = frame.get("issuedAt").and_then(Value::as_str);
                let issued = issued.and_then(|at| at.parse::<Timestamp>().ok());
                let micros = issued.map(|at| received.micros().saturating_sub(at.micros()));
                let latency = micros.map(|us| us.div_euclid(1000));
                frame["latencyMs"] = json!(latency);
                self.show(&frame, received, latency)?;
                Ok(seq)
            }
            "HELLO" => {
                let user = frame.get("userId").and_then(Value::as_str).unwrap_or("?");
                let last = frame.get("lastSeq").and_then(Value::as_u64).unwrap_or(0);
                self.seen = self.seen.or(Some(last));
                self.out
                    .say(&format!("listening for {user}, who has {last} incentives; Ctrl-C ends"));
                Ok(None)
            }
            "PROGRESS" => {
                match self.out.format() {
                    Format::Table => self.out.data(&progress_line(&frame, received, &self.out))?,
                    _ => self.out.data(&frame.to_string())?,
                }
                Ok(None)
            }
            "MISSING" | "ERROR" => {
                self.out.warn(&format!("the platform says {text}"));
                Ok(None)
            }
            _ => {
                self.out.detail(text);
                Ok(None)
            }
        }
    }

    fn show(&self, frame: &Value, received: Timestamp, latency: Option<i64>) -> Outcome {
        if self.out.format() != Format::Table {
            return self.out.data(&frame.to_string());
        }
        let text = |pointer: &str| match frame.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        // What was issued long ago (a replay, a resume) has an age, not a latency.
        let latency = match latency {
            Some(ms) if ms < 60_000 => format!("+{ms} ms"),
            _ => format!("issued {}", text("/issuedAt")),
        };
        let reward = format!("{} {}", text("/reward/amount"), text("/reward/currency"));
        let code = text("/couponCode");
        let code = if code.is_empty() { code } else { format!("  code {code}") };
        self.out.data(&format!(
            "{}  {latency:<9}  {:<14}{code}  for {}  campaign {}  seq {}",
            clock_time(received),
            self.out.ink(Ink::Green, &reward),
            text("/eventId"),
            text("/campaignId"),
            text("/seq"),
        ))
    }
}

fn progress_line(frame: &Value, received: Timestamp, out: &Output) -> String {
    let steps = frame.get("steps").and_then(Value::as_array).into_iter().flatten();
    let steps: Vec<String> = steps
        .map(|step| {
            let text = |name: &str| step.get(name).map(ToString::to_string).unwrap_or_default();
            let done = if step.get("done") == Some(&json!(true)) { " done" } else { "" };
            format!("{} {}{done}", text("step").trim_matches('"'), text("value"))
        })
        .collect();
    let campaign = frame.get("campaignId").and_then(Value::as_str).unwrap_or_default();
    let line = format!("progress  {}  campaign {campaign}", steps.join(", "));
    format!("{}  {}", clock_time(received), out.ink(Ink::Dim, &line))
}

/// The time of day of an instant, UTC.
fn clock_time(at: Timestamp) -> String {
    let text = at.to_string();
    let time = text.split('T').nth(1).unwrap_or(&text).trim_end_matches('Z');
    time.chars().take(12).collect()
}

/// A request that did not become a connection: its answer is a problem document.
fn refused(
    url: &str,
    response: &tokio_tungstenite::tungstenite::http::Response<Option<Vec<u8>>>,
) -> Failure {
    let body = response.body().as_deref().unwrap_or_default();
    let reply = crate::client::Reply {
        status: response.status().as_u16(),
        retry_after: None,
        body: serde_json::from_slice(body).unwrap_or_default(),
    };
    let mut failure = reply.problem();
    failure.what = format!("{url}: {}", failure.what);
    if failure.code == Code::Auth {
        failure.mend = Some(
            "the token must be signed with the tenant's secret (PUT …/push-auth), name the tenant, \
             and have a time that is not over"
                .to_owned(),
        );
    }
    failure
}
