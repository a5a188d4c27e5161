//! What our own records say beside their value. A foreign producer need not know any of it.

use domain::event::RecordKind;
use engine::ports::{IncentiveEvent, Place};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};

/// How an event takes part: `HISTORY` or `REPLAY`; a live one has none.
const KIND: &str = "incent-kind";
/// Hash of what the tenant sent, 16 bytes. It differs from that of the value where the server has
/// filled something in.
const CONTENT: &str = "incent-content";
/// Place of an announcement: source partition, batch and ordinal as `3/17/0`.
const PLACE: &str = "incent-place";

/// Headers of an event.
pub fn of_event(kind: RecordKind, content_hash: &[u8; 16]) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(2);
    let headers = headers.insert(Header { key: CONTENT, value: Some(&content_hash[..]) });
    match kind {
        RecordKind::Live => headers,
        RecordKind::History => headers.insert(Header { key: KIND, value: Some("HISTORY") }),
        RecordKind::Replay => headers.insert(Header { key: KIND, value: Some("REPLAY") }),
    }
}

/// Headers of an announcement.
pub fn of_incentive(partition: i32, event: &IncentiveEvent) -> OwnedHeaders {
    let Place { batch_seq, ordinal } = event.place;
    let place = format!("{partition}/{batch_seq}/{ordinal}");
    OwnedHeaders::new_with_capacity(1).insert(Header { key: PLACE, value: Some(&place) })
}

/// What the headers of an event say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHeaders {
    /// How it takes part.
    pub kind: RecordKind,
    /// The hash of what the tenant sent, if the record says it.
    pub content_hash: Option<[u8; 16]>,
}

/// Reads the headers of an event; of two with one name the first counts. An unknown kind is an
/// error: it must not be taken for a live event.
pub fn event<M: Message>(message: &M) -> Result<EventHeaders, String> {
    let (mut kind, mut content_hash) = (None, None);
    for header in message.headers().into_iter().flat_map(Headers::iter) {
        match header.key {
            KIND if kind.is_none() => kind = Some(header.value),
            CONTENT if content_hash.is_none() => content_hash = Some(header.value),
            _ => {}
        }
    }
    let kind = match kind.flatten() {
        None | Some(b"LIVE") => RecordKind::Live,
        Some(b"HISTORY") => RecordKind::History,
        Some(b"REPLAY") => RecordKind::Replay,
        Some(other) => {
            let other = String::from_utf8_lossy(&other[..other.len().min(20)]).into_owned();
            return Err(format!(
                "its header {KIND} is {other:?}; it may be LIVE, HISTORY or REPLAY"
            ));
        }
    };
    Ok(EventHeaders { kind, content_hash: content_hash.flatten().and_then(|h| h.try_into().ok()) })
}

/// Source partition and place of an announcement.
pub fn place<M: Message>(message: &M) -> Option<(i32, Place)> {
    let mut parts = std::str::from_utf8(value(message, PLACE)?).ok()?.split('/');
    let partition = parts.next()?.parse().ok()?;
    let place =
        Place { batch_seq: parts.next()?.parse().ok()?, ordinal: parts.next()?.parse().ok()? };
    parts.next().is_none().then_some((partition, place))
}

fn value<'a, M: Message>(message: &'a M, key: &str) -> Option<&'a [u8]> {
    message.headers()?.iter().find(|header| header.key == key)?.value
}
