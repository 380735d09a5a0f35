//! A reload, in steps between the loop's turns (design.md, section 5).
//!
//! *Invariants:* each step is of bounded work, except that of the switch, which goes once through
//! accounts and cards in memory. Until the switch nothing of the server changes, whatever the files
//! hold, and a refusal is its own end. What depends on the ledger is decided at the switch, since
//! terminals and orders go on meanwhile. The bytes that are taken are those of one crc, and nobody
//! touched the files between the first look and the switch; otherwise the reload begins anew.

use std::fs;
use std::path::PathBuf;

use log::{LevelFilter, error, info, warn};
use posgate::desk::control::changes::{self, Changes, Elsewhere};
use posgate::engine::model::AccountId;
use posgate::engine::model::text::HiddenAccount;
use posgate::engine::server::{Degraded, Origin, Server};
use posgate::files::cards::columns::Column;
use posgate::files::cards::whole::{self, Before, Comparison};
use posgate::files::cards::{self, CardFile, Keep, Progress, Reading};
use posgate::files::config::Settings;
use posgate::files::good::{self, Beginning, Copying, Good, Kept};
use posgate::files::problem::Problem;
use posgate::files::sight::Sight;
use posgate::files::zone;
use posgate::host::clock;
use posgate::host::event_loop::{Reload, ReloadStep, Reloaded};
use posgate::host::logging;

use super::load::{Sights, beginning, is_cut_short, look_at, proof, read_config, tell_kept};

/// Rows that a step compares or looks up.
const ROWS: usize = 512;

/// A reload of files that change all the time is refused after so many beginnings.
const TRIES_MAX: u32 = 3;

/// An empty list of problems.
const NONE: &[&str] = &[];

/// Accounts that a reload lists because their changed figures are ignored; the rest is counted.
pub(super) const SHOWN_MAX: usize = 20;

const STAYS: &str = "the old configuration and cards stay in service";

/// What is served, for the next reload to compare with.
pub(super) struct InService {
    /// What the process was started with.
    pub(super) at_start: Settings,
    /// The configuration in service.
    pub(super) settings: Settings,
    /// The columns, headings and delimiter of the card table in service, and its warnings.
    pub(super) columns: Vec<Column>,
    pub(super) headings: (Vec<String>, char),
    pub(super) warnings: Vec<Problem>,
    /// How configuration and card table looked when they were read, if that proves anything.
    pub(super) seen: Option<Sights>,
    /// CRC-32 of the good copies of configuration and card table, if they are known to be kept.
    pub(super) kept: [Option<u32>; 2],
}

/// The reloads of a process.
pub(super) struct Reloads {
    path: PathBuf,
    in_service: InService,
    /// Changes what a configuration says, for tests.
    adapt: fn(&mut Settings),
    accept: Option<u32>,
    /// The beginnings of the running reload.
    tries: u32,
    stage: Option<Stage>,
}

/// How far a reload is.
enum Stage {
    Begin,
    Read(Box<Reading<'static>>, Option<Beginning>, Files),
    Compare(Box<CardFile>, Option<Beginning>, Files, Comparison, Changes, usize),
    LookUp(Box<CardFile>, Files, Comparison, Changes),
    /// Without a file: the cards in service are those of the file.
    Switch(Option<Box<CardFile>>, Files, Comparison, Changes),
    Tell(Taken, Elsewhere),
    Keep(Taken, Elsewhere, Option<Copying>),
}

/// The files of a reload.
struct Files {
    settings: Box<Settings>,
    problems: Vec<Problem>,
    sights: Sights,
    proof: Option<Sights>,
    /// Known when the files were read.
    found: Option<zone::Found>,
}

/// A reload after the switch.
struct Taken {
    changes: Changes,
    ignored: Vec<AccountId>,
    at_next_start: Vec<&'static str>,
    cards_crc: u32,
}

/// The end of a step.
enum Next {
    Stage(Stage),
    Taken(Box<Reloaded>, Stage),
    Ended(String),
}

impl Reload for Reloads {
    fn begin(&mut self, accept: Option<u32>) {
        self.accept = accept;
        self.tries = 0;
        self.stage = Some(Stage::Begin);
    }

    fn step(&mut self, server: &mut Server) -> ReloadStep {
        let Some(stage) = self.stage.take() else { return ReloadStep::Ended(String::new()) };
        match self.advance(stage, server) {
            Ok(Next::Stage(stage)) => {
                self.stage = Some(stage);
                ReloadStep::Working
            }
            Ok(Next::Taken(reloaded, stage)) => {
                self.stage = Some(stage);
                ReloadStep::Taken(reloaded)
            }
            Ok(Next::Ended(answer)) | Err(answer) => ReloadStep::Ended(answer),
        }
    }

    fn is_running(&self) -> bool {
        self.stage.is_some()
    }

    fn is_taken(&self) -> bool {
        matches!(self.stage, Some(Stage::Tell(..) | Stage::Keep(..)))
    }
}

impl Reloads {
    pub(super) fn new(path: PathBuf, in_service: InService, adapt: fn(&mut Settings)) -> Self {
        Self { path, in_service, adapt, accept: None, tries: 0, stage: None }
    }

    /// Does the next step. The error is the answer to a refused reload.
    fn advance(&mut self, stage: Stage, server: &mut Server) -> Result<Next, String> {
        match stage {
            Stage::Begin => self.begin_anew(server).map(Next::Stage),
            Stage::Read(reading, cut, files) => self.read(reading, cut, files, server).map(Next::Stage),
            Stage::Compare(file, Some(mut cut), mut files, comparison, changes, rows) => match cut.step() {
                None => Ok(Next::Stage(Stage::Compare(file, Some(cut), files, comparison, changes, rows))),
                Some(false) => Ok(Next::Stage(Stage::Compare(file, None, files, comparison, changes, rows))),
                Some(true) => {
                    files.problems.push(is_cut_short(&files.settings.cards));
                    Err(refuse(&files.problems))
                }
            },
            Stage::Compare(file, None, files, comparison, changes, rows) => {
                Ok(Next::Stage(self.compare(file, files, comparison, changes, rows, server)))
            }
            Stage::LookUp(mut file, files, comparison, changes) => {
                let is_more = server.look_up(&mut file.table, ROWS);
                Ok(Next::Stage(if is_more {
                    Stage::LookUp(file, files, comparison, changes)
                } else {
                    Stage::Switch(Some(file), files, comparison, changes)
                }))
            }
            Stage::Switch(file, files, comparison, changes) => self.switch(file, files, &comparison, changes, server),
            Stage::Tell(taken, mut elsewhere) => Ok(Next::Stage(if elsewhere.step(server, ROWS) {
                Stage::Tell(taken, elsewhere)
            } else {
                tell_elsewhere(&elsewhere);
                let copying = self.keep(&taken);
                Stage::Keep(taken, elsewhere, copying)
            })),
            Stage::Keep(taken, elsewhere, copying) => Ok(self.keep_on(taken, elsewhere, copying, server)),
        }
    }

    /// Looks at the files, and reads the configuration if any of them changed.
    fn begin_anew(&mut self, server: &Server) -> Result<Stage, String> {
        self.tries += 1;
        let known = &self.in_service.settings;
        let sights = look_at(&self.path, &known.cards);
        if Some(sights) == self.in_service.seen && !server.degraded().is_any() {
            let settings = Box::new(known.clone());
            let mut files = Files { settings, problems: Vec::new(), sights, proof: Some(sights), found: None };
            self.check_files(&mut files)?;
            return Ok(Stage::Switch(None, files, Comparison::default(), Changes::default()));
        }
        let (mut settings, mut problems) = read_config(&self.path).map_err(|problems| refuse(&problems))?;
        (self.adapt)(&mut settings);
        if !problems.is_empty() && !settings.cards.exists() {
            // The table may be missing only because its option could not be read.
            return Err(refuse(&problems));
        }
        let sights = [sights[0], Sight::of(&settings.cards)];
        let proof = proof(sights);
        let reading = Reading::open(&settings.cards, &settings.rules.groups, Keep::Table);
        let reading = reading.map_err(|more| {
            problems.extend(more);
            refuse(&problems)
        })?;
        let files = Files { settings: Box::new(settings), problems, sights, proof, found: None };
        Ok(Stage::Read(Box::new(reading), None, files))
    }

    fn read(
        &mut self,
        mut reading: Box<Reading<'static>>,
        cut: Option<Beginning>,
        mut files: Files,
        server: &Server,
    ) -> Result<Stage, String> {
        let progress = reading.step().map_err(|more| {
            files.problems.extend(more);
            refuse(&files.problems)
        })?;
        match progress {
            Progress::Working => Ok(Stage::Read(reading, cut, files)),
            Progress::Changed => self.try_again(&files),
            Progress::Surveyed => {
                let is_same_table = reading.crc() == server.origin().cards_crc && !server.degraded().cards;
                // The cards' rows hold the numbers of groups.
                if is_same_table && files.settings.rules.groups == server.rules().groups && files.problems.is_empty() {
                    self.check_files(&mut files)?;
                    return Ok(Stage::Switch(None, files, Comparison::default(), Changes::default()));
                }
                let cut = beginning(&files.settings, &reading);
                Ok(Stage::Read(reading, cut, files))
            }
            Progress::Done(file) => {
                if !files.problems.is_empty() {
                    return Err(refuse(&files.problems));
                }
                self.check_files(&mut files)?;
                Ok(Stage::Compare(file, cut, files, Comparison::default(), Changes::default(), 0))
            }
        }
    }

    /// Begins again, if not too often: the files changed.
    fn try_again(&self, files: &Files) -> Result<Stage, String> {
        if self.tries < TRIES_MAX { Ok(Stage::Begin) } else { Err(refuse(&[cards::changed(&files.settings.cards)])) }
    }

    /// Finds the zone, and checks that the ledger stays where it is.
    fn check_files(&self, files: &mut Files) -> Result<(), String> {
        files.found = Some(find_zone(&files.settings).map_err(|message| refuse_with(&message))?);
        match ledger_elsewhere(&files.settings, &self.in_service.at_start) {
            None => Ok(()),
            Some(problem) => Err(refuse_with(&problem.to_string())),
        }
    }

    fn compare(
        &self,
        file: Box<CardFile>,
        files: Files,
        mut comparison: Comparison,
        mut changes: Changes,
        rows: usize,
        server: &Server,
    ) -> Stage {
        let before = Before::Service(server.cards(), server.book(), &self.in_service.columns);
        let is_more = comparison.step(before, &file.table, ROWS);
        let end = (rows + ROWS).min(file.table.len());
        changes.compare(server, &file.table, rows..end);
        if is_more {
            return Stage::Compare(file, None, files, comparison, changes, end);
        }
        let (count, cards) = comparison.gone();
        changes.gone = changes::Listed { count, shown: cards.to_vec() };
        Stage::LookUp(file, files, comparison, changes)
    }

    /// Takes everything into service at once, or nothing.
    fn switch(
        &mut self,
        file: Option<Box<CardFile>>,
        mut files: Files,
        comparison: &Comparison,
        changes: Changes,
        server: &mut Server,
    ) -> Result<Next, String> {
        let Some(found) = files.found.take().filter(|_| look_at(&self.path, &files.settings.cards) == files.sights)
        else {
            return self.try_again(&files).map(Next::Stage);
        };
        let settings = &files.settings;
        let cards_crc = file.as_ref().map_or(server.origin().cards_crc, |file| file.crc);
        if let Some(sentence) = self.not_to_take(file.as_deref(), cards_crc, comparison, server) {
            let sentence = format!("{}: {sentence}", settings.cards.display());
            error!("{sentence}");
            error!("reload refused: {STAYS}");
            return Err(changes::refused_table(format_args!("{sentence}; {STAYS}"), cards_crc));
        }
        // An interface that comes or goes also triggers a reload: it costs no entry and no sync.
        let origin = Origin { cards_crc, config_crc: settings.crc, degraded: Degraded::default() };
        let changes = Changes { is_unchanged: origin == server.origin(), ..changes };
        let mut ignored = Vec::new();
        if let Some(file) = file {
            let CardFile { table, warnings, headings, delimiter, .. } = *file;
            let columns = cards::columns_of(&headings);
            let installed = server.install_table(settings.rules.clone(), table, origin);
            ignored = installed.map_err(|refusal| refuse_with(&format!("{}: {refusal}", settings.cards.display())))?;
            let in_service = &mut self.in_service;
            (in_service.columns, in_service.headings, in_service.warnings) = (columns, (headings, delimiter), warnings);
        } else if !changes.is_unchanged {
            server.install_rules(settings.rules.clone(), origin);
        }
        let at_next_start = self.tell(&files, &ignored);
        server.take_zone(found.zone.changes());
        server.name_zone(&found.source);
        logging::set_level(level(settings));
        let word = if changes.is_unchanged { " unchanged" } else { "" };
        info!("reload cards={} accounts={}{word}", server.cards().len(), server.book().accounts().len());
        let reloaded = Reloaded {
            zone: found.zone,
            segment_bytes: settings.segment_bytes,
            reserve_bytes: settings.reserve_bytes,
            may_offices_order: settings.may_offices_order,
            keep_days: settings.keep_days,
            is_unchanged: changes.is_unchanged,
            headings: self.in_service.headings.clone(),
            at_next_start: at_next_start.clone(),
        };
        self.in_service.seen = files.proof;
        self.in_service.settings = *files.settings;
        let taken = Taken { changes, ignored, at_next_start, cards_crc };
        Ok(Next::Taken(Box::new(reloaded), Stage::Tell(taken, Elsewhere::default())))
    }

    /// Why a card table is not accepted after the one in service; `None` if it is. Without a file
    /// it is the one in service.
    fn not_to_take(
        &self,
        file: Option<&CardFile>,
        crc: u32,
        comparison: &Comparison,
        server: &Server,
    ) -> Option<String> {
        match (self.accept, file) {
            (Some(accept), _) if accept != crc => Some(format!(
                "the file's crc is {crc:08x} now, and not {accept:08x}: it changed since; look at it with `posgate check`, then accept what you saw"
            )),
            (Some(_), _) | (None, None) => None,
            (None, Some(_)) if crc == server.origin().cards_crc => None,
            (None, Some(file)) => {
                let before = Before::Service(server.cards(), server.book(), &self.in_service.columns);
                let sentences = comparison.sentences(before, &file.table, &file.columns(), server.book());
                let refusal = || format!("not taken after the table in service: {}", whole::refusal(&sentences, crc));
                (!sentences.is_empty()).then(refusal)
            }
        }
    }

    /// Logs what of the files is doubtful, and names the options that wait for the next start.
    fn tell(&self, files: &Files, ignored: &[AccountId]) -> Vec<&'static str> {
        let (settings, before) = (&files.settings, &self.in_service.at_start);
        for account in ignored.iter().take(SHOWN_MAX) {
            warn!(
                "opening-ignored account={}: its ledger has begun, so its balance and uses count, not the table's",
                HiddenAccount(account)
            );
        }
        if ignored.len() > SHOWN_MAX {
            warn!("opening-ignored accounts={}: the ledger's figures count, not the table's", ignored.len());
        }
        for warning in settings.warnings.iter().chain(&self.in_service.warnings) {
            warn!("{warning}");
        }
        let mut at_start = Vec::new();
        for (name, is_changed) in [
            ("listen", settings.listen != before.listen),
            ("bind_device", settings.bind_devices != before.bind_devices),
            ("identity", settings.identity != before.identity),
            ("site", settings.site != before.site),
            ("control", settings.control != before.control),
            ("status", settings.status != before.status),
            ("metrics", settings.metrics != before.metrics),
        ] {
            if is_changed {
                at_start.push(name);
                warn!("{}", settings.problem(name, 0, format!("option {name} takes effect at the next start")));
            }
        }
        at_start
    }

    /// Keeps the good copy of the configuration, and begins that of the card table.
    fn keep(&mut self, taken: &Taken) -> Option<Copying> {
        let good = Good::of(&self.in_service.at_start.ledger_dir);
        let crc = self.in_service.settings.crc;
        if self.in_service.kept[0] != Some(crc) {
            let kept = good.keep(good::CONFIG, &self.path, crc);
            self.in_service.kept[0] = tell_kept(&good, good::CONFIG, kept).then_some(crc);
        }
        if self.in_service.kept[1] == Some(taken.cards_crc) {
            return None;
        }
        self.in_service.kept[1] = None;
        let copying = good.copy(good::CARDS, &self.in_service.settings.cards, taken.cards_crc);
        copying.inspect_err(|error| warn!("good-copy failed: {error}: the one before stays")).ok()
    }

    fn keep_on(&mut self, taken: Taken, elsewhere: Elsewhere, copying: Option<Copying>, server: &Server) -> Next {
        if let Some(mut copying) = copying {
            let kept = match copying.step() {
                Ok(None) => return Next::Stage(Stage::Keep(taken, elsewhere, Some(copying))),
                Ok(Some(is_kept)) => Ok(if is_kept { Kept::Written } else { Kept::Left }),
                Err(error) => Err(error),
            };
            let good = Good::of(&self.in_service.at_start.ledger_dir);
            self.in_service.kept[1] = tell_kept(&good, good::CARDS, kept).then_some(taken.cards_crc);
        }
        let InService { settings, warnings, .. } = &self.in_service;
        let warnings: Vec<&Problem> = settings.warnings.iter().chain(warnings).collect();
        let Taken { changes, ignored, at_next_start, .. } = &taken;
        Next::Ended(changes.answer(server.cards().len(), ignored, &elsewhere, at_next_start, &warnings))
    }
}

/// Logs the cards that the ledger has on another account than the table.
pub(super) fn tell_elsewhere(elsewhere: &Elsewhere) {
    for ignored in &elsewhere.shown {
        warn!("ignored card={}: {ignored}", ignored.card.masked());
    }
    let more = elsewhere.count - elsewhere.shown.len();
    if more > 0 {
        warn!("ignored more={more}: `posgate check` lists them");
    }
}

/// Logs the problems of the files; returns the answer.
fn refuse(problems: &[Problem]) -> String {
    for problem in problems {
        error!("{problem}");
    }
    error!("reload refused problems={}: {STAYS}", problems.len());
    changes::refused(format_args!("{STAYS}: correct the files, then reload"), problems)
}

/// As [`refuse`], for another reason.
fn refuse_with(sentence: &str) -> String {
    error!("{sentence}");
    error!("reload refused: {STAYS}");
    changes::refused(format_args!("{sentence}; {STAYS}"), NONE)
}

/// Why a configuration is not taken that names another place for the ledger: the one that is served
/// is not there, so the next start would refuse, or go on with an older copy.
fn ledger_elsewhere(settings: &Settings, at_start: &Settings) -> Option<Problem> {
    let (new, served) = (&settings.ledger_dir, &at_start.ledger_dir);
    let is_same = |(one, other)| one == other;
    if new == served || fs::canonicalize(new).ok().zip(fs::canonicalize(served).ok()).is_some_and(is_same) {
        return None;
    }
    let (new, served) = (new.display(), served.display());
    let message = format!(
        "option ledger_dir: the ledger that is served is in {served}, and a start with {new} would not find it: write the old path again; to \
         move the ledger, stop posgate, then `posgate ledger move {new}`"
    );
    Some(settings.problem("ledger_dir", 0, message))
}

pub(super) fn level(settings: &Settings) -> LevelFilter {
    settings.log.parse().unwrap_or(LevelFilter::Info)
}

pub(super) fn find_zone(settings: &Settings) -> Result<zone::Found, String> {
    let found = settings.find_zone().map_err(|problem| problem.to_string())?;
    for warning in &found.warnings {
        warn!("{warning}");
    }
    let now = found.zone.stamp(clock::wall());
    if let Some(warning) = settings.calendar_ended(now.civil().date()) {
        warn!("{warning}");
    }
    info!("timezone source={} now={now}", found.source);
    Ok(found)
}
