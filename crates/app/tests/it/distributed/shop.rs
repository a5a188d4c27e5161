//! A tenant with a cohort and campaigns of every kind.

use serde_json::{Value, json};

use super::rest::Rest;

/// The secret of its users' tokens.
pub const SECRET: &str = "a secret of at least thirty-two bytes";

/// A tenant as set up.
pub struct Opened {
    pub tenant: String,
    /// The ids of its campaigns, all active, the highest priority first.
    pub campaigns: Vec<String>,
}

/// Sets a tenant up, from its document.
pub fn open(rest: &Rest, tenant: &Value) -> Opened {
    let post = |path: &str, tenant: Option<&str>, body: &Value, field: &str| {
        let made = rest.expect("POST", path, tenant, body);
        made[field].as_str().unwrap_or_else(|| panic!("{field} in {made:#}")).to_owned()
    };
    let tenant = post("/api/v1/tenants", None, tenant, "tenantId");
    let of = Some(&*tenant);
    let auth = json!({ "secret": SECRET, "algorithms": ["HS256"] });
    rest.expect("PUT", &format!("/api/v1/tenants/{tenant}/push-auth"), None, &auth);
    let members: Vec<String> = (1..500).step_by(7).map(|n| format!("{n:05}")).collect();
    let cohort = json!({ "name": "Sevens", "type": "STATIC", "userIds": members });
    let cohort = post("/api/v1/cohorts", of, &cohort, "cohortId");
    let campaigns = include_str!("../crash/campaigns.json").replace("COHORT", &cohort);
    let campaigns: Vec<Value> = serde_json::from_str(&campaigns).expect("campaigns");
    let campaigns = campaigns.iter().map(|campaign| {
        let id = post("/api/v1/campaigns", of, campaign, "campaignId");
        rest.expect("POST", &format!("/api/v1/campaigns/{id}:activate"), of, &json!({}));
        id
    });
    let campaigns = campaigns.collect();
    Opened { tenant, campaigns }
}
