//! `incent doctor`: is what is stored consistent, and what to do if not. Reads only.

use std::path::PathBuf;

use serde_json::json;
use store::doctor::{Examination, examine_file};

use crate::config::server::DATA_DIR;
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
  incent doctor -o json")]
pub struct Args {
    /// Directory of the data
    #[arg(long, env = "INCENT_DATA_DIR", value_name = "DIR", default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// Also read the structure of the whole file, which takes as long as reading all of it
    #[arg(long)]
    pub deep: bool,
}

/// Examines a data directory.
pub fn run(args: Args, out: &Output) -> Outcome {
    let path = args.data_dir.join(data_dir::DATABASE);
    let examination = examine_file(&path, args.deep).map_err(|error| {
        let failure = data_dir::failure("examine", &args.data_dir, &error);
        if path.exists() {
            failure
        } else {
            failure.mend("name the data directory with --data-dir")
        }
    })?;
    let document = json!({
        "dataDir": args.data_dir.display().to_string(),
        "healthy": examination.findings.is_empty(),
        "examined": examination.examined,
        "findings": examination.findings.iter().map(|f| json!({
            "states": f.states, "count": f.count, "places": f.places, "mend": f.mend,
        })).collect::<Vec<_>>(),
        "rows": examination.rows.iter().map(|(t, n)| ((*t).to_owned(), json!(n)))
            .collect::<serde_json::Map<_, _>>(),
    });
    out.document(&document, |out| text(&examination, out))?;
    match examination.findings.len() {
        0 => Ok(()),
        count => Err(Failure::new(Code::Failure, format!("{count} promises are broken"))),
    }
}

fn text(examination: &Examination, out: &Output) -> String {
    let mut lines = Vec::new();
    for states in &examination.examined {
        let finding = examination.findings.iter().find(|f| f.states == *states);
        let Some(finding) = finding else {
            lines.push(format!("{} {states}", out.ink(Ink::Green, "ok ")));
            continue;
        };
        lines.push(format!("{} {states}: {} times not", out.ink(Ink::Red, "BAD"), finding.count));
        lines.extend(finding.places.iter().map(|place| format!("      {place}")));
        lines.push(format!("      {}", out.ink(Ink::Bold, finding.mend)));
    }
    let rows = examination.rows.iter().map(|(table, n)| format!("{} {table}", grouped(*n)));
    lines.push(out.ink(Ink::Dim, &rows.collect::<Vec<_>>().join(", ")));
    lines.join("\n")
}
