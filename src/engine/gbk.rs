//! Text for the displays: GBK, cleaned and cut on a character boundary (protocol.md, *Server →
//! device*); and decoding of what devices send.
//!
//! 0x5C `\`, 0x7B `{`, 0x7D `}` and 0x7C occur as second bytes of GBK characters, so text is
//! cleaned by characters, before encoding. Encoded text is never changed byte by byte.

use encoding_rs::{CoderResult, EncoderResult, GBK};

/// Encodes text for a display; a character outside GBK becomes `?`. May allocate: names and
/// templates are encoded once, at load.
pub fn encode(text: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len() + 16);
    let mut utf8 = [0; 4];
    for character in text.chars() {
        let mut one = [0; 16];
        // The encoder makes a lone 0x80 of the euro sign, which devices do not know.
        let mut encoder = GBK.new_encoder();
        let source = character.encode_utf8(&mut utf8);
        let (result, _, written) = encoder.encode_from_utf8_without_replacement(source, &mut one, true);
        match result {
            // GBK has one byte or two; GB18030's four-byte forms are not GBK.
            EncoderResult::InputEmpty if character != '€' && written <= 2 => {
                encoded.extend_from_slice(&one[..written]);
            }
            _ => encoded.push(b'?'),
        }
    }
    encoded
}

/// Encodes data such as a name: without braces, backslashes, commas and control characters, which
/// have a meaning in a reply; cut to `len_max` bytes.
pub fn encode_data(text: &str, len_max: usize) -> Vec<u8> {
    let clean: String = text
        .chars()
        .filter(|character| !matches!(character, '{' | '}' | '\\' | ',') && !character.is_control())
        .collect();
    let mut encoded = encode(clean.trim());
    encoded.truncate(cut(&encoded, len_max));
    encoded
}

/// The greatest length up to `len_max` that does not split a GBK character.
pub fn cut(encoded: &[u8], len_max: usize) -> usize {
    if encoded.len() <= len_max {
        return encoded.len();
    }
    let mut len = 0;
    while len < encoded.len() {
        let next = len + if encoded[len] >= 0x81 { 2 } else { 1 };
        if next > len_max {
            break;
        }
        len = next;
    }
    len
}

/// As [`cut`], for a display's text: also does not split a number (a part of `12.50` would be
/// another amount) or a `\n`, the line break.
pub(crate) fn cut_text(encoded: &[u8], len_max: usize) -> usize {
    if encoded.len() <= len_max {
        return encoded.len();
    }
    let is_of_figure = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+');
    // `whole`: where the text may be cut, of what was read so far.
    let (mut at, mut whole) = (0, 0);
    loop {
        let byte = encoded[at];
        let len = match byte {
            0x81.. => 2,
            b'\\' if encoded.get(at + 1) == Some(&b'n') => 2,
            _ => 1,
        };
        let is_within = len == 1 && is_of_figure(byte) && encoded.get(at + 1).is_some_and(|next| is_of_figure(*next));
        at += len;
        if at > len_max {
            return whole;
        }
        if !is_within {
            whole = at;
        }
    }
}

/// Decodes GBK for people (logs, simulated devices, tests). Invalid bytes become U+FFFD. May
/// allocate.
pub fn decode(bytes: &[u8]) -> alloc::borrow::Cow<'_, str> {
    GBK.decode_without_bom_handling(bytes).0
}

/// Calls `take` with each character of GBK bytes, in order, without allocating. Invalid bytes
/// become U+FFFD.
pub(crate) fn for_each_character(bytes: &[u8], mut take: impl FnMut(char)) {
    let mut decoder = GBK.new_decoder_without_bom_handling();
    let mut rest = bytes;
    loop {
        let mut utf8 = [0; 64];
        let (result, read, written, _) = decoder.decode_to_utf8(rest, &mut utf8, true);
        core::str::from_utf8(&utf8[..written]).expect("a decoder writes UTF-8").chars().for_each(&mut take);
        if result == CoderResult::InputEmpty {
            return;
        }
        rest = &rest[read..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_those_that_are_decoded_whatever_the_bytes() {
        for len in 0..200 {
            let bytes: Vec<u8> = (0..len).map(|at: u32| (at * at * 31 + len * 7) as u8).collect();
            let mut text = String::new();
            for_each_character(&bytes, |character| text.push(character));
            assert_eq!(text, decode(&bytes));
        }
    }

    #[test]
    fn what_gbk_lacks_becomes_a_question_mark() {
        assert_eq!(encode("张三"), b"\xD5\xC5\xC8\xFD");
        assert_eq!(encode("a€b😀c𠀀"), b"a?b?c?");
        assert_eq!(encode("\u{e5e5}"), b"?");
    }

    #[test]
    fn second_bytes_that_look_like_ascii_survive() {
        // 誠 is D5 5C, 寋 is 8C 7B: cleaned as characters, never as bytes.
        for text in ["誠", "峿", "縗"] {
            let encoded = encode_data(text, 40);
            assert_eq!(decode(&encoded), text);
        }
        assert_eq!(encode_data("张{三}\\n,李\r\n", 40), encode("张三n李"));
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let encoded = encode("a张三b");
        assert_eq!(cut(&encoded, 0), 0);
        assert_eq!(cut(&encoded, 1), 1);
        assert_eq!(cut(&encoded, 2), 1);
        assert_eq!(cut(&encoded, 3), 3);
        assert_eq!(cut(&encoded, 4), 3);
        assert_eq!(cut(&encoded, 100), 6);
    }

    #[test]
    fn a_cut_text_ends_before_a_figure_or_a_line_break_that_does_not_fit() {
        let cut_to = |text: &str, len_max| {
            let encoded = encode(text);
            decode(&encoded[..cut_text(&encoded, len_max)]).into_owned()
        };
        // The figure takes bytes 3 to 9.
        for (len_max, shown) in
            [(0, ""), (1, ""), (2, "余"), (3, "余{"), (9, "余{"), (10, "余{1234.50"), (11, "余{1234.50}")]
        {
            assert_eq!(cut_to(r"余{1234.50}\n", len_max), shown, "{len_max}");
        }
        assert_eq!(cut_to(r"余{1234.50}\n", 12), "余{1234.50}", "no lone backslash");
        assert_eq!(cut_to(r"余{1234.50}\n", 13), r"余{1234.50}\n");
        assert_eq!(cut_to(r"\n\n\n", 5), r"\n\n");
        assert_eq!(cut_to("余-5.00 次3", 6), "余");
        assert_eq!(cut_to("余-5.00 次3", 7), "余-5.00");
        // 誠 is D5 5C: its second byte is not a backslash, even before an `n`.
        assert_eq!(cut_to("誠n誠n", 5), "誠n誠");
        assert_eq!(cut_to("12345678", 7), "");
    }

    #[test]
    fn a_cut_text_is_never_longer_and_never_splits_a_character() {
        for len in 0..60 {
            let bytes: Vec<u8> = (0..len).map(|at: u32| (at * at * 31 + len * 7) as u8).collect();
            for len_max in 0..=bytes.len() {
                let end = cut_text(&bytes, len_max);
                assert!(end <= len_max && cut(&bytes, end) == end, "{bytes:?} {len_max}");
            }
        }
    }
}
