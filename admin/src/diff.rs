//! What changed between two texts, line by line, as a person reviews it.
//!
//! The longest common subsequence by the plain table: documents here have hundreds of lines, and beyond [`MOST_LINES`] the
//! whole is shown as replaced rather than let a page cost seconds.

/// Lines on a side; the table has this squared.
const MOST_LINES: usize = 2_000;
/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Same,
    Added,
    Removed,
    /// Unchanged lines that are left out.
    Gap,
}

impl Mark {
    pub const fn class(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Gap => "gap",
        }
    }

    pub const fn sign(self) -> &'static str {
        match self {
            Self::Same | Self::Gap => " ",
            Self::Added => "+",
            Self::Removed => "\u{2212}",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub mark: Mark,
    pub text: String,
}

/// The lines of both texts in one reading order, far unchanged parts left out.
pub fn lines(before: &str, after: &str) -> Vec<Line> {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    fold(compare(&before, &after))
}

fn line(mark: Mark, text: &str) -> Line {
    Line { mark, text: text.to_owned() }
}

fn compare(before: &[&str], after: &[&str]) -> Vec<Line> {
    if before.len() > MOST_LINES || after.len() > MOST_LINES {
        let removed = before.iter().map(|text| line(Mark::Removed, text));
        return removed.chain(after.iter().map(|text| line(Mark::Added, text))).collect();
    }
    let width = after.len() + 1;
    let mut common = vec![0_u32; (before.len() + 1) * width];
    for (i, left) in before.iter().enumerate().rev() {
        for (j, right) in after.iter().enumerate().rev() {
            common[i * width + j] = if left == right {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            out.push(line(Mark::Same, before[i]));
            (i, j) = (i + 1, j + 1);
        } else if j >= after.len() || (i < before.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            out.push(line(Mark::Removed, before[i]));
            i += 1;
        } else {
            out.push(line(Mark::Added, after[j]));
            j += 1;
        }
    }
    out
}

fn fold(all: Vec<Line>) -> Vec<Line> {
    let changed: Vec<usize> = all.iter().enumerate().filter(|(_, line)| line.mark != Mark::Same).map(|(at, _)| at).collect();
    let near = |at: usize| {
        let next = changed.partition_point(|change| *change < at);
        let ahead = changed.get(next).is_some_and(|change| change - at <= CONTEXT);
        ahead || next.checked_sub(1).and_then(|last| changed.get(last)).is_some_and(|change| at - change <= CONTEXT)
    };
    let mut out: Vec<Line> = Vec::new();
    for (at, kept) in all.into_iter().enumerate() {
        if kept.mark != Mark::Same || near(at) {
            out.push(kept);
        } else if out.last().is_none_or(|last| last.mark != Mark::Gap) {
            out.push(line(Mark::Gap, "…"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_shows_as_removed_and_added() {
        let signs: String = lines("a\nb\nc", "a\nB\nc\nd").iter().map(|line| line.mark.sign()).collect();
        assert_eq!(signs, " \u{2212}+ +");
    }

    #[test]
    fn far_unchanged_lines_are_left_out() {
        let before: String = (0..50).map(|n| format!("{n}\n")).collect();
        let after = before.replace("25\n", "25 changed\n");
        let shown = lines(&before, &after);
        assert_eq!(shown.len(), 1 + CONTEXT + 2 + CONTEXT + 1);
        assert_eq!((shown[0].mark, shown.last().unwrap().mark), (Mark::Gap, Mark::Gap));
    }

    #[test]
    fn equal_texts_have_no_change() {
        assert!(lines("a\nb", "a\nb").iter().all(|line| line.mark == Mark::Gap));
    }
}
