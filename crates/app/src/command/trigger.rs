//! `incent trigger`: sends an event and shows what it earns.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use domain::id::{ActionCode, EventId, UserRef};
use domain::time::Timestamp;
use engine::ports::IdGen;
use serde_json::{Value, json};

use super::{payload, verdict};
use crate::client::{As, Client};
use crate::clock::SystemIds;
use crate::config::connection::{self, Connection};
use crate::failure::{Code, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output::{Format, Ink, Output};

/// Flags of `trigger`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  incent trigger purchase --user u1 --set amount=42.10 --set country=FR
  incent trigger purchase --user u1 --set amount=42.10 --explain
  incent trigger order.paid --user u1 --count 100 --rate 50/s
  incent trigger purchase --user u1 --event-id o-4711 -o json")]
pub struct Args {
    /// What happened
    #[arg(value_name = "ACTION")]
    pub action: String,
    /// The tenant's own id of the user
    #[arg(long, value_name = "USER")]
    pub user: String,
    /// A field of the payload; repeat it, dots make objects
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// The event's id [default: a new one]
    #[arg(long, value_name = "ID", conflicts_with = "count")]
    pub event_id: Option<String>,
    /// When it happened [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// How many of them, one after the other
    #[arg(long, default_value = "1", value_name = "N")]
    pub count: NonZeroU64,
    /// How many a second, as 50/s or 50 [default: as fast as they are decided]
    #[arg(long, value_parser = rate, value_name = "RATE")]
    pub rate: Option<f64>,
    /// Show each campaign considered and what its conditions saw
    #[arg(long)]
    pub explain: bool,
    /// How long to wait for the decision, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=30), value_name = "SECONDS")]
    pub wait: u8,
    /// Where the platform is.
    #[command(flatten)]
    pub connection: connection::Flags,
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches("/s").parse::<f64>().ok();
    number
        .filter(|n| n.is_finite() && *n > 0.0 && *n <= 1e6)
        .ok_or_else(|| "write it as 50/s".to_owned())
}

/// Sends.
pub fn run(args: Args, out: &Output) -> Outcome {
    let client = Client::new(Connection::resolve(args.connection.clone())?);
    let interrupt = Interrupt::listen()?;
    let payload = payload::from_settings(&args.set)?;
    let pause = args.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
    let mut next = Instant::now();
    for _ in 0..args.count.get() {
        interrupt.check()?;
        if let Some(pause) = pause {
            if !interrupt.sleep(next.saturating_duration_since(Instant::now())) {
                return Err(Failure::interrupted());
            }
            next += pause;
        }
        let receipt = send(&client, event(&args, &payload)?, args.wait)?;
        show(&client, &args, &receipt, out)?;
    }
    Ok(())
}

/// The event as JSON. Without `--at` it has no time: the platform fills one in, and sending the same
/// event id again is then a duplicate and no contradiction.
fn event(args: &Args, payload: &str) -> Outcome<String> {
    let id = args.event_id.clone().unwrap_or_else(|| format!("trigger-{}", SystemIds.uuid()));
    EventId::new(&id).map_err(|why| Failure::usage(format!("the event id {why}")))?;
    UserRef::new(&args.user).map_err(|why| Failure::usage(format!("the user {why}")))?;
    ActionCode::new(&args.action).map_err(|why| Failure::usage(format!("the action {why}")))?;
    let head = json!({"eventId": id, "userId": args.user, "action": args.action}).to_string();
    let time = args.at.map(|at| format!(r#","eventTs":"{at}""#)).unwrap_or_default();
    Ok(format!(r#"{}{time},"payload":{payload}}}"#, head.trim_end_matches('}')))
}

fn send(client: &Client, event: String, wait: u8) -> Outcome<Value> {
    let prefer = format!("wait={wait}");
    let headers = [("prefer", prefer.as_str())];
    let reply = client.call_with(As::Tenant, ("POST", "/api/v1/events"), &headers, Some(event))?;
    reply.expect_success().map(|reply| reply.body)
}

fn show(client: &Client, args: &Args, receipt: &Value, out: &Output) -> Outcome {
    if out.format() != Format::Table {
        return out.document(receipt, |_| String::new());
    }
    let text = |name: &str| receipt.get(name).and_then(Value::as_str).unwrap_or("?");
    let Some(decision) = receipt.get("decision").filter(|d| !d.is_null()) else {
        let id = text("eventId");
        let head = format!("{id} {}", text("status"));
        let ask =
            format!("not decided within {} s; ask again: incent explain --event {id}", args.wait);
        return out.data(&format!("{head}  {}", out.ink(Ink::Yellow, &ask)));
    };
    if args.explain {
        let evidence = evidence(client, decision)?;
        return out.data(&verdict::text(decision, evidence.as_ref(), out));
    }
    out.data(&format!(
        "{} {}  {}",
        text("eventId"),
        text("status"),
        verdict::summary(decision, out)
    ))
}

/// What the expressions of the campaigns see in a decided event; `None` when no campaign was
/// considered, or the key may not ask.
pub fn evidence(client: &Client, decision: &Value) -> Outcome<Option<Value>> {
    let considered = decision.get("decisions").and_then(Value::as_array);
    let ids = considered.into_iter().flatten().filter_map(|c| c.get("campaignId")?.as_str());
    let Some(campaign) = ids.into_iter().next() else { return Ok(None) };
    let event = ["userId", "action", "eventTs", "payload"]
        .into_iter()
        .map(|name| (name.to_owned(), decision.get(name).cloned().unwrap_or_default()))
        .collect::<serde_json::Map<_, _>>();
    let path = format!("/api/v1/campaigns/{campaign}:simulate");
    match client.post(As::Tenant, &path, &json!({"event": event})) {
        Ok(mut simulation) => Ok(Some(simulation["evidence"].take())),
        Err(failure) if matches!(failure.code, Code::Auth | Code::NotFound) => Ok(None),
        Err(failure) => Err(failure),
    }
}
