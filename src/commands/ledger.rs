//! `posgate ledger`: reads ledger files, also while the server runs.

use std::io;
use std::path::PathBuf;

use posgate::config;
use posgate::ledger::show::ShowOptions;
use posgate::ledger::{run_show, run_verify};

use super::{EXIT_CONFIG, EXIT_IO, Options, print_problems};

/// Checks every line; the exit code says what was found.
pub(super) fn verify(options: &Options) -> u8 {
    match paths(options) {
        Ok(paths) => finish(run_verify(&paths, &mut io::stdout().lock())),
        Err(code) => code,
    }
}

/// Prints the entries for people.
pub(super) fn show(options: &Options) -> u8 {
    match paths(options) {
        Ok(paths) => finish(run_show(&paths, ShowOptions { raw: options.raw }, &mut io::stdout().lock())),
        Err(code) => code,
    }
}

/// The operands, or the directory that the configuration names.
fn paths(options: &Options) -> Result<Vec<PathBuf>, u8> {
    if !options.operands.is_empty() {
        return Ok(options.operands.iter().map(PathBuf::from).collect());
    }
    match config::load(&options.config()) {
        Ok(settings) => Ok(vec![settings.ledger_dir]),
        Err(problems) => {
            print_problems(&problems);
            Err(EXIT_CONFIG)
        }
    }
}

fn finish(result: io::Result<u8>) -> u8 {
    result.unwrap_or_else(|error| {
        complain!("posgate: {error}");
        EXIT_IO
    })
}
