//! What the operators' pages show, from the stores, the control plane and the desks of this node.
//!
//! The pages know only the trait [`tidings_admin::Backend`]; here it is answered, a file for each kind of thing. Whoever asks
//! for a change is checked for the role that the HTTP contract names, then the same use case runs that the API calls.
//! Recipients are masked on the way out, except by a reveal, which is in the audit log before anything is shown.

mod apps;
mod errors;
mod history;
mod messages;
mod overview;
mod people;
mod providers;
mod requests;
mod routing;
mod sessions;
mod sign_on;

use std::{net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{Router, extract::ConnectInfo, extract::Request};
use tidings_admin::{
    Actor, Backend, Error, Origin, Settings,
    backend::{Departure, Return, SignedIn},
    views::{
        App, AppChange, AppDetail, AuditLine, AuditSearch, Listing, MessageDetail, MessageRow, NewApp, NewKey, NewSuppression, NewUser,
        Overview, Person, ProviderDetail, ProviderRow, RequestDetail, RequestRow, RequestStatus, Revealed, RevisionDetail, RevisionRow,
        Role, Search, ShownKey, Signature, Steering, Suppression, Template, User, UserChange,
    },
};
use tidings_core::{
    id::MessageId,
    redact::{Secret, Text},
    time::Timestamp,
};
use tokio_util::sync::CancellationToken;

pub use self::history::History;
use crate::{
    api::{RequestId, client_address},
    clock::Clock,
    config::Network,
    control::Control,
    delivery::Desks,
    single_sign_on::SingleSignOn,
    store::Messages,
    telemetry::Metrics,
};

/// How often counters are read for the charts.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// This process among those whose counters the charts are made of; the others have numbers.
const OWN: &str = "here";
/// Rows of a listing of the control plane.
const ROWS: usize = 100;
/// The countries that most numbers without a country belong to, where the apps do not say: those of the demo.
const CALLING_CODES: [&str; 2] = ["86", "1"];

/// What the pages are made of.
pub struct AdminBackend {
    pub control: Arc<Control>,
    pub messages: Arc<dyn Messages>,
    pub desks: Arc<Desks>,
    pub metrics: Arc<Metrics>,
    pub history: Arc<History>,
    pub clock: Clock,
    pub single_sign_on: Option<SingleSignOn>,
    pub public_url: String,
    pub trusted_proxies: Arc<[Network]>,
}

impl AdminBackend {
    /// Samples the counters for the charts until `stop`.
    pub async fn keep_history(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let (own, elsewhere) = (self.metrics.totals(), self.metrics.elsewhere());
            let others = elsewhere.iter().map(|(node, totals)| (node.as_str(), totals));
            self.history.sample(self.clock.now(), std::iter::once((OWN, &own)).chain(others));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SAMPLE_EVERY) => {}
            }
        }
    }

    /// The pages, to be merged into the application's router.
    pub fn router<S: Clone + Send + Sync + 'static>(self: Arc<Self>) -> Router<S> {
        let mut calling_codes: Vec<String> = Vec::new();
        for app in self.control.snapshot().apps() {
            calling_codes.extend(app.countries.iter().filter(|code| !calling_codes.contains(code)).cloned().collect::<Vec<_>>());
        }
        if calling_codes.is_empty() {
            calling_codes = CALLING_CODES.map(ToOwned::to_owned).to_vec();
        }
        let settings = Settings { secure: self.public_url.starts_with("https://"), calling_codes };
        let trusted = Arc::clone(&self.trusted_proxies);
        let origin_known = move |mut request: Request| {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
            let address = peer.map(|peer| client_address(peer, request.headers(), &trusted));
            let request_id = request.extensions().get::<RequestId>().map(|id| id.as_str().to_owned());
            request.extensions_mut().insert(Origin { address, request_id });
            std::future::ready(request)
        };
        tidings_admin::router(self, settings).layer(axum::middleware::map_request(origin_known))
    }

    fn need(actor: &Actor, role: Role) -> Result<(), Error> {
        if actor.person.role >= role { Ok(()) } else { Err(Error::Role(role)) }
    }
}

#[async_trait]
impl Backend for AdminBackend {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn random(&self) -> [u8; 32] {
        self.clock.random()
    }

    async fn log_in(&self, name: &str, password: Secret, from: Option<IpAddr>) -> Result<SignedIn, Error> {
        self.begin_session(name, &password, from).await
    }

    fn single_sign_on(&self) -> Option<String> {
        self.single_sign_on.as_ref().map(|provider| provider.label().to_owned())
    }

    async fn depart(&self, next: &str) -> Result<Departure, Error> {
        self.begin_sign_on(next).await
    }

    async fn arrive(&self, back: Return, from: Option<IpAddr>) -> Result<(SignedIn, String), Error> {
        self.finish_sign_on(back, from).await
    }

    async fn person(&self, token: &Secret) -> Result<Option<Person>, Error> {
        Ok(self.holder_of(token).await.map(|person| sessions::shown(&person)))
    }

    async fn log_out(&self, token: &Secret) -> Result<(), Error> {
        self.end_session(token).await
    }

    async fn overview(&self) -> Result<Overview, Error> {
        self.see_overview().await
    }

    async fn messages(&self, search: &Search, before: Option<MessageId>, limit: usize) -> Result<Listing<MessageRow>, Error> {
        self.find_messages(search, before, limit).await
    }

    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, Error> {
        self.see_message(id).await
    }

    async fn reveal(&self, actor: &Actor, id: MessageId, reason: &str) -> Result<Revealed, Error> {
        Self::need(actor, Role::Viewer)?;
        self.reveal_message(actor, id, reason).await
    }

    async fn cancel(&self, actor: &Actor, id: MessageId) -> Result<(), Error> {
        Self::need(actor, Role::Operator)?;
        self.cancel_message(actor, id).await
    }

    async fn providers(&self) -> Result<Vec<ProviderRow>, Error> {
        Ok(self.see_providers())
    }

    async fn provider(&self, name: &str) -> Result<Option<ProviderDetail>, Error> {
        Ok(self.see_provider(name))
    }

    async fn steer(&self, actor: &Actor, name: &str, steering: Steering, reason: &str) -> Result<(), Error> {
        Self::need(actor, Role::Operator)?;
        self.steer_provider(actor, name, steering, reason).await
    }

    async fn requests(&self, status: Option<RequestStatus>, before: Option<&str>) -> Result<Listing<RequestRow>, Error> {
        Ok(self.list_requests(status, before))
    }

    async fn request(&self, id: &str) -> Result<Option<RequestDetail>, Error> {
        Ok(self.see_request(id))
    }

    async fn approve(&self, actor: &Actor, id: &str, comment: &str) -> Result<(), Error> {
        Self::need(actor, Role::Approver)?;
        let comment = (!comment.is_empty()).then(|| comment.to_owned());
        self.decide(actor, id, crate::control::model::Decision::Approve { comment }).await
    }

    async fn reject(&self, actor: &Actor, id: &str, reason: &str) -> Result<(), Error> {
        Self::need(actor, Role::Approver)?;
        self.decide(actor, id, crate::control::model::Decision::Reject { reason: reason.to_owned() }).await
    }

    async fn comment(&self, actor: &Actor, id: &str, text: &str) -> Result<(), Error> {
        Self::need(actor, Role::Operator)?;
        self.discuss(actor, id, text).await
    }

    async fn withdraw(&self, actor: &Actor, id: &str) -> Result<(), Error> {
        Self::need(actor, Role::Operator)?;
        self.decide(actor, id, crate::control::model::Decision::Withdraw { for_app: false }).await
    }

    async fn apps(&self) -> Result<Vec<App>, Error> {
        Ok(self.list_apps())
    }

    async fn app(&self, id: &str) -> Result<Option<AppDetail>, Error> {
        self.see_app(id).await
    }

    async fn request_app(&self, actor: &Actor, app: NewApp) -> Result<String, Error> {
        Self::need(actor, Role::Operator)?;
        self.ask_for_app(actor, app).await
    }

    async fn change_app(&self, actor: &Actor, id: &str, change: AppChange) -> Result<Option<String>, Error> {
        Self::need(actor, Role::Operator)?;
        self.alter_app(actor, id, change).await
    }

    async fn create_key(&self, actor: &Actor, app: &str, key: NewKey) -> Result<ShownKey, Error> {
        Self::need(actor, Role::Operator)?;
        self.make_key(actor, app, key).await
    }

    async fn revoke_key(&self, actor: &Actor, app: &str, key: &str) -> Result<(), Error> {
        Self::need(actor, Role::Operator)?;
        self.end_key(actor, app, key).await
    }

    async fn templates(&self) -> Result<Vec<Template>, Error> {
        Ok(self.list_templates())
    }

    async fn signatures(&self) -> Result<Vec<Signature>, Error> {
        Ok(self.list_signatures())
    }

    async fn revisions(&self) -> Result<Vec<RevisionRow>, Error> {
        Ok(self.list_revisions())
    }

    async fn revision(&self, number: u32) -> Result<Option<RevisionDetail>, Error> {
        Ok(self.see_revision(number))
    }

    async fn create_revision(&self, actor: &Actor, document: Text) -> Result<u32, Error> {
        Self::need(actor, Role::Operator)?;
        self.draft_revision(actor, &document).await
    }

    async fn submit_revision(&self, actor: &Actor, number: u32) -> Result<(), Error> {
        Self::need(actor, Role::Operator)?;
        self.hand_in_revision(actor, number).await
    }

    async fn activate_revision(&self, actor: &Actor, number: u32, percent: u8) -> Result<(), Error> {
        Self::need(actor, Role::Approver)?;
        self.put_revision_into_force(actor, number, percent).await
    }

    async fn suppressions(&self, before: Option<&str>) -> Result<Listing<Suppression>, Error> {
        Ok(self.list_suppressions(before))
    }

    async fn suppress(&self, actor: &Actor, suppression: NewSuppression) -> Result<(), Error> {
        Self::need(actor, Role::Operator)?;
        self.add_suppression(actor, suppression).await
    }

    async fn lift_suppression(&self, actor: &Actor, id: &str) -> Result<(), Error> {
        Self::need(actor, Role::Operator)?;
        self.remove_suppression(actor, id).await
    }

    async fn users(&self, actor: &Actor) -> Result<Vec<User>, Error> {
        Self::need(actor, Role::Admin)?;
        Ok(self.list_users())
    }

    async fn create_user(&self, actor: &Actor, user: NewUser) -> Result<(), Error> {
        Self::need(actor, Role::Admin)?;
        self.add_user(actor, user).await
    }

    async fn change_user(&self, actor: &Actor, id: &str, change: UserChange) -> Result<(), Error> {
        Self::need(actor, Role::Admin)?;
        self.alter_user(actor, id, change).await
    }

    async fn audit(&self, actor: &Actor, search: &AuditSearch, before: Option<&str>) -> Result<Listing<AuditLine>, Error> {
        Self::need(actor, Role::Approver)?;
        self.read_audit(search, before).await
    }
}
