//! The vendor in the test's process: never killed, counts honestly.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
};

use serde_json::Value;
use tidings::simulate_provider::{Behaviour, Listeners, Vendor};

pub struct TestVendor {
    pub address: SocketAddr,
    control: String,
    client: reqwest::Client,
}

/// Calls that were cut by a kill.
pub struct Cut {
    /// An otp may be cut more than once.
    pub calls: usize,
    pub ids: HashSet<String>,
    /// How many of them the vendor had processed: killed between its acceptance and the settling.
    pub processed: usize,
}

impl TestVendor {
    pub async fn start(behaviour: Value) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listeners = Listeners::bind(any, any).await.unwrap();
        let (address, control) = listeners.addresses().unwrap();
        let vendor = Vendor::new(Behaviour::default().changed(&behaviour).unwrap(), 7).unwrap();
        tokio::spawn(vendor.serve(listeners));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, control: format!("http://{control}"), client }
    }

    /// A `[[providers]]` table that submits here.
    pub fn account(&self, name: &str, more: &str) -> String {
        format!(
            "[[providers]]\nname = \"{name}\"\nkind = \"http\"\nchannel = \"sms\"\nprice = \"0.0100\"\ncurrency = \"EUR\"\n{more}\n\
             [providers.settings]\nurl = \"http://{}/send\"\nmessage_id = \"/id\"\nreceipt_token = \"receipt-token-canary\"\n",
            self.address
        )
    }

    pub async fn switch(&self, change: Value) {
        let answer = self.client.patch(format!("{}/behaviour", self.control)).json(&change).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// How often each message was processed.
    pub async fn processed(&self) -> HashMap<String, u32> {
        serde_json::from_value(self.get("/processed").await["processed"].take()).unwrap()
    }

    /// Calls under way now, and how often anything was processed so far.
    pub async fn open_and_processed(&self) -> (u64, u64) {
        let figures = self.get("/figures").await["figures"].take();
        (figures["open"].as_u64().unwrap(), figures["processed"].as_u64().unwrap())
    }

    /// All calls cut so far.
    pub async fn cut(&self) -> Cut {
        let mut answer = self.get("/cut").await;
        let cut: Vec<Value> = serde_json::from_value(answer["cut"].take()).unwrap();
        let processed = cut.iter().filter(|call| call["processed"] == true).count();
        Cut { calls: cut.len(), ids: cut.iter().map(|call| call["id"].as_str().unwrap().to_owned()).collect(), processed }
    }

    async fn get(&self, path: &str) -> Value {
        self.client.get(format!("{}{path}", self.control)).send().await.unwrap().json().await.unwrap()
    }
}
