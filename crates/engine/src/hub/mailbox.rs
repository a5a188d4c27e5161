//! The queue between announcing and one session: bounded by count and bytes, never waited on by
//! the one who announces.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use domain::id::TenantId;

use super::{Capacity, End, Frame, Presence, QuestProgress, lock};

/// What is queued.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Incentive(Frame),
    Progress(Arc<QuestProgress>),
}

/// What a session finds in its mailbox.
pub(super) enum Found {
    /// Items, moved into the session's own queue.
    Items,
    /// The queue was full and was dropped: read on from the store.
    Lagging,
    /// Nothing; the session is woken when there is something.
    Nothing,
    /// The session is over.
    End(End),
}

/// A session's mailbox.
#[derive(Debug)]
pub(super) struct Mailbox {
    session: u64,
    tenant: TenantId,
    capacity: Capacity,
    follows_progress: AtomicBool,
    queue: Mutex<Queue>,
    delivered: AtomicU64,
    acknowledged: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    is_lagging: bool,
    end: Option<End>,
    waker: Option<Waker>,
}

impl Queue {
    /// Adds an item. False when there is no room.
    fn add(&mut self, item: Item, weight: usize, capacity: Capacity) -> bool {
        let fits = self.items.len() < capacity.frames && self.bytes + weight <= capacity.bytes;
        if fits {
            self.items.push_back(item);
            self.bytes += weight;
        }
        fits
    }
}

impl Mailbox {
    pub(super) fn new(session: u64, tenant: TenantId, capacity: Capacity) -> Self {
        Self {
            session,
            tenant,
            capacity,
            follows_progress: AtomicBool::new(false),
            queue: Mutex::default(),
            delivered: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        }
    }

    pub(super) fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Wants progress as well.
    pub(super) fn follow_progress(&self) {
        self.follows_progress.store(true, Ordering::Relaxed);
    }

    pub(super) fn follows_progress(&self) -> bool {
        self.follows_progress.load(Ordering::Relaxed)
    }

    /// Queues incentives. True when that made the session lag.
    pub(super) fn push(&self, frames: impl Iterator<Item = Frame>) -> bool {
        let mut queue = lock(&self.queue);
        if queue.end.is_some() || queue.is_lagging {
            return false;
        }
        for frame in frames {
            let weight = frame.weight();
            if !queue.add(Item::Incentive(frame), weight, self.capacity) {
                queue.items = VecDeque::new();
                queue.bytes = 0;
                queue.is_lagging = true;
                break;
            }
        }
        let (lags, waker) = (queue.is_lagging, queue.waker.take());
        drop(queue);
        waker.into_iter().for_each(Waker::wake);
        lags
    }

    /// Queues progress if there is room.
    pub(super) fn push_progress(&self, progress: &Arc<QuestProgress>) {
        let mut queue = lock(&self.queue);
        if queue.end.is_some() || queue.is_lagging {
            return;
        }
        queue.add(Item::Progress(progress.clone()), progress.weight(), self.capacity);
        let waker = queue.waker.take();
        drop(queue);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ends the session; the first reason stays.
    pub(super) fn end(&self, end: End) {
        let mut queue = lock(&self.queue);
        if queue.end.is_some() {
            return;
        }
        queue.end = Some(end);
        if end != End::GoingAway {
            queue.items = VecDeque::new();
            queue.bytes = 0;
        }
        let waker = queue.waker.take();
        drop(queue);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Moves all items into `into`, which must be empty, or tells why there are none. When there
    /// is nothing the session is woken later.
    pub(super) fn take(&self, into: &mut VecDeque<Item>, cx: &mut Context<'_>) -> Found {
        let mut queue = lock(&self.queue);
        if !queue.items.is_empty() {
            std::mem::swap(into, &mut queue.items);
            queue.bytes = 0;
            return Found::Items;
        }
        if let Some(end) = queue.end {
            return Found::End(end);
        }
        if std::mem::take(&mut queue.is_lagging) {
            return Found::Lagging;
        }
        wait(&mut queue, cx);
        Found::Nothing
    }

    /// The end, if it has come; otherwise the session is woken when it comes.
    pub(super) fn ended(&self, cx: &mut Context<'_>) -> Option<End> {
        let mut queue = lock(&self.queue);
        if queue.end.is_none() {
            wait(&mut queue, cx);
        }
        queue.end
    }

    /// Notes that the client begins after `seq`: nothing before is owed to it.
    pub(super) fn begins_after(&self, seq: u64) {
        self.delivered.store(seq, Ordering::Relaxed);
        self.acknowledged.store(seq, Ordering::Relaxed);
    }

    /// Notes that everything up to `seq` was handed to the connection.
    pub(super) fn delivered(&self, seq: u64) {
        self.delivered.store(seq, Ordering::Relaxed);
    }

    /// Notes an acknowledgement of everything up to `seq`; returns how many are new.
    pub(super) fn acknowledge(&self, seq: u64) -> u64 {
        seq.saturating_sub(self.acknowledged.fetch_max(seq, Ordering::Relaxed))
    }

    pub(super) fn presence(&self) -> Presence {
        Presence {
            session: self.session,
            delivered: self.delivered.load(Ordering::Relaxed),
            acknowledged: self.acknowledged.load(Ordering::Relaxed),
        }
    }
}

/// Gives back the memory of a queue that a burst has made large and that is empty again: most
/// sessions are idle most of the time.
pub(super) fn slim<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > 16 {
        *queue = VecDeque::new();
    }
}

fn wait(queue: &mut Queue, cx: &mut Context<'_>) {
    match &mut queue.waker {
        Some(waker) => waker.clone_from(cx.waker()),
        none => *none = Some(cx.waker().clone()),
    }
}
