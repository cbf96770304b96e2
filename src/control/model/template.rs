//! Templates with their versions, and signatures.
//!
//! A template is one document with all its versions, so that "the newest approved version" is one look-up and cannot be
//! half of two changes. A version's text never changes after it was submitted.

use serde::{Deserialize, Serialize};
use tidings_core::{
    id::{AppId, SignatureId, TemplateId, TemplateVersionId},
    message::{Category, Channel},
    time::Timestamp,
};

use super::{ActorId, Kind, Record};

tidings_core::words! {
    /// Where a version or a signature stands. Only approved ones can be sent.
    VersionStatus { Draft = "draft", Pending = "pending", Approved = "approved", Rejected = "rejected", Withdrawn = "withdrawn", }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    pub id: TemplateId,
    pub app: AppId,
    /// Unique in the app.
    pub name: String,
    pub channel: Channel,
    pub category: Category,
    /// What is sent when the message names no locale: that of the first version.
    #[serde(default)]
    pub default_locale: Option<String>,
    /// Counting from 1, without gaps.
    pub versions: Vec<TemplateVersion>,
    #[serde(default)]
    pub archived: bool,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateVersion {
    pub id: TemplateVersionId,
    pub version: u32,
    #[serde(default)]
    pub locale: Option<String>,
    pub text: String,
    #[serde(default)]
    pub subject: Option<String>,
    /// Taken from the text, in the order in which they first appear.
    pub params: Vec<String>,
    pub status: VersionStatus,
    /// Why it was rejected.
    #[serde(default)]
    pub reason: Option<String>,
    pub author: ActorId,
    pub created_at: Timestamp,
}

impl Template {
    pub fn version(&self, number: u32) -> Option<&TemplateVersion> {
        self.versions.get((number as usize).checked_sub(1)?)
    }

    pub fn version_mut(&mut self, number: u32) -> Option<&mut TemplateVersion> {
        self.versions.get_mut((number as usize).checked_sub(1)?)
    }

    pub fn is_name(text: &str) -> bool {
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (1..=64).contains(&text.len()) && text.chars().all(letters)
    }

    /// A language tag by its shape: `de`, `zh-CN`, `zh-Hans-CN`.
    pub fn is_locale(text: &str) -> bool {
        let parts: Vec<&str> = text.split('-').collect();
        let alphanumeric = |part: &&str| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        parts.len() <= 4 && parts.iter().all(alphanumeric) && parts[0].bytes().all(|b| b.is_ascii_lowercase())
    }
}

impl Record for Template {
    const KIND: Kind = Kind::Template;
    fn uuid(&self) -> uuid::Uuid {
        self.id.uuid()
    }
    fn scope(&self) -> String {
        self.app.to_string()
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}

/// The name that a message comes under: put before the text, or used as sender id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    pub id: SignatureId,
    pub app: AppId,
    /// Unique in the app.
    pub name: String,
    /// Only for this channel; absent: for all.
    #[serde(default)]
    pub channel: Option<Channel>,
    pub status: VersionStatus,
    #[serde(default)]
    pub reason: Option<String>,
    pub author: ActorId,
    pub created_at: Timestamp,
}

impl Signature {
    /// 1 to 32 characters without control characters and without the brackets that it is put in.
    pub fn is_name(text: &str) -> bool {
        (1..=32).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(|c| c.is_control() || matches!(c, '【' | '】'))
    }
}

impl Record for Signature {
    const KIND: Kind = Kind::Signature;
    fn uuid(&self) -> uuid::Uuid {
        self.id.uuid()
    }
    fn scope(&self) -> String {
        self.app.to_string()
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}
