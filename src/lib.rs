//! posgate: the server that canteen card terminals (消费机), scan-to-pay terminals and door access
//! boards (门禁控制板) talk to over UDP.
#![doc = include_str!("lib.md")]

extern crate alloc;

// In reading order: the rules first, then the world.
pub mod engine;

pub mod ledger;

pub mod turn;

pub mod files;

pub mod desk;

pub mod host;

pub mod lang;

/// For every `proptest!` of this crate: inputs that failed are kept below `tests`.
#[cfg(test)]
fn proptest_config() -> proptest::prelude::ProptestConfig {
    use proptest::test_runner::FileFailurePersistence::SourceParallel;
    proptest::prelude::ProptestConfig::with_failure_persistence(SourceParallel("tests/proptest-regressions"))
}
