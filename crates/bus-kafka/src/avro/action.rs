//! `ActionEvent`: the value of `tenant-events`.

use domain::event::ActionEvent;
use domain::id::{ActionCode, EventId, TenantId, UserRef};
use domain::payload::TEXT_BYTES_MAX;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::codec::{Codec, CodecError};

/// The fields as they are written.
#[derive(Serialize, Deserialize)]
#[serde(rename = "ActionEvent", rename_all = "camelCase")]
struct Datum<'a> {
    event_id: &'a str,
    tenant_id: &'a str,
    user_id: &'a str,
    action_code: &'a str,
    event_ts: i64,
    payload: &'a str,
}

/// Writes an event. Errors: [`CodecError`].
pub fn encode(codec: &Codec, event: &ActionEvent) -> Result<Vec<u8>, CodecError> {
    let mut tenant = uuid::Uuid::encode_buffer();
    codec.encode(&Datum {
        event_id: event.event_id.as_str(),
        tenant_id: event.tenant_id.0.hyphenated().encode_lower(&mut tenant),
        user_id: event.user_id.as_str(),
        action_code: event.action.as_str(),
        event_ts: event.event_ts.micros(),
        payload: &event.payload,
    })
}

/// Reads an event, whoever has written it. Its payload is bounded but not yet parsed. Errors:
/// [`CodecError`].
pub fn decode(codec: &Codec, value: &[u8]) -> Result<ActionEvent, CodecError> {
    let (writer, datum) = codec.open(value)?;
    let poison = CodecError::Poison;
    let datum: Datum<'_> =
        writer.read(datum).map_err(|why| poison(format!("is no ActionEvent: {why}")))?;
    let wrong = |field: &str, why: &dyn std::fmt::Display| poison(format!("its {field} {why}"));
    if datum.payload.len() > TEXT_BYTES_MAX {
        let bytes = datum.payload.len();
        let why = format!("has {bytes} bytes, at most {TEXT_BYTES_MAX} fit");
        return Err(wrong("payload", &why));
    }
    let micros = writer.micros(datum.event_ts).map(Timestamp::from_micros);
    Ok(ActionEvent {
        tenant_id: datum
            .tenant_id
            .parse::<TenantId>()
            .map_err(|e| wrong("tenantId", &format!("is no UUID: {e}")))?,
        event_id: EventId::new(datum.event_id).map_err(|e| wrong("eventId", &e))?,
        user_id: UserRef::new(datum.user_id).map_err(|e| wrong("userId", &e))?,
        action: ActionCode::new(datum.action_code).map_err(|e| wrong("actionCode", &e))?,
        event_ts: match micros {
            Some(Ok(at)) => at,
            Some(Err(e)) => return Err(wrong("eventTs", &e)),
            None => return Err(wrong("eventTs", &"lies beyond all time")),
        },
        payload: datum.payload.into(),
    })
}
