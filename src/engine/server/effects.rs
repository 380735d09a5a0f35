//! The effects of a turn, in order (design.md, section 1): 001s at once, then the entries in one
//! write, then the prompt replies, then one sync, then the committed replies.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::ops::Deref;

use crate::engine::limits::{ENTRIES_MAX, MAIL_BYTES_MAX, MAIL_COUNT_MAX, REPLY_LEN_MAX};
use crate::engine::model::{Entry, Mono};
use crate::engine::wire::Reply;

/// Where a datagram came from and where its reply goes: to the source, from the address that
/// received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The datagram's source.
    pub source: SocketAddrV4,
    /// The address that it was sent to.
    pub local: Ipv4Addr,
    /// The number of the socket that received it.
    pub socket: u8,
}

#[derive(Clone, Copy)]
struct Letter {
    peer: Peer,
    start: u32,
    len: u16,
    expires: Option<Mono>,
}

/// Replies of a turn, in order.
pub struct Outgoing {
    letters: heapless::Vec<Letter, MAIL_COUNT_MAX>,
    /// Their bytes, one reply after the other. Those after `len` mean nothing.
    bytes: [u8; MAIL_BYTES_MAX],
    len: usize,
}

impl Outgoing {
    /// Empty.
    pub const fn new() -> Self {
        Self { letters: heapless::Vec::new(), bytes: [0; MAIL_BYTES_MAX], len: 0 }
    }

    /// Adds a reply.
    pub(crate) fn push(&mut self, peer: Peer, reply: &Reply) {
        self.push_until(peer, reply, None);
    }

    /// Adds a reply that must not leave at `expires` or later, however slow the sync was.
    pub(crate) fn push_until(&mut self, peer: Peer, reply: &Reply, expires: Option<Mono>) {
        let end = MAIL_BYTES_MAX.min(self.len + REPLY_LEN_MAX);
        let len = reply.write(&mut self.bytes[self.len..end]);
        self.close(peer, len, expires);
    }

    /// Adds a reply once more, from its bytes.
    pub(crate) fn push_again(&mut self, peer: Peer, frame: &[u8], expires: Option<Mono>) {
        self.bytes[self.len..][..frame.len()].copy_from_slice(frame);
        self.close(peer, frame.len(), expires);
    }

    /// Adds the letter of the reply whose bytes were just written.
    fn close(&mut self, peer: Peer, len: usize, expires: Option<Mono>) {
        let start = u32::try_from(self.len).expect("MAIL_BYTES_MAX fits 32 bits");
        self.len += len;
        let len = u16::try_from(len).expect("a reply is at most REPLY_LEN_MAX");
        assert!(
            self.letters.push(Letter { peer, start, len, expires }).is_ok(),
            "a turn takes frames only while has_room"
        );
    }

    /// The bytes of the newest reply; empty if there is none.
    pub(crate) fn newest(&self) -> &[u8] {
        self.letters.last().map(|letter| self.read(letter).1).unwrap_or_default()
    }

    /// The replies in order.
    pub fn iter(&self) -> impl Iterator<Item = (Peer, &[u8])> + Clone {
        self.letters.iter().map(|letter| self.read(letter))
    }

    fn read(&self, letter: &Letter) -> (Peer, &[u8]) {
        (letter.peer, &self.bytes[letter.start as usize..][..usize::from(letter.len)])
    }

    /// The replies that have not expired, in order; `now` is asked only for those that may.
    pub fn iter_at(&self, now: impl Fn() -> Mono + Clone) -> impl Iterator<Item = (Peer, &[u8])> + Clone {
        let may_leave = move |letter: &&Letter| letter.expires.is_none_or(|expires| now() < expires);
        self.letters.iter().filter(may_leave).map(|letter| self.read(letter))
    }

    /// The number of replies.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// Whether there are no replies.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Removes all replies.
    pub fn clear(&mut self) {
        self.letters.clear();
        self.len = 0;
    }

    /// Whether there is room for the replies of `count` more frames or timers: each leads to at
    /// most a result and three short replies.
    pub fn has_room(&self, count: usize) -> bool {
        let (letters, bytes) = (4 * count, (REPLY_LEN_MAX + 3 * 64) * count);
        self.letters.len() + letters <= MAIL_COUNT_MAX && self.len + bytes <= MAIL_BYTES_MAX
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        Self::new()
    }
}

/// Entries of a frame, in order. A place that was used before keeps an entry, over which the next
/// one is written: of its detail only the bytes that it has.
pub struct Entries {
    places: heapless::Vec<Entry, ENTRIES_MAX>,
    len: usize,
}

impl Entries {
    const fn new() -> Self {
        Self { places: heapless::Vec::new(), len: 0 }
    }

    fn push(&mut self, entry: &Entry) {
        match self.places.get_mut(self.len) {
            Some(place) => place.copy_from(entry),
            None => assert!(self.places.push(*entry).is_ok(), "a frame has at most ENTRIES_MAX entries"),
        }
        self.len += 1;
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.places[..self.len]
    }
}

/// The effects of one turn.
pub struct Effects {
    /// 001s. They go at once.
    pub acks: Outgoing,
    /// Replies that rest on nothing: 003, 006, 009, 051. They go after the write and do not wait
    /// for the sync.
    pub prompt: Outgoing,
    /// Entries to append, in order. The caller takes them out after each frame.
    pub entries: Entries,
    /// Replies that rest on entries: 008, 011, 050. They go after the sync.
    pub committed: Outgoing,
}

impl Effects {
    /// No effects.
    pub const fn new() -> Self {
        Self { acks: Outgoing::new(), prompt: Outgoing::new(), entries: Entries::new(), committed: Outgoing::new() }
    }

    /// Whether there is room for the replies of `count` more frames or timers in this turn.
    pub fn has_room(&self, count: usize) -> bool {
        self.acks.has_room(count) && self.prompt.has_room(count) && self.committed.has_room(count)
    }

    /// All replies, in the order in which they leave.
    pub fn mail(&self) -> impl Iterator<Item = (Peer, &[u8])> {
        self.acks.iter().chain(self.prompt.iter()).chain(self.committed.iter())
    }

    /// Adds an entry after those of the same frame.
    pub fn append(&mut self, entry: &Entry) {
        self.entries.push(entry);
    }

    /// Removes all replies and entries.
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
