//! Whether a batch follows the position that is stored, and what becomes of it: the same on both
//! databases.

use engine::guard::{self, Guard};
use engine::ports::{BatchCommit, Committed, PortError, PortErrorKind};

use crate::error::{Result, StoreError};

/// What became of a batch. Anything but `Done` and `Unknown` has written nothing.
pub(super) enum Written {
    Done,
    /// Something it read has changed.
    Stale,
    /// Another batch of the same owner is in its place.
    Overtaken {
        next_offset: i64,
        batch_seq: i64,
    },
    /// Somebody else owns the partition now.
    Fenced {
        epoch: i64,
    },
    /// The answer to the commit was lost, and the database has not told since.
    #[cfg(feature = "distributed")]
    Unknown(StoreError),
}

/// A stored position, as far as a batch must follow it.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub epoch: i64,
    pub next_offset: i64,
    pub batch_seq: i64,
}

impl Stored {
    /// `None` when the batch follows it. Errors: the batch is from nowhere, a defect.
    pub(super) fn refuses(self, batch: &BatchCommit) -> Result<Option<Written>> {
        let Self { epoch, next_offset, batch_seq } = self;
        if !guard::holds(Guard::Epoch) {
            return Ok(None);
        }
        if epoch != batch.epoch {
            return Ok(Some(Written::Fenced { epoch }));
        }
        if batch_seq == batch.batch_seq && next_offset > batch.offset_from {
            // Ours, from before: the answer to its commit was lost. It may have been cut elsewhere,
            // or decided under another configuration, so this one must not be taken for it.
            return Ok(Some(Written::Overtaken { next_offset, batch_seq }));
        }
        if next_offset != batch.offset_from || batch_seq + 1 != batch.batch_seq {
            return Err(StoreError::invalid(format!(
                "batch {} from offset {} does not follow the position {next_offset} after batch \
                 {batch_seq}",
                batch.batch_seq, batch.offset_from
            )));
        }
        Ok(None)
    }
}

/// What the port answers.
pub(super) fn answer(written: Result<Written>) -> Result<Committed, PortError> {
    match written {
        Ok(Written::Done) => Ok(Committed::Done),
        Ok(Written::Stale) | Err(StoreError::Stale { .. }) => Ok(Committed::Stale),
        Ok(Written::Overtaken { next_offset, batch_seq }) => {
            Ok(Committed::Overtaken { next_offset, batch_seq })
        }
        Ok(Written::Fenced { epoch }) => Err(PortError {
            kind: PortErrorKind::Fenced,
            message: format!("the partition was taken over: its epoch is now {epoch}"),
        }),
        #[cfg(feature = "distributed")]
        Ok(Written::Unknown(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}
