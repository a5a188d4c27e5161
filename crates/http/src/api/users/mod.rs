//! Users: the end people who earn.

pub mod incentives;
pub mod list;
pub mod progress;
pub mod put;
pub mod read;

use domain::id::UserRef;
use domain::payload::Payload;
use domain::time::Timestamp;
use store::control::users::UserRow;

domain::shape! {
    /// Which user.
    pub struct OneUser {
        /// The tenant's own id.
        "userId" user_id: UserRef,
    }
}

domain::view! {
    /// A user.
    pub struct User {
        /// The tenant's own id.
        "userId" user_id: UserRef,
        /// What is known of the user.
        "attributes" attributes: Payload<'static>,
        /// When the log took their first event.
        "createdAt" created_at: Timestamp,
    }
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            user_id: row.external_ref,
            attributes: Payload::parse(&row.attributes)
                .map(Payload::into_owned)
                .unwrap_or_default(),
            created_at: row.created_at,
        }
    }
}
