//! Answers that were given under an `Idempotency-Key`. The key is looked up and the answer kept in
//! the transaction of the effect, so a repeated request cannot have it twice.

use domain::id::TenantId;
use domain::time::Timestamp;
use uuid::Uuid;

use super::sql::{FromRow, Row, Sql, params, statements};
use crate::error::Result;

statements! {
    GET = "select body_hash, status, response from idempotency_keys
           where scope = $1 and route = $2 and idem_key = $3";
    KEEP = "insert into idempotency_keys
                (scope, route, idem_key, body_hash, status, response, created_at)
            values ($1, $2, $3, $4, $5, $6, $7)";
    FORGET = "delete from idempotency_keys
              where (scope, route, idem_key) in
                    (select scope, route, idem_key from idempotency_keys
                     where created_at < $1 order by created_at limit $2)";
}

/// What a request repeats when it is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Whose; `None` = the platform admin's.
    pub tenant: Option<TenantId>,
    /// Method and path, without the query.
    pub route: String,
    /// The key as sent.
    pub key: String,
    /// Hash of the body.
    pub body_hash: [u8; 32],
}

/// An answer as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// HTTP status.
    pub status: u16,
    /// What the caller needs to give it again.
    pub response: Vec<u8>,
}

/// What is known of a request's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing: go on, and [`keep`] the answer in the same transaction.
    First,
    /// The same request was answered.
    Answered(KeptAnswer),
    /// The key was used with another body.
    OtherBody,
}

struct Kept {
    body_hash: [u8; 32],
    answer: KeptAnswer,
}

impl FromRow for Kept {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            body_hash: row.get("body_hash")?,
            answer: KeptAnswer { status: row.get("status")?, response: row.get("response")? },
        })
    }
}

/// Looks a request up.
pub fn find(sql: &mut dyn Sql, request: &RequestKey) -> Result<Repeat> {
    let params = params![scope(request), &request.route, &request.key];
    let kept: Option<Kept> = sql.row(&GET, params)?;
    Ok(match kept {
        None => Repeat::First,
        Some(kept) if kept.body_hash == request.body_hash => Repeat::Answered(kept.answer),
        Some(_) => Repeat::OtherBody,
    })
}

/// Keeps the answer to a request. Errors: [`crate::StoreError::Conflict`] when another transaction
/// has answered it meanwhile (on a database with several writers); this one is then rolled back.
pub fn keep(
    sql: &mut dyn Sql,
    request: &RequestKey,
    answer: &KeptAnswer,
    at: Timestamp,
) -> Result<()> {
    let params = params![
        scope(request),
        &request.route,
        &request.key,
        request.body_hash.as_slice(),
        answer.status,
        answer.response.as_slice(),
        at,
    ];
    sql.execute(&KEEP, params)?;
    Ok(())
}

/// Forgets at most `max` answers that were given before a time; fewer mean all are gone. Without a
/// tenant: the platform does this for all of them.
pub fn forget(sql: &mut dyn Sql, before: Timestamp, max: u32) -> Result<u64> {
    sql.execute(&FORGET, params![before, max])
}

fn scope(request: &RequestKey) -> Uuid {
    request.tenant.map_or(Uuid::nil(), |tenant| tenant.0)
}
