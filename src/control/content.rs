//! What a template's text must and must not have, by its category. Checked when a version is made, so that nobody waits
//! for an approver to say it.
//!
//! An otp template has a code in it. Links lead only to domains that the app has listed, and their host stands in the text
//! itself: a host that came in as a parameter would be approved unseen.

use tidings_core::message::Category;

use super::fields::Fault;

/// A parameter that carries a code has one of these in its name.
const CODE_NAMES: [&str; 6] = ["code", "otp", "pin", "pass", "token", "verif"];

/// Everything that the rules say against a text.
pub fn check(pointer: &str, category: Category, text: &str, params: &[String], link_domains: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let has_code = params.iter().any(|name| CODE_NAMES.iter().any(|word| name.to_lowercase().contains(word)));
    if category == Category::Otp && !has_code {
        faults.push(Fault::new(pointer, "content", "an otp template needs a parameter for the code, such as {{ code }}"));
    }
    for host in link_hosts(text) {
        if host.contains("{{") || host.is_empty() {
            faults.push(Fault::new(pointer, "content", "the host of a link must stand in the text itself"));
        } else if !is_listed(host, link_domains) {
            faults.push(Fault::new(
                pointer,
                "content",
                format!("links to {host} are not allowed: list the domain in the app's link_domains"),
            ));
        }
    }
    faults
}

fn is_listed(host: &str, domains: &[String]) -> bool {
    let host = host.to_lowercase();
    domains.iter().any(|domain| host == *domain || host.strip_suffix(domain.as_str()).is_some_and(|front| front.ends_with('.')))
}

/// The hosts of everything in a text that a telephone would show as a link.
fn link_hosts(text: &str) -> Vec<&str> {
    let lower = text.to_ascii_lowercase();
    let mut hosts = Vec::new();
    for prefix in ["http://", "https://", "www."] {
        for (at, _) in lower.match_indices(prefix) {
            // `https://www.a.example` is found once, by its scheme.
            if prefix == "www." && lower[..at].ends_with("://") {
                continue;
            }
            let start = if prefix == "www." { at } else { at + prefix.len() };
            let rest = &text[start..];
            let end =
                rest.find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | ':' | ',' | ')' | '"' | '<')).unwrap_or(rest.len());
            // A placeholder may hold spaces: it belongs to the host up to its closing braces.
            let end = match rest[..end].find("{{") {
                Some(open) => rest[open..].find("}}").map_or(rest.len(), |close| open + close + 2),
                None => end,
            };
            hosts.push(rest[..end].trim_end_matches(['.', '!']));
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(category: Category, text: &str, domains: &[&str]) -> usize {
        let params: Vec<String> =
            tidings_core::template::Template::parse(text).map(|template| template.params().to_vec()).unwrap_or_default();
        let domains: Vec<String> = domains.iter().map(|domain| (*domain).to_owned()).collect();
        check("/text", category, text, &params, &domains).len()
    }

    #[test]
    fn an_otp_text_has_a_code() {
        assert_eq!(faults(Category::Otp, "Your code is {{ code }}.", &[]), 0);
        assert_eq!(faults(Category::Otp, "Hello {{ name }}", &[]), 1);
        assert_eq!(faults(Category::Marketing, "Hello {{ name }}", &[]), 0);
    }

    #[test]
    fn links_lead_to_listed_domains_only() {
        let listed = ["acme.example"];
        for (text, wrong) in [
            ("see https://acme.example/a", 0),
            ("see https://shop.acme.example/{{ path }}", 0),
            ("see https://acme.example.evil.example/", 1),
            ("see https://evilacme.example", 1),
            ("see HTTP://ACME.example.", 0),
            ("see www.acme.example, or http://evil.example", 1),
            ("see https://{{ host }}/x", 1),
            ("see https://{{ sub }}.acme.example/x", 1),
            ("https://", 1),
        ] {
            assert_eq!(faults(Category::Transactional, text, &listed), wrong, "{text}");
        }
        assert_eq!(faults(Category::Transactional, "see https://acme.example", &[]), 1);
    }
}
