//! Appending to the log: one closure on the writer thread, so that offsets are dense, append times
//! never go back and an event id is taken once.

use std::collections::BTreeMap;

use domain::config::TenantMode;
use domain::id::{EventKey, TenantId};
use domain::time::Timestamp;
use engine::admission::append_time;
use engine::ports::{Appended, DeadLetter, NewRecord};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use serde_json::value::RawValue;

use crate::error::{Result, StoreError};
use crate::hot::record::{TOPIC, blob, dead_letter};

/// Records that were decided may be pruned, the position stays.
const END: &str = "
    select max(coalesce((select max(log_offset) + 1 from events), 0),
               coalesce((select next_offset from positions where topic = ?1 and partition = 0), 0))";
const LANE: &str = "
    select s.mode, s.last_append_time, t.status
    from tenant_states s join tenants t on t.tenant_id = s.tenant_id where s.tenant_id = ?1";
const ADVANCE: &str = "update tenant_states set last_append_time = ?2 where tenant_id = ?1";
const EVENT_ID: &str = "
    insert into event_ids (tenant_id, event_key, content_hash, log_offset, append_time)
    values (?1, ?2, ?3, ?4, ?5) on conflict (tenant_id, event_key) do nothing";
const FIRST: &str = "
    select content_hash, log_offset from event_ids where tenant_id = ?1 and event_key = ?2";
const EVENT: &str = "
    insert into events (log_offset, tenant_id, event_id, user_id, user_ref, action_code, event_ts,
                        payload, append_time, kind)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// A record offered, with what has to be hashed.
pub(super) struct Offered {
    pub record: NewRecord,
    key: EventKey,
    user: [u8; 16],
}

impl Offered {
    pub fn of(record: NewRecord) -> Self {
        let key = EventKey::of(&record.event.event_id);
        let user = *record.event.user().0.as_bytes();
        Self { record, key, user }
    }
}

/// First offset after the last record.
pub(super) fn end(conn: &Connection) -> Result<i64> {
    Ok(conn.prepare_cached(END)?.query_row([TOPIC], |row| row.get(0))?)
}

/// What an append came to.
pub(super) struct Written {
    /// Of each record.
    pub results: Vec<Appended>,
    /// Of each that was accepted, in order.
    pub append_times: Vec<Timestamp>,
    /// The log's new end.
    pub end: i64,
}

/// Appends in order.
pub(super) fn append(conn: &Connection, offered: &[Offered], now: Timestamp) -> Result<Written> {
    let mut log = Log {
        conn,
        event_id: conn.prepare_cached(EVENT_ID)?,
        event: conn.prepare_cached(EVENT)?,
        lanes: BTreeMap::new(),
        append_times: Vec::with_capacity(offered.len()),
        end: end(conn)?,
        now,
    };
    let results = offered.iter().map(|one| log.append(one)).collect::<Result<_>>()?;
    let mut advance = conn.prepare_cached(ADVANCE)?;
    for (tenant, lane) in &log.lanes {
        if let Some(lane) = lane.as_ref().filter(|l| l.last_append > l.stored) {
            advance.execute((blob(&tenant.0), lane.last_append.micros()))?;
        }
    }
    Ok(Written { results, append_times: log.append_times, end: log.end })
}

struct Log<'c> {
    conn: &'c Connection,
    event_id: CachedStatement<'c>,
    event: CachedStatement<'c>,
    lanes: BTreeMap<TenantId, Option<Lane>>,
    append_times: Vec<Timestamp>,
    end: i64,
    now: Timestamp,
}

/// One tenant's records in the log.
#[derive(Clone, Copy)]
struct Lane {
    mode: TenantMode,
    stored: Timestamp,
    last_append: Timestamp,
}

impl Log<'_> {
    fn append(&mut self, offered: &Offered) -> Result<Appended> {
        let Offered { record, key, user } = offered;
        let event = &record.event;
        let Some(lane) = self.lane(event.tenant_id)? else { return Ok(Appended::NoTenant) };
        let times = (self.now, event.event_ts);
        let Some(at) = append_time(lane.mode, lane.last_append, record.kind, times) else {
            return Ok(Appended::WrongMode);
        };
        let offset = self.end;
        let tenant = blob(&event.tenant_id.0);
        let new = self.event_id.execute(params![
            tenant,
            key.0,
            record.content_hash,
            offset,
            at.micros()
        ])?;
        if new == 0 {
            return self.known(offered);
        }
        self.event.execute(params![
            offset,
            tenant,
            event.event_id.as_str(),
            user,
            event.user_id.as_str(),
            event.action.as_str(),
            event.event_ts.micros(),
            &*event.payload,
            at.micros(),
            record.kind.code(),
        ])?;
        self.end += 1;
        self.append_times.push(at);
        self.lanes.insert(event.tenant_id, Some(Lane { last_append: at, ..lane }));
        Ok(Appended::Accepted { offset })
    }

    fn lane(&mut self, tenant: TenantId) -> Result<Option<Lane>> {
        if let Some(lane) = self.lanes.get(&tenant) {
            return Ok(*lane);
        }
        let mut query = self.conn.prepare_cached(LANE)?;
        let row = query.query_row([blob(&tenant.0)], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, String>(2)?))
        });
        let lane = row.optional()?.filter(|(_, _, status)| status == "ACTIVE").map(|row| {
            let stored = Timestamp::from_stored(row.1);
            let mode = if row.0 == "REPLAY" { TenantMode::Replay } else { TenantMode::Live };
            Lane { mode, stored, last_append: stored }
        });
        self.lanes.insert(tenant, lane);
        Ok(lane)
    }

    /// The id is taken: by the same event, or by another one.
    fn known(&self, offered: &Offered) -> Result<Appended> {
        let Offered { record, key, .. } = offered;
        let mut query = self.conn.prepare_cached(FIRST)?;
        let (hash, offset): ([u8; 16], i64) = query
            .query_row((blob(&record.event.tenant_id.0), key.0), |r| Ok((r.get(0)?, r.get(1)?)))?;
        if hash == record.content_hash {
            return Ok(Appended::Duplicate { offset });
        }
        dead_letter(self.conn, &reused(record, offset, self.now)?)?;
        Ok(Appended::IdReused)
    }
}

/// The event as it can be sent again, once it has an id of its own.
fn reused(record: &NewRecord, first: i64, now: Timestamp) -> Result<DeadLetter> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Sent<'a> {
        event_id: &'a str,
        user_id: &'a str,
        action: &'a str,
        event_ts: Timestamp,
        payload: &'a RawValue,
    }
    let event = &record.event;
    let write = || {
        serde_json::to_vec(&Sent {
            event_id: event.event_id.as_str(),
            user_id: event.user_id.as_str(),
            action: event.action.as_str(),
            event_ts: event.event_ts,
            payload: serde_json::from_str(&event.payload)?,
        })
    };
    let raw = write().map_err(|e: serde_json::Error| {
        StoreError::invalid(format!("the payload is no JSON: {e}"))
    })?;
    let source = "ingest".to_owned();
    Ok(DeadLetter {
        id: DeadLetter::id_of(now, &source, &raw),
        tenant: Some(event.tenant_id),
        source,
        reason: "ID_REUSED",
        detail: format!("the event id stands for other content, in the log at offset {first}"),
        raw,
        received_at: now,
    })
}
