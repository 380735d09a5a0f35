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

use super::put::{explain, put, sync};
use crate::engine::model::Wall;

/// The name of the configuration's copy.
pub const CONFIG: &str = "config";

/// The name of the card table's copy.
pub const CARDS: &str = "cards.csv";

/// Bytes that are read of a copy: no file that was accepted is larger.
const LEN_MAX: u64 = 32 * 1024 * 1024;

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

    /// Keeps a copy of the file `accepted`, whose bytes with this CRC-32 were accepted. Returns
    /// whether it wrote anything. A file that has changed since is left for the next call.
    ///
    /// # Errors
    /// With path and operation. Then the old copy is still there.
    pub fn keep(&self, name: &str, accepted: &Path, crc: u32) -> io::Result<bool> {
        let path = self.path(name);
        let bytes = read(accepted).map_err(explain("read", accepted))?;
        if crc32fast::hash(&bytes) != crc || read(&path).is_ok_and(|copy| copy == bytes) {
            return Ok(false);
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(explain("make the directory", &self.dir))?;
        put(&path, &bytes)?;
        // The name of the directory itself.
        sync(self.dir.parent().unwrap_or(&self.dir))?;
        Ok(true)
    }
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
        assert!(keep(b"one"));
        assert!(good.written_at(CARDS).is_some_and(|at| at > Wall(0)));
        let written = fs::metadata(good.path(CARDS)).unwrap();
        assert!(!keep(b"one"));
        assert_eq!(fs::metadata(good.path(CARDS)).unwrap().ino(), written.ino());
        assert!(keep(b"two"));
        assert_eq!(good.read(CARDS).unwrap(), b"two");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&good.path(CARDS)), mode(&dir.path().join("good"))), (0o600, 0o700));
        assert_eq!(fs::read_dir(dir.path().join("good")).unwrap().count(), 1, "no rest");
    }

    #[test]
    fn bytes_that_were_not_accepted_are_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (good, file) = (Good::of(dir.path()), dir.path().join("cards"));
        fs::write(&file, b"changed since").unwrap();
        assert!(!good.keep(CARDS, &file, crc32fast::hash(b"as it was")).unwrap());
        assert_eq!(good.read(CARDS), None);
        let error = good.keep(CARDS, &dir.path().join("none"), 0).unwrap_err().to_string();
        assert!(error.contains("none"), "{error}");
    }
}
