//! `posgate ledger move DIR`: moves a ledger to another directory, usually on another medium
//! (design.md, section 9).
//!
//! ```text
//!   OLD                               NEW
//!                                     copying from=OLD      [Relocation::copy]
//!                                     every file, owner and mode; synced, read again
//!                                     copied from=OLD       [Relocation::seal]
//!             the configuration names NEW: the switch, which the command does
//!   moved to=NEW                                            [close_old]
//!   gone, when a person says so                             [remove_old]
//! ```
//!
//! *Invariants:* until the switch OLD does not change, and after it NEW is whole and durable, so a
//! start at any moment finds one whole ledger. The command may be repeated at any moment: an
//! incomplete copy was never served and is replaced; a copy that was served is never written to.
//! [`moved`] keeps servers off all other directories.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::lang::tr;

use super::care::{CareError, CareLock, copy_bytes, is_same_file, refused};
use super::copies::difference;
use super::moved::{self, Mark, unless_gone};
use super::segment::{self, LINK};
use super::storage::{DirFiles, DirStorage, Files, Storage as _, create_dir_durably, explain, sync_dir};
use super::verify::{Report, verify_directory};
use super::{Head, archived, snapshot};

/// The lock file is not copied: the new directory gets its own.
const LOCK: &str = "lock";

/// Files of a ledger's directory that the ledger in service has anew, or needs no more.
const RENEWED: [&str; 6] = [snapshot::NAME, archived::NAME, "good/config", "good/cards.csv", "header.tmp", "room.tmp"];

/// Prefixes of the names of posgate's files in a ledger's directory.
const OURS: [&str; 8] = ["ledger-", LINK, snapshot::NAME, archived::NAME, "good/", "acks/", "header.tmp", "room.tmp"];

/// A file or directory below a ledger's directory; a directory comes before its content.
struct Item {
    /// Path relative to the ledger's directory.
    name: String,
    is_dir: bool,
    len: u64,
}

/// A move in progress. No other process writes in either directory while this value lives.
pub struct Relocation {
    from: PathBuf,
    to: PathBuf,
    items: Vec<Item>,
    /// The last entry, which must be the same in both directories.
    head: Head,
    /// The directories to create for the copy, the deepest first.
    missing: Vec<PathBuf>,
    _locks: (DirStorage, CareLock),
    copies: Option<(DirStorage, CareLock)>,
}

/// Whether a directory, or the one in which it would be made, is in RAM: a tmpfs. `false` if the
/// kernel does not report it.
pub fn is_in_ram(dir: &Path) -> bool {
    let there = dir.ancestors().find(|place| place.exists());
    let found = there.and_then(|place| nix::sys::statfs::statfs(place).ok());
    found.is_some_and(|found| found.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC)
}

impl Relocation {
    /// Checks both directories, and changes nothing. `source` holds the lock of `from`: the server
    /// is stopped. `to` must have space for the ledger and `reserve_bytes`.
    ///
    /// # Errors
    /// The objection, and its remedy.
    pub fn prepare(source: DirStorage, from: &Path, to: &Path, reserve_bytes: u64) -> Result<Self, CareError> {
        if let Some(why) = moved::refusal(from)? {
            return refused(why);
        }
        let lock = CareLock::take(from)?;
        let items = tree(from)?;
        let report = verify_all(&source)?;
        // The next start mends a torn tail, in either directory.
        if report.exit_code() > 1 {
            return refused(tr!(
                "nothing is moved: the ledger is not as it was written; `posgate check` names the remedy\n{report}",
                "没有移动：账本与写入时不同；`posgate check` 说明怎么办\n{report}"
            ));
        }
        let missing = missing_of(from, to)?;
        if missing.is_empty() {
            refuse_alias(from, to)?;
            refuse_others(&source, to, &items)?;
        }
        let place = missing.last().and_then(|path| path.parent()).unwrap_or(to);
        // Files that an interrupted move left are removed first.
        let left = if missing.is_empty() { tree(to)? } else { Vec::new() };
        let sum = |items: &[Item]| items.iter().map(|item| item.len).sum::<u64>();
        let (needed, free) = (sum(&items) + reserve_bytes, DirStorage::beside(place).free_bytes()?);
        if free.saturating_add(sum(&left)) < needed {
            return refused(tr!(
                "{}: {free} bytes are free, and {needed} are needed for the ledger and its reserve: make room, or name a directory on \
                 another medium",
                "{}：剩余 {free} 字节，账本和预留要 {needed} 字节：请腾出空间，或者写另一个介质上的目录",
                place.display()
            ));
        }
        let (from, to) = (from.to_owned(), to.to_owned());
        Ok(Self { from, to, items, head: report.head, missing, _locks: (source, lock), copies: None })
    }

    /// Copies every file with its owner and mode, syncs it, and reads it again from the medium.
    /// Returns a sentence for the user.
    ///
    /// # Errors
    /// With path and operation, or the difference. Then the copy is removed again.
    pub fn copy(&mut self) -> Result<String, CareError> {
        let copied = create_dir_durably(&self.to).map_err(CareError::from).and_then(|()| self.fill());
        if copied.is_err() {
            self.undo();
        }
        let count = self.items.iter().filter(|item| !item.is_dir).count();
        copied.map(|bytes| {
            tr!(
                "copied {count} files, {bytes} bytes, to {}, and read them again: {}",
                "已复制 {count} 个文件，{bytes} 字节，到 {}，并重新读过：{}",
                self.to.display(),
                self.head
            )
        })
    }

    fn fill(&mut self) -> Result<u64, CareError> {
        let Self { from, to, items, .. } = self;
        moved::write(to, &Mark::Copying(from.clone()))?;
        own_as(from, to)?;
        refuse_unreachable(from, to)?;
        let mut copies = DirStorage::open(to)?;
        // If the old medium is read-only, the lock may be missing.
        if from.join(LOCK).exists() {
            own_as(&from.join(LOCK), &to.join(LOCK))?;
        }
        let lock = CareLock::take(to)?;
        for Item { name, .. } in tree(to)?.iter().filter(|item| !item.is_dir) {
            copies.remove(name)?;
        }
        let files = DirFiles::new(&*from);
        let mut bytes = 0;
        for Item { name, is_dir, .. } in &*items {
            let path = to.join(name);
            match is_dir {
                true if path.is_dir() => (),
                true => fs::create_dir(&path).map_err(explain("make the directory", &path))?,
                false => copy_bytes(&files, &mut copies, name, name)?,
            }
            own_as(&from.join(name), &path)?;
            bytes += copies.len(name)?;
        }
        // For people: a start creates it too, if the file system supports links.
        if let Ok(target) = fs::read_link(from.join(LINK))
            && copies.point(LINK, &target.to_string_lossy()).is_err()
        {
            let _none = fs::remove_file(to.join("ledger.tsv.tmp"));
        }
        for Item { name, .. } in items.iter().filter(|item| item.is_dir) {
            sync_dir(&to.join(name))?;
        }
        copies.sync_dir()?;
        for Item { name, .. } in items.iter().filter(|item| !item.is_dir) {
            forget_pages(&to.join(name));
            if !is_same_file(&files, &copies, name)? {
                return refused(tr!(
                    "{}: reads otherwise than it was written: nothing is moved; use another medium",
                    "{}：读出来与写进去的不同：没有移动；请换一个介质",
                    copies.path(name)
                ));
            }
        }
        let report = verify_all(&copies)?;
        if report.exit_code() > 1 || report.head != self.head {
            let to = copies.path("");
            return refused(tr!(
                "nothing is moved: the copy in {to} is not as it was written\n{report}",
                "没有移动：{to} 里的副本与写入时不同\n{report}"
            ));
        }
        self.copies = Some((copies, lock));
        Ok(bytes)
    }

    /// Marks the copy as complete: it is served if the configuration names it.
    ///
    /// # Errors
    /// With path and operation.
    pub fn seal(&self) -> io::Result<()> {
        moved::write(&self.to, &Mark::Copied(self.from.clone()))
    }

    /// Removes the copy as far as possible: a server does not start on the remaining files.
    pub fn undo(&mut self) {
        self.copies = None;
        let _left = self.clear();
    }

    fn clear(&self) -> io::Result<()> {
        // If the mark cannot be written, no file was copied after it.
        if moved::read(&self.to)?.is_some_and(|mark| matches!(mark, Mark::Copied(_))) {
            moved::write(&self.to, &Mark::Copying(self.from.clone()))?;
        }
        for Item { name, is_dir, .. } in self.items.iter().rev() {
            let path = self.to.join(name);
            let removed = if *is_dir { fs::remove_dir(&path) } else { fs::remove_file(&path) };
            removed.or_else(unless_gone)?;
        }
        for name in [LINK, LOCK] {
            fs::remove_file(self.to.join(name)).or_else(unless_gone)?;
        }
        moved::remove(&self.to)?;
        self.missing.iter().try_for_each(fs::remove_dir)
    }
}

/// Everything below a directory except its lock, its mark, and posgate's link. Sockets and pipes
/// are left out: they hold no data.
fn tree(dir: &Path) -> Result<Vec<Item>, CareError> {
    let mut items = Vec::new();
    add_items(dir, "", &mut items)?;
    Ok(items)
}

fn add_items(dir: &Path, before: &str, items: &mut Vec<Item>) -> Result<(), CareError> {
    for entry in fs::read_dir(dir).map_err(explain("read the directory", dir))? {
        let entry = entry.map_err(explain("read the directory", dir))?;
        let path = entry.path();
        let metadata = fs::symlink_metadata(&path).map_err(explain("look at", &path))?;
        let Ok(name) = entry.file_name().into_string() else {
            return refused(tr!(
                "{}: this name is not UTF-8: rename it",
                "{}：文件名不是 UTF-8：请改名",
                path.display()
            ));
        };
        let name = format!("{before}{name}");
        let is_link = metadata.is_symlink();
        let is_own = [LOCK, moved::NAME, moved::TEMPORARY].contains(&name.as_str());
        if (is_own && !is_link) || (is_link && name.starts_with(LINK)) {
            continue;
        }
        if is_link {
            return refused(tr!(
                "{}: this is a link: put what it leads to in its place, or take it away",
                "{}：这是符号链接：请换成它指向的文件，或者移走",
                path.display()
            ));
        }
        let kind = metadata.file_type();
        if kind.is_socket() || kind.is_fifo() {
            continue;
        }
        let is_dir = metadata.is_dir();
        let len = if is_dir { 0 } else { metadata.len() };
        items.push(Item { name: name.clone(), is_dir, len });
        if is_dir {
            add_items(&path, &format!("{name}/"), items)?;
        }
    }
    Ok(())
}

/// Verifies every line; no server is running.
fn verify_all(files: &dyn Files) -> io::Result<Report> {
    let names: Vec<String> = segment::list(files)?.into_iter().map(|segment| segment.name).collect();
    verify_directory(files, &names, &mut || ())
}

/// The directories to create for `to`, the deepest first; none if `to` exists.
fn missing_of(from: &Path, to: &Path) -> Result<Vec<PathBuf>, CareError> {
    let here = to.display();
    match fs::symlink_metadata(to) {
        Ok(found) if found.is_symlink() => {
            let target = fs::read_link(to).unwrap_or_default();
            return refused(tr!(
                "{here}: this is a link to {}: name that directory itself",
                "{here}：这是指向 {} 的符号链接：请写那个目录本身",
                target.display()
            ));
        }
        Ok(found) if !found.is_dir() => {
            return refused(tr!("{here}: this is no directory: name another", "{here}：这不是目录：请写另一个"));
        }
        Ok(_) => (),
        Err(error) if error.kind() == ErrorKind::NotFound => (),
        Err(error) => return Err(explain("look at", to)(error).into()),
    }
    let missing: Vec<PathBuf> = to.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
    let place = missing.last().and_then(|path| path.parent()).unwrap_or(to);
    let real = |path: &Path| fs::canonicalize(path).map_err(explain("find", path));
    // By another mount the path of one directory is another.
    if real(place)?.starts_with(real(from)?) || to.ancestors().skip(1).any(|path| is_one_place(path, from)) {
        return refused(tr!(
            "{here}: this is inside the ledger's directory, {}: name one outside of it",
            "{here}：它在账本目录 {} 里面：请写外面的目录",
            from.display()
        ));
    }
    Ok(missing)
}

/// Refuses `to` if it is `from` under another name: a link, another mount, or an overlay and its
/// upper directory, which only a file that appears in both shows.
fn refuse_alias(from: &Path, to: &Path) -> Result<(), CareError> {
    let name = format!("{}.probe", moved::NAME);
    let probe = to.join(&name);
    let is_there = fs::symlink_metadata(from.join(&name)).is_ok();
    fs::remove_file(&probe).or_else(unless_gone).map_err(explain("remove", &probe))?;
    File::create_new(&probe).map_err(explain("create", &probe))?;
    let is_alias = is_one_place(from, to) || (!is_there && fs::symlink_metadata(from.join(&name)).is_ok());
    fs::remove_file(&probe).map_err(explain("remove", &probe))?;
    if !is_alias {
        return Ok(());
    }
    refused(tr!(
        "{} and {} are one directory under two names: nothing is moved or removed",
        "{} 和 {} 是同一个目录的两个名字：没有移动，也没有删除",
        from.display(),
        to.display()
    ))
}

/// Refuses a directory that holds anything except the files of an interrupted move.
fn refuse_others(source: &DirStorage, to: &Path, items: &[Item]) -> Result<(), CareError> {
    let here = to.display();
    let other = match moved::read(to)? {
        Some(Mark::Moved(_)) => {
            return refused(tr!(
                "{here}: a ledger that was moved is kept here: name another directory, or take this one away first",
                "{here}：这里留着移走以前的账本：请写另一个目录，或者先移走这个"
            ));
        }
        Some(Mark::Copied(_)) if !holds_all(source, &DirFiles::new(to))? => {
            return refused(tr!(
                "{here}: entries are here that the ledger in service lacks: name another directory",
                "{here}：这里有正在使用的账本所没有的流水：请写另一个目录"
            ));
        }
        Some(Mark::Copied(_) | Mark::Copying(_)) => {
            let is_ours =
                |name: &str| name == "good" || name == "acks" || OURS.iter().any(|ours| name.starts_with(ours));
            let is_other = |name: &String| !is_ours(name) && items.iter().all(|item| item.name != **name);
            tree(to)?.into_iter().map(|item| item.name).find(is_other)
        }
        // The move was interrupted before its mark was renamed.
        None => DirFiles::new(to).list()?.into_iter().find(|name| name != moved::TEMPORARY),
    };
    match other {
        None => Ok(()),
        Some(name) => refused(tr!(
            "{here}: it is not empty, it holds {name}: name a new directory, such as {here}/posgate",
            "{here}：不是空的，里面有 {name}：请写一个新目录，例如 {here}/posgate"
        )),
    }
}

/// Whether each segment of `part` is the beginning of one of `whole`, byte for byte.
fn holds_all(whole: &dyn Files, part: &dyn Files) -> io::Result<bool> {
    let both = DirFiles::new("");
    for segment::Segment { name, .. } in segment::list(part)? {
        if !whole.has(&name)?
            || part.len(&name)? > whole.len(&name)?
            || difference(&both, &whole.path(&name), &part.path(&name))?.is_some()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sets the owner and the mode of a copy to those of its original.
fn own_as(original: &Path, copy: &Path) -> Result<(), CareError> {
    let look = |path: &Path| fs::metadata(path).map_err(explain("look at", path));
    let wanted = look(original)?;
    let is_right =
        |found: &fs::Metadata| (found.uid(), found.gid(), found.mode()) == (wanted.uid(), wanted.gid(), wanted.mode());
    if is_right(&look(copy)?) {
        return Ok(());
    }
    let done = chown(copy, Some(wanted.uid()), Some(wanted.gid()))
        .and_then(|()| fs::set_permissions(copy, wanted.permissions()));
    if done.is_ok() && is_right(&look(copy)?) {
        return Ok(());
    }
    let why = done.err().map_or_else(String::new, |error| format!(" ({error})"));
    refused(tr!(
        "{}: it cannot be given to the ledger's owner {}:{} with mode {:o}{why}: give the command as root, or name a directory on ext4, \
         F2FS or the like: FAT, exFAT and NTFS keep no owners",
        "{}：不能交给账本的属主 {}:{}、权限 {:o}{why}：请用 root 执行，或者写 ext4、F2FS 之类文件系统上的目录：FAT、exFAT、NTFS 不记属主",
        copy.display(),
        wanted.uid(),
        wanted.gid(),
        wanted.mode() & 0o7777
    ))
}

/// Refuses a directory that the ledger's owner, the server's user, cannot reach.
fn refuse_unreachable(from: &Path, to: &Path) -> Result<(), CareError> {
    let owner = fs::metadata(from).map_err(explain("look at", from))?;
    let real = fs::canonicalize(to).map_err(explain("find", to))?;
    for dir in real.ancestors().skip(1) {
        let found = fs::metadata(dir).map_err(explain("look at", dir))?;
        let bit = match (found.uid() == owner.uid(), found.gid() == owner.gid()) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        if owner.uid() != 0 && found.mode() & bit == 0 {
            return refused(tr!(
                "{}: the ledger's owner, user {}, cannot go through this directory: `chmod o+x {}`, or name another place",
                "{}：账本的属主（用户 {}）进不了这个目录：`chmod o+x {}`，或者换一个地方",
                dir.display(),
                owner.uid(),
                dir.display()
            ));
        }
    }
    Ok(())
}

/// Lets the next read of a synced file come from the medium, if the kernel supports that; otherwise
/// from memory.
fn forget_pages(path: &Path) {
    if let Ok(file) = File::open(path) {
        let _none = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}

// ---------------------------------------------------------------- the old one

/// The remaining work if the configuration already names the new directory.
#[derive(Debug, PartialEq, Eq)]
pub enum Rest {
    /// The ledger was never in another directory, as far as this directory shows.
    Nothing,
    /// The ledger in that directory is to be moved: this directory holds an incomplete copy, or
    /// lacks entries.
    Move(PathBuf),
    /// The old ledger exists; [`close_old`] and [`remove_old`] follow.
    Old(PathBuf),
}

/// The work that an interrupted or an old move has left for the ledger in `to`.
///
/// # Errors
/// If a file cannot be read, or both directories hold entries that the other lacks.
pub fn rest_of(to: &Path) -> Result<Rest, CareError> {
    let from = match moved::read(to)? {
        Some(Mark::Copied(from)) => from,
        Some(Mark::Copying(from)) => return Ok(Rest::Move(from)),
        Some(Mark::Moved(_)) | None => return Ok(Rest::Nothing),
    };
    let (old, new) = (DirFiles::new(&from), DirFiles::new(to));
    if !from.is_dir() || is_moved(&from, to)? {
        return Ok(Rest::Old(from));
    }
    // The mark's words are not proof: the directory must hold this ledger, and be another one.
    if is_one_place(&from, to) {
        return Ok(Rest::Nothing);
    }
    if segment::list(&old)?.is_empty() {
        // An interrupted removal leaves the empty directory last.
        return Ok(if tree(&from)?.is_empty() { Rest::Old(from) } else { Rest::Nothing });
    }
    if holds_all(&new, &old)? {
        return Ok(Rest::Old(from));
    }
    if holds_all(&old, &new)? {
        return Ok(Rest::Move(from));
    }
    let (old, new) = (from.display(), to.display());
    refused(tr!(
        "{old} and {new} both hold entries that the other lacks: `posgate ledger show {old}` and `{new}` print them; nothing is changed",
        "{old} 和 {new} 都有对方没有的流水：`posgate ledger show {old}` 和 `{new}` 可以打印；没有改动"
    ))
}

/// Keeps servers off the old ledger: it does not change any more.
///
/// # Errors
/// With path and operation.
pub fn close_old(from: &Path, to: &Path) -> io::Result<()> {
    let is_open = || Ok::<_, io::Error>(!segment::list(&DirFiles::new(from))?.is_empty() && !is_moved(from, to)?);
    if from.is_dir() && !is_one_place(from, to) && is_open()? {
        moved::write(from, &Mark::Moved(to.to_owned()))
    } else {
        Ok(())
    }
}

/// Whether the mark in `from` says that its ledger is in `to` now.
fn is_moved(from: &Path, to: &Path) -> io::Result<bool> {
    Ok(moved::read(from)? == Some(Mark::Moved(to.to_owned())))
}

/// Whether two paths lead to one file or directory, by links or mounts too.
fn is_one_place(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    place(one).is_some() && place(one) == place(other)
}

/// Removes the old ledger, after [`close_old`]. The ledger in service must be whole and have every
/// byte of the old one's segments. Only files of a ledger, and files of which `to` has a copy, are
/// removed, and none of `named`. Returns a sentence for the user.
///
/// # Errors
/// If the new ledger is damaged or lacks an entry, a server runs on the old one, or a file cannot
/// be removed: a repeated command continues.
pub fn remove_old(from: &Path, to: &Path, named: &[PathBuf]) -> Result<String, CareError> {
    let (old, new) = (from.display(), to.display());
    if from.is_dir() {
        refuse_alias(from, to)?;
    }
    let files = DirFiles::new(to);
    let report = verify_all(&files)?;
    if report.exit_code() > 1 {
        return refused(tr!(
            "{old} is kept: the ledger in {new} is not as it was written\n{report}",
            "{old} 保留：{new} 里的账本与写入时不同\n{report}"
        ));
    }
    let mut kept = Vec::new();
    let was_gone = !from.is_dir();
    if !was_gone {
        if !is_moved(from, to)? && !tree(from)?.is_empty() {
            return refused(tr!(
                "{old} is kept: its moved.txt does not say that the ledger is in {new}",
                "{old} 保留：它的 moved.txt 没有写账本在 {new}"
            ));
        }
        let mut storage = DirStorage::open(from)?;
        let _lock = CareLock::take(from)?;
        if !holds_all(&files, &storage)? {
            return refused(tr!(
                "{old} is kept: it holds entries that {new} lacks (an archive, a cut, or a medium that lost them); compare both with \
                 `posgate ledger verify`, and remove {old} by hand when nobody needs it",
                "{old} 保留：里面有 {new} 没有的流水（归档了、截掉了，或者介质丢了）；用 `posgate ledger verify` 比较两处，确定没人需要了，再手工删除 {old}"
            ));
        }
        let items = tree(from)?;
        let is_shared = |item: &&Item| is_one_place(&from.join(&item.name), &to.join(&item.name));
        if let Some(Item { name, .. }) = items.iter().find(is_shared) {
            return refused(tr!(
                "{old} is kept: {new}/{name} leads to the same file in it, by a link or a mount",
                "{old} 保留：{new}/{name} 通过链接或挂载指向它里面的同一个文件"
            ));
        }
        let segments = segment::list(&storage)?;
        let is_named = |name: &str| named.iter().any(|path| is_one_place(&from.join(name), path));
        for Item { name, is_dir, .. } in items.iter().rev() {
            let is_renewed = RENEWED.contains(&name.as_str()) || name.starts_with("acks/");
            let is_of_ledger = || is_renewed || segments.iter().any(|known| known.name == *name);
            let is_needless = *is_dir
                || (!is_named(name)
                    && (is_of_ledger() || (to.join(name).is_file() && is_same_file(&storage, &files, name)?)));
            match (is_needless, is_dir) {
                (true, false) => storage.remove(name)?,
                (true, true) if fs::remove_dir(from.join(name)).is_ok() => (),
                (true, true) | (false, _) => kept.push(name.as_str().to_owned()),
            }
        }
        for name in [LINK, LOCK] {
            fs::remove_file(from.join(name)).or_else(unless_gone).map_err(explain("remove", &from.join(name)))?;
        }
        storage.sync_dir()?;
        moved::remove(from)?;
        // A mount point and other people's files are kept.
        if kept.is_empty() && fs::remove_dir(from).is_ok() {
            sync_dir(from.parent().unwrap_or(from))?;
        }
    }
    moved::remove(to)?;
    if was_gone {
        return Ok(tr!("{old} is gone", "{old} 已经不在了"));
    }
    if kept.is_empty() {
        return Ok(tr!("{old} is removed", "{old} 已删除"));
    }
    let kept = kept.join(", ");
    Ok(tr!("{old} is removed, but for {kept}", "{old} 已删除，只留下 {kept}"))
}
