//! The GSM 7-bit default alphabet and its extension table, from 3GPP TS 23.038, sections 6.2.1 and 6.2.1.1.

pub(super) const ESCAPE: u8 = 0x1b;

/// The default table in code order; the place of the escape is held by itself.
const DEFAULT: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', // 0x00
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{1b}', 'Æ', 'æ', 'ß', 'É', // 0x10
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', // 0x20
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?', // 0x30
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', // 0x40
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', // 0x50
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', // 0x60
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à', // 0x70
];

/// What may follow an escape.
const EXTENSION: [(char, u8); 10] =
    [('\u{c}', 0x0a), ('^', 0x14), ('{', 0x28), ('}', 0x29), ('\\', 0x2f), ('[', 0x3c), ('~', 0x3d), (']', 0x3e), ('|', 0x40), ('€', 0x65)];

/// Where a character stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Default(u8),
    /// After an escape.
    Extension(u8),
}

/// The code of each ASCII character, so that the common text needs one look-up a character.
const ASCII: [Option<Code>; 128] = {
    let mut table = [None; 128];
    let mut ascii = 0;
    while ascii < 128 {
        table[ascii] = search(ascii as u8 as char);
        ascii += 1;
    }
    table
};

const fn search(c: char) -> Option<Code> {
    let mut at = 0;
    while at < 128 {
        if DEFAULT[at] as u32 == c as u32 && at != ESCAPE as usize {
            return Some(Code::Default(at as u8));
        }
        at += 1;
    }
    let mut at = 0;
    while at < EXTENSION.len() {
        if EXTENSION[at].0 as u32 == c as u32 {
            return Some(Code::Extension(EXTENSION[at].1));
        }
        at += 1;
    }
    None
}

pub(super) fn code(c: char) -> Option<Code> {
    match ASCII.get(c as usize) {
        Some(code) => *code,
        // No character of the tables lies beyond the euro sign.
        None if c <= '€' => search(c),
        None => None,
    }
}

/// How many septets a character takes; `None` if it is in neither table.
pub(super) fn septets(c: char) -> Option<u32> {
    code(c).map(|code| if matches!(code, Code::Default(_)) { 1 } else { 2 })
}

pub(super) const fn default_char(code: u8) -> char {
    DEFAULT[(code & 0x7f) as usize]
}

pub(super) fn extension_char(code: u8) -> Option<char> {
    EXTENSION.iter().find(|(_, known)| *known == code).map(|(c, _)| *c)
}
