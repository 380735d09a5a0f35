//! What a turn of the loop does to the world, in order (design.md, section 1): 001s at once, then
//! the entries in one write, then the prompt replies, then one sync, then the committed replies.

use core::net::{Ipv4Addr, SocketAddrV4};

use crate::engine::limits::{ENTRIES_MAX, MAIL_BYTES_MAX, MAIL_COUNT_MAX, REPLY_LEN_MAX};
use crate::engine::model::{Entry, Mono};

/// Where a datagram came from and where its reply goes: to the source, from the address that was
/// asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The datagram's source.
    pub source: SocketAddrV4,
    /// The address that it was sent to.
    pub local: Ipv4Addr,
    /// The number of the socket that it came in on.
    pub socket: u8,
}

#[derive(Clone, Copy)]
struct Letter {
    peer: Peer,
    start: u32,
    len: u16,
    expires: Option<Mono>,
}

/// Replies of one turn, in order.
pub struct Outgoing {
    letters: heapless::Vec<Letter, MAIL_COUNT_MAX>,
    bytes: heapless::Vec<u8, MAIL_BYTES_MAX>,
}

impl Outgoing {
    /// Empty.
    pub const fn new() -> Self {
        Self { letters: heapless::Vec::new(), bytes: heapless::Vec::new() }
    }

    /// Adds a reply.
    pub fn push(&mut self, peer: Peer, frame: &[u8]) {
        self.push_until(peer, frame, None);
    }

    /// Adds a reply that must not leave at `expires` or later, however slow the disk was.
    pub fn push_until(&mut self, peer: Peer, frame: &[u8], expires: Option<Mono>) {
        let start = u32::try_from(self.bytes.len()).expect("MAIL_BYTES_MAX fits 32 bits");
        let len = u16::try_from(frame.len()).expect("a reply is at most REPLY_LEN_MAX");
        self.bytes.extend_from_slice(frame).expect("a turn ends while has_room");
        assert!(self.letters.push(Letter { peer, start, len, expires }).is_ok(), "a turn ends while has_room");
    }

    /// The replies in order.
    pub fn iter(&self) -> impl Iterator<Item = (Peer, &[u8])> + Clone {
        self.letters.iter().map(|letter| self.read(letter))
    }

    fn read(&self, letter: &Letter) -> (Peer, &[u8]) {
        (letter.peer, &self.bytes[letter.start as usize..][..usize::from(letter.len)])
    }

    /// The replies in order that may still leave.
    pub fn iter_at(&self, now: Mono) -> impl Iterator<Item = (Peer, &[u8])> + Clone {
        let may_leave = self.letters.iter().map(move |letter| letter.expires.is_none_or(|expires| now < expires));
        self.iter().zip(may_leave).filter(|(_, may_leave)| *may_leave).map(|(mail, _)| mail)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Forgets what was sent.
    pub fn clear(&mut self) {
        self.letters.clear();
        self.bytes.clear();
    }

    /// Whether so many more frames or timers may be handled: each leads to at most a result and
    /// three short replies.
    pub fn has_room(&self, count: usize) -> bool {
        let (letters, bytes) = (4 * count, (REPLY_LEN_MAX + 3 * 64) * count);
        self.letters.len() + letters <= MAIL_COUNT_MAX && self.bytes.len() + bytes <= MAIL_BYTES_MAX
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        Self::new()
    }
}

/// The effects of one turn.
pub struct Effects {
    /// 001: heard. They go at once.
    pub acks: Outgoing,
    /// Rest on nothing: 003, 006, 009, 051. They go once the entries are written, and wait for no
    /// sync.
    pub prompt: Outgoing,
    /// To be appended, in this order. The loop takes them out after each frame.
    pub entries: heapless::Vec<Entry, ENTRIES_MAX>,
    /// Rest on entries: 008, 011, 050. They go once everything before is durable.
    pub committed: Outgoing,
}

impl Effects {
    /// None.
    pub const fn new() -> Self {
        Self {
            acks: Outgoing::new(),
            prompt: Outgoing::new(),
            entries: heapless::Vec::new(),
            committed: Outgoing::new(),
        }
    }

    /// Whether so many more frames or timers may be handled in this turn.
    pub fn has_room(&self, count: usize) -> bool {
        self.acks.has_room(count) && self.prompt.has_room(count) && self.committed.has_room(count)
    }

    /// All replies, in the order in which they leave.
    pub fn mail(&self) -> impl Iterator<Item = (Peer, &[u8])> {
        self.acks.iter().chain(self.prompt.iter()).chain(self.committed.iter())
    }

    /// Adds an entry.
    pub fn append(&mut self, entry: &Entry) {
        assert!(self.entries.push(*entry).is_ok(), "a frame has at most ENTRIES_MAX entries");
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.acks.clear();
        self.prompt.clear();
        self.entries.clear();
        self.committed.clear();
    }
}

impl Default for Effects {
    fn default() -> Self {
        Self::new()
    }
}
