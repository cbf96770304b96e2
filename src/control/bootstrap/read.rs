//! Reads a bootstrap file.

use std::{collections::HashSet, path::Path};

use serde_json::{Map, Value};
use tidings_core::{id::AppId, message::Channel, redact::Secret, template, time::Timestamp};

use super::{Bootstrap, Faults, NewApp, NewKey, NewSignature, NewTemplate, NewUser};
use crate::control::{
    fields::{Fault, Fields},
    model::{ActorId, ApiKey, App, KeyHash, NotAKey, RecipientCap, Scopes, Signature, Template, User},
    password, routing,
};

/// More than this a second or a day is no limit.
const MAX_RATE: u64 = u32::MAX as u64;
const MAX_QUOTA: u64 = 1_000_000_000_000;

impl Bootstrap {
    /// Reads the file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, Faults> {
        match std::fs::read_to_string(file) {
            Ok(text) => Self::read(&text),
            Err(error) => Err(Faults(vec![Fault::new("", "unreadable", format!("{} cannot be read: {error}", file.display()))])),
        }
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(text: &str) -> Result<Self, Faults> {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            // The message names line and column; its excerpt of the file could hold a secret.
            Err(error) => return Err(Faults(vec![Fault::new("", "malformed", syntax(text, &error))])),
        };
        let map: Map<String, Value> = table.into_iter().map(|(name, value)| (name, json(value))).collect();
        let mut faults = Vec::new();
        let bootstrap = read(&map, &mut faults);
        if faults.is_empty() { Ok(bootstrap) } else { Err(Faults(faults)) }
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    format!("line {line}: {}", error.message())
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(list) => list.into_iter().map(json).collect(),
        toml::Value::Table(table) => Value::Object(table.into_iter().map(|(name, value)| (name, json(value))).collect()),
    }
}

fn read(map: &Map<String, Value>, faults: &mut Vec<Fault>) -> Bootstrap {
    let mut fields = Fields::new("", map, faults);
    let mut bootstrap = Bootstrap::default();
    let mut names = HashSet::new();
    for (at, map) in fields.objects("users") {
        let Some(user) = read_user(fields.inner(at.clone(), map)) else { continue };
        if !names.insert(user.name.clone()) {
            fields.add([Fault::new(format!("{at}/name"), "duplicate", "another user has this name")]);
        }
        bootstrap.users.push(user);
    }
    let mut seen = Seen::default();
    for (at, map) in fields.objects("apps") {
        let Some(app) = read_app(&mut fields, at.clone(), map, &mut seen) else { continue };
        if !seen.apps.insert(app.app.name.clone()) {
            fields.add([Fault::new(format!("{at}/name"), "duplicate", "another app has this name")]);
        }
        bootstrap.apps.push(app);
    }
    let document = routing::read_fields(&mut fields, None);
    bootstrap.routing = (fields.has("providers") || fields.has("routes")).then_some(document);
    fields.finish();
    bootstrap
}

/// What must be unique in the whole file.
#[derive(Default)]
struct Seen {
    apps: HashSet<String>,
    key_ids: HashSet<tidings_core::id::KeyId>,
    secrets: HashSet<KeyHash>,
}

fn read_user(mut fields: Fields<'_>) -> Option<NewUser> {
    let name = fields.name("name", User::is_name, "1 to 64 letters, digits and -_.@, and no word of the service's own").map(str::to_owned);
    let role = fields.required("role", Fields::word);
    // Whoever writes the file answers for the password; that it is short is said when it is used.
    let bounded = |text: &str| !text.is_empty() && text.len() <= password::MAX_PASSWORD_CHARS;
    let password = fields.name("password", bounded, "1 to 256 characters").map(|text| Secret::new(text.to_owned()));
    fields.finish();
    Some(NewUser { name: name?, role: role?, password: password? })
}

fn read_app(outer: &mut Fields<'_>, at: String, map: &Map<String, Value>, seen: &mut Seen) -> Option<NewApp> {
    let mut fields = outer.inner(at, map);
    let name = fields.name("name", App::is_name, "1 to 64 characters").map(str::to_owned);
    // Id, time and actor are given when the app is made.
    let mut app =
        App::new(AppId::from_uuid(uuid::Uuid::nil()), name.as_deref().unwrap_or_default(), Timestamp::default(), ActorId::bootstrap());
    read_settings(&mut fields, &mut app);
    let mut keys: Vec<NewKey> = Vec::new();
    for (at, map) in fields.objects("keys") {
        let Some(key) = read_key(fields.inner(at.clone(), map), seen) else { continue };
        if keys.iter().any(|other| other.name == key.name) {
            fields.add([Fault::new(format!("{at}/name"), "duplicate", "another key of the app has this name")]);
        }
        keys.push(key);
    }
    let mut templates: Vec<NewTemplate> = Vec::new();
    for (at, map) in fields.objects("templates") {
        let Some(new) = read_template(fields.inner(at.clone(), map)) else { continue };
        if templates.iter().any(|other| other.name == new.name && (other.channel, other.category) != (new.channel, new.category)) {
            let detail = "versions of one template have one channel and one category";
            fields.add([Fault::new(format!("{at}/name"), "duplicate", detail)]);
        }
        templates.push(new);
    }
    let mut signatures: Vec<NewSignature> = Vec::new();
    for (at, map) in fields.objects("signatures") {
        let mut inner = fields.inner(at.clone(), map);
        let name = inner.name("name", Signature::is_name, "1 to 32 characters without 【】").map(str::to_owned);
        let channel = inner.word("channel");
        inner.finish();
        let Some(name) = name else { continue };
        if signatures.iter().any(|other| other.name == name) {
            fields.add([Fault::new(format!("{at}/name"), "duplicate", "another signature of the app has this name")]);
        }
        signatures.push(NewSignature { name, channel });
    }
    fields.finish();
    name.map(|_| NewApp { app, keys, templates, signatures })
}

/// The settings that say what an app may do; the admin API reads them the same way.
pub(in crate::control) fn read_settings(fields: &mut Fields<'_>, app: &mut App) {
    if let Some(live) = fields.flag("live") {
        app.live = live;
    }
    if let Some(free_text) = fields.flag("free_text") {
        app.free_text = free_text;
    }
    if fields.has("channels") {
        app.channels = fields.words::<Channel>("channels");
    }
    fields.value("channels");
    if fields.has("countries") {
        let at = fields.at("countries");
        let codes = fields.texts("countries").into_iter().map(App::calling_code).collect::<Vec<_>>();
        for index in codes.iter().enumerate().filter(|(_, code)| code.is_none()).map(|(index, _)| index) {
            fields.add([Fault::new(format!("{at}/{index}"), "format", "must be a calling code such as 86")]);
        }
        app.countries = codes.into_iter().flatten().collect();
    }
    fields.value("countries");
    if let Some(rate) = fields.number("max_per_s", 0..=MAX_RATE) {
        app.max_per_s = rate as u32;
    }
    if let Some(quota) = fields.number("daily_quota", 0..=MAX_QUOTA) {
        app.daily_quota = quota;
    }
    if let Some(quota) = fields.number("monthly_quota", 0..=MAX_QUOTA) {
        app.monthly_quota = quota;
    }
    if fields.has("link_domains") {
        app.link_domains = fields.texts("link_domains").into_iter().map(str::to_lowercase).collect();
    }
    fields.value("link_domains");
    if fields.has("recipient_caps") {
        let mut caps = Vec::new();
        for (at, map) in fields.objects("recipient_caps") {
            let mut inner = fields.inner(at, map);
            let category = inner.required("category", Fields::word);
            let max = inner.required("max", |fields, name| fields.number(name, 1..=100_000));
            let window_s = inner.required("window_s", |fields, name| fields.number(name, 1..=2_678_400));
            inner.finish();
            if let (Some(category), Some(max), Some(window_s)) = (category, max, window_s) {
                caps.push(RecipientCap { category, max: max as u32, window_s: window_s as u32 });
            }
        }
        app.recipient_caps = caps;
    }
    fields.value("recipient_caps");
}

fn read_key(mut fields: Fields<'_>, seen: &mut Seen) -> Option<NewKey> {
    let name = fields.name("name", is_key_name, "1 to 64 characters").map(str::to_owned);
    let id = fields.text("id").and_then(|text| match text.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            let error: tidings_core::id::NotAnId = error;
            fields.fault("id", "format", error.to_string());
            None
        }
    });
    if id.is_some_and(|id| !seen.key_ids.insert(id)) {
        fields.fault("id", "duplicate", "another key has this id");
    }
    let secret = fields.required("secret", Fields::text);
    let read = secret.map(KeyHash::read);
    if let Some(Err(error)) = &read {
        let error: &NotAKey = error;
        fields.fault("secret", "format", error.to_string());
    }
    let read = read.and_then(Result::ok);
    if read.is_some_and(|(hash, _)| !seen.secrets.insert(hash)) {
        fields.fault("secret", "duplicate", "another key has this secret");
    }
    let scopes: Scopes = fields.required("scopes", |fields, name| Some(fields.words(name))).unwrap_or_default().into_iter().collect();
    let expires_at = fields.time("expires_at");
    fields.finish();
    let (hash, test) = read?;
    Some(NewKey { name: name?, id, hash, hint: ApiKey::hint_of(secret?), test, scopes, expires_at })
}

pub(in crate::control) fn is_key_name(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(char::is_control)
}

fn read_template(mut fields: Fields<'_>) -> Option<NewTemplate> {
    let name = fields.name("name", Template::is_name, "1 to 64 letters, digits and -_.").map(str::to_owned);
    let channel = fields.required("channel", Fields::word);
    let category = fields.required("category", Fields::word);
    let locale = fields.text("locale");
    if locale.is_some_and(|locale| !Template::is_locale(locale)) {
        fields.fault("locale", "format", "must be a language tag such as de or zh-CN");
    }
    let text = fields.required("text", Fields::text);
    let subject = fields.text("subject");
    for (name, text) in [("text", text), ("subject", subject)] {
        if let Some(Err(error)) = text.map(template::Template::parse) {
            fields.fault(name, "format", error.to_string());
        }
    }
    fields.finish();
    Some(NewTemplate {
        name: name?,
        channel: channel?,
        category: category?,
        locale: locale.map(str::to_owned),
        text: text?.to_owned(),
        subject: subject.map(str::to_owned),
    })
}
