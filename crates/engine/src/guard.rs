//! Protections that the fault test can switch off, to show that it fails without them. Only in
//! builds with debug assertions: a release has nothing to be switched.

use std::sync::OnceLock;

domain::choice! {
    /// A protection.
    pub enum Guard {
        /// A batch is committed under its owner's epoch only, and where the position stands.
        Epoch = "epoch",
        /// An event that was decided in an earlier batch is not decided again.
        Dedupe = "dedupe",
        /// A settled use is set in Redis, not counted.
        Settle = "settle",
        /// Redis takes calls of a partition's latest owner only, and in their order.
        Fence = "fence",
    }
}

static OFF: OnceLock<Guard> = OnceLock::new();

/// Switches one off, for the life of the process. False where that cannot be: in a release, or when
/// one is switched off already.
pub fn switch_off(guard: Guard) -> bool {
    cfg!(debug_assertions) && OFF.set(guard).is_ok()
}

/// Whether it protects.
pub fn holds(guard: Guard) -> bool {
    !cfg!(debug_assertions) || OFF.get() != Some(&guard)
}
