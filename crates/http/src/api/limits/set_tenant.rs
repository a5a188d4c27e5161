//! `POST /api/v1/tenants/{tenantId}/limits`: sets the limit of all users together.

use store::control::limits::LimitScope;

use super::{Caps, Limit, set};
use crate::api::tenants::OneTenant;
use crate::call::{Call, Document, Okay, Path};
use crate::problem::{Code, Problem};
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "setTenantLimit",
    summary: "Set the limit of all users together",
    about: "What is left out or `null` has no cap. In force with the next batch of events.",
    problems: &[Code::StaleVersion],
};

/// Sets it.
pub async fn handle(
    call: Call,
    Path(one): Path<OneTenant>,
    Document(caps): Document<Caps>,
) -> Result<Okay<Limit>, Problem> {
    set(call, one.tenant_id, LimitScope::Global, caps).await
}
