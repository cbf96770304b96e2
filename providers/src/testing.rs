//! What this crate's tests share: a message, a submission of it, and a receiver of receipts.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tidings_core::{
    id::{AppId, MessageId},
    message::{Category, Channel, Message},
    redact::Redacted,
    time::Timestamp,
};
use tokio::sync::Notify;

use crate::{Context, Http, NotDurable, Receipt, ReceiptSink, Submission};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

pub fn context(receipts: Arc<dyn ReceiptSink>) -> Context {
    Context { http: Http::new().unwrap(), receipts, now: || NOW, random: || 7 }
}

pub fn message(to: &str) -> Message {
    Message {
        id: MessageId::new(NOW, [7; 10]),
        app: AppId::new(NOW, [8; 10]),
        key: None,
        to: Redacted::new(to.to_owned()),
        channel: Channel::Sms,
        category: Category::Otp,
        text: Redacted::new("Your code is 482913.".to_owned()),
        subject: None,
        template: None,
        params: Redacted::default(),
        signature: None,
        encoding: None,
        segments: 1,
        reference: None,
        metadata: std::collections::BTreeMap::default(),
        accepted_at: NOW,
        send_at: None,
        expires_at: NOW + Duration::from_secs(300),
        hold: false,
        max_price: None,
        test: false,
        traceparent: None,
    }
}

pub fn submission(message: Message) -> Submission {
    Submission {
        message: Arc::new(message),
        attempt: 1,
        timeout: Duration::from_secs(3),
        template: None,
        signature: None,
        receipts: true,
        callback: None,
        traceparent: None,
    }
}

/// Keeps what it is told, and can refuse for a while.
#[derive(Debug, Default)]
pub struct Receiver {
    kept: Mutex<VecDeque<Receipt>>,
    refusals: Mutex<u32>,
    came: Notify,
}

impl Receiver {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn refuse(&self, times: u32) {
        *self.refusals.lock().unwrap() = times;
    }

    pub fn is_empty(&self) -> bool {
        self.kept.lock().unwrap().is_empty()
    }

    pub async fn next(&self) -> Receipt {
        loop {
            if let Some(receipt) = self.kept.lock().unwrap().pop_front() {
                return receipt;
            }
            self.came.notified().await;
        }
    }
}

#[async_trait]
impl ReceiptSink for Receiver {
    async fn confirm(&self, _: &str, receipts: Vec<Receipt>) -> Result<(), NotDurable> {
        {
            let mut refusals = self.refusals.lock().unwrap();
            if *refusals > 0 {
                *refusals -= 1;
                return Err(NotDurable);
            }
        }
        self.kept.lock().unwrap().extend(receipts);
        self.came.notify_one();
        Ok(())
    }
}
