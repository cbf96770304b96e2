//! `tidings dead`

use anyhow::{Context, bail};

use super::Global;
use crate::queue::kafka::{DeadLetter, Producer, Publish, Topics, dead_letters};

/// A broker that was busy or has just come back takes a few.
const TRIES: usize = 10;

/// List or replay records that no worker understood
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidings dead list --config tidings.toml      partition, offset, topic and reason of each
  tidings dead replay --config tidings.toml    publish all of them again to where they came from: repeating one is harmless")]
pub struct Dead {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what is there
    List,
    /// Publish everything again where it came from
    Replay,
}

impl Dead {
    pub async fn run(self, global: &Global) -> anyhow::Result<()> {
        let config = global.load()?;
        let Some(brokers) = config.kafka.brokers else { bail!("kafka.brokers is not set: without Kafka there are no dead letters") };
        let topics = Topics::new(&config.kafka.topic_prefix);
        let (from, dead) = (brokers.clone(), topics.dead());
        let letters = tokio::task::spawn_blocking(move || dead_letters(&from, &dead)).await?.context("kafka.brokers")?;
        match self.what {
            What::List => {
                letters.iter().for_each(|letter| println!("{}\t{}\t{}\t{}", letter.partition, letter.offset, letter.topic, letter.reason))
            }
            What::Replay => replay(&brokers, &topics, &letters).await?,
        }
        Ok(())
    }
}

async fn replay(brokers: &str, topics: &Topics, letters: &[DeadLetter]) -> anyhow::Result<()> {
    let producer = Producer::new(brokers, topics).context("kafka.brokers")?;
    let known = topics.all();
    let (ours, others): (Vec<_>, Vec<_>) = letters.iter().partition(|letter| known.contains(&letter.topic));
    let records: Vec<Publish<'_>> = ours
        .iter()
        .map(|letter| Publish {
            topic: &letter.topic,
            key: Some(letter.topic.as_bytes()),
            value: &letter.value,
            traceparent: None,
            reason: None,
        })
        .collect();
    let total = records.len();
    let mut left = records;
    // What was not acknowledged is published again: repeating a record is harmless.
    for _ in 0..TRIES {
        let published = producer.publish(&left).await;
        left = left.into_iter().zip(published).filter(|(_, result)| result.is_err()).map(|(record, _)| record).collect();
        if left.is_empty() {
            break;
        }
    }
    let failed = left.len();
    println!("{} published again, {failed} not acknowledged, {} of other topics left alone", total - failed, others.len());
    if failed > 0 {
        bail!("not all were acknowledged: run it again");
    }
    Ok(())
}
