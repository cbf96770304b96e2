//! Finds the tags of a template, refuses what the small language does not have, and names the parameters.

use super::{Piece, Unusable};

/// What a text consists of.
pub(super) struct Parsed {
    pub(super) params: Vec<String>,
    /// `None` if conditions or whitespace control make it more than literals and parameters.
    pub(super) pieces: Option<Vec<Piece>>,
}

const OPERATORS: [&str; 5] = ["and", "or", "not", "in", "is"];
const CONSTANTS: [&str; 6] = ["true", "false", "none", "True", "False", "None"];
const TAGS: [&str; 4] = ["if", "elif", "else", "endif"];
const MAX_NAME: usize = 64;

pub(super) fn parse(text: &str) -> Result<Parsed, Unusable> {
    let (mut params, mut pieces, mut plain) = (Vec::new(), Vec::new(), true);
    let mut rest = text;
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        let refuse = |reason: &str| {
            let line = text[..text.len() - rest.len() + start].matches('\n').count() + 1;
            Unusable::Syntax { line, reason: reason.to_owned() }
        };
        let (open, closing) = match &rest[start..start + 2] {
            "{{" => (Tag::Param, "}}"),
            "{%" => (Tag::Condition, "%}"),
            _ => return Err(refuse("comments are not part of a text")),
        };
        let inside = &rest[start + 2..];
        let length = inside.find(closing).ok_or_else(|| refuse("a tag is not closed"))?;
        let raw = &inside[..length];
        let inner = raw.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']);
        plain &= open == Tag::Param && inner.len() == raw.len();
        match open {
            Tag::Param => declare(&mut params, name(inner.trim()).ok_or_else(|| refuse("write a parameter as {{ name }}"))?),
            Tag::Condition => condition(inner.trim(), &mut params).map_err(refuse)?,
        }
        if plain {
            pieces.extend((start > 0).then(|| Piece::Literal(rest[..start].to_owned())));
            pieces.push(Piece::Param(inner.trim().to_owned()));
        }
        rest = &inside[length + 2..];
    }
    pieces.extend((!rest.is_empty()).then(|| Piece::Literal(rest.to_owned())));
    Ok(Parsed { params, pieces: plain.then_some(pieces) })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Param,
    Condition,
}

fn declare(params: &mut Vec<String>, name: &str) {
    if !params.iter().any(|known| known == name) {
        params.push(name.to_owned());
    }
}

fn name(text: &str) -> Option<&str> {
    let sound = text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && ![&OPERATORS[..], &CONSTANTS, &TAGS].iter().any(|words| words.contains(&text));
    sound.then_some(text)
}

/// `if`, `elif`, `else` or `endif` over names, comparisons, `and`, `or`, `not`, quoted texts and numbers.
fn condition(inner: &str, params: &mut Vec<String>) -> Result<(), &'static str> {
    if matches!(inner, "else" | "endif") {
        return Ok(());
    }
    let (word, expression) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
    if !matches!(word, "if" | "elif") {
        return Err("only if, elif, else and endif are known");
    }
    let mut rest = expression.trim_start();
    let mut after_name = false;
    while let Some(first) = rest.chars().next() {
        if after_name && matches!(first, '(' | '.') {
            return Err("parameters have no attributes and cannot be called");
        }
        after_name = false;
        let length = match first {
            '"' | '\'' => rest[1..].find(first).map(|end| end + 2).ok_or("a quoted text is not closed")?,
            c if c.is_ascii_digit() => rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()),
            c if c.is_ascii_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let token = &rest[..end];
                after_name = !OPERATORS.contains(&token);
                if after_name && !CONSTANTS.contains(&token) {
                    declare(params, name(token).ok_or("a name is too long or a word of the language")?);
                }
                end
            }
            '=' | '!' | '<' | '>' | '(' | ')' => 1,
            _ => return Err("a condition has names, comparisons, and, or, not, quoted texts and numbers"),
        };
        rest = rest[length..].trim_start();
    }
    Ok(())
}
