//! The configuration file: UCI syntax, read by posgate itself (design.md, section 4).
//!
//! [`parse`] turns bytes into [`Settings`], or into every problem at once, each with its line and
//! what to write instead. It opens no other file, and no input makes it panic.
//! [`options::SECTIONS`] lists every section and option.

pub mod options;
pub mod rewrite;
mod settings;
mod texts;
pub(crate) mod uci;
mod values;

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

pub use values::PORT;

use crate::engine::model::{Date, Rules};
use crate::files::problem::{Problem, Problems, typed};
use crate::files::zone::{Found, Zone};
use crate::lang::tr;

/// Bytes of a configuration. A larger file is not a configuration, and a router could not hold its
/// text in memory.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// A configuration, read and checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file that it was read from, as it was given.
    pub file: PathBuf,
    /// The options of the server, the texts and the calendar with their lines, each in the file's
    /// order.
    pub lines: Vec<(String, u32)>,
    /// CRC-32 of the file's bytes: the ledger's `config_crc=`.
    pub crc: u32,
    /// Whether the init script starts the server; the server ignores it.
    pub enabled: bool,
    /// The addresses to listen on, at least one. Port 0 lets the system choose.
    pub listen: Vec<SocketAddrV4>,
    /// The interfaces whose frames are received; empty: all.
    pub bind_devices: Vec<String>,
    /// The card table.
    pub cards: PathBuf,
    /// The ledger's directory.
    pub ledger_dir: PathBuf,
    /// The file of the identity of the ledger that this machine serves: it is not in the ledger's
    /// directory.
    pub identity: PathBuf,
    /// A label for headers and exports: 1 to 64 bytes without control characters.
    pub site: String,
    /// A POSIX TZ that tz-rs reads; `None`: TZ, /etc/TZ, /etc/localtime, UTC, in this order.
    pub timezone: Option<String>,
    /// Bytes of a ledger segment before the next one begins.
    pub segment_bytes: u64,
    /// Bytes free below which sales are refused.
    pub reserve_bytes: u64,
    /// Days for which entries stay that every office has.
    pub keep_days: u32,
    /// Whether an office may give orders.
    pub may_offices_order: bool,
    /// The control socket.
    pub control: Option<PathBuf>,
    /// The status file.
    pub status: Option<PathBuf>,
    /// The Prometheus text file.
    pub metrics: Option<PathBuf>,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub log: String,
    /// The rules of decisions.
    pub rules: Rules,
    /// Doubts about options that are served nevertheless, in the file's order.
    pub warnings: Vec<Problem>,
}

impl Settings {
    /// The line of an option of the server section; for a list, the line of its value number
    /// `place` from 0. 0 if it is not given.
    pub fn line_of(&self, key: &str, place: usize) -> u32 {
        self.lines.iter().filter(|(given, _)| given == key).nth(place).map_or(0, |(_, line)| *line)
    }

    /// The zone of these settings: see [`Zone::find`].
    ///
    /// # Errors
    /// If `option timezone` is not a zone, with its line.
    pub fn find_zone(&self) -> Result<Found, Problem> {
        Zone::find(self.timezone.as_deref()).map_err(|message| {
            self.problem("timezone", 0, tr!("option timezone: {message}", "option timezone：{message}"))
        })
    }

    /// A warning if the calendar has nothing to say of this year or later ones.
    pub fn calendar_ended(&self, today: Date) -> Option<Problem> {
        let last = self.rules.calendar.last()?;
        if today.year_month_day().0 <= last.year_month_day().0 {
            return None;
        }
        let is_of_calendar = |key: &str| options::CALENDAR.option(key).is_some();
        let line = self.lines.iter().rev().find(|(key, _)| is_of_calendar(key)).map_or(0, |(_, line)| *line);
        let message = tr!(
            "the calendar ends with {last}: from then on every day is what its weekday says; add this year's holidays and the days worked instead, or remove it",
            "日历到 {last} 为止：此后每一天都按星期几算；请加上今年的放假和调休，或者去掉日历"
        );
        Some(Problem { file: self.file.clone(), line, column: None, message })
    }

    /// A problem of an option that was read without an error, with the option's line.
    pub fn problem(&self, key: &str, place: usize, message: String) -> Problem {
        Problem { file: self.file.clone(), line: self.line_of(key, place), column: None, message }
    }
}

/// Refuses two addresses that no machine can listen on together.
///
/// # Errors
/// Which two, and what to do.
pub fn check_listen(listen: &[SocketAddrV4]) -> Result<(), String> {
    for (index, one) in listen.iter().enumerate() {
        let clashes = |other: &&SocketAddrV4| (**other == *one && one.port() != 0) || values::excludes(**other, *one);
        if let Some(other) = listen[..index].iter().find(clashes) {
            return Err(tr!(
                "{one} and {other} exclude each other: leave one of them out",
                "{one} 与 {other} 不能并存：去掉一个"
            ));
        }
    }
    Ok(())
}

/// Reads an address to listen on, `address` or `address:port`: what `list listen` and `--listen`
/// take.
///
/// # Errors
/// What to write instead.
pub fn parse_listen(text: &str) -> Result<SocketAddrV4, String> {
    values::endpoint(text).ok_or_else(|| {
        tr!(
            "{} is not an address: write 192.168.1.1 or 192.168.1.1:{PORT}",
            "{} 不是地址：请写 192.168.1.1 或 192.168.1.1:{PORT}",
            typed(text)
        )
    })
}

/// Reads a configuration file.
///
/// # Errors
/// All problems in the file's order.
pub fn load(path: &Path) -> Result<Settings, Vec<Problem>> {
    let (settings, problems) = inspect(path)?;
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

/// Reads a configuration file and returns its settings together with all problems: a wrong option
/// has its default. So the files that it names can be checked in the same run. Nothing may be
/// served from these settings.
///
/// # Errors
/// If the file cannot be read or is too large.
pub fn inspect(path: &Path) -> Result<(Settings, Vec<Problem>), Vec<Problem>> {
    let whole = |message: String| vec![Problem { file: path.to_owned(), line: 0, column: None, message }];
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes)).map_err(|error| {
        whole(tr!(
            "cannot read the configuration: {error}; name another with --config FILE",
            "读不了配置：{error}；请用 --config FILE 指定另一个"
        ))
    })?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(whole(tr!(
            "larger than {FILE_LEN_MAX} bytes: this is not a configuration of posgate",
            "超过 {FILE_LEN_MAX} 字节：这不是 posgate 的配置"
        )));
    }
    Ok(read(&bytes, path))
}

/// Reads a configuration's bytes; `file` is named in problems, and relative paths are relative to
/// its directory.
///
/// # Errors
/// All problems in the file's order.
pub fn parse(bytes: &[u8], file: &Path) -> Result<Settings, Vec<Problem>> {
    let (settings, problems) = read(bytes, file);
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

fn read(bytes: &[u8], file: &Path) -> (Settings, Vec<Problem>) {
    let mut problems = Problems::new(file);
    let mut warnings = Problems::new(file);
    let text = decode(bytes, &mut problems);
    let sections = uci::read(&text, &mut problems);
    // A file that is empty, or cut before this section, must not mean that every source and device
    // is served.
    if !sections.iter().any(|section| section.kind == "server") {
        problems.add(0, tr("there is no section config server: is the file empty, or cut short? write config server 'main' and its options", "没有 config server 这一段：文件是空的，还是被截断了？请写 config server 'main' 和它的选项"));
    }
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        let line = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
        warnings.add(
            line,
            tr(
                "the last line has no end: look whether the file was cut short, then end the line",
                "最后一行没有换行：看看文件是不是被截断了，再补上换行",
            ),
        );
    }
    let crc = crc32fast::hash(bytes);
    let mut settings = settings::assemble(&sections, file, crc, &mut problems, &mut warnings);
    settings.warnings = warnings.into_list();
    (settings, problems.into_list())
}

/// The settings of a file without options: every default.
pub fn defaults() -> Settings {
    parse(b"config server\n", Path::new("/etc/config/posgate")).expect("the defaults are valid: a test reads them")
}

/// The file as text. Lines that are not text are reported and read with U+FFFD, to find further
/// problems.
fn decode(bytes: &[u8], problems: &mut Problems) -> String {
    let bytes = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => {
            problems.add(
                1,
                tr(
                    "a byte order mark begins the file, and uci does not read it: save it as UTF-8 without BOM",
                    "文件开头有 BOM，uci 读不了：请存成不带 BOM 的 UTF-8",
                ),
            );
            rest
        }
        None => bytes,
    };
    for (line, content) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if content.contains(&0) {
            problems.add(
                line,
                tr(
                    "a NUL byte: this is not a text file; save it as UTF-8 text",
                    "有 NUL 字节：这不是文本文件；请存成 UTF-8 文本",
                ),
            );
        } else if std::str::from_utf8(content).is_err() {
            problems.add(
                line,
                tr(
                    "this is not UTF-8: save the file as UTF-8 (not GBK, not ANSI)",
                    "这不是 UTF-8：请把文件存成 UTF-8（不是 GBK，也不是 ANSI）",
                ),
            );
        }
    }
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
