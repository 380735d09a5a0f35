//! Answers for people: tables whose columns stand below each other, Chinese names included.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use posgate::desk::audit::layout::{printable, width};
use posgate::desk::control::json::{Object, Value};
use posgate::engine::limits::FOUND_MAX;
use posgate::engine::model::{CardStatus, Entry};
use posgate::files::cards::paste::Paste;
use posgate::ledger::show::for_each_entry;
use posgate::ledger::{HeldFiles, line, segment};

use super::Options;

/// Entries that `card` shows.
const ENTRIES_MAX: usize = 10;

/// A table: titles, and rows of as many cells.
struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    fn new(titles: [&str; N]) -> Self {
        Self { rows: vec![titles.map(str::to_owned)] }
    }

    fn push(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)));
    }

    fn print(&self) {
        let width_of = |column: usize| self.rows.iter().map(|row| width(&row[column])).max().unwrap_or_default();
        let widths: [usize; N] = core::array::from_fn(width_of);
        for row in &self.rows {
            let cells = row.iter().zip(widths).map(|(cell, wide)| format!("{cell}{}", " ".repeat(wide - width(cell))));
            say!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}

fn text(row: &Value, key: &str) -> String {
    match row.get(key) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Number(digits)) => digits.clone(),
        Some(Value::Flag(flag)) => if *flag { "yes" } else { "no" }.to_owned(),
        _ => String::new(),
    }
}

/// What an order came to.
pub(super) fn done(name: &str, options: &Options, answer: &Value) {
    let operands = options.operands.join(" ");
    let (done, holds) = if answer.is("again") { ("was done before", "held then") } else { ("done", "holds") };
    let account = answer.text("account").map(|account| {
        let (balance, uses) = (text(answer, "balance"), text(answer, "uses"));
        format!("; account {account} {holds} {balance} yuan, {uses} uses")
    });
    let holder = answer.text("name").map(|holder| format!("; {}", printable(holder))).unwrap_or_default();
    say!("{name} {operands}: {done}, entry {}{holder}{}", text(answer, "seq"), account.unwrap_or_default());
}

// ---------------------------------------------------------------- cards

/// A card and its last entries, if the ledger could be read.
pub(super) fn card(answer: &Value, entries: Option<&[Entry]>) {
    say!("card      {} {}", text(answer, "card"), text(answer, "name"));
    say!("state     {}", state(answer));
    let marks: Vec<&str> = answer.list("marks").iter().filter_map(as_text).collect();
    if marks.len() > 1 {
        say!("marks     {}: each is ended by its own order", marks.join(" and "));
    }
    if let Some(heir) = answer.text("replaced_by") {
        say!("replaced  by {heir}");
    }
    let account = answer.text("account").unwrap_or("none: nobody ever used this card");
    say!("account   {account}");
    say!("holds     {} yuan, {} uses", text(answer, "balance"), text(answer, "uses"));
    if let Some(named) = answer.text("ignored_account") {
        say!(
            "ignored   account {named} of the card table: `account` moves the card there, `rename` renames its account"
        );
    }
    let limits = [
        ("valid_from", "from "),
        ("valid_until", "until "),
        ("charge_max", "a sale at most "),
        ("day_max", "a day at most "),
        ("credit", "credit "),
    ];
    let has = |key: &&(&str, &str)| answer.text(key.0).is_some_and(|value| value != "0.00");
    let limits: Vec<String> =
        limits.iter().filter(has).map(|(key, words)| format!("{words}{}", text(answer, key))).collect();
    if !limits.is_empty() {
        say!("terms     {}", limits.join(", "));
    }
    for doubt in answer.list("in_doubt") {
        say!("in doubt  sale {} of {}: no 109 came", text(doubt, "seq"), text(doubt, "asked"));
    }
    match entries {
        Some([]) => say!("entries   none in the ledger's files"),
        Some(entries) => print_entries(entries),
        None => (),
    }
}

/// The effective state, and why.
fn state(answer: &Value) -> String {
    let (state, table, ledger) = (text(answer, "state"), text(answer, "table"), text(answer, "ledger"));
    let chinese = match CardStatus::from_word(&state) {
        Some(CardStatus::Active) => "正常",
        Some(CardStatus::Frozen) => "冻结",
        Some(CardStatus::Lost) => "挂失",
        Some(CardStatus::Closed) => "注销",
        None => "",
    };
    let is_active = state == "active";
    let why = match (answer.text("reason"), is_active) {
        (None, _) => String::new(),
        (Some("unknown-card"), _) => "; refused: the card is not in the table".to_owned(),
        (Some(reason), true) => format!("; refused: {reason}"),
        (Some(_), false) if table == ledger => "; the table and the ledger say so".to_owned(),
        (Some(_), false) if table == state => "; the card table says so".to_owned(),
        (Some(_), false) => "; an order says so".to_owned(),
    };
    format!("{state} {chinese}{why}")
}

fn print_entries(entries: &[Entry]) {
    let mut table =
        Table::new(["seq", "time", "kind", "machine", "amount", "uses", "balance", "left", "ref", "detail"]);
    for entry in entries {
        let or_empty = |value: Option<String>| value.unwrap_or_default();
        table.push([
            entry.seq.to_string(),
            entry.time.civil().to_string(),
            entry.kind.word().to_owned(),
            or_empty(entry.machine.map(|machine| machine.to_string())),
            or_empty(entry.amount.map(|amount| amount.to_string())),
            or_empty(entry.uses.map(|uses| uses.to_string())),
            or_empty(entry.balance.map(|balance| balance.to_string())),
            or_empty(entry.uses_left.map(|uses| uses.to_string())),
            or_empty(entry.about.map(|about| about.to_string())),
            entry.detail.as_str().to_owned(),
        ]);
    }
    table.print();
}

/// The last entries of a card and of its account, the oldest first, from the ledger's files: the newest segment first.
pub(super) fn last_entries(dir: &Path, answer: &Value) -> io::Result<Vec<Entry>> {
    let (card, account) = (text(answer, "card"), answer.text("account").map(str::to_owned));
    let files = HeldFiles::of_dir(dir)?;
    let mut found: VecDeque<Entry> = VecDeque::new();
    for segment in segment::list(&files)?.into_iter().rev() {
        let mut own: VecDeque<Entry> = VecDeque::new();
        for_each_entry(&files, &[segment.name], &mut |read| {
            let columns = line::columns(read.text);
            let is_own = columns.is_ok_and(|columns| {
                columns[7] == card.as_bytes()
                    || account.as_ref().is_some_and(|account| columns[8] == account.as_bytes())
            });
            if let Some(parsed) = read.parsed.ok().filter(|_| is_own) {
                own.push_back(parsed.entry);
                if own.len() > ENTRIES_MAX {
                    own.pop_front();
                }
            }
            Ok(())
        })?;
        while let Some(entry) = own.pop_back().filter(|_| found.len() < ENTRIES_MAX) {
            found.push_front(entry);
        }
        if found.len() == ENTRIES_MAX {
            break;
        }
    }
    Ok(found.into())
}

/// The answer with its entries, for programs.
pub(super) fn with_entries(answer: &Value, entries: Option<&[Entry]>) -> String {
    let Value::Object(members) = answer else { return answer.to_string() };
    let mut object = Object::new();
    for (key, value) in members {
        object = object.raw(key, &value.to_string());
    }
    let Some(entries) = entries else { return object.end() };
    let entries = entries.iter().map(|entry| {
        Object::new()
            .number("seq", entry.seq.0)
            .text("time", entry.time)
            .text("kind", entry.kind.word())
            .text_if("machine", entry.machine)
            .text_if("amount", entry.amount)
            .text_if("subsidy", entry.subsidy)
            .number_if("uses", entry.uses)
            .text_if("balance", entry.balance)
            .text_if("subsidy_left", entry.subsidy_left)
            .number_if("uses_left", entry.uses_left)
            .number_if("ref", entry.about.map(|about| about.0))
            .text("detail", entry.detail.as_str())
            .end()
    });
    object.list("entries", entries).end()
}

/// A list of cards.
pub(super) fn cards(rows: &[Value]) {
    let mut table = Table::new(["card", "account", "name", "state", "balance", "uses"]);
    for row in rows {
        table.push(["card", "account", "name", "state", "balance", "uses"].map(|key| text(row, key)));
    }
    table.print();
}

/// The table that unknown cards are to be pasted into.
pub(super) fn paste(answer: &Value) -> Paste {
    let headings: Vec<String> = answer.list("headings").iter().filter_map(as_text).map(str::to_owned).collect();
    let delimiter = answer.text("delimiter").and_then(|text| text.chars().next());
    Paste::new(&headings, delimiter.unwrap_or(','))
}

/// Unknown cards as rows of the card table in service; when and where they were seen goes to stderr, and into a column of the operator's own if
/// the table has one.
pub(super) fn unknown(paste: Option<&Paste>, rows: &[Value]) {
    let Some(paste) = paste else { return };
    say!("{}", paste.header());
    for row in rows {
        let [card, machine, at, count] = ["card", "machine", "at", "count"].map(|key| text(row, key));
        let known = row.text("known").filter(|known| !known.is_empty());
        let known = known.map(|known| format!("; perhaps card {known} of the table, {}", text(row, "form")));
        let known = format!("machine {machine}, {at}, {count} times{}", known.unwrap_or_default());
        say!("{}", paste.row(&card, &known));
        complain!("{card}: {known}");
    }
}

// ---------------------------------------------------------------- devices

/// A list of devices.
pub(super) fn devices(rows: &[Value]) {
    let titles =
        ["machine", "name", "serial", "address", "seen", "clock", "109", "in doubt", "frames", "approved", "refused"];
    let mut table = Table::new(titles);
    for row in rows {
        let is_registered = row.is("registered");
        let name = row.text("name").map_or(if is_registered { "" } else { "(not registered)" }, |name| name);
        table.push([
            text(row, "machine"),
            name.to_owned(),
            text(row, "serial"),
            text(row, "address"),
            row.number::<u64>("seen_s").map_or("not since the start".to_owned(), ago),
            row.number::<i64>("clock_offset_s").map(|ahead| format!("{ahead:+} s")).unwrap_or_default(),
            text(row, "state"),
            text(row, "in_doubt"),
            text(row, "frames"),
            text(row, "approved"),
            text(row, "refused"),
        ]);
    }
    table.print();
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Sections of the configuration for all devices that were seen.
pub(super) fn uci(rows: &[Value]) {
    for row in rows.iter().filter(|row| row.text("address").is_some()) {
        say!("config device");
        for key in ["machine", "name", "serial", "address", "kind"] {
            if let Some(value) = row.text(key).filter(|value| !value.is_empty()) {
                say!("\toption {key} '{}'", quoted(value));
            }
        }
        for (list, key) in [("places", "place"), ("groups", "group")] {
            for value in row.list(list).iter().filter_map(as_text) {
                say!("\tlist {key} '{}'", quoted(value));
            }
        }
        if row.is("lists_left_out") {
            say!(
                "\t# and list place, list group: copy them from the configuration, they are too many for a line of the socket"
            );
        }
        say!("");
    }
}

/// UCI's quoting of a quote.
fn quoted(value: &str) -> String {
    value.replace('\'', "'\\''")
}

/// Who answered a 000, and how many answers found no place.
pub(super) fn found(asked: &Value, rows: &[Value], left_out: Option<u64>) {
    say!("asked {} networks, {} devices answered", text(asked, "networks"), rows.len());
    if let Some(left_out) = left_out {
        say!("{left_out} more answers were left out: {FOUND_MAX} devices fit, registered ones first");
    }
    if rows.is_empty() {
        return;
    }
    let mut table = Table::new(["machine", "serial", "address", "mask", "gateway", "server", "port", ""]);
    for row in rows {
        let mut marks = Vec::new();
        if !row.is("host_is_ours") {
            marks.push("its server is not this machine".to_owned());
        }
        if row.text("source") != row.text("address") {
            marks.push(format!("answered from {}", text(row, "source")));
        }
        for what in row.list("twice") {
            if let Value::Text(what) = what {
                marks.push(format!("{what} used twice"));
            }
        }
        let [machine, serial, address, mask, gateway, host, port] =
            ["machine", "serial", "address", "mask", "gateway", "host", "port"].map(|key| text(row, key));
        table.push([machine, serial, address, mask, gateway, host, port, marks.join("; ")]);
    }
    table.print();
}

/// How many devices were told the time.
pub(super) fn told(answer: &Value) {
    let told = text(answer, "told");
    say!("clock set on {told} {}", if told == "1" { "device" } else { "devices" });
}

// ---------------------------------------------------------------- server

/// Whether the clock is believed now.
pub(super) fn clock_accepted(answer: &Value) {
    let why = if answer.text("clock") == Some("ok") {
        "believed from now on"
    } else {
        "still not believed: it is behind the program, or never was synchronized"
    };
    say!("clock {}: {why}; entry {}", text(answer, "now"), text(answer, "seq"));
}

/// What `acknowledge` and `branch` did.
pub(super) fn of_ledger(answer: &Value) {
    let seq = text(answer, "seq");
    match answer.text("ledger") {
        Some(ledger) => say!("the ledger goes on as {ledger}, from {}; entry {seq}", text(answer, "parent")),
        None => say!("acknowledged: entries {} are gone; entry {seq}", text(answer, "rolled_back")),
    }
}

/// Up to where everything is durable.
pub(super) fn synced(answer: &Value) {
    say!("durable up to entry {}", text(answer, "seq"));
}

/// What a reload changed.
pub(super) fn reloaded(answer: &Value) {
    say!(
        "{} cards: {} new, {} gone, {} changed",
        text(answer, "cards"),
        text(answer, "new"),
        text(answer, "gone"),
        text(answer, "changed")
    );
    if answer.is("unchanged") {
        say!("  both files are those in service: no entry was written");
    }
    let lists = [
        ("new_cards", "new", "new"),
        ("gone_cards", "gone", "gone"),
        ("changed_cards", "changed", "changed"),
        (
            "ignored_cards",
            "elsewhere",
            "on other accounts by the ledger, which stand; `account`, `rename` and `reissue` change them",
        ),
        (
            "ignored_accounts",
            "ignored_figures",
            "opened already, so the ledger's balance and uses stand, not the table's",
        ),
        ("at_next_start", "", "takes effect at the next start"),
    ];
    for (list, count, words) in lists {
        let rows: Vec<&str> = answer.list(list).iter().filter_map(as_text).collect();
        let more = answer.number::<usize>(count).map_or(0, |count| count.saturating_sub(rows.len()));
        if !rows.is_empty() {
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            say!("  {words}: {}{more}", rows.join(" "));
        }
    }
    for warning in answer.list("warnings").iter().filter_map(as_text) {
        complain!("warning: {warning}");
    }
}

fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// The status object, a line a value.
pub(super) fn status(answer: &Value) {
    if let Value::Object(members) = answer {
        for (key, value) in members.iter().filter(|(key, _)| key != "ok") {
            print_tree(key, value);
        }
    }
}

fn print_tree(path: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                print_tree(&format!("{path}.{key}"), value);
            }
        }
        Value::Text(text) => say!("{path:<32} {text}"),
        other => say!("{path:<32} {other}"),
    }
}
