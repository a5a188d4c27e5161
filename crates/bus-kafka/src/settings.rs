//! What the adapter is told.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use crate::avro::RegistrySettings;

/// What the adapter is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port`, more than one separated by commas.
    pub brokers: String,
    /// Events, key tenantId.
    pub events_topic: String,
    /// Announcements of incentives, key userId.
    pub incentives_topic: String,
    /// Rows of the ledger as Debezium captures them, key tenantId: for the analytics files.
    pub analytics_topic: String,
    /// The same, for the aggregates in Redis: each consumer has a topic, and a slot, of its own.
    pub aggregates_topic: String,
    /// The group whose members share the partitions of `events_topic`.
    pub group: String,
    /// What the brokers call this process in their logs and quotas.
    pub client_id: String,
    /// A schema registry; without one, values are in Avro's single-object encoding.
    pub registry: Option<RegistrySettings>,
    /// Further properties of librdkafka, for example `security.protocol`. They win over ours,
    /// except for those that correctness hangs on.
    pub properties: BTreeMap<String, String>,
}

impl Settings {
    /// The usual names on these brokers, without a registry.
    pub fn new(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            events_topic: "tenant-events".to_owned(),
            incentives_topic: "incentive-generated".to_owned(),
            analytics_topic: "db.incentives".to_owned(),
            aggregates_topic: "db.incentives.redis".to_owned(),
            group: "incent-ic".to_owned(),
            client_id: "incent".to_owned(),
            registry: None,
            properties: BTreeMap::new(),
        }
    }

    /// A client with defaults of ours, properties from outside, and what must not be changed.
    pub(crate) fn client(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", &self.client_id);
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config
    }
}
