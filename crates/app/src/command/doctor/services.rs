//! The distributed profile: each service is asked whether it is there and as it should be, then the
//! rows are examined.

use std::path::Path;

use analytics::{Drift, Manifest};
use bus_kafka::topics::{self, GroupState, TopicState};
use domain::time::Day;
use engine::ports::PortError;
use store::doctor::{Examination, examine_postgres};
use store::postgres::incentives_by_day;
use store::{PgDb, PgOptions};

use super::{Check, Found, captured};
use crate::command::serve::runtime;
use crate::config::cms::Cms;
use crate::config::distributed::Flags;
use crate::failure::{Code, Failure, Outcome};
use crate::platform::{Connect, check_cms};

/// The oldest PostgreSQL that is supported, as `server_version_num` says it.
const POSTGRES_LEAST: i64 = 150_000;

/// The oldest Redis that is supported.
const REDIS_LEAST: u32 = 7;

impl Check {
    pub(super) fn well(states: impl Into<String>) -> Self {
        Self { states: states.into(), trouble: None }
    }
    pub(super) fn bad(states: &str, why: impl Into<String>, mend: &str) -> Self {
        Self { states: states.to_owned(), trouble: Some((why.into(), mend.to_owned())) }
    }
}

/// Looks at the services, then at the rows; with `deep` at all of them.
pub(super) fn examine(flags: &Flags, deep: bool) -> Outcome<Found> {
    let mut checks = Vec::new();
    let options = PgOptions::new(flags.database()?);
    let db = PgDb::open(&options)
        .map_err(|e| Failure::usage("the database cannot be used").why(e.to_string()))?;
    let kafka = flags.bus()?;
    runtime()?.block_on(async {
        let mut rows = Examination::default();
        let has_schema = database(&db, &mut checks).await;
        if has_schema {
            captured::database(&db, &mut checks).await;
            let examined = examine_postgres(&db, deep).await;
            rows = examined.map_err(|e| {
                Failure::new(Code::Failure, "the rows cannot be examined").why(e.to_string())
            })?;
        }
        match topics::examine(&kafka).await {
            Ok((found, group)) => {
                checks.extend(found.iter().map(topic));
                checks.push(members(&kafka.group, &group));
                captured::kafka(&kafka, &mut checks).await;
            }
            Err(PortError { message, .. }) => checks.push(Check::bad(
                "Kafka answers and has both topics",
                message,
                "see that it runs and that its brokers are named rightly, and make the topics",
            )),
        }
        if let Some(url) = flags.connect()? {
            captured::connectors(&Connect::new(&url), &kafka, &mut checks).await;
        }
        if let Some(url) = &flags.redis_url {
            checks.push(redis(url).await);
            if deep && has_schema {
                captured::aggregates(url, &db, &mut checks).await?;
            }
        }
        if let Some(cms) = flags.cms.cms()? {
            checks.push(campaigns(&cms).await);
        }
        if let Some(place) = flags.analytics.landing().filter(|_| deep) {
            checks.extend(landing(&db, &place.dir).await);
        }
        if flags.server_key.is_none() {
            checks.push(Check::bad(
                "a server key is set",
                "incent serve will refuse to start",
                "set INCENT_SERVER_KEY to the same text everywhere: openssl rand -hex 32",
            ));
        }
        Ok(Found { checks, rows })
    })
}

/// Whether the database's rows can be looked at.
async fn database(db: &PgDb, checks: &mut Vec<Check>) -> bool {
    const ANSWERS: &str = "PostgreSQL answers";
    let version = match db.version().await {
        Ok(version) => version,
        Err(error) => {
            let mend = "see that it runs, and that the user, the password and the database exist";
            checks.push(Check::bad(ANSWERS, error.to_string(), mend));
            return false;
        }
    };
    checks.push(match version {
        POSTGRES_LEAST.. => Check::well(format!("{ANSWERS}, version {}", version / 10_000)),
        _ => Check::bad(
            "PostgreSQL is 15 or newer",
            format!("it is {}", version / 10_000),
            "move the database to a newer server",
        ),
    });
    const SCHEMA: &str = "its schema is the one of this version";
    match store::postgres::check_current(db).await {
        Ok(()) => {
            checks.push(Check::well(SCHEMA));
            true
        }
        Err(error) => {
            checks.push(Check::bad(SCHEMA, error.to_string(), "run incent migrate"));
            false
        }
    }
}

async fn redis(url: &str) -> Check {
    const ANSWERS: &str = "Redis answers";
    let mend = "see that it runs and that its address is right; until then PostgreSQL alone decides \
                on limits, and none is passed";
    match limits_redis::version(&limits_redis::Settings::new(url)).await {
        Ok(version) if version.major >= REDIS_LEAST => {
            Check::well(format!("{ANSWERS}, version {version}"))
        }
        Ok(version) => Check::bad(
            &format!("Redis is {REDIS_LEAST} or newer"),
            format!("it is {version}"),
            "move to a newer server",
        ),
        Err(error) => Check::bad(ANSWERS, error.to_string(), mend),
    }
}

/// Whether all has landed that should have. It may be landing at the moment: nothing is disturbed.
async fn landing(db: &PgDb, dir: &Path) -> Option<Check> {
    const COMPLETE: &str = "each captured incentive has landed once";
    const MEND: &str = "read the notes on analytics in docs/operations.md: what is missing was not \
                        captured, or a day's files were changed by hand";
    let manifest = match Manifest::read(dir) {
        Ok(manifest) => manifest?,
        Err(error) => return Some(Check::bad(COMPLETE, error.to_string(), MEND)),
    };
    let stored = match incentives_by_day(db, Day(0), &manifest.applied()).await {
        Ok(stored) => stored,
        Err(error) => return Some(Check::bad(COMPLETE, error.to_string(), "look at PostgreSQL")),
    };
    let drift = Drift::between(&stored, &manifest.rows_by_day());
    let Some((day, (stored, landed))) = drift.days.iter().next() else {
        let files = manifest.files.len();
        return Some(Check::well(format!("{COMPLETE}, in {files} files")));
    };
    let (days, day) = (drift.days.len(), day.date());
    let why = format!("{days} days differ; {day}: {stored} in the database, {landed} landed");
    Some(Check::bad(COMPLETE, why, MEND))
}

/// Whether the CMS lets a process that only decides read what it decides by.
async fn campaigns(cms: &Cms) -> Check {
    let states = format!("the CMS at {} tells what decides", cms.url);
    match check_cms(cms).await {
        Ok(()) => Check::well(states),
        Err(error) => Check::bad(
            &states,
            error.to_string(),
            "see that a process with the role cms runs there and has the same service token",
        ),
    }
}

fn topic(found: &TopicState) -> Check {
    let TopicState { name, partitions, time } = found;
    match time.as_deref() {
        Some("LogAppendTime") => {
            Check::well(format!("topic {name} has {partitions} partitions and the broker's time"))
        }
        other => Check::bad(
            &format!("topic {name} has the broker's time in its records"),
            format!("its message.timestamp.type is {}", other.unwrap_or("not to be read")),
            "producers' clocks would decide on days and limits: set it to LogAppendTime with \
             kafka-configs.sh --alter --add-config message.timestamp.type=LogAppendTime",
        ),
    }
}

fn members(group: &str, found: &GroupState) -> Check {
    match found.members {
        0 => Check::bad(
            &format!("group {group} has members"),
            "no process with the role ic runs: events are accepted, and nobody decides them",
            "start one: incent serve --roles ic",
        ),
        n => Check::well(format!("group {group} is {} with {n} members", found.state)),
    }
}
