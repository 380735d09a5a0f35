//! docs/design.md says what the code does: its tables and configurations agree with the tables of
//! the code, in both directions. Each section that a file cites exists. What is marked as planned
//! is not built, and links lead somewhere.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use posgate::desk::control::request::COMMANDS;
use posgate::engine::limits;
use posgate::engine::model::{Kind, Reason};
use posgate::files::cards::columns::COLUMNS as CARD_COLUMNS;
use posgate::files::config;
use posgate::files::config::options::SECTIONS;
use posgate::ledger::line;
use posgate::ledger::verify::Fault;

const DESIGN: &str = "docs/design.md";

/// The documents that a contributor reads. The manual has tests of its own (`tests/readme.rs`).
const DOCUMENTS: [&str; 6] =
    [DESIGN, "docs/protocol.md", "docs/glossary.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];

/// What begins a paragraph about what the server does not do today.
const PLANNED: &str = "> **Planned, not built yet.**";

/// Characters of a line of prose. Rows of tables and lines of code blocks cannot be wrapped.
const COLUMNS_MAX: usize = 100;

/// Every document: those, the READMEs, and the pages of the manual in both languages.
fn all_documents() -> Vec<String> {
    let readmes = ["README.md", "README.zh-CN.md", "deploy/openwrt/README.md", "deploy/openwrt/README.zh-CN.md"];
    let mut all: BTreeSet<String> = DOCUMENTS.into_iter().chain(readmes).map(str::to_owned).collect();
    for directory in ["docs", "docs/zh"] {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.file_name().unwrap().to_str().unwrap();
                all.insert(format!("{directory}/{name}"));
            }
        }
    }
    all.into_iter().collect()
}

/// Chinese is written without blanks: only English is wrapped.
fn is_chinese(document: &str) -> bool {
    document.starts_with("docs/zh/") || document.ends_with(".zh-CN.md")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

// ---------------------------------------------------------------- reading Markdown

/// What stands below a heading, up to the next one of its level or above.
fn part(document: &str, heading: &str) -> String {
    let level = depth(heading);
    let text = read(document);
    let mut lines = text.lines().skip_while(|line| *line != heading);
    lines.next().unwrap_or_else(|| panic!("{document} has no {heading:?}"));
    let mut is_code = false;
    let kept = lines.take_while(|line| {
        is_code ^= line.trim_start_matches(['>', ' ']).starts_with("```");
        is_code || !(1..=level).contains(&depth(line))
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// The level of a heading; 0: it is none.
fn depth(line: &str) -> usize {
    let depth = line.chars().take_while(|next| *next == '#').count();
    if line[depth..].starts_with(' ') { depth } else { 0 }
}

/// The rows of the table whose first heading is this one.
fn table(document: &str, section: &str, first: &str) -> Vec<Vec<String>> {
    let text = part(document, section);
    let mut rows = text.lines().skip_while(|line| !line.starts_with(&format!("| {first} |")));
    rows.next().unwrap_or_else(|| panic!("{document}, {section}: no table begins with {first:?}"));
    rows.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// The cells of a table's row.
fn cells(row: &str) -> Vec<String> {
    let inner = row.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{0}");
    inner.split('|').map(|cell| cell.replace('\u{0}', "|").trim().to_owned()).collect()
}

/// The words of a cell that stand in backticks.
fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The words of the first cells of all rows.
fn first_words(rows: &[Vec<String>]) -> Vec<&str> {
    rows.iter().flat_map(|row| words(&row[0])).collect()
}

/// The configurations in a document: those of today, or those that are planned.
fn configurations(document: &str, is_planned: bool) -> String {
    let text = read(document);
    let lines = text.lines().filter_map(|line| match line.strip_prefix('>') {
        Some(quoted) => is_planned.then(|| quoted.strip_prefix(' ').unwrap_or(quoted)),
        None => (!is_planned).then_some(line),
    });
    let mut kept = String::new();
    let mut is_kept = false;
    for line in lines {
        if line.starts_with("```") {
            is_kept = line == "```uci";
        } else if is_kept {
            kept.extend([line, "\n"]);
        }
    }
    kept
}

/// A line of a configuration.
#[derive(Debug)]
struct Setting {
    section: String,
    key: String,
    is_list: bool,
    value: String,
    has_default: bool,
}

fn settings(text: &str) -> Vec<Setting> {
    let mut section = String::new();
    let mut settings = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let (word, name) = (words.next().unwrap(), words.next().unwrap());
        match word {
            "config" => name.clone_into(&mut section),
            "option" | "list" => settings.push(Setting {
                section: section.clone(),
                key: name.to_owned(),
                is_list: word == "list",
                value: line.split('\'').nth(1).unwrap_or_else(|| panic!("{line}: no value")).to_owned(),
                has_default: !line.contains("# no default"),
            }),
            _ => panic!("{line}: neither a section nor an option"),
        }
    }
    settings
}

// ---------------------------------------------------------------- reading source

/// Every text file below these directories, by its path from the root.
fn texts(directories: &[&str]) -> BTreeMap<PathBuf, String> {
    let mut texts = BTreeMap::new();
    let mut left: Vec<PathBuf> = directories.iter().map(|directory| root().join(directory)).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        // Inputs of the fuzzer and pictures are no texts.
        let is_made = path.components().any(|part| matches!(part.as_os_str().to_str(), Some("target" | "corpus")));
        if let (false, Ok(text)) = (is_made, fs::read_to_string(&path)) {
            texts.insert(path.strip_prefix(root()).unwrap().to_owned(), text);
        }
    }
    texts
}

/// The words that stand in the server's code between this and the next quote.
fn quoted_after(mark: &str) -> BTreeSet<String> {
    let sources = texts(&["src"]);
    let rest = sources.values().flat_map(|text| text.split(mark).skip(1));
    rest.map(|rest| rest.trim_start().split('"').next().unwrap().to_owned()).collect()
}

// ---------------------------------------------------------------- the configuration

#[test]
fn the_configuration_shown_is_every_option_with_its_default() {
    let shown = settings(&configurations(DESIGN, false));
    let known = SECTIONS.iter().flat_map(|section| section.options.iter().map(|option| (section.kind, option)));
    let names: Vec<(&str, &str)> =
        shown.iter().map(|setting| (setting.section.as_str(), setting.key.as_str())).collect();
    assert_eq!(names, known.clone().map(|(kind, option)| (kind, option.key)).collect::<Vec<_>>());
    for (setting, (kind, option)) in shown.iter().zip(known) {
        let name = format!("config {kind}, {}", option.key);
        assert_eq!(setting.is_list, option.is_list, "{name}: a list or not");
        assert_eq!(setting.has_default, option.default.is_some(), "{name}: `no default` stands in the comment or not");
        if let Some(default) = option.default {
            assert_eq!(setting.value, default, "{name}: the default");
        }
    }
}

#[test]
fn the_configuration_shown_is_one_that_posgate_takes() {
    let shown = configurations(DESIGN, false);
    if let Err(problems) = config::parse(shown.as_bytes(), Path::new(DESIGN)) {
        panic!("{}", problems.iter().map(|problem| format!("{problem}\n")).collect::<String>());
    }
}

#[test]
fn a_planned_option_is_none_that_posgate_takes() {
    let planned = settings(&configurations(DESIGN, true));
    assert!(!planned.is_empty());
    for Setting { section, key, .. } in &planned {
        let known = SECTIONS.iter().find(|spec| spec.kind == section.as_str());
        assert!(
            known.and_then(|spec| spec.option(key)).is_none(),
            "config {section}, {key} is built: it is planned no more"
        );
    }
}

#[test]
fn what_is_planned_is_marked_in_one_form() {
    for document in DOCUMENTS {
        let text = read(document);
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let says = line.to_lowercase().contains("planned, not built");
            assert!(!says || line.starts_with(PLANNED), "{document}:{}: begin with {PLANNED:?}", index + 1);
            let begins = line.starts_with('>') && (index == 0 || !lines[index - 1].starts_with('>'));
            assert!(
                !begins || line.starts_with(PLANNED),
                "{document}:{}: only what is planned is indented by >",
                index + 1
            );
        }
    }
}

// ---------------------------------------------------------------- tables

#[test]
fn the_columns_of_the_card_table_are_those_of_the_code() {
    let rows = table(DESIGN, "## 5. Cards", "column");
    let shown: Vec<(&str, String)> = rows.iter().map(|row| (words(&row[0])[0], row[1].clone())).collect();
    let known: Vec<_> = CARD_COLUMNS.iter().map(|column| (column.english, column.chinese.join(", "))).collect();
    assert_eq!(shown, known);
}

#[test]
fn the_reasons_are_those_of_the_code_in_the_ladders_order() {
    let rows = table(DESIGN, "## 6. Decisions", "reason");
    let shown: Vec<(&str, &str)> = rows.iter().map(|row| (words(&row[0])[0], row[1].as_str())).collect();
    let known: Vec<(&str, &str)> = Reason::ALL.iter().map(|reason| (reason.word(), reason.text())).collect();
    assert_eq!(shown, known);
}

#[test]
fn the_columns_and_kinds_of_the_ledger_are_those_of_the_code() {
    let rows = table(DESIGN, "## 7. Ledger", "#");
    let shown: Vec<(String, &str)> = rows.iter().map(|row| (row[0].clone(), words(&row[1])[0])).collect();
    let numbers = (1..).map(|number: usize| number.to_string());
    assert_eq!(shown, numbers.zip(line::COLUMNS).collect::<Vec<_>>());
    let rows = table(DESIGN, "## 7. Ledger", "kind");
    let known = Kind::ALL.iter().filter(|kind| **kind != Kind::Other).map(|kind| kind.word());
    assert_eq!(first_words(&rows), known.collect::<Vec<_>>());
}

#[test]
fn the_kinds_called_committed_and_limited_are_those_of_the_code() {
    let text = part(DESIGN, "## 7. Ledger").replace('\n', " ");
    let said = |before: &str| words(text.split_once(before).unwrap().1)[0].split(' ').collect::<BTreeSet<_>>();
    let kinds = |is_it: fn(Kind) -> bool| {
        Kind::ALL.iter().filter(|kind| is_it(**kind)).map(|kind| kind.word()).collect::<BTreeSet<_>>()
    };
    let rows = table(DESIGN, "## 7. Ledger", "kind");
    let operators = rows.iter().filter(|row| row[1].contains("(operator)")).map(|row| words(&row[0])[0]);
    let committed = said("Committed before their reply: ").into_iter().chain(operators);
    assert_eq!(committed.collect::<BTreeSet<_>>(), kinds(Kind::is_committed));
    let limited = text.split("are limited to").next().unwrap().rsplit('`').nth(1).unwrap();
    assert_eq!(limited.split(' ').collect::<BTreeSet<_>>(), kinds(Kind::is_limited));
}

#[test]
fn the_detail_keys_are_those_that_the_code_writes() {
    let mut written = quoted_after("detail.push(\"");
    written.append(&mut quoted_after("detail.push_plain(\""));
    assert!(written.len() > 20, "{written:?}");
    let rows = table(DESIGN, "## 7. Ledger", "detail key");
    let shown: BTreeSet<String> = first_words(&rows).into_iter().map(str::to_owned).collect();
    assert_eq!(shown, written);
}

#[test]
fn the_reasons_of_orders_are_those_of_the_code() {
    let sources = texts(&["src"]);
    let table_of = |text: &str| {
        let rest = text.split("\nrefusals! {\n").nth(1)?;
        let lines = rest.split("\n}").next()?.lines().map(str::trim).filter(|line| line.ends_with('"'));
        Some(lines.map(|line| line.rsplit('"').nth(1).unwrap().to_owned()).collect::<BTreeSet<_>>())
    };
    let known = sources.values().find_map(|text| table_of(text)).unwrap();
    assert!(known.len() > 20, "{known:?}");
    let rows = table(DESIGN, "## 8. Duplicates and doubt", "reason");
    assert_eq!(first_words(&rows).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), known);
}

#[test]
fn the_commands_of_the_control_socket_are_those_of_the_code() {
    let rows = table(DESIGN, "### The control socket", "`cmd`");
    for spec in COMMANDS {
        let row = rows.iter().find(|row| words(&row[0]).contains(&spec.name));
        let row = row.unwrap_or_else(|| panic!("no row for {}", spec.name));
        assert_eq!((words(&row[1]), words(&row[2])), (spec.needs.to_vec(), spec.takes.to_vec()), "{}", spec.name);
    }
    assert_eq!(first_words(&rows).len(), COMMANDS.len(), "a command that is none");
}

#[test]
fn the_commands_and_exit_codes_are_those_of_the_code() {
    let source = read("src/commands/mod.rs");
    let commands = read("src/commands/table.rs");
    let mut known = BTreeSet::from(["ctl".to_owned()]);
    known.extend(commands.split("name: \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    assert!(known.len() > 10, "{known:?}");
    let rows = table(DESIGN, "## 3. Command line", "command");
    let shown = rows.iter().map(|row| {
        let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
        words(&row[0])[0].split(' ').skip(1).take_while(is_word).collect::<Vec<_>>().join(" ")
    });
    assert_eq!(shown.collect::<BTreeSet<_>>(), known);

    let codes = source.split("const EXIT_").skip(1).map(|rest| {
        let number = rest.split_once('=').and_then(|(_, rest)| rest.split_once(';')).unwrap().0;
        number.trim().parse::<u8>().unwrap()
    });
    let faults = [Fault::Torn, Fault::Altered, Fault::Missing, Fault::Swapped, Fault::Header].map(|fault| fault as u8);
    let known: BTreeSet<String> = codes.chain(faults).chain([0]).map(|code| code.to_string()).collect();
    let rows = table(DESIGN, "## 3. Command line", "exit code");
    assert_eq!(rows.iter().map(|row| row[0].clone()).collect::<BTreeSet<_>>(), known);
}

#[test]
fn the_limits_named_are_those_of_the_code() {
    let thousands = |limit: usize| {
        if limit < 1000 { limit.to_string() } else { format!("{},{:03}", limit / 1000, limit % 1000) }
    };
    for (section, limits) in [
        (
            "## 1. The one idea",
            vec![
                format!("up to {} datagrams", thousands(limits::TURN_DATAGRAMS_MAX)),
                format!("one limit, {} KiB", limits::TAIL_LEN_MAX / 1024),
                format!("in pieces of {} KiB", limits::MENDED_LEN / 1024),
                format!("at most {} ms", limits::TURN_BEYOND_MS_MAX),
            ],
        ),
        (
            "## 2. Shape",
            vec![
                format!("{} cards and accounts", thousands(limits::CARDS_MAX)),
                format!("{} cards and accounts", thousands(limits::ACCOUNTS_MAX)),
                format!("{} devices", thousands(limits::DEVICES_MAX)),
                format!("{} door sections", limits::DOOR_RULES_MAX),
                format!("{} periods", limits::PERIODS_MAX),
            ],
        ),
        (
            "### The control socket",
            vec![
                format!("at most {} bytes", thousands(limits::CONTROL_LINE_MAX)),
                format!("at most {} lines", limits::CONTROL_TURN_LINES),
                format!("{} clients may be connected", limits::CONTROL_CLIENTS_MAX),
                format!("seconds ({} at most)", limits::CONTROL_WAIT_S_MAX),
            ],
        ),
        ("## 6. Decisions", vec![format!("at most {} bytes of GBK", limits::TEXT_LEN_MAX)]),
        (
            "## 7. Ledger",
            vec![
                format!("{} per minute and device", limits::LIMITED_PER_DEVICE),
                format!("{} per minute in all", limits::LIMITED_IN_ALL),
            ],
        ),
        (
            "## 8. Duplicates and doubt",
            vec![
                format!("last {} frames of a device", limits::RECENT_FRAMES_MAX),
                format!("last {} are remembered", thousands(limits::OFFLINE_KEPT_MIN)),
                format!("last {} approvals", limits::APPROVALS_MAX),
                format!("newest {} sales in doubt", thousands(limits::DOUBTS_KEPT_MIN)),
                format!("{} names are remembered", thousands(limits::NAMES_KEPT_MIN)),
            ],
        ),
        ("## 9. Recovery", vec![format!("at most {}.", posgate::ledger::identity::PARENTS_MAX)]),
        ("## 12. Full", vec![format!("removes {} KiB", limits::ROOM_TRIED_LEN / 1024)]),
    ] {
        let text = part(DESIGN, section).split_whitespace().collect::<Vec<_>>().join(" ");
        for limit in limits {
            assert!(text.contains(&limit), "{DESIGN}, {section}: does not say {limit:?}");
        }
    }
}

#[test]
fn the_glossary_names_what_the_code_has() {
    let is_of_name = |next: char| next.is_ascii_alphanumeric() || next == '_';
    let sources = texts(&["src"]);
    let known: BTreeSet<&str> = sources.values().flat_map(|text| text.split(|next| !is_of_name(next))).collect();
    let rows = table("docs/glossary.md", "# Glossary: one idea, one word", "中文");
    assert!(rows.len() > 30);
    for row in &rows {
        assert!(!words(&row[1]).is_empty(), "{row:?} names nothing");
        for part in words(&row[1]).iter().flat_map(|word| word.split("::")) {
            assert!(known.contains(part), "the glossary says `{part}`, and the code has no such name");
        }
    }
}

// ---------------------------------------------------------------- citations

/// What a file cites.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cited {
    /// A section of design.md.
    Section(u32),
    /// A heading of another document.
    Heading { document: &'static str, title: String },
    /// The number of a section, and nobody knows of what.
    Nameless(String),
}

/// A text in one line, without what comments and lists begin their lines with.
fn joined(text: &str) -> String {
    let bare = |line: &str| line.trim_start().trim_start_matches(['/', '!', '#', '*', '>', '|']).trim().to_owned();
    text.lines().map(bare).collect::<Vec<_>>().join(" ")
}

/// What a text cites. `(design.md, sections 4 to 6)`, `design.md says so (section 9)`,
/// `protocol.md, *Transport*`.
fn cited(text: &str) -> BTreeSet<Cited> {
    let text = joined(text);
    let mut cited = BTreeSet::new();
    for (place, _) in text.match_indices("section") {
        let rest = text[place..].strip_prefix("sections ").or_else(|| text[place..].strip_prefix("section "));
        let Some(numbers) = rest.map(numbers).filter(|numbers| !numbers.is_empty()) else { continue };
        let before: String = text[..place].chars().rev().take(24).collect::<Vec<_>>().into_iter().rev().collect();
        if before.contains("design.md") {
            cited.extend(numbers.into_iter().map(Cited::Section));
        } else if !before.contains("RFC ") {
            let shown: String = text[place..].chars().take(32).collect();
            cited.insert(Cited::Nameless(before + &shown));
        }
    }
    for document in ["docs/protocol.md", "CONTRIBUTING.md"] {
        let name = document.rsplit('/').next().unwrap();
        for (place, _) in text.match_indices(name) {
            let rest = &text[place + name.len()..];
            let near = rest.char_indices().nth(24).map_or(rest, |(end, _)| &rest[..end]);
            // `protocol.md, *Transport*`; a full stop ends what belongs to the document's name.
            let Some(start) = near.find('*').filter(|start| !near[..*start].contains(". ")) else { continue };
            let title = rest[start + 1..].split('*').next().unwrap().to_owned();
            cited.insert(Cited::Heading { document, title });
        }
    }
    cited
}

/// The numbers of a list such as `1, 7 and 9` or `4 to 6`.
fn numbers(list: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = Vec::new();
    let mut rest = list;
    let mut is_range = false;
    loop {
        let len = rest.find(|next: char| !next.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(number) = rest[..len].parse::<u32>() else { return numbers };
        let first = numbers.last().filter(|_| is_range).map_or(number, |last| last + 1);
        numbers.extend(first..=number);
        rest = &rest[len..];
        let next =
            [", and ", ", ", " and ", " to "].into_iter().find_map(|word| Some((word, rest.strip_prefix(word)?)));
        let Some((word, after)) = next else { return numbers };
        (is_range, rest) = (word == " to ", after);
    }
}

/// The sections of design.md.
fn sections() -> BTreeSet<u32> {
    let text = read(DESIGN);
    let titles = text.lines().filter_map(|line| line.strip_prefix("## "));
    titles.map(|title| title.split_once(". ").unwrap().0.parse().unwrap()).collect()
}

#[test]
fn the_sections_of_the_design_keep_their_numbers() {
    assert_eq!(sections(), (1..=15).collect());
}

#[test]
fn each_section_that_is_cited_exists() {
    let sections = sections();
    let mut texts = texts(&["src", "tests", "deploy", "benches", "examples", "fuzz", ".ci"]);
    for document in DOCUMENTS.into_iter().filter(|document| *document != DESIGN) {
        texts.insert(document.into(), read(document));
    }
    let (mut count, mut wrong) = (0, Vec::new());
    for (path, text) in &texts {
        for cited in cited(text) {
            count += 1;
            let is_right = match &cited {
                Cited::Section(number) => sections.contains(number),
                Cited::Heading { document, title } => {
                    let document = read(document);
                    document.lines().any(|line| depth(line) > 0 && line.trim_start_matches('#').trim() == title)
                }
                Cited::Nameless(_) => false,
            };
            if !is_right {
                wrong.push(format!("{}: {cited:?}", path.display()));
            }
        }
    }
    assert!(count > 100, "only {count} citations were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_design_refers_to_sections_that_it_has() {
    let sections = sections();
    let text = joined(&read(DESIGN));
    let count = ["section ", "sections "].map(|word| {
        let rests = text.split(word).skip(1);
        let all: Vec<u32> = rests.flat_map(numbers).collect();
        assert!(all.iter().all(|number| sections.contains(number)), "{all:?}");
        all.len()
    });
    assert!(count[0] > 20, "{count:?}");
}

#[test]
fn citations_are_found_in_all_their_forms() {
    // So that this file does not cite what these do.
    let text =
        |text: &str| text.replace("DESIGN", "design.md").replace("PROTOCOL", "protocol.md").replace("§", "section");
    let found = |sample: &str| cited(&text(sample)).into_iter().collect::<Vec<_>>();
    let all = |numbers: &[u32]| numbers.iter().map(|number| Cited::Section(*number)).collect::<Vec<_>>();
    for (sample, wanted) in [
        ("/// What it is (DESIGN, § 99).", all(&[99])),
        ("//! (DESIGN,\n//! §s 3 to 5). A message", all(&[3, 4, 5])),
        ("# (docs/DESIGN, §s 1, 7 and 9)", all(&[1, 7, 9])),
        ("as DESIGN says so (§s 9 and 11).", all(&[9, 11])),
        ("// `DESIGN`, §\n    // 12: no room", all(&[12])),
        ("RFC 8536, §\n/// 3.3.1", vec![]),
        ("PROTOCOL says, the network is bad. A *word* more", vec![]),
        ("no citation at all: a §, and 7 of them", vec![]),
    ] {
        assert_eq!(found(sample), wanted, "{sample}");
    }
    let heading = |title: &str| Cited::Heading { document: "docs/protocol.md", title: title.to_owned() };
    assert_eq!(found("(PROTOCOL, *Server → device*)"), [heading("Server → device")]);
    assert_eq!(found("PROTOCOL knows it (*How the\n//! devices behave*)."), [heading("How the devices behave")]);
    assert!(matches!(found("as it stands in §\n// 8, to be read")[..], [Cited::Nameless(_)]));
}

// ---------------------------------------------------------------- CONTRIBUTING.md

#[test]
fn every_place_that_contributing_names_is_there_and_it_names_every_module() {
    let text = read("CONTRIBUTING.md");
    let rows: Vec<Vec<String>> = text.lines().filter(|line| line.starts_with('|')).map(cells).collect();
    let named: BTreeSet<&str> = first_words(&rows).into_iter().filter(|word| word.contains(['/', '.'])).collect();
    for place in &named {
        let is_pattern = place.contains('*');
        assert!(is_pattern || root().join(place).exists(), "CONTRIBUTING.md: there is no {place}");
    }
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let module = name.split('.').next().unwrap();
        // What stands beside `policy.rs` in `policy/` belongs to it.
        let is_named = [format!("src/{module}.rs"), format!("src/{module}/")]
            .iter()
            .any(|place| named.contains(place.as_str()) || named.iter().any(|known| known.starts_with(place)));
        assert!(is_named || matches!(module, "lib" | "main"), "CONTRIBUTING.md does not say what src/{name} holds");
    }
}

// ---------------------------------------------------------------- form

#[test]
fn prose_is_wrapped() {
    for document in all_documents().iter().filter(|document| !is_chinese(document)) {
        let mut is_code = false;
        for (index, line) in read(document).lines().enumerate() {
            let bare = line.trim_start_matches(['>', ' ']);
            is_code ^= bare.starts_with("```");
            let may_be_long = is_code || bare.starts_with('|');
            let width = line.chars().count();
            assert!(may_be_long || width <= COLUMNS_MAX, "{document}:{}: {width} characters", index + 1);
        }
    }
}

/// Every Rust file below these directories.
fn sources() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["src", "tests", "benches", "examples", "fuzz/src", "fuzz/fuzz_targets"].map(|dir| root().join(dir)).into();
    let mut files = Vec::new();
    while let Some(path) = found.pop() {
        if path.is_dir() {
            found.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn comments_are_wrapped() {
    let files = sources();
    assert!(files.len() > 200, "{}", files.len());
    for path in files {
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let bare = line.trim_start();
            let Some(words) = bare.strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!'])) else { continue };
            // A drawing, a table and a line of code may be wider.
            let words = words.strip_prefix(' ').unwrap_or(words);
            let is_drawing = ["  ", "⇥", "----"].iter().any(|mark| words.contains(mark));
            let is_prose = !is_drawing && !words.starts_with(['|', '`']);
            let width = line.chars().count();
            assert!(!is_prose || width <= COLUMNS_MAX, "{}:{}: {width} characters", path.display(), index + 1);
        }
    }
}

#[test]
fn every_path_that_is_named_is_there() {
    let places = ["src", "tests", "deploy", "docs", "benches", "examples", "fuzz", ".ci"];
    for document in &all_documents() {
        let text = read(document);
        for path in text.lines().flat_map(words) {
            let is_path = path.split_once('/').is_some_and(|(first, _)| places.contains(&first));
            // What a run makes, and what a reader fills in.
            let is_made = path.contains([' ', '*', '…']) || path.contains("TARGET") || path.contains("/data");
            assert!(!is_path || is_made || root().join(path).exists(), "{document}: there is no `{path}`");
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let all = all_documents();
    assert!(all.len() > 40, "{all:?}");
    for document in &all {
        let directory = root().join(document);
        let directory = directory.parent().unwrap();
        for link in read(document).split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { root().join(document) } else { directory.join(path) };
            assert!(path.exists(), "{document}: {target}: there is no such file");
            if !anchor.is_empty() {
                let text = fs::read_to_string(&path).unwrap();
                assert!(
                    text.lines().filter(|line| depth(line) > 0).any(|line| anchor_of(line) == anchor),
                    "{document}: {target}: there is no such heading"
                );
            }
        }
    }
}

/// The anchor that a heading gets.
fn anchor_of(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    title.chars().filter(|next| next.is_alphanumeric() || matches!(next, '-' | '_')).collect()
}
