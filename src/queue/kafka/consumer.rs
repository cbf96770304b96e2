//! Consuming: threads of their own poll, and commit how far each partition is done.
//!
//! A consumer joins its group once for each set of topics that is to be divided among the group's processes by itself: the group
//! divides partitions evenly by their number and does not look at their topics, so that one member for three topics may get all
//! partitions of one and none of another. Whoever counts processes counts client ids: a consumer's members have one.
//!
//! Records wait in a bounded buffer per topic, so a backlog stays in Kafka and never in memory. At the bound the member waits for
//! room, and after a moment the topic's partitions pause: it must be heard of, and what the library has fetched ahead of a
//! pause is fetched again. When a partition is taken away (cooperative rebalancing: only those that move), what waits of it is
//! dropped, what is under way gets a few seconds to finish, and how far it came is committed before it goes.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, Statistics, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
};
use uuid::Uuid;

use crate::clock::Clock;

/// Records of one topic that wait, at most; and how few there must be before more are fetched.
const HIGH: usize = 2_000;
const LOW: usize = 500;
/// How long a partition that is taken away is waited for.
const FINISHING: Duration = Duration::from_secs(5);
/// How long a member that has no room is not heard of.
const WAITS_FOR_ROOM: Duration = Duration::from_millis(250);
const POLL: Duration = Duration::from_millis(50);
/// Between two commits while records come: as much as that is repeated after a crash.
const COMMIT_EVERY: Duration = Duration::from_millis(250);
/// How often everything is committed once more. Brokers that thaw carry out what was sent to them before, also after what was sent
/// later by another connection: an older commit may be the last.
const COMMIT_AGAIN_EVERY: Duration = Duration::from_secs(10);
/// Polls between two looks at how much waits.
const BALANCE_EVERY: u32 = 64;

/// After the library has fetched as much as it may keep, it looks again so soon whether it may fetch more.
const FETCH_AGAIN_MS: &str = "10";

/// How often the library counts how far behind this member is.
const LAG_EVERY_MS: &str = "2000";

/// What the library calls the state of a partition that it fetches.
const FETCHED: &str = "active";

/// How soon a consumer wants what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    AtOnce,
    /// A moment later, with what came meanwhile: each fetch that is answered costs the broker as much as many records.
    Gathering,
}

impl Pace {
    /// Bytes that are worth an answer, and milliseconds after which fewer are.
    const fn fetch(self) -> [&'static str; 2] {
        match self {
            Self::AtOnce => ["1", "100"],
            Self::Gathering => ["262144", "30"],
        }
    }
}

/// Where a record stands. It is finished by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    topic: usize,
    partition: i32,
    offset: i64,
    /// Which assignment of the partition: what was taken before it was taken away means nothing afterwards.
    assignment: u64,
}

/// A record that was taken.
#[derive(Debug)]
pub struct Record {
    pub token: Token,
    pub value: Vec<u8>,
    /// When it was published, in milliseconds, as the producer says.
    pub published_at: Option<i64>,
    /// It was published since its partition is this process's, by clocks that may differ: probably nobody else has seen it.
    pub fresh: bool,
}

#[derive(Default)]
struct Partition {
    assignment: u64,
    /// When its first record came, in milliseconds.
    since: i64,
    offsets: super::super::Offsets,
}

#[derive(Default)]
struct Inner {
    partitions: HashMap<(usize, i32), Partition>,
    waiting: Vec<VecDeque<Record>>,
    paused: Vec<bool>,
}

struct Shared {
    topics: Vec<String>,
    inner: Mutex<Inner>,
    finished: Condvar,
    /// Records were taken.
    taken: Condvar,
    assignments: AtomicU64,
    arrived: Box<dyn Fn(usize) + Send + Sync>,
    stopping: AtomicBool,
    clock: Clock,
    /// Polls that brought an error, in a row.
    failing: AtomicBool,
    /// Records of the partitions assigned to each member that are not committed, as the library last counted them.
    lag: Vec<AtomicI64>,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn topic(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|topic| topic == name)
    }

    fn revoked(&self, consumer: &BaseConsumer<Context>, list: &TopicPartitionList) {
        let gone: Vec<(usize, i32)> =
            list.elements().iter().filter_map(|element| Some((self.topic(element.topic())?, element.partition()))).collect();
        let mut inner = self.inner();
        for waiting in 0..inner.waiting.len() {
            let Inner { waiting: queues, partitions, .. } = &mut *inner;
            queues[waiting].retain(|record| {
                let leaves = gone.contains(&(record.token.topic, record.token.partition));
                if leaves && let Some(partition) = partitions.get_mut(&(record.token.topic, record.token.partition)) {
                    // Not ours to finish: whoever gets the partition takes it again.
                    partition.offsets.forget(record.token.offset);
                }
                !leaves
            });
        }
        let busy =
            |inner: &mut Inner| gone.iter().any(|key| inner.partitions.get(key).is_some_and(|partition| partition.offsets.under_way() > 0));
        let (mut inner, _) = self.finished.wait_timeout_while(inner, FINISHING, busy).unwrap_or_else(PoisonError::into_inner);
        let mut done = TopicPartitionList::new();
        for (topic, partition) in gone {
            let Some(state) = inner.partitions.remove(&(topic, partition)) else { continue };
            if let Some(offset) = state.offsets.to_commit() {
                drop(done.add_partition_offset(&self.topics[topic], partition, Offset::Offset(offset)));
            }
        }
        drop(inner);
        if done.count() > 0
            && let Err(error) = consumer.commit(&done, CommitMode::Sync)
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "how far a partition came could not be committed: some records come again"
            );
        }
    }

    fn commit(&self, Member { consumer, topics }: &Member, mode: CommitMode) {
        let mut done = TopicPartitionList::new();
        let mut inner = self.inner();
        for ((topic, partition), state) in inner.partitions.iter_mut().filter(|((topic, _), _)| topics.contains(topic)) {
            if let Some(offset) = state.offsets.to_commit() {
                drop(done.add_partition_offset(&self.topics[*topic], *partition, Offset::Offset(offset)));
                state.offsets.was_committed(offset);
            }
        }
        drop(inner);
        if done.count() > 0 && consumer.commit(&done, mode).is_err() {
            self.not_committed();
        }
    }

    /// The brokers did not take a commit, of which the library does not always say what it was: everything is committed again, or
    /// whoever has a partition by then repeats what it covers.
    fn not_committed(&self) {
        tracing::debug!("offsets could not be committed");
        self.commit_again();
    }

    fn commit_again(&self) {
        self.inner().partitions.values_mut().for_each(|state| state.offsets.was_not_committed());
    }

    fn take_in(&self, message: &BorrowedMessage<'_>) {
        let Some(topic) = self.topic(message.topic()) else { return };
        let mut inner = self.inner();
        let Inner { partitions, waiting, .. } = &mut *inner;
        let assigned = || {
            let (assignment, since) = (self.assignments.fetch_add(1, Ordering::Relaxed), self.clock.now().as_millis());
            Partition { assignment, since, ..Partition::default() }
        };
        let state = partitions.entry((topic, message.partition())).or_insert_with(assigned);
        state.offsets.took(message.offset());
        let token = Token { topic, partition: message.partition(), offset: message.offset(), assignment: state.assignment };
        let (value, published_at) = (message.payload().unwrap_or_default().to_vec(), message.timestamp().to_millis());
        let fresh = published_at.is_some_and(|at| at > state.since);
        waiting[topic].push_back(Record { token, value, published_at, fresh });
        drop(inner);
        (self.arrived)(topic);
    }

    /// Waits a moment for room. False if there is none after it.
    fn has_room(&self, topics: &Range<usize>) -> bool {
        let full = |inner: &mut Inner| topics.clone().any(|topic| inner.waiting[topic].len() >= HIGH && !inner.paused[topic]);
        let waited = self.taken.wait_timeout_while(self.inner(), WAITS_FOR_ROOM, full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Pauses topics of which too much has waited, and resumes those that are worked off.
    fn balance(&self, Member { consumer, topics }: &Member, has_room: bool) {
        let changes: Vec<(usize, bool)> = {
            let mut inner = self.inner();
            let Inner { waiting, paused, .. } = &mut *inner;
            let mut changes = Vec::new();
            for topic in topics.clone() {
                let waiting = waiting[topic].len();
                let wanted = if paused[topic] { waiting > LOW } else { !has_room && waiting >= HIGH };
                // Paused ones are paused again: a partition that came meanwhile is not.
                if wanted || paused[topic] {
                    changes.push((topic, wanted));
                }
                paused[topic] = wanted;
            }
            changes
        };
        let Some(assigned) = (!changes.is_empty()).then(|| consumer.assignment().ok()).flatten() else { return };
        for (topic, pause) in changes {
            let mut list = TopicPartitionList::new();
            for element in assigned.elements_for_topic(&self.topics[topic]) {
                list.add_partition(element.topic(), element.partition());
            }
            drop(if pause { consumer.pause(&list) } else { consumer.resume(&list) });
        }
    }
}

/// Records of a partition that its group has not committed; none of a partition of others. Without a commit all are ahead.
fn behind(partition: &rdkafka::statistics::Partition) -> i64 {
    if partition.fetch_state != FETCHED || partition.hi_offset < 0 {
        return 0;
    }
    let done = if partition.committed_offset < 0 { partition.lo_offset.max(0) } else { partition.committed_offset };
    (partition.hi_offset - done).max(0)
}

/// `topic/partition`, with spaces between.
fn names(list: &TopicPartitionList) -> String {
    let names: Vec<String> = list.elements().iter().map(|element| format!("{}/{}", element.topic(), element.partition())).collect();
    names.join(" ")
}

/// What the library tells about one member.
struct Context {
    shared: Arc<Shared>,
    member: usize,
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = &error as &dyn std::error::Error, reason, "kafka");
        self.shared.failing.store(true, Ordering::Relaxed);
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        self.shared.lag[self.member].store(partitions.map(behind).sum(), Ordering::Relaxed);
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if result.is_err() {
            self.shared.not_committed();
        }
    }

    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) if list.count() == 0 => {}
            Rebalance::Assign(list) => tracing::info!(partitions = names(list), "partitions come to this process"),
            Rebalance::Revoke(list) => {
                tracing::info!(partitions = names(list), "partitions go to another process");
                self.shared.revoked(consumer, list);
            }
            Rebalance::Error(_) => {}
        }
    }
}

/// One member of the group, and the topics that it has partitions of.
struct Member {
    consumer: BaseConsumer<Context>,
    topics: Range<usize>,
}

/// This process's part in a consumer group.
pub struct Consumer {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Consumer {
    /// Starts consuming topics: each set of them is divided among the group's processes by itself. `arrived` is called with a
    /// topic's index, counted over all sets, when a record waits.
    pub fn start(
        brokers: &str,
        group: &str,
        sets: Vec<Vec<String>>,
        pace: Pace,
        arrived: impl Fn(usize) + Send + Sync + 'static,
    ) -> Result<Self, KafkaError> {
        let mut topics = Vec::new();
        let members: Vec<Range<usize>> = sets
            .into_iter()
            .map(|set| {
                let first = topics.len();
                topics.extend(set);
                first..topics.len()
            })
            .collect();
        let inner =
            Inner { waiting: topics.iter().map(|_| VecDeque::new()).collect(), paused: vec![false; topics.len()], ..Inner::default() };
        let shared = Arc::new(Shared {
            topics,
            inner: Mutex::new(inner),
            finished: Condvar::new(),
            taken: Condvar::new(),
            assignments: AtomicU64::new(1),
            arrived: Box::new(arrived),
            stopping: AtomicBool::new(false),
            clock: Clock::system(),
            failing: AtomicBool::new(false),
            lag: members.iter().map(|_| AtomicI64::new(0)).collect(),
        });
        let [fetch_min_bytes, fetch_wait_ms] = pace.fetch();
        let mut config = super::client(brokers);
        config
            .set("group.id", group)
            .set("client.id", format!("tidings-{}", Uuid::from_bytes(shared.clock.random()).simple()))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1500")
            .set("max.poll.interval.ms", "60000")
            .set("fetch.min.bytes", fetch_min_bytes)
            .set("fetch.wait.max.ms", fetch_wait_ms)
            .set("queued.max.messages.kbytes", "8192")
            .set("fetch.queue.backoff.ms", FETCH_AGAIN_MS)
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("statistics.interval.ms", LAG_EVERY_MS);
        let mut this = Self { shared, threads: Mutex::default() };
        for (member, topics) in members.into_iter().enumerate() {
            this.join(&config, member, topics).inspect_err(|_| this.shared.stopping.store(true, Ordering::Relaxed))?;
        }
        Ok(this)
    }

    fn join(&mut self, config: &ClientConfig, member: usize, topics: Range<usize>) -> Result<(), KafkaError> {
        let shared = Arc::clone(&self.shared);
        let consumer: BaseConsumer<Context> = config.create_with_context(Context { shared: Arc::clone(&shared), member })?;
        let names: Vec<&str> = shared.topics[topics.clone()].iter().map(String::as_str).collect();
        consumer.subscribe(&names)?;
        let member = Member { consumer, topics };
        let thread = std::thread::Builder::new().name("kafka".to_owned()).spawn(move || poll(&member, &shared));
        self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).push(thread.map_err(|_| KafkaError::Canceled)?);
        Ok(())
    }

    /// Takes up to `most` records of a topic.
    pub fn take(&self, topic: usize, most: usize) -> Vec<Record> {
        let mut inner = self.shared.inner();
        let count = most.min(inner.waiting[topic].len());
        let taken = inner.waiting[topic].drain(..count).collect();
        drop(inner);
        self.shared.taken.notify_all();
        taken
    }

    pub fn waiting(&self, topic: usize) -> usize {
        self.shared.inner().waiting[topic].len()
    }

    /// When the oldest of a topic's records was published that wait here: of each partition the first comes first.
    pub fn oldest(&self, topic: usize) -> Option<i64> {
        self.shared.inner().waiting[topic].iter().filter_map(|record| record.published_at).min()
    }

    /// A record is closed durably, or waits somewhere else.
    pub fn finish(&self, token: Token) {
        let mut inner = self.shared.inner();
        if let Some(partition) = inner.partitions.get_mut(&(token.topic, token.partition))
            && partition.assignment == token.assignment
        {
            partition.offsets.finished(token.offset);
        }
        drop(inner);
        self.shared.finished.notify_all();
    }

    /// Whether a record is in a partition that is still assigned here: after a session without heartbeats none is.
    pub fn holds(&self, token: Token) -> bool {
        let inner = self.shared.inner();
        inner.partitions.get(&(token.topic, token.partition)).is_some_and(|partition| partition.assignment == token.assignment)
    }

    /// Records that were taken and are not finished.
    pub fn under_way(&self) -> usize {
        self.shared.inner().partitions.values().map(|partition| partition.offsets.under_way()).sum()
    }

    /// Records of the partitions assigned here that are not committed yet, counted every few seconds.
    pub fn lag(&self) -> i64 {
        self.shared.lag.iter().map(|lag| lag.load(Ordering::Relaxed)).sum()
    }

    /// Whether the brokers could not be reached since it was last asked.
    pub fn had_errors(&self) -> bool {
        self.shared.failing.swap(false, Ordering::Relaxed)
    }

    /// Commits how far everything came and leaves the group.
    pub async fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic of that thread was reported by its hook; there is nothing left to wait for.
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
    }
}

fn poll(member: &Member, shared: &Shared) {
    let mut polls: u32 = 0;
    let mut committed = shared.clock.moment();
    let mut all_committed = committed;
    while !shared.stopping.load(Ordering::Relaxed) {
        let has_room = shared.has_room(&member.topics);
        let quiet = match member.consumer.poll(POLL) {
            Some(Ok(message)) => {
                shared.take_in(&message);
                false
            }
            Some(Err(_)) => {
                shared.failing.store(true, Ordering::Relaxed);
                true
            }
            None => true,
        };
        polls = polls.wrapping_add(1);
        let now = shared.clock.moment();
        if now.since(all_committed) >= COMMIT_AGAIN_EVERY {
            shared.commit_again();
            all_committed = now;
        }
        if quiet || now.since(committed) >= COMMIT_EVERY {
            shared.commit(member, CommitMode::Async);
            committed = now;
        }
        if quiet || !has_room || polls.is_multiple_of(BALANCE_EVERY) {
            shared.balance(member, has_room);
        }
    }
    shared.commit(member, CommitMode::Sync);
}
