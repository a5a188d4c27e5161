//! Tenants.

pub mod create;
pub mod end_replay;
pub mod list;
pub mod read;
pub mod start_replay;
pub mod update;

use domain::config::TenantMode;
use domain::id::TenantId;
use domain::shape::Text;
use domain::time::{Length, Timestamp, Zone};
use store::control::tenants::{TenantRow, TenantStatus};

/// A name shown to people.
pub type Name = Text<1, 200>;

domain::shape! {
    /// Which tenant.
    pub struct OneTenant {
        /// Its id.
        "tenantId" tenant_id: TenantId,
    }
}

domain::choice! {
    /// How a tenant takes events.
    pub enum Mode {
        /// As they happen.
        Live = "LIVE",
        /// A log of the past is being replayed; live events are refused.
        Replay = "REPLAY",
    }
}

domain::view! {
    /// A tenant: a shop, bank, game or app that runs campaigns.
    pub struct Tenant {
        /// Its id.
        "tenantId" tenant_id: TenantId,
        /// Its name.
        "name" name: String,
        /// The zone of its calendar day.
        "timeZone" time_zone: Zone,
        /// Whether it takes part.
        "status" status: TenantStatus,
        /// How it takes events.
        "mode" mode: Mode,
        /// How late an event may come.
        "allowedLateness" allowed_lateness: Option<Length>,
        /// Rises with each change, from 1.
        "version" version: u32,
        /// Rises with each change of campaigns, limits or cohorts.
        "configVersion" config_version: i64,
        /// When it was made.
        "createdAt" created_at: Timestamp,
        /// When it was last changed.
        "updatedAt" updated_at: Timestamp,
    }
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        Self {
            tenant_id: row.tenant_id,
            name: row.name,
            time_zone: row.time_zone,
            status: row.status,
            mode: match row.mode {
                TenantMode::Live => Mode::Live,
                TenantMode::Replay => Mode::Replay,
            },
            allowed_lateness: Length::from_seconds(row.allowed_lateness_s),
            version: row.version,
            config_version: row.config_version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// How late events may come unless the tenant says otherwise: a week.
#[expect(clippy::expect_used, reason = "a week is a length")]
fn default_lateness() -> Length {
    Length::from_seconds(store::control::tenants::ALLOWED_LATENESS_S).expect("a week")
}
