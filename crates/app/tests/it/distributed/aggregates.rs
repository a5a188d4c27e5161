//! What REST answers out of the aggregates in Redis, compared with the ledger.

use std::time::Instant;

use serde_json::Value;

use super::stage::{PATIENCE, Stage};
use crate::support::Platform;

/// Where the sums of a tenant are.
pub fn sums(tenant: &str) -> String {
    format!("/api/v1/tenants/{tenant}/aggregates")
}

/// The leaderboard of a currency: user, number, amount.
pub fn board(front: &Platform, tenant: &str, currency: &str) -> Vec<String> {
    let path = format!("/api/v1/tenants/{tenant}/leaderboards?currency={currency}&top=1000");
    let board = front.get(&path, None);
    let text = |line: &Value| {
        let [user, amount] = ["userId", "amount"].map(|key| line[key].as_str().unwrap());
        format!("{user} {} {amount}", line["incentives"])
    };
    board["items"].as_array().unwrap().iter().map(text).collect()
}

/// Waits until what REST answers out of Redis is what SQL says: sums by day and currency, and who
/// leads in a currency.
pub fn agrees(stage: &Stage, front: &Platform, tenant: &str, currency: &str) {
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
        let told = front.get(&sums(tenant), None);
        let line = |day: &Value| {
            let [on, currency, amount] =
                ["day", "currency", "amount"].map(|key| day[key].as_str().unwrap());
            format!("{on} {currency} {} {amount}", day["incentives"])
        };
        let counted: Vec<String> = told["days"].as_array().unwrap().iter().map(line).collect();
        let wanted = stage.rows(&days);
        if counted == wanted && told["source"] == "AGGREGATES" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{counted:?} from {}: {wanted:?}", told["source"]);
        stage.rows("select pg_sleep(0.2)::text");
    }
    assert_eq!(board(front, tenant, currency), stage.rows(&leaders));
}
