//! Keys, push settings, jobs, repeated requests, dead letters.

use domain::id::{JobId, TenantId};
use store::StoreError;
use store::control::audit;
use store::control::dead_letters::{self, DeadLetterRow};
use store::control::idempotency::{self, KeptAnswer, Repeat, RequestKey};
use store::control::jobs::{self, JobStatus};
use store::control::keys::{self, NewKey};
use store::control::push_auth::{self, TokenKey};
use uuid::Uuid;

use crate::{A, B, TestDb, after, at, change, key_id, page};

fn new_key(n: u128) -> NewKey {
    NewKey {
        key_id: key_id(n),
        name: "shop backend".to_owned(),
        scopes: vec!["events:write".to_owned(), "incentives:read".to_owned()],
        secret_hash: [n as u8; 32],
        prefix: "ik_0001".to_owned(),
        expires_at: Some(at(1000)),
    }
}

#[test]
fn a_key_is_found_without_its_tenant_and_revoked_under_it() {
    let t = TestDb::with_tenants();
    t.write(|sql| keys::create(sql, A, &new_key(1), &change(1))).expect("creates");
    let row = t.read(|sql| keys::find(sql, key_id(1))).expect("is there");
    assert_eq!((row.tenant_id, row.secret_hash), (A, [1; 32]));
    assert_eq!(row.scopes, ["events:write", "incentives:read"]);
    assert_eq!((row.expires_at, row.revoked_at, row.last_used_at), (Some(at(1000)), None, None));

    let theirs = t.write(|sql| keys::revoke(sql, B, key_id(1), &change(2)));
    assert!(matches!(theirs, Err(StoreError::NotFound { .. })), "{theirs:?}");
    let (by, row) = t.raised(A, |sql| keys::revoke(sql, A, key_id(1), &change(3)));
    assert_eq!((by, row.revoked_at), (0, Some(at(3))), "keys decide nothing");
    let again = t.write(|sql| keys::revoke(sql, A, key_id(1), &change(4))).expect("is no error");
    assert_eq!(again.revoked_at, Some(at(3)));
    let log = t.read(|sql| audit::list(sql, A, None, page(10))).items;
    assert_eq!(log[0].action, "key.revoke");
    let images = format!("{:?}{:?}", log[0].before_json, log[1].after_json);
    assert!(!images.contains("secret") && !images.contains("01, 01"), "{images}");
}

#[test]
fn the_last_use_of_a_key_never_goes_back() {
    let t = TestDb::with_tenants();
    let row = t
        .write(|sql| {
            keys::create(sql, A, &new_key(1), &change(1))?;
            for seconds in [5, 9, 7] {
                keys::touch(sql, A, key_id(1), at(seconds))?;
            }
            keys::find(sql, key_id(1))
        })
        .expect("touches");
    assert_eq!(row.expect("is there").last_used_at, Some(at(9)));
}

#[test]
fn keys_come_in_pages() {
    let t = TestDb::with_tenants();
    t.write(|sql| {
        keys::create(sql, A, &new_key(1), &change(1))?;
        keys::create(sql, A, &new_key(2), &change(2))
    })
    .expect("creates");
    let first = t.read(|sql| keys::list(sql, A, page(1)));
    assert_eq!((first.items[0].key_id, first.next), (key_id(2), Some(key_id(2))));
    let second = t.read(|sql| keys::list(sql, A, after(key_id(2), 1)));
    assert_eq!((second.items[0].key_id, second.next), (key_id(1), None));
    assert_eq!(t.read(|sql| keys::list(sql, B, page(1))).items, []);
}

#[test]
fn the_push_setting_is_one_for_each_tenant_and_its_secret_is_not_told() {
    let t = TestDb::with_tenants();
    let put = |key: TokenKey, seconds| {
        move |sql: &mut dyn store::control::Sql| {
            push_auth::put(sql, A, ("shop", &key), &["HS256".to_owned()], &change(seconds))
        }
    };
    assert!(t.read(|sql| push_auth::get(sql, A)).is_none());
    let secret = TokenKey::Secret("correct horse".to_owned());
    t.write(put(secret.clone(), 1)).expect("puts");
    let row = t.write(put(secret.clone(), 2)).expect("puts again");
    assert_eq!((row.updated_at, &row.key), (at(1), &secret));
    assert_eq!(t.read(|sql| push_auth::get(sql, A)), Some(row));
    let url = TokenKey::Jwks("https://shop.example/jwks.json".to_owned());
    t.write(put(url.clone(), 3)).expect("puts another");
    assert_eq!(t.read(|sql| push_auth::get(sql, A)).expect("is there").key, url);
    assert!(t.read(|sql| push_auth::get(sql, B)).is_none());
    let log = t.read(|sql| audit::list(sql, A, None, page(10)));
    assert!(!format!("{log:?}{secret:?}").contains("correct horse"));
}

#[test]
fn jobs_run_to_an_end() {
    let t = TestDb::with_tenants();
    let id = |n| JobId(Uuid::from_u128(n));
    t.write(move |sql| {
        for n in 1..=3 {
            let subject = Some(Uuid::from_u128(70 + n));
            jobs::start(sql, A, id(n), ("COHORT_RECOMPUTE", subject), at(1))?;
        }
        jobs::progress(sql, A, id(1), 40, Some(100))?;
        jobs::finish(sql, A, id(2), None, at(5))?;
        jobs::progress(sql, A, id(2), 1, None)
    })
    .expect("runs");
    let get = |n| t.read(move |sql| jobs::get(sql, A, id(n))).expect("is there");
    assert_eq!((get(1).progress_done, get(1).progress_total), (40, Some(100)));
    assert_eq!(
        (get(2).status, get(2).finished_at, get(2).progress_done),
        (JobStatus::Done, Some(at(5)), 0)
    );
    let failed = t.write(|sql| jobs::fail_running(sql, "the process was stopped", at(9)));
    assert_eq!(failed.expect("fails them"), 2);
    assert_eq!(
        (get(1).status, get(1).error.as_deref()),
        (JobStatus::Failed, Some("the process was stopped"))
    );
    let late = t.write(move |sql| jobs::finish(sql, A, id(1), None, at(10))).expect("no error");
    assert_eq!(late.status, JobStatus::Failed, "an end is an end");
    assert!(t.read(move |sql| jobs::get(sql, B, id(1))).is_none());
    let first = t.read(|sql| jobs::list(sql, A, page(2)));
    assert_eq!((first.items[0].job_id, first.next), (id(3), Some(id(2))));
}

#[test]
fn a_repeated_request_gets_its_first_answer() {
    let t = TestDb::with_tenants();
    let request = |tenant: Option<TenantId>, body: u8| RequestKey {
        tenant,
        route: "POST /api/v1/campaigns".to_owned(),
        key: "k1".to_owned(),
        body_hash: [body; 32],
    };
    let answer = KeptAnswer { status: 201, response: b"{}".to_vec() };
    let find = |request: RequestKey| t.read(move |sql| idempotency::find(sql, &request));
    assert_eq!(find(request(Some(A), 1)), Repeat::First);
    let kept = answer.clone();
    t.write(move |sql| idempotency::keep(sql, &request(Some(A), 1), &kept, at(1))).expect("keeps");
    assert_eq!(find(request(Some(A), 1)), Repeat::Answered(answer.clone()));
    assert_eq!(find(request(Some(A), 2)), Repeat::OtherBody);
    assert_eq!(find(request(Some(B), 1)), Repeat::First);
    assert_eq!(find(request(None, 1)), Repeat::First);
    let twice = t.write(move |sql| idempotency::keep(sql, &request(Some(A), 1), &answer, at(1)));
    assert!(matches!(twice, Err(StoreError::Conflict { .. })), "{twice:?}");
    assert_eq!(t.write(|sql| idempotency::forget(sql, at(1), 10)).expect("forgets"), 0);
    assert_eq!(t.write(|sql| idempotency::forget(sql, at(2), 10)).expect("forgets"), 1);
    assert_eq!(find(request(Some(A), 1)), Repeat::First);
}

#[test]
fn dead_letters_keep_their_bytes() {
    let t = TestDb::with_tenants();
    let letter = |n: u128, tenant| DeadLetterRow {
        dead_letter_id: Uuid::from_u128(n),
        tenant_id: tenant,
        source: "ingest".to_owned(),
        reason: "UNREADABLE".to_owned(),
        detail: "not JSON".to_owned(),
        raw: vec![0, 0xff, b'{'],
        received_at: at(1),
        replayed_at: None,
    };
    t.write(move |sql| {
        [(1, Some(A)), (2, Some(A)), (3, None), (4, Some(B))]
            .into_iter()
            .try_for_each(|(n, tenant)| dead_letters::insert(sql, &letter(n, tenant)))
    })
    .expect("keeps");
    let first = t.read(|sql| dead_letters::list(sql, A, page(1)));
    assert_eq!(first.items, [letter(2, Some(A))]);
    let rest = t.read(|sql| dead_letters::list(sql, A, after(Uuid::from_u128(2), 5)));
    assert_eq!((rest.items, rest.next), (vec![letter(1, Some(A))], None));
    assert_eq!(t.read(|sql| dead_letters::list_unowned(sql, page(5))).items, [letter(3, None)]);
    assert!(t.read(|sql| dead_letters::get(sql, A, Uuid::from_u128(4))).is_none());
    t.write(|sql| dead_letters::mark_replayed(sql, A, Uuid::from_u128(1), at(8))).expect("marks");
    let marked = t.read(|sql| dead_letters::get(sql, A, Uuid::from_u128(1))).expect("is there");
    assert_eq!(marked.replayed_at, Some(at(8)));
    assert_eq!(t.read(|sql| dead_letters::count_open(sql, A)), 1);
    let theirs = t.write(|sql| dead_letters::mark_replayed(sql, A, Uuid::from_u128(4), at(8)));
    assert!(matches!(theirs, Err(StoreError::NotFound { .. })), "{theirs:?}");
}
