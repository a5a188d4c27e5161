//! `POST /api/v1/tenants`: a new tenant, with both of its limits.

use domain::id::{LimitId, TenantId};
use domain::time::{Length, Zone};
use store::control::tenants::{self, NewTenant};

use super::{Name, Tenant};
use crate::api::limits::Caps;
use crate::call::{Call, Created, Document, Reply, address};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// The limits of a new tenant. One that is left out is as the server is configured: without
    /// caps, unless it says otherwise (`defaultLimits`).
    #[derive(Default)]
    pub struct NewLimits {
        /// Of all users together.
        "tenant" tenant: Option<Caps>,
        /// Of each user.
        "perUser" per_user: Option<Caps>,
    }
}

domain::shape! {
    /// A new tenant.
    pub struct CreateTenant {
        /// Its name, shown in the console.
        "name" name: Name,
        /// The IANA zone of its calendar day.
        "timeZone" time_zone: Zone = Zone::utc(),
        /// How late an event may come.
        "allowedLateness" allowed_lateness: Length = super::default_lateness(),
        /// Its limits.
        "limits" limits: Option<NewLimits>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "createTenant",
    summary: "Make a tenant",
    about: "It gets both limits: those given, else those the server is configured with, else ones \
            without caps.",
    problems: &[],
};

/// Makes it.
pub async fn handle(
    call: Call,
    Document(new): Document<CreateTenant>,
) -> Result<Created<Tenant>, Problem> {
    let ids = &call.app.ids;
    let (given, usual) = (new.limits.unwrap_or_default(), call.app.config.default_limits.clone());
    let tenant_caps = given.tenant.or(usual.tenant).unwrap_or_default();
    let user_caps = given.per_user.or(usual.per_user).unwrap_or_default();
    let new = NewTenant {
        tenant_id: TenantId(ids.uuid()),
        name: new.name.into_string(),
        time_zone: new.time_zone,
        allowed_lateness_s: new.allowed_lateness.seconds(),
        coupon_key: ids.secret(),
        tenant_limit: (LimitId(ids.uuid()), tenant_caps.into()),
        user_limit: (LimitId(ids.uuid()), user_caps.into()),
    };
    call.write(move |sql, change| {
        let row = tenants::create(sql, &new, change)?;
        let (at, version) = (address("/api/v1/tenants", row.tenant_id), row.version);
        Ok(Reply::new(row.into()).at(at).version(version))
    })
    .await
}
