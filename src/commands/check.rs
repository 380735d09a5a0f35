//! `posgate check`: reads every file that `serve` would read, and prints what `serve` would serve.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use posgate::engine::book::Book;
use posgate::engine::limits::TEXT_LEN_MAX;
use posgate::engine::model::CardRecord;
use posgate::engine::server::{Degraded, Longest, Origin, Server, Tables, overlong};
use posgate::files::cards::{self, CardFile, Keep};
use posgate::files::config::{self, Settings};
use posgate::files::good::{self, Good};
use posgate::files::zone::Zone;
use posgate::host::clock;
use posgate::host::event_loop::SOCKETS_MAX;
use posgate::host::udp::{self, InterfaceAddress};
use posgate::lang::tr;
use posgate::ledger::identity::{self, Action, Found, Lineage};
use posgate::ledger::verify::{Fault, Finding, verify_directory};
use posgate::ledger::{DirFiles, DirStorage, Files, Head, HeldFiles, OpenError, Storage as _, moved, replay, segment};

use super::days;
use super::load::{Loaded, good_cards, load_or_good, read_cards, read_config, unreadable_copy};
use super::serve::{holds_ledger, machine_of, not_ours};
use super::{EXIT_CONFIG, EXIT_IO, EXIT_NO, Options, print_problems};

/// Number of findings to print for a damaged ledger.
const FINDINGS_SHOWN_MAX: usize = 5;

/// Time to wait for a line that the server may be writing.
const WRITING: Duration = Duration::from_millis(50);

/// Prints addresses, interfaces, counts and warnings; or all errors at once, and the files that a
/// start would serve nevertheless.
pub(super) fn run(options: &Options) -> u8 {
    let path = options.config();
    if options.has("enabled") {
        return match config::load(&path) {
            Ok(settings) if settings.enabled => 0,
            Ok(_) => EXIT_NO,
            Err(problems) => {
                print_problems(&problems);
                EXIT_CONFIG
            }
        };
    }
    let (settings, problems) = match read_config(&path) {
        Ok(inspected) => inspected,
        Err(problems) => {
            print_problems(&problems);
            say_copies(&path);
            return EXIT_CONFIG;
        }
    };
    print_problems(&problems);
    print_problems(&settings.warnings);
    // Files that a wrong configuration names are checked too, so that one run shows every error;
    // but a file may be missing only because its option could not be read.
    let is_sound = problems.is_empty();
    let mut code = if is_sound { 0 } else { EXIT_CONFIG };
    let mut are_cards_sound = true;
    if is_sound || settings.cards.exists() {
        code = code.max(check_cards(&settings, options.has("quick"), &mut are_cards_sound));
    }
    if !is_sound || !are_cards_sound {
        say_copies(&path);
    }
    if is_sound {
        code = code.max(check_zone(&settings));
        let rules = &settings.rules;
        say!(
            "rules       devices={} periods={} doors={} groups={}",
            rules.devices.len(),
            rules.periods.len(),
            rules.doors.len(),
            rules.groups.len()
        );
        check_days(&settings, options.has("quick"));
        code = code.max(check_addresses(&settings, options.has("quick")));
    }
    code
}

/// Prints which good copies a start would serve in place of bad or missing files (design.md,
/// section 5).
fn say_copies(path: &Path) {
    let Ok(loaded) = load_or_good(path) else { return say_refused() };
    for (name, _) in loaded.copies() {
        say_copy(&loaded.settings, name);
    }
}

fn say_copy(settings: &Settings, name: &str) {
    let good = Good::of(&settings.ledger_dir);
    let zone = Zone::find(settings.timezone.as_deref()).map_or_else(|_| Zone::utc(), |found| found.zone);
    let since =
        good.written_at(name).map_or_else(String::new, |wall| tr!(", accepted {}", "，采用于 {}", zone.stamp(wall)));
    say!(
        "degraded    `serve` would start with the good copy {}{since}",
        "degraded    `serve` 会用上次采用的副本启动：{}{since}",
        good.path(name).display()
    );
}

fn say_refused() {
    say!(
        "degraded    there is no good copy to serve in its place: `serve` would refuse to start",
        "degraded    没有可以代替的副本：`serve` 会拒绝启动"
    );
}

fn check_zone(settings: &Settings) -> u8 {
    match settings.find_zone() {
        Ok(found) => {
            print_problems(&found.warnings);
            say!(
                "timezone    {}: local time {}",
                "timezone    {}：本地时间 {}",
                found.source,
                found.zone.stamp(clock::wall())
            );
            0
        }
        Err(problem) => {
            complain!("{problem}");
            EXIT_CONFIG
        }
    }
}

/// Prints the next days as they will be served, and warns of a calendar that has ended.
fn check_days(settings: &Settings, is_quick: bool) {
    let zone = settings.find_zone().map_or_else(|_| Zone::utc(), |found| found.zone);
    let today = zone.stamp(clock::wall()).civil().date();
    if !is_quick {
        for line in days::lines(&settings.rules, today) {
            say!("{line}");
        }
    }
    print_problems(&settings.calendar_ended(today).into_iter().collect::<Vec<_>>());
}

/// Checks the card table, and then the ledger.
fn check_cards(settings: &Settings, is_quick: bool, are_sound: &mut bool) -> u8 {
    match read_cards(settings, Keep::Records) {
        Ok(file) => {
            print_problems(&file.warnings);
            check_texts(settings, &file.records);
            print_problems(&unreadable_copy(settings, &file).into_iter().collect::<Vec<_>>());
            say!("cards       {}", settings.cards.display());
            for line in cards::describe(&file).lines() {
                say!("            {line}");
            }
            check_ledger(settings, is_quick, Some(file))
        }
        Err(problems) => {
            print_problems(&problems);
            *are_sound = false;
            check_ledger(settings, is_quick, None).max(EXIT_CONFIG)
        }
    }
}

/// Warns of texts that a display would cut off with the longest name of the table.
fn check_texts(settings: &Settings, cards: &[CardRecord]) {
    let longest = cards.iter().max_by_key(|card| card.name.len()).filter(|card| !card.name.is_empty());
    let name = longest.map_or(&[][..], |card| &card.name);
    let whose = longest.map_or_else(String::new, |card| {
        tr!(" with the longest name ({}:{})", "（用最长的姓名，{}:{}）", settings.cards.display(), card.line)
    });
    let devices = settings.rules.devices.iter().map(|device| device.name_gbk.as_slice());
    let device = devices.max_by_key(|name| name.len()).unwrap_or_default();
    for Longest { key, len } in overlong(&settings.rules.texts, name, device) {
        let message = tr!(
            "option {key}: up to {len} bytes of GBK{whose}, and a display is sent {TEXT_LEN_MAX}: the end would be left out; write a shorter text",
            "option {key}：GBK 可达 {len} 字节{whose}，而显示屏只发 {TEXT_LEN_MAX} 字节：末尾会丢掉；请写短一些"
        );
        complain!("{}", settings.problem(key, 0, message));
    }
}

/// Replays the ledger into a separate book, changes nothing, and checks two things that a start
/// does not check: the lines before the snapshot, and the free space. `is_quick` leaves these two
/// out.
fn check_ledger(settings: &Settings, is_quick: bool, file: Option<CardFile>) -> u8 {
    let dir = &settings.ledger_dir;
    let mut code = if is_quick { 0 } else { check_room(settings) };
    if dir.exists() && !dir.is_dir() {
        return code;
    }
    match moved::refusal(dir) {
        Ok(None) => (),
        Ok(Some(why)) => {
            complain!("{why}");
            return EXIT_CONFIG;
        }
        Err(error) => {
            complain!("posgate: {error}");
            return EXIT_IO;
        }
    }
    // Read before the ledger, which may grow during the check.
    let found = identity::read(&settings.identity);
    if found != Found::None && !holds_ledger(dir).unwrap_or(true) {
        return code.max(check_identity(settings, None, &found, Head::default()));
    }
    if !dir.exists() {
        say!("ledger      {}: none yet, `serve` makes it", "ledger      {}：还没有，`serve` 会新建", dir.display());
        return code;
    }
    let files = match HeldFiles::of_dir(dir) {
        Ok(files) => files,
        Err(error) => {
            complain!("posgate: {error}");
            return EXIT_IO;
        }
    };
    let mut tables = super::serve::tables();
    let tables: &mut Tables = &mut tables;
    let mut server = Server::new(tables, settings.rules.clone());
    match replay(&files, server.book_to_replay()) {
        Ok(replayed) => {
            code = code.max(check_identity(settings, Some(&files), &found, replayed.head));
            let torn = replayed.tail.as_ref().map_or(0, |tail| tail.len);
            say!("ledger      {}: seq={} crc={:08x}", dir.display(), replayed.head.seq, replayed.head.crc);
            if let Some(seq) = replayed.snapshot {
                say!(
                    "            replayed from the snapshot as of entry {seq}",
                    "            从流水 {seq} 的快照起重放"
                );
            }
            if let Some(why) = &replayed.disbelief {
                complain!("{why}");
            }
            if torn > 0 {
                say!(
                    "            {torn} bytes at the end are torn; `serve` cuts them off, keeping a copy",
                    "            末尾有 {torn} 字节残缺；`serve` 会截掉并留副本"
                );
            }
        }
        Err(OpenError::Io(error)) => {
            complain!("posgate: {error}");
            return EXIT_IO;
        }
        Err(damaged @ (OpenError::Damaged { .. } | OpenError::NotOurs(_))) => {
            complain!("{damaged}");
            return EXIT_CONFIG;
        }
    }
    let code = if is_quick { code } else { code.max(check_lines(&files)) };
    // Judged as a start does: alone, and against the good copy of the table that was served last.
    let records = file.as_ref().map_or(&[][..], |file| &file.records);
    if let Err(error) = server.install(settings.rules.clone(), records, Origin::default()) {
        complain!("{}: {error}", settings.cards.display());
        let copy = good_cards(settings, None)
            .and_then(Result::ok)
            .filter(|copy| server.install_table(settings.rules.clone(), copy.table.clone(), Origin::default()).is_ok());
        match copy {
            Some(_) => say_copy(settings, good::CARDS),
            None => say_refused(),
        }
        return EXIT_CONFIG;
    }
    let code = code.max(file.map_or(0, |file| check_wholeness(settings, file, server.book())));
    say!("            accounts={} doubts={}", server.book().accounts().len(), server.book().doubts());
    for ignored in server.ignored_accounts() {
        complain!("{}: card {}: {ignored}", "{}：卡 {}：{ignored}", settings.cards.display(), ignored.card.masked());
    }
    code
}

/// Whether a start would accept the table when it compares it with the good copy.
fn check_wholeness(settings: &Settings, file: CardFile, book: &Book) -> u8 {
    let loaded =
        Loaded { settings: settings.clone(), file, degraded: Degraded::default(), problems: Vec::new(), seen: None };
    let Some(problem) = loaded.not_whole(book) else { return 0 };
    complain!("{problem}");
    say_copy(settings, good::CARDS);
    EXIT_CONFIG
}

/// Whether a start would accept the ledger in the directory as this machine's.
fn check_identity(settings: &Settings, files: Option<&dyn Files>, found: &Found, head: Head) -> u8 {
    let machine = machine_of(settings);
    let verdict = match files {
        Some(files) => Lineage::read(files).and_then(|lineage| lineage.judge(files, head, found, machine)),
        None => Lineage::default().judge(&DirFiles::new(&settings.ledger_dir), head, found, machine),
    };
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(error) => {
            complain!("posgate: {error}");
            return EXIT_IO;
        }
    };
    if let Some(fault) = found.fault() {
        complain!("{fault}");
    }
    match verdict.action {
        Action::Create | Action::Serve => 0,
        Action::Branch => {
            let gone =
                verdict.gone.map_or_else(String::new, |gone| tr!(": entries {gone} are gone", "：流水 {gone} 没有了"));
            say!(
                "            `serve` would go on with it on a branch ({}{gone})",
                "            `serve` 会作为分支接着记（{}{gone}）",
                verdict.word()
            );
            0
        }
        Action::Refuse => {
            complain!("{}", not_ours(settings, &verdict, found));
            EXIT_CONFIG
        }
    }
}

/// Verifies every line, also those before the snapshot: a start does not check them, but an office
/// that collects the ledger will.
fn check_lines(files: &HeldFiles) -> u8 {
    let verified = segment::list(files).and_then(|segments| {
        let names: Vec<String> = segments.into_iter().map(|segment| segment.name).collect();
        verify_directory(files, &names, &mut || std::thread::sleep(WRITING))
    });
    let report = match verified {
        Ok(report) => report,
        Err(error) => {
            complain!("posgate: {error}");
            return EXIT_IO;
        }
    };
    // A torn tail is reported already.
    let findings = report.findings.iter().filter(|finding| finding.fault != Fault::Torn);
    for Finding { file, line, fault, what } in findings.clone().take(FINDINGS_SHOWN_MAX) {
        complain!("{file}:{line}: {}: {what}", fault.word());
    }
    match findings.count() {
        0 => 0,
        count => {
            complain!(
                "posgate: {count} places where the ledger is not what was written: `posgate ledger verify` lists all",
                "posgate: 账本有 {count} 处与写入时不同：`posgate ledger verify` 列出全部"
            );
            EXIT_CONFIG
        }
    }
}

/// Whether the ledger's file system accepts entries, and has more free space than the reserve.
fn check_room(settings: &Settings) -> u8 {
    let dir = &settings.ledger_dir;
    // A start creates a missing directory below its nearest existing ancestor.
    let Some(place) = dir.ancestors().find(|place| place.exists()) else { return 0 };
    if !place.is_dir() {
        complain!(
            "posgate: {}: this is no directory, so there can be no ledger in {}",
            "posgate: {}：不是目录，所以 {} 里不能有账本",
            place.display(),
            dir.display()
        );
        return EXIT_IO;
    }
    if access(place, AccessFlags::W_OK) == Err(Errno::EROFS) {
        complain!(
            "posgate: {}: the file system is read-only: no sale can be written",
            "posgate: {}：文件系统只读：记不了消费",
            place.display()
        );
        return EXIT_IO;
    }
    match DirStorage::beside(place).free_bytes() {
        Ok(free) if free < settings.reserve_bytes => {
            complain!(
                "{}",
                settings.problem(
                    "reserve_bytes",
                    0,
                    tr!(
                        "{}: {free} bytes are free, below the reserve of {}: sales are refused (full) until there are more", "{}：剩余 {free} 字节，低于预留的 {}：空间够之前拒绝消费（full）",
                        place.display(),
                        settings.reserve_bytes
                    )
                )
            );
            EXIT_IO
        }
        Ok(_) => 0,
        Err(error) => {
            complain!("posgate: {error}");
            EXIT_IO
        }
    }
}

/// `serve` waits for a missing interface, so a missing interface is a warning with `is_quick`, as
/// at boot. For a person it is an error: they may have mistyped the name.
fn check_addresses(settings: &Settings, is_quick: bool) -> u8 {
    let own = match udp::addresses() {
        Ok(own) => own,
        Err(error) => {
            complain!("posgate: cannot list this machine's addresses: {error}", "posgate: 列不出本机的地址：{error}");
            return EXIT_IO;
        }
    };
    let mut code = 0;
    let mut are_devices_sound = true;
    let mut is_one_without_address = false;
    for (place, device) in settings.bind_devices.iter().enumerate() {
        if own.iter().any(|address| address.interface == *device) {
            continue;
        }
        are_devices_sound = false;
        let message = if udp::has_interface(device) {
            is_one_without_address = true;
            // It may get an address in a moment: a DHCP client, a bridge whose first port is
            // plugged in.
            tr!(
                "list bind_device '{device}': this interface has no IPv4 address yet; it is served as soon as it has one",
                "list bind_device '{device}'：这块网卡还没有 IPv4 地址；有了就服务"
            )
        } else {
            code = if is_quick { code } else { EXIT_CONFIG };
            tr!(
                "list bind_device '{device}': there is no such interface: `serve` waits for it; `posgate addresses` lists those with an IPv4 address",
                "list bind_device '{device}'：没有这块网卡，`serve` 会等它出现；`posgate addresses` 列出有 IPv4 地址的网卡"
            )
        };
        complain!("{}", settings.problem("bind_device", place, message));
    }
    let sockets = settings.listen.len() * settings.bind_devices.len().max(1);
    if sockets > SOCKETS_MAX {
        let message = tr!(
            "{sockets} sockets to listen on, at most {SOCKETS_MAX} can be served",
            "要监听 {sockets} 个套接字，至多 {SOCKETS_MAX} 个"
        );
        complain!("{}", settings.problem("listen", 0, message));
        code = EXIT_CONFIG;
    }
    for (place, listen) in settings.listen.iter().enumerate() {
        let served = served_by(*listen, &settings.bind_devices, &own);
        let is_here = !served_by(*listen, &[], &own).is_empty();
        // If an interface is wrong, the error is printed already, and the addresses that it would
        // serve are unknown.
        if served.is_empty() && (are_devices_sound || !is_here) {
            let message = if is_here {
                tr!(
                    "list listen '{listen}' is no address of an interface in `list bind_device`; `posgate addresses` lists them",
                    "list listen '{listen}' 不是 `list bind_device` 里网卡的地址；`posgate addresses` 列出地址"
                )
            } else if is_one_without_address {
                tr!(
                    "list listen '{listen}' is not an address of this machine yet: `serve` ends, and is started again, until it is",
                    "list listen '{listen}' 还不是本机的地址：`serve` 会退出、再启动，直到它是"
                )
            } else {
                tr!(
                    "list listen '{listen}' is not an address of this machine; `posgate addresses` lists them",
                    "list listen '{listen}' 不是本机的地址；`posgate addresses` 列出地址"
                )
            };
            complain!("{}", settings.problem("listen", place, message));
            code = if is_here || !is_one_without_address { EXIT_CONFIG } else { code };
        }
        for (address, interface) in served {
            say!("serves      {address}:{}   {interface}", listen.port());
        }
    }
    code
}

/// The machine's addresses that a `listen` covers, with their interfaces.
fn served_by<'a>(listen: SocketAddrV4, devices: &[String], own: &'a [InterfaceAddress]) -> Vec<(Ipv4Addr, &'a str)> {
    let on_devices = own.iter().filter(|address| devices.is_empty() || devices.contains(&address.interface));
    let served = on_devices.filter_map(|own| {
        // All of 127.0.0.0/8 belongs to this machine.
        let is_loopback = listen.ip().is_loopback() && own.address.is_loopback();
        let address = if is_loopback { *listen.ip() } else { own.address };
        let is_asked = listen.ip().is_unspecified() || *listen.ip() == address;
        is_asked.then_some((address, own.interface.as_str()))
    });
    served.collect()
}
