//! A small checker of our own pages: nesting, ids, labels, landmarks, headings. Not a parser of other people's HTML.

use std::collections::{HashMap, HashSet};

const VOID: [&str; 6] = ["meta", "link", "input", "br", "hr", "img"];
/// Inside an SVG, elements may close themselves.
const SHAPES: [&str; 3] = ["path", "rect", "circle"];

pub struct Tag {
    pub name: String,
    pub attributes: HashMap<String, String>,
    closing: bool,
    closes_itself: bool,
}

pub fn tags(html: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').expect("a tag that is not closed");
        let (inner, after) = rest.split_at(end);
        rest = after;
        if inner.starts_with('!') {
            continue;
        }
        let closing = inner.starts_with('/');
        let closes_itself = inner.ends_with('/');
        let inner = inner.trim_matches('/');
        let (name, attributes) = inner.split_once(|c: char| c.is_whitespace()).unwrap_or((inner, ""));
        found.push(Tag { name: name.to_owned(), attributes: read_attributes(attributes), closing, closes_itself });
    }
    found
}

fn read_attributes(text: &str) -> HashMap<String, String> {
    let mut all = HashMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let name_ends = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_ends);
        if let Some(value) = after.strip_prefix("=\"") {
            let (value, after) = value.split_once('"').expect("an attribute that is not closed");
            assert!(all.insert(name.to_owned(), value.to_owned()).is_none(), "{name} is there twice in {text}");
            rest = after.trim_start();
        } else {
            all.insert(name.to_owned(), String::new());
            rest = after.trim_start();
        }
    }
    all
}

/// What must hold for every page.
pub fn check(page: &str, html: &str) {
    let tags = tags(html);
    nesting(page, &tags);
    let ids: Vec<&String> = tags.iter().filter_map(|tag| tag.attributes.get("id")).collect();
    let distinct: HashSet<&&String> = ids.iter().collect();
    assert_eq!(ids.len(), distinct.len(), "{page}: ids are there twice: {ids:?}");
    labels(page, &tags);
    let count = |name: &str| tags.iter().filter(|tag| tag.name == name && !tag.closing).count();
    for landmark in ["main", "header", "footer", "title"] {
        assert!(count(landmark) >= 1, "{page}: no <{landmark}>");
    }
    assert_eq!(count("h1"), 1, "{page}: one heading says what the page is");
    assert_eq!(count("main"), 1, "{page}");
    assert!(html.contains("<html lang=\"en\">") && html.contains("href=\"#main\""), "{page}: language and a way past the navigation");
    headings(page, &tags);
}

fn nesting(page: &str, tags: &[Tag]) {
    let mut open: Vec<&str> = Vec::new();
    for tag in tags {
        if tag.closing {
            assert_eq!(open.pop(), Some(tag.name.as_str()), "{page}: </{}> closes something else; open: {open:?}", tag.name);
        } else if !(VOID.contains(&tag.name.as_str()) || tag.closes_itself && SHAPES.contains(&tag.name.as_str())) && tag.name != "option" {
            open.push(&tag.name);
        } else if tag.name == "option" {
            open.push("option");
        }
    }
    assert!(open.is_empty(), "{page}: never closed: {open:?}");
}

/// Everything that is filled in or pressed says what it is.
fn labels(page: &str, tags: &[Tag]) {
    let named: HashSet<&String> = tags.iter().filter(|tag| tag.name == "label").filter_map(|tag| tag.attributes.get("for")).collect();
    for tag in tags.iter().filter(|tag| matches!(tag.name.as_str(), "input" | "select" | "textarea") && !tag.closing) {
        if tag.attributes.get("type").is_some_and(|kind| kind == "hidden") {
            continue;
        }
        let id = tag.attributes.get("id").unwrap_or_else(|| panic!("{page}: a field without id: {:?}", tag.attributes));
        assert!(named.contains(id), "{page}: no label for {id}");
    }
    for tag in tags.iter().filter(|tag| tag.name == "svg" && !tag.closing) {
        let silent = tag.attributes.contains_key("aria-hidden");
        assert!(silent || tag.attributes.contains_key("aria-label"), "{page}: a picture that says nothing");
    }
    for tag in tags.iter().filter(|tag| tag.name == "th" && !tag.closing) {
        assert!(tag.attributes.contains_key("scope"), "{page}: a table heading without scope");
    }
}

/// Headings go down by one level at a time.
fn headings(page: &str, tags: &[Tag]) {
    let mut last = 0;
    for tag in tags.iter().filter(|tag| !tag.closing && tag.name.len() == 2 && tag.name.starts_with('h')) {
        let Some(level) = tag.name[1..].parse::<usize>().ok() else { continue };
        assert!(level <= last + 1 || last == 0, "{page}: <h{level}> after <h{last}>");
        last = level;
    }
}
