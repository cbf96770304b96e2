//! A worker over a real store, with providers that do as they are told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tidings::{
    clock::Clock,
    delivery::{Account, AppEntry, Desk, DeskSpec, Desks, Directory, Route, Settings, Worker},
    seal::Keyring,
    store::{Messages, NewMessage, Record, Sqlite},
    telemetry::Metrics,
};
use tidings_core::{
    fleet::ProviderSpec,
    health::Thresholds,
    id::{AppId, MessageId},
    message::{Category, Channel, Message, Status},
    money::Amount,
    retry::BudgetSettings,
    select::Select,
};
use tidings_providers::{Accepted, Code, Provider, Receipt, ReceiptError, ReceiptRequest, Submission, SubmitError};

use crate::{patience::answer_within, suites::messages::samples};

const PATIENCE: Duration = Duration::from_secs(10);

/// What a provider does with its next call.
#[derive(Clone, Debug)]
pub enum Does {
    Answer(Result<Accepted, SubmitError>),
    Hang,
    Panic,
}

pub fn accepts(id: &str) -> Does {
    Does::Answer(Ok(Accepted { provider_message_id: Some(id.to_owned()), segments: None }))
}

pub fn refuses(error: impl Fn(Code) -> SubmitError, code: &str) -> Does {
    Does::Answer(Err(error(Code::new(code))))
}

pub fn unavailable() -> Does {
    refuses(|code| SubmitError::Unavailable { code }, "http_500")
}

pub fn ambiguous() -> Does {
    refuses(|code| SubmitError::Ambiguous { code }, "timeout")
}

/// Does what its script says, then what it says last.
pub struct Scripted {
    script: Mutex<VecDeque<Does>>,
    calls: Mutex<Vec<MessageId>>,
}

#[async_trait]
impl Provider for Scripted {
    async fn submit(&self, submission: &Submission) -> Result<Accepted, SubmitError> {
        self.calls.lock().unwrap().push(submission.message.id);
        let next = {
            let mut script = self.script.lock().unwrap();
            if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
        };
        match next.expect("a script is never empty") {
            Does::Answer(answer) => answer,
            Does::Hang => std::future::pending().await,
            Does::Panic => panic!("a defect in an adapter"),
        }
    }

    fn receipts(&self, _: &ReceiptRequest) -> Result<Vec<Receipt>, ReceiptError> {
        Err(ReceiptError::Unverified)
    }
}

impl Scripted {
    pub fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    pub fn calls_for(&self, id: MessageId) -> usize {
        self.calls.lock().unwrap().iter().filter(|called| **called == id).count()
    }
}

/// One app, which may be suspended.
struct OneApp {
    suspended: bool,
}

impl Directory for OneApp {
    fn app(&self, _: AppId) -> Option<AppEntry> {
        Some(AppEntry { name: "shop".into(), suspended: self.suspended })
    }
}

/// How a world is set up; the default is one permit a lane too few for nothing.
pub struct Setup {
    pub scripts: Vec<(&'static str, Vec<Does>)>,
    pub suspended: bool,
    pub permits: usize,
    pub timeout: Duration,
    pub max_in_flight: u32,
    /// Of retries: a token for each first try, a second, and at most.
    pub budget: (f64, f64, f64),
}

pub fn providers(scripts: &[(&'static str, &[Does])]) -> Setup {
    let scripts = scripts.iter().map(|(name, script)| (*name, script.to_vec())).collect();
    Setup { scripts, suspended: false, permits: 16, timeout: Duration::from_secs(3), max_in_flight: 0, budget: (0.2, 10.0, 100.0) }
}

pub struct World {
    pub store: Arc<dyn Messages>,
    pub worker: Arc<Worker>,
    pub desks: Arc<Desks>,
    pub metrics: Arc<Metrics>,
    pub providers: Vec<Arc<Scripted>>,
    pub clock: Clock,
    setup: Setup,
    folder: TempDir,
}

impl Setup {
    pub async fn build(self) -> World {
        let folder = TempDir::new().unwrap();
        let clock = Clock::system();
        let keyring = Arc::new(Keyring::parse(&Keyring::line(&[7; 32])).unwrap());
        let (store, _) = Sqlite::open(&folder.path().join("tidings.db"), keyring, clock, |_| {}).await.unwrap();
        let store: Arc<dyn Messages> = Arc::new(store);
        let metrics = Arc::new(Metrics::new());
        let scripted =
            |(_, script): &(_, Vec<Does>)| Scripted { script: Mutex::new(script.iter().cloned().collect()), calls: Mutex::default() };
        let providers: Vec<Arc<Scripted>> = self.scripts.iter().map(|script| Arc::new(scripted(script))).collect();
        let desks = Arc::new(Desks::new(self.desk(1, &providers, &metrics, clock)));
        let settings = Settings { permits: [self.permits; 3], lease: Duration::from_secs(30), owner: 99 };
        let directory = Arc::new(OneApp { suspended: self.suspended });
        let worker = Worker::new(Arc::clone(&store), Arc::clone(&desks), directory, clock, Arc::clone(&metrics), settings);
        World { store, worker, metrics, providers, clock, desks, setup: self, folder }
    }

    /// A routing revision with all providers, in their order.
    fn desk(&self, revision: u32, providers: &[Arc<Scripted>], metrics: &Metrics, clock: Clock) -> Desk {
        let accounts: Vec<Account> =
            self.scripts.iter().zip(providers).map(|((name, _), provider)| self.account(name, Arc::clone(provider), metrics)).collect();
        let places = (0..accounts.len()).collect();
        let route = Route { channel: None, category: None, prefixes: vec![], apps: vec![], select: Select::Priority, places };
        let (per_message, per_s, most) = self.budget;
        let budget = BudgetSettings::new(per_message, per_s, most).unwrap();
        Desk::new(DeskSpec { revision, accounts, routes: vec![route], budget, seed: 1, listens: false }, clock.moment())
    }

    fn account(&self, name: &str, provider: Arc<Scripted>, metrics: &Metrics) -> Account {
        Account {
            spec: ProviderSpec {
                name: name.into(),
                weight: 100,
                max_per_s: 0,
                max_in_flight: self.max_in_flight,
                timeout: self.timeout,
                price: Amount::from_micros(10_000),
                receipts: true,
                thresholds: Thresholds::default(),
            },
            channel: Channel::Sms,
            simulated: false,
            built_in: false,
            provider,
            currency: "CNY".into(),
            templates: std::collections::BTreeMap::new(),
            signatures: std::collections::BTreeMap::new(),
            callback: None,
            metrics: metrics.provider(name),
        }
    }
}

impl World {
    pub fn message(&self, category: Category) -> Message {
        samples::accepted_at(category, self.clock.now())
    }

    pub async fn accept(&self, message: Message) -> MessageId {
        let id = message.id;
        self.store.accept(vec![NewMessage::waiting(message)]).await.unwrap();
        id
    }

    /// Puts the next routing revision into force, with the same providers.
    pub fn revise(&self, revision: u32) {
        let desk = self.setup.desk(revision, &self.providers, &self.metrics, self.clock);
        self.desks.replace(desk, None, self.clock.moment());
    }

    /// The calls that are out or reserved, at each provider.
    pub fn in_flight(&self) -> Vec<u32> {
        self.desks.base().view(self.clock.moment()).iter().map(|view| view.in_flight).collect()
    }

    /// From now on the database takes no attempt.
    pub async fn refuse_attempts(&self) {
        self.sql(
            "CREATE TRIGGER refuses BEFORE UPDATE OF in_flight ON messages WHEN NEW.in_flight = 1 BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .await;
    }

    pub async fn take_attempts_again(&self) {
        self.sql("DROP TRIGGER refuses").await;
    }

    async fn sql(&self, statement: &'static str) {
        let path = self.folder.path().join("tidings.db");
        let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }

    pub async fn record(&self, id: MessageId) -> Record {
        self.store.get(id).await.unwrap().unwrap()
    }

    /// Waits until the message is as wanted.
    pub async fn until(&self, id: MessageId, wanted: impl Fn(&Record) -> bool) -> Record {
        match answer_within(PATIENCE, async || Some(self.record(id).await).filter(|record| wanted(record))).await {
            Some(record) => record,
            None => panic!("{id} stayed {:?}", self.record(id).await),
        }
    }

    /// Accepts a message, delivers it, and waits until it is closed.
    pub async fn deliver(&self, category: Category) -> Record {
        let id = self.accept(self.message(category)).await;
        self.worker.start();
        self.until(id, |record| record.status.is_closed()).await
    }
}

/// How a record reads: status, and each attempt's provider and code.
pub fn story(record: &Record) -> (Status, Vec<String>) {
    let attempt = |attempt: &tidings_core::attempt::Attempt| {
        let end = attempt.ended.as_ref();
        let outcome = end.map_or("open", |ended| ended.outcome.as_str());
        let code = end.and_then(|ended| ended.code.clone()).map_or(String::new(), |code| format!(" {code}"));
        format!("{}: {outcome}{code}", attempt.opened.provider)
    };
    (record.status, record.attempts.iter().map(attempt).collect())
}
