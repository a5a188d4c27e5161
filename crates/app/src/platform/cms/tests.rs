//! The cache against a CMS in memory, under a clock that the test sets; the link against a socket
//! that says what the test wants; the document over the demo's campaigns.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::time::Duration;

use domain::compile::check_rule;
use domain::config::{CampaignSource, TenantMode};
use domain::id::{CampaignId, LimitId};
use domain::limit::LimitSpec;
use domain::time::{SECOND_US, Zone};
use engine::metrics::Metrics;
use http::api::campaigns::decision::Configuration;
use store::control::{Change, tenants};
use store::{DbOptions, SqliteDb};
use testkit::clock::ManualClock;
use testkit::dir::TempDir;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::cache::{
    BACKGROUND_MAX, REVALIDATED_AFTER_US, TENANTS_MAX, TROUBLE_TOLD_US, USED_WITHIN_US,
};
use super::*;
use crate::command::apply::document::Document;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));

fn config(tenant: TenantId, config_version: i64) -> TenantConfig {
    TenantConfig {
        tenant,
        config_version,
        zone: Zone::utc(),
        lateness_us: 0,
        mode: TenantMode::Live,
        tenant_limit: LimitSpec::default(),
        user_limit: LimitSpec::default(),
        campaigns: Vec::new(),
        dormant: Vec::new(),
        coupon_key: [7; 32],
        cohorts: Vec::new(),
    }
}

/// A CMS that has one version for all tenants.
struct Cms {
    /// What is in force; `None` = it does not answer.
    version: Mutex<Option<i64>>,
    /// Which versions those who asked had.
    asked: Mutex<Vec<Option<i64>>>,
    /// Answers that it may give.
    permits: Semaphore,
}

/// A cache in front of it.
struct Stage {
    cms: Arc<Cms>,
    cache: Arc<Cache>,
    clock: Arc<ManualClock>,
    metrics: Metrics,
}

fn stage() -> Stage {
    let permits = Semaphore::new(Semaphore::MAX_PERMITS);
    let version = Mutex::new(Some(1));
    let cms = Arc::new(Cms { version, asked: Mutex::default(), permits });
    let clock = Arc::new(ManualClock::at(Timestamp::from_stored(1_000_000_000_000_000)));
    let metrics = Metrics::detached();
    let asked = cms.clone();
    let ask: Ask = Box::new(move |tenant, held| {
        let cms = asked.clone();
        Box::pin(async move {
            cms.asked.lock().unwrap().push(held);
            // What it says is as of the question.
            let version = *cms.version.lock().unwrap();
            cms.permits.acquire().await.unwrap().forget();
            match version {
                Some(version) if held == Some(version) => Ok(Answer::Unchanged),
                Some(0) => Ok(Answer::NoTenant),
                Some(version) => Ok(Answer::Changed(Box::new(config(tenant, version)))),
                None => Err(PortError {
                    kind: PortErrorKind::Unavailable,
                    message: "the CMS at http://cms is gone".to_owned(),
                }),
            }
        })
    });
    let cache = Cache::new(ask, clock.clone(), metrics.clone());
    Stage { cms, cache, clock, metrics }
}

impl Stage {
    fn in_force(&self, version: Option<i64>) {
        *self.cms.version.lock().unwrap() = version;
    }

    fn pass(&self, micros: i64) {
        self.clock.set(engine::ports::Clock::now(&*self.clock).plus_micros(micros));
    }

    /// Which version is given.
    async fn given(&self) -> Result<Option<i64>, String> {
        let given = self.cache.config(TENANT).await.map_err(|error| error.to_string())?;
        Ok(given.map(|config| config.config_version))
    }

    /// What is asked in the background is answered.
    async fn quiet(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// What those who asked had, since the last look.
    fn asked(&self) -> Vec<Option<i64>> {
        std::mem::take(&mut *self.cms.asked.lock().unwrap())
    }

    /// The CMS takes its time from now on.
    fn hold(&self) {
        self.cms.permits.forget_permits(Semaphore::MAX_PERMITS);
    }
}

#[tokio::test]
async fn it_is_asked_once_and_then_in_the_background() {
    let stage = stage();
    assert!(!stage.cache.still_holds(TENANT, 1), "nothing is known");
    assert_eq!(stage.given().await, Ok(Some(1)));
    for _ in 0..3 {
        assert_eq!(stage.given().await, Ok(Some(1)));
        assert!(stage.cache.still_holds(TENANT, 1));
    }
    stage.quiet().await;
    assert_eq!(stage.asked(), [None]);
    // Old enough to be asked about again: nobody waits, and one question is enough.
    stage.pass(REVALIDATED_AFTER_US);
    stage.hold();
    for _ in 0..3 {
        assert!(stage.cache.still_holds(TENANT, 1));
        assert_eq!(stage.given().await, Ok(Some(1)));
        stage.quiet().await;
    }
    assert_eq!(stage.asked(), [Some(1)]);
    stage.cms.permits.add_permits(1);
    stage.quiet().await;
    assert!(stage.cache.still_holds(TENANT, 1));
    stage.quiet().await;
    assert_eq!(stage.asked(), [], "it is confirmed");
    let counts = ["changed", "unchanged", "failed"].map(|word| stage.metrics.cms_answers(word));
    assert_eq!(counts, [1, 1, 0]);
    let uses = ["cms", "cache", "stale", "coalesced"].map(|from| stage.metrics.cms_uses(from));
    assert_eq!(uses, [1, 13, 0, 0]);
}

#[tokio::test]
async fn those_who_come_at_the_same_time_wait_for_one_answer() {
    let stage = stage();
    stage.hold();
    let many: Vec<_> = (0..8)
        .map(|_| {
            let cache = stage.cache.clone();
            tokio::spawn(async move { cache.config(TENANT).await.unwrap().unwrap() })
        })
        .collect();
    stage.quiet().await;
    // One of them gives up: the others get their answer all the same.
    many[0].abort();
    stage.cms.permits.add_permits(1);
    for one in many.into_iter().skip(1) {
        assert_eq!(one.await.unwrap().config_version, 1);
    }
    assert_eq!(stage.asked(), [None]);
    assert_eq!(stage.metrics.cms_uses("coalesced"), 7);
}

#[tokio::test]
async fn a_change_that_is_seen_in_the_background_is_taken_up() {
    let stage = stage();
    assert_eq!(stage.given().await, Ok(Some(1)));
    stage.in_force(Some(2));
    assert!(stage.cache.still_holds(TENANT, 1), "nobody has seen it yet");
    stage.pass(REVALIDATED_AFTER_US);
    assert!(stage.cache.still_holds(TENANT, 1));
    stage.quiet().await;
    assert!(!stage.cache.still_holds(TENANT, 1));
    assert_eq!(stage.given().await, Ok(Some(2)));
    assert_eq!(stage.asked(), [None, Some(1)]);
}

#[tokio::test]
async fn what_the_store_has_left_is_not_given_again() {
    let stage = stage();
    assert_eq!(stage.given().await, Ok(Some(1)));
    stage.in_force(Some(2));
    stage.cache.outdated(TENANT, 1);
    assert!(!stage.cache.still_holds(TENANT, 1));
    assert_eq!(stage.given().await, Ok(Some(2)));
    // A second worker finds the same later: what is known by now is good.
    stage.cache.outdated(TENANT, 1);
    assert_eq!(stage.given().await, Ok(Some(2)));
    assert_eq!(stage.asked(), [None, Some(1)]);
}

#[tokio::test]
async fn an_answer_to_a_question_of_before_is_not_given_to_those_who_ask_after() {
    for is_told_twice in [false, true] {
        let stage = stage();
        assert_eq!(stage.given().await, Ok(Some(1)));
        stage.pass(REVALIDATED_AFTER_US);
        stage.hold();
        assert!(stage.cache.still_holds(TENANT, 1), "asks in the background");
        stage.quiet().await;
        stage.in_force(Some(2));
        stage.cache.outdated(TENANT, 1);
        let cache = stage.cache.clone();
        let after = tokio::spawn(async move { cache.config(TENANT).await.unwrap().unwrap() });
        stage.quiet().await;
        if is_told_twice {
            stage.cache.outdated(TENANT, 1);
            let cache = stage.cache.clone();
            tokio::spawn(async move { cache.config(TENANT).await.map(drop) });
            stage.quiet().await;
        }
        stage.cms.permits.add_permits(2);
        assert_eq!(after.await.unwrap().config_version, 2);
        stage.quiet().await;
        assert!(!stage.cache.still_holds(TENANT, 1) && stage.cache.still_holds(TENANT, 2));
        assert_eq!(stage.asked(), [None, Some(1), Some(1)], "told twice: {is_told_twice}");
    }
}

#[tokio::test]
async fn a_cms_that_insists_on_what_the_store_has_left_is_named() {
    let stage = stage();
    assert_eq!(stage.given().await, Ok(Some(1)));
    stage.cache.outdated(TENANT, 1);
    let why = stage.given().await.expect_err("it cannot be right");
    assert!(why.contains("version 1") && why.contains("the same database"), "{why}");
    assert!(stage.cache.trouble().is_some_and(|told| told.contains("the same database")));
    // Unless the database was set back meanwhile: the store tells if not.
    assert_eq!(stage.given().await, Ok(Some(1)));
    assert_eq!(stage.cache.trouble(), None);
    assert_eq!(stage.asked(), [None, Some(1), Some(1)]);
}

#[tokio::test]
async fn while_the_cms_is_away_what_is_known_is_used_for_a_while() {
    let stage = stage();
    assert_eq!(stage.given().await, Ok(Some(1)));
    stage.in_force(None);
    for _ in 0..USED_WITHIN_US / REVALIDATED_AFTER_US - 1 {
        stage.pass(REVALIDATED_AFTER_US);
        assert!(stage.cache.still_holds(TENANT, 1));
        stage.quiet().await;
        // A question that failed is not repeated at once.
        assert_eq!(stage.given().await, Ok(Some(1)));
        stage.quiet().await;
        assert_eq!(stage.cache.trouble(), None, "nobody waits");
    }
    assert_eq!(stage.asked().len(), 90);
    assert!(stage.metrics.cms_uses("stale") > 170);
    stage.pass(REVALIDATED_AFTER_US - 1);
    assert!(stage.cache.still_holds(TENANT, 1));
    stage.quiet().await;
    stage.pass(1);
    assert!(!stage.cache.still_holds(TENANT, 1), "too old");
    let why = stage.given().await.expect_err("nothing to decide by");
    assert!(why.contains("the CMS at http://cms is gone"), "{why}");
    assert_eq!(stage.cache.trouble(), Some(why));
    // When it is back, so is everything.
    stage.in_force(Some(1));
    assert_eq!(stage.given().await, Ok(Some(1)));
    assert!(stage.cache.still_holds(TENANT, 1));
    assert_eq!(stage.cache.trouble(), None);
}

#[tokio::test]
async fn away_and_outdated_at_once_there_is_nothing_to_decide_by() {
    let stage = stage();
    assert_eq!(stage.given().await, Ok(Some(1)));
    stage.in_force(None);
    stage.cache.outdated(TENANT, 1);
    for _ in 0..3 {
        assert!(!stage.cache.still_holds(TENANT, 1));
        stage.given().await.expect_err("the version is not in force any more");
    }
    // Nobody asks for it any more, as when its partition has gone: then nobody waits.
    assert!(stage.cache.trouble().is_some());
    stage.pass(TROUBLE_TOLD_US);
    assert_eq!(stage.cache.trouble(), None);
    stage.in_force(Some(2));
    assert_eq!(stage.given().await, Ok(Some(2)));
}

#[tokio::test]
async fn after_a_cohort_was_recomputed_it_is_asked_whatever_is_known() {
    let stage = stage();
    assert_eq!(stage.given().await, Ok(Some(1)));
    stage.cache.doubt(TENANT);
    // Nothing has changed, which is as good an answer as any.
    assert_eq!(stage.given().await, Ok(Some(1)));
    assert_eq!(stage.asked(), [None, Some(1)]);
}

#[tokio::test]
async fn an_answer_of_before_the_recompute_is_not_taken_for_one_of_after_it() {
    let stage = stage();
    assert_eq!(stage.given().await, Ok(Some(1)));
    stage.pass(REVALIDATED_AFTER_US);
    stage.hold();
    assert!(stage.cache.still_holds(TENANT, 1), "asks in the background");
    stage.quiet().await;
    stage.in_force(Some(2));
    stage.cache.doubt(TENANT);
    let cache = stage.cache.clone();
    let after = tokio::spawn(async move { cache.config(TENANT).await.unwrap().unwrap() });
    stage.quiet().await;
    // First comes what was asked first.
    stage.cms.permits.add_permits(1);
    stage.quiet().await;
    assert!(!stage.cache.still_holds(TENANT, 1));
    stage.cms.permits.add_permits(1);
    assert_eq!(after.await.unwrap().config_version, 2);
    assert!(stage.cache.still_holds(TENANT, 2));
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_nothing_alive() {
    let stage = stage();
    assert_eq!(stage.given().await, Ok(Some(1)));
    stage.pass(-3600 * SECOND_US);
    assert!(!stage.cache.still_holds(TENANT, 1));
    assert_eq!(stage.given().await, Ok(Some(1)));
    assert_eq!(stage.asked(), [None, Some(1)]);
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_who_is_nobody_is_not_kept() {
    let stage = stage();
    stage.in_force(Some(0));
    assert_eq!(stage.given().await, Ok(None));
    assert_eq!(stage.given().await, Ok(None));
    assert_eq!(stage.asked(), [None, None], "it may be made at any time");
    stage.in_force(Some(1));
    let tenant = |n: usize| TenantId(Uuid::from_u128(n as u128));
    for n in 0..=TENANTS_MAX {
        stage.pass(1);
        stage.cache.config(tenant(n)).await.unwrap();
    }
    assert!(!stage.cache.still_holds(tenant(0), 1), "the one not used for the longest time");
    assert!(stage.cache.still_holds(tenant(1), 1));
    assert!(stage.cache.still_holds(tenant(TENANTS_MAX), 1));
}

#[tokio::test]
async fn those_who_wait_are_not_behind_what_is_asked_in_the_background() {
    let stage = stage();
    let tenant = |n: usize| TenantId(Uuid::from_u128(n as u128));
    for n in 0..10 {
        stage.cache.config(tenant(n)).await.unwrap();
    }
    stage.asked();
    stage.pass(REVALIDATED_AFTER_US);
    stage.hold();
    for n in 0..10 {
        assert!(stage.cache.still_holds(tenant(n), 1));
    }
    stage.quiet().await;
    assert_eq!(stage.asked().len(), BACKGROUND_MAX);
    // Those left out are asked about when they are used next.
    stage.cms.permits.add_permits(10);
    stage.quiet().await;
    for n in 0..10 {
        assert!(stage.cache.still_holds(tenant(n), 1));
        stage.quiet().await;
    }
    assert_eq!(stage.asked().len(), 10 - BACKGROUND_MAX);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_waited_for_a_while_and_can_be_waited_for_again() {
    let stage = stage();
    stage.hold();
    let why = stage.given().await.expect_err("it hangs");
    assert!(why.contains("too long"), "{why}");
    let cache = stage.cache.clone();
    let again = tokio::spawn(async move { cache.config(TENANT).await.unwrap().unwrap() });
    stage.quiet().await;
    stage.cms.permits.add_permits(1);
    assert_eq!(again.await.unwrap().config_version, 1);
    assert_eq!(stage.asked(), [None]);
}

/// A server that says these things, one to each who connects, and its address. What each asked is
/// told when it is joined.
fn says(answers: &[&str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut answers: VecDeque<String> = answers.iter().map(ToString::to_string).collect();
    let serving = std::thread::spawn(move || {
        let mut asked = Vec::new();
        while let Some(answer) = answers.pop_front() {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            asked.push(String::from_utf8(request).unwrap());
            // Whoever has enough hangs up.
            let _ = stream.write_all(answer.as_bytes());
        }
        asked
    });
    (url, serving)
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn document(config: TenantConfig) -> String {
    serde_json::to_string(&Configuration::of(config).unwrap()).unwrap()
}

fn link(url: &str) -> Arc<Link> {
    let cms = crate::config::cms::Cms { url: url.to_owned(), token: "the token".to_owned() };
    Arc::new(Link::with_patience(&cms, Duration::from_secs(20)))
}

#[tokio::test]
async fn the_link_asks_with_the_token_and_the_version_held() {
    let good = answer("200 OK", &document(config(TENANT, 4)));
    let unchanged = "HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n".to_owned();
    let (url, asked) = says(&[&good, &unchanged]);
    let Ok(Said::Config(said)) = link(&url).ask(TENANT, None).await else { panic!("no answer") };
    assert_eq!(*said, config(TENANT, 4));
    let again = link(&url).ask(TENANT, Some(4)).await;
    assert!(matches!(again, Ok(Said::Unchanged)), "{again:?}");
    let asked = asked.join().unwrap();
    let path = format!("GET /api/v1/campaigns/search?view=DECISION&tenantId={TENANT} HTTP/1.1");
    assert!(asked.iter().all(|request| request.starts_with(&path)), "{asked:?}");
    assert!(asked.iter().all(|request| request.contains("authorization: Bearer the token")));
    assert!(!asked[0].contains("if-none-match"), "{asked:?}");
    assert!(asked[1].contains("if-none-match: \"v4\""), "{asked:?}");
}

#[tokio::test]
async fn whatever_the_cms_says_leads_to_one_kind_of_failure() {
    use PortErrorKind::{Invalid, Unavailable};
    let problem = |code: &str| format!(r#"{{"code": "{code}", "detail": "so it is"}}"#);
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_owned();
    let huge = "HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n".to_owned();
    let other = document(config(TenantId(Uuid::from_u128(2)), 4));
    let newer = document(config(TENANT, 4)).replacen('{', r#"{"moon": 1,"#, 1);
    let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n".to_owned();
    for (said, kind, why) in [
        (answer("401 Unauthorized", &problem("UNAUTHENTICATED")), Invalid, "INCENT_SERVICE_TOKEN"),
        (answer("403 Forbidden", ""), Invalid, "refuses the service token (403)"),
        (answer("404 Not Found", &problem("NOT_SERVED_HERE")), Unavailable, "so it is"),
        (answer("404 Not Found", "<html>"), Unavailable, "answers 404"),
        (answer("409 Conflict", &problem("INVALID_STATE")), Unavailable, "so it is"),
        (answer("429 Too Many Requests", &problem("RATE_LIMITED")), Unavailable, "RATE_LIMITED"),
        (answer("500 Internal Server Error", &problem("INTERNAL")), Unavailable, "INTERNAL"),
        (answer("503 Service Unavailable", ""), Unavailable, "answers 503"),
        (answer("200 OK", "<html>"), Unavailable, "is no configuration to us"),
        (answer("200 OK", &other), Unavailable, "answers about"),
        (answer("200 OK", &newer), Unavailable, "moon"),
        (answer("204 No Content", ""), Unavailable, "answers 204"),
        (elsewhere, Unavailable, "answers 302"),
        (cut, Unavailable, "does not answer"),
        (huge, Unavailable, "does not answer"),
        ("nonsense\r\n\r\n".to_owned(), Unavailable, "does not answer"),
        (String::new(), Unavailable, "does not answer"),
    ] {
        let (url, asked) = says(&[&said]);
        let error = link(&url).ask(TENANT, None).await.expect_err(&said);
        assert_eq!(error.kind, kind, "{said}: {error}");
        assert!(error.message.contains(why) && error.message.contains(&url), "{said}: {error}");
        assert!(!error.message.contains("the token"), "{error}");
        asked.join().unwrap();
    }
    let (url, asked) = says(&[&answer("404 Not Found", &problem("NOT_FOUND"))]);
    let nobody = link(&url).ask(TENANT, None).await;
    assert!(matches!(nobody, Ok(Said::NoTenant(_))), "{nobody:?}");
    asked.join().unwrap();
    let error = link("http://127.0.0.1:1").ask(TENANT, None).await.expect_err("nobody is there");
    assert_eq!(error.kind, Unavailable, "{error}");
}

#[tokio::test]
async fn that_a_tenant_is_nobody_is_believed_only_if_the_store_says_so_too() {
    let (dir, at) = (TempDir::new(), Timestamp::from_stored(1));
    let db = SqliteDb::open(&dir.path().join("incent.db"), &DbOptions::default()).unwrap();
    store::migrate::migrate(&db, at).await.unwrap();
    let control = Control::Sqlite(db.clone());
    let new = tenants::NewTenant {
        tenant_id: TENANT,
        name: "Shop".to_owned(),
        time_zone: Zone::utc(),
        allowed_lateness_s: 0,
        coupon_key: [7; 32],
        tenant_limit: (LimitId(Uuid::from_u128(1)), LimitSpec::default()),
        user_limit: (LimitId(Uuid::from_u128(2)), LimitSpec::default()),
    };
    let change = Change { actor: "admin".to_owned(), at };
    control.write(move |sql| tenants::create(sql, &new, &change)).await.unwrap();
    let nobody = answer("404 Not Found", r#"{"code": "NOT_FOUND", "detail": "There is none."}"#);
    let (url, asked) = says(&[&nobody, &nobody]);
    let ask = asking(link(&url), control);
    let error = ask(TENANT, None).await.expect_err("its events would be dead letters");
    assert_eq!(error.kind, PortErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("same database"), "{error}");
    let stranger = ask(TenantId(Uuid::from_u128(2)), None).await;
    assert!(matches!(stranger, Ok(Answer::NoTenant)), "{stranger:?}");
    asked.join().unwrap();
    db.close().await;
}

#[tokio::test]
async fn who_never_answers_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cms = crate::config::cms::Cms { url, token: "the token".to_owned() };
    let link = Arc::new(Link::with_patience(&cms, Duration::from_millis(50)));
    let error = link.ask(TENANT, None).await.expect_err("nobody answers");
    assert_eq!(error.kind, PortErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("timeout"), "{error}");
}

#[test]
fn the_demos_campaigns_come_through_unchanged() {
    let mut whole = config(TENANT, 17);
    for document in crate::demo::documents().unwrap() {
        let Document::Campaign(campaign) = document else { continue };
        let rule = check_rule(&campaign.rule, campaign.campaign_type).expect("a rule");
        whole.campaigns.push(CampaignSource {
            id: CampaignId(Uuid::from_u128(whole.campaigns.len() as u128)),
            number: u32::try_from(whole.campaigns.len()).unwrap(),
            kind: campaign.campaign_type,
            version: 1,
            progress_version: 0,
            priority: campaign.priority,
            created_at: Timestamp::from_stored(1),
            start_at: campaign.start_at,
            end_at: campaign.end_at,
            cohort_id: None,
            rule_json: rule.to_stored().to_string(),
        });
    }
    assert_eq!(whole.campaigns.len(), 11);
    let text = document(whole.clone());
    let read: Configuration = domain::shape::read_json(text.as_bytes()).unwrap();
    assert_eq!(read.into_config().unwrap(), whole);
}
