//! Short runs of the simulation; `examples/simulate.rs` runs it for as long as asked.

mod sim;

#[test]
fn a_few_worlds_of_faults_end_with_every_promise_kept() {
    let mut total = sim::Report::default();
    for seed in 1..=4 {
        total.add(&sim::run(seed, 24));
    }
    println!("{}", total.coverage);
}

#[test]
fn a_seed_repeats_itself() {
    assert_eq!(sim::run(9, 8).trace, sim::run(9, 8).trace);
}
