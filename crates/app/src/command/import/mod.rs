//! `incent import`: events from a CSV or JSON-lines file, over REST, in batches.
//!
//! Events are idempotent by their ids, so an import can be interrupted and run again at any time;
//! a small file beside the input remembers how far it came, so that going on is quick too.

mod batch;
mod reject;
mod resume;
mod send;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;

use crate::client::Client;
use crate::config::connection::{self, Connection};
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::progress::Progress;
use crate::reading::mapping::{self, Mapping};
use crate::reading::sort::{MEMORY_BYTES, Sorter};
use crate::reading::{Broken, Events, Item, Kind};
use crate::table::grouped;
use reject::RejectFile;
use resume::Resume;
use send::{Job, Tally};

/// Flags of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first row of a CSV names its columns. JSON lines need no mapping when they are events as the REST
API takes them. Broken rows are kept in FILE.rejected.csv; mended, that file can be imported as well.

Examples:
  incent import orders.csv --user customer --time created_at --action purchase --event-id order_no --payload amount=total:number
  incent import purchases.csv --as history --user customer_id --time date --time-zone America/New_York --action purchase --event-id line --payload units:number
  incent import events.jsonl --as replay
  incent import legacy.csv --map legacy.map.yaml --dry-run")]
pub struct Args {
    /// File to read
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// live: decided now; history: stored, grants nothing; replay: decided as of their own time
    #[arg(long = "as", value_enum, default_value = "live", value_name = "KIND")]
    pub kind: As,
    /// Format of the file [default: by its name]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Kind>,
    /// What separates the columns of a CSV: one character, or tab
    #[arg(long, default_value = ",", value_name = "CHAR", value_parser = delimiter)]
    pub delimiter: u8,
    /// Read and check the file, print the first events, send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Begin at the start although an earlier run was interrupted
    #[arg(long)]
    pub restart: bool,
    /// Events in a request
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub batch: u32,
    /// Requests at the same time (a replay keeps the order with one)
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32), value_name = "N")]
    pub senders: u8,
    /// How long to try again while the platform is busy or away; waiting for the tenant's rate is not
    /// counted
    #[arg(long, default_value = "2m", value_parser = super::duration, value_name = "TIME")]
    pub retry_for: Duration,
    /// The mapping.
    #[command(flatten)]
    pub columns: mapping::Flags,
    /// Where the platform is.
    #[command(flatten)]
    pub connection: connection::Flags,
}

/// How the events take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum As {
    /// Decided now.
    Live,
    /// Stored for backtest, cohorts and profiles; grants nothing.
    History,
    /// Decided as of their own time, in its order.
    Replay,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [byte] if byte.is_ascii() && *byte != b'"' => Ok(*byte),
            _ => Err("give one ASCII character, or tab".to_owned()),
        },
    }
}

/// Imports the file.
pub fn run(args: Args, out: &Output) -> Outcome {
    let kind = args.format.unwrap_or_else(|| Kind::of(&args.file));
    let mapping = Mapping::resolve(args.columns.clone(), kind)?;
    let events = open(&args.file, kind, args.delimiter, &mapping)?;
    if args.dry_run {
        return dry_run(events, out);
    }
    let connection = Connection::resolve(args.connection.clone())?;
    let identity =
        format!("{:?} {mapping:?} {:?} {}", args.kind, connection.tenant, connection.url);
    let mut resume = Resume::open(&args.file, &identity, args.restart)?;
    if resume.state().done > 0 {
        out.say(&format!(
            "going on after {} rows of an earlier run (--restart begins again)",
            grouped(resume.state().done)
        ));
    }
    let mut rejects = RejectFile::open(&args.file, kind, args.delimiter, events.heading_line());
    let interrupt = Interrupt::listen()?;
    let total = count_lines(&args.file)?.saturating_sub(u64::from(kind == Kind::Csv));
    let progress = Progress::start(out, "importing", "rows", Some(total));
    let client = Client::new(connection);
    let job = Job {
        client: &client,
        query: match args.kind {
            As::Live => "",
            As::History => "?as=history",
            As::Replay => "?as=replay",
        },
        senders: if args.kind == As::Replay { 1 } else { usize::from(args.senders) },
        batch_events: args.batch as usize,
        patience: args.retry_for,
        interrupt: &interrupt,
        progress: &progress,
    };
    let sent = if args.kind == As::Replay {
        let sorted = in_time_order(events, &mut rejects, &interrupt, out)?;
        job.send(sorted, &mut resume, &mut rejects)
    } else {
        job.send(events, &mut resume, &mut rejects)
    };
    let took = progress.finish();
    let tally = resume.state().tally;
    sent.map_err(|failure| {
        let done = grouped(resume.state().done);
        let again = format!("{done} rows are in; run the same command again to go on from there");
        match failure.mend.clone() {
            Some(mend) => failure.mend(format!("{mend}\n{again}")),
            None => failure.mend(again),
        }
    })?;
    resume.remove()?;
    summary(tally, rejects, took, out)
}

fn open(
    path: &Path,
    kind: Kind,
    delimiter: u8,
    mapping: &Mapping,
) -> Outcome<Events<BufReader<File>>> {
    let file = File::open(path).map_err(|e| Failure::file("read", path, &e))?;
    Events::open(BufReader::with_capacity(1 << 16, file), kind, delimiter, mapping)
}

/// Reads everything, broken rows into the reject file, and sorts the rest.
fn in_time_order(
    events: Events<BufReader<File>>,
    rejects: &mut RejectFile,
    interrupt: &Interrupt,
    out: &Output,
) -> Outcome<impl Iterator<Item = Outcome<Result<Item, Broken>>> + use<>> {
    let folder = std::env::temp_dir();
    let spill = |e: std::io::Error| Failure::file("sort in", &folder, &e);
    let mut sorter = Sorter::new(&folder, MEMORY_BYTES);
    for row in events {
        interrupt.check()?;
        match row? {
            Ok(item) => sorter.push(item).map_err(spill)?,
            Err(broken) => rejects.keep(&broken)?,
        }
    }
    out.detail("sorted by time");
    let sorted = sorter.finish().map_err(spill)?;
    Ok(sorted.map(move |item| {
        let folder = std::env::temp_dir();
        item.map(Ok).map_err(|e| Failure::file("sort in", &folder, &e))
    }))
}

fn count_lines(path: &Path) -> Outcome<u64> {
    use std::io::Read;
    let failed = |e: std::io::Error| Failure::file("read", path, &e);
    let mut file = File::open(path).map_err(failed)?;
    let (mut buffer, mut lines) = (vec![0; 1 << 18], 0);
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok(lines);
        }
        lines += buffer[..read].iter().filter(|b| **b == b'\n').count() as u64;
    }
}

/// How many events a dry run shows.
const SHOWN: u64 = 5;

fn dry_run(events: Events<BufReader<File>>, out: &Output) -> Outcome {
    let (mut good, mut broken) = (0, 0);
    for row in events {
        match row? {
            Ok(item) => {
                good += 1;
                if good <= SHOWN {
                    let json = item.event.to_json();
                    out.data(&json.map_err(|e| Failure::usage(e.to_string()))?)?;
                }
            }
            Err(row) => {
                broken += 1;
                if broken <= SHOWN {
                    out.warn(&format!("line {}: {}", row.line, row.why));
                }
            }
        }
    }
    out.say(&format!(
        "{} rows are events, {} are broken; nothing was sent",
        grouped(good),
        grouped(broken)
    ));
    Ok(())
}

fn summary(tally: Tally, rejects: RejectFile, took: Duration, out: &Output) -> Outcome {
    let kept = rejects.finish()?;
    let seconds = took.as_secs_f64();
    let document = json!({
        "accepted": tally.accepted,
        "duplicates": tally.duplicates,
        "rejected": kept.rows,
        "rejectFile": kept.path.as_ref().map(|p| p.display().to_string()),
        "seconds": (seconds * 1000.0).round() / 1000.0,
    });
    out.document(&document, |_| {
        format!(
            "{} accepted, {} were there already, {} rejected, in {seconds:.1} s",
            grouped(tally.accepted),
            grouped(tally.duplicates),
            grouped(kept.rows)
        )
    })?;
    if let Some(path) = kept.path {
        out.warn(&format!(
            "{} rows were rejected; they are kept, with their lines and reasons, in {}",
            grouped(kept.rows),
            path.display()
        ));
    }
    Ok(())
}
