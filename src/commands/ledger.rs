//! `posgate ledger`: reads ledger files, also while the server runs; `archive` and `repair` change
//! them. `audit` has the commands that print entries and reports.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use posgate::engine::book::Book;
use posgate::engine::model::{Entry, EntrySeq};
use posgate::engine::server::{Server, Tables};
use posgate::files::config::{self, Settings};
use posgate::lang::tr;
use posgate::ledger::{self, CareError, CareLock, DirStorage, OpenError, Refusal, State, replay, run_verify};
use posgate::ledger::{identity, moved};

use super::progress::Progress;
use super::serve::holds_ledger;
use super::{EXIT_CONFIG, EXIT_IO, EXIT_NO, EXIT_USAGE, Options, print_problems};

/// Checks every line; the exit code gives the result.
pub(super) fn verify(options: &Options) -> u8 {
    match paths(options) {
        Ok(paths) => {
            let progress = Progress::start(tr("checking the ledger", "正在校验账本"));
            if !progress.is_shown() {
                return finish(run_verify(&paths, &mut io::stdout().lock()));
            }
            // Print the findings after the progress message is cleared.
            let mut found = Vec::new();
            let verified = run_verify(&paths, &mut found);
            drop(progress);
            let _ = io::stdout().write_all(&found);
            finish(verified)
        }
        Err(code) => code,
    }
}

/// Moves the segments before the snapshot to the operand's directory.
pub(super) fn archive(options: &Options) -> u8 {
    let Some(to) = options.operands.first() else {
        complain!(
            "posgate: say where to: `posgate ledger archive DIR`",
            "posgate: 请写移到哪里：`posgate ledger archive DIR`"
        );
        return EXIT_USAGE;
    };
    match config::load(&options.config()) {
        Ok(settings) => {
            done(ledger::archive(&settings.ledger_dir, to.as_ref(), &mut io::stdout().lock()).map(|()| Vec::new()))
        }
        Err(problems) => {
            print_problems(&problems);
            EXIT_CONFIG
        }
    }
}

/// Cuts a damaged ledger: keeps the entries before the given one, and moves the rest to other
/// files.
pub(super) fn repair(options: &Options) -> u8 {
    let Some(cut) = options.cut.filter(|cut| *cut > 0) else {
        complain!(
            "posgate: say from which entry on to cut: `posgate ledger repair --cut SEQ`",
            "posgate: 请写从哪条流水起截：`posgate ledger repair --cut SEQ`"
        );
        return EXIT_USAGE;
    };
    let paths = match paths(options) {
        Ok(paths) => paths,
        Err(code) => return code,
    };
    let dir = &paths[0];
    // Taking the lock would create the directory.
    if !dir.is_dir() {
        complain!("posgate: {}: no such directory", "posgate: {}：没有这个目录", dir.display());
        return EXIT_IO;
    }
    let progress = Progress::start(tr("repairing the ledger", "正在修账本"));
    let repaired = repair_locked(dir, EntrySeq(cut), options.has("yes"));
    drop(progress);
    done(repaired)
}

/// The book that a start replays, and the last entry that the replay applied.
struct Replay<'a> {
    book: &'a mut Book,
    /// The last entry that was applied, even if a second try from the first entry applies fewer.
    last: EntrySeq,
}

impl State for Replay<'_> {
    fn rewind(&mut self) {
        State::rewind(self.book);
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), Refusal> {
        State::apply(self.book, entry)?;
        self.last = self.last.max(entry.seq);
        Ok(())
    }

    fn restore(&mut self, line: &str) -> Result<(), Refusal> {
        State::restore(self.book, line)
    }

    fn resume(&mut self, head: EntrySeq) {
        self.last = self.last.max(head);
        State::resume(self.book, head);
    }

    fn emit(&self, sink: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        State::emit(self.book, sink)
    }
}

/// The first entry that a start would refuse.
fn damage_of(storage: &DirStorage) -> Result<Option<EntrySeq>, CareError> {
    let mut tables = super::serve::tables();
    let tables: &mut Tables = &mut tables;
    let mut server = Server::new(tables, config::defaults().rules);
    let mut state = Replay { book: server.book_to_replay(), last: EntrySeq(0) };
    match replay(storage, &mut state) {
        Ok(_) => Ok(None),
        Err(OpenError::Damaged { .. }) => Ok(Some(state.last.next())),
        Err(OpenError::Io(error)) => Err(error.into()),
        Err(error @ OpenError::NotOurs(_)) => Err(CareError::Refused(error.to_string())),
    }
}

/// Lets the next start begin a new ledger, in place of one that is missing, or of another machine's
/// that is in the directory.
pub(super) fn new(options: &Options) -> u8 {
    with_settings(options, |settings| {
        let found = identity::read(&settings.identity);
        let mut done = Vec::new();
        if let Some(why) = moved::refusal(&settings.ledger_dir)? {
            return Err(CareError::Refused(why));
        }
        if holds_ledger(&settings.ledger_dir)? {
            let mut storage = DirStorage::open(&settings.ledger_dir)?;
            let _lock = CareLock::take(&settings.ledger_dir)?;
            done.extend(ledger::set_aside(&mut storage, &found, options.has("yes"))?);
            moved::remove(&settings.ledger_dir)?;
        }
        identity::forget(&settings.identity)?;
        let dir = settings.ledger_dir.display();
        if let Some(known) = found.identity() {
            done.push(tr!(
                "this machine served {known}: bring it to the books if it is found",
                "本机原来的账本是 {known}：找到了请补进账里"
            ));
        }
        done.push(tr!(
            "the next start begins a new ledger in {dir}: everybody's opening figures count again",
            "下次启动在 {dir} 新建账本：所有人的开户数重新计"
        ));
        Ok(done)
    })
}

/// Moves the ledger to the operand's directory; without an operand, adopts the ledger in
/// `ledger_dir` as this machine's.
pub(super) fn move_or_take(options: &Options) -> u8 {
    match options.operands.first() {
        Some(dir) => super::relocate::run(options, dir.as_ref()),
        None if options.has("remove-old") => {
            complain!(
                "posgate: say where the ledger is now: `posgate ledger move DIR --remove-old`",
                "posgate: 请写账本现在在哪里：`posgate ledger move DIR --remove-old`"
            );
            EXIT_USAGE
        }
        None => take(options),
    }
}

/// Adopts the ledger in `ledger_dir` as this machine's: the next start continues it on a branch.
fn take(options: &Options) -> u8 {
    with_settings(options, |settings| {
        let dir = &settings.ledger_dir;
        if !holds_ledger(dir)? {
            let sentence = tr!(
                "{}: no ledger is here: mount it, or correct `option ledger_dir`",
                "{}：这里没有账本：请挂载，或者改正 `option ledger_dir`",
                dir.display()
            );
            return Err(CareError::Refused(sentence));
        }
        if let Some(why) = moved::refusal(dir)? {
            return Err(CareError::Refused(why));
        }
        let storage = DirStorage::open(dir)?;
        let _lock = CareLock::take(dir)?;
        let found = identity::read(&settings.identity);
        Ok(vec![ledger::take_over(&storage, &settings.identity, &found)?])
    })
}

pub(super) fn with_settings(options: &Options, work: impl FnOnce(&Settings) -> Result<Vec<String>, CareError>) -> u8 {
    match config::load(&options.config()) {
        Ok(settings) => done(work(&settings)),
        Err(problems) => {
            print_problems(&problems);
            EXIT_CONFIG
        }
    }
}

/// Repairs under the locks that exclude the server and any other `archive` or `repair`.
fn repair_locked(dir: &Path, cut: EntrySeq, is_sure: bool) -> Result<Vec<String>, CareError> {
    let mut storage = DirStorage::open(dir)?;
    let _lock = CareLock::take(dir)?;
    let damage = if is_sure { None } else { damage_of(&storage)? };
    ledger::repair(&mut storage, cut, damage, is_sure)
}

fn done(result: Result<Vec<String>, CareError>) -> u8 {
    match result {
        Ok(sentences) => {
            for sentence in sentences {
                say!("{sentence}");
            }
            0
        }
        Err(error) => {
            complain!("posgate: {error}");
            match error {
                CareError::Io(_) => EXIT_IO,
                CareError::Refused(_) => EXIT_CONFIG,
                CareError::Unsure(_) => EXIT_NO,
            }
        }
    }
}

/// The operands, or the configured directory if there are none.
fn paths(options: &Options) -> Result<Vec<PathBuf>, u8> {
    if !options.operands.is_empty() {
        return Ok(options.operands.iter().map(PathBuf::from).collect());
    }
    match config::load(&options.config()) {
        Ok(settings) => Ok(vec![settings.ledger_dir]),
        Err(problems) => {
            print_problems(&problems);
            Err(EXIT_CONFIG)
        }
    }
}

fn finish(result: io::Result<u8>) -> u8 {
    result.unwrap_or_else(|error| {
        complain!("posgate: {error}");
        EXIT_IO
    })
}
