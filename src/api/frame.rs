//! What stands around every handler: the request's id, its measure, problems written, panics caught.
//!
//! Handlers say what went wrong as a [`Problem`]; here it is written with the request's id. An answer that the router itself
//! gives (405, an unknown address) becomes a problem too, so that nothing leaves in another form.

use std::{
    collections::HashSet,
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    extract::{MatchedPath, Request},
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, future::CatchUnwind};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pin_project_lite::pin_project;
use tidings_core::time::Moment;
use tower::{Layer, Service};

use super::{
    Api,
    extract::TakesNone,
    problem::{Code, Problem},
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Names one request in its answer and in the log. Opaque; unique in the installation.
#[derive(Clone, Debug)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes request ids: eight characters of the process, and a count that does not look like one.
#[derive(Debug)]
pub struct RequestIds {
    process: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub fn new(random: [u8; 10]) -> Self {
        let word = |bytes: &[u8]| bytes.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        Self { process: word(&random[..5]), count: AtomicU64::new(word(&random[5..])) }
    }

    fn next(&self) -> RequestId {
        // An odd multiplier visits every number once, in an order that tells nobody how busy we are.
        let count = self.count.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let digit = |word: u64, place: usize| ALPHABET[(word >> (5 * place) & 31) as usize];
        let mut text = [0; 21];
        let (process, counted) = text.split_at_mut(8);
        process.iter_mut().enumerate().for_each(|(place, slot)| *slot = digit(self.process, place));
        counted.iter_mut().enumerate().for_each(|(place, slot)| *slot = digit(count, place));
        RequestId(Arc::from(std::str::from_utf8(&text).unwrap_or("unknown")))
    }
}

/// The outermost layer. One service around each route, not a stack of them: each would be cloned, boxed and moved for every request.
#[derive(Clone)]
pub(super) struct Frame(Arc<Surroundings>);

struct Surroundings {
    api: Api,
    /// Methods and routes of the operations that take query parameters.
    with_query: HashSet<(String, String)>,
}

impl Frame {
    pub(super) fn new(api: Api, with_query: HashSet<(String, String)>) -> Self {
        Self(Arc::new(Surroundings { api, with_query }))
    }

    fn takes_no_query(&self, method: &Method, route: Option<&MatchedPath>) -> bool {
        let method = if method == Method::HEAD { "GET" } else { method.as_str() };
        route.is_some_and(|route| !self.0.with_query.contains(&(method.to_owned(), route.as_str().to_owned())))
    }
}

impl<S> Layer<S> for Frame {
    type Service = Framed<S>;

    fn layer(&self, handler: S) -> Framed<S> {
        Framed { frame: self.clone(), handler }
    }
}

#[derive(Clone)]
pub(super) struct Framed<S> {
    frame: Frame,
    handler: S,
}

impl<S> Service<Request> for Framed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.handler.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Answering<S::Future> {
        let api = &self.frame.0.api;
        let (began, id) = (api.clock.moment(), api.request_ids.next());
        request.extensions_mut().insert(id.clone());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let method = request.method().clone();
        let of_the_api = request.uri().path().starts_with("/v1/");
        let asks = request.uri().query().is_some_and(|query| !query.is_empty());
        if asks && self.frame.takes_no_query(&method, route.as_ref()) {
            request.extensions_mut().insert(TakesNone);
        }
        let asked = Asked { id, began, route, method, of_the_api };
        Answering { handler: AssertUnwindSafe(self.handler.call(request)).catch_unwind(), frame: self.frame.clone(), asked }
    }
}

/// What must be known of a request once its handler has taken it.
struct Asked {
    id: RequestId,
    began: Moment,
    route: Option<MatchedPath>,
    method: Method,
    of_the_api: bool,
}

pin_project! {
    pub(super) struct Answering<F> {
        #[pin]
        handler: CatchUnwind<AssertUnwindSafe<F>>,
        frame: Frame,
        asked: Asked,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answering<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match ready!(this.handler.poll(context)) {
            Ok(Ok(response)) => response,
            Err(_) => panicked(),
        };
        let (api, asked) = (&this.frame.0.api, this.asked);
        let mut response = written(response, asked.of_the_api, &asked.id);
        if let Ok(value) = HeaderValue::from_str(asked.id.as_str()) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        let took = api.clock.moment().since(asked.began);
        let route = asked.route.as_ref().map(MatchedPath::as_str);
        api.metrics.http.answered(route, asked.method.as_str(), response.status().as_u16(), took);
        Poll::Ready(Ok(response))
    }
}

/// A problem as bytes; anything else as it is, unless it is a bare error of the router's own.
fn written(mut response: Response, of_the_api: bool, id: &RequestId) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return problem.answer(id.as_str());
    }
    // An address that is no UTF-8 names nothing; the router says so in its own words.
    if of_the_api && response.status() == StatusCode::BAD_REQUEST && is_plain(&response) {
        return Problem::new(Code::NotFound).answer(id.as_str());
    }
    if response.headers().contains_key(header::CONTENT_TYPE) {
        return response;
    }
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow = response.headers_mut().remove(header::ALLOW);
            let mut answer = Problem::new(Code::MethodNotAllowed).answer(id.as_str());
            answer.headers_mut().extend(allow.map(|allow| (header::ALLOW, allow)));
            answer
        }
        StatusCode::NOT_FOUND => Problem::new(Code::NotFound).answer(id.as_str()),
        _ => response,
    }
}

fn is_plain(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

/// No handler panics; if one does, it is our fault and the connection lives on.
fn panicked() -> Response {
    tracing::error!("a handler panicked");
    Problem::new(Code::Internal).into_response()
}

/// Nothing lies here.
pub(super) async fn unmatched() -> Problem {
    Problem::new(Code::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ_and_do_not_count_visibly() {
        let ids = RequestIds::new([7; 10]);
        let made: std::collections::HashSet<String> = (0..1_000).map(|_| ids.next().as_str().to_owned()).collect();
        assert_eq!(made.len(), 1_000);
        assert!(made.iter().all(|id| id.len() == 21 && id.bytes().all(|byte| ALPHABET.contains(&byte))));
    }
}
