//! Campaigns.

pub mod activate;
pub mod create;
pub mod decision;
pub mod end;
pub mod list;
pub mod pause;
pub mod read;
pub mod revisions;
mod running;
pub mod search;
pub mod simulate;
pub mod update;

use domain::compile::check_rule;
use domain::id::{CampaignId, CohortId, TenantId};
use domain::rule::{CampaignType, QuestRule, Rule, SimpleRule};
use domain::shape::{Described, Fault, FaultCode, Faults, Reader, Schemas, Shape, Text, schema};
use domain::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::StoreError;
use store::control::campaigns::{self, CampaignContent, CampaignRow, CampaignStatus};
use store::control::{Change, Sql, cohorts};

use crate::call::{Call, Okay, Reply};
use crate::problem::Problem;

/// A name shown to people.
pub type Name = Text<1, 200>;
/// The operator's own name for something, unique in the tenant.
pub type Key = Text<1, 100>;

domain::shape! {
    /// Which campaign.
    pub struct OneCampaign {
        /// Its id.
        "campaignId" campaign_id: CampaignId,
    }
}

/// A rule document as it came or as it is stored. Its schema is that of the rules of both types.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct RuleDocument(pub Value);

impl Described for RuleDocument {
    fn schema(defs: &mut Schemas) -> Value {
        defs.define::<Self>("Rule", |defs| {
            schema::one_of([SimpleRule::schema(defs), QuestRule::schema(defs)])
        })
    }
}
impl Shape for RuleDocument {
    /// Whether it is a rule is found out by [`RuleDocument::checked`], which knows the type.
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        match value {
            Value::Object(_) => Some(Self(value.clone())),
            _ => at.wrong_type("an object", value),
        }
    }
}

impl RuleDocument {
    /// A stored rule.
    fn stored(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or(Value::Null))
    }
    /// The rule, if it is one that can be put in force. Errors: every fault, under `/rule`.
    fn checked(&self, kind: CampaignType) -> Result<Rule, Faults> {
        check_rule(&self.0, kind).map_err(|faults| faults.under("/rule"))
    }
}

domain::view! {
    /// A campaign.
    pub struct Campaign {
        /// Its id.
        "campaignId" campaign_id: CampaignId,
        /// Whose.
        "tenantId" tenant_id: TenantId,
        /// The operator's own name for it in files.
        "key" key: Option<String>,
        /// Its name.
        "name" name: String,
        /// SIMPLE or QUEST.
        "type" kind: CampaignType,
        /// Where it is in its life.
        "status" status: CampaignStatus,
        /// From when events count, by event time.
        "startAt" start_at: Option<Timestamp>,
        /// Until when, exclusive.
        "endAt" end_at: Option<Timestamp>,
        /// Restricts it to a cohort.
        "cohortId" cohort_id: Option<CohortId>,
        /// Competes first when higher.
        "priority" priority: i32,
        /// The rule.
        "rule" rule: RuleDocument,
        /// Rises with each change of its content, from 1.
        "version" version: u32,
        /// The version that last made users begin their quest anew; 0 = none ever did.
        "progressVersion" progress_version: u32,
        /// When it was made.
        "createdAt" created_at: Timestamp,
        /// When its content or status was last changed.
        "updatedAt" updated_at: Timestamp,
    }
}

impl From<CampaignRow> for Campaign {
    fn from(row: CampaignRow) -> Self {
        Self {
            campaign_id: row.campaign_id,
            tenant_id: row.tenant_id,
            key: row.key,
            name: row.name,
            kind: row.kind,
            status: row.status,
            start_at: row.start_at,
            end_at: row.end_at,
            cohort_id: row.cohort_id,
            priority: row.priority,
            rule: RuleDocument::stored(&row.rule_json),
            version: row.version,
            progress_version: row.progress_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// What an operator writes of a campaign: the parts that creating and changing have in common.
struct Wanted {
    name: Name,
    start_at: Option<Timestamp>,
    end_at: Option<Timestamp>,
    cohort_id: Option<CohortId>,
    priority: i32,
    rule: RuleDocument,
}

impl Wanted {
    /// The content, if all of it can be put in force. Errors: every fault.
    async fn checked(
        self,
        call: &Call,
        tenant: TenantId,
        kind: CampaignType,
    ) -> Result<(CampaignContent, Rule), Problem> {
        let mut faults = Faults::default();
        if let (Some(start), Some(end)) = (self.start_at, self.end_at)
            && end <= start
        {
            faults.push(Fault::new("/endAt", FaultCode::Conflict, "must be later than startAt"));
        }
        let rule = match self.rule.checked(kind) {
            Ok(rule) => Some(rule),
            Err(more) => {
                faults.merge(more);
                None
            }
        };
        let named = cohorts_named(self.cohort_id, rule.as_ref());
        for (pointer, id) in unknown_cohorts(call, tenant, named).await? {
            let detail = format!("there is no cohort {id} in this tenant");
            faults.push(Fault::new(&pointer, FaultCode::NotFound, detail));
        }
        let (Some(rule), true) = (rule, faults.is_empty()) else { return Err(faults.into()) };
        let content = CampaignContent {
            name: self.name.into_string(),
            start_at: self.start_at,
            end_at: self.end_at,
            cohort_id: self.cohort_id,
            priority: self.priority,
            rule_json: rule.to_stored().to_string(),
            actions: rule.actions(),
        };
        Ok((content, rule))
    }
}

/// The cohorts that a campaign names, each with its place.
fn cohorts_named(own: Option<CohortId>, rule: Option<&Rule>) -> Vec<(String, CohortId)> {
    let mut named: Vec<_> = own.map(|id| ("/cohortId".to_owned(), id)).into_iter().collect();
    if let Some(cohorts) = rule.and_then(Rule::cohorts) {
        for (list, ids) in [("include", &cohorts.include), ("exclude", &cohorts.exclude)] {
            let place = |(at, id): (usize, &CohortId)| (format!("/rule/cohorts/{list}/{at}"), *id);
            named.extend(ids.iter().enumerate().map(place));
        }
    }
    named
}

async fn unknown_cohorts(
    call: &Call,
    tenant: TenantId,
    mut named: Vec<(String, CohortId)>,
) -> Result<Vec<(String, CohortId)>, Problem> {
    if named.is_empty() {
        return Ok(named);
    }
    call.read(move |sql| {
        let mut unknown = Vec::new();
        for (place, id) in named.drain(..) {
            if cohorts::get(sql, tenant, id)?.is_none() {
                unknown.push((place, id));
            }
        }
        Ok(unknown)
    })
    .await
}

impl Call {
    /// The tenant whose campaign it is. Errors: 404 when the caller cannot see it.
    async fn tenant_of_campaign(&self, id: CampaignId) -> Result<TenantId, Problem> {
        match self.caller.tenant() {
            Some(own) => Ok(own),
            None => {
                let owner = self.read(move |sql| campaigns::tenant_of(sql, id)).await?;
                owner.ok_or_else(|| Problem::not_found("campaign"))
            }
        }
    }
}

/// How the store switches a campaign's status.
type Switch =
    fn(&mut dyn Sql, TenantId, CampaignId, Option<u32>, &Change) -> Result<CampaignRow, StoreError>;

/// Switches a campaign's status.
async fn switch(call: Call, id: CampaignId, to: Switch) -> Result<Okay<Campaign>, Problem> {
    let tenant = call.tenant_of_campaign(id).await?;
    let expected = call.expected_version()?;
    call.write(move |sql, change| {
        let row = to(sql, tenant, id, expected, change)?;
        let version = row.version;
        Ok(Reply::new(row.into()).version(version))
    })
    .await
}
