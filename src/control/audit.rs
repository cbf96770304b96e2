//! The audit log: who did what to what, from where, what was before and after. Append only, and chained.
//!
//! Each entry is linked to the one before by an HMAC over its exact bytes, under a key that the store does not hold in the
//! clear: whoever can write to the tables can neither change, drop nor insert an entry without it showing, and the head
//! (count and last link) betrays a cut tail. Secrets never come in here: what is written are views that have none.

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use tidings_core::{id::AuditId, time::Timestamp};

use super::model::ActorId;
use crate::store::control::Linked;

/// Entries read at once while the chain is walked: a megabyte or so.
const VERIFIED_AT_ONCE: u32 = 1_000;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: AuditId,
    pub at: Timestamp,
    pub actor: ActorId,
    /// `app.suspended`, `key.created`: the noun and what was done to it.
    pub action: String,
    /// The thing's id, or its name where that is how it is known.
    pub object: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
    pub reason: Option<String>,
    /// Where the request came from.
    pub address: Option<String>,
    pub request_id: Option<String>,
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub actor: Option<String>,
    pub action: Option<String>,
    pub object: Option<String>,
    /// Inclusive.
    pub from: Option<Timestamp>,
    /// Exclusive.
    pub until: Option<Timestamp>,
}

/// The end of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub count: i64,
    pub hash: Vec<u8>,
}

/// The key of the links.
#[derive(Clone)]
pub struct ChainKey(hmac::Key);

impl std::fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChainKey")
    }
}

impl ChainKey {
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The link of an entry: over its number, the link before it and its bytes.
    pub fn link(&self, number: i64, before: &[u8], body: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&number.to_be_bytes());
        // The first link has nothing before it; the length keeps the parts apart.
        context.update(&(before.len() as u64).to_be_bytes());
        context.update(before);
        context.update(body.as_bytes());
        context.sign().as_ref().to_vec()
    }
}

/// Where the chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("entry {expected} is missing")]
    Missing { expected: i64 },
    #[error("entry {number} was changed")]
    Changed { number: i64 },
    #[error("the look-up columns of entry {number} do not say what the entry says")]
    Columns { number: i64 },
    #[error("the log ends at entry {found}, but {recorded} were written")]
    Cut { found: i64, recorded: i64 },
}

/// Walks the chain; feed it the log in order, then ask for the verdict.
#[derive(Debug)]
pub struct Verifier {
    key: ChainKey,
    end: Head,
}

impl Verifier {
    pub fn new(key: ChainKey) -> Self {
        Self { key, end: Head::default() }
    }

    /// The entries so far.
    pub const fn count(&self) -> i64 {
        self.end.count
    }

    /// The next entry.
    ///
    /// # Errors
    /// The chain is broken at this entry.
    pub fn next(&mut self, linked: &Linked) -> Result<(), Broken> {
        let number = self.end.count + 1;
        if linked.number != number {
            return Err(Broken::Missing { expected: number });
        }
        if self.key.link(number, &self.end.hash, &linked.body) != linked.hash {
            return Err(Broken::Changed { number });
        }
        let entry: Entry = serde_json::from_str(&linked.body).map_err(|_| Broken::Changed { number })?;
        let columns = &linked.columns;
        let same = entry.at == columns.at
            && entry.actor.as_str() == columns.actor
            && entry.action == columns.action
            && entry.object == columns.object;
        if !same {
            return Err(Broken::Columns { number });
        }
        self.end = Head { count: number, hash: linked.hash.clone() };
        Ok(())
    }

    /// The verdict at the end of the log.
    ///
    /// # Errors
    /// The log is shorter or longer than the head says.
    pub fn finish(self, head: &Head) -> Result<i64, Broken> {
        if self.end == *head { Ok(self.end.count) } else { Err(Broken::Cut { found: self.end.count, recorded: head.count }) }
    }
}

impl super::Control {
    /// The log, newest first: entries with their numbers, before the number `before`.
    ///
    /// # Errors
    /// The store is away.
    pub async fn audit_log(&self, filter: &Filter, before: Option<i64>, limit: u32) -> Result<Vec<(i64, Entry)>, super::Error> {
        let linked = self.store.audit(filter, before, limit).await?;
        linked
            .into_iter()
            .map(|linked| {
                let entry = serde_json::from_str(&linked.body).map_err(|error| crate::store::Error::Broken(error.into()))?;
                Ok((linked.number, entry))
            })
            .collect()
    }

    /// Walks the whole chain: how many entries it has, or where it is broken.
    ///
    /// # Errors
    /// The store is away.
    pub async fn verify_audit(&self) -> Result<Result<i64, Broken>, super::Error> {
        let key = self.snapshot().opened().audit().cloned();
        let key = key.ok_or_else(|| crate::store::Error::Broken(anyhow::anyhow!("the installation has no key for its audit log")))?;
        // Entries that come in while the walk is under way stand after this head.
        let head = self.store.audit_head().await?;
        let mut verifier = Verifier::new(key);
        while verifier.count() < head.count {
            let left = u32::try_from(head.count - verifier.count()).unwrap_or(u32::MAX).min(VERIFIED_AT_ONCE);
            let links = self.store.audit_chain(verifier.count(), left).await?;
            if links.is_empty() {
                break;
            }
            for link in &links {
                if let Err(broken) = verifier.next(link) {
                    return Ok(Err(broken));
                }
            }
        }
        Ok(verifier.finish(&head))
    }
}
