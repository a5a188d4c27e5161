//! Sets of words.

use std::fmt;

use serde_json::Value;

use super::Reader;
use super::suggest::{shown, suggest};

/// Declares a set of words: an enum with its reader, schema, `Serialize`, `Display`, `FromStr`, `ALL`
/// and `as_str`.
///
/// ```
/// domain::choice! {
///     /// What kind of campaign it is.
///     pub enum CampaignType { Simple = "SIMPLE", Quest = "QUEST" }
/// }
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[$($attr:tt)*])*
        $vis:vis enum $name:ident {
            $($(#[$($word_attr:tt)*])* $word:ident = $json:literal),+ $(,)?
        }
    ) => {
        $(#[$($attr)*])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[$($word_attr)*])* #[doc = concat!("\n\n`", $json, "` on the wire.")] $word,)+
        }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$word),+];
            /// Their words, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($json),+];

            /// Its word on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $json,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::shape::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match Self::ALL.iter().find(|word| word.as_str() == text) {
                    Some(word) => Ok(*word),
                    None => Err($crate::shape::UnknownWord::new(text, Self::WORDS)),
                }
            }
        }

        impl $crate::shape::reexport::serde::Serialize for $name {
            fn serialize<S: $crate::shape::reexport::serde::Serializer>(
                &self,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl $crate::shape::Described for $name {
            fn schema(
                defs: &mut $crate::shape::Schemas,
            ) -> $crate::shape::reexport::serde_json::Value {
                defs.define::<Self>(stringify!($name), |_| {
                    $crate::shape::schema::choice(
                        $crate::doc_text!($([$($attr)*])*),
                        &[$(($json, $crate::doc_text!($([$($word_attr)*])*))),+],
                    )
                })
            }
        }

        impl $crate::shape::Shape for $name {
            fn read(
                value: &$crate::shape::reexport::serde_json::Value,
                at: &mut $crate::shape::Reader<'_>,
            ) -> Option<Self> {
                $crate::shape::read_word(value, at, Self::WORDS)
            }
        }
    };
}

/// Reads one word of a set: the reader behind `choice!`, and for enums declared elsewhere.
pub fn read_word<T: std::str::FromStr>(
    value: &Value,
    at: &mut Reader<'_>,
    words: &[&str],
) -> Option<T> {
    let text = at.text(value)?;
    text.parse().ok().or_else(|| at.not_in_set(text, words))
}

/// A word that is none of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    shown: String,
    known: &'static [&'static str],
    near: Option<&'static str>,
}

impl UnknownWord {
    /// This word is none of the known ones.
    pub fn new(text: &str, known: &'static [&'static str]) -> Self {
        Self { shown: shown(text), known, near: suggest(text, known.iter().copied()) }
    }
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is none of {}", self.shown, self.known.join(", "))?;
        match self.near {
            Some(word) => write!(f, "; did you mean {word}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownWord {}
