//! The door: accepts connections within bounds and serves a router on them until it is told to close.
//!
//! Every wait for a client is bounded: for the first byte, for the head of a request (also of the next one on a kept
//! connection) and, in the handlers, for its body. A client that is slow holds a socket, never a worker. Beyond
//! `max_connections` further clients wait in the kernel's queue.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::Request;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Layer, ServiceExt};

use crate::{config, telemetry::Metrics};

/// Largest head of a request: tokens are at most 2 KiB, addresses shorter.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 250;
/// What HTTP/2 connections begin with.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// After accepting failed (no file descriptors left, say).
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How often the first bytes of a connection are looked at until they tell the version.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Serves `router` on `tcp` until `closing`, then lets requests that are under way finish. The caller bounds how long.
pub async fn serve(tcp: TcpListener, router: Router, http: &config::Http, metrics: Arc<Metrics>, closing: CancellationToken) {
    let room = Arc::new(Semaphore::new(http.max_connections));
    let connections = TaskTracker::new();
    let door = Arc::new(Door { header_timeout: http.header_timeout, metrics, closing: closing.clone() });
    while let Some((stream, peer)) = next(&tcp, &closing).await {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
        let (door, router) = (Arc::clone(&door), router.clone());
        connections.spawn(async move {
            door.metrics.connections.inc();
            door.connection(stream, peer, router).await;
            door.metrics.connections.dec();
            drop(permit);
        });
    }
    drop(tcp);
    connections.close();
    connections.wait().await;
}

async fn next(tcp: &TcpListener, closing: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            () = closing.cancelled() => return None,
            accepted = tcp.accept() => accepted,
        };
        match accepted {
            Ok(connection) => return Some(connection),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

struct Door {
    header_timeout: Duration,
    metrics: Arc<Metrics>,
    closing: CancellationToken,
}

impl Door {
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, router: Router) {
        // Answers are small and whole: there is nothing to gather.
        let _ = stream.set_nodelay(true);
        let http2 = tokio::select! {
            () = self.closing.cancelled() => return,
            version = timeout(self.header_timeout, speaks_http2(&stream)) => match version {
                Ok(Ok(http2)) => http2,
                _ => return,
            },
        };
        let builder = self.builder(http2);
        let named = tower::util::MapRequestLayer::new(move |mut request: Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request.map(Body::new)
        });
        let service = TowerToHyperService::new(named.layer(router.into_service::<Body>().map_response(|response| response)));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // How a connection ended is the client's affair.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.closing.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    fn builder(&self, http2: bool) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .half_close(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.header_timeout)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD_BYTES as u32);
        if http2 { builder.http2_only() } else { builder.http1_only() }
    }
}

/// Looks at the first bytes without taking them.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[..seen] != HTTP2_PREFACE[..seen] {
            return Ok(false);
        }
        if seen == first.len() {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
