//! UCI's syntax: words, quotes, comments, sections (design.md, section 4).
//!
//! This reads files as `uci` does (libuci's `file.c`): in single quotes every character is literal,
//! also a line end; in double quotes and outside quotes a backslash makes the next character
//! literal, and is removed together with a line end; quoted and unquoted pieces that touch are one
//! word; an unquoted `#` begins a comment and an unquoted `;` ends a command. If libuci silently
//! ignores something (words after the value), this reports it.

use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;

use crate::files::problem::{Problems, without_digits};
use crate::lang::tr;

/// `config KIND 'NAME'` and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The type of the section.
    pub kind: String,
    /// The section's name, if it has one.
    pub name: Option<String>,
    /// The line where it begins.
    pub line: u32,
    /// The byte behind the last word of its line.
    pub end: usize,
    /// Its options and list items, in the file's order.
    pub settings: Vec<Setting>,
}

/// `option KEY 'VALUE'` or `list KEY 'VALUE'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The option's name.
    pub key: String,
    /// Whether it was written `list`.
    pub is_list: bool,
    /// The value without its quotes.
    pub value: String,
    /// The line of the setting.
    pub line: u32,
    /// The bytes of its value, quotes included.
    pub span: Range<usize>,
    /// Whether double quotes turned a `\n` into an `n`, which is hardly intended in a display's
    /// text.
    pub lost_line_break: bool,
}

/// Reads a whole file's text. Lines that cannot be read are reported and left out.
pub(super) fn read(text: &str, problems: &mut Problems) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut lexer = Lexer { rest: text.chars().peekable(), line: 1, at: 0, is_unclosed: false };
    while let Some(words) = lexer.command(problems) {
        let Some((keyword, arguments)) = words.split_first() else {
            continue;
        };
        let line = keyword.line;
        match keyword.text.as_str() {
            // `uci export` begins with it. A file of ours has one package.
            "package" | "p" => (),
            "config" | "c" => sections.extend(section(arguments, line, problems)),
            "option" | "o" | "list" | "l" => {
                let is_list = keyword.text.starts_with('l');
                let setting = setting(arguments, is_list, line, problems);
                match sections.last_mut() {
                    Some(section) => section.settings.extend(setting),
                    None => {
                        problems.add(
                            line,
                            tr(
                                "it belongs to no section: write a line such as config server before it",
                                "它不属于任何一段：请在前面写一行，例如 config server",
                            ),
                        );
                    }
                }
            }
            other => problems.add(
                line,
                tr!(
                    "a line cannot begin with {}: write config, option or list, or # before a comment",
                    "一行不能以 {} 开头：请写 config、option 或 list；注释前写 #",
                    without_digits(other)
                ),
            ),
        }
    }
    sections
}

fn section(arguments: &[Word], line: u32, problems: &mut Problems) -> Option<Section> {
    let (kind, name) = match arguments {
        [kind] => (kind, None),
        [kind, name] => (kind, Some(name)),
        [] => {
            problems.add(
                line,
                tr(
                    "config without a type: write for example config server 'main'",
                    "config 后面没有类型：请写例如 config server 'main'",
                ),
            );
            return None;
        }
        [_, _, ..] => {
            problems.add(
                line,
                tr(
                    "too many words after config: write config TYPE or config TYPE 'NAME'",
                    "config 后面的词太多：请写 config 类型 或 config 类型 '名称'",
                ),
            );
            return None;
        }
    };
    if let Some(name) = name
        && !is_name(&name.text)
    {
        let name = without_digits(&name.text);
        problems.add(
            line,
            tr!(
                "{name} is not a section name: write letters, digits and _ only, or leave it out",
                "{name} 不能做段名：只能写字母、数字和 _，也可以不写"
            ),
        );
    }
    let name = name.map(|name| name.text.clone()).filter(|name| !name.is_empty());
    let end = arguments.last().map_or(0, |word| word.span.end);
    Some(Section { kind: kind.text.clone(), name, line, end, settings: Vec::new() })
}

fn setting(arguments: &[Word], is_list: bool, line: u32, problems: &mut Problems) -> Option<Setting> {
    let keyword = if is_list { "list" } else { "option" };
    let (key, value) = match arguments {
        [key, value] if is_name(&key.text) => (key, value),
        [key, _] => {
            problems.add(
                line,
                tr!(
                    "{} is not an option name: write letters, digits and _ only",
                    "{} 不能做选项名：只能写字母、数字和 _",
                    without_digits(&key.text)
                ),
            );
            return None;
        }
        [] => {
            problems.add(
                line,
                tr!(
                    "{keyword} without a name: write {keyword} NAME 'VALUE'",
                    "{keyword} 后面没有名称：请写 {keyword} 名称 '值'"
                ),
            );
            return None;
        }
        [key] => {
            problems.add(
                line,
                tr!(
                    "{} has no value: write {keyword} NAME 'VALUE'",
                    "{} 没有值：请写 {keyword} 名称 '值'",
                    without_digits(&key.text)
                ),
            );
            return None;
        }
        // The words may be a PIN's: they are not repeated.
        [_, _, ..] => {
            problems.add(
                line,
                tr!(
                    "more than one value: put it in quotes, {keyword} NAME 'VALUE'",
                    "不止一个值：请加引号，{keyword} 名称 '值'"
                ),
            );
            return None;
        }
    };
    Some(Setting {
        key: key.text.clone(),
        is_list,
        value: value.text.clone(),
        line,
        span: value.span.clone(),
        lost_line_break: value.lost_line_break,
    })
}

/// Whether libuci accepts the text as a name.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

struct Word {
    text: String,
    line: u32,
    span: Range<usize>,
    lost_line_break: bool,
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    line: u32,
    /// The byte that comes next.
    at: usize,
    is_unclosed: bool,
}

impl Lexer<'_> {
    /// The words up to the next line end or `;` outside quotes, which may be none; `None` at the
    /// end of the file.
    fn command(&mut self, problems: &mut Problems) -> Option<Vec<Word>> {
        self.rest.peek()?;
        let mut words = Vec::new();
        loop {
            match self.rest.peek() {
                // The rest after an unclosed quote is reported once, and not as a broken line too.
                None if self.is_unclosed => return Some(Vec::new()),
                None => return Some(words),
                Some('\n' | ';') => {
                    self.bump();
                    return Some(words);
                }
                Some('#') => self.skip_comment(),
                Some(blank) if blank.is_ascii_whitespace() || *blank == '\u{b}' => {
                    self.bump();
                }
                Some(_) => words.extend(self.word(problems)),
            }
        }
    }

    /// One word; `None` if it is only the backslash of a continued line, or has a quote that never
    /// closes.
    fn word(&mut self, problems: &mut Problems) -> Option<Word> {
        let mut word = Word { text: String::new(), line: self.line, span: self.at..self.at, lost_line_break: false };
        let mut has_content = false;
        while let Some(next) = self.rest.peek().copied() {
            match next {
                '#' | ';' => break,
                blank if blank.is_ascii_whitespace() || blank == '\u{b}' => break,
                '\'' | '"' => {
                    has_content = true;
                    let opened = self.line;
                    if !self.quoted(next, &mut word) {
                        let message = tr!(
                            "the quote {next} that opens here never closes: write another {next}",
                            "这里开始的引号 {next} 没有结束：再写一个 {next}"
                        );
                        problems.add(opened, message);
                        self.is_unclosed = true;
                        return None;
                    }
                }
                '\\' => has_content |= self.escaped(&mut word),
                _ => {
                    has_content = true;
                    self.bump();
                    word.text.push(next);
                }
            }
        }
        word.span.end = self.at;
        has_content.then_some(word)
    }

    /// Reads a quoted piece. Returns whether its quote is closed.
    fn quoted(&mut self, quote: char, word: &mut Word) -> bool {
        self.bump();
        while let Some(next) = self.rest.peek().copied() {
            if next == quote {
                self.bump();
                return true;
            }
            if next == '\\' && quote == '"' {
                let before = word.text.len();
                self.escaped(word);
                word.lost_line_break |= &word.text[before..] == "n";
            } else {
                self.bump();
                word.text.push(next);
            }
        }
        false
    }

    /// Reads a backslash and the character that it protects; `false` if that is a line end, which
    /// is removed.
    fn escaped(&mut self, word: &mut Word) -> bool {
        self.bump();
        if self.rest.peek() == Some(&'\r') {
            self.bump();
            if self.rest.peek() != Some(&'\n') {
                word.text.push('\r');
                return true;
            }
        }
        match self.bump() {
            None | Some('\n') => false,
            Some(protected) => {
                word.text.push(protected);
                true
            }
        }
    }

    fn skip_comment(&mut self) {
        while self.rest.peek().is_some_and(|next| *next != '\n') {
            self.bump();
        }
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.at += next.map_or(0, char::len_utf8);
        if next == Some('\n') {
            self.line = self.line.saturating_add(1);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read_well(text: &str) -> Vec<Section> {
        let mut problems = Problems::new(Path::new("posgate"));
        let sections = read(text, &mut problems);
        assert_eq!(problems.into_list(), []);
        sections
    }

    fn value(written: &str) -> String {
        let sections = read_well(&format!("config server\n\toption key {written}\n"));
        assert_eq!(sections[0].settings.len(), 1, "{written}");
        sections[0].settings[0].value.clone()
    }

    fn complaints(text: &str) -> Vec<String> {
        let mut problems = Problems::new(Path::new("posgate"));
        read(text, &mut problems);
        problems.into_list().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn quotes_are_read_as_libuci_reads_them() {
        for (written, read) in [
            ("plain", "plain"),
            ("'single quoted'", "single quoted"),
            ("\"double quoted\"", "double quoted"),
            (r"'it'\''s'", "it's"),
            (r#""say \"hi\"""#, r#"say "hi""#),
            (r"'back\slash\n'", r"back\slash\n"),
            (r#""back\\slash""#, r"back\slash"),
            (r"a\ b\#c\;d", "a b#c;d"),
            ("'a'b\"c\"", "abc"),
            ("''", ""),
            ("'# no comment; one word' # a comment 'with a quote", "# no comment; one word"),
            ("word#comment", "word"),
            ("'食堂'", "食堂"),
            ("'two\nlines'", "two\nlines"),
            ("\"joined \\\nlines\"", "joined lines"),
            ("joined\\\n_lines", "joined_lines"),
            ("\\\n   'next line'", "next line"),
            ("\\\r\n   'next line'\r", "next line"),
        ] {
            assert_eq!(value(written), read, "{written}");
        }
    }

    #[test]
    fn sections_hold_their_settings_with_their_lines() {
        let text = "package posgate\n\n# comment\nconfig server 'main'\r\n\toption a '1\n2'\n\tlist b 3; list b 4\nconfig door\n";
        let sections = read_well(text);
        assert_eq!(sections.len(), 2);
        assert_eq!(
            (sections[0].kind.as_str(), sections[0].name.as_deref(), sections[0].line),
            ("server", Some("main"), 4)
        );
        let settings: Vec<_> = sections[0]
            .settings
            .iter()
            .map(|setting| (setting.key.as_str(), setting.is_list, setting.value.as_str(), setting.line))
            .collect();
        assert_eq!(settings, [("a", false, "1\n2", 5), ("b", true, "3", 7), ("b", true, "4", 7)]);
        assert_eq!((sections[1].kind.as_str(), sections[1].name.as_deref(), sections[1].line), ("door", None, 8));
    }

    #[test]
    fn every_broken_line_is_named_with_its_remedy() {
        let text = "option early 1\nconfig\nconfig a b c\nconfig server 'bad name'\noption\noption key\noption a-b 1\n\
                    option pin 12 34\nfoo bar\noption x 'never closed\n";
        let complaints = complaints(text);
        let begins = [
            "posgate:1: it belongs to no section",
            "posgate:2: config without a type",
            "posgate:3: too many words",
            "posgate:4: 'bad name' is not a section name",
            "posgate:5: option without a name",
            "posgate:6: 'key' has no value",
            "posgate:7: 'a-b' is not an option name",
            "posgate:8: more than one value",
            "posgate:9: a line cannot begin with 'foo'",
            "posgate:10: the quote ' that opens here never closes",
        ];
        assert_eq!(complaints.len(), begins.len(), "{complaints:#?}");
        for (complaint, begin) in complaints.iter().zip(begins) {
            assert!(complaint.starts_with(begin), "{complaint} / {begin}");
        }
        assert!(complaints.iter().all(|complaint| !complaint.contains("12 34")));
        // A card table that is given as the configuration shows nothing of a PIN or a number.
        let table = "card,name,pin,credit\n8888888801,li,4711,99\nli,8888888801,4711,99\noption pin'4711'\n";
        let complaints = self::complaints(table).join("\n");
        assert!(complaints.contains("'li,…'") && complaints.contains("'pin…' has no value"), "{complaints}");
        assert!(!complaints.contains("47") && !complaints.contains("11") && !complaints.contains("88"), "{complaints}");
    }

    #[test]
    fn a_line_break_lost_in_double_quotes_is_noticed() {
        let sections = read_well("config text\noption a \"x\\n\"\noption b 'x\\n'\noption c \"\\\"n\"");
        let lost: Vec<bool> = sections[0].settings.iter().map(|setting| setting.lost_line_break).collect();
        assert_eq!(lost, [true, false, false]);
    }
}
