//! `GET /api/v1/tenants/{tenantId}/limits`: both limits with their use.

use domain::id::{UserRef, user_id};
use domain::limit::{LimitSpec, Meter, Window};
use domain::time::{Day, Period, Timestamp, Zone};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use store::StoreError;
use store::control::limits::{self, LimitScope};
use store::control::{Sql, tenants};

use crate::api::tenants::OneTenant;
use crate::call::{Call, Okay, Path, Query, Reply};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Whose use.
    pub struct ReadLimits {
        /// Adds the use of this user.
        "userId" user_id: Option<UserRef>,
    }
}

domain::view! {
    /// A limit and what is used of it.
    pub struct LimitUse {
        /// Most on one calendar day of the tenant; `null` = no cap.
        "maxPerDay" max_per_day: Option<u64>,
        /// Most over the window; `null` = no cap.
        "maxTotal" max_total: Option<u64>,
        /// The window of `maxTotal` in calendar days; `null` = for ever.
        "windowDays" window_days: Option<u16>,
        /// Incentives today; `null` when no user is named.
        "usedToday" used_today: Option<u64>,
        /// Incentives over the window; `null` when no user is named.
        "usedTotal" used_total: Option<u64>,
        /// When today ends for the tenant.
        "resetsAt" resets_at: Timestamp,
    }
}

domain::view! {
    /// Both limits of a tenant.
    pub struct Limits {
        /// Of all users together.
        "tenant" tenant: LimitUse,
        /// Of each user.
        "perUser" per_user: LimitUse,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "getLimits",
    summary: "Read both limits with their use",
    about: "With `userId` also the use of that user.",
    problems: &[],
};

/// Reads them.
pub async fn handle(
    call: Call,
    Path(one): Path<OneTenant>,
    Query(query): Query<ReadLimits>,
) -> Result<Okay<Limits>, Problem> {
    let now = call.app.now();
    call.read(move |sql| {
        let tenant = tenants::get(sql, one.tenant_id)?;
        let tenant =
            tenant.ok_or_else(|| StoreError::not_found(format!("tenant {}", one.tenant_id)))?;
        let id = tenant.tenant_id;
        // Limits go by append time: in a replay that of the last event, which lies in the past.
        let now = match tenant.mode {
            domain::config::TenantMode::Live => now.max(tenant.last_append_time),
            domain::config::TenantMode::Replay => tenant.last_append_time,
        };
        let today = Today::of(&tenant.time_zone, now);
        let used = limits::tenant_use(sql, id)?;
        let of_user = match &query.user_id {
            Some(user) => Some(limits::user_use(sql, id, user_id(id, user))?),
            None => None,
        };
        let spec = |sql: &mut dyn Sql, scope| -> store::Result<LimitSpec> {
            let all = limits::list(sql, id)?;
            Ok(all.into_iter().find(|l| l.scope == scope).map(|l| l.spec).unwrap_or_default())
        };
        let global = spec(sql, LimitScope::Global)?;
        let per_user = spec(sql, LimitScope::User)?;
        Ok(Reply::new(Limits {
            tenant: today.shown(global, Some(&used), |n: Decimal| n.to_u64().unwrap_or(u64::MAX)),
            per_user: today.shown(per_user, of_user.as_ref(), |n: u64| n),
        }))
    })
    .await
}

/// The tenant's calendar day.
struct Today {
    day: Day,
    ends: Timestamp,
}

impl Today {
    fn of(zone: &Zone, now: Timestamp) -> Self {
        let day = zone.day(now);
        Self { day, ends: zone.start_of(Day(day.0 + 1)) }
    }

    fn shown<N>(
        &self,
        spec: LimitSpec,
        meter: Option<&Meter<N>>,
        count: impl Fn(N) -> u64,
    ) -> LimitUse
    where
        N: Copy + Default + std::ops::AddAssign + PartialOrd,
    {
        let used = |window: Window| meter.map(|meter| count(meter.used(window, self.day)));
        LimitUse {
            max_per_day: spec.max_per_day,
            max_total: spec.max_total,
            window_days: spec.window_days,
            used_today: used(Window::Period(Period::Day)),
            used_total: used(spec.total_window()),
            resets_at: self.ends,
        }
    }
}
