//! A wire between a node and a service that can be cut: a small TCP proxy.
//!
//! What is cut is not closed: connections stay and bytes stop, as when a router dies. What was sent meanwhile arrives when the
//! wire is whole again, which is the nastier case.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Whole,
    /// Nothing passes.
    Cut,
    /// Requests arrive, answers do not.
    Mute,
}

/// Listens on a port of its own and passes everything on.
pub struct Wire {
    pub port: u16,
    state: watch::Sender<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let here = listener.local_addr().unwrap().port();
        let (state, seen) = watch::channel(State::Whole);
        let task = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(pass(from, port, seen.clone()));
            }
        });
        Self { port: here, state, task }
    }

    pub fn switch(&self, state: State) {
        self.state.send_replace(state);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(from: TcpStream, port: u16, mut state: watch::Receiver<State>) {
    // The peer's kernel has completed the connection already; what it says waits.
    if state.wait_for(|state| *state != State::Cut).await.is_err() {
        return;
    }
    let Ok(to) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    drop((from.set_nodelay(true), to.set_nodelay(true)));
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    tokio::select! {
        () = copy(from_read, to_write, state.clone(), |state| state != State::Cut) => {}
        () = copy(to_read, from_write, state, |state| state == State::Whole) => {}
    }
}

async fn copy(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    passes: impl Fn(State) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 || state.wait_for(|state| passes(*state)).await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
