//! Loads the configuration and the card table for `serve`, or the good copies of bad ones
//! (design.md, section 5).

use std::io;
use std::path::{Path, PathBuf};

use log::{error, info, warn};
use posgate::engine::book::Book;
use posgate::engine::model::IncomingTable;
use posgate::engine::server::{Degraded, Origin, Server};
use posgate::files::cards::whole::{self, Before};
use posgate::files::cards::{CardFile, Keep, Reading};
use posgate::files::config::{self, Settings};
use posgate::files::good::{self, Beginning, Good, Kept};
use posgate::files::problem::Problem;
use posgate::files::sight::Sight;
use posgate::host::clock;
use posgate::lang::tr;
use posgate::ledger::identity;
use posgate::ledger::moved::{self, Mark};

/// The copy of the configuration that the OpenWrt package's init script gives to posgate.
pub(super) const SERVED_COPY: &str = "/var/etc/posgate/posgate";

/// The OpenWrt package's configuration, and that copy.
const PACKAGES_CONFIGS: [&str; 2] = ["/etc/config/posgate", SERVED_COPY];

/// The configuration and the card table to serve.
pub(super) struct Loaded {
    pub(super) settings: Settings,
    pub(super) file: CardFile,
    /// Which of the two files is replaced by its good copy.
    pub(super) degraded: Degraded,
    /// The problems of the replaced files.
    pub(super) problems: Vec<Problem>,
    /// How the two files looked when they were read, if that proves anything.
    pub(super) seen: Option<Sights>,
}

/// How configuration and card table look.
pub(super) type Sights = [Option<Sight>; 2];

/// Looks at the files, before they are read.
pub(super) fn look_at(path: &Path, cards: &Path) -> Sights {
    [Sight::of(path), Sight::of(cards)]
}

/// What sights prove later, if they were taken just now.
pub(super) fn proof(sights: Sights) -> Option<Sights> {
    let now = clock::wall();
    sights.iter().all(|sight| sight.is_some_and(|sight| sight.is_proof(now))).then_some(sights)
}

impl Loaded {
    pub(super) fn origin(&self) -> Origin {
        Origin { cards_crc: self.file.crc, config_crc: self.settings.crc, degraded: self.degraded }
    }

    /// Logs the problems, and which good copies are served.
    pub(super) fn tell(&self) {
        for problem in &self.problems {
            error!("{problem}");
        }
        for (_, path) in self.copies() {
            error!("degraded serving=\"{}\": correct the file, then reload", path.display());
        }
    }

    /// This configuration with the good copy of the card table, for a table that can be read but
    /// not served; `problem` says why. `None` if the good copy is in use already or cannot be read.
    pub(super) fn with_good_cards(&self, problem: Problem) -> Option<Self> {
        if self.degraded.cards {
            return None;
        }
        let file = good_cards(&self.settings, None)?.ok()?;
        let problems = self.problems.iter().cloned().chain([problem]).collect();
        Some(Self {
            settings: self.settings.clone(),
            file,
            degraded: Degraded { cards: true, ..self.degraded },
            problems,
            seen: None,
        })
    }

    /// The evidence that the card table was cut short, by an editor or by a power failure: a
    /// comparison with its good copy. `None` if the table seems whole.
    pub(super) fn not_whole(&self, book: &Book) -> Option<Problem> {
        // A power failure may have come between a reload and its good copy.
        if self.degraded.cards || book.served_table() == Some(self.file.crc) {
            return None;
        }
        let copy = good_cards(&self.settings, Some(self.file.crc))?.ok()?;
        let sentences = whole::compare(Before::File(&copy.table, &copy.columns()), &self.file, book);
        let message = || {
            let refusal = whole::refusal(&sentences, self.file.crc);
            tr!("not taken beside its good copy: {refusal}", "与上次通过的副本相比，没有采用：{refusal}")
        };
        (!sentences.is_empty()).then(|| whole_file(&self.settings.cards, message()))
    }

    /// The paths of the served good copies.
    pub(super) fn copies(&self) -> Vec<(&'static str, PathBuf)> {
        let good = Good::of(&self.settings.ledger_dir);
        let all = [(self.degraded.config, good::CONFIG), (self.degraded.cards, good::CARDS)];
        all.into_iter().filter(|(is_copy, _)| *is_copy).map(|(_, name)| (name, good.path(name))).collect()
    }

    /// Keeps copies of the accepted files, byte for byte. Returns the CRC-32 of each that is kept.
    pub(super) fn keep(&self, path: &Path) -> [Option<u32>; 2] {
        let good = Good::of(&self.settings.ledger_dir);
        let keep = |is_copy: bool, name, accepted, crc| {
            let is_kept = !is_copy && tell_kept(&good, name, good.keep(name, accepted, crc));
            is_kept.then_some(crc)
        };
        [
            keep(self.degraded.config, good::CONFIG, path, self.settings.crc),
            keep(self.degraded.cards, good::CARDS, &self.settings.cards, self.file.crc),
        ]
    }
}

/// Logs what became of a good copy; returns whether it is there.
pub(super) fn tell_kept(good: &Good, name: &str, kept: io::Result<Kept>) -> bool {
    match kept {
        Ok(Kept::Written) => info!("good-copy path={}", good.path(name).display()),
        Ok(Kept::Already) => (),
        Ok(Kept::Left) => return false,
        Err(error) => {
            warn!("good-copy failed: {error}: the one before stays");
            return false;
        }
    }
    true
}

/// Reads the configuration and the card table that it names; reports all problems of both at once.
pub(super) fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let config = Sight::of(path);
    let (settings, mut problems) = read_config(path)?;
    if !problems.is_empty() && !settings.cards.exists() {
        // The table may be missing only because its option could not be read.
        return Err(problems);
    }
    let seen = proof([config, Sight::of(&settings.cards)]);
    match read_cards(&settings, Keep::Table) {
        Ok(file) if problems.is_empty() => {
            Ok(Loaded { settings, file, degraded: Degraded::default(), problems: Vec::new(), seen })
        }
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// As [`load`], for a start: a bad or missing file is replaced by its good copy, if there is one.
/// If nothing can be served, reports the problems of the files and of the copies.
pub(super) fn load_or_good(path: &Path) -> Result<Loaded, Vec<Problem>> {
    load(path).or_else(|mut problems| match load_good(path) {
        Ok(loaded) => Ok(Loaded { problems, ..loaded }),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    })
}

/// Takes rules and cards into service. A table that can be read may still be too large beside the
/// ledger's accounts, or cut short compared with its good copy: then the good copy replaces it.
/// Without a good copy, returns the table's problem.
///
/// The table goes into service, so that nobody holds it twice.
pub(super) fn install(server: &mut Server, mut loaded: Loaded) -> Result<Loaded, Problem> {
    let put = |server: &mut Server, loaded: &mut Loaded| {
        let table = std::mem::replace(&mut loaded.file.table, IncomingTable::with_room(0));
        let installed = server.install_table(loaded.settings.rules.clone(), table, loaded.origin());
        installed.map(drop).map_err(|error| whole_file(&loaded.settings.cards, error.to_string()))
    };
    let fits = server.check_room(&loaded.file.table);
    let fits = fits.map_err(|error| whole_file(&loaded.settings.cards, error.to_string()));
    let is_whole = |()| loaded.not_whole(server.book()).map_or(Ok(()), Err);
    let Err(problem) = fits.and_then(is_whole).and_then(|()| put(server, &mut loaded)) else { return Ok(loaded) };
    let mut copy = loaded.with_good_cards(problem.clone()).ok_or_else(|| problem.clone())?;
    put(server, &mut copy).map_err(|_| problem)?;
    copy.tell();
    Ok(copy)
}

/// Reads the configuration, and its problems; one of them may be that the file is its good copy,
/// cut short within a line.
pub(super) fn read_config(path: &Path) -> Result<(Settings, Vec<Problem>), Vec<Problem>> {
    let (settings, mut problems) = config::inspect(path)?;
    // A file cut short may name another ledger, or none.
    let copies = [settings.ledger_dir.clone(), beside(path)];
    problems.extend(copies.iter().find_map(|dir| cut_short(path, dir, good::CONFIG, whole::has_lost_its_end)));
    Ok((settings, problems))
}

/// As [`read_config`], for the card table.
pub(super) fn read_cards(settings: &Settings, keep: Keep) -> Result<CardFile, Vec<Problem>> {
    let mut reading = Reading::open(&settings.cards, &settings.rules.groups, keep)?;
    reading.survey()?;
    let mut cut = beginning(settings, &reading);
    let file = reading.finish()?;
    while let Some(beginning) = &mut cut {
        match beginning.step() {
            None => (),
            Some(true) => return Err(vec![is_cut_short(&settings.cards)]),
            Some(false) => cut = None,
        }
    }
    Ok(file)
}

/// The comparison of a card table with the beginning of its good copy, if the table may be one.
pub(super) fn beginning(settings: &Settings, reading: &Reading) -> Option<Beginning> {
    let good = Good::of(&settings.ledger_dir);
    if reading.ends_line() { None } else { good.beginning(good::CARDS, reading.file_len(), reading.crc()) }
}

/// The ledger's directory as in most examples: beside the configuration.
fn beside(path: &Path) -> PathBuf {
    path.with_file_name("ledger")
}

/// The directory of the ledger that this router served last, if it was noted beside the ledger's
/// identity. Only for the OpenWrt package's one server: another server's good copy must not be
/// used.
fn served_last(path: &Path) -> Option<PathBuf> {
    let is_packages = PACKAGES_CONFIGS.iter().any(|config| path == Path::new(config));
    let identities = [config::defaults().identity, PathBuf::from("/etc/posgate/state/identity")];
    identities.iter().filter(|_| is_packages).find_map(|identity| identity::noted_place(identity))
}

fn cut_short(path: &Path, ledger_dir: &Path, name: &str, is_cut: fn(&[u8], &[u8]) -> bool) -> Option<Problem> {
    let copy = Good::of(ledger_dir).read(name)?;
    let bytes = std::fs::read(path).ok()?;
    is_cut(&bytes, &copy).then(|| is_cut_short(path))
}

/// The problem of a file that was cut.
pub(super) fn is_cut_short(path: &Path) -> Problem {
    let message = "cut short: it is the beginning of its good copy, and its last line has no end; write it again";
    whole_file(path, message.to_owned())
}

fn whole_file(path: &Path, message: String) -> Problem {
    Problem { file: path.to_owned(), line: 0, column: None, message }
}

/// Replaces the bad files by their good copies. Returns the copies' own problems if they cannot be
/// served.
fn load_good(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let mut degraded = Degraded::default();
    let settings = match read_config(path) {
        Ok((settings, problems)) if problems.is_empty() => settings,
        inspected => {
            degraded.config = true;
            // A broken configuration may still name the ledger's directory; a missing or empty one
            // does not.
            let named = inspected.map_or_else(|_| config::defaults().ledger_dir, |(settings, _)| settings.ledger_dir);
            good_config_of_any(path, [Some(named), Some(beside(path)), served_last(path)].into_iter().flatten())?
        }
    };
    let file = match read_cards(&settings, Keep::Table) {
        Ok(file) => file,
        Err(_) => {
            degraded.cards = true;
            good_cards(&settings, None).ok_or_else(Vec::new)??
        }
    };
    Ok(Loaded { settings, file, degraded, problems: Vec::new(), seen: None })
}

/// The first good copy of the configuration in these ledgers' directories, or the problems of the
/// first copy that exists.
fn good_config_of_any(path: &Path, ledger_dirs: impl Iterator<Item = PathBuf>) -> Result<Settings, Vec<Problem>> {
    let mut wrong = Vec::new();
    for ledger_dir in ledger_dirs {
        // The good copy moved with the ledger, and names the directory of both.
        let ledger_dir = match moved::read(&ledger_dir) {
            Ok(Some(Mark::Moved(to))) => to,
            Ok(_) | Err(_) => ledger_dir,
        };
        match good_config(path, &ledger_dir) {
            Ok(settings) => return Ok(settings),
            Err(problems) if wrong.is_empty() => wrong = problems,
            Err(_) => (),
        }
    }
    Err(wrong)
}

/// The good copy of the configuration, if it names the ledger beside it. It is read in place of the
/// original file: its relative paths are relative to the original's directory.
fn good_config(path: &Path, ledger_dir: &Path) -> Result<Settings, Vec<Problem>> {
    let (copy, copy_path) = good_copy(ledger_dir, good::CONFIG);
    let named = |problem: Problem| Problem { file: copy_path.clone(), ..problem };
    let parsed = config::parse(&copy.ok_or_else(Vec::new)?, path);
    let settings = parsed.map_err(|problems| problems.into_iter().map(named).collect::<Vec<_>>())?;
    if settings.ledger_dir == ledger_dir {
        return Ok(settings);
    }
    let message = format!("it is of another ledger, {}", settings.ledger_dir.display());
    Err(vec![whole_file(&copy_path, message)])
}

fn good_copy(ledger_dir: &Path, name: &str) -> (Option<Vec<u8>>, PathBuf) {
    let good = Good::of(ledger_dir);
    (good.read(name), good.path(name))
}

/// The good copy of the card table, or the problems that prevent reading it; `None` if it does not
/// exist, or if its CRC-32 is `known`.
pub(super) fn good_cards(settings: &Settings, known: Option<u32>) -> Option<Result<CardFile, Vec<Problem>>> {
    let path = Good::of(&settings.ledger_dir).path(good::CARDS);
    let mut reading = Reading::open(&path, &settings.rules.groups, Keep::Table).ok()?;
    if let Err(problems) = reading.survey() {
        return Some(Err(problems));
    }
    (known != Some(reading.crc())).then(|| reading.finish())
}

/// Problem of a readable card table whose good copy cannot be read, because an older program wrote
/// it, for example. Then nothing shows whether the table is whole.
pub(super) fn unreadable_copy(settings: &Settings, file: &CardFile) -> Option<Problem> {
    let problem = good_cards(settings, Some(file.crc))?.err()?.into_iter().next()?;
    let message = tr!(
        "{}; the good copy cannot be read, so the card table is taken as it stands",
        "{}；副本读不出，所以卡表照原样采用",
        problem.message
    );
    Some(Problem { message, ..problem })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CARDS: &str = "card,balance\n8888888801,10.00\n";

    /// A site that was served before.
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
            assert_eq!((loaded.degraded, loaded.file.table.len()), (what, 1));
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
        // A good copy that names another ledger is not accepted.
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
        assert_eq!((copy.degraded, copy.file.table.len()), (degraded(false, true), 1));
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

    #[test]
    fn a_configuration_that_is_empty_or_cut_at_any_byte_never_means_the_defaults() {
        let (dir, path) = site();
        let config = fs::read(&path).unwrap();
        // If the cut is at the end of a line, the file looks like one that a person shortened.
        for len in (0..config.len() - 1).filter(|len| !config[..*len].ends_with(b"\n")) {
            fs::write(&path, &config[..len]).unwrap();
            let loaded = load_or_good(&path).unwrap_or_else(|problems| panic!("{len}: {problems:?}"));
            assert!(loaded.degraded.config, "{len}");
            loaded.keep(&path);
            assert_eq!(fs::read(dir.path().join("ledger/good/config")).unwrap(), config, "{len}");
        }
    }

    #[test]
    fn a_table_that_is_cut_within_a_line_gives_way_to_its_good_copy() {
        let (dir, path) = site();
        let cards = dir.path().join("cards.csv");
        for len in 1..CARDS.len() {
            fs::write(&cards, &CARDS[..len]).unwrap();
            let loaded = load_or_good(&path).unwrap_or_else(|problems| panic!("{len}: {problems:?}"));
            let is_line_end = CARDS[..len].ends_with('\n') || CARDS[len..].starts_with('\n');
            assert_eq!(loaded.degraded.cards, !is_line_end, "{len}");
        }
    }

    #[test]
    fn what_is_wrong_with_both_is_said_where_there_is_nothing_to_serve() {
        let (dir, path) = site();
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{config} option nonsense '1'\n")).unwrap();
        fs::write(dir.path().join("ledger/good/config"), format!("{config} option other '1'\n")).unwrap();
        let said: Vec<String> = load_or_good(&path).err().unwrap().iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|line| line.contains("posgate:4:") && line.contains("nonsense")), "{said:?}");
        assert!(said.iter().any(|line| line.contains("good/config:4:") && line.contains("other")), "{said:?}");
        fs::write(&path, &config).unwrap();
        fs::write(dir.path().join("cards.csv"), "card,balance\n12x,1\n").unwrap();
        fs::write(dir.path().join("ledger/good/cards.csv"), "card,balance\n13x,1\n").unwrap();
        let said: Vec<String> = load_or_good(&path).err().unwrap().iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|line| line.contains("good/cards.csv:2:")), "{said:?}");
    }
}
