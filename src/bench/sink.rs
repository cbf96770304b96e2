//! The vendor of a bench: answers at once, late, or not for the time being, and counts. One sink, two accounts.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tidings_core::time::Moment;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

use super::{load::FIRST_NUMBER, wire::Messages};
use crate::clock::Clock;

/// When each of some recipients was called.
#[derive(Clone)]
pub struct Arrivals {
    first: u64,
    at: Arc<Mutex<Vec<Option<Moment>>>>,
}

/// One account at the vendor, a listener of its own.
pub struct Sink {
    pub address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    delivered: AtomicU64,
    open: AtomicU64,
    open_high_water: AtomicU64,
    latency_us: AtomicU64,
    /// Calls wait for as long as this is set, and go on when it is taken away.
    held: AtomicBool,
    released: Notify,
    watched: Mutex<Option<Arrivals>>,
}

impl Sink {
    pub async fn start(clock: Clock) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, state) = (listener.local_addr()?, Arc::<State>::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A caller that goes away ends its connection; there is nothing to say about it.
                    let _ = serve(stream, &state, clock).await;
                });
            }
        });
        Ok(Self { address, state, task })
    }

    pub fn delivered(&self) -> u64 {
        self.state.delivered.load(Ordering::Relaxed)
    }

    pub fn open_high_water(&self) -> u64 {
        self.state.open_high_water.load(Ordering::Relaxed)
    }

    pub fn latency(&self, latency: Duration) {
        self.state.latency_us.store(u64::try_from(latency.as_micros()).unwrap_or(0), Ordering::Relaxed);
    }

    /// Holds every call back, or lets them go.
    pub fn hold(&self, held: bool) {
        self.state.held.store(held, Ordering::Release);
        if !held {
            self.state.released.notify_waiters();
        }
    }

    /// Notes when each of `count` recipients from `first` on is called.
    pub fn watch(&self, first: u64, count: u64) -> Arrivals {
        let arrivals = Arrivals { first, at: Arc::new(Mutex::new(vec![None; usize::try_from(count).unwrap_or(0)])) };
        *lock(&self.state.watched) = Some(arrivals.clone());
        arrivals
    }

    pub fn forget(&self) {
        self.state.delivered.store(0, Ordering::Relaxed);
        self.state.open_high_water.store(0, Ordering::Relaxed);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Arrivals {
    pub fn missing(&self) -> usize {
        lock(&self.at).iter().filter(|at| at.is_none()).count()
    }

    /// Those that were called, in order.
    pub fn all(&self) -> Vec<Moment> {
        lock(&self.at).iter().flatten().copied().collect()
    }

    fn note(&self, body: &[u8], now: Moment) {
        let Some(number) = recipient(body).and_then(|number| number.checked_sub(self.first)) else { return };
        let mut at = lock(&self.at);
        if let Some(slot) = usize::try_from(number).ok().and_then(|number| at.get_mut(number)) {
            slot.get_or_insert(now);
        }
    }
}

/// The number of a recipient that a load made.
fn recipient(body: &[u8]) -> Option<u64> {
    const BEFORE: &[u8] = b"\"to\":\"+49";
    let start = body.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let digits = std::str::from_utf8(body.get(start..start + 10)?).ok()?;
    digits.parse::<u64>().ok()?.checked_sub(FIRST_NUMBER)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(stream: TcpStream, state: &State, clock: Clock) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut calls = Messages::new(stream);
    while let Some(call) = calls.next().await? {
        if let Some(watched) = &*lock(&state.watched) {
            watched.note(call.body, clock.moment());
        }
        let open = state.open.fetch_add(1, Ordering::Relaxed) + 1;
        state.open_high_water.fetch_max(open, Ordering::Relaxed);
        state.pass().await;
        state.open.fetch_sub(1, Ordering::Relaxed);
        let number = state.delivered.fetch_add(1, Ordering::Relaxed);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n{{\"id\":\"{number:010}\"}}");
        calls.stream().write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

impl State {
    async fn pass(&self) {
        loop {
            let released = self.released.notified();
            if !self.held.load(Ordering::Acquire) {
                break;
            }
            released.await;
        }
        let latency = self.latency_us.load(Ordering::Relaxed);
        if latency > 0 {
            tokio::time::sleep(Duration::from_micros(latency)).await;
        }
    }
}
