//! The metrics file: Prometheus' text format 0.0.4, as a textfile collector reads it.
//!
//! *Invariants:* every family has its `# HELP` and `# TYPE` before its samples, which stay
//! together; counters end in `_total`; unknown values are left out. The tables of devices bound the
//! number of samples; a sample is one line, whatever its labels hold. Nothing here allocates.

use core::fmt::{self, Display, Write};

use super::Status;
use crate::desk::json::Escaped;
use crate::engine::model::ClockState;
use crate::engine::server::{Counters, DeviceView, Room};

/// Writes all families.
pub(super) fn emit(status: &Status, out: &mut dyn Write) -> fmt::Result {
    let (server, ledger, now) = (status.server.0, &status.ledger, &status.now);
    let mut metrics = Metrics::new(out);
    metrics.family("info", "gauge", "What runs; always 1.")?;
    let id = format_args!("{:016x}", ledger.number);
    let version = env!("CARGO_PKG_VERSION");
    metrics.sample("info", &[("version", &version), ("site", &ledger.site), ("ledger", &id)], 1)?;
    metrics.gauge(
        "running",
        "Whether the server runs: 0 after it was stopped.",
        u8::from(status.outside.is_running),
    )?;
    let now_s = now.stamp.wall.0.div_euclid(1000);
    metrics.gauge("written_timestamp_seconds", "When this file was written.", now_s)?;
    metrics.gauge("uptime_seconds", "How long the server has run.", now.mono.0 / 1000)?;
    let is_unset = server.clock_state() == ClockState::Unset;
    metrics.gauge("clock_unset", "Whether the clock is not believed.", u8::from(is_unset))?;

    metrics.gauge("ledger_seq", "The ledger's last entry.", ledger.head.seq)?;
    metrics.gauge("ledger_segments", "Segments in the ledger's directory.", ledger.segments)?;
    metrics.gauge("ledger_bytes", "Their bytes.", ledger.bytes)?;
    metrics.gauge_if_known("ledger_growth_bytes", "Bytes a day, over the last 7 days.", ledger.bytes_a_day)?;
    metrics.gauge("ledger_unsynced_bytes", "Bytes written and not yet synced.", ledger.unsynced)?;
    metrics.family("ledger_syncs_total", "counter", "Syncs of the ledger.")?;
    metrics.sample("ledger_syncs_total", &[], ledger.syncs)?;
    metrics.gauge_if_known("free_bytes", "Bytes that may still be written.", ledger.free)?;
    metrics.gauge("reserve_bytes", "Free bytes below which sales are refused.", ledger.reserve)?;
    metrics.gauge_if_known("days_until_full", "Days until sales are refused.", ledger.days_until_full())?;
    metrics.family("room", "gauge", "What may still be written: 1 for the current state.")?;
    for room in [Room::Open, Room::Reserve, Room::Nothing] {
        metrics.sample("room", &[("state", &room.word())], u8::from(room == server.room()))?;
    }

    metrics.family("rolled_back", "gauge", "Whether the ledger is an older copy that nobody acknowledged.")?;
    metrics.sample("rolled_back", &[], u8::from(server.book().rolled_back().is_some()))?;
    let degraded = server.degraded();
    metrics.family("degraded", "gauge", "Whether a good copy is served in place of a broken file.")?;
    metrics.sample("degraded", &[("file", &"config")], u8::from(degraded.config))?;
    metrics.sample("degraded", &[("file", &"cards")], u8::from(degraded.cards))?;
    metrics.gauge("cards", "Cards in the table.", server.cards().len())?;
    metrics.gauge("accounts", "Accounts, also those of cards that are gone.", server.book().accounts().len())?;
    metrics.gauge("in_doubt", "Approved sales that no 109 confirmed yet.", server.book().doubts())?;

    let meaning = "Sockets whose interface (bind_device) is missing, or cannot be bound yet.";
    metrics.gauge("sockets_missing", meaning, status.outside.sockets_missing)?;
    for ((name, count), meaning) in server.counters().all().zip(Counters::meanings()) {
        counter(&mut metrics, name, meaning, count)?;
    }
    if let Some(dropped) = status.outside.kernel_dropped {
        let meaning = "Datagrams that the kernel dropped for want of room in the sockets' buffers.";
        counter(&mut metrics, "kernel_dropped", meaning, dropped)?;
    }
    counter(&mut metrics, "unsent", "Replies that could not be sent.", status.outside.unsent)?;
    let meaning = "Times that a status or metrics file could not be written.";
    counter(&mut metrics, "status_failed", meaning, status.outside.status_failed)?;
    let troubles = status.trouble.as_ref().map_or(0, |trouble| trouble.count);
    counter(&mut metrics, "troubles", "Warnings and errors in the log.", u64::from(troubles))?;
    metrics.family("refusals_total", "counter", "Sales and doors refused, by reason.")?;
    for (reason, count) in server.counters().reasons() {
        metrics.sample("refusals_total", &[("reason", &reason.word())], count)?;
    }
    devices(status, &mut metrics)
}

fn counter(metrics: &mut Metrics, name: &str, meaning: &str, count: u64) -> fmt::Result {
    let total = heapless::format!(48; "{name}_total").expect("names of counters are short");
    metrics.family(&total, "counter", meaning)?;
    metrics.sample(&total, &[], count)
}

fn devices(status: &Status, metrics: &mut Metrics) -> fmt::Result {
    let last_seen = |device: &DeviceView| device.seen.map(|seen| status.now.stamp_of(seen).wall.0.div_euclid(1000));
    family(status, metrics, "device_last_seen_timestamp_seconds", "gauge", "When its newest frame came.", last_seen)?;
    let help = "Whether its last ten approvals all went without a 109.";
    family(status, metrics, "device_mute", "gauge", help, |device| Some(u8::from(device.is_mute)))?;
    let help = "Its sales in doubt.";
    family(status, metrics, "device_in_doubt", "gauge", help, |device| Some(device.doubts))?;
    let help = "Seconds by which its clock is ahead of the server's.";
    family(status, metrics, "device_clock_offset_seconds", "gauge", help, |device| device.clock_offset_s)?;
    let help = "Frames of it that were served.";
    family(status, metrics, "device_frames_total", "counter", help, |device| Some(device.tally.frames))?;
    let help = "Sales approved and doors opened there.";
    family(status, metrics, "device_approved_total", "counter", help, |device| Some(device.tally.approved))?;
    let help = "Sales and doors refused there.";
    family(status, metrics, "device_refused_total", "counter", help, |device| Some(device.tally.refused))
}

fn family<T: Display>(
    status: &Status,
    metrics: &mut Metrics,
    name: &str,
    kind: &str,
    help: &str,
    value: impl Fn(&DeviceView) -> Option<T>,
) -> fmt::Result {
    metrics.family(name, kind, help)?;
    for device in status.server.0.devices() {
        if let Some(value) = value(&device) {
            let label = device.rule.map_or("", |rule| rule.name.as_str());
            metrics.sample(name, &[("machine", &device.machine), ("name", &label)], value)?;
        }
    }
    Ok(())
}

/// Writes metrics, one family after the other.
struct Metrics<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Metrics<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }

    /// Begins a family: `# HELP` and `# TYPE`. Its samples follow.
    fn family(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        write!(self.out, "# HELP posgate_{name} ")?;
        write!(Escaped { out: self.out, escape: help_escape }, "{help}")?;
        write!(self.out, "\n# TYPE posgate_{name} {kind}\n")
    }

    /// A sample of the family.
    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) -> fmt::Result {
        write!(self.out, "posgate_{name}")?;
        for (place, (label, text)) in labels.iter().enumerate() {
            write!(self.out, "{}{label}=\"", if place == 0 { '{' } else { ',' })?;
            write!(Escaped { out: self.out, escape: label_escape }, "{text}")?;
            self.out.write_char('"')?;
        }
        writeln!(self.out, "{} {value}", if labels.is_empty() { "" } else { "}" })
    }

    /// A family of one sample without labels.
    fn gauge(&mut self, name: &str, help: &str, value: impl Display) -> fmt::Result {
        self.family(name, "gauge", help)?;
        self.sample(name, &[], value)
    }

    /// A family of one sample without labels, left out if the value is unknown.
    fn gauge_if_known(&mut self, name: &str, help: &str, value: Option<impl Display>) -> fmt::Result {
        value.map_or(Ok(()), |value| self.gauge(name, help, value))
    }
}

fn help_escape(next: char, out: &mut dyn Write) -> fmt::Result {
    match next {
        '\\' => out.write_str("\\\\"),
        '\n' => out.write_str("\\n"),
        _ => out.write_char(next),
    }
}

fn label_escape(next: char, out: &mut dyn Write) -> fmt::Result {
    match next {
        '"' => out.write_str("\\\""),
        _ => help_escape(next, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_one_line_whatever_its_labels_hold() {
        let mut out = String::new();
        let mut metrics = Metrics::new(&mut out);
        metrics.family("x", "gauge", "One\\two\nthree \"four\"").unwrap();
        metrics.sample("x", &[("a", &"q\"\\\n"), ("b", &2)], 3).unwrap();
        metrics.sample("x", &[], 4).unwrap();
        assert_eq!(
            out,
            "# HELP posgate_x One\\\\two\\nthree \"four\"\n# TYPE posgate_x gauge\nposgate_x{a=\"q\\\"\\\\\\n\",b=\"2\"} 3\nposgate_x 4\n"
        );
    }
}
