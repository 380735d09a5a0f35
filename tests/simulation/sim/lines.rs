//! What people at the desk say and hear: lines of the control socket, written by code of its own
//! and read into what they mean.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use posgate::desk::control::{self, ControlReply, Host};
use posgate::desk::json::{self, Value};
use posgate::engine::limits::CONTROL_LINE_MAX;
use posgate::engine::model::{Act, Key, Mark, Now, Order, Subject, Way};
use posgate::ledger::Storage;
use posgate::turn::Service;

use super::judge::fen;
use super::purses::Purses;

/// What was answered to a line.
#[derive(Clone, Debug)]
pub struct Said {
    /// `done`, `again` or the reason of a refusal; `asked` if it was a question, or an order that
    /// would be done.
    pub word: String,
    /// The entry.
    pub seq: u64,
    /// The account that moved, and what it holds.
    pub account: Option<(String, Purses)>,
    pub value: Value,
}

/// The word for what cannot be read as an order.
pub const UNREAD: &str = "unread";

/// An order's command.
pub fn command(act: &Act) -> &'static str {
    match act {
        Act::Move { way: Way::TopUp, .. } => "topup",
        Act::Move { way: Way::Subsidy, .. } | Act::Clear { .. } | Act::ClearAll => "subsidy",
        Act::Move { way: Way::PayOut, .. } => "payout",
        Act::Move { way: Way::Adjust, .. } | Act::Settle { .. } => "adjust",
        Act::Void { .. } => "void",
        Act::Mark { mark: Mark::Lost, .. } => "lost",
        Act::Mark { mark: Mark::Found, .. } => "found",
        Act::Mark { mark: Mark::Frozen, .. } => "freeze",
        Act::Mark { mark: Mark::Unfrozen, .. } => "unfreeze",
        Act::Mark { mark: Mark::Closed, .. } => "close",
        Act::Link { .. } => "replace",
        Act::Account { .. } => "account",
        Act::Rename { .. } => "rename",
        Act::Reissue { .. } => "reissue",
        Act::Open { .. } => "open",
    }
}

/// The member that names whose account an order moves.
fn named(subject: &Subject) -> String {
    match subject {
        Subject::Card(card) => format!("\"card\":\"{card}\""),
        Subject::Account(account) => format!("\"account\":\"{account}\""),
    }
}

/// An order as a line.
pub fn line_of(order: &Order, cmd: &str, is_all: bool, is_dry: bool) -> String {
    let Order { act, key, by, note, .. } = order;
    let what = match act {
        Act::Move { subject, .. } if is_all => format!("{},\"amount\":\"all\"", named(subject)),
        Act::Clear { subject } => format!("{},\"clear\":true", named(subject)),
        Act::ClearAll => "\"clear\":true,\"all\":true".to_owned(),
        Act::Move { subject, amount, uses, .. } => {
            format!("{},\"amount\":\"{amount}\",\"uses\":{uses}", named(subject))
        }
        Act::Void { sale, amount: None, .. } => format!("\"seq\":{}", sale.0),
        Act::Void { sale, amount: Some(amount), .. } => format!("\"seq\":{},\"amount\":\"{amount}\"", sale.0),
        Act::Mark { card, .. } => format!("\"card\":\"{card}\""),
        Act::Link { old, new } => format!("\"old\":\"{old}\",\"new\":\"{new}\""),
        Act::Settle { claim, card, amount, uses } => {
            format!("\"card\":\"{card}\",\"amount\":\"{amount}\",\"uses\":{uses},\"about\":{}", claim.0)
        }
        Act::Account { card, account } => format!("\"card\":\"{card}\",\"account\":\"{account}\""),
        Act::Rename { old, new } => format!("\"old\":\"{old}\",\"new\":\"{new}\""),
        Act::Reissue { card } => format!("\"card\":\"{card}\""),
        Act::Open { machine, door } => format!("\"machine\":\"{machine}\",\"door\":\"{door}\""),
    };
    let key = match key {
        Key::Own(key) => format!("\"key\":\"{}\"", key.as_str()),
        Key::For { name, nth: 1 } => format!("\"for\":\"{}\"", name.as_str()),
        Key::For { name, nth } => format!("\"for\":\"{}\",\"nth\":{nth}", name.as_str()),
    };
    let dry = if is_dry { ",\"dry\":true" } else { "" };
    format!("{{\"cmd\":\"{cmd}\",{what},{key},\"by\":\"{}\",\"note\":{}{dry}}}", by.as_str(), quoted(note.as_str()))
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Says a line, and hears the answer that will leave when the turn is over.
pub fn say<S: Storage>(service: &mut Service<S>, now: &Now, line: &str) -> io::Result<Said> {
    super::tell(|| format!("desk says {line}"));
    let answer = control::answer(service, now, &mut Router, line.as_bytes())?;
    let text = match answer.reply {
        ControlReply::Line(text) | ControlReply::Stream { line: text, .. } => text,
        // The loop's own.
        ControlReply::Deferred(_) | ControlReply::Wait { .. } => "{\"ok\":true}".to_owned(),
    };
    super::tell(|| format!("desk hears {text}"));
    assert!(text.len() <= CONTROL_LINE_MAX && !text.contains('\n'), "one line: {text}");
    Ok(read(&text))
}

fn read(text: &str) -> Said {
    let value = json::parse(text).unwrap_or_else(|wrong| panic!("{wrong}: {text}"));
    let refusal = value.text("reason").unwrap_or(UNREAD);
    let word = match (value.is("ok"), value.get("again")) {
        (false, _) => refusal,
        (true, _) if value.is("dry") => "asked",
        (true, _) if value.is("again") => "again",
        (true, Some(_)) => "done",
        (true, None) => "asked",
    };
    let seq = value.number("seq").unwrap_or(0);
    let account =
        value.text("account").filter(|_| value.is("ok")).and_then(|account| Some((account.to_owned(), holds(&value)?)));
    Said { word: word.to_owned(), seq, account, value }
}

/// What an answer says that an account holds.
pub fn holds(value: &Value) -> Option<Purses> {
    let (cash, subsidy) = (fen(value.text("balance")?), fen(value.text("subsidy")?));
    Some(Purses { cash, subsidy, uses: value.number("uses")? })
}

/// The machine, as far as lines ask for it.
struct Router;

impl Host for Router {
    fn addresses(&self) -> Vec<Ipv4Addr> {
        vec![Ipv4Addr::new(192, 168, 1, 2)]
    }

    fn discover(&mut self, _: u16) -> Result<usize, String> {
        Ok(1)
    }

    fn ledger_dir(&self) -> &Path {
        Path::new("ledger")
    }
}

/// Whose account an order names, as the model's texts have it: a card's digits, or the account.
pub fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Card(card) => card.value().to_string(),
        Subject::Account(account) => format!("of {account}"),
    }
}
