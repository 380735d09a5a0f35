//! What the operator's tools say to the running server, line by line (design.md, section 4, option
//! `control`; docs/control-socket-and-status.md, *The control socket*).
//!
//! One JSON object a line each way, at most [`CONTROL_LINE_MAX`] bytes: a request names its command
//! in `cmd`, an answer begins with `"ok":true` or with `"ok":false,"error":"…"`. [`answer`] is a
//! plain function over [`Service`]: it knows no socket, so that tests and a fuzzer can ask it
//! anything. `host::control_socket` carries the lines.
//!
//! What always holds: every line gets one answer; an answer may leave only when the turn that it
//! was made in is committed; a line costs a bounded amount of work, so long lists come in pages
//! (`next`, then `after`).

pub mod batch;
pub mod changes;
mod orders;
mod queries;
pub mod refusals;
pub mod request;

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::desk::json::Object;
use crate::desk::status::Status;
use crate::engine::limits::CONTROL_LINE_MAX;
use crate::engine::model::Now;
use crate::engine::server::Refused;
use crate::ledger::Storage;
use crate::turn::Service;
use request::Request;

/// What becomes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What is answered.
    pub reply: Reply,
    /// Whether it cost so much (a segment was read, or many rows) that the turn should take no
    /// further lines.
    pub is_heavy: bool,
}

/// The answer to a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This line, without its end, once the turn is committed.
    Line(String),
    /// What the loop answers, once the turn is committed.
    Deferred(Deferred),
}

/// What only the loop can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferred {
    /// Read configuration and cards again, and say what came of it: [`changes`].
    Reload {
        /// The crc of a table that is taken although it seems not whole; no other is taken then.
        accept: Option<u32>,
    },
    /// How the server stands: [`status`].
    Status,
}

/// What the machine says and does that the server, as a plain value, cannot.
pub trait Host {
    /// The machine's IPv4 addresses.
    fn addresses(&self) -> Vec<Ipv4Addr>;

    /// Sends 000 to this port of every served network; gives their number.
    ///
    /// # Errors
    /// A sentence: why it could not be sent anywhere.
    fn discover(&mut self, port: u16) -> Result<usize, String>;

    /// Where the ledger is: a client that may read it finds entries there.
    fn ledger_dir(&self) -> &Path;

    /// The headings of the card table in service and what divides them; empty if nobody knows them.
    fn headings(&self) -> (&[String], char) {
        (&[], ',')
    }
}

/// The answer that says how the server stands: the status file's object but for the list of
/// devices.
pub fn status(status: &Status) -> String {
    let mut summary = String::new();
    status.emit_summary(&mut summary).expect("a String takes all");
    // The same object with one more member in front.
    let members = summary.trim_end().strip_prefix('{').unwrap_or_default();
    format!("{{\"ok\":true,{members}")
}

/// Answers a line, its end not included.
///
/// # Errors
/// If the ledger cannot be written.
pub fn answer<S: Storage>(
    service: &mut Service<'_, S>,
    now: &Now,
    host: &mut dyn Host,
    line: &[u8],
) -> io::Result<Answer> {
    let request = request::parse(line);
    let is_heavy = request.as_ref().is_ok_and(Request::is_heavy);
    let line = match request {
        Err(sentence) => Object::error(sentence).end(),
        Ok(Request::Reload { accept }) => {
            return Ok(Answer { reply: Reply::Deferred(Deferred::Reload { accept }), is_heavy });
        }
        Ok(Request::Status) => return Ok(Answer { reply: Reply::Deferred(Deferred::Status), is_heavy }),
        Ok(Request::Order { order, is_dry, .. }) => orders::obey(service, now, &order, is_dry)?,
        Ok(Request::PayOutAll { order, is_dry }) => orders::pay_out_all(service, now, order, is_dry)?,
        Ok(Request::Clock(machine)) => orders::clock(service, now, machine)?,
        Ok(Request::Show { machine, text }) => orders::show(service, now, machine, &text)?,
        Ok(Request::ClockAccept { by }) => orders::clock_accept(service, now, &by)?,
        Ok(Request::Acknowledge { by, note }) => orders::acknowledge(service, now, &by, &note)?,
        Ok(Request::Branch { by, note }) => orders::branch(service, now, &by, &note)?,
        Ok(Request::Sync) => orders::sync(service),
        // What a collector took must not be taken back.
        Ok(Request::Head) if !service.ledger().is_proven() => orders::refusal(&Refused::Full),
        Ok(Request::Head) => queries::head(service.ledger().number(), service.ledger().synced()),
        Ok(Request::Discover { port }) => {
            service.server_mut().forget_found();
            match host.discover(port) {
                Ok(networks) => Object::ok().number("networks", networks).end(),
                Err(sentence) => Object::error(sentence).end(),
            }
        }
        Ok(Request::Found { after }) => queries::found(service.server(), &host.addresses(), after),
        Ok(Request::Card(card)) => queries::card(service.server(), now, host.ledger_dir(), card),
        Ok(Request::Cards { search, after }) => queries::cards(service.server(), now, &search, after),
        Ok(Request::Devices { after }) => queries::devices(service.server(), now, after),
        Ok(Request::Unknown { after }) => queries::unknown(service.server(), host.headings(), after),
    };
    // Only our own mistake could make one longer; the client's bound holds all the same.
    let is_fitting = line.len() <= CONTROL_LINE_MAX;
    let line = if is_fitting { line } else { Object::error("the answer does not fit a line: ask for less").end() };
    Ok(Answer { reply: Reply::Line(line), is_heavy })
}
