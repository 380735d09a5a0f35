//! The log: information to stdout, warnings and errors to stderr, one line per event (design.md,
//! section 3).
//!
//! | | info | warn, error | debug, trace |
//! |---|---|---|---|
//! | goes to | stdout | stderr | stdout |
//! | under procd or in a file | `message` | `warn: message` | `debug: message` |
//! | if stderr is a terminal | `12:00:01 info message` | `12:00:01 warn message` | `12:00:01 debug message` |
//!
//! procd and systemd put the time before each line themselves, and distinguish the two streams only
//! as "info" and "err": so a line on stderr begins with its level.
//!
//! *Invariants:*
//! - One event is one line: a control character in a message is written as an escape such as
//!   `\x1b`, so no frame can forge a line.
//! - A line that cannot be written (a pipe without a reader or with a full buffer; a full disk) is
//!   dropped. It never ends the server or makes it wait. Lines dropped because the reader was slow
//!   are counted in a line `log lost=`.
//! - After [`init`] and the first line on each stream, a line of up to [`LINE_LEN_KEPT`] bytes
//!   allocates nothing.
//!
//! posgate's own modules log at the configured level, libraries at `warn`. If the variable
//! `RUST_LOG` is set, it decides instead, in env_logger's syntax (`debug`,
//! `posgate::turn=trace,warn`).

use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use env_logger::{Builder, Logger, Target};
use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::engine::model::trouble::TROUBLE_LEN_MAX;
use crate::engine::model::{Stamp, Trouble, Wall};
use crate::host::clock;

/// Length of a line, in bytes, for which memory is reserved at the start: a whole frame as UTF-8,
/// with words around it.
pub const LINE_LEN_KEPT: usize = 4096;

/// Target of the record that grows the formatter's buffer and is never written.
const RESERVE: &str = "posgate::host::logging::reserve";

static TROUBLE: Mutex<Trouble> = Mutex::new(Trouble {
    count: 0,
    is_error: false,
    at: Stamp { wall: Wall(0), offset_s: 0 },
    line: heapless::String::new(),
});

/// [`Trouble::count`] without a lock, for reading in every turn of the loop.
static TROUBLES: AtomicU32 = AtomicU32::new(0);

/// The last warning or error since the start; `None` if there was none.
pub fn last_trouble() -> Option<Trouble> {
    let trouble = TROUBLE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (trouble.count > 0).then_some(trouble)
}

/// The number of warnings and errors so far. It wraps; compare it only for a change.
pub(crate) fn troubles() -> u32 {
    TROUBLES.load(Ordering::Relaxed)
}

/// Offset from UTC of the times on a terminal, in seconds east.
static OFFSET_S: AtomicI32 = AtomicI32::new(0);

/// Whether `RUST_LOG` decides the levels.
static OVERRIDDEN: AtomicBool = AtomicBool::new(false);

/// Begins logging at `level`, unless `RUST_LOG` decides. Further calls only change the level.
///
/// Call it on the thread that will log: the memory for lines is reserved per thread.
pub fn init(level: LevelFilter) {
    let filters = std::env::var("RUST_LOG").ok().filter(|filters| !filters.trim().is_empty());
    let streams = Streams::new(filters.as_deref(), io::stderr().is_terminal());
    let most = streams.out.filter().max(streams.err.filter());
    // A second call fails here: the logger is set.
    if log::set_boxed_logger(Box::new(streams)).is_ok() {
        OVERRIDDEN.store(filters.is_some(), Ordering::Relaxed);
        log::set_max_level(most);
        let longest = format_args!("{:LINE_LEN_KEPT$}", "");
        log::logger().log(&Record::builder().target(RESERVE).level(Level::Error).args(longest).build());
    }
    set_level(level);
}

/// Changes the level (`option log`), unless `RUST_LOG` decides.
pub fn set_level(level: LevelFilter) {
    if !OVERRIDDEN.load(Ordering::Relaxed) {
        log::set_max_level(level);
    }
}

/// Sets the offset of the times on a terminal, in seconds east of UTC; initially 0. Called when the
/// zone is known, and when its offset changes.
pub(crate) fn set_offset(offset_s: i32) {
    OFFSET_S.store(offset_s, Ordering::Relaxed);
}

/// Two env_logger loggers, one per stream; this chooses by level.
struct Streams {
    out: Logger,
    err: Logger,
    /// Lines dropped since the last written one.
    lost: AtomicU32,
}

impl Streams {
    fn new(filters: Option<&str>, terminal: bool) -> Self {
        let build = |target| {
            let mut builder = Builder::new();
            builder.target(target);
            match filters {
                Some(filters) => builder.parse_filters(filters),
                // `log`'s maximum level filters posgate's own records before they get here.
                None => builder.filter_level(LevelFilter::Warn).filter_module("posgate", LevelFilter::Trace),
            };
            builder.format(move |buffer, record| {
                let time = terminal.then(|| Stamp { wall: clock::wall(), offset_s: OFFSET_S.load(Ordering::Relaxed) });
                write_line(buffer, time, record)?;
                // After an error the line is not written, and the buffer keeps its size.
                if record.target() == RESERVE { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
            });
            builder.build()
        };
        Self { out: build(Target::Stdout), err: build(Target::Stderr), lost: AtomicU32::new(0) }
    }

    fn stream(&self, level: Level) -> &Logger {
        match level {
            Level::Error | Level::Warn => &self.err,
            Level::Info | Level::Debug | Level::Trace => &self.out,
        }
    }
}

impl Log for Streams {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.stream(metadata.level()).enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let logger = self.stream(record.level());
        if !logger.matches(record) {
            return;
        }
        if record.level() <= Level::Warn && record.target() != RESERVE {
            keep_trouble(record);
        }
        let is_writable = if core::ptr::eq(logger, &raw const self.err) {
            is_writable(io::stderr().as_fd())
        } else {
            is_writable(io::stdout().as_fd())
        };
        if !is_writable {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.lost.load(Ordering::Relaxed) > 0 {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            let args = format_args!("log lost={lost}");
            logger.log(&Record::builder().level(record.level()).target(record.target()).args(args).build());
        }
        logger.log(record);
    }

    fn flush(&self) {
        // Each line is written when it is logged.
    }
}

fn keep_trouble(record: &Record<'_>) {
    let mut trouble = TROUBLE.lock().unwrap_or_else(PoisonError::into_inner);
    trouble.count = trouble.count.saturating_add(1);
    trouble.is_error = record.level() == Level::Error;
    trouble.at = Stamp { wall: clock::wall(), offset_s: OFFSET_S.load(Ordering::Relaxed) };
    trouble.line.clear();
    Short::keep(&mut trouble.line, record.args());
    TROUBLES.fetch_add(1, Ordering::Relaxed);
}

/// A longer run of digits in quotes may be a card number and is masked.
const DIGITS_SHOWN_MAX: usize = 7;

/// Copies as much of a message as fits, on one line, with card numbers in quotes as `****8888`.
struct Short<'a> {
    line: &'a mut heapless::String<TROUBLE_LEN_MAX>,
    is_quoted: bool,
    /// Number of digits at the end of the line, within quotes.
    digits: usize,
}

impl Short<'_> {
    fn keep(line: &mut heapless::String<TROUBLE_LEN_MAX>, message: impl fmt::Display) {
        let mut short = Short { line, is_quoted: false, digits: 0 };
        // An error means that the message was cut.
        let _cut = write!(short, "{message}");
        short.end_digits(DIGITS_SHOWN_MAX);
    }

    /// Ends a run of digits: if it is longer than `shown_max`, masks all but the last four.
    fn end_digits(&mut self, shown_max: usize) {
        let len = self.line.len();
        if self.digits > shown_max {
            let last: heapless::String<4> = self.line[len - 4..].try_into().expect("four digits");
            self.line.truncate(len - self.digits);
            // It may be cut at the end of the line.
            let _ = write!(self.line, "****{last}");
        }
        self.digits = 0;
    }
}

impl fmt::Write for Short<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for next in text.chars() {
            let is_digit = self.is_quoted && next.is_ascii_digit();
            if !is_digit {
                self.end_digits(DIGITS_SHOWN_MAX);
            }
            self.is_quoted ^= next == '"';
            let pushed = self.line.push(if next.is_control() { ' ' } else { next });
            if pushed.is_err() {
                // A number that is cut may be longer than its visible digits.
                self.end_digits(if is_digit { 4 } else { DIGITS_SHOWN_MAX });
                return Err(fmt::Error);
            }
            self.digits += usize::from(is_digit);
        }
        Ok(())
    }
}

/// Whether writing a line does not block: a pipe has a page free, or has no reader any more, so
/// that writing fails at once. Files and terminals are always writable.
fn is_writable(stream: BorrowedFd<'_>) -> bool {
    let mut streams = [PollFd::new(stream, PollFlags::POLLOUT)];
    match poll(&mut streams, PollTimeout::ZERO) {
        Ok(ready) => ready > 0,
        Err(_) => true,
    }
}

fn write_line(out: &mut impl Write, time: Option<Stamp>, record: &Record<'_>) -> io::Result<()> {
    let level = match record.level() {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    match time {
        Some(stamp) => {
            let seconds = stamp.civil().time_of_day().0;
            write!(out, "{:02}:{:02}:{:02} {level} ", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        }
        None if record.level() == Level::Info => (),
        None => write!(out, "{level}: ")?,
    }
    write!(OneLine(out), "{}", record.args()).map_err(|_| io::ErrorKind::Other)?;
    writeln!(out)
}

/// Writes control characters, including LF, as escapes such as `\x0a`.
struct OneLine<'out, W: Write>(&'out mut W);

impl<W: Write> fmt::Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, control)) = rest.char_indices().find(|(_, char)| char.is_control()) {
            self.0.write_all(&rest.as_bytes()[..at]).map_err(|_| fmt::Error)?;
            write!(self.0, "\\x{:02x}", u32::from(control)).map_err(|_| fmt::Error)?;
            rest = &rest[at + control.len_utf8()..];
        }
        self.0.write_all(rest.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, time: Option<Stamp>, message: &str) -> String {
        let mut out = Vec::new();
        let args = format_args!("{message}");
        let record = Record::builder().level(level).args(args).build();
        write_line(&mut out, time, &record).expect("a Vec accepts everything");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_line_names_its_level_unless_it_is_information() {
        assert_eq!(line(Level::Info, None, "start entries=5"), "start entries=5\n");
        assert_eq!(line(Level::Warn, None, "full free=1"), "warn: full free=1\n");
        assert_eq!(line(Level::Error, None, "sync failed"), "error: sync failed\n");
        assert_eq!(line(Level::Debug, None, "frame code=101"), "debug: frame code=101\n");
        let time = Stamp::parse("2026-11-22T12:00:01.234+08:00").expect("valid");
        assert_eq!(line(Level::Info, Some(time), "start"), "12:00:01 info start\n");
        assert_eq!(line(Level::Warn, Some(time), "full"), "12:00:01 warn full\n");
    }

    #[test]
    fn one_event_is_one_line_whatever_a_frame_contains() {
        assert_eq!(
            line(Level::Info, None, "name=a\nerror: b\r\x1b[2J\u{85}张三"),
            "name=a\\x0aerror: b\\x0d\\x1b[2J\\x85张三\n"
        );
    }

    #[test]
    fn the_last_trouble_is_shortened_and_shows_no_card_number() {
        let kept = |message: &str| {
            let mut line = heapless::String::new();
            Short::keep(&mut line, message);
            line.to_string()
        };
        for (message, wanted) in [
            ("full free=104857600", "full free=104857600"),
            ("mute frame: \"109,00004,8888888801,x\" 12345678", "mute frame: \"109,00004,****8801,x\" 12345678"),
            ("card \"8888888801\"", "card \"****8801\""),
            ("card \"8888888801", "card \"****8801"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(kept(message), wanted);
        }
        let long = format!("\"{}8888888801", "食".repeat(78));
        assert!(kept(&long).ends_with("食****"), "a number that is cut");
        assert_eq!(kept(&"食".repeat(300)).len(), TROUBLE_LEN_MAX);
    }

    #[test]
    fn warnings_and_errors_go_to_stderr_and_the_rest_to_stdout() {
        let streams = Streams::new(None, false);
        for level in [Level::Error, Level::Warn] {
            assert!(core::ptr::eq(streams.stream(level), &raw const streams.err));
        }
        for level in [Level::Info, Level::Debug, Level::Trace] {
            assert!(core::ptr::eq(streams.stream(level), &raw const streams.out));
        }
    }

    #[test]
    fn libraries_log_warnings_and_errors_only_unless_rust_log_asks_for_more() {
        let enabled = |filters, target, level| {
            Streams::new(filters, false).enabled(&Metadata::builder().target(target).level(level).build())
        };
        assert!(enabled(None, "posgate::net", Level::Trace));
        assert!(enabled(None, "mio::poll", Level::Warn));
        assert!(!enabled(None, "mio::poll", Level::Info));
        assert!(enabled(Some("mio=trace"), "mio::poll", Level::Trace));
        assert!(!enabled(Some("mio=trace"), "posgate::net", Level::Info));
    }
}
