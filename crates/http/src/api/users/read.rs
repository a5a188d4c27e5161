//! `GET /api/v1/users/{userId}`: one user.

use store::control::users;

use super::{OneUser, User};
use crate::call::{Call, Okay, Path, Reply};
use crate::problem::Problem;
use crate::route::Doc;

/// What it does.
pub const DOC: Doc = Doc {
    id: "getUser",
    summary: "Read a user",
    about: "A user is there once an event of theirs was decided.",
    problems: &[],
};

/// Reads them.
pub async fn handle(call: Call, Path(one): Path<OneUser>) -> Result<Okay<User>, Problem> {
    let tenant = call.tenant()?;
    let row = call.read(move |sql| users::get(sql, tenant, &one.user_id)).await?;
    row.map(|row| Reply::new(row.into())).ok_or_else(|| Problem::not_found("user"))
}
