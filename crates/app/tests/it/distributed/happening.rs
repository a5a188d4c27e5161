//! An event as a test sends it, by whatever way.

use domain::time::Timestamp;

/// A purchase.
#[derive(Clone, Debug)]
pub struct Happening {
    pub id: String,
    pub user: String,
    pub at: Timestamp,
    /// A JSON object.
    pub payload: String,
}
