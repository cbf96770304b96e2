//! Listening: connections accepted up to a bound, slow ones dropped, open ones finished when the process ends.
//!
//! A connection costs memory from its first byte, so their number is bounded and a client that sends its headers too slowly
//! is let go. On shutdown readiness turns first, then no new connection is accepted, and requests under way are answered.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use http::Version;
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
/// What HTTP/2 connections begin with: all of it, because the library waits without end for the rest of it.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How often the first bytes of a connection are looked at while they could be either version.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// After `accept` failed (too many files open, usually), before it is tried again.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` is asked for, then lets requests under way finish, for as long as the configuration gives.
pub async fn serve(listener: TcpListener, router: Router, http: &config::Http, metrics: &Arc<Metrics>, shutdown: &Shutdown) {
    let door = Door {
        builder: builder(http.header_timeout),
        header_timeout: http.header_timeout,
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
    header_timeout: Duration,
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
        let (builder, header_timeout) = (self.builder.clone(), self.header_timeout);
        let (closing, router, open) = (self.closing.clone(), self.router.clone(), Open::new(&self.metrics));
        async move {
            let _held = (seat, open);
            // Without it, the last small packet of an answer waits for the client's acknowledgement.
            drop(stream.set_nodelay(true));
            let spoken = tokio::select! {
                () = closing.cancelled() => None,
                spoken = tokio::time::timeout(header_timeout, version(&stream)) => spoken.ok().and_then(Result::ok),
            };
            let Some(version) = spoken else { return };
            let builder = if version == Version::HTTP_2 { builder.http2_only() } else { builder.http1_only() };
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
        }
    }
}

/// Counts a connection while it is open.
struct Open(Arc<Metrics>);

impl Open {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.connections.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

/// Looks at the first bytes without taking them: the library would wait for them without end.
async fn version(stream: &TcpStream) -> io::Result<Version> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[..seen] != HTTP2_PREFACE[..seen] {
            return Ok(Version::HTTP_11);
        }
        if seen == first.len() {
            return Ok(Version::HTTP_2);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
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
