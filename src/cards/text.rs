//! From a file's bytes to text: UTF-8 or GB18030, and a name for what is neither (design.md, section 5).
//!
//! A file is in one encoding as a whole: short GBK words can look like UTF-8, so guessing line by line would garble names.

use encoding_rs::GB18030;

use crate::problem::Problems;

/// Says how to get a table out of a spreadsheet.
const SAVE_AS_CSV: &str = "open it and save it as \"CSV UTF-8 (comma delimited)\"";

/// The text without BOM, and the encoding's name; `None` if there is nothing to read on in.
pub(crate) fn decode(bytes: &[u8], problems: &mut Problems) -> Option<(String, &'static str)> {
    if let Some(message) = foreign(bytes) {
        problems.add(0, message);
        return None;
    }
    let (bytes, has_bom) = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => (rest, true),
        None => (bytes, false),
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some((text.to_owned(), "UTF-8"));
    }
    if has_bom || is_mostly_utf8(bytes) {
        for (line, content) in lines(bytes) {
            if std::str::from_utf8(content).is_err() {
                problems.add(line, format!("this line is not UTF-8, though the file is: {SAVE_AS_CSV}"));
            }
        }
        return Some((String::from_utf8_lossy(bytes).into_owned(), "UTF-8"));
    }
    // 0x0A is no part of any longer character of GB18030, so lines can be decoded one by one.
    for (line, content) in lines(bytes) {
        if GB18030.decode_without_bom_handling_and_without_replacement(content).is_none() {
            problems.add(line, format!("this is neither UTF-8 nor GBK: {SAVE_AS_CSV}"));
        }
    }
    Some((GB18030.decode_without_bom_handling(bytes).0.into_owned(), "GB18030"))
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    (1..).zip(bytes.split(|byte| *byte == b'\n'))
}

/// What the file is, if it is no CSV at all, with the remedy.
fn foreign(bytes: &[u8]) -> Option<String> {
    let kind = if bytes.starts_with(b"PK\x03\x04") {
        "an Excel workbook (xlsx) or another zipped document"
    } else if bytes.starts_with(b"\xD0\xCF\x11\xE0") {
        "an old Excel workbook (xls)"
    } else if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        "UTF-16 (\"Unicode text\")"
    } else if bytes.trim_ascii_start().starts_with(b"<") {
        "a web page (HTML or XML), whatever its name says"
    } else if bytes.contains(&0) {
        // In UTF-16 the characters that divide fields have a zero beside them.
        let is_utf16 = bytes.windows(2).any(|pair| matches!(pair, b",\0" | b"\0," | b"\t\0" | b"\0\t"));
        if is_utf16 { "UTF-16 (\"Unicode text\") without a mark" } else { "no text: it holds NUL bytes" }
    } else {
        return None;
    };
    Some(format!("this is {kind}, not CSV: {SAVE_AS_CSV}"))
}

/// Whether the lines with Chinese in them are rather UTF-8 with a few spoilt ones than GBK: one line of GBK pasted
/// into a UTF-8 file would otherwise turn every name into another.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let beyond_ascii = lines(bytes).filter(|(_, content)| !content.is_ascii());
    let (mut good, mut spoilt) = (0_u32, 0_u32);
    for (_, content) in beyond_ascii {
        match std::str::from_utf8(content) {
            Ok(_) => good += 1,
            Err(_) => spoilt += 1,
        }
    }
    good > spoilt
}
