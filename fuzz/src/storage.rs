//! A directory in memory. Every operation succeeds; failing ones are the simulation's business.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use posgate::ledger::{Files, Storage};

/// Name and bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStorage {
    pub files: BTreeMap<String, Vec<u8>>,
    links: BTreeMap<String, String>,
}

impl MemoryStorage {
    fn file(&mut self, name: &str) -> io::Result<&mut Vec<u8>> {
        self.files.get_mut(name).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Files for MemoryStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().chain(self.links.keys()).cloned().collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.files.get(name).ok_or(ErrorKind::NotFound)?.len() as u64)
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.files.get(name).ok_or(ErrorKind::NotFound)?;
        let rest = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
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
        self.files.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.extend_from_slice(bytes);
        Ok(())
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).expect("within the file");
        self.file(name)?[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.file(name)?.truncate(usize::try_from(len).expect("within the file"));
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name).map(drop)
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.files.remove(from).ok_or(ErrorKind::NotFound)?;
        self.files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.files.remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn point(&mut self, link: &str, target: &str) -> io::Result<bool> {
        Ok(self.links.insert(link.to_owned(), target.to_owned()).as_deref() != Some(target))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(1 << 30)
    }
}

/// So that a ledger can be opened again on the files that it leaves.
pub struct Lent<'a>(pub &'a mut MemoryStorage);

impl Files for Lent<'_> {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.0.len(name)
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(name, offset, into)
    }

    fn path(&self, name: &str) -> String {
        self.0.path(name)
    }
}

impl Storage for Lent<'_> {
    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.create(name, bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.append(name, bytes)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(name, offset, bytes)
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.0.truncate(name, len)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.0.sync(name)
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.0.sync_dir()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn point(&mut self, link: &str, target: &str) -> io::Result<bool> {
        self.0.point(link, target)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.0.free_bytes()
    }
}
