//! All of a tenant that decides, as the control plane hands it out.

use crate::id::{CampaignId, CohortId, TenantId};
use crate::limit::LimitSpec;
use crate::rule::CampaignType;
use crate::time::{Period, Timestamp, Zone};

/// How a tenant takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantMode {
    /// Events as they happen.
    Live,
    /// A log of the past is being decided; live events are refused.
    Replay,
}

/// A campaign as the calculator needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct CampaignSource {
    /// Its id.
    pub id: CampaignId,
    /// The tenant's dense number of it, used in stored outcomes.
    pub number: u32,
    /// SIMPLE or QUEST.
    pub kind: CampaignType,
    /// Its version.
    pub version: u32,
    /// The version that last made users begin anew (`progress: RESET`); 0 = none ever did.
    pub progress_version: u32,
    /// Competes first when higher.
    pub priority: i32,
    /// Competes first when earlier.
    pub created_at: Timestamp,
    /// From when events count, by event time.
    pub start_at: Option<Timestamp>,
    /// Until when, exclusive.
    pub end_at: Option<Timestamp>,
    /// Restricts it to a cohort.
    pub cohort_id: Option<CohortId>,
    /// The rule document.
    pub rule_json: String,
}

/// A cohort as the calculator needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CohortSource {
    /// Its id.
    pub id: CohortId,
    /// The membership version in force.
    pub membership_version: i64,
    /// How often it is recomputed as the log passes: DAY, WEEK or MONTH.
    pub refresh: Option<Period>,
    /// Membership is as of this moment.
    pub computed_at: Option<Timestamp>,
}

/// All of a tenant that decides, at one `config_version`.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantConfig {
    /// Which tenant.
    pub tenant: TenantId,
    /// Rises with every change to campaigns, limits, cohorts or memberships.
    pub config_version: i64,
    /// The tenant's zone.
    pub zone: Zone,
    /// How late an event may come, microseconds.
    pub lateness_us: i64,
    /// How it takes events.
    pub mode: TenantMode,
    /// GLOBAL limit.
    pub tenant_limit: LimitSpec,
    /// USER limit.
    pub user_limit: LimitSpec,
    /// ACTIVE campaigns.
    pub campaigns: Vec<CampaignSource>,
    /// Campaigns that decide nothing now but whose progress users keep (PAUSED ones). Progress of
    /// campaigns that are in neither list is forgotten.
    pub dormant: Vec<CampaignId>,
    /// Secret from which generated coupon codes are derived, so that nobody else can guess them.
    pub coupon_key: [u8; 32],
    /// Cohorts.
    pub cohorts: Vec<CohortSource>,
}
