//! Datagrams that the kernel had no room for: nothing is dropped silently, not even before it arrives.
//!
//! The kernel counts them for each socket and tells in `/proc/net/udp`. (`SO_RXQ_OVFL` would tell with each
//! datagram, but only once there is something to tell, and headers that were received into without it have no room for it afterwards: nix
//! 0.31 does not set their length back.) Reading the file allocates nothing. It is read after turns that found many datagrams waiting, at
//! most once a second, and at the end: a buffer that overflowed was full.

use std::fs::File;
use std::io::{self, Read};

use log::warn;

use crate::limits::TURN_BATCH;
use crate::model::Mono;

const TABLE: &str = "/proc/net/udp";

/// How often the kernel is asked at most.
const ASKED_MS: u64 = 1000;

/// How often losses are warned about at most.
const TOLD_MS: u64 = 60_000;

/// What was lost so far.
#[derive(Debug)]
pub struct Drops {
    /// Of each socket, the kernel's number for it and what it had lost when it was asked last.
    sockets: Vec<(u64, u32)>,
    asked: Option<Mono>,
    /// As many since the last warning.
    untold: u64,
    told: Option<Mono>,
}

impl Drops {
    /// Of these sockets, by their inodes. What they lost until now does not count: nobody served yet.
    pub fn of(inodes: impl Iterator<Item = u64>) -> Self {
        let mut drops = Self { sockets: inodes.map(|inode| (inode, 0)).collect(), asked: None, untold: 0, told: None };
        drops.ask();
        drops
    }

    /// How many more were lost, after a turn that took so many datagrams; mostly without asking.
    pub fn after_turn(&mut self, now: Mono, received: usize) -> u64 {
        let is_due = self.asked.is_none_or(|asked| now.ms_since(asked) >= ASKED_MS);
        if received < TURN_BATCH || !is_due {
            return 0;
        }
        self.asked = Some(now);
        let lost = self.ask();
        self.untold += lost;
        let may_tell = self.told.is_none_or(|told| now.ms_since(told) >= TOLD_MS);
        if self.untold > 0 && may_tell {
            warn!(
                "lost datagrams={}: they came faster than they could be read; a larger net.core.rmem_max helps",
                self.untold
            );
            (self.untold, self.told) = (0, Some(now));
        }
        lost
    }

    /// How many more were lost since the kernel was asked last. A kernel that does not tell has lost none.
    pub fn ask(&mut self) -> u64 {
        let mut lost = 0;
        let sockets = &mut self.sockets;
        let told = File::open(TABLE).and_then(|table| {
            read(table, |inode, drops| {
                if let Some((_, before)) = sockets.iter_mut().find(|(own, _)| *own == inode) {
                    // 32 bits, and around.
                    lost += u64::from(drops.wrapping_sub(*before));
                    *before = drops;
                }
            })
        });
        // Counted is what was read before an error.
        drop(told);
        lost
    }
}

/// Hands over inode and drops of each row of the table.
fn read(mut table: impl Read, mut row: impl FnMut(u64, u32)) -> io::Result<()> {
    let mut chunk = [0; 4096];
    // Rows are 128 bytes long; of a longer one the rest is not looked at, so it is none.
    let mut line = heapless::Vec::<u8, 512>::new();
    loop {
        let len = table.read(&mut chunk)?;
        if len == 0 {
            return Ok(());
        }
        for byte in &chunk[..len] {
            if *byte != b'\n' {
                let _ = line.push(*byte);
                continue;
            }
            if let Some((inode, drops)) = parse(&line) {
                row(inode, drops);
            }
            line.clear();
        }
    }
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ref pointer drops`
fn parse(line: &[u8]) -> Option<(u64, u32)> {
    let mut columns = core::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let inode = columns.nth(9)?.parse().ok()?;
    let drops = columns.nth(2)?.parse().ok()?;
    Some((inode, drops))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::udp::Socket;
    use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

    #[test]
    fn rows_are_read_whatever_pieces_they_come_in() {
        let table = b"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            \n  \
                      345: 0100007F:9918 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 31337 2 0000000000000000 4294967295        \n  \
                      346: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9 2 0000000000000000 7        \n";
        for size in [1, 7, 100, 4096] {
            struct Pieces<'a>(std::slice::Chunks<'a, u8>);
            impl Read for Pieces<'_> {
                fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                    let piece = self.0.next().unwrap_or_default();
                    buffer[..piece.len()].copy_from_slice(piece);
                    Ok(piece.len())
                }
            }
            let mut rows = Vec::new();
            read(Pieces(table.chunks(size)), |inode, drops| rows.push((inode, drops))).unwrap();
            assert_eq!(rows, [(31337, u32::MAX), (9, 7)]);
        }
    }

    #[test]
    fn what_a_full_buffer_loses_is_counted_once_and_asked_for_once_a_second() {
        let mut socket = Socket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), None).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut drops = Drops::of([socket.inode().unwrap()].into_iter());
        let (mut sent, mut lost) = (0_u64, 0);
        while lost == 0 {
            for _ in 0..1000 {
                client.send_to(&[b'x'; 1000], socket.address()).unwrap();
            }
            sent += 1000;
            lost = drops.ask();
        }
        let mut received = 0;
        while socket.recv(1000, |_| received += 1).unwrap() > 0 {}
        assert_eq!(received + lost + drops.ask(), sent);
        let mut count = 0;
        for at_ms in 0..2500 {
            let before = drops.asked;
            assert_eq!(drops.after_turn(Mono(at_ms), TURN_BATCH), 0);
            assert_eq!(drops.after_turn(Mono(at_ms), TURN_BATCH - 1), 0);
            count += u32::from(drops.asked != before);
        }
        assert_eq!(count, 3);
    }
}
