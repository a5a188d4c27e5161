//! `incent doctor`: is what is stored consistent, are the services as they should be, and what to
//! do if not. Reads only.

#[cfg(feature = "distributed")]
mod captured;
#[cfg(feature = "distributed")]
mod services;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use store::doctor::{Examination, examine_file};

use crate::config::distributed;
use crate::config::document;
use crate::config::server::{DATA_DIR, ServerFile};
use crate::data_dir;
use crate::failure::{Code, Failure, Outcome};
use crate::output::{Ink, Output};
use crate::table::grouped;

/// Flags of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with 0 when all is well, with 1 when something is broken. A running platform is not disturbed.

Examples:
  incent doctor
  incent doctor --data-dir /var/lib/incent --deep
  incent doctor --config incent.yaml
  incent doctor -o json")]
pub struct Args {
    /// Configuration file (YAML or JSON), as for incent serve
    #[arg(long, env = "INCENT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the data, on the embedded profile [default: incent-data]
    #[arg(long, env = "INCENT_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Also what takes as long as reading everything: the structure of the whole file, or all rows
    /// of the ledger on PostgreSQL
    #[arg(long)]
    pub deep: bool,
    /// The services, on the distributed profile.
    #[command(flatten)]
    pub distributed: distributed::Flags,
}

/// What was found.
struct Found {
    /// Of what must be there before rows can be looked at.
    checks: Vec<Check>,
    /// In the rows.
    rows: Examination,
}

/// Something that should be so before rows can be looked at.
struct Check {
    /// What should be true.
    states: String,
    /// What is not so, and how to mend it.
    trouble: Option<(String, String)>,
}

/// Examines a data directory, or the services.
pub fn run(args: Args, out: &Output) -> Outcome {
    let file: Option<ServerFile> = args.config.as_deref().map(document::read).transpose()?;
    let flags = args.distributed.clone().over(file.as_ref());
    let (place, found) = match &flags.database_url {
        Some(_) => ("services".to_owned(), services(&flags, args.deep)?),
        None => {
            let named = file.as_ref().and_then(|f| f.data_dir.as_ref()).map(ToString::to_string);
            let dir = args.data_dir.unwrap_or_else(|| named.unwrap_or(DATA_DIR.to_owned()).into());
            (dir.display().to_string(), directory(&dir, args.deep)?)
        }
    };
    let broken = found.broken();
    out.document(&found.document(&place), |out| found.text(out))?;
    match broken {
        0 => Ok(()),
        count => Err(Failure::new(Code::Failure, format!("{count} promises are broken"))),
    }
}

fn directory(dir: &Path, deep: bool) -> Outcome<Found> {
    let path = dir.join(data_dir::DATABASE);
    let rows = examine_file(&path, deep).map_err(|error| {
        let failure = data_dir::failure("examine", dir, &error);
        if path.exists() {
            failure
        } else {
            failure.mend("name the data directory with --data-dir")
        }
    })?;
    let schema = "the database has the schema of this version".to_owned();
    Ok(Found { checks: vec![Check { states: schema, trouble: None }], rows })
}

#[cfg(not(feature = "distributed"))]
fn services(_: &distributed::Flags, _: bool) -> Outcome<Found> {
    Err(distributed::not_built())
}

#[cfg(feature = "distributed")]
fn services(flags: &distributed::Flags, deep: bool) -> Outcome<Found> {
    services::examine(flags, deep)
}

impl Found {
    fn broken(&self) -> usize {
        self.checks.iter().filter(|check| check.trouble.is_some()).count()
            + self.rows.findings.len()
    }

    fn document(&self, place: &str) -> Value {
        let checks = self.checks.iter().map(|check| {
            let (why, mend) = check.trouble.clone().unzip();
            json!({ "states": check.states, "ready": why.is_none(), "why": why, "mend": mend })
        });
        let findings = self.rows.findings.iter().map(
            |f| json!({ "states": f.states, "count": f.count, "places": f.places, "mend": f.mend }),
        );
        let rows = self.rows.rows.iter().map(|(table, n)| ((*table).to_owned(), json!(n)));
        json!({
            "dataDir": place,
            "healthy": self.broken() == 0,
            "checks": checks.collect::<Vec<_>>(),
            "examined": self.rows.examined,
            "findings": findings.collect::<Vec<_>>(),
            "rows": rows.collect::<serde_json::Map<_, _>>(),
        })
    }

    fn text(&self, out: &Output) -> String {
        let (well, bad) = (out.ink(Ink::Green, "ok "), out.ink(Ink::Red, "BAD"));
        let mut lines = Vec::new();
        for Check { states, trouble } in &self.checks {
            let Some((why, mend)) = trouble else {
                lines.push(format!("{well} {states}"));
                continue;
            };
            lines.push(format!("{bad} {states}: not so"));
            lines.push(format!("      {why}"));
            lines.push(format!("      {}", out.ink(Ink::Bold, mend)));
        }
        for states in &self.rows.examined {
            let finding = self.rows.findings.iter().find(|f| f.states == *states);
            let Some(finding) = finding else {
                lines.push(format!("{well} {states}"));
                continue;
            };
            lines.push(format!("{bad} {states}: {} times not", finding.count));
            lines.extend(finding.places.iter().map(|place| format!("      {place}")));
            lines.push(format!("      {}", out.ink(Ink::Bold, finding.mend)));
        }
        let rows = self.rows.rows.iter().map(|(table, n)| format!("{} {table}", grouped(*n)));
        lines.push(out.ink(Ink::Dim, &rows.collect::<Vec<_>>().join(", ")));
        lines.join("\n")
    }
}
