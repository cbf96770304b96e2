//! A node in this process whose store holds yesterday evening: `aliyun-main` hung, `tencent-main` took over.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tempfile::TempDir;
use tidings::{
    assembly::{Node, Role},
    config::Config,
    store::{Lease, Messages, NewMessage, Next, ReceiptFact, Settlement},
};
use tidings_core::{
    attempt::{Attempt, Ended, Opened, Outcome},
    id::MessageId,
    message::{Category, Channel, Encoding, Message, Recipient, Status, TemplateRef},
    redact::Text,
    time::Timestamp,
};

pub const PASSWORD: &str = "correct horse battery";
/// Whoever calls in has only this.
pub const NUMBER: &str = "+8613800138000";
pub const TEXT: &str = "Your parcel of canary street 7 is at the door.";
const OWNER: i64 = 4_711;

const BOOTSTRAP: &str = r#"
[[users]]
name = "root"
role = "admin"
password = "correct horse battery"
[[users]]
name = "lin"
role = "viewer"
password = "correct horse battery"
[[apps]]
name = "shop"
live = true
free_text = true
[[apps.keys]]
name = "shop-live"
secret = "tk_live_0123456789abcdef0123456789abcdef01"
scopes = ["messages:send", "messages:read"]
[[providers]]
name = "aliyun-main"
kind = "simulated"
channel = "sms"
[[providers]]
name = "tencent-main"
kind = "simulated"
channel = "sms"
"#;

pub struct World {
    pub address: SocketAddr,
    pub node: Option<Node>,
    serving: tokio::task::JoinHandle<()>,
    _home: TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// With more settings.
    pub async fn start_with(more: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bootstrap = home.path().join("bootstrap.toml");
        std::fs::write(&bootstrap, BOOTSTRAP).unwrap();
        let file = home.path().join("tidings.toml");
        let data_dir = home.path().join("data");
        let settings = format!(
            "data_dir = \"{}\"\n[http]\nlisten = \"{address}\"\npublic_url = \"http://{address}\"\n[bootstrap]\nfile = \"{}\"\n{more}",
            data_dir.display(),
            bootstrap.display()
        );
        std::fs::write(&file, settings).unwrap();
        let config = Config::load(Some(&file), std::iter::empty(), std::iter::empty()).unwrap_or_else(|faults| panic!("{faults}"));
        let node = Node::start(config, Role::Everything).await.unwrap();
        let router = node.router().into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, node: Some(node), serving, _home: home }
    }

    pub fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    pub async fn stop(mut self) {
        self.serving.abort();
        self.node.take().unwrap().stop(Duration::from_secs(2)).await;
    }

    /// Yesterday evening at this hour and minute, UTC.
    pub fn evening(&self, hour: u64, minute: u64) -> Timestamp {
        const DAY_MS: i64 = 86_400_000;
        let midnight = Timestamp::from_millis(self.node().clock.now().as_millis() / DAY_MS * DAY_MS);
        midnight - Duration::from_secs(86_400) + Duration::from_secs(hour * 3_600 + minute * 60)
    }

    /// A message that hung at aliyun-main and is unknown since; what the caller asks about.
    pub async fn hung(&self, to: &str, at: Timestamp) -> MessageId {
        let message = self.message(to, Category::Transactional, at);
        let first = attempt(1, "aliyun-main", at, Outcome::Ambiguous, Some("timeout"), 3_000);
        self.write(message, vec![first], Status::Unknown).await
    }

    /// A code that hung at aliyun-main and was delivered by tencent-main.
    pub async fn failed_over(&self, to: &str, at: Timestamp) -> MessageId {
        let message = self.message(to, Category::Otp, at);
        let first = attempt(1, "aliyun-main", at, Outcome::Ambiguous, Some("timeout"), 3_000);
        let second = attempt(2, "tencent-main", at + Duration::from_secs(3), Outcome::Accepted, None, 112);
        let vendor_id = second.ended.as_ref().unwrap().provider_message_id.clone();
        let id = self.write(message, vec![first, second], Status::Submitted).await;
        let receipt = ReceiptFact {
            provider: "tencent-main".to_owned(),
            provider_message_id: vendor_id,
            reference: Some(id),
            status: Status::Delivered,
            vendor_status: "DELIVRD".to_owned(),
            error_code: None,
            at: at + Duration::from_secs(6),
        };
        self.node().messages.receipt(receipt).await.unwrap();
        id
    }

    fn message(&self, to: &str, category: Category, at: Timestamp) -> Message {
        let snapshot = self.node().control.snapshot();
        let app = snapshot.app_named("shop").unwrap();
        let key = snapshot.keys().find(|key| key.app == app.id).unwrap();
        Message {
            id: MessageId::new(at, self.node().clock.random()),
            app: app.id,
            key: Some(key.id),
            to: Recipient::new(to.to_owned()),
            channel: Channel::Sms,
            category,
            text: Text::new(TEXT.to_owned()),
            subject: None,
            template: Some(TemplateRef { name: "order-shipped".to_owned(), version: 3, locale: None }),
            params: Default::default(),
            signature: Some("Acme".to_owned()),
            encoding: Some(Encoding::Gsm7),
            segments: 1,
            reference: Some(format!("order-{}", at.as_millis() / 1_000 % 100_000)),
            metadata: Default::default(),
            accepted_at: at,
            send_at: None,
            expires_at: at + Duration::from_secs(3_600),
            hold: false,
            max_price: None,
            test: false,
            traceparent: None,
        }
    }

    async fn write(&self, message: Message, attempts: Vec<Attempt>, ends: Status) -> MessageId {
        let messages: &Arc<dyn Messages> = &self.node().messages;
        let (id, lane) = (message.id, message.lane());
        let ended_at = message.accepted_at + Duration::from_secs(4);
        // Held by a worker that is not there, so that the node's own leaves it alone.
        let lease = Lease { owner: OWNER, until: self.node().clock.now() + Duration::from_secs(600) };
        messages.accept(vec![NewMessage { lease: Some(lease), ..NewMessage::waiting(message) }]).await.unwrap();
        messages.open(id, lane, lease, attempts.clone()).await.unwrap();
        let settlement = Settlement { id, lane, owner: OWNER, attempts, next: Next::Close(ends), at: ended_at };
        messages.settle(settlement).await.unwrap();
        id
    }
}

fn attempt(number: u32, provider: &str, at: Timestamp, outcome: Outcome, code: Option<&str>, millis: u64) -> Attempt {
    Attempt {
        opened: Opened {
            number,
            provider: provider.to_owned(),
            revision: 1,
            receipts: true,
            started_at: at + Duration::from_millis(8),
            why: "score 91, weight 100 of 200; tencent-main was next in turn".to_owned(),
        },
        ended: Some(Ended {
            outcome,
            code: code.map(ToOwned::to_owned),
            duration: Duration::from_millis(millis),
            provider_message_id: (outcome == Outcome::Accepted).then(|| format!("vendor-{}", at.as_millis())),
            segments: 1,
            cost: None,
        }),
    }
}
