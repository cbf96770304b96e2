//! What may be sent with: templates with each version's text read once, signatures, and whether they are approved.

use tidings_core::{
    id::{AppId, TemplateId},
    message::Channel,
    template::Template as Compiled,
};

use super::{
    Kept, Snapshot,
    apply::{read_body, replace},
};
use crate::{
    control::model::{Template, TemplateVersion, VersionStatus},
    store::control::Document,
};
use std::sync::Arc;

/// A template with each version's text read once.
#[derive(Debug)]
pub struct ReadyTemplate {
    pub template: Kept<Template>,
    compiled: Vec<Option<Compiled>>,
    compiled_subjects: Vec<Option<Compiled>>,
}

impl std::ops::Deref for ReadyTemplate {
    type Target = Template;
    fn deref(&self) -> &Template {
        &self.template.value
    }
}

/// A version that may be sent, ready to be rendered.
#[derive(Clone, Copy, Debug)]
pub struct Sendable<'a> {
    pub template: &'a ReadyTemplate,
    pub version: &'a TemplateVersion,
    pub text: &'a Compiled,
    pub subject: Option<&'a Compiled>,
}

/// Why a template or a signature cannot be sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSendable {
    #[error("the app has none of this name")]
    Unknown,
    #[error("it is not approved")]
    NotApproved,
}

impl Snapshot {
    /// The version that `name` or `name@version` stands for: the newest approved one in the locale, the template's own
    /// locale where none is named.
    ///
    /// # Errors
    /// There is none, or it must not be sent.
    pub fn sendable(&self, app: AppId, template: &str, locale: Option<&str>) -> Result<Sendable<'_>, NotSendable> {
        let (name, number) = match template.split_once('@') {
            Some((name, number)) => (name, Some(number.parse::<u32>().map_err(|_| NotSendable::Unknown)?)),
            None => (template, None),
        };
        let ready = self.template(app, name).ok_or(NotSendable::Unknown)?;
        if ready.archived {
            return Err(NotSendable::NotApproved);
        }
        let wanted = locale.or(ready.default_locale.as_deref());
        let approved = |version: &&TemplateVersion| version.status == VersionStatus::Approved;
        let version = match number {
            Some(number) => {
                let version = ready.version(number).ok_or(NotSendable::Unknown)?;
                if locale.is_some() && version.locale.as_deref() != locale {
                    return Err(NotSendable::Unknown);
                }
                Some(version).filter(approved)
            }
            None => {
                let mut of_locale = ready.versions.iter().rev().filter(|version| version.locale.as_deref() == wanted).peekable();
                of_locale.peek().ok_or(NotSendable::Unknown)?;
                of_locale.find(approved)
            }
        };
        let version = version.ok_or(NotSendable::NotApproved)?;
        let index = version.version as usize - 1;
        let text = ready.compiled[index].as_ref().ok_or(NotSendable::NotApproved)?;
        Ok(Sendable { template: ready, version, text, subject: ready.compiled_subjects[index].as_ref() })
    }

    /// Whether the app may send under this signature on this channel.
    ///
    /// # Errors
    /// There is none of this name for the channel, or it is not approved.
    pub fn may_sign(&self, app: AppId, name: &str, channel: Channel) -> Result<(), NotSendable> {
        let signature = self.signature(app, name).filter(|signature| signature.channel.is_none_or(|own| own == channel));
        match signature.ok_or(NotSendable::Unknown)?.status {
            VersionStatus::Approved => Ok(()),
            _ => Err(NotSendable::NotApproved),
        }
    }

    pub(super) fn apply_template(&mut self, document: &Document) -> Result<(), serde_json::Error> {
        let id = TemplateId::from_uuid(document.id);
        let read = |text: &str| Compiled::parse(text).ok();
        let new = match read_body::<Template>(document)? {
            Some(template) => {
                let compiled = template.versions.iter().map(|version| read(&version.text)).collect();
                let compiled_subjects = template.versions.iter().map(|version| version.subject.as_deref().and_then(read)).collect();
                let template = Kept { value: template, revision: document.revision };
                Some(Arc::new(ReadyTemplate { template, compiled, compiled_subjects }))
            }
            None => None,
        };
        let names = Arc::make_mut(&mut self.template_names);
        if let Some(old) = replace(&mut self.templates, id, new.clone()) {
            names.entry(old.app).or_default().remove(&old.name);
        }
        if let Some(new) = new {
            names.entry(new.app).or_default().insert(new.name.clone(), new);
        }
        Ok(())
    }
}
