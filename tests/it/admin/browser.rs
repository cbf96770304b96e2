//! A real Chromium, driven through ChromeDriver, with screenshots under `target/screenshots`.

use std::path::PathBuf;

use thirtyfour::{Capabilities, WebDriver, error::WebDriverResult, prelude::*};

use super::world::{PASSWORD, World};
use crate::{
    patience::{eventually, within},
    servers,
};

#[derive(Clone, Copy)]
pub enum Screen {
    Desk,
    Phone,
}

#[derive(Clone, Copy)]
pub enum Light {
    Day,
    Night,
}

pub struct Browser {
    pub driver: WebDriver,
    base: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// `None` where no browser is at hand.
    pub async fn open(world: &World, screen: Screen, light: Light, scripts: bool) -> Option<Self> {
        let server = servers::chromedriver()?;
        let profile = tempfile::tempdir().unwrap();
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--window-size=1280,1000".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if matches!(light, Light::Night) {
            arguments.push("--force-dark-mode".to_owned());
        }
        let mut options = serde_json::json!({"args": arguments});
        if matches!(screen, Screen::Phone) {
            options["mobileEmulation"] =
                serde_json::json!({"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2.0, "touch": true}});
        }
        if !scripts {
            options["prefs"] = serde_json::json!({"profile.managed_default_content_settings.javascript": 2});
        }
        let mut capabilities = Capabilities::new();
        capabilities.set("browserName", "chrome").unwrap();
        capabilities.set("goog:chromeOptions", options).unwrap();
        let driver = WebDriver::new(&server, capabilities).await.expect("ChromeDriver starts Chromium");
        Some(Self { driver, base: format!("http://{}", world.address), _profile: profile })
    }

    pub async fn goto(&self, path: &str) {
        self.driver.goto(format!("{}{path}", self.base)).await.unwrap();
    }

    pub async fn log_in(&self, name: &str) {
        self.goto("/admin").await;
        self.fill("name", name).await;
        self.fill("password", PASSWORD).await;
        self.click(".login button").await;
        // A password costs the server a moment, and a click does not always wait for the answer.
        eventually(async || self.path().await == "/admin").await;
    }

    pub async fn fill(&self, id: &str, text: &str) {
        let field = self.driver.find(By::Id(id)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    pub async fn click(&self, css: &str) {
        self.driver.find(By::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}")).click().await.unwrap();
    }

    pub async fn text(&self, css: &str) -> String {
        self.driver.find(By::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}")).text().await.unwrap()
    }

    /// Waits until an element says this: a click does not always wait for the page that it leads to.
    pub async fn shows(&self, css: &str, words: &str) {
        let says = async || match self.driver.find(By::Css(css)).await {
            Ok(element) => element.text().await.is_ok_and(|text| text.contains(words)),
            Err(_) => false,
        };
        within(std::time::Duration::from_secs(10), &format!("{css} that says {words:?}"), says).await;
    }

    pub async fn path(&self) -> String {
        self.driver.current_url().await.unwrap().path().to_owned()
    }

    pub async fn address(&self) -> String {
        self.driver.current_url().await.unwrap().to_string()
    }

    pub async fn run(&self, script: &str) -> serde_json::Value {
        self.driver.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    pub async fn screenshot(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        self.driver.screenshot(&folder.join(format!("{name}.png"))).await.unwrap();
    }

    pub async fn close(self) -> WebDriverResult<()> {
        self.driver.quit().await
    }
}
