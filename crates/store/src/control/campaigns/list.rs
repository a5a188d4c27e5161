//! Finding campaigns. Each way to look for them has a statement of its own that walks one index;
//! `tests/it/plans.rs` holds them to it.

use domain::config::CampaignSource;
use domain::id::{ActionCode, CampaignId, TenantId};
use domain::rule::CampaignType;

use super::{ANY_ACTION, CampaignRow, CampaignStatus, fold, select};
use crate::control::sql::{FromRow, Row, Sql, params, statements};
use crate::control::{Page, PageRequest};
use crate::error::Result;

statements! {
    LIST = select!(
        "from campaigns c
         where c.tenant_id = $1 and c.number < $2
           and (c.type = $3 or $3 is null)
           and (c.name_folded like $4 escape '!' or $4 is null)
         order by c.number desc limit $5"
    );
    LIST_BY_STATUS = select!(
        "from campaigns c
         where c.tenant_id = $1 and c.status = $2 and c.number < $3
           and (c.type = $4 or $4 is null)
           and (c.name_folded like $5 escape '!' or $5 is null)
         order by c.number desc limit $6"
    );
    // A cross join is the order of the loops on SQLite and nothing special on PostgreSQL: few
    // campaigns match an action, many may have a status.
    LIST_BY_ACTION = concat!(
        "with matching as (
             select distinct campaign_id from campaign_actions
             where tenant_id = $1 and (action_code = $2 or action_code = $3)) ",
        select!(
            "from matching m cross join campaigns c
             where c.campaign_id = m.campaign_id and c.tenant_id = $1 and c.number < $4
               and (c.status = $5 or $5 is null)
               and (c.type = $6 or $6 is null)
               and (c.name_folded like $7 escape '!' or $7 is null)
             order by c.number desc limit $8"
        )
    );
    SEARCH = concat!(
        "with matching as (
             select distinct campaign_id from campaign_actions
             where tenant_id = $1 and (action_code = $2 or action_code = $3)) ",
        select!(
            "from matching m cross join campaigns c
             where c.campaign_id = m.campaign_id and c.tenant_id = $1 and c.status = 'ACTIVE'
               and c.number > $4
             order by c.number limit $5"
        )
    );
    LIVE = "select campaign_id, number, type, version, progress_version, priority, created_at,
                   start_at, end_at, cohort_id, rule_json
            from campaigns where tenant_id = $1 and status = 'ACTIVE' order by number";
    PAUSED = "select campaign_id from campaigns
              where tenant_id = $1 and status = 'PAUSED' order by number";
}

/// Which campaigns to list; what is `None` is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CampaignFilter {
    /// Of this status.
    pub status: Option<CampaignStatus>,
    /// Of this type.
    pub kind: Option<CampaignType>,
    /// With this in their name, upper and lower case alike.
    pub name: Option<String>,
    /// That this action can move, by name or by a pattern.
    pub action: Option<ActionCode>,
}

/// A tenant's campaigns, the newest first. The page's key is [`CampaignRow::number`].
pub fn list(
    sql: &mut dyn Sql,
    tenant: TenantId,
    filter: &CampaignFilter,
    page: PageRequest<u32>,
) -> Result<Page<CampaignRow, u32>> {
    let before = page.after.map_or(i64::MAX, i64::from);
    let name = filter.name.as_deref().map(containing);
    let name = name.as_deref();
    let (kind, limit) = (filter.kind, page.limit());
    let rows = match (&filter.action, filter.status) {
        (Some(action), status) => sql.rows(
            &LIST_BY_ACTION,
            params![tenant, action, ANY_ACTION, before, status, kind, name, limit],
        )?,
        (None, Some(status)) => {
            sql.rows(&LIST_BY_STATUS, params![tenant, status, before, kind, name, limit])?
        }
        (None, None) => sql.rows(&LIST, params![tenant, before, kind, name, limit])?,
    };
    Ok(Page::cut(rows, page.size, |row: &CampaignRow| row.number))
}

/// The campaigns in force that an action can move, in the order of their numbers: for the
/// calculator. (Those with a pattern are all in it; the rule tells whether the pattern fits.)
pub fn search(
    sql: &mut dyn Sql,
    tenant: TenantId,
    action: &ActionCode,
    page: PageRequest<u32>,
) -> Result<Page<CampaignRow, u32>> {
    let after = page.after.unwrap_or(0);
    let rows = sql.rows(&SEARCH, params![tenant, action, ANY_ACTION, after, page.limit()])?;
    Ok(Page::cut(rows, page.size, |row: &CampaignRow| row.number))
}

/// All campaigns in force, as the calculator compiles them.
pub fn live(sql: &mut dyn Sql, tenant: TenantId) -> Result<Vec<CampaignSource>> {
    sql.rows(&LIVE, params![tenant])
}

/// All campaigns that are held: users keep their progress in them.
pub fn paused(sql: &mut dyn Sql, tenant: TenantId) -> Result<Vec<CampaignId>> {
    sql.map(&PAUSED, params![tenant], |row| row.get("campaign_id"))
}

impl FromRow for CampaignSource {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get("campaign_id")?,
            number: row.get("number")?,
            kind: row.get("type")?,
            version: row.get("version")?,
            progress_version: row.get("progress_version")?,
            priority: row.get("priority")?,
            created_at: row.get("created_at")?,
            start_at: row.get("start_at")?,
            end_at: row.get("end_at")?,
            cohort_id: row.get("cohort_id")?,
            rule_json: row.get("rule_json")?,
        })
    }
}

/// A `like` pattern for texts that contain this one.
fn containing(part: &str) -> String {
    let mut pattern = String::from("%");
    for c in fold(part).chars() {
        if matches!(c, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
