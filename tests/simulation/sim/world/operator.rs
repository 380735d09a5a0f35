//! The operator at the router: signals, files, and the commands that work on the ledger, at any
//! moment.
//!
//! [`Act`] lists them and [`World::act`] does them. What the running server is ordered over its
//! control socket is in `desk`.

use std::path::Path;

use posgate::files::cards::whole::{self, Before};
use posgate::files::{cards, config};
use posgate::ledger::{self, CareError, verify};
use posgate::turn::Service;

use super::super::disk::{Disk, Strike, Target};
use super::{End, World};

/// What the operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// SIGTERM, and a start.
    Restart,
    /// SIGHUP, after an edit that is as it should be.
    Reload,
    /// The same with a configuration that cannot be read.
    ReloadBadConfig,
    /// With a card table that cannot be read.
    ReloadBadCards,
    /// With a table that lacks a fifth of the cards.
    ReloadFewCards,
    /// SIGHUP, after the quarantine of unknown devices was begun or ended.
    Quarantine,
    /// The ledger's directory is copied.
    Backup,
    /// `ledger archive`, beside the server.
    Archive,
    /// `ledger verify`, beside the server.
    Verify,
}

impl World {
    pub(super) fn next_act(&mut self) -> Act {
        match self.random.below(14) {
            0 | 1 => Act::Restart,
            2..=5 => Act::Reload,
            6 => Act::ReloadBadConfig,
            7 => Act::ReloadBadCards,
            8 => Act::ReloadFewCards,
            9 if self.knows_quarantine => Act::Quarantine,
            9 if self.is_copied => Act::Backup,
            10 | 11 => Act::Archive,
            _ => Act::Verify,
        }
    }

    pub(super) fn act(&mut self, service: &mut Service<Disk>, act: Act) -> Option<End> {
        match act {
            Act::Restart => {
                self.coverage.count("operator stop and start");
                return Some(self.stop(service).unwrap_or(End::Stopped));
            }
            Act::Reload => {
                let mut site = self.written.as_ref().unwrap_or(&self.site).clone();
                site.edit(&mut self.random);
                self.register_a_device(&mut site);
                self.enter_new_cards(&mut site);
                self.reload(site);
            }
            Act::Quarantine => {
                let mut site = self.written.as_ref().unwrap_or(&self.site).clone();
                site.is_quarantined ^= true;
                self.coverage.count("operator quarantine begun or ended");
                self.reload(site);
            }
            Act::ReloadBadConfig => self.read_bad_config(),
            Act::ReloadBadCards => self.read_bad_cards(service),
            Act::ReloadFewCards => {
                let mut site = self.site.clone();
                site.lose_cards();
                let rules = site.rules();
                let file = site.card_file(&rules);
                let server = service.server();
                let columns = file.columns();
                let before = Before::Service(server.cards(), server.book(), &columns);
                let objections = whole::compare(before, &file, server.book());
                assert!(!objections.is_empty(), "a fifth of the cards was lost, and nobody objected");
                self.coverage.count("operator reload that loses cards refused");
            }
            Act::Archive => {
                if let Some(end) = self.archive() {
                    return Some(end);
                }
            }
            Act::Backup => self.back_up(service),
            Act::Verify => self.verify(),
        }
        self.compare_all(service);
        None
    }

    /// Now and then a device that nobody registered is, or the other way round. Not where more
    /// machine numbers come than there are places for: who gives way hangs on who is registered
    /// when they come, and a start knows only who is now.
    fn register_a_device(&mut self, site: &mut super::Site) {
        if self.is_crowded || !self.random.happens(300) {
            return;
        }
        let registered = self.random.place(site.registered.len() * 3);
        if site.registered.get(registered).is_some_and(|(machine, _)| !site.boards.contains(machine)) {
            site.registered.swap_remove(registered);
            self.coverage.count("operator device registered no more");
            return;
        }
        let place = self.random.place(self.devices.len());
        let device = &self.devices[place];
        let is_alone = self.devices.iter().filter(|other| other.machine == device.machine).count() == 1;
        let is_known = site.registered.iter().any(|(machine, _)| *machine == device.machine);
        if !is_alone || is_known {
            return;
        }
        let owner = device.serial.clone().unwrap_or_else(|| device.address.to_string());
        site.registered.push((device.machine, owner));
        self.coverage.count("operator device registered");
    }

    /// A configuration with a slip: the reader must object, and nothing changes.
    fn read_bad_config(&mut self) {
        let text = self.site.config();
        let slip = self.random.pick(&["option clok 'ntp'", "option door_ttl_ms 'soon'", "config sever", "\u{0}"]);
        let bad = format!("{text}\nconfig server 'again'\n {slip}\n");
        assert!(config::parse(bad.as_bytes(), Path::new("posgate")).is_err(), "a bad configuration was taken: {slip}");
        self.coverage.count("operator bad configuration refused");
    }

    /// A card table with a slip, or a part of one.
    fn read_bad_cards(&mut self, service: &Service<Disk>) {
        let text = self.site.table();
        let first = self.site.cards[0].number;
        let bad = match self.random.below(4) {
            0 => format!("{text}8.88889E+09,B,X,active,1.00,1,,,,,\n"),
            1 => format!("{text}{first},B,X,active,1.00,1,,,,,\n"),
            2 => text.replacen("card,", "name2,", 1),
            _ => format!("{text}123,B,X,lost?,1.00,1,,,,,\n"),
        };
        let groups = &service.server().rules().groups;
        assert!(cards::parse(bad.as_bytes(), Path::new("cards.csv"), groups).is_err(), "a bad table was taken");
        self.coverage.count("operator bad card table refused");
    }

    /// Old segments are copied to a stick and removed. The stick may be pulled out, and the power
    /// may go.
    fn archive(&mut self) -> Option<End> {
        let struck = if self.random.happens(500) { self.disk.clone() } else { self.stick.clone() };
        if self.random.happens(300) {
            let after = u32::try_from(self.random.below(40)).expect("few");
            struck.strike(Target::Any(after), self.random.pick(&[Strike::Kill, Strike::Io, Strike::NoSpace]));
        }
        let done = ledger::archive_into(&mut self.disk.clone(), || Ok(self.stick.clone()), &mut Vec::new());
        let has_struck = self.disk.calm() | self.stick.calm();
        struck.revive();
        self.room_changed = self.t;
        match done {
            Ok(()) => (),
            Err(CareError::Refused(why)) if has_struck || why.contains("there is no") => {
                self.coverage.count("operator archive refused");
            }
            // What an archive that was cut short left there is of before an older copy was
            // restored: the operator takes another stick.
            Err(CareError::Refused(why)) if self.is_copied && why.contains("is there already and differs") => {
                self.coverage.count("operator archive refused, beside a copy that differs");
                self.stick = Disk::new(self.random.next());
            }
            Err(CareError::Io(_)) if has_struck || self.disk.is_broken() => {
                self.coverage.count("fault archive cut short");
            }
            Err(error) => panic!("archive: {error}"),
        }
        if has_struck && self.random.happens(500) {
            self.coverage.count("fault power during archive");
            self.stick.cut_power();
            return Some(End::PowerCut);
        }
        self.judge.archived(&self.disk, &self.stick);
        None
    }

    /// Beside the running server its newest line may be half there, and nothing else.
    fn verify(&mut self) {
        if self.disk.is_broken() {
            return;
        }
        let names = self.disk.segments();
        let report = verify::verify_directory(&self.disk, &names, &mut || ()).expect("it can be read");
        assert!(report.exit_code() <= 1, "verify beside the server: {report}");
        self.coverage.count("operator verify beside the server");
    }

    /// What the operator makes good when the faults stop.
    pub(super) fn relent(&mut self) {
        self.site.is_quarantined = false;
        if let Some(written) = &mut self.written {
            written.is_quarantined = false;
        }
        self.is_site_edited = true;
    }
}
