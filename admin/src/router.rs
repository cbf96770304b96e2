//! The table of contents: every address of the pages.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};

use crate::{
    backend::Backend,
    pages::{
        apps, assets, audit, home, login, message, messages, problem, provider, providers, requests, routing, sign_on, suppressions,
        templates, users,
    },
    visit,
};

/// Forms are small, except a routing document.
const MAX_FORM_BYTES: usize = 1024 * 1024;

/// What the pages need to know about the installation.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether people come by https: then the cookie never travels without.
    pub secure: bool,
    /// Calling codes of the countries it sends to, the most usual first: how a number without a country is read.
    pub calling_codes: Vec<String>,
}

impl Settings {
    pub(crate) const fn cookie_name(&self) -> &'static str {
        // The prefix makes browsers refuse it from a subdomain or without https.
        if self.secure { "__Host-tidings" } else { "tidings_session" }
    }

    pub(crate) const fn journey_cookie_name(&self) -> &'static str {
        if self.secure { "__Host-tidings-sso" } else { "tidings_sso" }
    }
}

#[derive(Clone)]
pub struct App {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) settings: Arc<Settings>,
}

impl App {
    /// The session cookie; it ends with the browser, or with the session if that is sooner.
    pub(crate) fn cookie(&self, token: &str, max_age_s: Option<u64>) -> String {
        let name = self.settings.cookie_name();
        let secure = if self.settings.secure { "; Secure" } else { "" };
        let age = max_age_s.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
        format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax{secure}{age}")
    }

    /// The cookie that travels to the single sign-on and back. Lax, because the way back comes from another site.
    pub(crate) fn journey_cookie(&self, value: &str, max_age_s: u64) -> String {
        let name = self.settings.journey_cookie_name();
        let secure = if self.settings.secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}; Max-Age={max_age_s}")
    }
}

/// All pages, under `/admin`; to be merged into the application's router.
pub fn router<S: Clone + Send + Sync + 'static>(backend: Arc<dyn Backend>, settings: Settings) -> Router<S> {
    let app = App { backend, settings: Arc::new(settings) };
    let pages = Router::new()
        .route("/admin", get(home::get))
        .route("/admin/login", get(login::get).post(login::post))
        .route("/admin/logout", post(login::log_out))
        .route("/admin/sso", get(sign_on::depart))
        .route("/admin/sso/callback", get(sign_on::arrive))
        .route("/admin/zone", post(login::zone))
        .route("/admin/messages", get(messages::get).post(messages::search))
        .route("/admin/messages/{id}", get(message::get))
        .route("/admin/messages/{id}/reveal", post(message::reveal))
        .route("/admin/messages/{id}/cancel", post(message::cancel))
        .route("/admin/providers", get(providers::get))
        .route("/admin/providers/{name}", get(provider::get))
        .route("/admin/providers/{name}/steer", post(provider::steer))
        .route("/admin/requests", get(requests::list))
        .route("/admin/requests/{id}", get(requests::get))
        .route("/admin/requests/{id}/decide", post(requests::decide))
        .route("/admin/apps", get(apps::list).post(apps::create))
        .route("/admin/apps/{id}", get(apps::get).post(apps::change))
        .route("/admin/apps/{id}/keys", post(apps::create_key))
        .route("/admin/apps/{id}/keys/{key}/revoke", post(apps::revoke_key))
        .route("/admin/templates", get(templates::get))
        .route("/admin/routing", get(routing::list).post(routing::create))
        .route("/admin/routing/{number}", get(routing::get))
        .route("/admin/routing/{number}/submit", post(routing::submit))
        .route("/admin/routing/{number}/activate", post(routing::activate))
        .route("/admin/suppressions", get(suppressions::get).post(suppressions::add))
        .route("/admin/suppressions/{id}/lift", post(suppressions::lift))
        .route("/admin/users", get(users::get).post(users::add))
        .route("/admin/users/{id}", post(users::change))
        .route("/admin/audit", get(audit::get))
        .route("/admin/{*elsewhere}", get(problem::nowhere))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(middleware::from_fn_with_state(app.clone(), visit::admit))
        .with_state(app);
    Router::new().route("/admin/assets/{file}", get(assets::get)).merge(pages)
}
