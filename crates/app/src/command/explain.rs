//! `incent explain`: why a user did or did not get an incentive.

use serde_json::{Value, json};

use super::{payload, trigger, verdict};
use crate::client::{As, Client, encoded};
use crate::config::connection::{self, Connection};
use crate::failure::{Code, Failure, Outcome};
use crate::output::{Format, Output};

/// Flags of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --event: the decision as it was made, and what the conditions see in the event. With --user and
--campaign: what the campaign would do if the user did its action now; nothing is written.

Examples:
  incent explain --event o-4711
  incent explain --user u1 --campaign \"Weekend cashback\" --set amount=42.10
  incent explain --event o-4711 -o json")]
pub struct Args {
    /// The tenant's own id of an event
    #[arg(long, value_name = "ID", required_unless_present = "user", conflicts_with_all = ["user", "campaign", "set", "action"])]
    pub event: Option<String>,
    /// The tenant's own id of a user
    #[arg(long, value_name = "USER", requires = "campaign")]
    pub user: Option<String>,
    /// Name or id of a campaign
    #[arg(long, value_name = "CAMPAIGN", requires = "user")]
    pub campaign: Option<String>,
    /// What the user would do [default: the first action of the campaign]
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// A field of the payload; repeat it, dots make objects
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Where the platform is.
    #[command(flatten)]
    pub connection: connection::Flags,
}

/// Explains.
pub fn run(args: Args, out: &Output) -> Outcome {
    let client = Client::new(Connection::resolve(args.connection.clone())?);
    match (&args.event, &args.user, &args.campaign) {
        (Some(event), ..) => decision(&client, event, out),
        (_, Some(user), Some(campaign)) => trial(&client, &args, (user, campaign), out),
        _ => Err(Failure::usage("what is to be explained?")
            .mend("give --event ID, or --user USER with --campaign CAMPAIGN")),
    }
}

fn decision(client: &Client, event: &str, out: &Output) -> Outcome {
    let path = format!("/api/v1/decisions?eventId={}", encoded(event));
    let mut decision = client.get(As::Tenant, &path).map_err(|failure| match failure.code {
        Code::NotFound => Failure::new(Code::NotFound, format!("there is no event {event:?}"))
            .mend("give the id under which the event was sent; import makes ids from lines"),
        _ => failure,
    })?;
    let evidence = trigger::evidence(client, &decision)?;
    if out.format() != Format::Table {
        decision["evidence"] = evidence.unwrap_or_default();
        return out.document(&decision, |_| String::new());
    }
    if evidence.is_some() {
        out.say("numbers are those of the decision; conditions are shown on the campaigns as they are now");
    }
    out.data(&verdict::text(&decision, evidence.as_ref(), out))
}

fn trial(client: &Client, args: &Args, (user, campaign): (&str, &str), out: &Output) -> Outcome {
    let campaign = find(client, campaign)?;
    let id = campaign.get("campaignId").and_then(Value::as_str).unwrap_or_default();
    let action = match &args.action {
        Some(action) => action.clone(),
        None => first_action(&campaign)?,
    };
    let payload = payload::from_settings(&args.set)?;
    let body = format!(
        r#"{{"event":{{"userId":{},"action":{},"payload":{payload}}}}}"#,
        json!(user),
        json!(action)
    );
    let path = format!("/api/v1/campaigns/{id}:simulate");
    let reply = client.call(As::Tenant, "POST", &path, Some(body))?;
    let mut simulation = reply.expect_success()?.body;
    if out.format() != Format::Table {
        return out.document(&simulation, |_| String::new());
    }
    // Other campaigns are decided along, as they compete; asked was about this one.
    for list in ["decisions", "incentives", "evidence"] {
        if let Some(Value::Array(items)) = simulation.get_mut(list) {
            items.retain(|item| item.get("campaignId").and_then(Value::as_str) == Some(id));
        }
    }
    out.say(&format!("if {user} did {action} now (nothing is written):"));
    out.data(&verdict::text(&simulation, simulation.get("evidence"), out))
}

/// A campaign by id or name.
fn find(client: &Client, wanted: &str) -> Outcome<Value> {
    if wanted.parse::<uuid::Uuid>().is_ok() {
        return client.get(As::Tenant, &format!("/api/v1/campaigns/{wanted}"));
    }
    let tenant = encoded(client.connection().tenant()?);
    let mut names = Vec::new();
    let mut found = None;
    client.each_page(
        As::Tenant,
        &format!("/api/v1/tenants/{tenant}/campaigns?pageSize=1000"),
        |page| {
            for campaign in page {
                let name =
                    campaign.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                if found.is_none() && name.eq_ignore_ascii_case(wanted) {
                    found = Some(campaign);
                }
                names.push(name);
            }
            Ok(())
        },
    )?;
    found.ok_or_else(|| {
        let near = domain::shape::suggest(wanted, names.iter().map(String::as_str));
        let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        Failure::new(Code::NotFound, format!("there is no campaign {wanted:?}{near}"))
    })
}

fn first_action(campaign: &Value) -> Outcome<String> {
    let actions = campaign.pointer("/rule/actions").and_then(Value::as_array);
    let names = actions.into_iter().flatten().filter_map(Value::as_str);
    names.into_iter().find(|name| *name != "*").map(str::to_owned).ok_or_else(|| {
        Failure::usage("the campaign listens to a pattern of actions")
            .mend("say which one with --action")
    })
}
