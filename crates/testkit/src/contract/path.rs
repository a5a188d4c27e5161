//! The contract of the whole path of an event, over a real store: whatever the batch size, and
//! wherever it dies, the same log gives the same rows.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it should be"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::config::TenantMode;
use domain::event::RecordKind;
use domain::id::{CampaignId, TenantId};
use domain::limit::LimitSpec;
use domain::time::{DAY_US, SECOND_US};
use engine::metrics::Metrics;
use engine::policy::Health;
use engine::ports::{Appended, NewRecord};
use engine::worker::Worker;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Subject, Table};
use crate::calculator::{Script, Step, run_to_end, scripted};
use crate::event::{event, time};

/// Makes a test of each case for the subject that `$make` (a future) gives.
#[macro_export]
macro_rules! path_contract {
    ($make:expr) => {
        $crate::contract_tests! { $make, $crate::contract::path:
            the_batch_size_changes_no_row
            a_death_at_any_step_changes_no_row_and_loses_no_publication
            a_paused_campaign_grants_nothing_more
            a_record_that_cannot_be_read_stops_nothing
            a_second_owner_fences_the_first
            told_to_stop_it_finishes_what_it_has_begun
        }
    };
}

/// Tables whose rows must not depend on how the log was cut into batches.
const RESULT: [Table; 11] = [
    Table::Events,
    Table::EventIds,
    Table::Incentives,
    Table::UserStates,
    Table::Users,
    Table::Marks,
    Table::Usage,
    Table::Completions,
    Table::Publications,
    Table::DeadLetters,
    Table::Actions,
];

async fn result(s: &dyn Subject) -> Vec<(Table, Vec<String>)> {
    let mut all = Vec::new();
    for table in RESULT {
        all.push((table, s.rows(table).await.expect("rows")));
    }
    all
}

fn assert_same(found: &[(Table, Vec<String>)], expected: &[(Table, Vec<String>)], what: &str) {
    for ((table, found), (_, expected)) in found.iter().zip(expected) {
        for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert_eq!(found, expected, "{what}: row {n} of {table}");
        }
        assert_eq!(found.len(), expected.len(), "{what}: rows of {table}");
    }
}

/// A tenant in replay with limits, a weekly cohort and campaigns of several kinds, and seven weeks
/// of events in its log, some sent twice and one unreadable.
async fn replay(s: &dyn Subject) -> TenantId {
    let tenant = s.tenant().await.expect("a tenant");
    let caps = |day, total, window| LimitSpec {
        max_per_day: Some(day),
        max_total: Some(total),
        window_days: window,
    };
    s.set_limits(tenant, caps(7, 150, None), caps(2, 4, Some(10))).await.expect("limits");
    let regulars = json!({"activity": [{"on": ["purchase"], "count": {"min": 3}}]});
    let cohort = s.weekly_cohort(tenant, regulars.to_string()).await.expect("a cohort");
    let points = |amount: serde_json::Value| json!([{"type": "POINTS", "amount": amount}]);
    let per_step = json!({"perStep": {"give": "2", "each": "10", "of": "event.amount"}});
    let campaigns = [
        (
            json!({"on": ["purchase"], "rewards": points(per_step), "budgets":
            [{"id": "b", "measure": "AMOUNT", "currency": "POINTS", "max": "300",
              "onEdge": "CLAMP"}]}),
            None,
        ),
        (json!({"on": ["view.*"], "oncePer": "event.item", "rewards": points(json!("1"))}), None),
        (
            json!({"steps": [{"id": "buy", "on": ["purchase"], "goal": {"count": 3}},
                          {"id": "look", "on": ["view.item"]}],
                "repeat": {"max": 9}, "onLimit": "RETRY", "rewards":
            [{"type": "COUPON", "amount": "5", "currency": "EUR", "code": {"generated": {}}}]}),
            None,
        ),
        (
            json!({"on": ["purchase"], "repeat": {"max": 1, "per": "WEEK"}, "when":
            "user.tier == \"gold\" || event.amount > 20", "rewards": points(json!("7"))}),
            Some(cohort),
        ),
    ];
    for (rule, cohort) in campaigns {
        s.campaign(tenant, rule.to_string(), cohort).await.expect("a campaign");
    }
    s.set_mode(tenant, TenantMode::Replay).await.expect("a replay");
    let log = log(tenant);
    for part in log.chunks(100) {
        for appended in s.bus().append(part.to_vec()).await.expect("appends") {
            let is_taken =
                matches!(appended, Appended::Accepted { .. } | Appended::Duplicate { .. });
            assert!(is_taken, "{appended:?}");
        }
    }
    tenant
}

/// The same for the same tenant.
fn log(tenant: TenantId) -> Vec<NewRecord> {
    let begin = time("2026-01-05T08:00:00Z");
    let mut seed = 42_u64;
    let mut draw = move |n: u64| {
        // Knuth's MMIX generator; its low bits are poor.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let mut records: Vec<NewRecord> = Vec::new();
    for n in 0..400_i64 {
        let ts = begin.plus_micros(n * 49 * DAY_US / 400 / SECOND_US * SECOND_US);
        let user = format!("user-{}", draw(25));
        let base = event(tenant, &format!("e-{n}")).user(&user).ts(ts).kind(RecordKind::Replay);
        let cents = draw(6000);
        let amount = format!(r#"{{"amount":{}.{:02}}}"#, cents / 100, cents % 100);
        let item = format!(r#"{{"item":"i{}"}}"#, draw(4));
        let record = match draw(10) {
            0 => base.action("$user.updated").payload(r#"{"tier":"gold"}"#),
            1..=3 => base.action("view.item").payload(&item),
            4 => base.action("login").kind(RecordKind::History),
            _ => base.payload(&amount),
        };
        // A retry must be the same event: those are drawn from what was sent.
        records.push(match n % 20 {
            19 => records[records.len() - 7].clone(),
            _ if n == 200 => event(tenant, "broken")
                .ts(ts)
                .kind(RecordKind::Replay)
                .payload(r#"{"amount":}"#)
                .record(),
            _ => record.record(),
        });
    }
    records
}

/// The same log in batches of 1, 7 and 500.
pub async fn the_batch_size_changes_no_row(s: &mut dyn Subject) {
    replay(s).await;
    assert!(run_to_end(&s.ports(), 500).await.is_clean());
    let expected = result(s).await;
    check_variety(&expected);
    for batch_max in [1, 7] {
        let other = s.fresh().await.expect("a fresh one");
        replay(&*other).await;
        assert!(run_to_end(&other.ports(), batch_max).await.is_clean());
        assert_same(&result(&*other).await, &expected, &format!("batches of {batch_max}"));
    }
}

/// The log is worth running: whatever may come of an event has come of some.
fn check_variety(result: &[(Table, Vec<String>)]) {
    let rows = |table: Table| &result.iter().find(|(t, _)| *t == table).expect("it is there").1;
    let reasons: BTreeSet<_> = rows(Table::Events)
        .iter()
        .flat_map(|row| {
            row.split('"').filter(|word| word.len() > 3 && *word == word.to_uppercase())
        })
        .map(str::to_owned)
        .collect();
    for reason in [
        "GRANTED",
        "PROGRESS",
        "COMPLETED_UNPAID",
        "BUDGET_EXHAUSTED",
        "LIMIT_USER_DAY",
        "LIMIT_USER_TOTAL",
        "LIMIT_TENANT_DAY",
        "LIMIT_TENANT_TOTAL",
        "ONCE_PER_VALUE",
        "COHORT_MISS",
        "REPEAT_LIMIT",
        "USER_UPDATED",
        "HISTORY",
        "UNREADABLE",
    ] {
        assert!(reasons.contains(reason), "{reason} is not among {reasons:?}");
    }
    assert_eq!(rows(Table::Publications).len(), rows(Table::Incentives).len());
    assert_eq!(rows(Table::Incentives).len(), 150, "up to the tenant's limit");
    assert_eq!(rows(Table::DeadLetters).len(), 1);
}

/// It dies at every step in turn, early and late, and is started again.
pub async fn a_death_at_any_step_changes_no_row_and_loses_no_publication(s: &mut dyn Subject) {
    replay(s).await;
    assert!(run_to_end(&s.ports(), 40).await.is_clean());
    let expected = result(s).await;

    let other = s.fresh().await.expect("a fresh one");
    replay(&*other).await;
    let script = Arc::new(Script::default());
    let ports = scripted(&other.ports(), &script);
    let deaths = Step::ALL.iter().flat_map(|step| [(*step, 1), (*step, 2)]);
    let mut died = 0;
    for (step, nth) in deaths {
        // What was begun and not recorded is done again from the store, as after a real death.
        script.die_at(step, nth);
        // Few records at a time, so that the log lasts for all of them.
        let ends = run_to_end(&ports, 2).await;
        died += usize::from(!ends.is_clean());
        assert_eq!(ends.is_clean(), script.is_unspent(), "{step} {nth}: {ends:?}");
    }
    assert!(died >= 15, "only {died} deaths before the log was at its end");
    script.die_at(Step::Take, usize::MAX);
    assert!(run_to_end(&ports, 20).await.is_clean());
    assert_same(&result(&*other).await, &expected, "after its deaths");

    let published = script.published();
    let mut first_of_each = BTreeSet::new();
    let mut last = None;
    for (place, incentive) in &published {
        // New ones come in the dense order; repeats only of what was not recorded.
        if first_of_each.insert(incentive) {
            assert!(last < Some(*place), "{place:?} after {last:?}");
            last = Some(*place);
        }
    }
    assert_eq!(first_of_each.len(), 150, "each was published");
    assert!(published.len() > 150, "some twice: it died after publishing");
}

/// When the pause has answered, the campaign is over, whatever is in flight.
pub async fn a_paused_campaign_grants_nothing_more(s: &mut dyn Subject) {
    let tenant = s.tenant().await.expect("a tenant");
    let rule = json!({"on": ["purchase"], "rewards": [{"type": "POINTS", "amount": "1"}]});
    let rule = rule.to_string();
    let campaign: CampaignId = s.campaign(tenant, rule, None).await.expect("a campaign");
    let stop = CancellationToken::new();
    let worker = Worker::new(0, 50, s.ports(), Metrics::detached());
    let mut progress = worker.progress();
    let worker = tokio::spawn(worker.run(stop.clone()));
    let bus = s.bus();
    let sender = tokio::spawn(async move {
        for n in 0..40 {
            let ids = (0..25).map(|i| event(tenant, &format!("{n}-{i}")).record()).collect();
            bus.append(ids).await.expect("appends");
        }
    });
    progress.wait_for(|p| p.is_some_and(|p| p.next_offset >= 100)).await.expect("it works");
    s.pause(tenant, campaign).await.expect("pauses");
    let granted = s.rows(Table::Incentives).await.expect("rows").len();
    sender.await.expect("all is sent");
    s.bus().append(vec![event(tenant, "last").record()]).await.expect("appends");
    progress.wait_for(|p| p.is_some_and(|p| p.next_offset >= 1001)).await.expect("it works");
    stop.cancel();
    assert_eq!(worker.await.expect("no panic"), Health::Stopped);
    assert!(granted >= 100, "{granted} before the pause");
    assert_eq!(s.rows(Table::Incentives).await.expect("rows").len(), granted);
}

/// A record that cannot be read becomes a dead letter with its exact bytes.
pub async fn a_record_that_cannot_be_read_stops_nothing(s: &mut dyn Subject) {
    let tenant = s.tenant().await.expect("a tenant");
    let rule = json!({"on": ["*"], "rewards": [{"type": "POINTS", "amount": "1"}]});
    s.campaign(tenant, rule.to_string(), None).await.expect("a campaign");
    let bad = [r#"{"a":1"#, "", "null", "[1]", r#"{"a":1,"a":2}"#, r#"{"n":1e400}"#];
    let mut records = vec![event(tenant, "good 1").record()];
    for (n, payload) in bad.iter().enumerate() {
        records.push(event(tenant, &format!("bad {n}")).payload(payload).record());
    }
    records.push(event(tenant, "good 2").record());
    s.bus().append(records).await.expect("appends");
    assert!(run_to_end(&s.ports(), 100).await.is_clean());
    let letters = s.rows(Table::DeadLetters).await.expect("rows");
    assert_eq!(letters.len(), bad.len());
    for (n, letter) in letters.iter().enumerate() {
        assert!(letter.contains("UNREADABLE"), "{n}: {letter}");
    }
    assert!(letters.iter().any(|l| l.contains(bad[0]) && l.contains("tenant-events:0@1")));
    assert_eq!(s.rows(Table::Incentives).await.expect("rows").len(), 2);
    let outcome = s.store().outcome(tenant, &"bad 0".parse().expect("an id")).await;
    assert!(outcome.expect("reads").expect("decided").contains("UNREADABLE"));
}

/// Two workers on one partition: the later one goes on, the earlier one ends quietly.
pub async fn a_second_owner_fences_the_first(s: &mut dyn Subject) {
    let late = |tenant| {
        vec![
            event(tenant, "late")
                .ts(time("2026-03-01T00:00:00Z"))
                .kind(RecordKind::Replay)
                .record(),
        ]
    };
    let tenant = replay(s).await;
    let first = Worker::new(0, 10, s.ports(), Metrics::detached());
    let mut progress = first.progress();
    let first = tokio::spawn(first.run(CancellationToken::new()));
    progress.wait_for(|p| p.is_some_and(|p| p.batch_seq >= 3)).await.expect("it works");
    assert!(run_to_end(&s.ports(), 500).await.is_clean());
    // Wherever it stands, it has something to commit now, and meets the new epoch.
    s.bus().append(late(tenant)).await.expect("appends");
    assert_eq!(first.await.expect("no panic"), Health::Stopped);
    assert!(run_to_end(&s.ports(), 500).await.is_clean());

    let other = s.fresh().await.expect("a fresh one");
    let tenant = replay(&*other).await;
    other.bus().append(late(tenant)).await.expect("appends");
    assert!(run_to_end(&other.ports(), 500).await.is_clean());
    assert_same(&result(s).await, &result(&*other).await, "with two owners");
}

/// Told to stop, it does not leave a batch half done, and the next one goes on behind it.
pub async fn told_to_stop_it_finishes_what_it_has_begun(s: &mut dyn Subject) {
    replay(s).await;
    let end = s.bus().end(0).await.expect("an end");
    let mut runs = 0;
    loop {
        let stop = CancellationToken::new();
        let worker = Worker::new(0, 30, s.ports(), Metrics::detached());
        let mut progress = worker.progress();
        let worker = tokio::spawn(worker.run(stop.clone()));
        let begun = progress.wait_for(Option::is_some).await.expect("it works").expect("begun");
        stop.cancel();
        assert_eq!(worker.await.expect("no panic"), Health::Stopped);
        let position = s.store().take_over(0).await.expect("a position");
        assert!(position.next_offset >= begun.next_offset);
        runs += 1;
        if position.next_offset == end {
            break;
        }
        if runs > 5 {
            assert!(run_to_end(&s.ports(), 30).await.is_clean());
        }
    }
    let batches = s.rows(Table::Batches).await.expect("rows");
    let mut next = 0;
    for batch in &batches {
        let cells: Vec<i64> =
            batch.split('|').skip(3).take(2).map(|n| n.parse().unwrap_or(-1)).collect();
        assert_eq!(cells[0], next, "batches follow one another: {batch}");
        next = cells[1];
    }
    assert_eq!(next, end);
}
