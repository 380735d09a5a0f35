//! The rooms of `src` know each other one way only (src/lib.md, Rooms): an arrow that runs against
//! the plan fails here.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room, and the rooms that it may name. What begins with `engine::` is that part of the engine
/// alone.
const PLAN: &[(&str, &[&str])] = &[
    ("engine", &[]),
    ("ledger", &["engine::model", "engine::limits", "engine::gbk", "engine::words", LANG]),
    ("files", &["engine::model", "engine::limits", "engine::gbk", LANG]),
    ("turn", &["engine", "ledger"]),
    ("desk", &["turn", "engine", "ledger", "files", LANG]),
    ("host", &["desk", "turn", "engine", "ledger", "files"]),
    ("commands", &["host", "desk", "turn", "engine", "ledger", "files", LANG]),
];

/// No room: `src/lang.rs`, the language of texts for people. Neither the engine nor what writes the
/// log names it.
const LANG: &str = "lang";

/// The Rust files below a directory.
fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The part of a file that is not its tests: they may use what they like.
fn without_tests(text: &str) -> &str {
    let end = ["mod tests {", "mod testing {", "mod testing;"].into_iter().filter_map(|module| {
        let at = text.find(&format!("#[cfg(test)]\n{module}"));
        at.or_else(|| text.find(&format!("#[cfg(test)]\npub(crate) {module}")))
            .or_else(|| text.find(&format!("#[cfg(test)]\npub(super) {module}")))
    });
    &text[..end.min().unwrap_or(text.len())]
}

/// What a text names after `crate::` or `posgate::`: at most two steps, each step of a group apart.
fn names(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for root in ["crate::", "posgate::"] {
        for (at, _) in text.match_indices(root) {
            let is_word = text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
            if !is_word {
                steps(&text[at + root.len()..], "", &mut found);
            }
        }
    }
    found
}

fn steps(path: &str, before: &str, found: &mut BTreeSet<String>) {
    if let Some(group) = path.strip_prefix('{') {
        let mut depth = 0;
        let is_in = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth >= 0
        };
        let group: String = group
            .chars()
            .take_while({
                let mut is_in = is_in;
                move |c| is_in(*c)
            })
            .collect();
        let mut depth = 0;
        let parts = group.split(|c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
            steps(part, before, found);
        }
        return;
    }
    let len = path.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(path.len());
    let (name, rest) = path.split_at(len);
    if name.is_empty() || name == "self" {
        found.extend((!before.is_empty()).then(|| before.to_owned()));
        return;
    }
    let here = if before.is_empty() { name.to_owned() } else { format!("{before}::{name}") };
    match rest.strip_prefix("::") {
        Some(rest) if before.is_empty() => steps(rest, &here, found),
        _ => {
            found.insert(here);
        }
    }
}

/// The arrows of a file that run against the plan.
fn against_the_plan(room: &str, text: &str) -> Vec<String> {
    let (_, may) = PLAN.iter().find(|(name, _)| *name == room).unwrap();
    let may_name = |name: &str| {
        let first = name.split("::").next().unwrap();
        first == room || may.contains(&first) || may.contains(&name)
    };
    // The rooms alone: what else stands after `crate::` is an item of the file's own crate.
    let is_room = |name: &String| {
        let first = name.split("::").next();
        first == Some(LANG) || PLAN.iter().any(|(room, _)| first == Some(room))
    };
    names(without_tests(text)).into_iter().filter(is_room).filter(|name| !may_name(name)).collect()
}

#[test]
fn no_room_names_a_room_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (room, _) in PLAN {
        let mut files = Vec::new();
        sources(&source.join(room), &mut files);
        assert!(!files.is_empty(), "{room} has no files");
        for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
            let text = fs::read_to_string(file).unwrap();
            let file = file.strip_prefix(&source).unwrap().display();
            wrong.extend(against_the_plan(room, &text).into_iter().map(|name| format!("src/{file} names {name}")));
        }
    }
    assert!(wrong.is_empty(), "these run against the plan of rooms:\n{}", wrong.join("\n"));
}

#[test]
fn each_room_is_in_the_plan() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found: BTreeSet<String> = fs::read_dir(source)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir() && entry.file_name() != "bin")
        // Git keeps no empty directory, but leaves one behind.
        .filter(|entry| fs::read_dir(entry.path()).unwrap().next().is_some())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let planned: BTreeSet<String> = PLAN.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(found, planned);
}

#[test]
fn an_arrow_against_the_plan_is_found_in_every_form() {
    let wrong = [
        ("engine", "use crate::files::cards;", "files::cards"),
        ("engine", "let clock = crate::host::clock::now();", "host::clock"),
        ("ledger", "use crate::engine::{limits::X, server::Server};", "engine::server"),
        ("ledger", "use crate::{engine::{model::{Entry, Kind}, book}, host};", "engine::book"),
        ("desk", "/// See [`log`](crate::host::logging).", "host::logging"),
        ("turn", "use crate::desk;", "desk"),
        ("engine", "use crate::lang::{Text, tr};", "lang::Text"),
    ];
    for (room, text, name) in wrong {
        assert!(against_the_plan(room, text).iter().any(|found| found == name), "{text}");
    }
    let right = [
        ("engine", "use crate::engine::model::{Entry, Kind};"),
        ("ledger", "use crate::engine::{model, limits::{self, X}};"),
        ("host", "use crate::desk::{self, status::Status};"),
        ("files", "#[cfg(test)]\nmod tests {\n    use crate::host::clock;\n}"),
    ];
    for (room, text) in right {
        assert_eq!(against_the_plan(room, text), Vec::<String>::new(), "{text}");
    }
}
