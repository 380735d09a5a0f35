//! The man page and the shell completions (design.md, section 3), printed from [`COMMANDS`]: in
//! English, and not in a router's build, where nobody reads the page or sources the completions.

use std::fmt::Write as _;

use posgate::lang::{Lang, Text};

use super::help::{EXITS, LANG, TITLE, sentence, usage, written};
use super::table::{COMMANDS, Command, find, group};

/// Prints the man page.
pub(super) fn man() -> u8 {
    say!("{}", man_text().trim_end());
    0
}

fn man_text() -> String {
    let mut page = format!(".TH POSGATE 1 \"\" \"posgate {}\"\n", env!("CARGO_PKG_VERSION"));
    let _ =
        writeln!(page, ".SH NAME\nposgate \\- {}\n.SH SYNOPSIS\n.B posgate\nCOMMAND …\n.SH COMMANDS", roff(TITLE.en));
    for command in COMMANDS {
        let _ = writeln!(page, ".SS {}", roff(&usage(command).replace('\u{A0}', " ")));
        let _ = writeln!(page, "{}", roff(&sentence(command.summary(), Lang::En)));
        if command.text != Text::NONE {
            let _ = writeln!(page, "{}", roff(command.text.en));
        }
        for option in command.options {
            let _ = writeln!(page, ".TP\n.B {}\n{}", roff(&written(option)), roff(option.meaning.en));
        }
        for (code, meaning) in command.exits {
            let _ = writeln!(page, ".TP\nexit code {code}\n{}", roff(meaning.en));
        }
    }
    let _ = writeln!(
        page,
        ".SH OPTIONS\nEvery command takes:\n.TP\n.B {}\n{}",
        roff(&written(&LANG)),
        roff(LANG.meaning.en)
    );
    let _ = writeln!(page, ".SH EXIT STATUS\n{}", roff(EXITS.en));
    page.push_str(".SH ENVIRONMENT\n");
    for (variable, meaning) in [
        ("POSGATE_CONFIG", "the configuration, where --config is not given"),
        ("POSGATE_BY", "who orders, where --by is not given"),
        ("LC_ALL, LC_MESSAGES, LANG", "the language, where --lang is not given: zh… is Chinese, anything else English"),
        ("RUST_LOG", "instead of option log: error, warn, info, debug or trace"),
    ] {
        let _ = writeln!(page, ".TP\n.B {variable}\n{}", roff(meaning));
    }
    let _ = writeln!(page, ".SH FILES\n.TP\n.I /etc/config/posgate\nthe configuration, where none is named");
    page
}

/// Escapes a text for roff: no line is taken as a request, and dashes can be copied.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

/// Prints the completions for a shell; `None` for an unknown shell.
pub(super) fn completion(shell: &str) -> Option<u8> {
    let text = match shell {
        "bash" => bash(),
        "zsh" => zsh(),
        "fish" => fish(),
        _ => return None,
    };
    say!("{}", text.trim_end());
    Some(0)
}

/// The first words of all commands, in order.
fn first_words() -> Vec<&'static str> {
    let mut words: Vec<&str> =
        COMMANDS.iter().map(|command| command.name.split(' ').next().unwrap_or_default()).collect();
    words.dedup();
    words
}

fn second_words(first: &str) -> Vec<&'static str> {
    group(first).filter_map(|command| command.name.split_once(' ')).map(|(_, word)| word).collect()
}

/// The pattern for the command's first words in a shell's `case` of the first and second word.
fn pattern(command: &Command) -> String {
    if command.name.contains(' ') { format!("'{}'", command.name) } else { format!("'{} '*", command.name) }
}

fn bash() -> String {
    let mut text = String::from(
        "# Completions of posgate for bash: source this file, or keep it as bash-completion's posgate.\n_posgate() {\n    \
         local word=${COMP_WORDS[COMP_CWORD]} first=${COMP_WORDS[1]} second=${COMP_WORDS[2]:-} all=\n    \
         case \"$COMP_CWORD $first\" in\n",
    );
    let _ = writeln!(text, "    '1 '*) all='{} --help --version --lang' ;;", first_words().join(" "));
    for first in first_words() {
        let words = second_words(first);
        if !words.is_empty() {
            let _ = writeln!(text, "    '2 {first}') all='{}' ;;", words.join(" "));
        }
    }
    text.push_str("    esac\n    if [ -z \"$all\" ]; then\n        case \"$first $second\" in\n");
    for command in COMMANDS {
        let options: String = command.options.iter().map(|option| format!("--{} ", option.name)).collect();
        let _ = writeln!(text, "        {}) all='{options}--lang --help' ;;", pattern(command));
    }
    text.push_str(
        "        esac\n        case $word in\n        -*) ;;\n        *)\n            mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n            \
         return\n            ;;\n        esac\n    fi\n    mapfile -t COMPREPLY < <(compgen -W \"$all\" -- \"$word\")\n}\n\
         complete -o filenames -F _posgate posgate\n",
    );
    text
}

/// Prepares a description for single quotes: without quotes, and without colons, which end a word
/// there.
fn quoted(text: &str) -> String {
    text.replace('\'', "").replace(':', " -").replace('`', "")
}

fn zsh() -> String {
    let mut text =
        String::from("#compdef posgate\nlocal -a choices\ncase \"$CURRENT $words[2]\" in\n'2 '*)\n    choices=(\n");
    for first in first_words() {
        let meaning = find(first).map_or("commands of this kind", |command| command.summary().en);
        let _ = writeln!(text, "        '{first}:{}'", quoted(meaning));
    }
    text.push_str("    )\n    _describe command choices\n    return\n    ;;\n");
    for first in first_words() {
        if second_words(first).is_empty() {
            continue;
        }
        let _ = writeln!(text, "'3 {first}')\n    choices=(");
        for command in group(first) {
            let word = command.name.split_once(' ').map_or("", |(_, word)| word);
            let _ = writeln!(text, "        '{word}:{}'", quoted(command.summary().en));
        }
        text.push_str("    )\n    _describe command choices\n    return\n    ;;\n");
    }
    text.push_str("esac\ncase \"$words[2] $words[3]\" in\n");
    for command in COMMANDS {
        let _ = writeln!(text, "{})\n    choices=(", pattern(command));
        for option in command.options {
            let _ = writeln!(text, "        '--{}:{}'", option.name, quoted(option.meaning.en));
        }
        text.push_str("    )\n    ;;\n");
    }
    text.push_str("esac\nchoices+=('--lang:zh or en')\n_describe -o option choices\n_files\n");
    text
}

fn fish() -> String {
    let mut text = String::from("# Completions of posgate for fish.\ncomplete -c posgate -l lang -x -a 'zh en'\n");
    for first in first_words() {
        let meaning = find(first).map_or("commands of this kind", |command| command.summary().en);
        let _ = writeln!(text, "complete -c posgate -n __fish_use_subcommand -f -a {first} -d '{}'", quoted(meaning));
    }
    for command in COMMANDS {
        let condition = match command.name.split_once(' ') {
            Some((first, word)) => {
                let others = second_words(first).join(" ");
                let _ = writeln!(
                    text,
                    "complete -c posgate -n '__fish_seen_subcommand_from {first}; and not __fish_seen_subcommand_from {others}' -f -a {word} -d '{}'",
                    quoted(command.summary().en)
                );
                format!("__fish_seen_subcommand_from {first}; and __fish_seen_subcommand_from {word}")
            }
            None => format!("__fish_seen_subcommand_from {}", command.name),
        };
        for option in command.options {
            let value = if option.value.is_empty() { "" } else { " -r" };
            let _ = writeln!(
                text,
                "complete -c posgate -n '{condition}' -l {}{value} -d '{}'",
                option.name,
                quoted(option.meaning.en)
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_man_page_and_the_completions_name_every_command_and_option() {
        let (man, bash, zsh, fish) = (man_text(), bash(), zsh(), fish());
        for command in COMMANDS {
            let word = command.name.split(' ').next_back().unwrap_or_default();
            assert!(man.contains(&roff(command.name)), "{}", command.name);
            for text in [&bash, &zsh, &fish] {
                assert!(text.contains(word), "{}", command.name);
            }
            for option in command.options {
                assert!(man.contains(&format!(".B \\-\\-{}", roff(option.name))), "{}", option.name);
                assert!(bash.contains(&format!("--{} ", option.name)), "{}", option.name);
                assert!(zsh.contains(&format!("'--{}:", option.name)), "{}", option.name);
                assert!(fish.contains(&format!("-l {} ", option.name)), "{}", option.name);
            }
        }
        let requests = [".TH", ".SH", ".SS", ".TP", ".B", ".I"];
        for line in man.lines().filter(|line| line.starts_with(['.', '\''])) {
            assert!(requests.contains(&line.split(' ').next().unwrap_or_default()), "{line}");
        }
        for line in zsh.lines().chain(fish.lines()) {
            assert!(line.matches('\'').count() % 2 == 0, "{line}");
        }
    }
}
