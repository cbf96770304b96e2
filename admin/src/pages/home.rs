//! Are messages getting out? The answer in one sentence, then what it rests on.

use std::time::Duration;

use askama::Template;
use axum::{extract::State, response::Response};
use tidings_core::message::Lane;

use crate::{
    chart::Chart,
    page::{self, Layout},
    router::App,
    times::{self, Times},
    views::{Overview, ProviderState},
    visit::{Refusal, Visit},
    wording,
};

#[derive(Template)]
#[template(path = "pages/home.html")]
pub struct Page {
    pub layout: Layout,
    pub overview: Overview,
    pub verdict: Verdict,
    pub chart: Chart,
}

impl Page {
    pub fn new(layout: Layout, overview: Overview) -> Self {
        Self { verdict: Verdict::of(&overview), chart: chart(&overview, &layout.times), layout, overview }
    }

    fn waiting(&self) -> String {
        wording::count(&self.overview.lanes.iter().map(|lane| lane.waiting).sum())
    }

    fn failed_last_hour(&self) -> String {
        wording::count(&self.overview.minutes.iter().map(|minute| minute.failed).sum())
    }

    fn lane_tone(lane: &crate::views::LaneState) -> &'static str {
        lane_tone(lane.lane, lane.oldest)
    }
}

pub async fn get(State(app): State<App>, visit: Visit) -> Result<Response, Refusal> {
    let overview = app.backend.overview().await?;
    Ok(page::ok(&Page::new(visit.layout("", "Home"), overview)))
}

fn chart(overview: &Overview, times: &Times) -> Chart {
    let of = |read: fn(&crate::views::Minute) -> u64| overview.minutes.iter().map(|minute| Some(read(minute) as f64)).collect::<Vec<_>>();
    let label = |minute: Option<&crate::views::Minute>| minute.map_or_else(String::new, |minute| times.minute(&minute.at));
    Chart::new(
        &[("accepted", of(|minute| minute.accepted)), ("submitted", of(|minute| minute.submitted)), ("failed", of(|minute| minute.failed))],
        "",
        label(overview.minutes.first()),
        label(overview.minutes.last()),
    )
}

/// How old the oldest message of a lane may be before it is worth a look, and before it is bad.
const fn patience(lane: Lane) -> (Duration, Duration) {
    match lane {
        // Codes expire in five minutes by default, and nobody waits that long for one.
        Lane::Urgent => (Duration::from_secs(5), Duration::from_secs(30)),
        Lane::Normal => (Duration::from_secs(60), Duration::from_secs(600)),
        // Marketing waits behind everything else on purpose; an hour of ten is still fine.
        Lane::Bulk => (Duration::from_secs(3_600), Duration::from_secs(21_600)),
    }
}

fn lane_tone(lane: Lane, oldest: Duration) -> &'static str {
    match patience(lane) {
        (_, bad) if oldest >= bad => "bad",
        (warn, _) if oldest >= warn => "warn",
        _ => "good",
    }
}

/// The answer, with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub tone: &'static str,
    pub headline: &'static str,
    pub reasons: Vec<String>,
}

impl Verdict {
    pub fn of(overview: &Overview) -> Self {
        let (mut stuck, mut slow) = (Vec::new(), Vec::new());
        let usable = |state| !matches!(state, ProviderState::Ejected | ProviderState::Paused);
        if !overview.providers.is_empty() && !overview.providers.iter().any(|provider| usable(provider.state)) {
            stuck.push("No provider takes messages: all are ejected or paused.".to_owned());
        }
        for lane in &overview.lanes {
            let waits = || format!("The oldest message of the {} lane has waited {}.", lane.lane, times::length(&lane.oldest));
            match lane_tone(lane.lane, lane.oldest) {
                "bad" => stuck.push(waits()),
                "warn" => slow.push(waits()),
                _ => {}
            }
        }
        for dependency in overview.dependencies.iter().filter(|dependency| !dependency.up) {
            slow.push(format!("{} is away: {}", dependency.name, dependency.degrades));
        }
        for provider in overview.providers.iter().filter(|provider| provider.state != ProviderState::Healthy) {
            slow.push(format!("{} is {}: it {}.", provider.name, provider.state, wording::state_means(&provider.state)));
        }
        let (tone, headline) = match (stuck.is_empty(), slow.is_empty()) {
            (false, _) => ("bad", "Messages are stuck."),
            (true, false) => ("warn", "Messages are getting out; something is degraded."),
            (true, true) if overview.accepted_per_s <= 0.0 && overview.submitted_per_s <= 0.0 => {
                ("good", "All is well; nothing is being sent right now.")
            }
            (true, true) => ("good", "Messages are getting out."),
        };
        stuck.append(&mut slow);
        Self { tone, headline, reasons: stuck }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn an_ejected_provider_degrades_but_does_not_stop() {
        let verdict = Verdict::of(&samples::overview());
        assert_eq!(verdict.tone, "warn");
        assert!(verdict.reasons.iter().any(|reason| reason.contains("aliyun-main is ejected")), "{verdict:?}");
    }

    #[test]
    fn messages_are_stuck_when_nobody_takes_them_or_codes_wait() {
        let mut overview = samples::overview();
        for provider in &mut overview.providers {
            provider.state = ProviderState::Paused;
        }
        assert_eq!(Verdict::of(&overview).tone, "bad");
        let mut overview = samples::overview();
        overview.lanes[0].oldest = Duration::from_secs(31);
        assert_eq!(Verdict::of(&overview).headline, "Messages are stuck.");
    }

    #[test]
    fn all_is_well_without_traffic() {
        let mut overview = samples::overview();
        overview.providers.retain(|provider| provider.state == ProviderState::Healthy);
        overview.dependencies.iter_mut().for_each(|dependency| dependency.up = true);
        (overview.accepted_per_s, overview.submitted_per_s) = (0.0, 0.0);
        assert_eq!(Verdict::of(&overview).tone, "good");
    }
}
