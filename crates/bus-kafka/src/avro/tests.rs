//! The codec on its own: no broker, and a stand-in for the registry.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::event::ActionEvent;
use domain::id::TenantId;
use rust_decimal::Decimal;
use serde_json::Value;
use testkit::event::event;
use testkit::incentive::incentive;
use uuid::Uuid;

use super::known::{ACTION_EVENT, INCENTIVE_EVENT, Versions};
use super::{Codec, CodecError, Registry, RegistrySettings, action, incentive as announced};

fn plain(versions: Versions) -> Codec {
    Codec::new("t", versions, None).expect("built in")
}

fn sample() -> ActionEvent {
    let tenant = TenantId(Uuid::from_u128(0x1234));
    event(tenant, "o-4711").payload(r#"{"amount":42.10,"text":"Zoë"}"#).build()
}

fn poison(result: Result<ActionEvent, CodecError>) -> String {
    match result {
        Err(CodecError::Poison(why)) => why,
        other => panic!("not poison: {other:?}"),
    }
}

#[test]
fn an_event_comes_back_as_it_was_written() {
    let codec = plain(ACTION_EVENT);
    let value = action::encode(&codec, &sample()).expect("written");
    assert_eq!(value[..2], [0xC3, 0x01]);
    assert_eq!(action::decode(&codec, &value), Ok(sample()));
}

#[test]
fn an_incentive_comes_back_with_its_exact_amount() {
    let codec = plain(INCENTIVE_EVENT);
    let mut sent = incentive(TenantId(Uuid::from_u128(7)), "ada", 3);
    for (amount, code) in
        [("50", None), ("0.00000001", Some("WELCOME")), ("999999999999999.5", None)]
    {
        sent.amount = amount.parse().expect("a number");
        sent.coupon_code = code.map(str::to_owned);
        let value = announced::encode(&codec, &sent).expect("written");
        let read = announced::decode(&codec, &value).expect("read");
        assert_eq!((read.amount, &read.coupon_code), (sent.amount, &sent.coupon_code));
        assert_eq!((read.id, read.user, read.seq), (sent.id, sent.user, sent.seq));
        assert_eq!((read.issued_at, read.event_id), (sent.issued_at, sent.event_id.clone()));
    }
    sent.amount = Decimal::new(1, 9);
    assert!(matches!(announced::encode(&codec, &sent), Err(CodecError::Poison(_))));
}

/// F28: whatever the bytes are, they are refused in bounded time and memory, or read.
#[test]
fn broken_bytes_are_poison_and_never_a_panic() {
    let codec = plain(ACTION_EVENT);
    let value = action::encode(&codec, &sample()).expect("written");
    for length in 0..value.len() {
        poison(action::decode(&codec, &value[..length]));
    }
    let mut longer = value.clone();
    longer.push(0);
    assert!(poison(action::decode(&codec, &longer)).contains("after its end"));
    for at in 10..value.len() {
        for bit in 0..8 {
            let mut flipped = value.clone();
            flipped[at] ^= 1 << bit;
            // A flipped letter is another letter; a flipped length is not.
            assert!(matches!(action::decode(&codec, &flipped), Ok(_) | Err(CodecError::Poison(_))));
        }
    }
    // A length of 2^62 in front of nothing.
    let huge = [&value[..10], &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]].concat();
    poison(action::decode(&codec, &huge));
    poison(action::decode(&codec, &vec![0xC3; 2 << 20]));
    assert!(poison(action::decode(&codec, b"{}")).contains("neither"));
    assert!(poison(action::decode(&codec, &[0, 0, 0, 0, 7, 1])).contains("none is configured"));
}

#[test]
fn values_of_no_meaning_are_poison() {
    let codec = plain(ACTION_EVENT);
    let with = |change: &dyn Fn(&mut Raw)| {
        let mut raw = Raw::default();
        change(&mut raw);
        action::decode(&codec, &codec.encode(&raw).expect("written"))
    };
    assert!(with(&|_| ()).is_ok());
    assert!(poison(with(&|raw| raw.tenant_id = "acme".into())).contains("tenantId"));
    assert!(poison(with(&|raw| raw.event_id = String::new())).contains("eventId"));
    assert!(poison(with(&|raw| raw.user_id = "u".repeat(129))).contains("userId"));
    assert!(poison(with(&|raw| raw.action_code = "a b".into())).contains("actionCode"));
    assert!(poison(with(&|raw| raw.event_ts = i64::MAX)).contains("eventTs"));
    assert!(poison(with(&|raw| raw.payload = "x".repeat(300_000))).contains("payload"));
}

/// An event as somebody may write it.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    event_id: String,
    tenant_id: String,
    user_id: String,
    action_code: String,
    event_ts: i64,
    payload: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            event_id: "e".into(),
            tenant_id: Uuid::from_u128(1).to_string(),
            user_id: "ada".into(),
            action_code: "purchase".into(),
            event_ts: 1_700_000_000_000,
            payload: "{}".into(),
        }
    }
}

/// A foreign schema: other order, another unit of time, nullable text, fields that we do not know.
const FOREIGN: &str = r#"{"type": "record", "name": "Event", "fields": [
    {"name": "payload", "type": ["null", "string"]},
    {"name": "extra", "type": {"type": "map", "values": "long"}},
    {"name": "eventTs", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "eventId", "type": "string"}, {"name": "tenantId", "type": "string"},
    {"name": "userId", "type": "string"}, {"name": "actionCode", "type": "string"}]}"#;

/// A stand-in for a schema registry: it speaks the REST API, knows schema 1 ([`FOREIGN`]), gives
/// new ones the id 42, and fails with 503 while told to. It is not one.
struct StandIn {
    url: String,
    asked: Arc<AtomicU32>,
    status: Arc<AtomicU32>,
}

impl StandIn {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (asked, status) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(200)));
        let (counter, forced) = (asked.clone(), status.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                answer(stream, forced.load(Ordering::Relaxed));
            }
        });
        Self { url, asked, status }
    }

    fn codec(&self) -> Codec {
        let settings = RegistrySettings { url: self.url.clone(), authorization: None };
        Codec::new("t", ACTION_EVENT, Some(Registry::new(settings))).expect("built in")
    }
}

fn answer(mut stream: std::net::TcpStream, forced: u32) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut first = String::new();
    reader.read_line(&mut first).expect("a request");
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let (status, body) = match first.split(' ').nth(1) {
        _ if forced != 200 => (forced, "{}".to_owned()),
        Some("/schemas/ids/1") => (200, serde_json::json!({ "schema": FOREIGN }).to_string()),
        Some("/schemas/ids/3") => {
            (200, r#"{"schemaType":"PROTOBUF","schema":"syntax"}"#.to_owned())
        }
        Some("/subjects/t-value/versions") => {
            let sent: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(sent["schema"], ACTION_EVENT.current());
            (200, r#"{"id":42}"#.to_owned())
        }
        _ => (404, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned()),
    };
    let head =
        format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}", body.len());
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).expect("answered");
}

/// A value of [`FOREIGN`], framed as Confluent does.
fn foreign(id: u32) -> Vec<u8> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        payload: Option<&'static str>,
        extra: std::collections::BTreeMap<&'static str, i64>,
        event_ts: i64,
        event_id: &'static str,
        tenant_id: String,
        user_id: &'static str,
        action_code: &'static str,
    }
    let schema: serde_avro_fast::Schema = FOREIGN.parse().expect("a schema");
    let event = Event {
        payload: Some(r#"{"n":1}"#),
        extra: [("a", 1), ("b", 2)].into(),
        event_ts: 1_700_000_000_123,
        event_id: "e-1",
        tenant_id: Uuid::from_u128(9).to_string(),
        user_id: "bob",
        action_code: "order.paid",
    };
    let mut value = vec![0];
    value.extend(id.to_be_bytes());
    let mut config = serde_avro_fast::ser::SerializerConfig::new(&schema);
    serde_avro_fast::to_datum(&event, value, &mut config).expect("written")
}

#[test]
fn a_foreign_schema_is_asked_for_once_and_used() {
    let registry = StandIn::start();
    let codec = registry.codec();
    assert_eq!(action::decode(&codec, &foreign(1)), Err(CodecError::Unknown(1)));
    codec.fetch(1).expect("answered");
    for _ in 0..3 {
        let read = action::decode(&codec, &foreign(1)).expect("read");
        assert_eq!(read.event_ts.micros(), 1_700_000_000_123_000, "milliseconds");
        assert_eq!((read.user_id.as_str(), &*read.payload), ("bob", r#"{"n":1}"#));
    }
    assert_eq!(registry.asked.load(Ordering::Relaxed), 1);
}

/// F29: no such schema is a dead letter, no answer is a pause.
#[test]
fn no_such_schema_is_poison_and_no_answer_is_not() {
    let registry = StandIn::start();
    let codec = registry.codec();
    registry.status.store(503, Ordering::Relaxed);
    assert!(matches!(codec.fetch(2), Err(CodecError::Registry(_))));
    assert_eq!(action::decode(&codec, &foreign(2)), Err(CodecError::Unknown(2)));
    registry.status.store(200, Ordering::Relaxed);
    for id in [2, 3] {
        codec.fetch(id).expect("answered");
        poison(action::decode(&codec, &foreign(id)));
    }
    // Nobody listens there.
    let gone = RegistrySettings { url: "http://127.0.0.1:1".into(), authorization: None };
    let codec = Codec::new("t", ACTION_EVENT, Some(Registry::new(gone))).expect("built in");
    assert!(matches!(codec.fetch(2), Err(CodecError::Registry(_))));
}

#[test]
fn with_a_registry_our_own_values_carry_its_id() {
    let registry = StandIn::start();
    let codec = registry.codec();
    assert!(matches!(action::encode(&codec, &sample()), Err(CodecError::Registry(_))));
    codec.register(ACTION_EVENT).expect("registered");
    codec.register(ACTION_EVENT).expect("registered");
    assert_eq!(registry.asked.load(Ordering::Relaxed), 1);
    let value = action::encode(&codec, &sample()).expect("written");
    assert_eq!(value[..5], [0, 0, 0, 0, 42]);
}

/// What breaks who has written with `old` or reads with it.
fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let fields = |schema: &Value| schema["fields"].as_array().cloned().unwrap_or_default();
    let named =
        |all: &[Value], field: &Value| all.iter().find(|f| f["name"] == field["name"]).cloned();
    let (before, after) = (fields(old), fields(new));
    let mut found = Vec::new();
    for field in &before {
        match named(&after, field) {
            None => found.push(format!("{} is gone", field["name"])),
            Some(now) if now["type"] != field["type"] => {
                found.push(format!("{} is of another type", field["name"]));
            }
            Some(_) => {}
        }
    }
    for field in &after {
        if named(&before, field).is_none() && field.get("default").is_none() {
            found.push(format!("{} is new and has no default", field["name"]));
        }
    }
    if (&old["name"], &old["namespace"]) != (&new["name"], &new["namespace"]) {
        found.push("the record has another name".to_owned());
    }
    found
}

#[test]
fn every_version_is_kept_and_fits_the_one_before() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/avro");
    for versions in [ACTION_EVENT, INCENTIVE_EVENT] {
        let name = versions.name;
        let current = std::fs::read_to_string(format!("{folder}/{name}.avsc")).expect("there");
        assert_eq!(current, versions.current(), "{name}: its last version in history/ is another");
        let kept = std::fs::read_dir(format!("{folder}/history")).expect("a folder").flatten();
        let kept =
            kept.filter(|f| f.file_name().to_string_lossy().starts_with(&format!("{name}.")));
        assert_eq!(kept.count(), versions.texts.len(), "{name}: a version is not built in");
        let schemas: Vec<Value> =
            versions.texts.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        for pair in schemas.windows(2) {
            assert_eq!(breaks(&pair[0], &pair[1]), [] as [String; 0], "{name}");
        }
    }
}

#[test]
fn a_change_that_breaks_readers_is_found() {
    let old: Value = serde_json::from_str(ACTION_EVENT.current()).expect("JSON");
    let changed = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut new = old.clone();
        change(new["fields"].as_array_mut().expect("fields"));
        breaks(&old, &new)
    };
    assert_eq!(changed(&|_| ()), [] as [String; 0]);
    let added = |json: &str| {
        let field: Value = serde_json::from_str(json).expect("JSON");
        changed(&move |fields| fields.push(field.clone()))
    };
    assert_eq!(added(r#"{"name":"x","type":["null","string"],"default":null}"#).len(), 0);
    assert_eq!(added(r#"{"name":"x","type":"string"}"#).len(), 1);
    assert_eq!(changed(&|fields| drop(fields.remove(0))).len(), 1);
    assert_eq!(changed(&|fields| fields[0]["type"] = "bytes".into()).len(), 1);
    assert_eq!(changed(&|fields| fields[0]["name"] = "id".into()).len(), 2);
}
