//! What was measured, as a table for people and JSON for machines.

use std::borrow::Cow;

use serde::Serialize;

/// One row: what was aimed at, what came out.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub name: Cow<'static, str>,
    pub unit: &'static str,
    /// One figure a round.
    pub tidings: Vec<f64>,
    /// The same of the bare relay, where it does such a thing.
    pub relay: Vec<f64>,
    pub median: f64,
    pub relay_median: Option<f64>,
    /// Tidings to relay, or to whatever the row compares with.
    pub ratio: Option<f64>,
    pub aim: &'static str,
    pub met: bool,
    /// Receipts and whatever else one must know to read the figure.
    pub notes: String,
}

/// What a row is judged by.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
    RatioAtLeast(f64),
    RatioAtMost(f64),
    /// Stated, not judged.
    None,
}

impl Row {
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        unit: &'static str,
        tidings: Vec<f64>,
        relay: Vec<f64>,
        (aim, words): (Aim, &'static str),
    ) -> Self {
        let relay_median = (!relay.is_empty()).then(|| median(&relay));
        let median = median(&tidings);
        let ratio = relay_median.filter(|relay| *relay > 0.0).map(|relay| median / relay);
        let met = match aim {
            Aim::AtLeast(least) => median >= least,
            Aim::AtMost(most) => median <= most,
            Aim::RatioAtLeast(least) => ratio.is_some_and(|ratio| ratio >= least),
            Aim::RatioAtMost(most) => ratio.is_some_and(|ratio| ratio <= most),
            Aim::None => true,
        };
        Self { name: name.into(), unit, tidings, relay, median, relay_median, ratio, aim: words, met, notes: String::new() }
    }

    pub fn noting(mut self, notes: impl Into<String>) -> Self {
        self.notes = notes.into();
        self
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub version: &'static str,
    pub at: String,
    pub cores: usize,
    pub rounds: usize,
    pub rows: Vec<Row>,
}

impl Report {
    pub fn table(&self) -> String {
        let mut lines = vec![["what", "Tidings", "bare relay", "ratio", "aim", "met", "notes"].map(str::to_owned)];
        for row in &self.rows {
            lines.push([
                format!("{} ({})", row.name, row.unit),
                number(row.median),
                row.relay_median.map_or_else(|| "–".to_owned(), number),
                row.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
                row.aim.to_owned(),
                if row.met { "yes" } else { "NO" }.to_owned(),
                row.notes.clone(),
            ]);
        }
        let widths: Vec<usize> = (0..7).map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)).collect();
        let rule = format!("|{}|", widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|"));
        let mut table = String::new();
        for (index, line) in lines.iter().enumerate() {
            let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} ")).collect();
            table.push_str(&format!("|{}|\n", cells.join("|")));
            if index == 0 {
                table.push_str(&rule);
                table.push('\n');
            }
        }
        table
    }
}

pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

fn number(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_judged_by_its_medians() {
        let row = Row::new("delivered", "1/s", vec![10.0, 30.0, 20.0], vec![35.0, 40.0, 50.0], (Aim::RatioAtLeast(0.5), "≥ ½"));
        assert_eq!((row.median, row.relay_median, row.ratio, row.met), (20.0, Some(40.0), Some(0.5), true));
        assert!(!Row::new("p99", "ms", vec![3.0], vec![2.0], (Aim::RatioAtMost(1.2), "≤ 1.2")).met);
        assert_eq!(median(&[4.0, 2.0]), 3.0);
    }
}
