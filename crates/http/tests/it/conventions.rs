//! What all operations have in common: versions, idempotency keys, pages, faults, rate limits.

use std::collections::BTreeSet;

use domain::id::TenantId;
use http::{Config, Rate};
use serde_json::{Value, json};

use crate::support::{Caller, Server, faults, points_rule};

fn campaign(name: &str) -> Value {
    json!({ "name": name, "type": "SIMPLE", "rule": points_rule() })
}

async fn acting(server: &Server) -> (TenantId, Caller<'_>) {
    let tenant = server.tenant("Acme").await;
    (tenant, server.admin().acting_for(tenant))
}

#[tokio::test]
async fn a_new_tenant_has_limits_without_caps() {
    let server = Server::start().await;
    let tenant = json!({ "name": "Acme", "timeZone": "Europe/Paris" });
    let made = server.admin().post("/api/v1/tenants", tenant).await;
    let address = made.header("location").to_owned();
    assert_eq!(made.header("etag"), "\"v1\"");
    let made = made.expect(201);
    assert_eq!(made["timeZone"], "Europe/Paris");
    assert_eq!(made["status"], "ACTIVE");
    assert_eq!(made["createdAt"], "2026-06-01T12:00:00Z");
    assert_eq!(server.admin().get(&address).await.expect(200), made);

    let limits = server.admin().get(&format!("{address}/limits")).await.expect(200);
    let expected = json!({ "maxPerDay": null, "maxTotal": null, "windowDays": null,
        "usedToday": 0, "usedTotal": 0, "resetsAt": "2026-06-01T22:00:00Z" });
    assert_eq!(limits["tenant"], expected);
    let per_user = json!({ "maxPerDay": 10, "maxTotal": null, "windowDays": null });
    let set = server.admin().post(&format!("{address}/user-limits"), per_user).await.expect(200);
    assert_eq!((&set["maxPerDay"], &set["scope"]), (&json!(10), &json!("USER")));
    let limits = server.admin().get(&format!("{address}/limits?userId=u1")).await.expect(200);
    assert_eq!(limits["perUser"]["maxPerDay"], 10);
    assert_eq!(limits["perUser"]["usedToday"], 0);
}

#[tokio::test]
async fn every_bad_field_is_pointed_at() {
    let server = Server::start().await;
    let (tenant, admin) = acting(&server).await;
    let bad = json!({
        "name": "", "timezone": "UTC", "type": "simple", "startAt": "2026-02-30T00:00:00Z",
        "tenantId": tenant, "version": 7, "status": "ACTIVE",
        "rule": { "on": ["purchase"] }
    });
    let problem = admin.post("/api/v1/campaigns", bad).await.refused(422, "INVALID_DOCUMENT");
    let found: BTreeSet<String> =
        faults(&problem).into_iter().map(|(pointer, _)| pointer).collect();
    let expected = ["/name", "/startAt", "/status", "/timezone", "/type", "/version"];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{problem}");

    let mut bad = campaign("rule");
    bad["rule"]["when"] = json!("event.amount >");
    bad["rule"]["rewards"] = json!([{ "type": "POINTS", "amount": -1, "colour": "red" }]);
    bad["endAt"] = json!("2026-01-01T00:00:00Z");
    bad["startAt"] = json!("2026-01-02T00:00:00Z");
    let problem = admin.post("/api/v1/campaigns", bad).await.refused(422, "INVALID_DOCUMENT");
    let found = faults(&problem);
    let has = |pointer: &str, code: &str| found.iter().any(|(p, c)| p == pointer && c == code);
    assert!(has("/endAt", "CONFLICT"), "{found:?}");
    assert!(found.iter().any(|(pointer, _)| pointer.starts_with("/rule/rewards/0")), "{found:?}");

    let mut bad = campaign("expression");
    bad["rule"]["when"] = json!("event.amount >");
    let problem = admin.post("/api/v1/campaigns", bad).await.refused(422, "INVALID_DOCUMENT");
    let found = faults(&problem);
    assert_eq!(found[0], ("/rule/when".to_owned(), "EXPRESSION".to_owned()), "{problem}");
}

#[tokio::test]
async fn what_a_body_must_not_say_is_refused() {
    let server = Server::start().await;
    let (tenant, admin) = acting(&server).await;
    let bodies = [
        ("/api/v1/tenants".to_owned(), json!({ "name": "x" })),
        (format!("/api/v1/tenants/{tenant}/limits"), json!({ "maxPerDay": 1 })),
        (
            format!("/api/v1/tenants/{tenant}/api-keys"),
            json!({ "name": "x", "scopes": ["events:write"] }),
        ),
        ("/api/v1/campaigns".to_owned(), campaign("x")),
        ("/api/v1/cohorts".to_owned(), json!({ "name": "x", "type": "STATIC" })),
        ("/api/v1/events".to_owned(), json!({ "eventId": "e", "userId": "u", "action": "a" })),
    ];
    for (path, body) in bodies {
        for name in ["status", "used", "role", "version", "createdAt", "__proto__", "id"] {
            let mut body = body.clone();
            body[name] = json!("x");
            let problem = admin.post(&path, body).await.refused(422, "INVALID_DOCUMENT");
            let expected = (format!("/{name}"), "UNKNOWN_FIELD".to_owned());
            assert!(faults(&problem).contains(&expected), "{path} {problem}");
        }
    }
}

#[tokio::test]
async fn hostile_texts_are_stored_or_refused_and_never_run() {
    let server = Server::start().await;
    let (tenant, admin) = acting(&server).await;
    let texts = [
        "'; drop table campaigns; --",
        "\" or 1=1 --",
        "%_!",
        "{{7*7}}",
        "return redis.call('FLUSHALL')",
        "\u{202e}gnirpS",
        "na\u{308}me",
        "\u{1f381}",
        "a:b{c}d",
        "<script>alert(1)</script>",
    ];
    for text in texts {
        let made = admin.post("/api/v1/campaigns", campaign(text)).await.expect(201);
        assert_eq!(made["name"], text);
        let query: String =
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string();
        let path = format!("/api/v1/tenants/{tenant}/campaigns?name={query}");
        let found = admin.get(&path).await.expect(200);
        assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{text} {found}");
    }
    for text in ["", " ", "nul\u{0}", "line\nfeed", "\u{7f}", &"x".repeat(201)] {
        let problem = admin.post("/api/v1/campaigns", campaign(text)).await;
        problem.refused(422, "INVALID_DOCUMENT");
    }
    for query in [
        "name=%00",
        "name=%ff",
        "status=active",
        "type=",
        "action=%20",
        "pageSize=1;drop",
        "x=1",
        "name=a&name=b",
    ] {
        let path = format!("/api/v1/tenants/{tenant}/campaigns?{query}");
        admin.get(&path).await.refused(400, "INVALID_PARAMETER");
    }
}

#[tokio::test]
async fn versions_and_if_match() {
    let server = Server::start().await;
    let (_, admin) = acting(&server).await;
    let made = admin.post("/api/v1/campaigns", campaign("one")).await;
    let (address, tag) = (made.header("location").to_owned(), made.header("etag").to_owned());
    assert_eq!(tag, "\"v1\"");
    let get = admin.get(&address).await;
    assert_eq!(get.header("etag"), tag);
    assert_eq!(admin.clone().header("if-none-match", &tag).get(&address).await.status, 304);

    let mut next = campaign("two");
    next.as_object_mut().expect("an object").remove("type");
    let stale = admin.clone().header("if-match", "\"v7\"");
    stale.put(&address, next.clone()).await.refused(412, "STALE_VERSION");
    for bad in ["v1", "1", "W/\"v1\"", "\"v01\"", "\"v1\", \"v2\""] {
        let bad = admin.clone().header("if-match", bad).put(&address, next.clone()).await;
        bad.refused(412, "STALE_VERSION");
    }
    let put = admin.clone().header("if-match", &tag).put(&address, next.clone()).await;
    assert_eq!(put.header("etag"), "\"v2\"");
    assert_eq!(put.expect(200)["name"], "two");
    // The same content again makes no new version; If-Match is optional.
    assert_eq!(admin.put(&address, next).await.expect(200)["version"], 2);

    let verb = |verb: &str| format!("{address}:{verb}");
    let stale = admin.clone().header("if-match", &tag).post(&verb("activate"), json!({})).await;
    stale.refused(412, "STALE_VERSION");
    assert_eq!(admin.post(&verb("activate"), json!({})).await.expect(200)["status"], "ACTIVE");
    assert_eq!(admin.post(&verb("activate"), json!({})).await.expect(200)["status"], "ACTIVE");
    assert_eq!(admin.post(&verb("pause"), json!({})).await.expect(200)["status"], "PAUSED");
    assert_eq!(admin.post(&verb("end"), json!({})).await.expect(200)["status"], "ENDED");
    admin.post(&verb("activate"), json!({})).await.refused(409, "INVALID_STATE");
    let revisions = admin.get(&format!("{address}/revisions")).await.expect(200);
    let versions: Vec<&Value> =
        revisions["items"].as_array().expect("a list").iter().map(|r| &r["version"]).collect();
    assert_eq!(versions, [2, 1]);
}

#[tokio::test]
async fn an_idempotency_key_gives_one_effect_and_one_answer() {
    let server = Server::start().await;
    let (tenant, admin) = acting(&server).await;
    let keyed = admin.clone().header("idempotency-key", "k-1");
    let first = keyed.post("/api/v1/campaigns", campaign("once")).await;
    assert_eq!(first.header("idempotency-replayed"), "");
    let second = keyed.post("/api/v1/campaigns", campaign("once")).await;
    assert_eq!(second.header("idempotency-replayed"), "true");
    for name in ["etag", "location", "content-type"] {
        assert_eq!(first.header(name), second.header(name), "{name}");
    }
    assert_eq!(second.expect(201), first.expect(201));
    let other = keyed.post("/api/v1/campaigns", campaign("other")).await;
    other.refused(422, "IDEMPOTENCY_KEY_REUSED");
    // The key is one of its route and of its tenant.
    let cohort = json!({ "name": "c", "type": "STATIC", "userIds": ["u1"] });
    keyed.post("/api/v1/cohorts", cohort).await.expect(201);
    let (_, stranger) = acting(&server).await;
    let theirs = stranger.header("idempotency-key", "k-1");
    let theirs = theirs.post("/api/v1/campaigns", campaign("other")).await;
    assert_eq!(theirs.header("idempotency-replayed"), "");
    theirs.expect(201);
    let all = admin.get(&format!("/api/v1/tenants/{tenant}/campaigns")).await.expect(200);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));

    // What was refused had no effect and is tried again.
    let keyed = admin.clone().header("idempotency-key", "k-2");
    keyed.post("/api/v1/campaigns", json!({})).await.refused(422, "INVALID_DOCUMENT");
    keyed.post("/api/v1/campaigns", campaign("later")).await.expect(201);
    for bad in ["".to_owned(), "x".repeat(256)] {
        let keyed = admin.clone().header("idempotency-key", &bad);
        keyed.post("/api/v1/campaigns", campaign("x")).await.refused(400, "INVALID_PARAMETER");
    }
}

#[tokio::test]
async fn a_hundred_at_once_have_one_effect() {
    let server = Server::start().await;
    let (tenant, admin) = acting(&server).await;
    let keyed = admin.clone().header("idempotency-key", "together");
    let all = (0..100).map(|_| keyed.post("/api/v1/campaigns", campaign("once")));
    let answers = futures_util::future::join_all(all).await;
    let made =
        answers.iter().filter(|a| a.status == 201 && a.header("idempotency-replayed").is_empty());
    assert_eq!(made.count(), 1);
    for answer in answers {
        match answer.status {
            201 => {}
            _ => {
                assert_eq!(answer.header("retry-after"), "1");
                answer.refused(409, "IDEMPOTENCY_IN_PROGRESS");
            }
        }
    }
    let all = admin.get(&format!("/api/v1/tenants/{tenant}/campaigns")).await.expect(200);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_key_is_shown_once() {
    let server = Server::start().await;
    let (tenant, admin) = acting(&server).await;
    let path = format!("/api/v1/tenants/{tenant}/api-keys");
    let wanted = json!({ "name": "shop", "scopes": ["events:write", "keys:write"] });
    let keyed = admin.clone().header("idempotency-key", "key");
    let made = keyed.post(&path, wanted.clone()).await.expect(201);
    let key = made["key"].as_str().expect("a key").to_owned();
    let again = keyed.post(&path, wanted).await.expect(201);
    assert_eq!((&again["key"], &again["keyId"]), (&Value::Null, &made["keyId"]));
    let listed = admin.get(&path).await;
    let secret = key.rsplit('_').next().expect("a secret");
    assert!(!listed.text.contains(secret), "{}", listed.text);
    let audit = admin.get("/api/v1/audit").await;
    assert!(audit.text.contains("key.create") && !audit.text.contains(secret), "{}", audit.text);

    // It cannot give away what it does not have.
    let more = json!({ "name": "more", "scopes": ["events:write", "campaigns:write"] });
    let problem = server.bearer(&key).post(&path, more).await.refused(422, "INVALID_DOCUMENT");
    assert_eq!(faults(&problem)[0].0, "/scopes/1");
    let same = json!({ "name": "same", "scopes": ["events:write"] });
    server.bearer(&key).post(&path, same).await.expect(201);
}

#[tokio::test]
async fn pages_go_on_where_they_ended() {
    let server = Server::start().await;
    let (tenant, admin) = acting(&server).await;
    for n in 0..7 {
        admin.post("/api/v1/campaigns", campaign(&format!("c{n}"))).await.expect(201);
    }
    let list = format!("/api/v1/tenants/{tenant}/campaigns");
    let (mut names, mut token) = (Vec::new(), None::<String>);
    loop {
        let more = token.map(|token| format!("&pageToken={token}")).unwrap_or_default();
        let page = admin.get(&format!("{list}?pageSize=3{more}")).await.expect(200);
        let items = page["items"].as_array().expect("a list");
        names.extend(items.iter().map(|c| c["name"].as_str().expect("a name").to_owned()));
        match page["nextPageToken"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(names, ["c6", "c5", "c4", "c3", "c2", "c1", "c0"]);
    for size in ["0", "-1", "1001", "1000000000", "99999999999999999999", "1.5", "abc", ""] {
        let path = format!("{list}?pageSize={size}");
        admin.get(&path).await.refused(400, "INVALID_PARAMETER");
    }
    admin.get(&format!("{list}?pageSize=1000")).await.expect(200);
}

#[tokio::test]
async fn page_tokens_cannot_be_forged_or_carried_elsewhere() {
    let server = Server::start().await;
    let (tenant, admin) = acting(&server).await;
    for n in 0..3 {
        admin.post("/api/v1/campaigns", campaign(&format!("c{n}"))).await.expect(201);
        let cohort = json!({ "name": "c", "type": "STATIC" });
        admin.post("/api/v1/cohorts", cohort).await.expect(201);
    }
    let list = format!("/api/v1/tenants/{tenant}/campaigns?pageSize=1");
    let page = admin.get(&list).await.expect(200);
    let token = page["nextPageToken"].as_str().expect("a token").to_owned();
    let with = |path: &str, token: &str| format!("{path}&pageToken={token}");
    admin.get(&with(&list, &token)).await.expect(200);
    // Another size is the same list.
    admin.get(&with(&list.replace("=1", "=2"), &token)).await.expect(200);

    let refused = async |caller: &Caller<'_>, path: String| {
        caller.get(&path).await.refused(400, "INVALID_PAGE_TOKEN");
    };
    refused(&admin, with(&format!("{list}&status=DRAFT"), &token)).await;
    refused(&admin, with(&list.replace("campaigns", "cohorts"), &token)).await;
    let (other, stranger) = acting(&server).await;
    refused(&stranger, with(&list.replace(&tenant.to_string(), &other.to_string()), &token)).await;
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).expect("ASCII");
        refused(&admin, with(&list, &forged)).await;
    }
    for forged in ["x", "AAAA", "e30", &"A".repeat(1024)] {
        refused(&admin, with(&list, forged)).await;
    }
}

#[tokio::test]
async fn filters_of_the_campaign_list() {
    let server = Server::start().await;
    let (tenant, admin) = acting(&server).await;
    let mut quest = json!({ "name": "Weekend quest", "type": "QUEST", "rule": {
        "steps": [{ "id": "s1", "on": ["visit.*"] }, { "id": "s2", "on": ["order.paid"] }],
        "rewards": [{ "type": "POINTS", "amount": 5 }] } });
    quest["key"] = json!("weekend");
    let made = admin.post("/api/v1/campaigns", quest.clone()).await.expect(201);
    admin.post("/api/v1/campaigns", quest).await.refused(409, "ALREADY_EXISTS");
    admin.post("/api/v1/campaigns", campaign("Spring")).await.expect(201);
    let id = made["campaignId"].as_str().expect("an id");
    admin.post(&format!("/api/v1/campaigns/{id}:activate"), json!({})).await.expect(200);

    let cases = [
        ("", vec!["Spring", "Weekend quest"]),
        ("?status=ACTIVE", vec!["Weekend quest"]),
        ("?status=DRAFT", vec!["Spring"]),
        ("?type=QUEST", vec!["Weekend quest"]),
        ("?name=WEEK", vec!["Weekend quest"]),
        ("?action=purchase", vec!["Spring", "Weekend quest"]),
        ("?action=purchase&type=SIMPLE", vec!["Spring"]),
        ("?status=PAUSED", vec![]),
    ];
    for (query, expected) in cases {
        let path = format!("/api/v1/tenants/{tenant}/campaigns{query}");
        let found = admin.get(&path).await.expect(200);
        let items = found["items"].as_array().expect("a list");
        let names: Vec<&str> = items.iter().filter_map(|c| c["name"].as_str()).collect();
        assert_eq!(names, expected, "{query}");
    }
    let search = format!("/api/v1/campaigns/search?tenantId={tenant}&action=order.paid");
    let found = server.admin().get(&search).await.expect(200);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_rate_of_each_credential_is_bounded() {
    let slow = |config: Config| Config { rate: Rate { per_second: 1, burst: 3 }, ..config };
    let server = Server::with(slow, http::router).await;
    let tenant = server.tenant("Acme").await;
    let key = server.key(tenant, &["limits:read"]).await;
    let path = format!("/api/v1/tenants/{tenant}/limits");
    for left in [2, 1, 0] {
        let answer = server.bearer(&key).get(&path).await;
        assert!(answer.header("ratelimit").contains(&format!("r={left};")), "{answer:?}");
        assert_eq!(answer.header("ratelimit-policy"), "\"credential\";q=3");
        answer.expect(200);
    }
    let answer = server.bearer(&key).get(&path).await;
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.refused(429, "RATE_LIMITED")["retryable"], true);
    // Another credential has a bucket of its own; health has none.
    server.admin().get(&path).await.expect(200);
    server.anon().get("/healthz").await.expect(200);
    server.clock.set("2026-06-01T12:00:01Z".parse().expect("a time"));
    server.bearer(&key).get(&path).await.expect(200);
}

#[tokio::test]
async fn problems_have_pages_and_requests_have_ids() {
    let server = Server::start().await;
    let answer = server.anon().get("/api/v1/nothing").await;
    let id = answer.header("request-id").to_owned();
    let problem = answer.refused(404, "NOT_FOUND");
    assert_eq!(problem["requestId"], id);
    assert_eq!(problem["instance"], "/api/v1/nothing");
    for code in http::problem::Code::ALL {
        let page = server.anon().get(&code.address()).await;
        assert_eq!(page.status, 200, "{code:?}");
        assert!(page.text.contains(code.as_str()), "{code:?}");
    }
    server.anon().get("/docs/errors/nonsense").await.refused(404, "NOT_FOUND");
    assert!(server.anon().get("/docs/errors").await.text.contains("NOT_FOUND"));
    assert_eq!(server.anon().get("/healthz").await.expect(200)["status"], "UP");
    assert_eq!(server.anon().get("/readyz").await.expect(200)["ready"], true);
    let metrics = server.anon().get("/metrics").await.text;
    let line = r#"incent_http_requests_total{operation="getHealth",status="200"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}
