//! Limits in Redis: the view of their use that all processes share, in front of the store. It
//! advises; the store decides (`docs/adr/0013-limits-in-redis.md`). Redis may be flushed, stale,
//! full, slow or gone: nothing here fails, and no limit depends on it.
//!
//! Read `gate` first, then the scripts in `lua/`, beginning with `fence.lua`. `courier` is the task
//! that alone speaks to Redis for the batches, `call` what it says, `keys` the names, `link` the
//! connection. `scrub` compares in the background.

mod call;
mod courier;
mod gate;
mod keys;
mod link;
mod look;
mod scripts;
mod scrub;

pub use gate::{RedisLimits, Settings, SettingsError, Surroundings};
pub use look::{LookError, Version, version};
