//! How many billed parts an SMS has, and where one part ends.
//!
//! A text whose characters are all in the GSM 7-bit default alphabet or its extension table (3GPP TS 23.038) fits 160
//! septets into one part, else it goes as UCS-2 with 70 UTF-16 units. A longer text is concatenated: each part loses six
//! octets to a header, which leaves 153 septets or 67 units. An escape sequence and a surrogate pair are never cut, so
//! counting means filling part after part, not dividing.

mod alphabet;

use crate::message::Encoding;

const SINGLE_SEPTETS: u32 = 160;
const CONCATENATED_SEPTETS: u32 = 153;
const SINGLE_UNITS: u32 = 70;
const CONCATENATED_UNITS: u32 = 67;

/// What a text amounts to on the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub encoding: Encoding,
    /// Billed parts, at least one.
    pub segments: u32,
    /// Septets or UTF-16 units, without headers.
    pub units: u32,
}

/// A signature as it stands before a text: `【Acme】`.
pub fn signed(signature: &str, text: &str) -> String {
    format!("【{signature}】{text}")
}

/// Counts a text; `signature` where it is sent as part of the text, not as sender id.
pub fn count(text: &str, signature: Option<&str>) -> Counted {
    match signature {
        // The brackets are in no GSM alphabet.
        Some(signature) => count_units(signed(signature, text).chars().map(ucs2_units), Encoding::Ucs2),
        None if text.chars().all(|c| alphabet::septets(c).is_some()) => {
            count_units(text.chars().filter_map(alphabet::septets), Encoding::Gsm7)
        }
        None => count_units(text.chars().map(ucs2_units), Encoding::Ucs2),
    }
}

/// The characters of a text that force UCS-2, each once, in order of appearance.
pub fn non_gsm(text: &str) -> Vec<char> {
    let mut found = Vec::new();
    for c in text.chars() {
        if alphabet::septets(c).is_none() && !found.contains(&c) {
            found.push(c);
        }
    }
    found
}

/// The parts that a text is sent in, each with its header or alone.
pub fn split(text: &str, encoding: Encoding) -> Vec<&str> {
    let width = |c: char| match encoding {
        // What is not in the alphabet is replaced by one character.
        Encoding::Gsm7 => alphabet::septets(c).unwrap_or(1),
        Encoding::Ucs2 => ucs2_units(c),
    };
    let (single, concatenated) = capacity(encoding);
    if text.chars().map(width).sum::<u32>() <= single {
        return vec![text];
    }
    let (mut parts, mut start, mut filled) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        if filled + width(c) > concatenated {
            parts.push(&text[start..at]);
            (start, filled) = (at, 0);
        }
        filled += width(c);
    }
    parts.push(&text[start..]);
    parts
}

/// The septets of a text in the GSM 7-bit default alphabet, one a byte, escapes included; `None` if a character is in neither table.
pub fn gsm7_septets(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match alphabet::code(c)? {
            alphabet::Code::Default(code) => out.push(code),
            alphabet::Code::Extension(code) => out.extend([alphabet::ESCAPE, code]),
        }
    }
    Some(out)
}

/// The text of septets, one a byte. An unknown extension shows as its character of the default table, as TS 23.038 says.
pub fn from_gsm7_septets(septets: &[u8]) -> String {
    let mut out = String::with_capacity(septets.len());
    let mut bytes = septets.iter().copied();
    while let Some(code) = bytes.next() {
        if code != alphabet::ESCAPE {
            out.push(alphabet::default_char(code));
        } else if let Some(code) = bytes.next() {
            out.push(alphabet::extension_char(code).unwrap_or_else(|| alphabet::default_char(code)));
        }
    }
    out
}

const fn capacity(encoding: Encoding) -> (u32, u32) {
    match encoding {
        Encoding::Gsm7 => (SINGLE_SEPTETS, CONCATENATED_SEPTETS),
        Encoding::Ucs2 => (SINGLE_UNITS, CONCATENATED_UNITS),
    }
}

const fn ucs2_units(c: char) -> u32 {
    if (c as u32) < 0x1_0000 { 1 } else { 2 }
}

fn count_units(widths: impl Iterator<Item = u32>, encoding: Encoding) -> Counted {
    let (single, concatenated) = capacity(encoding);
    let (mut units, mut parts, mut filled) = (0, 1, 0);
    for width in widths {
        units += width;
        if filled + width > concatenated {
            parts += 1;
            filled = 0;
        }
        filled += width;
    }
    Counted { encoding, segments: if units <= single { 1 } else { parts }, units }
}

#[cfg(test)]
mod tests;
