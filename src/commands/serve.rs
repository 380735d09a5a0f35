//! `posgate serve`: sets up files, sockets and the server, and runs them.

use std::io;
use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{debug, error, info, warn};
use posgate::desk::control::changes::Elsewhere;
use posgate::engine::server::{Beginning, Effects, Server, Tables};
use posgate::files::config::{self, Settings};
use posgate::files::zone::{self, Zone};
use posgate::host::clock::Clock;
use posgate::host::control_socket::Control;
use posgate::host::event_loop::{self, Loop};
use posgate::host::logging;
use posgate::host::machine;
use posgate::host::udp::{self, RECEIVE_BUFFER, Socket};
use posgate::host::watch::Places;
use posgate::lang::{self, Lang};
use posgate::ledger::acks::{self, AckFiles};
use posgate::ledger::identity::{self, FileKeeper, Found, Lineage, Verdict};
use posgate::ledger::writer::Opening;
use posgate::ledger::{self, DirFiles, DirStorage, Head, Ledger, OpenError, Opened, moved, segment};

use super::load::{Loaded, install, load_or_good, unreadable_copy};
use super::reload::{self, InService, Reloads, find_zone, level};
use super::{EXIT_CONFIG, EXIT_IO, EXIT_USAGE, Options, print_problems};

/// The big tables live in `.bss`: they take no space in the program, and no memory until they are
/// used.
static TABLES: Mutex<Tables> = Mutex::new(Tables::new());
static EFFECTS: Mutex<Effects> = Mutex::new(Effects::new());

/// The only set of tables of the process.
pub(super) fn tables() -> MutexGuard<'static, Tables> {
    TABLES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until a signal says to stop.
pub(super) fn run(options: &Options) -> u8 {
    // Scripts match its log, so it speaks English.
    lang::speak(Lang::En);
    let loaded = match load_or_good(&options.config()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            print_problems(&problems);
            return EXIT_CONFIG;
        }
    };
    let listen = match listen_addresses(options, &loaded.settings) {
        Ok(listen) => listen,
        Err(message) => {
            complain!("posgate: {message}");
            return EXIT_USAGE;
        }
    };
    logging::init(level(&loaded.settings));
    loaded.tell();
    let found = match find_zone(&loaded.settings) {
        Ok(found) => found,
        Err(message) => {
            error!("{message}");
            return EXIT_CONFIG;
        }
    };
    for warning in loaded
        .settings
        .warnings
        .iter()
        .chain(&loaded.file.warnings)
        .chain(&unreadable_copy(&loaded.settings, &loaded.file))
    {
        warn!("{warning}");
    }
    match serve(options, loaded, &listen, found) {
        Ok(()) => 0,
        Err(Failure::Io(message)) => {
            error!("{message}");
            EXIT_IO
        }
        Err(Failure::Config(message)) => {
            error!("{message}");
            EXIT_CONFIG
        }
    }
}

enum Failure {
    Io(String),
    Config(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

fn serve(options: &Options, loaded: Loaded, listen: &[SocketAddrV4], found: zone::Found) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let signals = event_loop::signals()?;
    let clock = Clock::new();
    let sockets = bind(listen, settings)?;
    let mut tables = tables();
    let mut effects = EFFECTS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut server = Server::new(&mut tables, settings.rules.clone());
    server.scatter_sources(identity::draw()?);
    server.name_zone(&found.source);
    let zone = found.zone;
    server.take_zone(zone.changes());
    let found = identity::read(&settings.identity);
    let mut keeper = FileKeeper::new(&settings.identity);
    let mut acks = AckFiles::new(&settings.ledger_dir);
    let (mut ledger, opened) = open_ledger(settings, &clock, &zone, &mut server, &found)?;
    ledger.limit_segments(settings.segment_bytes);
    for warning in &opened.warnings {
        warn!("{warning}");
    }
    if let Some((verdict, (number, parent))) = opened.verdict.zip(opened.branch) {
        warn!("{}", identity::branched(&verdict, &found, parent, number));
        server.begin(Beginning { branch: Some(verdict.word()), rolled_back: verdict.gone });
    }
    if let Some(seq) = opened.snapshot {
        info!("replayed snapshot={seq} entries={}", opened.entries);
    }
    let loaded = install(&mut server, loaded).map_err(|problem| Failure::Config(problem.to_string()))?;
    let mut elsewhere = Elsewhere::default();
    while elsewhere.step(&server, usize::MAX) {}
    reload::tell_elsewhere(&elsewhere);
    let kept = loaded.keep(&options.config());
    let served = sockets.iter().filter(|socket| !socket.is_missing());
    let addresses: Vec<SocketAddrV4> = served.map(Socket::address).collect();
    let receive_buffer = sockets.iter().filter_map(Socket::receive_buffer).min();
    let settings = loaded.settings.clone();
    let headings = (loaded.file.headings.clone(), loaded.file.delimiter);
    let in_service = InService {
        at_start: loaded.settings.clone(),
        settings: loaded.settings,
        columns: loaded.file.columns(),
        headings: (loaded.file.headings, loaded.file.delimiter),
        warnings: loaded.file.warnings,
        seen: loaded.seen,
        kept,
    };
    let mut service = Loop::new(sockets, signals, clock, zone, server, ledger, &mut effects)?;
    let explain = |error: io::Error| {
        Failure::Io(format!("{error}; what was not synced gets no answer, and a new start replays the ledger"))
    };
    service.keep_reserve(settings.reserve_bytes);
    service.keep_status(Places {
        status: settings.status.clone(),
        metrics: settings.metrics.clone(),
        ledger_dir: settings.ledger_dir.clone(),
    });
    service.keep_identity(&mut keeper, found.fault().map(str::to_owned));
    let (may_order, keep_days) = (settings.may_offices_order, settings.keep_days);
    service.serve_offices(may_order, keep_days, &mut acks, acks::read(&settings.ledger_dir));
    service.start().map_err(explain)?;
    if let Err(error) = identity::note_place(&settings.identity, &settings.ledger_dir) {
        debug!("identity place: {error}");
    }
    // After the ledger's lock: no other server of this ledger has a socket to lose. Terminals are
    // served without one.
    match settings.control.as_deref().map(|path| (path, Control::bind(path))) {
        None => (),
        Some((path, Ok(control))) => {
            service.take_orders(control, &settings.ledger_dir, headings)?;
            info!("control path={}", path.display());
        }
        Some((_, Err(error))) => warn!("control failed: {error}; `posgate ctl` cannot reach this server"),
    }
    for address in addresses {
        info!("listening address={address}");
    }
    if let Some(bytes) = receive_buffer.filter(|bytes| *bytes < RECEIVE_BUFFER) {
        info!(
            "receive-buffer bytes={bytes} asked={RECEIVE_BUFFER}: a flood fills it while the disk syncs; a larger net.core.rmem_max helps"
        );
    }
    let book = service.server().book();
    info!(
        "serving site={} cards={} accounts={} ledger={} seq={} doubts={}",
        settings.site,
        service.server().cards().len(),
        book.accounts().len(),
        settings.ledger_dir.display(),
        book.head(),
        book.doubts(),
    );
    let mut reloads = Reloads::new(options.config(), in_service, |_| ());
    service.run(&mut reloads).map_err(explain)
}

/// The addresses of `--listen`, else those of the configuration.
fn listen_addresses(options: &Options, settings: &Settings) -> Result<Vec<SocketAddrV4>, String> {
    if options.listen.is_empty() {
        return Ok(settings.listen.clone());
    }
    let read = |text: &String| config::parse_listen(text);
    let listen: Result<Vec<SocketAddrV4>, String> = options.listen.iter().map(read).collect();
    let checked = listen.and_then(|listen| config::check_listen(&listen).map(|()| listen));
    checked.map_err(|message| format!("--listen: {message}"))
}

/// A socket for each address, or for each address on each interface.
fn bind(listen: &[SocketAddrV4], settings: &Settings) -> Result<Vec<Socket>, Failure> {
    let devices = &settings.bind_devices;
    let at = |key, place, error: io::Error| {
        let is_of_file = key == "bind_device" || listen == settings.listen;
        let message = error.to_string();
        Failure::Io(if is_of_file { settings.problem(key, place, message).to_string() } else { message })
    };
    let count = listen.len() * devices.len().max(1);
    if count > event_loop::SOCKETS_MAX {
        let message = format!("{count} sockets to listen on, at most {} can be served", event_loop::SOCKETS_MAX);
        return Err(at("listen", 0, io::Error::new(io::ErrorKind::InvalidInput, message)));
    }
    let mut sockets = Vec::with_capacity(count);
    for (place, address) in listen.iter().enumerate() {
        if devices.is_empty() {
            sockets.push(Socket::bind(*address, None).map_err(|error| at("listen", place, error))?);
        }
        for (place, device) in devices.iter().enumerate() {
            sockets.push(match Socket::bind(*address, Some(device)) {
                Ok(socket) => socket,
                // A cable, a boot or a change of the network must not keep the others from being
                // served.
                Err(error) if !udp::has_interface(device) => {
                    warn!("{}; it is waited for", settings.problem("bind_device", place, error.to_string()));
                    Socket::wait_for(*address, device)
                }
                Err(error) => return Err(at("bind_device", place, error)),
            });
        }
    }
    Ok(sockets)
}

fn open_ledger(
    settings: &Settings,
    clock: &Clock,
    zone: &Zone,
    server: &mut Server,
    found: &Found,
) -> Result<(Ledger<DirStorage>, Opened), Failure> {
    let dir = settings.ledger_dir.display();
    let explain = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::Config(format!(
            "{error}: ledger_dir must belong to the user that posgate runs as: `chown -R USER {dir}`, then start again"
        )),
        _ if ledger::cannot_write(&error) => Failure::Io(format!(
            "{error}: there is no ledger yet, and no room to begin one: make some in the file system of {dir}, then start again"
        )),
        _ => error.into(),
    };
    if let Some(why) = moved::refusal(&settings.ledger_dir).map_err(explain)? {
        return Err(Failure::Config(why));
    }
    // Before anything is created in a directory where perhaps a medium is to be mounted.
    if *found != Found::None && !holds_ledger(&settings.ledger_dir).map_err(explain)? {
        let files = DirFiles::new(&settings.ledger_dir);
        let verdict = Lineage::default().judge(&files, Head::default(), found, machine_of(settings))?;
        return Err(Failure::Config(not_ours(settings, &verdict, found)));
    }
    let mut storage = DirStorage::open(&settings.ledger_dir).map_err(explain)?;
    // Once more, under the lock: the ledger may have been moved since.
    if let Some(why) = moved::refusal(&settings.ledger_dir).map_err(explain)? {
        return Err(Failure::Config(why));
    }
    let created = clock.now(zone, false).stamp;
    let number = identity::draw()?;
    let opening = Opening { site: &settings.site, host: machine::host(), created, identity: Some(found) };
    let opened = match ledger::room_below(&mut storage, settings.reserve_bytes) {
        Ok(()) => Ledger::open_as(storage, &opening, || number, server.book_to_replay()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(explain(error)),
        Err(error) => Ledger::open_closed(storage, &opening, error, server.book_to_replay()),
    };
    opened.map_err(|error| match error {
        OpenError::Io(error) => explain(error),
        OpenError::NotOurs(verdict) => Failure::Config(not_ours(settings, &verdict, found)),
        damaged @ OpenError::Damaged { .. } => Failure::Config(damaged.to_string()),
    })
}

/// Whether the directory exists and has a segment.
pub(super) fn holds_ledger(dir: &Path) -> io::Result<bool> {
    match segment::list(&DirFiles::new(dir)) {
        Ok(segments) => Ok(!segments.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn machine_of(settings: &Settings) -> identity::Machine<'_> {
    identity::Machine { host: machine::host(), site: &settings.site }
}

/// Why a start is refused, and the ways out.
pub(super) fn not_ours(settings: &Settings, verdict: &Verdict, found: &Found) -> String {
    let dir = &settings.ledger_dir;
    let lineage = Lineage::read(&DirFiles::new(dir)).unwrap_or_default();
    let was = identity::noted_place(&settings.identity);
    let was = was.as_deref().unwrap_or(dir);
    identity::refusal(verdict, found, &lineage, &settings.identity, dir, was)
}
