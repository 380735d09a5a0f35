//! The last configuration and card table that were accepted, kept beside the ledger (design.md,
//! section 5).
//!
//! What always holds: a copy is whole or absent (written under another name, synced, renamed); only
//! its owner can read it, since it holds PINs; it is written only when it changes, so daily starts
//! do not wear the flash.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::put::{Putting, explain, sync};
use crate::engine::model::Wall;

/// The name of the configuration's copy.
pub const CONFIG: &str = "config";

/// The name of the card table's copy.
pub const CARDS: &str = "cards.csv";

/// Bytes that are read of a copy: no file that was accepted is larger.
const LEN_MAX: u64 = 32 * 1024 * 1024;

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was written.
    Written,
    /// It was there.
    Already,
    /// The file is not what was accepted: the old copy stays.
    Left,
}

/// Bytes that are copied or compared at a time.
const WINDOW_LEN: u64 = 32 * 1024;

/// The copies of one ledger.
#[derive(Clone, Debug)]
pub struct Good {
    dir: PathBuf,
}

impl Good {
    /// The copies beside the ledger in this directory.
    pub fn of(ledger_dir: &Path) -> Self {
        Self { dir: ledger_dir.join("good") }
    }

    /// The path of a copy.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A copy's bytes, if it can be read.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        read(&self.path(name)).ok()
    }

    /// When a copy was written. Since then no other file was accepted.
    pub fn written_at(&self, name: &str) -> Option<Wall> {
        let modified = fs::metadata(self.path(name)).and_then(|metadata| metadata.modified()).ok()?;
        let age = modified.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(age.as_millis()).ok().map(Wall)
    }

    /// Keeps a copy of the file `accepted`, whose bytes with this CRC-32 were accepted. A file that
    /// has changed since is left for the next call.
    ///
    /// # Errors
    /// With path and operation. Then the old copy is still there.
    pub fn keep(&self, name: &str, accepted: &Path, crc: u32) -> io::Result<Kept> {
        if self.is_kept(name, accepted, crc)? {
            return Ok(Kept::Already);
        }
        let mut copying = self.copy(name, accepted, crc)?;
        loop {
            if let Some(is_written) = copying.step()? {
                return Ok(if is_written { Kept::Written } else { Kept::Left });
            }
        }
    }

    /// Whether the copy of the file `accepted` has the same bytes, with this CRC-32, as that file.
    fn is_kept(&self, name: &str, accepted: &Path, crc: u32) -> io::Result<bool> {
        let open = |path: &Path| File::open(path).map_err(explain("read", path));
        let mut file = open(accepted)?;
        let Ok(mut copy) = File::open(self.path(name)) else { return Ok(false) };
        let mut hasher = crc32fast::Hasher::new();
        loop {
            let (one, other) = (window(&mut file), window(&mut copy));
            let (one, other) = (one.map_err(explain("read", accepted))?, other.unwrap_or_default());
            hasher.update(&one);
            if one != other {
                return Ok(false);
            }
            if one.is_empty() {
                return Ok(hasher.finalize() == crc);
            }
        }
    }

    /// Begins a copy as [`Good::keep`] writes it, whatever the old one holds.
    ///
    /// # Errors
    /// With path and operation.
    pub fn copy(&self, name: &str, accepted: &Path, crc: u32) -> io::Result<Copying> {
        let source = File::open(accepted).map_err(explain("read", accepted))?;
        let (path, accepted) = (self.path(name), accepted.to_owned());
        Ok(Copying { dir: self.dir.clone(), path, accepted, crc, source, hasher: crc32fast::Hasher::new(), put: None })
    }

    /// Whether a file of this length and CRC-32, which does not end with LF, is the beginning of a
    /// copy, cut off within a line. A power failure does this, a person does not. The answer comes
    /// in steps: [`Beginning::step`]. `None`: it is not, as the copy's length shows.
    pub fn beginning(&self, name: &str, len: u64, crc: u32) -> Option<Beginning> {
        let copy = File::open(self.path(name)).ok()?;
        let is_longer = copy.metadata().is_ok_and(|metadata| metadata.len() > len);
        (is_longer && len > 0).then(|| Beginning { copy, left: len, crc, hasher: crc32fast::Hasher::new() })
    }
}

/// A copy that is being written in steps, so that terminals can be served meanwhile.
#[derive(Debug)]
pub struct Copying {
    dir: PathBuf,
    path: PathBuf,
    accepted: PathBuf,
    crc: u32,
    source: File,
    hasher: crc32fast::Hasher,
    /// `None` before the first step.
    put: Option<Putting>,
}

impl Copying {
    /// Writes and syncs the next bytes. `Some` at the end: whether the copy is kept. It is not if
    /// the file is no longer what was accepted.
    ///
    /// # Errors
    /// With path and operation. Then the old copy is still there.
    pub fn step(&mut self) -> io::Result<Option<bool>> {
        let bytes = window(&mut self.source).map_err(explain("read", &self.accepted))?;
        if self.put.is_none() {
            let dir = &self.dir;
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(explain("make the directory", dir))?;
            self.put = Some(Putting::begin(&self.path)?);
        }
        let Some(put) = &mut self.put else { return Ok(None) };
        if !bytes.is_empty() {
            self.hasher.update(&bytes);
            put.write(&bytes)?;
            return Ok(None);
        }
        let is_accepted = self.hasher.clone().finalize() == self.crc;
        let put = self.put.take().filter(|_| is_accepted);
        let Some(put) = put else { return Ok(Some(false)) };
        put.finish()?;
        // The name of the directory itself.
        sync(self.dir.parent().unwrap_or(&self.dir))?;
        Ok(Some(true))
    }
}

/// The comparison of a file with the beginning of a copy, in steps.
#[derive(Debug)]
pub struct Beginning {
    copy: File,
    left: u64,
    crc: u32,
    hasher: crc32fast::Hasher,
}

impl Beginning {
    /// Compares the next bytes. `Some` at the end: whether the file was cut off within a line.
    pub fn step(&mut self) -> Option<bool> {
        let len = self.left.min(WINDOW_LEN);
        let mut bytes = Vec::new();
        let is_read = (&mut self.copy).take(len.max(1)).read_to_end(&mut bytes).is_ok();
        if self.left == 0 || !is_read || bytes.len() as u64 != len {
            let is_within_line = bytes.first().is_some_and(|next| !matches!(next, b'\n' | b'\r'));
            return Some(self.left == 0 && is_within_line && self.hasher.clone().finalize() == self.crc);
        }
        self.hasher.update(&bytes);
        self.left -= len;
        None
    }
}

/// The next bytes of a file; none at its end.
fn window(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(WINDOW_LEN).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LEN_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn a_copy_is_its_owners_alone_and_written_only_when_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (good, file) = (Good::of(dir.path()), dir.path().join("cards"));
        let keep = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            good.keep(CARDS, &file, crc32fast::hash(bytes)).unwrap()
        };
        assert_eq!((good.read(CARDS), good.written_at(CARDS)), (None, None));
        assert_eq!(keep(b"one"), Kept::Written);
        assert!(good.written_at(CARDS).is_some_and(|at| at > Wall(0)));
        let written = fs::metadata(good.path(CARDS)).unwrap();
        assert_eq!(keep(b"one"), Kept::Already);
        assert_eq!(fs::metadata(good.path(CARDS)).unwrap().ino(), written.ino());
        assert_eq!(keep(b"two"), Kept::Written);
        assert_eq!(good.read(CARDS).unwrap(), b"two");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&good.path(CARDS)), mode(&dir.path().join("good"))), (0o600, 0o700));
        assert_eq!(fs::read_dir(dir.path().join("good")).unwrap().count(), 1, "no rest");
    }

    #[test]
    fn a_beginning_that_ends_within_a_line_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let good = Good::of(dir.path());
        let is_cut = |bytes: &[u8]| {
            let beginning = good.beginning(CARDS, bytes.len() as u64, crc32fast::hash(bytes));
            beginning.is_some_and(|mut beginning| {
                loop {
                    if let Some(is_cut) = beginning.step() {
                        return is_cut;
                    }
                }
            })
        };
        assert!(!is_cut(b"card,charge_max\r\n88,1"), "there is no copy");
        let head = b"card,charge_max\r\n88,100.00\r\n89,5.00\r\n";
        let copy = [&head[..], &b"90,some name\n".repeat(10_000)].concat();
        fs::create_dir(dir.path().join("good")).unwrap();
        fs::write(good.path(CARDS), &copy).unwrap();
        // Whether the file ends with LF is known before.
        for len in (0..=head.len()).filter(|len| !copy[..*len].ends_with(b"\n")) {
            let is_at_end = [0, 15, 16, 26, 27, 35, 36].contains(&len);
            assert_eq!(is_cut(&copy[..len]), !is_at_end, "{len}");
        }
        for len in [32_767, 32_768, 32_769, 65_536, 100_000, copy.len() - 3] {
            let is_at_end = copy[..len].ends_with(b"\n") || copy[len] == b'\n';
            assert_eq!(is_cut(&copy[..len]), !is_at_end, "{len}");
            let other = [&copy[..len - 1], b"x"].concat();
            assert!(!is_cut(&other), "another file: {len}");
        }
        assert!(!is_cut(&copy[..copy.len()]), "the whole");
    }

    #[test]
    fn a_copy_that_was_begun_and_left_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (good, file) = (Good::of(dir.path()), dir.path().join("cards"));
        let long = vec![b'x'; 100_000];
        fs::write(&file, b"old").unwrap();
        good.keep(CARDS, &file, crc32fast::hash(b"old")).unwrap();
        fs::write(&file, &long).unwrap();
        let mut copying = good.copy(CARDS, &file, crc32fast::hash(&long)).unwrap();
        assert_eq!(copying.step().unwrap(), None);
        assert_eq!(good.read(CARDS).unwrap(), b"old");
        drop(copying);
        assert_eq!(fs::read_dir(dir.path().join("good")).unwrap().count(), 1, "no rest");
        // The file changes while it is copied.
        let mut copying = good.copy(CARDS, &file, crc32fast::hash(&long)).unwrap();
        assert_eq!(copying.step().unwrap(), None);
        fs::write(&file, vec![b'y'; 100_000]).unwrap();
        let kept = std::iter::repeat_with(|| copying.step().unwrap()).find_map(|step| step).unwrap();
        assert!(!kept, "the bytes were not accepted");
        assert_eq!(good.read(CARDS).unwrap(), b"old");
    }

    #[test]
    fn bytes_that_were_not_accepted_are_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (good, file) = (Good::of(dir.path()), dir.path().join("cards"));
        fs::write(&file, b"changed since").unwrap();
        assert_eq!(good.keep(CARDS, &file, crc32fast::hash(b"as it was")).unwrap(), Kept::Left);
        assert_eq!(good.read(CARDS), None);
        let error = good.keep(CARDS, &dir.path().join("none"), 0).unwrap_err().to_string();
        assert!(error.contains("none"), "{error}");
    }
}
