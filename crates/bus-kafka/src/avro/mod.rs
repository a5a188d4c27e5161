//! Avro on the wire: framing, the schemas that records were written with, and the two records of
//! the bus.
//!
//! A value says which schema it was written with, by an id of the registry or by a fingerprint
//! ([`framing`]). That schema, not ours, is needed to read it. Fingerprints are those of
//! [`known`] versions; ids are asked of the [`registry`] once and kept ([`codec`]). [`action`] and
//! [`incentive`] turn what was read into the words of the domain.

pub mod action;
pub mod codec;
pub mod framing;
pub mod incentive;
pub mod known;
pub mod registry;
#[cfg(test)]
mod tests;

pub use codec::{Codec, CodecError};
pub use registry::{Registry, RegistrySettings};
