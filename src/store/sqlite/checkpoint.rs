//! Carrying what was written ahead over into the file of the tables, beside the writer: for as long as the few milliseconds that it
//! takes, a code would stand behind it.

use sqlx::{Connection, SqliteConnection};
use tokio::{sync::mpsc, task::JoinHandle};

/// Ticks of the writer after which it is done again (it waits for no reader, and nobody for it).
const EVERY_TICKS: u32 = 256;
/// Pages of write-ahead log at which SQLite does it at the end of a commit. Beside a writer that never pauses it is never done
/// whole, and only then does the log begin at its start again.
pub const AT_THE_LATEST: &str = "16000";

/// The writer's side.
pub struct Checkpoints {
    ticks: u32,
    due: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

/// Checkpoints on this connection, whenever it is time.
pub fn start(mut connection: SqliteConnection) -> Checkpoints {
    let (due, mut is_due) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        while is_due.recv().await.is_some() {
            // Failing is harmless: the next one does more.
            drop(sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut connection).await);
        }
        drop(connection.close().await);
    });
    Checkpoints { ticks: 0, due, task }
}

impl Checkpoints {
    /// A tick is on disk.
    pub fn ticked(&mut self) {
        self.ticks += 1;
        if self.ticks >= EVERY_TICKS {
            self.ticks = 0;
            // One that is still at it carries these over too, or the next one does.
            self.due.try_send(()).ok();
        }
    }

    /// Returns when the connection is closed.
    pub async fn stop(self) {
        drop(self.due);
        drop(self.task.await);
    }
}
