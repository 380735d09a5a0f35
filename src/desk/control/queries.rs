//! Questions: cards, devices, found devices. Each reads a bounded part of its table; a list that
//! does not fit into one line says where the next page begins.

use std::net::Ipv4Addr;
use std::path::Path;

use log::error;

use crate::desk::json::{Object, string};
use crate::desk::status::device_state;
use crate::engine::book::Account;
use crate::engine::gbk;
use crate::engine::limits::{CONTROL_LINE_MAX, CONTROL_ROWS_MAX};
use crate::engine::model::forms;
use crate::engine::model::{CardNo, CardRow, EntrySeq, Now, Reason, Rules};
use crate::engine::server::{CardView, DeviceView, FoundDevice, Refused, Server};
use crate::ledger::seek::{self, Absent};
use crate::ledger::{Head, Ledger, Storage};

/// Sales in doubt to list in a card's answer; the rest are counted.
const DOUBTS_SHOWN_MAX: usize = 20;

/// Bytes of an answer around its list.
const FRAME_LEN_MAX: usize = 128;

/// A card's state and account.
pub(super) fn card(server: &Server, now: &Now, ledger_dir: &Path, card: CardNo) -> String {
    let Some(view) = server.card_view(now, card) else {
        return Object::error(format_args!(
            "neither the card table nor the ledger knows card {}: check the number",
            card.masked()
        ))
        .end();
    };
    let doubts: Vec<_> = server.book().doubts_by(card).collect();
    let shown = doubts.iter().rev().take(DOUBTS_SHOWN_MAX);
    let shown = shown.map(|(seq, asked)| Object::new().number("seq", *seq).text("asked", asked).end());
    let terms = view.row.as_ref().map(|row| &row.terms);
    let mut object = describe(Object::ok(), server, card, &view)
        .flag("in_table", server.cards().find(card).is_some())
        .text("table", view.table.word())
        .text("ledger", view.ledger.word())
        .text_if("replaced_by", view.successor)
        .text_if("ignored_account", view.ignored.as_ref().map(|ignored| ignored.named))
        .text_if("valid_from", terms.and_then(|terms| terms.valid_from))
        .text_if("valid_until", terms.and_then(|terms| terms.valid_until))
        .text_if("charge_max", terms.and_then(|terms| terms.charge_max))
        .text_if("day_max", terms.and_then(|terms| terms.day_max))
        .text_if("credit", terms.map(|terms| terms.credit));
    if doubts.len() > DOUBTS_SHOWN_MAX {
        object = object.number("in_doubt_left_out", doubts.len() - DOUBTS_SHOWN_MAX);
    }
    let marks = view.marks.statuses().map(|status| string(status.word()));
    object.list("marks", marks).list("in_doubt", shown).text("ledger_dir", ledger_dir.display()).end()
}

/// An entry's number and crc.
pub(super) fn entry(ledger: u64, head: Head) -> String {
    let object = Object::ok().text("ledger", format_args!("{ledger:016x}"));
    object.number("seq", head.seq).text("crc", format_args!("{:08x}", head.crc)).end()
}

/// The crc of a durable entry, by some small reads of its segment.
pub(super) fn crc_of<S: Storage>(ledger: &Ledger<S>, seq: EntrySeq) -> String {
    let last = ledger.synced().seq;
    let found = if seq > last { Ok(Err(Absent::Ahead)) } else { seek::find(ledger.storage(), seq) };
    let refusal = |sentence: String, reason| Object::error(sentence).text("reason", reason);
    match found {
        Ok(Ok(place)) => entry(place.ledger, place.head),
        Ok(Err(Absent::Archived(first))) => {
            let sentence = format!("entry {seq} was archived: the first one here is {first}");
            refusal(sentence, "archived").number("first", first).end()
        }
        Ok(Err(Absent::Ahead)) => {
            refusal(format!("there is no entry {seq} yet: the last durable one is {last}"), "ahead").end()
        }
        Ok(Err(Absent::Damaged)) => super::orders::refusal(&Refused::Unreadable { seq }),
        Err(error) => {
            error!("{error}");
            super::orders::refusal(&Refused::Unreadable { seq })
        }
    }
}

/// The members about a card in every list and answer.
fn describe(object: Object, server: &Server, card: CardNo, view: &CardView) -> Object {
    let name = view.row.as_ref().map(|row| gbk::decode(server.cards().name(row)));
    let state = view.table.max(view.ledger);
    let object = object
        .text("card", card.padded())
        .text_if("account", view.account.as_ref())
        .text_if("name", name)
        .text("state", state.word())
        .text_if("reason", view.reason.map(Reason::word));
    super::orders::holds(object, view.figures)
}

/// The table's cards whose number, account or name contains a text.
pub(super) fn cards(server: &Server, now: &Now, search: &str, after: usize) -> String {
    let count = server.cards().len();
    let wanted = search.trim().to_lowercase();
    let is_meant = |row: &CardRow| {
        let account: &Account = server.book().account(row.account);
        wanted.is_empty()
            || CardNo::from_value(row.card).as_str().contains(&wanted)
            || account.id.to_lowercase().contains(&wanted)
            || gbk::decode(server.cards().name(row)).to_lowercase().contains(&wanted)
    };
    let page_rows =
        (after..count.min(after.saturating_add(CONTROL_ROWS_MAX))).map(|row| (row, server.cards().row(row)));
    let found = page_rows.filter(|(_, row)| is_meant(row)).map(|(place, row)| {
        let card = CardNo::from_value(row.card);
        let view = server.card_view(now, card);
        (place, view.map(|view| describe(Object::new(), server, card, &view).end()).unwrap_or_default())
    });
    let end = after.saturating_add(CONTROL_ROWS_MAX);
    page("cards", found, (end < count).then_some(end))
}

/// The last swiped cards that are in no table, the newest first, each with a card of the table that
/// may be the same in another form, such as with its bytes reversed. The first page also has the
/// headings of the table in service.
pub(super) fn unknown(server: &Server, headings: (&[String], char), after: usize) -> String {
    let seen: Vec<_> = server.unknown_cards().collect();
    let unknown: Vec<CardNo> = seen.iter().map(|seen| seen.card).collect();
    let known = known_in_another_form(server, &unknown);
    let rows = seen.iter().zip(known).enumerate().skip(after).map(|(place, (seen, known))| {
        let row = Object::new().text("card", seen.card).text("machine", seen.machine).text("at", seen.at);
        let row = row.number("count", seen.count);
        let (known, words) = known.map_or((String::new(), ""), |(card, words)| (card.to_string(), words));
        let row = row.text("known", known).text("form", words);
        (place, row.end())
    });
    let (headings, delimiter) = headings;
    let object = Object::ok().list("headings", headings.iter().map(string)).text("delimiter", delimiter);
    let is_first = after == 0 && object.clone().end().len() < CONTROL_LINE_MAX / 2;
    page_of(if is_first { object } else { Object::ok() }, "cards", rows, None)
}

/// For each unknown card, the first card of the table that may be the same, and in which form.
fn known_in_another_form(server: &Server, unknown: &[CardNo]) -> Vec<Option<(CardNo, &'static str)>> {
    let mut known = vec![None; unknown.len()];
    if unknown.is_empty() {
        return known;
    }
    for (place, card) in unknown.iter().enumerate() {
        forms::each(*card, |form, words| {
            if known[place].is_none() && server.cards().find(form).is_some() {
                known[place] = Some((form, words));
            }
        });
    }
    for (card, _) in server.cards().numbers() {
        forms::each(card, |form, words| {
            if let Some(place) = unknown.iter().position(|unknown| *unknown == form)
                && known[place].is_none()
            {
                known[place] = Some((card, words));
            }
        });
    }
    known
}

/// The devices that are registered or were seen since the start.
pub(super) fn devices(server: &Server, now: &Now, after: usize) -> String {
    let devices = server.devices().enumerate().skip(after);
    page("devices", devices.map(|(place, device)| (place, describe_device(server, now, &device))), None)
}

fn describe_device(server: &Server, now: &Now, device: &DeviceView) -> String {
    let rule = device.rule;
    let serial = device.serial.or(rule.and_then(|rule| rule.serial.as_ref()));
    let seen_s = device.seen.map(|seen| now.mono.ms_since(seen) / 1000);
    let object = Object::new()
        .text("machine", device.machine)
        .flag("registered", rule.is_some())
        .text_if("name", rule.map(|rule| rule.name.as_str()).filter(|name| !name.is_empty()))
        .text("kind", device.kind.word())
        .text_if("serial", serial)
        .text_if("address", device.source.map(|source| *source.ip()))
        .text_if("last_seen", device.seen.map(|seen| now.stamp_of(seen)))
        .number_if("seen_s", seen_s)
        .number_if("clock_offset_s", device.clock_offset_s)
        .text("state", device_state(device))
        .number("in_doubt", device.doubts)
        .number("frames", device.tally.frames)
        .number("approved", device.tally.approved)
        .number("refused", device.tally.refused);
    let Some(rule) = rule else { return object.end() };
    let Rules { places, groups, .. } = server.rules();
    let lists = [("places", places.names(rule.places)), ("groups", groups.names(rule.groups))];
    let whole =
        lists.into_iter().fold(object.clone(), |object, (key, names)| object.list(key, names.map(string))).end();
    // The names have no limit, a line has one.
    if whole.len() + FRAME_LEN_MAX < CONTROL_LINE_MAX { whole } else { object.flag("lists_left_out", true).end() }
}

/// The devices that answered a 000, with marks for numbers or addresses that two devices use, and
/// for devices of another server.
pub(super) fn found(server: &Server, ours: &[Ipv4Addr], after: usize) -> String {
    let devices: Vec<&FoundDevice> = server.found().collect();
    let known: Vec<DeviceView> = server.devices().filter(|device| device.source.is_some()).collect();
    // A 100 has no machine number. Its device holds one, or wants one that another device holds.
    let holds = |device: &FoundDevice, known: &DeviceView| {
        known.source.is_some_and(|source| device.is(*source.ip(), known.serial))
    };
    let wants = |device: &FoundDevice, known: &DeviceView| {
        known.rival.is_some_and(|(address, serial)| device.is(address, serial))
    };
    let number = |device: &&FoundDevice| {
        let held = known.iter().find(|known| holds(device, known));
        let wanted = || known.iter().find(|known| wants(device, known));
        held.or_else(wanted).map(|known| (known.machine, held.is_none()))
    };
    let numbers: Vec<_> = devices.iter().map(number).collect();
    let rows = devices.iter().zip(&numbers).enumerate().skip(after).map(|(place, (device, number))| {
        let is_host_ours = device.host.parse().is_ok_and(|host: Ipv4Addr| ours.contains(&host));
        let count = |is_same: &dyn Fn(usize) -> bool| (0..devices.len()).filter(|row| is_same(*row)).count() > 1;
        let machine = number.map(|(machine, _)| machine);
        let is_kept_out = number.is_some_and(|(_, is_kept_out)| is_kept_out);
        let has_same_number = |row: usize| machine.is_some() && numbers[row].map(|(other, _)| other) == machine;
        let twice = [
            ("serial", device.serial.is_some() && count(&|row| devices[row].serial == device.serial)),
            ("machine", is_kept_out || count(&has_same_number)),
            ("address", device.is_shared || count(&|row| devices[row].address == device.address)),
        ];
        let row = Object::new()
            .text("source", device.source)
            .text("address", device.address.as_str())
            .text("mask", device.mask.as_str())
            .text("gateway", device.gateway.as_str())
            .text("host", device.host.as_str())
            .text("port", device.port.as_str())
            .text_if("serial", device.serial.as_ref())
            .text_if("machine", machine)
            .flag("host_is_ours", is_host_ours)
            .list("twice", twice.iter().filter(|(_, is_twice)| *is_twice).map(|(what, _)| string(what)));
        (place, row.end())
    });
    let left_out = Some(server.found_left_out()).filter(|left_out| *left_out > 0);
    page_of(Object::ok().number_if("left_out", left_out), "devices", rows, None)
}

/// As many rows as fit into one line. `next` is the row at which the next page begins: the first
/// that does not fit, or `end`, up to which the table was read.
fn page(name: &str, rows: impl Iterator<Item = (usize, String)>, end: Option<usize>) -> String {
    page_of(Object::ok(), name, rows, end)
}

/// As [`page`], after the first members of an answer.
fn page_of(object: Object, name: &str, rows: impl Iterator<Item = (usize, String)>, end: Option<usize>) -> String {
    let mut fitting = Vec::new();
    let mut len = FRAME_LEN_MAX + object.clone().end().len();
    let mut next = end;
    for (place, row) in rows {
        len += row.len() + 1;
        if len > CONTROL_LINE_MAX {
            next = Some(place);
            break;
        }
        fitting.push(row);
    }
    let object = object.list(name, fitting);
    object.number_if("next", next).end()
}
