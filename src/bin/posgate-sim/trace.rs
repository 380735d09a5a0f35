//! What the server did at a moment, by the lines that its log has for each turn (`turn at=…`,
//! `posgate::host::trace`).

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use posgate::engine::model::Stamp;

/// A stretch of time, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its begin.
    pub from_us: i64,
    /// Its end.
    pub to_us: i64,
}

impl Span {
    fn meets(self, other: Self) -> bool {
        self.from_us <= other.to_us && other.from_us <= self.to_us
    }
}

/// One turn of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Turn {
    span: Span,
    /// Each step that took time, with its microseconds, in the order of the line.
    steps: Vec<(String, u64)>,
}

impl Turn {
    /// A line of the log, if it is a turn's.
    fn parse(line: &str) -> Option<Self> {
        let words = line.split_once("turn at=")?.1;
        let mut words = words.split(' ');
        let stamp = words.next().and_then(Stamp::parse)?;
        let mut pairs =
            words.filter_map(|word| word.split_once('=')).map(|(key, value)| Some((key, value.parse().ok()?)));
        let (_, us): (_, u64) = pairs.next()?.filter(|(key, _)| *key == "us")?;
        let from_us = stamp.wall.0 * 1000;
        // The stamp has milliseconds, rounded down.
        let span = Span { from_us, to_us: from_us + i64::try_from(us).ok()? + 999 };
        let is_step = |key: &str| !matches!(key, "frames" | "entries");
        let steps = pairs.map_while(|pair| pair).filter(|(key, _)| is_step(key)).map(|(key, us)| (key.to_owned(), us));
        Some(Self { span, steps: steps.collect() })
    }
}

/// The turns of a server's log.
#[derive(Debug, Default)]
pub struct Trace(Vec<Turn>);

impl Trace {
    /// Reads the turns that meet the time of a run.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(path: &Path, run: Span) -> io::Result<Self> {
        let mut turns = Vec::new();
        for line in BufReader::new(File::open(path)?).split(b'\n') {
            let line = line?;
            turns.extend(Turn::parse(&String::from_utf8_lossy(&line)).filter(|turn| turn.span.meets(run)));
        }
        Ok(Self(turns))
    }

    /// Whether the log had no turn of the run.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the turns did that met a moment.
    pub fn during(&self, moment: Span) -> Doing {
        let mut doing = Doing::default();
        for turn in self.0.iter().filter(|turn| turn.span.meets(moment)) {
            doing.turns += 1;
            for (word, us) in &turn.steps {
                match doing.steps.iter_mut().find(|(known, _)| known == word) {
                    Some((_, sum)) => *sum += us,
                    None => doing.steps.push((word.clone(), *us)),
                }
            }
        }
        doing.steps.sort_by_key(|(_, us)| std::cmp::Reverse(*us));
        doing
    }
}

/// The steps of some turns together, the longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doing {
    turns: usize,
    steps: Vec<(String, u64)>,
}

/// Steps below this are left out of a moment, in microseconds.
const SHOWN_US: u64 = 100;

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns = if self.turns == 1 { "1 turn".to_owned() } else { format!("{} turns", self.turns) };
        f.write_str(&turns)?;
        let shown = self.steps.iter().filter(|(_, us)| *us >= SHOWN_US);
        shown.take(5).try_for_each(|(word, us)| write!(f, " · {word} {}.{:02}", us / 1000, us % 1000 / 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as the server writes them; `tests/serve` compares a real log.
    const LOG: &str = "\
        listening address=127.0.0.1:39192\n\
        debug: turn at=2026-11-22T12:00:00.100+08:00 us=8214 frames=12 entries=9 hear=51 sync=8040 results=123\n\
        debug: turn at=2026-11-22T12:00:00.200+08:00 us=21300 frames=1 entries=1 hear=300 rotation=9000 sync=2000 snapshot=10000\n\
        debug: turn at=2026-11-22T12:00:00.222+08:00 us=1500 frames=0 entries=1 reload=1500\n\
        debug: turn at=yesterday us=1\n\
        warn: turn around\n";

    fn span(from_ms: i64, to_ms: i64) -> Span {
        let noon_us = Stamp::parse("2026-11-22T12:00:00.000+08:00").unwrap().wall.0 * 1000;
        Span { from_us: noon_us + from_ms * 1000, to_us: noon_us + to_ms * 1000 }
    }

    fn trace(run: Span) -> Trace {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, LOG).unwrap();
        Trace::read(&path, run).unwrap()
    }

    #[test]
    fn a_moment_is_told_by_the_turns_that_met_it() {
        let trace = trace(span(0, 1000));
        assert_eq!(trace.during(span(101, 103)).to_string(), "1 turn · sync 8.04 · results 0.12");
        assert_eq!(trace.during(span(110, 190)).to_string(), "0 turns");
        let both = trace.during(span(221, 230)).to_string();
        assert_eq!(both, "2 turns · snapshot 10.00 · rotation 9.00 · sync 2.00 · reload 1.50 · hear 0.30");
    }

    #[test]
    fn only_the_turns_of_the_run_are_kept() {
        assert_eq!(trace(span(0, 1000)).0.len(), 3);
        assert_eq!(trace(span(210, 215)).0.len(), 1);
        assert!(trace(span(300, 400)).is_empty());
    }
}
