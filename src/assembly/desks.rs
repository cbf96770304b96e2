//! From routing revisions to desks: providers are built, routes resolved, and rebuilt when another revision comes into force.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use anyhow::Context as _;
use tidings_core::{
    dice::mix, fleet::ProviderSpec, health::Thresholds, id::AppId, message::Channel, money::Amount, retry::BudgetSettings, select::Select,
    time::Moment,
};
use tidings_providers::{Context, Http, Provider, ReceiptStatus, Settings, registry};
use tokio_util::sync::CancellationToken;

use super::Role;
use crate::{
    clock::Clock,
    config::Config,
    control::{Control, model, routing},
    delivery::{Account, AppEntry, Callbacks, Desk, DeskSpec, Desks, Directory, Route},
    receipts::{self, Confirm, Confirmed, Observer},
    telemetry::Metrics,
};

/// How soon a revision that has come into force is at work.
const LOOK: Duration = Duration::from_millis(200);
/// The kind that test messages go to where the revision has none.
const SIMULATED: &str = "simulated";

/// A desk without anybody, until the first revision is read.
pub fn empty(now: Moment, role: Role) -> Desk {
    let (accounts, routes) = (Vec::new(), Vec::new());
    Desk::new(DeskSpec { revision: 0, accounts, routes, budget: BudgetSettings::default(), seed: 0, listens: !role.works() }, now)
}

/// The apps of the control plane, as delivery asks for them.
pub struct Apps(pub Arc<Control>);

impl Directory for Apps {
    fn app(&self, id: AppId) -> Option<AppEntry> {
        let snapshot = self.0.snapshot();
        snapshot.app(id).map(|app| AppEntry { name: app.name.as_str().into(), suspended: app.suspended })
    }
}

/// Tells the fleets what became of messages: the only signal of a vendor that accepts and drops.
pub struct Health {
    /// Weak, because a provider that brings its own receipts holds the way here: the store would never be let go.
    pub desks: Weak<Desks>,
    pub clock: Clock,
}

impl Observer for Health {
    fn confirmed(&self, confirmed: &Confirmed) {
        let Some(submitted_at) = confirmed.submitted_at.filter(|_| confirmed.says != ReceiptStatus::Submitted) else { return };
        let Some(desks) = self.desks.upgrade() else { return };
        desks.receipt(&self.clock, &confirmed.provider, submitted_at, confirmed.says == ReceiptStatus::Delivered);
    }
}

impl receipts::Accounts for Desks {
    fn provider(&self, name: &str) -> Option<Arc<dyn Provider>> {
        self.all().iter().find_map(|desk| desk.place(name).map(|place| Arc::clone(&desk.accounts[place].provider)))
    }
}

/// Which revisions a desk was built from.
type InForce = (Option<u32>, Option<(u32, u8)>);

/// Builds desks whenever the revisions in force change.
pub struct Builder {
    control: Arc<Control>,
    desks: Arc<Desks>,
    metrics: Arc<Metrics>,
    clock: Clock,
    callbacks: Callbacks,
    context: Context,
    role: Role,
    thresholds: Thresholds,
    budget: BudgetSettings,
    built: Mutex<Option<InForce>>,
}

impl Builder {
    pub fn new(
        config: &Config,
        control: &Arc<Control>,
        desks: &Arc<Desks>,
        receipts: &Arc<Confirm>,
        metrics: &Arc<Metrics>,
        clock: Clock,
        role: Role,
    ) -> anyhow::Result<Self> {
        let context = Context {
            http: Http::new().context("no HTTP client for providers")?,
            receipts: Arc::clone(receipts) as _,
            now: || Clock::system().now(),
            random: || u64::from_be_bytes(Clock::system().random()),
        };
        Ok(Self {
            control: Arc::clone(control),
            desks: Arc::clone(desks),
            metrics: Arc::clone(metrics),
            clock,
            callbacks: Callbacks { public_url: config.http.public_url.clone() },
            context,
            role,
            thresholds: config.health.thresholds,
            budget: config.retries.budget,
            built: Mutex::default(),
        })
    }

    /// What providers are built with.
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// Keeps the desks as the snapshot says.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => self.rebuild(),
            }
        }
    }

    /// Builds the desks anew if other revisions are in force.
    pub fn rebuild(&self) {
        let snapshot = self.control.snapshot();
        let routing = snapshot.routing();
        let wanted: InForce = (
            routing.base.as_ref().map(|revision| revision.number),
            routing.trial.as_ref().map(|(revision, percent)| (revision.number, *percent)),
        );
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if built.as_ref() == Some(&wanted) {
            self.desks.obey(&self.clock, self.control.steers());
            return;
        }
        let now = self.clock.moment();
        // A provider's contract is one, whichever revision uses it: each desk gets its percentage.
        let percent = routing.trial.as_ref().map_or(0, |(_, percent)| *percent);
        let base = match &routing.base {
            Some(revision) => self.desk(revision.number, &revision.document, 100 - percent),
            None => self.desk(0, &model::RoutingDocument::default(), 100),
        };
        let trial = routing.trial.as_ref().map(|(revision, percent)| (*percent, self.desk(revision.number, &revision.document, *percent)));
        self.desks.replace(base, trial, now);
        self.desks.obey(&self.clock, self.control.steers());
        *built = Some(wanted);
        self.metrics.control.revision.set(wanted.0.map_or(0, i64::from));
        let (trial_revision, trial_percent) = wanted.1.unzip();
        tracing::info!(revision = wanted.0, trial_revision, trial_percent, "routing revision in force");
    }

    fn desk(&self, revision: u32, document: &model::RoutingDocument, percent: u8) -> Desk {
        let mut accounts: Vec<Account> = document.providers.iter().filter_map(|provider| self.account(provider, percent)).collect();
        accounts.extend(Channel::ALL.iter().filter_map(|channel| self.built_in(*channel)));
        let place = |name: &String| accounts.iter().position(|account| *account.spec.name == **name);
        let routes = document.routes.iter().map(|route| Route {
            channel: route.matches.channel,
            category: route.matches.category,
            prefixes: route.matches.prefix.clone(),
            apps: route.matches.app.clone(),
            select: route.select.parse().unwrap_or(Select::Weighted),
            places: route.providers.iter().filter_map(place).collect(),
        });
        let routes = routes.collect();
        let seed = mix(u64::from_be_bytes(self.clock.random()));
        let spec = DeskSpec { revision, accounts, routes, budget: self.budget, seed, listens: !self.role.works() };
        Desk::new(spec, self.clock.moment())
    }

    /// A provider that cannot be built is left out: the others go on, and the log says why.
    fn account(&self, provider: &model::Provider, percent: u8) -> Option<Account> {
        let settings = match routing::open_settings(provider, &self.control.sealing()) {
            Ok(settings) => settings,
            Err(error) => {
                tracing::error!(
                    provider = provider.name,
                    error = &error as &dyn std::error::Error,
                    "a provider's credentials cannot be opened"
                );
                return None;
            }
        };
        let built = match registry::build(&provider.kind, &provider.name, provider.channel, &settings, &self.context) {
            Ok(built) => built,
            Err(errors) => {
                for error in errors {
                    tracing::error!(provider = provider.name, error = &error as &dyn std::error::Error, "a provider cannot be used");
                }
                return None;
            }
        };
        let share = |limit: u32| if limit == 0 { 0 } else { (u64::from(limit) * u64::from(percent) / 100).max(1) as u32 };
        let token = built.callback_token();
        Some(Account {
            spec: ProviderSpec {
                name: provider.name.as_str().into(),
                weight: provider.weight,
                max_per_s: share(provider.max_per_s),
                max_in_flight: share(provider.max_in_flight),
                timeout: Duration::from_millis(provider.timeout_ms),
                price: provider.price,
                receipts: provider.receipts,
                thresholds: self.thresholds_of(provider),
            },
            channel: provider.channel,
            simulated: registry::kind(&provider.kind).is_some_and(|kind| kind.simulated),
            built_in: false,
            provider: built,
            currency: provider.currency.as_str().into(),
            templates: provider
                .templates
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), serde_json::from_value(value.clone()).ok()?)))
                .collect(),
            signatures: provider.signatures.iter().map(|(name, theirs)| (name.clone(), theirs.as_str().into())).collect(),
            callback: provider.receipts.then(|| self.callbacks.address(&provider.name, token.as_ref())),
            metrics: self.metrics.provider(&provider.name),
        })
    }

    /// What the revision says, over what the configuration says; both were checked when they were given.
    fn thresholds_of(&self, provider: &model::Provider) -> Thresholds {
        let Ok(serde_json::Value::Object(mut all)) = serde_json::to_value(self.thresholds) else { return self.thresholds };
        all.extend(provider.thresholds.clone());
        serde_json::from_value(serde_json::Value::Object(all)).unwrap_or(self.thresholds)
    }

    /// Where test messages of a channel go that no configured provider simulates.
    fn built_in(&self, channel: Channel) -> Option<Account> {
        let name = format!("{SIMULATED}-{channel}");
        let provider = registry::build(SIMULATED, &name, channel, &Settings::new(), &self.context).ok()?;
        Some(Account {
            spec: ProviderSpec {
                name: name.as_str().into(),
                weight: 100,
                max_per_s: 0,
                max_in_flight: 0,
                timeout: Duration::from_secs(3),
                price: Amount::ZERO,
                receipts: true,
                thresholds: Thresholds::default(),
            },
            channel,
            simulated: true,
            built_in: true,
            provider,
            currency: "CNY".into(),
            templates: std::collections::BTreeMap::new(),
            signatures: std::collections::BTreeMap::new(),
            callback: None,
            metrics: self.metrics.provider(&name),
        })
    }
}
