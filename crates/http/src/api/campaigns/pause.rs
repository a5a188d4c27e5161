//! `POST /api/v1/campaigns/{campaignId}:pause`.

use store::control::campaigns;

use super::{Campaign, OneCampaign, switch};
use crate::call::{Call, Okay, Path};
use crate::problem::{Code, Problem};
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "pauseCampaign",
    summary: "Hold a campaign",
    about: "When this has answered nothing more is granted; users keep their progress. Pausing a paused campaign changes nothing.",
    problems: &[Code::InvalidState, Code::StaleVersion],
};

/// Does it.
pub async fn handle(call: Call, Path(one): Path<OneCampaign>) -> Result<Okay<Campaign>, Problem> {
    switch(call, one.campaign_id, campaigns::pause).await
}
