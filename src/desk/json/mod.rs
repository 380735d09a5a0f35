//! Writes and parses JSON (RFC 8259): lines of the control socket, the status file, reports for
//! scripts.
//!
//! *Invariants:*
//! - A value is one line, whatever its texts contain.
//! - Numbers are whole and exact; money is a string of yuan (`"5.50"`), because a float would round
//!   it.
//! - Members keep the order in which they were written.
//! - [`parse`] reads what `Json` and [`Object`] write.
//!
//! `Json` allocates nothing; [`Object`] writes through it into a string of its own.

mod reader;

use core::fmt::{self, Display, Write};

use crate::engine::model::EntrySeq;
pub use reader::{DEPTH_MAX, Value, Wrong, parse};

/// Values that JSON writes without quotes: whole numbers, `true` and `false`.
pub trait Bare: Display {}

impl Bare for bool {}
impl Bare for i32 {}
impl Bare for u32 {}
impl Bare for i64 {}
impl Bare for u64 {}
impl Bare for usize {}
impl Bare for EntrySeq {}

/// Writes JSON values one after the other, with commas between them.
pub(super) struct Json<'a> {
    out: &'a mut dyn Write,
    /// Whether a comma comes before the next value.
    needs_comma: bool,
}

impl<'a> Json<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, needs_comma: false }
    }

    /// Writes `{` or `[`, as the value of the key before it or as an element.
    pub(super) fn open(&mut self, bracket: char) -> fmt::Result {
        self.raw(bracket)?;
        self.needs_comma = false;
        Ok(())
    }

    /// Writes `}` or `]`.
    pub(super) fn close(&mut self, bracket: char) -> fmt::Result {
        self.needs_comma = true;
        self.out.write_char(bracket)
    }

    /// Writes a key; its value comes next.
    pub(super) fn key(&mut self, key: &str) -> fmt::Result {
        self.element(key)?;
        self.needs_comma = false;
        self.out.write_char(':')
    }

    /// Writes a key and a number, `true` or `false`.
    pub(super) fn value(&mut self, key: &str, value: impl Bare) -> fmt::Result {
        self.key(key)?;
        self.raw(value)
    }

    /// Writes a key and a number, `true`, `false` or `null`.
    pub(super) fn value_or_null(&mut self, key: &str, value: Option<impl Bare>) -> fmt::Result {
        match value {
            Some(value) => self.value(key, value),
            None => self.null(key),
        }
    }

    /// Writes a key and a string.
    pub(super) fn text(&mut self, key: &str, text: impl Display) -> fmt::Result {
        self.key(key)?;
        self.element(text)
    }

    /// Writes a key and a string or `null`.
    pub(super) fn text_or_null(&mut self, key: &str, text: Option<impl Display>) -> fmt::Result {
        match text {
            Some(text) => self.text(key, text),
            None => self.null(key),
        }
    }

    /// Writes a key and `null`.
    pub(super) fn null(&mut self, key: &str) -> fmt::Result {
        self.key(key)?;
        self.raw("null")
    }

    /// Writes a string as an element of a list.
    pub(super) fn element(&mut self, text: impl Display) -> fmt::Result {
        self.raw('"')?;
        write!(Escaped { out: self.out, escape }, "{text}")?;
        self.out.write_char('"')
    }

    /// Writes finished JSON, as the value of the key before it or as an element.
    pub(super) fn raw(&mut self, json: impl Display) -> fmt::Result {
        if self.needs_comma {
            self.out.write_char(',')?;
        }
        self.needs_comma = true;
        write!(self.out, "{json}")
    }
}

fn escape(next: char, out: &mut dyn Write) -> fmt::Result {
    match next {
        '"' => out.write_str("\\\""),
        '\\' => out.write_str("\\\\"),
        '\n' => out.write_str("\\n"),
        _ => write!(out, "\\u{:04x}", u32::from(next)),
    }
}

/// Passes on a text with its special characters escaped: quotes, backslashes, control characters,
/// and U+2028 and U+2029, which end a line for some readers.
pub(super) struct Escaped<'a> {
    pub(super) out: &'a mut dyn Write,
    /// Writes one special character.
    pub(super) escape: fn(char, &mut dyn Write) -> fmt::Result,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_special = |next: char| next.is_control() || matches!(next, '"' | '\\' | '\u{2028}' | '\u{2029}');
        let mut rest = text;
        while let Some((at, next)) = rest.char_indices().find(|(_, next)| is_special(*next)) {
            self.out.write_str(&rest[..at])?;
            (self.escape)(next, self.out)?;
            rest = &rest[at + next.len_utf8()..];
        }
        self.out.write_str(rest)
    }
}

/// A JSON string, in quotes.
pub fn string(value: impl Display) -> String {
    let mut text = String::new();
    Json::new(&mut text).element(value).expect("a String accepts everything");
    text
}

/// Writes an object, member by member, on one line.
#[derive(Clone, Debug)]
pub struct Object {
    text: String,
}

impl Object {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        Self { text: "{".to_owned() }
    }

    /// A positive answer: `"ok":true`.
    #[must_use]
    pub fn ok() -> Self {
        Self::new().flag("ok", true)
    }

    /// A negative answer: `"ok":false` and a sentence in `error`.
    #[must_use]
    pub fn error(sentence: impl Display) -> Self {
        Self::new().flag("ok", false).text("error", sentence)
    }

    /// Adds a string.
    #[must_use]
    pub fn text(self, key: &str, value: impl Display) -> Self {
        self.with(|json| json.text(key, value))
    }

    /// Adds a string if there is one.
    #[must_use]
    pub fn text_if(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    /// Adds a string, or `null`.
    #[must_use]
    pub(crate) fn text_or_null(self, key: &str, value: Option<impl Display>) -> Self {
        self.with(|json| json.text_or_null(key, value))
    }

    /// Adds a whole number.
    #[must_use]
    pub fn number(self, key: &str, value: impl Bare) -> Self {
        self.with(|json| json.value(key, value))
    }

    /// Adds a whole number if there is one.
    #[must_use]
    pub fn number_if(self, key: &str, value: Option<impl Bare>) -> Self {
        match value {
            Some(value) => self.number(key, value),
            None => self,
        }
    }

    /// Adds a whole number, or `null`.
    #[must_use]
    pub(crate) fn number_or_null(self, key: &str, value: Option<impl Bare>) -> Self {
        self.with(|json| json.value_or_null(key, value))
    }

    /// Adds `true` or `false`.
    #[must_use]
    pub fn flag(self, key: &str, value: bool) -> Self {
        self.with(|json| json.value(key, value))
    }

    /// Adds finished JSON.
    #[must_use]
    pub fn raw(self, key: &str, json: impl Display) -> Self {
        self.with(|out| {
            out.key(key)?;
            out.raw(json)
        })
    }

    /// Adds finished JSON, or `null`.
    #[must_use]
    pub(crate) fn raw_or_null(self, key: &str, json: Option<impl Display>) -> Self {
        match json {
            Some(json) => self.raw(key, json),
            None => self.with(|out| out.null(key)),
        }
    }

    /// Adds a list of finished JSON values.
    #[must_use]
    pub fn list(self, key: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.with(|json| {
            json.key(key)?;
            json.open('[')?;
            values.into_iter().try_for_each(|value| json.raw(value))?;
            json.close(']')
        })
    }

    /// Ends the object and returns it.
    #[must_use]
    pub fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn with(mut self, add: impl FnOnce(&mut Json) -> fmt::Result) -> Self {
        let needs_comma = self.text.len() > 1;
        add(&mut Json { out: &mut self.text, needs_comma }).expect("a String accepts everything");
        self
    }
}

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_separated_and_texts_escaped() {
        let mut out = String::new();
        let mut json = Json::new(&mut out);
        json.open('{').unwrap();
        json.value("a", -1).unwrap();
        json.text("b", "\"\\\n\u{1}\u{85}\u{2028}\u{2029}张").unwrap();
        json.key("c").unwrap();
        json.open('[').unwrap();
        json.element("x").unwrap();
        json.raw("[]").unwrap();
        json.close(']').unwrap();
        json.value_or_null("d", None::<u32>).unwrap();
        json.value("\n", true).unwrap();
        json.close('}').unwrap();
        let expected = r#"{"a":-1,"b":"\"\\\n\u0001\u0085\u2028\u2029张","c":["x",[]],"d":null,"\n":true}"#;
        assert_eq!(out, expected);
        assert_eq!(parse(&out).unwrap().to_string(), expected);
    }

    #[test]
    fn an_answer_is_one_line() {
        let line = Object::ok()
            .text("note", "a\"b\\c\nd\u{2028}e\u{7f}")
            .number("seq", u64::MAX)
            .list("n", ["1".to_owned()])
            .end();
        assert_eq!(line, r#"{"ok":true,"note":"a\"b\\c\nd\u2028e\u007f","seq":18446744073709551615,"n":[1]}"#);
        assert_eq!(parse(&line).unwrap().number::<u64>("seq"), Some(u64::MAX));
        assert_eq!(Object::error("no").end(), r#"{"ok":false,"error":"no"}"#);
    }
}
