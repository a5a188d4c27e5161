//! How much a client may send: a bucket that fills again with time.

use tokio::time::Instant;

/// A token bucket, counted in messages.
#[derive(Debug)]
pub(super) struct Budget {
    left: f32,
    burst: f32,
    per_second: f32,
    at: Instant,
}

impl Budget {
    /// A full bucket.
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        // Settings of a few hundred at most: exact in a float.
        let [per_second, burst] = [per_second, burst].map(|n| n as f32);
        Self { left: burst, burst, per_second, at: now }
    }

    /// Takes one message out. False when there is none.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let refill = (now - self.at).as_secs_f32() * self.per_second;
        self.at = now;
        self.left = (self.left + refill).min(self.burst);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }

    /// Puts one back that is not to count.
    pub(super) fn give_back(&mut self) {
        self.left = (self.left + 1.0).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_empties_and_fills() {
        let start = Instant::now();
        let mut budget = Budget::new(10, 3, start);
        let took = |budget: &mut Budget, ms| budget.take(start + Duration::from_millis(ms));
        assert_eq!([0, 0, 0, 0].map(|ms| took(&mut budget, ms)), [true, true, true, false]);
        assert_eq!([110, 120, 5000].map(|ms| took(&mut budget, ms)), [true, false, true]);
        assert_eq!([5000, 5000, 5000].map(|ms| took(&mut budget, ms)), [true, true, false]);
    }
}
