//! The one client that calls vendors, and the one place where a broken call gets its meaning.
//!
//! Whether a message may have been sent is decided by one fact: did the request's body leave? [`TrackedBody`] notes when
//! the connection asks for it, which happens only once there is a connection and immediately before the bytes are written.
//! Before that, everything is [`SubmitError::Unavailable`]; after it, everything without a whole answer is
//! [`SubmitError::Ambiguous`]. So a connect that times out is told from an answer that does, whatever the time-outs are.
//!
//! Redirects are not followed, calls are not repeated behind our back, answers are bounded, the environment's proxy
//! settings are ignored (an `endpoint` says where calls go), and no error repeats an address: it may hold a secret.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use reqwest::Url;
use tidings_core::attempt::Outcome;

use crate::provider::{Code, SubmitError};

/// No vendor answers a submission with more than a few hundred bytes; beyond this an answer counts as unreadable.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// A connect that takes longer goes nowhere, also where a provider's own time-out is longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the idle time-outs of usual load balancers (60 s and up), so that we close an idle connection before they do.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// A vendor may ask for patience, not for forever.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// The client could not be built: no usable TLS configuration on this machine.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client for providers")]
pub struct NoClient(#[source] reqwest::Error);

/// One client for all providers: one pool, keyed by host.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
}

/// One request to a vendor. Everything constant in it is prepared when the provider is built.
pub struct Call {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub timeout: Duration,
}

/// An answer with a status; what it means is the kind's to say.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// `None`: larger than [`MAX_ANSWER_BYTES`] and not read to its end.
    pub body: Option<Bytes>,
}

impl Http {
    pub fn new() -> Result<Self, NoClient> {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent("tidings")
            .build()
            .map(|client| Self { client })
            .map_err(NoClient)
    }

    /// Makes the call and reads the whole answer, within the call's time-out.
    pub async fn call(&self, call: Call) -> Result<Answer, SubmitError> {
        let sent = Arc::new(AtomicBool::new(false));
        let timeout = call.timeout;
        let mut request = reqwest::Request::new(call.method, call.url);
        *request.headers_mut() = call.headers;
        *request.body_mut() = Some(reqwest::Body::wrap(TrackedBody { data: Some(call.body), sent: Arc::clone(&sent) }));
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(broken)) if sent.load(Ordering::Acquire) => Err(SubmitError::Ambiguous { code: Code::new(broken.code()) }),
            Err(_elapsed) if sent.load(Ordering::Acquire) => Err(SubmitError::Ambiguous { code: Code::new(Code::TIMEOUT) }),
            Ok(Err(_)) | Err(_) => Err(SubmitError::Unavailable { code: Code::new(Code::CONNECT) }),
        }
    }

    async fn exchange(&self, request: reqwest::Request) -> Result<Answer, Broken> {
        let mut response = self.client.execute(request).await.map_err(|error| Broken::before_the_head(&error))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = Bytes::new();
        let mut more = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Broken::inside_the_body(&error))? {
            if body.len() + more.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Ok(Answer { status, headers, body: None });
            }
            // Nearly every answer is one chunk: it is kept as it is.
            if body.is_empty() { body = chunk } else { more.extend_from_slice(&chunk) }
        }
        if !more.is_empty() {
            more = [&body[..], &more[..]].concat().as_slice().into();
            body = more.freeze();
        }
        Ok(Answer { status, headers, body: Some(body) })
    }
}

impl Answer {
    /// `Retry-After` in seconds, bounded. The form with a date is not used by any vendor we know, and would need a clock.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
    }

    /// What this status means where the kind has no mapping of its own.
    pub fn default_outcome(&self) -> Outcome {
        match self.status.as_u16() {
            200..=299 => Outcome::Accepted,
            401..=403 => Outcome::RejectedAccount,
            429 => Outcome::Throttled,
            400..=499 => Outcome::RejectedContent,
            // A gateway gave up on what stands behind it: that may have gone on.
            502 | 504 => Outcome::Ambiguous,
            _ => Outcome::Unavailable,
        }
    }
}

/// How an exchange broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Reset,
    Malformed,
}

impl Broken {
    const fn code(self) -> &'static str {
        match self {
            Self::Reset => Code::RESET,
            Self::Malformed => Code::MALFORMED,
        }
    }

    /// Until the head of the answer is whole, a closed connection is a reset and anything that is not HTTP is malformed.
    fn before_the_head(error: &reqwest::Error) -> Self {
        match source::<hyper::Error>(error) {
            Some(error) if error.is_parse() => Self::Malformed,
            _ => Self::Reset,
        }
    }

    /// After it, a torn connection is a reset and an answer that just ends is cut short.
    fn inside_the_body(error: &reqwest::Error) -> Self {
        match source::<io::Error>(error) {
            Some(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) => Self::Reset,
            _ => Self::Malformed,
        }
    }
}

fn source<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// A body that notes when the connection asks for it: the moment from which a request may have been processed.
///
/// It never claims to have ended beforehand, because then it would not be asked; its exact size keeps requests unchunked.
struct TrackedBody {
    data: Option<Bytes>,
    sent: Arc<AtomicBool>,
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.sent.store(true, Ordering::Release);
        Poll::Ready(self.data.take().filter(|data| !data.is_empty()).map(|data| Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, Bytes::len) as u64)
    }
}
