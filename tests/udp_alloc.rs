//! Receiving and answering thousands of datagrams allocates nothing. Alone in its program: it
//! counts every thread's allocations.

use std::alloc::System;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use posgate::host::udp::{Likely, Mail, Socket};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn thousands_of_datagrams_allocate_nothing() {
    let mut server = Socket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), None).expect("a free port");
    let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = server.address().port();
    let lens = [0, 3, 70, 1024, 1025, 3000];
    let frame = [b'5'; 3000];
    let mut buffer = [0; 2000];

    let mut region = Region::new(ALLOCATOR);
    for round in 0..120_usize {
        // By then the harness's own thread waits for us, for which it may allocate.
        if round == 20 {
            region.reset();
        }
        // Fewer than any kernel's buffers hold.
        for number in 0..40 {
            let to = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 1 + number % 3), port);
            let len = lens[(round + usize::from(number)) % lens.len()];
            client.send_to(&frame[..len], SocketAddr::V4(to)).expect("sent");
        }
        let mut pending = [(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), Ipv4Addr::UNSPECIFIED); 40];
        let mut count = 0;
        while count < pending.len() {
            server
                .recv(pending.len() - count, Likely::Few, |datagram| {
                    pending[count] = (datagram.source, datagram.local);
                    count += 1;
                })
                .expect("it can be read");
        }
        let mail = pending.iter().map(|(to, from)| Mail { to: *to, from: *from, bytes: &frame[..200] });
        // One that cannot be sent, too.
        let nowhere = Mail { to: pending[0].0, from: Ipv4Addr::new(192, 0, 2, 1), bytes: b"lost" };
        let sent = server.send(mail.chain([nowhere]));
        assert_eq!((sent.sent, sent.failed), (40, 1));
        for _ in 0..40 {
            assert_eq!(client.recv(&mut buffer).expect("a reply"), 200);
        }
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
}
