//! The hourly word while good copies are served (design.md, section 5), or an older copy of the
//! ledger (design.md, section 9): as long as they are, and no longer. Alone in their program: the
//! log is the process's.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};
use posgate::engine::model::order::{Note, Operator};
use posgate::engine::model::{EntrySeq, MissingEntries, Mono, Now, Stamp};
use posgate::engine::server::{Beginning, Degraded, Effects, Origin, Server, Tables};

const HOUR_MS: u64 = 3_600_000;

/// Too large for a stack.
static TABLES: Mutex<(Tables, Effects)> = Mutex::new((Tables::new(), Effects::new()));

/// What was said, at level error.
static SAID: Said = Said(Mutex::new(Vec::new()));

struct Said(Mutex<Vec<String>>);

impl Said {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("one thread"))
    }
}

impl Log for Said {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        self.0.lock().expect("one thread").push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// Logs into [`SAID`].
fn listen() {
    // The other test may have done so.
    let _is_first = log::set_logger(&SAID).is_ok();
    log::set_max_level(LevelFilter::Error);
}

fn at(mono: u64) -> Now {
    let stamp = Stamp::parse("2026-11-22T12:00:00.000+08:00").expect("a time");
    Now { mono: Mono(mono), stamp, synchronized: false }
}

/// What is said until then.
fn wait(server: &mut Server, until: u64, fx: &mut Effects) -> Vec<String> {
    while server.next_deadline().is_some_and(|due| due <= Mono(until)) {
        let Ok(()) = server.finish_turn(&at(until), fx, |_| Ok::<_, Infallible>(()));
        fx.clear();
    }
    SAID.take()
}

#[test]
fn an_older_copy_is_named_every_hour_until_a_person_has_seen_it() {
    let mut tables = TABLES.lock().expect("the other test holds it or is over");
    let (tables, fx) = &mut *tables;
    listen();
    let settings = posgate::files::config::parse(b"config server\n", Path::new("posgate")).expect("a configuration");
    let mut server = Server::new(tables, settings.rules.clone());
    server.install(settings.rules.clone(), &[], Origin::default()).expect("it fits");
    let gone = MissingEntries { first: EntrySeq(8), last: EntrySeq(12) };
    server.begin(Beginning { branch: Some("rolled-back"), rolled_back: Some(gone) });
    server.start(&at(0), fx);
    let start = *fx.entries.last().expect("a start is entered");
    SAID.take();
    let is_it = |said: &[String]| said.len() == 1 && said[0].starts_with("rolled-back seqs=8-12 start=1: ");
    for hour in 1..4 {
        assert_eq!(wait(&mut server, hour * HOUR_MS - 1, fx), Vec::<String>::new());
        let said = wait(&mut server, hour * HOUR_MS, fx);
        assert!(is_it(&said), "{said:?}");
    }
    fx.clear();
    // The start after it, which finds the ledger as it was left, says so too.
    let mut server = Server::new(tables, settings.rules.clone());
    server.book_to_replay().apply(&start, None).expect("the first entry");
    server.install(settings.rules.clone(), &[], Origin::default()).expect("it fits");
    server.start(&at(0), fx);
    SAID.take();
    let said = wait(&mut server, HOUR_MS, fx);
    assert!(is_it(&said), "{said:?}");
    let by = Operator::try_from("li").expect("two bytes");
    server.accept_loss(&at(HOUR_MS), &by, &Note::new(), fx).expect("it is gone");
    for hour in 2..5 {
        assert_eq!(wait(&mut server, hour * HOUR_MS, fx), Vec::<String>::new());
    }
    assert!(server.accept_loss(&at(5 * HOUR_MS), &by, &Note::new(), fx).is_err(), "it was seen");
    fx.clear();
}

#[test]
fn good_copies_are_named_every_hour_until_a_reload_takes_the_files_themselves() {
    let mut tables = TABLES.lock().expect("the other test holds it or is over");
    let (tables, fx) = &mut *tables;
    listen();
    SAID.take();
    let settings = posgate::files::config::parse(b"config server\n", Path::new("posgate")).expect("a configuration");
    for (config, cards) in [(false, false), (true, false), (false, true), (true, true)] {
        let degraded = Degraded { config, cards };
        let mut server = Server::new(tables, settings.rules.clone());
        let origin = Origin { degraded, ..Origin::default() };
        server.install(settings.rules.clone(), &[], origin).expect("it fits");
        server.start(&at(0), fx);
        // Said by the start itself, which reads the files.
        assert_eq!(SAID.take(), Vec::<String>::new());
        let mut hours_told = 0;
        for minute in 1..=300_u64 {
            let said = wait(&mut server, minute * 60_000, fx);
            let is_due = degraded.is_any() && minute % 60 == 0;
            assert_eq!(said.len(), usize::from(is_due), "minute {minute}: {said:?}");
            for words in said {
                let wanted = format!("degraded config={config} cards={cards}: good copies are served");
                assert!(words.starts_with(&wanted) && words.contains("reload"), "{words}");
                hours_told += 1;
            }
        }
        assert_eq!(hours_told, if degraded.is_any() { 5 } else { 0 });
        // The files are taken again: the timer that is on its way says nothing, and no other
        // follows it.
        server.install(settings.rules.clone(), &[], Origin::default()).expect("it fits");
        server.reloaded(&at(5 * HOUR_MS + 1), fx);
        for hour in 6..9 {
            assert_eq!(wait(&mut server, hour * HOUR_MS, fx), Vec::<String>::new());
        }
        fx.clear();
    }
}
