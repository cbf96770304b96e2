//! A run as a picture: share of traffic, latency, score and events over time, faults shaded.

use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
};

use super::{
    engine::Record,
    figures::{Figures, bin_s},
    policy::TurnKind,
    scenario::Scenario,
};

const SIZE: (u32, u32) = (1_200, 900);
const COLORS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
];
/// How strongly a fault is shaded.
const SHADE: f64 = 0.15;
/// Latency bins of the plot.
const LATENCY_BIN_S: f64 = 2.0;

/// The drawing library could not draw.
#[derive(Debug, thiserror::Error)]
#[error("the plot cannot be drawn")]
pub struct PlotError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl<E: std::error::Error + Send + Sync + 'static> From<DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(Box::new(error))
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws a run.
pub fn draw(scenario: &Scenario, figures: &Figures, record: &Record) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let title = format!("{} · {} · seed {}", figures.scenario, figures.policy, figures.seed);
        let root = root.titled(&title, ("sans-serif", 22))?;
        let areas = root.split_evenly((3, 1));
        shares(&areas[0], scenario, figures)?;
        latencies(&areas[1], scenario, record)?;
        scores(&areas[2], scenario, record)?;
        root.present()?;
    }
    Ok(svg)
}

fn color(provider: usize) -> RGBColor {
    COLORS[provider % COLORS.len()]
}

/// A chart with axes and shaded faults.
fn chart<'a, 'b>(area: &'a Area<'b>, scenario: &Scenario, what: &str, top: f64) -> Result<Chart<'a, 'b>, PlotError> {
    let ends = scenario.duration.as_secs_f64();
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(38)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..ends, 0.0..top)?;
    chart.configure_mesh().disable_mesh().y_desc(what).x_desc("s").draw()?;
    for (provider, it) in scenario.providers.iter().enumerate() {
        for fault in &it.faults {
            let corners = [(fault.from.as_secs_f64(), 0.0), (fault.until.as_secs_f64().min(ends), top)];
            chart.draw_series(std::iter::once(Rectangle::new(corners, color(provider).mix(SHADE).filled())))?;
        }
    }
    Ok(chart)
}

fn shares(area: &Area<'_>, scenario: &Scenario, figures: &Figures) -> Result<(), PlotError> {
    let mut chart = chart(area, scenario, "share of traffic", 1.0)?;
    let half = bin_s(scenario) / 2.0;
    for (provider, it) in scenario.providers.iter().enumerate() {
        let points =
            figures.share.iter().filter(|share| share.submissions > 0).map(|share| (share.t_s + half, share.by_provider[provider].1));
        let color = color(provider);
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(it.name.to_string())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    // Nothing is counted before the end of warm-up: there is room.
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    Ok(())
}

/// The slowest of a hundred calls in every two seconds.
fn latencies(area: &Area<'_>, scenario: &Scenario, record: &Record) -> Result<(), PlotError> {
    let slowest = scenario.providers.iter().map(|it| it.timeout.as_secs_f64()).fold(0.0, f64::max);
    let mut chart = chart(area, scenario, "latency p99, s", slowest * 1.05)?;
    for provider in 0..scenario.providers.len() {
        let mut points: Vec<(f64, f64)> = Vec::new();
        let mut bin: Vec<f64> = Vec::new();
        let mut begins = 0.0;
        for call in record.submissions.iter().filter(|call| call.provider == provider) {
            if call.at.as_secs_f64() >= begins + LATENCY_BIN_S {
                points.extend(p99(&mut bin).map(|latency| (begins + LATENCY_BIN_S / 2.0, latency)));
                bin.clear();
                begins = (call.at.as_secs_f64() / LATENCY_BIN_S).floor() * LATENCY_BIN_S;
            }
            bin.push(call.latency.as_secs_f64());
        }
        points.extend(p99(&mut bin).map(|latency| (begins + LATENCY_BIN_S / 2.0, latency)));
        chart.draw_series(LineSeries::new(points, color(provider).stroke_width(1)))?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a rank within the list")]
fn p99(latencies: &mut [f64]) -> Option<f64> {
    latencies.sort_unstable_by(f64::total_cmp);
    latencies.get(((latencies.len() as f64 * 0.99).ceil() as usize).max(1) - 1).copied()
}

/// Scores as lines; ejections as filled and other events as open marks at the top.
fn scores(area: &Area<'_>, scenario: &Scenario, record: &Record) -> Result<(), PlotError> {
    let mut chart = chart(area, scenario, "score and events", 110.0)?;
    for provider in 0..scenario.providers.len() {
        let points = record.scores.iter().map(|(at, scores)| (at.as_secs_f64(), scores[provider]));
        chart.draw_series(LineSeries::new(points, color(provider).stroke_width(2)))?;
        let marks = record.turns.iter().filter(|turn| turn.provider == provider);
        chart.draw_series(marks.map(|turn| {
            let style = if turn.kind == TurnKind::Ejected { color(provider).filled() } else { color(provider).stroke_width(1) };
            TriangleMarker::new((turn.at.as_secs_f64(), 105.0), 5, style)
        }))?;
    }
    Ok(())
}
