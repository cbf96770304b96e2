//! How each row is measured. Every function is one round of one row.

use std::time::Duration;

use anyhow::{bail, ensure};
use hdrhistogram::Histogram;
use tidings_core::time::{Moment, Timestamp};

use super::{
    load::{Load, Outcome},
    sink::{Arrivals, Sink},
    subject::Subject,
};
use crate::clock::Clock;

/// Nothing that is measured takes longer; a run that does is broken.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// What is still being written down after the last delivery belongs to its price; what is given back after the last answer does not
/// belong to what stays.
pub(super) const AFTERMATH: Duration = Duration::from_millis(500);
/// Enough to keep the writer's groups full while each waits for a disk of several milliseconds.
const CONNECTIONS: usize = 1_024;
/// Where a rate is kept: enough for an eighth of a second at a thousand sends. A thousand opened at once keep vendor and load, which
/// are one process, from answering for as long, and that is what would be measured.
const PACED_CONNECTIONS: usize = 128;
/// An instance with a million messages is back within this.
const RESTART_WITHIN: Duration = Duration::from_secs(20);
/// The calendar is told in milliseconds.
const CLOCKS_DIFFER: Duration = Duration::from_millis(2);
/// A plain text of one segment.
const TEXT: &str = "\"text\":\"Your order 8812 was shipped.\"";

/// What a flood of messages gave.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    pub delivered_per_s: f64,
    pub cpu_s_per_1000: f64,
    pub accept_p99_ms: f64,
    pub open_high_water: u64,
}

/// Everything that the rows share.
pub struct Bench {
    pub clock: Clock,
    /// So that no two loads of a run send to the same recipient.
    pub next_recipient: u64,
}

impl Bench {
    pub fn load(&mut self, subject: &Subject, messages: u64) -> Load {
        let first_recipient = self.next_recipient;
        self.next_recipient += messages;
        Load {
            address: subject.address,
            key: subject.key.clone(),
            members: TEXT.to_owned(),
            messages,
            connections: CONNECTIONS,
            rate: None,
            batch: 1,
            first_recipient,
            keyed: false,
        }
    }

    /// Sends all at once and waits until the vendor has every one.
    pub async fn flood(&mut self, subject: &Subject, sink: &Sink, messages: u64) -> anyhow::Result<Flood> {
        let warm_up = self.load(subject, messages / 20);
        sink.forget();
        all_accepted(warm_up.run(self.clock).await?)?;
        self.delivered(sink, messages / 20).await?;
        tokio::time::sleep(AFTERMATH).await;

        sink.forget();
        let (before, began) = (subject.process.used()?, self.clock.moment());
        let load = self.load(subject, messages);
        let outcome = all_accepted(load.run(self.clock).await?)?;
        let ended = self.delivered(sink, messages).await?;
        tokio::time::sleep(AFTERMATH).await;
        let cpu_s = subject.process.used()?.cpu_s - before.cpu_s;
        Ok(Flood {
            delivered_per_s: messages as f64 / ended.since(began).as_secs_f64(),
            cpu_s_per_1000: cpu_s * 1_000.0 / messages as f64,
            accept_p99_ms: p99_ms(&outcome.latency),
            open_high_water: sink.open_high_water(),
        })
    }

    /// Waits until the vendor has so many; when that was.
    pub async fn delivered(&self, sink: &Sink, messages: u64) -> anyhow::Result<Moment> {
        let until = self.clock.moment() + PATIENCE;
        while sink.delivered() < messages {
            if self.clock.moment() > until {
                bail!("only {} of {messages} messages were delivered within {} s", sink.delivered(), PATIENCE.as_secs());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(self.clock.moment())
    }

    /// The 99th percentile of accepting at a rate.
    pub async fn accept_p99_ms(&mut self, subject: &Subject, rate: f64, seconds: u64) -> anyhow::Result<f64> {
        let mut load = self.load(subject, (rate * seconds as f64) as u64);
        (load.rate, load.connections) = (Some(rate), PACED_CONNECTIONS);
        let outcome = all_accepted(load.run(self.clock).await?)?;
        Ok(p99_ms(&outcome.latency))
    }

    /// The 99th percentile from when an otp was due to be sent until the vendor had it.
    pub async fn otp_p99_ms(&mut self, subject: &Subject, sink: &Sink, rate: f64, seconds: u64) -> anyhow::Result<f64> {
        Ok(self.otp_latency_ms(subject, sink, rate, seconds).await?[1])
    }

    /// The same, median and 99th percentile; after a quarter as long that is not counted.
    pub async fn otp_latency_ms(&mut self, subject: &Subject, sink: &Sink, rate: f64, seconds: u64) -> anyhow::Result<[f64; 2]> {
        self.send_otps(subject, sink, rate, seconds.div_ceil(4)).await?;
        let latency = self.send_otps(subject, sink, rate, seconds).await?;
        Ok([latency.value_at_quantile(0.5) as f64 / 1_000.0, p99_ms(&latency)])
    }

    async fn send_otps(&mut self, subject: &Subject, sink: &Sink, rate: f64, seconds: u64) -> anyhow::Result<Histogram<u64>> {
        let messages = (rate * seconds as f64) as u64;
        let mut load = self.load(subject, messages);
        (load.rate, load.connections) = (Some(rate), PACED_CONNECTIONS);
        load.members = "\"category\":\"otp\",\"text\":\"Your code is 482913.\"".to_owned();
        let arrivals = sink.watch(load.first_recipient, messages);
        let outcome = all_accepted(load.run(self.clock).await?)?;
        let until = self.clock.moment() + PATIENCE;
        while arrivals.missing() > 0 {
            ensure!(self.clock.moment() < until, "{} codes never reached the vendor", arrivals.missing());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut latency: Histogram<u64> = Histogram::new_with_max(600_000_000, 3)?;
        for (number, at) in arrivals.all().into_iter().enumerate() {
            let due = outcome.began + Duration::from_secs_f64(number as f64 / rate);
            latency.saturating_record(u64::try_from(at.since(due).as_micros()).unwrap_or(u64::MAX));
        }
        Ok(latency)
    }

    /// Fills the queue while the vendor holds every call; messages accepted per second.
    pub async fn fill(&mut self, subject: &Subject, messages: u64, category: &str, keyed: bool) -> anyhow::Result<f64> {
        let mut load = self.load(subject, messages);
        load.keyed = keyed;
        load.batch = 1_000;
        load.connections = 4;
        load.members = format!("\"category\":\"{category}\",{TEXT}");
        let outcome = all_accepted(load.run(self.clock).await?)?;
        Ok(messages as f64 / outcome.took.as_secs_f64())
    }

    /// Schedules many messages for one moment.
    pub async fn schedule(&mut self, subject: &Subject, messages: u64, at: Timestamp) -> anyhow::Result<()> {
        let mut load = self.load(subject, messages);
        (load.batch, load.connections) = (usize::try_from(messages.min(1_000))?, 4);
        load.members = format!("\"send_at\":\"{at}\",{TEXT}");
        all_accepted(load.run(self.clock).await?).map(drop)
    }

    /// Schedules one wave a second, the first as late as a restart may take. The first recipient and when each wave is due.
    pub async fn schedule_waves(&mut self, subject: &Subject, waves: u64, each: u64) -> anyhow::Result<(u64, Vec<Timestamp>)> {
        let (first, begin) = (self.next_recipient, self.clock.now() + RESTART_WITHIN);
        let due: Vec<Timestamp> = (0..waves).map(|wave| begin + Duration::from_secs(wave)).collect();
        for at in &due {
            self.schedule(subject, each, *at).await?;
        }
        Ok((first, due))
    }

    /// How long after its time each message reached the vendor, in microseconds.
    pub async fn lateness(&self, arrivals: &Arrivals, due: &[Timestamp], each: u64) -> anyhow::Result<Histogram<u64>> {
        let until = self.clock.moment() + PATIENCE;
        while arrivals.missing() > 0 {
            ensure!(self.clock.moment() < until, "{} messages never left", arrivals.missing());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // Arrivals are noted by the monotonic clock.
        let (calendar, moment) = (self.clock.now(), self.clock.moment());
        let mut late = Histogram::new_with_max(600_000_000, 3)?;
        for (number, at) in arrivals.all().into_iter().enumerate() {
            let arrived = calendar - moment.since(at);
            let due = due[number / usize::try_from(each)?];
            ensure!(arrived + CLOCKS_DIFFER >= due, "a message left before its time");
            late.saturating_record(u64::try_from(arrived.since(due).as_micros())?);
        }
        Ok(late)
    }
}

fn all_accepted(outcome: Outcome) -> anyhow::Result<Outcome> {
    ensure!(outcome.refused == 0, "{} messages were refused, the first with status {:?}", outcome.refused, outcome.refused_status);
    Ok(outcome)
}

fn p99_ms(latency: &Histogram<u64>) -> f64 {
    latency.value_at_quantile(0.99) as f64 / 1_000.0
}
