//! From rule documents to what decides: expressions type-checked and compiled, campaigns in the
//! order in which they compete, an index from an action to the campaigns that listen to it.

mod campaign;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::config::{CampaignSource, TenantConfig};
use crate::expr::Fields;
use crate::id::{ActionCode, CampaignId, CohortId, TenantId};
use crate::limit::{LimitSpec, TENANT_LIMIT_KEY};
use crate::rule::{ActionPattern, CampaignType, Rule};
use crate::shape::Faults;
use crate::time::Zone;

pub(crate) use campaign::{
    AmountExpr, BudgetSpec, Campaign, Goal, Kind, Offer, Quest, Repetition, RewardSpec, Simple,
    Step,
};

/// A campaign whose stored rule cannot be compiled. It decides nothing until it is saved again.
#[derive(Clone, Debug)]
pub struct CompileFault {
    /// Which campaign.
    pub campaign: CampaignId,
    /// All that is wrong with it.
    pub why: String,
}

/// Checks a rule document as it is checked on save: its form, then its expressions.
/// Errors: every fault, with a JSON Pointer into the document.
pub fn check_rule(document: &serde_json::Value, kind: CampaignType) -> Result<Rule, Faults> {
    let rule = Rule::read(document, kind)?;
    campaign::Compiler::new(&mut Fields::default()).rule(&rule)?;
    Ok(rule)
}

/// All of a tenant that decides, compiled, at one `config_version`.
#[derive(Debug)]
pub struct TenantRules {
    tenant: TenantId,
    config_version: i64,
    zone: Zone,
    pub(crate) lateness_us: i64,
    pub(crate) tenant_limit: LimitSpec,
    pub(crate) user_limit: LimitSpec,
    pub(crate) coupon_key: [u8; 32],
    /// Key of the tenant limit's meter.
    pub(crate) limit_key: (TenantId, String),
    pub(crate) fields: Fields,
    /// In the order in which they compete.
    pub(crate) campaigns: Vec<Campaign>,
    /// Campaigns that name an action, by its code; places in `campaigns`, ascending.
    by_action: HashMap<String, Vec<u32>>,
    /// Campaigns that listen to a pattern.
    by_pattern: Vec<(ActionPattern, u32)>,
    /// Quests that pay later what a limit refused.
    pub(crate) retrying: Vec<u32>,
    dormant: Vec<CampaignId>,
    cohorts: Vec<(CohortId, i64)>,
}

impl TenantRules {
    /// Compiles a configuration. Campaigns that do not compile are left out and told.
    pub fn compile(config: &TenantConfig) -> (Self, Vec<CompileFault>) {
        let mut sources: Vec<&CampaignSource> = config.campaigns.iter().collect();
        sources.sort_by_key(|c| (std::cmp::Reverse(c.priority), c.created_at, c.id));
        let mut fields = Fields::default();
        let mut faults = Vec::new();
        let mut campaigns = Vec::with_capacity(sources.len());
        for source in sources {
            match compile_one(config.tenant, source, &mut fields) {
                Ok(campaign) => campaigns.push(campaign),
                Err(why) => faults.push(CompileFault { campaign: source.id, why }),
            }
        }
        let cohorts = config.cohorts.iter().map(|c| (c.id, c.membership_version)).collect();
        let mut rules = Self {
            tenant: config.tenant,
            config_version: config.config_version,
            zone: config.zone.clone(),
            lateness_us: config.lateness_us,
            tenant_limit: config.tenant_limit,
            user_limit: config.user_limit,
            coupon_key: config.coupon_key,
            limit_key: (config.tenant, TENANT_LIMIT_KEY.to_owned()),
            fields,
            campaigns,
            by_action: HashMap::new(),
            by_pattern: Vec::new(),
            retrying: Vec::new(),
            dormant: config.dormant.clone(),
            cohorts,
        };
        rules.index();
        (rules, faults)
    }

    fn index(&mut self) {
        for (i, campaign) in (0_u32..).zip(&self.campaigns) {
            for pattern in campaign.patterns() {
                if pattern.is_pattern() {
                    self.by_pattern.push((pattern.clone(), i));
                    continue;
                }
                let places = self.by_action.entry(pattern.as_str().to_owned()).or_default();
                if places.last() != Some(&i) {
                    places.push(i);
                }
            }
            if campaign.retries() {
                self.retrying.push(i);
            }
        }
    }

    /// Whose rules they are.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }
    /// The version of the configuration they were compiled from.
    pub fn config_version(&self) -> i64 {
        self.config_version
    }
    /// The tenant's zone.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }
    /// True when some expression looks at the user's attributes.
    pub fn uses_attributes(&self) -> bool {
        self.fields.uses_user()
    }
    /// The membership version in force of a cohort.
    pub(crate) fn membership(&self, cohort: CohortId) -> Option<i64> {
        self.cohorts.iter().find(|(id, _)| *id == cohort).map(|(_, version)| *version)
    }
    /// True when a user's progress in this campaign is kept.
    pub(crate) fn keeps(&self, campaign: CampaignId) -> bool {
        self.dormant.contains(&campaign) || self.campaigns.iter().any(|c| c.id == campaign)
    }

    /// Places of the campaigns that listen to an action, ascending.
    pub(crate) fn listening(&self, action: &ActionCode, places: &mut Vec<u32>) {
        places.clear();
        if let Some(named) = self.by_action.get(action.as_str()) {
            places.extend_from_slice(named);
        }
        if !self.by_pattern.is_empty() {
            places
                .extend(self.by_pattern.iter().filter(|(p, _)| p.matches(action)).map(|(_, i)| *i));
            places.sort_unstable();
            places.dedup();
        }
    }
}

fn compile_one(
    tenant: TenantId,
    source: &CampaignSource,
    fields: &mut Fields,
) -> Result<Campaign, String> {
    let document = crate::shape::parse(source.rule_json.as_bytes()).map_err(|e| e.to_string())?;
    let rule = Rule::read(&document, source.kind).map_err(|e| e.to_string())?;
    campaign::Compiler::new(fields).campaign(tenant, source, &rule).map_err(|e| e.to_string())
}
