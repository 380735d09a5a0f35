//! What breaks: processes, power, disks, clocks, and the room on the disk.

use std::net::Ipv4Addr;

use posgate::engine::model::{Entry, EntrySeq};
use posgate::ledger::{self, Entries, OpenError, verify};

use super::super::device::{Device, DeviceClock};
use super::super::disk::{Strike, Target};
use super::{Event, MINUTE, Order, Point, SECOND, World, address};

impl World {
    pub(super) fn make_trouble(&mut self) {
        if self.is_calm {
            return;
        }
        let next = self.t + self.random.between(SECOND, 20 * MINUTE);
        self.schedule(next, Event::Trouble);
        if self.is_full && self.random.happens(500) {
            // While nothing can be written doors open without an entry.
            self.replay_a_door();
        }
        match self.random.below(35) {
            0 => self.order = Some(Order::Kill),
            1 => self.order = Some(Order::Power),
            2..=8 => self.order = Some(Order::Operator(self.next_act())),
            9..=11 => {
                // Mostly in the turns' own writes; else in rotation, snapshots and what follows a
                // full disk.
                let any = Target::Any(u32::try_from(self.random.below(40)).expect("few"));
                let target = self.random.pick(&[Target::Append, Target::Sync, any]);
                let strike =
                    self.random.pick(&[Strike::Kill, Strike::Kill, Strike::Io, Strike::NoSpace, Strike::ReadOnly]);
                self.order = Some(Order::Strike(target, strike));
            }
            12..=14 => {
                let point = self.random.pick(&[Point::BeforeWrite, Point::AfterSync, Point::AmidResults]);
                self.order = Some(Order::KillAt(point));
            }
            15 => self.clocks.step(self.t, &mut self.random, &mut self.coverage),
            16 | 17 => self.cut_network(),
            18 | 19 => self.cut_power_of_devices(),
            20 | 21 => self.forge(),
            22..=24 => self.replay_a_door(),
            25 => self.spoil_device_clocks(),
            26 => self.flood(),
            27 if self.is_crowded => self.crowd(),
            28 | 29 => self.fill_disk(),
            30 => self.move_a_device(),
            31 => self.pour(),
            _ => self.disk.write_back(),
        }
    }

    /// While all subsidy purses are emptied, turn by turn: any turn may be its process' last, or
    /// the last before the files are read again.
    pub(super) fn trouble_a_clear(&mut self) {
        if self.is_calm || !self.judge.orders.is_clearing() || !self.random.happens(80) {
            return;
        }
        self.coverage.count("fault amid a clear of every subsidy");
        match self.random.below(5) {
            0 => self.order = Some(Order::Kill),
            1 => self.order = Some(Order::Power),
            2 => self.disk.strike(Target::Append, Strike::Kill),
            3 => self.disk.strike(Target::Sync, Strike::Kill),
            _ => self.order = Some(Order::Operator(self.next_act())),
        }
    }

    fn cut_power_of_devices(&mut self) {
        self.coverage.count("fault power of a device");
        let is_all = self.random.happens(200);
        let one = self.random.place(self.devices.len());
        // Longer than any datagram is on its way: what comes late from before a start is another
        // story.
        let until = self.t + self.random.between(15 * SECOND, 10 * MINUTE);
        for place in 0..self.devices.len() {
            if is_all || place == one {
                self.devices[place].cut_power(until);
                // Who comes first may be who comes first each time, and pays what he always pays.
                if let Some(habit) = self.habits[place].first().copied()
                    && let Some(work) = self.sale_of(place, habit)
                {
                    self.devices[place].plan(until + self.random.between(2, 9) * SECOND, work);
                }
                self.schedule_tick(place);
            }
        }
    }

    /// A device gets another address while it runs, as DHCP may do: one that nobody had, one that
    /// another device had, or two change theirs.
    fn move_a_device(&mut self) {
        let (place, other) = (self.random.place(self.devices.len()), self.random.place(self.devices.len()));
        if !self.may_move(place) {
            return;
        }
        let old = self.devices[place].address;
        if place != other && self.may_move(other) && self.random.happens(500) {
            self.coverage.count("fault net two devices changed addresses");
            let new = self.devices[other].address;
            self.give_address(place, new);
            self.give_address(other, old);
            return;
        }
        self.coverage.count("fault net a device moved to another address");
        let new = if !self.left_addresses.is_empty() && self.random.happens(600) {
            self.coverage.count("fault net a device got an address that another had");
            let left = self.random.place(self.left_addresses.len());
            self.left_addresses.swap_remove(left)
        } else {
            self.addresses += 1;
            address(self.addresses)
        };
        self.at_address.remove(&old);
        self.left_addresses.push(old);
        self.give_address(place, new);
    }

    fn give_address(&mut self, place: usize, new: Ipv4Addr) {
        self.at_address.insert(new, place);
        self.devices[place].address = new;
    }

    /// One without a serial would be another one to the server: nothing tells that it is not.
    fn may_move(&self, place: usize) -> bool {
        let Device { machine, serial, address, .. } = &self.devices[place];
        let is_alone = self.devices.iter().filter(|device| device.machine == *machine).count() == 1;
        let is_registered_there = self.site.registered.contains(&(*machine, address.to_string()));
        serial.is_some() && is_alone && !is_registered_there
    }

    fn spoil_device_clocks(&mut self) {
        let place = self.random.place(self.devices.len());
        if let DeviceClock::Runs(error) = &mut self.devices[place].clock {
            self.coverage.count("fault device clock off");
            *error += (i64::try_from(self.random.below(7200)).expect("hours") - 3600) * 1000;
        }
    }

    // ---------------------------------------------------------------- room

    /// Something else fills the disk, for a while: up to the reserve, or up to the last bytes.
    fn fill_disk(&mut self) {
        if self.is_filled {
            return;
        }
        let reserve = self.site.reserve_bytes;
        let (left, is_boasting) = match self.random.below(4) {
            0 | 1 => (self.random.between(reserve / 4, reserve - 1), false),
            2 => (self.random.below(6000), false),
            _ => (self.random.below(6000), true),
        };
        self.coverage.count(match (left, is_boasting) {
            (_, true) => "fault disk full, and says that it is not",
            (6000.., false) => "fault disk filled up to the reserve",
            (_, false) => "fault disk filled up",
        });
        self.disk.fill_up(left, is_boasting);
        self.is_filled = true;
        self.room_changed = self.t;
        let back = self.t + self.random.between(10 * SECOND, 90 * MINUTE);
        self.schedule(back, Event::Room);
    }

    /// There is room again.
    pub(super) fn free_room(&mut self) {
        self.disk.free_room();
        self.is_filled = false;
        self.room_changed = self.t;
    }

    // ---------------------------------------------------------------- bits

    /// A bit of a file turns at rest. The copy that it happens to is looked at as a start and as
    /// `verify` would, and repaired.
    pub(super) fn flip_a_bit(&mut self) {
        let copy = self.disk.copy();
        copy.revive();
        copy.heal();
        copy.free_room();
        let segments = copy.segments();
        // Mostly in the newest: there it could be taken for a power cut's.
        let name = match self.random.below(10) {
            0 if !segments.is_empty() => segments[self.random.place(segments.len())].clone(),
            1 => ledger::snapshot::NAME.to_owned(),
            _ => segments.last().cloned().unwrap_or_default(),
        };
        let len = copy.with_solid(&name, <[u8]>::len);
        let before = ledger::replay(&copy, &mut Entries(|_: &Entry| Ok(())));
        let (Ok(before), 513..) = (before, len) else { return };
        let bit = self.random.place(len * 8);
        copy.flip(&name, bit);
        self.coverage.count("fault disk bit flipped");
        let verified = verify::verify_directory(&copy, &segments, &mut || ()).expect("it can be read");
        let after = ledger::replay(&copy, &mut Entries(|_: &Entry| Ok(())));
        if name == ledger::snapshot::NAME {
            assert!(verified.exit_code() != 0, "a snapshot's bit changed, and verify saw nothing: {verified}");
            match after {
                Ok(after) => {
                    assert_eq!((after.head, after.snapshot), (before.head, None), "a spoiled snapshot was believed");
                    self.coverage.count("branch flip in the snapshot not believed");
                }
                Err(OpenError::Damaged { .. }) => self.coverage.count("branch flip in the one snapshot refused"),
                Err(error @ (OpenError::Io(_) | OpenError::NotOurs(_))) => panic!("{error}"),
            }
            return;
        }
        if Some(&name) != segments.last() && bit / 8 >= 512 {
            assert!(verified.exit_code() != 0, "bit {bit} of {name} changed, and verify saw nothing: {verified}");
            self.coverage.count("branch flip in an old segment seen by verify");
        }
        match after {
            Err(OpenError::Damaged { remedy, .. }) => {
                self.coverage.count("branch flip refused");
                self.repair(copy, &remedy);
            }
            Err(error @ (OpenError::Io(_) | OpenError::NotOurs(_))) => panic!("{error}"),
            // What the snapshot stands for is not looked at.
            Ok(after) if Some(&name) != segments.last() => assert_eq!(after.head, before.head, "an old segment's bit"),
            // A header has no checksum: in its number, site or date a bit may turn unseen
            // (design.md, section 7).
            Ok(after) if bit / 8 < 512 => {
                assert_eq!(after.head, before.head, "a header's bit changed the entries");
                self.coverage.count("allowed: a header's bit flipped, unseen");
            }
            // The snapshot stands for it, and verify does not.
            Ok(after) if after.head == before.head && after.tail == before.tail => {
                assert!(verified.exit_code() != 0, "bit {bit} of {len} bytes in {name} changed, and nobody noticed");
                self.coverage.count("branch flip before the snapshot seen by verify");
            }
            // In the last line it looks like a torn tail, or it was in one; the LF before it makes
            // one line of two.
            Ok(after) => {
                let tail = after.tail.as_ref().map(|tail| usize::try_from(tail.offset).expect("small"));
                let is_cut = tail.is_some_and(|offset| offset <= bit / 8) && after.entries + 2 >= before.entries;
                let byte = bit / 8;
                assert!(is_cut, "byte {byte} of {len} in {name} changed, and nobody noticed: {before:?} {after:?}");
                self.coverage.count("branch flip in the tail cut");
            }
        }
    }

    /// Does what the refusal says.
    fn repair(&mut self, mut copy: super::Disk, remedy: &str) {
        let Some(cut) = remedy.split("--cut ").nth(1) else { return };
        let digits: String = cut.chars().take_while(char::is_ascii_digit).collect();
        let cut = EntrySeq(digits.parse().unwrap_or_else(|_| panic!("no number after --cut: {remedy}")));
        match ledger::repair(&mut copy, cut, None, true) {
            Ok(_) => {
                let again = ledger::replay(&copy, &mut Entries(|_: &Entry| Ok(())));
                assert!(again.as_ref().is_ok_and(|again| again.head.seq.next() == cut), "repaired: {again:?} {remedy}");
                let report = verify::verify_directory(&copy, &copy.segments(), &mut || ()).expect("it can be read");
                assert_eq!(report.exit_code(), 0, "repaired: {report}");
                self.coverage.count("operator repair of a copy");
            }
            Err(error) => {
                super::tell(|| format!("repair: {error}"));
                self.coverage.count("operator repair of a copy refused");
            }
        }
    }
}
