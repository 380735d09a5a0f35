//! Removes segments that every office has (design.md, section 14).
//!
//! What always holds: a segment is removed only if every office acknowledged its last entry with
//! the crc that it has here, a start needs it no more (a believed snapshot begins after it), its
//! last entry is old enough by a clock that was believed, and every older segment is gone. Whatever
//! cannot be read, or does not agree, keeps everything. The names go one by one, the oldest first,
//! each durably, so that an interruption leaves no hole.

use std::io;

use super::acks::Ack;
use super::seek;
use super::segment::{self, Lines, Segment};
use super::snapshot;
use super::storage::{Files, Storage};
use super::{Entries, line};
use crate::engine::limits::LINE_LEN_MAX;
use crate::engine::model::{ClockState, EntrySeq, Wall};

/// Segments that are removed at once: a start of a segment makes one, so that more catch up. Each
/// costs a medium some milliseconds.
pub const REMOVED_MAX: usize = 4;

/// Removes the oldest segments that all of `acks` cover and whose entries are older than
/// `older_than`, at most [`REMOVED_MAX`]; gives the first entry and the last that went. Without an
/// acknowledgement nothing is removed.
///
/// # Errors
/// If a file cannot be read or removed.
pub(super) fn remove<S: Storage>(
    storage: &mut S,
    acks: &[Ack],
    older_than: Wall,
) -> io::Result<Option<(EntrySeq, EntrySeq)>> {
    let segments = segment::list(storage)?;
    let Some(all_have) = acks.iter().map(|ack| ack.head.seq).min() else { return Ok(None) };
    // The cheap questions first: mostly the answer is no.
    let mut count = 0;
    while count < REMOVED_MAX
        && let Some(next) = segments.get(count + 1)
        && next.first.0 <= all_have.0.saturating_add(1)
        && last_time(storage, &segments[count..])?.is_some_and(|time| time < older_than)
    {
        count += 1;
    }
    if count == 0 || !are_here(storage, acks)? {
        return Ok(None);
    }
    // As a start will read it.
    let kept_from = match snapshot::restore(storage, &segments, &mut Entries(|_: &_| Ok(())))? {
        Ok(Some(base)) => base.segment.first,
        Ok(None) | Err(_) => return Ok(None),
    };
    let mut removed = None;
    for pair in segments.windows(2).take(count).take_while(|pair| pair[1].first <= kept_from) {
        let [segment, next] = pair else { unreachable!("windows of two") };
        storage.remove(&segment.name)?;
        storage.sync_dir()?;
        let (first, _) = removed.unwrap_or((segment.first, segment.first));
        removed = Some((first, EntrySeq(next.first.0 - 1)));
    }
    Ok(removed)
}

/// Whether each acknowledged entry is here, with its crc and of its ledger.
fn are_here(files: &dyn Files, acks: &[Ack]) -> io::Result<bool> {
    for ack in acks {
        let found = seek::find(files, ack.head.seq)?;
        if !found.is_ok_and(|place| place.head == ack.head && place.ledger == ack.ledger) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The time of the last entry of the first of these segments, which the second must continue; if
/// its clock was not believed, that of the next segment, which is later. `None`: not known.
fn last_time(files: &dyn Files, segments: &[Segment]) -> io::Result<Option<Wall>> {
    for pair in segments.windows(2) {
        let [segment, next] = pair else { unreachable!("windows of two") };
        let Ok(header) = segment::read_header(files, &next.name)? else { return Ok(None) };
        let end = files.len(&segment.name)?.saturating_sub(2 * LINE_LEN_MAX as u64);
        let mut lines = Lines::starting_at(files, &segment.name, end, 0, None);
        let mut last = None;
        while let Some(line) = lines.read()? {
            last = line::parse(line.text).ok().filter(|_| line.ended);
        }
        let Some(last) = last.filter(|last| last.head() == header.before()) else { return Ok(None) };
        if last.entry.clock == ClockState::Ok {
            return Ok(Some(last.entry.time.wall));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::Head;
    use super::super::recovery;
    use super::super::storage::MemoryStorage;
    use super::super::testing;
    use super::super::writer::Ledger;
    use super::*;
    use crate::engine::model::{Entry, Stamp};

    const DAY_MS: i64 = 86_400_000;

    fn stamp(day: i64) -> Stamp {
        let stamp = testing::stamp();
        Stamp { wall: Wall(stamp.wall.0 + day * DAY_MS), ..stamp }
    }

    /// Ten segments of three entries, one segment a day, with a snapshot in the `snapshot_at`th;
    /// and the acknowledgement of each entry.
    fn ledger(snapshot_at: usize, unset: &[usize]) -> (MemoryStorage, Vec<Ack>) {
        let mut storage = MemoryStorage::default();
        let mut acks = Vec::new();
        let opened = Ledger::open(&mut storage, "test", stamp(0), || 0xA1, &mut Entries(|_: &Entry| Ok(())));
        let (mut ledger, _) = opened.map_err(|error| error.to_string()).unwrap();
        for segment in 0..10 {
            let day = i64::try_from(segment).unwrap();
            if segment > 0 {
                ledger.rotate(stamp(day)).unwrap();
            }
            for _ in 0..3 {
                let clock = if unset.contains(&segment) { ClockState::Unset } else { ClockState::Ok };
                // A clock that was not set shows 1970.
                let time = if clock == ClockState::Ok { stamp(day) } else { Stamp::default() };
                let entry = Entry { time, clock, ..testing::entry(ledger.next_seq().0) };
                ledger.append(&entry);
                ledger.write().unwrap();
                ledger.sync().unwrap();
                acks.push(Ack { ledger: 0xA1, head: ledger.synced(), time: None });
                if acks.len() == 3 * snapshot_at + 1 {
                    ledger.write_snapshot(stamp(day), &Entries(|_: &Entry| Ok(()))).unwrap();
                }
            }
        }
        drop(ledger);
        (storage, acks)
    }

    fn removed(storage: &mut MemoryStorage, acks: &[Ack], day: i64) -> Option<(u64, u64)> {
        remove(storage, acks, stamp(day).wall).unwrap().map(|(first, last)| (first.0, last.0))
    }

    fn count(storage: &MemoryStorage) -> usize {
        segment::list(storage).unwrap().len()
    }

    #[test]
    fn what_every_office_has_goes_if_it_is_old_and_before_the_snapshot() {
        let (whole, acks) = ledger(8, &[]);
        let of = |seq: usize| acks[seq - 1];
        for (acks, day, gone) in [
            // Nobody acknowledged anything; the slowest decides.
            (vec![], 100, None),
            (vec![of(30), Ack::default()], 100, None),
            (vec![of(30), of(2)], 100, None),
            (vec![of(30), of(3)], 100, Some((1, 3))),
            (vec![of(8), of(30)], 100, Some((1, 6))),
            // A few at once.
            (vec![of(30)], 100, Some((1, 12))),
            // Too young.
            (vec![of(30)], 0, None),
            (vec![of(30)], 1, Some((1, 3))),
            (vec![of(30)], 3, Some((1, 9))),
        ] {
            let mut storage = whole.clone();
            assert_eq!(removed(&mut storage, &acks, day), gone, "{acks:?} {day}");
            assert_eq!(count(&storage), 10 - gone.map_or(0, |(_, last)| usize::try_from(last).unwrap() / 3));
            let replayed = recovery::replay(&storage, &mut Entries(|_: &Entry| Ok(())));
            assert_eq!(replayed.map_err(|error| error.to_string()).unwrap().head, of(30).head);
        }
        // Again and again: never what the snapshot needs.
        let mut storage = whole.clone();
        while removed(&mut storage, &[of(30)], 100).is_some() {}
        assert_eq!(segment::list(&storage).unwrap()[0].first, EntrySeq(25), "the segment of the snapshot's entry");
        let replayed = recovery::replay(&storage, &mut Entries(|_: &Entry| Ok(())));
        assert_eq!(replayed.map_err(|error| error.to_string()).unwrap().head, of(30).head);
    }

    #[test]
    fn what_does_not_agree_keeps_everything() {
        let (whole, acks) = ledger(8, &[]);
        let good = acks[29];
        let other_crc = Ack { head: Head { crc: good.head.crc ^ 1, ..good.head }, ..good };
        let other_ledger = Ack { ledger: 0xB2, ..good };
        let beyond = Ack { head: Head { seq: EntrySeq(31), crc: 1 }, ..good };
        for wrong in [other_crc, other_ledger, beyond] {
            assert_eq!(removed(&mut whole.clone(), &[good, wrong], 100), None, "{wrong:?}");
        }
        // No snapshot, or one that no start believes.
        let mut storage = whole.clone();
        storage.files.remove(snapshot::NAME);
        assert_eq!(removed(&mut storage, &[good], 100), None);
        let mut storage = whole.clone();
        storage.files.get_mut(snapshot::NAME).unwrap()[60] ^= 1;
        assert_eq!(removed(&mut storage, &[good], 100), None);
        // A damaged end: it is left to a person.
        let mut storage = whole;
        let bytes = storage.files.get_mut(testing::FIRST).unwrap();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        assert_eq!(removed(&mut storage, &[good], 100), None);
    }

    #[test]
    fn a_time_that_was_not_believed_is_that_of_the_next_segment() {
        let (whole, acks) = ledger(8, &[0, 1]);
        assert_eq!(removed(&mut whole.clone(), &[acks[29]], 2), None, "segment 3 is of day 2");
        assert_eq!(removed(&mut whole.clone(), &[acks[29]], 3), Some((1, 9)));
        let (never, acks) = ledger(8, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(removed(&mut never.clone(), &[acks[29]], 100), None);
    }

    #[test]
    fn a_crash_between_any_two_steps_leaves_a_ledger_that_a_start_serves() {
        let (whole, acks) = ledger(8, &[]);
        let mut left = Vec::new();
        for steps in 0.. {
            let mut storage = whole.clone();
            storage.steps_left = Some(steps);
            let ended = remove(&mut storage, &[acks[29]], stamp(100).wall);
            storage.steps_left = None;
            let segments = segment::list(&storage).unwrap();
            left.push(segments.len());
            // The oldest are gone, and no other.
            let all = segment::list(&whole).unwrap();
            assert_eq!(segments, all[10 - segments.len()..]);
            let replayed = recovery::replay(&storage, &mut Entries(|_: &Entry| Ok(())));
            assert_eq!(replayed.map_err(|error| error.to_string()).unwrap().head, acks[29].head);
            if ended.is_ok() {
                break;
            }
        }
        left.dedup();
        assert_eq!(left, [10, 9, 8, 7, 6]);
    }
}
