//! The rows of the embedded default, measured in one run.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;

use super::{
    figures::{Aim, Report, Row},
    rows::{AFTERMATH, Bench, Flood},
    sink::Sink,
    subject::{self, Account},
};
use crate::clock::Clock;

/// How much is sent; the aims hold for [`Scale::full`].
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub rounds: usize,
    pub flood: u64,
    pub queued: u64,
    pub backlog: u64,
    pub seconds: u64,
}

impl Scale {
    pub const fn full() -> Self {
        Self { rounds: 3, flood: 200_000, queued: 1_000_000, backlog: 100_000, seconds: 10 }
    }

    /// Shows that the bench works, not what the machine gives.
    pub const fn quick() -> Self {
        Self { rounds: 1, flood: 4_000, queued: 10_000, backlog: 4_000, seconds: 2 }
    }
}

const NO_RECEIPTS: &str = "no receipts";
/// Sends a second where latency is measured: well below what either side can take.
const CALM_RATE: f64 = 1_000.0;
const OTP_RATE: f64 = 100.0;
/// The contract under which a backlog lasts while otps pass it.
const BACKLOG_CONTRACT: u32 = 1_000;
/// The longest that a provider may be configured with: calls are held while the queue fills.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(120);
const SLOW: Duration = Duration::from_millis(50);
const IN_FLIGHT: usize = 1_024;
const DAY: Duration = Duration::from_hours(24);
/// Messages that have the same `send_at`, one such wave a second.
const DUE_A_SECOND: u64 = 500;

/// Rows that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    Floods,
    Batches,
    Queued,
    Hanging,
    Backlog,
    Scheduled,
    /// The same flood on PostgreSQL, with Redis, with Kafka: the servers that the environment names.
    Ladder,
    /// A backlog on those servers with API and worker as processes of their own: memory, drain, codes beside it.
    Production,
}

/// Measures `parts` and writes `figures.json` and `figures.md` below `out`.
pub async fn run(scale: Scale, parts: &[Part], out: &Path, clock: Clock) -> anyhow::Result<Report> {
    let home = out.join("work");
    std::fs::create_dir_all(&home).with_context(|| format!("{} cannot be made", home.display()))?;
    let mut suite = Suite { bench: Bench { clock, next_recipient: 0 }, scale, home, rows: Vec::new() };
    for part in parts {
        match part {
            Part::Floods => suite.floods().await?,
            Part::Batches => suite.batches().await?,
            Part::Queued => suite.queued().await?,
            Part::Hanging => suite.hanging().await?,
            Part::Backlog => suite.backlog().await?,
            Part::Scheduled => suite.scheduled().await?,
            Part::Ladder => suite.ladder().await?,
            Part::Production => suite.production().await?,
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let report = Report { version: env!("CARGO_PKG_VERSION"), at: clock.now().to_string(), cores, rounds: scale.rounds, rows: suite.rows };
    std::fs::write(out.join("figures.json"), serde_json::to_vec_pretty(&report)?)?;
    std::fs::write(out.join("figures.md"), report.table())?;
    Ok(report)
}

/// Floods one instance while perf samples it: `perf.data` and the CPU time of a message below `out`.
pub async fn profile(messages: u64, out: &Path, clock: Clock) -> anyhow::Result<()> {
    let mut bench = Bench { clock, next_recipient: 0 };
    let sink = Sink::start(clock).await?;
    let tidings = subject::tidings(&out.join("work"), &[Account::new("a", sink.address)], clock).await?;
    let data = out.join("perf.data");
    let mut perf = tokio::process::Command::new("perf")
        .args(["record", "-q", "-F", "997", "-g", "-o"])
        .arg(&data)
        .args(["-p", &tidings.process.pid().to_string()])
        .spawn()
        .context("perf cannot be started")?;
    let flood = bench.flood(&tidings, &sink, messages).await?;
    // perf ends with the process that it watches, and writes its file then.
    tidings.process.stop().await?;
    perf.wait().await?;
    std::fs::write(out.join("cpu_us_per_message"), format!("{:.1}", flood.cpu_s_per_1000 * 1_000.0))?;
    println!("{:.0} delivered/s, {:.1} µs of CPU a message", flood.delivered_per_s, flood.cpu_s_per_1000 * 1_000.0);
    Ok(())
}

pub(super) struct Suite {
    pub(super) bench: Bench,
    pub(super) scale: Scale,
    pub(super) home: PathBuf,
    pub(super) rows: Vec<Row>,
}

impl Suite {
    /// Relay and Tidings in turn, with a vendor that answers at once and with one that takes 50 ms.
    async fn floods(&mut self) -> anyhow::Result<()> {
        let (mut fast, mut slow) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        for round in 1..=self.scale.rounds {
            for (latency, (tidings, relay)) in [(Duration::ZERO, &mut fast), (SLOW, &mut slow)] {
                say(round, &format!("flood, vendor {} ms", latency.as_millis()));
                relay.push(self.flood_of_relay(latency).await?);
                tidings.push(self.flood_of_tidings(latency).await?);
            }
        }
        let of = |floods: &[Flood], figure: fn(&Flood) -> f64| floods.iter().map(figure).collect::<Vec<f64>>();
        let row = |name, unit, (tidings, relay): &(Vec<Flood>, Vec<Flood>), figure: fn(&Flood) -> f64, aim| {
            Row::new(name, unit, of(tidings, figure), of(relay, figure), aim).noting(NO_RECEIPTS)
        };
        let high_water = slow.0.iter().map(|flood| flood.open_high_water).max().unwrap_or(0);
        self.rows.extend([
            row("delivered, vendor 0 ms", "1/s", &fast, |flood| flood.delivered_per_s, (Aim::RatioAtLeast(0.5), "≥ ½ of the relay")),
            row(
                "delivered, vendor 50 ms, 1,024 in flight",
                "1/s",
                &slow,
                |flood| flood.delivered_per_s,
                (Aim::AtLeast(15_000.0), "≥ 15,000"),
            )
            .noting(format!("{NO_RECEIPTS}; {high_water} calls open at most")),
            row("CPU per 1,000 messages, vendor 0 ms", "s", &fast, |flood| flood.cpu_s_per_1000, (Aim::AtMost(0.06), "≤ 0.06")),
            row("CPU per 1,000 messages, vendor 50 ms", "s", &slow, |flood| flood.cpu_s_per_1000, (Aim::AtMost(0.06), "≤ 0.06")),
            row("accept p99 while flooded, vendor 0 ms", "ms", &fast, |flood| flood.accept_p99_ms, (Aim::None, "stated")),
        ]);
        Ok(())
    }

    async fn flood_of_relay(&mut self, latency: Duration) -> anyhow::Result<Flood> {
        let sink = Sink::start(self.bench.clock).await?;
        sink.latency(latency);
        let relay = subject::relay(&self.home.join("relay"), sink.address, IN_FLIGHT, self.bench.clock).await?;
        let flood = self.bench.flood(&relay, &sink, self.scale.flood).await?;
        relay.process.stop().await?;
        Ok(flood)
    }

    async fn flood_of_tidings(&mut self, latency: Duration) -> anyhow::Result<Flood> {
        let sink = Sink::start(self.bench.clock).await?;
        sink.latency(latency);
        let tidings = subject::tidings(&self.home.join("tidings"), &[Account::new("a", sink.address)], self.bench.clock).await?;
        let flood = self.bench.flood(&tidings, &sink, self.scale.flood).await?;
        tidings.process.stop().await?;
        Ok(flood)
    }

    /// Batches of a thousand while the vendor holds every call: without keys, and with an idempotency key for every item.
    async fn batches(&mut self) -> anyhow::Result<()> {
        let (mut plain, mut keyed) = (Vec::new(), Vec::new());
        for round in 1..=self.scale.rounds {
            for (with_keys, figures) in [(false, &mut plain), (true, &mut keyed)] {
                say(round, if with_keys { "batches, a key for every item" } else { "batches" });
                let sink = Sink::start(self.bench.clock).await?;
                let account = Account { timeout: LONGEST_TIMEOUT, ..Account::new("a", sink.address) };
                let tidings = subject::tidings(&self.home.join("batches"), &[account], self.bench.clock).await?;
                sink.hold(true);
                self.bench.fill(&tidings, self.scale.queued / 20, "transactional", with_keys).await?;
                figures.push(self.bench.fill(&tidings, self.scale.queued, "transactional", with_keys).await?);
                sink.hold(false);
                tidings.process.stop().await?;
            }
        }
        let note = format!("{} items, four connections, vendor holds every call", self.scale.queued);
        let row = |name, figures| Row::new(name, "1/s", figures, Vec::new(), (Aim::AtLeast(30_000.0), "≥ 30,000")).noting(note.clone());
        let rows = [row("accepted in batches of 1,000", plain), row("the same, an idempotency key for every item", keyed)];
        self.rows.extend(rows);
        Ok(())
    }

    /// A million messages wait while the vendor holds every call; then it lets go.
    async fn queued(&mut self) -> anyhow::Result<()> {
        let (mut resident, mut drained, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=self.scale.rounds {
            say(round, "a full queue");
            let sink = Sink::start(self.bench.clock).await?;
            let account = Account { timeout: LONGEST_TIMEOUT, ..Account::new("a", sink.address) };
            let tidings = subject::tidings(&self.home.join("queued"), &[account], self.bench.clock).await?;
            empty.push(self.bench.flood(&tidings, &sink, self.scale.flood / 2).await?.delivered_per_s);
            sink.forget();
            sink.hold(true);
            self.bench.fill(&tidings, self.scale.queued, "transactional", false).await?;
            tokio::time::sleep(AFTERMATH).await;
            resident.push(tidings.process.used()?.rss_bytes as f64 / 1e6);
            let began = self.bench.clock.moment();
            sink.hold(false);
            let ended = self.bench.delivered(&sink, self.scale.queued).await?;
            drained.push(self.scale.queued as f64 / ended.since(began).as_secs_f64());
            tidings.process.stop().await?;
        }
        let queued = format!("{} queued", self.scale.queued);
        let settled = format!("{queued}, {IN_FLIGHT} calls held, asked {} ms after the last was accepted", AFTERMATH.as_millis());
        self.rows.extend([
            Row::new("resident with a full queue", "MB", resident, Vec::new(), (Aim::AtMost(100.0), "< 100")).noting(settled),
            Row::new("drain of a full queue", "1/s", drained, empty, (Aim::RatioAtLeast(0.9), "≥ 0.9 of an empty queue"))
                .noting(format!("{queued}; compared with single sends into an empty queue of the same instance, {NO_RECEIPTS}")),
        ]);
        Ok(())
    }

    /// One of two vendors stops answering, then the other one too: accepting must not notice.
    async fn hanging(&mut self) -> anyhow::Result<()> {
        let (mut healthy, mut hanging, mut both) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=self.scale.rounds {
            say(round, "one of two vendors hangs");
            let (a, b) = (Sink::start(self.bench.clock).await?, Sink::start(self.bench.clock).await?);
            let accounts = [Account::new("a", a.address), Account::new("b", b.address)];
            let tidings = subject::tidings(&self.home.join("hanging"), &accounts, self.bench.clock).await?;
            self.bench.accept_p99_ms(&tidings, CALM_RATE, self.scale.seconds.div_ceil(4)).await?;
            healthy.push(self.bench.accept_p99_ms(&tidings, CALM_RATE, self.scale.seconds).await?);
            b.hold(true);
            hanging.push(self.bench.accept_p99_ms(&tidings, CALM_RATE, self.scale.seconds).await?);
            a.hold(true);
            both.push(self.bench.accept_p99_ms(&tidings, CALM_RATE, self.scale.seconds).await?);
            a.hold(false);
            b.hold(false);
            tidings.process.stop().await?;
        }
        let row = |name, hanging, healthy| {
            Row::new(name, "ms", hanging, healthy, (Aim::RatioAtMost(1.2), "≤ 1.2 × healthy"))
                .noting(format!("compared with both healthy; {CALM_RATE} sends a second, {NO_RECEIPTS}"))
        };
        self.rows.extend([
            row("accept p99 while one of two vendors hangs", hanging, healthy.clone()),
            row("accept p99 while every vendor hangs", both, healthy),
        ]);
        Ok(())
    }

    /// Codes pass a backlog of marketing that the vendor's contract lets out slowly.
    async fn backlog(&mut self) -> anyhow::Result<()> {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for round in 1..=self.scale.rounds {
            say(round, "codes beside a backlog of marketing");
            let sink = Sink::start(self.bench.clock).await?;
            sink.latency(SLOW);
            let account = Account { max_per_s: BACKLOG_CONTRACT, ..Account::new("a", sink.address) };
            let tidings = subject::tidings(&self.home.join("backlog"), &[account], self.bench.clock).await?;
            alone.push(self.bench.otp_p99_ms(&tidings, &sink, OTP_RATE, self.scale.seconds).await?);
            self.bench.fill(&tidings, self.scale.backlog, "marketing", false).await?;
            beside.push(self.bench.otp_p99_ms(&tidings, &sink, OTP_RATE, self.scale.seconds).await?);
            tidings.process.stop().await?;
        }
        let row = Row::new("otp p99 beside a backlog of marketing", "ms", beside, alone, (Aim::RatioAtMost(1.2), "≤ 1.2 × alone")).noting(format!(
            "{} marketing queued, contract {BACKLOG_CONTRACT} segments/s, vendor {} ms; from due to at the vendor; compared with no backlog",
            self.scale.backlog,
            SLOW.as_millis()
        ));
        self.rows.push(row);
        Ok(())
    }

    /// Messages become due while many others wait for tomorrow, and the instance was started again meanwhile.
    async fn scheduled(&mut self) -> anyhow::Result<()> {
        let (mut p99, mut longest, mut restarts) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=self.scale.rounds {
            say(round, "due messages beside many scheduled");
            let sink = Sink::start(self.bench.clock).await?;
            let tidings = subject::tidings(&self.home.join("scheduled"), &[Account::new("a", sink.address)], self.bench.clock).await?;
            let tomorrow = self.bench.clock.now() + DAY;
            self.bench.schedule(&tidings, self.scale.queued, tomorrow).await?;
            let (first, due) = self.bench.schedule_waves(&tidings, self.scale.seconds, DUE_A_SECOND).await?;
            let arrivals = sink.watch(first, DUE_A_SECOND * due.len() as u64);
            let began = self.bench.clock.moment();
            let tidings = tidings.restart(self.bench.clock).await?;
            restarts.push(self.bench.clock.moment().since(began).as_secs_f64());
            let late = self.bench.lateness(&arrivals, &due, DUE_A_SECOND).await?;
            p99.push(late.value_at_quantile(0.99) as f64 / 1_000.0);
            longest.push(late.max() as f64 / 1_000.0);
            tidings.process.stop().await?;
        }
        let notes = format!(
            "{} scheduled for tomorrow, {DUE_A_SECOND} due each second; started again in {:.1} s meanwhile; from send_at to the vendor",
            self.scale.queued,
            restarts.iter().copied().fold(0.0, f64::max)
        );
        self.rows.extend([
            Row::new("due messages leave, p99", "ms", p99, Vec::new(), (Aim::AtMost(1_000.0), "< 1,000")).noting(notes.clone()),
            Row::new("due messages leave, the last", "ms", longest, Vec::new(), (Aim::AtMost(1_000.0), "< 1,000")).noting(notes),
        ]);
        Ok(())
    }
}

fn say(round: usize, what: &str) {
    eprintln!("round {round}: {what}");
}
