//! The one place where an error becomes an HTTP answer: RFC 9457, with a stable `code`.
//!
//! A handler returns a [`Problem`]; the frame around all handlers writes it, because only the frame knows the request's id.
//! Every code has a page of its own (`problems/<code>.md`), served at its `type`. Texts of 5xx are constants: what went
//! wrong inside is for the log.

use std::{borrow::Cow, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use tidings_core::message::Status;

use crate::{
    accept::{Reached, Refusal},
    control::fields::Fault,
    store,
};

macro_rules! codes {
    ($($name:ident = $word:literal $status:literal $title:literal,)*) => {
        /// Every way in which a request is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($name,)* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Stable, for programs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The path at which its page is served.
            pub const fn type_path(self) -> &'static str {
                match self { $(Self::$name => concat!("/problems/", $word),)* }
            }

            /// Its page, in Markdown: the first line is a heading.
            pub const fn page(self) -> &'static str {
                match self { $(Self::$name => include_str!(concat!("problems/", $word, ".md")),)* }
            }
        }
    };
}

codes! {
    MalformedJson = "malformed_json" 400 "The body is not JSON",
    Unauthorized = "unauthorized" 401 "Who are you?",
    InsufficientScope = "insufficient_scope" 403 "The key lacks a scope",
    RoleRequired = "role_required" 403 "A higher role is required",
    OwnRequest = "own_request" 403 "Nobody approves their own request",
    AppSuspended = "app_suspended" 403 "The app is suspended",
    AppNotLive = "app_not_live" 403 "The app has no production access",
    FreeTextNotAllowed = "free_text_not_allowed" 403 "The app may only send templates",
    ChannelNotAllowed = "channel_not_allowed" 403 "The app may not use this channel",
    CountryNotAllowed = "country_not_allowed" 403 "The app may not send to this country",
    NotFound = "not_found" 404 "There is no such thing",
    MethodNotAllowed = "method_not_allowed" 405 "The address does not take this method",
    RequestTimeout = "request_timeout" 408 "The request took too long to arrive",
    TooLarge = "too_large" 413 "The body is too large",
    UnsupportedMediaType = "unsupported_media_type" 415 "The body must be JSON",
    TooLate = "too_late" 409 "The message is already on its way",
    NotHeld = "not_held" 409 "The message is not held",
    NotPending = "not_pending" 409 "The request is not pending",
    NotApproved = "not_approved" 409 "It is not approved",
    AlreadyExists = "already_exists" 409 "It exists already",
    IdempotencyInProgress = "idempotency_in_progress" 409 "The first request with this key is still in progress",
    VerificationClosed = "verification_closed" 409 "The verification is closed",
    Invalid = "invalid" 422 "Some fields are not valid",
    UnknownTemplate = "unknown_template" 422 "There is no such template",
    TemplateNotApproved = "template_not_approved" 422 "The template is not approved",
    UnknownSignature = "unknown_signature" 422 "There is no such signature",
    SignatureNotApproved = "signature_not_approved" 422 "The signature is not approved",
    RecipientSuppressed = "recipient_suppressed" 422 "The recipient must not be written to",
    IdempotencyMismatch = "idempotency_mismatch" 422 "The key was used for another request",
    NoRoute = "no_route" 422 "No provider can take this message",
    RateLimited = "rate_limited" 429 "Too many requests",
    QuotaExceeded = "quota_exceeded" 429 "The quota is used up",
    RecipientCapped = "recipient_capped" 429 "The recipient has had enough messages",
    Internal = "internal" 500 "Something is broken here",
    Overloaded = "overloaded" 503 "There is no room at the moment",
    Unavailable = "unavailable" 503 "The service is unavailable at the moment",
}

/// Where a wrong value stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the body, as a JSON pointer.
    Pointer(String),
    /// In the query.
    Parameter(String),
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    #[serde(flatten)]
    pub place: Place,
    /// Stable, for programs: `required`, `unknown`, `type`, `format`, `range`, `length`, `conflict`, `duplicate`.
    pub code: &'static str,
    pub detail: String,
}

impl FieldError {
    pub fn at(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { place: Place::Pointer(pointer.into()), code, detail: detail.into() }
    }

    pub fn parameter(name: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { place: Place::Parameter(name.into()), code, detail: detail.into() }
    }
}

/// A refused request. Small on purpose: it travels in every `Result` of the hot path.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    limit: Option<&'static str>,
    message_status: Option<Status>,
    headers: HeaderMap,
}

/// How long a client waits when nobody knows better.
const RETRY_AFTER_UNAVAILABLE: Duration = Duration::from_secs(1);

impl Problem {
    pub fn new(code: Code) -> Self {
        let mut inner = Inner {
            code,
            detail: Cow::Borrowed(code.title()),
            errors: Vec::new(),
            limit: None,
            message_status: None,
            headers: HeaderMap::new(),
        };
        match code {
            Code::Unauthorized => _ = inner.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Code::Overloaded | Code::Unavailable => _ = inner.headers.insert(header::RETRY_AFTER, seconds(RETRY_AFTER_UNAVAILABLE)),
            _ => {}
        }
        Self(Box::new(inner))
    }

    /// Fields that are wrong, all of them at once.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => Cow::Owned(only.detail.clone()),
            many => Cow::Owned(format!("{} fields are not valid", many.len())),
        };
        Self::new(Code::Invalid).because(detail).with_errors(errors)
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    #[must_use]
    pub fn because(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        debug_assert!(self.0.code.status() < 500, "texts of 5xx are constants");
        self.0.detail = detail.into();
        self
    }

    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    #[must_use]
    pub fn with_message_status(mut self, status: Status) -> Self {
        self.0.message_status = Some(status);
        self
    }

    /// Names the limit that was reached.
    #[must_use]
    pub fn with_limit(mut self, reached: &Reached) -> Self {
        const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
        const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
        const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
        self.0.limit = Some(reached.name);
        self.0.headers.insert(LIMIT, HeaderValue::from(reached.limit));
        self.0.headers.insert(REMAINING, HeaderValue::from(reached.remaining));
        self.0.headers.insert(RESET, seconds(reached.reset));
        self.with_retry_after(reached.retry_after)
    }

    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.headers.insert(header::RETRY_AFTER, seconds(after));
        self
    }

    /// The body of the answer to the request of this id.
    pub fn body<'a>(&'a self, request_id: &'a str) -> Body<'a> {
        let Inner { code, detail, errors, limit, message_status, .. } = &*self.0;
        Body {
            r#type: code.type_path(),
            title: code.title(),
            status: code.status(),
            detail,
            code: code.as_str(),
            request_id,
            errors,
            limit: *limit,
            message_status: *message_status,
        }
    }

    /// The whole answer.
    pub(super) fn answer(&self, request_id: &str) -> Response {
        let body = serde_json::to_vec(&self.body(request_id)).expect("strings and numbers always serialise");
        let status = StatusCode::from_u16(self.0.code.status()).expect("the table holds HTTP statuses");
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        response.headers_mut().extend(self.0.headers.clone());
        response
    }
}

/// The body of a problem, as it goes out alone or as the error of a batch item.
#[derive(Debug, Serialize)]
pub struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_status: Option<Status>,
}

/// Whole seconds, rounded up: a client that waits so long has waited enough.
fn seconds(duration: Duration) -> HeaderValue {
    HeaderValue::from(duration.as_millis().div_ceil(1_000).min(u128::from(u32::MAX)) as u64)
}

/// Carries the problem to the frame, which writes it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = StatusCode::from_u16(self.0.code.status()).expect("the table holds HTTP statuses").into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(source) => {
                tracing::warn!(error = format!("{source:#}"), "the store did not answer a request");
                Self::new(Code::Unavailable)
            }
            store::Error::Broken(source) => {
                tracing::error!(error = format!("{source:#}"), "the store broke on a request");
                Self::new(Code::Internal)
            }
        }
    }
}

impl From<Fault> for FieldError {
    fn from(fault: Fault) -> Self {
        Self::at(fault.pointer, fault.code, fault.detail)
    }
}

impl From<Vec<Fault>> for Problem {
    fn from(faults: Vec<Fault>) -> Self {
        Self::invalid(faults.into_iter().map(FieldError::from).collect())
    }
}

/// The code that a refusal is answered with.
pub fn code_of(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Invalid(_) => Code::Invalid,
        Refusal::AppSuspended => Code::AppSuspended,
        Refusal::AppNotLive => Code::AppNotLive,
        Refusal::FreeTextNotAllowed => Code::FreeTextNotAllowed,
        Refusal::ChannelNotAllowed => Code::ChannelNotAllowed,
        Refusal::CountryNotAllowed => Code::CountryNotAllowed,
        Refusal::UnknownTemplate => Code::UnknownTemplate,
        Refusal::TemplateNotApproved => Code::TemplateNotApproved,
        Refusal::UnknownSignature => Code::UnknownSignature,
        Refusal::SignatureNotApproved => Code::SignatureNotApproved,
        Refusal::RecipientSuppressed => Code::RecipientSuppressed,
        Refusal::NoRoute => Code::NoRoute,
        Refusal::RateLimited(_) => Code::RateLimited,
        Refusal::QuotaExceeded(_) => Code::QuotaExceeded,
        Refusal::RecipientCapped(_) => Code::RecipientCapped,
        Refusal::IdempotencyMismatch => Code::IdempotencyMismatch,
        Refusal::IdempotencyInProgress => Code::IdempotencyInProgress,
        Refusal::Overloaded => Code::Overloaded,
        Refusal::NoRights | Refusal::Store(store::Error::Unavailable(_)) => Code::Unavailable,
        Refusal::Store(store::Error::Broken(_)) => Code::Internal,
        Refusal::NotFound => Code::NotFound,
        Refusal::TooLate(_) => Code::TooLate,
        Refusal::NotHeld(_) => Code::NotHeld,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Self::new(code_of(&refusal));
        match refusal {
            Refusal::Invalid(faults) => faults.into(),
            Refusal::RateLimited(reached) | Refusal::QuotaExceeded(reached) | Refusal::RecipientCapped(reached) => {
                problem.with_limit(&reached)
            }
            Refusal::TooLate(status) | Refusal::NotHeld(status) => {
                problem.because(format!("the message is {status}")).with_message_status(status)
            }
            Refusal::Store(error) => error.into(),
            _ => problem,
        }
    }
}
