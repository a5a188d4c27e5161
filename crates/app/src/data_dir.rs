//! What lies in a data directory, and how a store's refusals are told.

use std::io::Write;
use std::path::Path;

use engine::ports::IdGen;
use store::StoreError;

use crate::failure::{Code, Failure, Outcome};

/// The database.
pub const DATABASE: &str = "incent.db";
/// The installation's secret, from which page tokens and the like are sealed.
const SERVER_KEY: &str = "server.key";

/// Makes the directory if it is not there.
pub fn make(dir: &Path) -> Outcome {
    std::fs::create_dir_all(dir).map_err(|e| Failure::file("make the data directory", dir, &e))
}

/// The installation's secret; made at the first start.
pub fn server_key(dir: &Path, ids: &dyn IdGen) -> Outcome<[u8; 32]> {
    let path = dir.join(SERVER_KEY);
    match std::fs::read(&path) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            Failure::new(Code::Failure, format!("{} is not a key of 32 bytes", path.display()))
                .mend("restore it from a backup; without it, page tokens given out before are refused")
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let key = ids.secret();
            write_secret(&path, &key)?;
            Ok(key)
        }
        Err(e) => Err(Failure::file("read", &path, &e)),
    }
}

/// Writes a file that only its owner may read.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Outcome {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|e| Failure::file("write", path, &e))
}

/// A store's refusal in our words. `doing` completes "cannot …".
pub fn failure(doing: &str, dir: &Path, error: &StoreError) -> Failure {
    let code = match error {
        StoreError::Locked { .. } => Code::Conflict,
        StoreError::Full { .. } | StoreError::Busy { .. } => Code::Unavailable,
        _ => Code::Failure,
    };
    // A store's messages say how to mend what they tell.
    Failure::new(code, format!("cannot {doing} {}", dir.display())).why(error.to_string())
}
