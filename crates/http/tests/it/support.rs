//! A whole server in this process, and its callers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use domain::id::TenantId;
use engine::hub::{Hub, HubSettings};
use engine::ingest::Ingest;
use engine::ports::{Bus, Clock, HotStore, IdGen};
use engine::worker::{BATCH_MAX_DEFAULT, Ports, Worker};
use http::push::{Push, PushMetrics, PushSettings};
use http::{App, Config, Decided, Metrics, Parts};
use http_body_util::BodyExt as _;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use store::control::{Control, LedgerAnswers, LocalControlPlane};
use store::embedded::SqliteBus;
use store::hot::SqliteHotStore;
use store::{DbOptions, SqliteDb};
use testkit::clock::{CountingIds, ManualClock};
use testkit::dir::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// The platform admin's token.
pub const ADMIN: &str = "admin-token-of-the-tests";
/// The token of the platform's own processes.
pub const SERVICE: &str = "service-token-of-the-tests-0123456789";

/// A server with everything behind it.
pub struct Server {
    app: App,
    pub clock: Arc<ManualClock>,
    pub hub: Arc<Hub>,
    router: Router,
    stop: CancellationToken,
    _dir: TempDir,
}

impl Server {
    /// One that serves the API and push.
    pub async fn start() -> Self {
        Self::assembled(
            |config| config,
            |app, hub| {
                let (verifier, clock) = (Arc::new(app.clone()), app.clock.clone());
                let (settings, metrics) = (PushSettings::default(), PushMetrics::default());
                http::router_with(app, Push::new(hub, verifier, clock, settings, metrics))
            },
        )
        .await
    }

    /// One with other settings, or other routes.
    pub async fn with(
        settings: impl FnOnce(Config) -> Config,
        router: impl FnOnce(App) -> Router,
    ) -> Self {
        Self::assembled(settings, |app, _| router(app)).await
    }

    /// One of these routes.
    pub async fn assembled(
        settings: impl FnOnce(Config) -> Config,
        router: impl FnOnce(App, Arc<Hub>) -> Router,
    ) -> Self {
        let dir = TempDir::new();
        let clock = Arc::new(ManualClock::at("2026-06-01T12:00:00Z".parse().expect("a time")));
        let ids: Arc<dyn IdGen> = Arc::new(CountingIds::default());
        let path = dir.path().join("incent.db");
        let db = SqliteDb::open(&path, &DbOptions::default()).expect("a database");
        store::migrate::migrate(&db, clock.now()).await.expect("a schema");
        let hot: Arc<dyn HotStore> = Arc::new(SqliteHotStore::new(db.clone()));
        let hub = Hub::new(hot.clone(), HubSettings::default());
        let bus = SqliteBus::open(db.clone(), clock.clone(), hub.clone()).await;
        let bus: Arc<dyn Bus> = Arc::new(bus.expect("a log"));
        let control = Control::Sqlite(db);

        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let engine = engine::metrics::Metrics::registered(&mut registry);
        let plane = Arc::new(LocalControlPlane::new(control.clone(), clock.clone()));
        let ports = Ports {
            bus: bus.clone(),
            store: hot.clone(),
            control: plane,
            clock: clock.clone(),
            limits: None,
        };
        let worker = Worker::new(0, BATCH_MAX_DEFAULT, ports, engine.clone());
        let decided = worker.progress();
        let stop = CancellationToken::new();
        tokio::spawn(worker.run(stop.clone()));

        let config = Config {
            admin_token: Some(ADMIN.into()),
            service_token: Some(SERVICE.into()),
            dev: true,
            ..Config::new([7; 32])
        };
        let aggregates = Arc::new(LedgerAnswers::new(control.clone()));
        let app = App::new(Parts {
            control,
            ingest: Arc::new(Ingest::new(bus, clock.clone(), ids.clone(), engine)),
            hot,
            aggregates,
            decided: Decided::Here(decided),
            clock: clock.clone(),
            ids,
            probes: Vec::new(),
            metrics,
            registry: Arc::new(registry),
            config: settings(config),
        });
        Self { clock, router: router(app.clone(), hub.clone()), hub, app, stop, _dir: dir }
    }

    /// Its parts.
    pub fn app(&self) -> App {
        self.app.clone()
    }
    /// Its routes.
    pub fn router(&self) -> Router {
        self.router.clone()
    }
    /// Anybody.
    pub fn anon(&self) -> Caller<'_> {
        Caller { server: self, headers: Vec::new() }
    }
    /// Somebody with this credential.
    pub fn bearer(&self, token: &str) -> Caller<'_> {
        self.anon().header("authorization", &format!("Bearer {token}"))
    }
    /// The platform admin.
    pub fn admin(&self) -> Caller<'_> {
        self.bearer(ADMIN)
    }

    /// Another process of the platform.
    pub fn service(&self) -> Caller<'_> {
        self.bearer(SERVICE)
    }

    /// A new tenant.
    pub async fn tenant(&self, name: &str) -> TenantId {
        let made = self.admin().post("/api/v1/tenants", json!({ "name": name })).await;
        made.expect(201)["tenantId"].as_str().and_then(|id| id.parse().ok()).expect("an id")
    }
    /// Lets a tenant's users show tokens; returns what makes one for a user.
    pub async fn tokens(&self, tenant: TenantId) -> impl Fn(&str) -> String {
        let secret = "a shared secret of more than 32 bytes";
        let path = format!("/api/v1/tenants/{tenant}/push-auth");
        let settings = json!({ "secret": secret, "algorithms": ["HS256"] });
        self.admin().put(&path, settings).await.expect(200);
        let until = self.clock.now().micros() / 1_000_000 + 3600;
        move |user: &str| {
            let claims =
                json!({ "sub": user, "tenant": tenant, "aud": "incent-push", "exp": until });
            let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
            let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
            jsonwebtoken::encode(&header, &claims, &key).expect("a token")
        }
    }
    /// A new API key of a tenant.
    pub async fn key(&self, tenant: TenantId, scopes: &[&str]) -> String {
        let path = format!("/api/v1/tenants/{tenant}/api-keys");
        let made = self.admin().post(&path, json!({ "name": "test", "scopes": scopes })).await;
        made.expect(201)["key"].as_str().expect("a key").to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Caller<'s> {
    server: &'s Server,
    headers: Vec<(String, String)>,
}

impl Caller<'_> {
    /// The same with a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
    /// The platform admin acting for a tenant.
    pub fn acting_for(self, tenant: TenantId) -> Self {
        self.header("incent-tenant", &tenant.to_string())
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, String::new()).await
    }
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, body.to_string()).await
    }
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, body.to_string()).await
    }
    /// Sends a body as it is.
    pub async fn send(&self, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        let asked = format!("{method} {path}");
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(body.into()).expect("a request");
        let response = self.server.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let content_type = parts.headers.get("content-type");
        let bytes = match content_type.is_some_and(|kind| kind == "text/event-stream") {
            // It does not end.
            true => Default::default(),
            false => body.collect().await.expect("a body").to_bytes(),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { asked, status: parts.status.as_u16(), headers: parts.headers, body, text }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub asked: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    /// The body of an answer with this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{} answered {}", self.asked, self.text);
        self.body
    }
    /// A problem with this status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status, "{body}");
        body
    }
    /// A header as text; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The pointers and codes of a problem's errors.
pub fn faults(problem: &Value) -> Vec<(String, String)> {
    let text = |fault: &Value, name: &str| fault[name].as_str().unwrap_or_default().to_owned();
    let faults = problem["errors"].as_array().cloned().unwrap_or_default();
    faults.iter().map(|fault| (text(fault, "pointer"), text(fault, "code"))).collect()
}

/// A rule that grants points for a purchase.
pub fn points_rule() -> Value {
    json!({ "on": ["purchase"], "rewards": [{ "type": "POINTS", "amount": 10 }] })
}
