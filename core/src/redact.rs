//! Values that must never be read by accident: recipients, message texts, template parameters, secrets.
//!
//! `Debug` and `Display` print a placeholder, so that no log line, error text or panic message can carry the value;
//! reading it takes a call to [`Redacted::expose`] that a reviewer can search for. [`reveal_everything`] exists for the
//! one test that proves the redaction test can fail: with it on, every canary must be found.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use serde::{Deserialize, Serialize};

static REVEAL: AtomicBool = AtomicBool::new(false);

/// Turns redaction off for the whole process: the positive control of the redaction test, nothing else.
#[doc(hidden)]
pub fn reveal_everything(on: bool) {
    REVEAL.store(on, Ordering::Relaxed);
}

/// A value that shows as `[redacted]`. It serialises as itself, because it must reach the store and the provider.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Not for logs, metrics, errors or addresses.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if REVEAL.load(Ordering::Relaxed) {
            return self.0.fmt(f);
        }
        f.write_str("[redacted]")
    }
}

/// A message text, or a piece of one.
pub type Text = Redacted<String>;
/// A password, key or token.
pub type Secret = Redacted<String>;

/// `+86138****8000`: enough for an operator to recognise a number, not enough to call it.
///
/// Keeps the first six and the last four characters of a number, and of anything else the first two and what follows an `@`.
pub fn mask(recipient: &str) -> String {
    let chars: Vec<char> = recipient.chars().collect();
    if recipient.starts_with('+') && chars.len() >= 8 {
        let head = 6.min(chars.len() - 4);
        let hidden = chars.len() - 4 - head;
        let (head, tail): (String, String) = (chars[..head].iter().collect(), chars[chars.len() - 4..].iter().collect());
        return if hidden > 0 { format!("{head}{}{tail}", "*".repeat(hidden.max(4))) } else { format!("{}****{tail}", &head[..2]) };
    }
    let domain = recipient.rfind('@').map_or("", |at| &recipient[at..]);
    format!("{}****{domain}", chars.iter().take(2).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_redacted_shows_in_debug() {
        assert_eq!(format!("{:?}", Some(Text::new("482913".into()))), "Some([redacted])");
    }

    #[test]
    fn a_masked_recipient_is_recognised_but_not_called() {
        assert_eq!(mask("+8613800138000"), "+86138****8000");
        assert_eq!(mask("+4915112345"), "+49151****2345");
        assert_eq!(mask("+1234567"), "+1****4567");
        assert_eq!(mask("ada@example.org"), "ad****@example.org");
        assert_eq!(mask("oncall"), "on****");
    }
}
