//! What a process serves: the API with everything that belongs to it, or a worker's few addresses.

use std::sync::Arc;

use axum::{Router, routing::get};

use super::{Node, Role};
use crate::{
    admin_backend::{AdminBackend, History},
    api::{self, Api, RequestIds},
    receipts,
    single_sign_on::SingleSignOn,
};

impl Node {
    /// The router of this process's role.
    pub fn router(&self) -> Router {
        let public_metrics = self.config.metrics.listen.is_none();
        let api = Api::new(api::Shared {
            http: self.config.http.clone(),
            control: Arc::clone(&self.control),
            accept: Arc::clone(&self.accept),
            messages: Arc::clone(&self.messages),
            receipts: Arc::new(receipts::Intake::new(
                Arc::clone(&self.reporting) as _,
                Arc::clone(&self.receipts),
                Arc::clone(&self.metrics),
            )),
            desks: Arc::clone(&self.desks),
            clock: self.clock,
            metrics: Arc::clone(&self.metrics),
            readiness: Arc::clone(&self.readiness),
            request_ids: RequestIds::new(self.clock.random()),
        });
        match self.role {
            Role::Worker => api::operations_router(api, public_metrics),
            Role::Everything | Role::Api => api::router(api, self.pages(), public_metrics),
        }
    }

    fn pages(&self) -> Router<Api> {
        let backend = Arc::new(AdminBackend {
            control: Arc::clone(&self.control),
            messages: Arc::clone(&self.messages),
            desks: Arc::clone(&self.desks),
            metrics: Arc::clone(&self.metrics),
            history: Arc::new(History::default()),
            clock: self.clock,
            single_sign_on: self.single_sign_on(),
            public_url: self.config.http.public_url.clone(),
            trusted_proxies: self.config.http.trusted_proxies.as_slice().into(),
        });
        self.tasks.spawn(Arc::clone(&backend).keep_history(self.stop.clone()));
        backend.router()
    }

    fn single_sign_on(&self) -> Option<SingleSignOn> {
        match SingleSignOn::new(&self.config, Arc::clone(self.control.keyring()), self.clock) {
            Ok(configured) => configured,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "single sign-on is off: its client cannot be made");
                None
            }
        }
    }

    /// `/metrics` alone, for a listener of its own.
    pub fn metrics_router(&self) -> Router {
        let metrics = Arc::clone(&self.metrics);
        Router::new().route("/metrics", get(move || async move { api::metrics_text(&metrics) }))
    }
}
