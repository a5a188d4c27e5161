//! Every route is tried with no, wrong, weak and foreign credentials. The rows are made from the
//! route table, so a route cannot be forgotten; one whose path names something unknown here fails.

use axum::http::Method;
use domain::id::TenantId;
use http::route::{Access, Route, Scope};
use serde_json::{Value, json};

use crate::support::{Caller, Server, points_rule};

/// Two tenants, each with one of everything.
struct World {
    server: Server,
    own: TenantId,
    things: Things,
}

/// The ids of a tenant's things.
struct Things {
    tenant: TenantId,
    campaign: String,
    cohort: String,
    job: String,
    key: String,
    dead_letter: String,
}

impl World {
    async fn new() -> Self {
        let server = Server::start().await;
        let own = server.tenant("own").await;
        let foreign = server.tenant("foreign").await;
        let things = Things::of(&server, foreign).await;
        Self { server, own, things }
    }

    /// A key of the own tenant with every scope but one.
    async fn key_without(&self, scope: Scope) -> String {
        let scopes: Vec<&str> =
            Scope::ALL.iter().filter(|s| **s != scope).map(|s| s.as_str()).collect();
        self.server.key(self.own, &scopes).await
    }

    /// A path of this route to things of the foreign tenant.
    fn foreign_path(&self, route: &Route) -> String {
        let things = &self.things;
        let tenant = things.tenant.to_string();
        let known = [
            ("tenantId", tenant.as_str()),
            ("campaignId", &things.campaign),
            ("cohortId", &things.cohort),
            ("jobId", &things.job),
            ("keyId", &things.key),
            ("deadLetterId", &things.dead_letter),
            ("userId", "u1"),
            ("slug", "not-found"),
        ];
        let mut path = route.path.to_owned();
        for (name, id) in known {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        assert!(!path.contains('{'), "the isolation test knows no {path}: add a thing for it");
        path
    }
}

impl Things {
    async fn of(server: &Server, tenant: TenantId) -> Self {
        let id = |made: Value, name: &str| made[name].as_str().expect("an id").to_owned();
        let admin = server.admin().acting_for(tenant);
        let campaign = json!({ "name": "theirs", "type": "SIMPLE", "rule": points_rule() });
        let campaign = admin.post("/api/v1/campaigns", campaign).await.expect(201);
        let criteria = json!({ "activity": [{ "on": ["purchase"] }] });
        let cohort = json!({ "name": "theirs", "type": "DYNAMIC", "criteria": criteria });
        let cohort = admin.post("/api/v1/cohorts", cohort).await.expect(201);
        let cohort = id(cohort, "cohortId");
        let job = admin.post(&format!("/api/v1/cohorts/{cohort}:recompute"), json!({})).await;
        let key = json!({ "name": "theirs", "scopes": ["events:write"] });
        let key = admin.post(&format!("/api/v1/tenants/{tenant}/api-keys"), key).await;
        for amount in [1, 2] {
            // The same id with another content is kept as a dead letter.
            let event = json!({ "eventId": "e1", "userId": "u1", "action": "purchase",
                                "payload": { "amount": amount } });
            admin.post("/api/v1/events", event).await;
        }
        let dead = admin.get("/api/v1/dead-letters").await.expect(200);
        let user = json!({ "attributes": { "secret": "theirs" } });
        admin.header("prefer", "wait=30").put("/api/v1/users/u1", user).await.expect(200);
        Self {
            tenant,
            campaign: id(campaign, "campaignId"),
            cohort,
            job: id(job.expect(202), "jobId"),
            key: id(key.expect(201), "keyId"),
            dead_letter: id(dead["items"][0].clone(), "deadLetterId"),
        }
    }
}

async fn call(caller: &Caller<'_>, route: &Route, path: &str) -> (u16, Value, String) {
    let body = if route.method == Method::GET { "" } else { "{}" };
    let answer = caller.send(route.method.clone(), path, body).await;
    (answer.status, answer.body, answer.text)
}

fn guarded() -> impl Iterator<Item = Route> {
    http::routes::table().into_iter().filter(|route| route.access != Access::Public)
}

#[test]
fn every_route_is_declared_once_and_names_its_access() {
    let table = http::routes::table();
    let mut ids: Vec<&str> = table.iter().map(|route| route.doc.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), table.len(), "operation ids must differ");
    let public: Vec<&str> =
        table.iter().filter(|r| r.access == Access::Public).map(|r| r.path).collect();
    // What anybody may see, by name: a route that becomes public by mistake fails here.
    let expected =
        ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/errors", "/docs/errors/{slug}"];
    assert_eq!(public, expected);
}

#[tokio::test]
async fn without_a_valid_credential_there_is_only_401() {
    let world = World::new().await;
    let revoked = revoked_key(&world).await;
    let expired = expired_key(&world).await;
    let good = world.server.key(world.own, &["events:write"]).await;
    let last = if good.ends_with('0') { '1' } else { '0' };
    let altered = format!("{}{last}", &good[..good.len() - 1]);
    let wrong = [
        String::new(),
        "nonsense".to_owned(),
        "admin-token-of-the-test".to_owned(),
        format!("{}x", crate::support::ADMIN),
        "service-token-of-another-place-0123456789".to_owned(),
        crate::support::SERVICE[1..].to_owned(),
        altered,
        revoked,
        expired,
        good.to_uppercase(),
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
    ];
    for route in guarded() {
        let path = world.foreign_path(&route);
        let (status, body, _) = call(&world.server.anon(), &route, &path).await;
        assert_eq!((status, body["code"].as_str()), (401, Some("UNAUTHENTICATED")), "{route:?}");
        for token in &wrong {
            let (status, body, _) = call(&world.server.bearer(token), &route, &path).await;
            assert_eq!(status, 401, "{route:?} with {token:?}: {body}");
        }
    }
}

async fn revoked_key(world: &World) -> String {
    let path = format!("/api/v1/tenants/{}/api-keys", world.own);
    let wanted = json!({ "name": "revoked", "scopes": ["events:write"] });
    let made = world.server.admin().post(&path, wanted).await.expect(201);
    let key = made["key"].as_str().expect("a key").to_owned();
    let own = format!("/api/v1/tenants/{}/limits", world.own);
    world.server.bearer(&key).get(&own).await.refused(403, "FORBIDDEN");
    let id = made["keyId"].as_str().expect("an id");
    world.server.admin().post(&format!("{path}/{id}:revoke"), json!({})).await.expect(200);
    key
}

async fn expired_key(world: &World) -> String {
    let path = format!("/api/v1/tenants/{}/api-keys", world.own);
    let until = "2026-06-01T12:00:01Z";
    let wanted = json!({ "name": "short", "scopes": ["events:write"], "expiresAt": until });
    let made = world.server.admin().post(&path, wanted).await.expect(201);
    world.server.clock.set(until.parse().expect("a time"));
    made["key"].as_str().expect("a key").to_owned()
}

#[tokio::test]
async fn without_the_scope_there_is_only_403() {
    let world = World::new().await;
    // Where only users come in, every key is refused as no token of a user: with 401.
    for route in guarded().filter(|route| route.access != Access::EndUser) {
        let own = world
            .foreign_path(&route)
            .replace(&world.things.tenant.to_string(), &world.own.to_string());
        let weak = match route.access.scope() {
            Some(scope) => world.key_without(scope).await,
            None => world.server.key(world.own, Scope::WORDS).await,
        };
        let (status, body, _) = call(&world.server.bearer(&weak), &route, &own).await;
        assert_eq!((status, body["code"].as_str()), (403, Some("FORBIDDEN")), "{route:?} {body}");
    }
}

#[tokio::test]
async fn another_tenants_things_are_not_there() {
    let world = World::new().await;
    let all = world.server.key(world.own, Scope::WORDS).await;
    let above_tenants = |route: &Route| matches!(route.access, Access::Admin | Access::EndUser);
    for route in guarded().filter(|route| !above_tenants(route)) {
        let path = world.foreign_path(&route);
        let (status, body, text) = call(&world.server.bearer(&all), &route, &path).await;
        let names_a_thing = route.path.contains('{') && !route.path.contains("{userId}");
        if names_a_thing {
            assert!(matches!(status, 404 | 422), "{route:?} {status} {body}");
        }
        assert!(!text.contains("theirs"), "{route:?} leaks: {text}");
        // Nor by naming them in the header.
        let named = world.server.bearer(&all).acting_for(world.things.tenant);
        let (status, body, _) = call(&named, &route, &path).await;
        assert_eq!(status, 404, "{route:?} {body}");
    }
    // Nor in a body or a query.
    let bearer = world.server.bearer(&all);
    let foreign = world.things.tenant;
    let campaign =
        json!({ "tenantId": foreign, "name": "x", "type": "SIMPLE", "rule": points_rule() });
    bearer.post("/api/v1/campaigns", campaign).await.refused(404, "NOT_FOUND");
    let cohort = json!({ "tenantId": foreign, "name": "x", "type": "STATIC", "userIds": [] });
    bearer.post("/api/v1/cohorts", cohort).await.refused(404, "NOT_FOUND");
    let search = format!("/api/v1/campaigns/search?tenantId={foreign}&action=purchase");
    bearer.get(&search).await.refused(404, "NOT_FOUND");
    let borrowed = json!({ "name": "x", "type": "SIMPLE", "rule": points_rule(),
                           "cohortId": world.things.cohort });
    bearer.post("/api/v1/campaigns", borrowed).await.refused(422, "INVALID_DOCUMENT");
}

#[tokio::test]
async fn the_service_credential_reads_what_decides_and_nothing_else() {
    let world = World::new().await;
    let service = world.server.service();
    let mut reached = Vec::new();
    for route in guarded() {
        let path = world.foreign_path(&route);
        let (status, body, text) = call(&service, &route, &path).await;
        match route.access {
            Access::TenantOrService(_) => reached.push(route.doc.id),
            // Only users come in there, and it is no token of one.
            Access::EndUser => assert_eq!(status, 401, "{route:?} {body}"),
            _ => {
                let refused = (status, body["code"].as_str());
                assert_eq!(refused, (403, Some("FORBIDDEN")), "{route:?} {body}");
                assert!(!text.contains("theirs"), "{route:?} leaks: {text}");
            }
        }
    }
    // By name: what it reaches by mistake fails here.
    assert_eq!(reached, ["searchCampaigns"]);
    // It acts for nobody: the tenant is what the query names.
    let path = format!("/api/v1/campaigns/search?view=DECISION&tenantId={}", world.own);
    service.get(&path).await.expect(200);
    service.acting_for(world.own).get(&path).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn where_users_come_in_nobody_else_does() {
    let world = World::new().await;
    let (own, foreign) = (world.own, world.things.tenant);
    let token = world.server.tokens(own).await;
    let _theirs = world.server.tokens(foreign).await;
    let all = world.server.key(own, Scope::WORDS).await;
    for route in guarded().filter(|route| route.access == Access::EndUser) {
        let path = world.foreign_path(&route);
        for nobody in [world.server.bearer(&all), world.server.admin().acting_for(own)] {
            let (status, body, _) = call(&nobody, &route, &path).await;
            assert_eq!(
                (status, body["code"].as_str()),
                (401, Some("UNAUTHENTICATED")),
                "{route:?}"
            );
        }
        // A user of the same name in another tenant is somebody else, whatever the header says.
        let user = world.server.bearer(&token("u1")).acting_for(foreign);
        let before = world.server.hub.sessions();
        let (status, body, text) = call(&user, &route, &path).await;
        assert!(!matches!(status, 401 | 403 | 404 | 405 | 500..), "{route:?} {status} {body}");
        assert!(!text.contains("theirs"), "{route:?} leaks: {text}");
        assert_eq!(world.server.hub.sessions(), before, "{route:?} keeps a place for nobody");
    }
}

#[tokio::test]
async fn with_everything_right_every_route_lets_in() {
    let world = World::new().await;
    let admin = world.server.admin().acting_for(world.things.tenant);
    let user = world.server.bearer(&world.server.tokens(world.things.tenant).await("u1"));
    for route in guarded() {
        let path = world.foreign_path(&route);
        // Naming a tenant in the header of what lies above all tenants is right, too.
        let caller = if route.access == Access::EndUser { &user } else { &admin };
        let (status, body, _) = call(caller, &route, &path).await;
        assert!(!matches!(status, 401 | 403 | 405 | 500..), "{route:?} {status} {body}");
        let may_be_absent = route.path.ends_with("push-auth");
        assert!(status != 404 || may_be_absent, "{route:?} {body}");
    }
}
