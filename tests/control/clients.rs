//! Clients that are many, silent, slow or hostile: terminals sell as if there were none.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::harness::{Device, PATIENCE, Site, card, card_table};
use crate::tools::{Client, ctl, member, until};

#[test]
fn thirty_two_clients_are_served_and_one_more_is_told_to_wait() {
    let site = Site::new();
    let server = site.start();
    let mut clients: Vec<Client> = (0..32).map(|_| Client::of(&site)).collect();
    for client in &mut clients {
        assert!(client.ask("{\"cmd\":\"sync\"}").starts_with("{\"ok\":true"));
    }
    ctl(&site, &["sync"]).expect(1, &["busy: 32 clients are connected; try again"]);
    assert!(clients[31].ask("{\"cmd\":\"sync\"}").starts_with("{\"ok\":true"), "the others do not notice");
    clients.pop();
    until("the last one's place is free", || ctl(&site, &["sync"]).code == Some(0));
    server.stop();
}

#[test]
fn a_client_that_waits_hears_of_the_next_sale_and_knows_its_crc() {
    let site = Site::with("\toption segment_bytes '4096'\n", "");
    let server = site.start();
    let (mut client, mut asker) = (Client::of(&site), Client::of(&site));
    let mut terminal = Device::new(1, &server);
    let mut head = client.ask("{\"cmd\":\"head\"}");
    for _ in 0..30 {
        let seq = member(&head.parse().unwrap(), "seq");
        client.send(&format!("{{\"cmd\":\"wait\",\"after\":{seq},\"max_s\":60}}"));
        terminal.pay(&card(1), "0.01");
        head = client.hear();
        let next = member(&head.parse().unwrap(), "seq").parse::<u64>().unwrap();
        assert!(next > seq.parse().unwrap(), "{head}");
        // The same by its number.
        assert_eq!(asker.ask(&format!("{{\"cmd\":\"crc_of\",\"seq\":{next}}}")), head);
    }
    // A wait of no time is answered at once.
    assert!(client.ask("{\"cmd\":\"wait\",\"after\":9999,\"max_s\":0}").starts_with("{\"ok\":true,\"ledger\""));
    let ledger = site.ledger();
    for row in &ledger.lines {
        let answer = asker.ask(&format!("{{\"cmd\":\"crc_of\",\"seq\":{}}}", row.raw("seq")));
        assert!(answer.contains(&format!("\"seq\":{},\"crc\":\"{}\"", row.raw("seq"), row.raw("crc"))), "{answer}");
    }
    let ahead = asker.ask("{\"cmd\":\"crc_of\",\"seq\":18446744073709551615}");
    assert!(ahead.contains("\"reason\":\"ahead\""), "{ahead}");
    // The first segment is archived: its last entry's crc is still known by the next segment.
    let mut names: Vec<_> = std::fs::read_dir(site.path("ledger")).unwrap().map(|file| file.unwrap().path()).collect();
    names.retain(|name| name.to_string_lossy().contains("/ledger-"));
    names.sort();
    let second: u64 = names[1].to_string_lossy().split(['-', '.']).rev().nth(1).unwrap().parse().unwrap();
    std::fs::remove_file(&names[0]).unwrap();
    let archived = asker.ask("{\"cmd\":\"crc_of\",\"seq\":1}");
    assert!(archived.contains(&format!("\"reason\":\"archived\",\"first\":{second}}}")), "{archived}");
    let last = asker.ask(&format!("{{\"cmd\":\"crc_of\",\"seq\":{}}}", second - 1));
    assert!(last.starts_with("{\"ok\":true"), "{last}");
    server.kill();
}

#[test]
fn terminals_sell_while_clients_are_silent_slow_and_hostile() {
    let site = Site::new();
    let server = site.start();
    let over = AtomicBool::new(false);
    let mut terminals: Vec<Device> = (1..=4).map(|machine| Device::new(machine, &server)).collect();
    std::thread::scope(|scope| {
        // Half a line, and nothing more.
        let mut silent = UnixStream::connect(site.path("ctl.sock")).unwrap();
        silent.write_all(b"{\"cmd\":").unwrap();
        // Asks for the longest answers and takes none.
        let mut slow = UnixStream::connect(site.path("ctl.sock")).unwrap();
        slow.set_nonblocking(true).unwrap();
        let over = &over;
        let site = &site;
        let flood = scope.spawn(move || {
            let mut sent = 0_u64;
            while !over.load(Ordering::Relaxed) {
                match slow.write(b"{\"cmd\":\"cards\"}\n") {
                    Ok(len) => sent += u64::try_from(len).unwrap(),
                    Err(_) => std::thread::yield_now(),
                }
            }
            sent
        });
        // Orders as fast as they are answered.
        let busy = scope.spawn(move || {
            let mut client = Client::of(site);
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                let line = format!(
                    "{{\"cmd\":\"topup\",\"card\":\"{}\",\"amount\":\"0.01\",\"key\":\"b{count}\",\"by\":\"li\"}}",
                    card(12)
                );
                assert!(client.ask(&line).starts_with("{\"ok\":true"));
                count += 1;
            }
            count
        });
        // Lines of 10 MB, one connection after the other.
        let hostile = scope.spawn(move || {
            let garbage = vec![b'['; 10_000_000];
            let mut answers = 0;
            while !over.load(Ordering::Relaxed) || answers == 0 {
                let mut stream = UnixStream::connect(site.path("ctl.sock")).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let _closed = stream.write_all(&garbage);
                let mut answer = String::new();
                let _closed = stream.read_to_string(&mut answer);
                assert!(answer.is_empty() || answer.contains("longer than 4096 bytes"), "{answer}");
                answers += usize::from(!answer.is_empty());
            }
            answers
        });
        // Meanwhile each sale is asked for once, and gets its 001 and its 008: nothing is sent
        // again.
        for round in 0..50 {
            for (place, terminal) in terminals.iter_mut().enumerate() {
                let frame =
                    terminal.frame("103", &format!("{},0.10,2024-02-29 12:00:{round:02}", card(place as u64 + 1)));
                terminal.ask(&frame, "008");
                terminal.confirm();
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(flood.join().unwrap() > 0);
        assert!(busy.join().unwrap() > 0, "orders were done meanwhile");
        assert!(hostile.join().unwrap() > 0);
        // The silent one's half line waits for its rest.
        silent.write_all(b"\"sync\"}\n").unwrap();
        let mut answer = [0; 10];
        silent.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"{\"ok\":true");
    });
    let ended = server.stop();
    assert!(ended.out.contains("approved=200 declined=0"), "{}", ended.out.lines().last().unwrap());
    assert!(!ended.out.contains("duplicates="), "{}", ended.out.lines().last().unwrap());
    let ledger = site.ledger();
    assert_eq!(ledger.count("charge"), 200);
    for account in 1..=4 {
        assert_eq!(ledger.sum(&format!("A{account:05}")), 100_000 - 500);
    }
}

#[test]
fn who_reloads_again_and_again_leaves_terminals_most_of_the_time() {
    let site = Site::new();
    site.write("cards.csv", &card_table(5000));
    let server = site.start();
    let reloads = AtomicU32::new(0);
    let mut terminal = Device::new(1, &server);
    let mut sales = 0;
    std::thread::scope(|scope| {
        let mut client = Client::of(&site);
        let (reloads, site) = (&reloads, &site);
        scope.spawn(move || {
            while reloads.load(Ordering::Relaxed) < 5 {
                site.write("cards.csv", &card_table(5001 + u64::from(reloads.load(Ordering::Relaxed))));
                assert!(client.ask("{\"cmd\":\"reload\"}").starts_with("{\"ok\":true"));
                reloads.fetch_add(1, Ordering::Relaxed);
            }
        });
        while reloads.load(Ordering::Relaxed) < 5 {
            terminal.pay(&card(1), "0.01");
            sales += 1;
        }
    });
    server.stop();
    println!("{sales} sales beside 5 reloads of 5,000 cards");
    assert!(sales > 50, "{sales} sales beside 5 reloads: each waited for one");
}
