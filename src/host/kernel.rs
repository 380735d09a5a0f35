//! Two system calls that no maintained crate offers in the form we need. The only module with
//! `unsafe`.
//!
//! - `adjtimex`: whether a time daemon disciplines the clock (design.md, section 11). Only the
//!   kernel knows it, and nix 0.31 and rustix 1 do not have the call.
//! - `sendmmsg` with a source address per message: nix uses one source for all messages, and
//!   reports the number of sent messages only by reading addresses that it never initialized (nix
//!   0.31: `MultiResults::next`); rustix has no source addresses.
//!
//! Each `unsafe` states what it relies on; nothing else may be added here.

#![allow(unsafe_code)]

use core::mem::offset_of;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::ptr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use heapless::Vec;

/// Whether the kernel reports its clock as synchronized; `false` if the call fails.
///
/// With `modes` 0 the call only reads and needs no capability. Only [`crate::host::clock::Clock`]
/// calls this, at most once per second.
pub(crate) fn synchronized() -> bool {
    // SAFETY: `timex` is a C struct of integers only, for which all zeros is a valid value.
    let mut state: libc::timex = unsafe { core::mem::zeroed() };
    state.modes = 0;
    // SAFETY: the pointer leads to a live `timex` that nobody else uses. The kernel (or the C
    // library, which on a 32-bit machine translates the layout) fills it during the call and keeps
    // no pointer.
    let result = unsafe { libc::adjtimex(&raw mut state) };
    // -1 is an error (a sandbox that forbids the call), TIME_ERROR a clock that is not set or has
    // drifted.
    result >= 0 && result != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0
}

/// A datagram to send.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'mail> {
    /// The receiver.
    pub to: SocketAddrV4,
    /// The source, an address of ours; 0.0.0.0 lets the kernel choose.
    pub from: Ipv4Addr,
    /// The payload.
    pub bytes: &'mail [u8],
}

/// Most datagrams per call.
pub(crate) const BATCH: usize = 64;

/// A control message with the source of a datagram. The kernel expects the contents where
/// `CMSG_DATA` points: right after the header, whose size is a multiple of a pointer's size on
/// every Linux.
#[repr(C)]
struct From {
    header: libc::cmsghdr,
    info: libc::in_pktinfo,
}

/// Sends the first [`BATCH`] of these datagrams in order, without blocking; returns how many the
/// kernel took, at least one unless `mail` is empty.
///
/// # Errors
/// The kernel's, for the first message only. An error of a later message ends the call early; it is
/// returned when a call begins with that message.
pub(crate) fn send(socket: BorrowedFd<'_>, mail: &[Mail<'_>]) -> io::Result<usize> {
    let mut places = Vec::<(libc::sockaddr_in, libc::iovec, From), BATCH>::new();
    for message in mail.iter().take(BATCH) {
        // SAFETY: C structs of integers, for which all zeros is a valid value.
        let (mut to, mut from): (libc::sockaddr_in, From) = unsafe { (core::mem::zeroed(), core::mem::zeroed()) };
        to.sin_family = libc::AF_INET as libc::sa_family_t;
        to.sin_port = message.to.port().to_be();
        to.sin_addr.s_addr = u32::from_ne_bytes(message.to.ip().octets());
        from.header.cmsg_len = (offset_of!(From, info) + size_of::<libc::in_pktinfo>()) as _;
        from.header.cmsg_level = libc::IPPROTO_IP;
        from.header.cmsg_type = libc::IP_PKTINFO;
        from.info.ipi_spec_dst.s_addr = u32::from_ne_bytes(message.from.octets());
        let bytes = libc::iovec { iov_base: message.bytes.as_ptr().cast_mut().cast(), iov_len: message.bytes.len() };
        assert!(places.push((to, bytes, from)).is_ok(), "at most BATCH messages");
    }
    let mut headers = Vec::<libc::mmsghdr, BATCH>::new();
    for ((to, bytes, from), message) in places.iter_mut().zip(mail) {
        // SAFETY: as above, and null pointers are valid: they mean an absent part.
        let mut header: libc::mmsghdr = unsafe { core::mem::zeroed() };
        header.msg_hdr.msg_name = ptr::from_mut(to).cast();
        header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as _;
        header.msg_hdr.msg_iov = bytes;
        header.msg_hdr.msg_iovlen = 1;
        if !message.from.is_unspecified() {
            header.msg_hdr.msg_control = ptr::from_mut(from).cast();
            header.msg_hdr.msg_controllen = size_of::<From>() as _;
        }
        assert!(headers.push(header).is_ok(), "as many headers as places");
    }
    // SAFETY: each header points into `places`, which is not touched until the call is over, and
    // through an `iovec` into a datagram that `mail` borrows; the kernel only reads them. It writes
    // `msg_len` of the headers, which are ours, and keeps no pointer. This bypasses the C library:
    // on 64 bits musl turns the call into a loop of `sendmsg`, to clear the padding in its headers,
    // which is zero here.
    let sent = unsafe {
        let socket = libc::c_long::from(socket.as_raw_fd());
        let flags = libc::c_long::from(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        libc::syscall(libc::SYS_sendmmsg, socket, headers.as_mut_ptr(), headers.len(), flags)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn asking_twice_gives_the_same_answer() {
        // The test's machine may have either answer, but does not change it meanwhile.
        assert_eq!(synchronized(), synchronized());
    }

    fn address_of(socket: &UdpSocket) -> SocketAddrV4 {
        let std::net::SocketAddr::V4(address) = socket.local_addr().expect("bound") else { unreachable!() };
        address
    }

    #[test]
    fn each_datagram_goes_to_its_own_receiver_from_its_own_address() {
        let sender = UdpSocket::bind("0.0.0.0:0").expect("a free port");
        let receivers: std::vec::Vec<UdpSocket> =
            (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port")).collect();
        let text: std::vec::Vec<[u8; 3]> = (0..100_u8).map(|number| [number; 3]).collect();
        let mail: std::vec::Vec<Mail> = (0..100)
            .map(|number: usize| Mail {
                to: address_of(&receivers[number % 3]),
                from: Ipv4Addr::new(127, 0, 0, [0, 5, 7][number % 2 + 1]),
                bytes: &text[number][..number % 4],
            })
            .collect();
        assert_eq!(send(sender.as_fd(), &mail).expect("sent"), BATCH);
        assert_eq!(send(sender.as_fd(), &mail[BATCH..]).expect("sent"), 100 - BATCH);
        for (number, message) in mail.iter().enumerate() {
            let mut buffer = [0; 16];
            let receiver = &receivers[number % 3];
            receiver.set_read_timeout(Some(core::time::Duration::from_secs(10))).expect("set");
            let (len, from) = receiver.recv_from(&mut buffer).expect("it arrives");
            assert_eq!((&buffer[..len], from.ip()), (message.bytes, message.from.into()));
        }
    }

    #[test]
    fn a_message_that_cannot_be_sent_ends_the_call() {
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let good = Mail { to: address_of(&receiver), from: Ipv4Addr::UNSPECIFIED, bytes: b"good" };
        let bad = Mail { to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), ..good };
        assert_eq!(send(sender.as_fd(), &[good, good, bad, good]).expect("two were sent"), 2);
        assert!(send(sender.as_fd(), &[bad, good]).is_err());
        assert!(send(sender.as_fd(), &[]).is_ok_and(|sent| sent == 0));
    }
}
