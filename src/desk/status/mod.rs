//! The server's status, as one JSON object and as Prometheus metrics (design.md, sections 3 and 4;
//! docs/control-socket-and-status.md, *Status*).
//!
//! [`Status`] borrows its values; it reads no clock and no file, and allocates nothing. The control
//! socket answers with [`Status::emit_summary`], which is always shorter than [`SUMMARY_LEN_MAX`];
//! the status file is [`Status::emit`], the same object with a list of devices at its end. Neither
//! contains a card's number, PIN or code.

mod metrics;

use core::fmt::{self, Write};

use crate::desk::json::Json;
use crate::engine::model::Trouble;
use crate::engine::model::order::Clearing;
use crate::engine::model::rules::UnknownDevices;
use crate::engine::model::{EntrySeq, Mono, Now, Stamp};
use crate::engine::server::{Counters, DeviceView, Room, Server};
use crate::ledger::{Head, Parent};
use crate::turn::offices::Office;

/// Most bytes of a summary: a line of the control socket has at most 4,096, including the members
/// around it.
pub const SUMMARY_LEN_MAX: usize = 4000;

/// Mute devices to name in a summary; the others are counted.
const MUTE_NAMED_MAX: usize = 8;

/// The values of the status.
#[derive(Debug)]
pub struct Status<'a> {
    /// The server.
    pub server: ServerRef<'a>,
    /// Values of the ledger.
    pub ledger: LedgerFacts<'a>,
    /// Values of the process around the server.
    pub outside: Outside,
    /// Options of the configuration that wait for the next start.
    pub at_next_start: &'a [&'static str],
    /// The current time; the monotonic time began with the process.
    pub now: Now,
    /// The last line of the log that was a warning or an error.
    pub trouble: Option<Trouble>,
}

/// A [`Server`] with a short `Debug`.
#[derive(Clone, Copy)]
pub struct ServerRef<'a>(pub &'a Server<'a>);

impl fmt::Debug for ServerRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

/// Values of the ledger.
#[derive(Clone, Copy, Debug)]
pub struct LedgerFacts<'a> {
    /// The ledger's number.
    pub number: u64,
    /// Where it branched off, if it is a branch.
    pub parent: Option<Parent>,
    /// The site's label.
    pub site: &'a str,
    /// The last entry.
    pub head: Head,
    /// The last entry in the valid snapshot.
    pub snapshot: Option<EntrySeq>,
    /// Number of segments in the directory.
    pub segments: u32,
    /// Their size in bytes.
    pub bytes: u64,
    /// Their growth in bytes per day, over at most seven days; `None` if not known yet.
    pub bytes_a_day: Option<u64>,
    /// Free bytes of the file system; `None` if it does not report them.
    pub free: Option<u64>,
    /// Free bytes below which sales are refused.
    pub reserve: u64,
    /// Bytes that are written but not synced; no sent result rests on them.
    pub unsynced: usize,
    /// Since when there are unsynced bytes.
    pub unsynced_since: Option<Mono>,
    /// Syncs since the start.
    pub syncs: u64,
    /// What offices have of it.
    pub offices: &'a [Office],
}

impl LedgerFacts<'_> {
    /// Whole days until only the reserve is free; `None` if not known, or if the ledger does not
    /// grow.
    pub fn days_until_full(&self) -> Option<u64> {
        let left = self.free?.saturating_sub(self.reserve);
        left.checked_div(self.bytes_a_day?)
    }
}

/// Values of the process around the server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outside {
    /// Whether the server runs; `false` in the last write of a clean stop.
    pub is_running: bool,
    /// The process id on the machine; `None` after the stop, or if it is known only inside a jail.
    pub pid: Option<u32>,
    /// Datagrams that the kernel dropped because a socket's buffer was full; `None` if it does not
    /// report them.
    pub kernel_dropped: Option<u64>,
    /// Replies that could not be sent.
    pub unsent: u64,
    /// Sockets that are not open: their interface is missing, or cannot be bound yet.
    pub sockets_missing: usize,
    /// Failed writes of a status or metrics file.
    pub status_failed: u64,
}

impl Status<'_> {
    /// Writes one JSON object on one line, without LF, of at most [`SUMMARY_LEN_MAX`] bytes.
    ///
    /// # Errors
    /// The sink's.
    pub fn emit_summary(&self, out: &mut dyn Write) -> fmt::Result {
        let mut json = Json::new(out);
        self.begin(&mut json)?;
        json.close('}')
    }

    /// As [`Status::emit_summary`], with what offices have; of any length.
    ///
    /// # Errors
    /// The sink's.
    pub fn emit_with_offices(&self, out: &mut dyn Write) -> fmt::Result {
        let mut json = Json::new(out);
        self.begin(&mut json)?;
        self.offices(&mut json)?;
        json.close('}')
    }

    /// Writes the status file: that object with every device in `device_list`, and LF.
    ///
    /// # Errors
    /// The sink's.
    pub fn emit(&self, out: &mut dyn Write) -> fmt::Result {
        let mut json = Json::new(out);
        self.begin(&mut json)?;
        self.offices(&mut json)?;
        json.key("device_list")?;
        json.open('[')?;
        for device in self.server.0.devices() {
            self.device(&mut json, &device)?;
        }
        json.close(']')?;
        json.close('}')?;
        out.write_char('\n')
    }

    /// Writes the metrics file: Prometheus' text format, for a textfile collector.
    ///
    /// # Errors
    /// The sink's.
    pub(crate) fn emit_metrics(&self, out: &mut dyn Write) -> fmt::Result {
        metrics::emit(self, out)
    }

    /// Writes the object without its closing brace.
    fn begin(&self, json: &mut Json) -> fmt::Result {
        let (server, ledger, now) = (self.server.0, &self.ledger, &self.now);
        json.open('{')?;
        json.text("version", env!("CARGO_PKG_VERSION"))?;
        json.value("running", self.outside.is_running)?;
        json.value_or_null("pid", self.outside.pid)?;
        json.text("written", now.stamp)?;
        json.value("uptime_s", now.mono.0 / 1000)?;
        json.text("site", ledger.site)?;

        json.key("ledger")?;
        json.open('{')?;
        json.text("id", format_args!("{:016x}", ledger.number))?;
        json.value("seq", ledger.head.seq)?;
        json.text("crc", format_args!("{:08x}", ledger.head.crc))?;
        json.text_or_null("parent", ledger.parent)?;
        json.value_or_null("snapshot", ledger.snapshot)?;
        json.value("segments", ledger.segments)?;
        json.value("bytes", ledger.bytes)?;
        json.value_or_null("bytes_a_day", ledger.bytes_a_day)?;
        json.value("unsynced_bytes", ledger.unsynced)?;
        json.value_or_null("unsynced_ms", ledger.unsynced_since.map(|since| now.mono.ms_since(since)))?;
        json.value("syncs", ledger.syncs)?;
        json.close('}')?;

        json.key("room")?;
        json.open('{')?;
        json.text("state", server.room().word())?;
        json.value_or_null("free_bytes", ledger.free)?;
        json.value("reserve_bytes", ledger.reserve)?;
        json.value_or_null("days_until_full", ledger.days_until_full())?;
        json.close('}')?;

        let fault = server.clock_fault();
        json.key("clock")?;
        json.open('{')?;
        json.text("state", server.clock_state().word())?;
        json.text_or_null("why", fault.map(|(why, _)| why.word()))?;
        json.value_or_null("unset_s", fault.map(|(_, since)| now.mono.ms_since(since) / 1000))?;
        json.value_or_null("synchronized", server.kernel_clock())?;
        let (zone, zone_error_s) = server.zone_facts();
        json.text("local", now.stamp)?;
        json.text("zone", zone)?;
        json.value("zone_error_s", zone_error_s)?;
        json.close('}')?;

        // An older copy of the ledger, until an operator acknowledges it.
        match server.book().rolled_back() {
            None => json.null("rolled_back")?,
            Some((gone, start)) => {
                json.key("rolled_back")?;
                json.open('{')?;
                json.text("state", "rolled-back")?;
                json.value("first", gone.first)?;
                json.value("last", gone.last)?;
                json.value("start", start)?;
                json.close('}')?;
            }
        }

        let origin = server.origin();
        json.key("config")?;
        json.open('{')?;
        json.text("crc", format_args!("{:08x}", origin.config_crc))?;
        json.text_or_null("loaded", server.loaded())?;
        json.value("degraded", origin.degraded.config)?;
        json.key("at_next_start")?;
        json.open('[')?;
        for option in self.at_next_start {
            json.element(option)?;
        }
        json.close(']')?;
        json.close('}')?;
        json.key("cards")?;
        json.open('{')?;
        json.value("count", server.cards().len())?;
        json.text("crc", format_args!("{:08x}", origin.cards_crc))?;
        json.value("accounts", server.book().accounts().len())?;
        json.value("degraded", origin.degraded.cards)?;
        // A clear of every subsidy purse that goes on.
        match server.book().clearing().filter(|clearing| !clearing.is_done()) {
            None => json.null("clearing")?,
            Some(Clearing { begin, accounts, sum, .. }) => {
                json.key("clearing")?;
                json.open('{')?;
                json.value("begin", begin)?;
                json.value("accounts", accounts)?;
                json.text("sum", sum)?;
                json.close('}')?;
            }
        }
        json.close('}')?;

        self.count_devices(json)?;

        json.value("sockets_missing", self.outside.sockets_missing)?;

        json.key("counters")?;
        json.open('{')?;
        for (name, count) in server.counters().all() {
            json.value(name, count)?;
        }
        json.value_or_null("kernel_dropped", self.outside.kernel_dropped)?;
        json.value("unsent", self.outside.unsent)?;
        json.value("status_failed", self.outside.status_failed)?;
        json.close('}')?;
        json.key("reasons")?;
        json.open('{')?;
        for (reason, count) in server.counters().reasons() {
            json.value(reason.word(), count)?;
        }
        json.close('}')?;

        json.key("last_trouble")?;
        json.open('{')?;
        let trouble = self.trouble.as_ref();
        json.value("count", trouble.map_or(0, |trouble| trouble.count))?;
        json.text_or_null("level", trouble.map(|trouble| if trouble.is_error { "error" } else { "warn" }))?;
        json.text_or_null("time", trouble.map(|trouble| trouble.at))?;
        json.text_or_null("line", trouble.map(|trouble| trouble.line.as_str()))?;
        json.close('}')
    }

    fn offices(&self, json: &mut Json) -> fmt::Result {
        let (ledger, now) = (&self.ledger, &self.now);
        json.key("offices")?;
        json.open('[')?;
        for office in ledger.offices {
            json.open('{')?;
            json.text("name", office.name)?;
            json.value("seq", office.ack.head.seq)?;
            json.value_or_null("age_s", office.age_s(now))?;
            json.close('}')?;
        }
        json.close(']')
    }

    fn count_devices(&self, json: &mut Json) -> fmt::Result {
        let server = self.server.0;
        let is_served = server.rules().unknown_devices == UnknownDevices::Serve;
        let seen = || server.devices().filter(|device| device.seen.is_some());
        json.key("devices")?;
        json.open('{')?;
        json.value("registered", server.rules().devices.len())?;
        json.value("seen", seen().count())?;
        json.value("unregistered_seen", seen().filter(|device| device.rule.is_none()).count())?;
        json.value("unregistered_served", is_served)?;
        json.value("in_doubt", server.book().doubts())?;
        let mute = || server.devices().filter(|device| device.is_mute);
        json.value("mute", mute().count())?;
        json.key("mute_machines")?;
        json.open('[')?;
        for device in mute().take(MUTE_NAMED_MAX) {
            json.element(device.machine)?;
        }
        json.close(']')?;
        json.close('}')
    }

    fn device(&self, json: &mut Json, device: &DeviceView) -> fmt::Result {
        json.open('{')?;
        json.text("machine", device.machine)?;
        json.text_or_null("name", device.rule.map(|rule| rule.name.as_str()).filter(|name| !name.is_empty()))?;
        json.value("registered", device.rule.is_some())?;
        json.text_or_null("serial", device.serial)?;
        json.text_or_null("address", device.source.map(|source| *source.ip()))?;
        json.text_or_null("last_seen", device.seen.map(|seen| self.now.stamp_of(seen)))?;
        json.text("state", device_state(device))?;
        json.value("in_doubt", device.doubts)?;
        json.value_or_null("clock_offset_s", device.clock_offset_s)?;
        json.value("frames", device.tally.frames)?;
        json.value("approved", device.tally.approved)?;
        json.value("refused", device.tally.refused)?;
        json.close('}')
    }
}

/// Whether a device sends 109s: `confirming`, `mute`, or `unknown` after too few approvals.
pub(crate) fn device_state(device: &DeviceView) -> &'static str {
    match (device.is_confirming, device.is_mute) {
        (_, true) => "mute",
        (true, false) => "confirming",
        (false, false) => "unknown",
    }
}

/// Values that change if something happens, but not with time: two are compared to notice a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    counters: Counters,
    head: Head,
    room: Room,
    clock: crate::engine::model::ClockState,
    origin: crate::engine::server::Origin,
    loaded: Option<Stamp>,
    is_synced: bool,
    unsent: u64,
    troubles: u32,
    acks: u32,
}

impl Pulse {
    /// The current values. `is_synced` says that no entry waits for a sync; `troubles` is the
    /// number of warnings and errors, which wraps.
    /// `acks` counts what offices said, and wraps.
    pub fn of(server: &Server, head: Head, is_synced: bool, unsent: u64, troubles: u32, acks: u32) -> Self {
        Self {
            counters: server.counters().clone(),
            head,
            room: server.room(),
            clock: server.clock_state(),
            origin: server.origin(),
            loaded: server.loaded(),
            is_synced,
            unsent,
            troubles,
            acks,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use tinyjson::JsonValue;

    use super::*;
    use crate::engine::limits::OFFICES_MAX;
    use crate::engine::model::Date;
    use crate::engine::model::trouble::TROUBLE_LEN_MAX;
    use crate::engine::server::{Effects, Origin, Tables};
    use crate::files::config;

    /// Too large for a stack.
    static TABLES: Mutex<(Tables, Effects)> = Mutex::new((Tables::new(), Effects::new()));

    fn facts() -> LedgerFacts<'static> {
        LedgerFacts {
            number: 7,
            parent: None,
            site: "site",
            head: Head::default(),
            snapshot: None,
            segments: 1,
            bytes: 512,
            bytes_a_day: None,
            free: Some(1_000_000),
            reserve: 200_000,
            unsynced: 0,
            unsynced_since: None,
            syncs: 0,
            offices: &[],
        }
    }

    fn highest() -> LedgerFacts<'static> {
        LedgerFacts {
            number: u64::MAX,
            parent: Some(Parent { ledger: u64::MAX, head: Head { seq: EntrySeq(u64::MAX), crc: u32::MAX } }),
            // 64 bytes that each need an escape.
            site: "\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"",
            head: Head { seq: EntrySeq(u64::MAX), crc: u32::MAX },
            snapshot: Some(EntrySeq(u64::MAX)),
            segments: u32::MAX,
            bytes: u64::MAX,
            bytes_a_day: Some(1),
            free: Some(u64::MAX),
            reserve: 0,
            unsynced: usize::MAX,
            unsynced_since: Some(Mono(0)),
            syncs: u64::MAX,
            offices: &[],
        }
    }

    fn now() -> Now {
        let stamp = Stamp::parse("2026-11-22T12:00:00.000+08:00").unwrap();
        Now { mono: Mono(u64::MAX / 2), stamp, synchronized: false }
    }

    fn rules(text: &str) -> crate::engine::model::Rules {
        config::parse(text.as_bytes(), Path::new("/site/posgate")).unwrap_or_else(|error| panic!("{error:?}")).rules
    }

    #[test]
    fn a_summary_fits_the_control_sockets_line_whatever_was_counted() {
        let mut tables = TABLES.lock().unwrap();
        let (tables, fx) = &mut *tables;
        // The size must not depend on the build's date.
        let rules = crate::engine::model::Rules { built_on: Date(0), ..rules("config server\n option clock 'ntp'\n") };
        let mut server = Server::new(tables, rules.clone());
        server.install(rules, &[], Origin { cards_crc: u32::MAX, ..Origin::default() }).unwrap();
        server.start(&now(), fx);
        server.count_to_the_highest();
        let mut trouble = Trouble { count: u32::MAX, is_error: true, ..Trouble::default() };
        while trouble.line.push('"').is_ok() {}
        assert_eq!(trouble.line.len(), TROUBLE_LEN_MAX);
        let offices = [Office::highest(); OFFICES_MAX];
        let status = Status {
            server: ServerRef(&server),
            ledger: LedgerFacts { offices: &offices, ..highest() },
            outside: Outside {
                is_running: true,
                pid: Some(u32::MAX),
                kernel_dropped: Some(u64::MAX),
                unsent: u64::MAX,
                sockets_missing: 256,
                status_failed: u64::MAX,
            },
            at_next_start: &["listen", "bind_device", "identity", "site", "control", "status", "metrics"],
            now: now(),
            trouble: Some(trouble),
        };
        let mut summary = String::new();
        status.emit_summary(&mut summary).unwrap();
        // Reserves space for the counts of cards, accounts and devices, with the names of eight
        // mute devices: they are longer than in this test.
        let counts = 2 * "65536".len() + 5 * "2048".len() + 8 * "\"4294967295\",".len();
        assert!(summary.len() + counts <= SUMMARY_LEN_MAX, "{} and {counts}", summary.len());
        summary.parse::<JsonValue>().unwrap();
        assert!(summary.contains("\"why\":\"not-synchronized\""), "{summary}");
        let mut whole = String::new();
        status.emit(&mut whole).unwrap();
        let mut more = String::new();
        status.emit_with_offices(&mut more).unwrap();
        assert!(more.starts_with(&summary[..summary.len() - 1]));
        assert_eq!(more.matches("{\"name\":\"xxx").count(), OFFICES_MAX);
        assert_eq!(whole, more[..more.len() - 1].to_owned() + ",\"device_list\":[]}\n");
        // Only then they do not fit the control socket's line, which is answered all the same.
        let line = crate::desk::control::status(&status);
        assert!(more.len() > SUMMARY_LEN_MAX && !line.contains("offices") && line.len() <= 4096);
        let few = Status { ledger: LedgerFacts { offices: &offices, ..facts() }, trouble: None, ..status };
        assert!(crate::desk::control::status(&few).contains("\"offices\":[{\"name\""));
    }

    #[test]
    fn it_says_whether_devices_of_no_section_are_served() {
        let mut tables = TABLES.lock().unwrap();
        for (word, is_served) in [("serve", true), ("quarantine", false)] {
            let rules = rules(&format!("config server\n option unknown_devices '{word}'\n"));
            let server = Server::new(&mut tables.0, rules);
            let outside = Outside { is_running: true, ..Outside::default() };
            let status = Status {
                server: ServerRef(&server),
                ledger: facts(),
                outside,
                at_next_start: &[],
                now: now(),
                trouble: None,
            };
            let mut json = String::new();
            status.emit(&mut json).unwrap();
            assert!(json.contains(&format!("\"unregistered_served\":{is_served},")), "{word}: {json}");
        }
    }

    #[test]
    fn a_full_disk_is_seen_and_the_days_until_then() {
        let mut tables = TABLES.lock().unwrap();
        let rules = rules("config server\n");
        let mut server = Server::new(&mut tables.0, rules);
        server.take_room(Room::Reserve, 100);
        let said = |ledger: LedgerFacts| {
            let outside = Outside { is_running: true, ..Outside::default() };
            let status =
                Status { server: ServerRef(&server), ledger, outside, at_next_start: &[], now: now(), trouble: None };
            let (mut json, mut metrics) = (String::new(), String::new());
            status.emit(&mut json).unwrap();
            status.emit_metrics(&mut metrics).unwrap();
            json + &metrics
        };
        let unknown = said(facts());
        assert!(unknown.contains("\"state\":\"reserve\"") && unknown.contains("\"days_until_full\":null"));
        assert!(unknown.contains("room{state=\"reserve\"} 1") && unknown.contains("room{state=\"open\"} 0"));
        assert!(!unknown.contains("posgate_days_until_full"));
        let known = said(LedgerFacts { bytes_a_day: Some(100_000), ..facts() });
        assert!(known.contains("\"days_until_full\":8") && known.contains("posgate_days_until_full 8\n"), "{known}");
        let full = said(LedgerFacts { bytes_a_day: Some(100_000), free: Some(100), ..facts() });
        assert!(full.contains("\"days_until_full\":0"));
        let still = said(LedgerFacts { bytes_a_day: Some(0), ..facts() });
        assert!(still.contains("\"days_until_full\":null"), "what does not grow is never full");
    }
}
