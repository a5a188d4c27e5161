//! `GET /api/v1/campaigns/{campaignId}`: one campaign.

use store::control::campaigns;

use super::{Campaign, OneCampaign};
use crate::call::{Call, Okay, Path, Reply};
use crate::problem::Problem;
use crate::route::Doc;

/// What it does.
pub const DOC: Doc =
    Doc { id: "getCampaign", summary: "Read a campaign", about: "", problems: &[] };

/// Reads it.
pub async fn handle(call: Call, Path(one): Path<OneCampaign>) -> Result<Okay<Campaign>, Problem> {
    let tenant = call.tenant_of_campaign(one.campaign_id).await?;
    let row = call.read(move |sql| campaigns::get(sql, tenant, one.campaign_id)).await?;
    let row = row.ok_or_else(|| Problem::not_found("campaign"))?;
    let version = row.version;
    Ok(Reply::new(row.into()).version(version))
}
