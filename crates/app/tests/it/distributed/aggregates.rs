//! What REST answers out of the aggregates in Redis, compared with the ledger.

use std::time::Instant;

use serde_json::Value;

use super::asked::Asked;
use super::rest::Rest;
use super::stage::PATIENCE;

/// Campaigns and users of a tenant that are looked at one by one.
const CELLS: usize = 20;

/// Where the sums of a tenant are.
pub fn sums(tenant: &str) -> String {
    format!("/api/v1/tenants/{tenant}/aggregates")
}

/// The leaderboard of a currency: user, number, amount.
pub fn board(rest: &Rest, tenant: &str, currency: &str) -> Vec<String> {
    let path = format!("/api/v1/tenants/{tenant}/leaderboards?currency={currency}&top=1000");
    let board = rest.get(&path);
    let text = |line: &Value| {
        let [user, amount] = ["userId", "amount"].map(|key| line[key].as_str().unwrap());
        format!("{user} {} {amount}", line["incentives"])
    };
    board["items"].as_array().unwrap().iter().map(text).collect()
}

/// Waits until what REST answers out of Redis is what SQL says: sums by day and currency, and who
/// leads in a currency.
pub fn agrees(db: &Asked, rest: &Rest, tenant: &str, currency: &str) {
    let of = format!("from incentives where tenant_id = '{tenant}'");
    let days = format!(
        "select date '1970-01-01' + limit_day || ' ' || reward_currency || ' ' || count(*) || ' '
             || trim_scale(sum(reward_amount)) {of}
         group by limit_day, reward_currency order by limit_day, reward_currency"
    );
    let leaders = format!(
        "select user_ref || ' ' || count(*) || ' ' || trim_scale(sum(reward_amount)) {of}
             and reward_currency = '{currency}'
         group by user_ref
         order by sum(reward_amount) desc, max(issued_at), user_ref collate \"C\" limit 1000"
    );
    let begun = Instant::now();
    loop {
        let told = rest.get(&sums(tenant));
        let line = |day: &Value| {
            let [on, currency, amount] =
                ["day", "currency", "amount"].map(|key| day[key].as_str().unwrap());
            format!("{on} {currency} {} {amount}", day["incentives"])
        };
        let counted: Vec<String> = told["days"].as_array().unwrap().iter().map(line).collect();
        let wanted = db.rows(&days);
        if counted == wanted && told["source"] == "AGGREGATES" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{counted:?} from {}: {wanted:?}", told["source"]);
        db.rows("select pg_sleep(0.2)::text");
    }
    assert_eq!(board(rest, tenant, currency), db.rows(&leaders));
    cells_agree(db, rest, tenant, "campaignId", "campaign_id");
    cells_agree(db, rest, tenant, "userId", "user_ref");
}

/// What REST says of single campaigns or users is what SQL says of them.
fn cells_agree(db: &Asked, rest: &Rest, tenant: &str, parameter: &str, column: &str) {
    let cells = db.rows(&format!(
        "select {column} || ' ' || string_agg(cell, ' ' order by currency) from (
             select {column}::text, reward_currency as currency,
                 reward_currency || ' ' || count(*) || ' ' || trim_scale(sum(reward_amount)) as cell
             from incentives where tenant_id = '{tenant}' group by {column}, reward_currency) cells
         group by {column} order by {column} limit {CELLS}"
    ));
    assert!(!cells.is_empty(), "{tenant} has granted nothing");
    for wanted in cells {
        let (of, _) = wanted.split_once(' ').expect("a cell");
        let told = rest.get(&format!("{}?{parameter}={of}", sums(tenant)));
        let mut said = of.to_owned();
        for sum in told["totals"].as_array().expect("totals") {
            let [currency, amount] = ["currency", "amount"].map(|key| sum[key].as_str().unwrap());
            said += &format!(" {currency} {} {amount}", sum["incentives"]);
        }
        assert_eq!(said, wanted, "{parameter}");
    }
}
