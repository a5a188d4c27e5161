//! The scripts and their names in Redis.

use std::sync::LazyLock;

use redis::{Cmd, Script};

/// Counts rows.
const WRITE: &str = include_str!("lua/write.lua");
/// Puts a new generation into use.
const SWITCH: &str = include_str!("lua/switch.lua");

/// Which script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Write,
    Switch,
}

static LOADED: LazyLock<[Script; 2]> = LazyLock::new(|| [WRITE, SWITCH].map(Script::new));

impl Program {
    /// A call of it.
    pub fn call(self, keys: &[String], args: &[String]) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(LOADED[self as usize].get_hash()).arg(keys.len()).arg(keys).arg(args);
        cmd
    }

    /// Makes Redis know them all.
    pub fn load_all() -> redis::Pipeline {
        let mut pipeline = redis::pipe();
        for text in [WRITE, SWITCH] {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(text);
        }
        pipeline
    }
}
