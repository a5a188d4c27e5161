//! Typed identifiers. Ids that we derive are hashes of length-prefixed parts, so that no two
//! different tuples can collide by concatenation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::time::Timestamp;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

uuid_id! {
    /// A shop, bank, game or app that runs campaigns.
    TenantId,
    /// The end person who earns, derived from the tenant and the tenant's own id ([`UserRef`]).
    UserId,
    /// A campaign, SIMPLE or QUEST.
    CampaignId,
    /// A named set of users.
    CohortId,
    /// A tenant limit.
    LimitId,
    /// A granted incentive; deterministic, see [`incentive_id`].
    IncentiveId,
    /// An API key.
    KeyId,
    /// A long-running job, such as a cohort's recompute.
    JobId,
}

/// Longest user reference and event id, in bytes.
pub const REF_BYTES_MAX: usize = 128;
/// Longest action code, in bytes.
pub const ACTION_BYTES_MAX: usize = 64;

/// Why a piece of text is not an identifier. Completes "the value …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing in it.
    #[error("must not be empty")]
    Empty,
    /// Longer than its bound.
    #[error("is {bytes} bytes long, at most {max} are allowed")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The bound in bytes.
        max: usize,
    },
    /// Holds a control character, which no log or key could show.
    #[error("holds the control character U+{0:04X}; use printable characters")]
    Control(u32),
    /// An action code outside its charset.
    #[error("holds {0:?}; letters, digits and . _ : - $ are allowed")]
    Charset(char),
}

fn check_ref(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > REF_BYTES_MAX {
        return Err(IdError::TooLong { bytes: text.len(), max: REF_BYTES_MAX });
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(IdError::Control(u32::from(c))),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident = $check:path;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks the text. Errors: [`IdError`].
            pub fn new(text: &str) -> Result<Self, IdError> {
                $check(text)?;
                Ok(Self(text.into()))
            }
            /// The text as the tenant wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.as_str())
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(from)?;
                Self::new(&text).map_err(|e| serde::de::Error::custom(format_args!("the value {e}")))
            }
        }
    )+};
}

fn check_action(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ACTION_BYTES_MAX {
        return Err(IdError::TooLong { bytes: text.len(), max: ACTION_BYTES_MAX });
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._:-$".contains(*c))) {
        Some(c) => Err(IdError::Charset(c)),
        None => Ok(()),
    }
}

text_id! {
    /// The tenant's own id of a user, verbatim on every wire. At most [`REF_BYTES_MAX`] bytes.
    UserRef = check_ref;
    /// The tenant's own id of an event: the idempotency key of its decision.
    EventId = check_ref;
    /// What can happen: `purchase`, `order.paid`. Codes that begin with `$` are the platform's own.
    ActionCode = check_action;
}

impl ActionCode {
    /// True for the platform's own actions, such as `$user.updated`, which tenants cannot send.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

/// 128 bits of the SHA-256 of an event id: the narrow key under which decided events are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventKey(pub [u8; 16]);

impl EventKey {
    /// The key of an event id.
    pub fn of(id: &EventId) -> Self {
        Self(hash_parts(&[b"event", id.as_str().as_bytes()]))
    }
}

/// First 128 bits of the SHA-256 over the parts, each with its length in front.
pub fn hash_parts(parts: &[&[u8]]) -> [u8; 16] {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    let mut out = [0u8; 16];
    out.copy_from_slice(&sha.finalize()[..16]);
    out
}

/// The id of a user: the same for the same tenant and reference on every machine, so that no
/// look-up is needed to write a row.
pub fn user_id(tenant: TenantId, user: &UserRef) -> UserId {
    UserId(Uuid::new_v8(hash_parts(&[b"user", tenant.0.as_bytes(), user.as_str().as_bytes()])))
}

/// What a reward is granted for: an event, or one cycle of a quest.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// A SIMPLE campaign's event.
    Event(&'a EventId),
    /// The n-th cycle of a quest, so that two events cannot both complete it.
    Cycle(u32),
}

/// The id of an incentive: UUIDv8 with 48 bits of append time in milliseconds in front, so that
/// ids grow with time, and the hash of what it is granted for behind. The campaign's version is not
/// part of it: one event cannot be granted under two versions.
pub fn incentive_id(
    append: Timestamp,
    tenant: TenantId,
    campaign: CampaignId,
    user: UserId,
    cause: Cause<'_>,
    reward: u32,
) -> IncentiveId {
    let (kind, cycle);
    let what: &[u8] = match cause {
        Cause::Event(id) => {
            kind = b"event";
            id.as_str().as_bytes()
        }
        Cause::Cycle(n) => {
            kind = b"cycle";
            cycle = n.to_be_bytes();
            &cycle
        }
    };
    let mut bytes = hash_parts(&[
        kind,
        tenant.0.as_bytes(),
        campaign.0.as_bytes(),
        user.0.as_bytes(),
        what,
        &reward.to_be_bytes(),
    ]);
    // Times before 1970 cannot reach here: ingestion refuses them.
    let ms = u64::try_from(append.micros() / 1000).unwrap_or(0);
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    IncentiveId(Uuid::new_v8(bytes))
}
