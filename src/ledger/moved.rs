//! `moved.txt`: the state of a ledger's directory in `posgate ledger move DIR` (design.md, section
//! 9).
//!
//! ```text
//! copying from=/etc/posgate/ledger    a copy on its way: no server starts on it
//! copied from=/etc/posgate/ledger     the whole copy: served once the configuration names it
//! moved to=/mnt/usb/posgate           the ledger that was copied: no server starts on it
//! ```
//!
//! *Invariants:* the file is written whole under another name, synced and renamed. A copy is
//! `copying` before its first file is created, and until every file in it is synced and was read
//! again; so a `copying` directory was never served, and a new copy may replace it. A ledger is
//! `moved` only after the configuration names the copy.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::lang::tr;

use super::storage::{explain, sync_dir};

/// The file's name in the ledger's directory.
pub const NAME: &str = "moved.txt";

/// The file's name until it is renamed.
pub(super) const TEMPORARY: &str = "moved.txt.tmp";

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// An incomplete copy of the ledger in that directory.
    Copying(PathBuf),
    /// A complete copy of the ledger in that directory.
    Copied(PathBuf),
    /// The ledger is in that directory now.
    Moved(PathBuf),
}

impl Mark {
    fn parse(text: &str) -> Option<Self> {
        let line = text.strip_suffix('\n')?;
        let path = |word| Some(PathBuf::from(line.strip_prefix(word)?));
        path("copying from=")
            .map(Self::Copying)
            .or_else(|| path("copied from=").map(Self::Copied))
            .or_else(|| path("moved to=").map(Self::Moved))
    }

    fn line(&self) -> String {
        let (word, path) = match self {
            Self::Copying(from) => ("copying from", from),
            Self::Copied(from) => ("copied from", from),
            Self::Moved(to) => ("moved to", to),
        };
        format!("{word}={}\n", path.display())
    }
}

/// Reads a directory's mark; `None` if there is no mark, or if it is not one of these: the identity
/// still recognizes an older copy.
///
/// # Errors
/// If the file exists and cannot be read.
pub fn read(dir: &Path) -> io::Result<Option<Mark>> {
    let path = dir.join(NAME);
    match fs::read(&path) {
        Ok(bytes) => Ok(Mark::parse(&String::from_utf8_lossy(&bytes))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(explain("read", &path)(error)),
    }
}

/// Writes the mark durably: a crash leaves the old mark or the new one. The file gets the
/// directory's owner: the server must be able to read it, whichever user runs the command.
///
/// # Errors
/// With path and operation.
pub fn write(dir: &Path, mark: &Mark) -> io::Result<()> {
    let (path, part) = (dir.join(NAME), dir.join(TEMPORARY));
    let owner = fs::metadata(dir).map_err(explain("look at", dir))?;
    // A new file, so that nothing is written through a link that the directory's owner made.
    let created = fs::remove_file(&part).or_else(unless_gone).and_then(|()| File::create_new(&part));
    let written = created.and_then(|mut file| {
        file.write_all(mark.line().as_bytes())?;
        let _as_it_is = fchown(&file, Some(owner.uid()), Some(owner.gid()));
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()?;
        fs::rename(&part, &path)
    });
    if let Err(error) = written {
        let _left = fs::remove_file(&part);
        return Err(explain("write", &path)(error));
    }
    sync_dir(dir)
}

/// Removes the mark.
///
/// # Errors
/// With path and operation.
pub fn remove(dir: &Path) -> io::Result<()> {
    let path = dir.join(NAME);
    match fs::remove_file(&path) {
        Ok(()) => sync_dir(dir),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(explain("remove", &path)(error)),
    }
}

/// A sentence with the reason why a server must not start on a directory, and the remedies; `None`
/// if a server may start.
///
/// # Errors
/// If the file cannot be read.
pub fn refusal(dir: &Path) -> io::Result<Option<String>> {
    let here = dir.display();
    Ok(match read(dir)? {
        None | Some(Mark::Copied(_)) => None,
        Some(Mark::Copying(from)) => Some(tr!(
            "{here}: a copy of the ledger in {}, which `posgate ledger move` has not finished: give the command again, or write \
             `option ledger_dir '{}'`",
            "{here}：这是 {} 里账本的副本，`posgate ledger move` 还没做完：请再执行一次，或者写 `option ledger_dir '{}'`",
            from.display(),
            from.display()
        )),
        Some(Mark::Moved(to)) => Some(tr!(
            "{here}: this ledger was moved to {to} by `posgate ledger move`: write `option ledger_dir '{to}'`. If that one is lost, remove \
             {here}/{NAME}: a start then goes on from here, on a branch, without what was entered since",
            "{here}：这个账本已经用 `posgate ledger move` 移到 {to}：请写 `option ledger_dir '{to}'`。如果那边的丢了，删除 {here}/{NAME}：启动后从这里作为分支接着记，少了移走以后的流水",
            to = to.display()
        )),
    })
}

pub(super) fn unless_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_refuses_what_must_not_be_served() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!((read(dir.path()).unwrap(), refusal(dir.path()).unwrap()), (None, None));
        let place = PathBuf::from("/mnt/a b/到=x");
        for (mark, words) in [
            (Mark::Copying(place.clone()), Some("not finished")),
            (Mark::Copied(place.clone()), None),
            (Mark::Moved(place.clone()), Some("was moved to /mnt/a b/到=x")),
        ] {
            write(dir.path(), &mark).unwrap();
            assert_eq!(read(dir.path()).unwrap(), Some(mark.clone()));
            let said = refusal(dir.path()).unwrap();
            assert_eq!(said.is_some(), words.is_some());
            assert!(said.is_none_or(|said| said.contains(words.unwrap()) && said.contains("option ledger_dir '/")));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no rest");
        for other in ["", "moved to=/x", "moved elsewhere\n", "\0\0\0\n"] {
            fs::write(dir.path().join(NAME), other).unwrap();
            assert_eq!(read(dir.path()).unwrap(), None, "{other}");
        }
        remove(dir.path()).unwrap();
        remove(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_mark_is_never_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "secret").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(TEMPORARY)).unwrap();
        write(dir.path(), &Mark::Moved(PathBuf::from("/new"))).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "secret");
        assert_eq!(read(dir.path()).unwrap(), Some(Mark::Moved(PathBuf::from("/new"))));
    }
}
