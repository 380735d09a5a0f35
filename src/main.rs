//! The router's binary: reads the command line and calls the library.

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run(std::env::args_os().skip(1))
}
