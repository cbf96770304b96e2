use proptest::prelude::*;
use serde_json::json;

use super::*;

fn render(text: &str, params: serde_json::Value) -> String {
    let params: BTreeMap<String, serde_json::Value> = serde_json::from_value(params).unwrap();
    let template = Template::parse(text).unwrap();
    assert_eq!(template.misfits(&params), []);
    template.render(&params).unwrap()
}

#[test]
fn parameters_are_filled_in_as_they_were_sent() {
    assert_eq!(render("Your code is {{ code }}.", json!({"code": "482913"})), "Your code is 482913.");
    assert_eq!(render("{{a}}{{ b }}, {{a}}", json!({"a": 1.50, "b": true})), "1.5true, 1.5");
    assert_eq!(render("{{ n }}", json!({"n": u64::MAX})), u64::MAX.to_string());
    assert_eq!(render("<b>{{ x }}</b>\n", json!({"x": "<&> {{ y }}"})), "<b><&> {{ y }}</b>\n", "a value is never a template");
}

#[test]
fn conditions_choose_and_whitespace_can_be_cut() {
    let text = "Hello{% if name %}, {{ name }}{% elif vip == true and n > 2.5 %} star{% else %} there{% endif %}!";
    assert_eq!(render(text, json!({"name": "Ada", "vip": false, "n": 1})), "Hello, Ada!");
    assert_eq!(render(text, json!({"name": "", "vip": true, "n": 3})), "Hello star!");
    assert_eq!(render(text, json!({"name": "", "vip": false, "n": 3})), "Hello there!");
    assert_eq!(render("a {{- x -}} b", json!({"x": 1})), "a1b");
}

#[test]
fn parameters_are_taken_from_the_text_in_order() {
    assert_eq!(Template::parse("{{ b }}{% if a == 'x' %}{{ b }}{% endif %}{{ _c1 }}").unwrap().params(), ["b", "a", "_c1"]);
    assert!(Template::parse("no parameters, { single } braces").unwrap().params().is_empty());
}

#[test]
fn parameters_must_match_exactly() {
    let template = Template::parse("{{ a }} {{ b }}").unwrap();
    let given = BTreeMap::from([("b".to_owned(), json!(1)), ("c".to_owned(), json!(2))]);
    assert_eq!(template.misfits(&given), [Unfit::Missing("a".into()), Unfit::Unknown("c".into())]);
}

#[test]
fn what_could_grow_is_refused_when_the_template_is_made() {
    for text in [
        "",
        "  ",
        "{{ }}",
        "{{ a",
        "{% if a %}",
        "{% endif %}",
        "{% for x in y %}{{ x }}{% endfor %}",
        "{% set a = a ~ a %}",
        "{{ a * 1000000 }}",
        "{{ a ~ a }}",
        "{{ a.b }}",
        "{{ a | upper }}",
        "{{ range(10) }}",
        "{{ 'x' }}",
        "{{ if }}",
        "{# comment #}",
        "{% if a.b %}x{% endif %}",
        "{% if a * 9 == 'x' %}x{% endif %}",
        "{% if range(999999) %}x{% endif %}",
        "{% raw %}{{ a }}{% endraw %}",
        &"x".repeat(MAX_TEXT_CHARS + 1),
    ] {
        assert!(Template::parse(text).is_err(), "{}", &text[..text.len().min(60)]);
    }
    let many: String = (0..=MAX_PARAMS).map(|n| format!("{{{{ p{n} }}}}")).collect();
    assert_eq!(Template::parse(&many).unwrap_err(), Unusable::TooManyParams);
    assert_eq!(Template::parse("a\nb {{ 1 }}").unwrap_err().to_string(), "line 2: write a parameter as {{ name }}");
}

#[test]
fn a_comparison_of_what_cannot_be_compared_is_an_error_or_false_but_no_panic() {
    let template = Template::parse("{% if a > 2 %}x{% else %}y{% endif %}").unwrap();
    for value in [json!("text"), json!(true), json!(1e308)] {
        let _ = template.render(&BTreeMap::from([("a".to_owned(), value)]));
    }
}

/// The most conditions that fit into a text, each with a comparison, and all of them false.
fn dearest() -> String {
    let one = "{% if a == 'x' and a != 'y' or a > 2 %}{% endif %}";
    one.repeat(MAX_TEXT_CHARS / one.chars().count())
}

#[test]
fn the_dearest_template_ends_by_its_fuel_whatever_it_is_given() {
    // Time is bounded by instructions, not by a clock: a text either ends within its fuel or is refused.
    let template = Template::parse(&dearest()).unwrap();
    for value in [json!("x"), json!("v".repeat(MAX_VALUE_CHARS)), json!(3), json!(true)] {
        let _ = template.render(&BTreeMap::from([("a".to_owned(), value)]));
    }
    let mut environment = environment(&dearest()).unwrap();
    environment.set_fuel(Some(50));
    let starved = Template { params: vec!["a".to_owned()], body: Body::Conditional(Box::new(environment)) };
    assert_eq!(starved.render(&BTreeMap::from([("a".to_owned(), json!(3))])), Err(NotRendered::Unfit), "without fuel it went on");
}

#[test]
fn a_rendered_text_is_as_long_as_its_literals_and_parameters() {
    let many: String = (0..MAX_PARAMS).map(|n| format!("{{{{ p{n} }}}}")).collect();
    let template = Template::parse(&many).unwrap();
    let longest = (0..MAX_PARAMS).map(|n| (format!("p{n}"), json!("v".repeat(MAX_VALUE_CHARS)))).collect();
    assert_eq!(template.render(&longest).unwrap().len(), MAX_PARAMS * MAX_VALUE_CHARS);
    // A parameter may be named as often as the text is long: that ends at the bound, whichever way it is rendered.
    let value = BTreeMap::from([("a".to_owned(), json!("v".repeat(MAX_VALUE_CHARS)))]);
    for text in ["{{a}}".repeat(MAX_TEXT_CHARS / 5), format!("{}{{% if a %}}x{{% endif %}}", "{{a}}".repeat(3_000))] {
        assert_eq!(Template::parse(&text).unwrap().render(&value), Err(NotRendered::TooLong));
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_and_what_parses_renders(text in "([{}% #a-c'\"=().\\-]|if|endif|else| |\\PC){0,40}") {
        if let Ok(template) = Template::parse(&text) {
            let params = template.params().iter().map(|name| (name.clone(), json!("v"))).collect();
            let _ = template.render(&params);
        }
    }

    #[test]
    fn both_ways_of_rendering_agree(value in prop_oneof![
        "\\PC{0,20}".prop_map(|s| json!(s)), any::<bool>().prop_map(|b| json!(b)), any::<i64>().prop_map(|n| json!(n)),
    ]) {
        let params = BTreeMap::from([("v".to_owned(), value)]);
        let plain = Template::parse("<{{ v }}>").unwrap().render(&params).unwrap();
        let conditional = Template::parse("<{{ v }}>{% if v == 'x' and v != 'x' %}{% endif %}").unwrap().render(&params).unwrap();
        prop_assert_eq!(plain, conditional);
    }
}
