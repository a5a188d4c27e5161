//! `cargo x services`: real Kafka, Connect with Debezium, PostgreSQL and Redis as plain processes
//! on loopback, in a folder and on ports of their own. What is missing on the machine is installed
//! first, with apt and Maven. Docker is not needed; for those who like it there is
//! `deploy/compose.yaml` with the same topology.
//!
//! Everything is found again through one file, `services.env`: where each service is and under
//! which process id. Tests read it, a shell can source it, `down` ends what it names.
//!
//! Read [`run`] first, then [`place`] for the folder, [`install`], [`process`], and one file per
//! service.

mod clients;
mod connect;
mod install;
mod java;
mod kafka;
mod place;
mod postgres;
mod process;
mod redis;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::out;
use crate::run::Failure;

use place::Place;

/// What can be asked for, in the order of starting; stopping goes the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Apache Kafka, one process that is broker and controller.
    Kafka,
    /// PostgreSQL with logical decoding.
    Postgres,
    /// Kafka Connect with the Debezium connector for PostgreSQL. Brings both along.
    Connect,
    /// Redis.
    Redis,
    /// No process: Kafka and Avro clients for Python, which the tests of foreign clients call.
    Clients,
    /// No process: such clients in Java.
    Java,
}

impl Service {
    const ALL: [Self; 6] =
        [Self::Kafka, Self::Postgres, Self::Connect, Self::Redis, Self::Clients, Self::Java];

    fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Connect => "connect",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Clients => "clients",
            Self::Java => "java",
        }
    }

    /// The variable of `services.env` that says where it is.
    fn variable(self) -> &'static str {
        match self {
            Self::Kafka => "INCENT_KAFKA_BROKERS",
            Self::Connect => "INCENT_CONNECT_URL",
            Self::Postgres => "INCENT_POSTGRES_URL",
            Self::Redis => "INCENT_REDIS_URL",
            Self::Clients => "INCENT_TEST_PYTHON",
            Self::Java => "INCENT_TEST_JAVA",
        }
    }

    /// What it cannot run without.
    fn needs(self) -> &'static [Self] {
        match self {
            Self::Connect => &[Self::Kafka, Self::Postgres],
            _ => &[],
        }
    }

    /// Installs what it needs on this machine; quick when all is there.
    fn install(self, place: &Place) -> Result<(), Failure> {
        match self {
            Self::Kafka => kafka::install(place),
            Self::Connect => connect::install(place),
            Self::Postgres => postgres::install(place),
            Self::Redis => redis::install(place),
            Self::Clients => clients::install(place),
            Self::Java => java::install(place),
        }
    }

    /// Starts it, waits until it answers, and returns its address.
    fn start(self, place: &mut Place) -> Result<String, Failure> {
        match self {
            Self::Kafka => kafka::start(place),
            Self::Connect => connect::start(place),
            Self::Postgres => postgres::start(place),
            Self::Redis => redis::start(place),
            Self::Clients => Ok(clients::python(place).display().to_string()),
            Self::Java => Ok(java::class_path(place)),
        }
    }

    /// Whether it is there and answers.
    fn is_up(self, place: &Place) -> bool {
        match self {
            Self::Clients => clients::python(place).exists() && place.value(self).is_some(),
            Self::Java => java::is_there(place) && place.value(self).is_some(),
            _ => process::is_running(place, self) && self.answers(place),
        }
    }

    fn answers(self, place: &Place) -> bool {
        let Some(port) = place.port(self) else { return false };
        match self {
            Self::Kafka => kafka::answers(port),
            Self::Connect => connect::answers(port),
            Self::Postgres => postgres::answers(port),
            Self::Redis => redis::answers(port),
            Self::Clients | Self::Java => true,
        }
    }
}

/// `cargo x services up|down|status [NAME]... [--dir DIR] [--wipe]`.
pub fn run(root: &Path, args: &[&str]) -> Result<(), Failure> {
    let asked = Asked::read(args)?;
    let mut place = Place::open(root, asked.dir.as_deref())?;
    match asked.verb {
        Verb::Up => up(&mut place, &asked.services).map(|_| ()),
        Verb::Down => down(&mut place, &asked.services, asked.wipe),
        Verb::Status => {
            status(&place);
            Ok(())
        }
    }
}

/// Starts services in the default folder and returns those that did not run before, for the one
/// who started them to stop.
pub fn start(root: &Path, services: &[Service]) -> Result<Vec<Service>, Failure> {
    let mut place = Place::open(root, None)?;
    let down_before = missing(&place, services);
    let started = up(&mut place, services);
    if started.is_err() {
        down(&mut place, &down_before, true)?;
    }
    started
}

/// Installs what services need, and starts none.
pub fn provide(root: &Path, services: &[Service]) -> Result<(), Failure> {
    let place = Place::open(root, None)?;
    services.iter().try_for_each(|service| service.install(&place))
}

/// Stops services of the default folder and removes their data.
pub fn stop(root: &Path, services: &[Service]) -> Result<(), Failure> {
    match services {
        [] => Ok(()),
        _ => down(&mut Place::open(root, None)?, services, true),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verb {
    Up,
    Down,
    Status,
}

/// A command line, understood.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    verb: Verb,
    /// All of them where none was named.
    services: Vec<Service>,
    dir: Option<PathBuf>,
    wipe: bool,
}

impl Asked {
    fn read(args: &[&str]) -> Result<Self, Failure> {
        let usage = || Failure::Usage(format!("services {}", args.join(" ")).trim().to_owned());
        let (verb, rest) = args.split_first().ok_or_else(usage)?;
        let verb = match *verb {
            "up" => Verb::Up,
            "down" => Verb::Down,
            "status" => Verb::Status,
            _ => return Err(usage()),
        };
        let mut asked = Self { verb, services: Vec::new(), dir: None, wipe: false };
        let mut rest = rest.iter();
        while let Some(arg) = rest.next() {
            match *arg {
                "--dir" => asked.dir = Some(rest.next().ok_or_else(usage)?.into()),
                "--wipe" if asked.verb == Verb::Down => asked.wipe = true,
                name => {
                    let named = Service::ALL.into_iter().find(|service| service.name() == name);
                    asked.services.push(named.ok_or_else(usage)?);
                }
            }
        }
        if asked.services.is_empty() {
            asked.services = Service::ALL.to_vec();
        }
        Ok(asked)
    }
}

/// What was asked for and what that needs, in the order of starting.
fn with_needs(asked: &[Service]) -> Vec<Service> {
    let mut all: Vec<_> = asked.iter().flat_map(|s| s.needs().iter().chain([s])).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn missing(place: &Place, asked: &[Service]) -> Vec<Service> {
    with_needs(asked).into_iter().filter(|service| !service.is_up(place)).collect()
}

fn up(place: &mut Place, asked: &[Service]) -> Result<Vec<Service>, Failure> {
    let begun = Instant::now();
    let missing = missing(place, asked);
    for service in &missing {
        service.install(place)?;
    }
    for service in &missing {
        let begun = Instant::now();
        // One that hangs is ended, so that a second try begins anew.
        process::stop(place, *service)?;
        let address = service.start(place)?;
        place.set(*service, address)?;
        let took = begun.elapsed().as_secs_f64();
        out::talk(format_args!("{:<9} ready in {took:.1} s", service.name()));
    }
    for service in with_needs(asked) {
        if let Some(address) = place.value(service) {
            out::data(format_args!("{}={address}", service.variable()));
        }
    }
    let took = begun.elapsed().as_secs_f64();
    out::talk(format_args!("all up in {took:.1} s; see {}", place.env_file().display()));
    Ok(missing)
}

fn down(place: &mut Place, asked: &[Service], wipe: bool) -> Result<(), Failure> {
    for service in Service::ALL.into_iter().rev() {
        // Who needs one that goes, goes first.
        if asked.contains(&service) || service.needs().iter().any(|need| asked.contains(need)) {
            if process::stop(place, service)? {
                out::talk(format_args!("{:<9} stopped", service.name()));
            }
            place.forget(service, wipe)?;
        }
    }
    Ok(())
}

fn status(place: &Place) {
    for service in Service::ALL {
        let address = place.value(service).unwrap_or("-");
        let state = match (service.is_up(place), place.pid(service)) {
            (true, Some(pid)) => format!("up, process {pid}"),
            (true, None) => "installed".to_owned(),
            (false, _) if process::is_running(place, service) => "runs, gives no answer".to_owned(),
            (false, _) => "down".to_owned(),
        };
        out::data(format_args!("{:<9} {state:<22} {address}", service.name()));
    }
    out::talk(format_args!("logs: {}/<name>.log", place.dir().display()));
}
