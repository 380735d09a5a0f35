//! The manual (`docs/` and `docs/zh/`, with README.md and README.zh-CN.md before them) says what
//! the program does: every option, column, kind, reason, detail key and exit code stands in both
//! languages, with the defaults and bounds of the code; what it tells a reader to run works; both
//! languages have the same pages, headings and tables.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[path = "support/not_run.rs"]
mod not_run;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use not_run::not_run;
use posgate::desk::control::request::COMMANDS;
use posgate::engine::limits;
use posgate::engine::model::{
    Balance, CardNo, ClockState, Detail, Entry, EntrySeq, Kind, MachineNo, Reason, Stamp, Text,
};
use posgate::files::cards::columns::COLUMNS as CARD_COLUMNS;
use posgate::files::config::options::{Form, SECTIONS};
use posgate::ledger::verify::Fault;
use posgate::ledger::{DirStorage, Entries, Ledger, line};

const READMES: [&str; 2] = ["README.md", "README.zh-CN.md"];

/// Lines of a README at most: it is the way in, the manual has the rest.
const README_LINES_MAX: usize = 200;

/// The manual's pages in their order, each in `docs/` and in `docs/zh/`.
const PAGES: [&str; 17] = [
    "getting-started",
    "router",
    "commands",
    "desk",
    "reports",
    "configuration",
    "card-table",
    "decisions",
    "ledger-format",
    "control-socket-and-status",
    "backup",
    "troubleshooting",
    "security",
    "how-it-works",
    "protocol",
    "testing",
    "performance",
];

/// What is there in English only.
const ENGLISH_ONLY: [&str; 2] = ["design", "glossary"];

/// A page of the manual in both languages.
fn page(name: &str) -> [String; 2] {
    assert!(PAGES.contains(&name), "the manual has no page {name:?}");
    [format!("docs/{name}.md"), format!("docs/zh/{name}.md")]
}

/// A page in both languages, each with the heading of that language.
fn page_under<'a>(name: &str, headings: [&'a str; 2]) -> [(String, &'a str); 2] {
    let [english, chinese] = page(name);
    [(english, headings[0]), (chinese, headings[1])]
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The cells of a table's row.
fn cells(row: &str) -> Vec<String> {
    let inner = row.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{0}");
    inner.split('|').map(|cell| cell.replace('\u{0}', "|").trim().to_owned()).collect()
}

/// The rows of the tables between the heading and the next one of its level or above.
fn rows_under(readme: &str, heading: &str) -> Vec<Vec<String>> {
    let level = heading.chars().take_while(|character| *character == '#').count();
    let text = read(readme);
    let text = format!("\n{text}");
    let (_, rest) = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{readme} has no {heading:?}"));
    let is_end = |line: &&str| {
        let depth = line.chars().take_while(|character| *character == '#').count();
        (1..=level).contains(&depth) && line[depth..].starts_with(' ')
    };
    let lines = rest.lines().take_while(|line| !is_end(line));
    lines.filter(|line| line.starts_with('|') && !line.starts_with("|---")).map(cells).collect()
}

/// All rows of all tables.
fn rows(readme: &str) -> Vec<Vec<String>> {
    let text = read(readme);
    text.lines().filter(|line| line.starts_with('|')).map(cells).collect()
}

/// The words of a cell that stand in backticks.
fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The fenced blocks of a language.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in read(readme).lines() {
        let line = line.strip_prefix("   ").filter(|line| !line.starts_with(' ') || open.is_some()).unwrap_or(line);
        match &mut open {
            Some(_) if line.starts_with("```") => blocks.extend(open.take()),
            Some(block) => writeln!(block, "{line}").unwrap(),
            None if line.starts_with("```") => {
                // Blocks of other languages are read over.
                open = Some(String::new());
                if line != format!("```{language}") {
                    open = None;
                }
            }
            None => (),
        }
    }
    blocks
}

fn assert_has_row(readme: &str, rows: &[Vec<String>], word: &str, text: &str) {
    let row = rows.iter().find(|row| words(&row[0]).contains(&word));
    let row = row.unwrap_or_else(|| panic!("{readme} has no row for `{word}`"));
    assert!(row.join(" | ").contains(text), "{readme}: the row of `{word}` does not say {text:?}");
}

#[test]
fn every_option_stands_in_its_sections_table_with_its_default_and_bounds() {
    for readme in &page("configuration") {
        for section in SECTIONS {
            let rows = rows_under(readme, &format!("## `config {}`", section.kind));
            let keys: Vec<&str> = rows.iter().skip(1).map(|row| words(&row[0])[0]).collect();
            let known: Vec<&str> = section.options.iter().map(|option| option.key).collect();
            assert_eq!(keys, known, "{readme}: config {}", section.kind);
            for (row, option) in rows.iter().skip(1).zip(section.options) {
                let key = option.key;
                let is_list = row[0].contains("list") || row[0].contains("列表");
                assert_eq!(is_list, option.is_list, "{readme}: `{key}`: a list or not");
                let default = words(&row[1]);
                let wanted: &[&str] = option.default.as_slice();
                let wanted = if wanted == [""] { &[] } else { wanted };
                assert_eq!(default, wanted, "{readme}: `{key}`: the default");
                match option.form {
                    Form::Number { min, max } => {
                        assert_eq!(row[2], format!("{min}–{max}"), "{readme}: `{key}`: the bounds");
                    }
                    Form::Word(choices) => assert_eq!(words(&row[2]), choices, "{readme}: `{key}`: the choices"),
                    Form::Label { len_max } => {
                        assert!(row[2].starts_with(&format!("1–{len_max} ")), "{readme}: `{key}`: the length");
                    }
                    // Forms without bounds of their own are said in words.
                    _ => assert!(!row[2].is_empty(), "{readme}: `{key}`: the values"),
                }
                assert!(!row[3].is_empty(), "{readme}: `{key}`: the meaning");
            }
        }
    }
}

#[test]
fn every_variable_of_a_text_is_named() {
    let source = read("src/files/config/texts.rs");
    let variables: Vec<&str> = source
        .lines()
        .filter(|line| line.trim().starts_with("(\"") && line.contains("Variable::"))
        .map(|line| line.split('"').nth(1).unwrap())
        .collect();
    assert!(variables.len() >= 7, "{variables:?}");
    for readme in &page("configuration") {
        let text = read(readme);
        for variable in &variables {
            assert!(text.contains(&format!("`${variable}`")), "{readme} does not name ${variable}");
        }
    }
}

#[test]
fn every_card_column_stands_with_all_its_names() {
    for (readme, heading) in &page_under("card-table", ["# The card table", "# 卡表"]) {
        let rows = rows_under(readme, heading);
        for spec in CARD_COLUMNS {
            assert_has_row(readme, &rows, spec.english, &format!("| {} |", spec.chinese.join(", ")));
        }
    }
}

#[test]
fn every_ledger_column_stands_at_its_number() {
    for (readme, heading) in &page_under("ledger-format", ["# The ledger", "# 账本"]) {
        let rows = rows_under(readme, heading);
        for (index, column) in line::COLUMNS.iter().enumerate() {
            let number = (index + 1).to_string();
            let row =
                rows.iter().find(|row| row[0] == number).unwrap_or_else(|| panic!("{readme}: no column {number}"));
            assert_eq!(words(&row[1]), [*column], "{readme}: column {number}");
        }
    }
}

#[test]
fn every_kind_stands_in_a_table() {
    for (readme, heading) in &page_under("ledger-format", ["# The ledger", "# 账本"]) {
        let rows = rows_under(readme, heading);
        for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Other) {
            assert_has_row(readme, &rows, kind.word(), "");
        }
    }
}

#[test]
fn every_reason_stands_with_its_words_in_the_ladders_order() {
    for (readme, heading) in &page_under("decisions", ["# Decisions", "# 判断规则"]) {
        let rows = rows_under(readme, heading);
        let told: Vec<(&str, &str)> = rows.iter().skip(1).map(|row| (words(&row[0])[0], row[1].as_str())).collect();
        let known: Vec<(&str, &str)> = Reason::ALL.iter().map(|reason| (reason.word(), reason.text())).collect();
        assert_eq!(told, known, "{readme}");
    }
}

/// The text of every source file of the server.
fn sources() -> Vec<String> {
    let mut texts = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("bin") {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(fs::read_to_string(&path).unwrap());
            }
        }
    }
    texts
}

/// The words that stand in the code between this and the next quote.
fn quoted_after(mark: &str) -> Vec<String> {
    let texts = sources();
    let found = texts.iter().flat_map(|text| text.split(mark).skip(1));
    found.map(|rest| rest.trim_start().trim_start_matches('"').split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn every_detail_key_stands_in_a_table() {
    // Those of design.md, section 7, and those the code writes.
    let designed = "reason code asked claimed day period rule left by note key for nth mode correction invalid n \
                    cards cards_crc config_crc unopened unopened_sum";
    let written = quoted_after("detail.push(\"");
    assert!(written.len() > 20, "{written:?}");
    for (readme, heading) in &page_under("ledger-format", ["# The ledger", "# 账本"]) {
        let rows = rows_under(readme, heading);
        let first = rows.iter().position(|row| row[0].contains("detail")).unwrap();
        for key in written.iter().map(String::as_str).chain(designed.split_whitespace()) {
            assert_has_row(readme, &rows[first..], key, "");
        }
        for key in rows[first..].iter().skip(1).flat_map(|row| words(&row[0])) {
            let is_known =
                written.iter().any(|known| known == key) || designed.split_whitespace().any(|known| known == key);
            assert!(is_known, "{readme} names a detail key {key:?} that nothing writes");
        }
    }
}

#[test]
fn every_line_of_the_log_is_named_by_its_first_word() {
    let lines = ["info!(", "warn!(", "error!("].map(quoted_after).concat();
    let words: Vec<&str> = lines.iter().map(|line| line.split([' ', ':']).next().unwrap()).collect();
    // A line that begins with a variable is a problem with its file and line, or a decision: named
    // in words.
    let words: Vec<&str> =
        words.into_iter().filter(|word| word.chars().all(|next| next.is_ascii_lowercase() || next == '-')).collect();
    assert!(words.len() > 20, "{words:?}");
    for (readme, heading) in &page_under("troubleshooting", ["## The log", "## 日志"]) {
        let rows = rows_under(readme, heading);
        let told = rows.iter().map(|row| row[1].as_str()).collect::<String>();
        let told: Vec<&str> = self::words(&told).iter().flat_map(|word| word.split(' ')).collect();
        for word in &words {
            // That a source's lines were left out is told in the text above the table.
            assert!(*word == "log-suppressed" || told.contains(word), "{readme} does not name the log line {word:?}");
        }
    }
}

#[test]
fn every_exit_code_stands_in_a_table() {
    let source = read("src/commands/mod.rs");
    let constants = source.split("const EXIT_").skip(1);
    let mut codes: Vec<u8> = constants
        .map(|rest| {
            let number = rest.split_once('=').and_then(|(_, rest)| rest.split_once(';')).unwrap().0;
            number.trim().parse().unwrap()
        })
        .collect();
    assert!(codes.len() >= 3, "{codes:?}");
    codes.push(0);
    codes.extend([Fault::Torn, Fault::Altered, Fault::Missing, Fault::Swapped, Fault::Header].map(|fault| fault as u8));
    for readme in &page("commands") {
        let rows = rows(readme);
        for code in &codes {
            assert!(
                rows.iter().any(|row| row.len() == 2 && row[0] == code.to_string()),
                "{readme} has no row for exit code {code}"
            );
        }
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    for (readme, heading) in &page_under("how-it-works", ["## Limits", "## 容量"]) {
        let rows = rows_under(readme, heading);
        for limit in [
            limits::CARDS_MAX,
            limits::ACCOUNTS_MAX,
            limits::DEVICES_MAX,
            limits::PERIODS_MAX,
            limits::DOOR_RULES_MAX,
            limits::GROUPS_MAX,
            limits::DATAGRAM_LEN_MAX,
            limits::RECENT_FRAMES_MAX,
            limits::OFFLINE_KEPT_MIN,
            limits::DOUBTS_KEPT_MIN,
            limits::PASSES_KEPT_MIN,
            limits::NAMES_KEPT_MIN,
            limits::FILES_KEPT_MIN,
            limits::VOIDS_KEPT_MIN,
            limits::LINKS_MAX,
            limits::UNKNOWN_CARDS_MAX,
            limits::CONTROL_CLIENTS_MAX,
            limits::CONTROL_LINE_MAX,
            limits::CONTROL_TURN_LINES,
            limits::FOUND_MAX,
            limits::PENDING_MAX,
            limits::TEXT_LEN_MAX,
            limits::CODE_LEN_MAX,
            limits::NAME_LEN_MAX,
            limits::TURN_DATAGRAMS_MAX,
            limits::ASIDE_MAX,
        ] {
            let digits = if limit < 1000 { limit.to_string() } else { format!("{},{:03}", limit / 1000, limit % 1000) };
            let says = |row: &Vec<String>| {
                row[1].split([' ', '；', '，', ';']).any(|word| word.trim_end_matches(',') == digits)
            };
            assert!(rows.iter().any(says), "{readme} does not say {digits}");
        }
    }
}

#[test]
fn every_command_of_the_control_socket_stands_with_its_members() {
    for (readme, heading) in &page_under("control-socket-and-status", ["## The control socket", "## 控制接口"]) {
        let rows = rows_under(readme, heading);
        for spec in COMMANDS {
            let row = rows.iter().find(|row| words(&row[0]) == [spec.name]);
            let row = row.unwrap_or_else(|| panic!("{readme} has no row for {}", spec.name));
            assert_eq!(
                (words(&row[1]), words(&row[2])),
                (spec.needs.to_vec(), spec.takes.to_vec()),
                "{readme}: {}",
                spec.name
            );
        }
        assert_eq!(rows.len(), COMMANDS.len() + 1, "{readme} names what is no command");
    }
}

#[test]
fn every_command_of_ctl_stands_in_the_help_and_in_a_table() {
    let table = read("src/commands/table.rs");
    let names = table.split("\"ctl ").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name);
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    assert!(names.len() > 20, "{names:?}");
    let help = Command::new(env!("CARGO_BIN_EXE_posgate")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for name in names {
        let is_named =
            |text: &str| text.split(|next: char| !next.is_ascii_lowercase() && next != '-').any(|word| word == name);
        assert!(is_named(&help), "--help does not name {name}");
        for (readme, heading) in &page_under("desk", ["# At the desk", "# 柜台"]) {
            let rows = rows_under(readme, heading);
            assert!(rows.iter().any(|row| is_named(&row[0]) || is_named(&row[1])), "{readme} does not name {name}");
        }
    }
}

/// Headings by depth, each with the rows of its tables.
fn shape(document: &str) -> Vec<(usize, usize)> {
    let mut shape = Vec::new();
    let mut is_code = false;
    for line in read(document).lines() {
        is_code ^= line.trim_start().starts_with("```");
        let depth = line.chars().take_while(|character| *character == '#').count();
        if depth > 0 && !is_code {
            shape.push((depth, 0));
        } else if line.starts_with('|') {
            shape.last_mut().unwrap().1 += 1;
        }
    }
    shape
}

#[test]
fn both_languages_have_the_same_sections_tables_and_commands() {
    // The frames stand in English alone: of that page the last part, what is not known, is in both
    // languages.
    let pages = PAGES.into_iter().filter(|name| *name != "protocol").map(page);
    for [english, chinese] in pages.chain([READMES.map(str::to_owned)]) {
        assert_eq!(shape(&english), shape(&chinese), "{english}: headings by depth, with their tables' rows");
        for language in ["sh", "sql", "python", "text", "tsv"] {
            assert_eq!(blocks(&english, language), blocks(&chinese, language), "{english}: {language}");
        }
    }
    let [english, chinese] = page("protocol");
    assert_eq!(shape(&english).last(), shape(&chinese).last(), "what is not known");
}

/// The pages that a table of contents lists, in order, without their ending.
fn contents(summary: &str) -> Vec<String> {
    let text = read(summary);
    let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    links.map(|link| link.strip_suffix(".md").unwrap_or_else(|| panic!("{summary}: {link}")).to_owned()).collect()
}

#[test]
fn the_table_of_contents_lists_every_page_of_its_language_once() {
    let files = |directory: &str| {
        let entries = fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path());
        let pages = entries.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        let mut names: Vec<String> = pages.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.retain(|name| name != "SUMMARY");
        names.sort();
        names
    };
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let english = contents("docs/SUMMARY.md");
    assert_eq!(sorted(english.clone()), files("docs"));
    let own: Vec<&str> = english.iter().map(String::as_str).filter(|name| !ENGLISH_ONLY.contains(name)).collect();
    assert_eq!(own, PAGES);
    let chinese: Vec<String> =
        contents("docs/zh/SUMMARY.md").iter().map(|name| name.trim_start_matches("../").to_owned()).collect();
    assert_eq!(chinese, english, "both languages have the same pages in the same order");
    assert_eq!(files("docs/zh"), sorted(PAGES.map(str::to_owned).to_vec()));
}

#[test]
fn a_readme_is_short_and_leads_to_every_page() {
    for (readme, directory) in READMES.into_iter().zip(["docs", "docs/zh"]) {
        let text = read(readme);
        let count = text.lines().count();
        assert!(count <= README_LINES_MAX, "{readme}: {count} lines; what is longer belongs into the manual");
        for name in PAGES {
            assert!(
                text.contains(&format!("]({directory}/{name}.md")),
                "{readme} does not lead to {directory}/{name}.md"
            );
        }
    }
}

#[test]
fn a_page_of_the_manual_links_to_pages_of_the_manual_only() {
    // So that a book can be made of `docs/` alone.
    for document in PAGES.into_iter().flat_map(page) {
        let depth = document.matches('/').count() - 1;
        for link in read(&document).split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            let ups = target.matches("../").count();
            assert!(ups <= depth || target.contains("://"), "{document}: {target} is outside docs/");
        }
    }
}

#[test]
fn the_transcripts_ledger_lines_follow_from_each_other() {
    let lines = blocks("docs/getting-started.md", "tsv").concat();
    let mut crc = 0;
    for (index, text) in lines.lines().enumerate() {
        let parsed = line::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(parsed.entry.seq, EntrySeq(index as u64 + 1));
        crc = line::continue_crc(crc, &text.as_bytes()[..text.len() - 8]);
        assert_eq!(format!("{crc:08x}"), text[text.len() - 8..], "{text}");
    }
    assert!(lines.lines().count() > 5);
}

/// The lines of a scenario's block that begins with this word.
fn of_scenario<'a>(scenario: &'a str, block: &str) -> impl Iterator<Item = &'a str> {
    let rest = scenario.split_once(&format!("\n{block}")).unwrap().1;
    rest.lines().skip(1).take_while(|line| line.starts_with(' ')).map(str::trim)
}

#[test]
fn the_second_lunch_and_the_holiday_are_those_of_a_scenario() {
    let scenario = read("tests/scenarios/06-decisions/the-manuals-second-lunch-and-holiday.txt");
    for readme in &page("configuration") {
        let config = blocks(readme, "uci").concat();
        let lines: Vec<&str> = config.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, of_scenario(&scenario, "config").collect::<Vec<_>>(), "{readme}");
        let transcript = blocks(readme, "text").into_iter().find(|block| block.starts_with("> 104")).unwrap();
        let told = transcript.lines().filter(|line| line.starts_with(['>', '<']));
        let played = of_scenario(&scenario, "steps").filter_map(|line| match line.strip_prefix("00002 ") {
            Some(sent) => Some(sent),
            None => Some(line).filter(|line| line.starts_with('<')),
        });
        assert_eq!(told.collect::<Vec<_>>(), played.collect::<Vec<_>>(), "{readme}");
    }
}

// ---------------------------------------------------------------- what a reader is told to run

/// Three sales on two machines, one of them on another day, and two refusals.
fn ledger(directory: &Path) {
    let stamp = Stamp::parse("2026-11-22T12:00:00.000+08:00").unwrap();
    let storage = DirStorage::open(directory).unwrap();
    let (mut ledger, _) = Ledger::open(storage, "test", stamp, || 0xA1, &mut Entries(|_: &Entry| Ok(()))).unwrap();
    let mut balance = Balance::ZERO;
    let mut append = |kind: Kind, machine: &str, fen: i64, detail: &[(&str, &str)]| {
        balance += Balance::from_fen(fen);
        let mut entry = Entry::new(kind, stamp, ClockState::Ok);
        entry.seq = EntrySeq(ledger.head().seq.0 + 1);
        entry.machine = MachineNo::parse(machine.as_bytes());
        entry.card = CardNo::parse(b"8888888821");
        entry.account = Some(Text::try_from("T010").unwrap());
        (entry.amount, entry.subsidy, entry.uses) = (Some(Balance::from_fen(fen)), Some(Balance::ZERO), Some(0));
        (entry.balance, entry.subsidy_left, entry.uses_left) = (Some(balance), Some(Balance::ZERO), Some(0));
        entry.detail = detail.iter().fold(Detail::default(), |words, (key, value)| words.with(key, value));
        ledger.append(&entry);
    };
    append(Kind::Open, "", 10_000, &[]);
    append(Kind::Charge, "00001", -550, &[("day", "2026-11-22"), ("period", "lunch")]);
    append(Kind::Scan, "00003", -1200, &[("day", "2026-11-22")]);
    append(Kind::Charge, "00001", -800, &[("day", "2026-11-21")]);
    append(Kind::Decline, "00001", 0, &[("reason", "lost"), ("code", "103"), ("asked", "5.50")]);
    append(Kind::Decline, "00001", 0, &[("code", "103"), ("reason", "balance")]);
    append(Kind::Decline, "00003", 0, &[("reason", "lost")]);
    ledger.write().unwrap();
    ledger.sync().unwrap();
}

fn run(program: &str, arguments: &[&str], directory: &Path) -> Option<Output> {
    match Command::new(program).args(arguments).current_dir(directory).output() {
        Ok(output) => Some(output),
        Err(error) => {
            not_run(&format!("{program}: {error}"));
            None
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_awk_examples_sum_a_ledger() {
    let directory = tempfile::tempdir().unwrap();
    ledger(directory.path());
    let examples = blocks("docs/ledger-format.md", "sh");
    let printed = |wanted: &str| {
        let example = examples.iter().find(|block| block.contains(wanted)).unwrap();
        run("sh", &["-c", example], directory.path()).map(|output| text(&output.stdout) + &text(&output.stderr))
    };
    for (example, wanted) in [
        ("day=2026-11-22", "2 sales, 17.50 yuan\n"),
        ("n[$5]++", "00001 2 13.50\n00003 1 12.00\n"),
        ("reason=", "2 lost\n1 balance\n"),
    ] {
        if let Some(printed) = printed(example) {
            assert_eq!(printed, wanted, "{example}");
        }
    }
    if let Some(printed) = printed("grep -h") {
        assert_eq!(printed.lines().count(), 7, "{printed}");
    }
}

#[test]
fn the_python_lines_verify_a_ledger_and_find_a_change() {
    let directory = tempfile::tempdir().unwrap();
    ledger(directory.path());
    let script = blocks("docs/ledger-format.md", "python").concat();
    let path = directory.path().to_str().unwrap();
    let Some(output) = run("python3", &["-c", &script, path], directory.path()) else { return };
    assert!(output.status.success(), "{}", text(&output.stderr));
    let segment = directory.path().join("ledger-0000000001.tsv");
    let mut bytes = fs::read(&segment).unwrap();
    let last = text(&bytes).lines().last().unwrap().to_owned();
    assert_eq!(text(&output.stdout), format!("head seq=7 crc={}\n", &last[last.len() - 8..]));

    let sale = text(&bytes).find("-5.50").unwrap();
    bytes[sale + 1] = b'4';
    fs::write(&segment, bytes).unwrap();
    let output = run("python3", &["-c", &script, path], directory.path()).unwrap();
    assert!(text(&output.stderr).contains("AssertionError"), "{}", text(&output.stderr));
}

#[test]
fn the_sql_table_has_the_ledgers_columns_in_their_order() {
    let table = blocks("docs/ledger-format.md", "sql").concat();
    let (_, definition) = table.split_once("CREATE TABLE ledger (").unwrap();
    let definition = definition.split_once(");").unwrap().0.replace("(14,2)", "");
    let names: Vec<&str> = definition.split(',').map(|column| column.split_whitespace().next().unwrap()).collect();
    assert_eq!(names, line::COLUMNS);
}
