use domain::id::ActionCode;
use domain::rule::CampaignType;
use store::control::campaigns::{
    self, ANY_ACTION, CampaignContent, CampaignFilter, CampaignStatus, CampaignUpdate, Progress,
};
use store::control::{Sql, audit, cohorts};
use store::{Result, StoreError};

use crate::{A, B, TestDb, after, at, campaign_id, change, cohort_id, content, new_campaign, page};

fn update(content: CampaignContent, expected_version: Option<u32>) -> CampaignUpdate {
    CampaignUpdate { content, progress: Progress::Keep, expected_version }
}

fn numbers(t: &TestDb, filter: CampaignFilter) -> Vec<u32> {
    let rows = t.read(move |sql| campaigns::list(sql, A, &filter, page(100)));
    rows.items.iter().map(|c| c.number).collect()
}

fn action(code: &str) -> ActionCode {
    ActionCode::new(code).expect("a code")
}

#[test]
fn numbers_are_dense_for_each_tenant() {
    let t = TestDb::with_tenants();
    let made = t
        .write(|sql| {
            let mut numbers = Vec::new();
            for (n, tenant) in [(1, A), (2, B), (3, A), (4, A)] {
                let row = campaigns::create(sql, tenant, &new_campaign(n, "One"), &change(1))?;
                numbers.push((row.number, row.status, row.version));
            }
            Ok(numbers)
        })
        .expect("creates");
    let draft = CampaignStatus::Draft;
    assert_eq!(made, [(1, draft, 1), (1, draft, 1), (2, draft, 1), (3, draft, 1)]);
    let of =
        |tenant, n| t.read(move |sql| campaigns::by_number(sql, tenant, n)).map(|c| c.campaign_id);
    assert_eq!((of(A, 2), of(B, 1)), (Some(campaign_id(3)), Some(campaign_id(2))));
    assert_eq!((of(B, 2), of(A, 4)), (None, None));
}

#[test]
fn a_tenant_never_sees_or_changes_anothers() {
    let t = TestDb::with_tenants();
    t.write(|sql| campaigns::create(sql, A, &new_campaign(1, "One"), &change(1))).expect("creates");
    let id = campaign_id(1);
    assert!(t.read(move |sql| campaigns::get(sql, B, id)).is_none());
    assert!(t.read(move |sql| campaigns::revision(sql, B, id, 1)).is_none());
    assert_eq!(t.read(move |sql| campaigns::tenant_of(sql, id)), Some(A));
    type Try = fn(&mut dyn Sql) -> Result<campaigns::CampaignRow>;
    let tries: [Try; 4] = [
        |sql| campaigns::update(sql, B, campaign_id(1), &update(content("Two"), None), &change(2)),
        |sql| campaigns::activate(sql, B, campaign_id(1), None, &change(2)),
        |sql| campaigns::pause(sql, B, campaign_id(1), None, &change(2)),
        |sql| campaigns::end(sql, B, campaign_id(1), None, &change(2)),
    ];
    for work in tries {
        let error = t.write(work).expect_err("refused");
        assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
    }
    assert_eq!(t.read(move |sql| campaigns::get(sql, A, id)).expect("is there").version, 1);
}

#[test]
fn an_update_is_a_new_version_with_its_revision() {
    let t = TestDb::with_tenants();
    t.write(|sql| campaigns::create(sql, A, &new_campaign(1, "One"), &change(1))).expect("creates");
    let new = CampaignContent {
        rule_json: r#"{"actions":["login"]}"#.to_owned(),
        actions: vec!["login".to_owned()],
        priority: 5,
        ..content("Two")
    };
    let id = campaign_id(1);
    let again = new.clone();
    let (by, row) =
        t.raised(A, move |sql| campaigns::update(sql, A, id, &update(new, Some(1)), &change(2)));
    assert_eq!((by, row.version, row.name.as_str(), row.priority), (1, 2, "Two", 5));
    assert_eq!((row.created_at, row.updated_at), (at(1), at(2)));
    let (by, row) =
        t.raised(A, move |sql| campaigns::update(sql, A, id, &update(again, None), &change(3)));
    assert_eq!((by, row.version), (0, 2), "the same again changes nothing");
    let stale = t.write(move |sql| {
        campaigns::update(sql, A, id, &update(content("x"), Some(1)), &change(3))
    });
    assert!(matches!(stale, Err(StoreError::Stale { actual: 2, .. })), "{stale:?}");

    let revisions = t.read(move |sql| campaigns::revisions(sql, A, id, page(10))).items;
    let seen: Vec<_> =
        revisions.iter().map(|r| (r.version, r.name.as_str(), r.changed_at)).collect();
    assert_eq!(seen, [(2, "Two", at(2)), (1, "One", at(1))]);
    let first = t.read(move |sql| campaigns::revision(sql, A, id, 1)).expect("is kept");
    assert_eq!(first.rule_json, r#"{"actions":["purchase"]}"#);
    let rest = t.read(move |sql| campaigns::revisions(sql, A, id, after(2, 1)));
    assert_eq!((rest.items[0].version, rest.next), (1, None));

    let filter = |code| CampaignFilter { action: Some(action(code)), ..CampaignFilter::default() };
    assert_eq!(numbers(&t, filter("login")), [1]);
    assert_eq!(numbers(&t, filter("purchase")), [0; 0], "the old action is forgotten");
}

#[test]
fn statuses_follow_the_life_of_a_campaign() {
    use CampaignStatus::{Active, Draft, Ended, Paused};
    type Step = fn(&mut dyn Sql) -> Result<campaigns::CampaignRow>;
    let activate: Step = |sql| campaigns::activate(sql, A, campaign_id(1), None, &change(2));
    let pause: Step = |sql| campaigns::pause(sql, A, campaign_id(1), None, &change(3));
    let end: Step = |sql| campaigns::end(sql, A, campaign_id(1), None, &change(4));
    // From, step, to (None = refused), whether the configuration changes.
    let cases = [
        (Draft, activate, Some(Active), 1),
        (Draft, pause, None, 0),
        (Draft, end, Some(Ended), 1),
        (Active, activate, Some(Active), 0),
        (Active, pause, Some(Paused), 1),
        (Active, end, Some(Ended), 1),
        (Paused, activate, Some(Active), 1),
        (Paused, pause, Some(Paused), 0),
        (Paused, end, Some(Ended), 1),
        (Ended, activate, None, 0),
        (Ended, pause, None, 0),
        (Ended, end, Some(Ended), 0),
    ];
    for (from, step, to, raised) in cases {
        let t = TestDb::with_tenants();
        t.write(move |sql| {
            campaigns::create(sql, A, &new_campaign(1, "One"), &change(1))?;
            let way: &[Step] = match from {
                Draft => &[],
                Active => &[activate],
                Paused => &[activate, pause],
                Ended => &[end],
            };
            way.iter().try_for_each(|step| step(sql).map(|_| ()))
        })
        .expect("gets there");
        let before = t.config_version(A);
        let done = t.write(step);
        match to {
            Some(to) => assert_eq!(done.expect("is allowed").status, to, "from {from}"),
            None => assert!(matches!(done, Err(StoreError::WrongState { .. })), "from {from}"),
        }
        assert_eq!(t.config_version(A) - before, raised, "from {from} to {to:?}");
    }
}

#[test]
fn a_reset_is_a_version_of_its_own_even_without_another_content() {
    let t = TestDb::with_tenants();
    t.write(|sql| campaigns::create(sql, A, &new_campaign(1, "One"), &change(1))).expect("creates");
    t.write(|sql| campaigns::activate(sql, A, campaign_id(1), None, &change(1))).expect("starts");
    let edit = |name: &str, progress| CampaignUpdate { progress, ..update(content(name), None) };
    let edits = [
        edit("One", Progress::Keep),
        edit("One", Progress::Reset),
        edit("Two", Progress::Keep),
        edit("Two", Progress::Reset),
    ];
    let versions = edits.map(|edit| {
        let (by, row) =
            t.raised(A, move |sql| campaigns::update(sql, A, campaign_id(1), &edit, &change(2)));
        let live = t.read(|sql| campaigns::live(sql, A));
        assert_eq!(live[0].progress_version, row.progress_version);
        (by, row.version, row.progress_version)
    });
    assert_eq!(versions, [(0, 1, 0), (1, 2, 2), (1, 3, 2), (1, 4, 4)]);
}

#[test]
fn an_ended_campaign_cannot_be_changed() {
    let t = TestDb::with_tenants();
    let error = t
        .write(|sql| {
            campaigns::create(sql, A, &new_campaign(1, "One"), &change(1))?;
            campaigns::end(sql, A, campaign_id(1), Some(1), &change(2))?;
            campaigns::update(sql, A, campaign_id(1), &update(content("Two"), None), &change(3))
        })
        .expect_err("refused");
    assert!(matches!(error, StoreError::WrongState { .. }), "{error:?}");
    assert!(t.read(|sql| campaigns::get(sql, A, campaign_id(1))).is_none(), "all rolled back");
}

#[test]
fn keys_are_unique_in_a_tenant() {
    let t = TestDb::with_tenants();
    let keyed =
        |n| campaigns::NewCampaign { key: Some("spring".to_owned()), ..new_campaign(n, "S") };
    t.write(move |sql| {
        campaigns::create(sql, A, &keyed(1), &change(1))?;
        campaigns::create(sql, B, &keyed(2), &change(1))
    })
    .expect("another tenant may have the same key");
    let error = t.write(move |sql| campaigns::create(sql, A, &keyed(3), &change(1)));
    assert!(matches!(&error, Err(StoreError::Conflict { what }) if what.contains("spring")));
    let found = t.read(|sql| campaigns::by_key(sql, A, "spring")).expect("is there");
    assert_eq!(found.campaign_id, campaign_id(1));
}

#[test]
fn the_cohort_must_be_the_tenants() {
    let t = TestDb::with_tenants();
    let gold = cohorts::NewCohort { cohort_id: cohort_id(1), key: None, name: "Gold".to_owned() };
    t.write(move |sql| cohorts::create_static(sql, B, &gold, &[], &change(1))).expect("creates");
    let mut new = new_campaign(1, "One");
    new.content.cohort_id = Some(cohort_id(1));
    let (theirs, own) = (new.clone(), new);
    let error = t.write(move |sql| campaigns::create(sql, A, &theirs, &change(1)));
    assert!(matches!(error, Err(StoreError::Invalid { .. })), "{error:?}");
    t.write(move |sql| campaigns::create(sql, B, &own, &change(1))).expect("creates");
}

#[test]
fn filters_are_applied_together() {
    let t = TestDb::with_tenants();
    t.write(|sql| {
        let made = [
            (1, "Spring sale", CampaignType::Simple, "purchase"),
            (2, "SPRING quest", CampaignType::Quest, "login"),
            (3, "100% spring_time", CampaignType::Simple, ANY_ACTION),
            (4, "Ärmelkanal", CampaignType::Simple, "purchase"),
        ];
        for (n, name, kind, action) in made {
            let mut new = new_campaign(n, name);
            (new.kind, new.content.actions) = (kind, vec![action.to_owned()]);
            campaigns::create(sql, A, &new, &change(1))?;
        }
        campaigns::activate(sql, A, campaign_id(1), None, &change(2))?;
        campaigns::activate(sql, A, campaign_id(3), None, &change(2))
    })
    .expect("creates");
    let any = CampaignFilter::default;
    let (simple, active) = (Some(CampaignType::Simple), Some(CampaignStatus::Active));
    let name = |text: &str| Some(text.to_owned());
    let purchase = || Some(action("purchase"));
    let cases: [(CampaignFilter, &[u32]); 12] = [
        (any(), &[4, 3, 2, 1]),
        (CampaignFilter { name: name("spring"), ..any() }, &[3, 2, 1]),
        (CampaignFilter { name: name("g_t"), ..any() }, &[3]),
        (CampaignFilter { name: name("0%"), ..any() }, &[3]),
        (CampaignFilter { name: name("!"), ..any() }, &[]),
        (CampaignFilter { name: name("ÄRMEL"), ..any() }, &[4]),
        (CampaignFilter { kind: simple, name: name("spring"), ..any() }, &[3, 1]),
        (CampaignFilter { status: active, ..any() }, &[3, 1]),
        (CampaignFilter { status: active, name: name("sale"), ..any() }, &[1]),
        (CampaignFilter { action: purchase(), ..any() }, &[4, 3, 1]),
        (CampaignFilter { action: purchase(), status: active, ..any() }, &[3, 1]),
        (CampaignFilter { action: purchase(), kind: Some(CampaignType::Quest), ..any() }, &[]),
    ];
    for (filter, expected) in cases {
        assert_eq!(numbers(&t, filter.clone()), expected, "{filter:?}");
    }
    let found = t.read(|sql| campaigns::search(sql, A, &action("purchase"), page(10))).items;
    assert_eq!(found.iter().map(|c| c.number).collect::<Vec<_>>(), [1, 3], "in force only");
    let none = t.read(|sql| campaigns::search(sql, B, &action("purchase"), page(10))).items;
    assert_eq!(none, []);
}

#[test]
fn due_campaigns_end_by_themselves() {
    let t = TestDb::with_tenants();
    t.write(|sql| {
        for (n, end) in [(1, Some(at(10))), (2, Some(at(20))), (3, None), (4, Some(at(10)))] {
            let mut new = new_campaign(n, "One");
            new.content.end_at = end;
            campaigns::create(sql, A, &new, &change(1))?;
            campaigns::activate(sql, A, campaign_id(n), None, &change(1))?;
        }
        campaigns::pause(sql, A, campaign_id(4), None, &change(2))
    })
    .expect("creates");
    let (by, ended) = t.raised(A, |sql| campaigns::end_due(sql, A, at(10), &change(30)));
    assert_eq!((by, ended), (2, vec![campaign_id(1), campaign_id(4)]));
    let (by, ended) = t.raised(A, |sql| campaigns::end_due(sql, A, at(10), &change(31)));
    assert_eq!((by, ended), (0, vec![]));
}

#[test]
fn status_changes_are_audited() {
    let t = TestDb::with_tenants();
    t.write(|sql| {
        campaigns::create(sql, A, &new_campaign(1, "One"), &change(1))?;
        campaigns::activate(sql, A, campaign_id(1), None, &change(2))?;
        campaigns::activate(sql, A, campaign_id(1), None, &change(3))?;
        campaigns::pause(sql, A, campaign_id(1), None, &change(4))
    })
    .expect("changes");
    let subject = format!("campaign:{}", campaign_id(1));
    let log = t.read(move |sql| audit::list(sql, A, Some(&subject), page(10))).items;
    let seen: Vec<_> = log.iter().rev().map(|e| (e.action.as_str(), e.at)).collect();
    assert_eq!(
        seen,
        [("campaign.create", at(1)), ("campaign.activate", at(2)), ("campaign.pause", at(4))]
    );
    let after: serde_json::Value =
        serde_json::from_str(log[0].after_json.as_deref().expect("an image")).expect("JSON");
    assert_eq!(after["status"], "PAUSED");
    assert_eq!(after["rule"]["actions"][0], "purchase", "the rule is JSON, not a text of it");
}
