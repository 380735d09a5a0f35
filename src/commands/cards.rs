//! `posgate cards`: card tables as files.

use std::collections::HashMap;
use std::path::PathBuf;

use posgate::cards::diff::{Difference, Table};
use posgate::model::rules::Names;
use posgate::{cards, config};

use super::{EXIT_CONFIG, EXIT_USAGE, Options, audit, print_problems};

/// Reads a table as the server would, and says what it holds or everything that is wrong with it.
pub(super) fn check(options: &Options) -> u8 {
    let (path, groups) = match options.operands.first() {
        Some(path) => (PathBuf::from(path), Names::default()),
        None => match config::load(&options.config()) {
            Ok(settings) => (settings.cards, settings.rules.groups),
            Err(problems) => {
                print_problems(&problems);
                return EXIT_CONFIG;
            }
        },
    };
    match cards::load(&path, &groups) {
        Ok(file) => {
            print_problems(&file.warnings);
            say!("{}", cards::describe(&file));
            0
        }
        Err(problems) => {
            print_problems(&problems);
            EXIT_CONFIG
        }
    }
}

/// Says what another table would change; with `--config` also which figures the ledger would let nobody see.
pub(super) fn diff(options: &Options) -> u8 {
    let [old, new] = options.operands.as_slice() else {
        complain!("posgate: name two card tables: `posgate cards diff OLD NEW`");
        return EXIT_USAGE;
    };
    let tables = (Table::load(old.as_ref()), Table::load(new.as_ref()));
    let (old, new) = match tables {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            print_problems(&[old.err(), new.err()].into_iter().flatten().flatten().collect::<Vec<_>>());
            return EXIT_CONFIG;
        }
    };
    let opened = match options.config.as_ref().map(|path| config::load(path)) {
        None => HashMap::new(),
        Some(Ok(settings)) if !settings.ledger_dir.exists() => HashMap::new(),
        Some(Ok(settings)) => match audit::opened(&settings.ledger_dir) {
            Ok(opened) => opened,
            Err(code) => return code,
        },
        Some(Err(problems)) => {
            print_problems(&problems);
            return EXIT_CONFIG;
        }
    };
    say!("{}", Difference::between(&old, &new, &opened));
    0
}

/// Prints a table to begin with.
pub(super) fn template() -> u8 {
    say!("{}", cards::template().trim_end_matches('\n'));
    0
}
