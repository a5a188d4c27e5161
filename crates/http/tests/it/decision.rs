//! What a calculator decides by, as the CMS answers it.

use domain::config::{CampaignSource, CohortSource, TenantConfig, TenantMode};
use domain::id::{CampaignId, CohortId, TenantId};
use domain::limit::LimitSpec;
use domain::rule::CampaignType;
use domain::shape::read_json;
use domain::time::{Period, SECOND_US, Timestamp, Zone};
use http::Config;
use http::api::campaigns::decision::{CAMPAIGNS_MAX, Configuration, tag};
use http::route::Services;
use serde_json::json;
use store::control::config::tenant_config;
use testkit::random::Random;
use uuid::Uuid;

use crate::support::{Server, points_rule};

fn path(tenant: TenantId) -> String {
    format!("/api/v1/campaigns/search?view=DECISION&tenantId={tenant}")
}

fn read(text: &str) -> TenantConfig {
    let document: Configuration = read_json(text.as_bytes()).expect("a configuration");
    document.into_config().expect("a configuration")
}

/// A tenant with something of everything.
async fn shop(server: &Server) -> (TenantId, String) {
    let tenant = server.tenant("Shop").await;
    let admin = server.admin().acting_for(tenant);
    let criteria = json!({ "activity": [{ "on": ["purchase"], "sum": { "of": "event.amount",
                           "min": "0.10" } }] });
    let cohort = json!({ "name": "VIP", "type": "DYNAMIC", "criteria": criteria,
                         "refresh": "WEEKLY" });
    let cohort = admin.post("/api/v1/cohorts", cohort).await.expect(201);
    let rule = json!({ "on": ["purchase", "order.*"], "when": "event.amount >= 0.10",
                       "rewards": [{ "type": "CASHBACK", "currency": "EUR",
                                     "amount": { "percent": { "rate": 2.675,
                                                              "of": "event.amount" } } }] });
    let campaign = json!({ "name": "Cashback \u{1f4b6}", "type": "SIMPLE", "priority": -3,
                           "rule": rule, "cohortId": cohort["cohortId"],
                           "startAt": "2026-01-01T00:00:00.000001Z" });
    let campaign = admin.post("/api/v1/campaigns", campaign).await.expect(201);
    let campaign = campaign["campaignId"].as_str().expect("an id").to_owned();
    let held = json!({ "name": "held", "type": "SIMPLE", "rule": points_rule() });
    let held = admin.post("/api/v1/campaigns", held).await.expect(201);
    let held = held["campaignId"].as_str().expect("an id");
    for change in
        [format!("{campaign}:activate"), format!("{held}:activate"), format!("{held}:pause")]
    {
        admin.post(&format!("/api/v1/campaigns/{change}"), json!({})).await.expect(200);
    }
    let caps = json!({ "maxPerDay": 1_000_000_000_000_000_i64, "maxTotal": 7, "windowDays": 30 });
    admin.post(&format!("/api/v1/tenants/{tenant}/limits"), caps).await.expect(200);
    (tenant, campaign)
}

#[tokio::test]
async fn the_document_is_what_the_store_holds() {
    let server = Server::start().await;
    let (tenant, _) = shop(&server).await;
    let stored = server.app().control.read(move |sql| tenant_config(sql, tenant)).await;
    let stored = stored.expect("a store").expect("a tenant");
    assert!(!stored.campaigns.is_empty() && !stored.dormant.is_empty(), "{stored:?}");
    assert!(stored.cohorts.iter().any(|c| c.refresh == Some(Period::Week)), "{stored:?}");
    for caller in [server.service(), server.admin(), server.admin().acting_for(tenant)] {
        let answer = caller.get(&path(tenant)).await;
        assert_eq!(answer.header("etag"), tag(stored.config_version), "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store", "it holds a secret");
        assert_eq!(read(&answer.text), stored);
    }
}

#[tokio::test]
async fn a_version_that_is_still_in_force_is_not_sent_again() {
    let server = Server::start().await;
    let (tenant, campaign) = shop(&server).await;
    let known = server.service().get(&path(tenant)).await;
    let tag = known.header("etag").to_owned();
    assert!(tag.starts_with("\"v"), "strong: {tag}");
    let ask = |tags: &str| {
        let caller = server.service().header("if-none-match", tags);
        async move { caller.get(&path(tenant)).await }
    };
    for tags in [tag.clone(), format!("\"v0\", {tag}"), "*".to_owned()] {
        let answer = ask(&tags).await;
        assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{tags}");
        assert_eq!(answer.header("etag"), tag);
    }
    let pause = format!("/api/v1/campaigns/{campaign}:pause");
    server.admin().acting_for(tenant).post(&pause, json!({})).await.expect(200);
    let changed = ask(&tag).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_ne!(changed.header("etag"), tag);
    assert!(read(&changed.text).campaigns.is_empty());
}

#[tokio::test]
async fn who_asks_otherwise_is_told_what_is_wrong() {
    let server = Server::start().await;
    let (tenant, _) = shop(&server).await;
    let (service, decision) = (server.service(), path(tenant));
    service.get(&format!("{decision}&action=purchase")).await.refused(400, "INVALID_PARAMETER");
    let campaigns = format!("/api/v1/campaigns/search?tenantId={tenant}");
    let refused = service.get(&campaigns).await.refused(400, "INVALID_PARAMETER");
    assert_eq!(refused["errors"][0]["code"], "REQUIRED", "{refused}");
    let found = service.get(&format!("{campaigns}&action=purchase")).await.expect(200);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "as before: {found}");
    let nobody = "/api/v1/campaigns/search?view=DECISION";
    service.get(nobody).await.refused(400, "TENANT_REQUIRED");
    let unknown = path(TenantId(Uuid::nil()));
    service.get(&unknown).await.refused(404, "NOT_FOUND");
    service.header("if-none-match", "\"v1\"").get(&unknown).await.refused(404, "NOT_FOUND");
    // The secret of coupon codes is not the tenant's backend's.
    let key = server.key(tenant, &["campaigns:read"]).await;
    let refused = server.bearer(&key).get(&decision).await.refused(403, "FORBIDDEN");
    assert!(refused["detail"].as_str().is_some_and(|d| d.contains("DECISION")), "{refused}");
}

#[tokio::test]
async fn a_process_without_the_role_says_so_with_a_code_of_its_own() {
    let settings = |config: Config| Config { services: Services::of([]), ..config };
    let server = Server::with(settings, http::router).await;
    let refused = server.service().get(&path(TenantId(Uuid::nil()))).await;
    refused.refused(404, "NOT_SERVED_HERE");
}

fn some<T>(random: &mut Random, make: impl FnOnce(&mut Random) -> T) -> Option<T> {
    random.one_in(2).then(|| make(random))
}

fn moment(random: &mut Random) -> Timestamp {
    Timestamp::from_stored(random.between(-2_000_000_000_000_000, 4_000_000_000_000_000))
}

fn id(random: &mut Random) -> Uuid {
    Uuid::from_u64_pair(random.bits(), random.bits())
}

fn limit(random: &mut Random) -> LimitSpec {
    LimitSpec {
        max_per_day: some(random, |r| r.below(1_000_000_000_000_001)),
        max_total: some(random, |r| r.below(1_000_000_000_000_001)),
        window_days: some(random, |r| 1 + u16::try_from(r.below(366)).unwrap()),
    }
}

fn campaign(random: &mut Random) -> CampaignSource {
    let rules = [
        r#"{"on":["purchase"],"rewards":[{"type":"POINTS","amount":"0.10"}]}"#,
        // As PostgreSQL writes it, with numbers that no double holds.
        "{\"amount\": 0.1000000000000000000000000001, \"n\": 1.50, \"when\": \"a == \\\"\u{85}\\\"\"}",
        "{\n\t\"name\": \"\u{1f4b6} \u{202e}\"}",
    ];
    CampaignSource {
        id: CampaignId(id(random)),
        number: u32::try_from(random.bits() >> 32).unwrap(),
        kind: if random.one_in(2) { CampaignType::Simple } else { CampaignType::Quest },
        version: u32::try_from(random.bits() >> 32).unwrap(),
        progress_version: u32::try_from(random.bits() >> 32).unwrap(),
        priority: i32::try_from(random.between(i32::MIN.into(), i32::MAX.into())).unwrap(),
        created_at: moment(random),
        start_at: some(random, moment),
        end_at: some(random, moment),
        cohort_id: some(random, |r| CohortId(id(r))),
        rule_json: (*random.pick(&rules)).to_owned(),
    }
}

fn config(random: &mut Random) -> TenantConfig {
    let refresh = [None, Some(Period::Day), Some(Period::Week), Some(Period::Month)];
    let zones = ["UTC", "Europe/Paris", "America/Los_Angeles", "Asia/Kathmandu"];
    TenantConfig {
        tenant: TenantId(id(random)),
        config_version: random.between(0, i64::MAX),
        zone: Zone::named(random.pick::<&str>(&zones)).unwrap(),
        lateness_us: random.between(0, 3650 * 86_400) * SECOND_US,
        mode: if random.one_in(2) { TenantMode::Live } else { TenantMode::Replay },
        tenant_limit: limit(random),
        user_limit: limit(random),
        campaigns: (0..random.below(4)).map(|_| campaign(random)).collect(),
        dormant: (0..random.below(4)).map(|_| CampaignId(id(random))).collect(),
        coupon_key: std::array::from_fn(|_| u8::try_from(random.below(256)).unwrap()),
        cohorts: (0..random.below(4))
            .map(|_| CohortSource {
                id: CohortId(id(random)),
                membership_version: random.between(0, i64::MAX),
                refresh: *random.pick(&refresh),
                computed_at: some(random, moment),
            })
            .collect(),
    }
}

#[test]
fn nothing_is_lost_between_writer_and_reader() {
    for seed in 0..500 {
        let config = config(&mut Random(seed));
        let document = Configuration::of(config.clone()).expect("within the bounds");
        let text = serde_json::to_string(&document).expect("JSON");
        assert_eq!(read(&text), config, "seed {seed}: {text}");
    }
}

#[test]
fn what_is_too_large_or_not_whole_is_refused() {
    let random = &mut Random(7);
    let mut large = config(random);
    large.campaigns = (0..=CAMPAIGNS_MAX).map(|_| campaign(random)).collect();
    let why = Configuration::of(large).expect_err("too many");
    assert!(why.contains("10001 campaigns") && why.contains("end some"), "{why}");
    let document = Configuration::of(config(random)).expect("within the bounds");
    let whole = serde_json::to_value(&document).expect("JSON");
    for name in ["configVersion", "campaigns", "dormant", "cohorts", "couponKey", "mode"] {
        let mut part = whole.clone();
        part.as_object_mut().unwrap().remove(name);
        let refused = read_json::<Configuration>(part.to_string().as_bytes());
        assert!(refused.is_err_and(|e| e.to_string().contains(name)), "without {name}");
    }
    let mut newer = whole;
    newer["moon"] = json!("full");
    assert!(read_json::<Configuration>(newer.to_string().as_bytes()).is_err(), "half understood");
}
