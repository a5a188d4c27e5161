//! How many requests a credential may make: a token bucket each.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue};
use domain::time::Timestamp;

use crate::app::Rate;
use crate::auth::{Caller, CredentialId};

/// Buckets kept. Beyond it those that are full again are forgotten, which changes nothing for them.
const BUCKETS_MAX: usize = 50_000;

/// The buckets of all credentials in use.
#[derive(Debug)]
pub struct RateLimiter {
    rate: Rate,
    buckets: Mutex<HashMap<CredentialId, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Millionths of a request that are left.
    micro_tokens: u64,
    filled_at: Timestamp,
}

const ONE: u64 = 1_000_000;

/// How a credential stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests left at once.
    pub left: u64,
    /// Size of the bucket.
    pub burst: u32,
    /// Seconds until the bucket is full again.
    pub full_in: u64,
    /// False when this request was one too many.
    pub allowed: bool,
    wait: u64,
}

impl Standing {
    /// Seconds to wait for the next one, when this request was one too many.
    pub fn wait_seconds(self) -> Option<u64> {
        (!self.allowed).then_some(self.wait)
    }
}

impl RateLimiter {
    /// Without any use so far.
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes one request from the caller's bucket. `None` when callers without a credential are
    /// served: they share no name, and what they reach costs little.
    pub fn take(&self, caller: &Caller, now: Timestamp) -> Option<Standing> {
        let credential = caller.credential()?;
        let full = u64::from(self.rate.burst) * ONE;
        let per_second = u64::from(self.rate.per_second).max(1);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, bucket| bucket.refilled(per_second, full, now) < full);
        }
        let fresh = Bucket { micro_tokens: full, filled_at: now };
        let bucket = buckets.entry(credential).or_insert(fresh);
        let available = bucket.refilled(per_second, full, now);
        let allowed = available >= ONE;
        let left = if allowed { available - ONE } else { available };
        *bucket = Bucket { micro_tokens: left, filled_at: now.max(bucket.filled_at) };
        drop(buckets);
        Some(Standing {
            left: left / ONE,
            burst: self.rate.burst,
            full_in: (full - left).div_ceil(per_second * ONE),
            allowed,
            wait: ONE.saturating_sub(available).div_ceil(per_second * ONE).max(1),
        })
    }
}

impl Bucket {
    /// A microsecond refills `per_second` millionths of a request.
    fn refilled(&self, per_second: u64, full: u64, now: Timestamp) -> u64 {
        let passed = now.micros().saturating_sub(self.filled_at.micros());
        let passed = u64::try_from(passed).unwrap_or(0);
        self.micro_tokens.saturating_add(passed.saturating_mul(per_second)).min(full)
    }
}

/// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-09).
pub fn write_headers(standing: &Standing, headers: &mut HeaderMap) {
    let limit = format!("\"credential\";r={};t={}", standing.left, standing.full_in);
    let policy = format!("\"credential\";q={}", standing.burst);
    for (name, value) in [("ratelimit", limit), ("ratelimit-policy", policy)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}
