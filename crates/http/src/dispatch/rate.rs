//! Token buckets: how many requests a credential may make, and how many events a tenant may send.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue};
use domain::time::Timestamp;

use crate::app::Rate;

/// Buckets kept. Beyond it those that are full again are forgotten, which changes nothing for them.
const BUCKETS_MAX: usize = 50_000;

/// The buckets of all who are in use, by what they are known by.
#[derive(Debug)]
pub struct RateLimiter<K> {
    rate: Rate,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Millionths of a token that are left; below zero they are owed.
    micro_tokens: i64,
    filled_at: Timestamp,
}

const ONE: i64 = 1_000_000;

/// How somebody stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Tokens left at once.
    pub left: u64,
    /// Size of the bucket.
    pub burst: u32,
    /// Seconds until the bucket is full again.
    pub full_in: u64,
    /// Seconds to wait when this request was one too many; then nothing was taken.
    pub wait: Option<u64>,
}

impl<K: Eq + Hash> RateLimiter<K> {
    /// Without any use so far.
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes tokens for one request, all or none. A request passes as soon as one token is there,
    /// and what it takes beyond the bucket is owed: so one that is larger than the bucket passes
    /// after a wait, small ones cannot hold it off for ever, and the rate holds all the same.
    pub fn take(&self, who: K, tokens: u32, now: Timestamp) -> Standing {
        let full = i64::from(self.rate.burst.max(1)) * ONE;
        let per_second = i64::from(self.rate.per_second.max(1));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, bucket| bucket.refilled(per_second, full, now) < full);
        }
        let fresh = Bucket { micro_tokens: full, filled_at: now };
        let bucket = buckets.entry(who).or_insert(fresh);
        let available = bucket.refilled(per_second, full, now);
        let allowed = available >= ONE;
        let left = if allowed { available - i64::from(tokens) * ONE } else { available };
        *bucket = Bucket { micro_tokens: left, filled_at: now.max(bucket.filled_at) };
        drop(buckets);
        let seconds =
            |missing: u64| missing.div_ceil(per_second.unsigned_abs() * ONE.unsigned_abs());
        Standing {
            left: u64::try_from(left / ONE).unwrap_or(0),
            burst: self.rate.burst,
            full_in: seconds(full.abs_diff(left)),
            wait: (!allowed).then(|| seconds(ONE.abs_diff(available))),
        }
    }
}

impl Bucket {
    /// A microsecond refills `per_second` millionths of a token.
    fn refilled(&self, per_second: i64, full: i64, now: Timestamp) -> i64 {
        let passed = now.micros().saturating_sub(self.filled_at.micros()).max(0);
        self.micro_tokens.saturating_add(passed.saturating_mul(per_second)).min(full)
    }
}

/// How a caller stands after a request, as far as it was counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standings {
    /// The requests of its credential; `None` when callers without one are served.
    pub credential: Option<Standing>,
    /// The events of its tenant; `None` when none were sent.
    pub tenant_events: Option<Standing>,
}

/// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-09).
pub fn write_headers(standings: Standings, headers: &mut HeaderMap) {
    let named = [("credential", standings.credential), ("tenant-events", standings.tenant_events)];
    let (mut limit, mut policy) = (Vec::new(), Vec::new());
    for (name, standing) in named {
        let Some(Standing { left, burst, full_in, .. }) = standing else { continue };
        limit.push(format!("\"{name}\";r={left};t={full_in}"));
        policy.push(format!("\"{name}\";q={burst}"));
    }
    for (name, values) in [("ratelimit", limit), ("ratelimit-policy", policy)] {
        if let (false, Ok(value)) = (values.is_empty(), HeaderValue::from_str(&values.join(", "))) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests as (milliseconds, tokens), and what is left or how long to wait, in seconds.
    #[track_caller]
    fn check(rate: (u32, u32), requests: &[(i64, u32, Result<u64, u64>)]) {
        let rate = Rate { per_second: rate.0, burst: rate.1 };
        let limiter = RateLimiter::new(rate);
        for (at, (ms, tokens, expect)) in requests.iter().enumerate() {
            let standing = limiter.take("acme", *tokens, Timestamp::from_stored(ms * 1000));
            let found = standing.wait.map_or(Ok(standing.left), Err);
            assert_eq!(found, *expect, "request {at} of {requests:?}");
        }
    }

    #[test]
    fn it_fills_with_time_up_to_its_size() {
        check((10, 3), &[(0, 1, Ok(2)), (0, 2, Ok(0)), (0, 1, Err(1)), (99, 1, Err(1))]);
        check((10, 3), &[(0, 3, Ok(0)), (100, 1, Ok(0)), (350, 1, Ok(1)), (60_000, 1, Ok(2))]);
        // A slow one: the wait is until a whole token is there, rounded up.
        check((1, 2), &[(0, 2, Ok(0)), (500, 1, Err(1)), (1000, 1, Ok(0))]);
    }

    #[test]
    fn one_larger_than_the_bucket_passes_and_is_owed() {
        let large =
            [(0, 1000, Ok(0)), (0, 1, Err(10)), (9_900, 1000, Err(1)), (9_910, 1000, Ok(0))];
        check((100, 10), &large);
        // It is paid for before the next one, however small that is.
        check((100, 10), &[(0, 1000, Ok(0)), (9_000, 1, Err(1)), (10_000, 1, Ok(9))]);
    }

    #[test]
    fn a_refused_request_takes_nothing() {
        let again: Vec<_> = (0..50).map(|ms| (ms, 7, Err(1))).collect();
        let all = [&[(0, 5, Ok(0))], &again[..], &[(1000, 5, Ok(0))]].concat();
        check((5, 5), &all);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_away() {
        check((10, 3), &[(1000, 3, Ok(0)), (0, 1, Err(1)), (1000, 1, Err(1)), (1100, 1, Ok(0))]);
    }

    #[test]
    fn the_rate_holds_whatever_the_sizes() {
        let limiter = RateLimiter::new(Rate { per_second: 100, burst: 50 });
        let mut taken = 0;
        // A flood for a hundred seconds: sizes 1 to 400, two requests a millisecond.
        for request in 0..200_000_u32 {
            let now = Timestamp::from_stored(i64::from(request) * 500);
            let tokens = request.wrapping_mul(2_654_435_761) % 400 + 1;
            if limiter.take((), tokens, now).wait.is_none() {
                taken += tokens;
            }
        }
        assert!((10_000..=10_000 + 50 + 400).contains(&taken), "{taken}");
    }

    #[test]
    fn each_has_a_bucket_of_its_own() {
        let limiter = RateLimiter::new(Rate { per_second: 1, burst: 1 });
        let now = Timestamp::from_stored(0);
        assert_eq!(limiter.take("acme", 1000, now).wait, None);
        assert_eq!(limiter.take("acme", 1, now).wait, Some(1000));
        assert_eq!(limiter.take("other", 1, now).wait, None);
    }

    #[test]
    fn who_owes_is_not_forgotten() {
        let limiter = RateLimiter::new(Rate { per_second: 1, burst: 1 });
        let now = Timestamp::from_stored(0);
        limiter.take(0, 1000, now);
        for other in 1..=BUCKETS_MAX {
            limiter.take(other, 1, now);
        }
        assert_eq!(limiter.take(0, 1, now.plus_micros(ONE)).wait, Some(999));
    }
}
