//! Routing documents as they come from outside: read and validated as a whole, their secrets sealed, and compared.
//!
//! Everything wrong is told at once. Which settings a kind knows, and which of them are secrets, the registry of providers
//! says; nothing here knows a vendor.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use tidings_core::{health::Thresholds, message::Channel, money::Amount, time::Timestamp};
use tidings_providers::{Http, NotDurable, Receipt, ReceiptSink, Settings, VendorTemplate, registry};

use super::{
    fields::{Fault, Fields, with_nearest},
    model::{App, Match, Provider, Route, RoutingDocument, SettingValue},
    revisions,
};
use crate::seal::{self, Keyring};

const PURPOSE: &str = "provider credential";
const MAX_WEIGHT: u64 = 1_000_000;
const MAX_PER_S: u64 = 1_000_000;
const MAX_IN_FLIGHT: u64 = 1_000_000;
/// No vendor needs longer for an answer, and a worker's slot is held that long.
const MAX_TIMEOUT_MS: u64 = 120_000;
/// The ways to choose among a route's providers, as `core` knows them.
pub const SELECTIONS: &[&str] =
    &["weighted", "round_robin", "random", "consistent_hash", "least_in_flight", "fastest", "priority", "cheapest"];

/// Reads `{providers, routes}`. A provider's secret that is left out keeps the value that `earlier` has under its name.
pub fn read(pointer: &str, map: &Map<String, Value>, earlier: Option<&RoutingDocument>, faults: &mut Vec<Fault>) -> RoutingDocument {
    let mut fields = Fields::new(pointer, map, faults);
    let document = read_fields(&mut fields, earlier);
    fields.finish();
    document
}

/// The same out of a larger object, whose other fields somebody else reads.
pub fn read_fields(fields: &mut Fields<'_>, earlier: Option<&RoutingDocument>) -> RoutingDocument {
    let mut providers = Vec::new();
    let mut names = HashSet::new();
    for (at, map) in fields.objects("providers") {
        let Some(provider) = read_provider(fields, at.clone(), map, earlier) else { continue };
        if !names.insert(provider.name.clone()) {
            fields.add([Fault::new(format!("{at}/name"), "duplicate", "another provider has this name")]);
        }
        providers.push(provider);
    }
    let mut routes = Vec::new();
    for (at, map) in fields.objects("routes") {
        routes.extend(read_route(fields, at, map, &providers));
    }
    RoutingDocument { providers, routes }
}

fn read_provider(outer: &mut Fields<'_>, at: String, map: &Map<String, Value>, earlier: Option<&RoutingDocument>) -> Option<Provider> {
    let mut fields = outer.inner(at, map);
    let name = fields.name("name", is_provider_name, "1 to 64 letters, digits and -_.").map(str::to_owned);
    let kind = fields.required("kind", Fields::text).map(str::to_owned);
    let channel = fields.required("channel", Fields::word::<Channel>);
    let weight = fields.number("weight", 0..=MAX_WEIGHT).unwrap_or(100);
    let max_per_s = fields.number("max_per_s", 0..=MAX_PER_S).unwrap_or(0);
    let max_in_flight = fields.number("max_in_flight", 1..=MAX_IN_FLIGHT).unwrap_or(256);
    let timeout_ms = fields.number("timeout_ms", 1..=MAX_TIMEOUT_MS).unwrap_or(3_000);
    let price = fields.amount("price").unwrap_or(Amount::ZERO);
    let currency = fields.text("currency").unwrap_or("CNY").to_owned();
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        fields.fault("currency", "format", "must be a currency code of three capital letters");
    }
    let receipts = fields.flag("receipts").unwrap_or(true);
    let mut settings = fields.object("settings").cloned().unwrap_or_default();
    let templates = read_templates(&mut fields);
    let signatures = read_signatures(&mut fields);
    let thresholds = read_thresholds(&mut fields);
    let kept = match (&name, &kind) {
        (Some(name), Some(kind)) => keep_secrets(&mut settings, earlier.and_then(|earlier| earlier.provider(name)), kind),
        _ => BTreeMap::new(),
    };
    if let (Some(kind), Some(channel)) = (&kind, channel) {
        let at = fields.at("");
        let faults = check_settings(kind, channel, &settings, &kept);
        fields.add(faults.into_iter().map(|fault| Fault { pointer: format!("{}{}", at.trim_end_matches('/'), fault.pointer), ..fault }));
    }
    fields.finish();
    let settings = settings.into_iter().map(|(name, value)| (name, SettingValue::Plain(value))).chain(kept).collect();
    Some(Provider {
        name: name?,
        kind: kind?,
        channel: channel?,
        weight: weight as u32,
        max_per_s: max_per_s as u32,
        max_in_flight: max_in_flight as u32,
        timeout_ms,
        price,
        currency,
        receipts,
        settings,
        templates,
        signatures,
        thresholds,
    })
}

fn read_templates(fields: &mut Fields<'_>) -> BTreeMap<String, Value> {
    let at = fields.at("templates");
    let templates: BTreeMap<String, Value> = fields.object("templates").map(|map| map.clone().into_iter().collect()).unwrap_or_default();
    for (name, value) in &templates {
        if serde_json::from_value::<VendorTemplate>(value.clone()).is_err() {
            fields.add([Fault::new(format!("{at}/{name}"), "format", "must have a code and, where the vendor has them, params")]);
        }
    }
    templates
}

/// Those that are given; what is left out is as the configuration says.
fn read_thresholds(outer: &mut Fields<'_>) -> BTreeMap<String, Value> {
    let at = outer.at("thresholds");
    let Some(map) = outer.object("thresholds") else { return BTreeMap::new() };
    let mut fields = outer.inner(at, map);
    fields.number("consecutive_timeouts", u64::from(*Thresholds::TIMEOUTS.start())..=u64::from(*Thresholds::TIMEOUTS.end()));
    fields.decimal("mean_rise", Thresholds::RISES);
    for share in ["tail_share", "error_rate", "receipts_missing"] {
        fields.decimal(share, Thresholds::SHARES);
    }
    fields.finish();
    map.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn read_signatures(fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    let at = fields.at("signatures");
    let mut signatures = BTreeMap::new();
    for (name, value) in fields.object("signatures").into_iter().flatten() {
        match value.as_str() {
            Some(text) => drop(signatures.insert(name.clone(), text.to_owned())),
            None => fields.add([Fault::new(format!("{at}/{name}"), "type", "must be a text")]),
        }
    }
    signatures
}

/// Sealed secrets of the earlier document for those that were left out, or given as they are shown: a document may be taken as it
/// is, changed, and handed in again.
fn keep_secrets(settings: &mut Settings, earlier: Option<&Provider>, kind: &str) -> BTreeMap<String, SettingValue> {
    let secrets = registry::secret_settings(kind).iter().copied();
    for name in secrets.clone() {
        if settings.get(name).is_some_and(revisions::is_sealed) {
            settings.remove(name);
        }
    }
    let Some(earlier) = earlier.filter(|earlier| earlier.kind == kind) else { return BTreeMap::new() };
    let left_out = secrets.filter(|name| settings.get(*name).is_none_or(Value::is_null));
    let kept: BTreeMap<_, _> = left_out.filter_map(|name| Some((name.to_owned(), earlier.settings.get(name).cloned()?))).collect();
    for name in kept.keys() {
        settings.remove(name);
    }
    kept
}

fn read_route(outer: &mut Fields<'_>, at: String, map: &Map<String, Value>, providers: &[Provider]) -> Option<Route> {
    let mut fields = outer.inner(at, map);
    let matches = read_match(&mut fields);
    let select = fields.text("select").unwrap_or("weighted").to_owned();
    if !SELECTIONS.contains(&select.as_str()) {
        let detail = with_nearest(format!("must be one of {}", SELECTIONS.join(", ")), &select, SELECTIONS.iter().copied());
        fields.fault("select", "format", detail);
    }
    let names: Vec<String> = fields
        .required("providers", |fields, name| Some(fields.texts(name)))
        .unwrap_or_default()
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let at = fields.at("providers");
    if map.contains_key("providers") && names.is_empty() {
        fields.fault("providers", "required", "must name at least one provider");
    }
    for (index, name) in names.iter().enumerate() {
        let here = format!("{at}/{index}");
        match providers.iter().find(|provider| provider.name == *name) {
            None => {
                let known = providers.iter().map(|provider| provider.name.as_str());
                fields.add([Fault::new(here, "unknown", with_nearest("names no provider of this document".to_owned(), name, known))]);
            }
            Some(provider) if matches.channel.is_some_and(|channel| channel != provider.channel) => {
                fields.add([Fault::new(
                    here,
                    "conflict",
                    format!("this provider carries {}, the route is for another channel", provider.channel),
                )]);
            }
            Some(_) if names[..index].contains(name) => fields.add([Fault::new(here, "duplicate", "is named twice")]),
            Some(_) => {}
        }
    }
    fields.finish();
    Some(Route { matches, select, providers: names })
}

fn read_match(outer: &mut Fields<'_>) -> Match {
    let at = outer.at("match");
    let Some(map) = outer.object("match") else { return Match::default() };
    let mut fields = outer.inner(at, map);
    let (channel, category) = (fields.word("channel"), fields.word("category"));
    let prefix: Vec<String> = fields.texts("prefix").into_iter().map(str::to_owned).collect();
    let app: Vec<String> = fields.texts("app").into_iter().map(str::to_owned).collect();
    let at = fields.at("prefix");
    for (index, text) in prefix.iter().enumerate() {
        if !text.strip_prefix('+').is_some_and(|digits| (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())) {
            fields.add([Fault::new(format!("{at}/{index}"), "format", "must be a plus and 1 to 15 digits")]);
        }
    }
    let at = fields.at("app");
    for (index, name) in app.iter().enumerate() {
        if !App::is_name(name) {
            fields.add([Fault::new(format!("{at}/{index}"), "format", "must be an app's name")]);
        }
    }
    fields.finish();
    Match { channel, category, prefix, app }
}

/// A provider's name stands in receipt addresses, metrics and events.
fn is_provider_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

struct Nowhere;

#[async_trait]
impl ReceiptSink for Nowhere {
    async fn confirm(&self, _provider: &str, _receipts: Vec<Receipt>) -> Result<(), NotDurable> {
        Err(NotDurable)
    }
}

/// What the kind itself says of the settings: it is built once and thrown away. Kept secrets were checked when they came;
/// for them a placeholder stands in, and what the kind says of a placeholder is not passed on.
fn check_settings(kind: &str, channel: Channel, settings: &Settings, kept: &BTreeMap<String, SettingValue>) -> Vec<Fault> {
    static HTTP: LazyLock<Option<Http>> = LazyLock::new(|| Http::new().ok());
    let Some(http) = HTTP.clone() else { return vec![Fault::new("/kind", "unavailable", "no HTTP client can be built on this machine")] };
    let context = registry::Context { http, receipts: Arc::new(Nowhere), now: Timestamp::default, random: || 0 };
    let mut settings = settings.clone();
    settings.extend(kept.keys().map(|name| (name.clone(), Value::String("kept".to_owned()))));
    let pointer = |path: &str| format!("/{}", path.replace('.', "/"));
    match registry::build(kind, "check", channel, &settings, &context) {
        Ok(_) => Vec::new(),
        Err(errors) => errors
            .into_iter()
            .filter(|error| {
                !kept.keys().any(|name| error.path.strip_prefix("settings.").is_some_and(|rest| rest.split('.').next() == Some(name)))
            })
            .map(|error| Fault::new(pointer(&error.path), "format", error.problem))
            .collect(),
    }
}

/// Seals every secret setting that is still in the clear.
pub fn seal(document: &mut RoutingDocument, keyring: &Keyring) {
    for provider in &mut document.providers {
        for name in registry::secret_settings(&provider.kind) {
            if let Some(value @ SettingValue::Plain(_)) = provider.settings.get_mut(*name) {
                let SettingValue::Plain(plain) = &*value else { continue };
                *value = SettingValue::Sealed { sealed: STANDARD.encode(keyring.seal(PURPOSE, plain.to_string().as_bytes())) };
            }
        }
    }
}

/// A provider's settings with its secrets opened: for building the provider, never for showing.
///
/// # Errors
/// A secret was sealed with a key that this node does not have.
pub fn open_settings(provider: &Provider, keyring: &Keyring) -> Result<Settings, seal::Error> {
    provider.settings.iter().map(|(name, value)| Ok((name.clone(), open_value(value, keyring)?))).collect()
}

fn open_value(value: &SettingValue, keyring: &Keyring) -> Result<Value, seal::Error> {
    match value {
        SettingValue::Plain(value) => Ok(value.clone()),
        SettingValue::Sealed { sealed } => {
            let blob = STANDARD.decode(sealed).map_err(|_| seal::Error::Corrupt)?;
            serde_json::from_slice(&keyring.open(PURPOSE, &blob)?).map_err(|_| seal::Error::Corrupt)
        }
    }
}

/// Seals one value with the first key; says whether it was not already.
///
/// # Errors
/// It was sealed with a key that this node does not have.
pub fn seal_again(value: &mut SettingValue, keyring: &Keyring) -> Result<bool, seal::Error> {
    let SettingValue::Sealed { sealed } = value else { return Ok(false) };
    let blob = STANDARD.decode(&*sealed).map_err(|_| seal::Error::Corrupt)?;
    if keyring.is_current(&blob) {
        return Ok(false);
    }
    *sealed = STANDARD.encode(keyring.seal(PURPOSE, &keyring.open(PURPOSE, &blob)?));
    Ok(true)
}

#[cfg(test)]
mod tests;
