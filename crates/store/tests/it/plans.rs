//! The query plans, with 10,000 campaigns in one tenant, where the planner has a reason.

use std::collections::BTreeMap;

use domain::id::ActionCode;
use store::control::campaigns::{self, CampaignFilter, CampaignStatus};
use store::control::statements;

use crate::{A, TestDb, after, campaign_id, change, new_campaign, page};

const CAMPAIGNS: u32 = 10_000;

/// One in a hundred is in force; one in a thousand reacts to `rare`.
fn filled() -> TestDb {
    let t = TestDb::with_tenants();
    t.write(|sql| {
        for n in 1..=CAMPAIGNS {
            let mut new = new_campaign(u128::from(n), &format!("Campaign {n}"));
            if n % 1000 == 0 {
                new.content.actions = vec!["rare".to_owned()];
            }
            campaigns::create(sql, A, &new, &change(1))?;
            if n % 100 == 0 {
                campaigns::activate(sql, A, campaign_id(u128::from(n)), None, &change(2))?;
            }
        }
        Ok(())
    })
    .expect("fills");
    t
}

#[test]
fn ten_thousand_campaigns_are_paged_and_searched_by_their_indexes() {
    let t = filled();
    let mut seen = Vec::new();
    let mut next = page(1000);
    loop {
        let request = next;
        let page = t.read(move |sql| campaigns::list(sql, A, &CampaignFilter::default(), request));
        seen.extend(page.items.iter().map(|c| c.number));
        match page.next {
            Some(key) => next = after(key, 1000),
            None => break,
        }
    }
    assert_eq!(seen, (1..=CAMPAIGNS).rev().collect::<Vec<_>>());

    let rare = ActionCode::new("rare").expect("a code");
    let found = t.read(move |sql| campaigns::search(sql, A, &rare, page(100))).items;
    assert_eq!(
        found.iter().map(|c| c.number).collect::<Vec<_>>(),
        (1..=10).map(|n| n * 1000).collect::<Vec<_>>()
    );
    let active =
        CampaignFilter { status: Some(CampaignStatus::Active), ..CampaignFilter::default() };
    let listed = t.read(move |sql| campaigns::list(sql, A, &active, page(1000))).items;
    assert_eq!(listed.len(), 100);

    // With and without statistics: SQLite plans by guess before `analyze` was ever run.
    for analyze in [false, true] {
        if analyze {
            t.hot(|c| c.execute_batch("analyze"));
        }
        check_plans(&t);
    }
}

/// For each list: what its plan must hold, and whether it may sort. (The search by action sorts the
/// few that match.)
const EXPECTED: [(&str, &str, bool); 19] = [
    ("campaigns::list::LIST", "(tenant_id=? AND number<?)", false),
    (
        "campaigns::list::LIST_BY_STATUS",
        "campaigns_by_status (tenant_id=? AND status=? AND number<?)",
        false,
    ),
    (
        "campaigns::list::LIST_BY_ACTION",
        "campaign_actions USING PRIMARY KEY (tenant_id=? AND action_code=?)",
        true,
    ),
    (
        "campaigns::list::SEARCH",
        "campaign_actions USING PRIMARY KEY (tenant_id=? AND action_code=?)",
        true,
    ),
    ("campaigns::list::LIVE", "campaigns_by_status (tenant_id=? AND status=?)", false),
    ("campaigns::list::PAUSED", "campaigns_by_status (tenant_id=? AND status=?)", false),
    ("campaigns::revisions::LIST", "(campaign_id=? AND version<?)", false),
    ("cohorts::LIST", "(tenant_id=? AND cohort_id<?)", false),
    (
        "memberships::LIST",
        "PRIMARY KEY (cohort_id=? AND membership_version=? AND user_id>?)",
        false,
    ),
    (
        "memberships::FIND",
        "PRIMARY KEY (cohort_id=? AND membership_version=? AND user_id=?)",
        false,
    ),
    ("audit::LIST", "audit_log_by_tenant (tenant_id=? AND audit_id<?)", false),
    (
        "audit::LIST_BY_SUBJECT",
        "audit_log_by_subject (tenant_id=? AND subject=? AND audit_id<?)",
        false,
    ),
    ("users::LIST", "(tenant_id=? AND external_ref>?)", false),
    ("users::COMPLETIONS", "user_aggregations_by_user (user_id=? AND completed_at<?)", true),
    (
        "incentives::BY_TENANT",
        "incentives_by_tenant (tenant_id=? AND incentive_id>? AND incentive_id<?)",
        false,
    ),
    (
        "incentives::BY_CAMPAIGN",
        "incentives_by_campaign (campaign_id=? AND incentive_id>? AND incentive_id<?)",
        false,
    ),
    ("incentives::BY_USER", "incentives_by_user (user_id=? AND issued_at>? AND issued_at<?)", true),
    ("incentives::BY_EVENT", "incentives_by_user (user_id=? AND issued_at>?)", true),
    ("dead_letters::LIST", "dead_letters_by_tenant (tenant_id=? AND dead_letter_id<?)", false),
];

fn check_plans(t: &TestDb) {
    let plans = plans(t);
    for (name, wanted, may_sort) in EXPECTED {
        let plan = &plans[name];
        assert!(plan.contains(wanted), "{name} should use {wanted}:\n{plan}");
        let sorts = plan.contains("TEMP B-TREE FOR ORDER BY");
        assert!(may_sort || !sorts, "{name} sorts:\n{plan}");
    }
    // A statement that reads a whole table is a slow request, sooner or later.
    for (name, plan) in &plans {
        let scans = plan.lines().any(|line| {
            line.starts_with("SCAN ") && !line.contains("CONSTANT ROW") && line != "SCAN m"
        });
        // A recompute reads the log from end to end: it is a job, not a request.
        let is_job = name.starts_with("recompute::");
        assert!(is_job || !scans, "{name} scans:\n{plan}");
    }
}

fn plans(t: &TestDb) -> BTreeMap<String, String> {
    t.db.read_blocking(|conn| {
        let mut plans = BTreeMap::new();
        for statement in statements() {
            let mut query = conn.prepare(&format!("explain query plan {}", statement.sql))?;
            let lines = query
                .raw_query()
                .mapped(|row| row.get::<_, String>(3))
                .collect::<rusqlite::Result<Vec<_>>>()?;
            plans.insert(statement.name.replace("store::control::", ""), lines.join("\n"));
        }
        Ok(plans)
    })
    .expect("explains")
}
