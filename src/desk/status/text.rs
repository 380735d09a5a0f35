//! The two forms that status is written in: JSON (RFC 8259), and Prometheus' text format 0.0.4.
//!
//! What always holds: whatever a name or a log line holds, a JSON text is one valid object and a metric one line.
//! Nothing here allocates.

use core::fmt::{self, Display, Write};

/// Writes JSON values one after the other; the commas come by themselves.
pub(super) struct Json<'a> {
    out: &'a mut dyn Write,
    /// Whether the next value is not the first of its object or list.
    needs_comma: bool,
}

impl<'a> Json<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, needs_comma: false }
    }

    /// `{` or `[`, as the value of the key before it, or as an element.
    pub(super) fn open(&mut self, bracket: char) -> fmt::Result {
        self.comma()?;
        self.needs_comma = false;
        self.out.write_char(bracket)
    }

    /// `}` or `]`.
    pub(super) fn close(&mut self, bracket: char) -> fmt::Result {
        self.needs_comma = true;
        self.out.write_char(bracket)
    }

    /// A key whose value comes next.
    pub(super) fn key(&mut self, key: &str) -> fmt::Result {
        self.comma()?;
        self.needs_comma = false;
        write!(self.out, "\"{key}\":")
    }

    /// A key, and a number or `true` or `false`.
    pub(super) fn value(&mut self, key: &str, value: impl Display) -> fmt::Result {
        self.key(key)?;
        self.needs_comma = true;
        write!(self.out, "{value}")
    }

    /// The same, or `null`.
    pub(super) fn value_or_null(&mut self, key: &str, value: Option<impl Display>) -> fmt::Result {
        match value {
            Some(value) => self.value(key, value),
            None => self.value(key, "null"),
        }
    }

    /// A key and a text.
    pub(super) fn text(&mut self, key: &str, text: impl Display) -> fmt::Result {
        self.key(key)?;
        self.element(text)
    }

    /// The same, or `null`.
    pub(super) fn text_or_null(&mut self, key: &str, text: Option<impl Display>) -> fmt::Result {
        match text {
            Some(text) => self.text(key, text),
            None => self.value(key, "null"),
        }
    }

    /// A text in a list.
    pub(super) fn element(&mut self, text: impl Display) -> fmt::Result {
        self.comma()?;
        self.needs_comma = true;
        self.out.write_char('"')?;
        write!(Escaped { out: self.out, escape: json_escape }, "{text}")?;
        self.out.write_char('"')
    }

    fn comma(&mut self) -> fmt::Result {
        if self.needs_comma { self.out.write_char(',') } else { Ok(()) }
    }
}

fn json_escape(next: char, out: &mut dyn Write) -> fmt::Result {
    match next {
        '"' => out.write_str("\\\""),
        '\\' => out.write_str("\\\\"),
        '\n' => out.write_str("\\n"),
        _ if next.is_control() => write!(out, "\\u{:04x}", u32::from(next)),
        _ => out.write_char(next),
    }
}

/// Writes metrics, a family after the other.
pub(super) struct Metrics<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Metrics<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }

    /// Begins a family: `# HELP` and `# TYPE`. Its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        write!(self.out, "# HELP posgate_{name} ")?;
        write!(Escaped { out: self.out, escape: help_escape }, "{help}")?;
        write!(self.out, "\n# TYPE posgate_{name} {kind}\n")
    }

    /// A sample of the family.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) -> fmt::Result {
        write!(self.out, "posgate_{name}")?;
        for (place, (label, text)) in labels.iter().enumerate() {
            write!(self.out, "{}{label}=\"", if place == 0 { '{' } else { ',' })?;
            write!(Escaped { out: self.out, escape: label_escape }, "{text}")?;
            self.out.write_char('"')?;
        }
        writeln!(self.out, "{} {value}", if labels.is_empty() { "" } else { "}" })
    }

    /// A family of one sample without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) -> fmt::Result {
        self.family(name, "gauge", help)?;
        self.sample(name, &[], value)
    }

    /// The same, left out if it is not known.
    pub(super) fn gauge_if_known(&mut self, name: &str, help: &str, value: Option<impl Display>) -> fmt::Result {
        value.map_or(Ok(()), |value| self.gauge(name, help, value))
    }
}

fn help_escape(next: char, out: &mut dyn Write) -> fmt::Result {
    match next {
        '\\' => out.write_str("\\\\"),
        '\n' => out.write_str("\\n"),
        _ => out.write_char(next),
    }
}

fn label_escape(next: char, out: &mut dyn Write) -> fmt::Result {
    match next {
        '"' => out.write_str("\\\""),
        _ => help_escape(next, out),
    }
}

/// Passes a text on with what must not stand in it escaped.
struct Escaped<'a> {
    out: &'a mut dyn Write,
    escape: fn(char, &mut dyn Write) -> fmt::Result,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_special = |next: char| next.is_control() || matches!(next, '"' | '\\');
        let mut rest = text;
        while let Some((at, next)) = rest.char_indices().find(|(_, next)| is_special(*next)) {
            self.out.write_str(&rest[..at])?;
            (self.escape)(next, self.out)?;
            rest = &rest[at + next.len_utf8()..];
        }
        self.out.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_its_commas_and_escapes_what_it_must() {
        let mut out = String::new();
        let mut json = Json::new(&mut out);
        json.open('{').unwrap();
        json.value("a", 1).unwrap();
        json.text("b", "\"\\\n\u{1}\u{85}张").unwrap();
        json.key("c").unwrap();
        json.open('[').unwrap();
        json.element("x").unwrap();
        json.element("y").unwrap();
        json.close(']').unwrap();
        json.value_or_null("d", None::<u8>).unwrap();
        json.close('}').unwrap();
        assert_eq!(out, r#"{"a":1,"b":"\"\\\n\u0001\u0085张","c":["x","y"],"d":null}"#);
    }

    #[test]
    fn a_metric_is_one_line_whatever_its_labels_hold() {
        let mut out = String::new();
        let mut metrics = Metrics::new(&mut out);
        metrics.family("x", "gauge", "One\\two\nthree \"four\"").unwrap();
        metrics.sample("x", &[("a", &"q\"\\\n"), ("b", &2)], 3).unwrap();
        metrics.sample("x", &[], 4).unwrap();
        assert_eq!(
            out,
            "# HELP posgate_x One\\\\two\\nthree \"four\"\n# TYPE posgate_x gauge\nposgate_x{a=\"q\\\"\\\\\\n\",b=\"2\"} 3\nposgate_x 4\n"
        );
    }
}
