//! What the expressions of a campaign saw in an event, for the explain API. It calls the evaluator
//! on the same facts as the decision; it decides nothing itself.

use serde::Serialize;

use super::{Parsed, StoredUser};
use crate::compile::TenantRules;
use crate::expr::{Scope, Seen};
use crate::id::CampaignId;
use crate::payload::Payload;

/// One expression of a campaign and what it saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Whose.
    pub campaign_id: CampaignId,
    /// Its place in the rule document, a JSON Pointer.
    pub pointer: String,
    /// What it saw and gave.
    #[serde(flatten)]
    pub seen: Seen,
}

/// What the expressions of every campaign that listens to the event see in it, for a user as stored.
pub fn evidence(rules: &TenantRules, event: &Parsed<'_>, user: &StoredUser) -> Vec<Evidence> {
    let attributes = user.attributes.as_deref().and_then(|t| Payload::parse(t).ok());
    let scope = Scope::new(&rules.fields, event.facts(rules, attributes.as_ref(), &user.cohorts));
    let mut places = Vec::new();
    rules.listening(&event.record.event.action, &mut places);
    let campaigns = places.iter().map(|place| &rules.campaigns[*place as usize]);
    let all = campaigns.flat_map(|campaign| {
        let see = |(pointer, expr): (String, &crate::expr::Expr)| Evidence {
            campaign_id: campaign.id,
            pointer,
            seen: expr.explain(&scope),
        };
        campaign.expressions().into_iter().map(see).collect::<Vec<_>>()
    });
    all.collect()
}
