//! From a file's text to a [`Scenario`], or to everything that is wrong with it.

use std::{str::FromStr, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    Fault, FaultKind, FaultWord, Load, LogNormal, Provider, Receipts, Scenario, Workers,
    reader::{Reader, ScenarioError},
};
use crate::{message::Category, money::Amount};

/// More is a slip of the pen, not a cluster.
const MOST_WORKERS: i64 = 1_000;
const MOST_PROVIDERS: usize = 64;
const MOST_RATE: f64 = 100_000.0;
const GOSSIP_DELAY: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(3);
const PROCESSED_SHARE: f64 = 0.5;

impl Scenario {
    /// Reads a scenario; `name` is what reports call it.
    pub fn read(name: &str, text: &str) -> Result<Self, Vec<ScenarioError>> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            vec![ScenarioError { path: String::new(), detail: error.to_string().trim_end().to_owned() }]
        })?;
        let mut reader = Reader::new(&table, String::new());
        let scenario = scenario(&mut reader, name);
        reader.refuse_unknown();
        match scenario {
            Some(scenario) if reader.errors.is_empty() => Ok(scenario),
            _ => Err(reader.errors),
        }
    }
}

fn scenario(reader: &mut Reader<'_>, name: &str) -> Option<Scenario> {
    let seed = reader.whole("seed", 0, i64::MAX).unwrap_or(0).unsigned_abs();
    let duration = required(reader, "duration_s", Reader::seconds);
    let warmup = reader.seconds("warmup_s").unwrap_or_default();
    if duration.is_some_and(|duration| warmup >= duration) {
        reader.wrong("warmup_s", "must be shorter than duration_s");
    }
    if duration == Some(Duration::ZERO) {
        reader.wrong("duration_s", "must be above 0");
    }
    let load = required(reader, "load", |reader, key| reader.table(key, load));
    let workers = reader.table("workers", workers).unwrap_or(Workers { count: 1, gossip_delay: GOSSIP_DELAY });
    let providers: Option<Vec<Provider>> = reader.tables("providers", provider).into_iter().collect();
    let providers = providers?;
    if providers.is_empty() || providers.len() > MOST_PROVIDERS {
        reader.wrong("providers", format!("must be 1 to {MOST_PROVIDERS}"));
    }
    for (index, provider) in providers.iter().enumerate() {
        if providers[..index].iter().any(|earlier| earlier.name == provider.name) {
            reader.wrong(&format!("providers[{index}].name"), format!("`{}` is taken", provider.name));
        }
    }
    if !providers.is_empty() && providers.iter().all(|provider| provider.weight == 0) {
        reader.wrong("providers", "need at least one weight above 0");
    }
    Some(Scenario { name: name.to_owned(), seed, duration: duration?, warmup, load: load?, workers, providers })
}

/// A value that must be there: absent and wrong are told apart.
fn required<'a, T>(reader: &mut Reader<'a>, key: &'static str, read: impl FnOnce(&mut Reader<'a>, &'static str) -> Option<T>) -> Option<T> {
    let (errors, value) = (reader.errors.len(), read(reader, key));
    if value.is_none() && reader.errors.len() == errors {
        reader.missing(key);
    }
    value
}

fn word<T: FromStr<Err: std::fmt::Display>>(reader: &mut Reader<'_>, key: &'static str) -> Option<T> {
    match reader.text(key)?.parse() {
        Ok(word) => Some(word),
        Err(error) => {
            reader.wrong(key, error.to_string());
            None
        }
    }
}

fn rate(reader: &mut Reader<'_>, key: &'static str) -> Option<f64> {
    reader.number(key, "a rate from 0 to 100000", |it| (0.0..=MOST_RATE).contains(&it))
}

fn load(reader: &mut Reader<'_>) -> Option<Load> {
    let category = word(reader, "category").unwrap_or(Category::Transactional);
    let rate_per_s = required(reader, "rate_per_s", rate);
    let expires_in = match reader.seconds("expires_in_s") {
        Some(Duration::ZERO) => {
            reader.wrong("expires_in_s", "must be above 0");
            None
        }
        Some(given) => Some(given),
        None => Some(Duration::from_secs(u64::from(category.default_expiry_s()))),
    };
    let steps: Option<Vec<_>> = reader
        .tables("steps", |reader| Some((required(reader, "at_s", Reader::seconds)?, required(reader, "rate_per_s", rate)?)))
        .into_iter()
        .collect();
    let steps = steps?;
    if !steps.is_sorted_by(|a, b| a.0 < b.0) {
        reader.wrong("steps", "must be in the order of at_s");
    }
    Some(Load { category, rate_per_s: rate_per_s?, expires_in: expires_in?, steps })
}

fn workers(reader: &mut Reader<'_>) -> Option<Workers> {
    let count = reader.whole("count", 1, MOST_WORKERS).unwrap_or(1);
    let delay = reader.number("gossip_delay_ms", "a time in milliseconds from 0 to a minute", |it| (0.0..=60_000.0).contains(&it));
    let gossip_delay = delay.map_or(GOSSIP_DELAY, |millis| Duration::from_secs_f64(millis / 1_000.0));
    Some(Workers { count: usize::try_from(count).unwrap_or(1), gossip_delay })
}

fn provider(reader: &mut Reader<'_>) -> Option<Provider> {
    let name = required(reader, "name", Reader::text);
    if name.is_some_and(|name| name.is_empty() || name == "t_s") {
        reader.wrong("name", "must not be empty or `t_s`");
    }
    let weight = reader.whole_u32("weight", 0).unwrap_or(100);
    let max_per_s = reader.whole_u32("max_per_s", 0).unwrap_or(0);
    let max_in_flight = reader.whole_u32("max_in_flight", 0).unwrap_or(0);
    let timeout = reader.millis("timeout_ms").unwrap_or(TIMEOUT);
    let price = price(reader);
    let latency = required(reader, "latency", |reader, key| reader.table(key, log_normal));
    let error_share = reader.share("error_share").unwrap_or(0.0);
    let receipts = reader.table("receipts", |reader| {
        let delivered_share = reader.share("delivered_share").unwrap_or(1.0);
        Some(Receipts { delay: log_normal(reader)?, delivered_share })
    });
    let faults: Option<Vec<Fault>> = reader.tables("faults", fault).into_iter().collect();
    let name: Arc<str> = name?.into();
    Some(Provider { name, weight, max_per_s, max_in_flight, timeout, price, latency: latency?, error_share, receipts, faults: faults? })
}

fn price(reader: &mut Reader<'_>) -> Amount {
    let Some(value) = reader.value("price") else { return Amount::ZERO };
    match Amount::deserialize(value.clone()) {
        Ok(price) => price,
        Err(_) => {
            reader.wrong("price", "must be a price: a decimal from 0 to 1000000 with at most six decimals");
            Amount::ZERO
        }
    }
}

fn log_normal(reader: &mut Reader<'_>) -> Option<LogNormal> {
    let p50 = required(reader, "p50_ms", Reader::millis);
    let p99 = required(reader, "p99_ms", Reader::millis);
    let (p50, p99) = (p50?, p99?);
    if p99 < p50 {
        reader.wrong("p99_ms", "must be at least p50_ms");
    }
    Some(LogNormal { p50, p99 })
}

fn fault(reader: &mut Reader<'_>) -> Option<Fault> {
    let from = required(reader, "from_s", Reader::seconds);
    let until = required(reader, "until_s", Reader::seconds);
    if from >= until && from.is_some() && until.is_some() {
        reader.wrong("until_s", "must be after from_s");
    }
    let word = required(reader, "kind", word::<FaultWord>)?;
    let (kind, period) = if word == FaultWord::Flap {
        let inner = required(reader, "kind_inner", self::word::<FaultWord>)?;
        if inner == FaultWord::Flap {
            reader.wrong("kind_inner", "must not be flap again");
            return None;
        }
        let period = required(reader, "period_s", Reader::seconds);
        if period == Some(Duration::ZERO) {
            reader.wrong("period_s", "must be above 0");
        }
        (kind(reader, inner), Some(period?))
    } else {
        (kind(reader, word), None)
    };
    Some(Fault { from: from?, until: until?, word, kind: kind?, period })
}

fn kind(reader: &mut Reader<'_>, word: FaultWord) -> Option<FaultKind> {
    Some(match word {
        FaultWord::Hang => FaultKind::Hang { processed_share: reader.share("processed_share").unwrap_or(PROCESSED_SHARE) },
        FaultWord::Refuse => FaultKind::Refuse,
        FaultWord::Errors => FaultKind::Errors { share: required(reader, "share", Reader::share)? },
        FaultWord::Drop => FaultKind::Drop { share: required(reader, "share", Reader::share)? },
        FaultWord::BadRecipients => FaultKind::BadRecipients { share: required(reader, "share", Reader::share)? },
        FaultWord::Throttle => FaultKind::Throttle { max_per_s: required(reader, "max_per_s", |reader, key| reader.whole_u32(key, 0))? },
        FaultWord::Slow => {
            let factor = required(reader, "factor", |reader, key| reader.number(key, "a factor above 0", |it| it > 0.0 && it <= 1e6))?;
            FaultKind::Slow { factor }
        }
        FaultWord::Tail => {
            let (share, takes) = (required(reader, "share", Reader::share), required(reader, "ms", Reader::millis));
            FaultKind::Tail { share: share?, takes: takes? }
        }
        FaultWord::Flap => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        seed = 7
        duration_s = 600
        warmup_s = 60
        [load]
        category = "otp"
        rate_per_s = 50
        steps = [{ at_s = 300, rate_per_s = 200 }]
        [workers]
        count = 3
        [[providers]]
        name = "a"
        price = 0.010
        latency = { p50_ms = 120, p99_ms = 400 }
        [[providers.faults]]
        from_s = 120
        until_s = 240
        kind = "flap"
        kind_inner = "errors"
        share = 0.3
        period_s = 20
    "#;

    fn errors(text: &str) -> Vec<String> {
        Scenario::read("x", text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_scenario_is_read_with_its_defaults() {
        let scenario = Scenario::read("x", GOOD).unwrap();
        assert_eq!(scenario.load.expires_in, Duration::from_secs(300));
        assert_eq!(scenario.load.rate(Duration::from_secs(299)), (50.0, Some(Duration::from_secs(300))));
        assert_eq!(scenario.load.rate(Duration::from_secs(300)), (200.0, None));
        let fault = &scenario.providers[0].faults[0];
        assert_eq!((fault.word, fault.kind), (FaultWord::Flap, FaultKind::Errors { share: 0.3 }));
        let acts = |second| fault.acts(crate::time::Moment::from_start(Duration::from_secs(second)));
        assert_eq!([119, 120, 129, 130, 139, 140, 240].map(acts), [false, true, true, false, false, true, false]);
    }

    #[test]
    fn every_error_is_named_with_its_path() {
        let text = GOOD.replace("share = 0.3", "share = 3").replace("p99_ms = 400", "p99_ms = 40").replace("count = 3", "cuont = 3");
        assert_eq!(
            errors(&text),
            [
                "workers.cuont: unknown key; did you mean `count`?",
                "providers[0].latency.p99_ms: must be at least p50_ms",
                "providers[0].faults[0].share: must be a share from 0 to 1, not 3",
            ]
        );
    }

    #[test]
    fn keys_of_another_kind_of_fault_are_refused() {
        let text = GOOD.replace("kind_inner = \"errors\"", "kind_inner = \"refuse\"");
        assert_eq!(errors(&text), ["providers[0].faults[0].share: unknown key; known are from_s, until_s, kind, kind_inner, period_s"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(errors(""), ["duration_s: is required", "load: is required", "providers: must be 1 to 64"]);
        assert!(errors("duration_s = ")[0].contains("line 1"));
    }
}
