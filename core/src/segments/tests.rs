use proptest::prelude::*;

use super::*;

fn counted(text: &str) -> (Encoding, u32, u32) {
    let Counted { encoding, segments, units } = count(text, None);
    (encoding, segments, units)
}

#[test]
fn gsm_texts_fill_160_septets_and_then_153_a_part() {
    for (length, segments) in [(0, 1), (1, 1), (160, 1), (161, 2), (306, 2), (307, 3), (459, 3), (460, 4)] {
        assert_eq!(counted(&"a".repeat(length)), (Encoding::Gsm7, segments, length as u32), "{length} characters");
    }
}

#[test]
fn ucs2_texts_fill_70_units_and_then_67_a_part() {
    for (length, segments) in [(1, 1), (70, 1), (71, 2), (134, 2), (135, 3), (201, 3), (202, 4)] {
        assert_eq!(counted(&"码".repeat(length)), (Encoding::Ucs2, segments, length as u32), "{length} characters");
    }
}

#[test]
fn an_extended_character_takes_two_septets_and_is_never_cut() {
    assert_eq!(counted(&"€".repeat(80)), (Encoding::Gsm7, 1, 160));
    assert_eq!(counted(&"€".repeat(81)), (Encoding::Gsm7, 2, 162));
    // 152 septets and an escape sequence: the sequence does not fit into the first part.
    let text = format!("{}€{}", "a".repeat(152), "b".repeat(152));
    assert_eq!(counted(&text), (Encoding::Gsm7, 3, 306), "306 septets would fit two parts if the sequence could be cut");
    assert_eq!(split(&text, Encoding::Gsm7).iter().map(|part| part.chars().count()).collect::<Vec<_>>(), [152, 152, 1]);
}

#[test]
fn a_surrogate_pair_is_never_cut() {
    assert_eq!(counted(&"😀".repeat(35)), (Encoding::Ucs2, 1, 70));
    assert_eq!(counted(&"😀".repeat(36)), (Encoding::Ucs2, 2, 72));
    let text = format!("{}😀{}", "码".repeat(66), "码".repeat(66));
    assert_eq!(counted(&text), (Encoding::Ucs2, 3, 134), "134 units would fit two parts if the pair could be cut");
}

#[test]
fn one_character_outside_the_tables_makes_the_whole_text_ucs2() {
    assert_eq!(counted("ça va").0, Encoding::Ucs2, "only the capital cedilla is in the table");
    assert_eq!(counted("Ça va").0, Encoding::Gsm7);
    assert_eq!(counted("`").0, Encoding::Ucs2);
    assert_eq!(counted("\u{1b}").0, Encoding::Ucs2, "the escape itself is no character");
    assert_eq!(counted("tab\t").0, Encoding::Ucs2);
    assert_eq!(non_gsm("Grüße, ça va – ça va?"), ['ç', '–']);
}

#[test]
fn a_signature_in_the_text_is_counted_with_its_brackets() {
    assert_eq!(count(&"a".repeat(64), Some("Acme")), Counted { encoding: Encoding::Ucs2, segments: 1, units: 70 });
    assert_eq!(count(&"a".repeat(65), Some("Acme")).segments, 2);
    assert_eq!(count("hello", None).encoding, Encoding::Gsm7, "as sender id it is not part of the text");
}

#[test]
fn every_code_of_the_default_table_is_there_once() {
    let codes: Vec<u8> = (0..128).filter(|code| *code != alphabet::ESCAPE).collect();
    for code in codes {
        assert_eq!(alphabet::code(alphabet::default_char(code)), Some(alphabet::Code::Default(code)), "{code:#04x}");
    }
}

proptest! {
    #[test]
    fn septets_read_back_as_the_text(text in "[ -~£èΔΩß€\u{c}\n]{0,400}") {
        let text = text.replace('`', "");
        prop_assert_eq!(from_gsm7_septets(&gsm7_septets(&text).unwrap()), text);
    }

    #[test]
    fn parts_are_the_text_and_as_many_as_counted(text in "\\PC{0,500}") {
        let Counted { encoding, segments, .. } = count(&text, None);
        let parts = split(&text, encoding);
        prop_assert_eq!(&parts.concat(), &text);
        prop_assert_eq!(parts.len() as u32, segments);
    }

    #[test]
    fn no_part_holds_more_than_its_capacity(text in "[a€码😀]{0,500}") {
        let encoding = count(&text, None).encoding;
        let parts = split(&text, encoding);
        let most = if parts.len() == 1 { capacity(encoding).0 } else { capacity(encoding).1 };
        for part in parts {
            let units: u32 = match encoding {
                Encoding::Gsm7 => gsm7_septets(part).unwrap().len() as u32,
                Encoding::Ucs2 => part.encode_utf16().count() as u32,
            };
            prop_assert!(units <= most);
        }
    }
}
