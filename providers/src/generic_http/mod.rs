//! Kind `http`: any vendor with a plain HTTP API, described by settings alone.
//!
//! [`config`] reads the settings, [`body`] makes the request from them, [`response`] finds the meaning of an answer,
//! [`receipt`] verifies and reads what the vendor reports. A vendor of this kind signs nothing, so its receipts must carry
//! our token in the query.

mod body;
mod config;
mod receipt;
mod response;

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use tidings_core::{message::Channel, redact::Redacted};

use self::config::Config;
use crate::{Accepted, Code, Context, Http, Kind, Provider, Receipt, ReceiptError, ReceiptRequest, Submission, SubmitError, http::Call};

pub const KIND: Kind = Kind {
    name: "http",
    channels: Channel::ALL,
    settings: config::NAMES,
    // Headers carry the vendor's credentials.
    secrets: &["headers", "receipt_token"],
    simulated: false,
    build: |_, settings, context| Ok(Arc::new(HttpProvider::new(Config::read(settings)?, context))),
};

#[derive(Debug)]
struct HttpProvider {
    config: Config,
    http: Http,
}

impl HttpProvider {
    fn new(config: Config, context: &Context) -> Self {
        Self { config, http: context.http.clone() }
    }
}

#[async_trait]
impl Provider for HttpProvider {
    async fn submit(&self, submission: &Submission) -> Result<Accepted, SubmitError> {
        let config = &self.config;
        // A parameter that the body needs and this message lacks: nothing was sent, and nothing else would help here.
        let body = config.body.render(submission, &config.from).map_err(|_| SubmitError::RejectedContent { code: Code::new("body") })?;
        let (method, url, mut headers) = (config.method.clone(), config.url.clone(), config.headers.clone());
        if let Some(traceparent) = submission.traceparent.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert("traceparent", traceparent);
        }
        let answer = self.http.call(Call { method, url, headers, body, timeout: submission.timeout }).await?;
        config.response.read(&answer)
    }

    fn receipts(&self, request: &ReceiptRequest) -> Result<Vec<Receipt>, ReceiptError> {
        self.config.receipt.read(request)
    }

    fn callback_token(&self) -> Option<Redacted<String>> {
        self.config.receipt.token.clone()
    }
}

#[cfg(test)]
mod tests;
