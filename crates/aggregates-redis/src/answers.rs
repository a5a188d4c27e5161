//! Reads aggregates. Who asks for a tenant that Redis knows nothing of is told so: the ledger can
//! answer instead.

use std::collections::BTreeMap;

use domain::id::{TenantId, UserRef};
use domain::time::Day;
use engine::aggregates::{
    Aggregates, Answered, AnsweredBy, Cell, DaySum, LEADERS_MAX, Leader, Leaderboard, Sum,
    SumsAsked, by_rank,
};
use engine::ports::{PortError, PortErrorKind, PortFuture};
use redis::{Pipeline, Value};

use crate::keeper::Keeper;
use crate::keys::{self, Generation};
use crate::link::next;

/// Currencies that a question without one is answered for.
const CURRENCIES_MAX: usize = 50;
/// Users at the edge of a leaderboard whose scores are the same as doubles that are looked at.
const EDGE_MAX: usize = 1000;
/// How often the generation in use may be exchanged under us.
const TRIES_MAX: usize = 5;

impl Aggregates for Keeper {
    fn sums<'a>(&'a self, asked: &'a SumsAsked) -> PortFuture<'a, Answered<DaySum>> {
        Box::pin(async move {
            let rows = self.read_sums(asked).await?;
            Ok(Answered { rows, source: AnsweredBy::Aggregates })
        })
    }

    fn leaders<'a>(
        &'a self,
        tenant: TenantId,
        board: &'a Leaderboard,
        max: u32,
    ) -> PortFuture<'a, Answered<Leader>> {
        Box::pin(async move {
            let max = usize::try_from(max.min(LEADERS_MAX)).unwrap_or(0);
            let rows = self.read_leaders(tenant, board, max).await?;
            Ok(Answered { rows, source: AnsweredBy::Aggregates })
        })
    }
}

impl Keeper {
    async fn read_sums(&self, asked: &SumsAsked) -> Result<Vec<DaySum>, PortError> {
        let currencies = match &asked.currency {
            Some(currency) => vec![currency.clone()],
            None => self.currencies(asked.tenant).await?,
        };
        let cells: BTreeMap<(Day, String), Cell> = (asked.from.0..=asked.to.0)
            .flat_map(|day| currencies.iter().map(move |currency| (Day(day), currency.clone())))
            .map(|(day, currency)| {
                let (user, campaign) = (asked.user.clone(), asked.campaign);
                let cell = Cell { user, campaign, day: Some(day), currency: currency.clone() };
                ((day, currency), cell)
            })
            .collect();
        // Of one user, one campaign or all, days lie in one hash.
        let Some(first) = cells.values().next() else { return Ok(Vec::new()) };
        let sums: Vec<Option<String>> = self
            .consistent(asked.tenant, |generation, pipeline| {
                let ask = pipeline.cmd("HMGET").arg(generation.hash(first));
                ask.arg(cells.values().map(keys::field).collect::<Vec<_>>());
            })
            .await
            .and_then(|answers| next(&mut answers.into_iter()))?;
        let known = cells.into_keys().zip(sums).filter_map(|((day, currency), sum)| {
            Some(DaySum { day, currency, sum: sum?.parse().ok()? })
        });
        Ok(known.collect())
    }

    /// The currencies that a tenant has given something in.
    async fn currencies(&self, tenant: TenantId) -> Result<Vec<String>, PortError> {
        let ask = |generation: &Generation, pipeline: &mut Pipeline| {
            pipeline.cmd("HKEYS").arg(generation.totals());
        };
        let answers = self.consistent(tenant, ask).await?;
        let fields: Vec<String> = next(&mut answers.into_iter())?;
        let currency = |field: &String| Some(keys::day_and_currency(field)?.1.to_owned());
        let mut currencies: Vec<String> = fields.iter().filter_map(currency).collect();
        currencies.sort();
        currencies.truncate(CURRENCIES_MAX);
        Ok(currencies)
    }

    async fn read_leaders(
        &self,
        tenant: TenantId,
        board: &Leaderboard,
        max: usize,
    ) -> Result<Vec<Leader>, PortError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let top = |generation: &Generation, pipeline: &mut Pipeline| {
            let range = pipeline.cmd("ZRANGE").arg(generation.board(board));
            range.arg(0).arg(max - 1).arg("WITHSCORES");
        };
        let answers = self.consistent(tenant, top).await?;
        let first: Vec<(String, f64)> = next(&mut answers.into_iter())?;
        let edge = first.last().filter(|_| first.len() == max).map(|(_, score)| *score);
        let mut users: Vec<UserRef> =
            first.iter().filter_map(|(member, _)| keys::of_member(member)).collect();
        if let Some(score) = edge {
            let same = |generation: &Generation, pipeline: &mut Pipeline| {
                let range = pipeline.cmd("ZRANGE").arg(generation.board(board));
                let range = range.arg(score).arg(score).arg("BYSCORE");
                range.arg("LIMIT").arg(0).arg(EDGE_MAX);
            };
            let answers = self.consistent(tenant, same).await?;
            let members: Vec<String> = next(&mut answers.into_iter())?;
            users.extend(members.iter().filter_map(|member| keys::of_member(member)));
            users.sort();
            users.dedup();
        }
        let mut leaders = self.ranked(tenant, board, &users).await?;
        leaders.sort_by(by_rank);
        leaders.truncate(max);
        Ok(leaders)
    }

    /// The exact sums of users on a board.
    async fn ranked(
        &self,
        tenant: TenantId,
        board: &Leaderboard,
        users: &[UserRef],
    ) -> Result<Vec<Leader>, PortError> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let cell = Cell {
            user: None,
            campaign: board.campaign,
            day: board.day,
            currency: board.currency.clone(),
        };
        let field = keys::field(&cell);
        let ask = |generation: &Generation, pipeline: &mut Pipeline| {
            for user in users {
                pipeline.cmd("HGET").arg(generation.user(user)).arg(&field);
            }
        };
        let mut answers = self.consistent(tenant, ask).await?.into_iter();
        let mut leaders = Vec::with_capacity(users.len());
        for user in users {
            let sum: Option<String> = next(&mut answers)?;
            let sum: Option<Sum> = sum.and_then(|sum| sum.parse().ok());
            leaders.extend(sum.map(|sum| Leader { user: user.clone(), sum }));
        }
        Ok(leaders)
    }

    /// Asks about the generation in use, all as of one moment. Errors: Redis has none of the
    /// tenant, or does not answer.
    async fn consistent(
        &self,
        tenant: TenantId,
        ask: impl Fn(&Generation, &mut Pipeline),
    ) -> Result<Vec<Value>, PortError> {
        for _ in 0..TRIES_MAX {
            let Some(id) = self.in_use(tenant).await? else { break };
            let mut pipeline = redis::pipe();
            pipeline.atomic();
            pipeline.cmd("GET").arg(keys::pointer(tenant));
            ask(&Generation::new(tenant, &id), &mut pipeline);
            let mut answers = self.link.ask(&pipeline).await?.into_iter();
            let in_use: Option<String> = next(&mut answers)?;
            if in_use.as_deref() == Some(&id) {
                return Ok(answers.collect());
            }
        }
        Err(PortError {
            kind: PortErrorKind::Unavailable,
            message: format!("Redis has no aggregates of tenant {tenant} at the moment"),
        })
    }
}
