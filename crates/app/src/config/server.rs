//! Settings of `serve`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use domain::shape::{Text, Whole};
use engine::crash::CrashPlan;
use engine::guard::Guard;
use http::api::tenants::create::NewLimits;
use http::{Rate, TENANT_EVENTS};

use super::distributed::{self, Profile};
use super::document;
use crate::failure::{Failure, Outcome};
use crate::telemetry::LogFormat;

/// Where the platform listens unless told otherwise.
pub const LISTEN: &str = "127.0.0.1:8080";
/// Where it keeps its data unless told otherwise.
pub const DATA_DIR: &str = "incent-data";
/// Seconds of a tenant's rate that it may send at once after a pause, unless told otherwise.
const BURST_SECONDS: u32 = 10;

/// Flags and variables of `serve`; each is also a key of the configuration file.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Flags {
    /// Configuration file (YAML or JSON); its keys are the long flags in camelCase
    #[arg(long, env = "INCENT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "INCENT_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// Directory of the data [default: incent-data]
    #[arg(long, env = "INCENT_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Roles to run: all, or some of events,cms,cohorts,ic,dcm,aggregator,analytics [default: all]
    #[arg(long, env = "INCENT_ROLES", value_name = "ROLES", value_delimiter = ',')]
    pub roles: Option<Vec<String>>,
    /// Bearer token of the platform's admin
    #[arg(long, env = "INCENT_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub admin_token: Option<String>,
    /// Limits of a new tenant whose request names none, as JSON: {"tenant": {"maxPerDay": 1000},
    /// "perUser": {"maxPerDay": 10}} [default: no caps]
    #[arg(long, env = "INCENT_DEFAULT_LIMITS", value_name = "JSON", value_parser = limits)]
    pub default_limits: Option<NewLimits>,
    /// Events a second that this process takes of each tenant over REST, all its keys together
    /// [default: 10000]
    #[arg(long, env = "INCENT_TENANT_EVENTS_PER_SECOND", value_name = "EVENTS",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub tenant_events_per_second: Option<u32>,
    /// How many of them at once after a pause [default: those of ten seconds]
    #[arg(long, env = "INCENT_TENANT_EVENTS_BURST", value_name = "EVENTS",
          value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub tenant_events_burst: Option<u32>,
    /// What is logged: a level, or a list such as warn,engine=debug [default: info]
    #[arg(long, env = "INCENT_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How logs are written [default: text on a terminal, json otherwise]
    #[arg(long, env = "INCENT_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What chooses the distributed profile, and its services.
    #[command(flatten)]
    pub distributed: distributed::Flags,
    /// Where and when to die, for tests: POINT or POINT:COUNT
    #[arg(long, env = "INCENT_CRASH_AT", hide = true)]
    pub crash_at: Option<CrashPlan>,
    /// A protection to do without, for tests; a release refuses it
    #[arg(long, env = "INCENT_WITHOUT", hide = true)]
    pub without: Option<Guard>,
}

domain::choice! {
    /// How logs are written.
    pub enum FileLogFormat {
        /// Text on a terminal, JSON otherwise.
        Auto = "auto",
        /// Text.
        Text = "text",
        /// A JSON document a line.
        Json = "json",
    }
}

domain::shape! {
    /// The configuration file. Flags and `INCENT_…` variables win over it.
    pub struct ServerFile {
        /// Address to listen on; port 0 picks a free one.
        "listen" listen: Option<Text<1, 200>>,
        /// Directory of the data.
        "dataDir" data_dir: Option<Text<1, 4096>>,
        /// Roles to run; all when left out.
        "roles" roles: Option<Vec<String>>,
        /// Bearer token of the platform's admin. Better kept in `INCENT_ADMIN_TOKEN`.
        "adminToken" admin_token: Option<Text<1, 512>>,
        /// Limits of a new tenant whose request names none; without them it has no caps.
        "defaultLimits" default_limits: Option<NewLimits>,
        /// Events a second that this process takes of each tenant over REST, all its keys together;
        /// 10,000 when left out.
        "tenantEventsPerSecond" tenant_events_per_second: Option<Whole<1, 1_000_000>>,
        /// How many of them at once after a pause; those of ten seconds when left out.
        "tenantEventsBurst" tenant_events_burst: Option<Whole<1, 100_000_000>>,
        /// PostgreSQL, as `postgresql://user@host:5432/ic_db`; chooses the distributed profile.
        /// Better kept in `INCENT_DATABASE_URL` when it holds a password.
        "databaseUrl" database_url: Option<Text<1, 2000>>,
        /// Kafka's brokers, as `host:9092,host:9092`.
        "kafka" kafka: Option<Text<1, 2000>>,
        /// Further properties of librdkafka, such as `security.protocol`.
        "kafkaProperties" kafka_properties: Option<BTreeMap<String, String>>,
        /// Topic of the events.
        "eventsTopic" events_topic: Option<Text<1, 249>>,
        /// Topic of the announcements.
        "incentivesTopic" incentives_topic: Option<Text<1, 249>>,
        /// Topic of captured incentives, for the analytics files.
        "analyticsTopic" analytics_topic: Option<Text<1, 249>>,
        /// Directory in which the role `analytics` lands captured incentives, as Parquet files by day.
        "analyticsDir" analytics_dir: Option<Text<1, 4096>>,
        /// Captured incentives that may wait in memory before they land; 250,000 when left out.
        "analyticsRows" analytics_rows: Option<Whole<1, 5_000_000>>,
        /// Memory in MiB that captured incentives may take before they land; 128 when left out.
        "analyticsMebibytes" analytics_mebibytes: Option<Whole<1, 4096>>,
        /// Seconds that a captured incentive may wait before it lands; 300 when left out.
        "analyticsSeconds" analytics_seconds: Option<Whole<1, 86_400>>,
        /// Topic of captured incentives, for the aggregates in Redis.
        "aggregatesTopic" aggregates_topic: Option<Text<1, 249>>,
        /// Minutes between two comparisons of the aggregates with the ledger; 10 when left out.
        "aggregatesCheckMinutes" aggregates_check_minutes: Option<Whole<1, 1440>>,
        /// Consumer group of the processes that decide.
        "group" group: Option<Text<1, 200>>,
        /// Kafka Connect, as `http://connect:8083`, for the roles `aggregator` and `analytics`: they
        /// start again what has failed of the connector named like their topic.
        "connectUrl" connect_url: Option<Text<1, 2000>>,
        /// Schema registry, as `http://registry:8081`; without one, values carry their schema's hash.
        "schemaRegistry" schema_registry: Option<Text<1, 2000>>,
        /// The header `Authorization` for the schema registry. Better kept in
        /// `INCENT_SCHEMA_REGISTRY_AUTHORIZATION`.
        "schemaRegistryAuthorization" schema_registry_authorization: Option<Text<1, 2000>>,
        /// Redis in front of the limits, as `redis://host:6379`; without it PostgreSQL alone decides.
        "redisUrl" redis_url: Option<Text<1, 2000>>,
        /// The CMS, as `http://cms:8080`, for processes with the role `ic` and without `cms`; without it
        /// they read what decides from the database.
        "cmsUrl" cms_url: Option<Text<1, 2000>>,
        /// Token that the platform's own processes share, at least 32 characters: they show it to the
        /// CMS. Better kept in `INCENT_SERVICE_TOKEN`.
        "serviceToken" service_token: Option<Text<1, 512>>,
        /// Secret that all processes share, 32 bytes in hexadecimal. Better kept in
        /// `INCENT_SERVER_KEY`.
        "serverKey" server_key: Option<Text<64, 64>>,
        /// Days that events are kept; for ever when left out.
        "eventsDays" events_days: Option<Whole<1, 36_500>>,
        /// Days that incentives are kept; for ever when left out.
        "incentivesDays" incentives_days: Option<Whole<1, 36_500>>,
        /// What is logged: a level, or a list such as `warn,engine=debug`.
        "log" log: Option<Text<1, 1000>>,
        /// How logs are written.
        "logFormat" log_format: Option<FileLogFormat>,
    }
}

/// Settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the data is.
    pub data_dir: PathBuf,
    /// Which profile, and its services.
    pub profile: Profile,
    /// Which roles run, as written; empty = all.
    pub roles: Vec<String>,
    /// The admin's bearer token, if there is one.
    pub admin_token: Option<String>,
    /// Limits of a new tenant whose request names none.
    pub default_limits: NewLimits,
    /// Events a second that are taken of one tenant, and how many at once after a pause.
    pub tenant_events: Rate,
    /// Log filter.
    pub log: String,
    /// Log format.
    pub log_format: LogFormat,
}

impl Settings {
    /// From flags, variables, file and defaults, in this order. Errors: a file that cannot be read
    /// or has faults, an address that is none.
    pub fn resolve(flags: Flags) -> Outcome<Self> {
        let file: Option<ServerFile> = flags.config.as_deref().map(document::read).transpose()?;
        let tenant_events = tenant_events(&flags, file.as_ref());
        let listen = pick(flags.listen, file.as_ref().and_then(|f| f.listen.as_ref()), LISTEN);
        let data_dir = flags.data_dir.unwrap_or_else(|| {
            pick(None, file.as_ref().and_then(|f| f.data_dir.as_ref()), DATA_DIR).into()
        });
        let token = flags.admin_token.filter(|token| !token.is_empty());
        let in_file = file.as_ref().and_then(|f| f.log_format).map(|format| match format {
            FileLogFormat::Auto => LogFormat::Auto,
            FileLogFormat::Text => LogFormat::Text,
            FileLogFormat::Json => LogFormat::Json,
        });
        Ok(Self {
            listen: address(&listen)?,
            data_dir,
            profile: flags.distributed.over(file.as_ref()).profile()?,
            roles: flags.roles.or_else(|| file.as_ref()?.roles.clone()).unwrap_or_default(),
            admin_token: token
                .or_else(|| file.as_ref()?.admin_token.as_ref().map(ToString::to_string)),
            default_limits: flags
                .default_limits
                .or_else(|| file.as_ref()?.default_limits.clone())
                .unwrap_or_default(),
            tenant_events,
            log: pick(flags.log, file.as_ref().and_then(|f| f.log.as_ref()), "info"),
            log_format: flags.log_format.or(in_file).unwrap_or_default(),
        })
    }
}

fn tenant_events(flags: &Flags, file: Option<&ServerFile>) -> Rate {
    let number = |key: i64| u32::try_from(key).ok();
    let per_second =
        flags.tenant_events_per_second.or_else(|| number(file?.tenant_events_per_second?.get()));
    let burst = flags.tenant_events_burst.or_else(|| number(file?.tenant_events_burst?.get()));
    let per_second = per_second.unwrap_or(TENANT_EVENTS.per_second);
    Rate { per_second, burst: burst.unwrap_or(per_second * BURST_SECONDS) }
}

fn limits(text: &str) -> Result<NewLimits, String> {
    domain::shape::read_json(text.as_bytes()).map_err(|why| why.to_string())
}

fn pick<T: ToString>(flag: Option<String>, file: Option<&T>, default: &str) -> String {
    flag.or_else(|| file.map(ToString::to_string)).unwrap_or_else(|| default.to_owned())
}

/// Reads an address: `HOST:PORT`, `:PORT` or a bare port, the latter two on this machine only.
pub fn address(text: &str) -> Outcome<SocketAddr> {
    use std::net::ToSocketAddrs;
    let full = match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        Ok(port) => format!("127.0.0.1:{port}"),
        Err(_) => text.to_owned(),
    };
    let resolved = full.to_socket_addrs().ok().and_then(|mut found| found.next());
    resolved.ok_or_else(|| {
        Failure::usage(format!("{text:?} is not an address to listen on"))
            .mend("write it as 127.0.0.1:8080, or 0.0.0.0:8080 for every interface")
    })
}
