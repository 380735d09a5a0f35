//! What a reader reads: the files of ledger directories as they stood at one moment, however long
//! the reading takes.
//!
//! Beside a reader the server begins segments and writes snapshots, and `archive` takes old
//! segments away. So a reader opens all at once and reads through these handles: a file that was
//! removed or replaced since is read to its end all the same.
//!
//! What always holds: the segments of a directory that are held were there together, without a hole
//! that only the listing had, and the snapshot that is held was in force then. They are listed and
//! opened again until two listings and the snapshot agree. The newest segment goes on growing; what
//! is read of it is its beginning. Nothing here writes or locks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::segment;
use super::snapshot;
use super::storage::{DirFiles, Files, explain, read_whole_at};

/// How often a directory is looked at again before an error says that it does not come to rest: a
/// segment begins every few seconds at most, and a look takes milliseconds.
const LOOKS_MAX: u32 = 10_000;

/// Handles that stay free for the rest of the program.
const HANDLES_SPARE: u64 = 64;

/// Files that are held open, by their paths. A clone holds the same ones.
#[derive(Clone, Debug, Default)]
pub struct HeldFiles {
    /// What names are relative to; empty: names are paths.
    dir: PathBuf,
    held: Rc<RefCell<BTreeMap<PathBuf, File>>>,
}

impl HeldFiles {
    /// Nothing yet; names are paths.
    fn new() -> Self {
        Self::default()
    }

    /// Holds one directory; names are relative to it. One that holds no ledger is held all the
    /// same.
    ///
    /// # Errors
    /// If the directory, or a file of it, cannot be opened, or the directory does not come to rest.
    pub fn of_dir(dir: &Path) -> io::Result<Self> {
        let files = Self::new();
        files.hold_dir(dir)?;
        Ok(files.in_dir(dir))
    }

    /// Holds directories and segment files, as a person names them; gives the segments' paths in
    /// the order of the places. A file that is named twice, be it by two paths, is one.
    ///
    /// # Errors
    /// Those of [`HeldFiles::of_dir`]; if there is no such file, nothing to read in a directory, or
    /// a path is no UTF-8.
    pub fn of_places(places: &[PathBuf]) -> io::Result<(Self, Vec<String>)> {
        let files = Self::new();
        let mut paths = Vec::new();
        for place in places {
            if place.is_dir() {
                files.hold_dir(place)?;
                let here = files.in_dir(place);
                let segments = segment::list(&here)?;
                if segments.is_empty() {
                    return Err(no_ledger(place, "no file ledger-….tsv"));
                }
                paths.extend(segments.into_iter().map(|segment| place.join(segment.name)));
            } else if !place.try_exists().unwrap_or(true) {
                return Err(no_ledger(place, "there is no such file or directory"));
            } else {
                files.hold(place)?;
                paths.push(place.clone());
            }
        }
        let mut known = Vec::new();
        let mut names = Vec::new();
        for path in paths {
            let id = files.id(&path)?;
            if known.contains(&id) {
                continue;
            }
            known.push(id);
            let wrong = format!("{}: the path is no UTF-8", path.display());
            let name = path.into_os_string().into_string();
            names.push(name.map_err(|_| io::Error::new(ErrorKind::InvalidInput, wrong))?);
        }
        Ok((files, names))
    }

    /// The same files with names relative to one of the directories that are held.
    #[must_use]
    pub fn in_dir(&self, dir: &Path) -> Self {
        Self { dir: dir.to_owned(), held: Rc::clone(&self.held) }
    }

    /// Holds one file; names are paths.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let files = Self::new();
        files.hold(path)?;
        Ok(files)
    }

    /// Closes one: it is read no more.
    pub fn let_go(&self, path: &Path) {
        self.held.borrow_mut().remove(path);
    }

    /// Holds one more file; its name is its path.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn hold(&self, path: &Path) -> io::Result<()> {
        let file = open(path)?;
        self.held.borrow_mut().insert(path.to_owned(), file);
        Ok(())
    }

    /// Holds the segments of one more directory, and its snapshot.
    ///
    /// # Errors
    /// Those of [`HeldFiles::of_dir`].
    fn hold_dir(&self, dir: &Path) -> io::Result<()> {
        for _ in 0..LOOKS_MAX {
            if let Some(files) = try_hold(dir)? {
                self.held.borrow_mut().extend(files);
                return Ok(());
            }
        }
        let sentence = format!("{}: its segments change faster than they can be opened", dir.display());
        Err(io::Error::new(ErrorKind::TimedOut, sentence))
    }

    fn id(&self, path: &Path) -> io::Result<(u64, u64)> {
        let held = self.held.borrow();
        let metadata = held.get(path).map_or_else(|| std::fs::metadata(path), File::metadata);
        Ok(id_of(&metadata.map_err(explain("look at", path))?))
    }

    fn with<T>(&self, name: &str, work: impl FnOnce(&File, &Path) -> io::Result<T>) -> io::Result<T> {
        let path = self.dir.join(name);
        if let Some(file) = self.held.borrow().get(&path) {
            return work(file, &path);
        }
        // Not of those that were there: a file that a person named later.
        work(&open(&path)?, &path)
    }
}

fn no_ledger(place: &Path, why: &str) -> io::Error {
    let remedy = "`posgate serve` makes it at its first start; name another directory, its segments, or --config FILE";
    let sentence = format!("{}: no ledger here: {why}; {remedy}", place.display());
    io::Error::new(ErrorKind::NotFound, sentence)
}

/// Opens all files once; `None` if something changed meanwhile.
fn try_hold(dir: &Path) -> io::Result<Option<BTreeMap<PathBuf, File>>> {
    let names = || segment::list(&DirFiles::new(dir)).map(|list| list.into_iter().map(|segment| segment.name));
    let path = dir.join(snapshot::NAME);
    let before: Vec<String> = names()?.collect();
    let snapshot = open_if_there(&path)?;
    let mut held = BTreeMap::new();
    raise_limit(before.len() as u64);
    for name in &before {
        let path = dir.join(name);
        match open_if_there(&path)? {
            Some(file) => held.insert(path, file),
            None => return Ok(None),
        };
    }
    let in_force = std::fs::metadata(&path).ok().map(|metadata| id_of(&metadata));
    let opened = match &snapshot {
        Some(file) => Some(id_of(&file.metadata().map_err(explain("look at", &path))?)),
        None => None,
    };
    if opened != in_force || !names()?.eq(before) {
        return Ok(None);
    }
    held.extend(snapshot.map(|file| (path, file)));
    Ok(Some(held))
}

fn id_of(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn open(path: &Path) -> io::Result<File> {
    File::open(path).map_err(|error| {
        let is_too_many = error.raw_os_error() == Some(nix::libc::EMFILE);
        let error = explain("open", path)(error);
        if !is_too_many {
            return error;
        }
        io::Error::new(error.kind(), format!("{error}: name fewer segments at once, or raise `ulimit -n`"))
    })
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks for so many handles more, as far as the system lets us; opening says if it does not.
fn raise_limit(wanted: u64) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let needed = wanted.saturating_mul(2).saturating_add(HANDLES_SPARE);
    if soft < needed {
        // Where it is refused the limit is as it was.
        let _refused = setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard);
    }
}

impl Files for HeldFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        let held = self.held.borrow();
        let names = held.keys().filter(|path| path.parent() == Some(&self.dir)).filter_map(|path| path.file_name());
        Ok(names.filter_map(|name| name.to_str()).map(str::to_owned).collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.with(name, |file, path| Ok(file.metadata().map_err(explain("read the length of", path))?.len()))
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.with(name, |file, path| read_whole_at(file, offset, into).map_err(explain("read", path)))
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}
