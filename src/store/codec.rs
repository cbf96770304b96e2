//! Between messages and rows: what is sealed, what is hashed, what stands in a column of its own.
//!
//! Recipients, texts and parameters lie sealed in the body; a column holds only what is searched or decided by. A
//! recipient or reference is searched by its keyed hash.

use tidings_core::{
    attempt::Attempt,
    id::{AppId, MessageId},
    message::{Message, Recipient, Status},
    time::Timestamp,
};

use super::{Error, Idempotency, NewMessage};
use crate::seal::{Keyring, LookupKey};

const BODY: &str = "message body";
const ANSWER: &str = "batch answer";

/// What a hash is of. The number stands in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    Recipient = 0,
    Reference = 1,
    ProviderMessageId = 2,
    Idempotency = 3,
}

impl Lookup {
    /// What a number in the store stands for.
    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Recipient),
            1 => Some(Self::Reference),
            2 => Some(Self::ProviderMessageId),
            3 => Some(Self::Idempotency),
            _ => None,
        }
    }
}

/// A new message, ready to be written.
#[derive(Clone, Debug)]
pub struct NewRow {
    pub id: MessageId,
    pub app: AppId,
    pub status: Status,
    pub channel: i64,
    pub category: i64,
    pub test: bool,
    pub accepted_at: Timestamp,
    pub expires_at: Timestamp,
    pub send_at: Option<Timestamp>,
    pub due_at: Timestamp,
    pub owner: Option<i64>,
    /// Of an attempt that is opened at once: its provider, and the attempts as JSON.
    pub opened: Option<(String, Vec<u8>)>,
    pub template: Option<(String, u32)>,
    pub to_hash: i64,
    pub reference_hash: Option<i64>,
    pub idempotency: Option<Idempotency>,
    pub body: Vec<u8>,
}

/// Seals, opens and hashes what goes into rows and comes out of them.
#[derive(Debug)]
pub struct Codec {
    keyring: Keyring,
    lookup: LookupKey,
}

impl Codec {
    pub const fn new(keyring: Keyring, lookup: LookupKey) -> Self {
        Self { keyring, lookup }
    }

    pub fn row(&self, new: &NewMessage) -> Result<NewRow, Error> {
        let message = &new.message;
        let plain = serde_json::to_vec(&**message).map_err(|error| Error::Broken(error.into()))?;
        let opened = match &new.opened {
            Some(opened) => {
                let attempt = Attempt { opened: opened.clone(), ended: None };
                Some((opened.provider.clone(), encode_attempts(std::slice::from_ref(&attempt))?))
            }
            None => None,
        };
        Ok(NewRow {
            id: message.id,
            app: message.app,
            status: if opened.is_some() { Status::Delivering } else { message.first_status() },
            channel: message.channel.index() as i64,
            category: message.category.index() as i64,
            test: message.test,
            accepted_at: message.accepted_at,
            expires_at: message.expires_at,
            send_at: message.send_at,
            due_at: new.lease.map_or_else(|| message.first_due(), |lease| lease.until),
            owner: new.lease.map(|lease| lease.owner),
            opened,
            template: message.template.as_ref().map(|template| (template.name.clone(), template.version)),
            to_hash: self.recipient(&message.to),
            reference_hash: message.reference.as_deref().map(|reference| self.reference(reference)),
            idempotency: new.idempotency,
            body: self.keyring.seal(BODY, &plain),
        })
    }

    pub fn message(&self, body: &[u8]) -> Result<Message, Error> {
        let plain = self.keyring.open(BODY, body)?;
        serde_json::from_slice(&plain).map_err(|error| Error::Broken(error.into()))
    }

    pub fn seal_answer(&self, answer: &[u8]) -> Vec<u8> {
        self.keyring.seal(ANSWER, answer)
    }

    pub fn open_answer(&self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.keyring.open(ANSWER, sealed)?)
    }

    pub fn recipient(&self, to: &Recipient) -> i64 {
        self.short(&[b"recipient", to.expose().as_bytes()])
    }

    /// Not of the app's alone: operators look for a reference without knowing whose it is.
    pub fn reference(&self, reference: &str) -> i64 {
        self.short(&[b"reference", reference.as_bytes()])
    }

    pub fn provider_message_id(&self, provider: &str, id: &str) -> i64 {
        self.short(&[b"provider message id", provider.as_bytes(), id.as_bytes()])
    }

    /// 64 bits are enough to find candidates; whoever finds them compares what the row says.
    fn short(&self, parts: &[&[u8]]) -> i64 {
        short(self.lookup.hash(parts))
    }
}

/// The look-up hash of a longer one.
pub fn short(hash: [u8; 16]) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(bytes)
}

pub fn encode_attempts(attempts: &[Attempt]) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(attempts).map_err(|error| Error::Broken(error.into()))
}

pub fn decode_attempts(blob: Option<&[u8]>) -> Result<Vec<Attempt>, Error> {
    blob.map_or(Ok(Vec::new()), |blob| serde_json::from_slice(blob).map_err(|error| Error::Broken(error.into())))
}

/// The status that a number in the store stands for.
pub fn status(number: i64) -> Result<Status, Error> {
    usize::try_from(number)
        .ok()
        .and_then(Status::from_index)
        .ok_or_else(|| Error::Broken(anyhow::anyhow!("no status has the number {number} that messages.status holds")))
}
