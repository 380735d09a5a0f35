//! The two programs that posgate is measured beside, each run as a process of its own by this same
//! binary.
//!
//! They read nothing of a frame but the fields that their replies echo, at fixed places: the
//! crowd's frames are all of one length.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Write as _};
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt};

/// The first argument of a process that is to be one of them; the second is its name.
pub const ARGUMENT: &str = "--be";

/// Where the fields stand:
/// `103,00001,127.0.0.1,127.0.0.1,00001,8888888801,5.50,2026-11-22 12:00:00,1234567890`.
const SEQ: std::ops::Range<usize> = 4..9;
const SUBJECT: std::ops::Range<usize> = 30..51;

const ACK: &[u8] = b"001,00000";
/// As long as posgate's: name, balance.
const RESULT: &[u8] = b"008,00000,0000000000,5.50,\xD0\xD5\xC3\xFB:\xD5\xC5\xC8\xFD {99994.50}\\n,20,0,1";
/// As long as posgate's entries of a sale and of its confirmation.
const SALE: &[u8] = b"1234567\t2026-11-22T12:00:00.000+08:00\tok\tcharge\t00001\t1234567890\t00001\t8888888801\t8888888801\t-5.50\t0\t99994.50\t0\t2026-11-22 12:00:00\t\\N\t\\N\tday=2026-11-22\t00000000\n";
const CONFIRMED: &[u8] = b"1234568\t2026-11-22T12:00:00.000+08:00\tok\tconfirm\t00001\t\\N\t00002\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t1234567\t\\N\t00000000\n";

/// Datagrams taken in one turn: posgate's own limit.
const TURN: usize = 1024;

/// Serves on this address until it is killed. Prints its port.
pub fn serve(name: &str, address: &str, file: &str) {
    let socket = UdpSocket::bind((address, 0)).expect("a port");
    setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20))
        .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &(4 << 20)))
        .expect("a buffer");
    println!("{}", socket.local_addr().expect("bound").port());
    match name {
        "echo" => echo(&socket),
        "floor" => floor(&socket, File::create_new(file).expect("a new file")),
        _ => panic!("no such program: {name}"),
    }
}

/// The result of a sale, with the fields that a terminal knows it by.
fn result_of(frame: &[u8], into: &mut [u8; RESULT.len()]) {
    into[4..25].copy_from_slice(&frame[SUBJECT]);
}

fn echo(socket: &UdpSocket) {
    let mut frame = [0; 1024];
    let mut ack: [u8; ACK.len()] = ACK.try_into().expect("as long");
    let mut result: [u8; RESULT.len()] = RESULT.try_into().expect("as long");
    loop {
        let Ok((len, source)) = socket.recv_from(&mut frame) else { continue };
        if &frame[..3] != b"103" || len < SUBJECT.end {
            continue;
        }
        ack[4..9].copy_from_slice(&frame[SEQ]);
        result_of(&frame, &mut result);
        let _ = socket.send_to(&ack, source);
        let _ = socket.send_to(&result, source);
    }
}

fn floor(socket: &UdpSocket, mut file: File) {
    let fd = socket.as_raw_fd();
    let mut incoming = MultiHeaders::<SockaddrIn>::preallocate(TURN, None);
    let mut outgoing = MultiHeaders::<SockaddrIn>::preallocate(TURN, None);
    let mut buffers = vec![[0_u8; 1024]; TURN];
    let mut acks = vec![<[u8; ACK.len()]>::try_from(ACK).expect("as long"); TURN];
    let mut results = vec![<[u8; RESULT.len()]>::try_from(RESULT).expect("as long"); TURN];
    let mut sources: Vec<Option<SockaddrIn>> = Vec::with_capacity(TURN);
    let mut lines = Vec::with_capacity(TURN * SALE.len());
    loop {
        sources.clear();
        lines.clear();
        {
            let mut slices: Vec<[IoSliceMut; 1]> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            // Waits for the first, and takes what else is there.
            let received = recvmmsg(fd, &mut incoming, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None);
            let Ok(received) = received else { continue };
            for message in received {
                let frame = message.iovs().next().unwrap_or_default();
                if frame.starts_with(b"103") && frame.len() >= SUBJECT.end {
                    acks[sources.len()][4..9].copy_from_slice(&frame[SEQ]);
                    result_of(frame, &mut results[sources.len()]);
                    sources.push(message.address);
                    lines.extend_from_slice(SALE);
                } else {
                    lines.extend_from_slice(CONFIRMED);
                }
            }
        }
        let count = sources.len();
        send(fd, &mut outgoing, &acks[..count], &sources);
        file.write_all(&lines).expect("room for the lines");
        if count > 0 {
            file.sync_data().expect("a sync");
        }
        send(fd, &mut outgoing, &results[..count], &sources);
    }
}

fn send<const LEN: usize>(
    fd: i32,
    headers: &mut MultiHeaders<SockaddrIn>,
    messages: &[[u8; LEN]],
    to: &[Option<SockaddrIn>],
) {
    if messages.is_empty() {
        return;
    }
    let slices: Vec<[IoSlice; 1]> = messages.iter().map(|message| [IoSlice::new(message)]).collect();
    // What could not be sent the crowd asks for again, and counts.
    let _ = sendmmsg(fd, headers, &slices, to, [], MsgFlags::empty());
}
