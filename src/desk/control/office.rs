//! An office on the control socket: what it may ask and order, and how it is greeted (design.md,
//! section 14).
//!
//! *Invariants:* an order of an office is `by` that office, whatever its line says; what an office
//! may not do is refused before it is read further.

use core::fmt::{self, Write as _};
use std::path::Path;

use super::request::{self, COMMANDS, ControlRequest};
use crate::desk::json::{self, Object, Value};
use crate::engine::model::{Now, Rules};
use crate::ledger::acks::OfficeName;
use crate::ledger::line::continue_crc;
use crate::ledger::{Head, Storage};
use crate::turn::Service;
use crate::turn::offices::NotTaken;

/// What an office may ask; the first two are for `posgate link` itself.
const QUESTIONS: &[&str] =
    &["link", "ack", "card", "cards", "unknown", "devices", "found-devices", "status", "head", "wait", "crc_of"];

/// Reads a line of an office. `may_order`: whether it may order anything.
///
/// # Errors
/// A sentence that says what to write instead.
pub(super) fn read(office: &OfficeName, may_order: bool, line: &[u8]) -> Result<ControlRequest, String> {
    let mut value = request::value_of(line)?;
    let cmd = value.text("cmd").unwrap_or_default().to_owned();
    let is_order = |spec: &&request::CommandSpec| spec.takes.contains(&"key") || spec.name == "branch";
    let order = COMMANDS.iter().filter(is_order).find(|spec| spec.name == cmd);
    let is_known = COMMANDS.iter().any(|spec| spec.name == cmd);
    if is_known && !QUESTIONS.contains(&cmd.as_str()) {
        match order {
            None => return Err(format!("an office may not {cmd}: it may ask, and give orders if it is allowed to")),
            Some(_) if !may_order => {
                return Err(format!(
                    "this office may not {cmd}: write list office_may 'orders' in config server of the router, and reload"
                ));
            }
            Some(_) => (),
        }
    }
    if let Value::Object(members) = &mut value {
        members.retain(|(key, _)| key != "by" && (cmd != "link" || key != "office"));
        if order.is_some() {
            members.push(("by".to_owned(), Value::Text(format!("office:{office}"))));
        }
        if cmd == "link" {
            members.push(("office".to_owned(), Value::Text(office.as_str().to_owned())));
        }
    }
    request::read(&value)
}

/// The answer to `link`: what an office needs to know before it asks for entries.
pub(super) fn hello<S: Storage>(service: &Service<S>, now: &Now, ledger_dir: &Path) -> String {
    let (ledger, server) = (service.ledger(), service.server());
    let Head { seq, crc } = ledger.synced();
    let rules = Object::new()
        .text(
            "zone",
            crc_of(|crc| {
                let changes = server.zone_changes();
                if changes.is_empty() {
                    write!(crc, "{}", now.stamp.offset_s)?;
                }
                changes.iter().try_for_each(|change| write!(crc, "{} {};", change.at_s, change.after_s))
            }),
        )
        .text("day_start", crc_of(|crc| write!(crc, "{}", server.rules().day_start)))
        .text("periods", crc_of(|crc| write_periods(server.rules(), crc)))
        .text("table", format_args!("{:08x}", server.origin().cards_crc));
    Object::ok()
        .text("ledger", format_args!("{:016x}", ledger.number()))
        .text_or_null("parent", ledger.parent())
        .text("site", ledger.site())
        .text("version", env!("CARGO_PKG_VERSION"))
        .number("seq", seq)
        .text("crc", format_args!("{crc:08x}"))
        // No purse is shared yet.
        .raw("purse", "null")
        .number("n", 0_u32)
        .raw("rules", rules.end())
        .text("ledger_dir", ledger_dir.display())
        .end()
}

/// A digest of what is written.
struct Crc(u32);

impl fmt::Write for Crc {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = continue_crc(self.0, text.as_bytes());
        Ok(())
    }
}

fn crc_of(write: impl FnOnce(&mut Crc) -> fmt::Result) -> String {
    let mut crc = Crc(0);
    write(&mut crc).expect("a digest accepts everything");
    format!("{:08x}", crc.0)
}

/// Everything about the periods that decides: two routers with equal ones have equal digests.
fn write_periods(rules: &Rules, crc: &mut Crc) -> fmt::Result {
    for period in &rules.periods {
        write!(crc, "{} {} {} {}", period.name, period.from, period.to, period.days.0)?;
        for (names, set) in [(&rules.places, period.places), (&rules.groups, period.groups)] {
            names.names(set).try_for_each(|name| write!(crc, ",{}", json::string(name)))?;
            crc.write_char(' ')?;
        }
        write!(crc, "{} {}", period.uses_max, period.subsidy)?;
        for price in [period.price, period.price_next] {
            crc.write_char(' ')?;
            price.map_or(Ok(()), |price| write!(crc, "{price}"))?;
        }
        crc.write_char('\n')?;
    }
    Ok(())
}

/// Takes an acknowledgement.
pub(super) fn ack<S: Storage>(
    service: &mut Service<S>,
    now: &Now,
    office: Option<&OfficeName>,
    ledger: u64,
    head: Head,
) -> String {
    let Some(office) = office else {
        return Object::error("only an office acknowledges: send link with its name first").end();
    };
    // The word says it to `posgate link`; the sentence is for who looks.
    let reason = match service.take_ack(now, office, ledger, head) {
        Ok(()) => return Object::ok().end(),
        Err(NotTaken::Ahead) => "ahead",
        Err(NotTaken::Diverged) => "diverged",
        Err(NotTaken::Archived) => "archived",
        Err(NotTaken::Unreadable) => "unreadable",
        Err(NotTaken::Full) => "full",
    };
    Object::error(format_args!("entry {} does not count as acknowledged: {reason}", head.seq))
        .text("reason", reason)
        .end()
}

/// Forgets an office.
pub(super) fn forget<S: Storage>(service: &mut Service<S>, office: &OfficeName, by: &str) -> String {
    match service.forget_office(office, by) {
        Ok(true) => Object::ok().text("office", office).end(),
        Ok(false) => {
            let known: Vec<&str> = service.offices().iter().map(|office| office.name.as_str()).collect();
            let known =
                if known.is_empty() { "none is known".to_owned() } else { format!("known: {}", known.join(", ")) };
            Object::error(format_args!("no office {office} is known here ({known})"))
                .text("reason", "unknown-office")
                .end()
        }
        Err(error) => Object::error(error).text("reason", "unwritable").end(),
    }
}
