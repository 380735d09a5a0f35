//! Open files of ledger directories for readers: the files as they were at one moment, however long
//! the reading takes.
//!
//! While a reader reads, the server begins segments and writes snapshots, and `archive` removes old
//! segments. So a reader opens all files at once and reads through these handles: a file that is
//! removed or replaced later is still read to its end.
//!
//! What always holds: the held segments of a directory and the held snapshot were there at the same
//! moment. They are listed and opened again until two listings and the snapshot agree. The newest
//! segment may grow: a reader reads its beginning. Nothing here writes or locks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::lang::tr;

use super::segment;
use super::snapshot;
use super::storage::{DirFiles, Files, explain, id_of, read_whole_at};

/// Attempts to open a directory's files before an error says that they change too fast. A segment
/// begins every few seconds at most, and an attempt takes milliseconds.
const ATTEMPTS_MAX: u32 = 10_000;

/// Handles that are left for the rest of the program.
const HANDLES_SPARE: u64 = 64;

/// Files that are held open, by their paths. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct HeldFiles {
    /// The directory that names are relative to; empty: names are paths.
    dir: PathBuf,
    held: Rc<RefCell<BTreeMap<PathBuf, File>>>,
}

impl HeldFiles {
    /// Holds no file yet; names are paths.
    fn new() -> Self {
        Self::default()
    }

    /// Holds one directory; names are relative to it. A directory without a ledger is not an error.
    ///
    /// # Errors
    /// If the directory or a file in it cannot be opened, or its segments change too fast.
    pub fn of_dir(dir: &Path) -> io::Result<Self> {
        let files = Self::new();
        files.hold_dir(dir)?;
        Ok(files.in_dir(dir))
    }

    /// Holds directories and segment files, as a person names them, and returns the segments' paths
    /// in the order of `places`. A file that is named twice, even by two paths, counts once.
    ///
    /// # Errors
    /// Those of [`HeldFiles::of_dir`]; if a file does not exist, a directory holds no segment, or a
    /// path is not UTF-8.
    pub(crate) fn of_places(places: &[PathBuf]) -> io::Result<(Self, Vec<String>)> {
        let files = Self::new();
        let mut paths = Vec::new();
        for place in places {
            if place.is_dir() {
                files.hold_dir(place)?;
                let here = files.in_dir(place);
                let segments = segment::list(&here)?;
                if segments.is_empty() {
                    return Err(no_ledger(place, tr("no file ledger-….tsv", "没有 ledger-….tsv 文件")));
                }
                paths.extend(segments.into_iter().map(|segment| place.join(segment.name)));
            } else if !place.try_exists().unwrap_or(true) {
                return Err(no_ledger(place, tr("there is no such file or directory", "没有这个文件或目录")));
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
            let wrong = tr!("{}: the path is not UTF-8", "{}：路径不是 UTF-8", path.display());
            let name = path.into_os_string().into_string();
            names.push(name.map_err(|_| io::Error::new(ErrorKind::InvalidInput, wrong))?);
        }
        Ok((files, names))
    }

    /// The same files with names relative to one of the directories that are held.
    #[must_use]
    pub(crate) fn in_dir(&self, dir: &Path) -> Self {
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

    /// Closes a file.
    pub(crate) fn let_go(&self, path: &Path) {
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
        for _ in 0..ATTEMPTS_MAX {
            if let Some(files) = try_hold(dir)? {
                self.held.borrow_mut().extend(files);
                return Ok(());
            }
        }
        let sentence = tr!(
            "{}: its segments change faster than they can be opened",
            "{}：流水文件变得太快，来不及打开",
            dir.display()
        );
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
        // A file that is not held is opened for this call.
        work(&open(&path)?, &path)
    }
}

fn no_ledger(place: &Path, why: &str) -> io::Error {
    let sentence = tr!(
        "{}: no ledger here: {why}; `posgate serve` makes it at its first start; name another directory, its segments, or --config FILE",
        "{}：这里没有账本：{why}；`posgate serve` 第一次启动时建立它；请写别的目录、其中的文件，或者 --config FILE",
        place.display()
    );
    io::Error::new(ErrorKind::NotFound, sentence)
}

/// Opens all files once; `None` if the directory changed meanwhile.
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

fn open(path: &Path) -> io::Result<File> {
    File::open(path).map_err(|error| {
        let is_too_many = error.raw_os_error() == Some(nix::libc::EMFILE);
        let error = explain("open", path)(error);
        if !is_too_many {
            return error;
        }
        let sentence = tr!(
            "{error}: name fewer segments at once, or raise `ulimit -n`",
            "{error}：请一次少写几个文件，或者调大 `ulimit -n`"
        );
        io::Error::new(error.kind(), sentence)
    })
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Raises the limit of open files for `wanted` more, as far as the system allows. If it does not,
/// opening a file fails.
fn raise_limit(wanted: u64) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let needed = wanted.saturating_mul(2).saturating_add(HANDLES_SPARE);
    if soft < needed {
        // If this is refused, the limit stays as it was.
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
