//! Connections: accepted up to a bound, with tuned buffers and time-outs, closed in good order.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::app::App;
use crate::stall::StallBound;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Largest head of a request, and size to which the read buffer may grow, bytes. A quiet
/// connection's buffer is far smaller.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How long connections may finish what they are doing after the shutdown began.
const GRACE: Duration = Duration::from_secs(10);
/// Pause after an accept that failed, for example because no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the router on the listener until `shutdown` is ready: then it accepts no more, lets the
/// requests in progress finish for ten seconds and returns.
pub async fn serve(
    listener: TcpListener,
    app: App,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(app.config.connections_max));
    let stopping = CancellationToken::new();
    let connections = TaskTracker::new();
    tokio::pin!(shutdown);
    loop {
        let next = async {
            // The semaphore is never closed.
            let slot = slots.clone().acquire_owned().await.ok();
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            () = &mut shutdown => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let (app, router, stopping) = (app.clone(), router.clone(), stopping.clone());
                connections.spawn(async move {
                    connection(stream, app, router, stopping).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    stopping.cancel();
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!(
            left = connections.len(),
            "connections were cut at the end of the grace period"
        );
    }
}

async fn connection(stream: TcpStream, app: App, router: Router, stopping: CancellationToken) {
    app.metrics.connections.inc();
    // Frames and answers are written whole, so waiting to fill a packet only adds delay.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(|request: hyper::Request<Incoming>| request.map(Body::new));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(app.config.header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .pipeline_flush(true);
    let stream = TokioIo::new(StallBound::new(stream, app.config.stall_timeout));
    let serving = http.serve_connection(stream, TowerToHyperService::new(service));
    let serving = serving.with_upgrades();
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // Clients that go away are everyday business.
        tracing::debug!(%error, "a connection ended early");
    }
    app.metrics.connections.dec();
}
