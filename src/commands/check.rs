//! `posgate check`: reads everything that `serve` would, and says what would be served.

use std::net::SocketAddrV4;

use posgate::config::Settings;
use posgate::ledger::{DirFiles, OpenError, Refusal, replay};
use posgate::net::udp::{self, InterfaceAddress};
use posgate::server::{Origin, Server, Tables};
use posgate::zone::Zone;
use posgate::{cards, config};

use super::{EXIT_CONFIG, EXIT_IO, Options, print_problems};

/// Prints addresses, interfaces, counts and warnings; or all errors at once.
pub(super) fn run(options: &Options) -> u8 {
    let (settings, problems) = match config::survey(&options.config()) {
        Ok(surveyed) => surveyed,
        Err(problem) => {
            print_problems(&[problem]);
            return EXIT_CONFIG;
        }
    };
    print_problems(&problems);
    print_problems(&settings.warnings);
    let mut code = if problems.is_empty() { 0 } else { EXIT_CONFIG };
    match Zone::find(settings.timezone.as_deref()) {
        Ok(found) => {
            print_problems(&found.warnings);
            println!("timezone    {}", found.source);
        }
        Err(message) => {
            eprintln!("{}: option timezone: {message}", settings.file.display());
            code = EXIT_CONFIG;
        }
    }
    match cards::load(&settings.cards, &settings.rules.groups) {
        Ok(file) => {
            print_problems(&file.warnings);
            println!("cards       {}", settings.cards.display());
            for line in cards::describe(&file).lines() {
                println!("            {line}");
            }
            code = code.max(check_ledger(&settings, &file));
        }
        Err(problems) => {
            print_problems(&problems);
            code = EXIT_CONFIG;
        }
    }
    let rules = &settings.rules;
    println!(
        "rules       devices={} periods={} doors={} groups={}",
        rules.devices.len(),
        rules.periods.len(),
        rules.doors.len(),
        rules.groups.len()
    );
    code.max(check_addresses(&settings))
}

/// Replays the ledger into a book of its own, changing nothing.
fn check_ledger(settings: &Settings, file: &cards::CardFile) -> u8 {
    let dir = &settings.ledger_dir;
    if !dir.exists() {
        println!("ledger      {}: none yet, `serve` makes it", dir.display());
        return 0;
    }
    let mut tables = super::serve::tables();
    let tables: &mut Tables = &mut tables;
    let mut server = Server::new(tables, settings.rules.clone());
    let mut apply = |entry: &_| server.restore(entry).map_err(|mismatch| Refusal(mismatch.to_string()));
    match replay(&DirFiles::new(dir), &mut apply) {
        Ok(replayed) => {
            let torn = replayed.tail.as_ref().map_or(0, |tail| tail.len);
            println!("ledger      {}: seq={} crc={:08x}", dir.display(), replayed.head.seq, replayed.head.crc);
            if torn > 0 {
                println!("            {torn} bytes at the end are torn; `serve` cuts them off, keeping a copy");
            }
        }
        Err(OpenError::Io(error)) => {
            eprintln!("posgate: {error}");
            return EXIT_IO;
        }
        Err(damaged) => {
            eprintln!("{damaged}");
            return EXIT_CONFIG;
        }
    }
    if let Err(error) = server.install(settings.rules.clone(), &file.records, Origin::default(), true) {
        eprintln!("{}: {error}", settings.cards.display());
        return EXIT_CONFIG;
    }
    println!("            accounts={} doubts={}", server.book().accounts().len(), server.book().doubts());
    0
}

fn check_addresses(settings: &Settings) -> u8 {
    let own = match udp::addresses() {
        Ok(own) => own,
        Err(error) => {
            eprintln!("posgate: cannot list this machine's addresses: {error}");
            return EXIT_IO;
        }
    };
    let mut code = 0;
    for device in &settings.bind_devices {
        if !own.iter().any(|address| address.interface == *device) {
            eprintln!(
                "{}: list bind_device '{device}': there is no such interface with an IPv4 address; `posgate addresses` lists them",
                settings.file.display()
            );
            code = EXIT_CONFIG;
        }
    }
    for listen in &settings.listen {
        let served = served_by(*listen, &settings.bind_devices, &own);
        if served.is_empty() {
            eprintln!(
                "{}: list listen '{listen}' is no address of this machine; `posgate addresses` lists them",
                settings.file.display()
            );
            code = EXIT_CONFIG;
        }
        for address in served {
            println!("serves      {}:{}   {}", address.address, listen.port(), address.interface);
        }
    }
    code
}

/// The machine's addresses that a `listen` covers.
fn served_by<'a>(listen: SocketAddrV4, devices: &[String], own: &'a [InterfaceAddress]) -> Vec<&'a InterfaceAddress> {
    let is_served = |address: &&InterfaceAddress| {
        // All of 127.0.0.0/8 is this machine's.
        let is_asked = listen.ip().is_unspecified()
            || *listen.ip() == address.address
            || (listen.ip().is_loopback() && address.address.is_loopback());
        is_asked && (devices.is_empty() || devices.contains(&address.interface))
    };
    own.iter().filter(is_served).collect()
}
