//! The two limits of a tenant.

pub mod read;
pub mod set_tenant;
pub mod set_user;

use domain::id::{LimitId, TenantId};
use domain::limit::LimitSpec;
use domain::shape::Whole;
use domain::time::Timestamp;
use store::control::limits::{self, LimitRow, LimitScope};

use crate::call::{Call, Okay, Reply};
use crate::problem::Problem;

/// A cap: a number of incentives.
pub type Cap = Whole<0, 1_000_000_000_000_000>;

domain::shape! {
    /// Caps on the number of incentives; `null` = no cap.
    #[derive(Default)]
    pub struct Caps {
        /// Most on one calendar day of the tenant.
        "maxPerDay" max_per_day: Option<Cap>,
        /// Most over the window.
        "maxTotal" max_total: Option<Cap>,
        /// The window of `maxTotal`: today and the N−1 calendar days before; `null` = for ever.
        "windowDays" window_days: Option<Whole<1, 366>>,
    }
}

impl From<Caps> for LimitSpec {
    fn from(caps: Caps) -> Self {
        Self {
            max_per_day: caps.max_per_day.map(Whole::as_u64),
            max_total: caps.max_total.map(Whole::as_u64),
            window_days: caps.window_days.and_then(|days| u16::try_from(days.get()).ok()),
        }
    }
}

domain::view! {
    /// A limit.
    pub struct Limit {
        /// Its id.
        "limitId" limit_id: LimitId,
        /// Whose incentives it counts.
        "scope" scope: LimitScope,
        /// Most on one calendar day of the tenant; `null` = no cap.
        "maxPerDay" max_per_day: Option<u64>,
        /// Most over the window; `null` = no cap.
        "maxTotal" max_total: Option<u64>,
        /// The window of `maxTotal` in calendar days; `null` = for ever.
        "windowDays" window_days: Option<u16>,
        /// Rises with each change, from 1.
        "version" version: u32,
        /// When it was made.
        "createdAt" created_at: Timestamp,
        /// When it was last changed.
        "updatedAt" updated_at: Timestamp,
    }
}

impl From<LimitRow> for Limit {
    fn from(row: LimitRow) -> Self {
        Self {
            limit_id: row.limit_id,
            scope: row.scope,
            max_per_day: row.spec.max_per_day,
            max_total: row.spec.max_total,
            window_days: row.spec.window_days,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Sets the caps of one of the two.
async fn set(
    call: Call,
    tenant: TenantId,
    scope: LimitScope,
    caps: Caps,
) -> Result<Okay<Limit>, Problem> {
    let (id, expected) = (LimitId(call.app.ids.uuid()), call.expected_version()?);
    call.write(move |sql, change| {
        let row = limits::upsert(sql, tenant, (scope, id), &caps.into(), expected, change)?;
        let version = row.version;
        Ok(Reply::new(row.into()).version(version))
    })
    .await
}
