//! From a file's bytes to text: UTF-8 or GB18030, and names of other formats for messages
//! (design.md, section 5).
//!
//! A file is in one encoding as a whole: short GBK words can look like UTF-8, so guessing line by
//! line would garble names.

use core::str::from_utf8;

use encoding_rs::{DecoderResult, GB18030, UTF_8};

use crate::files::problem::Problems;
use crate::lang::tr;

/// Bytes that show a file's format.
const HEAD_LEN: usize = 1024;

/// The mark that DOS programs and some exports put at the end of a text.
const END_MARK: u8 = 0x1A;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// How to save a CSV file from a spreadsheet.
fn save_as_csv() -> &'static str {
    tr("open it and save it as \"CSV UTF-8 (comma delimited)\"", "请打开它，另存为“CSV UTF-8（逗号分隔）”")
}

/// A first look at a file, window by window: its form, which only the whole file shows.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Survey {
    head: Vec<u8>,
    len: u64,
    /// LFs.
    lines: usize,
    last: u8,
    /// The place of the first [`END_MARK`], and whether more than line ends and blanks follow it.
    mark: Option<u64>,
    is_mark_within: bool,
    has_nul: bool,
    is_utf16: bool,
    /// The beginning of a character whose end is in the next window.
    begun: Vec<u8>,
    is_line_ascii: bool,
    is_line_spoilt: bool,
    /// Lines beyond ASCII that are UTF-8, and lines that are not.
    good: u32,
    spoilt: u32,
}

/// The form of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextForm {
    /// Bytes before the text: a BOM.
    pub begin: u64,
    /// Where the text ends: before a DOS end-of-file mark.
    pub end: u64,
    is_utf8: bool,
}

impl Survey {
    pub fn new() -> Self {
        Self { is_line_ascii: true, ..Self::default() }
    }

    /// Looks at the next window.
    pub fn add(&mut self, bytes: &[u8]) {
        self.head.extend_from_slice(&bytes[..bytes.len().min(HEAD_LEN - self.head.len())]);
        self.look_for_marks(bytes);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !piece.is_ascii() {
                self.is_line_ascii = false;
            }
            if !piece.is_ascii() || !self.begun.is_empty() {
                self.check_utf8(piece);
            }
            if piece.ends_with(b"\n") {
                self.lines += 1;
                self.end_line();
            }
        }
        self.len += bytes.len() as u64;
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn look_for_marks(&mut self, bytes: &[u8]) {
        if bytes.contains(&0) {
            self.has_nul = true;
            // In UTF-16 a delimiter has a zero beside it.
            let pairs = core::iter::once(self.last).chain(bytes.iter().copied()).zip(bytes.iter().copied());
            self.is_utf16 |= pairs.into_iter().any(|pair| matches!(pair, (b',' | b'\t', 0) | (0, b',' | b'\t')));
        }
        let is_blank = |byte: &u8| matches!(*byte, END_MARK | b'\r' | b'\n' | b' ');
        let mark = bytes.iter().position(|byte| *byte == END_MARK).filter(|_| self.mark.is_none());
        self.mark = self.mark.or(mark.map(|place| self.len + place as u64));
        if self.mark.is_some() {
            self.is_mark_within |= !bytes[mark.unwrap_or(0)..].iter().all(is_blank);
        }
    }

    fn check_utf8(&mut self, mut piece: &[u8]) {
        while let ([next, rest @ ..], false) = (piece, self.begun.is_empty()) {
            self.begun.push(*next);
            piece = rest;
            match from_utf8(&self.begun) {
                Err(error) if error.error_len().is_none() => (),
                whole => {
                    self.is_line_spoilt |= whole.is_err();
                    self.begun.clear();
                }
            }
        }
        if let Err(error) = from_utf8(piece) {
            match error.error_len() {
                Some(_) => self.is_line_spoilt = true,
                None => self.begun.extend_from_slice(&piece[error.valid_up_to()..]),
            }
        }
    }

    fn end_line(&mut self) {
        self.is_line_spoilt |= !self.begun.is_empty();
        self.begun.clear();
        self.good += u32::from(!self.is_line_ascii && !self.is_line_spoilt);
        self.spoilt += u32::from(self.is_line_spoilt);
        (self.is_line_ascii, self.is_line_spoilt) = (true, false);
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Line ends so far.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Whether the last byte ends a line.
    pub fn ends_line(&self) -> bool {
        self.last == b'\n'
    }

    /// The text's form after the last window; `None` if the file is not a text, with the problem.
    pub fn end(&mut self, problems: &mut Problems) -> Option<TextForm> {
        self.end_line();
        if let Some(message) = self.foreign() {
            problems.add(0, message);
            return None;
        }
        let begin = if self.head.starts_with(BOM) { BOM.len() as u64 } else { 0 };
        // Most lines with Chinese are UTF-8: then the file is UTF-8 with a few wrong lines, and not
        // GBK. Otherwise one line of GBK, pasted into a UTF-8 file, would garble every name.
        let is_utf8 = self.spoilt == 0 || begin > 0 || self.good > self.spoilt;
        Some(TextForm { begin, end: self.mark.unwrap_or(self.len), is_utf8 })
    }

    /// The format of a file that is not CSV, with the remedy.
    fn foreign(&self) -> Option<String> {
        let head = self.head.as_slice();
        let has = |word: &[u8]| head.windows(word.len()).any(|bytes| bytes == word);
        let start = head.trim_ascii_start();
        let kind = if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
            if has(b"opendocument.spreadsheet") {
                tr("an OpenDocument spreadsheet (ods)", " OpenDocument 电子表格（ods）")
            } else {
                tr("an Excel workbook (xlsx) or another zipped document (zip)", " Excel 工作簿（xlsx）或别的 zip 文档")
            }
        } else if head.starts_with(b"\xD0\xCF\x11\xE0") {
            tr("an old Excel workbook (xls)", "旧版 Excel 工作簿（xls）")
        } else if head.starts_with(b"\x1F\x8B") || head.starts_with(b"7z\xBC\xAF") || head.starts_with(b"Rar!") {
            tr("a compressed file (gzip, 7z or rar)", "压缩文件（gzip、7z 或 rar）")
        } else if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
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
                tr(
                    "an XML spreadsheet (Excel 2003), whatever its name says",
                    " XML 电子表格（Excel 2003），不管它叫什么",
                )
            } else {
                tr("a web page (HTML or XML), whatever its name says", "网页（HTML 或 XML），不管它叫什么")
            }
        } else if self.has_nul {
            if self.is_utf16 {
                tr("UTF-16 (\"Unicode text\") without a mark", "没有标记的 UTF-16（“Unicode 文本”）")
            } else {
                tr("no text: it holds NUL bytes", "二进制文件，里面有 NUL 字节")
            }
        } else if self.is_mark_within {
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
}

impl TextForm {
    /// `UTF-8` or `GB18030`.
    pub fn encoding(self) -> &'static str {
        if self.is_utf8 { "UTF-8" } else { "GB18030" }
    }
}

/// Bytes to text, window by window.
pub(crate) struct Decoder {
    inner: encoding_rs::Decoder,
    is_utf8: bool,
    /// The line of the next byte, and the last one that was reported.
    line: u32,
    told: u32,
}

impl Decoder {
    pub fn new(form: TextForm) -> Self {
        let encoding = if form.is_utf8 { UTF_8 } else { GB18030 };
        Self { inner: encoding.new_decoder_without_bom_handling(), is_utf8: form.is_utf8, line: 1, told: 0 }
    }

    /// Appends the next window's text. Reports each line with a wrong character.
    pub fn decode(&mut self, mut bytes: &[u8], is_last: bool, text: &mut String, problems: &mut Problems) {
        loop {
            let from = text.len();
            text.reserve(self.inner.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(0).max(8));
            let (result, read) = self.inner.decode_to_string_without_replacement(bytes, text, is_last);
            bytes = &bytes[read..];
            let lines = text[from..].matches('\n').count();
            self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => (),
                DecoderResult::Malformed(..) => {
                    text.push('\u{FFFD}');
                    self.tell(problems);
                }
            }
        }
    }

    fn tell(&mut self, problems: &mut Problems) {
        if core::mem::replace(&mut self.told, self.line) == self.line {
            return;
        }
        let message = if self.is_utf8 {
            tr!("this line is not UTF-8, though the file is: {}", "这一行不是 UTF-8，而文件是：{}", save_as_csv())
        } else {
            tr!("this is neither UTF-8 nor GBK: {}", "这既不是 UTF-8 也不是 GBK：{}", save_as_csv())
        };
        problems.add(self.line, message);
    }
}
