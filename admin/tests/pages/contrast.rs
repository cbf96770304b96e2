//! Every pair of colours that the stylesheet puts together can be read, in light and in dark (WCAG 2.1 AA).

use std::collections::HashMap;

const STYLE: &str = include_str!("../../assets/admin.css");
/// Text of normal size.
const READABLE: f64 = 4.5;
/// Edges of fields, lines of charts, the focus ring.
const VISIBLE: f64 = 3.0;

fn colours(block: &str) -> HashMap<String, [f64; 3]> {
    let mut found = HashMap::new();
    for declaration in block.split([';', '{', '}']) {
        let Some((name, value)) = declaration.trim().split_once(':') else { continue };
        let Some(hex) = value.trim().strip_prefix('#').filter(|hex| hex.len() == 6) else { continue };
        let part = |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        found.insert(name.trim().trim_start_matches("--").to_owned(), [part(0), part(2), part(4)]);
    }
    found
}

fn luminance(colour: [f64; 3]) -> f64 {
    let linear = colour.map(|part| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn all_colours_that_meet_can_be_told_apart() {
    let (light, rest) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let dark = rest.split_once("*, ::before").unwrap().0;
    let mut checked = 0;
    for (theme, colours) in [("light", colours(light)), ("dark", colours(dark))] {
        let colour = |name: &str| *colours.get(name).unwrap_or_else(|| panic!("{theme} has no {name}"));
        let mut hold = |front: &str, back: &str, least: f64| {
            let reached = contrast(colour(front), colour(back));
            assert!(reached >= least, "{theme}: {front} on {back} is {reached:.2}, needs {least}");
            checked += 1;
        };
        for ground in ["ground", "card", "accent-soft", "idle-soft"] {
            hold("ink", ground, READABLE);
            hold("soft", ground, READABLE);
            hold("accent", ground, READABLE);
        }
        for tone in ["good", "warn", "bad", "busy", "idle"] {
            hold(tone, &format!("{tone}-soft"), READABLE);
            hold(tone, "card", READABLE);
            hold("ink", &format!("{tone}-soft"), READABLE);
        }
        hold("accent-ink", "accent", READABLE);
        for edge in ["edge-strong", "focus", "line-1", "line-2", "line-3"] {
            hold(edge, "card", VISIBLE);
            hold(edge, "ground", VISIBLE);
        }
    }
    assert_eq!(checked, 2 * (12 + 15 + 1 + 10));
}
