//! What became of events, with the reason for each campaign considered.

pub mod explain;

use std::collections::HashMap;

use domain::decide::{Considered, Reason, StoredOutcome};
use domain::id::{CampaignId, TenantId};
use rust_decimal::Decimal;
use store::StoreError;
use store::control::Sql;
use store::control::campaigns;

domain::view! {
    /// The numbers that a decision compared.
    pub struct Numbers {
        /// The use of the limit or budget, or how far the user is in the quest.
        "value" value: Decimal,
        /// The cap, or the target.
        "bound" bound: Decimal,
    }
}

domain::view! {
    /// One campaign considered for an event.
    pub struct Decision {
        /// Which campaign; `null` when it is no longer known.
        "campaignId" campaign_id: Option<CampaignId>,
        /// Its name now.
        "campaignName" campaign_name: Option<String>,
        /// Under which of its versions.
        "campaignVersion" campaign_version: u32,
        /// What came of it.
        "reason" reason: Reason,
        /// The numbers compared.
        "numbers" numbers: Option<Numbers>,
    }
}

impl Decision {
    /// Of an outcome that was just worked out.
    pub fn of(considered: &Considered, name: Option<String>) -> Self {
        Self {
            campaign_id: Some(considered.campaign),
            campaign_name: name,
            campaign_version: considered.version,
            reason: considered.reason,
            numbers: considered.numbers.map(numbers),
        }
    }
}

fn numbers((value, bound): (Decimal, Decimal)) -> Numbers {
    Numbers { value: value.normalize(), bound: bound.normalize() }
}

/// The lines of a stored outcome, which names campaigns by their numbers.
pub fn lines(
    sql: &mut dyn Sql,
    tenant: TenantId,
    outcome: &StoredOutcome,
) -> Result<Vec<Decision>, StoreError> {
    let mut known: HashMap<u32, Option<(CampaignId, String)>> = HashMap::new();
    let mut decisions = Vec::with_capacity(outcome.lines.len());
    for line in &outcome.lines {
        let campaign = match known.get(&line.number) {
            Some(campaign) => campaign.clone(),
            None => {
                let campaign = campaigns::by_number(sql, tenant, line.number)?
                    .map(|campaign| (campaign.campaign_id, campaign.name));
                known.insert(line.number, campaign.clone());
                campaign
            }
        };
        let (campaign_id, campaign_name) = campaign.unzip();
        decisions.push(Decision {
            campaign_id,
            campaign_name,
            campaign_version: line.version,
            reason: line.reason,
            numbers: line.numbers.map(numbers),
        });
    }
    Ok(decisions)
}
