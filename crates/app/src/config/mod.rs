//! Where settings come from: flags, then `INCENT_…` variables (clap reads both), then a file, then
//! defaults.

#[cfg(feature = "distributed")]
pub mod address;
pub mod analytics;
pub mod cms;
pub mod connection;
pub mod distributed;
pub mod document;
pub mod server;

/// Whether the environment asks for no colours (<https://no-color.org>).
#[expect(clippy::disallowed_methods, reason = "the environment is read in this module only")]
pub fn no_color() -> bool {
    std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty())
}
