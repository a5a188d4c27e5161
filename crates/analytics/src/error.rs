//! Why something could not land.

use std::io;
use std::path::PathBuf;

use parquet::errors::ParquetError;

/// Why something could not land. Each says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum LandingError {
    /// Another process lands there.
    #[error(
        "{} is in use: another process with the role analytics lands there; stop it, or give this \
         one a directory of its own", .0.display()
    )]
    Locked(PathBuf),
    /// The disk says no.
    #[error("cannot {doing} {}: {source}{}", .path.display(), mend(.source))]
    Disk {
        /// Completes "cannot …".
        doing: &'static str,
        /// What it is about.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A Parquet file cannot be written, or not be read again.
    #[error("{} is not a Parquet file as we write them: {why}", .path.display())]
    Parquet {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The manifest is not there, or is not one.
    #[error("{}: {why}", .path.display())]
    Manifest {
        /// Which.
        path: PathBuf,
        /// What is wrong, and how to mend it.
        why: String,
    },
}

impl LandingError {
    pub(crate) fn disk(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Disk { doing, path: path.into(), source }
    }

    /// What a library says of a file, which may be what the disk said to it.
    pub(crate) fn parquet(path: impl Into<PathBuf>, error: ParquetError) -> Self {
        let path = path.into();
        match error {
            ParquetError::External(source) => match source.downcast::<io::Error>() {
                Ok(source) => Self::disk("write", path, *source),
                Err(other) => Self::Parquet { path, why: other.to_string() },
            },
            other => Self::Parquet { path, why: other.to_string() },
        }
    }

    /// Whether it may pass by itself or once there is room; anything else needs a hand.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Disk { .. })
    }
}

fn mend(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "; free some space, nothing is lost and landing goes on by itself"
        }
        io::ErrorKind::PermissionDenied => "; let the user of this process write there",
        _ => "",
    }
}
