//! From a message to a record as the engine takes it.

use bytes::Bytes;
use domain::event::{ActionEvent, Record};
use domain::id::{TenantId, hash_parts};
use domain::payload::Payload;
use domain::time::Timestamp;
use engine::ingest::content_hash;
use engine::record::{Body, Mark, Offered, Taken, Unreadable};
use rdkafka::message::Message;
use uuid::Uuid;

use crate::avro::{Codec, CodecError, action};
use crate::headers;

/// What a message is. Errors: its schema must be asked for first.
pub fn taken<M: Message>(message: &M, log: Uuid, codec: &Codec) -> Result<Taken, CodecError> {
    let value = message.payload().unwrap_or_default();
    let (offset, ms) = (message.offset(), message.timestamp().to_millis().unwrap_or(0));
    let append_time =
        Timestamp::from_micros(ms.saturating_mul(1000)).unwrap_or(Timestamp::from_stored(0));
    // Tells one record from another at the same offset.
    let mut check = crc32fast::Hasher::new();
    check.update(&[offset.to_be_bytes(), ms.to_be_bytes()].concat());
    check.update(value);
    let mark = Some(Mark { log, check: check.finalize() });
    let body = match offered(message, value, append_time, codec) {
        Ok(offered) => Body::Offered(offered),
        Err(CodecError::Poison(why)) => Body::Unreadable(Unreadable {
            raw: Bytes::copy_from_slice(value),
            why,
            tenant: key_tenant(message),
        }),
        Err(error) => return Err(error),
    };
    Ok(Taken { offset, append_time, mark, body })
}

fn offered<M: Message>(
    message: &M,
    value: &[u8],
    append_time: Timestamp,
    codec: &Codec,
) -> Result<Offered, CodecError> {
    let event = action::decode(codec, value)?;
    let said = headers::event(message).map_err(CodecError::Poison)?;
    // One tenant must not write for another; a key that names none decides nothing.
    if let Some(tenant) = key_tenant(message).filter(|tenant| *tenant != event.tenant_id) {
        let why = format!("its key names the tenant {tenant}, its value {}", event.tenant_id);
        return Err(CodecError::Poison(why));
    }
    let content_hash = said.content_hash.unwrap_or_else(|| hash_of(&event));
    let record = Record { offset: message.offset(), append_time, kind: said.kind, event };
    Ok(Offered { record, content_hash, raw: Bytes::copy_from_slice(value) })
}

/// The hash of an event that does not bring one along. A foreign producer gives the time itself.
fn hash_of(event: &ActionEvent) -> [u8; 16] {
    match Payload::parse(&event.payload) {
        Ok(payload) => content_hash(&payload, &event.user_id, &event.action, Some(event.event_ts)),
        // It will not be decided; two of them are the same if their bytes are.
        Err(_) => hash_parts(&[b"unreadable", event.payload.as_bytes()]),
    }
}

fn key_tenant<M: Message>(message: &M) -> Option<TenantId> {
    std::str::from_utf8(message.key()?).ok()?.parse().ok()
}
