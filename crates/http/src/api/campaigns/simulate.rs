//! `POST /api/v1/campaigns/{campaignId}:simulate`: what one event would do.

use std::sync::Arc;

use domain::config::{CampaignSource, TenantConfig};
use domain::decide::Status;
use domain::event::{ActionEvent, Record, RecordKind};
use domain::id::{ActionCode, CampaignId, EventId, TenantId, UserRef};
use domain::payload::Payload;
use domain::shape::{FaultCode, Whole};
use domain::time::Timestamp;
use engine::simulate::{DryRun, SimulateError, simulate};
use serde_json::Value;
use store::StoreError;
use store::control::campaigns::{self, CampaignRow};
use store::control::config;

use super::{OneCampaign, RuleDocument};
use crate::api::decisions::Decision;
use crate::api::incentives::Incentive;
use crate::call::{Call, Document, Okay, Path, Reply};
use crate::problem::{Code, Problem};
use crate::route::Doc;

domain::shape! {
    /// An event that does not happen.
    pub struct TrialEvent {
        /// The tenant's own id of it; left out, one that is not used.
        "eventId" event_id: Option<EventId>,
        /// The tenant's own id of the user.
        "userId" user_id: UserRef,
        /// What happens.
        "action" action: ActionCode,
        /// When; left out, now.
        "eventTs" event_ts: Option<Timestamp>,
        /// Its payload.
        "payload" payload: Payload<'static> = Payload::default(),
    }
}

domain::shape! {
    /// What to try out.
    pub struct SimulateCampaign {
        /// The event.
        "event" event: TrialEvent,
        /// Which version of the campaign; left out, the latest.
        "version" version: Option<Whole<1, 4_294_967_295>>,
        /// A rule to try instead of a stored one.
        "rule" rule: Option<RuleDocument>,
    } check one_of_both;
}

fn one_of_both(wanted: &SimulateCampaign, at: &mut domain::shape::Reader<'_>) {
    if wanted.version.is_some() && wanted.rule.is_some() {
        at.field("rule", |at| at.refuse::<()>(FaultCode::Conflict, "cannot stand beside version"));
    }
}

domain::view! {
    /// What the event would do.
    pub struct Simulation {
        /// What would become of it as a whole.
        "status" status: Status,
        /// How many incentives it would earn.
        "grants" grants: u32,
        /// Each campaign considered, in the order in which they compete.
        "decisions" decisions: Vec<Decision>,
        /// What it would earn.
        "incentives" incentives: Vec<Incentive>,
        /// What the expressions of the campaigns see in it.
        "evidence" evidence: Value,
        /// What is in progress for the user before.
        "stateBefore" state_before: Value,
        /// And after.
        "stateAfter" state_after: Value,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "simulateCampaign",
    summary: "Try a version of a campaign on one event",
    about: "Decided as live events are, on the user and the limits as they stand, with the campaign \
            in force in the version asked for, among the others. Nothing is written.",
    problems: &[Code::InvalidDocument],
};

/// Tries it.
pub async fn handle(
    call: Call,
    Path(one): Path<OneCampaign>,
    Document(wanted): Document<SimulateCampaign>,
) -> Result<Okay<Simulation>, Problem> {
    let id = one.campaign_id;
    let tenant = call.tenant_of_campaign(id).await?;
    let campaign = call.read(move |sql| campaigns::get(sql, tenant, id)).await?;
    let campaign = campaign.ok_or_else(|| Problem::not_found("campaign"))?;
    let (source, name) = source(&call, tenant, campaign, &wanted).await?;
    let config = call.read(move |sql| config::tenant_config(sql, tenant)).await?;
    let mut config = config.ok_or_else(|| Problem::not_found("tenant"))?;
    put_in_force(&mut config, source);
    let record = record(&call, tenant, wanted.event)?;
    let run = simulate(call.app.hot.as_ref(), &config, &record).await?;
    let names = names(&call, tenant, (id, name), &run).await?;
    Ok(Reply::new(shown(&run, names)?))
}

/// The campaign in the version or with the rule that is asked for.
async fn source(
    call: &Call,
    tenant: TenantId,
    row: CampaignRow,
    wanted: &SimulateCampaign,
) -> Result<(CampaignSource, String), Problem> {
    let mut source = CampaignSource {
        id: row.campaign_id,
        number: row.number,
        kind: row.kind,
        version: row.version,
        progress_version: row.progress_version,
        priority: row.priority,
        created_at: row.created_at,
        start_at: row.start_at,
        end_at: row.end_at,
        cohort_id: row.cohort_id,
        rule_json: row.rule_json,
    };
    if let Some(rule) = &wanted.rule {
        source.rule_json = rule.checked(row.kind)?.to_stored().to_string();
    }
    if let Some(version) = wanted.version.map(Whole::as_u32) {
        let id = source.id;
        let revision = call.read(move |sql| campaigns::revision(sql, tenant, id, version)).await?;
        let revision = revision.ok_or_else(|| {
            let detail = format!("is not a version of the campaign; its latest is {}", row.version);
            Problem::invalid_field("/version", FaultCode::NotFound, detail)
        })?;
        source.version = version;
        source.priority = revision.priority;
        source.start_at = revision.start_at;
        source.end_at = revision.end_at;
        source.cohort_id = revision.cohort_id;
        source.rule_json = revision.rule_json;
    }
    Ok((source, row.name))
}

fn put_in_force(config: &mut TenantConfig, source: CampaignSource) {
    config.dormant.retain(|id| *id != source.id);
    config.campaigns.retain(|campaign| campaign.id != source.id);
    config.campaigns.push(source);
    config.campaigns.sort_by_key(|campaign| campaign.number);
}

fn record(call: &Call, tenant: TenantId, event: TrialEvent) -> Result<Record, Problem> {
    let now = call.app.now();
    let event_id = match event.event_id {
        Some(id) => id,
        None => {
            EventId::new(&format!("simulate-{}", call.app.ids.uuid())).map_err(Problem::internal)?
        }
    };
    let payload: Arc<str> = event.payload.to_string().into();
    let (user_id, action) = (event.user_id, event.action);
    let event_ts = event.event_ts.unwrap_or(now);
    let event = ActionEvent { tenant_id: tenant, event_id, user_id, action, event_ts, payload };
    Ok(Record { offset: 0, append_time: now, kind: RecordKind::Live, event })
}

/// The names of the campaigns considered.
async fn names(
    call: &Call,
    tenant: TenantId,
    own: (CampaignId, String),
    run: &DryRun,
) -> Result<Vec<Option<String>>, Problem> {
    let ids: Vec<CampaignId> = run.outcome.considered.iter().map(|c| c.campaign).collect();
    call.read(move |sql| {
        let name = |id: CampaignId| -> Result<Option<String>, StoreError> {
            match id == own.0 {
                true => Ok(Some(own.1.clone())),
                false => Ok(campaigns::get(sql, tenant, id)?.map(|campaign| campaign.name)),
            }
        };
        ids.into_iter().map(name).collect()
    })
    .await
}

fn shown(run: &DryRun, names: Vec<Option<String>>) -> Result<Simulation, Problem> {
    let json = |value: Result<Value, serde_json::Error>| value.map_err(Problem::internal);
    let considered = run.outcome.considered.iter().zip(names);
    Ok(Simulation {
        status: run.outcome.status,
        grants: run.outcome.grants,
        decisions: considered.map(|(one, name)| Decision::of(one, name)).collect(),
        incentives: run.incentives.iter().map(|one| Incentive::from(one.as_ref())).collect(),
        evidence: json(serde_json::to_value(&run.evidence))?,
        state_before: json(serde_json::to_value(&run.before))?,
        state_after: json(serde_json::to_value(&run.after))?,
    })
}

impl From<SimulateError> for Problem {
    fn from(error: SimulateError) -> Self {
        match error {
            SimulateError::Payload(why) => {
                Self::invalid_field("/event/payload", FaultCode::Syntax, why.to_string())
            }
            SimulateError::Rule(fault) => Self::new(
                Code::InvalidState,
                format!(
                    "The rule of campaign {} cannot be put in force: {}.",
                    fault.campaign, fault.why
                ),
            ),
            SimulateError::Store(error) => error.into(),
        }
    }
}
