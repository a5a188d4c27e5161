use domain::config::TenantMode;
use domain::id::LimitId;
use domain::limit::LimitSpec;
use domain::time::Period;
use store::control::cohorts::{self, Criteria, NewCohort, Refresh};
use store::control::limits::{self, LimitScope};
use store::control::tenants::{self, TenantStatus, TenantUpdate};
use store::control::{campaigns, config};
use uuid::Uuid;

use crate::{A, TestDb, at, campaign_id, change, cohort_id, new_campaign};

fn filled() -> TestDb {
    let t = TestDb::with_tenants();
    t.write(|sql| {
        for n in 1..=4 {
            campaigns::create(sql, A, &new_campaign(n, "One"), &change(1))?;
        }
        for n in [1, 2, 3] {
            campaigns::activate(sql, A, campaign_id(n), None, &change(2))?;
        }
        campaigns::pause(sql, A, campaign_id(2), None, &change(3))?;
        campaigns::end(sql, A, campaign_id(3), None, &change(3))?;
        let new = NewCohort { cohort_id: cohort_id(1), key: None, name: "Gold".to_owned() };
        let criteria = Criteria { json: "{}".to_owned(), refresh: Refresh::Monthly };
        cohorts::create_dynamic(sql, A, &new, &criteria, &change(4))?;
        let spec = LimitSpec { max_total: Some(9), ..LimitSpec::default() };
        let scope = (LimitScope::User, LimitId(Uuid::from_u128(1)));
        limits::upsert(sql, A, scope, &spec, None, &change(5))
    })
    .expect("fills");
    t
}

#[test]
fn everything_that_decides_is_in_it() {
    let t = filled();
    let config = t.read(|sql| config::tenant_config(sql, A)).expect("is there");
    assert_eq!(config.config_version, t.config_version(A));
    assert_eq!((config.zone.name(), config.mode), ("Europe/Paris", TenantMode::Live));
    assert_eq!((config.lateness_us, config.coupon_key), (604_800_000_000, [7; 32]));
    assert_eq!(
        (config.tenant_limit.max_per_day, config.user_limit.max_total),
        (Some(1000), Some(9))
    );
    let live: Vec<_> = config.campaigns.iter().map(|c| (c.id, c.number, c.created_at)).collect();
    assert_eq!(live, [(campaign_id(1), 1, at(1))]);
    assert_eq!(config.campaigns[0].rule_json, r#"{"actions":["purchase"]}"#);
    assert_eq!(config.dormant, [campaign_id(2)]);
    assert_eq!(config.cohorts.len(), 1);
    assert_eq!(
        (config.cohorts[0].refresh, config.cohorts[0].membership_version),
        (Some(Period::Month), 0)
    );
    let missing = domain::id::TenantId(Uuid::from_u128(99));
    assert!(t.read(move |sql| config::tenant_config(sql, missing)).is_none());
}

#[test]
fn a_suspended_tenant_has_nothing_in_force_and_loses_no_progress() {
    let t = filled();
    t.write(|sql| {
        let row = tenants::get(sql, A)?.expect("is there");
        let update = TenantUpdate {
            name: row.name,
            time_zone: row.time_zone,
            status: TenantStatus::Suspended,
            allowed_lateness_s: row.allowed_lateness_s,
        };
        tenants::update(sql, A, &update, None, &change(9))
    })
    .expect("suspends");
    let config = t.read(|sql| config::tenant_config(sql, A)).expect("is there");
    assert_eq!(config.campaigns, []);
    assert_eq!(config.dormant, [campaign_id(1), campaign_id(2)]);
}
