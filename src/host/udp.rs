//! UDP sockets that know which of our addresses was asked, and answer from it (design.md, sections
//! 2 and 4).
//!
//! What always holds:
//! - Nothing here blocks and nothing allocates after [`Socket::bind`].
//! - A datagram is handed over with the address it was sent to. A device may hear only the server
//!   it was told, so on a machine with several addresses a reply has to leave from the one that was
//!   asked; for a broadcast, that is the receiving interface's own.
//! - A reply that cannot be sent is counted and skipped: devices send again, and one unreachable
//!   device must not keep the others waiting.
//! - No two sockets share an address and port: `SO_REUSEADDR` would let a second server take half
//!   of the frames.
//!
//! Both ways go in batches: `recvmmsg` by nix, `sendmmsg` by [`kernel`], with a source for each
//! message. A socket bound to one address needs neither to ask nor to say which of ours it was:
//! that saves a tenth of what the kernel does for a reply.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{
    self, AddressFamily, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockFlag, SockType, SockaddrIn, sockopt,
};
use nix::sys::time::TimeSpec;

use super::lost;
use crate::engine::limits::DATAGRAM_LEN_MAX;
use crate::engine::model::Wall;
use crate::host::kernel;
pub use crate::host::kernel::Mail;

/// Datagrams taken from the kernel in one call.
const BATCH: usize = 64;

/// As many are asked for in a turn's first call: mostly one waits, and each place that is asked for
/// costs work. Where all are filled the next call asks for [`BATCH`].
const FIRST_BATCH: usize = 4;

/// How much waits in a socket, as far as anybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likely {
    /// Mostly one datagram.
    Few,
    /// All that was asked for before was there.
    Many,
}

/// Bytes we ask the kernel to keep while we do not read, for nobody reads while a disk syncs: what
/// a flood of some hundred thousand small datagrams a second sends in 30 ms, or 250 terminals in
/// any sync. It takes memory only for what waits. Without CAP_NET_ADMIN it grants
/// `net.core.rmem_max` at most.
pub const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Bytes of replies that we ask the kernel to keep: a turn's. It grants `net.core.wmem_max` at
/// most.
const SEND_BUFFER: usize = 1024 * 1024;

/// A datagram that came in.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'batch> {
    /// Its first bytes, at most [`DATAGRAM_LEN_MAX`].
    pub bytes: &'batch [u8],
    /// How long it was.
    pub len: usize,
    /// Where it came from, and where a reply goes.
    pub source: SocketAddrV4,
    /// Our address that it was sent to; for a broadcast, the one of the interface it came in by.
    /// 0.0.0.0 if the kernel did not say.
    pub local: Ipv4Addr,
    /// When it arrived, by the kernel's wall clock; `None` if it did not say.
    pub noted: Option<Wall>,
}

impl Datagram<'_> {
    /// Whether it is longer than any frame, so that `bytes` is not the whole.
    pub(crate) const fn is_oversize(&self) -> bool {
        self.len > DATAGRAM_LEN_MAX
    }
}

/// What became of mail.
#[derive(Debug, Default)]
pub struct Sent {
    /// Messages handed to the kernel.
    pub sent: usize,
    /// Messages skipped: the send buffer was full, or there is no way to the receiver.
    pub failed: usize,
    /// Why the last of those could not be sent.
    pub error: Option<io::Error>,
}

/// A bound UDP socket.
#[derive(Debug)]
pub struct Socket {
    inner: mio::net::UdpSocket,
    address: SocketAddrV4,
    device: Option<String>,
    /// The kernel's number for it.
    inode: u64,
    incoming: MultiHeaders<SockaddrIn>,
    /// [`BATCH`] times [`DATAGRAM_LEN_MAX`] bytes.
    buffers: Box<[u8]>,
}

impl Socket {
    /// Binds to an address and port of this machine (port 0: any that is free), and to an interface
    /// if one is named: then only what arrives there is heard.
    ///
    /// # Errors
    /// Of the kernel, with address, interface and remedy in the message.
    pub fn bind(address: SocketAddrV4, device: Option<&str>) -> io::Result<Self> {
        let explain = |errno| explain(errno, address, device);
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket::socket(AddressFamily::Inet, SockType::Datagram, flags, None).map_err(explain)?;
        if address.ip().is_unspecified() {
            // Before binding, so that no datagram comes in without its control message.
            socket::setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).map_err(explain)?;
        }
        // Without it a datagram arrives when it is read.
        let _ = socket::setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
        socket::setsockopt(&socket, sockopt::Broadcast, &true).map_err(explain)?;
        if let Some(device) = device {
            socket::setsockopt(&socket, sockopt::BindToDevice, &OsString::from(device)).map_err(explain)?;
        }
        // A small buffer is no reason not to serve.
        if socket::setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            let _ = socket::setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
        }
        let _ = socket::setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER);
        socket::bind(socket.as_raw_fd(), &SockaddrIn::from(address)).map_err(explain)?;
        Self::new(socket, device)
    }

    /// The address and port it is bound to.
    pub const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Bytes that the kernel keeps for us until they are read, [`RECEIVE_BUFFER`] unless it grants
    /// less; `None` if it does not say.
    pub fn receive_buffer(&self) -> Option<usize> {
        // It doubles what is asked, for its own bookkeeping, and tells the double.
        Some(socket::getsockopt(&self.inner, sockopt::RcvBuf).ok()? / 2)
    }

    /// Where a broadcast goes that every device which this socket serves can hear: our address
    /// there, and the network's broadcast address.
    pub fn networks<'a>(
        &self,
        addresses: &'a [InterfaceAddress],
    ) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr)> + use<'a> {
        let (own, device) = (*self.address.ip(), self.device.clone());
        addresses.iter().filter_map(move |here| {
            let is_served = match &device {
                Some(device) => here.interface == *device,
                None => own.is_unspecified() || here.address == own,
            };
            // The loopback names no broadcast address, but has one; only who listens there alone
            // means it.
            let is_loopback = here.address.is_loopback();
            let all_hosts = || all_hosts(here.address, here.prefix);
            let broadcast = if is_loopback { (own == here.address).then(all_hosts) } else { here.broadcast };
            Some((here.address, broadcast.filter(|_| is_served)?))
        })
    }

    /// Datagrams that the kernel dropped because this socket's buffer was full; `None` if it does
    /// not say. It wraps at 2³².
    pub fn kernel_dropped(&self) -> Option<u64> {
        lost::by_kernel(self.inode)
    }

    /// Hands over what has arrived, in the order it arrived, at most `max` datagrams; gives their
    /// number. It is the same whatever is `likely`, only faster if that is true.
    ///
    /// Less than `max` means that nothing is left and that the poll will tell of more; exactly
    /// `max`, that it may not: call again.
    ///
    /// # Errors
    /// Of the kernel, if the socket cannot be read. What a network says about earlier replies
    /// (ICMP) is no error.
    pub fn recv(&mut self, max: usize, likely: Likely, mut handle: impl FnMut(Datagram<'_>)) -> io::Result<usize> {
        let mut count = 0;
        let mut setbacks = 0;
        while count < max {
            let is_first = count == 0 && likely == Likely::Few;
            let asked = (max - count).min(if is_first { FIRST_BATCH } else { BATCH });
            let received = if is_first {
                self.recv_batch::<FIRST_BATCH>(asked, &mut handle)
            } else {
                self.recv_batch::<BATCH>(asked, &mut handle)
            };
            match received {
                Ok(received) => {
                    count += received;
                    // Nothing is left: on a socket that is not connected no error is told in place
                    // of what waits.
                    if received < asked {
                        break;
                    }
                }
                Err(Errno::EAGAIN) => break,
                // A signal; or an answer of the network to something sent before, which is told
                // once.
                Err(Errno::EINTR | Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH)
                    if setbacks < BATCH =>
                {
                    setbacks += 1;
                }
                Err(errno) => {
                    return Err(io::Error::new(
                        io::Error::from(errno).kind(),
                        format!("cannot receive on {}: {}", self.address, errno.desc()),
                    ));
                }
            }
        }
        Ok(count)
    }

    /// Sends each message or skips it; never waits.
    pub fn send<'mail>(&self, mail: impl IntoIterator<Item = Mail<'mail>>) -> Sent {
        let mut outcome = Sent::default();
        // A socket bound to one address sends from it without being told.
        let is_bound = !self.address.ip().is_unspecified();
        let mut mail = mail.into_iter().map(|message| {
            let is_own = is_bound && message.from == *self.address.ip();
            Mail { from: if is_own { Ipv4Addr::UNSPECIFIED } else { message.from }, ..message }
        });
        loop {
            let batch: heapless::Vec<Mail<'mail>, { kernel::BATCH }> = mail.by_ref().take(kernel::BATCH).collect();
            if batch.is_empty() {
                return outcome;
            }
            self.send_batch(&batch, &mut outcome);
        }
    }

    fn send_batch(&self, batch: &[Mail<'_>], outcome: &mut Sent) {
        let mut rest = batch;
        let mut is_second_try = false;
        while !rest.is_empty() {
            match kernel::send(self.inner.as_fd(), rest) {
                Ok(sent) => {
                    outcome.sent += sent;
                    rest = &rest[sent..];
                    is_second_try = false;
                }
                // A network's complaint about an earlier reply is told in place of sending this
                // one: it says nothing about this one.
                Err(error) if is_complaint(&error) && !is_second_try => is_second_try = true,
                Err(error) => {
                    outcome.failed += 1;
                    outcome.error = Some(error);
                    rest = &rest[1..];
                    is_second_try = false;
                }
            }
        }
    }

    fn new(socket: OwnedFd, device: Option<&str>) -> io::Result<Self> {
        let bound: SockaddrIn = socket::getsockname(socket.as_raw_fd())?;
        let inode = File::from(socket.try_clone()?).metadata()?.ino();
        Ok(Self {
            inner: mio::net::UdpSocket::from_std(socket.into()),
            address: bound.into(),
            device: device.map(str::to_owned),
            inode,
            incoming: headers(BATCH),
            buffers: vec![0; BATCH * DATAGRAM_LEN_MAX].into(),
        })
    }

    /// One call for at most `max` datagrams, of which `N` fit.
    fn recv_batch<const N: usize>(&mut self, max: usize, handle: &mut dyn FnMut(Datagram<'_>)) -> Result<usize, Errno> {
        let bound = Some(*self.address.ip()).filter(|ip| !ip.is_unspecified());
        let mut buffers = self.buffers.chunks_exact_mut(DATAGRAM_LEN_MAX);
        let mut slices: [[IoSliceMut<'_>; 1]; N] =
            core::array::from_fn(|_| [IoSliceMut::new(buffers.next().expect("a buffer for each of the batch"))]);
        let slices = slices.iter_mut().take(max);
        // MSG_TRUNC: tell the whole length of a datagram that does not fit.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let received = socket::recvmmsg(self.inner.as_raw_fd(), &mut self.incoming, slices, flags, None)?;
        let mut count = 0;
        let mut unknown = false;
        for message in received {
            count += 1;
            let Some(source) = message.address else { continue };
            let local = bound.or_else(|| local_address(&message));
            unknown |= local.is_none();
            handle(Datagram {
                bytes: message.iovs().next().unwrap_or_default(),
                len: message.bytes,
                source: source.into(),
                local: local.unwrap_or(Ipv4Addr::UNSPECIFIED),
                noted: noted(&message),
            });
        }
        // The kernel notes in a header how much room for control messages it used, and nix does not
        // set it back. They are all of one size; should one have been missing, its header would
        // never have room again. Not known to happen.
        if unknown {
            self.incoming = headers(BATCH);
        }
        Ok(count)
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.inner.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.inner.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.inner.deregister(registry)
    }
}

/// An IPv4 address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The interface, as `bind_device` names it.
    pub interface: String,
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of the network in the address: 24 for 255.255.255.0.
    pub prefix: u8,
    /// Where a broadcast goes; `None` for the loopback and point-to-point interfaces.
    pub broadcast: Option<Ipv4Addr>,
}

/// The IPv4 addresses of this machine, in the kernel's order: what `posgate addresses` lists.
///
/// # Errors
/// Of the kernel, if it does not tell.
pub fn addresses() -> io::Result<Vec<InterfaceAddress>> {
    let ipv4 = |address: Option<socket::SockaddrStorage>| Some(address?.as_sockaddr_in()?.ip());
    let interfaces = nix::ifaddrs::getifaddrs()?;
    Ok(interfaces
        .filter_map(|interface| {
            let address = ipv4(interface.address)?;
            let prefix = ipv4(interface.netmask).map_or(32, |mask| mask.to_bits().leading_ones() as u8);
            // Not the broadcast address that the interface was given: for one that was given none
            // the C library may name its own address.
            let takes_broadcasts = interface.flags.contains(InterfaceFlags::IFF_BROADCAST) && prefix < 31;
            let broadcast = takes_broadcasts.then(|| all_hosts(address, prefix));
            Some(InterfaceAddress { interface: interface.interface_name, address, prefix, broadcast })
        })
        .collect())
}

/// Whether this machine has an interface of this name, with an address or without one.
pub fn has_interface(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

/// Whether an error of sending may be about something sent before, or nothing at all.
fn is_complaint(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionRefused)
}

/// The broadcast address of a network.
fn all_hosts(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() | !mask(prefix))
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// Headers with room for the control messages that are asked for.
fn headers(count: usize) -> MultiHeaders<SockaddrIn> {
    MultiHeaders::preallocate(count, Some(cmsg_space!(libc::in_pktinfo, TimeSpec)))
}

/// When a datagram arrived.
#[allow(clippy::useless_conversion, reason = "its numbers are narrower on some routers")]
fn noted(message: &RecvMsg<'_, '_, SockaddrIn>) -> Option<Wall> {
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(at) => {
            Some(Wall(i64::from(at.tv_sec()).saturating_mul(1000).saturating_add(i64::from(at.tv_nsec()) / 1_000_000)))
        }
        _ => None,
    })
}

/// The address a datagram was sent to, in a form that can be a reply's source.
fn local_address(message: &RecvMsg<'_, '_, SockaddrIn>) -> Option<Ipv4Addr> {
    message.cmsgs().ok()?.find_map(|control| match control {
        // Not `ipi_addr`: that is the broadcast address if one was asked.
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())),
        _ => None,
    })
}

fn explain(errno: Errno, address: SocketAddrV4, device: Option<&str>) -> io::Error {
    struct Place<'a>(SocketAddrV4, Option<&'a str>);
    impl fmt::Display for Place<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.1 {
                Some(device) => write!(f, "{} on interface {device}", self.0),
                None => write!(f, "{}", self.0),
            }
        }
    }
    let remedy = match errno {
        Errno::EADDRINUSE => {
            "another program uses it, perhaps another posgate, or two `list listen` name it".to_owned()
        }
        Errno::EADDRNOTAVAIL => {
            format!("{} is no address of this machine; `posgate addresses` lists them", address.ip())
        }
        Errno::ENODEV => "there is no such interface; `posgate addresses` lists them".to_owned(),
        Errno::EACCES if address.port() < 1024 && address.port() != 0 => {
            "a port below 1024 needs the capability CAP_NET_BIND_SERVICE; listen on a higher one".to_owned()
        }
        Errno::EPERM | Errno::EACCES if device.is_some() => {
            "not permitted; to bind to an interface, kernels before 5.7 want the capability CAP_NET_RAW: leave out \
             `list bind_device`, or start posgate with it"
                .to_owned()
        }
        errno => errno.desc().to_owned(),
    };
    io::Error::new(io::Error::from(errno).kind(), format!("cannot listen on {}: {remedy}", Place(address, device)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::net::UdpSocket;
    use std::time::Duration;

    /// A server's socket and the poll it waits with.
    struct Server {
        socket: Socket,
        poll: Poll,
    }

    impl Server {
        fn new(ip: Ipv4Addr) -> Self {
            Self::waiting(Socket::bind(SocketAddrV4::new(ip, 0), None).expect("a free port"))
        }

        fn waiting(mut socket: Socket) -> Self {
            let poll = Poll::new().expect("a poll");
            poll.registry().register(&mut socket, Token(0), Interest::READABLE).expect("registered");
            Self { socket, poll }
        }

        fn at(&self, last: u8) -> SocketAddrV4 {
            SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), self.socket.address().port())
        }

        /// Waits for this many datagrams: bytes, length, source, our address.
        fn expect(&mut self, count: usize) -> Vec<(Vec<u8>, usize, SocketAddrV4, Ipv4Addr)> {
            self.expect_as(count, Likely::Few)
        }

        fn expect_as(&mut self, count: usize, likely: Likely) -> Vec<(Vec<u8>, usize, SocketAddrV4, Ipv4Addr)> {
            let mut heard = Vec::new();
            while heard.len() < count {
                let note = |datagram: Datagram<'_>| {
                    heard.push((datagram.bytes.to_vec(), datagram.len, datagram.source, datagram.local));
                };
                if self.socket.recv(count, likely, note).expect("it can be read") == 0 {
                    let mut events = Events::with_capacity(4);
                    self.poll.poll(&mut events, Some(Duration::from_secs(10))).expect("a poll");
                    assert!(!events.is_empty(), "{} of {count} came", heard.len());
                }
            }
            heard
        }
    }

    fn client() -> (UdpSocket, SocketAddrV4) {
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        let std::net::SocketAddr::V4(address) = client.local_addr().expect("bound") else { unreachable!() };
        (client, address)
    }

    #[test]
    fn a_reply_leaves_from_the_address_that_was_asked() {
        let mut server = Server::new(Ipv4Addr::UNSPECIFIED);
        let (client, address) = client();
        for last in [5, 1, 77] {
            client.send_to(b"101", server.at(last)).expect("sent");
            let heard = server.expect(1);
            let (bytes, len, source, local) = &heard[0];
            assert_eq!((bytes.as_slice(), *len, *source), (&b"101"[..], 3, address));
            assert_eq!(*local, *server.at(last).ip());
            let sent = server.socket.send([Mail { to: *source, from: *local, bytes: b"001" }]);
            assert_eq!((sent.sent, sent.failed), (1, 0));
            let mut buffer = [0; 16];
            let (len, from) = client.recv_from(&mut buffer).expect("a reply");
            assert_eq!((&buffer[..len], from), (&b"001"[..], server.at(last).into()));
        }
    }

    #[test]
    fn many_at_once_arrive_in_order() {
        let mut server = Server::new(Ipv4Addr::LOCALHOST);
        let (client, _) = client();
        for likely in [Likely::Few, Likely::Many] {
            for number in 0..200_u8 {
                client.send_to(&[number; 9], server.at(1)).expect("sent");
            }
            let heard = server.expect_as(200, likely);
            assert!(heard.iter().map(|(bytes, ..)| bytes.clone()).eq((0..200_u8).map(|number| vec![number; 9])));
            assert_eq!(
                server.socket.recv(10, likely, |_| unreachable!()).expect("it can be read"),
                0,
                "nothing is left"
            );
        }
    }

    #[test]
    fn no_more_is_taken_than_asked_for() {
        let mut server = Server::new(Ipv4Addr::LOCALHOST);
        let (client, _) = client();
        for number in 0..100_u8 {
            client.send_to(&[number], server.at(1)).expect("sent");
        }
        assert_eq!(server.expect(70).len(), 70);
        assert_eq!(server.expect(30)[0].0, [70], "the rest waits its turn");
    }

    #[test]
    fn a_datagram_longer_than_any_frame_is_told_from_one_that_fits() {
        let mut server = Server::new(Ipv4Addr::LOCALHOST);
        let (client, _) = client();
        let mut local = |len: usize| {
            client.send_to(&vec![b'x'; len], server.at(1)).expect("sent");
            let mut seen = None;
            while seen.is_none() {
                let note =
                    |datagram: Datagram<'_>| seen = Some((datagram.bytes.len(), datagram.len, datagram.is_oversize()));
                server.socket.recv(1, Likely::Many, note).expect("it can be read");
            }
            seen.expect("seen")
        };
        assert_eq!(local(0), (0, 0, false));
        assert_eq!(local(1024), (1024, 1024, false));
        assert_eq!(local(1025), (1024, 1025, true));
        assert_eq!(local(9000), (1024, 9000, true));
        assert_eq!(local(3), (3, 3, false), "a long one leaves nothing behind");
    }

    #[test]
    fn what_cannot_be_sent_is_counted_and_the_rest_goes() {
        let server = Server::new(Ipv4Addr::UNSPECIFIED);
        let (client, to) = client();
        let from = Ipv4Addr::LOCALHOST;
        let huge = vec![0; 65_508];
        let sent = server.socket.send([
            Mail { to, from, bytes: b"one" },
            Mail { to, from, bytes: &huge },
            Mail { to, from: Ipv4Addr::new(192, 0, 2, 1), bytes: b"not ours" },
            Mail { to: SocketAddrV4::new(*to.ip(), 0), from, bytes: b"no port" },
            Mail { to, from: Ipv4Addr::UNSPECIFIED, bytes: b"two" },
        ]);
        assert_eq!((sent.sent, sent.failed), (2, 3));
        assert!(sent.error.is_some());
        let mut buffer = [0; 16];
        for expected in [b"one", b"two"] {
            let len = client.recv(&mut buffer).expect("a reply");
            assert_eq!(&buffer[..len], expected);
        }
    }

    #[test]
    fn a_port_that_nobody_hears_does_not_disturb() {
        let mut server = Server::new(Ipv4Addr::LOCALHOST);
        let (client, address) = client();
        let gone = {
            let (_gone, address) = self::client();
            address
        };
        for _ in 0..3 {
            server.socket.send([Mail { to: gone, from: Ipv4Addr::LOCALHOST, bytes: b"anybody?" }]);
        }
        client.send_to(b"here", server.at(1)).expect("sent");
        assert_eq!(server.expect(1)[0].2, address);
    }

    #[test]
    fn the_kernel_keeps_as_much_as_was_asked_or_as_it_may() {
        let socket = Socket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), None).expect("a free port");
        let bytes = socket.receive_buffer().expect("the kernel says it");
        if bytes != RECEIVE_BUFFER {
            let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max").expect("not without CAP_NET_ADMIN");
            assert_eq!(bytes, RECEIVE_BUFFER.min(most.trim().parse().expect("a number")));
        }
    }

    #[test]
    fn two_servers_do_not_share_a_port() {
        let first = Socket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), None).expect("a free port");
        for ip in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
            let address = SocketAddrV4::new(ip, first.address().port());
            let error = Socket::bind(address, None).expect_err("taken");
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            let text = error.to_string();
            assert!(text.starts_with(&format!("cannot listen on {address}: another program")), "{text}");
        }
    }

    #[test]
    fn errors_name_address_interface_and_remedy() {
        let error = Socket::bind(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 9), 0), None).expect_err("not ours");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert_eq!(
            error.to_string(),
            "cannot listen on 192.0.2.9:0: 192.0.2.9 is no address of this machine; `posgate addresses` lists them"
        );
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let error = Socket::bind(address, Some("no-such-if")).expect_err("no interface");
        assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:0 on interface no-such-if: "), "{error}");
        let denied = explain(Errno::EPERM, address, Some("br-lan"));
        assert!(denied.to_string().contains("CAP_NET_RAW"), "{denied}");
        let denied = explain(Errno::EACCES, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 53), None);
        assert!(denied.to_string().contains("below 1024"), "{denied}");
    }

    #[test]
    fn a_socket_on_an_interface_hears_what_arrives_there() {
        let socket = match Socket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), Some("lo")) {
            Ok(socket) => socket,
            // An old kernel, and not root.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
            Err(error) => panic!("{error}"),
        };
        let mut server = Server::waiting(socket);
        let (client, address) = client();
        client.send_to(b"101", server.at(3)).expect("sent");
        assert_eq!(server.expect(1)[0].2, address);
        let port = server.socket.address().port();
        Socket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port), Some("lo")).expect_err("taken");
    }

    #[test]
    fn the_loopback_is_among_the_addresses() {
        let addresses = addresses().expect("the kernel tells");
        let loopback = addresses.iter().find(|row| row.address == Ipv4Addr::LOCALHOST).expect("a loopback");
        assert_eq!((loopback.interface.as_str(), loopback.prefix, loopback.broadcast), ("lo", 8, None));
    }
}
