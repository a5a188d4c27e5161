//! `POST /api/v1/campaigns/{campaignId}:activate`.

use store::control::campaigns;

use super::{Campaign, OneCampaign, switch};
use crate::call::{Call, Okay, Path};
use crate::problem::{Code, Problem};
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "activateCampaign",
    summary: "Put a campaign in force",
    about: "Events decided from now on see it. Activating an active campaign changes nothing.",
    problems: &[Code::InvalidState, Code::StaleVersion],
};

/// Does it.
pub async fn handle(call: Call, Path(one): Path<OneCampaign>) -> Result<Okay<Campaign>, Problem> {
    switch(call, one.campaign_id, campaigns::activate).await
}
