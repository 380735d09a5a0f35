//! Configuration and card table for `serve`: as they stand, or the good copies of what does not (design.md, section 5).

use std::path::{Path, PathBuf};

use log::{error, info, warn};
use posgate::cards::{self, CardFile};
use posgate::config::{self, Settings};
use posgate::good::{self, Good};
use posgate::problem::Problem;
use posgate::server::{Degraded, Origin};

/// What is to be served.
pub(super) struct Loaded {
    pub(super) settings: Settings,
    pub(super) file: CardFile,
    /// Which of the two is a good copy.
    pub(super) degraded: Degraded,
    /// Why.
    pub(super) problems: Vec<Problem>,
}

impl Loaded {
    pub(super) fn origin(&self) -> Origin {
        Origin { cards_crc: self.file.crc, config_crc: self.settings.crc, degraded: self.degraded }
    }

    /// Says what is wrong, and that a good copy is served.
    pub(super) fn tell(&self) {
        for problem in &self.problems {
            error!("{problem}");
        }
        for (_, path) in self.copies() {
            error!("degraded serving=\"{}\": correct the file, then reload", path.display());
        }
    }

    /// The same with the good copy of the card table, for a table that can be read and not be served: `problem` says why. `None`: there is
    /// no other to serve.
    pub(super) fn with_good_cards(&self, problem: Problem) -> Option<Self> {
        if self.degraded.cards {
            return None;
        }
        let file = read_good_cards(&self.settings)?;
        let problems = self.problems.iter().cloned().chain([problem]).collect();
        Some(Self {
            settings: self.settings.clone(),
            file,
            degraded: Degraded { cards: true, ..self.degraded },
            problems,
        })
    }

    /// The good copies that are served, with their paths.
    pub(super) fn copies(&self) -> Vec<(&'static str, PathBuf)> {
        let good = Good::of(&self.settings.ledger_dir);
        let all = [(self.degraded.config, good::CONFIG), (self.degraded.cards, good::CARDS)];
        all.into_iter().filter(|(is_copy, _)| *is_copy).map(|(_, name)| (name, good.path(name))).collect()
    }

    /// Keeps copies of what was accepted as it stands.
    pub(super) fn keep(&self, path: &Path) {
        let good = Good::of(&self.settings.ledger_dir);
        for (is_copy, name, accepted, crc) in [
            (self.degraded.config, good::CONFIG, path, self.settings.crc),
            (self.degraded.cards, good::CARDS, self.settings.cards.as_path(), self.file.crc),
        ] {
            if is_copy {
                continue;
            }
            match good.keep(name, accepted, crc) {
                Ok(true) => info!("good-copy path={}", good.path(name).display()),
                Ok(false) => (),
                Err(error) => warn!("good-copy failed: {error}: the one before stays"),
            }
        }
    }
}

/// Reads the configuration and the table that it names; all that is wrong with either at once.
pub(super) fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let (settings, mut problems) = config::inspect(path)?;
    if !problems.is_empty() && !settings.cards.exists() {
        // Perhaps only because its option could not be read.
        return Err(problems);
    }
    match cards::load(&settings.cards, &settings.rules.groups) {
        Ok(file) if problems.is_empty() => {
            Ok(Loaded { settings, file, degraded: Degraded::default(), problems: Vec::new() })
        }
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// The same for a start: what is bad or missing is replaced by its good copy, if there is one.
pub(super) fn load_or_good(path: &Path) -> Result<Loaded, Vec<Problem>> {
    load(path).or_else(|problems| {
        load_good(path).map(|loaded| Loaded { problems: problems.clone(), ..loaded }).ok_or(problems)
    })
}

fn load_good(path: &Path) -> Option<Loaded> {
    let mut degraded = Degraded::default();
    let settings = match config::inspect(path) {
        Ok((settings, problems)) if problems.is_empty() => settings,
        inspected => {
            degraded.config = true;
            // A broken configuration may still say where the ledger is; one that is gone does not.
            let named = inspected.map_or_else(|_| config::defaults().ledger_dir, |(settings, _)| settings.ledger_dir);
            let copy = Good::of(&named).read(good::CONFIG)?;
            // Read as the file that it is a copy of: its relative paths are relative to that one's directory.
            config::parse(&copy, path).ok().filter(|settings| settings.ledger_dir == named)?
        }
    };
    let file = match cards::load(&settings.cards, &settings.rules.groups) {
        Ok(file) => file,
        Err(_) => {
            degraded.cards = true;
            read_good_cards(&settings)?
        }
    };
    Some(Loaded { settings, file, degraded, problems: Vec::new() })
}

/// The good copy of the card table, if there is one that can be read.
pub(super) fn read_good_cards(settings: &Settings) -> Option<CardFile> {
    let good = Good::of(&settings.ledger_dir);
    cards::parse(&good.read(good::CARDS)?, &good.path(good::CARDS), &settings.rules.groups).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CARDS: &str = "card,balance\n8888888801,10.00\n";

    /// A site that was served once.
    fn site() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("posgate");
        fs::write(&path, "config server 'main'\n option cards 'cards.csv'\n option ledger_dir 'ledger'\n").unwrap();
        fs::write(dir.path().join("cards.csv"), CARDS).unwrap();
        fs::create_dir(dir.path().join("ledger")).unwrap();
        load(&path).unwrap_or_else(|problems| panic!("{problems:?}")).keep(&path);
        (dir, path)
    }

    fn degraded(config: bool, cards: bool) -> Degraded {
        Degraded { config, cards }
    }

    #[test]
    fn a_broken_configuration_or_table_gives_way_to_its_good_copy() {
        let (dir, path) = site();
        let config = fs::read_to_string(&path).unwrap();
        let check = |what: Degraded| {
            let loaded = load_or_good(&path).unwrap_or_else(|problems| panic!("{problems:?}"));
            assert_eq!((loaded.degraded, loaded.file.records.len()), (what, 1));
            assert_eq!(loaded.problems.is_empty(), !what.config && !what.cards);
            assert_eq!(loaded.settings.cards, dir.path().join("cards.csv"), "relative to where it was");
        };
        check(degraded(false, false));
        fs::write(&path, format!("{config} option nonsense '1'\n")).unwrap();
        check(degraded(true, false));
        fs::write(dir.path().join("cards.csv"), "card,balance\n12x,1\n").unwrap();
        check(degraded(true, true));
        fs::write(&path, &config).unwrap();
        check(degraded(false, true));
        fs::remove_file(dir.path().join("cards.csv")).unwrap();
        check(degraded(false, true));
    }

    #[test]
    fn without_a_good_copy_a_start_is_refused_with_all_that_is_wrong() {
        let (dir, path) = site();
        fs::write(dir.path().join("cards.csv"), "card,balance\n12x,1\n").unwrap();
        fs::remove_file(dir.path().join("ledger/good/cards.csv")).unwrap();
        assert!(load_or_good(&path).is_err());
        // Nor is another ledger's copy taken.
        let (other, _) = site();
        let config = fs::read_to_string(&path).unwrap().replace("'ledger'", "'other'");
        fs::rename(other.path().join("ledger"), dir.path().join("other")).unwrap();
        fs::write(&path, format!("{config} option nonsense '1'\n")).unwrap();
        assert!(load_or_good(&path).is_err());
    }

    #[test]
    fn a_table_that_cannot_be_served_gives_way_to_its_good_copy_once() {
        let (dir, path) = site();
        fs::write(dir.path().join("cards.csv"), format!("{CARDS}8888888802,1.00\n")).unwrap();
        let loaded = load_or_good(&path).unwrap_or_else(|problems| panic!("{problems:?}"));
        let problem =
            Problem { file: loaded.settings.cards.clone(), line: 0, column: None, message: "too many".to_owned() };
        let copy = loaded.with_good_cards(problem.clone()).unwrap();
        assert_eq!((copy.degraded, copy.file.records.len()), (degraded(false, true), 1));
        assert_eq!((copy.problems.clone(), copy.copies().len()), (vec![problem.clone()], 1));
        assert!(copy.with_good_cards(problem.clone()).is_none(), "it is that copy already");
        fs::remove_file(dir.path().join("ledger/good/cards.csv")).unwrap();
        assert!(loaded.with_good_cards(problem).is_none());
    }

    #[test]
    fn a_copy_that_is_served_is_not_kept_as_the_file() {
        let (dir, path) = site();
        fs::write(dir.path().join("cards.csv"), "card,balance\n12x,1\n").unwrap();
        let copy = dir.path().join("ledger/good/cards.csv");
        load_or_good(&path).unwrap_or_else(|problems| panic!("{problems:?}")).keep(&path);
        assert_eq!(fs::read_to_string(copy).unwrap(), CARDS);
    }
}
