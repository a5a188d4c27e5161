//! Whether a batch's event ids are looked up before it is decided.

use std::sync::atomic::{AtomicU32, Ordering};

/// Batches for which ids are looked up after an event has come twice, and after a start, when senders
/// repeat what they have had no answer to.
const WATCHFUL: u32 = 256;

/// Most events come once. While none comes twice the lookup finds nothing, and is left out: the
/// unique key on which the ids are written tells of a repeated one all the same, then the batch is
/// stale, and is loaded again with a lookup.
#[derive(Debug)]
pub(super) struct Repeats {
    /// Batches for which the ids are still looked up.
    left: AtomicU32,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { left: AtomicU32::new(WATCHFUL) }
    }
}

impl Repeats {
    /// An event has come twice.
    pub fn seen(&self) {
        self.left.store(WATCHFUL, Ordering::Relaxed);
    }

    /// Whether the ids of one more batch are to be looked up. Batches of several partitions count
    /// together; one too many or too few does no harm.
    pub fn are_likely(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_looked_up_for_a_while_after_a_repeated_one() {
        let repeats = Repeats::default();
        for _ in 0..3 {
            assert_eq!((0..1000).filter(|_| repeats.are_likely()).count(), 256);
            repeats.seen();
        }
    }
}
