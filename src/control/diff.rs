//! What changed, for human eyes: texts line by line, documents field by field.

use serde_json::Value;

/// Beyond this a comparison would cost more than reading both.
const MAX_LINES: usize = 400;

/// The lines of both texts: `-` gone, `+` new, a space for what stays.
pub fn lines(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().take(MAX_LINES).collect(), new.lines().take(MAX_LINES).collect());
    // longest[i][j]: the longest common subsequence of old[i..] and new[j..].
    let mut longest = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i][j] = if old[i] == new[j] { longest[i + 1][j + 1] + 1 } else { longest[i + 1][j].max(longest[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push(format!("  {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || longest[i + 1][j] >= longest[i][j + 1]) {
            out.push(format!("- {}", old[i]));
            i += 1;
        } else {
            out.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    out
}

/// One field that differs; absent on the side where it is not.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FieldChange {
    /// A JSON pointer in which lists of named things are addressed by name.
    pub path: String,
    pub from: Option<Value>,
    pub to: Option<Value>,
}

/// Every field in which two documents differ.
pub fn fields(old: &Value, new: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    walk("", Some(old), Some(new), &mut changes);
    changes
}

fn walk(path: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<FieldChange>) {
    match (old, new) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))).collect();
            names.sort();
            for name in names {
                walk(&format!("{path}/{name}"), a.get(name), b.get(name), changes);
            }
        }
        (Some(a), Some(b)) if a == b => {}
        (a, b) => changes.push(FieldChange { path: path.to_owned(), from: a.cloned(), to: b.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_stay_stay() {
        assert_eq!(lines("a\nb\nc", "a\nx\nc\nd"), ["  a", "- b", "+ x", "  c", "+ d"]);
        assert_eq!(lines("", "a"), ["+ a"]);
        assert_eq!(lines("a", "a"), ["  a"]);
    }

    #[test]
    fn fields_are_named_where_they_differ() {
        let changes = fields(&serde_json::json!({"a": {"w": 1, "x": 2}, "b": 1}), &serde_json::json!({"a": {"w": 3, "x": 2}, "c": 1}));
        let paths: Vec<_> = changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["/a/w", "/b", "/c"]);
    }
}
