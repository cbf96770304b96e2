//! [`Shared`] on Redis.
//!
//! One multiplexed connection that is replaced when it breaks. While Redis is away every call fails at once: a background
//! task tries again a few times a second, so that an outage costs a request nothing. A broken connection is always noticed,
//! never silently renewed: whoever listens on [`Redis::returns`] learns that Redis may have lost what it was told last.
//! That is why there is one connection and not one to each primary of a cluster: there nobody would notice which of them forgot.

mod allowances;
mod connection;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use redis::{Client, Pipeline, Script, ScriptInvocation, Value, aio::MultiplexedConnection, from_redis_value};
use tidings_core::id::MessageId;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use uuid::Uuid;

use self::connection::{Times, keep_connected};
use super::{Away, Claim, ClaimAnswer, ClaimState, ClaimWrite, Registered, Reservation, Reserved, Shared, Tried, scripts};
use crate::clock::Clock;

/// An answer takes well under a millisecond; a Redis that needs longer is frozen or drowning.
const CALL_TIMEOUT: Duration = Duration::from_millis(500);

struct Scripts {
    claim: Script,
    cancel: Script,
    reserve: Script,
    register: Script,
    tell: Script,
    told: Script,
    try_once: Script,
    take_back: Script,
    take: Script,
    give_back: Script,
    learn: Script,
}

/// A connection to Redis, or the knowledge that there is none.
pub struct Redis {
    prefix: String,
    connection: Arc<ArcSwapOption<MultiplexedConnection>>,
    broken: Arc<Notify>,
    /// Counts connections: each new one may have come to a Redis that forgot.
    connected: watch::Receiver<u64>,
    times: Times,
    scripts: Scripts,
    keeper: tokio::task::JoinHandle<()>,
}

impl Redis {
    /// Starts connecting; `prefix` begins every key.
    pub fn connect(url: &str, prefix: &str) -> Result<Self, redis::RedisError> {
        let client = Client::open(url)?;
        let connection = Arc::new(ArcSwapOption::empty());
        let broken = Arc::new(Notify::new());
        let (tell, connected) = watch::channel(0);
        let times = Times { clock: Clock::system(), probe: format!("{prefix}:probe:write").into(), ahead_ms: Arc::default() };
        let keeper = tokio::spawn(keep_connected(client, Arc::clone(&connection), Arc::clone(&broken), tell, times.clone()));
        let scripts = Scripts {
            claim: Script::new(scripts::CLAIM),
            cancel: Script::new(scripts::CANCEL),
            reserve: Script::new(scripts::RESERVE),
            register: Script::new(scripts::REGISTER),
            tell: Script::new(scripts::TELL),
            told: Script::new(scripts::TOLD),
            try_once: Script::new(scripts::TRY),
            take_back: Script::new(scripts::TAKE_BACK),
            take: Script::new(scripts::TAKE),
            give_back: Script::new(scripts::GIVE_BACK),
            learn: Script::new(scripts::LEARN),
        };
        Ok(Self { prefix: prefix.to_owned(), connection, broken, connected, times, scripts, keeper })
    }

    /// Changes with every new connection; 0 while there has been none.
    pub fn returns(&self) -> watch::Receiver<u64> {
        self.connected.clone()
    }

    pub fn is_connected(&self) -> bool {
        self.connection.load().is_some()
    }

    fn key(&self, kind: &str, name: impl std::fmt::Display) -> String {
        format!("{}:{kind}:{name}", self.prefix)
    }

    async fn ask<T>(&self, call: impl AsyncFnOnce(&mut MultiplexedConnection) -> redis::RedisResult<T>) -> Result<T, Away> {
        let Some(connection) = self.connection.load_full() else { return Err(Away(anyhow::anyhow!("not connected"))) };
        let mut connection = MultiplexedConnection::clone(&connection);
        let answer = timeout(CALL_TIMEOUT, call(&mut connection)).await;
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => {
                if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() || error.is_unrecoverable_error() {
                    self.drop_connection();
                }
                anyhow::Error::from(error)
            }
            Err(late) => {
                self.drop_connection();
                late.into()
            }
        };
        Err(Away(error))
    }

    fn drop_connection(&self) {
        self.connection.store(None);
        self.broken.notify_one();
    }

    /// Runs one script for each invocation in one round trip.
    async fn many(&self, script: &Script, invocations: Vec<ScriptInvocation<'_>>) -> Result<Vec<Value>, Away> {
        self.ask(async |connection| {
            if invocations.is_empty() {
                return Ok(Vec::new());
            }
            let pipeline = || {
                let mut pipeline = Pipeline::with_capacity(invocations.len());
                for invocation in &invocations {
                    pipeline.invoke_script(invocation);
                }
                pipeline
            };
            let first: redis::RedisResult<Vec<Value>> = pipeline().query_async(connection).await;
            match first {
                Err(error) if error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript) => {
                    script.prepare_invoke().load_async(connection).await?;
                    pipeline().query_async(connection).await
                }
                answers => answers,
            }
        })
        .await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn nonsense() -> Away {
    Away(anyhow::anyhow!("an answer that no script of ours gives"))
}

/// What [`scripts::CLAIM`] wrote, as it is at `now` by the server's clock.
fn read_claim(written: &[u8], now: i64) -> Option<Claim> {
    let mut parts = written.splitn(5, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(parts.next()?).ok();
    let until: i64 = word()?.parse().ok()?;
    let (owner, state, number) = (word()?.parse().ok()?, ClaimState::from_word(word()?)?, word()?.parse().ok()?);
    let lease_left = Duration::from_millis(u64::try_from(until - now).unwrap_or(0));
    Some(Claim { owner, state, lease_left, number, body: parts.next()?.to_vec() })
}

/// A claim without its lease's end, which is by the server's clock.
fn claim_of(write: &ClaimWrite) -> Vec<u8> {
    let mut claim = format!("{} {} {} ", write.owner, write.state.word(), write.number).into_bytes();
    claim.extend_from_slice(&write.body);
    claim
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What stands under an idempotency key.
fn reserved(reservation: &Reservation) -> Vec<u8> {
    [reservation.id.uuid().as_bytes().as_slice(), &reservation.body].concat()
}

#[async_trait]
impl Shared for Redis {
    async fn claims(&self, ids: &[MessageId]) -> Result<Vec<Option<Claim>>, Away> {
        let mut pipeline = Pipeline::with_capacity(ids.len() + 1);
        pipeline.cmd("TIME");
        for id in ids {
            pipeline.cmd("GET").arg(self.key("claim", id.uuid().simple()));
        }
        let answers: Vec<Value> =
            self.ask(async |connection| if ids.is_empty() { Ok(Vec::new()) } else { pipeline.query_async(connection).await }).await?;
        if answers.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = answers.into_iter();
        let time: Option<(i64, i64)> = answers.next().and_then(|time| from_redis_value(time).ok());
        let (seconds, micros) = time.ok_or_else(nonsense)?;
        let now = seconds * 1_000 + micros / 1_000;
        let claim = |answer| match answer {
            Value::Nil => Ok(None),
            Value::BulkString(written) => read_claim(&written, now).map(Some).ok_or_else(nonsense),
            _ => Err(nonsense()),
        };
        answers.map(claim).collect()
    }

    async fn claim(&self, writes: &[ClaimWrite]) -> Result<Vec<ClaimAnswer>, Away> {
        let deadline = self.times.deadline();
        let invocations = writes.iter().map(|write| {
            let mut invocation = self.scripts.claim.prepare_invoke();
            invocation.key(self.key("claim", write.id.uuid().simple()));
            invocation.arg(claim_of(write)).arg(millis(write.lease)).arg(millis(write.keep)).arg(deadline).arg(u8::from(write.unseen));
            invocation
        });
        let answers = self.many(&self.scripts.claim, invocations.collect()).await?;
        let answer = |value| match value {
            Value::Int(1) => Ok(ClaimAnswer::Written),
            Value::Int(0) => Ok(ClaimAnswer::Lost),
            Value::Int(_) => Err(Away(anyhow::anyhow!("the claim came too late"))),
            _ => Err(nonsense()),
        };
        answers.into_iter().map(answer).collect()
    }

    async fn cancel(&self, id: MessageId, keep: Duration) -> Result<bool, Away> {
        let mut invocation = self.scripts.cancel.prepare_invoke();
        invocation.key(self.key("claim", id.uuid().simple())).arg(millis(keep));
        self.ask(async |connection| invocation.invoke_async(connection).await).await
    }

    async fn reserve(&self, reservations: &[Reservation], keep: Duration) -> Result<Vec<Reserved>, Away> {
        let invocations = reservations.iter().map(|reservation| {
            let mut invocation = self.scripts.reserve.prepare_invoke();
            invocation.key(self.key("idem", Uuid::from_bytes(reservation.key).simple()));
            invocation.arg(reserved(reservation)).arg(millis(keep));
            invocation
        });
        let answers = self.many(&self.scripts.reserve, invocations.collect()).await?;
        let answer = |value| match value {
            Value::BulkString(bytes) if bytes.len() == 32 => {
                let (id, body) = bytes.split_at(16);
                let halves = (Uuid::from_slice(id), <[u8; 16]>::try_from(body));
                let (Ok(id), Ok(body)) = halves else { return Err(nonsense()) };
                Ok(Reserved::Known(MessageId::from_uuid(id), body))
            }
            Value::Nil => Ok(Reserved::New),
            _ => Err(nonsense()),
        };
        answers.into_iter().map(answer).collect()
    }

    async fn correct(&self, reservations: &[Reservation], keep: Duration) -> Result<(), Away> {
        let mut pipeline = Pipeline::with_capacity(reservations.len());
        for reservation in reservations {
            let key = self.key("idem", Uuid::from_bytes(reservation.key).simple());
            pipeline.cmd("SET").arg(key).arg(reserved(reservation)).arg("PX").arg(millis(keep)).ignore();
        }
        self.ask(async |connection| pipeline.query_async(connection).await).await
    }

    async fn complete_since(&self) -> Result<Option<i64>, Away> {
        self.ask(async |connection| redis::cmd("GET").arg(self.key("complete", "since")).query_async(connection).await).await
    }

    async fn set_complete_since(&self, at: i64) -> Result<(), Away> {
        self.ask(async |connection| redis::cmd("SET").arg(self.key("complete", "since")).arg(at).query_async(connection).await).await
    }

    async fn tell(&self, topic: &str, name: &str, value: &[u8], keep: Duration) -> Result<(), Away> {
        let mut invocation = self.scripts.tell.prepare_invoke();
        invocation.key(self.key("told", topic)).arg(name).arg(value).arg(millis(keep));
        self.ask(async |connection| invocation.invoke_async(connection).await).await
    }

    async fn told(&self, topic: &str) -> Result<Vec<(String, Vec<u8>)>, Away> {
        let mut invocation = self.scripts.told.prepare_invoke();
        invocation.key(self.key("told", topic));
        self.ask(async |connection| invocation.invoke_async(connection).await).await
    }

    async fn register(&self, budget: &str, node: Uuid, alive: Duration) -> Result<Registered, Away> {
        let mut invocation = self.scripts.register.prepare_invoke();
        invocation.key(self.key("budget", budget)).arg(node.simple().to_string()).arg(millis(alive));
        let nodes = self.ask(async |connection| invocation.invoke_async(connection).await).await?;
        Ok(Registered { nodes })
    }

    async fn try_once(&self, name: &str, most: u32, window: Duration) -> Result<Tried, Away> {
        let mut invocation = self.scripts.try_once.prepare_invoke();
        invocation.key(self.key("tries", name)).arg(most).arg(millis(window));
        let left: i64 = self.ask(async |connection| invocation.invoke_async(connection).await).await?;
        Ok(u64::try_from(left).map_or(Tried::Counted, |left| Tried::Closed(Duration::from_millis(left))))
    }

    async fn take_back(&self, name: &str) -> Result<(), Away> {
        let mut invocation = self.scripts.take_back.prepare_invoke();
        invocation.key(self.key("tries", name));
        self.ask(async |connection| invocation.invoke_async(connection).await).await
    }

    async fn ping(&self) -> Result<(), Away> {
        self.ask(async |connection| redis::cmd("PING").query_async(connection).await).await
    }
}
