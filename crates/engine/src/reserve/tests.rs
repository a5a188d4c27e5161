use std::sync::Arc;

use domain::decide::Lane;
use domain::limit::LimitUse;
use domain::time::Timestamp;
use testkit::incentive::incentive;
use uuid::Uuid;

use super::*;
use crate::ports::LaneMove;

const A: TenantId = TenantId(Uuid::from_u128(0xa));
const B: TenantId = TenantId(Uuid::from_u128(0xb));
/// 2026-03-29, when Paris goes over to summer time.
const SPRING: Day = Day(20_541);

/// An incentive of a day with its uses: of the tenant on the day and in all, of the user likewise.
fn granted(tenant: TenantId, user: &str, day: Day, uses: [u64; 4]) -> Arc<Incentive> {
    let [tenant_day, tenant_total, user_day, user_total] = uses;
    let capped = |used, cap| Use { used, cap: Some(cap) };
    let limits = LimitUse {
        day,
        tenant_day: capped(tenant_day, 100),
        tenant_total: Use { used: tenant_total, cap: None },
        user_day: capped(user_day, 10),
        user_total: capped(user_total, 20),
    };
    Arc::new(Incentive { limits, ..incentive(tenant, user, tenant_total) })
}

fn moved(from: u64, to: u64, cap: Option<u64>) -> LimitMove {
    LimitMove { from, to, cap }
}

#[test]
fn uses_before_and_after_follow_from_the_incentives() {
    let incentives = vec![
        granted(A, "ada", SPRING, [5, 50, 1, 7]),
        granted(B, "ada", SPRING, [1, 1, 1, 1]),
        granted(A, "bob", SPRING, [6, 51, 3, 3]),
        granted(A, "ada", SPRING, [7, 52, 2, 8]),
        granted(A, "ada", Day(SPRING.0 + 1), [1, 53, 1, 9]),
    ];
    let lane = Lane { append_time: Timestamp::default(), version: 41 };
    let batch = BatchCommit {
        lanes: [(A, LaneMove { from: lane, to: Timestamp::default() })].into(),
        incentives: incentives.clone(),
        ..BatchCommit::default()
    };
    let paris = Zone::named("Europe/Paris").expect("a zone");
    let days = days(&batch, |_| Some(&paris));
    let heads: Vec<_> = days.iter().map(|d| (d.tenant, d.day, d.lane_version)).collect();
    assert_eq!(heads, [(A, SPRING, 41), (B, SPRING, 0), (A, Day(SPRING.0 + 1), 41)]);

    let first = &days[0];
    assert_eq!(first.starts_at.to_string(), "2026-03-28T23:00:00Z");
    assert_eq!(first.ends_at.to_string(), "2026-03-29T22:00:00Z", "it has 23 hours");
    assert_eq!(first.tenant_day, moved(4, 7, Some(100)));
    assert_eq!(first.tenant_total, moved(49, 52, None));
    let users: Vec<_> = first.users.iter().map(|u| (u.user_ref.as_str(), u.day, u.total)).collect();
    let ada = ("ada", moved(0, 2, Some(10)), moved(6, 8, Some(20)));
    let bob = ("bob", moved(2, 3, Some(10)), moved(2, 3, Some(20)));
    assert_eq!(users, [ada, bob]);
    let ids = [0, 2, 3].map(|i: usize| incentives[i].id);
    assert_eq!(first.incentives, [(ids[0], 0), (ids[1], 1), (ids[2], 0)]);
    assert_eq!(days[2].users[0].total, moved(8, 9, Some(20)));
}

#[test]
fn a_tenant_whose_day_is_not_known_reserves_nothing() {
    let incentives = vec![granted(A, "ada", SPRING, [1; 4])];
    let batch = BatchCommit { incentives, ..BatchCommit::default() };
    assert_eq!(days(&batch, |_| None), []);
}
