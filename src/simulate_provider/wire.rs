//! A listener that can stop listening, and connections that can be broken from a handler.
//!
//! axum answers requests; a vendor in trouble resets connections, ends answers in the middle and refuses to be connected
//! to. The handler asks for that through the [`Connection`] it is served on; the stream obeys when the answer is written.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::connect_info::Connected,
    http::{StatusCode, header},
    response::Response,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Between two tries to listen again, should the address be taken for a moment.
const RETRY: Duration = Duration::from_millis(20);

/// Orders to a connection; 0 is none.
const RESET: u8 = 1;
const CUT: u8 = 2;

/// What the handler asks of the connection that it answers on.
#[derive(Clone, Debug, Default)]
pub struct Connection(Arc<AtomicU8>);

impl Connection {
    /// Ends the connection with a reset instead of an answer.
    pub fn reset(&self) -> Response {
        self.0.store(RESET, Ordering::Release);
        Response::new(Body::empty())
    }

    /// Answers with a head that promises more than `start`, and ends the connection there.
    pub fn cut(&self, start: &'static str) -> Response {
        self.0.store(CUT, Ordering::Release);
        let mut response = Response::new(Body::from(format!("{start}{}", " ".repeat(start.len()))));
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        response
    }
}

impl Connected<IncomingStream<'_, Switchable>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Switchable>) -> Self {
        stream.io().orders.clone()
    }
}

/// Listens, except while told to refuse.
pub struct Switchable {
    address: SocketAddr,
    listener: Option<TcpListener>,
    refuse: watch::Receiver<bool>,
}

impl Switchable {
    pub fn new(listener: TcpListener, refuse: watch::Receiver<bool>) -> io::Result<Self> {
        Ok(Self { address: listener.local_addr()?, listener: Some(listener), refuse })
    }
}

impl Listener for Switchable {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        loop {
            if *self.refuse.borrow_and_update() {
                self.listener = None;
                if self.refuse.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            }
            let Some(listener) = &self.listener else {
                match TcpListener::bind(self.address).await {
                    Ok(listener) => self.listener = Some(listener),
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
                continue;
            };
            tokio::select! {
                _ = self.refuse.changed() => {}
                accepted = listener.accept() => match accepted {
                    Ok((tcp, from)) => {
                        // Small answers leave at once.
                        let _ = tcp.set_nodelay(true);
                        return (Stream { tcp, orders: Connection::default() }, from);
                    }
                    Err(_) => tokio::time::sleep(RETRY).await,
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A connection that breaks when it is told to.
pub struct Stream {
    tcp: TcpStream,
    orders: Connection,
}

impl Stream {
    /// How much of what is to be written may go out.
    fn obey(&self, bytes: usize) -> io::Result<usize> {
        match self.orders.0.load(Ordering::Acquire) {
            RESET => {
                self.tcp.set_zero_linger()?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            // The head and half of the body are more than half of any such answer.
            CUT => Ok(bytes.saturating_sub(CUT_OFF)),
            _ => Ok(bytes),
        }
    }
}

/// As many bytes of a cut answer as never leave.
const CUT_OFF: usize = 4;

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let allowed = self.obey(bytes.len())?;
        let cut = allowed < bytes.len();
        match Pin::new(&mut self.tcp).poll_write(cx, &bytes[..allowed]) {
            // What was kept back is gone: the next write finds the connection ended.
            Poll::Ready(Ok(_)) if cut => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}
