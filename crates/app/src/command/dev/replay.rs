//! The purchases of 1997 and 1998, decided as of their own time.

use std::time::{Duration, Instant};

use domain::config::TenantMode;
use domain::event::RecordKind;
use domain::id::EventId;
use domain::time::Timestamp;
use engine::ingest::{EVENTS_MAX, IncomingEvent, Ingested};
use store::control::{Change, decisions, tenants};

use super::setup::Demo;
use crate::data_dir;
use crate::demo::PURCHASES;
use crate::failure::{Code, Failure, Outcome};
use crate::output::Output;
use crate::platform::{PARTITION, Platform};
use crate::progress::Progress;
use crate::reading::mapping::{Flags, Mapping};
use crate::reading::{Events, Item, Kind};
use crate::server::Server;

/// An event worth explaining: a purchase that meets most of the campaigns.
pub const SHOWN_EVENT: &str = "cdnow-2";

/// What became of the replay.
#[derive(Clone, Copy, Debug)]
pub struct Replayed {
    /// Taken now; the others were there from an earlier start.
    pub accepted: u64,
    /// How long it took until the last one was decided.
    pub took: Duration,
}

/// Replays what is not in the log yet. Nothing is decided twice: an event's id comes from its line.
pub async fn replay(
    server: &Server,
    demo: &Demo,
    most: Option<usize>,
    out: &Output,
) -> Outcome<Replayed> {
    let platform = &server.platform;
    let mut items = purchases()?;
    items.truncate(most.unwrap_or(usize::MAX));
    let purchases = items.len() as u64;
    // In the order of time: when the last one is decided, all are.
    let last = items.last().map(|item| item.event.event_id.clone());
    if is_over(platform, demo, last).await? {
        out.say("the purchases are decided already, from an earlier start; none is granted twice");
        return Ok(Replayed { accepted: 0, took: Duration::ZERO });
    }
    set_mode(platform, demo, TenantMode::Replay).await?;
    let progress = Progress::start(out, "replaying", "purchases", Some(purchases));
    let started = Instant::now();
    let (mut accepted, mut first, mut end) = (0, None, 0);
    let decided_of = |position: i64, first: Option<i64>| {
        u64::try_from(position - first.unwrap_or(position)).unwrap_or(0).min(purchases)
    };
    let mut decided = platform.board.progress(PARTITION);
    let mut items = items.into_iter();
    loop {
        let batch: Vec<IncomingEvent> = items.by_ref().take(EVENTS_MAX).map(incoming).collect();
        if batch.is_empty() {
            break;
        }
        for offset in offer(platform, demo, batch, &mut accepted).await? {
            first = first.or(Some(offset));
            end = end.max(offset + 1);
        }
        let position = decided.borrow_and_update().map_or(0, |p| p.next_offset);
        progress.set(decided_of(position, first));
    }
    loop {
        let position = decided.borrow_and_update().map_or(0, |p| p.next_offset);
        progress.set(decided_of(position, first));
        if position >= end {
            break;
        }
        tokio::select! {
            // The platform keeps the channel open.
            _ = decided.changed() => {}
            why = platform.board.halted() => {
                return Err(Failure::new(Code::Failure, "the calculator has ended").why(why));
            }
        }
    }
    let took = started.elapsed();
    progress.finish();
    set_mode(platform, demo, TenantMode::Live).await?;
    if accepted < purchases {
        out.say("went on where the earlier start was interrupted; nothing is granted twice");
    }
    Ok(Replayed { accepted, took })
}

/// Offers a batch to the log; gives where its events are.
async fn offer(
    platform: &Platform,
    demo: &Demo,
    batch: Vec<IncomingEvent>,
    accepted: &mut u64,
) -> Outcome<Vec<i64>> {
    let results = platform.ingest.accept(demo.tenant, RecordKind::Replay, batch).await;
    let results = results.map_err(|e| {
        Failure::new(Code::Failure, "the purchases cannot be stored").why(e.to_string())
    })?;
    let mut offsets = Vec::with_capacity(results.len());
    for result in results {
        match result {
            Ingested::Accepted { offset } => {
                *accepted += 1;
                offsets.push(offset);
            }
            Ingested::Duplicate { offset } => offsets.push(offset),
            Ingested::Rejected(why) => {
                return Err(Failure::new(Code::Failure, "a purchase was refused")
                    .why(why.to_string())
                    .mend("the directory holds other data; use --data-dir, or --reset"));
            }
        }
    }
    Ok(offsets)
}

/// The purchases by time; those of one day in the order of the file.
pub fn purchases() -> Outcome<Vec<Item>> {
    let flags = Flags {
        user: Some("customer_id".into()),
        time: Some("date".into()),
        time_zone: Some("America/New_York".into()),
        action: Some("purchase".into()),
        event_id: Some("line".into()),
        event_id_prefix: Some("cdnow-".into()),
        payload: vec!["amount=amount_usd:number".into(), "units:number".into()],
        ..Flags::default()
    };
    let mapping = Mapping::resolve(flags, Kind::Csv)?;
    let mut items = Vec::with_capacity(70_000);
    for row in Events::open(PURCHASES.as_bytes(), Kind::Csv, b',', &mapping)? {
        match row? {
            // The rows themselves are compiled in; a second copy of them would only cost memory.
            Ok(item) => items.push(Item { raw: String::new(), ..item }),
            Err(broken) => {
                let what = format!("line {} of the demo's purchases is broken", broken.line);
                return Err(Failure::new(Code::Failure, what).why(broken.why));
            }
        }
    }
    items.sort_by_key(|item| (item.event.event_ts, item.line));
    Ok(items)
}

fn incoming(item: Item) -> IncomingEvent {
    let event = item.event;
    IncomingEvent {
        event_id: event.event_id,
        user_id: event.user_id,
        action: event.action,
        event_ts: Some(event.event_ts),
        payload: event.payload,
    }
}

/// Whether an earlier start has come to the end.
async fn is_over(platform: &Platform, demo: &Demo, last: Option<EventId>) -> Outcome<bool> {
    let tenant = demo.tenant;
    let Some(last) = last else { return Ok(true) };
    let read = platform.control.read(move |sql| {
        let mode = tenants::get(sql, tenant)?.map(|tenant| tenant.mode);
        Ok((mode, decisions::by_event(sql, tenant, &last)?))
    });
    let (mode, last) = read.await.map_err(|e| told(demo, &e))?;
    let decided = last.is_some_and(|event| event.outcome.is_some());
    Ok(decided && mode == Some(TenantMode::Live))
}

async fn set_mode(platform: &Platform, demo: &Demo, mode: TenantMode) -> Outcome {
    let (tenant, at): (_, Timestamp) = (demo.tenant, platform.clock.now());
    let change = Change { actor: "incent dev".to_owned(), at };
    let set = platform.control.write(move |sql| tenants::set_mode(sql, tenant, mode, &change));
    set.await.map(drop).map_err(|e| told(demo, &e))
}

fn told(demo: &Demo, error: &store::StoreError) -> Failure {
    let dir = demo.env_file.parent().unwrap_or(&demo.env_file);
    data_dir::failure("read", dir, error)
}
