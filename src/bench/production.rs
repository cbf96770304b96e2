//! A backlog on the production rung: an API process and a worker on PostgreSQL, Redis and Kafka.
//!
//! Two accounts at one vendor: one under a contract, which serves while the backlog grows and codes pass it, and one without,
//! which a person has paused and resumes when the backlog is there. So nothing times out and nobody is ejected while
//! messages wait, however long it takes to accept them; what is judged is memory, the drain and the codes.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use tidings_core::{fleet::Command, time::Moment};

use super::{
    figures::{Aim, Row},
    ladder::{Server, settings_of},
    sink::Sink,
    subject::{self, Account, Subject},
    suite::Suite,
};
use crate::{
    assembly,
    config::Config,
    control::{Actor, model::ActorId},
};

/// Segments a second of the account that always serves: codes take a tenth of it. A place is a millisecond,
/// which is little beside a code's own way.
const CONTRACT: u32 = 1_000;
const CODES_PER_S: f64 = 100.0;
/// A backlog that does not grow to its size by this many times as many messages never will.
const FILL_AT_MOST: u64 = 4;
/// Nodes hear of what a person said within a second or two.
const HEARD: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(1_200);
const WIDE: &str = "wide";
const TENTH: u64 = 10;

/// The processes that are measured.
struct Pair {
    api: Subject,
    worker: Subject,
    settings: PathBuf,
}

impl Pair {
    fn resident_mb(&self) -> anyhow::Result<[f64; 2]> {
        Ok([self.api.process.used()?.rss_bytes as f64 / 1e6, self.worker.process.used()?.rss_bytes as f64 / 1e6])
    }
}

impl Suite {
    /// Grows a backlog of [`super::Scale::queued`] messages beside which codes pass, and drains it.
    pub(super) async fn production(&mut self) -> anyhow::Result<()> {
        eprintln!("a backlog on PostgreSQL, Redis and Kafka");
        let sink = Sink::start(self.bench.clock).await?;
        let pair = self.start_pair(&sink).await?;
        self.steer(&pair, Command::Pause).await?;
        let seconds = self.scale.seconds;
        let idle = self.bench.otp_latency_ms(&pair.api, &sink, CODES_PER_S, seconds).await?;

        let rows = self.scale.queued;
        let (first, mut accepted, served_before) = (self.bench.next_recipient, 0, sink.delivered());
        let waiting = |accepted: u64| accepted.saturating_sub(sink.delivered() - served_before);
        let mut at_a_tenth = None;
        while waiting(accepted) < rows {
            ensure!(accepted < rows * FILL_AT_MOST, "{accepted} messages were accepted and only {} wait", waiting(accepted));
            let chunk = rows.div_ceil(TENTH);
            self.bench.fill(&pair.api, chunk, "marketing", false).await?;
            accepted += chunk;
            if at_a_tenth.is_none() && waiting(accepted) >= chunk / 2 {
                at_a_tenth = Some(pair.resident_mb()?);
            }
        }
        let at_a_tenth = at_a_tenth.context("a backlog has a tenth")?;
        self.recorded(&pair.worker).await?;
        let at_the_end = pair.resident_mb()?;
        let beside = self.bench.otp_latency_ms(&pair.api, &sink, CODES_PER_S, seconds).await?;

        let backlog = self.bench.next_recipient - first - (sink.delivered() - served_before);
        ensure!(backlog >= rows / 2, "only {backlog} of {rows} still wait: nothing can be said about a backlog");
        let (first, last) = self.drain(&pair, &sink, backlog).await?;
        let note = format!("{backlog} waited, {accepted} accepted meanwhile; compared with a tenth of it");
        let resident = |name, of: usize| {
            Row::new(name, "MB", vec![at_the_end[of]], vec![at_a_tenth[of]], (Aim::RatioAtMost(1.2), "≤ 1.2 × at a tenth"))
                .noting(note.clone())
        };
        let code = |name, of: usize| {
            Row::new(name, "ms", vec![beside[of]], vec![idle[of]], (Aim::RatioAtMost(1.2), "≤ 1.2 × idle")).noting(format!(
                "{CODES_PER_S} codes a second, from due to at the vendor, contract {CONTRACT} segments/s used up by the backlog"
            ))
        };
        self.rows.extend([
            resident("resident API process, production rung, backlog", 0),
            resident("resident worker, production rung, backlog", 1),
            Row::new(
                "drain of the last tenth, production rung",
                "1/s",
                vec![last],
                vec![first],
                (Aim::RatioAtLeast(0.9), "≥ 0.9 of the first"),
            )
            .noting(format!("{backlog} drained, no receipts; compared with the first tenth")),
            code("code beside the backlog, production rung, median", 0),
            code("code beside the backlog, production rung, p99", 1),
        ]);
        pair.worker.process.stop().await?;
        pair.api.process.stop().await
    }

    async fn start_pair(&mut self, sink: &Sink) -> anyhow::Result<Pair> {
        let settings = settings_of(&Server::all()?, &self.home.join("production.key"), self.bench.clock).await?;
        let accounts = [Account { max_per_s: CONTRACT, ..Account::new("narrow", sink.address) }, Account::new(WIDE, sink.address)];
        let home = |role: &str| self.home.join("production").join(role);
        subject::run_once("migrate", &home("migrate"), &accounts, &settings).await?;
        let api = subject::role_on("api", &home("api"), &accounts, &settings, self.bench.clock).await?;
        let worker = subject::role_on("worker", &home("worker"), &accounts, &settings, self.bench.clock).await?;
        Ok(Pair { api, worker, settings: home("api").join("tidings.toml") })
    }

    /// As an operator would, and waits until the worker must have heard of it.
    async fn steer(&self, pair: &Pair, command: Command) -> anyhow::Result<()> {
        let config = Config::load(Some(&pair.settings), [], [])?;
        let control = assembly::control(&config).await?;
        control.steer(&Actor::own(ActorId::command()), WIDE, command, "a bench").await?;
        let word = if command == Command::Pause { "paused" } else { "healthy" };
        let until = self.bench.clock.moment() + HEARD;
        let line = format!("provider=\"{WIDE}\",state=\"{word}\"");
        while metric(&pair.worker, &line).await? != Some(1.0) {
            ensure!(self.bench.clock.moment() < until, "the worker did not hear that {WIDE} is {word}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until the recorder has written everything that was accepted: it is behind by no more than what came in the last second.
    async fn recorded(&self, worker: &Subject) -> anyhow::Result<()> {
        let until = self.bench.clock.moment() + CAUGHT_UP_WITHIN;
        while metric(worker, "tidings_recorder_lag_records").await?.is_none_or(|lag| lag > f64::from(CONTRACT)) {
            ensure!(self.bench.clock.moment() < until, "the recorder did not catch up");
            tokio::time::sleep(LOOK_EVERY * 10).await;
        }
        Ok(())
    }

    /// Messages a second in the first tenth, from when the account without a contract serves, and in the last.
    async fn drain(&self, pair: &Pair, sink: &Sink, backlog: u64) -> anyhow::Result<(f64, f64)> {
        let before = sink.delivered();
        let resumed = self.steer(pair, Command::Resume);
        let reached = async |part: u64| Ok::<Moment, anyhow::Error>(self.bench.delivered(sink, before + part).await?);
        let tenth = backlog / TENTH;
        let began = async {
            let began = reached(backlog / 100).await?;
            Ok::<_, anyhow::Error>((began, reached(backlog / 100 + tenth).await?))
        };
        let (resumed, first) = tokio::join!(resumed, began);
        resumed?;
        let first = first?;
        let last = (reached(backlog - tenth).await?, reached(backlog).await?);
        let rate = |(from, until): (Moment, Moment)| tenth as f64 / until.since(from).as_secs_f64();
        Ok((rate(first), rate(last)))
    }
}

/// The value of the metric whose line holds these words.
async fn metric(subject: &Subject, words: &str) -> anyhow::Result<Option<f64>> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let text = client.get(format!("http://{}/metrics", subject.address)).send().await?.text().await?;
    let line = text.lines().find(|line| !line.starts_with('#') && line.contains(words));
    Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()))
}
