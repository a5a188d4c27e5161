//! Devices of many users on WebSockets of their own, half of them clients that know no subprotocol.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::{SinkExt as _, StreamExt as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::distributed::shop::SECRET;
use crate::distributed::stage::{PATIENCE, Stage};

/// How long tokens are good for, seconds.
const TOKEN_S: i64 = 3600;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
/// Frames by tenant and user.
type Heard = Arc<Mutex<BTreeMap<(String, String), Vec<Value>>>>;

/// All of them. They listen until they are dropped.
pub struct Crowd {
    _runtime: Runtime,
    heard: Heard,
}

impl Crowd {
    /// Connects the device of each tenant's user, at these addresses in turn. When it returns, all
    /// that is issued from now on is heard.
    pub fn listen(urls: &[&str], users: Vec<(String, String)>, now_s: i64) -> Self {
        let runtime = Runtime::new().unwrap();
        let heard = Heard::default();
        for (n, user) in users.into_iter().enumerate() {
            let is_plain = (n / urls.len()).is_multiple_of(2);
            let claims = json!({
                "sub": user.1, "tenant": user.0, "aud": "incent-push", "exp": now_s + TOKEN_S,
            });
            let key = EncodingKey::from_secret(SECRET.as_bytes());
            let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
            let socket = runtime.block_on(connect(urls[n % urls.len()], &token, is_plain));
            heard.lock().unwrap().insert(user.clone(), Vec::new());
            runtime.spawn(hear(socket, user, is_plain, heard.clone()));
        }
        Self { _runtime: runtime, heard }
    }

    /// Waits until each has been told of all that its user has earned, in order and once.
    pub fn has_heard(&self, stage: &Stage) {
        let heard = || self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut frames = 0;
        for (tenant, user) in heard().into_keys() {
            let earned = stage.rows(&format!(
                "select concat_ws(' ', incentive_id, campaign_id, reward_currency,
                     trim_scale(reward_amount),
                     to_char(issued_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS'))
                 from incentives where tenant_id = '{tenant}' and user_ref = '{user}' order by seq"
            ));
            let begun = Instant::now();
            let who = (tenant, user);
            let told = loop {
                let told = heard().remove(&who).unwrap();
                if told.len() >= earned.len() {
                    break told;
                }
                let (got, all) = (told.len(), earned.len());
                assert!(begun.elapsed() < PATIENCE, "{who:?} has heard {got} of {all}");
                stage.rows("select pg_sleep(0.1)::text");
            };
            assert_eq!(told.iter().map(row).collect::<Vec<_>>(), earned, "{who:?}");
            frames += earned.len();
        }
        println!("{frames} frames to {} devices", heard().len());
        assert!(frames > heard().len(), "most users earn something");
    }
}

async fn connect(url: &str, token: &str, is_plain: bool) -> Socket {
    let url = format!("{}/ws", url.replacen("http", "ws", 1));
    let mut request = url.into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    if !is_plain {
        headers.insert("sec-websocket-protocol", "incent.v1".parse().unwrap());
    }
    let (mut socket, _) = connect_async(request).await.unwrap();
    if !is_plain {
        let resume = json!({"type": "RESUME", "afterSeq": 0}).to_string();
        socket.send(Message::text(resume)).await.unwrap();
    }
    socket
}

async fn hear(mut socket: Socket, user: (String, String), is_plain: bool, heard: Heard) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        if frame["type"] != "INCENTIVE_NOTIFICATION" {
            assert!(!is_plain, "nothing else is ever sent to a plain client: {frame}");
            continue;
        }
        let ack = json!({"type": "ACK", "seq": frame["seq"]}).to_string();
        heard.lock().unwrap().get_mut(&user).unwrap().push(frame);
        if !is_plain {
            socket.send(Message::text(ack)).await.unwrap();
        }
    }
}

fn row(frame: &Value) -> String {
    let text = |pointer: &str| frame.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let amount: Decimal = frame["reward"]["amount"].to_string().parse().unwrap();
    let [id, campaign, currency] = ["/incentiveId", "/campaignId", "/reward/currency"].map(&text);
    let issued: String = text("/issuedAt").chars().take("2025-06-27T12:34:56".len()).collect();
    format!("{id} {campaign} {currency} {} {issued}", amount.normalize())
}
