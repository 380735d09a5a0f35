//! The commands that change a ledger's files while no server writes them: `archive` moves old
//! segments away, `repair` cuts a damaged ledger, `new` sets a ledger aside, `move` takes one over
//! (design.md, sections 3 and 9).
//!
//! What always holds: bytes are removed or cut only after a copy of them is durable and was read
//! again. So an interruption at any moment leaves every byte in at least one place, and the command
//! can be repeated.

use core::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::engine::model::EntrySeq;
use crate::lang::tr;

use super::archived::{self, Archived};
use super::header::HEADER_LEN;
use super::held::HeldFiles;
use super::identity::{self, Found, Identity, Lineage};
use super::recovery::{self, OpenError, contradiction, free_name};
use super::segment::{self, LINK, Lines, PIECE_LEN, Segment};
use super::snapshot;
use super::storage::{DirStorage, Files, Storage, explain};
use super::verify::verify;
use super::{Entries, Head};

/// Why a command did nothing, or not everything.
#[derive(Debug)]
pub enum CareError {
    /// A file could not be read or written. The message names path and operation.
    Io(io::Error),
    /// It would do harm: a sentence with the remedy.
    Refused(String),
    /// It does harm, and is done only if a person confirms it: a sentence.
    Unsure(String),
}

impl fmt::Display for CareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Refused(sentence) | Self::Unsure(sentence) => sentence.fmt(f),
        }
    }
}

impl std::error::Error for CareError {}

impl From<io::Error> for CareError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) fn refused<T>(sentence: impl Into<String>) -> Result<T, CareError> {
    Err(CareError::Refused(sentence.into()))
}

/// Lets one of these commands at a time work in a directory. It locks the directory and not a file
/// in it: a full disk may have no room for a file, and the server, beside which `archive` runs,
/// holds the lock file.
#[derive(Debug)]
pub struct CareLock(#[allow(dead_code, reason = "held until it is dropped")] Flock<File>);

impl CareLock {
    /// Takes the lock for as long as the value lives; the kernel releases it when the process ends.
    ///
    /// # Errors
    /// If another command has the lock, or there is no such directory.
    pub fn take(dir: &Path) -> Result<Self, CareError> {
        let file = File::open(dir).map_err(explain("open", dir))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self(lock)),
            Err((_, Errno::EWOULDBLOCK)) => refused(tr!(
                "another `posgate ledger archive`, `move` or `repair` works in {}: wait until it ends, then give this one again",
                "另一个 `posgate ledger archive`、`move` 或 `repair` 正在 {} 里工作：等它结束，再来一遍",
                dir.display()
            )),
            Err((_, error)) => Err(explain("lock", dir)(error.into()).into()),
        }
    }
}

// ---------------------------------------------------------------- archive

/// Copies the segments wholly before the snapshot into the directory `to`, verifies the copies, and
/// removes the originals; `out` gets a line per step. The server may run: it no longer writes to
/// these segments. Both directories are locked against another `archive` or `repair`.
///
/// # Errors
/// If another command has one of the locks, there is no snapshot that a start would believe, a
/// segment or a copy is not as it was written, or a file cannot be read or written. Segments that
/// were not removed are unchanged.
pub fn archive(dir: &Path, to: &Path, out: &mut dyn Write) -> Result<(), CareError> {
    if let Some(true) = to.exists().then(|| same_dir(dir, to)).transpose()? {
        return refused(tr!(
            "{} is the ledger itself: name another directory",
            "{} 就是账本目录：请写另一个目录",
            to.display()
        ));
    }
    let _lock = CareLock::take(dir)?;
    let mut lock_there = None;
    let copies = || {
        let copies = DirStorage::beside_new(to)?;
        lock_there = Some(CareLock::take(to)?);
        Ok(copies)
    };
    let taken = find_old_segments(&HeldFiles::of_dir(dir)?)?;
    let mut note = |taken: &Taken, out: &mut dyn Write| {
        let to = fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
        let run = Archived { first: taken.first, last: taken.head.seq, dir: to };
        match archived::add(dir, run) {
            Ok(()) => Ok(()),
            // The note is for people only: on a full disk `archive` must go on without it, since it
            // makes room.
            Err(error) => writeln!(
                out,
                "{}",
                tr!("{}: not written: {error}", "{}：没有写成：{error}", dir.join(archived::NAME).display())
            ),
        }
    };
    let archived = move_away(&mut DirStorage::beside(dir), taken, copies, &mut note, out);
    drop(lock_there);
    archived
}

/// As [`archive`], between two storages and without the note. `open_copies` is called once there is
/// something to copy.
///
/// # Errors
/// Those of [`archive`].
pub fn archive_into<S: Storage, T: Storage>(
    files: &mut S,
    open_copies: impl FnOnce() -> Result<T, CareError>,
    out: &mut dyn Write,
) -> Result<(), CareError> {
    let taken = find_old_segments(files)?;
    move_away(files, taken, open_copies, &mut |_, _| Ok(()), out)
}

/// Verified segments that can be archived.
struct Taken {
    names: Vec<String>,
    /// Their first entry, and their last.
    first: EntrySeq,
    head: Head,
}

/// Finds the segments wholly before the snapshot.
fn find_old_segments(files: &dyn Files) -> Result<Option<Taken>, CareError> {
    let segments = segment::list(files)?;
    let kept_from = match believed(files, &segments)? {
        Ok(segment) => segment,
        Err(why) => {
            return refused(tr!(
                "nothing is archived: {why}; a new snapshot comes with the next segment",
                "没有归档：{why}；下一个流水文件开始时会有新快照"
            ));
        }
    };
    let names: Vec<String> =
        segments.iter().filter(|segment| **segment < kept_from).map(|segment| segment.name.clone()).collect();
    let Some(first) = segments.first().map(|segment| segment.first).filter(|_| !names.is_empty()) else {
        return Ok(None);
    };
    let originals = verify(files, &names, first == EntrySeq(1), &mut || ())?;
    let chain = segment::read_header(files, &kept_from.name)?.map(|header| header.chain).ok();
    if originals.exit_code() != 0 || chain != Some(originals.head.crc) {
        return refused(tr!(
            "nothing is archived: a segment is not as it was written\n{originals}",
            "没有归档：有流水文件与写入时不同\n{originals}"
        ));
    }
    Ok(Some(Taken { names, first, head: originals.head }))
}

/// Copies, verifies the copies, and removes the originals.
fn move_away<S: Storage, T: Storage>(
    files: &mut S,
    taken: Option<Taken>,
    open_copies: impl FnOnce() -> Result<T, CareError>,
    note: &mut dyn FnMut(&Taken, &mut dyn Write) -> io::Result<()>,
    out: &mut dyn Write,
) -> Result<(), CareError> {
    let Some(taken) = taken else {
        writeln!(
            out,
            "{}",
            tr(
                "nothing to archive: no segment is wholly before the snapshot",
                "没有可归档的：没有整个在快照以前的流水文件"
            )
        )?;
        return Ok(());
    };
    let Taken { names, first, head } = &taken;
    let mut copies = open_copies()?;
    for name in names {
        copy_durably(files, &mut copies, name)?;
    }
    copies.sync_dir()?;
    let report = verify(&copies, names, *first == EntrySeq(1), &mut || ())?;
    if report.exit_code() != 0 || report.head != *head {
        let to = copies.path(&names[0]);
        return refused(tr!(
            "nothing is removed: a copy is not as it was written, from {to} on\n{report}",
            "没有删除：副本与写入时不同，从 {to} 起\n{report}"
        ));
    }
    note(&taken, out)?;
    // The oldest first, so that the rest has no hole.
    for name in names {
        let to = copies.path(name);
        if !is_same_file(files, &copies, name)? {
            return refused(tr!("{name} is kept: {to} differs", "{name} 保留：{to} 与它不同"));
        }
        files.remove(name)?;
        files.sync_dir()?;
        writeln!(out, "{}", tr!("{} is now {to}", "{} 现在是 {to}", files.path(name)))?;
    }
    writeln!(out, "{}", tr!("archived {} segments, to {head}", "已归档 {} 个流水文件，到 {head}", names.len()))?;
    Ok(())
}

/// The segment that a start begins in, if it believes the snapshot; else why it does not.
fn believed(files: &dyn Files, segments: &[Segment]) -> io::Result<Result<Segment, String>> {
    let path = files.path(snapshot::NAME);
    Ok(match snapshot::restore(files, segments, &mut Entries(|_: &_| Ok(())))? {
        Ok(Some(base)) => Ok(base.segment),
        Ok(None) => Err(tr!("there is no {path}", "没有 {path}")),
        Err(why) => Err(tr!("{path} is not believed: {why}", "{path} 不采信：{why}")),
    })
}

pub(super) fn same_dir(one: &Path, other: &Path) -> io::Result<bool> {
    let real = |path: &Path| fs::canonicalize(path).map_err(explain("find", path));
    Ok(real(one)? == real(other)?)
}

/// Copies a file under another name, then renames the copy. A copy of an interrupted archive is
/// kept and synced, since it may not have been.
fn copy_durably(files: &dyn Files, copies: &mut dyn Storage, name: &str) -> Result<(), CareError> {
    let known = copies.list()?;
    if known.iter().any(|known| known == name) {
        if is_same_file(files, copies, name)? {
            copies.sync(name)?;
            return Ok(());
        }
        return refused(tr!(
            "{} is there already and differs: name another directory",
            "{} 已经有了，内容不同：请写另一个目录",
            copies.path(name)
        ));
    }
    let part = name.replace(".tsv", ".part");
    if known.contains(&part) {
        copies.remove(&part)?;
    }
    copy_bytes(files, copies, name, &part)?;
    copies.rename(&part, name)?;
    Ok(())
}

/// Copies a file into a new one of this name, and syncs it.
pub(super) fn copy_bytes(files: &dyn Files, copies: &mut dyn Storage, name: &str, new: &str) -> io::Result<()> {
    copies.create(new, &[])?;
    let mut piece = vec![0; PIECE_LEN];
    let mut copied = 0;
    loop {
        let len = files.read_at(name, copied, &mut piece)?;
        if len == 0 {
            return copies.sync(new);
        }
        copies.append(new, &piece[..len])?;
        copied += len as u64;
    }
}

pub(super) fn is_same_file(files: &dyn Files, copies: &dyn Files, name: &str) -> io::Result<bool> {
    let (mut ours, mut theirs) = (vec![0; PIECE_LEN], vec![0; PIECE_LEN]);
    let mut offset = 0;
    loop {
        let len = files.read_at(name, offset, &mut ours)?;
        if copies.read_at(name, offset, &mut theirs)? != len || ours[..len] != theirs[..len] {
            return Ok(false);
        }
        if len == 0 {
            return Ok(true);
        }
        offset += len as u64;
    }
}

// ---------------------------------------------------------------- new, and move

/// Renames a ledger's files to `*.old`, so that a new ledger can begin in their place. The server
/// is stopped: `storage` holds the lock. The ledger that this machine serves (`found`) is set aside
/// only if `is_sure`. Returns a sentence per step.
///
/// # Errors
/// If the ledger is this machine's own and `is_sure` is false, or a file cannot be renamed.
pub fn set_aside<S: Storage>(storage: &mut S, found: &Found, is_sure: bool) -> Result<Vec<String>, CareError> {
    let lineage = Lineage::read(storage)?;
    if lineage.is_own(found) && !is_sure {
        let (dir, number) = (storage.path(""), lineage.number().unwrap_or_default());
        return refused(tr!(
            "{dir}: this is the ledger of this machine, ledger={number:016x}: a start serves it. To set it aside nevertheless, and begin a new \
             one in which everybody's opening figures count again, say --yes",
            "{dir}：这就是本机的账本 ledger={number:016x}：启动就会用它。仍要搁置它、新建一个，所有人的开户数重新计，请加 --yes"
        ));
    }
    let mut done = Vec::new();
    let mut names: Vec<String> = segment::list(storage)?.into_iter().map(|segment| segment.name).collect();
    if storage.has(snapshot::NAME)? {
        names.push(snapshot::NAME.to_owned());
    }
    // The newest first, so that an interruption leaves no hole.
    for name in names.iter().rev() {
        let kept = free_name(storage, name, "old")?;
        storage.rename(name, &kept)?;
        storage.sync_dir()?;
        done.push(tr!("{} is now {kept}", "{} 现在是 {kept}", storage.path(name)));
    }
    Ok(done)
}

/// Makes the identity at `path` name the ledger in `files`: the next start goes on with it on a
/// branch. Returns a sentence.
///
/// # Errors
/// If the ledger is this machine's already or is damaged, or a file cannot be read or written.
pub fn take_over(files: &dyn Files, path: &Path, found: &Found) -> Result<String, CareError> {
    let lineage = Lineage::read(files)?;
    if found.identity().is_some() && lineage.is_own(found) {
        let dir = files.path("");
        return refused(tr!(
            "{dir}: this is the ledger that this machine serves: nothing needs to be moved, start it",
            "{dir}：这就是本机的账本：不用移，请启动"
        ));
    }
    let replayed = recovery::replay(files, &mut Entries(|_: &_| Ok(())));
    let replayed = replayed.map_err(|error| match error {
        OpenError::Io(error) => CareError::Io(error),
        other => CareError::Refused(other.to_string()),
    })?;
    let Some(ledger) = replayed.ledger else {
        return refused(tr!("{}: no ledger is here", "{}：这里没有账本", files.path("")));
    };
    let identity = Identity { ledger, head: replayed.head, parents: lineage.parents(found) };
    identity::take(path, &identity)?;
    let was = found.identity().map_or_else(String::new, |was| tr!(", and no longer with {was}", "，不再用 {was}"));
    Ok(tr!("the next start goes on with {identity}, on a branch{was}", "下次启动作为分支接着记 {identity}{was}"))
}

// ---------------------------------------------------------------- repair

/// Keeps only the entries before `cut`, and moves the rest to `*.cut` files. The server is stopped:
/// `storage` holds the lock. Returns a sentence per step. `damage` is the first entry that a start
/// refuses, if it is known: a whole line may contradict the lines before it. Whole entries before
/// the damage are moved only if `is_sure`.
///
/// # Errors
/// If the entries before `cut` are not all there and whole, or a file cannot be read or written.
pub fn repair<S: Storage>(
    storage: &mut S,
    cut: EntrySeq,
    damage: Option<EntrySeq>,
    is_sure: bool,
) -> Result<Vec<String>, CareError> {
    let segments = segment::list(storage)?;
    let Some(first) = segments.first() else {
        return refused(tr("no ledger here: no file ledger-….tsv", "这里没有账本：没有 ledger-….tsv 文件"));
    };
    if first.first > EntrySeq(1) && cut <= first.first {
        return refused(tr!(
            "the entries before {} are not here: bring back the archived segments first",
            "流水 {} 以前的不在这里：请先取回归档的文件",
            first.first
        ));
    }
    let (whole, place) = find(storage, &segments, cut)?;
    let title = snapshot::read_title(storage)?.ok().flatten();
    let is_snapshot_newer = title.is_some_and(|title| title.head.seq >= cut);
    if is_snapshot_newer && first.first > EntrySeq(1) {
        return refused(tr!(
            "the snapshot that covers the archived segments is not from before entry {cut}: bring those segments back first",
            "代替归档文件的快照不早于流水 {cut}：请先取回归档的文件"
        ));
    }
    if !is_sure {
        ask(storage, &segments, cut, damage)?;
    }
    let mut done = Vec::new();
    // The newest first: so that an interruption leaves no hole.
    for segment in segments[whole..].iter().rev() {
        let kept = free_name(storage, &segment.name, "cut")?;
        storage.rename(&segment.name, &kept)?;
        storage.sync_dir()?;
        done.push(tr!("{} is now {kept}", "{} 现在是 {kept}", storage.path(&segment.name)));
    }
    if let Some((name, offset)) = place {
        let len = storage.len(name)?;
        if len > offset {
            let kept = free_name(storage, name, "cut")?;
            copy_tail(storage, name, offset, &kept)?;
            storage.truncate(name, offset)?;
            storage.sync(name)?;
            done.push(tr!(
                "{}: the last {} bytes are now in {kept}",
                "{}：最后 {} 字节现在在 {kept}",
                storage.path(name),
                len - offset
            ));
        }
        // If the file system has no links, the next start says so.
        let _is_changed = storage.point(LINK, name);
    }
    if is_snapshot_newer {
        let kept = free_name(storage, snapshot::NAME, "cut")?;
        storage.rename(snapshot::NAME, &kept)?;
        done.push(tr!("{} is now {kept}", "{} 现在是 {kept}", storage.path(snapshot::NAME)));
    }
    storage.sync_dir()?;
    Ok(done)
}

/// Refuses if whole entries before the damage would be moved, or if there is no damage: a person
/// must confirm it with `--yes`. Entries after the damage follow from nothing that is whole.
fn ask(files: &dyn Files, segments: &[Segment], cut: EntrySeq, damage: Option<EntrySeq>) -> Result<(), CareError> {
    let whole = whole_until(files, segments, EntrySeq(u64::MAX))?;
    let is_damaged = damage.is_some() || whole.is_damaged;
    let last = damage.map_or(whole.head.seq, |damage| whole.head.seq.min(EntrySeq(damage.0 - 1)));
    if last < cut {
        return Ok(());
    }
    let count = last.0 - cut.0 + 1;
    let state = if is_damaged {
        tr!(
            "the ledger is damaged after entry {last}: say --cut {}",
            "账本在流水 {last} 之后损坏：请写 --cut {}",
            last.next()
        )
    } else {
        tr!(
            "the ledger has no damage, it is whole up to entry {last}: nothing has to be cut",
            "账本没有损坏，到流水 {last} 都完好：不用截"
        )
    };
    let moved = if count == 1 {
        tr!("entry {cut}, which is whole,", "完好的流水 {cut}")
    } else {
        tr!("entries {cut} to {last} ({count} entries), which are whole,", "完好的流水 {cut} 到 {last}（{count} 条）")
    };
    Err(CareError::Unsure(tr!(
        "{state}; --cut {cut} would move {moved} and what follows into *.cut files, and what was answered for them would be forgotten: \
         add --yes if that is what you want",
        "{state}；--cut {cut} 会把{moved}以及之后的移到 *.cut 文件，当时的应答也就不算了：确实要这样，请加 --yes"
    )))
}

/// How far a ledger is whole, line by line.
struct Whole<'a> {
    head: Head,
    /// The first line that is not good: its segment, and its number.
    bad: Option<LineOrOffset<'a>>,
    /// Whether the bad line is more than a torn end.
    is_damaged: bool,
    /// The number of segments that keep entries, and where the last of them ends.
    kept: usize,
    end: Option<LineOrOffset<'a>>,
}

/// A segment, and a line number or an offset in it.
type LineOrOffset<'a> = (&'a str, u64);

/// Reads the lines of the entries before `cut`, up to the first that is not good.
fn whole_until<'a>(files: &dyn Files, segments: &'a [Segment], cut: EntrySeq) -> io::Result<Whole<'a>> {
    let head = Head { seq: EntrySeq(segments[0].first.0 - 1), crc: 0 };
    let mut whole = Whole { head, bad: None, is_damaged: false, kept: 0, end: None };
    for (index, segment) in segments.iter().enumerate() {
        if whole.head.seq.next() == cut {
            break;
        }
        let name = segment.name.as_str();
        let header = match segment::read_header(files, name)? {
            Ok(header) if index == 0 && header.first == segment.first => header,
            Ok(header) if contradiction(&header, segment, None, whole.head).is_none() => header,
            Ok(_) | Err(_) => return Ok(Whole { bad: Some((name, 1)), is_damaged: true, ..whole }),
        };
        let mut lines = Lines::new(files, name, Some(header.chain));
        let mut end = HEADER_LEN as u64;
        whole.head.crc = header.chain;
        while whole.head.seq.next() < cut
            && let Some(line) = lines.read()?
        {
            let Some(parsed) = line.after(whole.head.seq) else {
                let is_damaged = line.ended || index + 1 < segments.len();
                return Ok(Whole { bad: Some((name, line.number)), is_damaged, ..whole });
            };
            (whole.head, end) = (parsed.head(), line.end());
        }
        (whole.kept, whole.end) = (index + 1, Some((name, end)));
    }
    Ok(whole)
}

/// The number of segments that keep entries, and the offset in the last of them where the entry
/// `cut` begins.
fn find<'a>(
    files: &dyn Files,
    segments: &'a [Segment],
    cut: EntrySeq,
) -> Result<(usize, Option<LineOrOffset<'a>>), CareError> {
    let Whole { head, bad, kept, end, .. } = whole_until(files, segments, cut)?;
    if head.seq.next() == cut {
        return Ok((kept, end));
    }
    if let Some((name, line)) = bad {
        let (path, next) = (files.path(name), head.seq.next());
        return refused(tr!(
            "{path}:{line}: the entries before {next} are whole, those before {cut} are not: say --cut {next}, or less",
            "{path}:{line}: 流水 {next} 以前的完好，{cut} 以前的不完好：请写 --cut {next} 或更小"
        ));
    }
    refused(tr!(
        "the ledger ends with entry {}: there is none to cut from {cut} on",
        "账本到流水 {} 为止：没有从 {cut} 起可截的",
        head.seq
    ))
}

/// Copies the bytes from `offset` on durably, and reads the copy again.
fn copy_tail<S: Storage>(storage: &mut S, name: &str, offset: u64, to: &str) -> io::Result<()> {
    storage.create(to, &[])?;
    let (mut piece, mut again) = (vec![0; PIECE_LEN], vec![0; PIECE_LEN]);
    let mut copied = 0;
    loop {
        let len = storage.read_at(name, offset + copied, &mut piece)?;
        if len == 0 {
            break;
        }
        storage.append(to, &piece[..len])?;
        if storage.read_at(to, copied, &mut again[..len])? != len || again[..len] != piece[..len] {
            return Err(io::Error::other(tr!(
                "{}: the copy differs from the original",
                "{}：副本与原来的不同",
                storage.path(to)
            )));
        }
        copied += len as u64;
    }
    storage.sync(to)?;
    storage.sync_dir()
}

#[cfg(test)]
mod tests {
    use super::super::recovery::{OpenError, replay};
    use super::super::run_verify;
    use super::super::storage::MemoryStorage;
    use super::super::testing::{self, Line as Spec};
    use super::super::writer::Ledger;
    use super::*;
    use crate::engine::model::Entry;
    use crate::ledger::DirFiles;

    /// A ledger of turns of ten entries in segments of 4 KiB with snapshots.
    fn serve<S: Storage>(storage: S, turns: u64) -> Head {
        let mut state = Entries(|_: &Entry| Ok(()));
        let (mut ledger, _) = Ledger::open(storage, "test", testing::stamp(), || 7, &mut state).unwrap();
        ledger.limit_segments(4096);
        for _ in 0..turns {
            for _ in 0..10 {
                ledger.append(&testing::entry(ledger.next_seq().0));
            }
            let is_new_segment = ledger.is_segment_full();
            if is_new_segment {
                ledger.rotate(testing::stamp()).unwrap();
            }
            ledger.write().unwrap();
            ledger.sync().unwrap();
            if is_new_segment {
                ledger.write_snapshot(testing::stamp(), &state).unwrap();
            }
        }
        ledger.head()
    }

    fn verified(dir: &Path) -> (u8, String) {
        let mut out = Vec::new();
        let code = run_verify(&[dir.to_owned()], &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    fn names(dir: &Path) -> Vec<String> {
        segment::list(&DirFiles::new(dir)).unwrap().into_iter().map(|segment| segment.name).collect()
    }

    #[test]
    fn a_ledger_without_its_archive_is_clean_and_with_it_is_the_whole_ledger() {
        let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let head = serve(DirStorage::open(dir.path()).unwrap(), 40);
        let all = names(dir.path());
        let mut out = Vec::new();
        // Beside the running server.
        let running = DirStorage::open(dir.path()).unwrap();
        archive(dir.path(), to.path(), &mut out).unwrap();
        drop(running);
        let (kept, archived) = (names(dir.path()), names(to.path()));
        assert_eq!([archived.clone(), kept.clone()].concat(), all);
        assert_eq!((kept.len(), archived.len() > 3), (1, true));
        let (code, report) = verified(dir.path());
        assert_eq!(code, 0, "{report}");
        assert!(report.contains("snapshot") && report.contains(&format!("head {head}")), "{report}");
        assert_eq!(verified(to.path()).0, 0);
        let replayed = replay(&DirFiles::new(dir.path()), &mut Entries(|_: &Entry| Ok(()))).unwrap();
        assert_eq!(replayed.head, head);
        // A second archive has nothing to do; a later one moves the next segments.
        archive(dir.path(), to.path(), &mut out).unwrap();
        assert!(String::from_utf8(out.clone()).unwrap().contains("nothing to archive"));
        serve(DirStorage::open(dir.path()).unwrap(), 40);
        archive(dir.path(), to.path(), &mut out).unwrap();
        assert_eq!((names(dir.path()).len(), verified(dir.path()).0, verified(to.path()).0), (1, 0, 0));
        // All in one place again.
        for name in names(to.path()) {
            fs::copy(to.path().join(&name), dir.path().join(&name)).unwrap();
        }
        fs::remove_file(dir.path().join(snapshot::NAME)).unwrap();
        assert_eq!(verified(dir.path()).0, 0);
    }

    #[test]
    fn one_archive_or_repair_works_in_a_directory_at_a_time() {
        let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        serve(DirStorage::open(dir.path()).unwrap(), 40);
        let all = names(dir.path());
        for place in [dir.path(), to.path()] {
            let other = CareLock::take(place).unwrap();
            let error = archive(dir.path(), to.path(), &mut Vec::new()).unwrap_err();
            assert!(
                matches!(&error, CareError::Refused(why) if why.contains("another `posgate ledger archive`")),
                "{error}"
            );
            assert_eq!((names(dir.path()), names(to.path()).len()), (all.clone(), 0));
            drop(other);
        }
        archive(dir.path(), to.path(), &mut Vec::new()).unwrap();
        // It needs no file, so it works on a full disk too.
        assert!(!to.path().read_dir().unwrap().any(|entry| entry.unwrap().file_name() == "lock"));
        CareLock::take(dir.path()).unwrap();
        assert!(matches!(CareLock::take(&dir.path().join("none")), Err(CareError::Io(_))));
    }

    #[test]
    fn an_interrupted_archive_can_be_repeated() {
        let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        serve(DirStorage::open(dir.path()).unwrap(), 40);
        let all = names(dir.path());
        // Two segments are copied, and one of them is removed; a third is half copied.
        for name in &all[..2] {
            fs::copy(dir.path().join(name), to.path().join(name)).unwrap();
        }
        fs::remove_file(dir.path().join(&all[0])).unwrap();
        fs::write(to.path().join(&all[2]).with_extension("part"), b"half").unwrap();
        archive(dir.path(), to.path(), &mut Vec::new()).unwrap();
        assert_eq!([names(to.path()), names(dir.path())].concat(), all);
        assert_eq!((verified(dir.path()).0, verified(to.path()).0), (0, 0));
    }

    fn segments_of(storage: &MemoryStorage) -> Vec<String> {
        segment::list(storage).unwrap().into_iter().map(|segment| segment.name).collect()
    }

    #[test]
    fn an_archive_interrupted_at_any_step_leaves_a_ledger_without_a_hole() {
        let mut whole = MemoryStorage::default();
        let head = serve(&mut whole, 40);
        whole.done.clear();
        let all = segments_of(&whole);
        assert!(all.len() > 4, "several are removed one after the other");
        // The machine ends at a step in the archive, then at a step here, also between two
        // removals.
        for ends_here in [false, true] {
            for steps in 0.. {
                let (mut files, mut copies) = (whole.clone(), MemoryStorage::default());
                (if ends_here { &mut files } else { &mut copies }).steps_left = Some(steps);
                let is_done = archive_into(&mut files, || Ok(&mut copies), &mut Vec::new()).is_ok();
                (files.steps_left, copies.steps_left) = (None, None);
                let here = segments_of(&files);
                assert!(all.ends_with(&here) && !here.is_empty(), "{steps}: {here:?}");
                for name in all.iter().filter(|name| !here.contains(name)) {
                    assert_eq!(copies.files.get(name), whole.files.get(name), "{steps}: {name}");
                }
                assert_eq!(replay(&files, &mut Entries(|_: &Entry| Ok(()))).unwrap().head, head, "{steps}");
                let report = verify(&files, &here, here.len() == all.len(), &mut || ()).unwrap();
                assert_eq!(report.exit_code(), 0, "{steps}: {report}");
                if is_done {
                    break;
                }
                // A copy from before must be synced again.
                copies.done.clear();
                archive_into(&mut files, || Ok(&mut copies), &mut Vec::new()).unwrap();
                assert_eq!([segments_of(&copies), segments_of(&files)].concat(), all, "{steps}");
                let is_synced = |name: &String| {
                    let part = format!("sync {}", name.replace(".tsv", ".part"));
                    copies.done.iter().any(|step| *step == part || *step == format!("sync {name}"))
                };
                assert!(here.iter().rev().skip(1).all(is_synced), "{steps}: {:?}", copies.done);
            }
        }
    }

    #[test]
    fn nothing_is_removed_before_its_copy_is_durable() {
        let mut whole = MemoryStorage::default();
        serve(&mut whole, 40);
        whole.done.clear();
        let all = segments_of(&whole);
        for fail in ["create", "append", "sync ledger", "rename", "sync directory"] {
            let (mut files, mut copies) = (whole.clone(), MemoryStorage::default());
            copies.fail = Some(fail.to_owned());
            assert!(archive_into(&mut files, || Ok(&mut copies), &mut Vec::new()).is_err(), "{fail}");
            assert_eq!((segments_of(&files), &files.done), (all.clone(), &Vec::new()), "{fail}");
        }
        // Each removal is durable before the next: power that goes leaves no hole.
        let (mut files, mut copies) = (whole.clone(), MemoryStorage::default());
        archive_into(&mut files, || Ok(&mut copies), &mut Vec::new()).unwrap();
        let removed = all.iter().take(all.len() - 1);
        let steps = removed.flat_map(|name| [format!("remove {name}"), "sync directory".to_owned()]);
        assert_eq!(files.done, steps.collect::<Vec<_>>());
    }

    #[test]
    fn a_segment_that_differs_from_its_copy_is_kept() {
        let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        serve(DirStorage::open(dir.path()).unwrap(), 40);
        let all = names(dir.path());
        let taken = find_old_segments(&HeldFiles::of_dir(dir.path()).unwrap()).unwrap();
        let copies = || Ok(DirStorage::beside_new(to.path())?);
        // Another program writes to a copy after it was verified.
        let mut meddle = |_: &Taken, _: &mut dyn Write| fs::write(to.path().join(&all[1]), b"another");
        let kept = move_away(&mut DirStorage::beside(dir.path()), taken, copies, &mut meddle, &mut Vec::new());
        let why = kept.unwrap_err().to_string();
        assert!(why.contains(&format!("{} is kept", all[1])) && why.contains("differs"), "{why}");
        assert_eq!(names(dir.path()), all[1..]);
    }

    #[test]
    fn nothing_is_archived_without_a_snapshot_or_over_another_file_or_if_damaged() {
        let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        serve(DirStorage::open(dir.path()).unwrap(), 40);
        let all = names(dir.path());
        let refuses = |word: &str, to: &Path| {
            let error = archive(dir.path(), to, &mut Vec::new()).unwrap_err();
            assert!(matches!(&error, CareError::Refused(why) if why.contains(word)), "{error}");
            assert_eq!(names(dir.path()), all);
        };
        refuses("the ledger itself", dir.path());
        fs::write(to.path().join(&all[1]), b"other").unwrap();
        refuses("differs", to.path());
        fs::remove_file(to.path().join(&all[1])).unwrap();
        let path = dir.path().join(&all[1]);
        let whole = fs::read(&path).unwrap();
        let mut spoiled = whole.clone();
        spoiled[700] ^= 1;
        fs::write(&path, &spoiled).unwrap();
        refuses("not as it was written", to.path());
        fs::write(&path, &whole).unwrap();
        fs::write(dir.path().join(snapshot::NAME), b"no snapshot").unwrap();
        refuses("not believed", to.path());
        fs::remove_file(dir.path().join(snapshot::NAME)).unwrap();
        refuses("there is no", to.path());
    }

    #[test]
    fn verify_reports_a_bad_snapshot_and_missing_segments() {
        let dir = tempfile::tempdir().unwrap();
        serve(DirStorage::open(dir.path()).unwrap(), 40);
        let all = names(dir.path());
        let path = dir.path().join(snapshot::NAME);
        let whole = fs::read(&path).unwrap();
        assert_eq!(verified(dir.path()).0, 0);
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let (code, report) = verified(dir.path());
        assert!(code == 5 && report.contains("snapshot.tsv"), "{report}");
        fs::write(&path, &whole).unwrap();
        // The snapshot is of an entry that the ledger has lost.
        let newest = dir.path().join(all.last().unwrap());
        let segment = fs::read(&newest).unwrap();
        fs::write(&newest, &segment[..HEADER_LEN]).unwrap();
        assert_eq!(verified(dir.path()).0, 5);
        // An altered line is reported as that, whatever the snapshot covers.
        let mut altered = segment.clone();
        altered[HEADER_LEN + 30] ^= 1;
        fs::write(&newest, &altered).unwrap();
        assert_eq!(verified(dir.path()).0, 2);
        fs::write(&newest, &segment).unwrap();
        // A segment in the middle is missing; then all before the snapshot; then the snapshot too.
        fs::remove_file(dir.path().join(&all[2])).unwrap();
        assert_eq!(verified(dir.path()).0, 3);
        for name in &all[..all.len() - 1] {
            let _ = fs::remove_file(dir.path().join(name));
        }
        assert_eq!(verified(dir.path()).0, 0);
        fs::remove_file(&path).unwrap();
        assert_eq!(verified(dir.path()).0, 3);
    }

    #[test]
    fn a_cut_keeps_the_entries_before_it_and_moves_the_rest() {
        let mut first = MemoryStorage::default();
        let head = serve(&mut first, 20);
        for cut in 1..=head.seq.0 + 1 {
            let mut storage = first.clone();
            let done = repair(&mut storage, EntrySeq(cut), None, true).unwrap();
            assert_eq!(done.is_empty(), cut == head.seq.0 + 1);
            let mut last = 0;
            let replayed = replay(
                &storage,
                &mut Entries(|entry: &Entry| {
                    last = entry.seq.0;
                    Ok(())
                }),
            );
            let replayed = replayed.unwrap();
            assert_eq!((replayed.head.seq.0, replayed.tail, replayed.disbelief), (cut - 1, None, None));
            let count = |storage: &MemoryStorage| -> usize {
                storage.files.iter().filter(|(name, _)| name.starts_with("ledger")).map(|(_, bytes)| bytes.len()).sum()
            };
            assert_eq!(count(&storage), count(&first), "every byte is somewhere");
            if cut > 1 {
                assert_eq!(storage.links[LINK], segment::list(&storage).unwrap().pop().unwrap().name);
            }
        }
    }

    #[test]
    fn the_remedy_that_a_start_names_makes_the_ledger_whole() {
        for spec in [Spec::BadCrc, Spec::Unreadable, Spec::Gap, Spec::Zeros] {
            let mut storage = testing::ledger_of(&[Spec::Good, Spec::Good, spec, Spec::Good, Spec::Good]);
            testing::add_segment(&mut storage, &[Spec::Good; 5], &[Spec::Good]);
            let error = testing::open(&mut storage).unwrap_err();
            assert!(matches!(&error, OpenError::Damaged { remedy, .. } if remedy.contains("--cut 3")), "{error}");
            for wrong in [4, 5, 6, 7, 100] {
                let before = storage.clone();
                let error = repair(&mut storage, EntrySeq(wrong), None, false).unwrap_err();
                assert!(error.to_string().contains("--cut 3"), "{error}");
                assert_eq!((storage.files.clone(), storage.done.len()), (before.files, before.done.len()));
            }
            repair(&mut storage, EntrySeq(3), None, false).unwrap();
            assert_eq!(testing::open(&mut storage).unwrap().0.entries, 2);
            assert_eq!(
                storage.files.keys().filter(|name| name.contains(".cut")).count(),
                2,
                "{:?}",
                storage.files.keys()
            );
        }
    }

    #[test]
    fn whole_entries_are_cut_only_if_a_person_confirms_it() {
        let unsure = |storage: &mut MemoryStorage, cut: u64, damage: Option<u64>, words: &[&str]| {
            let before = storage.files.clone();
            let error = repair(storage, EntrySeq(cut), damage.map(EntrySeq), false).unwrap_err();
            assert!(matches!(error, CareError::Unsure(_)), "{error}");
            let said = error.to_string();
            assert!(said.contains("--yes") && words.iter().all(|word| said.contains(word)), "{said}");
            assert_eq!(storage.files, before, "nothing was moved");
        };
        let mut whole = MemoryStorage::default();
        let head = serve(&mut whole, 20);
        let last = head.seq.0;
        for cut in [1, 4, 42, last - 1] {
            let words = format!("entries {cut} to {last} ({} entries)", last - cut + 1);
            unsure(&mut whole, cut, None, &["has no damage", &words]);
        }
        unsure(&mut whole, last, None, &["has no damage", &format!("would move entry {last},")]);
        assert_eq!(repair(&mut whole, EntrySeq(last + 1), None, false).unwrap(), Vec::<String>::new());
        // A balance that does not follow is damage too, if the caller knows it.
        unsure(&mut whole, 40, Some(42), &["damaged after entry 41: say --cut 42", "entries 40 to 41 (2 entries)"]);
        assert!(!repair(&mut whole.clone(), EntrySeq(42), Some(EntrySeq(42)), false).unwrap().is_empty());
        for spec in [Spec::BadCrc, Spec::Unreadable, Spec::Gap, Spec::Zeros] {
            let mut storage = testing::ledger_of(&[Spec::Good, Spec::Good, spec, Spec::Good, Spec::Good]);
            unsure(&mut storage, 2, None, &["damaged after entry 2: say --cut 3", "would move entry 2,"]);
            unsure(&mut storage, 1, None, &["say --cut 3", "entries 1 to 2"]);
            assert!(repair(&mut storage, EntrySeq(1), None, true).is_ok());
        }
        // A torn end is not damage, and cutting it moves no whole entry.
        let mut torn = testing::ledger_of(&[Spec::Good, Spec::Good, Spec::NoEnd]);
        unsure(&mut torn, 2, None, &["has no damage"]);
        assert!(!repair(&mut torn, EntrySeq(3), None, false).unwrap().is_empty());
    }

    #[test]
    fn an_interrupted_repair_can_be_repeated() {
        let mut first = MemoryStorage::default();
        serve(&mut first, 20);
        for steps in 0.. {
            let mut storage = first.clone();
            storage.steps_left = Some(steps);
            let has_crashed = repair(&mut storage, EntrySeq(42), None, true).is_err();
            storage.steps_left = None;
            repair(&mut storage, EntrySeq(42), None, true).unwrap();
            assert_eq!(testing::open(&mut storage).unwrap().0.head.seq, EntrySeq(41), "{steps}");
            if !has_crashed {
                break;
            }
        }
    }

    #[test]
    fn a_cut_within_archived_entries_is_refused() {
        let mut storage = MemoryStorage::default();
        serve(&mut storage, 40);
        let segments = segment::list(&storage).unwrap();
        let kept = segments.last().unwrap();
        storage.files.retain(|name, _| *name == kept.name || name == snapshot::NAME);
        for cut in [1, kept.first.0, kept.first.0 + 1] {
            let error = repair(&mut storage, EntrySeq(cut), None, true).unwrap_err();
            assert!(error.to_string().contains("bring"), "{error}");
        }
        assert!(repair(&mut testing::ledger_of(&[Spec::Good]), EntrySeq(3), None, true).is_err());
        assert!(repair(&mut MemoryStorage::default(), EntrySeq(1), None, true).is_err());
    }
}
