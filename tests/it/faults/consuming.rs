//! How a process consumes: its part of every lane, and no more than it can hold.

use std::collections::HashSet;

use tidings::queue::kafka::{Consumer, Members, Pace, Producer, Publish, Topics};
use tidings_core::message::Lane;

use crate::{patience::eventually, servers};

const KEYS: [u64; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Publishes each number under itself as the key; what is not acknowledged in time comes twice, which is no matter here.
async fn publish(producer: &Producer, topic: &str, numbers: &[[u8; 8]]) {
    let record = |number| Publish { topic, key: Some(number), value: number, traceparent: None, reason: None };
    let records: Vec<Publish> = numbers.iter().map(|number| record(number.as_slice())).collect();
    eventually(async || producer.publish(&records).await.iter().all(Result::is_ok)).await;
}

/// A group divides partitions by their number: with one member for all lanes the first of two workers keeps every code's
/// partition, and the second gets bulk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_worker_gets_its_part_of_every_lane() {
    let Some(brokers) = servers::kafka() else { return };
    let (topics, group) = (Topics::new(&servers::fresh_name()), servers::fresh_name());
    topics.ensure(&brokers, 2, 1).await.unwrap();
    let producer = Producer::new(&brokers, &topics).unwrap();
    let start = || {
        let lanes = topics.lanes().into_iter().map(|lane| vec![lane]).collect();
        Consumer::start(&brokers, &group, lanes, Pace::AtOnce, |_| {}).unwrap()
    };
    let numbers = KEYS.map(u64::to_be_bytes);
    let brings = |worker: &Consumer, lane: &Lane| {
        let records = worker.take(lane.index(), usize::MAX);
        records.iter().for_each(|record| worker.finish(record.token));
        !records.is_empty()
    };
    // Each lane brings something to each since the last look.
    let have_their_part = async |workers: &[Consumer]| {
        eventually(async || {
            for lane in Lane::ALL {
                publish(&producer, &topics.messages(*lane), &numbers).await;
            }
            let lanes_of = |worker| Lane::ALL.iter().filter(|lane| brings(worker, lane)).count();
            workers.iter().map(lanes_of).sum::<usize>() == workers.len() * Lane::ALL.len()
        })
        .await;
    };
    let mut workers = vec![start()];
    have_their_part(&workers).await;
    workers.push(start());
    have_their_part(&workers).await;
    let members = Members::new(&brokers, &group).unwrap();
    assert_eq!(tokio::task::spawn_blocking(move || members.count()).await.unwrap().unwrap(), 2, "workers are counted, not their lanes");
    for worker in workers {
        worker.stop().await;
    }
}

/// What a consumer keeps of one topic at most, and what may come in before it has paused.
const KEPT: usize = 2_000 + 64;
const PUBLISHED: usize = 5_000;
const AT_ONCE: usize = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_nobody_takes_from_pauses_and_then_goes_on_where_it_was() {
    let Some(brokers) = servers::kafka() else { return };
    let (name, group) = (servers::fresh_name(), servers::fresh_name());
    let topics = Topics::new(&name);
    topics.ensure(&brokers, 2, 1).await.unwrap();
    let (topic, producer) = (topics.messages(Lane::Bulk), Producer::new(&brokers, &topics).unwrap());
    let numbers: Vec<[u8; 8]> = (0..PUBLISHED).map(|number| (number as u64).to_be_bytes()).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        publish(&producer, &topic, numbers).await;
    }
    let consumer = Consumer::start(&brokers, &group, vec![vec![topic]], Pace::AtOnce, |_| {}).unwrap();
    // For as many looks in a row it has stayed what it was.
    let (kept, looks) = (std::sync::Mutex::new((0, 0)), 100);
    eventually(async || {
        let (now, mut kept) = (consumer.waiting(0), kept.lock().unwrap());
        *kept = if now == kept.0 && now > 0 { (now, kept.1 + 1) } else { (now, 0) };
        kept.1 >= looks
    })
    .await;
    let kept = kept.into_inner().unwrap().0;
    assert!((2_000..=KEPT).contains(&kept), "{kept} of {PUBLISHED} wait here");
    let taken = std::sync::Mutex::new(HashSet::new());
    eventually(async || {
        let mut taken = taken.lock().unwrap();
        taken.extend(consumer.take(0, AT_ONCE).into_iter().map(|record| record.value));
        assert!(consumer.waiting(0) <= KEPT);
        taken.len() == PUBLISHED
    })
    .await;
    consumer.stop().await;
}
