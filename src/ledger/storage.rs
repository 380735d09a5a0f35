//! The files of one ledger directory, with only the operations that the ledger needs (design.md,
//! sections 7 and 9).
//!
//! [`Files`] reads and never changes anything: `verify` and `show` work on read-only media and
//! beside the running server. [`Storage`] is everything the server does to the directory; nothing
//! else writes there, so a simulated storage behind this trait sees every effect. [`DirStorage`] is
//! the real one.
//!
//! What always holds: names are files directly in the directory; nothing is durable before
//! [`Storage::sync`] (a file's bytes) or [`Storage::sync_dir`] (names: creating, renaming,
//! removing); an error names the path and the operation.
//!
//! What is assumed about media, and nothing else; the simulated storage of `tests/simulation` does
//! all of this:
//!
//! - synced bytes survive a power cut, until the medium itself fails; then bits flip, which the
//!   chain of crcs shows; no other program writes to the files;
//! - unsynced bytes survive in part. Of one write any bytes at its end may be missing (JFFS2 and
//!   UBIFS write the nodes of a file in order), or any of its pages (ext4 and F2FS write them back
//!   in any order); missing bytes read as zeros or are cut off, and the length may exceed the bytes
//!   written (UBIFS leaves zeros at a file's end, F2FS and ext4 leave holes). They never read as
//!   bytes of another file: ext4 must not be mounted with `data=writeback`, which no router does;
//! - a write in place may need room, because some file systems write elsewhere first (F2FS, UBIFS,
//!   JFFS2); until it is synced the old bytes or the new ones are there;
//! - names have a journal of their own: a new name may reach the medium before its bytes, and
//!   several changes of names reach it in order or not at all. A rename leaves the old file or the
//!   new one under the name;
//! - a failed sync forgets the bytes that it could not write: the next sync succeeds without them;
//! - the free space that a file system reports is an estimate (compression on UBIFS and JFFS2,
//!   reserved blocks): only a write shows it.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::lang::tr;

#[cfg(test)]
mod memory;
#[cfg(test)]
pub use memory::MemoryStorage;

/// Reading a ledger's files.
pub trait Files {
    /// The names in the directory, in no order.
    ///
    /// # Errors
    /// If the directory cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The length of a file in bytes.
    ///
    /// # Errors
    /// If there is no such file.
    fn len(&self, name: &str) -> io::Result<u64>;

    /// Reads into `into` from `offset` on; fewer bytes than fit only at the end of the file, 0 past
    /// it.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// The file's path for messages, as the operator can use it.
    fn path(&self, name: &str) -> String;

    /// Whether there is such a name.
    ///
    /// # Errors
    /// If the directory cannot be read.
    fn has(&self, name: &str) -> io::Result<bool> {
        Ok(self.list()?.iter().any(|known| known == name))
    }
}

/// Writing a ledger's files. A directory has one storage at a time. The real one allocates nothing
/// after its first files, except in [`Files::list`] and for errors: segments begin and snapshots
/// are written inside a turn.
pub trait Storage: Files {
    /// Makes a new file of these bytes. Neither bytes nor name are durable yet.
    ///
    /// # Errors
    /// If there is such a file ([`ErrorKind::AlreadyExists`]), or it cannot be written.
    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes at the end of a file that exists.
    ///
    /// # Errors
    /// If not all bytes could be written; some may have been.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes in place, within a file that exists.
    ///
    /// # Errors
    /// If not all bytes could be written; some may have been.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file to `len` bytes.
    ///
    /// # Errors
    /// If it cannot be cut.
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()>;

    /// Waits until the file's bytes and length are on the medium.
    ///
    /// # Errors
    /// If they may not be there. It must not be tried again: the kernel forgets bytes that it could
    /// not write.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Waits until the directory's names are on the medium.
    ///
    /// # Errors
    /// If they may not be there.
    fn sync_dir(&mut self) -> io::Result<()>;

    /// Renames a file. A file that has the new name is replaced.
    ///
    /// # Errors
    /// If it cannot be renamed.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// If it cannot be removed.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Makes `link` point to the file `target`. An old link is replaced atomically. Returns whether
    /// anything was changed.
    ///
    /// # Errors
    /// If the file system has no links, or `link` is a file and not a link.
    fn point(&mut self, link: &str, target: &str) -> io::Result<bool>;

    /// Bytes that the server may still write in this file system.
    ///
    /// # Errors
    /// If the file system does not report them.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// A directory, or files anywhere (their paths as names), for reading only.
#[derive(Clone, Debug)]
pub struct DirFiles {
    dir: PathBuf,
}

impl DirFiles {
    /// The files of `dir`. With an empty path names are paths, and [`DirFiles::list`] fails.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    fn full(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// As `full`, into a buffer that is reused.
    fn full_into(&self, name: &str, path: &mut PathBuf) {
        path.clear();
        path.push(&self.dir);
        path.push(name);
    }
}

impl Files for DirFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(explain("read the directory", &self.dir))? {
            let entry = entry.map_err(explain("read the directory", &self.dir))?;
            // All names of ours are UTF-8.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        let path = self.full(name);
        Ok(fs::metadata(&path).map_err(explain("read the length of", &path))?.len())
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let path = self.full(name);
        let file = File::open(&path).map_err(explain("open", &path))?;
        read_whole_at(&file, offset, into).map_err(explain("read", &path))
    }

    fn path(&self, name: &str) -> String {
        self.full(name).display().to_string()
    }
}

/// Attempts to take the lock before an error says that another server has it, and the pause between
/// them.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Whether a server (or `repair`) has the directory's lock. It takes a shared lock for a moment,
/// and writes nothing.
pub fn is_served(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join("lock")) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
}

/// A directory that this process alone writes, for as long as the value lives (or see
/// [`DirStorage::beside`]).
#[derive(Debug)]
pub struct DirStorage {
    files: DirFiles,
    /// The file written last, kept open so that a turn's append and sync open nothing.
    open: RefCell<Opened>,
    /// Room for the paths of one operation.
    paths: RefCell<[PathBuf; 2]>,
    /// The link's target, since this process read or replaced it; empty: not yet.
    pointed: String,
    /// Held until this value is dropped; the kernel releases it when the process ends. `None`
    /// beside the server.
    _lock: Option<Flock<File>>,
}

/// A file open for writing, or none yet. Name and path keep their room for the next one.
#[derive(Debug, Default)]
struct Opened {
    name: String,
    path: PathBuf,
    /// The file with its device and inode, which the path must still lead to.
    file: Option<(File, (u64, u64))>,
    /// Whether the file's position is at its end.
    is_at_end: bool,
}

impl Opened {
    /// Opens another file.
    fn open(&mut self, files: &DirFiles, name: &str, how: &OpenOptions, operation: &str) -> io::Result<()> {
        self.file = None;
        self.is_at_end = false;
        self.name.clear();
        self.name.push_str(name);
        files.full_into(name, &mut self.path);
        let file = how.open(&self.path).map_err(explain(operation, &self.path))?;
        let id = file.metadata().map(|metadata| id_of(&metadata)).map_err(explain("look at", &self.path))?;
        self.file = Some((file, id));
        Ok(())
    }

    fn file(&mut self) -> &mut File {
        &mut self.file.as_mut().expect("it was opened before").0
    }

    /// Whether the path still leads to the open file. After the directory was removed, renamed or
    /// unmounted, writes still succeed, but the next start would not find the bytes.
    fn is_in_place(&self) -> bool {
        // Each sync asks: nix's call converts less than std's.
        let found = nix::sys::stat::lstat(&self.path).map(|found| (found.st_dev, found.st_ino));
        self.file.as_ref().is_some_and(|(_, id)| found.is_ok_and(|found| found == *id))
    }
}

impl DirStorage {
    /// Makes the directory if it is missing, with its parents, and takes its lock. On a read-only
    /// file system, where nobody can write, it takes the lock only if the lock file exists.
    ///
    /// # Errors
    /// If another process (or value) holds the lock ([`ErrorKind::WouldBlock`]), or the directory
    /// cannot be made or written.
    pub fn open(dir: &Path) -> io::Result<Self> {
        create_dir_durably(dir)?;
        let path = dir.join("lock");
        let file = match OpenOptions::new().write(true).create(true).truncate(false).open(&path) {
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::beside(dir)),
                opened => opened,
            },
            opened => opened,
        };
        let file = file.map_err(explain("open the lock", &path))?;
        let mut tries_left = LOCK_TRIES;
        let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        loop {
            match lock {
                Ok(lock) => return Ok(Self::new(dir, Some(lock))),
                // A reader may have it for a moment: [`is_served`].
                Err((file, Errno::EWOULDBLOCK)) if tries_left > 0 => {
                    tries_left -= 1;
                    std::thread::sleep(LOCK_PAUSE);
                    lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
                }
                Err((_, Errno::EWOULDBLOCK)) => {
                    let sentence = tr!(
                        "lock {}: another posgate serves from this ledger: stop it first",
                        "{}：另一个 posgate 正在用这个账本：请先停下它",
                        path.display()
                    );
                    return Err(io::Error::new(ErrorKind::WouldBlock, sentence));
                }
                Err((_, error)) => return Err(explain("lock", &path)(error.into())),
            }
        }
    }

    /// The directory without its lock, for callers that change nothing that a server writes.
    pub fn beside(dir: &Path) -> Self {
        Self::new(dir, None)
    }

    /// As [`DirStorage::beside`]; makes the directory if it is missing, with its parents.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn beside_new(dir: &Path) -> io::Result<Self> {
        create_dir_durably(dir)?;
        Ok(Self::beside(dir))
    }

    fn new(dir: &Path, lock: Option<Flock<File>>) -> Self {
        Self {
            files: DirFiles::new(dir),
            open: RefCell::default(),
            paths: RefCell::default(),
            pointed: String::new(),
            _lock: lock,
        }
    }

    /// Runs `work` on a file open for writing. The file of the last call is still open.
    fn with<T>(
        &self,
        name: &str,
        operation: &'static str,
        work: impl FnOnce(&mut Opened) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut open = self.open.borrow_mut();
        if open.file.is_none() || open.name != name {
            open.open(&self.files, name, OpenOptions::new().write(true), "open")?;
        }
        work(&mut open).map_err(|error| explain(operation, &open.path)(error))
    }
}

impl Files for DirStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        self.files.list()
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        let [path, _] = &mut *self.paths.borrow_mut();
        self.files.full_into(name, path);
        Ok(fs::metadata(&path).map_err(explain("read the length of", path))?.len())
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.files.read_at(name, offset, into)
    }

    fn path(&self, name: &str) -> String {
        self.files.path(name)
    }

    fn has(&self, name: &str) -> io::Result<bool> {
        let [path, _] = &mut *self.paths.borrow_mut();
        self.files.full_into(name, path);
        match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(explain("look at", path)(error)),
        }
    }
}

impl Storage for DirStorage {
    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let open = self.open.get_mut();
        open.open(&self.files, name, OpenOptions::new().write(true).create_new(true), "create")?;
        let written = open.file().write_all(bytes);
        written.map_err(explain("write", &open.path))
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with(name, "append to", |opened| {
            // O_APPEND would do it too, but then nothing could be written in place through the same
            // file.
            if !opened.is_at_end {
                opened.file().seek(SeekFrom::End(0))?;
            }
            opened.is_at_end = true;
            opened.file().write_all(bytes)
        })
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(name, "write in", |opened| opened.file().write_all_at(bytes, offset))
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.with(name, "truncate", |opened| {
            opened.is_at_end = false;
            opened.file().set_len(len)
        })
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.with(name, "sync", |opened| {
            opened.file().sync_data()?;
            if opened.is_in_place() {
                return Ok(());
            }
            let what = "the file is not there any more: was its directory moved, or its medium pulled out?";
            Err(io::Error::new(ErrorKind::NotFound, what))
        })
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        sync_dir(&self.files.dir)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open.get_mut().file = None;
        let [old, new] = self.paths.get_mut();
        self.files.full_into(from, old);
        self.files.full_into(to, new);
        fs::rename(&old, &new).map_err(explain("rename", old))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open.get_mut().file = None;
        let [path, _] = self.paths.get_mut();
        self.files.full_into(name, path);
        fs::remove_file(&path).map_err(explain("remove", path))
    }

    fn point(&mut self, link: &str, target: &str) -> io::Result<bool> {
        let [path, temporary] = self.paths.get_mut();
        self.files.full_into(link, path);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() && self.pointed == target => return Ok(false),
            // The target is read only once, at the start, because reading it allocates.
            Ok(found) if found.is_symlink() && !self.pointed.is_empty() => (),
            Ok(_) => {
                let old = fs::read_link(&path).map_err(explain("replace the link", path))?;
                if old == Path::new(target) {
                    self.pointed.push_str(target);
                    return Ok(false);
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => (),
            Err(error) => return Err(explain("replace the link", path)(error)),
        }
        self.files.full_into(link, temporary);
        temporary.as_mut_os_string().push(".tmp");
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(explain("remove", temporary)(error)),
            Ok(()) | Err(_) => (),
        }
        symlink(target, &temporary).map_err(explain("make the link", temporary))?;
        fs::rename(&temporary, &path).map_err(explain("replace the link", path))?;
        self.pointed.clear();
        self.pointed.push_str(target);
        Ok(true)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let dir = &self.files.dir;
        let room = nix::sys::statvfs::statvfs(dir).map_err(|error| explain("ask the room of", dir)(error.into()))?;
        // 32 or 64 bits wide, as the machine's C library has it.
        #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
        let wide = |count| u64::try_from(count).unwrap_or(u64::MAX);
        #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
        let unit = u64::try_from(room.fragment_size()).unwrap_or(u64::MAX);
        Ok(wide(room.blocks_available()).saturating_mul(unit))
    }
}

/// An error with the path and the operation; its kind stays.
pub(super) fn explain(operation: &str, path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{operation} {}: {error}", path.display()))
}

/// Device and inode: the same for two names of one file.
pub(super) fn id_of(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Reads until `into` is full or the file ends.
pub(super) fn read_whole_at(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < into.len() {
        match file.read_at(&mut into[len..], offset.saturating_add(len as u64)) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Makes a directory and its parents, each name durable.
pub(super) fn create_dir_durably(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    fs::create_dir_all(dir).map_err(explain("make the directory", dir))?;
    // A new directory's name is stored in its parent.
    for parent in missing.iter().filter_map(|path| path.parent()) {
        sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}

/// Waits until the names of a directory are on the medium.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(explain("sync the directory", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_with_its_parents_and_locked() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/b");
        let first = DirStorage::open(&dir).unwrap();
        let error = DirStorage::open(&dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(error.to_string().contains("another posgate"), "{error}");
        drop(first);
        DirStorage::open(&dir).unwrap();
    }

    #[test]
    fn a_file_that_a_start_would_not_find_cannot_be_synced() {
        let parent = tempfile::tempdir().unwrap();
        let (here, gone) = (parent.path().join("here"), parent.path().join("gone"));
        let mut storage = DirStorage::open(&here).unwrap();
        storage.create("a", b"hello").unwrap();
        storage.sync("a").unwrap();
        fs::rename(&here, &gone).unwrap();
        let error = storage.sync("a").unwrap_err();
        assert!(error.to_string().contains("here/a: the file is not there any more"), "{error}");
        fs::create_dir(&here).unwrap();
        fs::write(here.join("a"), b"hello").unwrap();
        assert_eq!(storage.sync("a").unwrap_err().kind(), ErrorKind::NotFound, "another file");
        fs::remove_dir_all(&here).unwrap();
        fs::rename(&gone, &here).unwrap();
        storage.sync("a").unwrap();
        fs::remove_file(here.join("a")).unwrap();
        assert_eq!(storage.sync("a").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn the_directory_follows_the_trait() {
        let dir = tempfile::tempdir().unwrap();
        let mut storage = DirStorage::open(dir.path()).unwrap();
        storage.create("a", b"hello").unwrap();
        assert_eq!(storage.create("a", b"").unwrap_err().kind(), ErrorKind::AlreadyExists);
        storage.append("a", b" world").unwrap();
        storage.write_at("a", 0, b"J").unwrap();
        storage.append("a", b"!").unwrap();
        storage.sync("a").unwrap();
        let mut bytes = [0; 32];
        assert_eq!(storage.read_at("a", 6, &mut bytes).unwrap(), 6);
        assert_eq!(&bytes[..6], b"world!");
        assert_eq!(storage.read_at("a", 600, &mut bytes).unwrap(), 0);
        storage.truncate("a", 5).unwrap();
        storage.append("a", b"!").unwrap();
        storage.rename("a", "b").unwrap();
        storage.append("b", b"?").unwrap();
        assert_eq!(fs::read(dir.path().join("b")).unwrap(), b"Jello!?");
        assert!(storage.free_bytes().unwrap() > 0);
        storage.sync_dir().unwrap();
        storage.remove("b").unwrap();
        let error = storage.append("b", b"x").unwrap_err();
        assert!(error.to_string().contains("open ") && error.to_string().contains('b'), "{error}");
        assert_eq!(storage.list().unwrap(), ["lock"]);
    }

    #[test]
    fn a_link_is_replaced_but_a_file_in_its_place_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut storage = DirStorage::open(dir.path()).unwrap();
        storage.create("one", b"1").unwrap();
        storage.create("two", b"2").unwrap();
        assert!(storage.point("link", "one").unwrap());
        assert!(!storage.point("link", "one").unwrap());
        assert!(storage.point("link", "two").unwrap());
        assert_eq!(fs::read(dir.path().join("link")).unwrap(), b"2");
        assert_eq!(fs::read_link(dir.path().join("link")).unwrap(), Path::new("two"));
        assert!(storage.point("one", "two").is_err());
        assert_eq!(fs::read(dir.path().join("one")).unwrap(), b"1");
    }
}
