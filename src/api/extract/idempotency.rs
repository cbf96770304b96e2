//! The header `Idempotency-Key`.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::{
    accept::is_key,
    api::problem::{FieldError, Problem},
};

/// The key of the request, if it has one; checked when it is asked for, so that authentication speaks first.
pub struct IdempotencyKey(Option<Result<String, ()>>);

impl IdempotencyKey {
    pub fn get(&self) -> Result<Option<&str>, Problem> {
        match &self.0 {
            None => Ok(None),
            Some(Ok(key)) => Ok(Some(key)),
            Some(Err(())) => {
                let error = FieldError::parameter("Idempotency-Key", "format", "must be 1 to 255 visible ASCII characters, once");
                Err(Problem::invalid(vec![error]))
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut given = parts.headers.get_all("idempotency-key").iter();
        let Some(first) = given.next() else { return Ok(Self(None)) };
        let key = first.to_str().ok().filter(|key| is_key(key) && given.next().is_none());
        Ok(Self(Some(key.map(str::to_owned).ok_or(()))))
    }
}
