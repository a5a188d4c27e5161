//! Strong entity tags: `"v3"` for version 3.

use std::fmt;

/// The entity tag of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag(pub u32);

impl EntityTag {
    /// From its text with the quotes. Weak tags never match: `If-Match` compares strongly.
    pub fn parse(text: &str) -> Option<Self> {
        let version = text.strip_prefix("\"v")?.strip_suffix('"')?;
        let digits = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
        version.parse().ok().filter(|_| digits && !version.starts_with('0')).map(Self)
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"v{}\"", self.0)
    }
}

/// True when `If-None-Match` names the tag (weakly compared, RFC 9110 §13.1.2) or is `*`.
pub fn matches(if_none_match: &str, tag: &str) -> bool {
    let strong = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    if_none_match.trim() == "*" || if_none_match.split(',').any(|one| strong(one) == strong(tag))
}
