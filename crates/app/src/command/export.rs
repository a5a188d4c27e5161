//! `incent export`: what was granted, as CSV or JSON lines.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use domain::time::Timestamp;
use serde_json::{Value, json};

use crate::client::{As, Client, encoded};
use crate::config::connection::{self, Connection};
use crate::failure::{Failure, Outcome};
use crate::output::{Format, Output};
use crate::progress::Progress;

/// Items in a page.
const PAGE: u16 = 1000;

/// Flags of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  incent export incentives > incentives.csv
  incent export incentives --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --out january.csv
  incent export incentives --format jsonl --user u1")]
pub struct Args {
    /// What to write out.
    #[command(subcommand)]
    pub what: What,
}

/// What can be written out.
#[derive(Debug, Subcommand)]
pub enum What {
    /// The incentives granted
    Incentives(Incentives),
}

/// Flags of `export incentives`.
#[derive(Debug, clap::Args)]
pub struct Incentives {
    /// Format of the rows
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<RowFormat>,
    /// Only those of this campaign
    #[arg(long, value_name = "ID")]
    pub campaign: Option<String>,
    /// Only those of this user
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Only those issued at or after this time
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Only those issued before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// File to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where the platform is.
    #[command(flatten)]
    pub connection: connection::Flags,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// Columns under a line of headings.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

/// The columns, in order.
const COLUMNS: [&str; 10] = [
    "incentiveId",
    "campaignId",
    "campaign",
    "userId",
    "eventId",
    "type",
    "currency",
    "amount",
    "issuedAt",
    "couponCode",
];

/// Exports.
pub fn run(args: Args, out: &Output) -> Outcome {
    let What::Incentives(args) = args.what;
    let format = args.format.unwrap_or(match out.asked_for() {
        Some(Format::Json | Format::Jsonl) => RowFormat::Jsonl,
        _ => RowFormat::Csv,
    });
    let client = Client::new(Connection::resolve(args.connection.clone())?);
    let mut sink = Sink::open(args.out.as_ref(), *out)?;
    if format == RowFormat::Csv {
        sink.write(&csv_line(COLUMNS.iter().copied())?)?;
    }
    let mut names = CampaignNames::default();
    let progress = Progress::start(out, "exporting", "incentives", None);
    let mut written = 0;
    client.each_page(As::Tenant, &path(&args), |page| {
        let count = page.len() as u64;
        let mut text = String::new();
        for incentive in page {
            let row = row(&incentive, &mut names, &client)?;
            match format {
                RowFormat::Csv => text.push_str(&csv_line(row.iter().map(|c| c.as_str()))?),
                RowFormat::Jsonl => text.push_str(&json_line(&row)),
            }
        }
        sink.write(&text)?;
        written += count;
        progress.add(count);
        Ok(())
    })?;
    progress.finish();
    sink.finish()?;
    if let Some(path) = &args.out {
        out.say(&format!("{written} incentives written to {}", path.display()));
    }
    Ok(())
}

fn path(args: &Incentives) -> String {
    let mut path = format!("/api/v1/incentives?pageSize={PAGE}");
    let mut filter = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(&value)));
        }
    };
    filter("campaignId", args.campaign.clone());
    filter("userId", args.user.clone());
    filter("from", args.from.map(|t| t.to_string()));
    filter("to", args.to.map(|t| t.to_string()));
    path
}

fn row(incentive: &Value, names: &mut CampaignNames, client: &Client) -> Outcome<[String; 10]> {
    let text = |pointer: &str| match incentive.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    let campaign = text("/campaignId");
    let name = names.of(&campaign, client)?;
    Ok([
        text("/incentiveId"),
        campaign,
        name,
        text("/userId"),
        text("/eventId"),
        text("/type"),
        text("/reward/currency"),
        text("/reward/amount"),
        text("/issuedAt"),
        text("/couponCode"),
    ])
}

fn csv_line<'a>(cells: impl Iterator<Item = &'a str>) -> Outcome<String> {
    let failed = |why: String| Failure::usage("a row cannot be written as CSV").why(why);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells).map_err(|e| failed(e.to_string()))?;
    let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| failed(e.to_string()))
}

fn json_line(row: &[String; 10]) -> String {
    let object: serde_json::Map<String, Value> = COLUMNS
        .iter()
        .zip(row)
        .map(|(name, cell)| {
            let value = if cell.is_empty() { Value::Null } else { json!(cell) };
            ((*name).to_owned(), value)
        })
        .collect();
    format!("{}\n", Value::Object(object))
}

/// Names of campaigns, asked for once each.
#[derive(Default)]
struct CampaignNames(HashMap<String, String>);

impl CampaignNames {
    fn of(&mut self, id: &str, client: &Client) -> Outcome<String> {
        if let Some(name) = self.0.get(id) {
            return Ok(name.clone());
        }
        let reply =
            client.call(As::Tenant, "GET", &format!("/api/v1/campaigns/{}", encoded(id)), None)?;
        // A key that may read incentives need not be allowed to read campaigns.
        let name = reply.body.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.0.insert(id.to_owned(), name.clone());
        Ok(name)
    }
}

/// Where the rows go.
enum Sink {
    Stdout(Output),
    File(BufWriter<File>, PathBuf),
}

impl Sink {
    fn open(path: Option<&PathBuf>, out: Output) -> Outcome<Self> {
        let Some(path) = path else { return Ok(Self::Stdout(out)) };
        let file = File::create(path).map_err(|e| Failure::file("write", path, &e))?;
        Ok(Self::File(BufWriter::new(file), path.clone()))
    }
    fn write(&mut self, text: &str) -> Outcome {
        match self {
            Self::Stdout(out) => out.raw(text.as_bytes()),
            Self::File(file, path) => {
                file.write_all(text.as_bytes()).map_err(|e| Failure::file("write", path, &e))
            }
        }
    }
    fn finish(&mut self) -> Outcome {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(file, path) => file.flush().map_err(|e| Failure::file("write", path, &e)),
        }
    }
}
