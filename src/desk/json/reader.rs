//! A strict parser: one JSON value on one line, with limited nesting.
//!
//! *Invariants:* it does not panic on any bytes; a number keeps its digits; a key is unique in its
//! object; it parses what [`Object`](super::Object) writes.
//!
//! Why not a crate: tinyjson 2.5, the small one without serde, converts every number to `f64`,
//! which entry numbers must not become; of two equal keys it silently uses the last, so that a
//! top-up could have two amounts; and it recurses once per `[`.

use core::fmt;

use super::Json;

/// Most levels of nesting: an answer is an object with a list of objects that have lists.
pub const DEPTH_MAX: usize = 4;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`, `false`
    Flag(bool),
    /// A number, as written.
    Number(String),
    /// A string.
    Text(String),
    /// `[…]`
    List(Vec<Value>),
    /// `{…}`, in the order as written.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The member of an object with this key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            Self::Null | Self::Flag(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// A member that is a string.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Self::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A member that is a whole number.
    pub fn number<T: core::str::FromStr>(&self, key: &str) -> Option<T> {
        match self.get(key) {
            Some(Self::Number(digits)) => digits.parse().ok(),
            _ => None,
        }
    }

    /// A member that is `true`.
    pub fn is(&self, key: &str) -> bool {
        self.get(key) == Some(&Self::Flag(true))
    }

    /// The elements of a member that is a list; empty if there is none.
    pub fn list(&self, key: &str) -> &[Self] {
        match self.get(key) {
            Some(Self::List(values)) => values,
            _ => &[],
        }
    }

    /// Its type, for error messages.
    pub const fn sort(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl Value {
    fn write(&self, json: &mut Json) -> fmt::Result {
        match self {
            Self::Null => json.raw("null"),
            Self::Flag(flag) => json.raw(flag),
            Self::Number(digits) => json.raw(digits),
            Self::Text(text) => json.element(text),
            Self::List(values) => {
                json.open('[')?;
                values.iter().try_for_each(|value| value.write(json))?;
                json.close(']')
            }
            Self::Object(members) => {
                json.open('{')?;
                for (key, value) in members {
                    json.key(key)?;
                    value.write(json)?;
                }
                json.close('}')
            }
        }
    }
}

/// As JSON, in one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(&mut Json::new(f))
    }
}

/// A syntax error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Its offset in bytes.
    pub at: usize,
    /// What was expected.
    pub wanted: &'static str,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no JSON at byte {}: {}", self.at + 1, self.wanted)
    }
}

/// Parses exactly one value.
///
/// # Errors
/// If the text is not JSON, nests deeper than [`DEPTH_MAX`], or has a key twice in an object.
pub fn parse(text: &str) -> Result<Value, Wrong> {
    let mut reader = Parser { text, at: 0 };
    let value = reader.value(0)?;
    reader.skip_blanks();
    if reader.at < text.len() {
        return Err(reader.wrong("expected the end of the line"));
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn wrong(&self, wanted: &'static str) -> Wrong {
        Wrong { at: self.at, wanted }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8, wanted: &'static str) -> Result<(), Wrong> {
        self.skip_blanks();
        if self.peek() != Some(byte) {
            return Err(self.wrong(wanted));
        }
        self.at += 1;
        Ok(())
    }

    fn take_word(&mut self, word: &str, value: Value) -> Result<Value, Wrong> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.wrong("expected a value: a string in quotes, a number, true, false or null"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Wrong> {
        self.skip_blanks();
        if depth == DEPTH_MAX && matches!(self.peek(), Some(b'{' | b'[')) {
            return Err(self.wrong("this is nested too deep"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Value::Text),
            Some(b't') => self.take_word("true", Value::Flag(true)),
            Some(b'f') => self.take_word("false", Value::Flag(false)),
            Some(b'-' | b'0'..=b'9') => self.digits(),
            _ => self.take_word("null", Value::Null),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Wrong> {
        let mut members: Vec<(String, Value)> = Vec::new();
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_blanks();
            let before = self.at;
            let key = self.string()?;
            if members.iter().any(|(name, _)| *name == key) {
                return Err(Wrong { at: before, wanted: "this key is here twice" });
            }
            self.take(b':', "expected a colon")?;
            members.push((key, self.value(depth + 1)?));
            self.skip_blanks();
            if self.peek() != Some(b',') {
                break;
            }
            self.at += 1;
        }
        self.take(b'}', "expected a comma or }")?;
        Ok(Value::Object(members))
    }

    fn list(&mut self, depth: usize) -> Result<Value, Wrong> {
        let mut values = Vec::new();
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            self.skip_blanks();
            if self.peek() != Some(b',') {
                break;
            }
            self.at += 1;
        }
        self.take(b']', "expected a comma or ]")?;
        Ok(Value::List(values))
    }

    /// A number: `-`, digits without a leading zero, a fraction, an exponent; kept as written.
    fn digits(&mut self) -> Result<Value, Wrong> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.run_of_digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.run_of_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.run_of_digits()?;
        }
        Ok(Value::Number(self.text[start..self.at].to_owned()))
    }

    fn run_of_digits(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong("expected a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<String, Wrong> {
        self.take(b'"', "expected a string in quotes")?;
        let mut string = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(next) = rest.chars().next() else {
                return Err(self.wrong("the string's closing quote is missing"));
            };
            match next {
                '"' => {
                    self.at += 1;
                    return Ok(string);
                }
                '\\' => {
                    self.at += 1;
                    string.push(self.escaped()?);
                }
                '\0'..='\x1F' => return Err(self.wrong("a control character must be written as \\uXXXX")),
                other => {
                    self.at += other.len_utf8();
                    string.push(other);
                }
            }
        }
    }

    /// What follows a backslash.
    fn escaped(&mut self) -> Result<char, Wrong> {
        let letter = self.peek().ok_or(self.wrong("the string's closing quote is missing"))?;
        self.at += 1;
        Ok(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{C}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => {
                self.at -= 1;
                return Err(self.wrong("no such escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"));
            }
        })
    }

    /// Four hexadecimal digits, or two times four that are one character beyond U+FFFF.
    fn unicode(&mut self) -> Result<char, Wrong> {
        let high = self.hex()?;
        let code = match high {
            0xD800..=0xDBFF => {
                if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                    return Err(self.wrong("expected the second half of the character"));
                }
                self.at += 2;
                let low = self.hex()?;
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return Err(self.wrong("this is no second half of a character"));
                }
                0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            }
            other => other,
        };
        char::from_u32(code).ok_or(self.wrong("this is half of a character"))
    }

    fn hex(&mut self) -> Result<u32, Wrong> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| core::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or(self.wrong("four hexadecimal digits were to come"))?;
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::string;
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn a_request_is_read_as_it_stands() {
        let value =
            parse(r#" {"cmd" : "topup", "amount":"5.50","line":12,"dry":true,"x":[null,-0.5e+3],"y":{}} "#).unwrap();
        assert_eq!(value.text("cmd"), Some("topup"));
        assert_eq!(value.text("amount"), Some("5.50"));
        assert_eq!(value.number::<u32>("line"), Some(12));
        assert!(value.is("dry") && !value.is("line"));
        assert_eq!(value.list("x"), [Value::Null, Value::Number("-0.5e+3".to_owned())]);
        assert_eq!(value.get("y"), Some(&Value::Object(Vec::new())));
        assert_eq!(value.get("z"), None);
        assert_eq!(parse(&value.to_string()), Ok(value));
    }

    #[test]
    fn strings_hold_every_character() {
        assert_eq!(
            parse(r#""\u5f20\u4e09 \ud83d\ude00 \"\\\/\b\f\n\r\t 张""#).unwrap(),
            text("张三 😀 \"\\/\u{8}\u{C}\n\r\t 张")
        );
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (wrong, at) in [
            ("", 0),
            ("{", 1),
            ("{\"a\"}", 4),
            ("{\"a\":1,}", 7),
            ("{\"a\":1 \"b\":2}", 7),
            ("{'a':1}", 1),
            ("{\"a\":1,\"a\":2}", 7),
            ("[1,]", 3),
            ("01", 1),
            ("-", 1),
            ("1.", 2),
            ("1e", 2),
            ("+1", 0),
            ("nul", 0),
            ("\"a", 2),
            ("\"\\x\"", 2),
            ("\"\\u12\"", 3),
            ("\"\\ud800\"", 7),
            ("\"\\udc00\"", 7),
            ("\"a\nb\"", 2),
            ("{} {}", 3),
        ] {
            assert_eq!(parse(wrong).map_err(|wrong| wrong.at), Err(at), "{wrong:?}");
        }
    }

    #[test]
    fn it_nests_no_deeper_than_an_answer() {
        assert!(parse("[[[[]]]]").is_ok());
        assert!(parse("[[[[[]]]]]").is_err());
        assert!(parse(&"[".repeat(4096)).is_err());
        assert!(parse(&"{\"a\":".repeat(800)).is_err());
    }

    proptest! {
        #![proptest_config(crate::proptest_config())]

        #[test]
        fn no_text_panics_the_reader(text in "\\PC*", json in "[\\[\\]{}\":,0-9a-z\\\\ .eE+-]*") {
            let _ = (parse(&text), parse(&json));
        }

        #[test]
        fn what_is_written_is_read_again(value in "\\PC*") {
            prop_assert_eq!(parse(&string(&value)), Ok(Value::Text(value)));
        }
    }
}
