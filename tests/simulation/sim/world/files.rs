//! The operator's files as they lie on the router when a start or a reload reads them: whole, or
//! cut at any byte by a power failure. They are real ones in a directory of their own, read by the
//! code of `serve`; so are the good copies.

use std::fs;
use std::io;
use std::path::PathBuf;

use posgate::engine::model::{Date, Now};
use posgate::engine::server::{Origin, Server};
use posgate::files::config::Settings;
use posgate::host::event_loop::{Reload, ReloadStep};
use posgate::turn::Service;

use super::super::disk::Disk;
use super::super::load::{self, Loaded};
use super::super::reload::{InService, Reloads};
use super::super::site::Site;
use super::{End, World};

/// What a start reads.
pub(super) struct Read {
    pub(super) loaded: Loaded,
    /// What the files were to say.
    target: Site,
    /// Rows that are whole in the card table, if it was cut, and whether the cut is at a line's
    /// end.
    cut_cards: Option<(usize, bool)>,
}

impl World {
    fn config_path(&self) -> PathBuf {
        self.files.path().join("posgate")
    }

    fn put_file(&self, name: &str, bytes: &[u8]) {
        fs::write(self.files.path().join(name), bytes).expect("a temporary directory");
    }

    fn put_files(&self, site: &Site) {
        self.put_file("posgate", site.config().as_bytes());
        self.put_file("cards.csv", site.table().as_bytes());
    }

    /// What a start makes of the files, of which one may have been cut. An error: it is refused.
    pub(super) fn read_files(&mut self) -> io::Result<Read> {
        let target = self.written.clone().unwrap_or_else(|| self.site.clone());
        self.put_files(&target);
        let (config, table) = (target.config(), target.table());
        let is_known = self.accepted.as_ref().is_some_and(|good| good.config() == config && good.table() == table);
        let mut cut_config = None;
        let mut cut_cards = None;
        if is_known && !self.is_calm && self.random.happens(200) {
            if self.random.happens(300) {
                self.coverage.count("fault configuration cut at a start");
                let len = self.cut_of(&config);
                self.put_file("posgate", &config.as_bytes()[..len]);
                cut_config = Some(len);
            } else {
                self.coverage.count("fault card table cut at a start");
                let len = self.cut_of(&table);
                let bytes = &table.as_bytes()[..len];
                self.put_file("cards.csv", bytes);
                let is_at_end = len == 0 || bytes.ends_with(b"\n") || table.as_bytes()[len..].starts_with(b"\n");
                let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
                cut_cards = Some((lines.saturating_sub(1), is_at_end));
            }
        }
        let loaded = load::load_or_good(&self.config_path());
        let is_line_end = cut_config.is_some_and(|len| config.as_bytes()[..len].ends_with(b"\n"));
        let is_whole = cut_config.is_none_or(|len| config.as_bytes()[len..].trim_ascii().is_empty());
        let loaded = match loaded {
            // What is left names no ledger of which there are good copies.
            Err(_) if is_line_end && !is_whole => {
                self.coverage.count("branch start refused, of a configuration that was cut");
                return Err(io::Error::other("the configuration was cut"));
            }
            Err(problems) => panic!("a start was refused, and there are good copies: {problems:?} {cut_config:?}"),
            Ok(loaded) if loaded.degraded.config => {
                assert!(!is_whole, "a whole configuration gave way to its good copy: {:?}", loaded.problems);
                self.coverage.count("branch start from the good configuration");
                loaded
            }
            Ok(loaded) if is_whole => loaded,
            Ok(_) => {
                assert!(is_line_end, "a configuration that was cut at byte {cut_config:?} was taken");
                // Nothing tells it from one that somebody shortened. Here somebody sees it in time.
                self.coverage.count("allowed: a configuration cut at a line's end is another one");
                self.put_file("posgate", config.as_bytes());
                load::load_or_good(&self.config_path()).unwrap_or_else(|problems| panic!("{problems:?}"))
            }
        };
        let mut loaded = loaded;
        build_early(&mut loaded.settings);
        Ok(Read { loaded, target, cut_cards })
    }

    /// At any byte; often at a line's end, or where little is gone.
    fn cut_of(&mut self, text: &str) -> usize {
        let len = self.random.place(text.len());
        let len = if self.random.happens(400) { text.len() - 1 - self.random.place(text.len().min(300)) } else { len };
        let end = text.as_bytes()[..len].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if self.random.happens(400) { end } else { len }
    }

    /// Takes it into service, as a start does, and gives what is served. The card table is whole,
    /// or its good copy is served, or no more is gone than anybody may take away.
    pub(super) fn install(&mut self, server: &mut Server, read: Read) -> (Loaded, Site) {
        let Read { loaded, target, cut_cards } = read;
        let loaded = load::install(server, loaded).unwrap_or_else(|problem| panic!("a start was refused: {problem}"));
        let accepted = self.accepted.clone().unwrap_or_else(|| target.clone());
        let rows = accepted.cards.len();
        let mut served = if loaded.degraded.config { accepted.clone() } else { target.clone() };
        let is_degraded = loaded.degraded.cards;
        match cut_cards {
            Some((kept, is_at_end)) => {
                let gone = rows - kept;
                let is_lost = !is_at_end || gone == rows || (gone > 3 && gone * 10 > rows);
                assert_eq!(is_degraded, is_lost, "cut to {kept} rows of {rows}, at a line's end: {is_at_end}");
                served.cards.truncate(kept);
                self.coverage.count(if is_degraded {
                    "branch start from the good card table"
                } else {
                    "allowed: a card table without its last rows is another one"
                });
            }
            None => {
                // Rows that come back may be on accounts that moved since: then a person has to say
                // so.
                let has_new = target.cards.iter().any(|card| accepted.find(card.number).is_none());
                assert!(!is_degraded || has_new, "a whole table gave way to its good copy: {:?}", loaded.problems);
                served.cards.clone_from(&target.cards);
            }
        }
        if is_degraded {
            served.cards.clone_from(&accepted.cards);
        }
        let kept = loaded.keep(&self.config_path());
        let in_service = InService {
            at_start: loaded.settings.clone(),
            settings: loaded.settings.clone(),
            columns: loaded.file.columns(),
            headings: (loaded.file.headings.clone(), loaded.file.delimiter),
            warnings: loaded.file.warnings.clone(),
            seen: loaded.seen,
            kept,
        };
        self.reloads = Some(Reloads::new(self.config_path(), in_service, build_early));
        self.reloading.clear();
        self.is_reload_due = false;
        self.accepted = Some(served.clone());
        let is_other = served.config() != target.config() || served.table() != target.table();
        self.written = is_other.then_some(target);
        (loaded, served)
    }

    /// Writes the files, and asks for a reload.
    pub(super) fn reload(&mut self, site: Site) {
        // One edit at most amid a clear: many of them would look like a table that was cut.
        let site = if self.judge.orders.is_clearing() { self.written.clone().unwrap_or(site) } else { site };
        self.put_files(&site);
        self.written = Some(site.clone());
        match &mut self.reloads {
            Some(reloads) if !reloads.is_running() => reloads.begin(None),
            _ => {
                self.coverage.count("fault files changed during a reload");
                self.is_reload_due = true;
            }
        }
        self.reloading.push(site);
        self.turn_at = Some(self.turn_at.map_or(self.t, |at| at.min(self.t)));
    }

    pub(super) fn is_reloading(&self) -> bool {
        self.reloads.as_ref().is_some_and(Reload::is_running)
    }

    /// Does what the loop does of a running reload after a turn.
    pub(super) fn step_reload(&mut self, service: &mut Service<Disk>, now: &Now) -> Option<End> {
        let reloads = self.reloads.as_mut().filter(|reloads| reloads.is_running())?;
        match reloads.step(service.server_mut()) {
            ReloadStep::Working => (),
            ReloadStep::Taken(reloaded) => {
                self.coverage.count("operator reload taken");
                self.site = self.taken(service.server().origin());
                self.judge.site_from = service.server().book().head().0;
                if !reloaded.is_unchanged
                    && (service.reloaded(now, &mut |bag| self.post(bag)).is_err() || self.disk.is_killed())
                {
                    return Some(End::Died);
                }
                self.after_turn(service);
                self.compare_all(service);
            }
            ReloadStep::Ended(answer) => self.end_reload(&answer),
        }
        if self.is_reloading() {
            // The steps are short, and frames come between them; sometimes a sync is slow.
            let at = self.t + if self.random.happens(100) { self.random.below(300) } else { self.random.below(3) };
            self.turn_at = Some(self.turn_at.map_or(at, |other| other.min(at)));
        }
        None
    }

    /// What the files said that were taken: each of them as somebody wrote it.
    fn taken(&self, origin: Origin) -> Site {
        let written = || self.reloading.iter().rev().chain([&self.site]);
        let crc = |text: String| crc32fast::hash(text.as_bytes());
        let config = written().find(|site| crc(site.config()) == origin.config_crc).expect("a configuration of ours");
        let cards = written().find(|site| crc(site.table()) == origin.cards_crc).expect("a card table of ours");
        let mut taken = config.clone();
        taken.take_cards_of(cards);
        taken
    }

    fn end_reload(&mut self, answer: &str) {
        let is_taken = answer.starts_with("{\"ok\":true");
        let crc = answer.split_once("\"crc\":\"").and_then(|(_, crc)| u32::from_str_radix(crc.get(..8)?, 16).ok());
        let Some(reloads) = &mut self.reloads else { return };
        if answer.contains("every subsidy is being cleared") {
            // What is served stays, and the files wait for another reload, or a start.
            self.coverage.count("operator reload refused while every subsidy is cleared");
        } else if is_taken {
            self.accepted = Some(self.site.clone());
            let is_served =
                |written: &Site| written.config() == self.site.config() && written.table() == self.site.table();
            self.written = self.written.take().filter(|written| !is_served(written));
        } else if let Some(crc) = crc.filter(|_| !self.is_reload_due) {
            // A card got an account that moved, perhaps since its row was written. The operator
            // looked at it.
            self.coverage.count("operator reload refused, and accepted");
            reloads.begin(Some(crc));
            return;
        } else {
            assert!(self.is_reload_due, "a reload was refused: {answer}");
        }
        if std::mem::take(&mut self.is_reload_due) {
            reloads.begin(None);
            return;
        }
        self.reloading.clear();
    }
}

/// The worlds begin before the program was built.
fn build_early(settings: &mut Settings) {
    settings.rules.built_on = Date::parse(b"2026-01-01").expect("a date");
}
