//! What the hot path has written, as the control plane reads it.

use domain::event::RecordKind;
use domain::id::{
    ActionCode, CampaignId, Cause, EventId, EventKey, IncentiveId, UserId, incentive_id, user_id,
};
use domain::incentive::RewardType;
use domain::limit::Meter;
use domain::state::UserState;
use domain::time::{Day, Timestamp};
use rusqlite::params;
use store::StoreError;
use store::control::incentives::{self, IncentiveFilter};
use store::control::{decisions, limits, users};
use uuid::Uuid;

use crate::{A, B, TestDb, after, at, campaign_id, page, user};

fn event(id: &str) -> EventId {
    EventId::new(id).expect("an id")
}

struct Grant {
    tenant: domain::id::TenantId,
    user: &'static str,
    campaign: CampaignId,
    event: String,
    issued_at: Timestamp,
    seq: i64,
    ordinal: i64,
}

impl Grant {
    fn id(&self) -> IncentiveId {
        let cause = event(&self.event);
        let user = user_id(self.tenant, &user(self.user));
        incentive_id(self.issued_at, self.tenant, self.campaign, user, Cause::Event(&cause), 0)
    }

    fn insert(self, t: &TestDb) -> IncentiveId {
        let id = self.id();
        let user_id = user_id(self.tenant, &user(self.user));
        t.hot(move |c| {
            c.execute(
                "insert into incentives
                 values (?1, ?2, ?3, ?4, ?5, 1, ?6, 'POINTS', 'POINTS', '12.50', null, ?7, ?8, 0, 1,
                         ?9, 1, null, 1, null, 1, null, 1, null, 20000, null)",
                params![
                    id.0.as_bytes(),
                    self.tenant.0.as_bytes(),
                    user_id.0.as_bytes(),
                    self.user,
                    self.campaign.0.as_bytes(),
                    self.event,
                    self.issued_at.micros(),
                    self.seq,
                    self.ordinal,
                ],
            )?;
            Ok(())
        });
        id
    }
}

/// Twelve grants of A, ten seconds apart, to u0 and u1 in turn by the campaigns 1, 2 and 3; one of B.
fn granted() -> (TestDb, Vec<IncentiveId>) {
    let t = TestDb::with_tenants();
    let ids = (0..12)
        .map(|n| {
            Grant {
                tenant: A,
                user: ["u0", "u1"][n % 2],
                campaign: campaign_id(1 + n as u128 % 3),
                event: format!("e{n}"),
                issued_at: at(10 * n as i64),
                seq: 1 + n as i64 / 2,
                ordinal: n as i64,
            }
            .insert(&t)
        })
        .collect();
    let other = Grant {
        tenant: B,
        user: "u0",
        campaign: campaign_id(1),
        event: "e0".to_owned(),
        issued_at: at(5),
        seq: 1,
        ordinal: 99,
    };
    other.insert(&t);
    (t, ids)
}

fn listed(t: &TestDb, filter: IncentiveFilter, size: u32) -> Vec<IncentiveId> {
    let mut found = Vec::new();
    let mut next = page(size);
    loop {
        let request = next;
        let page = t.read(move |sql| incentives::list(sql, A, &filter, request));
        assert!(page.items.len() <= size as usize);
        found.extend(page.items.iter().map(|i| i.incentive_id));
        match page.next {
            Some(key) => next = after(key, size),
            None => return found,
        }
    }
}

#[test]
fn incentives_are_listed_by_every_filter_and_page_size() {
    let (t, ids) = granted();
    let any = IncentiveFilter::default;
    let u1 = Some(user_id(A, &user("u1")));
    type Wanted = fn(usize) -> bool;
    let cases: [(IncentiveFilter, Wanted); 10] = [
        (any(), |_| true),
        (IncentiveFilter { campaign: Some(campaign_id(2)), ..any() }, |n| n % 3 == 1),
        (IncentiveFilter { user: u1, ..any() }, |n| n % 2 == 1),
        (IncentiveFilter { user: u1, campaign: Some(campaign_id(2)), ..any() }, |n| n % 6 == 1),
        (IncentiveFilter { from: Some(at(30)), ..any() }, |n| n >= 3),
        (IncentiveFilter { to: Some(at(30)), ..any() }, |n| n < 3),
        (IncentiveFilter { from: Some(at(20)), to: Some(at(50)), ..any() }, |n| {
            (2..5).contains(&n)
        }),
        (
            IncentiveFilter {
                campaign: Some(campaign_id(1)),
                from: Some(at(30)),
                to: Some(at(90)),
                ..any()
            },
            |n| n % 3 == 0 && (3..9).contains(&n),
        ),
        (IncentiveFilter { user: u1, from: Some(at(30)), to: Some(at(90)), ..any() }, |n| {
            n % 2 == 1 && (3..9).contains(&n)
        }),
        (IncentiveFilter { user: Some(UserId(Uuid::nil())), ..any() }, |_| false),
    ];
    for (filter, wanted) in cases {
        let expected: Vec<_> = (0..12).rev().filter(|n| wanted(*n)).map(|n| ids[n]).collect();
        for size in [1, 2, 5, 100] {
            assert_eq!(listed(&t, filter, size), expected, "{filter:?} by {size}");
        }
    }
}

#[test]
fn bounds_in_time_are_exact_below_a_millisecond() {
    let t = TestDb::with_tenants();
    let micros = |n: i64| at(0).plus_micros(n);
    for (n, us) in [100, 200, 300].into_iter().enumerate() {
        Grant {
            tenant: A,
            user: "u0",
            campaign: campaign_id(1),
            event: format!("e{n}"),
            issued_at: micros(us),
            seq: 1 + n as i64,
            ordinal: n as i64,
        }
        .insert(&t);
    }
    let filter = IncentiveFilter {
        from: Some(micros(200)),
        to: Some(micros(300)),
        ..IncentiveFilter::default()
    };
    for user in [None, Some(user_id(A, &user("u0")))] {
        let found = listed(&t, IncentiveFilter { user, ..filter }, 10);
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn an_incentive_is_read_whole_and_only_by_its_tenant() {
    let (t, ids) = granted();
    let id = ids[3];
    let row = t.read(move |sql| incentives::get(sql, A, id)).expect("is there");
    assert_eq!((row.user_ref.as_str(), row.event_id.as_str(), row.seq), ("u1", "e3", 2));
    assert_eq!((row.kind, row.reward_amount.to_string().as_str()), (RewardType::Points, "12.50"));
    assert!(t.read(move |sql| incentives::get(sql, B, id)).is_none());
}

fn append(t: &TestDb, offset: i64, id: &'static str, outcome: Option<&'static str>) {
    t.hot(move |c| {
        let key = EventKey::of(&event(id)).0;
        let (tenant, user_id) = (A.0.as_bytes(), user_id(A, &user("u1")));
        c.execute(
            "insert into events values (?1, ?2, ?3, ?4, 'u1', 'purchase', ?5, '{\"amount\":1}', ?6, 2, ?7)",
            params![offset, tenant, id, user_id.0.as_bytes(), at(1).micros(), at(10).micros(), outcome],
        )?;
        c.execute(
            "insert into event_ids values (?1, ?2, zeroblob(16), ?3, ?4)",
            params![tenant, key, offset, at(10).micros()],
        )?;
        Ok(())
    });
}

#[test]
fn a_decision_is_its_event_its_outcome_and_what_it_earned() {
    let (t, ids) = granted();
    append(&t, 1, "e1", Some(r#"{"s":"DECIDED"}"#));
    append(&t, 2, "e2", None);
    let row = t.read(|sql| decisions::by_event(sql, A, &event("e1"))).expect("is there");
    assert_eq!((row.log_offset, row.kind, row.append_time), (1, RecordKind::Replay, at(10)));
    assert_eq!(
        (row.action_code, row.payload.as_str()),
        (ActionCode::new("purchase").expect("a code"), r#"{"amount":1}"#)
    );
    assert_eq!(row.outcome.as_deref(), Some(r#"{"s":"DECIDED"}"#));
    assert_eq!(row.incentives.iter().map(|i| i.incentive_id).collect::<Vec<_>>(), [ids[1]]);
    let row = t.read(|sql| decisions::by_event(sql, A, &event("e2"))).expect("is there");
    assert_eq!((row.outcome, row.incentives), (None, vec![]));
    assert!(t.read(|sql| decisions::by_event(sql, A, &event("e3"))).is_none());
    assert!(t.read(|sql| decisions::by_event(sql, B, &event("e1"))).is_none());
}

#[test]
fn users_their_states_and_completions_are_read() {
    let t = TestDb::with_tenants();
    let state = UserState {
        seq: 4,
        limit: Meter { ever: 4, days: vec![(Day(20_454), 4)] },
        ..UserState::default()
    };
    let text = serde_json::to_string(&state).expect("JSON");
    t.hot(move |c| {
        for name in ["u1", "u2", "u3"] {
            let id = user_id(A, &user(name));
            c.execute(
                "insert into users values (?1, ?2, ?3, '{\"tier\":\"gold\"}', ?4)",
                params![id.0.as_bytes(), A.0.as_bytes(), name, at(1).micros()],
            )?;
        }
        let id = user_id(A, &user("u1"));
        c.execute(
            "insert into user_states values (?1, ?2, 3, 4, ?3)",
            params![id.0.as_bytes(), A.0.as_bytes(), text],
        )?;
        for n in 0..3_i64 {
            c.execute(
                "insert into user_aggregations values (?1, ?2, ?3, ?4, 'visit', 1, 'login', null, 'LIMIT_USER_DAY', ?5)",
                params![Uuid::from_u128(n as u128).as_bytes(), A.0.as_bytes(), id.0.as_bytes(), campaign_id(1).0.as_bytes(), at(n / 2).micros()],
            )?;
        }
        Ok(())
    });
    let row = t.read(|sql| users::get(sql, A, &user("u1"))).expect("is there");
    assert_eq!((row.external_ref, row.attributes.as_str()), (user("u1"), r#"{"tier":"gold"}"#));
    assert!(t.read(|sql| users::get(sql, B, &user("u1"))).is_none());
    let names = t.read(|sql| users::list(sql, A, &after("u1".to_owned(), 1)));
    assert_eq!((names.items[0].external_ref.as_str(), names.next.as_deref()), ("u2", Some("u2")));

    let id = user_id(A, &user("u1"));
    let stored = t.read(move |sql| users::state(sql, A, id)).expect("is there");
    assert_eq!((stored.version, &stored.state), (3, &state));
    assert_eq!(t.read(move |sql| limits::user_use(sql, A, id)), state.limit);
    assert_eq!(t.read(move |sql| limits::user_use(sql, B, id)), Meter::default());

    let first = t.read(move |sql| users::completions(sql, A, id, page(2)));
    let order = |rows: &[users::CompletionRow]| {
        rows.iter().map(|r| r.aggregation_id.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(order(&first.items), [2, 1], "the newest first, then by id");
    let next = first.next.expect("a second page");
    let second = t.read(move |sql| users::completions(sql, A, id, after(next, 2)));
    assert_eq!((order(&second.items), second.next), (vec![0], None));
    assert_eq!(first.items[0].unpaid_reason.as_deref(), Some("LIMIT_USER_DAY"));
}

#[test]
fn the_use_of_limits_is_read_in_buckets() {
    let t = TestDb::with_tenants();
    t.hot(|c| {
        for (bucket, used) in [(limits::BUCKET_EVER, "7"), (20_000, "3"), (20_001, "4")] {
            c.execute(
                "insert into limit_usage values (?1, 'tenant', ?2, ?3)",
                params![A.0.as_bytes(), bucket, used],
            )?;
        }
        Ok(())
    });
    let meter = t.read(|sql| limits::tenant_use(sql, A));
    let days: Vec<_> = meter.days.iter().map(|(day, n)| (day.0, n.to_string())).collect();
    assert_eq!(
        (meter.ever.to_string(), days),
        ("7".to_owned(), vec![(20_000, "3".to_owned()), (20_001, "4".to_owned())])
    );
    assert_eq!(t.read(|sql| limits::tenant_use(sql, B)), Meter::default());
}

#[test]
fn a_stored_value_that_makes_no_sense_is_named() {
    let t = TestDb::with_tenants();
    t.hot(|c| {
        c.execute(
            "insert into limit_usage values (?1, 'tenant', 20000, 'much')",
            params![A.0.as_bytes()],
        )?;
        Ok(())
    });
    let error =
        t.db.read_blocking(|c| limits::tenant_use(&mut store::control::SqliteSession(c), A))
            .expect_err("refused");
    let StoreError::Corrupt { table, column, row, detail } = &error else { panic!("{error:?}") };
    assert!(table.ends_with("limits::USAGE"), "{table}");
    assert_eq!((column.as_str(), row.as_str()), ("used", "20000"));
    assert!(detail.contains("much") && error.to_string().contains("incent doctor"), "{error}");
}
