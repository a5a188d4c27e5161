//! `PUT /api/v1/tenants/{tenantId}`: changes a tenant.

use domain::time::{Length, Zone};
use store::StoreError;
use store::control::tenants::{self, TenantStatus, TenantUpdate};

use super::{Name, OneTenant, Tenant};
use crate::call::{Call, Document, Okay, Path, Reply};
use crate::problem::{Code, Problem};
use crate::route::Doc;

domain::shape! {
    /// What a tenant should be.
    pub struct UpdateTenant {
        /// Its name.
        "name" name: Name,
        /// The IANA zone of its calendar day. Uses that are recorded keep the day they were recorded on.
        "timeZone" time_zone: Zone,
        /// Whether it takes part; left out, it stays as it is.
        "status" status: Option<TenantStatus>,
        /// How late an event may come; left out, it stays as it is.
        "allowedLateness" allowed_lateness: Option<Length>,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "updateTenant",
    summary: "Change a tenant",
    about: "A SUSPENDED tenant's events are stored and decided, and earn nothing.",
    problems: &[Code::StaleVersion],
};

/// Changes it.
pub async fn handle(
    call: Call,
    Path(one): Path<OneTenant>,
    Document(new): Document<UpdateTenant>,
) -> Result<Okay<Tenant>, Problem> {
    let (id, expected) = (one.tenant_id, call.expected_version()?);
    call.write(move |sql, change| {
        let old = tenants::get(sql, id)?;
        let old = old.ok_or_else(|| StoreError::not_found(format!("tenant {id}")))?;
        let lateness = new.allowed_lateness.map(Length::seconds);
        let update = TenantUpdate {
            name: new.name.into_string(),
            time_zone: new.time_zone,
            status: new.status.unwrap_or(old.status),
            allowed_lateness_s: lateness.unwrap_or(old.allowed_lateness_s),
        };
        let row = tenants::update(sql, id, &update, expected, change)?;
        let version = row.version;
        Ok(Reply::new(row.into()).version(version))
    })
    .await
}
