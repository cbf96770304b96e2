//! A control plane on a SQLite file of its own, with a bootstrap file that names somebody of every role.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;
use tidings::{
    clock::Clock,
    control::{Bootstrap, Control, Options},
    seal::Keyring,
    store::SqliteControl,
};

pub const LIVE: &str = "tk_live_0123456789abcdef0123456789abcdef";
pub const TEST: &str = "tk_test_0123456789abcdef0123456789abcdef";
pub const OTHER: &str = "tk_live_other6789abcdef0123456789abcdef0";
pub const PASSWORD: &str = "correct horse";

pub const FILE: &str = r#"
[[users]]
name = "root"
role = "admin"
password = "correct horse"
[[users]]
name = "vera"
role = "viewer"
password = "correct horse"
[[users]]
name = "otto"
role = "operator"
password = "correct horse"
[[users]]
name = "anna"
role = "approver"
password = "correct horse"

[[apps]]
name = "shop"
live = true
free_text = true
[[apps.keys]]
name = "shop-live"
id = "key_01h455vb4pex5vsknk084sn02q"
secret = "tk_live_0123456789abcdef0123456789abcdef"
scopes = ["messages:send", "messages:read", "verifications", "templates:write", "webhooks:write"]
[[apps.keys]]
name = "shop-test"
secret = "tk_test_0123456789abcdef0123456789abcdef"
scopes = ["messages:send", "messages:read"]
[[apps.templates]]
name = "login-code"
channel = "sms"
category = "otp"
text = "Your code is {{ code }}."
[[apps.templates]]
name = "login-code"
channel = "sms"
category = "otp"
locale = "de"
text = "Ihr Code ist {{ code }}."
[[apps.signatures]]
name = "Acme"

[[apps]]
name = "other"
[[apps.keys]]
name = "other-live"
secret = "tk_live_other6789abcdef0123456789abcdef0"
scopes = ["messages:send", "messages:read"]

[[providers]]
name = "a"
kind = "simulated"
channel = "sms"
price = 0.0100
[[providers]]
name = "b"
kind = "http"
channel = "sms"
settings = { url = "http://127.0.0.1:9000/send", receipt_token = "a-receipt-token-of-b", headers = { Authorization = "Bearer canary-credential" } }

[[routes]]
match = { channel = "sms", category = "otp", prefix = ["+86"], app = ["shop"] }
select = "priority"
providers = ["b", "a"]
"#;

pub struct World {
    pub dir: TempDir,
    pub keys: String,
    pub clock: Clock,
}

impl World {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), keys: Keyring::line(&[7; 32]), clock: Clock::system() }
    }

    pub fn options(&self, node: &str) -> Options {
        let data_dir = self.dir.path().join(node);
        std::fs::create_dir_all(&data_dir).unwrap();
        Options {
            data_dir,
            access_token: Duration::from_secs(900),
            refresh_token: Duration::from_secs(86_400),
            max_stale: Duration::from_secs(900),
        }
    }

    pub async fn store(&self) -> Arc<SqliteControl> {
        Arc::new(SqliteControl::open(&self.dir.path().join("tidings.db")).await.unwrap())
    }

    /// One node on the common store.
    pub async fn node(&self, name: &str) -> Arc<Control> {
        let keyring = Arc::new(Keyring::parse(&self.keys).unwrap());
        Arc::new(Control::open(self.store().await, keyring, self.clock, self.options(name)).await.unwrap())
    }

    /// A node with the bootstrap file applied.
    pub async fn ready(&self) -> Arc<Control> {
        let control = self.node("node").await;
        Bootstrap::read(FILE).unwrap().apply(&control).await.unwrap();
        control
    }
}
