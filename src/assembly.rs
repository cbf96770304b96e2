//! Building a process out of its parts: the only place that picks backends.
//!
//! A [`Node`] is everything that one process shares: the stores, the control plane, the desks, and (unless it only serves the
//! API) a worker. It starts in the order of dependence and stops in the reverse, so that nothing outlives what it needs.

mod climb;
mod contracts;
mod data_dir;
mod desks;
mod first_start;
mod former;
mod move_up;
mod peers;
mod rungs;
mod tools;
mod traces;
mod watch;
mod web;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tidings_core::message::Lane;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::watch::Watch;
pub use self::{
    climb::migrate,
    data_dir::{DataDir, database_in},
    first_start::Welcome,
    move_up::{Moved, move_up},
    rungs::{Lack, Rung, Service},
    tools::{carry_out_here, control, messages_to_read},
};
use crate::{
    accept::{Accept, Limits},
    api::Readiness,
    clock::Clock,
    config::Config,
    control::{Control, Options},
    delivery::{Desks, Intake, Settings, Worker},
    receipts::Confirm,
    retention::Retention,
    seal::Keyring,
    shared::InProcess,
    store::Messages,
    telemetry::Metrics,
};

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// API, admin pages and worker: `tidings serve`.
    Everything,
    Api,
    Worker,
}

impl Role {
    const fn works(self) -> bool {
        matches!(self, Self::Everything | Self::Worker)
    }
}

/// One process's parts.
pub struct Node {
    pub config: Config,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub messages: Arc<dyn Messages>,
    pub control: Arc<Control>,
    pub desks: Arc<Desks>,
    pub receipts: Arc<Confirm>,
    reporting: Arc<former::Reporting>,
    pub accept: Arc<Accept>,
    pub readiness: Arc<Readiness>,
    role: Role,
    /// What to print, on the very first start only.
    pub welcome: Option<Welcome>,
    worker: Option<Arc<Worker>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    rung: Arc<Rung>,
    /// Held until the end: the folder belongs to one process.
    _data_dir: DataDir,
}

impl Node {
    /// Builds and starts everything but the listener.
    pub async fn start(config: Config, role: Role) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let metrics = Arc::new(Metrics::new());
        let data_dir = DataDir::open(&config.data_dir)?;
        let keyring = Arc::new(data_dir.keyring(&config, &clock)?);
        let rung = Arc::new(Rung::open(&config, &data_dir, &keyring, clock, &metrics, role).await?);
        let messages = Arc::clone(&rung.messages);
        let control = open_control(&config, &rung, &keyring, clock).await?;
        let welcome = first_start::bootstrap(&config, &control, &clock).await?;

        let desks = Arc::new(Desks::new(desks::empty(clock.moment(), role)));
        let observer = Arc::new(desks::Health { desks: Arc::downgrade(&desks), clock });
        let spans = Arc::new(traces::ReceiptSpans::new(Arc::clone(&messages), Arc::clone(&metrics)));
        let receipts = Arc::new(Confirm::new(Arc::clone(&messages), vec![observer, spans], Arc::clone(&metrics), clock));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        traces::start(&config.traces, &metrics, &tasks, &stop)?;
        let builder = desks::Builder::new(&config, &control, &desks, &receipts, &metrics, clock, role)?;
        let reporting = Arc::new(former::Reporting::new(Arc::clone(&desks), Arc::clone(&control), builder.context()));
        builder.rebuild();
        tasks.spawn(builder.run(stop.clone()));
        tasks.spawn({
            let (control, stop) = (Arc::clone(&control), stop.clone());
            async move { control.run(stop).await }
        });
        if role.works() {
            let periods = config.retention;
            let (messages, control, metrics) = (Arc::clone(&messages), Arc::clone(&control), Arc::clone(&metrics));
            tasks.spawn(Retention::new(messages, control, periods, clock, metrics).run(stop.clone()));
        }
        let worker = role.works().then(|| start_worker(&config, &messages, &desks, &control, clock, &metrics));
        let mut intake = worker.as_ref().map_or_else(Intake::default, |worker| Intake::to(Arc::clone(worker)));
        if worker.is_some() {
            rung.begin_work(&intake, &receipts, &stop, &tasks)?;
        }
        rung.meet_peers(role, &desks, (&metrics, clock), &stop, &tasks)?;
        if !rung.hands_over() {
            intake = Intake::default();
        }
        let (most, limits) = (config.queue.max_messages, Limits::new(rung.allowances(clock), Arc::new(InProcess::new(clock))));
        let accept = Accept::new(Arc::clone(&control), Arc::clone(&messages), intake, clock, Arc::clone(&metrics), most, limits);
        let accept = Arc::new(accept);
        let readiness = Arc::new(Readiness::default());
        let watch = Watch {
            config: config.clone(),
            rung: Arc::clone(&rung),
            messages: Arc::clone(&messages),
            accept: Arc::clone(&accept),
            metrics: Arc::clone(&metrics),
            readiness: Arc::clone(&readiness),
        };
        tasks.spawn(watch.run(stop.clone()));
        Ok(Self {
            config,
            clock,
            metrics,
            messages,
            control,
            desks,
            receipts,
            reporting,
            accept,
            readiness,
            role,
            welcome,
            worker,
            stop,
            tasks,
            rung,
            _data_dir: data_dir,
        })
    }

    /// Stops taking, finishes what is under way within `most`, then closes the stores.
    pub async fn stop(self, most: Duration) {
        if let Some(worker) = &self.worker
            && tokio::time::timeout(most, worker.stop()).await.is_err()
        {
            tracing::warn!("some calls were still out at the end of the time given: the next start finds them open");
        }
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let Self { rung, messages, control, receipts, reporting, accept, worker, desks, .. } = self;
        drop((messages, control, receipts, reporting, accept, worker, desks));
        match Arc::into_inner(rung) {
            Some(rung) => rung.close().await,
            None => tracing::warn!("the stores were still in use at the end"),
        }
    }
}

async fn open_control(config: &Config, rung: &Rung, keyring: &Arc<Keyring>, clock: Clock) -> anyhow::Result<Arc<Control>> {
    let opened = Control::open(Arc::clone(&rung.documents), Arc::clone(keyring), clock, options(config)).await;
    let mut control = opened.context("the control plane cannot be read")?;
    if let Some(shared) = rung.shared() {
        control.share(shared);
    }
    Ok(Arc::new(control))
}

fn options(config: &Config) -> Options {
    Options {
        data_dir: config.data_dir.clone(),
        access_token: config.auth.access_token,
        refresh_token: config.auth.refresh_token,
        max_stale: config.auth.max_stale,
    }
}

fn start_worker(
    config: &Config,
    messages: &Arc<dyn Messages>,
    desks: &Arc<Desks>,
    control: &Arc<Control>,
    clock: Clock,
    metrics: &Arc<Metrics>,
) -> Arc<Worker> {
    let mut permits = [0; 3];
    for (lane, count) in [(Lane::Urgent, config.workers.urgent), (Lane::Normal, config.workers.normal), (Lane::Bulk, config.workers.bulk)] {
        permits[lane.index()] = count;
    }
    // Zero is nobody.
    let owner = i64::from_be_bytes(clock.random()) | 1;
    let settings = Settings { permits, lease: config.workers.lease, owner };
    let directory = Arc::new(desks::Apps(Arc::clone(control)));
    let worker = Worker::new(Arc::clone(messages), Arc::clone(desks), directory, clock, Arc::clone(metrics), settings);
    worker.start();
    worker
}
