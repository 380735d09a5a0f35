//! Tests that need what not every machine has: root, a program, a namespace.

/// Says that a test, or a part of it, is not run, and what it needs. Where `POSGATE_TESTS_MUST_RUN`
/// is set, as by `.ci/run`, that is a failure.
#[track_caller]
pub fn not_run(what: &str) {
    println!("NOT RUN: {what}");
    let must_run = std::env::var_os("POSGATE_TESTS_MUST_RUN").is_some();
    assert!(!must_run, "POSGATE_TESTS_MUST_RUN is set, and this was not run: {what}");
}
