//! Group commit: callers that ask for the same thing at the same time share one transaction, or one round trip.
//!
//! The first waits for nobody; those that come while all lanes are busy go together in the next batch. So the batch grows
//! with the load by itself, and one commit's fsync is paid by many. A batch that fails because the server is away fails for
//! all in it; one that is broken is tried one by one, so that a defect in one request never holds up the others.

use std::{future::Future, sync::Arc};

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::store::Error;

/// Requests that may wait before their callers do.
const BACKLOG: usize = 4096;

type Reply<A> = oneshot::Sender<Result<A, Error>>;

/// A way to one kind of batched statement.
pub struct Group<Q, A> {
    requests: mpsc::Sender<(Q, Reply<A>)>,
}

impl<Q: Clone + Send + Sync + 'static, A: Send + 'static> Group<Q, A> {
    /// Batches of at most `most` requests, at most `lanes` at once. `run` answers for each request in order.
    pub fn start<F, R>(lanes: usize, most: usize, run: F) -> Self
    where
        F: Fn(Arc<Vec<Q>>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<A>, Error>> + Send + 'static,
    {
        let (requests, mut waiting) = mpsc::channel::<(Q, Reply<A>)>(BACKLOG);
        let run = Arc::new(run);
        let permits = Arc::new(Semaphore::new(lanes));
        tokio::spawn(async move {
            loop {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                let mut batch = Vec::new();
                if waiting.recv_many(&mut batch, most).await == 0 {
                    return;
                }
                let run = Arc::clone(&run);
                tokio::spawn(async move {
                    let (queries, replies): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
                    answer(&*run, queries, replies).await;
                    drop(permit);
                });
            }
        });
        Self { requests }
    }

    pub async fn ask(&self, request: Q) -> Result<A, Error> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::Unavailable(anyhow::anyhow!("it was closed"));
        self.requests.send((request, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn answer<Q: Clone, A, R>(run: &(impl Fn(Arc<Vec<Q>>) -> R + Sync), queries: Vec<Q>, replies: Vec<Reply<A>>)
where
    R: Future<Output = Result<Vec<A>, Error>>,
{
    let queries = Arc::new(queries);
    match run(Arc::clone(&queries)).await {
        Ok(answers) => replies.into_iter().zip(answers).for_each(|(reply, answer)| drop(reply.send(Ok(answer)))),
        Err(error) if error.is_unavailable() => {
            let text = format!("{:#}", anyhow::Error::from(error));
            replies.into_iter().for_each(|reply| drop(reply.send(Err(Error::Unavailable(anyhow::anyhow!(text.clone()))))));
        }
        Err(error) if replies.len() == 1 => replies.into_iter().for_each({
            let mut error = Some(error);
            move |reply| drop(error.take().map(|error| reply.send(Err(error))))
        }),
        Err(_) => {
            for (query, reply) in queries.iter().zip(replies) {
                let alone = run(Arc::new(vec![query.clone()])).await;
                let alone = alone.and_then(|mut answers| answers.pop().ok_or_else(|| Error::Broken(anyhow::anyhow!("no answer"))));
                drop(reply.send(alone));
            }
        }
    }
}
