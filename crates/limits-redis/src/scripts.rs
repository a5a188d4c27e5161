//! The scripts and their names in Redis.

use std::sync::LazyLock;

use engine::guard::{self, Guard};
use redis::Script;

/// Reserves: the fence, then the check.
pub(crate) const CHECK_AND_INCR: &str =
    concat!(include_str!("lua/fence.lua"), include_str!("lua/check_and_incr.lua"));
/// Settles: the fence, then what is used now.
pub(crate) const SETTLE: &str =
    concat!(include_str!("lua/fence.lua"), include_str!("lua/settle.lua"));
/// Makes an owner known.
const MEET: &str = include_str!("lua/meet.lua");
/// What a line ends with that keeps others than the latest owner out.
const FENCES: &str = "-- fence";

/// Which script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Meet,
    CheckAndIncr,
    Settle,
}

static LOADED: LazyLock<[(Script, String); 3]> = LazyLock::new(|| {
    [MEET, CHECK_AND_INCR, SETTLE].map(|text| {
        let is_kept = |line: &&str| guard::holds(Guard::Fence) || !line.ends_with(FENCES);
        let text: String = text.split_inclusive('\n').filter(|l| is_kept(&l.trim_end())).collect();
        (Script::new(&text), text)
    })
});

impl Program {
    /// The name by which Redis knows it, once it is loaded.
    pub fn hash(self) -> &'static str {
        LOADED[self as usize].0.get_hash()
    }

    /// Makes Redis know them all.
    pub fn load_all() -> redis::Pipeline {
        let mut pipeline = redis::pipe();
        for (_, text) in &*LOADED {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(text);
        }
        pipeline
    }
}
