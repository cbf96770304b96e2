//! The deployment ladder: which backends a process stands on. SQLite → PostgreSQL → with Redis → with Kafka.
//!
//! The same semantics on each rung, chosen by three addresses. A rung knows how to begin and end its parts, and what is away.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{DataDir, Role, climb::refuse_unfinished, peers::Peers};
use crate::{
    clock::Clock,
    config::{self, Config},
    delivery::{Desks, Intake},
    queue::{
        Envelopes, Parts, Road,
        kafka::{Brokers, Producer, Topics, TopicsError},
    },
    receipts::Confirm,
    recorder::{self, Recorder},
    seal::Keyring,
    shared::{InProcess, Redis, Shared, allowance::Allowances},
    store::{
        Messages, Sqlite, SqliteControl,
        control::ControlStore,
        postgres::{Connections, PostgresControl, PostgresStore},
    },
    telemetry::Metrics,
};

/// How long closing the store may take before the process ends anyway: every commit is on disk already.
const CLOSING: Duration = Duration::from_secs(2);
/// Between two tries to make topics while no broker answers.
const TOPICS_EVERY: Duration = Duration::from_secs(5);
/// Calls of a road that has other ways to go: a frozen database is given up before a sender gives up.
const CALL_WITH_STANDBY: Duration = Duration::from_millis(800);

/// A service that the process uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub name: &'static str,
    pub up: bool,
    /// What is worse while it is away.
    pub degrades: &'static str,
    /// Whether nothing can be accepted without it.
    pub vital: bool,
    /// What is not as it should be although it answers.
    pub lacks: Option<Lack>,
}

/// What a service that answers lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It was never promised here.
    Foregone(String),
    /// It was there, and is away.
    Lost(String),
}

impl Lack {
    pub fn text(&self) -> &str {
        match self {
            Self::Foregone(text) | Self::Lost(text) => text,
        }
    }
}

/// What a cluster of these brokers cannot promise.
fn lack_of(brokers: &Brokers) -> Option<Lack> {
    let numbers = |away: &[i32]| away.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
    match (&brokers.away[..], brokers.answer) {
        ([], 2..) => None,
        ([], _) => Some(Lack::Foregone(
            "one broker: what it loses with its disk is lost, and while it is away messages go by the store's queue".to_owned(),
        )),
        (away, _) => {
            let of = brokers.answer + away.len();
            Some(Lack::Lost(format!("{} of {of} brokers away ({}): fewer copies of what is accepted", away.len(), numbers(away))))
        }
    }
}

/// The stores of a process, and what has to be closed at the end.
pub struct Rung {
    pub messages: Arc<dyn Messages>,
    pub documents: Arc<dyn ControlStore>,
    /// Hears what receipts meant that the recorder writes.
    told: Arc<OnceLock<Arc<Confirm>>>,
    backing: Backing,
}

enum Backing {
    Sqlite { messages: Sqlite, writer: JoinHandle<()>, control: SqliteControl },
    Postgres { store: Arc<PostgresStore>, redis: Option<Arc<Redis>> },
    Kafka { store: Arc<PostgresStore>, redis: Arc<Redis>, road: Arc<Road>, recording: CancellationToken, recorder: TaskTracker },
}

impl Rung {
    pub async fn open(
        config: &Config,
        data_dir: &DataDir,
        keyring: &Arc<Keyring>,
        clock: Clock,
        metrics: &Arc<Metrics>,
        role: Role,
    ) -> anyhow::Result<Self> {
        let Some(url) = &config.database.url else {
            if role != Role::Everything {
                bail!("database.url is not set: without PostgreSQL there is only `tidings serve`");
            }
            if config.redis.url.is_some() || config.kafka.brokers.is_some() {
                bail!("redis.url and kafka.brokers need database.url: the rungs are climbed one after the other");
            }
            return Self::sqlite(data_dir, keyring, clock, metrics).await;
        };
        refuse_unfinished(data_dir, keyring, clock).await?;
        let connections = Connections::new(url.expose()).context("database.url")?;
        if role == Role::Everything {
            PostgresStore::migrate(&connections).await.context("database.url")?;
        }
        let documents = Arc::new(PostgresControl::new(connections.clone()));
        let store = match &config.kafka.brokers {
            Some(_) => PostgresStore::open_within(connections, CALL_WITH_STANDBY, Arc::clone(keyring), clock).await,
            None => PostgresStore::open(connections, Arc::clone(keyring), clock).await,
        };
        let store = Arc::new(store.context("database.url")?);
        let redis = match &config.redis.url {
            None => None,
            Some(url) => Some(Arc::new(Redis::connect(url.expose(), &config.redis.key_prefix).context("redis.url")?)),
        };
        let Some(brokers) = &config.kafka.brokers else {
            let told = Arc::default();
            return Ok(Self { messages: Arc::clone(&store) as _, documents, told, backing: Backing::Postgres { store, redis } });
        };
        let Some(redis) = redis else { bail!("kafka.brokers needs redis.url: the rungs are climbed one after the other") };
        let told = Arc::default();
        let (road, recording, recorder) = Self::kafka(config, (brokers, role), keyring, (metrics, clock), (&store, &redis), &told).await?;
        Ok(Self { messages: Arc::clone(&road) as _, documents, told, backing: Backing::Kafka { store, redis, road, recording, recorder } })
    }

    async fn sqlite(data_dir: &DataDir, keyring: &Arc<Keyring>, clock: Clock, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let path = data_dir.database();
        let observed = Arc::clone(metrics);
        let observe = move |tick: crate::store::Tick| {
            observed.writer.waiting.set(i64::try_from(tick.waiting).unwrap_or(i64::MAX));
            match tick.failed {
                true => observed.writer.failed(),
                false => observed.writer.tick(tick.requests, tick.duration),
            }
        };
        let (messages, writer) =
            Sqlite::open(&path, Arc::clone(keyring), clock, observe).await.with_context(|| format!("cannot open {}", path.display()))?;
        let control = SqliteControl::open(&path).await.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self {
            messages: Arc::new(messages.clone()),
            documents: Arc::new(control.clone()),
            told: Arc::default(),
            backing: Backing::Sqlite { messages, writer, control },
        })
    }

    async fn kafka(
        config: &Config,
        (brokers, role): (&str, Role),
        keyring: &Arc<Keyring>,
        (metrics, clock): (&Arc<Metrics>, Clock),
        (store, redis): (&Arc<PostgresStore>, &Arc<Redis>),
        told: &Arc<OnceLock<Arc<Confirm>>>,
    ) -> anyhow::Result<(Arc<Road>, CancellationToken, TaskTracker)> {
        let topics = Topics::new(&config.kafka.topic_prefix);
        let mut reachable = true;
        match topics.ensure(brokers, config.kafka.partitions, config.kafka.replication).await {
            Ok(1) => tracing::warn!("one Kafka broker: what it loses with its disk is lost"),
            Ok(_) => {}
            // The store's queue takes what Kafka cannot.
            Err(error @ (TopicsError::NotReachable { .. } | TopicsError::NoRights { .. })) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "going on without Kafka");
                reachable = false;
            }
            Err(error) => return Err(error).context("kafka.brokers"),
        }
        let envelopes = Envelopes::new(Arc::clone(keyring));
        let group = format!("{}-recorder", config.kafka.group);
        let (recording, recorder) = (CancellationToken::new(), TaskTracker::new());
        if role.works() {
            let (envelopes, store, told) = (envelopes.clone(), Arc::clone(store), Arc::clone(told));
            let observed = (Arc::clone(metrics), clock);
            let writes = Recorder::start(brokers, &group, &topics, envelopes, store, told, observed).context("kafka.brokers")?;
            recorder.spawn(writes.run(recording.clone()));
        }
        let road = Road::new(Parts {
            store: Arc::clone(store),
            shared: Arc::clone(redis),
            producer: Producer::new(brokers, &topics).context("kafka.brokers")?,
            topics: topics.clone(),
            envelopes,
            clock,
            brokers: brokers.to_owned(),
            group: config.kafka.group.clone(),
            recorder: group,
        });
        if !reachable {
            road.begin_without_kafka();
            recorder.spawn(recording.clone().run_until_cancelled_owned(make_topics(config.kafka.clone(), topics)));
        }
        recorder.spawn(recording.clone().run_until_cancelled_owned(Arc::clone(&road).watch()));
        Ok((road, recording, recorder))
    }

    /// Lets a worker hear what other processes put and what Kafka brings; `receipts` hears what those meant that it records.
    pub fn begin_work(
        &self,
        intake: &Intake,
        receipts: &Arc<Confirm>,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> anyhow::Result<()> {
        // Named once, when the process is built.
        drop(self.told.set(Arc::clone(receipts)));
        let store = match &self.backing {
            Backing::Sqlite { .. } => return Ok(()),
            Backing::Postgres { store, .. } => store,
            Backing::Kafka { store, road, .. } => {
                road.consume(intake.clone()).context("kafka.brokers")?;
                store
            }
        };
        let (woken, intake, stop) = (store.woken(), intake.clone(), stop.clone());
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = woken.notified() => tidings_core::message::Lane::ALL.iter().for_each(|lane| intake.wake(*lane)),
                }
            }
        });
        Ok(())
    }

    /// Shares health with the other processes and, as a worker, contracts.
    pub fn meet_peers(
        &self,
        role: Role,
        desks: &Arc<Desks>,
        (metrics, clock): (&Arc<Metrics>, Clock),
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> anyhow::Result<()> {
        let (store, redis) = match &self.backing {
            Backing::Sqlite { .. } => return Ok(()),
            Backing::Postgres { store, redis } => (store, redis.clone()),
            Backing::Kafka { store, redis, .. } => (store, Some(Arc::clone(redis))),
        };
        if role.works() {
            let by_kafka = matches!(self.backing, Backing::Kafka { .. });
            let look = recorder::look_for_unended(Arc::clone(store), by_kafka, Arc::clone(metrics), clock);
            let stop = stop.clone();
            tasks.spawn(async move { stop.run_until_cancelled(look).await });
        }
        let node = tidings_core::id::uuid_v7(clock.now(), clock.random());
        let members = match &self.backing {
            Backing::Kafka { road, .. } if role.works() => Some(road.members().context("kafka.brokers")?),
            _ => None,
        };
        let (store, desks, metrics) = (Arc::clone(store), Arc::clone(desks), Arc::clone(metrics));
        let peers = Peers { works: role.works(), redis, store, members, desks, metrics, clock, node };
        tasks.spawn(peers.run(stop.clone()));
        Ok(())
    }

    /// Whether a message may be handed to a worker of this process as soon as it is durable. With Kafka, whoever consumes it
    /// delivers it.
    pub const fn hands_over(&self) -> bool {
        !matches!(self.backing, Backing::Kafka { .. })
    }

    /// What nodes share beside the store.
    pub fn shared(&self) -> Option<Arc<dyn Shared>> {
        match &self.backing {
            Backing::Sqlite { .. } => None,
            Backing::Postgres { redis, .. } => redis.clone().map(|redis| redis as _),
            Backing::Kafka { redis, .. } => Some(Arc::clone(redis) as _),
        }
    }

    /// Who keeps what apps have used: Redis, else PostgreSQL, else this process, which is the only one then.
    pub fn allowances(&self, clock: Clock) -> Arc<dyn Allowances> {
        match &self.backing {
            Backing::Sqlite { .. } => Arc::new(InProcess::new(clock)),
            Backing::Postgres { redis: Some(redis), .. } | Backing::Kafka { redis, .. } => Arc::clone(redis) as _,
            Backing::Postgres { store, redis: None } => Arc::clone(store) as _,
        }
    }

    /// What it stands on, and what is away.
    pub async fn services(&self, patience: Duration) -> Vec<Service> {
        const NOTHING: &str = "nothing can be accepted, delivered or looked up";
        const DATABASE: &str = "status and admin answer from before the outage; what must wait is not parked";
        const REDIS: &str = "claims and idempotency go by the store, limits by each node's own share";
        const KAFKA: &str = "messages go by the store's queue";
        let answers = async |messages: &dyn Messages| matches!(tokio::time::timeout(patience, messages.ping()).await, Ok(Ok(())));
        match &self.backing {
            Backing::Sqlite { messages, .. } => {
                vec![Service { name: "database", up: answers(messages).await, degrades: NOTHING, vital: true, lacks: None }]
            }
            Backing::Postgres { store, redis } => {
                let up = answers(&**store).await;
                let mut services = vec![Service { name: "database", up, degrades: NOTHING, vital: true, lacks: None }];
                services.extend(redis.iter().map(|redis| Service {
                    name: "redis",
                    up: redis.is_connected(),
                    degrades: REDIS,
                    vital: false,
                    lacks: None,
                }));
                services
            }
            Backing::Kafka { store, redis, road, .. } => {
                let (database, kafka) = (answers(&**store).await, road.kafka_is_up());
                vec![
                    Service { name: "database", up: database, degrades: DATABASE, vital: !kafka, lacks: None },
                    Service { name: "redis", up: redis.is_connected(), degrades: REDIS, vital: false, lacks: None },
                    Service {
                        name: "kafka",
                        up: kafka,
                        degrades: KAFKA,
                        vital: !database,
                        lacks: road.brokers().and_then(|brokers| lack_of(&brokers)),
                    },
                ]
            }
        }
    }

    /// After everything that uses it has ended.
    pub async fn close(self) {
        let Self { messages, documents, told, backing } = self;
        drop((messages, documents, told));
        match backing {
            Backing::Sqlite { messages, writer, control } => {
                control.close().await;
                // Tasks that were given up still hold the store; what they have not written is found open.
                if tokio::time::timeout(CLOSING, messages.close(writer)).await.is_err() {
                    tracing::warn!("the store was still in use at the end");
                }
            }
            Backing::Postgres { .. } => {}
            Backing::Kafka { road, recording, recorder, .. } => {
                road.stop().await;
                recording.cancel();
                recorder.close();
                if tokio::time::timeout(CLOSING * 3, recorder.wait()).await.is_err() {
                    tracing::warn!("the recorder was still writing at the end: what it has not committed comes again");
                }
            }
        }
    }
}

/// Makes the topics as soon as brokers answer that did not at the start.
async fn make_topics(kafka: config::Kafka, topics: Topics) {
    let Some(brokers) = &kafka.brokers else { return };
    while let Err(error) = topics.ensure(brokers, kafka.partitions, kafka.replication).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "the topics could not be made yet");
        tokio::time::sleep(TOPICS_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_brokers_away_is_lost_and_a_single_one_was_never_more() {
        let told = |answer, away: &[i32]| lack_of(&Brokers { answer, away: away.to_vec() });
        assert_eq!(told(3, &[]), None);
        assert!(matches!(told(1, &[]), Some(Lack::Foregone(text)) if text.starts_with("one broker:")));
        let Some(Lack::Lost(text)) = told(2, &[7]) else { panic!("one of three is away") };
        assert_eq!(text, "1 of 3 brokers away (7): fewer copies of what is accepted");
    }
}
