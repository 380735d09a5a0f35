//! `posgate cards`: card tables as files.

use std::path::PathBuf;

use posgate::model::rules::Names;
use posgate::{cards, config};

use super::{EXIT_CONFIG, Options, print_problems};

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

/// Prints a table to begin with.
pub(super) fn template() -> u8 {
    say!("{}", cards::template().trim_end_matches('\n'));
    0
}
