//! From a file's bytes to text: UTF-8 or GB18030, and names of other formats for messages
//! (design.md, section 5).
//!
//! A file is in one encoding as a whole: short GBK words can look like UTF-8, so guessing line by
//! line would garble names.

use encoding_rs::GB18030;

use crate::files::problem::Problems;
use crate::lang::tr;

/// How to save a CSV file from a spreadsheet.
fn save_as_csv() -> &'static str {
    tr("open it and save it as \"CSV UTF-8 (comma delimited)\"", "请打开它，另存为“CSV UTF-8（逗号分隔）”")
}

/// The text without BOM, and the encoding's name; `None` if the file is not a text.
pub(crate) fn decode(bytes: &[u8], problems: &mut Problems) -> Option<(String, &'static str)> {
    let bytes = without_end_mark(bytes);
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
                problems.add(
                    line,
                    tr!(
                        "this line is not UTF-8, though the file is: {}",
                        "这一行不是 UTF-8，而文件是：{}",
                        save_as_csv()
                    ),
                );
            }
        }
        return Some((String::from_utf8_lossy(bytes).into_owned(), "UTF-8"));
    }
    // No longer character of GB18030 contains 0x0A, so lines can be decoded one by one.
    for (line, content) in lines(bytes) {
        if GB18030.decode_without_bom_handling_and_without_replacement(content).is_none() {
            problems
                .add(line, tr!("this is neither UTF-8 nor GBK: {}", "这既不是 UTF-8 也不是 GBK：{}", save_as_csv()));
        }
    }
    Some((GB18030.decode_without_bom_handling(bytes).0.into_owned(), "GB18030"))
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    (1..).zip(bytes.split(|byte| *byte == b'\n'))
}

/// The text without the mark that DOS programs and some exports put at its end: 0x1A, with line
/// ends around it.
fn without_end_mark(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, 0x1A | b'\r' | b'\n' | b' ')).map_or(0, |last| last + 1);
    match bytes[end..].iter().position(|byte| *byte == 0x1A) {
        Some(mark) => &bytes[..end + mark],
        None => bytes,
    }
}

/// The format of a file that is not CSV, with the remedy.
fn foreign(bytes: &[u8]) -> Option<String> {
    /// Bytes that show a file's format.
    const HEAD_LEN: usize = 1024;
    let head = &bytes[..bytes.len().min(HEAD_LEN)];
    let has = |word: &[u8]| head.windows(word.len()).any(|bytes| bytes == word);
    let start = head.trim_ascii_start();
    let kind = if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        if has(b"opendocument.spreadsheet") {
            tr("an OpenDocument spreadsheet (ods)", " OpenDocument 电子表格（ods）")
        } else {
            tr("an Excel workbook (xlsx) or another zipped document (zip)", " Excel 工作簿（xlsx）或别的 zip 文档")
        }
    } else if bytes.starts_with(b"\xD0\xCF\x11\xE0") {
        tr("an old Excel workbook (xls)", "旧版 Excel 工作簿（xls）")
    } else if bytes.starts_with(b"\x1F\x8B") || bytes.starts_with(b"7z\xBC\xAF") || bytes.starts_with(b"Rar!") {
        tr("a compressed file (gzip, 7z or rar)", "压缩文件（gzip、7z 或 rar）")
    } else if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        tr("UTF-16 (\"Unicode text\")", " UTF-16（“Unicode 文本”）")
    } else if start.starts_with(b"%PDF") {
        tr("a PDF", " PDF")
    } else if start.starts_with(b"{\\rtf") {
        tr("a Word document (RTF)", " Word 文档（RTF）")
    } else if start.starts_with(b"{\"") || start.starts_with(b"[{") {
        "JSON"
    } else if start.starts_with(b"ID;P") {
        tr("a SYLK spreadsheet (slk)", " SYLK 电子表格（slk）")
    } else if start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start).trim_ascii_start().starts_with(b"<") {
        if has(b"<?mso-application") || has(b"<Workbook") {
            tr("an XML spreadsheet (Excel 2003), whatever its name says", " XML 电子表格（Excel 2003），不管它叫什么")
        } else {
            tr("a web page (HTML or XML), whatever its name says", "网页（HTML 或 XML），不管它叫什么")
        }
    } else if bytes.contains(&0) {
        // In UTF-16 a delimiter has a zero beside it.
        let is_utf16 = bytes.windows(2).any(|pair| matches!(pair, b",\0" | b"\0," | b"\t\0" | b"\0\t"));
        if is_utf16 {
            tr("UTF-16 (\"Unicode text\") without a mark", "没有标记的 UTF-16（“Unicode 文本”）")
        } else {
            tr("no text: it holds NUL bytes", "二进制文件，里面有 NUL 字节")
        }
    } else if bytes.contains(&0x1A) {
        return Some(tr!(
            "a DOS end-of-file mark (0x1A) within the file, as if two files were joined: {}",
            "中间有 DOS 的文件结束符（0x1A），像是两个文件拼在一起：{}",
            save_as_csv()
        ));
    } else {
        return None;
    };
    Some(tr!("this is {kind}, not CSV: {}", "这是{kind}，不是 CSV：{}", save_as_csv()))
}

/// Whether most lines with Chinese are UTF-8: then the file is UTF-8 with a few wrong lines, and
/// not GBK. Otherwise one line of GBK, pasted into a UTF-8 file, would garble every name.
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
