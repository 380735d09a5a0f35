//! Clock, zone and timers allocate nothing once they are made. Alone in its program: it counts
//! every thread's allocations.

use std::alloc::System;

use posgate::engine::model::{Mono, Wall};
use posgate::engine::wheel::Wheel;
use posgate::files::zone::Zone;
use posgate::host::clock::Clock;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn clock_zone_and_timers_allocate_nothing() {
    let clock = Clock::new();
    let zone = Zone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
    let mut wheel = Wheel::<u64, 512>::new();

    let mut region = Region::new(ALLOCATOR);
    for step in 0..12_000_u64 {
        // By then the harness's own thread waits for us, for which it may allocate.
        if step == 2000 {
            region.reset();
        }
        let now = clock.now(&zone, step % 2 == 0);
        let civil = zone.stamp(Wall(now.stamp.wall.0 + i64::try_from(step).expect("small") * 3_600_000)).civil();
        assert!(zone.to_wall(civil).0 > 0);
        let id = wheel.arm(Mono(step * 50).plus_ms(step * 7919 % 20_000), step).expect("room");
        if step % 3 == 0 {
            assert!(wheel.cancel(id));
        }
        while wheel.pop_due(Mono(step * 50)).is_some() {}
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
}
