//! The hourly word while good copies are served (design.md, section 5): as long as they are, and no longer. Alone in its program: the log is
//! the process's.

use std::path::Path;
use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};
use posgate::engine::model::{Mono, Now, Stamp};
use posgate::engine::server::{Degraded, Effects, Origin, Server, Tables};

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

#[test]
fn good_copies_are_named_every_hour_until_a_reload_takes_the_files_themselves() {
    log::set_logger(&SAID).expect("the first");
    log::set_max_level(LevelFilter::Error);
    let settings = posgate::files::config::parse(b"config server\n", Path::new("posgate")).expect("a configuration");
    let stamp = Stamp::parse("2026-11-22T12:00:00.000+08:00").expect("a time");
    let at = |mono: u64| Now { mono: Mono(mono), stamp, synchronized: false };
    let mut tables = TABLES.lock().expect("the first");
    let (tables, fx) = &mut *tables;
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
            while server.next_deadline().is_some_and(|due| due <= Mono(minute * 60_000)) {
                server.on_timer(&at(minute * 60_000), fx);
            }
            let said = SAID.take();
            let is_due = degraded.is_any() && minute % 60 == 0;
            assert_eq!(said.len(), usize::from(is_due), "minute {minute}: {said:?}");
            for words in said {
                let wanted = format!("degraded config={config} cards={cards}: good copies are served");
                assert!(words.starts_with(&wanted) && words.contains("reload"), "{words}");
                hours_told += 1;
            }
        }
        assert_eq!(hours_told, if degraded.is_any() { 5 } else { 0 });
        // The files are taken again: the timer that is on its way says nothing, and no other follows it.
        server.install(settings.rules.clone(), &[], Origin::default()).expect("it fits");
        server.reloaded(&at(5 * HOUR_MS + 1), fx);
        for hour in 6..9 {
            while server.next_deadline().is_some_and(|due| due <= Mono(hour * HOUR_MS)) {
                server.on_timer(&at(hour * HOUR_MS), fx);
            }
            assert_eq!(SAID.take(), Vec::<String>::new());
        }
        fx.clear();
    }
}
