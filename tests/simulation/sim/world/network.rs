//! The network: it loses, doubles, delays and reorders what devices and server send, and carries
//! what nobody should have sent.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::super::clock::true_civil;
use super::super::device::{Ask, Work};
use super::super::site::yuan;
use super::{Event, MINUTE, SECOND, World};

/// From here come the machine numbers that no device has.
const CROWD: u64 = 20_000;

/// And from here those of terminals that upload and do nothing else; so many there are.
const POUR: u64 = 30_000;
const POURING: u64 = 200;

impl World {
    pub(super) fn schedule(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.events.insert((at, self.serial), event);
    }

    pub(super) fn schedule_tick(&mut self, place: usize) {
        if let Some(at) = self.devices[place].next_deadline()
            && (at < self.ticks[place] || self.ticks[place] < self.t)
        {
            self.ticks[place] = at.max(self.t);
            self.schedule(at.max(self.t), Event::Tick(place));
        }
    }

    /// A datagram on its way between a device and the server.
    pub(super) fn carry(&mut self, device: usize, datagram: &[u8], to_device: bool) {
        if self.cut_until[device] > self.t && !self.is_calm {
            self.coverage.count("fault net lost in a cut");
            return;
        }
        let source = self.devices[device].source();
        if !to_device
            && let Some((held, until)) = &self.held[device]
            && held == datagram
        {
            let event = Event::ToServer(source, datagram.to_vec());
            self.schedule(*until, event);
            return;
        }
        let copies = if !self.is_calm && self.random.happens(self.doubled) {
            self.coverage.count("fault net doubled");
            if datagram.starts_with(b"109") {
                self.coverage.count("fault net doubled 109");
            }
            2
        } else {
            1
        };
        for _ in 0..copies {
            if !self.is_calm && self.random.happens(self.lost) {
                self.coverage.count(lost_name(datagram));
                continue;
            }
            let mut delay = self.random.between(1, 20);
            // A 011 that comes seconds late, when its slot is used again, would drop another
            // record: nobody can tell.
            if !self.is_calm && !datagram.starts_with(b"011") && self.random.happens(self.late) {
                self.coverage.count("fault net late");
                if datagram.starts_with(b"109") {
                    self.coverage.count("fault net late 109");
                }
                delay = self.random.between(20, 8000);
            }
            let at = self.t + delay;
            let newest = &mut self.newest_arrival[device][usize::from(to_device)];
            if at < *newest {
                self.coverage.count("fault net reordered");
            }
            *newest = at.max(*newest);
            let event = if to_device {
                Event::ToDevice(device, datagram.to_vec())
            } else {
                Event::ToServer(source, datagram.to_vec())
            };
            self.schedule(at, event);
        }
    }

    /// Now and then all copies of a sale's frame are on their way for so long that its terminal
    /// books it itself meanwhile: it comes after its own 105, or just before it.
    pub(super) fn hold_back(&mut self, device: usize, frame: &[u8], work: &Work) {
        // Without a time a frame of before a power cut that comes after it is any other.
        let may_book = work.ask.is_sale()
            && !matches!(work.ask, Ask::Scan(_))
            && work.is_white()
            && !self.devices[device].is_timeless();
        self.held[device] = None;
        if may_book && !self.is_calm && self.random.happens(20) {
            self.coverage.count("fault net held back until its terminal booked it");
            let until = self.t + self.random.between(7 * SECOND, 45 * SECOND);
            self.held[device] = Some((frame.to_vec(), until));
        }
    }

    pub(super) fn cut_network(&mut self) {
        self.coverage.count("fault net cut off");
        let until = self.t + self.random.between(2 * SECOND, 15 * MINUTE);
        if self.random.happens(300) {
            self.cut_until.fill(until);
        } else {
            let place = self.random.place(self.devices.len());
            self.cut_until[place] = until;
        }
    }

    /// Frames that no device made, for cards that nobody has.
    pub(super) fn forge(&mut self) {
        for _ in 0..self.random.between(1, 40) {
            let source = self.stranger();
            let machine = self.random.below(self.devices.len() as u64 + 20);
            let seq = self.random.below(70_000);
            let card = self.decoy();
            let (fen, slot) = (self.random.between(1, 900), self.random.below(100_000));
            let time = true_civil(self.t);
            let head = format!("{seq:05},1.2.3.4,5.6.7.8,{machine:05}");
            let amount = yuan(i64::try_from(fen).expect("small"));
            let (datagram, name) = match self.random.below(14) {
                0 => (format!("103,{head},{card},{amount},{time}").into_bytes(), "fault net forged"),
                1 => (format!("105,{head},{card},{amount},{time},0,{slot:08},1").into_bytes(), "fault net forged"),
                2 => (format!("109,{head}").into_bytes(), "fault net forged 109"),
                3 => (format!("109,{head},008,{card}").into_bytes(), "fault net forged 109"),
                4 => (format!("101,{head},{time}").into_bytes(), "fault net forged"),
                5 => (format!("{:03},{head}", self.random.below(1000)).into_bytes(), "fault net unknown code"),
                6 => (vec![b'1'; 1500], "fault net oversize"),
                7 => (b"103,seq,1.2.3.4,5.6.7.8,00001,1,1.00".to_vec(), "fault net garbage"),
                8 => (format!("103,{seq:05},1.2.3.4,5.6.7.8,M,1,1.00").into_bytes(), "fault net garbage"),
                9 => (format!("102,{seq:05}").into_bytes(), "fault net garbage"),
                10 => (format!("103,{head},{card},1e3,{time}").into_bytes(), "fault net forged"),
                _ => {
                    let len = self.random.below(80);
                    let bytes = (0..len).map(|_| u8::try_from(self.random.below(256)).expect("a byte"));
                    (bytes.collect(), "fault net garbage")
                }
            };
            self.coverage.count(name);
            let at = self.t + self.random.below(5 * SECOND);
            self.schedule(at, Event::ToServer(source, datagram));
        }
    }

    /// One source sends as fast as it can.
    pub(super) fn flood(&mut self) {
        self.coverage.count("fault net flood of one source");
        let source = self.stranger();
        let count = self.random.between(60, 200) + 5 * self.site.rate_source;
        let machine = self.random.below(self.devices.len() as u64 + 20);
        let is_stored = self.random.happens(300);
        let (card, time) = (self.decoy(), true_civil(self.t));
        for number in 0..count {
            let (code, body) =
                if is_stored { (105, format!("{card},0.01,{time},0,{number:08},1")) } else { (102, "1".to_owned()) };
            let datagram = format!("{code},{:05},1.2.3.4,5.6.7.8,{machine:05},{body}", number % 65_536);
            let at = self.t + self.random.below(3 * SECOND);
            self.schedule(at, Event::ToServer(source, datagram.into_bytes()));
        }
    }

    /// The power came back, and many terminals upload what they stored: a turn has pages of
    /// entries.
    pub(super) fn pour(&mut self) {
        self.coverage.count("fault net stored sales of many at once");
        let (card, time) = (self.decoy(), true_civil(self.t));
        let span = self.random.between(5, 3 * SECOND);
        for number in 0..self.random.between(50, POURING) {
            let last = u8::try_from(number).expect("few");
            let source = SocketAddrV4::new(Ipv4Addr::new(10, super::super::site::FENCE.1, 98, last), 39_190);
            let (machine, seq, slot) = (POUR + number, self.random.below(60_000), self.random.below(100_000_000));
            let amount = yuan(i64::try_from(self.random.between(1, 900)).expect("small"));
            let datagram = format!("105,{seq:05},1.2.3.4,5.6.7.8,{machine:05},{card},{amount},{time},0,{slot:08},1");
            let at = self.t + self.random.below(span);
            self.schedule(at, Event::ToServer(source, datagram.into_bytes()));
        }
    }

    /// More machine numbers than the server has places for.
    pub(super) fn crowd(&mut self) {
        self.coverage.count("fault more than 1,024 machine numbers");
        let span = self.random.between(10 * SECOND, 10 * MINUTE);
        let count = self.random.between(1050, 1500);
        let card = self.decoy();
        for number in 0..count {
            let last = u8::try_from(number % 250 + 1).expect("small");
            let source = SocketAddrV4::new(Ipv4Addr::new(10, 0, 200, last), 4000);
            let (machine, seq, time) = (CROWD + number, self.random.below(65_536), true_civil(self.t));
            let head = format!("{seq:05},1.2.3.4,5.6.7.8,{machine:05}");
            let datagram = match self.random.below(4) {
                // In doubt for ever: few numbers do it, so that not all places are taken by them.
                0 if number < 100 => format!("103,{head},{card},{}.00,{time}", self.random.between(1, 9)),
                0 | 1 => format!("101,{head},{time}"),
                2 => format!("106,{head},F1"),
                _ => format!("102,{head},1"),
            };
            let at = self.t + self.random.below(span);
            self.schedule(at, Event::ToServer(source, datagram.into_bytes()));
        }
    }

    /// Somebody recorded a door's frame and sends it again, from its own address.
    pub(super) fn replay_a_door(&mut self) {
        // Of the last 32 frames of a board: more it need not remember.
        let frames = &self.door_frames;
        self.recorded_doors.retain(|(place, _, number)| is_remembered(frames[*place], *number));
        if self.recorded_doors.is_empty() {
            return;
        }
        let place = self.random.place(self.recorded_doors.len());
        let (board, frame, number) = self.recorded_doors[place].clone();
        self.coverage.count("fault net replayed door");
        let at = self.t + self.random.below(MINUTE);
        self.schedule(at, Event::Recorded(board, frame, number));
    }

    /// The recording comes, unless the board has meanwhile asked so often that it is forgotten.
    pub(super) fn play_recorded(&mut self, board: usize, frame: Vec<u8>, number: u64) {
        if is_remembered(self.door_frames[board], number) {
            self.schedule(self.t, Event::ToServer(self.devices[board].source(), frame));
        }
    }

    fn stranger(&mut self) -> SocketAddrV4 {
        let last = u8::try_from(self.random.between(1, 5)).expect("small");
        // Inside the fence, or not.
        let net = if self.random.happens(500) { 9 } else { super::super::site::FENCE.1 };
        SocketAddrV4::new(Ipv4Addr::new(10, net, 99, last), 4000)
    }

    fn decoy(&mut self) -> u64 {
        let decoys = self.site.cards.iter().filter(|card| card.is_decoy).map(|card| card.number);
        let decoys: Vec<u64> = decoys.collect();
        if decoys.is_empty() { 1 } else { self.random.pick(&decoys) }
    }
}

/// Whether a board's frame is one of the last that the server has to remember, with some on their
/// way.
fn is_remembered(frames: u64, number: u64) -> bool {
    frames < number + 28
}

fn lost_name(datagram: &[u8]) -> &'static str {
    match datagram.get(..3) {
        Some(b"001") => "fault net lost 001",
        Some(b"008") => "fault net lost 008",
        Some(b"011") => "fault net lost 011",
        Some(b"050") => "fault net lost 050",
        Some(b"103") => "fault net lost 103",
        Some(b"105") => "fault net lost 105",
        Some(b"109") => "fault net lost 109",
        _ => "fault net lost another",
    }
}
