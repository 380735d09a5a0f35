//! Writing the status files allocates nothing once it is warm (design.md, section 2), and a file
//! that cannot be written neither. Alone in its program: it counts every thread's allocations.

use std::alloc::System;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Mutex;

use posgate::engine::model::{Mono, Now, Stamp};
use posgate::engine::server::{Effects, Origin, Peer, Server, Tables};
use posgate::host::clock::Clock;
use posgate::host::watch::{Places, SocketStats, Watch};
use posgate::ledger::{DirStorage, Ledger};
use posgate::turn::Service;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Too large for a stack.
static TABLES: Mutex<(Tables, Effects)> = Mutex::new((Tables::new(), Effects::new()));

const CONFIG: &str =
    "config server\n\toption rate_source '0'\nconfig device\n\toption machine '1'\n\toption name '一号窗'\n";

#[test]
fn writing_status_and_metrics_allocates_nothing_and_what_did_not_change_is_not_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory: &Path = directory.path();
    let settings = posgate::files::config::parse(CONFIG.as_bytes(), Path::new("posgate")).expect("a configuration");
    let mut tables = TABLES.lock().expect("the first");
    let (tables, fx) = &mut *tables;
    let mut server = Server::new(tables, settings.rules.clone());
    let ledger_dir = directory.join("ledger");
    let storage = DirStorage::open(&ledger_dir).expect("a directory");
    let stamp = Stamp::parse("2026-11-22T12:00:00.000+08:00").expect("a time");
    let (ledger, _) = Ledger::open(storage, "site", stamp, || 1, server.book_to_replay()).expect("a ledger");
    server.install(settings.rules, &[], Origin::default()).expect("it fits");
    let mut service = Service::new(server, ledger, fx);
    let mut now = Now { mono: Mono(1_000_000), stamp, synchronized: false };
    service.start(&now, &mut |_| ()).expect("written");
    let status = directory.join("run/status.json");
    let mut good = Watch::new(Places {
        status: Some(status.clone()),
        metrics: Some(directory.join("run/posgate.prom")),
        ledger_dir: ledger_dir.clone(),
    });
    std::fs::write(directory.join("file"), "").expect("written");
    let mut bad = Watch::new(Places { status: Some(directory.join("file/status.json")), metrics: None, ledger_dir });
    let clock = Clock::new();

    let mut region = Region::new(ALLOCATOR);
    for round in 0..400_u32 {
        // By then the harness's own thread waits for us, for which it may allocate.
        if round == 100 {
            region.reset();
        }
        let [.., high, low] = round.to_be_bytes();
        let source = std::net::SocketAddrV4::new([10, 0, high, low].into(), 5000);
        let peer = Peer { source, local: [10, 0, 0, 1].into(), socket: 0 };
        let mut frame = heapless::String::<128>::new();
        core::fmt::write(&mut frame, format_args!("106,{round:05},10.0.0.2,10.0.0.1,{:05},123", round / 2 + 1))
            .expect("fits");
        service.receive(&now, peer, frame.as_bytes(), false).expect("written");
        service.end_turn(&now, &mut |_| ()).expect("written");
        for _ in 0..3 {
            let socket_stats = || SocketStats { kernel_dropped: Some(1), unsent: 2, missing: 0 };
            good.after_turn(&now, &clock, &service, 2, socket_stats);
            bad.after_turn(&now, &clock, &service, 2, socket_stats);
            now.mono = now.mono.plus_ms(700);
            now.stamp.wall.0 += 700;
        }
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    // Turns that change nothing, such as that of a timer, write nothing and arm nothing.
    let inode = || std::fs::metadata(&status).expect("a file").ino();
    let (before, socket_stats) = (inode(), SocketStats { kernel_dropped: Some(1), unsent: 2, missing: 0 });
    for _ in 0..20 {
        now.mono = now.mono.plus_ms(700);
        good.after_turn(&now, &clock, &service, 2, || socket_stats);
        assert_eq!((inode(), good.deadline()), (before, None));
    }
    good.after_turn(&now, &clock, &service, 3, || socket_stats);
    assert!(good.deadline().is_some_and(|due| due > now.mono), "a change");
    let text = std::fs::read_to_string(&status).expect("a file");
    assert!(
        text.contains("\"received\":400") && text.contains("\"machine\":\"00200\""),
        "it was written to the end: {text}"
    );
    let failed = posgate::desk::status::Status { trouble: None, ..bad.status(&now, &service, SocketStats::default()) };
    assert!(failed.outside.status_failed >= 390, "{}", failed.outside.status_failed);
}
