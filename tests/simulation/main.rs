//! Short runs of the simulation; `examples/simulate.rs` runs it for as long as asked. A failure
//! prints seed and step.
//!
//! Would it notice? Each of these was done to the code by hand, and caught by `simulate --seed 1
//! --worlds 100`: in the world of that seed, at that step, so many of its hours on (seed and step
//! move when the simulation changes: those of 1 to 28 are of before the operator's orders; 52 to 64
//! were tried with seeds from 101 on, for 12 hours each). (`turn` 1, 2, 27; `engine/book` 3, 4, 6,
//! 8, 14, 15, 17, 29, 30, 32, 35, 55, 60, 61; `engine/server` 5, 7, 10, 11, 16, 19, 20, 21, 23, 25,
//! 26, 33, 34, 36, 45, 53, 54, 56, 59, 62, 63, 64; `engine/model/entry.rs` 13, 31; `ledger` 9, 12,
//! 18, 22, 24, 28, 47; `files` 48; `engine/policy.rs` 42, 43, 46, 49, 50, 51, 52, 57, 58.)
//!
//! | | mutation | seed, step, hour | what the judge said |
//! |---|---|---|---|
//! | 1 | a turn does not sync | 1, 25, 0 | 008 before its entry is durable |
//! | 2 | results leave before the write | 1, 25, 0 | 008 before its entry is durable |
//! | 3 | the newest frame is not looked at for duplicates | 1, 171, 0 | one frame charged twice |
//! | 4 | replay skips what a `confirm` settles | 1, 116, 0 | in doubt: book or count |
//! | 5 | half of `same_sale_s` | 3, 2108, 11 | tried again, charged again |
//! | 6 | a 105's identity without the address | 1, 12720, 8 | 011 before its entry is durable |
//! | 7 | a 109 confirms whatever waits | 7, 12035, 12 | confirmed, and never shown |
//! | 8 | the day's sum counted twice | 1, 25, 0 | spent: book or sum |
//! | 9 | the tail is not written again at a start | 4, 33338, 19 | replayed, and not durable |
//! | 10 | a door opens again for ten times `door_ttl_ms` | 4, 8389, 7 | 050 that is too old |
//! | 11 | duress without an alarm | 1, 196, 0 | no alarm of duress |
//! | 12 | a new segment's name is not synced (where there are links, the link's own sync does it) | 8, 135, 0 | 008 before its entry is durable |
//! | 13 | `repeat` is not committed | 1, 40352, 17 | 008 before its entry is durable |
//! | 14 | `matched` settles no doubt | 2, 9849, 12 | in doubt: book or count |
//! | 15 | a 105 of the same second as its 103 is not known | 2, 9101, 12 | approved at the same second, and booked |
//! | 16 | a 103 after its own 105 is not known | 129, 3930, 7 (rare: it took more worlds) | booked by its 105, and charged |
//! | 17 | an account is opened again and again | 1, 25, 0 | figures of an account |
//! | 18 | zeros at the end are damage | 2, 3429, 6 | a power cut made this of the ledger |
//! | 19 | a repeated 105 gets no 011 | 2, 23450, 28 | the faults stopped, and these still wait |
//! | 20 | a 105 is booked though only the reserve is left | 1, 1980, 7 | only the reserve is left, and this was written |
//! | 21 | a door that opened without an entry is not counted | 1, 32518, 15 | opened without an entry and without a count |
//! | 22 | what a read-only medium shows is taken for durable | 44, 3275, 5 | replayed, and not durable |
//! | 23 | quarantine serves | 8, 123, 0 | a device in quarantine was served |
//! | 24 | `archive` does not sync its copies | 1, 31125, 13 | archived, and its copy is not what it was |
//! | 25 | half of the burst | 5, 734, 6 | a frame within the rate was dropped |
//! | 26 | of doors opened without an entry 16 are remembered | 33, 7727, 12, before the last changes to the world; none of the first 40 since | 050 before its entry is durable |
//! | 27 | no trial is made again where nothing can be written | 1, 37895, 16 | there is room, and the server stays full |
//! | 28 | any zero byte in a line is a page never written | 20, 813, 3 | a bit changed, and nobody noticed |
//! | 29 | a snapshot without the keys of orders | 1, 852, 5 | live, or replayed: key |
//! | 30 | a snapshot without the voids | 1, 303, 1 | more than is left of the sale |
//! | 31 | `topup` is not committed | 1, 517, 3 | answered, and not in the durable ledger |
//! | 32 | a sale of a replaced card does not count for its heir | 1, 2376, 7 | spent: book or sum |
//! | 33 | a 109 that names another sale's card beside the code confirms | 80, 12477, 4 | confirmed, and never shown |
//! | 34 | a 105 above `offline_max` is listed, whatever was charged | 1, 14495, 5 | approved at the same second, and booked |
//! | 35 | doubts of scans are not found | 3, 10675, 9 | tried again, charged again |
//! | 36 | a 008 that lapsed is confirmed whatever was sent since | 2, 3283, 0 | confirmed, and never shown |
//! | 37 | a time that is not believed counts as believed | 1, 2055, 0 | matched with no record that is free |
//! | 38 | a live time is believed within 5 hours | 1, 21, 0 | whether the device's time is believed |
//! | 39 | a frame without a believed time is known for ever | 4, 52608, 19 | 008 was shown, and no entry moves for it |
//! | 40 | a 105 without a believed time is the same record for ever | 16, 4702, 11 | 011 for a record that is not in the durable ledger |
//! | 41 | a stored sale without a believed time counts for its card's day | 1, 1267, 0 | spent: book or sum |
//! | 42 | a terminal's groups are not looked at | 2, 6778, 12 | what the rules say |
//! | 43 | a card's last day is not one of its days | 1, 548, 0 | what the rules say |
//! | 44 | the frame of a sale that was voided is approved | 17, 19515, 8 | 008 for a sale that was voided |
//! | 45 | a scan is not in doubt | 1, 6301, 2 | tried again, charged again |
//! | 46 | a door's groups are not looked at | 1, 934, 1 | a door opened |
//! | 47 | a ledger of another machine is served under its own name | 2, 3874, 2 | what the other machine makes of the ledger |
//! | 48 | a table that was cut within a line is taken | 2, 1533, 0 | cut to 359 rows of 361 |
//! | 49 | of a door, what crosses midnight is of the next day | 1, 45, 0 | a door opened |
//! | 50 | a door's reason is that of its last section | 1, 1025, 1 | a door stayed shut |
//! | 51 | no pass-back | 1, 20156, 5 | a door opened |
//! | 52 | a sale takes cash first | 101, 196, 0 | which purse pays |
//! | 53 | a void gives subsidy back first | 101, 4086, 0 | cash that is given back |
//! | 54 | a start does not go on with a clear of all | 104, 21023, 16 | the faults stopped, and these still wait |
//! | 55 | a day counts only the cash | 101, 196, 0 | spent: book or sum |
//! | 56 | a void gives back what a clear took | 103, 375, 2 | subsidy |
//! | 57 | `balance` looks at the sum | 101, 3483, 0 | what the rules say |
//! | 58 | a terminal's `subsidy '0'` is not looked at | 101, 367, 0 | which purse pays |
//! | 59 | nothing is busy while all is cleared | 101, 35079, 8 | which clear it belongs to |
//! | 60 | a snapshot without the clear of all | 101, 39240, 12 | the clear of every subsidy |
//! | 61 | a file's rows by card and by account | 101, 29097, 7 | answered, expected `key-used` |
//! | 62 | `$balance` is the cash | 101, 196, 0 | what is left by its entries, by 008 |
//! | 63 | a void of credit takes more than there is | 101, 29198, 7 | answered, expected `overdraw` |
//! | 64 | a clear of all looks at cards only | 101, 35082, 8 | what an account holds when all is cleared |
//!
//! The world goes not through what sockets alone show: a door's request that arrived before the
//! turn, an account column that was edited, `--accept` without its crc, a number that another
//! holder gets.
//!
//! Mutations 26, 28, 32 and 33 were the code's own until the simulation found them, and so were two
//! of the purses: a clear of all did not count for a purse that it found empty, and a void in part
//! of nothing but cleared subsidy stayed on its card's day. They have tests of their own now.

mod sim;

/// Worlds of few devices, so that a build without optimisation plays them in seconds.
const SEEDS: [u64; 5] = [5, 6, 16, 25, 41];

#[test]
fn worlds_of_faults_end_with_every_promise_kept_and_the_faults_did_happen() {
    let mut total = sim::Report::default();
    for seed in SEEDS {
        total.add(&sim::run(seed, 20));
    }
    println!("{}\n{}", total.coverage.unjust(total.sales), total.coverage);
    // Three days reach nearly all; what is rare is for the long run.
    let missing = total.coverage.missing();
    assert!(missing.len() <= 8, "a quiet simulation proves nothing; not reached: {missing:?}");
    assert!(total.told > 1000 && total.restarts > 60, "{total:?}");
}

#[test]
fn a_seed_repeats_itself() {
    assert_eq!(sim::run(151, 8).trace, sim::run(151, 8).trace);
}
