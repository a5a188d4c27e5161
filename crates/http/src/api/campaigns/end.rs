//! `POST /api/v1/campaigns/{campaignId}:end`.

use store::control::campaigns;

use super::{Campaign, OneCampaign, switch};
use crate::call::{Call, Okay, Path};
use crate::problem::{Code, Problem};
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "endCampaign",
    summary: "End a campaign for good",
    about: "Ending an ended campaign changes nothing.",
    problems: &[Code::InvalidState, Code::StaleVersion],
};

/// Does it.
pub async fn handle(call: Call, Path(one): Path<OneCampaign>) -> Result<Okay<Campaign>, Problem> {
    switch(call, one.campaign_id, campaigns::end).await
}
