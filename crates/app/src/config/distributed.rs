//! Settings of the distributed profile: where its services are. A database's URL chooses it.

use std::collections::BTreeMap;

use super::{analytics, cms, server::ServerFile};
use crate::failure::{Failure, Outcome};

/// Flags and variables that choose and describe the distributed profile.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Distributed profile")]
pub struct Flags {
    /// PostgreSQL, as postgresql://user:password@host:5432/ic_db; chooses the distributed profile
    #[arg(long, env = "INCENT_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Kafka's brokers, as host:9092,host:9092
    #[arg(long, env = "INCENT_KAFKA", value_name = "BROKERS")]
    pub kafka: Option<String>,
    /// Topic of the events [default: tenant-events]
    #[arg(long, env = "INCENT_EVENTS_TOPIC", value_name = "NAME")]
    pub events_topic: Option<String>,
    /// Topic of the announcements [default: incentive-generated]
    #[arg(long, env = "INCENT_INCENTIVES_TOPIC", value_name = "NAME")]
    pub incentives_topic: Option<String>,
    /// Topic of captured incentives, for the analytics files [default: db.incentives]
    #[arg(long, env = "INCENT_ANALYTICS_TOPIC", value_name = "NAME")]
    pub analytics_topic: Option<String>,
    /// Topic of captured incentives, for the aggregates in Redis [default: db.incentives.redis]
    #[arg(long, env = "INCENT_AGGREGATES_TOPIC", value_name = "NAME")]
    pub aggregates_topic: Option<String>,
    /// Minutes between two comparisons of the aggregates with the ledger [default: 10]
    #[arg(long, env = "INCENT_AGGREGATES_CHECK_MINUTES", value_name = "MINUTES",
          value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub aggregates_check_minutes: Option<u32>,
    /// Consumer group of the processes that decide [default: incent-ic]
    #[arg(long, env = "INCENT_GROUP", value_name = "NAME")]
    pub group: Option<String>,
    /// Kafka Connect, as http://connect:8083; the roles aggregator and analytics start again what
    /// has failed of the connector named like their topic [default: none, others look after it]
    #[arg(long, env = "INCENT_CONNECT_URL", value_name = "URL")]
    pub connect_url: Option<String>,
    /// Schema registry, as http://registry:8081 [default: none, values carry their schema's hash]
    #[arg(long, env = "INCENT_SCHEMA_REGISTRY", value_name = "URL")]
    pub schema_registry: Option<String>,
    /// The header Authorization for the schema registry
    #[arg(
        long,
        env = "INCENT_SCHEMA_REGISTRY_AUTHORIZATION",
        value_name = "TEXT",
        hide_env_values = true
    )]
    pub schema_registry_authorization: Option<String>,
    /// Redis in front of the limits, as redis://host:6379 [default: none, PostgreSQL alone decides]
    #[arg(long, env = "INCENT_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// Secret that all processes share, 32 bytes in hexadecimal
    #[arg(long, env = "INCENT_SERVER_KEY", value_name = "HEX", hide_env_values = true)]
    pub server_key: Option<String>,
    /// Days that events are kept [default: for ever]
    #[arg(long, env = "INCENT_EVENTS_DAYS", value_name = "DAYS")]
    pub events_days: Option<u32>,
    /// Days that incentives are kept [default: for ever]
    #[arg(long, env = "INCENT_INCENTIVES_DAYS", value_name = "DAYS")]
    pub incentives_days: Option<u32>,
    /// Where captured incentives land.
    #[command(flatten)]
    pub analytics: analytics::Flags,
    /// Where the CMS is.
    #[command(flatten)]
    pub cms: cms::Flags,
    /// Further properties of librdkafka; they stand in the file only.
    #[arg(skip)]
    pub kafka_properties: BTreeMap<String, String>,
}

/// Which profile a process runs, and on what.
#[derive(Clone, Debug)]
pub enum Profile {
    /// SQLite, in one process.
    Embedded,
    /// PostgreSQL and Kafka, in many.
    #[cfg(feature = "distributed")]
    Distributed(Box<Distributed>),
}

impl Flags {
    /// With what the file says where flags and variables say nothing.
    pub fn over(self, file: Option<&ServerFile>) -> Self {
        let Some(file) = file else { return self };
        let text =
            |flag: Option<String>, key: Option<String>| flag.filter(|t| !t.is_empty()).or(key);
        let number = |flag: Option<u32>, key: Option<i64>| {
            flag.or_else(|| key.and_then(|n| u32::try_from(n).ok()))
        };
        Self {
            database_url: text(self.database_url, string(&file.database_url)),
            kafka: text(self.kafka, string(&file.kafka)),
            events_topic: text(self.events_topic, string(&file.events_topic)),
            incentives_topic: text(self.incentives_topic, string(&file.incentives_topic)),
            analytics_topic: text(self.analytics_topic, string(&file.analytics_topic)),
            aggregates_topic: text(self.aggregates_topic, string(&file.aggregates_topic)),
            aggregates_check_minutes: number(
                self.aggregates_check_minutes,
                file.aggregates_check_minutes.map(|minutes| minutes.get()),
            ),
            group: text(self.group, string(&file.group)),
            connect_url: text(self.connect_url, string(&file.connect_url)),
            schema_registry: text(self.schema_registry, string(&file.schema_registry)),
            schema_registry_authorization: text(
                self.schema_registry_authorization,
                string(&file.schema_registry_authorization),
            ),
            redis_url: text(self.redis_url, string(&file.redis_url)),
            server_key: text(self.server_key, string(&file.server_key)),
            events_days: number(self.events_days, file.events_days.map(|days| days.get())),
            incentives_days: number(
                self.incentives_days,
                file.incentives_days.map(|days| days.get()),
            ),
            analytics: self.analytics.over(file),
            cms: self.cms.over(file),
            kafka_properties: file.kafka_properties.clone().unwrap_or_default(),
        }
    }

    /// Which profile they choose. Errors: services of the distributed profile are named, but no
    /// database; something that it needs is missing; or it is not in this build.
    pub fn profile(&self) -> Outcome<Profile> {
        if self.database_url.is_some() {
            #[cfg(feature = "distributed")]
            return Ok(Profile::Distributed(Box::new(self.distributed()?)));
            #[cfg(not(feature = "distributed"))]
            return Err(not_built());
        }
        let given = [
            ("kafka", self.kafka.is_some()),
            ("events-topic", self.events_topic.is_some()),
            ("incentives-topic", self.incentives_topic.is_some()),
            ("analytics-topic", self.analytics_topic.is_some()),
            ("analytics-dir", self.analytics.is_given()),
            ("aggregates-topic", self.aggregates_topic.is_some()),
            ("aggregates-check-minutes", self.aggregates_check_minutes.is_some()),
            ("group", self.group.is_some()),
            ("connect-url", self.connect_url.is_some()),
            ("schema-registry", self.schema_registry.is_some()),
            ("schema-registry-authorization", self.schema_registry_authorization.is_some()),
            ("redis-url", self.redis_url.is_some()),
            ("cms-url", self.cms.cms_url.is_some()),
            ("service-token", self.cms.service_token.is_some()),
            ("server-key", self.server_key.is_some()),
            ("events-days", self.events_days.is_some()),
            ("incentives-days", self.incentives_days.is_some()),
            ("kafkaProperties", !self.kafka_properties.is_empty()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            None => Ok(Profile::Embedded),
            Some((name, _)) => Err(Failure::usage(format!(
                "{name} is set, which belongs to the distributed profile, but no database-url"
            ))
            .why("without a database this would be the embedded profile, which has no use for it")
            .mend(format!(
                "set INCENT_DATABASE_URL to the PostgreSQL database, or leave {name} out"
            ))),
        }
    }
}

fn string<const MIN: usize, const MAX: usize>(
    key: &Option<domain::shape::Text<MIN, MAX>>,
) -> Option<String> {
    key.as_ref().map(ToString::to_string)
}

/// What a build without the distributed profile answers to whoever asks for it.
#[cfg(not(feature = "distributed"))]
pub fn not_built() -> Failure {
    Failure::usage("this build of incent has no distributed profile")
        .why("the clients of PostgreSQL and Kafka are left out of the default build")
        .mend("build it with cargo build --release --features distributed")
}

#[cfg(feature = "distributed")]
mod in_force {
    use std::time::Duration;

    use bus_kafka::avro::RegistrySettings;
    use store::postgres::Retention;

    use super::Flags;
    use super::analytics::Landing;
    use super::cms::Cms;
    use crate::config::address;
    use crate::failure::{Failure, Outcome};

    /// What is kept for ever is kept for a hundred years.
    const FOR_EVER_DAYS: i64 = 36_500;
    /// Minutes between two comparisons of the aggregates with the ledger.
    const CHECK_MINUTES: u32 = 10;

    /// Settings of a process of the distributed profile.
    #[derive(Clone, Debug)]
    pub struct Distributed {
        /// PostgreSQL.
        pub database_url: String,
        /// Kafka.
        pub kafka: bus_kafka::Settings,
        /// Kafka Connect, if it is to be looked after.
        pub connect_url: Option<String>,
        /// Redis, if limits are asked there first.
        pub redis_url: Option<String>,
        /// The secret that all processes share.
        pub server_key: [u8; 32],
        /// How long rows are kept.
        pub retention: Retention,
        /// How often the aggregates are compared with the ledger.
        pub aggregates_check_every: Duration,
        /// Where captured incentives land, if they do.
        pub landing: Option<Landing>,
        /// The CMS, if a process that only decides asks it.
        pub cms: Option<Cms>,
        /// The token that the platform's own processes share, if they do.
        pub service_token: Option<String>,
    }

    impl Flags {
        /// All that a serving process needs. Errors: something is missing or is not what it should
        /// be.
        pub fn distributed(&self) -> Outcome<Distributed> {
            Ok(Distributed {
                database_url: self.database()?,
                kafka: self.bus()?,
                connect_url: self.connect()?,
                redis_url: self.redis_url.clone(),
                server_key: self.key()?,
                retention: self.retention(),
                aggregates_check_every: self.aggregates_check_every(),
                landing: self.analytics.landing(),
                cms: self.cms.cms()?,
                service_token: self.cms.token()?,
            })
        }

        /// The database. Errors: none is named, or by something that is no URL.
        pub fn database(&self) -> Outcome<String> {
            let Some(url) = &self.database_url else {
                return Err(Failure::usage("no PostgreSQL database is named").mend(
                    "set INCENT_DATABASE_URL to postgresql://user:password@host:5432/ic_db",
                ));
            };
            if ["postgresql://", "postgres://"].iter().any(|scheme| url.starts_with(scheme)) {
                return Ok(url.clone());
            }
            // The URL may hold a password: it is not repeated.
            Err(Failure::usage("database-url is not the URL of a PostgreSQL database")
                .mend("write it as postgresql://user:password@host:5432/ic_db"))
        }

        /// Kafka. Errors: no brokers are named.
        pub fn bus(&self) -> Outcome<bus_kafka::Settings> {
            let Some(brokers) = &self.kafka else {
                return Err(Failure::usage(
                    "the distributed profile needs Kafka, and none is named",
                )
                .mend("set INCENT_KAFKA to its brokers: host:9092, more than one with commas"));
            };
            let usual = bus_kafka::Settings::new(brokers);
            let or = |given: &Option<String>, usual: String| given.clone().unwrap_or(usual);
            if self.schema_registry.is_none() && self.schema_registry_authorization.is_some() {
                return Err(Failure::usage(
                    "schema-registry-authorization is set, but no registry",
                )
                .mend("set schema-registry to its URL, or leave the other out"));
            }
            Ok(bus_kafka::Settings {
                events_topic: or(&self.events_topic, usual.events_topic),
                incentives_topic: or(&self.incentives_topic, usual.incentives_topic),
                analytics_topic: or(&self.analytics_topic, usual.analytics_topic),
                aggregates_topic: or(&self.aggregates_topic, usual.aggregates_topic),
                group: or(&self.group, usual.group),
                registry: self.schema_registry.clone().map(|url| RegistrySettings {
                    url,
                    authorization: self.schema_registry_authorization.clone(),
                }),
                properties: self.kafka_properties.clone(),
                ..bus_kafka::Settings::new(brokers)
            })
        }

        /// Kafka Connect, if it is named. Errors: that is no address.
        pub fn connect(&self) -> Outcome<Option<String>> {
            let checked =
                |url: &String| address::checked("connect-url", "http://connect:8083", url);
            self.connect_url.as_ref().map(checked).transpose()
        }

        fn key(&self) -> Outcome<[u8; 32]> {
            let mend = "set INCENT_SERVER_KEY to the same text in all of them, such as that of \
                        openssl rand -hex 32";
            let Some(text) = &self.server_key else {
                return Err(Failure::usage("the distributed profile needs a server key")
                    .why("several processes seal page tokens and the like, and must read each other's")
                    .mend(mend));
            };
            bytes(text).ok_or_else(|| {
                Failure::usage("the server key is not 64 hexadecimal digits (32 bytes)").mend(mend)
            })
        }

        fn aggregates_check_every(&self) -> Duration {
            let minutes = self.aggregates_check_minutes.unwrap_or(CHECK_MINUTES);
            Duration::from_secs(60 * u64::from(minutes))
        }

        fn retention(&self) -> Retention {
            let days = |days: Option<u32>| days.map_or(FOR_EVER_DAYS, i64::from);
            Retention {
                events_days: days(self.events_days),
                incentives_days: days(self.incentives_days),
            }
        }
    }

    fn bytes(text: &str) -> Option<[u8; 32]> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
        let bytes: Vec<u8> =
            digits?.chunks(2).map(|pair| pair.iter().fold(0, |all, d| all << 4 | d)).collect();
        (text.len() == 64).then(|| bytes.try_into().ok()).flatten()
    }

    #[cfg(test)]
    mod tests {
        use super::super::{Flags, Profile};

        fn full() -> Flags {
            Flags {
                database_url: Some("postgresql://host/ic_db".to_owned()),
                kafka: Some("host:9092".to_owned()),
                server_key: Some("0123456789abcdef".repeat(4)),
                ..Flags::default()
            }
        }

        #[test]
        fn a_full_set_is_taken() {
            let flags = Flags { group: Some("others".to_owned()), ..full() };
            let Ok(Profile::Distributed(settings)) = flags.profile() else {
                panic!("{:?}", flags.profile())
            };
            assert_eq!(settings.server_key[..3], [0x01, 0x23, 0x45]);
            assert_eq!(settings.kafka.group, "others");
            assert_eq!(settings.kafka.events_topic, "tenant-events");
        }

        #[test]
        fn what_is_missing_or_wrong_is_named() {
            let check = |change: fn(&mut Flags), says: &str| {
                let mut flags = full();
                change(&mut flags);
                let refused = flags.distributed().expect_err("refused");
                assert!(refused.to_string().contains(says), "{refused}");
                assert!(refused.mend.is_some(), "{refused}");
            };
            check(|f| f.kafka = None, "INCENT_KAFKA");
            check(|f| f.server_key = None, "INCENT_SERVER_KEY");
            check(|f| f.server_key = Some("ab".repeat(31)), "64 hexadecimal digits");
            check(|f| f.server_key = Some("xy".repeat(32)), "64 hexadecimal digits");
            check(
                |f| f.database_url = Some("mysql://host".to_owned()),
                "not the URL of a PostgreSQL",
            );
            check(|f| f.schema_registry_authorization = Some("x".to_owned()), "no registry");
            check(|f| f.connect_url = Some("connect:8083".to_owned()), "connect-url is no address");
        }
    }
}

#[cfg(feature = "distributed")]
pub use in_force::Distributed;

#[cfg(test)]
mod tests {
    use super::{Flags, Profile};

    #[test]
    fn the_database_chooses_the_profile() {
        assert!(matches!(Flags::default().profile(), Ok(Profile::Embedded)));
        let alone = Flags { redis_url: Some("redis://host".to_owned()), ..Flags::default() };
        let refused = alone.profile().expect_err("which profile is it?");
        assert!(refused.what.starts_with("redis-url is set"), "{refused}");
    }
}
