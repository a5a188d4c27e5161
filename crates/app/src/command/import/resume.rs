//! How far an import came, in a small file beside the input.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use domain::id::hash_parts;
use serde::{Deserialize, Serialize};

use super::send::Tally;
use crate::clock::hex;
use crate::failure::{Failure, Outcome};

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Names the input, the mapping and the target: another one begins again.
    fingerprint: String,
    /// Rows sent and answered, from the beginning of the order in which they are sent.
    pub done: u64,
    /// What became of them.
    pub tally: Tally,
}

/// The file.
pub struct Resume {
    path: PathBuf,
    state: State,
}

impl Resume {
    /// Reads the file beside an input, unless it belongs to something else or `restart` is set.
    pub fn open(input: &Path, identity: &str, restart: bool) -> Outcome<Self> {
        let file = std::fs::metadata(input).map_err(|e| Failure::file("read", input, &e))?;
        let changed = file.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let parts = format!("{} {changed:?} {identity}", file.len());
        let fingerprint = hex(&hash_parts(&[parts.as_bytes()]));
        let mut path = input.as_os_str().to_owned();
        path.push(".import.json");
        let path = PathBuf::from(path);
        let old = std::fs::read(&path).ok().and_then(|b| serde_json::from_slice::<State>(&b).ok());
        let state = old
            .filter(|old| !restart && old.fingerprint == fingerprint)
            .unwrap_or_else(|| State { fingerprint, ..State::default() });
        Ok(Self { path, state })
    }

    /// How far it came.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Records more rows. The file is replaced as a whole, so that a crash leaves the old one.
    pub fn advance(&mut self, rows: u64, tally: Tally) -> Outcome {
        self.state.done += rows;
        self.state.tally = self.state.tally.plus(tally);
        let text = serde_json::to_vec(&self.state)
            .map_err(|e| Failure::usage("the state cannot be written").why(e.to_string()))?;
        let fresh = self.path.with_extension("json.new");
        std::fs::write(&fresh, text).map_err(|e| Failure::file("write", &fresh, &e))?;
        std::fs::rename(&fresh, &self.path).map_err(|e| Failure::file("write", &self.path, &e))
    }

    /// Removes the file: all is done.
    pub fn remove(self) -> Outcome {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::file("remove", &self.path, &e))
            }
            _ => Ok(()),
        }
    }
}
