//! The commands, a file each.

pub mod aggregates;
pub mod apply;
pub mod completions;
pub mod dev;
pub mod doctor;
pub mod explain;
pub mod export;
pub mod import;
pub mod listen;
pub mod migrate;
mod payload;
pub mod schemas;
pub mod serve;
pub mod token;
pub mod topics;
pub mod trigger;
mod verdict;

use std::time::Duration;

/// Reads a duration such as `90s`, `1h 30m` or `PT1H`.
fn duration(text: &str) -> Result<Duration, String> {
    let read: Result<jiff::SignedDuration, _> = text.parse();
    let positive = read.ok().and_then(|d| Duration::try_from(d).ok()).filter(|d| !d.is_zero());
    positive.ok_or_else(|| "write it as 90s, 15m or 1h 30m".to_owned())
}
