//! `acks/NAME`: the last entry up to which an office has everything (design.md, section 14).
//!
//! ```text
//! ledger=<16 hex> seq=… crc=<8 hex> time=…
//! ```
//!
//! One file an office, replaced whole. A file that cannot be read still says that the office is
//! there: it is taken for one that has nothing, so that nothing is removed because of it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Head;
use super::identity::put;
use super::storage::{DirStorage, explain};
use crate::engine::model::{EntrySeq, Stamp, Text};

/// The directory, in the ledger's.
const DIR: &str = "acks";

/// An office's name: with `office:` before it, it fits an entry's `by=`.
pub type OfficeName = Text<25>;

/// Reads an office's name: 1 to 25 letters, digits, `-` and `_`.
pub fn office_name(text: &str) -> Option<OfficeName> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    OfficeName::try_from(text).ok().filter(|_| !text.is_empty() && !text.starts_with('-') && text.bytes().all(is_good))
}

/// What an office has: everything up to this entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// The ledger that the entry belongs to.
    pub ledger: u64,
    /// The entry; 0: nothing.
    pub head: Head,
    /// When the office said so; `None`: its file cannot be read.
    pub time: Option<Stamp>,
}

impl Ack {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let mut next = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
        let ledger = u64::from_str_radix(next("ledger")?, 16).ok()?;
        let seq = EntrySeq(next("seq")?.parse().ok()?);
        let crc = u32::from_str_radix(next("crc")?, 16).ok()?;
        Some(Self { ledger, head: Head { seq, crc }, time: Some(Stamp::parse(next("time")?)?) })
    }

    fn emit(&self) -> String {
        let Self { ledger, head, time } = self;
        format!("ledger={ledger:016x} {head} time={}\n", time.unwrap_or_default())
    }
}

/// Keeps what offices have.
pub trait AckKeeper {
    /// Writes it durably.
    ///
    /// # Errors
    /// With path and operation. Then the old one is still there.
    fn keep(&mut self, office: &OfficeName, ack: &Ack) -> io::Result<()>;

    /// Removes it.
    ///
    /// # Errors
    /// With path and operation.
    fn forget(&mut self, office: &OfficeName) -> io::Result<()>;
}

/// The keeper of a real machine.
#[derive(Debug)]
pub struct AckFiles {
    dir: PathBuf,
}

impl AckFiles {
    /// Those of a ledger's directory. Theirs is made when the first is written.
    pub fn new(ledger_dir: &Path) -> Self {
        Self { dir: ledger_dir.join(DIR) }
    }
}

impl AckKeeper for AckFiles {
    fn keep(&mut self, office: &OfficeName, ack: &Ack) -> io::Result<()> {
        put(&mut DirStorage::beside_new(&self.dir)?, office.as_str(), ack.emit().as_bytes())
    }

    fn forget(&mut self, office: &OfficeName) -> io::Result<()> {
        let path = self.dir.join(office.as_str());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(explain("remove", &path)(error)),
            Ok(()) | Err(_) => super::storage::sync_dir(&self.dir).or_else(|error| match error.kind() {
                ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }),
        }
    }
}

/// What the offices have by the files in a ledger's directory, in no order.
///
/// # Errors
/// If the directory cannot be read.
pub fn read(ledger_dir: &Path) -> io::Result<Vec<(OfficeName, Ack)>> {
    let dir = ledger_dir.join(DIR);
    let files = match fs::read_dir(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.map_err(explain("read the directory", &dir))?,
    };
    let mut known = Vec::new();
    for file in files {
        let file = file.map_err(explain("read the directory", &dir))?;
        // Others are temporary files.
        let Some(name) = file.file_name().to_str().and_then(office_name) else { continue };
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        known.push((name, Ack::parse(&text).unwrap_or_default()));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_office_has_is_kept_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let read = |dir: &Path| {
            let mut known = read(dir).unwrap();
            known.sort_by_key(|(name, _)| *name);
            known
        };
        let time = Stamp::parse("2026-11-22T12:00:00.000+08:00");
        let ack = |seq| Ack { ledger: 0xA1, head: Head { seq: EntrySeq(seq), crc: 0xC0 + seq as u32 }, time };
        let (one, two) = (office_name("hq").unwrap(), office_name("hq-2").unwrap());
        assert_eq!(read(dir.path()), []);
        let mut files = AckFiles::new(dir.path());
        files.forget(&one).unwrap();
        files.keep(&two, &ack(7)).unwrap();
        files.keep(&one, &ack(1)).unwrap();
        files.keep(&one, &ack(2)).unwrap();
        assert_eq!(read(dir.path()), [(one, ack(2)), (two, ack(7))]);
        // One that cannot be read has nothing, and is there.
        fs::write(dir.path().join("acks/hq"), "ledger=a1 seq=2").unwrap();
        fs::write(dir.path().join("acks/hq.tmp"), "").unwrap();
        assert_eq!(read(dir.path()), [(one, Ack::default()), (two, ack(7))]);
        files.forget(&one).unwrap();
        assert_eq!(read(dir.path()), [(two, ack(7))]);
    }

    #[test]
    fn a_name_is_a_files_name_and_fits_an_entry() {
        for good in ["hq", "Campus_2-east", "1234567890123456789012345"] {
            assert!(office_name(good).is_some(), "{good}");
        }
        for bad in ["", "-x", ".", "..", "a/b", "a.tmp", "a b", "校", "12345678901234567890123456", "a\n"] {
            assert!(office_name(bad).is_none(), "{bad}");
        }
    }
}
