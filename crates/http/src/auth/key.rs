//! API keys: `ik_<key id>_<secret>`, both in lower-case hexadecimal. The store has the SHA-256 of
//! the secret; 256 random bits need no slower hash.

use domain::id::KeyId;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// How every API key begins.
pub const PREFIX: &str = "ik_";

/// An API key as its holder sends it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, which is no secret.
    pub id: KeyId,
    secret: [u8; 32],
}

impl ApiKey {
    /// A key of this id and secret.
    pub fn new(id: KeyId, secret: [u8; 32]) -> Self {
        Self { id, secret }
    }
    /// From its text, which must be exactly what [`Self::reveal`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let id: [u8; 16] = unhex(id)?;
        Some(Self { id: KeyId(Uuid::from_bytes(id)), secret: unhex(secret)? })
    }
    /// The text. Shown once, when the key is made.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.id.0.simple(), hex(&self.secret))
    }
    /// Its beginning, by which people recognise it.
    pub fn shown(&self) -> String {
        self.reveal()[..PREFIX.len() + 12].to_owned()
    }
    /// What the store keeps.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKey({})", self.id)
    }
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly so many bytes from lower-case hexadecimal.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}
