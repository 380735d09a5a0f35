//! A directory in memory for tests: every step can be counted, and made to fail.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use super::{Files, Storage};

/// The directory. `done` lists what was done, in order.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "faults, each of its own")]
pub struct MemoryStorage {
    /// Names and bytes.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Names and targets.
    pub links: BTreeMap<String, String>,
    /// The operations that change something, as `operation name`.
    pub done: Vec<String>,
    /// Operations that begin with this fail.
    pub fail: Option<String>,
    /// Their error is that of a full disk.
    pub fails_for_room: bool,
    /// Only the first of them fails.
    pub fails_once: bool,
    /// Nothing can be changed or synced.
    pub is_read_only: bool,
    /// After so many more operations everything fails, as if the machine were gone.
    pub steps_left: Option<usize>,
    /// Bytes of all files together; what does not fit is written in part.
    pub capacity: Option<usize>,
    /// A write in place needs room too, as on UBIFS, JFFS2 and F2FS.
    pub writes_elsewhere: bool,
    /// The free bytes that it reports, if they are not the real ones.
    pub claims_free: Option<u64>,
    /// How often the free bytes were asked for.
    pub asked: Cell<u32>,
}

impl MemoryStorage {
    fn act(&mut self, operation: &str, name: &str) -> io::Result<()> {
        let step = format!("{operation} {name}");
        if self.is_read_only {
            return Err(io::Error::new(ErrorKind::ReadOnlyFilesystem, step));
        }
        if self.fail.as_ref().is_some_and(|fail| step.starts_with(fail)) {
            if self.fails_once {
                self.fail = None;
            }
            let kind = if self.fails_for_room { ErrorKind::StorageFull } else { ErrorKind::Other };
            return Err(io::Error::new(kind, format!("{step}: as the test wants")));
        }
        match &mut self.steps_left {
            Some(0) => return Err(io::Error::other(format!("{step}: the machine is gone"))),
            Some(left) => *left -= 1,
            None => (),
        }
        self.done.push(step);
        Ok(())
    }

    fn room(&self) -> usize {
        let used: usize = self.files.values().map(Vec::len).sum();
        self.capacity.map_or(1 << 30, |capacity| capacity.saturating_sub(used))
    }

    /// Appends as many of the bytes as fit to a file that exists.
    fn fill(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let fits = bytes.len().min(self.room());
        self.file(name)?.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::Error::new(ErrorKind::StorageFull, name.to_owned())) } else { Ok(()) }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Vec<u8>> {
        self.files.get_mut(name).ok_or_else(|| io::Error::new(ErrorKind::NotFound, name.to_owned()))
    }
}

impl Files for MemoryStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().chain(self.links.keys()).cloned().collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.files
            .get(name)
            .map(|bytes| bytes.len() as u64)
            .ok_or_else(|| io::Error::new(ErrorKind::NotFound, name.to_owned()))
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.files.get(name).ok_or_else(|| io::Error::new(ErrorKind::NotFound, name.to_owned()))?;
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn path(&self, name: &str) -> String {
        name.to_owned()
    }
}

impl Storage for MemoryStorage {
    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if self.files.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.act("create", name)?;
        self.files.insert(name.to_owned(), Vec::new());
        self.fill(name, bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.act("append", name)?;
        self.fill(name, bytes)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.act(&format!("write {}+{}", offset, bytes.len()), name)?;
        if self.writes_elsewhere && self.room() < bytes.len() {
            return Err(io::Error::new(ErrorKind::StorageFull, name.to_owned()));
        }
        let start = usize::try_from(offset).unwrap();
        self.file(name)?[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.act("truncate", name)?;
        self.file(name)?.truncate(usize::try_from(len).unwrap());
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.act("sync", name)
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.act("sync", "directory")
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.act("rename", from)?;
        let bytes = self.files.remove(from).ok_or(ErrorKind::NotFound)?;
        self.files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.act("remove", name)?;
        self.files.remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn point(&mut self, link: &str, target: &str) -> io::Result<bool> {
        if self.links.get(link).is_some_and(|old| old == target) {
            return Ok(false);
        }
        self.act("point", link)?;
        self.links.insert(link.to_owned(), target.to_owned());
        Ok(true)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.asked.set(self.asked.get() + 1);
        Ok(self.claims_free.unwrap_or(self.room() as u64))
    }
}

/// Lets a test keep its storage after the ledger on it was dropped.
impl Files for &mut MemoryStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        (**self).list()
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        (**self).len(name)
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(name, offset, into)
    }

    fn path(&self, name: &str) -> String {
        (**self).path(name)
    }
}

impl Storage for &mut MemoryStorage {
    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        (**self).create(name, bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        (**self).append(name, bytes)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write_at(name, offset, bytes)
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        (**self).truncate(name, len)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        (**self).sync(name)
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        (**self).sync_dir()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        (**self).remove(name)
    }

    fn point(&mut self, link: &str, target: &str) -> io::Result<bool> {
        (**self).point(link, target)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        (**self).free_bytes()
    }
}
