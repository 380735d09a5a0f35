//! `posgate cards number`: the card numbers that a number may mean that is printed on a card or was
//! read by another reader.

use crate::engine::model::CardNo;
use crate::engine::model::forms::{self, wiegand};
use crate::files::sheet::value::plain;
use crate::lang::{Text, tr};

/// A number that a terminal may send for a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The number.
    pub card: CardNo,
    /// How the text was read, for people.
    pub how: String,
}

impl Candidate {
    /// The number's bytes, as hexadecimal digits.
    pub fn hexadecimal(&self) -> String {
        format!("{:08X}", self.card.value())
    }

    /// The number's last three bytes as printed on cards: `077,30211`.
    pub fn wiegand(&self) -> String {
        let (facility, number) = wiegand(self.card.value() as u32);
        format!("{facility:03},{number:05}")
    }
}

/// All card numbers that a text may mean, the most likely first; empty if the text is not a number.
pub fn candidates(text: &str) -> Vec<Candidate> {
    let mut found = Found::default();
    let text = plain(text);
    let text = text.trim().trim_start_matches('#');
    if let Some((facility, number)) = facility_and_number(text) {
        found.add(
            facility << 16 | number,
            tr(
                "as facility and number (Wiegand 26), of which a card may have more bytes",
                "当作区号和号码（Wiegand 26），卡本身可能还有更多字节",
            ),
        );
        return found.0;
    }
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal && let Some(card) = CardNo::parse(text.as_bytes()) {
        found.add(card.value(), tr("as a decimal number", "当作十进制数"));
        let (facility, number) = (card.value() / 100_000, card.value() % 100_000);
        if text.len() == 8 && facility <= 255 && number <= 65_535 {
            found.add(
                facility << 16 | number,
                tr("as facility and number (Wiegand 26) without the comma", "当作没写逗号的区号和号码（Wiegand 26）"),
            );
        }
    }
    for (value, how) in hexadecimal(text) {
        found.add(value, how);
    }
    found.0
}

/// The phrase of a card's other form in the language spoken; a later version's is shown as it is.
pub fn form_words(english: &str) -> &str {
    let known = FORMS.iter().find(|text| text.en == english);
    known.map_or(english, |text| text.words())
}

/// The phrases of [`forms`].
const FORMS: [Text; 7] = [
    Text::new("the bytes reversed", "字节倒序"),
    Text::new("the last three bytes, as by Wiegand 26", "后三个字节，如 Wiegand 26"),
    Text::new("the last three bytes, reversed", "后三个字节，倒序"),
    Text::new("the bytes reversed, and the last three of these", "字节倒序后的后三个字节"),
    Text::new(
        "the last three bytes as printed, 077,30211, without the comma",
        "后三个字节，照卡面 077,30211 那样写，不要逗号",
    ),
    Text::new(
        "the bytes reversed, and the last three of these as printed, 077,30211, without the comma",
        "字节倒序后的后三个字节，照卡面 077,30211 那样写，不要逗号",
    ),
    Text::new("the hexadecimal digits taken for decimal ones", "把十六进制数字当作十进制"),
];

#[derive(Default)]
struct Found(Vec<Candidate>);

impl Found {
    /// Adds a reading, and after it the other forms of the same card.
    fn add(&mut self, value: u64, how: &str) {
        if !(1..=9_999_999_999).contains(&value) {
            return;
        }
        let card = CardNo::from_value(value);
        self.push(card, how.to_owned());
        forms::first(card, forms::LIKELY, |form, words| {
            self.push(form, tr!("{how}; {}", "{how}；{}", form_words(words)));
        });
    }

    fn push(&mut self, card: CardNo, how: String) {
        if !self.0.iter().any(|known| known.card == card) {
            self.0.push(Candidate { card, how });
        }
    }
}

/// `077,30211`, with any separator.
fn facility_and_number(text: &str) -> Option<(u64, u64)> {
    let (facility, number) = text.split_once([',', '，', ':', '-', '/', ' '])?;
    let read = |text: &str, digits: usize, most: u64| {
        let text = text.trim();
        let is_digits = !text.is_empty() && text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|value: &u64| is_digits && *value <= most)
    };
    Some((read(facility, 3, 255)?, read(number, 5, 65_535)?))
}

/// Hexadecimal digits of three or more bytes, as readers and cards write them. More than four bytes
/// are a card's whole number, of which most terminals send four.
fn hexadecimal(text: &str) -> Vec<(u64, &'static str)> {
    let digits: String =
        text.chars().filter(|next| !matches!(next, ' ' | ':' | '-')).collect::<String>().to_lowercase();
    let digits = digits.strip_prefix("0x").unwrap_or(&digits);
    let digits = digits.strip_suffix('h').unwrap_or(digits);
    let value = |digits: &str| u64::from_str_radix(digits, 16).ok();
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) || digits.len() > 20 {
        return Vec::new();
    }
    let read = match digits.len() {
        // Ten digits alone are a decimal number.
        9..=10 if digits.bytes().all(|byte| byte.is_ascii_digit()) => Vec::new(),
        5..=8 => vec![(value(digits), tr("as a hexadecimal number", "当作十六进制数"))],
        9.. => vec![
            (
                value(&digits[digits.len() - 8..]),
                tr("as a hexadecimal number, its last four bytes", "当作十六进制数的最后四个字节"),
            ),
            (value(&digits[..8]), tr("as a hexadecimal number, its first four bytes", "当作十六进制数的前四个字节")),
        ],
        _ => Vec::new(),
    };
    read.into_iter().filter_map(|(value, how)| Some((value?, how))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<u64> {
        candidates(text).iter().map(|candidate| candidate.card.value()).collect()
    }

    #[test]
    fn every_form_has_its_phrase_in_chinese() {
        crate::lang::speak(crate::lang::Lang::Zh);
        let mut count = 0;
        forms::each(CardNo::from_value(0x1234_5678), |_, words| {
            count += 1;
            assert!(!form_words(words).is_ascii(), "{words}");
        });
        assert_eq!(count, FORMS.len());
        assert_eq!(form_words("of a later version"), "of a later version");
        crate::lang::speak(crate::lang::Lang::En);
        assert_eq!(form_words("the bytes reversed"), "the bytes reversed");
    }

    #[test]
    fn a_printed_number_leads_to_the_number_that_a_terminal_sends() {
        for text in [
            "077,30211",
            "77:30211",
            "０７７，３０２１１",
            "077 30211",
            "07730211",
            "4D7603",
            "0x4D7603",
            "004D7603h",
            "0005076483",
        ] {
            assert!(numbers(text).contains(&5_076_483), "{text}: {:?}", candidates(text));
        }
        for text in ["8A2F00D1", "8a:2f:00:d1", "8A 2F 00 D1", "0x8A2F00D1"] {
            assert_eq!(numbers(text)[..2], [0x8A2F_00D1, 0xD100_2F8A], "{text}");
        }
        assert_eq!(numbers("2318336209")[..2], [0x8A2F_00D1, 0xD100_2F8A]);
        assert_eq!(numbers("'2318336209")[0], 0x8A2F_00D1);
        assert_eq!(candidates("0005076483").len(), 3, "decimal, reversed, the last three bytes reversed");
        assert!(numbers("010031AB33").contains(&0x0031_AB33), "an EM card's five bytes: its last four");
        assert_eq!(numbers("8888888801")[0], 8_888_888_801, "beyond 32 bits");
        for text in ["", "card", "8.88889E+09", "12345678901234567890123"] {
            assert_eq!(candidates(text), [], "{text}");
        }
        let first = &candidates("077,30211")[0];
        assert_eq!((first.hexadecimal().as_str(), first.wiegand().as_str()), ("004D7603", "077,30211"));
    }
}
