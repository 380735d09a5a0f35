//! JSON as it is written for scripts: objects and lists in order, texts escaped, money as a text of yuan (`"5.50"`), for a
//! float would round it.

use core::fmt::{self, Display};

/// A value.
#[derive(Clone, Debug)]
pub enum Json {
    /// Nothing known.
    Null,
    /// True or false.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Json>),
    /// Keys with values, in order.
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    /// What prints as a text: money, dates, seqs with letters.
    pub fn text(value: impl Display) -> Self {
        Self::Text(value.to_string())
    }

    /// A text, or nothing.
    pub fn optional(value: Option<impl Display>) -> Self {
        value.map_or(Self::Null, Self::text)
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self::Number(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => write_text(f, value),
            Self::List(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, (key, value)) in members.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    write_text(f, key)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            _ if character.is_control() => write!(f, "\\u{:04x}", u32::from(character))?,
            _ => write!(f, "{character}")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_order_is_kept() {
        let value = Json::Object(vec![
            ("b", Json::List(vec![Json::Null, Json::Flag(true), Json::Number(-1)])),
            ("a", Json::text("张\"\\\n")),
        ]);
        assert_eq!(value.to_string(), "{\"b\":[null,true,-1],\"a\":\"张\\\"\\\\\\u000a\"}");
    }
}
