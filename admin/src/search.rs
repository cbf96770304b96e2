//! What a person typed into the search field, read the way they meant it.
//!
//! A number comes as it stands on a letter, in a phone or in a spreadsheet: `+86 138 0013 8000`, `0086-138…`,
//! `(0138) 0013-8000`, `tel:+86…`, full-width digits. Numbers without a country are tried with the calling codes that the
//! installation sends to; all candidates are looked up, each an exact match.

use tidings_core::id::MessageId;

/// E.164: at most fifteen digits; shorter than seven is no subscriber's number.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    Nothing,
    Message(MessageId),
    /// Every recipient that it can mean, the likeliest first.
    Recipient(Vec<String>),
    Reference(String),
}

/// Reads `typed`; `calling_codes` are those of the countries that the installation sends to.
pub fn read(typed: &str, calling_codes: &[String]) -> Meaning {
    let typed = typed.trim();
    if typed.is_empty() {
        return Meaning::Nothing;
    }
    if let Ok(id) = typed.parse() {
        return Meaning::Message(id);
    }
    if typed.contains('@') {
        return Meaning::Recipient(vec![typed.to_owned()]);
    }
    match numbers(typed, calling_codes) {
        numbers if numbers.is_empty() => Meaning::Reference(typed.to_owned()),
        numbers => Meaning::Recipient(numbers),
    }
}

/// Every E.164 number that `typed` can mean; none if it is no telephone number.
pub fn numbers(typed: &str, calling_codes: &[String]) -> Vec<String> {
    let typed = typed.strip_prefix("tel:").unwrap_or(typed);
    let Some((international, digits)) = digits_of(typed) else { return Vec::new() };
    let fits = |digits: &str| DIGITS.contains(&digits.len()) && !digits.starts_with('0');
    let numbers = |digits: &str| if fits(digits) { vec![format!("+{digits}")] } else { Vec::new() };
    if international {
        return numbers(&digits);
    }
    if let Some(rest) = digits.strip_prefix("00") {
        return numbers(rest);
    }
    if !DIGITS.contains(&digits.len()) {
        return Vec::new();
    }
    // Without a country: as an international number whose plus got lost, and as a national one of each country.
    let national = digits.strip_prefix('0').unwrap_or(&digits);
    let known = |digits: &str| calling_codes.iter().any(|code| digits.starts_with(code.as_str()) && digits.len() >= 11);
    let mut found: Vec<String> = if known(&digits) { numbers(&digits) } else { Vec::new() };
    found.extend(calling_codes.iter().flat_map(|code| numbers(&format!("{code}{national}"))));
    found.extend(numbers(&digits));
    let mut seen = std::collections::HashSet::new();
    found.retain(|number| seen.insert(number.clone()));
    found
}

/// The digits of a number and whether it began with a plus; `None` if it holds what no number does.
fn digits_of(typed: &str) -> Option<(bool, String)> {
    let mut international = false;
    let mut digits = String::new();
    // "(0)" after a country's code is the trunk prefix that is not dialled from abroad.
    let written = if typed.trim_start().starts_with(['+', '＋']) { typed.replace("(0)", "") } else { typed.to_owned() };
    for character in written.chars() {
        match character {
            '+' | '＋' if digits.is_empty() && !international => international = true,
            '0'..='9' => digits.push(character),
            // Full-width digits, as an input method for Chinese or Japanese writes them.
            '０'..='９' => digits.push(char::from(b'0' + (character as u32 - '０' as u32) as u8)),
            ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\u{3000}' => {}
            '\u{2010}'..='\u{2015}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '（' | '）' | '－' => {}
            _ => return None,
        }
    }
    Some((international, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> Vec<String> {
        vec!["86".into(), "49".into()]
    }

    #[test]
    fn a_number_is_found_in_any_usual_notation() {
        for typed in [
            "+8613800138000",
            "+86 138 0013 8000",
            "0086 138-0013-8000",
            "tel:+86-138-0013-8000",
            " +86 (138) 0013.8000 ",
            "+86\u{a0}138\u{a0}0013\u{a0}8000",
            "＋８６１３８００１３８０００",
            "+86 (0)138 0013 8000",
            "\u{202a}+86 138 0013 8000\u{202c}",
            "138 0013 8000",
            "0138 0013 8000",
            "8613800138000",
        ] {
            let Meaning::Recipient(numbers) = read(typed, &codes()) else { panic!("{typed} is a number") };
            assert!(numbers.contains(&"+8613800138000".to_owned()), "{typed}: {numbers:?}");
        }
    }

    #[test]
    fn an_international_number_means_one_number_only() {
        assert_eq!(read("+49 151 12345678", &codes()), Meaning::Recipient(vec!["+4915112345678".into()]));
        assert_eq!(read("0049 151 12345678", &codes()), Meaning::Recipient(vec!["+4915112345678".into()]));
    }

    #[test]
    fn what_is_no_number_is_a_reference_or_an_id() {
        assert_eq!(read("order-8812", &codes()), Meaning::Reference("order-8812".into()));
        assert_eq!(read("8812", &codes()), Meaning::Reference("8812".into()));
        assert_eq!(read("ada@example.org", &codes()), Meaning::Recipient(vec!["ada@example.org".into()]));
        assert!(matches!(read("msg_01h455vb4pex5vsknk084sn02q", &codes()), Meaning::Message(_)));
        assert_eq!(read("   ", &codes()), Meaning::Nothing);
    }
}
