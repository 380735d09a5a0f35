//! A timer wheel over a fixed slab: it holds every timer of the server (design.md, section 2).
//!
//! Time is 64 bits of milliseconds, read as eleven digits of base 64. A timer is in the list of
//! (level, digit), where `level` is the highest digit in which its deadline differs from the
//! wheel's present, and `digit` is the deadline's digit there:
//!
//! ```text
//!   level       10   …    2         1         0
//!   present     00   …   07   .    12   .    63
//!   deadline    00   …   07   .    15   .    09     differs first at level 1: list (1, 15)
//! ```
//!
//! *Invariants:*
//! - No timer in the wheel is before its present. So at each level the used lists are at or after
//!   the present's digit, and all lists of a lower level come due before any of a higher one. Two
//!   bit scans therefore find the next list, however far ahead it is: a jump of days costs no more
//!   than a step.
//! - When the present enters a list of a higher level, its timers move to lower levels (a cascade),
//!   at most ten times in a timer's life. A list of level 0 covers one millisecond: no timer is
//!   early or rounded, and equal deadlines come due in the order they were armed.
//! - Eleven levels cover all 64 bits: no deadline is too far ahead, and none has to be armed again.
//! - Arming, cancelling and taking out touch a fixed number of links and never allocate.
//!
//! The slab is part of the value and an all-zero bit pattern is the empty wheel, so a wheel in a
//! `static` is in `.bss` and takes no memory until it is used.

use core::num::NonZeroU16;

use crate::engine::model::Mono;

/// Bits of one digit of time.
const DIGIT_BITS: u32 = 6;
/// Lists of one level: one for each value of a digit.
const DIGITS: usize = 1 << DIGIT_BITS;
/// Digits of a 64-bit time.
const LEVELS: usize = 64_usize.div_ceil(DIGIT_BITS as usize);

/// A timer that was armed. Once the timer has come due or was cancelled, the id names no timer, and
/// using it has no effect.
///
/// A 32-bit generation distinguishes it from later timers in the same place: a kept id could name a
/// wrong timer only after its place was reused 4,294,967,296 times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId {
    /// Number of the place in the slab plus one.
    link: NonZeroU16,
    generation: u32,
}

/// Up to `N` timers, each with a key that says what it is for. `N` is at most 65,534.
pub struct Wheel<K: Copy, const N: usize> {
    /// The wheel's present in milliseconds; no timer in it is earlier.
    present: u64,
    /// The first place of each list; the first one's `previous` is the last.
    lists: [[Link; DIGITS]; LEVELS],
    /// One bit per list; set if the list is not empty.
    used: [u64; LEVELS],
    places: [Node<K>; N],
    /// The first of the places that were given back, chained by `next`.
    free: Link,
    /// Places from here on were never used; they are in no list, not even in `free`.
    fresh: u16,
    len: u16,
}

/// The number of a place plus one; 0: no place.
type Link = u16;

#[derive(Clone, Copy)]
struct Node<K: Copy> {
    /// Milliseconds, never before `present`.
    at: u64,
    /// Incremented each time the place is given back.
    generation: u32,
    /// The next in its list, 0 at the end.
    next: Link,
    /// The previous one in its list; for the first, the last.
    previous: Link,
    tenant: Tenant<K>,
}

/// An `Option` whose `None` is all zeros whatever `K` is: `repr(u8)` keeps the tag in a byte of its
/// own.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Tenant<K: Copy> {
    Vacant = 0,
    Armed(K) = 1,
}

impl<K: Copy, const N: usize> Wheel<K, N> {
    /// An empty wheel: an all-zero bit pattern.
    pub const fn new() -> Self {
        assert!(N < u16::MAX as usize, "a link is 16 bits");
        Self {
            present: 0,
            lists: [[0; DIGITS]; LEVELS],
            used: [0; LEVELS],
            places: [Node { at: 0, generation: 0, next: 0, previous: 0, tenant: Tenant::Vacant }; N],
            free: 0,
            fresh: 0,
            len: 0,
        }
    }

    /// Timers armed and not yet due or cancelled.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no timer is armed.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arms a timer: `key` comes due at `at`. `None` if `N` timers are armed already.
    ///
    /// A time before the latest one given to [`Wheel::pop_due`] counts as that one: such a timer is
    /// due at once, after those that are due already.
    pub fn arm(&mut self, at: Mono, key: K) -> Option<TimerId> {
        let link = self.take_place()?;
        let place = self.place_mut(link);
        place.tenant = Tenant::Armed(key);
        let generation = place.generation;
        self.hang(link, at.0.max(self.present));
        self.len += 1;
        Some(TimerId { link: NonZeroU16::new(link).expect("a place's link is its number plus one"), generation })
    }

    /// Removes a timer before it is due; `false` if it was due, cancelled or cleared before.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        let link = id.link.get();
        let Some(place) = self.places.get(usize::from(link) - 1) else {
            return false;
        };
        match place.tenant {
            Tenant::Armed(_) if place.generation == id.generation => (),
            Tenant::Armed(_) | Tenant::Vacant => return false,
        }
        self.unhang(link);
        self.give_back(link);
        true
    }

    /// Takes one timer that is due at `now`: the earliest deadline first, equal deadlines in the
    /// order they were armed.
    ///
    /// Call it until it returns `None`. No timer is returned before its deadline. A `now` before
    /// that of an earlier call returns `None`.
    pub fn pop_due(&mut self, now: Mono) -> Option<K> {
        while let Some((level, digit, start)) = self.first_list().filter(|(_, _, start)| *start <= now.0) {
            self.present = start;
            let first = self.lists[level][digit];
            if level == 0 {
                let tenant = self.place_mut(first).tenant;
                self.unhang(first);
                self.give_back(first);
                return match tenant {
                    Tenant::Armed(key) => Some(key),
                    Tenant::Vacant => unreachable!("a place in a list is armed"),
                };
            }
            self.cascade(level, digit);
        }
        self.present = self.present.max(now.0);
        None
    }

    /// When to call [`Wheel::pop_due`] next; `None` if no timer is armed.
    ///
    /// Never later than the earliest deadline (a deadline that had passed when it was armed counts
    /// as the time then). It is earlier while that timer is in a higher level: a call at this time
    /// then returns `None` and moves the timer down at least one level, so a timer that is ten
    /// minutes ahead wakes its owner at most three times too early, and one that is years ahead at
    /// most ten.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.first_list().map(|(_, _, start)| Mono(start))
    }

    /// Removes all timers and resets the present: the next call may have an earlier time.
    pub fn clear(&mut self) {
        for level in 0..LEVELS {
            while self.used[level] != 0 {
                let first = self.lists[level][self.used[level].trailing_zeros() as usize];
                self.unhang(first);
                self.give_back(first);
            }
        }
        self.present = 0;
    }

    /// The list that comes due first: its level, its digit and its first millisecond.
    fn first_list(&self) -> Option<(usize, usize, u64)> {
        let level = self.used.iter().position(|used| *used != 0)?;
        let digit = self.used[level].trailing_zeros();
        let shift = DIGIT_BITS * u32::try_from(level).expect("eleven levels");
        // The digits above the level are the present's, the ones below are zero.
        let above = u64::MAX.checked_shl(shift + DIGIT_BITS).unwrap_or(0);
        Some((level, digit as usize, self.present & above | u64::from(digit) << shift))
    }

    /// Moves the timers of a list that the present has just entered to lower levels, in order.
    fn cascade(&mut self, level: usize, digit: usize) {
        let mut link = core::mem::take(&mut self.lists[level][digit]);
        self.used[level] &= !(1 << digit);
        while link != 0 {
            let place = self.place_mut(link);
            let (at, next) = (place.at, place.next);
            self.hang(link, at);
            link = next;
        }
    }

    /// The list that a deadline belongs to, given the present.
    fn list_of(&self, at: u64) -> (usize, usize) {
        let level = (at ^ self.present).checked_ilog2().unwrap_or(0) / DIGIT_BITS;
        (level as usize, (at >> (DIGIT_BITS * level)) as usize & (DIGITS - 1))
    }

    /// Puts a place at the end of the list its deadline belongs to.
    fn hang(&mut self, link: Link, at: u64) {
        debug_assert!(at >= self.present);
        let (level, digit) = self.list_of(at);
        let first = self.lists[level][digit];
        let last = if first == 0 { link } else { self.place_mut(first).previous };
        let place = self.place_mut(link);
        place.at = at;
        place.next = 0;
        place.previous = last;
        if first == 0 {
            self.lists[level][digit] = link;
            self.used[level] |= 1 << digit;
        } else {
            self.place_mut(last).next = link;
            self.place_mut(first).previous = link;
        }
    }

    /// Takes a place out of its list.
    fn unhang(&mut self, link: Link) {
        let Node { at, next, previous, .. } = *self.place_mut(link);
        let (level, digit) = self.list_of(at);
        let first = self.lists[level][digit];
        if link == first {
            self.lists[level][digit] = next;
            if next == 0 {
                self.used[level] &= !(1 << digit);
                return;
            }
        } else {
            self.place_mut(previous).next = next;
        }
        // The next place gets a new `previous`. After the last place this is the first, whose
        // `previous` is the last.
        let behind = if next == 0 { first } else { next };
        self.place_mut(behind).previous = previous;
    }

    fn take_place(&mut self) -> Option<Link> {
        if self.free != 0 {
            let link = self.free;
            self.free = self.place_mut(link).next;
            return Some(link);
        }
        if usize::from(self.fresh) == N {
            return None;
        }
        self.fresh += 1;
        Some(self.fresh)
    }

    fn give_back(&mut self, link: Link) {
        let free = self.free;
        let place = self.place_mut(link);
        place.tenant = Tenant::Vacant;
        place.generation = place.generation.wrapping_add(1);
        place.next = free;
        self.free = link;
        self.len -= 1;
    }

    fn place_mut(&mut self, link: Link) -> &mut Node<K> {
        &mut self.places[usize::from(link) - 1]
    }
}

impl<K: Copy, const N: usize> Default for Wheel<K, N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn a_timer_comes_due_once_and_never_early() {
        for ahead in [1, 7, 63, 64, 65, 4095, 4096, 500, 30_000, HOUR_MS, 400 * 24 * HOUR_MS] {
            let mut wheel = Wheel::<u8, 4>::new();
            let start = Mono(1_000_003);
            assert_eq!(wheel.pop_due(start), None);
            wheel.arm(start.plus_ms(ahead), 1).expect("room");
            assert_eq!(wheel.pop_due(start.plus_ms(ahead - 1)), None, "{ahead} ms ahead");
            assert_eq!(wheel.next_deadline(), Some(start.plus_ms(ahead)), "a look just before finds it exactly");
            assert_eq!(wheel.pop_due(start.plus_ms(ahead)), Some(1));
            assert_eq!(wheel.pop_due(start.plus_ms(ahead)), None);
            assert_eq!(wheel.next_deadline(), None);
        }
    }

    #[test]
    fn equal_deadlines_come_due_in_the_order_they_were_armed() {
        let mut wheel = Wheel::<u32, 100>::new();
        for key in 0..100 {
            // The present moves on between them, so that they start at different levels.
            wheel.arm(Mono(5000), key).expect("room");
            assert_eq!(wheel.pop_due(Mono(u64::from(key) * 50)), None);
        }
        let due: Vec<u32> = core::iter::from_fn(|| wheel.pop_due(Mono(9000))).collect();
        assert_eq!(due, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_stale_id_is_harmless() {
        let mut wheel = Wheel::<&str, 2>::new();
        let first = wheel.arm(Mono(10), "first").expect("room");
        assert!(wheel.cancel(first));
        assert!(!wheel.cancel(first));
        let second = wheel.arm(Mono(10), "second").expect("room");
        assert!(!wheel.cancel(first), "the place has another tenant now");
        assert_eq!(wheel.pop_due(Mono(10)), Some("second"));
        assert!(!wheel.cancel(second));
        let third = wheel.arm(Mono(20), "third").expect("room");
        wheel.clear();
        assert!(!wheel.cancel(third));
        assert!(wheel.is_empty());
        assert_eq!(wheel.pop_due(Mono(u64::MAX)), None);
    }

    #[test]
    fn a_cleared_wheel_may_begin_at_an_earlier_time() {
        let mut wheel = Wheel::<u8, 2>::new();
        assert_eq!(wheel.pop_due(Mono(HOUR_MS)), None);
        wheel.clear();
        wheel.arm(Mono(500), 1).expect("room");
        assert_eq!(wheel.pop_due(Mono(499)), None);
        assert_eq!(wheel.pop_due(Mono(500)), Some(1));
    }

    #[test]
    fn a_full_wheel_refuses_and_keeps_what_it_has() {
        let mut wheel = Wheel::<usize, 3>::new();
        let ids = [0, 1, 2].map(|key| wheel.arm(Mono(10), key).expect("room"));
        assert_eq!(wheel.arm(Mono(5), 3), None);
        assert_eq!(wheel.len(), 3);
        assert!(wheel.cancel(ids[1]));
        assert!(wheel.arm(Mono(5), 4).is_some());
        assert_eq!(core::array::from_fn(|_| wheel.pop_due(Mono(10))), [Some(4), Some(0), Some(2), None]);
    }

    #[test]
    fn a_deadline_at_the_end_of_time_waits_for_it() {
        let mut wheel = Wheel::<u8, 2>::new();
        wheel.arm(Mono(u64::MAX), 1).expect("room");
        assert_eq!(wheel.pop_due(Mono(u64::MAX - 1)), None);
        assert_eq!(wheel.next_deadline(), Some(Mono(u64::MAX)));
        wheel.arm(Mono(0), 2).expect("room");
        assert_eq!(wheel.pop_due(Mono(u64::MAX)), Some(2));
        assert_eq!(wheel.pop_due(Mono(u64::MAX)), Some(1));
    }

    #[test]
    fn an_owner_that_sleeps_until_the_next_deadline_wakes_a_few_times_only() {
        for (ahead, wakes_max) in [(500, 2), (10 * 60_000, 4), (30 * 24 * HOUR_MS, 6), (u64::MAX / 2, 11)] {
            let mut wheel = Wheel::<u8, 2>::new();
            let start = 123_456_789;
            assert_eq!(wheel.pop_due(Mono(start)), None);
            wheel.arm(Mono(start + ahead), 1).expect("room");
            let mut wakes = 0;
            loop {
                wakes += 1;
                let now = wheel.next_deadline().expect("armed");
                assert!(now <= Mono(start + ahead));
                if wheel.pop_due(now).is_some() {
                    assert_eq!(now, Mono(start + ahead));
                    break;
                }
            }
            assert!(wakes <= wakes_max, "{wakes} for {ahead} ms");
        }
    }

    #[test]
    fn a_name_for_nothing_costs_no_more_than_a_name() {
        // Rows that hold one can lie in .bss: `None` is all zeros.
        assert_eq!(size_of::<Option<TimerId>>(), size_of::<TimerId>());
    }

    #[derive(Clone, Debug)]
    enum Op {
        Arm(i64),
        Cancel(usize),
        Advance(u64),
        Clear,
    }

    /// Distances around the edges of the levels, and far ones.
    fn distance() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..3_u64,
            0..200_u64,
            0..10_000_u64,
            0..HOUR_MS,
            0..1000 * 24 * HOUR_MS,
            (0..64_u32).prop_map(|bit| 1 << bit)
        ]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => distance().prop_map(|ms| Op::Arm(i64::try_from(ms).unwrap_or(i64::MAX))),
            1 => (1..5000_i64).prop_map(|ms| Op::Arm(-ms)),
            3 => (0..64_usize).prop_map(Op::Cancel),
            4 => distance().prop_map(|ms| Op::Advance(ms >> 3)),
            1 => (0..20_u8).prop_map(|dice| if dice == 0 { Op::Clear } else { Op::Advance(0) }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..crate::proptest_config() })]

        /// The model is a sorted list of (deadline, order, key).
        #[test]
        fn a_wheel_does_what_a_sorted_list_does(start in distance(), ops in prop::collection::vec(op(), 1..300)) {
            let mut wheel = Wheel::<usize, 24>::new();
            let mut model: Vec<(u64, usize)> = Vec::new();
            let mut ids = Vec::new();
            let mut now = start;
            prop_assert_eq!(wheel.pop_due(Mono(now)), None);
            for op in ops {
                match op {
                    Op::Arm(ahead) => {
                        let key = ids.len();
                        let at = now.saturating_add_signed(ahead);
                        let id = wheel.arm(Mono(at), key);
                        prop_assert_eq!(id.is_some(), model.len() < 24);
                        ids.push(id);
                        if id.is_some() {
                            model.push((at.max(now), key));
                            model.sort_unstable();
                        }
                    }
                    Op::Cancel(back) => {
                        let Some(key) = ids.len().checked_sub(back + 1) else { continue };
                        let Some(id) = ids[key] else { continue };
                        let armed = model.iter().position(|(_, armed)| *armed == key);
                        prop_assert_eq!(wheel.cancel(id), armed.is_some());
                        armed.map(|index| model.remove(index));
                    }
                    Op::Advance(ms) => {
                        now = now.saturating_add(ms);
                        while model.first().is_some_and(|(at, _)| *at <= now) {
                            prop_assert_eq!(wheel.pop_due(Mono(now)), Some(model.remove(0).1));
                        }
                        prop_assert_eq!(wheel.pop_due(Mono(now)), None);
                    }
                    Op::Clear => {
                        wheel.clear();
                        model.clear();
                        prop_assert_eq!(wheel.pop_due(Mono(now)), None);
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
                let next = wheel.next_deadline().map(|mono| mono.0);
                prop_assert_eq!(next.is_some(), !model.is_empty());
                if let (Some(next), Some((at, _))) = (next, model.first()) {
                    prop_assert!(next <= *at, "{next} is later than {at}");
                    prop_assert!(next >= now, "a look ahead is not behind");
                }
            }
        }
    }
}
