//! The three indexes that the data model asks for are those by which their queries are answered,
//! with as many rows of others about as give the planner a reason.

use store::PgDb;
use store::control::statements;

use super::{database, dump};

const TENANT: &str = "00000000-0000-0000-0000-000000000001";
const USER: &str = "00000000-0000-0000-0000-000000000007";

/// 10,000 campaigns of one tenant and 1,000 of another, one in a hundred in force, one in a
/// thousand for the action `rare`; 50,000 incentives of 5,000 users.
const FILLED: &str = "
    set session_replication_role = replica;
    insert into campaigns (campaign_id, tenant_id, number, name, name_folded, type, status,
                           rule_json, priority, version, created_at, updated_at)
        select gen_random_uuid(), lpad(t::text, 32, '0')::uuid, n, 'Campaign ' || n,
               'campaign ' || n, 'SIMPLE',
               case when n % 100 = 0 then 'ACTIVE' else 'DRAFT' end,
               jsonb_build_object('actions', jsonb_build_array(
                   case when n % 1000 = 0 then 'rare' else 'purchase' end)),
               0, 1, now(), now()
        from (values (1, 10000), (2, 1000)) as v (t, many), generate_series(1, v.many) as n;
    insert into campaign_actions
        select tenant_id, rule_json #>> '{actions,0}', campaign_id from campaigns;
    insert into incentives (
            incentive_id, tenant_id, user_id, user_ref, campaign_id, campaign_version, event_id,
            type, reward_currency, reward_amount, issued_at, seq, source_partition, batch_seq,
            ordinal, tenant_day_used, tenant_total_used, user_day_used, user_total_used, limit_day)
        select gen_random_uuid(), lpad('1', 32, '0')::uuid, lpad((n % 5000)::text, 32, '0')::uuid,
               'u' || n % 5000, lpad('2', 32, '0')::uuid, 1, 'e' || n,
               'POINTS', 'POINTS', 1, now() - n * interval '1 minute', n, 0, n / 500,
               n % 500, n, n, n, n, 20000
        from generate_series(1, 50000) as n;
    set session_replication_role = default;
    analyze";

/// The plan of one of our statements, with these arguments in SQL.
async fn plan(db: &PgDb, statement: &str, arguments: &str, mode: &str) -> String {
    let sql = if let Some(known) = statements().find(|s| s.name.ends_with(statement)) {
        known.sql
    } else {
        statement
    };
    let asked = format!(
        "set plan_cache_mode = {mode}; prepare asked as {sql};
         explain execute asked{arguments}; deallocate asked; reset plan_cache_mode"
    );
    dump(db, &asked).await.expect("explains").join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_index_asked_for_answers_the_query_it_exists_for() {
    let db = database().await;
    dump(&db, FILLED).await.expect("fills");
    let by_status = format!("('{TENANT}', 'ACTIVE', 100000, null, null, 101)");
    let by_user =
        format!("('{TENANT}', '{USER}', null, now(), '{}', '-infinity', 51)", "f".repeat(32));
    let by_rule = "select campaign_id from campaigns
         where tenant_id = $1::uuid and status = 'ACTIVE' and rule_json @> $2::jsonb";
    let rare = format!(r#"('{TENANT}', '{{"actions": ["rare"]}}')"#);
    let by_action = format!("('{TENANT}', 'rare', '*', 0, 101)");
    // What PostgreSQL plans for these arguments, and what it keeps for any.
    let (planned, kept) = ("force_custom_plan", "force_generic_plan");
    for (statement, arguments, mode, wanted) in [
        ("campaigns::list::LIST_BY_STATUS", &by_status, planned, "campaigns_by_status"),
        ("campaigns::list::LIST_BY_STATUS", &by_status, kept, "campaigns_by_status"),
        ("incentives::BY_USER", &by_user, planned, "user_id_issued_at_seq_idx"),
        ("incentives::BY_USER", &by_user, kept, "user_id_issued_at_seq_idx"),
        // Asked by hand. Without knowing the action PostgreSQL reads all that are in force.
        (by_rule, &rare, planned, "campaigns_by_rule"),
        // What the calculator asks: the tenant comes first in this key, as it cannot in the index
        // on the rule, which has the campaigns of all tenants under an action.
        ("campaigns::list::SEARCH", &by_action, planned, "campaign_actions_pkey"),
    ] {
        let plan = plan(&db, statement, arguments, mode).await;
        assert!(plan.contains(wanted), "{mode}: {statement} should use {wanted}:\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{mode}: {statement} reads a table:\n{plan}");
    }
    let found =
        by_rule.replace("$1", &format!("'{TENANT}'")).replace("$2", r#"'{"actions": ["rare"]}'"#);
    assert_eq!(dump(&db, &found).await.expect("finds").len(), 10);
}
