//! The data directory of the demo: kept, temporary, or begun anew.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::Args;
use crate::config::connection::ENV_FILE;
use crate::data_dir::{self, DATABASE};
use crate::failure::{Code, Failure, Outcome};
use crate::output::Output;

/// A data directory. A temporary one goes away with it.
pub struct DataDir {
    path: PathBuf,
    temporary: bool,
}

impl DataDir {
    /// The directory that the flags ask for, emptied with `--reset`.
    pub fn prepare(args: &Args, out: &Output) -> Outcome<Self> {
        if args.ephemeral {
            let path = std::env::temp_dir().join(format!("incent-dev-{}", std::process::id()));
            let dir = Self { path, temporary: true };
            data_dir::make(&dir.path)?;
            return Ok(dir);
        }
        let dir = Self { path: args.data_dir.clone(), temporary: false };
        data_dir::make(&dir.path)?;
        if args.reset {
            dir.empty(out)?;
        }
        Ok(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what the platform keeps there, and nothing else.
    fn empty(&self, out: &Output) -> Outcome {
        self.refuse_if_in_use()?;
        let mut removed = false;
        for name in [DATABASE, "incent.db-wal", "incent.db-shm", ENV_FILE] {
            let path = self.path.join(name);
            match std::fs::remove_file(&path) {
                Ok(()) => removed = true,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Failure::file("remove", &path, &e)),
            }
        }
        if removed {
            out.say(&format!("threw away what was in {}", self.path.display()));
        }
        Ok(())
    }

    fn refuse_if_in_use(&self) -> Outcome {
        let Ok(lock) = File::open(self.path.join(store::db::LOCK_FILE)) else { return Ok(()) };
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Code::Conflict,
                format!("{} is in use by another process", self.path.display()),
            )
            .mend("stop it, or choose another directory with --data-dir")),
            _ => Ok(()),
        }
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed is left to the system's own cleaning.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
