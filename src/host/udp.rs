//! UDP sockets that report which of our addresses a datagram was sent to, and reply from that
//! address (design.md, sections 2 and 4).
//!
//! *Invariants:*
//! - Nothing here blocks and nothing allocates after [`Socket::bind`].
//! - A datagram is handed over with the address it was sent to. A device may accept replies only
//!   from its configured server address, so on a machine with several addresses a reply leaves from
//!   the address that the request was sent to; for a broadcast, from the address of the receiving
//!   interface.
//! - A reply that cannot be sent is counted and skipped: devices send again, and one unreachable
//!   device must not delay the others.
//! - No two sockets share an address and port: `SO_REUSEADDR` would let a second server take half
//!   of the frames.
//!
//! Receiving and sending both go in batches: `recvmmsg` by nix, `sendmmsg` by `host::kernel`, with
//! a source address per message. A socket bound to one address needs no address information per
//! datagram: that saves a tenth of the kernel's work for a reply.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd as _, AsRawFd as _};
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

/// Datagrams requested from the kernel in one call.
const BATCH: usize = 64;

/// Datagrams requested in a turn's first call: usually one is waiting, and each requested slot
/// costs work. If all slots are filled, the next call requests [`BATCH`].
const FIRST_BATCH: usize = 4;

/// How many datagrams a socket is expected to hold. A wrong guess costs time and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likely {
    /// Usually one datagram.
    Few,
    /// The last call filled every slot.
    Many,
}

/// Receive buffer to request from the kernel, in bytes. It holds what arrives while a disk syncs
/// and nobody reads: a flood of some hundred thousand small datagrams per second for 30 ms, or the
/// frames of 250 terminals during any sync. It uses memory only for waiting datagrams. Without
/// CAP_NET_ADMIN the kernel grants `net.core.rmem_max` at most.
pub const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Send buffer to request from the kernel, in bytes: the replies of one turn. The kernel grants
/// `net.core.wmem_max` at most.
const SEND_BUFFER: usize = 1024 * 1024;

/// A received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'batch> {
    /// The first bytes of the datagram, at most [`DATAGRAM_LEN_MAX`].
    pub bytes: &'batch [u8],
    /// Length of the whole datagram in bytes.
    pub len: usize,
    /// The sender's address, and the destination of a reply.
    pub source: SocketAddrV4,
    /// Our address to which it was sent; for a broadcast, the address of the receiving interface.
    /// 0.0.0.0 if the kernel did not report it.
    pub local: Ipv4Addr,
    /// Arrival time by the kernel's wall clock; `None` if the kernel did not report it.
    pub noted: Option<Wall>,
}

impl Datagram<'_> {
    /// Whether the datagram is longer than any frame, so that `bytes` is cut.
    pub(crate) const fn is_oversize(&self) -> bool {
        self.len > DATAGRAM_LEN_MAX
    }
}

/// The outcome of [`Socket::send`].
#[derive(Debug, Default)]
pub struct Sent {
    /// Messages handed to the kernel.
    pub sent: usize,
    /// Messages skipped: the send buffer was full, or there is no way to the receiver.
    pub failed: usize,
    /// The error of the last skipped message.
    pub error: Option<io::Error>,
}

/// The result of [`Socket::renew`].
#[derive(Debug)]
pub(crate) enum Renewal {
    /// Nothing: the interface is as it was, or still missing.
    Same,
    /// The interface is gone, and the socket with it.
    Gone,
    /// The interface is there, and has a new socket.
    New,
    /// The interface is there, and a new socket could not be made; reported once.
    Failed(io::Error),
}

/// A UDP socket for one address, optionally bound to one interface. While that interface is missing
/// there is no kernel socket: nothing is received, and sends fail.
#[derive(Debug)]
pub struct Socket {
    open: Option<Open>,
    address: SocketAddrV4,
    device: Option<Device>,
    /// Datagrams that the kernel dropped in the sockets before this one.
    dropped_before: u64,
    incoming: MultiHeaders<SockaddrIn>,
    /// [`BATCH`] times [`DATAGRAM_LEN_MAX`] bytes.
    buffers: Box<[u8]>,
}

/// A kernel socket.
#[derive(Debug)]
struct Open {
    socket: mio::net::UdpSocket,
    /// Identifies the socket in `/proc/net/udp`.
    inode: u64,
}

/// The interface of a socket.
#[derive(Debug)]
struct Device {
    name: String,
    /// The kernel's index of the interface, as it was before the socket was bound to it; `None`
    /// while the interface is missing. An interface that is deleted and added again has another
    /// index, and a socket stays bound to the old one.
    index: Option<u32>,
    /// Whether the last try to make a socket failed.
    is_failing: bool,
    /// Whether the socket was closed and not renewed yet.
    is_released: bool,
}

impl Device {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), index: index_of(name), is_failing: false, is_released: false }
    }
}

impl Socket {
    /// Binds to an address and port of this machine (port 0: any free port). With a `device` it
    /// receives only what arrives on that interface.
    ///
    /// # Errors
    /// The kernel's, with address, interface and remedy in the message.
    pub fn bind(address: SocketAddrV4, device: Option<&str>) -> io::Result<Self> {
        // The index first: if the interface changes meanwhile, `renew` makes the socket once more.
        let device = device.map(Device::new);
        let open = Open::bind(address, device.as_ref().map(|device| device.name.as_str()))?;
        let bound: SockaddrIn = socket::getsockname(open.socket.as_raw_fd())?;
        Ok(Self { open: Some(open), ..Self::missing(bound.into(), device) })
    }

    /// As [`Socket::bind`] for a missing interface: the event loop binds the socket when the
    /// interface appears.
    pub fn wait_for(address: SocketAddrV4, device: &str) -> Self {
        Self::missing(address, Some(Device { index: None, ..Device::new(device) }))
    }

    fn missing(address: SocketAddrV4, device: Option<Device>) -> Self {
        Self {
            open: None,
            address,
            device,
            dropped_before: 0,
            incoming: headers(BATCH),
            buffers: vec![0; BATCH * DATAGRAM_LEN_MAX].into(),
        }
    }

    /// Closes the kernel socket, with its waiting datagrams, if the interface is no longer the one
    /// that the socket is bound to. Every socket is released before the first is renewed: after a
    /// rename one may hold the address that another needs.
    pub(crate) fn release(&mut self) {
        let Some(device) = &mut self.device else { return };
        if self.open.is_some() && index_of(&device.name) != device.index {
            device.is_released = true;
            self.dropped_before = self.kernel_dropped().unwrap_or(self.dropped_before);
            self.open = None;
        }
    }

    /// Follows the interface's name, after [`Socket::release`]: if there is an interface of that
    /// name and no socket, creates one and registers it. Binding the old socket to another
    /// interface would need a capability (EPERM).
    pub(crate) fn renew(&mut self, registry: &Registry, token: Token) -> Renewal {
        let Some(device) = &mut self.device else { return Renewal::Same };
        if self.open.is_some() {
            return Renewal::Same;
        }
        device.index = index_of(&device.name);
        let was_open = core::mem::take(&mut device.is_released);
        if device.index.is_none() {
            device.is_failing = false;
            return if was_open { Renewal::Gone } else { Renewal::Same };
        }
        let opened = Open::bind(self.address, Some(&device.name)).and_then(|mut open| {
            registry.register(&mut open.socket, token, Interest::READABLE)?;
            Ok(open)
        });
        match opened {
            Ok(open) => {
                device.is_failing = false;
                self.open = Some(open);
                Renewal::New
            }
            Err(_) if device.is_failing => Renewal::Same,
            Err(error) => {
                device.is_failing = true;
                Renewal::Failed(error)
            }
        }
    }

    /// The interface that the socket is bound to, if any.
    pub fn device(&self) -> Option<&str> {
        Some(&self.device.as_ref()?.name)
    }

    /// Whether it is not open: its interface is missing, or cannot be bound yet.
    pub fn is_missing(&self) -> bool {
        self.open.is_none()
    }

    /// The address and port that the socket is bound to.
    pub const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Size of the receive buffer that the kernel granted, in bytes: [`RECEIVE_BUFFER`] or less.
    /// `None` if the kernel does not report it.
    pub fn receive_buffer(&self) -> Option<usize> {
        // The kernel doubles the requested size for its own bookkeeping, and reports the double.
        Some(socket::getsockopt(&self.open.as_ref()?.socket, sockopt::RcvBuf).ok()? / 2)
    }

    /// The networks in which this socket can reach devices by broadcast: our address there, and the
    /// network's broadcast address.
    pub(crate) fn networks<'a>(
        &self,
        addresses: &'a [InterfaceAddress],
    ) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr)> + use<'a> {
        let (own, is_open) = (*self.address.ip(), self.open.is_some());
        let device = self.device().map(str::to_owned);
        addresses.iter().filter(move |_| is_open).filter_map(move |here| {
            let is_served = match &device {
                Some(device) => here.interface == *device,
                None => own.is_unspecified() || here.address == own,
            };
            // The loopback interface reports no broadcast address, but has one. It is used only by
            // a socket bound to that loopback address.
            let is_loopback = here.address.is_loopback();
            let all_hosts = || all_hosts(here.address, here.prefix);
            let broadcast = if is_loopback { (own == here.address).then(all_hosts) } else { here.broadcast };
            Some((here.address, broadcast.filter(|_| is_served)?))
        })
    }

    /// Datagrams that the kernel dropped because this socket's buffer was full, modulo 2³² per
    /// socket of the kernel; `None` if the kernel does not report it.
    pub(crate) fn kernel_dropped(&self) -> Option<u64> {
        let dropped = self.open.as_ref().map_or(Some(0), |open| lost::by_kernel(open.inode))?;
        Some(self.dropped_before + dropped)
    }

    /// Hands over at most `max` waiting datagrams in the order of their arrival; returns their
    /// number. A right guess in `likely` saves time.
    ///
    /// Less than `max` means that the socket is empty and the poll will report new datagrams.
    /// Exactly `max` means that more may wait, which the poll will not report: call again.
    ///
    /// # Errors
    /// The kernel's, if the socket cannot be read. An ICMP message about an earlier reply is not an
    /// error.
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
                    // The socket is empty: an unconnected socket never reports a pending error
                    // instead of a waiting datagram.
                    if received < asked {
                        break;
                    }
                }
                Err(Errno::EAGAIN) => break,
                // A signal; or an ICMP message about an earlier reply, which is reported once.
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

    /// Sends each message or skips it; never blocks.
    pub fn send<'mail>(&self, mail: impl IntoIterator<Item = Mail<'mail>>) -> Sent {
        let mut outcome = Sent::default();
        // A socket bound to one address sends from it anyway.
        let is_bound = !self.address.ip().is_unspecified();
        let mut mail = mail.into_iter().map(|message| {
            let is_own = is_bound && message.from == *self.address.ip();
            Mail { from: if is_own { Ipv4Addr::UNSPECIFIED } else { message.from }, ..message }
        });
        // Filled in place: a `collect` would move all of its room, for one message as for many.
        let mut batch = heapless::Vec::<Mail<'mail>, { kernel::BATCH }>::new();
        loop {
            batch.clear();
            batch.extend(mail.by_ref().take(kernel::BATCH));
            if batch.is_empty() {
                return outcome;
            }
            self.send_batch(&batch, &mut outcome);
        }
    }

    fn send_batch(&self, batch: &[Mail<'_>], outcome: &mut Sent) {
        let Some(open) = &self.open else {
            outcome.failed += batch.len();
            outcome.error = Some(ErrorKind::NotConnected.into());
            return;
        };
        let mut rest = batch;
        let mut is_second_try = false;
        while !rest.is_empty() {
            match kernel::send(open.socket.as_fd(), rest) {
                Ok(sent) => {
                    outcome.sent += sent;
                    rest = &rest[sent..];
                    is_second_try = false;
                }
                // The kernel reports an ICMP error about an earlier reply and does not send this
                // one: the error says nothing about this one, so try again once.
                Err(error) if is_unrelated(&error) && !is_second_try => is_second_try = true,
                Err(error) => {
                    outcome.failed += 1;
                    outcome.error = Some(error);
                    rest = &rest[1..];
                    is_second_try = false;
                }
            }
        }
    }

    /// One `recvmmsg` for at most `max` datagrams, and at most `N`.
    fn recv_batch<const N: usize>(&mut self, max: usize, handle: &mut dyn FnMut(Datagram<'_>)) -> Result<usize, Errno> {
        let Some(open) = &self.open else { return Err(Errno::EAGAIN) };
        let bound = Some(*self.address.ip()).filter(|ip| !ip.is_unspecified());
        let mut buffers = self.buffers.chunks_exact_mut(DATAGRAM_LEN_MAX);
        let mut slices: [[IoSliceMut<'_>; 1]; N] =
            core::array::from_fn(|_| [IoSliceMut::new(buffers.next().expect("BATCH buffers are at least N"))]);
        let slices = slices.iter_mut().take(max);
        // MSG_TRUNC: report the whole length of a datagram that does not fit.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let received = socket::recvmmsg(open.socket.as_raw_fd(), &mut self.incoming, slices, flags, None)?;
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
        // The kernel stores in a header how much of the space for control messages it used, and nix
        // does not reset it. They all have one size; if one were missing, its header would never
        // have space again. We have not seen this happen.
        if unknown {
            self.incoming = headers(BATCH);
        }
        Ok(count)
    }
}

impl Open {
    fn bind(address: SocketAddrV4, device: Option<&str>) -> io::Result<Self> {
        let explain = |errno| explain(errno, address, device);
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket::socket(AddressFamily::Inet, SockType::Datagram, flags, None).map_err(explain)?;
        if address.ip().is_unspecified() {
            // Before binding, so that no datagram arrives without its control message.
            socket::setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).map_err(explain)?;
        }
        // Optional: without it a datagram's arrival time is the time at which we read it.
        let _ = socket::setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
        socket::setsockopt(&socket, sockopt::Broadcast, &true).map_err(explain)?;
        if let Some(device) = device {
            socket::setsockopt(&socket, sockopt::BindToDevice, &OsString::from(device)).map_err(explain)?;
        }
        // Optional too: the server works with a small buffer.
        if socket::setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            let _ = socket::setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
        }
        let _ = socket::setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER);
        socket::bind(socket.as_raw_fd(), &SockaddrIn::from(address)).map_err(explain)?;
        let inode = File::from(socket.try_clone()?).metadata()?.ino();
        Ok(Self { socket: mio::net::UdpSocket::from_std(socket.into()), inode })
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.socket.register(registry, token, interests))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.socket.reregister(registry, token, interests))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.socket.deregister(registry))
    }
}

/// An IPv4 address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The interface's name, as in `list bind_device`.
    pub interface: String,
    /// The interface's own address.
    pub address: Ipv4Addr,
    /// Prefix length in bits, 0 to 32: 24 for 255.255.255.0.
    pub prefix: u8,
    /// The broadcast address; `None` for the loopback and point-to-point interfaces.
    pub broadcast: Option<Ipv4Addr>,
}

/// The IPv4 addresses of this machine, in the kernel's order, for `posgate addresses`.
///
/// # Errors
/// The kernel's, if it does not list them.
pub fn addresses() -> io::Result<Vec<InterfaceAddress>> {
    let ipv4 = |address: Option<socket::SockaddrStorage>| Some(address?.as_sockaddr_in()?.ip());
    let interfaces = nix::ifaddrs::getifaddrs()?;
    Ok(interfaces
        .filter_map(|interface| {
            let address = ipv4(interface.address)?;
            let prefix = ipv4(interface.netmask).map_or(32, |mask| mask.to_bits().leading_ones() as u8);
            // Computed, because the C library may report the interface's own address as the
            // broadcast address of an interface that has none.
            let takes_broadcasts = interface.flags.contains(InterfaceFlags::IFF_BROADCAST) && prefix < 31;
            let broadcast = takes_broadcasts.then(|| all_hosts(address, prefix));
            Some(InterfaceAddress { interface: interface.interface_name, address, prefix, broadcast })
        })
        .collect())
}

/// Whether this machine has an interface of this name, with or without an address.
pub fn has_interface(name: &str) -> bool {
    index_of(name).is_some()
}

/// The kernel's index of the interface of this name, if it exists.
fn index_of(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

/// Whether a send error may be about an earlier message, or come from a signal.
fn is_unrelated(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionRefused)
}

/// The broadcast address of a network.
fn all_hosts(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() | !mask(prefix))
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// Headers with space for the control messages that are switched on.
fn headers(count: usize) -> MultiHeaders<SockaddrIn> {
    MultiHeaders::preallocate(count, Some(cmsg_space!(libc::in_pktinfo, TimeSpec)))
}

/// The arrival time in the control messages.
#[allow(clippy::useless_conversion, reason = "its fields are narrower on some routers")]
fn noted(message: &RecvMsg<'_, '_, SockaddrIn>) -> Option<Wall> {
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(at) => {
            Some(Wall(i64::from(at.tv_sec()).saturating_mul(1000).saturating_add(i64::from(at.tv_nsec()) / 1_000_000)))
        }
        _ => None,
    })
}

/// Our address in the control messages, in a form that can be a reply's source.
fn local_address(message: &RecvMsg<'_, '_, SockaddrIn>) -> Option<Ipv4Addr> {
    message.cmsgs().ok()?.find_map(|control| match control {
        // Not `ipi_addr`: for a broadcast that is the broadcast address.
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())),
        _ => None,
    })
}

fn explain(errno: Errno, address: SocketAddrV4, device: Option<&str>) -> io::Error {
    struct Endpoint<'a>(SocketAddrV4, Option<&'a str>);
    impl fmt::Display for Endpoint<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.1 {
                Some(device) => write!(f, "{} on interface {device}", self.0),
                None => write!(f, "{}", self.0),
            }
        }
    }
    let remedy = match errno {
        Errno::EADDRINUSE => {
            "another program uses it, perhaps another posgate, or two lines `list listen` name it".to_owned()
        }
        Errno::EADDRNOTAVAIL => {
            format!("{} is not an address of this machine; `posgate addresses` lists them", address.ip())
        }
        Errno::ENODEV => "there is no such interface; `posgate addresses` lists the interfaces".to_owned(),
        Errno::EACCES if address.port() < 1024 && address.port() != 0 => {
            "a port below 1024 needs the capability CAP_NET_BIND_SERVICE; listen on a higher one".to_owned()
        }
        Errno::EPERM | Errno::EACCES if device.is_some() => {
            "not permitted; to bind to an interface, kernels before 5.7 require the capability CAP_NET_RAW: leave out \
             `list bind_device`, or start posgate with it"
                .to_owned()
        }
        errno => errno.desc().to_owned(),
    };
    io::Error::new(io::Error::from(errno).kind(), format!("cannot listen on {}: {remedy}", Endpoint(address, device)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::net::UdpSocket;
    use std::time::Duration;

    /// A server's socket and its poll.
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

        /// Waits for `count` datagrams; returns the bytes, length, source and our address of each.
        fn expect(&mut self, count: usize) -> Vec<(Vec<u8>, usize, SocketAddrV4, Ipv4Addr)> {
            self.expect_as(count, Likely::Few)
        }

        fn expect_as(&mut self, count: usize, likely: Likely) -> Vec<(Vec<u8>, usize, SocketAddrV4, Ipv4Addr)> {
            let mut heard = Vec::new();
            while heard.len() < count {
                let note = |datagram: Datagram<'_>| {
                    heard.push((datagram.bytes.to_vec(), datagram.len, datagram.source, datagram.local));
                };
                if self.socket.recv(count, likely, note).expect("readable") == 0 {
                    let mut events = Events::with_capacity(4);
                    self.poll.poll(&mut events, Some(Duration::from_secs(10))).expect("a poll");
                    assert!(!events.is_empty(), "{} of {count} arrived", heard.len());
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
    fn a_reply_leaves_from_the_address_that_the_request_was_sent_to() {
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
    fn many_datagrams_at_once_are_read_in_order() {
        let mut server = Server::new(Ipv4Addr::LOCALHOST);
        let (client, _) = client();
        for likely in [Likely::Few, Likely::Many] {
            for number in 0..200_u8 {
                client.send_to(&[number; 9], server.at(1)).expect("sent");
            }
            let heard = server.expect_as(200, likely);
            assert!(heard.iter().map(|(bytes, ..)| bytes.clone()).eq((0..200_u8).map(|number| vec![number; 9])));
            assert_eq!(server.socket.recv(10, likely, |_| unreachable!()).expect("readable"), 0, "nothing is left");
        }
    }

    #[test]
    fn no_more_than_max_datagrams_are_read() {
        let mut server = Server::new(Ipv4Addr::LOCALHOST);
        let (client, _) = client();
        for number in 0..100_u8 {
            client.send_to(&[number], server.at(1)).expect("sent");
        }
        assert_eq!(server.expect(70).len(), 70);
        assert_eq!(server.expect(30)[0].0, [70], "the rest waits");
    }

    #[test]
    fn a_datagram_longer_than_any_frame_is_reported_as_oversize() {
        let mut server = Server::new(Ipv4Addr::LOCALHOST);
        let (client, _) = client();
        let mut local = |len: usize| {
            client.send_to(&vec![b'x'; len], server.at(1)).expect("sent");
            let mut seen = None;
            while seen.is_none() {
                let note =
                    |datagram: Datagram<'_>| seen = Some((datagram.bytes.len(), datagram.len, datagram.is_oversize()));
                server.socket.recv(1, Likely::Many, note).expect("readable");
            }
            seen.expect("seen")
        };
        assert_eq!(local(0), (0, 0, false));
        assert_eq!(local(1024), (1024, 1024, false));
        assert_eq!(local(1025), (1024, 1025, true));
        assert_eq!(local(9000), (1024, 9000, true));
        assert_eq!(local(3), (3, 3, false), "a long one leaves no bytes in the buffer");
    }

    #[test]
    fn unsendable_messages_are_counted_and_the_others_are_sent() {
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
    fn a_reply_to_a_closed_port_does_not_disturb_receiving() {
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
    fn the_receive_buffer_is_as_requested_or_the_kernels_maximum() {
        let socket = Socket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), None).expect("a free port");
        let bytes = socket.receive_buffer().expect("the kernel reports it");
        if bytes != RECEIVE_BUFFER {
            let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max").expect("readable");
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
            "cannot listen on 192.0.2.9:0: 192.0.2.9 is not an address of this machine; `posgate addresses` lists them"
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
    fn a_socket_on_an_interface_receives_what_arrives_there() {
        let socket = match Socket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), Some("lo")) {
            Ok(socket) => socket,
            // The kernel is old, and the test does not run as root.
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
        let addresses = addresses().expect("the kernel lists them");
        let loopback = addresses.iter().find(|row| row.address == Ipv4Addr::LOCALHOST).expect("a loopback interface");
        assert_eq!((loopback.interface.as_str(), loopback.prefix, loopback.broadcast), ("lo", 8, None));
    }
}
