//! Finding what a telephone shows as a link, and where it leads.
//!
//! The host is read as browsers read it: what stands before an `@` is a name and not the host, a port does not count, and a
//! backslash ends the host like a slash. A link whose host is made of a placeholder is [`Link::Composed`].

const SCHEMES: [&str; 2] = ["http://", "https://"];
const WWW: &str = "www.";
/// A bare `name.tld` is shown as a link under these; with a slash behind it, under any.
const COMMON: [&str; 40] = [
    "com", "net", "org", "info", "biz", "io", "co", "me", "app", "dev", "link", "click", "site", "online", "shop", "store", "club", "vip",
    "top", "xyz", "live", "mobi", "cn", "hk", "tw", "jp", "kr", "in", "uk", "de", "fr", "eu", "ru", "us", "ca", "br", "au", "cc", "tk",
    "ly",
];

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// In lower case, without port.
    Host(String),
    Composed,
}

/// Whether it is worth looking: nearly every text ends here.
pub fn may_have_links(text: &str) -> bool {
    let bytes = text.as_bytes();
    let between = |at: usize| at > 0 && bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic) && !bytes[at - 1].is_ascii_whitespace();
    text.contains("://") || bytes.iter().enumerate().any(|(at, byte)| *byte == b'.' && between(at))
}

/// Everything in a text, rendered or not, that is shown as a link.
pub fn links(text: &str) -> Vec<Link> {
    let lower = text.to_lowercase();
    let mut found = Vec::new();
    for scheme in SCHEMES {
        found.extend(lower.match_indices(scheme).map(|(at, _)| host(&lower[at + scheme.len()..])));
    }
    for word in words(&lower) {
        // With a scheme it was found above; before an `@` it is somebody's address.
        if word.contains("://") || word.contains('@') {
            continue;
        }
        let end = word.find(['/', '?', '#', '\\', ':']).unwrap_or(word.len());
        let name = word[..end].trim_end_matches(['.', '!', '?', ';']);
        if name.starts_with(WWW) || is_bare_domain(name, word[end..].starts_with('/')) {
            found.push(host(word));
        }
    }
    found
}

/// The words of a text, each without what encloses it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| {
        c.is_whitespace()
            || matches!(c, ',' | ';' | '(' | ')' | '[' | ']' | '"' | '\'' | '<' | '>' | '【' | '】' | '，' | '。' | '：' | '（' | '）')
    };
    text.split(ends).filter(|word| word.contains('.'))
}

/// `name.tld`: labels of letters, digits and hyphens, the last one a known top-level domain or a path behind it.
fn is_bare_domain(name: &str, has_path: bool) -> bool {
    let Some((front, last)) = name.rsplit_once('.') else { return false };
    let label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let top = last.len() >= 2 && last.chars().all(char::is_alphabetic);
    top && (has_path || COMMON.contains(&last)) && front.split('.').all(label)
}

/// The host of an address that begins after its scheme.
fn host(rest: &str) -> Link {
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '\\' | '"' | '<' | '>')).unwrap_or(rest.len());
    let authority = &rest[..end];
    if authority.contains("{{") || authority.contains("{%") {
        return Link::Composed;
    }
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => host,
        // No browser reads a sentence's marks into a host.
        None => authority.split([',', ')', ';', '\'', '，', '。', '）', '】']).next().unwrap_or_default(),
    };
    let host = host.split(':').next().unwrap_or_default().trim_end_matches(['.', '!']);
    if host.is_empty() { Link::Composed } else { Link::Host(host.to_owned()) }
}
