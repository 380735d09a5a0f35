//! Text for the displays: GBK, cleaned and cut on a character boundary (protocol.md, *Server → device*).
//!
//! 0x5C `\`, 0x7B `{`, 0x7D `}` and 0x7C occur as second bytes of GBK characters, so cleaning looks at
//! characters, before encoding; afterwards nobody touches single bytes.

use encoding_rs::{EncoderResult, GBK};

/// Encodes text for a display; a character outside GBK becomes `?`. May allocate: names and templates are
/// encoded once, at load.
pub fn encode(text: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len() + 16);
    let mut utf8 = [0; 4];
    for character in text.chars() {
        let mut one = [0; 16];
        // The euro sign would become a lone 0x80, which devices do not know.
        let mut encoder = GBK.new_encoder();
        let source = character.encode_utf8(&mut utf8);
        let (result, _, written) = encoder.encode_from_utf8_without_replacement(source, &mut one, true);
        match result {
            // GBK is one byte or two; the encoder's GB18030 four-byte forms are not.
            EncoderResult::InputEmpty if character != '€' && written <= 2 => {
                encoded.extend_from_slice(&one[..written]);
            }
            _ => encoded.push(b'?'),
        }
    }
    encoded
}

/// Encodes data such as a name: without braces, backslashes, commas and control characters, which would be
/// commands or field limits there; cut to `len_max` bytes.
pub fn encode_data(text: &str, len_max: usize) -> Vec<u8> {
    let clean: String = text
        .chars()
        .filter(|character| !matches!(character, '{' | '}' | '\\' | ',') && !character.is_control())
        .collect();
    let mut encoded = encode(clean.trim());
    encoded.truncate(cut(&encoded, len_max));
    encoded
}

/// The longest length of at most `len_max` that does not split a GBK character of the text.
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

/// Decodes GBK for people (logs, sims, tests): what is no GBK becomes U+FFFD. Allocates where it must.
pub fn decode(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    GBK.decode_without_bom_handling(bytes).0
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
