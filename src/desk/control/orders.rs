//! Lines that change something: orders, which become entries and are done once, and messages to
//! devices.

use std::io;

use crate::desk::json::Object;
use crate::engine::gbk;
use crate::engine::model::order::{Clearing, Note, Operator, Undone};
use crate::engine::model::{
    Act, Balance, Done, Entry, EntrySeq, Figures, Key, Kind, MachineNo, MissingEntries, Now, Order, Subject,
};
use crate::engine::server::{Refused, Server};
use crate::ledger::{Parent, Storage};
use crate::turn::Service;

/// Gives the order, or with `is_dry` says whether it would be accepted.
pub(super) fn obey<S: Storage>(
    service: &mut Service<'_, S>,
    now: &Now,
    order: &Order,
    is_dry: bool,
) -> io::Result<String> {
    if is_dry {
        let would = service.would(now, order)?;
        let all = matches!(order.act, Act::ClearAll).then(|| service.server().subsidies());
        let line = |before: Option<EntrySeq>| {
            let object = Object::ok().flag("dry", true).flag("again", before.is_some());
            let object = object.number_if("accounts", all.map(|(accounts, _)| accounts));
            object.text_if("sum", all.map(|(_, sum)| sum)).number_if("seq", before).end()
        };
        return Ok(would.map_or_else(|refused| refusal(&refused), line));
    }
    let is_so = is_so_already(service.server(), order);
    let done = service.operate(now, order)?;
    let answer = |done: Done| {
        let object = result(service.server(), now, order, &done);
        if is_so && !done.is_again { object.flag("unchanged", true).end() } else { object.end() }
    };
    Ok(done.map_or_else(|refused| refusal(&refused), answer))
}

/// Whether the card has the mark already that the order sets, or lacks the one that it ends, or the
/// purse to empty is empty. The order is an entry all the same: it says who gave it.
fn is_so_already(server: &Server, order: &Order) -> bool {
    if let Act::Clear { subject } = &order.act {
        let account = server.account_of_subject(subject).map(|row| server.book().account(row).figures());
        return account.is_some_and(|figures| figures.subsidy == Balance::ZERO);
    }
    let Act::Mark { card, mark } = &order.act else { return false };
    server.book().marks_of(*card).has(mark.status()) != mark.is_end()
}

/// Pays out the account's whole balance; if the key was used before, the amount that was paid then.
pub(super) fn pay_out_all<S: Storage>(
    service: &mut Service<'_, S>,
    now: &Now,
    mut order: Order,
    is_dry: bool,
) -> io::Result<String> {
    let used = service.server().book().used_name(&order).map(|used| used.seq);
    let Act::Move { subject, amount, uses, .. } = &mut order.act else { return Ok(refusal(&Refused::Zero)) };
    let paid = match used {
        Some(seq) => match service.entry(seq)? {
            Ok(Some(entry)) => Some(entry).filter(|entry| entry.kind == Kind::PayOut && is_of(entry, subject)),
            // Not advice to use a new key: this one may have paid.
            Ok(None) => return Ok(Object::error(archived(seq)).text("reason", "no-such-entry").end()),
            Err(unreadable) => return Ok(refusal(&unreadable)),
        },
        None => None,
    };
    *amount = match &paid {
        Some(paid) => -paid.amount.unwrap_or_default(),
        None => {
            let server = service.server();
            let account = server.account_of_subject(subject).map(|row| server.book().account(row).figures());
            account.map_or(Balance::ZERO, |figures| figures.balance.max(Balance::ZERO))
        }
    };
    if let Some(paid) = &paid {
        *uses = paid.uses.unwrap_or_default().saturating_neg();
    }
    obey(service, now, &order, is_dry)
}

fn archived(seq: EntrySeq) -> String {
    format!("this key was used for entry {seq}, which is archived: look at that entry before you pay again")
}

fn is_of(entry: &Entry, subject: &Subject) -> bool {
    match subject {
        Subject::Card(card) => entry.card == Some(*card),
        Subject::Account(account) => entry.account == Some(*account),
    }
}

/// Sends 003 to a device, or to all devices.
pub(super) fn clock<S: Storage>(
    service: &mut Service<'_, S>,
    now: &Now,
    machine: Option<MachineNo>,
) -> io::Result<String> {
    let count = service.set_clock(now, machine)?;
    Ok(count.map_or_else(|refused| refusal(&refused), |count| Object::ok().number("told", count).end()))
}

/// Sends 009 to a device.
pub(super) fn show<S: Storage>(
    service: &mut Service<'_, S>,
    now: &Now,
    machine: MachineNo,
    text: &str,
) -> io::Result<String> {
    let shown = service.show(now, machine, text)?;
    Ok(shown.map_or_else(|refused| refusal(&refused), |()| Object::ok().end()))
}

/// Believes the clock as it stands, as far as that can be had.
pub(super) fn clock_accept<S: Storage>(service: &mut Service<'_, S>, now: &Now, by: &Operator) -> io::Result<String> {
    let accepted = service.accept_clock(now, by)?;
    let line = |(seq, state): (EntrySeq, crate::engine::model::ClockState)| {
        Object::ok().number("seq", seq).text("clock", state.word()).text("now", now.stamp).end()
    };
    Ok(accepted.map_or_else(|refused| refusal(&refused), line))
}

/// Acknowledges that an older copy of the ledger is served, which ends the hourly error.
pub(super) fn acknowledge<S: Storage>(
    service: &mut Service<'_, S>,
    now: &Now,
    by: &Operator,
    note: &Note,
) -> io::Result<String> {
    let seen = service.acknowledge(now, by, note)?;
    let line =
        |(seq, gone): (EntrySeq, MissingEntries)| Object::ok().number("seq", seq).text("rolled_back", gone).end();
    Ok(seen.map_or_else(|refused| refusal(&refused), line))
}

/// Begins a branch of the ledger under a new number.
pub(super) fn branch<S: Storage>(
    service: &mut Service<'_, S>,
    now: &Now,
    by: &Operator,
    note: &Note,
) -> io::Result<String> {
    let branched = service.branch(now, by, note)?;
    let line = |(seq, number, parent): (EntrySeq, u64, Parent)| {
        let object = Object::ok().number("seq", seq).text("ledger", format_args!("{number:016x}"));
        object.text("parent", parent).end()
    };
    Ok(branched.map_or_else(|refused| refusal(&refused), line))
}

/// Makes the turn end with a sync.
pub(super) fn sync<S: Storage>(service: &mut Service<'_, S>) -> String {
    if !service.ledger().is_proven() {
        return refusal(&Refused::Full);
    }
    service.sync_at_end();
    Object::ok().number("seq", service.server().book().head()).end()
}

pub(super) fn refusal(refused: &Refused) -> String {
    Object::error(refused).text("reason", refused.word()).end()
}

fn result(server: &Server, now: &Now, order: &Order, done: &Done) -> Object {
    let object = Object::ok().flag("again", done.is_again).number("seq", done.seq);
    let object = match &order.key {
        Key::Own(key) => object.text("key", key),
        Key::For { name, nth } => object.text("for", name).number("nth", *nth),
    };
    // The holder's name shows the operator whether it was the intended card.
    let view = done.card.and_then(|card| server.card_view(now, card));
    let name = view.and_then(|view| view.row).map(|row| gbk::decode(server.cards().name(&row)));
    let object = object.text_if("name", name.filter(|name| !name.is_empty()));
    let object = match &done.account {
        Some((account, figures)) => holds(object.text("account", account), *figures),
        None => object,
    };
    let object = match done.undone {
        Some(Undone { cash, subsidy, cleared, rest }) => {
            object.text("undone_cash", cash).text("undone_subsidy", subsidy).text("cleared", cleared).text("rest", rest)
        }
        None => object,
    };
    match done.clearing {
        Some(clearing @ Clearing { accounts, sum, .. }) => {
            object.number("accounts", accounts).text("sum", sum).flag("done", clearing.is_done())
        }
        None => object,
    }
}

/// Adds what an account holds.
pub(super) fn holds(object: Object, Figures { balance, subsidy, uses }: Figures) -> Object {
    object.text("balance", balance).text("subsidy", subsidy).number("uses", uses)
}
