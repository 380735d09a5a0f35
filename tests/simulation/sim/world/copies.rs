//! Copies of the ledger: an older one is restored, and one is sold on at another machine.

use std::net::{Ipv4Addr, SocketAddrV4};

use posgate::engine::server::{Beginning, Effects, Origin, Outgoing, Peer, Server, Tables};
use posgate::ledger::identity;
use posgate::ledger::writer::Opening;
use posgate::ledger::{Host, Ledger, OpenError};
use posgate::turn::Service;

use super::super::clock::true_civil;
use super::super::disk::Disk;
use super::super::judge::Judge;
use super::super::lineage::{Fate, IDENTITY, Known, Lineage};
use super::super::random::Random;
use super::{DiskKeeper, World, made_of};

/// The terminal at the other machine, which nothing else has to do with.
const ELSEWHERE: u16 = 64_000;

/// The ledger as it was, and what was known of it then.
pub(super) struct Backup {
    disk: Disk,
    judge: Judge,
}

impl World {
    /// Somebody copies the ledger's directory, while all that is there is durable.
    pub(super) fn back_up(&mut self, service: &Service<Disk>) {
        // What an archive that was cut short took away already has its copy on the stick, at which
        // the judge looks once.
        let is_durable =
            self.is_proven && service.server().book().head().0 == self.judge.seq && !self.judge.has_gone(&self.disk);
        if is_durable && !self.disk.is_broken() {
            self.coverage.count("operator copy of the ledger");
            self.backup = Some(Box::new(Backup { disk: self.disk.copy(), judge: self.judge.clone() }));
        }
    }

    /// Whether somebody puts the copy in the ledger's place before the next start.
    pub(super) fn is_to_be_restored(&mut self) -> bool {
        self.backup.is_some() && !self.is_calm && self.random.happens(50)
    }

    /// The older copy is in the ledger's place. What the machine knows of its ledger it knows
    /// still, unless it is another one.
    pub(super) fn restore(&mut self) {
        let Some(backup) = &self.backup else { return };
        if self.disk.is_broken() {
            return;
        }
        self.disk.restore(&backup.disk, IDENTITY);
        let (ledger, last) = backup.judge.head();
        self.judge.roll_back(&backup.judge);
        if self.random.happens(150) {
            self.coverage.count("fault an older copy was restored at another machine");
            self.host += 1;
            if self.random.happens(500) {
                self.disk.carry_away(IDENTITY);
            }
        }
        let fate = Lineage::read(&self.disk).fate(Known::read(&self.disk).as_ref(), &Host(self.host).to_string());
        match fate {
            Fate::Branch(..) => (),
            Fate::Serve => {
                // The machine has not said since the copy was made how far it came: this is what an
                // hour, and a power cut, may cost.
                self.coverage
                    .count("allowed: an older copy, made since the machine last noted how far its ledger came");
                self.judge.names.lose_after(ledger, last);
            }
            Fate::Begin | Fate::Refuse => panic!("an older copy is not served: {fate:?}"),
        }
        self.head_at_end = None;
    }

    /// The ledger is copied to another machine, and sold on at both. This world goes on with
    /// either.
    pub(super) fn sell_on_at_two(&mut self, tables: &mut Tables, effects: &mut Effects) {
        if self.disk.is_broken() || self.is_filled || self.judge.seq == 0 {
            return;
        }
        self.coverage.count("fault the ledger was copied, and sold on at two machines");
        let mut other = self.disk.copy();
        // Either the whole medium was cloned, or the ledger alone.
        if self.random.happens(500) {
            other.carry_away(IDENTITY);
        }
        let mut host = self.host + 1;
        if self.random.happens(400) {
            std::mem::swap(&mut self.disk, &mut other);
            std::mem::swap(&mut self.host, &mut host);
            self.host += 1;
        }
        self.sell_elsewhere(tables, effects, &other, host);
        // And after a start.
        self.sell_elsewhere(tables, effects, &other, host);
    }

    /// Some sales at the machine that this world does not go on with.
    fn sell_elsewhere(&mut self, tables: &mut Tables, effects: &mut Effects, disk: &Disk, host: u32) {
        disk.calm();
        disk.revive();
        let found = identity::read_in(disk, IDENTITY);
        let before = Lineage::read(disk);
        let fate = before.fate(Known::read(disk).as_ref(), &Host(host).to_string());
        let rules = self.site.rules();
        let file = self.site.card_file(&rules);
        let created = self.clocks.now(self.t, false).stamp;
        let mut keeper = DiskKeeper(disk.clone(), Random::new(self.random.next()));
        let number = self.random.next();
        let mut server = Server::new(tables, rules.clone());
        let opening = Opening { site: "sim", host: Some(Host(host)), created, identity: Some(&found) };
        let opened = Ledger::open_as(disk.clone(), &opening, || number, server.book_to_replay());
        let (ledger, opened) = opened.unwrap_or_else(|error: OpenError| panic!("at the other machine: {error}"));
        let verdict = opened.verdict.expect("it was asked for");
        assert_eq!(made_of(&verdict), fate, "what the other machine makes of the ledger: {found:?} {opened:?}");
        if opened.branch.is_some() {
            self.coverage.count("branch a copy at another machine went on under another name");
            server.begin(Beginning { branch: Some(verdict.word()), rolled_back: verdict.gone });
        }
        let origin = Origin { cards_crc: file.crc, ..Origin::default() };
        server.install(rules, &file.records, origin).expect("it fits");
        let mut service = Service::new(server, ledger, effects);
        let now = self.clocks.now(self.t, true);
        service.keep_identity(&mut keeper, None);
        let mut approved = 0;
        let mut post = |bag: &Outgoing| {
            approved += bag.iter().filter(|(_, letter)| letter.starts_with(b"008")).count();
        };
        service.start(&now, &mut post).expect("nothing is broken there");
        for number in 0..self.random.between(1, 12) {
            let row = self.random.place(self.site.cards.len());
            let card = self.site.cards[row].number;
            let (seq, time) = (self.random.below(60_000), true_civil(self.t));
            let datagram = format!("103,{seq:05},1.2.3.4,5.6.7.8,{ELSEWHERE:05},{card:010},{}.00,{time}", number + 1);
            let source = SocketAddrV4::new(Ipv4Addr::new(10, 0, 201, 1), 39_190);
            let peer = Peer { source, local: Ipv4Addr::new(192, 168, 1, 2), socket: 0 };
            service.receive(&now, peer, datagram.as_bytes(), false).expect("nothing is broken there");
            service.end_turn(&now, &mut post).expect("nothing is broken there");
        }
        service.stop(&now, &mut post).expect("nothing is broken there");
        drop(service);
        let after = Lineage::read(disk);
        let new = after.entries.range(before.entries.last_key_value().map_or(0, |(seq, _)| *seq) + 1..);
        let name = opened.branch.map(|(number, _)| number);
        for (seq, (ledger, crc)) in new {
            assert!(name.is_none_or(|name| name == *ledger), "an entry of the ledger that was copied: {seq}");
            self.judge.names.give(*ledger, *seq, *crc);
        }
        let sold = disk.count_lines(&format!("\tcharge\t{ELSEWHERE}\t"));
        assert!(approved <= sold, "approved at the other machine {approved} times, and booked {sold} times");
    }
}
