//! The ear: a thread that empties the sockets while the loop waits for a disk.
//!
//! A sync of flash takes up to some hundred milliseconds. A kernel's buffer is 208 KiB where nobody raised it, some two hundred
//! datagrams: a single device gone mad fills it within one sync, and what others send meanwhile is lost. So the ear takes
//! datagrams as they come, into an [`Intake`] that the loop swaps for an empty one.
//!
//! What always holds:
//! - the ear decides nothing: it reads no byte of a datagram, and the server sees them in the order they came;
//! - one address fills at most [`INTAKE_SOURCE_MAX`] places of an intake, so a flood leaves room for the others; what it sends
//!   beyond them is dropped and counted;
//! - nothing allocates after [`Ear::listen`]; the loop and the ear never wait for each other longer than a batch takes to copy.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};

use super::udp::{Datagram, Socket};
use crate::index::hash_number;
use crate::limits::{INTAKE_BYTES_MAX, INTAKE_MAX, INTAKE_SOURCE_MAX, TURN_BATCH};
use crate::server::Peer;

/// Bytes of the thread's stack: it calls little.
const STACK_LEN: usize = 128 * 1024;

/// Addresses are counted by their hash; two of one hash share their places.
const SOURCE_SLOTS: usize = 1024;

const STOP: Token = Token(usize::MAX);

#[derive(Clone, Copy, Debug)]
struct Letter {
    peer: Peer,
    start: usize,
    len: usize,
    is_oversize: bool,
}

/// A datagram as the loop takes it.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a> {
    /// Where it came from.
    pub peer: Peer,
    /// Its first bytes.
    pub bytes: &'a [u8],
    /// Whether it is longer than any frame.
    pub is_oversize: bool,
}

/// Datagrams that came in, in order.
#[derive(Debug)]
pub struct Intake {
    letters: Vec<Letter>,
    bytes: Vec<u8>,
    by_source: Vec<u16>,
    left_out: u64,
    /// The first that was not taken yet.
    next: usize,
    failure: Option<io::Error>,
}

impl Intake {
    fn new() -> Self {
        Self {
            letters: Vec::with_capacity(INTAKE_MAX),
            bytes: Vec::with_capacity(INTAKE_BYTES_MAX),
            by_source: vec![0; SOURCE_SLOTS],
            left_out: 0,
            next: 0,
            failure: None,
        }
    }

    /// The next datagram; `None` if all were taken.
    pub fn take(&mut self) -> Option<Taken<'_>> {
        let letter = self.letters.get(self.next)?;
        self.next += 1;
        let bytes = &self.bytes[letter.start..letter.start + letter.len];
        Some(Taken { peer: letter.peer, bytes, is_oversize: letter.is_oversize })
    }

    /// Whether all were taken.
    pub fn is_empty(&self) -> bool {
        self.next == self.letters.len()
    }

    fn clear(&mut self) {
        self.letters.clear();
        self.bytes.clear();
        self.by_source.fill(0);
        (self.left_out, self.next) = (0, 0);
    }

    fn push(&mut self, socket: u8, datagram: &Datagram<'_>) {
        let own = &mut self.by_source[slot(*datagram.source.ip())];
        let has_room = self.letters.len() < INTAKE_MAX && self.bytes.len() + datagram.bytes.len() <= INTAKE_BYTES_MAX;
        if !has_room || *own >= INTAKE_SOURCE_MAX {
            self.left_out += 1;
            return;
        }
        *own += 1;
        self.letters.push(Letter {
            peer: Peer { source: datagram.source, local: datagram.local, socket },
            start: self.bytes.len(),
            len: datagram.bytes.len(),
            is_oversize: datagram.is_oversize(),
        });
        self.bytes.extend_from_slice(datagram.bytes);
    }
}

fn slot(address: Ipv4Addr) -> usize {
    hash_number(u64::from(address.to_bits())) as usize % SOURCE_SLOTS
}

struct Shared {
    intake: Mutex<Intake>,
    /// Wakes the loop.
    waker: Waker,
    is_over: AtomicBool,
}

impl Shared {
    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch from a socket; whether it may hold more.
    fn hear(&self, number: usize, socket: &mut Socket) -> io::Result<bool> {
        let tag = u8::try_from(number).unwrap_or(u8::MAX);
        let mut held = None;
        let mut was_empty = false;
        let received = socket.recv(TURN_BATCH, |datagram| {
            let intake = held.get_or_insert_with(|| {
                let intake = self.intake();
                was_empty = intake.letters.is_empty();
                intake
            });
            intake.push(tag, &datagram);
        })?;
        drop(held);
        if was_empty {
            self.waker.wake()?;
        }
        Ok(received == TURN_BATCH)
    }

    fn listen(&self, mut poll: Poll, sockets: Vec<OwnedFd>) -> io::Result<()> {
        let mut sockets: Vec<Socket> = sockets.into_iter().map(Socket::of).collect::<io::Result<_>>()?;
        for (number, socket) in sockets.iter_mut().enumerate() {
            poll.registry().register(socket, Token(number), Interest::READABLE)?;
        }
        // A socket may hold more than was taken from it: the poll tells of each datagram once.
        let mut ready = vec![true; sockets.len()];
        let mut events = Events::with_capacity(64);
        while !self.is_over.load(Ordering::Relaxed) {
            for (number, socket) in sockets.iter_mut().enumerate() {
                if ready[number] {
                    ready[number] = self.hear(number, socket)?;
                }
            }
            let timeout = ready.contains(&true).then_some(Duration::ZERO);
            match poll.poll(&mut events, timeout) {
                Ok(()) => (),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for event in &events {
                if let Some(ready) = ready.get_mut(event.token().0) {
                    *ready = true;
                }
            }
        }
        Ok(())
    }
}

/// The thread that listens, until it is dropped.
pub struct Ear {
    shared: Arc<Shared>,
    stop: Waker,
    thread: Option<JoinHandle<()>>,
    intake: Intake,
}

impl Ear {
    /// Listens on these sockets from now on, and wakes the loop when something came.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn listen(sockets: &[Socket], waker: Waker) -> io::Result<Self> {
        let handles = sockets.iter().map(Socket::duplicate).collect::<io::Result<Vec<OwnedFd>>>()?;
        let poll = Poll::new()?;
        let stop = Waker::new(poll.registry(), STOP)?;
        let shared = Arc::new(Shared { intake: Mutex::new(Intake::new()), waker, is_over: AtomicBool::new(false) });
        let own = Arc::clone(&shared);
        let thread = Builder::new().name("ear".to_owned()).stack_size(STACK_LEN).spawn(move || {
            if let Err(error) = own.listen(poll, handles) {
                own.intake().failure = Some(error);
                // If the loop cannot be woken, the next deadline finds the failure.
                let _ = own.waker.wake();
            }
        })?;
        Ok(Self { shared, stop, thread: Some(thread), intake: Intake::new() })
    }

    /// What came in and was not taken yet. Once all of it was, it is swapped for what came in since; gives as many as then were left out.
    ///
    /// # Errors
    /// If a socket cannot be read.
    pub fn intake(&mut self) -> io::Result<(&mut Intake, u64)> {
        let mut left_out = 0;
        if self.intake.is_empty() {
            self.intake.clear();
            core::mem::swap(&mut *self.shared.intake(), &mut self.intake);
            left_out = self.intake.left_out;
            if let Some(error) = self.intake.failure.take() {
                return Err(error);
            }
        }
        Ok((&mut self.intake, left_out))
    }

    /// Whether anything waits to be taken. The waker tells of the first datagram only, so this is asked before a sleep.
    pub fn has_more(&self) -> bool {
        !self.intake.is_empty() || !self.shared.intake().is_empty()
    }

    /// Listens no longer. What came in until now can still be taken.
    pub fn stop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Without it the thread would end with its next datagram, or with the process.
        if self.stop.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            // A panic aborts the process.
            let _ = thread.join();
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddrV4, UdpSocket};

    /// Sockets with an ear, and the loop's poll.
    fn ear(count: usize) -> (Vec<Socket>, Ear, Poll) {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let sockets: Vec<Socket> = (0..count).map(|_| Socket::bind(any, None).unwrap()).collect();
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        let ear = Ear::listen(&sockets, waker).unwrap();
        (sockets, ear, poll)
    }

    fn client(last: u8) -> UdpSocket {
        UdpSocket::bind((Ipv4Addr::new(127, 0, 0, last), 0)).unwrap()
    }

    fn at(socket: &Socket) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, socket.address().port())
    }

    /// Waits until so many came or were left out; gives those that came, and the number of the others.
    fn expect(ear: &mut Ear, poll: &mut Poll, count: u64) -> (Vec<(u8, Vec<u8>)>, u64) {
        let (mut came, mut others) = (Vec::new(), 0);
        let mut events = Events::with_capacity(4);
        while came.len() as u64 + others < count {
            let (intake, left_out) = ear.intake().unwrap();
            others += left_out;
            let mut is_any = left_out > 0;
            while let Some(taken) = intake.take() {
                came.push((taken.peer.socket, taken.bytes.to_vec()));
                is_any = true;
            }
            if !is_any {
                poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
                assert!(!events.is_empty(), "{} and {others} of {count} came", came.len());
            }
        }
        (came, others)
    }

    #[test]
    fn what_is_sent_arrives_in_order_with_the_socket_it_came_in_on() {
        let (sockets, mut ear, mut poll) = ear(2);
        let client = client(1);
        for round in 0..20_u8 {
            for socket in &sockets {
                for number in 0..5 {
                    client.send_to(&[round, number], at(socket)).unwrap();
                }
            }
            let (came, left_out) = expect(&mut ear, &mut poll, 10);
            assert_eq!(left_out, 0);
            for socket in 0..2 {
                let own: Vec<u8> = came.iter().filter(|(at, _)| *at == socket).map(|(_, bytes)| bytes[1]).collect();
                assert_eq!(own, [0, 1, 2, 3, 4]);
            }
        }
    }

    #[test]
    fn one_address_leaves_room_for_the_others_and_what_it_sends_beyond_is_counted() {
        let (sockets, mut ear, mut poll) = ear(1);
        let (flooder, terminal) = (client(2), client(3));
        let many = u64::from(INTAKE_SOURCE_MAX) + 100;
        // Nobody takes anything meanwhile: a disk syncs.
        for number in 0..many {
            flooder.send_to(&number.to_be_bytes(), at(&sockets[0])).unwrap();
        }
        terminal.send_to(b"a sale", at(&sockets[0])).unwrap();
        let mut events = Events::with_capacity(4);
        while !ear.shared.intake().letters.iter().any(|letter| letter.len == 6) {
            poll.poll(&mut events, Some(Duration::from_millis(1))).unwrap();
        }
        let (came, left_out) = expect(&mut ear, &mut poll, many + 1);
        assert_eq!((came.len(), left_out), (usize::from(INTAKE_SOURCE_MAX) + 1, 100));
        assert_eq!(came.last().unwrap().1, b"a sale");
        flooder.send_to(b"later", at(&sockets[0])).unwrap();
        assert_eq!(expect(&mut ear, &mut poll, 1).0[0].1, b"later", "it has its places again");
    }

    #[test]
    fn what_came_before_a_stop_can_still_be_taken() {
        let (sockets, mut ear, _poll) = ear(1);
        client(1).send_to(b"the last", at(&sockets[0])).unwrap();
        while ear.shared.intake().letters.is_empty() {
            std::thread::yield_now();
        }
        ear.stop();
        assert_eq!(ear.intake().unwrap().0.take().unwrap().bytes, b"the last");
    }
}
