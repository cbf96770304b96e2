//! Charts as plain SVG numbers: paths, bars, axis labels. Drawing is left to the stylesheet.
//!
//! Values are scaled to a round maximum so that the axis reads well; a gap in the data is a gap in the line. A chart's
//! words (title, last value) are beside it in the page, so nobody needs to see it to know what it says.

/// The drawing area in user units; SVG scales it to whatever room there is.
pub const WIDTH: f64 = 600.0;
pub const HEIGHT: f64 = 120.0;

#[derive(Clone, Debug, Default)]
pub struct Series {
    pub class: &'static str,
    /// Path of the line.
    pub line: String,
    /// Path of the area under it.
    pub area: String,
}

#[derive(Clone, Debug, Default)]
pub struct Chart {
    pub series: Vec<Series>,
    /// Label of the top line of the grid, and of the middle one.
    pub top: String,
    pub middle: String,
    pub left: String,
    pub right: String,
    pub empty: bool,
}

/// The least of 1, 2, 5 times a power of ten that is not below `value`.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|round| *round >= value * 0.999).unwrap_or(10.0 * power)
}

fn label(value: f64, unit: &str) -> String {
    let number = match value {
        value if value >= 10_000.0 => format!("{}k", value / 1_000.0),
        value if value >= 10.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value}"),
    };
    format!("{number}{unit}")
}

impl Chart {
    /// Draws series of equally spaced values, `None` where there is none; all share one scale.
    pub fn new(series: &[(&'static str, Vec<Option<f64>>)], unit: &str, left: String, right: String) -> Self {
        let values = || series.iter().flat_map(|(_, values)| values.iter().flatten());
        let top = round_up(values().copied().fold(0.0, f64::max));
        Self {
            series: series.iter().map(|(class, values)| draw(class, values, top)).collect(),
            top: label(top, unit),
            middle: label(top / 2.0, unit),
            left,
            right,
            empty: values().next().is_none(),
        }
    }
}

fn draw(class: &'static str, values: &[Option<f64>], top: f64) -> Series {
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let y = |value: f64| HEIGHT - value / top * HEIGHT;
    let (mut line, mut area, mut run): (String, String, Option<f64>) = (String::new(), String::new(), None);
    for (at, value) in values.iter().enumerate() {
        let x = at as f64 * step;
        match (value, run) {
            (Some(value), None) => {
                line += &format!("M{x:.1} {:.1}", y(*value));
                area += &format!("M{x:.1} {HEIGHT}V{:.1}", y(*value));
                run = Some(x);
            }
            (Some(value), Some(_)) => {
                line += &format!("L{x:.1} {:.1}", y(*value));
                area += &format!("L{x:.1} {:.1}", y(*value));
                run = Some(x);
            }
            (None, Some(last)) => {
                dot(&mut line);
                area += &format!("L{last:.1} {HEIGHT}Z");
                run = None;
            }
            (None, None) => {}
        }
    }
    if let Some(last) = run {
        dot(&mut line);
        area += &format!("L{last:.1} {HEIGHT}Z");
    }
    Series { class, line, area }
}

/// A single value has no line; drawn to itself, with round ends, it is a dot.
fn dot(line: &mut String) {
    if line.rfind('M') > line.rfind('L') {
        line.push_str("h0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_round() {
        assert_eq!([0.0, 0.7, 1.0, 3.0, 87.0, 101.0].map(round_up), [1.0, 1.0, 1.0, 5.0, 100.0, 200.0]);
        assert_eq!((label(0.5, " ms"), label(20_000.0, "")), ("0.5 ms".into(), "20k".into()));
    }

    #[test]
    fn a_gap_in_the_data_is_a_gap_in_the_line() {
        let chart = Chart::new(&[("p50", vec![Some(1.0), Some(0.5), None, Some(1.0)])], "", String::new(), String::new());
        assert_eq!(chart.series[0].line, "M0.0 0.0L200.0 60.0M600.0 0.0h0");
        assert_eq!(chart.series[0].area, "M0.0 120V0.0L200.0 60.0L200.0 120ZM600.0 120V0.0L600.0 120Z");
    }

    #[test]
    fn no_values_make_an_empty_chart() {
        assert!(Chart::new(&[("p50", vec![None, None])], "", String::new(), String::new()).empty);
    }
}
