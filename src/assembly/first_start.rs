//! The bootstrap file, or on the very first start of a laptop, a demo.

use anyhow::Context;
use tidings_core::redact::Secret;

use crate::{
    clock::Clock,
    config::Config,
    control::{Bootstrap, Control, demo},
};

/// What a first start without configuration tells, once.
pub struct Welcome {
    pub user: &'static str,
    pub password: Secret,
    pub test_key: Secret,
    pub live_key: Secret,
    pub template: &'static str,
}

impl Welcome {
    /// The only place that prints secrets: to the terminal of whoever has just made them.
    pub fn print(&self, url: &str) {
        let (test, live, template) = (self.test_key.expose(), self.live_key.expose(), self.template);
        println!(
            "\nA demo is ready. These are shown once:\n\n  \
             test key        {test}\n  \
             live key        {live}\n  \
             admin pages     {url}/admin   user {user}, password {password}\n\n\
             Send a message (the first provider is sick, the second takes over):\n\n  \
             curl -s {url}/v1/messages -H 'Authorization: Bearer {live}' -H 'Content-Type: application/json' \
             -d '{{\"to\": \"+8613800138000\", \"template\": \"{template}\", \"params\": {{\"code\": \"482913\"}}}}'\n\n\
             See what happened to it:\n\n  \
             curl -s {url}/v1/messages/$(curl -s '{url}/v1/messages?limit=1' -H 'Authorization: Bearer {live}' | grep -o 'msg_[0-9a-z]*' | head -1) \
             -H 'Authorization: Bearer {live}'\n",
            user = self.user,
            password = self.password.expose(),
        );
    }
}

/// Brings into being what the bootstrap file names and what does not exist yet. Without a file, an empty embedded
/// installation gets the demo.
pub async fn bootstrap(config: &Config, control: &Control, clock: &Clock) -> anyhow::Result<Option<Welcome>> {
    if let Some(file) = &config.bootstrap.file {
        let bootstrap = Bootstrap::load(file).with_context(|| format!("bootstrap file {}", file.display()))?;
        bootstrap.apply(control).await.context("the bootstrap file cannot be applied")?;
        return Ok(None);
    }
    let snapshot = control.snapshot();
    let empty = snapshot.apps().next().is_none() && snapshot.users().next().is_none();
    drop(snapshot);
    if !empty || config.database.url.is_some() {
        return Ok(None);
    }
    let demo = demo(clock).context("the demo")?;
    demo.bootstrap.apply(control).await.context("the demo cannot be made")?;
    let (test_key, live_key) = (demo.test_key, demo.live_key);
    Ok(Some(Welcome { user: demo.user, password: demo.password, test_key, live_key, template: demo.template }))
}
