//! Waiting for what tells nobody: another process, a server, a page in a browser. It is asked again and again, here and nowhere
//! else, and there is always an end.
//!
//! What can be waited for itself is: a task or a process by its end, a channel, a notification of the database, virtual time. Time
//! that is the subject of a test passes by [`let_pass`]; `make check` finds every other sleep.

use std::{net::SocketAddr, time::Duration};

use tidings::clock::Clock;
use tokio::process::Child;

/// What a broker tells every few seconds comes late on a busy machine.
const USUAL: Duration = Duration::from_secs(30);
/// A debug build on a busy machine starts within a few seconds; a node of the whole ladder waits for its brokers too.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// Between two looks. Looks that take long are further apart, so that they do not hold up what they are for.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_millis(200);
/// Between two looks, in lengths of the last one.
const LOOKS_APART: u32 = 4;

/// Waits until a condition holds, half a minute at most.
pub async fn eventually(condition: impl AsyncFnMut() -> bool) {
    within(USUAL, "the condition", condition).await;
}

/// Waits until a condition holds, and fails if it does not within `most`.
pub async fn within(most: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let holds = answer_within(most, async || condition().await.then_some(()));
    assert!(holds.await.is_some(), "{what} does not hold within {most:?}");
}

/// Asks until there is an answer; `None` if there is none within `most`.
pub async fn answer_within<T>(most: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let clock = Clock::system();
    let asking = async {
        loop {
            let began = clock.moment();
            if let Some(answer) = ask().await {
                return answer;
            }
            let took = clock.moment().since(began);
            let_pass((took * LOOKS_APART).clamp(LOOK_EVERY, LOOK_AT_LEAST_EVERY)).await;
        }
    };
    tokio::time::timeout(most, asking).await.ok()
}

/// Waits until a process of ours is ready for requests. What it did instead, if it never was.
pub async fn ready(child: &mut Child, address: SocketAddr) -> Result<(), String> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
    let asked = async || client.get(format!("http://{address}/readyz")).send().await.ok()?.error_for_status().ok();
    tokio::select! {
        ended = child.wait() => Err(format!("ended with {}", ended.unwrap())),
        ready = answer_within(READY_WITHIN, asked) => ready.map(drop).ok_or_else(|| "was not ready in time".to_owned()),
    }
}

/// Lets time pass that is a test's subject: how long a fault lasts, how often a client sends. Never to wait for something.
pub async fn let_pass(time: Duration) {
    tokio::time::sleep(time).await;
}
