//! Interfaces that come and go, in a network of the test's own (design.md, section 13).

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

use crate::harness::{Device, PATIENCE, Server, Site, card};
use crate::own_network::{has_own_network, sh};
use crate::status::{count, number, wait_until};

/// A bridge as a router has it: the near ends of two veths are its ports, for not every kernel has
/// dummies.
const BRIDGE: &str = "ip link add br0 address 02:00:00:00:00:01 type bridge
    ip link set d0 master br0
    ip link set v0 master br0
    ip link set br0 up";
const ADDRESS: &str = "ip addr add 10.79.0.1/24 brd + dev br0";

/// A device in a network namespace of its own, at the far end of the veth.
struct FarDevice {
    device: Device,
}

impl FarDevice {
    /// Makes the ports of the bridge, and moves the far end of the veth to the device.
    fn new(server: &Server) -> Self {
        sh("ip link set lo up
            ip link add d0 type veth peer name d1
            ip link set d0 up
            ip link add v0 type veth peer name p0
            ip link set v0 up");
        let (says_id, id) = mpsc::channel();
        let (says_moved, moved) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            // Of this thread alone; its socket keeps the namespace.
            unshare(CloneFlags::CLONE_NEWNET).expect("root may");
            says_id.send(nix::unistd::gettid()).expect("it is waited for");
            moved.recv().expect("the link is moved");
            sh("ip link set lo up\nip addr add 10.79.0.2/24 dev p0\nip link set p0 up");
            UdpSocket::bind("10.79.0.2:0").expect("its own address")
        });
        sh(&format!("ip link set p0 netns {}", id.recv().expect("a thread")));
        says_moved.send(()).expect("it waits");
        let socket = thread.join().expect("a socket");
        socket.connect(("10.79.0.1", server.port)).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut device = Device::new(1, server);
        device.socket = socket;
        Self { device }
    }

    #[track_caller]
    fn pays(&mut self) {
        self.device.pay(&card(1), "1.00");
        self.device.confirm();
    }
}

fn bound_to_bridge(listen: &str) -> Site {
    let site = Site::with("\tlist bind_device 'br0'\n\tlist bind_device 'lo'\n", "");
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    site.write("posgate", &config.replace("127.0.0.1:0", listen));
    site
}

/// Waits until the status counts as many sockets without an interface.
#[track_caller]
fn wait_for_missing(site: &Site, count: i64) {
    wait_until(site, "sockets_missing", |status| number(status, "sockets_missing") == count);
}

#[test]
fn a_bridge_that_is_deleted_and_added_again_is_served_again() {
    if !has_own_network("interfaces::a_bridge_that_is_deleted_and_added_again_is_served_again") {
        return;
    }
    sh("ip link set lo up\nip link add br0 type bridge");
    let site = bound_to_bridge("0.0.0.0:0");
    let server = site.start();
    let mut far = FarDevice::new(&server);
    // While it cannot look: it sees only that the index is another one.
    server.signal(Signal::SIGSTOP);
    sh(&format!("ip link del br0\n{BRIDGE}\n{ADDRESS}"));
    server.signal(Signal::SIGCONT);
    server.wait_for_count(1, "interface new device=br0");
    far.pays();
    for round in 2..4 {
        sh("ip link del br0");
        wait_for_missing(&site, 1);
        sh(&format!("{BRIDGE}\n{ADDRESS}"));
        server.wait_for_count(round, "interface new device=br0");
        wait_for_missing(&site, 0);
        far.pays();
    }
    assert_eq!(site.ledger().count("charge"), 3);
    let ended = server.stop();
    let gone = ended.err.lines().filter(|line| line.contains("interface gone device=br0")).count();
    assert_eq!(gone, 2, "each time once: {}", ended.err);
}

#[test]
fn two_interfaces_that_swap_their_names_are_both_served() {
    if !has_own_network("interfaces::two_interfaces_that_swap_their_names_are_both_served") {
        return;
    }
    sh("ip link set lo up\nip link add br0 type bridge\nip link add br1 type bridge");
    let site = bound_to_bridge("0.0.0.0:0");
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    site.write("posgate", &config.replace("bind_device 'lo'", "bind_device 'br1'"));
    // The ports of both must be the same: with port 0 each socket gets its own.
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    site.write("posgate", &config.replace("0.0.0.0:0", &format!("0.0.0.0:{free}")));
    let server = site.start();
    server.signal(Signal::SIGSTOP);
    sh("ip link set br0 name brx\nip link set br1 name br0\nip link set brx name br1");
    server.signal(Signal::SIGCONT);
    server.wait_for_count(2, "interface new device=br");
    wait_for_missing(&site, 0);
    let ended = server.stop();
    assert!(!ended.err.contains("interface deaf"), "{}", ended.err);
}

#[test]
fn an_interface_without_the_address_yet_is_said_once_and_served_when_it_has_it() {
    if !has_own_network("interfaces::an_interface_without_the_address_yet_is_said_once_and_served_when_it_has_it") {
        return;
    }
    sh(&format!("ip link set lo up\nip link add br0 type bridge\n{ADDRESS}"));
    let site = Site::with("\tlist bind_device 'br0'\n", "");
    let config = fs::read_to_string(site.path("posgate")).unwrap();
    site.write("posgate", &config.replace("127.0.0.1:0", "10.79.0.1:0"));
    let server = site.start();
    sh("ip link del br0");
    server.wait_for_trouble("interface gone device=br0");
    let mut far = FarDevice::new(&server);
    sh(BRIDGE);
    server.wait_for_trouble("interface deaf device=br0");
    // More changes say nothing new.
    sh("ip link set br0 down\nip link set br0 up\nip link add d9 type veth");
    sh(ADDRESS);
    server.wait_for("interface new device=br0");
    far.pays();
    let ended = server.stop();
    assert_eq!(ended.err.matches("interface deaf").count(), 1, "{}", ended.err);
}

#[test]
fn an_interface_that_is_missing_at_the_start_is_said_once_waited_for_and_wakes_nobody() {
    let name = "interfaces::an_interface_that_is_missing_at_the_start_is_said_once_waited_for_and_wakes_nobody";
    if !has_own_network(name) {
        return;
    }
    sh("ip link set lo up");
    let site = bound_to_bridge("0.0.0.0:0");
    let mut server = site.spawn(&[]);
    let place = format!("{}:10: ", site.path("posgate").display());
    let said = server.wait_for_trouble("on interface br0: there is no such interface");
    assert!(said.contains(&place) && said.contains("waited for"), "{said}");
    let line = server.wait_for("listening address=");
    server.port = line.rsplit_once(':').expect("an address").1.parse().unwrap();
    // The other interface is served.
    let mut near = Device::new(2, &server);
    near.pay(&card(2), "1.00");
    near.confirm();
    near.heard_so_far();
    wait_for_missing(&site, 1);
    wait_until(&site, "confirmed", |status| count(status, "confirmed") == 1);
    // Silence cannot be waited for: in one of a few spans, each longer than the status waits, the
    // server sleeps throughout.
    let sleeps_throughout = || {
        let before = switches(&server);
        std::thread::sleep(Duration::from_millis(1500));
        before == switches(&server)
    };
    assert!((0..5).any(|_| sleeps_throughout()), "it is woken all the time");
    server.stop();
}

/// How often the server has gone to sleep.
fn switches(server: &Server) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).expect("the kernel says it").to_owned()
}

/// That the answer comes through the path.
#[track_caller]
fn is_reached(site: &Site) {
    site.run(&["ctl", "--config", "CONFIG", "status"]).expect(0, &[], &[]);
}

#[test]
fn a_control_socket_whose_path_is_gone_is_made_again() {
    let site = Site::new();
    let server = site.start();
    let path = site.path("ctl.sock");
    let gone = "it was gone, and is made again";
    fs::remove_file(&path).unwrap();
    server.wait_for_count(1, gone);
    is_reached(&site);
    fs::rename(&path, site.path("elsewhere")).unwrap();
    server.wait_for_count(2, gone);
    is_reached(&site);
    server.stop();
    assert!(!path.exists(), "only the last one is its own to remove");
}

#[test]
fn a_control_path_that_is_taken_is_made_again_by_sighup_once_it_is_free() {
    let site = Site::new();
    let server = site.start();
    let path = site.path("ctl.sock");
    // In one step, so that the server never finds it free.
    symlink("nowhere", site.path("link")).unwrap();
    fs::rename(site.path("link"), &path).unwrap();
    server.wait_for_trouble("control failed");
    assert!(path.is_symlink(), "what stands there is not the server's to remove");
    fs::remove_file(&path).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("it was gone, and is made again");
    is_reached(&site);
    server.stop();
}

#[test]
fn clients_stay_connected_when_the_control_socket_is_made_again() {
    let site = Site::new();
    let server = site.start();
    let mut client = BufReader::new(UnixStream::connect(site.path("ctl.sock")).unwrap());
    client.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    let mut ask = || {
        client.get_mut().write_all(b"{\"cmd\":\"status\"}\n").unwrap();
        let mut answer = String::new();
        client.read_line(&mut answer).unwrap();
        assert!(answer.contains("\"ok\":true"), "{answer}");
    };
    ask();
    fs::remove_file(site.path("ctl.sock")).unwrap();
    server.wait_for("it was gone, and is made again");
    ask();
    is_reached(&site);
    server.stop();
}
