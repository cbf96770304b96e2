//! What a template's text must and must not have, by its category. Checked when a version is made, so that nobody waits
//! for an approver to say it, and once more when a message is rendered, so that no parameter brings in what nobody approved.
//!
//! An otp text has a code in it. Links lead only to domains that the app has listed, and their host stands in the text
//! itself: a host that came in as a parameter would be approved unseen. A link is whatever a telephone shows as one: an
//! address with a scheme, `www.`, or a bare domain under a common top-level domain.

mod links;

use std::collections::BTreeMap;

use serde_json::Value;
use tidings_core::message::Category;

use self::links::Link;
use super::fields::Fault;

/// A parameter that carries a code has one of these in its name.
const CODE_NAMES: [&str; 6] = ["code", "otp", "pin", "pass", "token", "verif"];

/// Everything that the rules say against a text.
pub fn check(pointer: &str, category: Category, text: &str, params: &[String], link_domains: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    if category == Category::Otp && !params.iter().any(|name| is_code(name)) {
        faults.push(Fault::new(pointer, "content", "an otp template needs a parameter for the code, such as {{ code }}"));
    }
    for link in links::links(text) {
        match link {
            Link::Composed => faults.push(Fault::new(pointer, "content", "the host of a link must stand in the text itself")),
            Link::Host(host) if is_listed(&host, link_domains) => {}
            Link::Host(host) => {
                let detail = format!("links to {host} are not allowed: list the domain in the app's link_domains");
                faults.push(Fault::new(pointer, "content", detail));
            }
        }
    }
    faults
}

/// What the rules say against a rendered text: links that neither the approved text has nor the app has listed, and an otp
/// without its code.
pub fn check_rendered(
    category: Category,
    approved: &str,
    rendered: &str,
    params: &BTreeMap<String, Value>,
    link_domains: &[String],
) -> Vec<Fault> {
    let mut faults = Vec::new();
    if category == Category::Otp {
        let shown = |value: &Value| match value {
            Value::String(code) => !code.trim().is_empty() && rendered.contains(code.as_str()),
            number => rendered.contains(&number.to_string()),
        };
        let mut codes = params.iter().filter(|(name, _)| is_code(name)).peekable();
        // Templates of the installation's own file may call their code anything.
        if codes.peek().is_some() && !codes.any(|(_, code)| shown(code)) {
            faults.push(Fault::new("/params", "content", "the text would have no code in it"));
        }
    }
    if links::may_have_links(rendered) {
        let own = links::links(approved);
        let brought = |link: &Link| match link {
            Link::Composed => true,
            Link::Host(host) => !is_listed(host, link_domains) && !own.contains(link),
        };
        if links::links(rendered).iter().any(brought) {
            faults.push(Fault::new("/params", "content", "a parameter brings a link into the text that the app has not listed"));
        }
    }
    faults
}

fn is_code(name: &str) -> bool {
    let name = name.to_lowercase();
    CODE_NAMES.iter().any(|word| name.contains(word))
}

fn is_listed(host: &str, domains: &[String]) -> bool {
    domains.iter().any(|domain| host == *domain || host.strip_suffix(domain.as_str()).is_some_and(|front| front.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidings_core::template::Template;

    use super::*;

    fn faults(category: Category, text: &str, domains: &[&str]) -> usize {
        let params: Vec<String> = Template::parse(text).map(|template| template.params().to_vec()).unwrap_or_default();
        let domains: Vec<String> = domains.iter().map(|domain| (*domain).to_owned()).collect();
        check("/text", category, text, &params, &domains).len()
    }

    fn rendered_faults(category: Category, text: &str, params: Value, domains: &[&str]) -> usize {
        let params: BTreeMap<String, Value> = serde_json::from_value(params).unwrap();
        let rendered = Template::parse(text).unwrap().render(&params).unwrap();
        let domains: Vec<String> = domains.iter().map(|domain| (*domain).to_owned()).collect();
        check_rendered(category, text, &rendered, &params, &domains).len()
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
            ("see https://acme.example:443/x", 0),
            ("see https://acme.example:pw@evil.example/x", 1),
            ("see https://acme.example,@evil.example", 1),
            ("see https://acme.example\\@evil.example", 0),
            ("see evil.com/x", 1),
            ("see {{ sub }}.com", 0),
            ("https://", 1),
        ] {
            assert_eq!(faults(Category::Transactional, text, &listed), wrong, "{text}");
        }
        assert_eq!(faults(Category::Transactional, "see https://acme.example", &[]), 1);
    }

    #[test]
    fn no_parameter_brings_in_a_domain_that_is_not_listed() {
        for (text, params, wrong) in [
            ("Hello {{ a }}", json!({"a": "Ada"}), 0),
            ("Hello {{ a }}", json!({"a": "see https://evil.example"}), 1),
            ("Hello {{ a }}", json!({"a": "see https://shop.acme.example/x"}), 0),
            ("Hello {{ a }}{{ b }}", json!({"a": "see http", "b": "s://evil.example/"}), 1),
            ("see ht{{ a }}", json!({"a": "tps://evil.example"}), 1),
            ("see https://acme.example/{{ a }}", json!({"a": "orders/1?x=2"}), 0),
            ("see https://acme.example/{{ a }}", json!({"a": "x https://evil.example"}), 1),
            ("see ww{{ a }}", json!({"a": "W.evil.example"}), 1),
            ("see {{ a }}", json!({"a": "evil.com"}), 1),
            ("see {{ a }}.com", json!({"a": "evil"}), 1),
            ("see evil{{ a }}com/login", json!({"a": "."}), 1),
            ("paid {{ a }}", json!({"a": "12.50"}), 0),
            ("write to {{ a }}", json!({"a": "ada@mail.com"}), 0),
            ("hi {{ a }}", json!({"a": "Dr.Lin, e.g. at 9.30"}), 0),
            // What stands in the approved text was approved by a person.
            ("see https://partner.example/{{ a }}", json!({"a": "1"}), 0),
            ("see https://partner.example/{{ a }}", json!({"a": "1 www.other.example"}), 1),
        ] {
            assert_eq!(rendered_faults(Category::Transactional, text, params.clone(), &["acme.example"]), wrong, "{text} {params}");
        }
    }

    #[test]
    fn an_otp_that_shows_no_code_is_not_sent() {
        let sometimes = "{% if long %}Your code is {{ code }}{% else %}Hello{% endif %}";
        for (text, params, wrong) in [
            ("Your code is {{ code }}", json!({"code": "482913"}), 0),
            ("Your code is {{ code }}", json!({"code": 482_913}), 0),
            ("Your code is {{ code }}", json!({"code": ""}), 1),
            (sometimes, json!({"code": "482913", "long": true}), 0),
            (sometimes, json!({"code": "482913", "long": false}), 1),
        ] {
            assert_eq!(rendered_faults(Category::Otp, text, params.clone(), &[]), wrong, "{text} {params}");
        }
    }
}
