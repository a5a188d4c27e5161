//! Tells which of its wakers has woken a task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Stands between a task and things that it waits for and that seldom happen: while it is silent,
/// none of them need be polled. Whoever gets something from one of them rings it, since that one
/// may have more.
pub(super) struct Bell(Waker, Arc<Line>);

#[derive(Default)]
struct Line {
    rings: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Line {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rings.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Bell {
    /// A bell that has rung, so that everything is polled once.
    pub fn rung() -> Self {
        let line = Arc::<Line>::default();
        line.rings.store(true, Ordering::Relaxed);
        Self(line.clone().into(), line)
    }

    /// Has everything polled again.
    pub fn ring(&self) {
        self.1.rings.store(true, Ordering::Relaxed);
    }

    /// Whether it has rung since it was last asked; from now on it wakes the task of `cx`.
    pub fn has_rung(&self, cx: &Context<'_>) -> bool {
        // First the waker, so that a ring in between is not missed.
        self.1.task.register(cx.waker());
        self.1.rings.swap(false, Ordering::Acquire)
    }

    /// To poll with what is to ring it.
    pub fn context(&self) -> Context<'_> {
        Context::from_waker(&self.0)
    }
}
