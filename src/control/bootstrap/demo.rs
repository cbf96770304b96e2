//! What a first start without any configuration brings: an app that can send at once, through two simulated providers of
//! which one is sick, so that the first message already shows a failover.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tidings_core::redact::Secret;

use super::{Bootstrap, Faults};
use crate::{clock::Clock, control::model::KeyHash};

/// The demo and the secrets that are printed once.
#[derive(Debug)]
pub struct Demo {
    pub bootstrap: Bootstrap,
    pub app: &'static str,
    pub template: &'static str,
    pub user: &'static str,
    pub password: Secret,
    pub test_key: Secret,
    pub live_key: Secret,
}

const FILE: &str = r#"
[[users]]
name = "root"
role = "admin"
password = "@password@"

[[apps]]
name = "demo"
live = true
free_text = true
keys = [
  { name = "demo-test", secret = "@test_key@", scopes = ["messages:send", "messages:read", "verifications", "templates:write", "webhooks:write"] },
  { name = "demo-live", secret = "@live_key@", scopes = ["messages:send", "messages:read", "verifications", "templates:write", "webhooks:write"] },
]
templates = [
  { name = "login-code", channel = "sms", category = "otp", text = "Your code is {{ code }}." },
  { name = "shipped", channel = "sms", category = "transactional", text = "Your order {{ order }} is on its way." },
]
signatures = [{ name = "Acme" }]

[[providers]]
name = "demo-sick"
kind = "simulated"
channel = "sms"
price = "0.0080"
settings = { latency_p50_ms = 40, latency_p99_ms = 120, error_share = 1.0 }

[[providers]]
name = "demo-steady"
kind = "simulated"
channel = "sms"
price = "0.0100"
settings = { latency_p50_ms = 30, latency_p99_ms = 90, receipt_p50_ms = 500, receipt_p99_ms = 2000 }

# The sick one is asked first until its health says otherwise.
[[routes]]
match = { channel = "sms" }
select = "priority"
providers = ["demo-sick", "demo-steady"]
"#;

/// A demo with new secrets.
///
/// # Errors
/// Never but by a change of this file that its test has not seen.
pub fn demo(clock: &Clock) -> Result<Demo, Faults> {
    let password = URL_SAFE_NO_PAD.encode(clock.random::<12>());
    let (test_key, live_key) = (KeyHash::secret(true, clock.random()), KeyHash::secret(false, clock.random()));
    let text = FILE.replace("@password@", &password).replace("@test_key@", &test_key).replace("@live_key@", &live_key);
    Ok(Demo {
        bootstrap: Bootstrap::read(&text)?,
        app: "demo",
        template: "login-code",
        user: "root",
        password: Secret::new(password),
        test_key: Secret::new(test_key),
        live_key: Secret::new(live_key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_demo_is_sound() {
        let demo = demo(&Clock::system()).unwrap();
        assert_eq!(demo.bootstrap.apps.len(), 1);
        assert!(demo.test_key.expose().starts_with("tk_test_") && demo.live_key.expose().starts_with("tk_live_"));
    }
}
