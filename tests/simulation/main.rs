//! Short runs of the simulation; `examples/simulate.rs` runs it for as long as asked. A failure prints seed and step.
//!
mod sim;

/// Worlds of few devices, so that a build without optimisation plays them in seconds.
const SEEDS: [u64; 3] = [4, 5, 8];

#[test]
fn worlds_of_faults_end_with_every_promise_kept_and_the_faults_did_happen() {
    let mut total = sim::Report::default();
    for seed in SEEDS {
        total.add(&sim::run(seed, 20));
    }
    println!("{}", total.coverage);
    // Three days reach nearly all; what is rare is for the long run.
    let missing = total.coverage.missing();
    assert!(missing.len() <= 12, "a quiet simulation proves nothing; not reached: {missing:?}");
    assert!(total.told > 1000 && total.restarts > 60, "{total:?}");
}

#[test]
fn a_seed_repeats_itself() {
    assert_eq!(sim::run(8, 8).trace, sim::run(8, 8).trace);
}
