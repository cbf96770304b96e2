//! Templates of an app: written, submitted for approval, withdrawn, archived.

use serde_json::{Map, Value, json};
use tidings_core::{
    id::{AppId, TemplateId, TemplateVersionId},
    message::Category,
    template,
};

use super::{
    Actor, Control, Error, Plan, Scene,
    approvals::{self, Filing},
    bootstrap::params,
    content, diff,
    fields::{Fault, Fields},
    model::{Approval, Decision, Kind, RequestStatus, Target, Template, TemplateVersion, VersionStatus},
    plan::Said,
    snapshot::ReadyTemplate,
};

/// More versions than this are a changelog; the oldest ones would never be sent again.
const MAX_VERSIONS: usize = 500;

/// A text as it comes in.
struct Draft {
    locale: Option<String>,
    text: String,
    subject: Option<String>,
}

impl Control {
    /// Makes a template with version 1 as a draft.
    ///
    /// # Errors
    /// The fields are not valid, the app has a template of this name, the store is away.
    pub async fn create_template(&self, actor: &Actor, app: AppId, body: &Map<String, Value>) -> Result<Template, Error> {
        self.change(|scene| {
            let owner = scene.snapshot.app(app).ok_or(Error::NotFound)?;
            let mut faults = Vec::new();
            let mut fields = Fields::new("", body, &mut faults);
            let name = fields.name("name", Template::is_name, "1 to 64 letters, digits and -_.").unwrap_or_default().to_owned();
            let channel = fields.required("channel", Fields::word);
            let category = fields.required("category", Fields::word);
            let draft = read_draft(&mut fields);
            fields.finish();
            let params = params(&draft.text, draft.subject.as_deref());
            if let Some(category) = category.filter(|_| faults.is_empty()) {
                faults.extend(broken_rules(category, &draft, &params, &owner.link_domains));
            }
            let (Some(channel), Some(category), []) = (channel, category, faults.as_slice()) else { return Err(Error::Invalid(faults)) };
            if scene.snapshot.template(app, &name).is_some() {
                return Err(Error::Exists(Kind::Template));
            }
            let made = Template {
                id: TemplateId::new(scene.now, scene.clock.random()),
                app,
                name,
                channel,
                category,
                default_locale: draft.locale.clone(),
                versions: vec![version(scene, actor, 1, draft, params)],
                archived: false,
                created_at: scene.now,
            };
            let mut plan = Plan::default();
            plan.create(&made);
            let after = json!({"name": made.name, "app": app, "channel": channel, "category": category, "text": made.versions[0].text});
            plan.log(
                scene,
                actor,
                Said { action: "template.created", object: made.id.to_string(), after: Some(after), ..Default::default() },
            );
            Ok((plan, made))
        })
        .await
    }

    /// Adds the next version as a draft.
    ///
    /// # Errors
    /// There is no such template, it is archived, the fields are not valid, the store is away.
    pub async fn create_version(&self, actor: &Actor, app: AppId, name: &str, body: &Map<String, Value>) -> Result<Template, Error> {
        self.change(|scene| {
            let owner = scene.snapshot.app(app).ok_or(Error::NotFound)?;
            let ready = usable(scene, app, name)?;
            let mut faults = Vec::new();
            let mut fields = Fields::new("", body, &mut faults);
            let draft = read_draft(&mut fields);
            fields.finish();
            let params = params(&draft.text, draft.subject.as_deref());
            if faults.is_empty() {
                faults.extend(broken_rules(ready.category, &draft, &params, &owner.link_domains));
            }
            if ready.versions.len() >= MAX_VERSIONS {
                faults.push(Fault::new("", "range", format!("a template has at most {MAX_VERSIONS} versions")));
            }
            if !faults.is_empty() {
                return Err(Error::Invalid(faults));
            }
            let mut changed = ready.template.value.clone();
            let number = changed.versions.len() as u32 + 1;
            changed.versions.push(version(scene, actor, number, draft, params));
            let mut plan = Plan::default();
            plan.update(&ready.template, &changed);
            let after = json!({"version": number, "text": changed.versions[number as usize - 1].text});
            let said =
                Said { action: "template.version_created", object: changed.id.to_string(), after: Some(after), ..Default::default() };
            plan.log(scene, actor, said);
            Ok((plan, changed))
        })
        .await
    }

    /// Asks for approval of a draft.
    ///
    /// # Errors
    /// There is no such version, it is not a draft (any more), the store is away.
    pub async fn submit_version(&self, actor: &Actor, app: AppId, name: &str, number: u32) -> Result<Approval, Error> {
        self.change(|scene| {
            let ready = usable(scene, app, name)?;
            let mut changed = ready.template.value.clone();
            let entry = changed.version_mut(number).ok_or(Error::NotFound)?;
            if !matches!(entry.status, VersionStatus::Draft | VersionStatus::Withdrawn) {
                return Err(Error::Exists(Kind::Approval));
            }
            entry.status = VersionStatus::Pending;
            let entry = entry.clone();
            let approved = |other: &&TemplateVersion| other.status == VersionStatus::Approved && other.locale == entry.locale;
            let earlier = ready.versions.iter().rev().find(approved);
            let side = |version: &TemplateVersion| json!({"version": version.version, "text": version.text, "subject": version.subject});
            let change = json!({
                "template": ready.name, "version": number, "locale": entry.locale, "channel": ready.channel, "category": ready.category,
                "subject": entry.subject, "from": earlier.map(side), "to": side(&entry),
                "diff": diff::lines(&earlier.map(as_lines).unwrap_or_default(), &as_lines(&entry)),
            });
            let mut plan = Plan::default();
            plan.update(&ready.template, &changed);
            let filing = Filing { target: Target::TemplateVersion { template: ready.id, version: number }, app: Some(app), change };
            let request = approvals::file(scene, &mut plan, actor, filing);
            Ok((plan, request))
        })
        .await
    }

    /// Takes a pending version back.
    ///
    /// # Errors
    /// There is no such version, it is not pending, the store is away.
    pub async fn withdraw_version(&self, actor: &Actor, app: AppId, name: &str, number: u32) -> Result<Approval, Error> {
        self.change(|scene| {
            let ready = scene.snapshot.template(app, name).ok_or(Error::NotFound)?;
            let entry = ready.version(number).ok_or(Error::NotFound)?;
            approvals::take_back(scene, actor, &Target::TemplateVersion { template: ready.id, version: number }, entry.status)
        })
        .await
    }

    /// Ends a template's use. Versions that wait for approval are withdrawn with it.
    ///
    /// # Errors
    /// There is no such template, the store is away.
    pub async fn archive_template(&self, actor: &Actor, app: AppId, name: &str) -> Result<Template, Error> {
        self.change(|scene| {
            let ready = scene.snapshot.template(app, name).ok_or(Error::NotFound)?;
            let mut changed = ready.template.value.clone();
            if changed.archived {
                return Ok((Plan::default(), changed));
            }
            let mut plan = Plan::default();
            changed.archived = true;
            for entry in changed.versions.iter_mut().filter(|entry| entry.status == VersionStatus::Pending) {
                entry.status = VersionStatus::Withdrawn;
            }
            let of_this = |request: &Approval| matches!(request.target, Target::TemplateVersion { template, .. } if template == ready.id);
            for kept in scene.snapshot.approvals().filter(|kept| kept.status == RequestStatus::Pending && of_this(kept)) {
                let mut request = kept.value.clone();
                request.decide(&actor.id, Decision::Withdraw { for_app: true }, scene.now).map_err(|_| Error::Busy)?;
                plan.update(kept, &request);
                approvals::log_decision(scene, &mut plan, actor, &request);
            }
            plan.update(&ready.template, &changed);
            plan.log(scene, actor, Said { action: "template.archived", object: changed.id.to_string(), ..Default::default() });
            Ok((plan, changed))
        })
        .await
    }
}

fn usable<'a>(scene: &'a Scene<'_>, app: AppId, name: &str) -> Result<&'a ReadyTemplate, Error> {
    let ready = scene.snapshot.template(app, name).ok_or(Error::NotFound)?;
    if ready.archived { Err(Error::NotApproved("the template is archived")) } else { Ok(ready) }
}

/// Everything that the rules of content say against text and subject; the code may stand in the text alone.
fn broken_rules(category: Category, draft: &Draft, params: &[String], link_domains: &[String]) -> Vec<Fault> {
    let mut faults = content::check("/text", category, &draft.text, params, link_domains);
    if let Some(subject) = &draft.subject {
        faults.extend(content::check("/subject", Category::Transactional, subject, params, link_domains));
    }
    faults
}

/// As whoever decides compares it: the subject, where there is one, is the first line.
fn as_lines(version: &TemplateVersion) -> String {
    match &version.subject {
        Some(subject) => format!("Subject: {subject}\n{}", version.text),
        None => version.text.clone(),
    }
}

fn read_draft(fields: &mut Fields<'_>) -> Draft {
    let locale = fields.text("locale").map(str::to_owned);
    if locale.as_deref().is_some_and(|locale| !Template::is_locale(locale)) {
        fields.fault("locale", "format", "must be a language tag such as de or zh-CN");
    }
    let text = fields.required("text", Fields::text).map(str::to_owned);
    let subject = fields.text("subject").map(str::to_owned);
    for (name, text) in [("text", &text), ("subject", &subject)] {
        if let Some(Err(error)) = text.as_deref().map(template::Template::parse) {
            fields.fault(name, "format", error.to_string());
        }
    }
    Draft { locale, text: text.unwrap_or_default(), subject }
}

fn version(scene: &Scene<'_>, actor: &Actor, number: u32, draft: Draft, params: Vec<String>) -> TemplateVersion {
    TemplateVersion {
        id: TemplateVersionId::new(scene.now, scene.clock.random()),
        version: number,
        locale: draft.locale,
        text: draft.text,
        subject: draft.subject,
        params,
        status: VersionStatus::Draft,
        reason: None,
        author: actor.id.clone(),
        created_at: scene.now,
    }
}
