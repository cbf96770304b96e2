//! Listening: connections accepted up to a bound, slow ones dropped, open ones finished when the process ends.
//!
//! A connection costs memory from its first byte, so their number is bounded and a client that sends its headers too slowly
//! is let go. On shutdown readiness turns first, then no new connection is accepted, and requests under way are answered.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::{config, shutdown::Shutdown, telemetry::Metrics};

/// Headers larger than this are no request of ours: a token, a key and what proxies add.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// After `accept` failed (too many files open, usually), before it is tried again.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` is asked for, then lets requests under way finish, for as long as the configuration gives.
pub async fn serve(listener: TcpListener, router: Router, http: &config::Http, metrics: &Arc<Metrics>, shutdown: &Shutdown) {
    let door = Door {
        builder: builder(http.header_timeout),
        seats: Arc::new(Semaphore::new(http.max_connections)),
        closing: CancellationToken::new(),
        connections: TaskTracker::new(),
        metrics: Arc::clone(metrics),
        router,
    };
    let drained = async {
        shutdown.asked().await;
        tokio::time::sleep(http.drain_delay).await;
    };
    let mut drained = pin!(drained);
    loop {
        let accepted = tokio::select! {
            () = &mut drained => break,
            accepted = door.accept(&listener) => accepted,
        };
        if let Some((stream, peer, seat)) = accepted {
            door.connections.spawn(door.connection(stream, peer, seat));
        }
    }
    drop(listener);
    door.closing.cancel();
    door.connections.close();
    if tokio::time::timeout(http.shutdown_timeout, door.connections.wait()).await.is_err() {
        tracing::warn!(open = door.connections.len(), "some connections were still open at the end of the time given");
    }
}

struct Door {
    builder: Builder<TokioExecutor>,
    seats: Arc<Semaphore>,
    closing: CancellationToken,
    connections: TaskTracker,
    metrics: Arc<Metrics>,
    router: Router,
}

type Seat = tokio::sync::OwnedSemaphorePermit;

impl Door {
    /// A seat first: beyond the bound, connections wait in the system's backlog.
    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr, Seat)> {
        let seat = Arc::clone(&self.seats).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, peer)) => Some((stream, peer, seat)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "no connection could be accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
                None
            }
        }
    }

    fn connection(&self, stream: TcpStream, peer: SocketAddr, seat: Seat) -> impl Future<Output = ()> + Send + 'static {
        let (builder, closing, router, metrics) =
            (self.builder.clone(), self.closing.clone(), self.router.clone(), Arc::clone(&self.metrics));
        async move {
            let _seat = seat;
            metrics.connections.inc();
            // Without it, the last small packet of an answer waits for the client's acknowledgement.
            drop(stream.set_nodelay(true));
            let service = router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(ConnectInfo(peer));
                request.map(axum::body::Body::new)
            });
            let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            let mut connection = pin!(connection);
            // How a client ends its connection is its business: nothing to log.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    drop(connection.await);
                }
            }
            metrics.connections.dec();
        }
    }
}

fn builder(header_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .keep_alive_interval(Some(header_timeout))
        .keep_alive_timeout(header_timeout);
    builder
}
