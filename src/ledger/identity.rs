//! Which ledger this machine serves: the file `identity`, kept beside the configuration and not
//! with the ledger. It shows whether the ledger is missing, copied, or an older copy of the one
//! that was served here last (design.md, section 9).
//!
//! ```text
//! ledger=<16 hex> ␠ seq=… ␠ crc=<8 hex> [␠ parents=<16 hex>:<seq>:<8 hex>,…] ␊
//! ```
//!
//! The line holds the ledger's number and the last entry that this machine knows to be durable.
//! `parents=` holds what that ledger branched off and where, the newest first, at most
//! [`PARENTS_MAX`] of them: a copy from before a branch is then not taken for another ledger.
//! Without a branch the word is absent.
//!
//! What always holds: the file is written whole under another name, synced, renamed, and its
//! directory synced, so a power cut leaves the old line or the new one; it never names an entry
//! that is not durable, so no entry that a start cuts as a torn tail is reported as missing. No
//! backup contains it.
//!
//! What a start does, by the file and by the ledger in `ledger_dir`:
//!
//! | `identity` | `ledger_dir` | |
//! |---|---|---|
//! | none | none | begin a new ledger |
//! | none | by this host and site | serve |
//! | none | by another host, or under another site | branch: moved here, or copied |
//! | there | none | refuse: the ledger is missing |
//! | there | the same, at or after its entry; or a branch whose `parent=` leads to it | serve |
//! | there | the same, written by another host | branch: the medium was moved, or cloned |
//! | there | the same, before its entry, or with another entry there | branch, rolled back: an older copy |
//! | there | one that it branched off, to where it did, short of that, beyond it, or with another entry there | branch, rolled back: an older copy |
//! | there | another ledger | refuse: a person decides which |
//! | taken: `posgate ledger move` wrote it | the one that it took, or one that this branched off | branch |
//! | taken | none, or another ledger | refuse |
//! | spoiled: not a line of these words | none | refuse: a ledger was served here |
//! | spoiled | any | branch: it may be an older copy, and a branch does no harm |
//! | unread: there, and cannot be read | none | refuse |
//! | unread | by this host and site | serve: it cannot be written either, and each start would branch |
//! | unread | by another host, or under another site | branch |
//!
//! An unknown host does not count as another host. A **branch** draws a new number for the entries
//! that follow: the next segment's header has a new `ledger=`, and its `parent=` names the ledger
//! and the entry that it goes on from. So (ledger, seq) names one entry for ever, whatever is
//! restored or cloned. The segment is durable before the file names it.

use core::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::engine::model::{EntrySeq, MissingEntries};
use crate::lang::tr;

use super::header::{Header, Host, Parent, hex};
use super::segment::{self, Segment};
use super::storage::{DirStorage, Files, Storage, explain};
use super::{Head, line};

/// Bytes of the file that are read: a line has at most 454.
const LEN_MAX: usize = 512;

/// Consecutive branches that are known. A copy from before more of them is refused as another
/// ledger.
pub const PARENTS_MAX: usize = 8;

/// Bytes of the note beside it that are read: no path is longer.
const PLACE_LEN_MAX: u64 = 4096;

/// What this machine knows of its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The ledger's number: that of its newest branch.
    pub ledger: u64,
    /// The last entry that is known to be durable.
    pub head: Head,
    /// What it branched off.
    pub parents: Parents,
}

/// The ledger that a ledger branched off, the one that its parent branched off, and so on, the
/// newest first. Each has its last entry that is also in this ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parents([Option<Parent>; PARENTS_MAX]);

impl Parents {
    fn iter(&self) -> impl Iterator<Item = Parent> {
        self.0.iter().copied().flatten()
    }

    /// Adds the newest parent. If there is no room, the oldest one is dropped.
    pub(super) fn begin(&mut self, parent: Parent) {
        if self.0[0] != Some(parent) {
            self.0.rotate_right(1);
            self.0[0] = Some(parent);
        }
    }

    /// Adds the oldest parent, if there is room.
    fn push(&mut self, parent: Parent) {
        if let Some(free) = self.0.iter_mut().find(|known| known.is_none()) {
            *free = Some(parent);
        }
    }

    /// Reads parents up to the first that cannot be read. With fewer parents a start refuses more,
    /// and never serves a wrong ledger.
    fn parse(text: &str) -> Self {
        let mut parents = Self::default();
        text.split(',').map_while(|word| word.parse().ok()).for_each(|parent| parents.push(parent));
        parents
    }
}

/// The word of the line with the space before it; empty without parents.
impl fmt::Display for Parents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let befores = core::iter::once(" parents=").chain(core::iter::repeat(","));
        befores.zip(self.iter()).try_for_each(|(before, parent)| write!(f, "{before}{parent}"))
    }
}

/// The form in sentences, without the parents.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ledger={:016x} {}", self.ledger, self.head)
    }
}

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no file.
    None,
    /// The identity of the ledger that was served last.
    There(Identity),
    /// The identity of a ledger that `posgate ledger move` took over.
    Taken(Identity),
    /// The file is not a line of these words: a sentence.
    Spoiled(String),
    /// The file exists and cannot be read: a sentence with path and operation.
    Unread(String),
}

impl Found {
    /// What is wrong with the file, for a warning.
    pub fn fault(&self) -> Option<&str> {
        match self {
            Self::Spoiled(why) | Self::Unread(why) => Some(why),
            Self::None | Self::There(_) | Self::Taken(_) => None,
        }
    }

    /// The identity that it holds.
    pub fn identity(&self) -> Option<Identity> {
        match self {
            Self::There(identity) | Self::Taken(identity) => Some(*identity),
            Self::None | Self::Spoiled(_) | Self::Unread(_) => None,
        }
    }

    fn case(&self) -> IdentityCase {
        match self {
            Self::None => IdentityCase::None,
            Self::There(_) => IdentityCase::There,
            Self::Taken(_) => IdentityCase::Taken,
            Self::Spoiled(_) => IdentityCase::Spoiled,
            Self::Unread(_) => IdentityCase::Unread,
        }
    }
}

// ---------------------------------------------------------------- the file

/// Reads the file's line. Unknown words are ignored: a later program may add some.
fn parse(bytes: &[u8]) -> Option<Found> {
    let text = core::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    if text.contains('\n') {
        return None;
    }
    let find = |key: &str| text.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let digits = find("seq")?;
    let seq = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let crc = u32::try_from(hex(find("crc")?, 8)?).ok()?;
    let parents = find("parents").map(Parents::parse).unwrap_or_default();
    let identity = Identity { ledger: hex(find("ledger")?, 16)?, head: Head { seq: EntrySeq(seq), crc }, parents };
    Some(if find("take") == Some("1") { Found::Taken(identity) } else { Found::There(identity) })
}

/// Reads the file.
pub fn read(path: &Path) -> Found {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LEN_MAX as u64).read_to_end(&mut bytes));
    match read {
        Ok(_) => found_in(&bytes, &path.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Found::None,
        Err(error) => Found::Unread(explain("read", path)(error).to_string()),
    }
}

/// As [`read`], from a storage.
pub fn read_in(files: &dyn Files, name: &str) -> Found {
    match files.has(name) {
        Ok(true) => (),
        Ok(false) => return Found::None,
        Err(error) => return Found::Unread(error.to_string()),
    }
    let mut bytes = [0; LEN_MAX];
    match files.read_at(name, 0, &mut bytes) {
        Ok(len) => found_in(&bytes[..len], &files.path(name)),
        Err(error) => Found::Unread(error.to_string()),
    }
}

fn found_in(bytes: &[u8], path: &str) -> Found {
    let len = bytes.len();
    parse(bytes).unwrap_or_else(|| {
        Found::Spoiled(tr!(
            "{path}: its {len} bytes are not a line `ledger=… seq=… crc=…`: it was cut or changed",
            "{path}：它的 {len} 字节里没有 `ledger=… seq=… crc=…` 这一行：被截断或改过"
        ))
    })
}

/// Writes the file. A power cut leaves the old line or the new one. It allocates nothing.
///
/// # Errors
/// With path and operation. Then the old line is still there, or the new one is whole.
pub fn write<S: Storage>(storage: &mut S, name: &str, identity: &Identity) -> io::Result<()> {
    write_line(storage, name, identity, "")
}

/// Writes the file at this path for a ledger that a person took over: the next start goes on with
/// that ledger on a branch.
///
/// # Errors
/// With path and operation.
pub(crate) fn take(path: &Path, identity: &Identity) -> io::Result<()> {
    let mut keeper = FileKeeper::new(path);
    keeper.storage = DirStorage::beside_new(directory_of(path))?;
    write_line(&mut keeper.storage, &keeper.name, identity, " take=1")
}

fn write_line<S: Storage>(storage: &mut S, name: &str, identity: &Identity, more: &str) -> io::Result<()> {
    let parents = identity.parents;
    let line = heapless::format!(LEN_MAX; "{identity}{parents}{more}\n").expect("LEN_MAX is more than its words have");
    put(storage, name, line.as_bytes())
}

/// Replaces the file's bytes durably. At any moment the file holds the old bytes or the new ones.
pub(super) fn put<S: Storage>(storage: &mut S, name: &str, bytes: &[u8]) -> io::Result<()> {
    let part = heapless::format!(255; "{name}.tmp").map_err(|_| io::Error::from(ErrorKind::InvalidFilename))?;
    if storage.has(&part)? {
        storage.remove(&part)?;
    }
    storage.create(&part, bytes)?;
    storage.sync(&part)?;
    storage.rename(&part, name)?;
    storage.sync_dir()
}

/// Removes the file and the note beside it, so that a new ledger can begin.
///
/// # Errors
/// With path and operation.
pub fn forget(path: &Path) -> io::Result<()> {
    for path in [path, &place_note(path)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(explain("remove", path)(error)),
            Ok(()) | Err(_) => (),
        }
    }
    let dir = directory_of(path);
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(explain("sync", dir)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Keeps the identity of the ledger that a service serves.
pub trait Keeper {
    /// Writes the identity durably.
    ///
    /// # Errors
    /// With path and operation. Then the old identity may still be there.
    fn keep(&mut self, identity: &Identity) -> io::Result<()>;

    /// Draws the random number of a branch.
    ///
    /// # Errors
    /// If the machine gives no random bytes.
    fn draw(&mut self) -> io::Result<u64>;
}

/// The keeper of a real machine, which writes a file.
#[derive(Debug)]
pub struct FileKeeper {
    storage: DirStorage,
    name: String,
}

impl FileKeeper {
    /// Keeps the file at this path. Its directory is made when the file is first written.
    pub fn new(path: &Path) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self { storage: DirStorage::beside(directory_of(path)), name }
    }
}

impl Keeper for FileKeeper {
    fn keep(&mut self, identity: &Identity) -> io::Result<()> {
        match write(&mut self.storage, &self.name, identity) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.storage = DirStorage::beside_new(Path::new(&self.storage.path("")))?;
                write(&mut self.storage, &self.name, identity)
            }
            written => written,
        }
    }

    fn draw(&mut self) -> io::Result<u64> {
        draw()
    }
}

/// Draws the random number of a ledger or a branch.
///
/// # Errors
/// If the machine gives no random bytes.
pub fn draw() -> io::Result<u64> {
    const RANDOM: &str = "/dev/urandom";
    let mut bytes = [0; 8];
    let drawn = File::open(RANDOM).and_then(|mut file| file.read_exact(&mut bytes));
    drawn.map_err(explain("read", Path::new(RANDOM)))?;
    Ok(u64::from_be_bytes(bytes))
}

/// The directory of a file.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Notes the directory of the ledger of the identity at `file`, unless the note holds it already.
///
/// # Errors
/// With path and operation.
pub fn note_place(file: &Path, ledger_dir: &Path) -> io::Result<()> {
    let note = place_note(file);
    let place = std::path::absolute(ledger_dir).unwrap_or_else(|_| ledger_dir.to_owned());
    if noted_place(file).is_some_and(|noted| noted == place) {
        return Ok(());
    }
    let name = note.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    put(&mut DirStorage::beside(directory_of(&note)), &name, place.as_os_str().as_encoded_bytes())
}

/// The noted directory of the ledger of the identity at `file`: where that ledger was served last.
pub fn noted_place(file: &Path) -> Option<PathBuf> {
    let mut place = Vec::new();
    File::open(place_note(file)).ok()?.take(PLACE_LEN_MAX).read_to_end(&mut place).ok()?;
    let place = String::from_utf8(place).ok()?;
    Some(PathBuf::from(place)).filter(|place| place.is_absolute())
}

/// The path of the note of the ledger's directory. A refusal quotes the note, because `identity`
/// holds no directory.
pub fn place_note(identity: &Path) -> PathBuf {
    let mut name = identity.as_os_str().to_owned();
    name.push(".dir");
    PathBuf::from(name)
}

// ---------------------------------------------------------------- the decision

/// The cases of the identity file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityCase {
    /// No file.
    None,
    /// A whole line.
    There,
    /// A whole line that `posgate ledger move` wrote.
    Taken,
    /// Any other content.
    Spoiled,
    /// A file that cannot be read.
    Unread,
}

/// The cases of the ledger in `ledger_dir`. The first four have no identity to compare it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerCase {
    /// No ledger.
    None,
    /// A ledger that this host wrote under this site.
    Own,
    /// A ledger that another host wrote.
    OtherHost,
    /// A ledger that this host wrote under another site.
    OtherSite,
    /// The ledger of the identity, at or after the identity's entry.
    Same,
    /// As `Same`, but another host wrote its newest segment.
    Moved,
    /// The ledger of the identity, without the identity's entry.
    Older,
    /// A ledger that the ledger of the identity branched off.
    Ancestor,
    /// Another ledger.
    Another,
}

/// What a start does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin a new ledger.
    Create,
    /// Go on with the ledger.
    Serve,
    /// Go on with the ledger under a new number.
    Branch,
    /// Do not serve: a person must decide.
    Refuse,
}

/// The module's table, row by row.
pub(crate) const TABLE: &[(IdentityCase, LedgerCase, Action)] = &[
    (IdentityCase::None, LedgerCase::None, Action::Create),
    (IdentityCase::None, LedgerCase::Own, Action::Serve),
    (IdentityCase::None, LedgerCase::OtherHost, Action::Branch),
    (IdentityCase::None, LedgerCase::OtherSite, Action::Branch),
    (IdentityCase::There, LedgerCase::None, Action::Refuse),
    (IdentityCase::There, LedgerCase::Same, Action::Serve),
    (IdentityCase::There, LedgerCase::Moved, Action::Branch),
    (IdentityCase::There, LedgerCase::Older, Action::Branch),
    (IdentityCase::There, LedgerCase::Ancestor, Action::Branch),
    (IdentityCase::There, LedgerCase::Another, Action::Refuse),
    (IdentityCase::Taken, LedgerCase::None, Action::Refuse),
    (IdentityCase::Taken, LedgerCase::Same, Action::Branch),
    (IdentityCase::Taken, LedgerCase::Moved, Action::Branch),
    (IdentityCase::Taken, LedgerCase::Older, Action::Branch),
    (IdentityCase::Taken, LedgerCase::Ancestor, Action::Branch),
    (IdentityCase::Taken, LedgerCase::Another, Action::Refuse),
    (IdentityCase::Spoiled, LedgerCase::None, Action::Refuse),
    (IdentityCase::Spoiled, LedgerCase::Own, Action::Branch),
    (IdentityCase::Spoiled, LedgerCase::OtherHost, Action::Branch),
    (IdentityCase::Spoiled, LedgerCase::OtherSite, Action::Branch),
    (IdentityCase::Unread, LedgerCase::None, Action::Refuse),
    (IdentityCase::Unread, LedgerCase::Own, Action::Serve),
    (IdentityCase::Unread, LedgerCase::OtherHost, Action::Branch),
    (IdentityCase::Unread, LedgerCase::OtherSite, Action::Branch),
];

impl Verdict {
    /// Why the ledger branches: a word for the `start` entry.
    pub fn word(&self) -> &'static str {
        match (self.ledger, self.identity) {
            (LedgerCase::Older | LedgerCase::Ancestor, _) => "rolled-back",
            (_, IdentityCase::Taken) => "taken",
            (_, IdentityCase::Spoiled) => "identity",
            (LedgerCase::OtherSite, _) => "site",
            _ => "moved",
        }
    }
}

/// What a start does, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The case of the identity file.
    pub identity: IdentityCase,
    /// The case of the ledger.
    pub ledger: LedgerCase,
    /// The action in the table's row.
    pub action: Action,
    /// The missing entries, if the ledger is an older copy.
    pub gone: Option<MissingEntries>,
}

/// The machine that would serve the ledger.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// Its identifier, if it has one.
    pub host: Option<Host>,
    /// The site's label.
    pub site: &'a str,
}

/// The ledger in `ledger_dir` and what it branched off, from its segments' headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The newest segment that has a header.
    pub newest: Option<Header>,
    /// Numbers of ledgers, the newest first, each with what it branched off.
    names: Vec<(u64, Option<Parent>)>,
}

impl Lineage {
    /// Reads the headers of a directory and skips unreadable ones.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read(files: &dyn Files) -> io::Result<Self> {
        let mut lineage = Self::default();
        for segment in segment::list(files)?.iter().rev() {
            let Ok(header) = segment::read_header(files, &segment.name)? else { continue };
            if lineage.names.iter().all(|(known, _)| *known != header.ledger) {
                lineage.names.push((header.ledger, header.parent));
            }
            lineage.newest.get_or_insert(header);
        }
        // A parent whose segments were all archived.
        if let Some((_, Some(parent))) = lineage.names.last() {
            let parent = parent.ledger;
            lineage.names.push((parent, None));
        }
        Ok(lineage)
    }

    /// The ledger's number now.
    pub fn number(&self) -> Option<u64> {
        self.names.first().map(|(name, _)| *name)
    }

    /// The last entry of the ledger `name`; `None` if no entry here is of that ledger.
    fn last_of(&self, name: u64, head: Head) -> Option<Head> {
        let place = self.names.iter().position(|(known, _)| *known == name)?;
        Some(match place.checked_sub(1).map(|child| self.names[child].1) {
            Some(Some(parent)) => parent.head,
            Some(None) | None => head,
        })
    }

    /// Whether this machine served the ledger. Without an identity any ledger counts as its own.
    pub fn is_own(&self, found: &Found) -> bool {
        found.identity().is_none_or(|known| {
            let is_here = |ledger| self.names.iter().any(|(name, _)| *name == ledger);
            is_here(known.ledger) || known.parents.iter().any(|parent| is_here(parent.ledger))
        })
    }

    /// What it branched off: first by the headers here, then by the machine's identity.
    pub fn parents(&self, found: &Found) -> Parents {
        let mut parents = Parents::default();
        self.names.iter().filter_map(|(_, parent)| *parent).for_each(|parent| parents.push(parent));
        if let (Some((oldest, _)), Some(known)) = (self.names.last(), found.identity()) {
            let mut names = core::iter::once(known.ledger).chain(known.parents.iter().map(|parent| parent.ledger));
            if let Some(place) = names.position(|name| name == *oldest) {
                known.parents.iter().skip(place).for_each(|parent| parents.push(parent));
            }
        }
        parents
    }

    /// What a start does with the ledger. `head`: its last entry.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn judge(&self, files: &dyn Files, head: Head, found: &Found, machine: Machine) -> io::Result<Verdict> {
        let identity = found.case();
        let (ledger, gone) = match (&self.newest, found.identity()) {
            (None, _) => (LedgerCase::None, None),
            (Some(newest), None) => (written_by(newest, machine), None),
            (Some(newest), Some(known)) => match self.compare(files, head, &known)? {
                Compared::Another => (LedgerCase::Another, None),
                Compared::Ancestor(gone) => (LedgerCase::Ancestor, Some(gone)),
                Compared::Older(gone) => (LedgerCase::Older, Some(gone)),
                Compared::Same if is_other(newest.host, machine.host) => (LedgerCase::Moved, None),
                Compared::Same => (LedgerCase::Same, None),
            },
        };
        let row = TABLE.iter().find(|row| (row.0, row.1) == (identity, ledger));
        let action = row.expect("the table has a row for every combination that can be").2;
        Ok(Verdict { identity, ledger, action, gone })
    }

    fn compare(&self, files: &dyn Files, head: Head, known: &Identity) -> io::Result<Compared> {
        let Some(last) = self.last_of(known.ledger, head) else { return self.compare_parents(files, head, known) };
        let Head { seq, .. } = known.head;
        Ok(match first_missing(files, last, known.head)? {
            Some(first) => Compared::Older(MissingEntries { first, last: seq }),
            None => Compared::Same,
        })
    }

    /// Compares with what the known ledger branched off. Its entries after the branch are missing
    /// here in any case.
    fn compare_parents(&self, files: &dyn Files, head: Head, known: &Identity) -> io::Result<Compared> {
        let mut parents = known.parents.iter();
        let common = parents.find_map(|parent| Some((self.last_of(parent.ledger, head)?, parent.head)));
        let Some((last, point)) = common else { return Ok(Compared::Another) };
        let first = first_missing(files, last, point)?.unwrap_or(point.seq.next());
        // A branch holds at least its first entry, even if its identity was written before that
        // entry.
        Ok(Compared::Ancestor(MissingEntries { first, last: known.head.seq.max(first) }))
    }
}

/// The first entry up to `until` that is missing in a ledger that ends with `last`; `None` if none
/// is.
///
/// # Errors
/// If a file cannot be read.
fn first_missing(files: &dyn Files, last: Head, until: Head) -> io::Result<Option<EntrySeq>> {
    let Head { seq, crc } = until;
    if seq > last.seq {
        return Ok(Some(last.seq.next()));
    }
    let here = if seq == last.seq { Some(last.crc) } else { crc_of(files, seq)? };
    // An archived entry cannot be compared.
    let is_other = here.is_some_and(|here| here != crc);
    Ok(is_other.then_some(seq))
}

enum Compared {
    Same,
    Older(MissingEntries),
    Ancestor(MissingEntries),
    Another,
}

fn written_by(newest: &Header, machine: Machine) -> LedgerCase {
    if is_other(newest.host, machine.host) {
        LedgerCase::OtherHost
    } else if newest.site != super::header::as_written(machine.site) {
        LedgerCase::OtherSite
    } else {
        LedgerCase::Own
    }
}

/// Whether both hosts are known and differ.
fn is_other(one: Option<Host>, other: Option<Host>) -> bool {
    one.is_some() && other.is_some() && one != other
}

/// The crc of an entry, if a segment here holds it or continues from it.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn crc_of(files: &dyn Files, seq: EntrySeq) -> io::Result<Option<u32>> {
    let segments = segment::list(files)?;
    let after = segments.iter().find(|segment| segment.first == seq.next());
    if let Some(Segment { name, .. }) = after
        && let Ok(header) = segment::read_header(files, name)?
    {
        return Ok(Some(header.chain));
    }
    let Some(segment) = segment::holding(&segments, seq) else { return Ok(None) };
    let crc = segment::find_line(files, &segment.name, None, seq, |line| line::crc_column(line.text))?;
    Ok(crc.flatten())
}

// ---------------------------------------------------------------- words

/// Why a start is refused, and the remedies: a sentence. `place` is `ledger_dir`, `was` the
/// directory where the ledger was served last.
pub fn refusal(verdict: &Verdict, found: &Found, lineage: &Lineage, file: &Path, place: &Path, was: &Path) -> String {
    let (file, place, was) = (file.display(), place.display(), was.display());
    let known = found
        .identity()
        .map_or_else(|| tr("whose number is unknown", "哪一个没有写明").to_owned(), |known| known.to_string());
    match verdict.ledger {
        LedgerCase::Another => {
            let here = lineage.number().unwrap_or_default();
            tr!(
                "{place}: another ledger is here: ledger={here:016x}, and this machine serves {known} ({file}), which was in {was}. \
                 Mount, move or restore that one; or go on with the one that is here: `posgate ledger move`; or begin a new one, in which \
                 everybody's opening figures count again: `posgate ledger new`",
                "{place}：这里是另一个账本 ledger={here:016x}，而本机的是 {known}（{file}），原来在 {was}。请挂载、移回或恢复那一个；或者接着用这里的：`posgate ledger move`；或者新建一个，所有人的开户数重新计：`posgate ledger new`"
            )
        }
        _ => {
            let why = found.fault().map_or_else(String::new, |fault| tr!(" ({fault})", "（{fault}）"));
            let is_elsewhere = was.to_string() != place.to_string();
            let moves = if is_elsewhere {
                tr!(" (`posgate ledger move {place}` moves it)", "（用 `posgate ledger move {place}` 移过去）")
            } else {
                String::new()
            };
            tr!(
                "{place}: no ledger is here, and this machine serves one, {known} ({file}){why}, which was in {was}. Mount, move{moves} or restore it \
                 there, or correct `option ledger_dir`; or, if it is gone for good, `posgate ledger new` begins a new one, in which everybody's \
                 opening figures count again",
                "{place}：这里没有账本，而本机有一个，{known}（{file}）{why}，原来在 {was}。请在那里挂载、移回{moves}或恢复它，或者改正 `option ledger_dir`；如果找不回来了，`posgate ledger new` 新建一个，所有人的开户数重新计"
            )
        }
    }
}

/// Why the ledger goes on as a branch: a sentence for the log.
pub fn branched(verdict: &Verdict, found: &Found, parent: Option<Parent>, number: u64) -> String {
    let why = match (verdict.ledger, verdict.identity) {
        (LedgerCase::Older | LedgerCase::Ancestor, _) => {
            let gone = verdict.gone.map_or_else(String::new, |gone| format!(": entries {gone} are missing"));
            format!(
                "it is an older copy{gone}; look on paper what they were, book them with `posgate ctl adjust`, then `posgate ctl acknowledge`"
            )
        }
        (_, IdentityCase::Taken) => "`posgate ledger move` took it".to_owned(),
        (_, IdentityCase::Spoiled) => {
            let fault = found.fault().unwrap_or_default();
            format!("{fault}; it may be an older copy")
        }
        (LedgerCase::OtherSite, _) => "it was written under another site: moved here, or copied".to_owned(),
        _ => "another machine wrote it: moved here, or copied".to_owned(),
    };
    let parent = parent.map_or_else(|| "nothing".to_owned(), |parent| parent.to_string());
    format!("branch ledger={number:016x} parent={parent}: {why}")
}

#[cfg(test)]
mod tests {
    use super::super::recovery::OpenError;
    use super::super::storage::MemoryStorage;
    use super::super::testing::{self, FIRST};
    use super::super::verify::verify_directory;
    use super::super::writer::{Ledger, Opened, Opening};
    use super::super::{Entries, recovery};
    use super::*;
    use crate::engine::model::Entry;

    const OURS: Host = Host(0x0A);
    const THEIRS: Host = Host(0x0B);

    const IDENTITIES: [IdentityCase; 5] =
        [IdentityCase::None, IdentityCase::There, IdentityCase::Taken, IdentityCase::Spoiled, IdentityCase::Unread];
    const LEDGERS: [LedgerCase; 9] = [
        LedgerCase::None,
        LedgerCase::Own,
        LedgerCase::OtherHost,
        LedgerCase::OtherSite,
        LedgerCase::Same,
        LedgerCase::Moved,
        LedgerCase::Older,
        LedgerCase::Ancestor,
        LedgerCase::Another,
    ];

    fn opening(host: Option<Host>, found: &Found) -> Opening<'_> {
        Opening { site: "test", host, created: testing::stamp(), identity: Some(found) }
    }

    type Begun<'a> = Result<(Ledger<&'a mut MemoryStorage>, Opened), OpenError>;

    /// A start by a machine with this identity; `name` is the number that it would draw.
    fn start<'a>(storage: &'a mut MemoryStorage, host: Option<Host>, found: &Found, name: u64) -> Begun<'a> {
        Ledger::open_as(storage, &opening(host, found), || name, &mut Entries(|_: &Entry| Ok(())))
    }

    /// A ledger of `entries` entries, and the identity of the machine that wrote it.
    fn ledger_of(host: Option<Host>, name: u64, entries: u64) -> (MemoryStorage, Found) {
        let mut storage = MemoryStorage::default();
        let (mut ledger, _) = start(&mut storage, host, &Found::None, name).unwrap();
        append(&mut ledger, entries);
        let known = Found::There(ledger.identity());
        (storage, known)
    }

    fn append(ledger: &mut Ledger<&mut MemoryStorage>, entries: u64) {
        for _ in 0..entries {
            ledger.append(&testing::entry(ledger.next_seq().0));
        }
        ledger.write().unwrap();
        ledger.sync().unwrap();
    }

    fn is_clean(storage: &MemoryStorage) -> u64 {
        let names: Vec<String> = segment::list(storage).unwrap().into_iter().map(|segment| segment.name).collect();
        let report = verify_directory(storage, &names, &mut || ()).unwrap();
        assert_eq!(report.exit_code(), 0, "{report}");
        report.head.seq.0
    }

    fn known(ledger: u64, seq: u64, crc: u32) -> Found {
        Found::There(Identity { ledger, head: Head { seq: EntrySeq(seq), crc }, parents: Parents::default() })
    }

    /// The identity of a ledger that branched off these, the newest first.
    fn branched_off(ledger: u64, seq: u64, parents: &[Parent]) -> Identity {
        let mut identity = known(ledger, seq, 7).identity().unwrap();
        for parent in parents {
            identity.parents.push(*parent);
        }
        identity
    }

    #[test]
    fn the_table_has_one_row_for_every_combination_that_can_be() {
        for identity in IDENTITIES {
            for ledger in LEDGERS {
                let names_one = matches!(identity, IdentityCase::There | IdentityCase::Taken);
                let can_be = match ledger {
                    LedgerCase::None => true,
                    LedgerCase::Own | LedgerCase::OtherHost | LedgerCase::OtherSite => !names_one,
                    LedgerCase::Same
                    | LedgerCase::Moved
                    | LedgerCase::Older
                    | LedgerCase::Ancestor
                    | LedgerCase::Another => names_one,
                };
                let rows = TABLE.iter().filter(|row| (row.0, row.1) == (identity, ledger)).count();
                assert_eq!(rows, usize::from(can_be), "{identity:?} {ledger:?}");
            }
        }
        assert_eq!(TABLE.len(), 2 * 6 + 3 * 4);
    }

    #[test]
    fn every_row_of_the_table_is_followed() {
        for (identity, ledger, action) in TABLE {
            let (there, own) = ledger_of(Some(OURS), 0xA1, 5);
            let (host, site) = match ledger {
                LedgerCase::OtherHost | LedgerCase::Moved => (Some(THEIRS), "test"),
                LedgerCase::OtherSite => (Some(OURS), "elsewhere"),
                _ => (Some(OURS), "test"),
            };
            let mut storage = if *ledger == LedgerCase::None { MemoryStorage::default() } else { there };
            let named = match ledger {
                LedgerCase::Older => known(0xA1, 9, 7).identity().unwrap(),
                LedgerCase::Ancestor => {
                    let parent = Parent { ledger: 0xA1, head: own.identity().unwrap().head };
                    branched_off(0xEE, 9, &[Parent { ledger: 0xED, ..parent }, parent])
                }
                LedgerCase::Another => known(0xEE, 5, 7).identity().unwrap(),
                _ => own.identity().unwrap(),
            };
            let found = match identity {
                IdentityCase::None => Found::None,
                IdentityCase::There => Found::There(named),
                IdentityCase::Taken => Found::Taken(named),
                IdentityCase::Spoiled => Found::Spoiled("cut".to_owned()),
                IdentityCase::Unread => Found::Unread("denied".to_owned()),
            };
            let before = storage.clone();
            let context = format!("{identity:?} {ledger:?} {action:?}");
            let opening = Opening { site, ..opening(host, &found) };
            let opened = Ledger::open_as(&mut storage, &opening, || 0xB2, &mut Entries(|_: &Entry| Ok(())));
            let verdict = match opened {
                Err(OpenError::NotOurs(verdict)) => {
                    assert_eq!((action, storage.done), (&Action::Refuse, before.done), "{context}: nothing is touched");
                    verdict
                }
                Err(error) => panic!("{context}: {error}"),
                Ok((ledger, opened)) => {
                    let parent = Parent { ledger: 0xA1, head: opened.head };
                    match action {
                        Action::Create => {
                            assert_eq!((ledger.number(), ledger.head().seq.0, opened.created), (0xB2, 0, true));
                        }
                        Action::Serve => assert_eq!((ledger.number(), opened.branch), (0xA1, None), "{context}"),
                        Action::Branch => {
                            assert_eq!((ledger.number(), ledger.parent()), (0xB2, Some(parent)), "{context}");
                            assert_eq!(opened.branch, Some((0xB2, Some(parent))), "{context}");
                            assert_eq!(ledger.head().seq.0, 5, "{context}: seq and chain go on");
                        }
                        Action::Refuse => panic!("{context}: it was served"),
                    }
                    opened.verdict.unwrap()
                }
            };
            assert_eq!((verdict.identity, verdict.ledger, verdict.action), (*identity, *ledger, *action));
            let gone = MissingEntries { first: EntrySeq(6), last: EntrySeq(9) };
            let is_older = matches!(ledger, LedgerCase::Older | LedgerCase::Ancestor);
            assert_eq!(verdict.gone, is_older.then_some(gone), "{context}");
        }
    }

    #[test]
    fn a_whole_line_is_read_and_a_cut_line_is_spoiled() {
        let mut storage = MemoryStorage::default();
        let identity = known(0xA1, 17, 0xBEEF).identity().unwrap();
        write(&mut storage, "identity", &identity).unwrap();
        let line = storage.files["identity"].clone();
        assert_eq!(line, b"ledger=00000000000000a1 seq=17 crc=0000beef\n");
        assert_eq!(read_in(&storage, "identity"), Found::There(identity));
        assert_eq!(storage.files.len(), 1, "no rest");
        for len in 0..line.len() {
            storage.files.insert("identity".to_owned(), line[..len].to_vec());
            assert!(matches!(read_in(&storage, "identity"), Found::Spoiled(_)), "{len} bytes");
        }
        for wrong in [
            "\n",
            "ledger=a1 seq=17 crc=0000beef\n",
            "seq=17 crc=0000beef\n",
            "\u{0}\u{0}\u{0}\n",
            "ledger=00000000000000a1 seq=-1 crc=0000beef\n",
        ] {
            storage.files.insert("identity".to_owned(), wrong.into());
            let found = read_in(&storage, "identity");
            assert!(found.fault().is_some_and(|fault| fault.contains("identity")), "{wrong:?}: {found:?}");
        }
        let later = "ledger=00000000000000a1 seq=17 crc=0000beef new=1\n";
        storage.files.insert("identity".to_owned(), later.into());
        assert_eq!(read_in(&storage, "identity"), Found::There(identity), "a later program may add words");
        storage.files.clear();
        assert_eq!(read_in(&storage, "identity"), Found::None);
    }

    #[test]
    fn a_line_with_all_parents_is_read_whole_or_is_spoiled() {
        let mut storage = MemoryStorage::default();
        let parent = |ledger| Parent { ledger, head: Head { seq: EntrySeq(u64::MAX), crc: u32::MAX } };
        let identity = branched_off(0xA1, u64::MAX, &[parent(u64::MAX); PARENTS_MAX]);
        write_line(&mut storage, "identity", &identity, " take=1").unwrap();
        let line = storage.files["identity"].clone();
        assert!(line.len() <= LEN_MAX - 50, "{} bytes", line.len());
        assert_eq!(read_in(&storage, "identity"), Found::Taken(identity));
        for len in 0..line.len() {
            storage.files.insert("identity".to_owned(), line[..len].to_vec());
            assert!(matches!(read_in(&storage, "identity"), Found::Spoiled(_)), "{len} bytes");
        }
        let head = "ledger=00000000000000a1 seq=17 crc=00000007";
        let good = "00000000000000a0:9:0000beef";
        let one = Parent { ledger: 0xA0, head: Head { seq: EntrySeq(9), crc: 0xBEEF } };
        let two = format!("{head} parents={good},000000000000009f:4:00000001\n");
        storage.files.insert("identity".to_owned(), two.clone().into());
        let Found::There(read) = read_in(&storage, "identity") else { panic!("{two}") };
        assert_eq!((read.parents.0[0], read.parents.iter().count()), (Some(one), 2));
        write(&mut storage, "identity", &read).unwrap();
        assert_eq!(storage.files["identity"], two.as_bytes());
        for wrong in ["", ",", "x", &format!("{good},x,{good}"), &format!("{good}:1"), &format!("x,{good}")] {
            storage.files.insert("identity".to_owned(), format!("{head} parents={wrong}\n").into());
            let parents = &[one][..usize::from(wrong.starts_with(good) && wrong.contains(','))];
            assert_eq!(read_in(&storage, "identity"), Found::There(branched_off(0xA1, 17, parents)), "{wrong:?}");
        }
    }

    #[test]
    fn a_copy_from_before_a_branch_is_an_older_copy_however_often_it_is_restored() {
        let (mut storage, mut found) = ledger_of(Some(OURS), 0xA1, 15);
        let copy = storage.clone();
        let mut longer = storage.clone();
        {
            let (mut ledger, _) = start(&mut storage, Some(OURS), &found, 0).unwrap();
            append(&mut ledger, 5);
            found = Found::There(ledger.identity());
        }
        {
            let (mut ledger, _) = start(&mut longer, Some(OURS), &Found::None, 0).unwrap();
            append(&mut ledger, 9);
        }
        // The same copy each time; every third attempt ends before the identity is written.
        for (turn, name) in (0xB0..0xBC_u64).enumerate() {
            let mut storage = copy.clone();
            let gone = format!("16-{}", found.identity().unwrap().head.seq);
            let mut names = vec![name];
            if turn % 3 == 2 {
                names.insert(0, 0xF0 + name);
            }
            for name in names {
                let (mut ledger, opened) = start(&mut storage, Some(OURS), &found, name).unwrap();
                let verdict = opened.verdict.unwrap();
                assert_eq!((verdict.action, verdict.word()), (Action::Branch, "rolled-back"), "{name:x}");
                assert_eq!((ledger.number(), verdict.gone.unwrap().to_string()), (name, gone.clone()));
                append(&mut ledger, 1);
                if name < 0xF0 {
                    found = Found::There(ledger.identity());
                    assert_eq!(ledger.identity().parents.iter().last().unwrap().ledger, 0xA1);
                }
            }
            is_clean(&storage);
        }
        // A copy that goes on beyond the branch, and a copy with another entry there.
        let gone_of = |storage: &MemoryStorage, found: &Found| {
            let mut storage = storage.clone();
            let (_, opened) = start(&mut storage, Some(OURS), found, 0xC3).ok().unwrap();
            let verdict = opened.verdict.unwrap();
            assert_eq!((verdict.ledger, verdict.action), (LedgerCase::Ancestor, Action::Branch), "{found:?}");
            verdict.gone.unwrap().to_string()
        };
        assert_eq!(gone_of(&longer, &found), format!("16-{}", found.identity().unwrap().head.seq));
        let point = Parent { ledger: 0xA1, head: Head { seq: EntrySeq(15), crc: 1 } };
        assert_eq!(gone_of(&copy, &Found::There(branched_off(0xEE, 30, &[point]))), "15-30");
        assert_eq!(gone_of(&longer, &Found::There(branched_off(0xEE, 30, &[point]))), "15-30");
        // Without a common parent.
        for found in [branched_off(0xEE, 30, &[Parent { ledger: 0xA2, ..point }]), branched_off(0xEE, 30, &[])] {
            let refused = start(&mut copy.clone(), Some(OURS), &Found::There(found), 0xC3).err().unwrap();
            assert!(matches!(refused, OpenError::NotOurs(verdict) if verdict.ledger == LedgerCase::Another));
        }
    }

    #[test]
    fn parents_are_carried_from_branch_to_branch_up_to_their_limit() {
        let (mut storage, found) = ledger_of(Some(OURS), 0xA0, 3);
        let mut first = storage.clone();
        let names_of = |parents: &Parents| parents.iter().map(|parent| parent.ledger).collect::<Vec<_>>();
        let mut all = vec![0xA0];
        {
            let (mut ledger, _) = start(&mut storage, Some(OURS), &found, 0).unwrap();
            for name in 0xA1..0xAC {
                ledger.branch(name, testing::stamp()).unwrap();
                assert_eq!(names_of(&ledger.identity().parents), all[..all.len().min(PARENTS_MAX)]);
                // A number without entries is not kept as a parent.
                ledger.branch(name + 0x100, testing::stamp()).unwrap();
                assert_eq!(names_of(&ledger.identity().parents), all[..all.len().min(PARENTS_MAX)]);
                append(&mut ledger, 1);
                all.insert(0, name + 0x100);
            }
        }
        // Another start reads the parents from the headers, and from the identity if segments were
        // archived.
        let replayed = recovery::replay(&storage, &mut Entries(|_: &Entry| Ok(()))).unwrap();
        let lineage = Lineage::read(&storage).unwrap();
        assert_eq!(names_of(&lineage.parents(&Found::None)), all[1..=PARENTS_MAX]);
        let parents = lineage.parents(&Found::None);
        let known = Identity { ledger: all[0], head: replayed.head, parents };
        for segment in segment::list(&storage).unwrap().into_iter().rev().skip(2) {
            storage.files.remove(&segment.name);
        }
        let lineage = Lineage::read(&storage).unwrap();
        assert_eq!(names_of(&lineage.parents(&Found::None)), all[1..3]);
        assert_eq!(names_of(&lineage.parents(&Found::There(known))), all[1..=PARENTS_MAX]);
        assert_eq!(names_of(&lineage.parents(&super::tests::known(0xEE, 3, 1))), all[1..3]);
        // A parent that was dropped counts as another ledger.
        let refused = start(&mut first, Some(OURS), &Found::There(known), 0xC3).err().unwrap();
        assert!(matches!(refused, OpenError::NotOurs(_)));
    }

    #[test]
    fn a_real_file_is_written_into_a_new_directory_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/identity");
        assert_eq!(read(&path), Found::None);
        let identity = known(7, 3, 1).identity().unwrap();
        let mut keeper = FileKeeper::new(&path);
        keeper.keep(&identity).unwrap();
        keeper.keep(&Identity { ledger: 8, ..identity }).unwrap();
        assert_eq!(read(&path), Found::There(Identity { ledger: 8, ..identity }));
        assert_ne!(keeper.draw().unwrap(), keeper.draw().unwrap());
        note_place(&path, Path::new("/mnt/stick/ledger")).unwrap();
        assert_eq!(noted_place(&path).unwrap(), Path::new("/mnt/stick/ledger"));
        assert_eq!(fs::read_dir(dir.path().join("state")).unwrap().count(), 2, "no rest");
        forget(&path).unwrap();
        forget(&path).unwrap();
        assert_eq!((read(&path), noted_place(&path)), (Found::None, None));
        // A directory in its place can neither be read nor written.
        fs::create_dir(&path).unwrap();
        assert!(matches!(read(&path), Found::Unread(_)));
        assert!(keeper.keep(&identity).is_err());
    }

    #[test]
    fn a_crash_at_any_step_leaves_the_old_line_or_the_new_one() {
        let parent = Parent { ledger: 6, head: Head { seq: EntrySeq(1), crc: 2 } };
        let identity = |seq| branched_off(7, seq, &[parent; PARENTS_MAX][..usize::from(seq > 1)]);
        for steps in 0.. {
            let mut storage = MemoryStorage::default();
            write(&mut storage, "identity", &identity(1)).unwrap();
            storage.steps_left = Some(steps);
            let has_crashed = write(&mut storage, "identity", &identity(2)).is_err();
            storage.steps_left = None;
            let found = read_in(&storage, "identity");
            assert!([1, 2].map(|seq| Found::There(identity(seq))).contains(&found), "{steps}: {found:?}");
            write(&mut storage, "identity", &identity(3)).unwrap();
            assert_eq!(read_in(&storage, "identity"), Found::There(identity(3)), "{steps}");
            if !has_crashed {
                assert!(steps > 3, "each step was a crash once");
                break;
            }
        }
    }

    #[test]
    fn a_crash_at_any_step_of_a_branch_leaves_all_of_it_or_nothing() {
        // With entries in the newest segment, and without.
        for is_empty in [false, true] {
            for steps in 0.. {
                let (mut storage, found) = ledger_of(Some(THEIRS), 0xA1, 20);
                if is_empty {
                    let (mut ledger, _) = start(&mut storage, Some(THEIRS), &found, 0).unwrap();
                    ledger.rotate(testing::stamp()).unwrap();
                }
                storage.steps_left = Some(steps);
                let has_crashed = start(&mut storage, Some(OURS), &found, 0xB2).is_err();
                storage.steps_left = None;
                assert_eq!(is_clean(&storage), 20, "{is_empty} {steps}");
                let lineage = Lineage::read(&storage).unwrap();
                let name = lineage.number().unwrap();
                assert!([0xA1, 0xB2].contains(&name), "{is_empty} {steps}: {name:x}");
                // The identity was not written yet; the next start goes on under a number that no
                // entry has.
                let (mut ledger, opened) = start(&mut storage, Some(OURS), &found, 0xC3).unwrap();
                let names = if name == 0xB2 { (0xB2, None) } else { (0xC3, Some(0xC3)) };
                assert_eq!((ledger.number(), opened.branch.map(|branch| branch.0)), names, "{is_empty} {steps}");
                assert_eq!(ledger.parent().map(|parent| (parent.ledger, parent.head.seq.0)), Some((0xA1, 20)));
                append(&mut ledger, 3);
                assert_eq!(is_clean(&storage), 23);
                if !has_crashed {
                    break;
                }
            }
        }
    }

    #[test]
    fn an_identity_before_a_branch_accepts_entries_up_to_the_branch_only() {
        let (mut storage, at_20) = ledger_of(Some(OURS), 0xA1, 20);
        let early = { recovery::replay(&storage, &mut Entries(|_: &Entry| Ok(()))).unwrap().head };
        assert_eq!(at_20.identity().unwrap().head, early);
        let crc = |storage: &MemoryStorage, seq| crc_of(storage, EntrySeq(seq)).unwrap().unwrap();
        let at_9 = known(0xA1, 9, crc(&storage, 9));
        {
            let (mut ledger, _) = start(&mut storage, Some(OURS), &at_20, 0).unwrap();
            ledger.branch(0xB2, testing::stamp()).unwrap();
            append(&mut ledger, 10);
            ledger.branch(0xC3, testing::stamp()).unwrap();
            append(&mut ledger, 10);
        }
        assert_eq!(is_clean(&storage), 40);
        let b_at_25 = known(0xB2, 25, crc(&storage, 25));
        for found in [&at_9, &at_20, &b_at_25] {
            let verdict = start(&mut storage.clone(), Some(OURS), found, 0xD4).unwrap().1.verdict.unwrap();
            assert_eq!((verdict.ledger, verdict.action), (LedgerCase::Same, Action::Serve), "{found:?}");
        }
        // Entry 21 of the first ledger is not entry 21 of its branch.
        for (found, gone) in [
            (known(0xA1, 25, crc(&storage, 25)), "21-25"),
            (known(0xA1, 9, crc(&storage, 9) ^ 1), "9-9"),
            (known(0xC3, 50, 1), "41-50"),
        ] {
            let (_, opened) =
                start(&mut storage.clone(), Some(OURS), &found, 0xD4).map_err(|error| error.to_string()).unwrap();
            let verdict = opened.verdict.unwrap();
            assert_eq!((verdict.ledger, verdict.gone.unwrap().to_string().as_str()), (LedgerCase::Older, gone));
        }
        // Older segments were archived: the remaining headers still name the parents.
        storage.files.remove(FIRST);
        let lineage = Lineage::read(&storage).unwrap();
        let head = Head { seq: EntrySeq(40), crc: crc(&storage, 40) };
        let machine = Machine { host: Some(OURS), site: "test" };
        assert_eq!(lineage.judge(&storage, head, &at_20, machine).unwrap().ledger, LedgerCase::Same);
        assert_eq!(lineage.judge(&storage, head, &known(0xEE, 3, 1), machine).unwrap().ledger, LedgerCase::Another);
    }

    #[test]
    fn an_unknown_machine_does_not_cause_a_branch() {
        for (writer, reader) in [(None, Some(OURS)), (Some(OURS), None), (None, None)] {
            let (storage, found) = ledger_of(writer, 0xA1, 5);
            for found in [&found, &Found::None] {
                let (ledger, opened) = start(&mut storage.clone(), reader, found, 0xB2)
                    .map(|(ledger, opened)| (ledger.number(), opened))
                    .unwrap();
                assert_eq!((ledger, opened.branch), (0xA1, None));
            }
        }
    }

    #[test]
    fn a_medium_that_moves_between_machines_branches_each_time_and_stays_one_chain() {
        let (mut storage, mut ours) = ledger_of(Some(OURS), 1, 3);
        let mut theirs = Found::None;
        for name in 2..7 {
            let (host, known) = if name % 2 == 0 { (THEIRS, &mut theirs) } else { (OURS, &mut ours) };
            let (mut ledger, opened) = start(&mut storage, Some(host), known, name).unwrap();
            assert_eq!((ledger.number(), opened.verdict.unwrap().gone), (name, None));
            append(&mut ledger, 3);
            *known = Found::There(ledger.identity());
        }
        assert_eq!(is_clean(&storage), 18);
        let replayed = recovery::replay(&storage, &mut Entries(|_: &Entry| Ok(()))).unwrap();
        assert_eq!((replayed.ledger, replayed.head.seq.0), (Some(6), 18));
    }

    #[test]
    fn a_branch_that_begins_elsewhere_or_has_no_parent_is_another_ledger() {
        let (mut storage, found) = ledger_of(Some(OURS), 0xA1, 20);
        let name = segment::name_of(EntrySeq(21));
        {
            let (mut ledger, _) = start(&mut storage, Some(OURS), &found, 0).unwrap();
            ledger.branch(0xB2, testing::stamp()).unwrap();
            append(&mut ledger, 2);
        }
        let header = segment::read_header(&storage, &name).unwrap().unwrap();
        let parent = header.parent.unwrap();
        let crc = parent.head.crc ^ 1;
        for parent in [
            None,
            Some(Parent { ledger: 0xA2, ..parent }),
            Some(Parent { head: Head { seq: EntrySeq(19), ..parent.head }, ..parent }),
            Some(Parent { head: Head { crc, ..parent.head }, ..parent }),
        ] {
            let mut spoiled = storage.clone();
            let bytes = Header { parent, ..header.clone() }.emit();
            spoiled.files.get_mut(&name).unwrap()[..bytes.len()].copy_from_slice(&bytes);
            let error = recovery::replay(&spoiled, &mut Entries(|_: &Entry| Ok(()))).unwrap_err().to_string();
            assert!(error.contains(&name) && (error.contains("ledger=") || error.contains("parent=")), "{error}");
            let names: Vec<String> = segment::list(&spoiled).unwrap().into_iter().map(|segment| segment.name).collect();
            assert_eq!(verify_directory(&spoiled, &names, &mut || ()).unwrap().exit_code(), 5);
        }
    }

    #[test]
    fn a_snapshot_of_the_last_entry_before_a_branch_and_of_the_first_after_is_believed() {
        for entries_after in [0, 1, 5] {
            let (mut storage, found) = ledger_of(Some(OURS), 0xA1, 20);
            {
                let (mut ledger, _) = start(&mut storage, Some(OURS), &found, 0).unwrap();
                let created = testing::stamp();
                ledger.write_snapshot(created, &Entries(|_: &Entry| Ok(()))).unwrap();
                ledger.branch(0xB2, created).unwrap();
                append(&mut ledger, entries_after);
                let replayed = recovery::replay(ledger.storage(), &mut Entries(|_: &Entry| Ok(()))).unwrap();
                assert_eq!((replayed.snapshot, replayed.disbelief), (Some(EntrySeq(20)), None));
                assert_eq!((replayed.ledger, replayed.parent), (Some(0xB2), ledger.parent()));
                ledger.write_snapshot(created, &Entries(|_: &Entry| Ok(()))).unwrap();
            }
            let replayed = recovery::replay(&storage, &mut Entries(|_: &Entry| Ok(()))).unwrap();
            assert_eq!((replayed.snapshot, replayed.disbelief), (Some(EntrySeq(20 + entries_after)), None));
            assert_eq!(is_clean(&storage), 20 + entries_after);
        }
    }

    #[test]
    fn without_room_for_a_branch_nothing_is_written_until_a_start_finds_room() {
        let (mut storage, found) = ledger_of(Some(THEIRS), 0xA1, 20);
        storage.fail = Some("create ledger-".to_owned());
        storage.fails_for_room = true;
        {
            let (ledger, opened) = start(&mut storage, Some(OURS), &found, 0xB2).unwrap();
            assert!(ledger.is_closed() && opened.branch.is_none() && ledger.number() == 0xA1, "{opened:?}");
            assert!(opened.warnings.iter().any(|warning| warning.contains("branch")), "{opened:?}");
        }
        storage.fail = None;
        let (mut ledger, opened) = start(&mut storage, Some(OURS), &found, 0xB2).unwrap();
        assert_eq!((ledger.number(), ledger.is_closed(), opened.branch.is_some()), (0xB2, false, true));
        append(&mut ledger, 2);
        assert_eq!(is_clean(&storage), 22);
        assert_eq!(Lineage::read(&storage).unwrap().newest.unwrap().parent.unwrap().ledger, 0xA1);
    }

    #[test]
    fn a_refusal_names_both_ledgers_and_the_remedies() {
        let (storage, _) = ledger_of(Some(OURS), 0xA1, 5);
        let found = known(0xEE, 17, 7);
        let lineage = Lineage::read(&storage).unwrap();
        let machine = Machine { host: Some(OURS), site: "test" };
        let verdict = lineage.judge(&storage, Head { seq: EntrySeq(5), crc: 1 }, &found, machine).unwrap();
        let (file, place, was) = (Path::new("/c/identity"), Path::new("/x/ledger"), Path::new("/y/ledger"));
        let words = refusal(&verdict, &found, &lineage, file, place, was);
        for word in
            ["00000000000000a1", "00000000000000ee", "seq=17", "/x/ledger", "/y/ledger", "ledger move", "ledger new"]
        {
            assert!(words.contains(word), "{word}: {words}");
        }
        let none = MemoryStorage::default();
        let away = Lineage::default().judge(&none, Head::default(), &found, machine).unwrap();
        let words = refusal(&away, &found, &Lineage::default(), file, place, was);
        for word in [
            "no ledger",
            "00000000000000ee",
            "/x/ledger",
            "/y/ledger",
            "ount",
            "restore",
            "ledger new",
            "opening figures",
        ] {
            assert!(words.contains(word), "{word}: {words}");
        }
    }

    #[test]
    fn a_ledger_without_entries_gets_a_new_number() {
        let mut storage = testing::ledger_of(&[]);
        let (ledger, _) = start(&mut storage, Some(OURS), &Found::Spoiled("cut".to_owned()), 0xB2).unwrap();
        assert_eq!((ledger.number(), ledger.parent()), (0xB2, None));
        drop(ledger);
        assert_eq!(is_clean(&storage), 0);
    }
}
