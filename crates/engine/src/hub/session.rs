//! One session: what a client gets, in order and without a hole.
//!
//! The cursor is the last `seq` given out. The live queue is only a short cut: an item is given
//! out when its `seq` is the next one, dropped when it is not above the cursor, and when it lies
//! beyond the next one (an announcement was lost, or two relays raced) the session reads on from
//! the store. That is enough, because an incentive is announced after its commit and a user's
//! `seq` is dense: whatever was announced before a read began is in what it reads.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use domain::id::UserId;
use domain::incentive::Incentive;

use super::mailbox::{Found, Item, Mailbox, slim};
use super::{End, Frame, Hub, QuestProgress};
use crate::ports::PortError;

/// What a session gives out.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// An incentive: the one after the last one.
    Incentive(Frame),
    /// The store no longer has these; they are older than its retention.
    Hole {
        /// The first one missing.
        from: u64,
        /// The last one missing.
        to: u64,
    },
    /// Progress in a quest, without `seq` and without promise.
    Progress(Arc<QuestProgress>),
}

/// From where a session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The `seq` after which it goes on. Lower than asked for when the client was ahead of the
    /// store, which has then been restored from a backup.
    pub after: u64,
    /// The user's last `seq` at that moment.
    pub last: u64,
}

type Reading = Pin<Box<dyn Future<Output = Result<Vec<Arc<Incentive>>, PortError>> + Send>>;

/// A live session. Dropping it gives its place back.
pub struct Session {
    hub: Arc<Hub>,
    user: UserId,
    mailbox: Arc<Mailbox>,
    /// The last `seq` moved to `ready`.
    cursor: u64,
    /// An announcement with this `seq` was there before the last read began: what it did not
    /// return below it does not exist.
    read_through: u64,
    is_held: bool,
    /// True when the store may have more than was read.
    is_behind: bool,
    reading: Option<Reading>,
    /// Taken from the mailbox, not yet compared with the cursor.
    incoming: VecDeque<Item>,
    /// To be given out.
    ready: VecDeque<Delivery>,
}

impl Session {
    pub(super) fn new(hub: Arc<Hub>, user: UserId, mailbox: Arc<Mailbox>) -> Self {
        Self {
            hub,
            user,
            mailbox,
            cursor: 0,
            read_through: 0,
            is_held: true,
            is_behind: false,
            reading: None,
            incoming: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// Places the cursor at the user's last incentive, which it returns: the session will give out
    /// whatever is issued from now on. It holds back until [`Self::release`].
    ///
    /// Errors: [`End::Unavailable`].
    pub async fn start(&mut self) -> Result<u64, End> {
        let last = last_seq(&self.hub, self.user).await?;
        self.cursor = last;
        self.mailbox.begins_after(last);
        Ok(last)
    }

    /// Moves the cursor, backwards or forwards: the session goes on with the incentive after
    /// `after`. What was queued to be given out is given out again in its place.
    ///
    /// Errors: [`End::Unavailable`]; the cursor has not moved.
    pub async fn resume(&mut self, after: u64) -> Result<Resumed, End> {
        let last = last_seq(&self.hub, self.user).await?;
        let after = after.min(last);
        self.cursor = after;
        self.mailbox.begins_after(after);
        self.read_through = 0;
        self.is_behind = after < last;
        self.reading = None;
        self.ready.clear();
        // Items in `incoming` and in the mailbox stay: those up to the cursor drop out, and those
        // beyond wait for the read.
        Ok(Resumed { after, last })
    }

    /// From now on it gives out progress in quests as well.
    pub fn follow_progress(&self) {
        self.mailbox.follow_progress();
    }

    /// Lets it give out what it has.
    pub fn release(&mut self) {
        self.is_held = false;
    }

    /// True until [`Self::release`].
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// A number from 0 up to 1 that differs from session to session, to spread what all of them do
    /// from time to time.
    pub fn spread(&self) -> f64 {
        // Fractions of the golden ratio fill the interval evenly, however many are taken.
        (self.mailbox.presence().session as f64 * 0.618_033_988_749_895).fract()
    }

    /// Waits until [`Self::next_ready`] has something. Cancelling it loses nothing.
    ///
    /// Errors: why the session is over.
    pub async fn ready(&mut self) -> Result<(), End> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// How many deliveries there are at once.
    pub fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// The next delivery, if there is one at once.
    pub fn next_ready(&mut self) -> Option<Delivery> {
        let delivery = self.ready.pop_front()?;
        slim(&mut self.ready);
        if let Delivery::Incentive(frame) = &delivery {
            self.mailbox.delivered(frame.seq());
            self.hub.metrics.delivered.inc();
        }
        Some(delivery)
    }

    /// Notes that the client has everything up to `seq`. Returns how many of it are news, `None`
    /// when it was never given that much.
    pub fn acknowledge(&mut self, seq: u64) -> Option<u64> {
        if seq > self.mailbox.presence().delivered {
            return None;
        }
        let news = self.mailbox.acknowledge(seq);
        self.hub.metrics.acknowledged.inc_by(news);
        Some(news)
    }

    /// [`Self::ready`] for who waits for other things as well.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            if self.is_held || self.reading.is_some() {
                // Nothing queued can be given out now, so an end is not put off for it.
                if let Some(end) = self.mailbox.ended(cx) {
                    return Poll::Ready(Err(end));
                }
            }
            if self.is_held {
                return Poll::Pending;
            }
            if let Some(reading) = &mut self.reading {
                let page = ready!(reading.as_mut().poll(cx));
                self.reading = None;
                self.absorb(page.map_err(unavailable)?);
            }
            if !self.ready.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if self.is_behind {
                self.read();
                continue;
            }
            if !self.incoming.is_empty() {
                self.sift();
                continue;
            }
            match self.mailbox.take(&mut self.incoming, cx) {
                Found::Items => {}
                Found::Lagging => self.is_behind = true,
                Found::Nothing => return Poll::Pending,
                Found::End(end) => return Poll::Ready(Err(end)),
            }
        }
    }

    /// Compares what came in with the cursor, up to the first hole.
    fn sift(&mut self) {
        while let Some(item) = self.incoming.pop_front() {
            let frame = match item {
                Item::Progress(progress) => {
                    self.ready.push_back(Delivery::Progress(progress));
                    continue;
                }
                Item::Incentive(frame) => frame,
            };
            let seq = frame.seq();
            if seq <= self.cursor {
                self.hub.metrics.repeated.inc();
            } else if seq == self.cursor + 1 || seq <= self.read_through {
                self.give(frame);
            } else {
                self.hub.metrics.holes.inc();
                self.read_through = seq;
                self.is_behind = true;
                self.incoming.push_front(Item::Incentive(frame));
                return;
            }
        }
        slim(&mut self.incoming);
    }

    /// Gives out an incentive, after naming those before it that do not exist any more.
    fn give(&mut self, frame: Frame) {
        let seq = frame.seq();
        if seq > self.cursor + 1 {
            self.ready.push_back(Delivery::Hole { from: self.cursor + 1, to: seq - 1 });
        }
        self.cursor = seq;
        self.ready.push_back(Delivery::Incentive(frame));
    }

    fn absorb(&mut self, page: Vec<Arc<Incentive>>) {
        self.is_behind = page.len() >= self.hub.settings.page.max(1);
        for incentive in page {
            if incentive.seq > self.cursor {
                self.give(Frame::new(incentive));
            }
        }
    }

    fn read(&mut self) {
        self.hub.metrics.pages.inc();
        self.reading = Some(Box::pin(missed(self.hub.clone(), self.user, self.cursor)));
    }
}

async fn last_seq(hub: &Hub, user: UserId) -> Result<u64, End> {
    // The semaphore is never closed; were it, reading without a turn does no harm.
    let _turn = hub.reads.acquire().await.ok();
    hub.inbox.last_seq(user).await.map_err(unavailable)
}

async fn missed(hub: Arc<Hub>, user: UserId, after: u64) -> Result<Vec<Arc<Incentive>>, PortError> {
    let _turn = hub.reads.acquire().await.ok();
    hub.inbox.missed(user, after, hub.settings.page.max(1)).await
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.forget(self.user, &self.mailbox);
    }
}

fn unavailable(error: PortError) -> End {
    tracing::warn!(%error, "missed incentives cannot be read");
    End::Unavailable
}
