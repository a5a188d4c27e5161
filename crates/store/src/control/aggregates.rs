//! Answers about aggregates from the ledger itself: for the embedded profile, and where none are
//! kept. Exact decimals are text to one of the databases, so equal amounts are counted there and
//! added up here.

use std::collections::{BTreeMap, HashMap};

use domain::id::{TenantId, UserRef, user_id};
use domain::time::{Day, Timestamp, Zone};
use engine::aggregates::{
    Aggregates, Answered, AnsweredBy, DaySum, LEADERS_MAX, Leader, Leaderboard, Sum, SumsAsked,
    by_rank,
};
use engine::ports::PortFuture;
use rust_decimal::Decimal;

use super::incentives::least_id;
use super::sql::{Row, Sql, params, statements};
use super::{Control, PAGE_SIZE_MAX};
use crate::error::Result;

statements! {
    SUMS = "
        select limit_day, reward_currency, reward_amount,
            count(*) as incentives, max(issued_at) as last_at
        from incentives
        where tenant_id = $1 and incentive_id >= $2 and incentive_id < $3
            and limit_day >= $4 and limit_day <= $5
            and (campaign_id = $6 or $6 is null) and (user_id = $7 or $7 is null)
            and (reward_currency = $8 or $8 is null)
        group by limit_day, reward_currency, reward_amount";
    LEADERS = "
        select user_ref, reward_amount, count(*) as incentives, max(issued_at) as last_at
        from incentives
        where tenant_id = $1 and incentive_id >= $2 and incentive_id < $3
            and reward_currency = $4
            and (campaign_id = $5 or $5 is null) and (limit_day = $6 or $6 is null)
        group by user_ref, reward_amount";
}

const _: () = assert!(LEADERS_MAX <= PAGE_SIZE_MAX);

/// Answers from the ledger.
#[derive(Clone)]
pub struct LedgerAnswers(Control);

impl LedgerAnswers {
    /// From this database.
    pub fn new(control: Control) -> Self {
        Self(control)
    }
}

impl Aggregates for LedgerAnswers {
    fn sums<'a>(&'a self, asked: &'a SumsAsked) -> PortFuture<'a, Answered<DaySum>> {
        let asked = asked.clone();
        Box::pin(async move {
            let rows = self.0.read(move |sql| sums(sql, &asked)).await?;
            Ok(Answered { rows, source: AnsweredBy::Ledger })
        })
    }

    fn leaders<'a>(
        &'a self,
        tenant: TenantId,
        board: &'a Leaderboard,
        max: u32,
    ) -> PortFuture<'a, Answered<Leader>> {
        let board = board.clone();
        Box::pin(async move {
            let mut rows = self.0.read(move |sql| leaders(sql, tenant, &board)).await?;
            rows.sort_by(by_rank);
            rows.truncate(usize::try_from(max.min(LEADERS_MAX)).unwrap_or(0));
            Ok(Answered { rows, source: AnsweredBy::Ledger })
        })
    }
}

fn sums(sql: &mut dyn Sql, asked: &SumsAsked) -> Result<Vec<DaySum>> {
    let SumsAsked { tenant, campaign, user, currency, from, to } = asked;
    let [first, end] = ids(Some((*from, *to)));
    let user = user.as_ref().map(|user| user_id(*tenant, user));
    let mut days: BTreeMap<(Day, String), Sum> = BTreeMap::new();
    let params = params![*tenant, first, end, from.0, to.0, *campaign, user, currency.as_deref()];
    sql.query(&SUMS, params, &mut |row| {
        let of = (Day(row.get("limit_day")?), row.get("reward_currency")?);
        let sum = days.entry(of).or_default();
        *sum = sum.with(equal_amounts(row)?);
        Ok(())
    })?;
    Ok(days.into_iter().map(|((day, currency), sum)| DaySum { day, currency, sum }).collect())
}

fn leaders(sql: &mut dyn Sql, tenant: TenantId, board: &Leaderboard) -> Result<Vec<Leader>> {
    let Leaderboard { campaign, day, currency } = board;
    let [first, end] = ids(day.map(|day| (day, day)));
    let mut users: HashMap<UserRef, Sum> = HashMap::new();
    let day = day.map(|day| day.0);
    let params = params![tenant, first, end, currency, *campaign, day];
    sql.query(&LEADERS, params, &mut |row| {
        let sum = users.entry(row.get("user_ref")?).or_default();
        *sum = sum.with(equal_amounts(row)?);
        Ok(())
    })?;
    Ok(users.into_iter().map(|(user, sum)| Leader { user, sum }).collect())
}

/// The sum of a group of incentives with one amount.
fn equal_amounts(row: &Row<'_>) -> Result<Sum> {
    let (incentives, amount): (u64, Decimal) = (row.get("incentives")?, row.get("reward_amount")?);
    let total = amount.checked_mul(Decimal::from(incentives));
    let amount = total.ok_or_else(|| row.corrupt("reward_amount", "the sum is out of range"))?;
    Ok(Sum { incentives, amount, last_at: row.get("last_at")? })
}

/// Between which ids the incentives of some days lie, in whatever zone the days began.
fn ids(days: Option<(Day, Day)>) -> [domain::id::IncentiveId; 2] {
    let begin = |day| Zone::utc().start_of(Day(day));
    let [from, to] = match days {
        Some((from, to)) => [begin(from.0 - 2), begin(to.0 + 3)],
        None => [Timestamp::from_stored(0), Timestamp::MAX],
    };
    [from, to].map(least_id)
}
