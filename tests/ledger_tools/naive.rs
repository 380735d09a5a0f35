//! A second opinion: the ledger's lines split at their tabs, JSON read without a library.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A line's columns as they stand.
pub struct Row(Vec<String>);

impl Row {
    /// By its number in design.md, from 1; empty for none.
    pub fn column(&self, number: usize) -> &str {
        let text = self.0[number - 1].as_str();
        if text == "\\N" { "" } else { text }
    }

    pub fn seq(&self) -> u64 {
        self.column(1).parse().unwrap()
    }

    pub fn crc(&self) -> &str {
        self.0.last().unwrap()
    }

    pub fn kind(&self) -> &str {
        self.column(4)
    }

    pub fn fen(&self) -> i64 {
        fen(self.column(10))
    }

    pub fn subsidy(&self) -> i64 {
        fen(self.column(11))
    }

    pub fn uses(&self) -> i64 {
        self.column(12).parse().unwrap_or(0)
    }

    pub fn word(&self, key: &str) -> &str {
        self.column(19).split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('=')).unwrap_or("")
    }

    /// `day=`, else the date of its time.
    pub fn day(&self) -> &str {
        let own = self.word("day");
        if own.is_empty() { &self.column(2)[..10] } else { own }
    }

    pub fn is_sale(&self) -> bool {
        ["charge", "meal", "scan", "offline"].contains(&self.kind()) && self.word("claimed").is_empty()
    }
}

pub fn fen(yuan: &str) -> i64 {
    yuan.replace('.', "").parse().unwrap_or(0)
}

pub fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", fen.abs() / 100, fen.abs() % 100)
}

/// The segments of directories, in the order of their names.
pub fn segments(directories: &[&Path]) -> Vec<PathBuf> {
    let files = directories.iter().flat_map(|directory| fs::read_dir(directory).unwrap());
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    let is_segment = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("ledger-") && path.extension().is_some_and(|extension| extension == "tsv")
    };
    paths.retain(is_segment);
    paths.sort_by_key(|path| path.file_name().unwrap().to_owned());
    paths
}

/// All whole lines.
pub fn rows(directories: &[&Path]) -> Vec<Row> {
    let mut rows = Vec::new();
    for path in segments(directories) {
        let bytes = fs::read(path).unwrap();
        let text = String::from_utf8(bytes[512..].to_vec()).unwrap();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        rows.extend(whole.lines().map(|line| Row(line.split('\t').map(str::to_owned).collect())));
    }
    rows
}

/// Count, fen of cash, fen of subsidy, and uses.
pub type Sum = (u64, i64, i64, i64);

pub fn sum<'a>(rows: impl Iterator<Item = &'a Row>) -> Sum {
    rows.fold((0, 0, 0, 0), with)
}

/// The sum with one line more.
pub fn with((count, fen, subsidy, uses): Sum, row: &Row) -> Sum {
    (count + 1, fen + row.fen(), subsidy + row.subsidy(), uses + row.uses())
}

/// The sum with the opposite sign: what was taken.
pub fn taken((count, fen, subsidy, uses): Sum) -> Sum {
    (count, -fen, -subsidy, -uses)
}

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Flag(bool),
    Number(i64),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    #[track_caller]
    pub fn read(text: &str) -> Self {
        let mut rest = text.trim_end();
        let value = Self::value(&mut rest);
        assert_eq!(rest, "", "one value: {text}");
        value
    }

    fn value(rest: &mut &str) -> Self {
        match rest.chars().next().unwrap() {
            '{' => {
                let mut members = BTreeMap::new();
                *rest = &rest[1..];
                while !rest.starts_with('}') {
                    *rest = rest.trim_start_matches(',');
                    let Self::Text(key) = Self::value(rest) else { panic!("a key: {rest}") };
                    *rest = rest.strip_prefix(':').unwrap();
                    assert!(members.insert(key.clone(), Self::value(rest)).is_none(), "{key} twice");
                }
                *rest = &rest[1..];
                Self::Object(members)
            }
            '[' => {
                let mut values = Vec::new();
                *rest = &rest[1..];
                while !rest.starts_with(']') {
                    *rest = rest.trim_start_matches(',');
                    values.push(Self::value(rest));
                }
                *rest = &rest[1..];
                Self::List(values)
            }
            '"' => {
                let (mut text, mut characters) = (String::new(), rest[1..].char_indices());
                loop {
                    let (at, character) = characters.next().unwrap();
                    match character {
                        '"' => {
                            *rest = &rest[at + 2..];
                            return Self::Text(text);
                        }
                        '\\' => match characters.next().unwrap().1 {
                            'u' => {
                                let digits: String = characters.by_ref().take(4).map(|(_, digit)| digit).collect();
                                text.push(char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap());
                            }
                            plain => text.push(plain),
                        },
                        plain => {
                            assert!(!plain.is_control());
                            text.push(plain);
                        }
                    }
                }
            }
            _ => {
                let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                *rest = after;
                match word {
                    "null" => Self::Null,
                    "true" => Self::Flag(true),
                    "false" => Self::Flag(false),
                    number => Self::Number(number.parse().unwrap_or_else(|_| panic!("{number}"))),
                }
            }
        }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> &Self {
        path.split('.').fold(self, |value, key| match value {
            Self::Object(members) => members.get(key).unwrap_or_else(|| panic!("no {path}")),
            other => panic!("{path}: {other:?}"),
        })
    }

    #[track_caller]
    pub fn text(&self, path: &str) -> &str {
        match self.get(path) {
            Self::Text(text) => text,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[track_caller]
    pub fn number(&self, path: &str) -> i64 {
        match self.get(path) {
            Self::Number(number) => *number,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[track_caller]
    pub fn list(&self, path: &str) -> &[Self] {
        match self.get(path) {
            Self::List(values) => values,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// A sum as the report writes it.
    #[track_caller]
    pub fn sum(&self, path: &str) -> Sum {
        let sum = self.get(path);
        (
            u64::try_from(sum.number("count")).unwrap(),
            fen(sum.text("amount")),
            fen(sum.text("subsidy")),
            sum.number("uses"),
        )
    }
}
