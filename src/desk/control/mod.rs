//! The protocol of the control socket, line by line (design.md, section 4, option `control`;
//! docs/control-socket-and-status.md, *The control socket*).
//!
//! A line is one JSON object of at most [`CONTROL_LINE_MAX`] bytes, in both directions. A request
//! names its command in `cmd`; an answer begins with `"ok":true` or with `"ok":false,"error":"…"`.
//! [`answer`] is a plain function over [`Service`]: it uses no socket, so that tests and a fuzzer
//! can call it with any line. `host::control_socket` carries the lines.
//!
//! *Invariants:*
//! - Every line gets one answer.
//! - An answer is sent only after its turn is committed.
//! - A line costs a bounded amount of work: long lists come in pages (`next`, then `after`).

pub mod batch;
pub mod changes;
mod office;
mod orders;
mod queries;
pub mod refusals;
pub mod request;

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::desk::json::Object;
use crate::desk::status::{SUMMARY_LEN_MAX, Status};
use crate::engine::limits::CONTROL_LINE_MAX;
use crate::engine::model::{EntrySeq, Now};
use crate::engine::server::Refused;
use crate::ledger::acks::OfficeName;
use crate::ledger::{Head, Storage};
use crate::turn::Service;
use request::ControlRequest;

/// The result of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The answer.
    pub reply: ControlReply,
    /// Whether it was expensive (a segment or many rows were read), so that the turn answers no
    /// further lines.
    pub is_heavy: bool,
}

/// The answer to a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlReply {
    /// This line, without its LF, after the turn is committed.
    Line(String),
    /// The loop answers it, after the turn is committed.
    Deferred(Deferred),
    /// `last_entry`, once the last durable entry is later than one, or after some seconds.
    Wait {
        /// The entry that the client has.
        after: EntrySeq,
        /// The most seconds.
        max_s: u32,
    },
    /// This line; from now on the client is the stream of this office, and no other client is.
    Stream {
        /// The office.
        office: OfficeName,
        /// The line.
        line: String,
    },
}

/// A request that only the loop can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferred {
    /// Read configuration and cards again, and answer with the changes: [`changes`].
    Reload {
        /// The CRC-32 of the only card table to accept, even if it seems incomplete.
        accept: Option<u32>,
    },
    /// The status: [`status`].
    Status,
}

/// What control lines need from the machine; the server is a plain value and does no IO.
pub trait Host {
    /// The machine's IPv4 addresses.
    fn addresses(&self) -> Vec<Ipv4Addr>;

    /// Sends 000 to this UDP port in every served network; returns the number of networks.
    ///
    /// # Errors
    /// A sentence that says why no 000 could be sent.
    fn discover(&mut self, port: u16) -> Result<usize, String>;

    /// The ledger's directory, for a client that reads entries itself.
    fn ledger_dir(&self) -> &Path;

    /// The headings and the separator of the card table in service; empty if unknown.
    fn headings(&self) -> (&[String], char) {
        (&[], ',')
    }

    /// Whether an office may give orders.
    fn lets_offices_order(&self) -> bool {
        false
    }
}

/// The answer to `status`: the object of the status file, without the list of devices, and without
/// that of offices if counters are so high that it does not fit.
pub fn status(status: &Status) -> String {
    let mut summary = String::new();
    status.emit_with_offices(&mut summary).expect("a String accepts everything");
    if summary.len() > SUMMARY_LEN_MAX {
        summary.clear();
        status.emit_summary(&mut summary).expect("a String accepts everything");
    }
    // The same object, with one more member at its beginning.
    let members = summary.trim_end().strip_prefix('{').unwrap_or_default();
    format!("{{\"ok\":true,{members}")
}

/// The answer to `head` and `wait`: the last durable entry. A power cut can undo later entries, so
/// a collector stops there.
pub(crate) fn last_entry(ledger: u64, synced: Head) -> String {
    queries::entry(ledger, synced)
}

/// Answers a line, given without its LF, of a client that is no office's stream.
///
/// # Errors
/// If the ledger cannot be written.
pub fn answer<S: Storage>(
    service: &mut Service<'_, S>,
    now: &Now,
    host: &mut dyn Host,
    line: &[u8],
) -> io::Result<Answer> {
    answer_to(service, now, host, None, line)
}

/// As [`answer`], to the stream of an office, if the client is one.
///
/// # Errors
/// If the ledger cannot be written.
pub fn answer_to<S: Storage>(
    service: &mut Service<'_, S>,
    now: &Now,
    host: &mut dyn Host,
    office: Option<&OfficeName>,
    line: &[u8],
) -> io::Result<Answer> {
    let request = match office {
        None => request::parse(line),
        Some(office) => office::read(office, host.lets_offices_order(), line),
    };
    let is_heavy = request.as_ref().is_ok_and(ControlRequest::is_heavy);
    let line = match request {
        Err(sentence) => Object::error(sentence).end(),
        Ok(ControlRequest::Reload { accept }) => {
            return Ok(Answer { reply: ControlReply::Deferred(Deferred::Reload { accept }), is_heavy });
        }
        Ok(ControlRequest::Status) => return Ok(Answer { reply: ControlReply::Deferred(Deferred::Status), is_heavy }),
        Ok(ControlRequest::Order { order, is_dry, .. }) => orders::obey(service, now, &order, is_dry)?,
        Ok(ControlRequest::PayOutAll { order, is_dry }) => orders::pay_out_all(service, now, order, is_dry)?,
        Ok(ControlRequest::Clock(machine)) => orders::clock(service, now, machine)?,
        Ok(ControlRequest::Show { machine, text }) => orders::show(service, now, machine, &text)?,
        Ok(ControlRequest::ClockAccept { by }) => orders::clock_accept(service, now, &by)?,
        Ok(ControlRequest::Acknowledge { by, note }) => orders::acknowledge(service, now, &by, &note)?,
        Ok(ControlRequest::Branch { by, note }) => orders::branch(service, now, &by, &note)?,
        Ok(ControlRequest::Sync) => orders::sync(service),
        // A collector must not get an entry that a later start may cut.
        Ok(
            ControlRequest::Head
            | ControlRequest::Wait { .. }
            | ControlRequest::CrcOf(_)
            | ControlRequest::Link(_)
            | ControlRequest::Ack { .. },
        ) if !service.ledger().is_proven() => orders::refusal(&Refused::Full),
        Ok(ControlRequest::Head) => last_entry(service.ledger().number(), service.ledger().synced()),
        Ok(ControlRequest::Wait { after, max_s }) => {
            return Ok(Answer { reply: ControlReply::Wait { after, max_s }, is_heavy });
        }
        Ok(ControlRequest::CrcOf(seq)) => queries::crc_of(service.ledger(), seq),
        Ok(ControlRequest::Link(office)) => {
            let line = office::hello(service, now, host.ledger_dir());
            return Ok(Answer { reply: ControlReply::Stream { office, line }, is_heavy });
        }
        Ok(ControlRequest::Ack { ledger, head }) => office::ack(service, now, office, ledger, head),
        Ok(ControlRequest::ForgetOffice { office, by }) => office::forget(service, &office, by.as_str()),
        Ok(ControlRequest::Discover { port }) => {
            service.server_mut().forget_found();
            match host.discover(port) {
                Ok(networks) => Object::ok().number("networks", networks).end(),
                Err(sentence) => Object::error(sentence).end(),
            }
        }
        Ok(ControlRequest::Found { after }) => queries::found(service.server(), &host.addresses(), after),
        Ok(ControlRequest::Card(card)) => queries::card(service.server(), now, host.ledger_dir(), card),
        Ok(ControlRequest::Cards { search, after }) => queries::cards(service.server(), now, &search, after),
        Ok(ControlRequest::Devices { after }) => queries::devices(service.server(), now, after),
        Ok(ControlRequest::Unknown { after }) => queries::unknown(service.server(), host.headings(), after),
    };
    // Only a bug could make a longer answer; the client relies on the limit all the same.
    let is_fitting = line.len() <= CONTROL_LINE_MAX;
    let line =
        if is_fitting { line } else { Object::error("the answer does not fit into one line: ask for less").end() };
    Ok(Answer { reply: ControlReply::Line(line), is_heavy })
}
