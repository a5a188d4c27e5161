//! The log as it was decided, exported and sent to an embedded platform with the same shops: it
//! decides each event as it was, and grants the same.

use std::time::Instant;

use domain::decide::StoredOutcome;
use domain::limit::BudgetUse;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use testkit::dir::TempDir;

use crate::distributed::happening::Happening;
use crate::distributed::rest::{Rest, Sent};
use crate::distributed::shop;
use crate::distributed::stage::{PATIENCE, Stage};
use crate::story::Decided;
use crate::support::Platform;

/// Events in a request.
const BATCH: usize = 500;

/// Sends it the logs of tenants with these documents, and compares everything that does not carry
/// ids and times of its own.
pub fn decides_the_same(stage: &Stage, logs: &[(&Value, Vec<Decided>)]) {
    let dir = TempDir::new();
    let platform = Platform::start_in(dir.path());
    let rest = Rest::new(&platform.url);
    for (document, log) in logs {
        let tenant = shop::open(&rest, document).tenant;
        for decided in log.chunks(BATCH) {
            let events: Vec<Happening> = decided.iter().map(happening).collect();
            assert!(matches!(rest.send(&tenant, &events), Sent::Acknowledged));
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(dir.path().join("data/incent.db"), flags).unwrap();
    let undecided = || -> i64 {
        let sql = "select count(*) from events where outcome is null";
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let begun = Instant::now();
    while undecided() > 0 {
        assert!(begun.elapsed() < PATIENCE, "{} events are not decided", undecided());
        stage.rows("select pg_sleep(0.1)::text");
    }
    assert!(platform.stop().success(), "it stops in order");
    for (document, log) in logs {
        same_outcomes(&db, document["name"].as_str().unwrap(), log);
    }
    let sqlite = |sql: &str| {
        let mut query = db.prepare(sql).unwrap();
        let rows = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.collect::<rusqlite::Result<Vec<_>>>().unwrap()
    };
    let granted = stage.rows(&ledger("trim_scale(i.reward_amount)"));
    let again = sqlite(&ledger("i.reward_amount"));
    let (granted, again) = (sorted(&granted), sorted(&again));
    let differ = granted.iter().zip(&again).find(|(here, there)| here != there);
    assert!(differ.is_none() && granted.len() == again.len(), "incentives: {differ:#?}");
    for (what, sql) in [("completions", COMPLETIONS), ("states", STATES)] {
        let (mut here, mut there) = (stage.rows(sql), sqlite(sql));
        here.sort_unstable();
        there.sort_unstable();
        let differ = here.iter().zip(&there).find(|(here, there)| here != there);
        assert!(differ.is_none() && here.len() == there.len(), "{what}: {differ:#?}");
        assert!(!here.is_empty(), "{what}");
    }
}

fn happening(decided: &Decided) -> Happening {
    let event = &decided.record.event;
    Happening {
        id: event.event_id.to_string(),
        user: event.user_id.to_string(),
        at: event.event_ts,
        payload: event.payload.to_string(),
    }
}

fn same_outcomes(db: &Connection, shop: &str, log: &[Decided]) {
    let sql = "select e.event_id, e.outcome from events e join tenants t using (tenant_id)
               where t.name = ? order by e.log_offset";
    let mut query = db.prepare(sql).unwrap();
    let again = query.query_map([shop], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let again: Vec<(String, String)> = again.collect::<rusqlite::Result<_>>().unwrap();
    assert_eq!(again.len(), log.len(), "events of {shop}");
    for (decided, (event, outcome)) in log.iter().zip(again) {
        assert_eq!(decided.record.event.event_id.as_str(), event);
        let outcome = StoredOutcome::parse(&outcome).unwrap();
        assert_eq!(decided.outcome, outcome, "{shop}, {event}");
    }
}

/// Incentives with their budgets after the tab. Ids and coupon codes are each platform's own.
fn ledger(amount: &str) -> String {
    format!(
        "select concat_ws('|', t.name, i.user_ref, i.seq, c.name, i.campaign_version, i.event_id,
             i.type, i.reward_currency, {amount}, length(i.coupon_code), i.limit_day,
             i.tenant_day_used, coalesce(i.tenant_day_cap, -1), i.tenant_total_used,
             coalesce(i.tenant_total_cap, -1), i.user_day_used, coalesce(i.user_day_cap, -1),
             i.user_total_used, coalesce(i.user_total_cap, -1))
             || '\t' || coalesce(cast(i.budgets as text), '[]')
         from incentives i join tenants t on t.tenant_id = i.tenant_id
         join campaigns c on c.campaign_id = i.campaign_id"
    )
}

fn sorted(rows: &[String]) -> Vec<(&str, Vec<BudgetUse>)> {
    let split = |row: &'_ String| -> (usize, Vec<BudgetUse>) {
        let tab = row.find('\t').expect("two parts");
        (tab, serde_json::from_str(&row[tab + 1..]).expect("budgets"))
    };
    let parts = rows.iter().map(|row| {
        let (tab, budgets) = split(row);
        (&row[..tab], budgets)
    });
    let mut rows: Vec<_> = parts.collect();
    rows.sort_unstable_by(|a, b| a.0.cmp(b.0));
    rows
}

const COMPLETIONS: &str = "select concat_ws('|', t.name, u.external_ref, c.name,
        coalesce(a.step_id, '-'), a.cycle, a.action_code,
        case when a.incentive_id is null then 'unpaid' else 'paid' end,
        coalesce(a.unpaid_reason, '-'))
    from user_aggregations a join tenants t on t.tenant_id = a.tenant_id
    join users u on u.user_id = a.user_id join campaigns c on c.campaign_id = a.campaign_id";

const STATES: &str = "select concat_ws('|', t.name, u.external_ref, s.seq)
    from user_states s join tenants t on t.tenant_id = s.tenant_id
    join users u on u.user_id = s.user_id";
