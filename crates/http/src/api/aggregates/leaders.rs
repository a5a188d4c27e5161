//! `GET /api/v1/tenants/{tenantId}/leaderboards`: who has the most.

use domain::id::{CampaignId, UserRef};
use domain::shape::{Date, Text};
use domain::time::Timestamp;
use engine::aggregates::{AnsweredBy, Leader, Leaderboard};
use rust_decimal::Decimal;

use crate::api::tenants::OneTenant;
use crate::call::{Call, Okay, PageSize, Path, Query, Reply, default_page_size};
use crate::problem::Problem;
use crate::route::Doc;

domain::shape! {
    /// Which leaderboard.
    pub struct ReadLeaderboard {
        /// In this currency.
        "currency" currency: Text<1, 64>,
        /// Of this campaign; of all when left out.
        "campaignId" campaign_id: Option<CampaignId>,
        /// Of this calendar day of the tenant; of all time when left out.
        "day" day: Option<Date>,
        /// Most users shown.
        "top" top: PageSize = default_page_size(),
    }
}

domain::view! {
    /// A user's place.
    pub struct LeaderView {
        /// From 1; no two users share one.
        "rank" rank: u32,
        /// The tenant's own id of the user.
        "userId" user_id: UserRef,
        /// How many incentives.
        "incentives" incentives: u64,
        /// How much they come to, exactly.
        "amount" amount: Decimal,
        /// When the amount was reached.
        "reachedAt" reached_at: Timestamp,
    }
}

domain::view! {
    /// Who has the most.
    pub struct LeaderboardView {
        /// The users, the first one first.
        "items" items: Vec<LeaderView>,
        /// Where the answer is from: counted along, or added up for it.
        "source" source: AnsweredBy,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "getLeaderboard",
    summary: "Read who has the most of a currency",
    about: "The largest amount comes first. Of users with equal amounts the one who reached it first \
            comes first; of those, the one whose id is smaller by its bytes.",
    problems: &[],
};

/// Reads it.
pub async fn handle(
    call: Call,
    Path(one): Path<OneTenant>,
    Query(query): Query<ReadLeaderboard>,
) -> Result<Okay<LeaderboardView>, Problem> {
    let board = Leaderboard {
        campaign: query.campaign_id,
        day: query.day.map(|date| date.0),
        currency: query.currency.into_string(),
    };
    // An unknown tenant is told so, whoever asks.
    super::today(&call, one.tenant_id).await?;
    let top = u32::try_from(query.top.get()).unwrap_or(1);
    let answered = call.app.aggregates.leaders(one.tenant_id, &board, top).await?;
    let items = (1..).zip(answered.rows).map(|(rank, Leader { user, sum })| LeaderView {
        rank,
        user_id: user,
        incentives: sum.incentives,
        amount: sum.amount,
        reached_at: sum.last_at,
    });
    Ok(Reply::new(LeaderboardView { items: items.collect(), source: answered.source }))
}
