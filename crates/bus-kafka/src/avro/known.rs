//! The schemas that we have ever written with, built in: what is in the log stays readable without
//! a registry.

/// Every version of a record's schema, the current one last.
#[derive(Clone, Copy, Debug)]
pub struct Versions {
    /// The record's name.
    pub name: &'static str,
    /// The texts of `schemas/avro/history`.
    pub texts: &'static [&'static str],
}

impl Versions {
    /// The version that we write with.
    pub fn current(&self) -> &'static str {
        self.texts.last().copied().unwrap_or_default()
    }
}

/// Values of `tenant-events`.
pub const ACTION_EVENT: Versions = Versions {
    name: "ActionEvent",
    texts: &[include_str!("../../../../schemas/avro/history/ActionEvent.1.avsc")],
};

/// Values of `incentive-generated`.
pub const INCENTIVE_EVENT: Versions = Versions {
    name: "IncentiveEvent",
    texts: &[include_str!("../../../../schemas/avro/history/IncentiveEvent.1.avsc")],
};
