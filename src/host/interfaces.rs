//! Notifications of the kernel about interfaces and addresses that appear or disappear: rtnetlink
//! (design.md, section 13).
//!
//! *Invariants:*
//! - Nothing here blocks, and the loop is not woken while no interface and no address changes.
//! - The messages are not parsed. Each message only prompts a check: the event loop asks the kernel
//!   for each interface by name ([`super::udp::Socket::renew`]). So a message that was lost because
//!   many came at once costs nothing, and a forged one does no harm.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType};

/// Multicast groups, one bit per group: interfaces (RTNLGRP_LINK) and IPv4 addresses.
const GROUPS: i32 = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR;

/// At most this many messages are discarded per call. The remaining ones do no harm: each new
/// message wakes the loop.
const DRAINED_MAX: usize = 1024;

/// A socket that becomes readable when an interface or an IPv4 address changes.
#[derive(Debug)]
pub struct Interfaces {
    socket: OwnedFd,
}

impl Interfaces {
    /// Subscribes. No capability is needed.
    ///
    /// # Errors
    /// The kernel's: a sandbox may forbid AF_NETLINK.
    pub(crate) fn watch() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket::socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS.cast_unsigned()))?;
        Ok(Self { socket })
    }

    /// Discards the waiting messages.
    pub(crate) fn drain(&self) {
        let mut start = [0; 16];
        for _ in 0..DRAINED_MAX {
            match socket::recv(self.socket.as_raw_fd(), &mut start, MsgFlags::MSG_DONTWAIT) {
                // ENOBUFS: messages were lost, and others may be waiting.
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => (),
                Err(_) => return,
            }
        }
    }
}

impl Source for Interfaces {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).deregister(registry)
    }
}
