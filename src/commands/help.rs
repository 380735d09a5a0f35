//! `posgate help`, `posgate help COMMAND` and `COMMAND --help` (design.md, section 3), printed from
//! [`COMMANDS`].
//!
//! *Invariants:* no line of a page is wider than a terminal of [`COLUMNS`] columns.

use std::fmt::Write as _;

use posgate::desk::table::{padded, width};
use posgate::lang::{Lang, Text, spoken, tr};

use super::table::{COMMANDS, Command, Opt, find, group};

/// Columns of the narrowest terminal in use.
const COLUMNS: usize = 80;

/// The column of the options' meanings and the commands' summaries.
const MEANING_AT: usize = 30;

pub(super) const TITLE: Text = Text::new(
    "the server that card terminals and door access boards talk to",
    "消费机、扫码终端和门禁控制板所连的服务器",
);

pub(super) const EXITS: Text = Text::new(
    "Exit codes: 0 done, 1 the answer is no, 64 usage, 74 input/output, 78 configuration or damaged ledger. \
     `ledger verify`: 0 clean, 1 torn tail only, 2 altered, 3 missing, 4 swapped, 5 header or snapshot.",
    "退出码：0 正常，1 结果为“否”，64 命令行写错，74 读写失败，78 配置有错或账本损坏。\
     `ledger verify`：0 完好，1 只有末尾残缺，2 有行被改动，3 缺流水，4 流水次序不对，5 文件头或快照不对。",
);

pub(super) const LANG: Opt = Opt {
    name: "lang",
    value: "zh|en",
    meaning: Text::new(
        "language of help and messages; else LC_ALL, LC_MESSAGES or LANG",
        "说明和消息的语言；不写看 LC_ALL、LC_MESSAGES、LANG",
    ),
    is_needed: false,
    is_many: false,
};

/// Prints a summary of all commands.
pub(super) fn overview() -> u8 {
    say!("{}", overview_text().trim_end());
    0
}

fn overview_text() -> String {
    let mut text = format!("posgate: {}\n\n", TITLE.words());
    for command in COMMANDS.iter().filter(|command| command.of_ctl().is_none()) {
        entry(&mut text, 4, &format!("posgate {}", command.name), command.summary().words());
    }
    entry(&mut text, 4, "posgate ctl COMMAND …", tr("talk to the running server:", "与运行中的服务器对话："));
    for command in group("ctl") {
        entry(&mut text, 6, &called(command), command.summary().words());
    }
    text.push('\n');
    let more = tr(
        "`posgate help COMMAND`, such as `posgate help ctl topup`, shows how a command is written, with its options. \
         FILE defaults to $POSGATE_CONFIG, else /etc/config/posgate.",
        "`posgate help COMMAND`（例如 `posgate help ctl topup`）说明一个命令怎么写、有哪些选项。\
         FILE 不写取 $POSGATE_CONFIG，再没有就是 /etc/config/posgate。",
    );
    paragraph(&mut text, more);
    text.push('\n');
    general(&mut text);
    text.push('\n');
    paragraph(&mut text, EXITS.words());
    text
}

/// The option that every command takes.
fn general(text: &mut String) {
    entry(text, 4, &written(&LANG), LANG.meaning.words());
}

/// A command of `ctl` with its operands, without the word `ctl`.
fn called(command: &Command) -> String {
    let name = command.of_ctl().unwrap_or(command.name);
    [&[name], command.operands].concat().join(" ")
}

/// Prints the page of a command, or of a group of commands; `None` if there is no such command.
pub(super) fn page(words: &[&str]) -> Option<u8> {
    let text = page_text(&words.join(" "))?;
    say!("{}", text.trim_end());
    Some(0)
}

fn page_text(name: &str) -> Option<String> {
    let mut text = String::new();
    // `help topup` means the only command that ends with `topup`.
    let last_words =
        || COMMANDS.iter().find(|command| command.name.split_once(' ').is_some_and(|(_, word)| word == name));
    let is_group = group(name).next().is_some();
    if let Some(command) = find(name).or_else(|| last_words().filter(|_| !is_group)) {
        wrapped(&mut text, 4, 8, &usage(command));
        text.push('\n');
        paragraph(&mut text, &sentence(command.summary(), spoken()));
        if command.text != Text::NONE {
            paragraph(&mut text, command.text.words());
        }
        text.push('\n');
        for option in command.options {
            entry(&mut text, 4, &written(option), option.meaning.words());
        }
        general(&mut text);
        if !command.exits.is_empty() {
            let comma = tr(", ", "，");
            let exits = command.exits.iter().map(|(code, meaning)| format!("{comma}{code} {}", meaning.words()));
            let exits = exits.collect::<String>();
            text.push('\n');
            paragraph(
                &mut text,
                &tr!("Exit codes: 0 done{exits}; 64 usage.", "退出码：0 正常{exits}；64 命令行写错。"),
            );
        }
        return Some(text);
    }
    for command in group(name) {
        entry(&mut text, 4, &format!("posgate {}", command.name), command.summary().words());
    }
    if text.is_empty() {
        return None;
    }
    text.push('\n');
    paragraph(
        &mut text,
        &tr!(
            "`posgate help {name} …` shows a command's own page, `posgate --help` all commands.",
            "`posgate help {name} …` 显示一个命令的说明，`posgate --help` 显示全部命令。"
        ),
    );
    Some(text)
}

/// The synopsis of a command.
pub(super) fn usage(command: &Command) -> String {
    let mut usage = format!("posgate {}", command.name);
    for operand in command.operands {
        let _ = write!(usage, " {}", operand.replace(' ', "\u{A0}"));
    }
    for option in command.options {
        let (open, close) = if option.is_needed { ("", "") } else { ("[", "]") };
        let many = if option.is_many { "…" } else { "" };
        let _ = write!(usage, " {open}{}{close}{many}", written(option).replace(' ', "\u{A0}"));
    }
    usage
}

pub(super) fn written(option: &Opt) -> String {
    format!("--{} {}", option.name, option.value).trim_end().to_owned()
}

/// A summary as a sentence of its own.
pub(super) fn sentence(summary: Text, lang: Lang) -> String {
    if lang == Lang::Zh {
        return format!("{}。", summary.zh);
    }
    let mut chars = summary.en.chars();
    let first = chars.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// One line of a list: a name on the left, its meaning on the right, or below if the name is too
/// long.
fn entry(text: &mut String, indent: usize, left: &str, meaning: &str) {
    let _ = write!(text, "{:indent$}", "");
    let mut lines = String::new();
    wrapped(&mut lines, MEANING_AT, MEANING_AT, meaning);
    let _ = if indent + width(left) + 2 > MEANING_AT {
        write!(text, "{left}\n{lines}")
    } else {
        // `padded` already gives the first line its indent.
        write!(text, "{}{}", padded(left, MEANING_AT - indent), lines.trim_start())
    };
    if meaning.is_empty() {
        text.push('\n');
    }
}

fn paragraph(text: &mut String, words: &str) {
    wrapped(text, 0, 0, words);
}

/// Wraps words into lines of at most [`COLUMNS`] columns. A line never ends at a no-break space.
fn wrapped(text: &mut String, first_indent: usize, indent: usize, words: &str) {
    let (mut used, mut begin) = (0, first_indent);
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        let mut blank = 1;
        for piece in pieces(word) {
            let piece = piece.replace('\u{A0}', " ");
            if used > 0 && used + blank + width(&piece) > COLUMNS {
                text.push('\n');
                (used, begin) = (0, indent);
            }
            let blanks = if used == 0 { begin } else { blank };
            text.push_str(&" ".repeat(blanks));
            text.push_str(&piece);
            used += blanks + width(&piece);
            blank = 0;
        }
    }
    if used > 0 {
        text.push('\n');
    }
}

/// Splits a word into pieces between which a line may end: beside a Chinese character, but not
/// before a closing sign and not after an opening one.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let is_wide = |character: char| width(character.encode_utf8(&mut [0; 4])) > 1;
    let mut rest = word;
    std::iter::from_fn(move || {
        let mut chars = rest.char_indices();
        let mut before = chars.next()?.1;
        let end = chars.find(|(_, next)| {
            let may_end =
                (is_wide(before) || is_wide(*next)) && !"（“".contains(before) && !"，。；：、）”".contains(*next);
            before = *next;
            may_end
        });
        let (piece, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table::takes_value;
    use posgate::desk::control::request;
    use posgate::lang::speak;

    #[test]
    fn chinese_is_wrapped_between_characters_but_not_before_what_ends_something() {
        let pieces_of = |word: &'static str| pieces(word).collect::<Vec<_>>();
        assert_eq!(pieces_of("abc"), ["abc"]);
        assert_eq!(pieces_of("重读crc（例如"), ["重", "读", "crc", "（例", "如"]);
        assert_eq!(pieces_of("停。好（x），"), ["停。", "好", "（x），"]);
        assert_eq!(pieces_of(""), [""; 0]);
    }

    #[test]
    fn no_page_is_wider_than_80_columns() {
        let groups = ["cards", "ledger", "ctl"];
        let names = COMMANDS.iter().map(|command| command.name).chain(groups);
        for lang in [Lang::Zh, Lang::En] {
            speak(lang);
            let pages = names.clone().map(|name| page_text(name).unwrap_or_else(|| panic!("no page of {name}")));
            for page in pages.chain([overview_text()]) {
                for line in page.lines() {
                    assert!(width(line) <= COLUMNS, "{} columns: {line}", width(line));
                    assert_eq!(line.trim_end(), line);
                }
            }
        }
        let page = page_text("ctl discover").unwrap_or_default();
        assert!(page.contains(&request::DISCOVER_PORT.to_string()), "{page}");
        assert!(page_text("sell").is_none() && page_text("ctl sell").is_none() && page_text("").is_none());
    }

    #[test]
    fn every_command_says_what_it_does_and_every_option_what_it_means() {
        for command in COMMANDS {
            let has_both = |text: Text| !text.en.is_empty() && !text.zh.is_ascii();
            assert!(has_both(command.summary()), "{}", command.name);
            assert!(command.text == Text::NONE || has_both(command.text), "{}", command.name);
            assert!(command.exits.iter().all(|(_, meaning)| has_both(*meaning)), "{}", command.name);
            let page = page_text(command.name).unwrap_or_default();
            assert!(page.starts_with(&format!("    posgate {}", command.name)), "{page}");
            for option in command.options {
                assert!(has_both(option.meaning) && page.contains(&format!("    --{}", option.name)), "{page}");
            }
        }
        let mut names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len(), "a name stands twice");
    }

    /// `--lang` is parsed before the command is known, so whether an option takes a value must not
    /// depend on the command.
    #[test]
    fn an_option_takes_a_value_in_every_command_or_in_none() {
        for command in COMMANDS {
            for option in command.options {
                assert_eq!(takes_value(option.name), !option.value.is_empty(), "{} --{}", command.name, option.name);
                assert_ne!(option.name, LANG.name, "{}", command.name);
            }
        }
        assert!(!takes_value("no-such-option"));
    }

    #[test]
    fn what_the_socket_takes_can_be_written() {
        // Other commands include these answers.
        let within = ["unknown", "found-devices", "head"];
        // `posgate link` says these, or its peer does.
        let by_link = ["link", "ack", "wait", "crc_of"];
        for spec in
            request::COMMANDS.iter().filter(|spec| !within.contains(&spec.name) && !by_link.contains(&spec.name))
        {
            let command = if spec.name == "forget-office" { "office" } else { spec.name };
            assert!(find(&format!("ctl {command}")).is_some(), "{}", spec.name);
        }
    }
}
