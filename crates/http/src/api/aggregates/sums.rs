//! `GET /api/v1/tenants/{tenantId}/aggregates`: incentives and amounts by day and currency.

use std::collections::BTreeMap;

use domain::id::{CampaignId, UserRef};
use domain::shape::{Date, Text};
use domain::time::Day;
use engine::aggregates::{AnsweredBy, DAYS_MAX, DaySum, Sum, SumsAsked};
use rust_decimal::Decimal;

use super::today;
use crate::api::tenants::OneTenant;
use crate::call::{Call, Okay, Path, Query, Reply};
use crate::problem::{Part, Problem};
use crate::route::Doc;

/// Days that are shown when no first one is named.
const DAYS_DEFAULT: i32 = 30;

domain::shape! {
    /// Of what, and when.
    pub struct ReadAggregates {
        /// Of this campaign; of all when left out.
        "campaignId" campaign_id: Option<CampaignId>,
        /// Of this user, the tenant's own id; of all when left out.
        "userId" user_id: Option<UserRef>,
        /// In this currency; in each when left out.
        "currency" currency: Option<Text<1, 64>>,
        /// The first day; 30 days up to the last when left out.
        "from" from: Option<Date>,
        /// The last day, at most 366 with the first; the tenant's present day when left out.
        "to" to: Option<Date>,
    }
}

domain::view! {
    /// All days together, in one currency.
    pub struct CurrencySum {
        /// The currency.
        "currency" currency: String,
        /// How many incentives.
        "incentives" incentives: u64,
        /// How much they come to, exactly.
        "amount" amount: Decimal,
    }
}

domain::view! {
    /// A day, in one currency.
    pub struct DayOfCurrency {
        /// The tenant's calendar day.
        "day" day: Date,
        /// The currency.
        "currency" currency: String,
        /// How many incentives.
        "incentives" incentives: u64,
        /// How much they come to, exactly.
        "amount" amount: Decimal,
    }
}

domain::view! {
    /// Incentives and amounts.
    pub struct AggregatesView {
        /// The first day.
        "from" from: Date,
        /// The last day.
        "to" to: Date,
        /// By currency: amounts of different currencies are never added.
        "totals" totals: Vec<CurrencySum>,
        /// By day and currency, ascending; days without incentives are left out.
        "days" days: Vec<DayOfCurrency>,
        /// Where the answer is from: counted along, or added up for it.
        "source" source: AnsweredBy,
    }
}

/// What it does.
pub const DOC: Doc = Doc {
    id: "getAggregates",
    summary: "Read how many incentives were granted, and how much, by day and currency",
    about: "Days are calendar days of the tenant, both ends included. On the distributed profile the \
            answer is counted along from captured changes, a moment behind the ledger.",
    problems: &[],
};

/// Reads them.
pub async fn handle(
    call: Call,
    Path(one): Path<OneTenant>,
    Query(query): Query<ReadAggregates>,
) -> Result<Okay<AggregatesView>, Problem> {
    let tenant = one.tenant_id;
    let today = today(&call, tenant).await?;
    let to = query.to.map_or(today, |date| date.0);
    let from = query.from.map_or(Day(to.0 - DAYS_DEFAULT + 1), |date| date.0);
    if !(0..DAYS_MAX).contains(&to.0.saturating_sub(from.0)) {
        let detail = format!("must lie at most {DAYS_MAX} days before `to`, and not behind it");
        return Err(Problem::invalid_parameter(Part::Query, "from", detail));
    }
    let asked = SumsAsked {
        tenant,
        campaign: query.campaign_id,
        user: query.user_id,
        currency: query.currency.map(Text::into_string),
        from,
        to,
    };
    let answered = call.app.aggregates.sums(&asked).await?;
    Ok(Reply::new(AggregatesView {
        from: Date(from),
        to: Date(to),
        totals: totals(&answered.rows),
        days: answered.rows.into_iter().map(DayOfCurrency::from).collect(),
        source: answered.source,
    }))
}

fn totals(days: &[DaySum]) -> Vec<CurrencySum> {
    let mut totals: BTreeMap<&str, Sum> = BTreeMap::new();
    for day in days {
        let total = totals.entry(&day.currency).or_default();
        *total = total.with(day.sum);
    }
    let total = |(currency, Sum { incentives, amount, .. }): (&str, Sum)| CurrencySum {
        currency: currency.to_owned(),
        incentives,
        amount,
    };
    totals.into_iter().map(total).collect()
}

impl From<DaySum> for DayOfCurrency {
    fn from(DaySum { day, currency, sum }: DaySum) -> Self {
        Self { day: Date(day), currency, incentives: sum.incentives, amount: sum.amount }
    }
}
