//! What a calculator decides by, as one document: all of a tenant, at one `config_version`. One
//! declaration writes it in the CMS and reads it in the calculator, and nothing is lost between.

use domain::config::{CampaignSource, CohortSource, TenantConfig, TenantMode};
use domain::id::{CampaignId, CohortId, TenantId};
use domain::limit::LimitSpec;
use domain::rule::CampaignType;
use domain::shape::{Described, FaultCode, Many, Reader, Schemas, Shape, Text, Whole, schema};
use domain::time::{Length, Period, SECOND_US, Timestamp, Zone};
use serde::Serialize;
use serde_json::Value;
use store::control::config;

use crate::api::limits::{Cap, Caps};
use crate::api::tenants::Mode;
use crate::auth::key::{hex, unhex};
use crate::call::{Call, matches};
use crate::problem::{Code, Problem, sentence};

/// Most campaigns of a tenant in force.
pub const CAMPAIGNS_MAX: usize = 10_000;
/// Most campaigns of a tenant that are held, in which users keep their progress.
pub const DORMANT_MAX: usize = 100_000;
/// Most cohorts of a tenant.
pub const COHORTS_MAX: usize = 10_000;
/// Most that the rules in force take together, bytes.
pub const RULES_BYTES_MAX: usize = 32 << 20;
/// Largest document, bytes: rules grow by their escapes, and the rest is small.
pub const BYTES_MAX: u64 = 96 << 20;

/// A rule document as it is stored, character by character, so that its numbers stay exact.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct RuleText(pub String);

impl Described for RuleText {
    fn schema(_: &mut Schemas) -> Value {
        schema::text(2, RULES_BYTES_MAX)
    }
}
impl Shape for RuleText {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        let text = at.text(value)?;
        if text.len() > RULES_BYTES_MAX {
            return at.refuse(FaultCode::TooLong, format!("has more than {RULES_BYTES_MAX} bytes"));
        }
        Some(Self(text.to_owned()))
    }
}

domain::shape! {
    /// A campaign in force, as a calculator needs it.
    pub struct CampaignInForce {
        /// Its id.
        "campaignId" campaign_id: CampaignId,
        /// The tenant's dense number of it, by which stored outcomes name it.
        "number" number: u32,
        /// SIMPLE or QUEST.
        "type" kind: CampaignType,
        /// Its version.
        "version" version: u32,
        /// The version that last made users begin their quest anew; 0 = none ever did.
        "progressVersion" progress_version: u32,
        /// Competes first when higher.
        "priority" priority: i32,
        /// When it was made; competes first when earlier.
        "createdAt" created_at: Timestamp,
        /// From when events count, by event time.
        "startAt" start_at: Option<Timestamp>,
        /// Until when, exclusive.
        "endAt" end_at: Option<Timestamp>,
        /// Restricts it to a cohort.
        "cohortId" cohort_id: Option<CohortId>,
        /// The rule document, as a text.
        "rule" rule: RuleText,
    }
}

domain::shape! {
    /// A cohort, as a calculator needs it.
    pub struct CohortInForce {
        /// Its id.
        "cohortId" cohort_id: CohortId,
        /// The membership version in force.
        "membershipVersion" membership_version: i64,
        /// How often it is recomputed as the log passes.
        "refresh" refresh: Option<Period>,
        /// Its members are as of this moment.
        "computedAt" computed_at: Option<Timestamp>,
    }
}

domain::shape! {
    /// All of a tenant that decides, at one version of its configuration. A calculator takes it
    /// whole or not at all. It holds a secret: see `couponKey`.
    pub struct Configuration {
        /// Whose.
        "tenantId" tenant_id: TenantId,
        /// The version; rises with each change of campaigns, limits, cohorts or memberships.
        "configVersion" config_version: i64,
        /// The zone of its calendar day.
        "timeZone" time_zone: Zone,
        /// How late an event may come; `null` = not at all.
        "allowedLateness" allowed_lateness: Option<Length>,
        /// How it takes events.
        "mode" mode: Mode,
        /// The caps on the tenant's incentives.
        "tenantLimit" tenant_limit: Caps,
        /// The caps on each user's incentives.
        "userLimit" user_limit: Caps,
        /// The campaigns in force.
        "campaigns" campaigns: Many<CampaignInForce, 0, CAMPAIGNS_MAX>,
        /// Campaigns that decide nothing now but whose progress users keep.
        "dormant" dormant: Many<CampaignId, 0, DORMANT_MAX>,
        /// Secret from which coupon codes are derived: 32 bytes in hexadecimal.
        "couponKey" coupon_key: Text<64, 64>,
        /// The cohorts.
        "cohorts" cohorts: Many<CohortInForce, 0, COHORTS_MAX>,
    }
}

impl Configuration {
    /// The document of a configuration. Errors: it is larger than a calculator is given, or holds
    /// what the API lets nobody set; says what.
    pub fn of(config: TenantConfig) -> Result<Self, String> {
        let rules: usize = config.campaigns.iter().map(|campaign| campaign.rule_json.len()).sum();
        if rules > RULES_BYTES_MAX {
            return Err(format!(
                "the rules in force take {rules} bytes, a calculator is given at most \
                 {RULES_BYTES_MAX}; end campaigns that are over"
            ));
        }
        let campaigns = config.campaigns.into_iter().map(CampaignInForce::from).collect();
        let cohorts = config.cohorts.into_iter().map(CohortInForce::from).collect();
        Ok(Self {
            tenant_id: config.tenant,
            config_version: config.config_version,
            time_zone: config.zone,
            allowed_lateness: Length::from_seconds(config.lateness_us / SECOND_US),
            mode: match config.mode {
                TenantMode::Live => Mode::Live,
                TenantMode::Replay => Mode::Replay,
            },
            tenant_limit: caps(config.tenant_limit)?,
            user_limit: caps(config.user_limit)?,
            campaigns: bounded(campaigns, "campaigns in force")?,
            dormant: bounded(config.dormant, "campaigns that are paused")?,
            coupon_key: Text::new(&hex(&config.coupon_key)).ok_or("the coupon key is damaged")?,
            cohorts: bounded(cohorts, "cohorts")?,
        })
    }

    /// The configuration. Errors: the coupon key is none.
    pub fn into_config(self) -> Result<TenantConfig, String> {
        let coupon_key = unhex(&self.coupon_key).ok_or("couponKey is not hexadecimal")?;
        Ok(TenantConfig {
            tenant: self.tenant_id,
            config_version: self.config_version,
            zone: self.time_zone,
            lateness_us: self.allowed_lateness.map_or(0, Length::micros),
            mode: match self.mode {
                Mode::Live => TenantMode::Live,
                Mode::Replay => TenantMode::Replay,
            },
            tenant_limit: self.tenant_limit.into(),
            user_limit: self.user_limit.into(),
            campaigns: self.campaigns.into_iter().map(CampaignSource::from).collect(),
            dormant: self.dormant.into_vec(),
            coupon_key,
            cohorts: self.cohorts.into_iter().map(CohortSource::from).collect(),
        })
    }
}

fn bounded<T, const MAX: usize>(items: Vec<T>, what: &str) -> Result<Many<T, 0, MAX>, String> {
    let count = items.len();
    Many::new(items).ok_or_else(|| {
        format!("there are {count} {what}, a calculator is given at most {MAX}; end some")
    })
}

fn caps(spec: LimitSpec) -> Result<Caps, String> {
    let cap = |set: Option<u64>| {
        let cap = set.map(|n| i64::try_from(n).ok().and_then(Cap::new));
        cap.map(|cap| cap.ok_or("a limit is outside what the API takes")).transpose()
    };
    let days = spec.window_days.map(|days| Whole::new(days.into()));
    Ok(Caps {
        max_per_day: cap(spec.max_per_day)?,
        max_total: cap(spec.max_total)?,
        window_days: days.map(|days| days.ok_or("a window is not 1 to 366 days")).transpose()?,
    })
}

impl From<CampaignSource> for CampaignInForce {
    fn from(source: CampaignSource) -> Self {
        Self {
            campaign_id: source.id,
            number: source.number,
            kind: source.kind,
            version: source.version,
            progress_version: source.progress_version,
            priority: source.priority,
            created_at: source.created_at,
            start_at: source.start_at,
            end_at: source.end_at,
            cohort_id: source.cohort_id,
            rule: RuleText(source.rule_json),
        }
    }
}

impl From<CampaignInForce> for CampaignSource {
    fn from(campaign: CampaignInForce) -> Self {
        Self {
            id: campaign.campaign_id,
            number: campaign.number,
            kind: campaign.kind,
            version: campaign.version,
            progress_version: campaign.progress_version,
            priority: campaign.priority,
            created_at: campaign.created_at,
            start_at: campaign.start_at,
            end_at: campaign.end_at,
            cohort_id: campaign.cohort_id,
            rule_json: campaign.rule.0,
        }
    }
}

impl From<CohortSource> for CohortInForce {
    fn from(source: CohortSource) -> Self {
        let CohortSource { id: cohort_id, membership_version, refresh, computed_at } = source;
        Self { cohort_id, membership_version, refresh, computed_at }
    }
}

impl From<CohortInForce> for CohortSource {
    fn from(cohort: CohortInForce) -> Self {
        let CohortInForce { cohort_id: id, membership_version, refresh, computed_at } = cohort;
        Self { id, membership_version, refresh, computed_at }
    }
}

/// The entity tag of a version of a configuration.
pub fn tag(config_version: i64) -> String {
    format!("\"v{config_version}\"")
}

/// What a caller finds who may decide.
pub(super) enum Found {
    /// The version that the caller has is still in force.
    Unchanged(String),
    /// The configuration and its entity tag.
    Changed(Box<Configuration>, String),
}

/// Reads a tenant's configuration, unless the caller has it: then one small read tells. Errors:
/// 403 for whoever is neither the platform admin nor one of its processes, 404 without such a
/// tenant, 409 when the document would be too large.
pub(super) async fn read(call: &Call, tenant: TenantId) -> Result<Found, Problem> {
    if !call.caller.is_above_tenants() {
        let detail = "The view DECISION holds the secret of coupon codes: it is for the platform's \
                      own processes and its admin.";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    if let Some(asked) = call.header("if-none-match").map(str::to_owned) {
        let version = call.read(move |sql| config::version(sql, tenant)).await?;
        let tag = tag(version.ok_or_else(|| Problem::not_found("tenant"))?);
        if matches(&asked, &tag) {
            return Ok(Found::Unchanged(tag));
        }
    }
    let config = call.read(move |sql| config::tenant_config(sql, tenant)).await?;
    let config = config.ok_or_else(|| Problem::not_found("tenant"))?;
    let tag = tag(config.config_version);
    let document = Configuration::of(config)
        .map_err(|why| Problem::new(Code::InvalidState, sentence(&why)))?;
    Ok(Found::Changed(Box::new(document), tag))
}
