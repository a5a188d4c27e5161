use domain::config::TenantMode;
use domain::id::{LimitId, TenantId};
use domain::limit::LimitSpec;
use domain::time::Zone;
use store::StoreError;
use store::control::limits::{self, LimitScope};
use store::control::tenants::{self, TenantStatus, TenantUpdate};
use store::control::{actions, audit};
use uuid::Uuid;

use crate::{A, B, TestDb, after, at, change, new_tenant, page};

fn update() -> TenantUpdate {
    TenantUpdate {
        name: "Acme".to_owned(),
        time_zone: Zone::named("America/New_York").expect("a zone"),
        status: TenantStatus::Suspended,
        allowed_lateness_s: 60,
    }
}

#[test]
fn a_new_tenant_has_both_limits_and_is_live() {
    let t = TestDb::with_tenants();
    let row = t.read(|sql| tenants::get(sql, A)).expect("is there");
    assert_eq!(row.name, "Shop 10");
    assert_eq!((row.status, row.version, row.mode), (TenantStatus::Active, 1, TenantMode::Live));
    assert_eq!((row.time_zone.name(), row.created_at), ("Europe/Paris", at(0)));
    let limits = t.read(|sql| limits::list(sql, A));
    let scopes: Vec<_> = limits.iter().map(|l| (l.scope, l.spec.max_per_day)).collect();
    assert_eq!(scopes, [(LimitScope::Global, Some(1000)), (LimitScope::User, None)]);
    let again = t.write(|sql| tenants::create(sql, &new_tenant(A), &change(1)));
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
}

#[test]
fn an_update_asks_for_the_version_and_raises_the_configuration() {
    let t = TestDb::with_tenants();
    let stale = t.write(|sql| tenants::update(sql, A, &update(), Some(9), &change(1)));
    assert!(matches!(stale, Err(StoreError::Stale { expected: 9, actual: 1, .. })), "{stale:?}");
    let (by, row) = t.raised(A, |sql| tenants::update(sql, A, &update(), Some(1), &change(1)));
    assert_eq!((by, row.version, row.updated_at), (1, 2, at(1)));
    assert_eq!((row.time_zone.name(), row.allowed_lateness_s), ("America/New_York", 60));
    let (by, row) = t.raised(A, |sql| tenants::update(sql, A, &update(), None, &change(2)));
    assert_eq!((by, row.version), (0, 2), "the same again changes nothing");
    assert_eq!(t.read(|sql| tenants::get(sql, B)).expect("is there").version, 1);
    let missing = TenantId(Uuid::from_u128(99));
    let error = t.write(move |sql| tenants::update(sql, missing, &update(), None, &change(1)));
    assert!(matches!(error, Err(StoreError::NotFound { .. })), "{error:?}");
}

#[test]
fn the_mode_can_be_switched_and_switched_back() {
    let t = TestDb::with_tenants();
    for (mode, raised) in [(TenantMode::Replay, 1), (TenantMode::Replay, 0), (TenantMode::Live, 1)]
    {
        let (by, row) = t.raised(A, move |sql| tenants::set_mode(sql, A, mode, &change(1)));
        assert_eq!((row.mode, by), (mode, raised));
    }
}

#[test]
fn tenants_come_in_pages() {
    let t = TestDb::with_tenants();
    let first = t.read(|sql| tenants::list(sql, page(1)));
    assert_eq!((first.items[0].tenant_id, first.next), (A, Some(A)));
    let second = t.read(|sql| tenants::list(sql, after(A, 1)));
    assert_eq!((second.items[0].tenant_id, second.next), (B, None));
}

#[test]
fn a_limit_is_set_and_set_again() {
    let t = TestDb::with_tenants();
    let spec = LimitSpec { max_per_day: Some(5), max_total: Some(50), window_days: Some(30) };
    let scope = (LimitScope::User, LimitId(Uuid::from_u128(77)));
    let set = move |expected| {
        move |sql: &mut dyn store::control::Sql| {
            limits::upsert(sql, A, scope, &spec, expected, &change(3))
        }
    };
    let (by, row) = t.raised(A, set(Some(1)));
    assert_eq!((by, row.version, row.spec, row.updated_at), (1, 2, spec, at(3)));
    assert_ne!(row.limit_id, scope.1, "the id of the one that is there stays");
    let (by, _) = t.raised(A, set(None));
    assert_eq!(by, 0, "the same again changes nothing");
    assert!(matches!(t.write(set(Some(1))), Err(StoreError::Stale { actual: 2, .. })));
    assert_eq!(t.read(|sql| limits::list(sql, B))[1].spec, LimitSpec::default());
}

#[test]
fn a_limit_out_of_bounds_is_refused_and_leaves_nothing() {
    let t = TestDb::with_tenants();
    let bad = [
        LimitSpec { max_per_day: Some(u64::MAX), ..LimitSpec::default() },
        LimitSpec { window_days: Some(367), ..LimitSpec::default() },
        LimitSpec { window_days: Some(0), ..LimitSpec::default() },
    ];
    let before = t.config_version(A);
    for spec in bad {
        let scope = (LimitScope::Global, LimitId(Uuid::from_u128(77)));
        let error = t.write(move |sql| limits::upsert(sql, A, scope, &spec, None, &change(3)));
        assert!(matches!(error, Err(StoreError::Invalid { .. })), "{spec:?}: {error:?}");
    }
    assert_eq!(t.config_version(A), before);
}

#[test]
fn every_change_is_audited_with_both_images() {
    let t = TestDb::with_tenants();
    t.write(|sql| tenants::update(sql, A, &update(), None, &change(7))).expect("updates");
    let log = t.read(|sql| audit::list(sql, A, None, page(10))).items;
    let actions: Vec<_> = log.iter().map(|e| e.action.as_str()).collect();
    assert_eq!(actions, ["tenant.update", "tenant.create"]);
    let entry = &log[0];
    let image = |text: &Option<String>| -> serde_json::Value {
        serde_json::from_str(text.as_deref().expect("an image")).expect("JSON")
    };
    assert_eq!(image(&entry.before_json)["timeZone"], "Europe/Paris");
    assert_eq!(image(&entry.after_json)["timeZone"], "America/New_York");
    assert_eq!(image(&entry.after_json)["coupon_key"], serde_json::Value::Null, "no secret");
    assert_eq!((entry.actor.as_str(), entry.at), ("admin", at(7)));
    assert_eq!(entry.config_version, Some(t.config_version(A)));

    let subject = format!("tenant:{A}");
    let (whole, other) = (subject.clone(), subject);
    let by_subject = t.read(move |sql| audit::list(sql, A, Some(&whole), page(1)));
    assert_eq!(by_subject.next, Some(by_subject.items[0].audit_id));
    let next = by_subject.next.expect("a second page");
    let rest = t.read(move |sql| audit::list(sql, A, Some(&other), after(next, 1)));
    assert_eq!((rest.items[0].action.as_str(), rest.next), ("tenant.create", None));
    assert_eq!(t.read(|sql| audit::list(sql, B, None, page(10))).items.len(), 1);
}

#[test]
fn actions_register_once_and_can_be_described() {
    let t = TestDb::with_tenants();
    let code = |text: &str| domain::id::ActionCode::new(text).expect("a code");
    let known = t
        .write(move |sql| {
            Ok([
                actions::register(sql, A, &code("purchase"), at(1))?,
                actions::register(sql, A, &code("purchase"), at(2))?,
                actions::register(sql, A, &code("login"), at(3))?,
            ])
        })
        .expect("registers");
    assert_eq!(known, [true, false, true]);
    t.write(move |sql| {
        actions::describe(sql, A, &code("purchase"), Some("An order was paid"), &change(9))?;
        actions::describe(sql, A, &code("refund"), None, &change(9))
    })
    .expect("describes");
    let rows = t.read(|sql| actions::list(sql, A, &page(10))).items;
    let rows: Vec<_> = rows
        .iter()
        .map(|r| (r.action_code.as_str(), r.description.as_deref(), r.first_seen_at))
        .collect();
    assert_eq!(
        rows,
        [
            ("login", None, at(3)),
            ("purchase", Some("An order was paid"), at(1)),
            ("refund", None, at(9))
        ]
    );
    assert_eq!(t.read(|sql| actions::count(sql, A)), 3);
    assert_eq!(t.read(|sql| actions::count(sql, B)), 0);
    let rest = t.read(|sql| actions::list(sql, A, &after("login".to_owned(), 1)));
    assert_eq!(rest.next.as_deref(), Some("purchase"));
}
