//! The platform with its HTTP server: started as a whole, stopped in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::api::tenants::create::NewLimits;
use http::push::{Push, PushMetrics, PushSettings};
use http::{App, Config, Parts, Rate};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::failure::{Code, Failure, Outcome};
use crate::platform::{Data, Platform};
use crate::roles::Roles;

/// How long devices may take to hear that they should reconnect.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// What a server is started with.
pub struct Start<'a> {
    /// Where to listen; port 0 picks one.
    pub listen: SocketAddr,
    /// Where the data is.
    pub data: Data<'a>,
    /// Which parts run.
    pub roles: Roles,
    /// The admin's bearer token.
    pub admin_token: String,
    /// The bearer token of the platform's own processes, if they share one.
    pub service_token: Option<String>,
    /// The limits of a new tenant whose request names none.
    pub default_limits: NewLimits,
    /// Events a second that are taken of one tenant, and how many at once after a pause.
    pub tenant_events: Rate,
    /// Development mode.
    pub dev: bool,
}

/// A running server.
pub struct Server {
    /// The parts behind it.
    pub platform: Platform,
    /// Where it answers: `http://127.0.0.1:8080`.
    pub url: String,
    push: Option<Arc<Push>>,
    http: JoinHandle<()>,
    stop: CancellationToken,
}

impl Server {
    /// Binds the address, opens the data and begins to answer. Errors: the port is taken, or as
    /// [`Platform::start`].
    pub async fn start(start: Start<'_>) -> Outcome<Self> {
        // First, since it is the likeliest to fail and costs nothing.
        let listener = bind(start.listen).await?;
        let local = listener.local_addr().map_err(|e| busy(start.listen, &e))?;
        let mut platform = Platform::start(start.data, start.roles).await?;
        let mut config = Config::new(platform.server_key);
        config.services = start.roles.services();
        config.admin_token = Some(start.admin_token.into());
        config.service_token = start.service_token.map(Into::into);
        config.default_limits = start.default_limits;
        config.tenant_events = start.tenant_events;
        config.dev = start.dev;
        let metrics = PushMetrics::register(&mut platform.registry);
        let app = App::new(parts(&mut platform, config));
        let push = start.roles.push.then(|| push(&app, &platform, metrics));
        let router = match push.clone() {
            Some(push) => http::router_with(app.clone(), push),
            None => http::router(app.clone()),
        };
        let stop = CancellationToken::new();
        tokio::spawn(http::housekeeping(app.clone(), stop.clone()));
        let stopped = stop.clone().cancelled_owned();
        let http = tokio::spawn(http::serve(listener, app, router, stopped));
        Ok(Self { platform, url: format!("http://{local}"), push, http, stop })
    }

    /// Stops accepting, finishes what is in progress, tells devices to reconnect, then stops the
    /// calculator and closes the store.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.stop.cancel();
        if let Some(push) = &self.push
            && tokio::time::timeout(DRAIN_WITHIN, push.drain()).await.is_err()
        {
            tracing::warn!("some devices were cut off; they will reconnect and resume");
        }
        if self.http.await.is_err() {
            tracing::error!("the HTTP server broke off");
        }
        self.platform.stop().await;
        tracing::info!("stopped");
    }
}

fn parts(platform: &mut Platform, config: Config) -> Parts {
    let metrics = http::Metrics::register(&mut platform.registry);
    Parts {
        control: platform.control.clone(),
        ingest: platform.ingest.clone(),
        hot: platform.hot.clone(),
        aggregates: platform.aggregates.clone(),
        decided: platform.decided.clone(),
        clock: platform.clock.clone(),
        ids: platform.ids.clone(),
        probes: std::mem::take(&mut platform.probes),
        metrics,
        registry: Arc::new(std::mem::take(&mut platform.registry)),
        config,
    }
}

fn push(app: &App, platform: &Platform, metrics: PushMetrics) -> Arc<Push> {
    Push::new(
        platform.hub.clone(),
        Arc::new(app.clone()),
        platform.clock.clone(),
        PushSettings::default(),
        metrics,
    )
}

async fn bind(address: SocketAddr) -> Outcome<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| busy(address, &e))
}

fn busy(address: SocketAddr, error: &std::io::Error) -> Failure {
    let failure = Failure::new(Code::Unavailable, format!("cannot listen on {address}"));
    match error.kind() {
        std::io::ErrorKind::AddrInUse => failure
            .why("another program listens there already")
            .mend("stop it, or choose another port with --listen; 127.0.0.1:0 picks a free one"),
        std::io::ErrorKind::PermissionDenied => failure
            .why(error.to_string())
            .mend("ports below 1024 need privileges; choose a higher one with --listen"),
        _ => failure.why(error.to_string()).mend("check the address given with --listen"),
    }
}
