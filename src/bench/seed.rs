//! Messages for a large table, written as the service writes them.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use tidings_core::{
    attempt::{Attempt, Cost, Ended, Opened, Outcome},
    id::{AppId, MessageId},
    message::{Category, Channel, Encoding, Message, Status, TemplateRef},
    money::Amount,
    redact::Redacted,
    time::Timestamp,
};
use tokio::task::JoinSet;

use crate::{
    assembly::Node,
    clock::Clock,
    store::{Idempotency, Lease, Messages, NewMessage, Next, Settlement},
};

/// Who sends: nine of ten messages, most of the rest, some, hardly any.
pub const APPS: [&str; 4] = ["large", "middle", "small", "tiny"];
/// One in a thousand messages goes to this recipient, and one in a thousand has this reference.
pub const FREQUENT: &str = "+4915100000000";
pub const CAMPAIGN: &str = "campaign";

/// Messages accepted in one write.
const BATCH: u64 = 1_000;
/// Batches under way at once: the writer never waits for the next.
const TASKS: u64 = 4;
const RECIPIENTS: u64 = 5_000_000;
/// Nobody's: the rows are born leased so that no worker takes them.
const OWNER: i64 = 4_711;
const LONG: Duration = Duration::from_secs(36_000);

/// What is remembered of the table, for cursors and spans of time: one message of each batch, oldest first.
pub struct Seeded {
    pub ids: Vec<MessageId>,
    pub times: Vec<Timestamp>,
}

/// Beside the table: how many messages it has, and [`Seeded`] in text.
const REMEMBERED: &str = "seeded.json";

impl Seeded {
    pub fn write(&self, home: &Path, rows: u64) -> anyhow::Result<()> {
        let ids: Vec<String> = self.ids.iter().map(ToString::to_string).collect();
        let times: Vec<i64> = self.times.iter().map(|at| at.as_millis()).collect();
        Ok(std::fs::write(home.join(REMEMBERED), serde_json::to_vec(&(rows, ids, times))?)?)
    }

    /// A table that is only half written must not be taken for one that was kept.
    pub fn forget(home: &Path) -> std::io::Result<()> {
        match std::fs::remove_file(home.join(REMEMBERED)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What is remembered of a table with just as many messages.
    pub fn read(home: &Path, rows: u64) -> anyhow::Result<Option<Self>> {
        let Ok(text) = std::fs::read(home.join(REMEMBERED)) else { return Ok(None) };
        let (kept, ids, times): (u64, Vec<String>, Vec<i64>) = serde_json::from_slice(&text)?;
        let ids = ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?;
        Ok((kept == rows).then(|| Self { ids, times: times.into_iter().map(Timestamp::from_millis).collect() }))
    }
}

pub async fn seed(node: &Node, rows: u64) -> anyhow::Result<Seeded> {
    let apps = {
        let snapshot = node.control.snapshot();
        let ids = APPS.map(|name| snapshot.app_by(name).map(|app| app.id));
        ids.into_iter().collect::<Option<Vec<AppId>>>().context("the apps are in the bootstrap file")?
    };
    let seeder = Arc::new(Seeder { messages: Arc::clone(&node.messages), clock: node.clock, apps });
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let seeder = Arc::clone(&seeder);
        tasks.spawn(async move {
            let mut first_of_batch = Vec::new();
            let mut from = task * BATCH;
            while from < rows {
                first_of_batch.push(seeder.batch(from, (from + BATCH).min(rows)).await?);
                from += TASKS * BATCH;
            }
            anyhow::Ok(first_of_batch)
        });
    }
    let mut all = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        all.extend(ended??);
    }
    all.sort_unstable();
    ensure!(!all.is_empty(), "a table without rows tells nothing");
    Ok(Seeded { times: all.iter().map(|(_, at)| *at).collect(), ids: all.into_iter().map(|(id, _)| id).collect() })
}

struct Seeder {
    messages: Arc<dyn Messages>,
    clock: Clock,
    apps: Vec<AppId>,
}

impl Seeder {
    async fn batch(&self, from: u64, until: u64) -> anyhow::Result<(MessageId, Timestamp)> {
        let now = self.clock.now();
        let lease = Lease { owner: OWNER, until: now + LONG };
        let messages: Vec<(Message, Status)> = (from..until).map(|number| self.message(number, now)).collect();
        let new = messages.iter().zip(from..).map(|((message, status), number)| NewMessage {
            message: Arc::new(message.clone()),
            idempotency: number.is_multiple_of(10).then(|| Idempotency { key: bytes(number), body: [1; 16] }),
            lease: status.is_closed().then_some(lease),
            opened: None,
        });
        self.messages.accept(new.collect()).await?;
        let settled = messages.iter().zip(from..).filter(|((_, status), _)| status.is_closed());
        try_join_all(settled.map(|((message, status), number)| {
            let attempts = if *status == Status::Cancelled { Vec::new() } else { vec![attempt(number, now, *status)] };
            let next = Next::Close(*status);
            self.messages.settle(Settlement { id: message.id, lane: message.lane(), owner: OWNER, attempts, next, at: now })
        }))
        .await?;
        Ok((messages.first().context("a batch has messages")?.0.id, now))
    }

    fn message(&self, number: u64, now: Timestamp) -> (Message, Status) {
        let random = mixed(number);
        let status = status(random % 1_000);
        let app = match random / 1_000 % 1_000 {
            0..900 => 0,
            900..990 => 1,
            990..999 => 2,
            _ => 3,
        };
        let template = match number % 100_000 {
            0 => Some("rare"),
            at if at.is_multiple_of(2) => Some("login-code"),
            _ => None,
        };
        let message = Message {
            id: MessageId::new(now, std::array::from_fn(|at| bytes(number)[at])),
            app: self.apps[app],
            key: None,
            to: Redacted::new(if number % 1_000 == 7 { FREQUENT.to_owned() } else { recipient(random % RECIPIENTS) }),
            channel: if number % 100 == 3 { Channel::Voice } else { Channel::Sms },
            category: [Category::Otp, Category::Transactional, Category::Marketing][(number % 3) as usize],
            text: Redacted::new("Your order 8812 was shipped.".to_owned()),
            subject: None,
            template: template.map(|name| TemplateRef { name: name.to_owned(), version: 1, locale: None }),
            params: Redacted::new(BTreeMap::new()),
            signature: None,
            encoding: Some(Encoding::Gsm7),
            segments: 1,
            reference: match number {
                number if number % 1_000 == 9 => Some(CAMPAIGN.to_owned()),
                number if number.is_multiple_of(3) => Some(format!("order-{number}")),
                _ => None,
            },
            metadata: BTreeMap::new(),
            accepted_at: now,
            send_at: (status == Status::Scheduled).then(|| now + LONG * 24),
            expires_at: now + LONG * 48,
            hold: status == Status::Held,
            max_price: None,
            test: number.is_multiple_of(500),
            traceparent: None,
        };
        (message, status)
    }
}

/// Statuses as an installation has them: nearly all delivered, a few of every other kind.
const fn status(of_a_thousand: u64) -> Status {
    match of_a_thousand {
        0..4 => Status::Failed,
        4..7 => Status::Expired,
        7 => Status::Cancelled,
        8..11 => Status::Unknown,
        11..21 => Status::Undelivered,
        21 => Status::Held,
        22..25 => Status::Scheduled,
        25..35 => Status::Submitted,
        _ => Status::Delivered,
    }
}

fn attempt(number: u64, at: Timestamp, status: Status) -> Attempt {
    let outcome = match status {
        Status::Failed => Outcome::RejectedRecipient,
        Status::Expired => Outcome::Unavailable,
        Status::Unknown => Outcome::Ambiguous,
        _ => Outcome::Accepted,
    };
    let taken = outcome == Outcome::Accepted;
    let opened = Opened {
        number: 1,
        provider: if number.is_multiple_of(3) { "b" } else { "a" }.to_owned(),
        revision: 1,
        receipts: true,
        started_at: at,
        why: "score 100, weight 100 of 200".to_owned(),
    };
    let ended = Ended {
        outcome,
        code: None,
        duration: Duration::from_millis(80),
        provider_message_id: taken.then(|| format!("v-{:016x}", mixed(number))),
        segments: 1,
        cost: taken.then(|| Cost { amount: Amount::from_micros(10_000), currency: "EUR".to_owned() }),
    };
    Attempt { opened, ended: Some(ended) }
}

pub fn recipient(number: u64) -> String {
    format!("+49160{number:08}")
}

/// The finaliser of SplitMix64: numbers that look random and are the same in every run.
const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn bytes(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mixed(number).to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}
