//! Datagrams that the kernel dropped because a buffer was full, as `/proc/net/udp` counts them per
//! socket.
//!
//! Two alternatives do not work. `SO_MEMINFO`: nix's getter panics if a kernel (or an emulator)
//! returns fewer bytes than expected. `SO_RXQ_OVFL`: the kernel adds the count to a datagram only
//! after the first drop, and headers that received messages without it have no space for it later,
//! because nix 0.31 does not reset their length. Reading the file allocates nothing.

use std::fs::File;
use std::io::{self, Read};

const TABLE: &str = "/proc/net/udp";

/// Datagrams dropped so far at the socket with this inode, modulo 2³²; `None` if the kernel does
/// not report it.
pub(super) fn by_kernel(inode: u64) -> Option<u64> {
    let mut lost = None;
    let outcome = File::open(TABLE).and_then(|table| {
        read(table, |own, drops| {
            if own == inode {
                lost = Some(u64::from(drops));
            }
        })
    });
    outcome.ok()?;
    lost
}

/// Calls `row` with inode and drops of each row of the table.
fn read(mut table: impl Read, mut row: impl FnMut(u64, u32)) -> io::Result<()> {
    let mut chunk = [0; 4096];
    // Rows are 128 bytes long. A longer line is cut, so it does not parse as a row.
    let mut line = heapless::Vec::<u8, 512>::new();
    loop {
        let len = match table.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for byte in &chunk[..len] {
            if *byte != b'\n' {
                // A line that does not fit is not a row.
                let _full = line.push(*byte);
                continue;
            }
            if let Some((inode, drops)) = parse(&line) {
                row(inode, drops);
            }
            line.clear();
        }
    }
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ref
/// pointer drops`
fn parse(line: &[u8]) -> Option<(u64, u32)> {
    let mut columns = core::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let inode = columns.nth(9)?.parse().ok()?;
    let drops = columns.nth(2)?.parse().ok()?;
    Some((inode, drops))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_in_pieces_of_any_size() {
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
}
