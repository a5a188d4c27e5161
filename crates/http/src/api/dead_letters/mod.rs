//! Dead letters: records that could not be decided, with their exact bytes.

pub mod list;
pub mod raw;
pub mod replay;

use domain::time::Timestamp;
use store::control::dead_letters::DeadLetterRow;
use uuid::Uuid;

domain::shape! {
    /// Which dead letter.
    pub struct OneDeadLetter {
        /// Its id.
        "deadLetterId" dead_letter_id: Uuid,
    }
}

domain::view! {
    /// A record that could not be decided.
    pub struct DeadLetter {
        /// Its id.
        "deadLetterId" dead_letter_id: Uuid,
        /// Where it came in.
        "source" source: String,
        /// Why it could not be decided, a code.
        "reason" reason: String,
        /// The same in words.
        "detail" detail: String,
        /// How many bytes it has.
        "bytes" bytes: u64,
        /// When it came in.
        "receivedAt" received_at: Timestamp,
        /// When it was sent again.
        "replayedAt" replayed_at: Option<Timestamp>,
    }
}

impl From<DeadLetterRow> for DeadLetter {
    fn from(row: DeadLetterRow) -> Self {
        Self {
            dead_letter_id: row.dead_letter_id,
            source: row.source,
            reason: row.reason,
            detail: row.detail,
            bytes: row.raw.len() as u64,
            received_at: row.received_at,
            replayed_at: row.replayed_at,
        }
    }
}
