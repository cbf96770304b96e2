//! Waking workers of other processes when something became due.
//!
//! A notification is a hint: it is sent after the commit, at most once a few milliseconds, and may be lost; behind it every
//! worker looks by itself once in a while. So it costs a busy cluster nothing and an idle one no waiting.

use std::{sync::Arc, time::Duration};

use sqlx::postgres::PgListener;
use tokio::{sync::Notify, time::sleep};

use super::connection::{Connections, run};

const CHANNEL: &str = "tidings_due";
/// Between two notifications of one process.
const PAUSE: Duration = Duration::from_millis(5);
/// After the listening connection broke.
const RETRY: Duration = Duration::from_millis(500);

pub struct Wake {
    asked: Arc<Notify>,
    woken: Arc<Notify>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Wake {
    pub fn start(connections: Connections) -> Self {
        let (asked, woken) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let tell = tokio::spawn(tell(connections.clone(), Arc::clone(&asked)));
        let waiting = Arc::clone(&woken);
        let listen = tokio::spawn(listen(connections, CHANNEL, move || waiting.notify_waiters()));
        Self { asked, woken, tasks: [tell, listen] }
    }

    pub fn wake(&self) {
        self.asked.notify_one();
    }

    pub fn woken(&self) -> Arc<Notify> {
        Arc::clone(&self.woken)
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn tell(connections: Connections, asked: Arc<Notify>) {
    loop {
        asked.notified().await;
        let told = run!(connections, |connection| Ok(sqlx::query("SELECT pg_notify($1, '')")
            .bind(CHANNEL)
            .execute(connection)
            .await
            .map(drop)?));
        // Failing is harmless: workers look by themselves.
        drop(told);
        sleep(PAUSE).await;
    }
}

/// Calls `heard` for whatever is said on a channel, and once when it begins to listen: what came before was missed.
pub async fn listen(connections: Connections, channel: &'static str, heard: impl Fn() + Send) {
    loop {
        if let Ok(mut listener) = PgListener::connect_with(connections.pool()).await
            && listener.listen(channel).await.is_ok()
        {
            heard();
            while listener.recv().await.is_ok() {
                heard();
            }
        }
        sleep(RETRY).await;
    }
}
