//! A storage that does what real media may do, and nothing that they may not.
//!
//! A file is what reads show (the page cache) and what the medium holds; a page of 4096 bytes is
//! dirty until it was written to the medium. What is assumed, and of whom:
//!
//! - **Nothing is durable before a sync.** At a power cut the dirty pages of a file are lost, or
//!   kept, or kept up to any byte (a write torn by the cut: JFFS2 and UBIFS write nodes in order;
//!   ext4 and F2FS write a page's sectors), or any of them are kept in any order (ext4, F2FS: the
//!   writeback of pages has no order), each file for itself.
//! - **A length may be ahead of its bytes**: what is missing reads as zeros (UBIFS journals the
//!   inode's size before the data and leaves a zero-filled tail; F2FS and ext4 leave holes). It is
//!   never ahead of what was written.
//! - **Names are changed in order** and are durable with `sync_dir`, or earlier: after a cut a
//!   prefix of the changes since then is there (the journals of ext4 and F2FS, UBIFS's log, JFFS2's
//!   dirent nodes). A rename or the replacing of a link is there whole or not at all. A cut file is
//!   cut or not cut.
//! - **What was synced stays**, also where a later write touches the same page: flash file systems
//!   write elsewhere, and a block device is assumed to write a sector whole or not at all. A medium
//!   that breaks this is simulated only as a flipped bit, which recovery must notice and need not
//!   repair.
//! - **A sync that fails says so once.** Any of the dirty pages reached the medium; all of them
//!   count as clean after it (Linux since 4.13), so a later sync succeeds without them while reads
//!   still show them.
//! - A process that is killed leaves the page cache as it is.
//! - **A full file system** takes what fits of a write and then says so, as long as it is full;
//!   writing in place and cutting need no room. What it says of its room may be a lie (quotas,
//!   compression).
//! - A file system may know no links (a USB stick's FAT).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::rc::Rc;

use posgate::engine::limits::TAIL_LEN_MAX;
use posgate::ledger::{Files, Storage, segment};

use super::coverage::Coverage;
use super::random::Random;

const PAGE: usize = 4096;

/// What happens at the next operation that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// The process is killed there.
    Kill,
    /// The operation fails once.
    Io,
    /// There is no room: a write ends short.
    NoSpace,
    /// From now on nothing can be changed, until [`Disk::heal`].
    ReadOnly,
    /// From now on nothing can be read, until [`Disk::heal`].
    Unreadable,
}

/// Which operations a strike waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Append,
    Sync,
    /// The n-th from now on, whatever it is.
    Any(u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File(usize),
    Link(String),
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, Node),
    Remove(String),
    Rename(String, String),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    cache: Vec<u8>,
    medium: Vec<u8>,
    dirty: BTreeSet<usize>,
    /// Clean by the kernel's word after a failed sync, and not on the medium.
    lost: BTreeSet<usize>,
    /// It was cut to this length, and the medium does not know it yet.
    cut: Option<usize>,
    /// So many bytes are on the medium for certain.
    solid: usize,
    /// No name leads to it: its place may be taken.
    is_free: bool,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "states of the medium, each of its own")]
struct Medium {
    inodes: Vec<Inode>,
    names: BTreeMap<String, Node>,
    durable_names: BTreeMap<String, Node>,
    changes: Vec<NameChange>,
    random: Random,
    strike: Option<(Target, Strike)>,
    is_killed: bool,
    is_read_only: bool,
    is_unreadable: bool,
    /// It knows no links.
    is_linkless: bool,
    struck: bool,
    /// Bytes of all files together.
    capacity: Option<u64>,
    /// It says that there is room, whatever there is.
    is_boasting: bool,
    operations: u64,
    refusals: u64,
    coverage: Coverage,
}

/// A directory; clones are the same directory.
#[derive(Clone, Debug)]
pub struct Disk(Rc<RefCell<Medium>>);

impl Disk {
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Medium {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            random: Random::new(seed),
            strike: None,
            is_killed: false,
            is_read_only: false,
            is_unreadable: false,
            is_linkless: false,
            struck: false,
            capacity: None,
            is_boasting: false,
            operations: 0,
            refusals: 0,
            coverage: Coverage::default(),
        })))
    }

    /// Another directory that holds the same.
    pub fn copy(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// The files of a copy are put in the place of these, durably; all but this one, which is on
    /// the machine and in no copy.
    pub fn restore(&self, copy: &Self, own: &str) {
        let mut medium = self.0.borrow_mut();
        let mut kept = medium.file(own).ok().map(|inode| inode.cache.clone());
        let copied = copy.0.borrow();
        medium.inodes.clear();
        medium.names.clear();
        medium.changes.clear();
        for (name, node) in &copied.names {
            let node = match node {
                Node::File(inode) if name != own => medium.take_durable(copied.inodes[*inode].cache.clone()),
                Node::Link(target) => Node::Link(target.clone()),
                Node::File(_) => continue,
            };
            medium.names.insert(name.clone(), node);
        }
        if let Some(bytes) = kept.take() {
            let node = medium.take_durable(bytes);
            medium.names.insert(own.to_owned(), node);
        }
        medium.durable_names = medium.names.clone();
    }

    pub fn strike(&self, target: Target, strike: Strike) {
        self.0.borrow_mut().strike = Some((target, strike));
    }

    /// No strike waits any more. Whether one struck since the last call.
    pub fn calm(&self) -> bool {
        let mut medium = self.0.borrow_mut();
        medium.strike = None;
        std::mem::take(&mut medium.struck)
    }

    /// The process is dead: whatever it does from now on has no effect.
    pub fn kill(&self) {
        self.0.borrow_mut().is_killed = true;
    }

    pub fn is_killed(&self) -> bool {
        self.0.borrow().is_killed
    }

    /// Another process begins.
    pub fn revive(&self) {
        self.0.borrow_mut().is_killed = false;
    }

    /// Whether nothing can be read.
    pub fn is_unreadable(&self) -> bool {
        self.0.borrow().is_unreadable
    }

    /// Whether it cannot be read, or not be written.
    pub fn is_broken(&self) -> bool {
        let medium = self.0.borrow();
        medium.is_read_only || medium.is_unreadable
    }

    /// Operations that changed something, or tried to.
    pub fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// The medium can be read and written again.
    pub fn heal(&self) {
        let mut medium = self.0.borrow_mut();
        medium.is_read_only = false;
        medium.is_unreadable = false;
    }

    /// From now on it knows no links.
    pub fn lose_links(&self) {
        self.0.borrow_mut().is_linkless = true;
    }

    /// From now on only so many more bytes fit, until [`Disk::free_room`]; with `is_boasting` it
    /// says that there are plenty.
    pub fn fill_up(&self, left: u64, is_boasting: bool) {
        let mut medium = self.0.borrow_mut();
        medium.capacity = Some(medium.used() + left);
        medium.is_boasting = is_boasting;
    }

    /// Somebody removed the photos.
    pub fn free_room(&self) {
        let mut medium = self.0.borrow_mut();
        medium.capacity = None;
        medium.is_boasting = false;
    }

    /// How often it refused an operation, for want of room or another reason.
    pub fn refusals(&self) -> u64 {
        self.0.borrow().refusals
    }

    /// The kernel writes some dirty pages, as it does now and then.
    pub fn write_back(&self) {
        let mut medium = self.0.borrow_mut();
        let Medium { inodes, random, .. } = &mut *medium;
        for inode in inodes {
            let pages: Vec<usize> = inode.dirty.iter().copied().filter(|_| random.happens(500)).collect();
            if inode.cut.is_none() {
                for page in pages {
                    inode.write_page(page, usize::MAX);
                    inode.dirty.remove(&page);
                }
            }
        }
    }

    /// The power goes: what the medium holds is what is left.
    pub fn cut_power(&self) {
        let mut medium = self.0.borrow_mut();
        let Medium { inodes, names, durable_names, changes, random, coverage, .. } = &mut *medium;
        let kept = random.place(changes.len() + 1);
        if kept < changes.len() {
            coverage.count("fault medium name lost");
        }
        for change in changes.drain(..).take(kept) {
            change.apply(durable_names);
        }
        names.clone_from(durable_names);
        if inodes.iter().filter(|inode| !inode.dirty.is_empty()).count() > 1 {
            coverage.count("fault medium files out of order");
        }
        for inode in inodes {
            inode.cut_power(random, coverage);
        }
        medium.forget_removed();
    }

    /// The bytes of a file that are on the medium for certain, and so is its name.
    pub fn with_solid<T>(&self, name: &str, work: impl FnOnce(&[u8]) -> T) -> T {
        let medium = self.0.borrow();
        match medium.names.get(name) {
            Some(node @ Node::File(inode)) if medium.durable_names.get(name) == Some(node) => {
                let inode = &medium.inodes[*inode];
                work(&inode.medium[..inode.solid])
            }
            Some(Node::File(_) | Node::Link(_)) | None => work(&[]),
        }
    }

    /// Whether a file is gone, and no power cut brings it back.
    pub fn is_gone(&self, name: &str) -> bool {
        let medium = self.0.borrow();
        !medium.names.contains_key(name) && !medium.durable_names.contains_key(name)
    }

    /// Somebody takes a file away with the medium.
    pub fn carry_away(&self, name: &str) {
        let mut medium = self.0.borrow_mut();
        medium.names.remove(name);
        medium.durable_names.remove(name);
        medium.forget_removed();
    }

    /// The ledger's segments, oldest first.
    pub fn segments(&self) -> Vec<String> {
        let segments = segment::list(self).expect("a directory can be listed");
        segments.into_iter().map(|segment| segment.name).collect()
    }

    /// The ledger's segments from this one on, oldest first: their names sort as their entries do.
    pub fn segments_from(&self, name: &str) -> Vec<String> {
        let medium = self.0.borrow();
        let names = medium.names.range(name.to_owned()..).map(|(name, _)| name);
        names.filter(|name| segment::first_of(name).is_some()).cloned().collect()
    }

    /// Lines of the ledger in which this stands.
    pub fn count_lines(&self, text: &str) -> usize {
        let has_it = |line: &&[u8]| line.windows(text.len()).any(|part| part == text.as_bytes());
        let count =
            |name: &String| self.with_solid(name, |solid| solid.split(|byte| *byte == b'\n').filter(has_it).count());
        self.segments().iter().map(count).sum()
    }

    /// Turns a bit of a file at rest.
    pub fn flip(&self, name: &str, bit: usize) {
        let mut medium = self.0.borrow_mut();
        let Some(Node::File(inode)) = medium.names.get(name).cloned() else { return };
        let inode = &mut medium.inodes[inode];
        inode.medium[bit / 8] ^= 1 << (bit % 8);
        inode.cache[bit / 8] ^= 1 << (bit % 8);
    }

    pub fn take_coverage(&self) -> Coverage {
        std::mem::take(&mut self.0.borrow_mut().coverage)
    }
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<String, Node>) {
        match self {
            Self::Set(name, node) => {
                names.insert(name, node);
            }
            Self::Remove(name) => {
                names.remove(&name);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(&from) {
                    names.insert(to, node);
                }
            }
        }
    }
}

impl Inode {
    /// Writes a page to the medium, up to the byte `end` of the file.
    fn write_page(&mut self, page: usize, end: usize) {
        let start = page * PAGE;
        let end = end.min(start + PAGE).min(self.cache.len());
        if end <= start {
            return;
        }
        if self.medium.len() < end {
            self.medium.resize(end, 0);
        }
        self.medium[start..end].copy_from_slice(&self.cache[start..end]);
    }

    fn write_pages(&mut self, pages: &[usize], end: usize) {
        for page in pages {
            self.write_page(*page, end);
        }
    }

    fn touch(&mut self, start: usize, end: usize) {
        for page in start / PAGE..end.div_ceil(PAGE) {
            self.dirty.insert(page);
            self.lost.remove(&page);
        }
    }

    fn write(&mut self, start: usize, bytes: &[u8]) {
        let end = start + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        if self.cache[start..end] != *bytes {
            self.solid = self.solid.min(start);
        }
        self.cache[start..end].copy_from_slice(bytes);
        self.touch(start, end);
    }

    fn truncate(&mut self, len: usize) {
        self.cache.truncate(len);
        if len < self.medium.len() {
            self.cut = Some(self.cut.map_or(len, |cut| cut.min(len)));
        }
        self.solid = self.solid.min(len);
        self.dirty.retain(|page| page * PAGE < len);
        self.lost.retain(|page| page * PAGE < len);
    }

    fn sync(&mut self) {
        if let Some(cut) = self.cut.take() {
            self.medium.truncate(cut);
        }
        for page in std::mem::take(&mut self.dirty) {
            self.write_page(page, usize::MAX);
        }
        self.solid = self.lost.first().map_or(self.cache.len(), |page| self.solid.max(page * PAGE));
        self.solid = self.solid.min(self.medium.len());
    }

    fn fail_sync(&mut self, random: &mut Random, coverage: &mut Coverage) {
        if random.happens(500)
            && let Some(cut) = self.cut.take()
        {
            self.medium.truncate(cut);
        }
        for page in std::mem::take(&mut self.dirty) {
            if random.happens(500) {
                // What was cut off is gone before anything is written in its place.
                if let Some(cut) = self.cut.take() {
                    self.medium.truncate(cut);
                }
                self.write_page(page, usize::MAX);
                continue;
            }
            coverage.count("fault medium page lost by a failed sync");
            // What was written again, as a start does with the tail, is there already, unless it is
            // cut off yet.
            let bytes = page * PAGE..self.cache.len().min((page + 1) * PAGE);
            let is_kept = self.cut.is_none_or(|cut| bytes.end <= cut);
            if !is_kept || self.medium.get(bytes.clone()) != self.cache.get(bytes) {
                self.lost.insert(page);
            }
        }
    }

    fn cut_power(&mut self, random: &mut Random, coverage: &mut Coverage) {
        if let Some(cut) = self.cut.take()
            && random.happens(500)
        {
            self.medium.truncate(cut);
        }
        let len = self.cache.len();
        let dirty: Vec<usize> = self.dirty.iter().copied().collect();
        if let (Some(first), true) = (dirty.first(), self.solid < len || self.cache != self.medium) {
            let from = self.solid.max(first * PAGE).min(len);
            let torn = from + random.place(len - from + 1);
            // Where there are pages to be mixed up, they mostly are.
            let way = if dirty.len() > 1 && random.happens(500) { 3 } else { random.below(5) };
            match way {
                0 => coverage.count("fault medium lost all unsynced"),
                1 => {
                    coverage.count("fault medium kept all unsynced");
                    self.write_pages(&dirty, usize::MAX);
                }
                2 => {
                    coverage.count("fault medium torn at a byte");
                    self.write_pages(&dirty, torn);
                }
                3 => {
                    if dirty.len() > 1 {
                        coverage.count("fault medium pages out of order");
                    }
                    for page in dirty {
                        if random.happens(500) {
                            self.write_page(page, usize::MAX);
                        }
                    }
                }
                _ => {
                    coverage.count("fault medium zero tail");
                    self.write_pages(&dirty, torn);
                    let end = torn + random.place(len - torn + 1);
                    if self.medium.len() < end {
                        self.medium.resize(end, 0);
                    }
                }
            }
        }
        self.cache.clone_from(&self.medium);
        self.dirty.clear();
        self.lost.clear();
        self.solid = self.cache.len();
    }
}

impl Medium {
    /// What strikes this operation; a dead process's operations have no effect.
    fn struck(&mut self, is_append: bool, is_sync: bool) -> io::Result<Option<Strike>> {
        self.operations += 1;
        if self.is_killed {
            return Err(io::Error::other("the process was killed"));
        }
        if self.is_read_only {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        let strike = match &mut self.strike {
            Some((Target::Append, strike)) if is_append => *strike,
            Some((Target::Sync, strike)) if is_sync => *strike,
            Some((Target::Any(0), strike)) => *strike,
            Some((Target::Any(left), _)) => {
                *left -= 1;
                return Ok(None);
            }
            Some((Target::Append | Target::Sync, _)) | None => return Ok(None),
        };
        self.strike = None;
        self.struck = true;
        self.refusals += 1;
        match strike {
            Strike::Kill => {
                self.is_killed = true;
                self.coverage.count(match (is_append, is_sync) {
                    (true, _) => "fault kill in the write",
                    (_, true) => "fault kill at the sync",
                    _ => "fault kill in another operation",
                });
            }
            Strike::Io if is_sync => self.coverage.count("fault disk EIO in a sync"),
            Strike::Io => self.coverage.count("fault disk EIO in a write"),
            Strike::NoSpace => {
                self.coverage.count(if is_sync { "fault disk ENOSPC at a sync" } else { "fault disk ENOSPC once" });
            }
            Strike::ReadOnly => {
                self.coverage.count("fault disk EROFS");
                self.is_read_only = true;
                return Err(ErrorKind::ReadOnlyFilesystem.into());
            }
            Strike::Unreadable => {
                self.coverage.count("fault disk cannot be read");
                self.is_unreadable = true;
                return Ok(None);
            }
        }
        Ok(Some(strike))
    }

    /// An operation that is done whole or not at all: not, if a strike makes it fail; one way or
    /// the other, if it kills.
    fn act(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        match self.struck(false, false)? {
            None => work(self),
            Some(Strike::Kill) => {
                if self.random.happens(500) {
                    work(self)?;
                }
                Err(failure(Strike::Kill))
            }
            Some(strike) => Err(failure(strike)),
        }
    }

    fn write(&mut self, name: &str, offset: Option<u64>, bytes: &[u8]) -> io::Result<()> {
        let has_lost = !self.file(name)?.lost.is_empty();
        let strike = self.struck(offset.is_none(), false)?;
        // What a failed sync lost, and the next start finds no room to write again, nobody can know
        // of.
        let strike = strike.filter(|strike| !(has_lost && offset.is_some() && *strike == Strike::NoSpace));
        let mut len = strike.map_or(bytes.len(), |_| self.random.place(bytes.len() + 1));
        let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
        let inode = self.file(name)?;
        let start = offset.map_or(inode.cache.len(), |offset| usize::try_from(offset).expect("a small file"));
        let fits = (inode.cache.len().saturating_add(room) - start).min(len);
        let is_full = fits < len;
        len = fits;
        inode.write(start, &bytes[..len]);
        let (unsynced, is_piece) = (inode.cache.len() - inode.solid, start + len < inode.cache.len());
        if offset.is_some() && is_piece && strike.is_none() {
            self.coverage.count("branch tail written again in pieces");
        }
        // What a start may cut and must write again is all that may be lost.
        let is_ledger = offset.is_none() && segment::first_of(name).is_some();
        assert!(!is_ledger || unsynced <= TAIL_LEN_MAX, "{name}: {unsynced} bytes are not synced");
        if is_full && strike.is_none() {
            self.coverage.count("fault disk full for a while");
            if len > 0 {
                self.coverage.count("fault disk short write");
            }
            self.refusals += 1;
            return Err(ErrorKind::StorageFull.into());
        }
        strike.map_or(Ok(()), |strike| Err(failure(strike)))
    }

    fn used(&self) -> u64 {
        self.inodes.iter().map(|inode| inode.cache.len() as u64).sum()
    }

    fn room(&self) -> u64 {
        self.capacity.map_or(1 << 30, |capacity| capacity.saturating_sub(self.used()))
    }

    /// Files that no name leads to any more, now or after a cut, hold nothing.
    fn forget_removed(&mut self) {
        let mut is_named = vec![false; self.inodes.len()];
        let changed = self.changes.iter().filter_map(|change| match change {
            NameChange::Set(_, node) => Some(node),
            NameChange::Remove(_) | NameChange::Rename(..) => None,
        });
        for node in self.names.values().chain(self.durable_names.values()).chain(changed) {
            if let Node::File(inode) = node {
                is_named[*inode] = true;
            }
        }
        for (inode, is_named) in self.inodes.iter_mut().zip(is_named) {
            if !is_named && (inode.cache.capacity() > 0 || inode.medium.capacity() > 0) {
                *inode = Inode::default();
            }
            inode.is_free = !is_named;
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Inode> {
        match self.names.get(name) {
            Some(Node::File(inode)) => Ok(&mut self.inodes[*inode]),
            Some(Node::Link(_)) | None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// A file of these bytes that no power cut changes.
    fn take_durable(&mut self, bytes: Vec<u8>) -> Node {
        let solid = bytes.len();
        self.inodes.push(Inode { medium: bytes.clone(), cache: bytes, solid, ..Inode::default() });
        Node::File(self.inodes.len() - 1)
    }

    fn rename(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.changes.push(change);
    }
}

fn failure(strike: Strike) -> io::Error {
    match strike {
        Strike::Kill => io::Error::other("the process was killed"),
        Strike::NoSpace => ErrorKind::StorageFull.into(),
        Strike::ReadOnly => ErrorKind::ReadOnlyFilesystem.into(),
        Strike::Io | Strike::Unreadable => io::Error::other("EIO"),
    }
}

impl Files for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().names.keys().cloned().collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.0.borrow_mut().file(name)?.cache.len() as u64)
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut medium = self.0.borrow_mut();
        if medium.is_unreadable {
            return Err(io::Error::other("EIO"));
        }
        let cache = &medium.file(name)?.cache;
        let start = usize::try_from(offset).expect("a small file").min(cache.len());
        let len = into.len().min(cache.len() - start);
        into[..len].copy_from_slice(&cache[start..start + len]);
        Ok(len)
    }

    fn path(&self, name: &str) -> String {
        name.to_owned()
    }
}

impl Storage for Disk {
    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut medium = self.0.borrow_mut();
        if medium.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        medium.act(|medium| {
            let free = medium.inodes.iter().position(|inode| inode.is_free);
            let inode = free.unwrap_or(medium.inodes.len());
            medium.inodes.resize_with(medium.inodes.len().max(inode + 1), Inode::default);
            medium.inodes[inode] = Inode::default();
            medium.rename(NameChange::Set(name.to_owned(), Node::File(inode)));
            Ok(())
        })?;
        medium.write(name, Some(0), bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().write(name, None, bytes)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().write(name, Some(offset), bytes)
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).expect("a small file");
        self.0.borrow_mut().act(|medium| {
            medium.file(name)?.truncate(len);
            Ok(())
        })
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut medium = self.0.borrow_mut();
        let strike = medium.struck(false, true)?;
        let Some(Node::File(inode)) = medium.names.get(name).cloned() else { return Err(ErrorKind::NotFound.into()) };
        let Medium { inodes, random, coverage, .. } = &mut *medium;
        match strike {
            None => {
                inodes[inode].sync();
                return Ok(());
            }
            // Killed before it, or after it.
            Some(Strike::Kill) if random.happens(500) => inodes[inode].sync(),
            Some(Strike::Kill) => (),
            Some(_) => inodes[inode].fail_sync(random, coverage),
        }
        Err(failure(strike.expect("it struck")))
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.0.borrow_mut().act(|medium| {
            medium.changes.clear();
            medium.durable_names.clone_from(&medium.names);
            medium.forget_removed();
            Ok(())
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.0.borrow_mut().act(|medium| {
            medium.rename(NameChange::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().act(|medium| {
            medium.rename(NameChange::Remove(name.to_owned()));
            Ok(())
        })
    }

    fn point(&mut self, link: &str, target: &str) -> io::Result<bool> {
        let mut medium = self.0.borrow_mut();
        if medium.is_linkless {
            return Err(ErrorKind::Unsupported.into());
        }
        let node = Node::Link(target.to_owned());
        if medium.names.get(link) == Some(&node) {
            return Ok(false);
        }
        medium.act(|medium| {
            medium.rename(NameChange::Set(link.to_owned(), node));
            Ok(())
        })?;
        Ok(true)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let medium = self.0.borrow();
        Ok(if medium.is_boasting { 1 << 30 } else { medium.room() })
    }
}
