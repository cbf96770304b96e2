//! What is an address on each channel, by shape; and how an operator's spelling of one is read.
//!
//! Teams' addresses are refused, never guessed: `+49 151 12345678` with blanks is a typing error that would otherwise come
//! back as a different number one day. Operators search in any usual notation ([`from_any_notation`]).

use crate::message::Channel;

const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// RFC 5321, 4.5.3.1: local part, domain, whole path without brackets.
const MAX_LOCAL: usize = 64;
const MAX_EMAIL: usize = 254;
/// Tokens of the push services are below this with room to spare.
const MAX_TOKEN: usize = 4_096;
const MAX_LABEL: usize = 255;

/// Not an address of the channel. Does not hold what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    #[error("must be an E.164 number such as +8613800138000")]
    Phone,
    #[error("must be an email address such as ada@example.org")]
    Email,
    #[error("must be a device token: visible ASCII, 4096 characters at most")]
    Token,
    #[error("must be a label of 1 to 255 characters without control characters")]
    Label,
}

/// Whether `to` is an address of `channel` by its shape.
pub fn check(channel: Channel, to: &str) -> Result<(), NotAnAddress> {
    let (sound, otherwise) = match channel {
        Channel::Sms | Channel::Voice => (is_e164(to), NotAnAddress::Phone),
        Channel::Email => (is_email(to), NotAnAddress::Email),
        Channel::Push => ((1..=MAX_TOKEN).contains(&to.len()) && to.bytes().all(|b| b.is_ascii_graphic()), NotAnAddress::Token),
        Channel::Chat => {
            let length = to.chars().count();
            ((1..=MAX_LABEL).contains(&length) && !to.chars().any(char::is_control) && !to.trim().is_empty(), NotAnAddress::Label)
        }
    };
    if sound { Ok(()) } else { Err(otherwise) }
}

/// `^\+[1-9]\d{6,14}$`
fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    PHONE_DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |c: char| !c.is_control() && !c.is_whitespace() && !"()<>[]:;,\\\"@".contains(c);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    text.len() <= MAX_EMAIL
        && (1..=MAX_LOCAL).contains(&local.len())
        && local.chars().all(atom)
        && local.split('.').all(|part| !part.is_empty())
        && domain.split('.').all(label)
}

/// Whether a number lies in a country; `calling_code` with or without its plus.
pub fn is_in_country(number: &str, calling_code: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| digits.starts_with(calling_code.trim_start_matches('+')))
}

/// What an operator typed, as an address is kept: `0086 (138) 0013-8000` is `+8613800138000`.
///
/// A number without plus or international prefix is taken to begin with its calling code. What is no number stays as it is.
pub fn from_any_notation(typed: &str) -> String {
    let typed = typed.trim();
    let trunk_removed = if typed.starts_with('+') || typed.starts_with("00") { typed.replace("(0)", "") } else { typed.to_owned() };
    let separator = |c: char| c.is_whitespace() || "-–./()".contains(c);
    let digits: String = trunk_removed.trim_start_matches("tel:").chars().filter(|c| !separator(*c)).collect();
    let (plus, rest) = match digits.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => digits.strip_prefix("00").map_or((false, digits.as_str()), |rest| (true, rest)),
    };
    let number = format!("+{rest}");
    if (plus || rest.len() >= *PHONE_DIGITS.start()) && is_e164(&number) { number } else { typed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_e164_by_shape_and_nothing_else() {
        for number in ["+8613800138000", "+1234567", "+123456789012345", "+15005550001"] {
            assert_eq!(check(Channel::Sms, number), Ok(()), "{number}");
        }
        for number in [
            "",
            "+",
            "+123456",
            "+1234567890123456",
            "+0123456789",
            "8613800138000",
            "+86 138 0013",
            "+86138001380００",
            "+49151x",
            "0049151123",
        ] {
            assert_eq!(check(Channel::Voice, number), Err(NotAnAddress::Phone), "{number}");
        }
    }

    #[test]
    fn other_channels_have_addresses_of_their_own() {
        for email in ["ada@example.org", "a.b+c@localhost", "ü@bücher.example"] {
            assert_eq!(check(Channel::Email, email), Ok(()), "{email}");
        }
        for email in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "a..b@example.org",
            "ada@-x.org",
            "ada@ex ample.org",
            "a\r\nBcc: x@example.org",
        ] {
            assert_eq!(check(Channel::Email, email), Err(NotAnAddress::Email), "{email}");
        }
        assert_eq!(check(Channel::Push, "f00:APA91b-x_y"), Ok(()));
        assert_eq!(check(Channel::Push, "with blank"), Err(NotAnAddress::Token));
        assert_eq!(check(Channel::Chat, "运维 on call"), Ok(()));
        assert_eq!(check(Channel::Chat, "  "), Err(NotAnAddress::Label));
        assert_eq!(check(Channel::Chat, &"x".repeat(256)), Err(NotAnAddress::Label));
    }

    #[test]
    fn an_operator_may_type_a_number_in_any_usual_notation() {
        for typed in ["+8613800138000", " 0086 138-0013-8000 ", "+86 (138) 0013.8000", "8613800138000", "tel:+86-138-0013-8000"] {
            assert_eq!(from_any_notation(typed), "+8613800138000", "{typed}");
        }
        assert_eq!(from_any_notation("+49 (0)151 123456"), "+49151123456");
        assert_eq!(from_any_notation("ada@example.org"), "ada@example.org");
        assert_eq!(from_any_notation("12345"), "12345");
    }

    #[test]
    fn a_country_is_known_by_its_calling_code() {
        assert!(is_in_country("+8613800138000", "86") && is_in_country("+8613800138000", "+86"));
        assert!(!is_in_country("+8513800138000", "86") && !is_in_country("ada@example.org", "86"));
    }
}
