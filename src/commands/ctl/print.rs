//! Prints the server's answers as text and tables.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use posgate::desk::json::{Object, Value};
use posgate::desk::table::{Table, padded, printable};
use posgate::engine::limits::FOUND_MAX;
use posgate::engine::model::{CardStatus, Entry};
use posgate::files::cards::number::form_words;
use posgate::files::cards::paste::Paste;
use posgate::lang::{Text, tr};
use posgate::ledger::{HeldFiles, line, segment};

use super::Options;

/// Most entries that `card` shows.
const ENTRIES_MAX: usize = 10;

fn text(row: &Value, key: &str) -> String {
    match row.get(key) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Number(digits)) => digits.clone(),
        Some(Value::Flag(flag)) => if *flag { "yes" } else { "no" }.to_owned(),
        _ => String::new(),
    }
}

/// Prints the result of an order.
pub(super) fn done(name: &str, options: &Options, answer: &Value) {
    let account = options.value("account").into_iter();
    let operands: Vec<&str> = account.chain(options.operands.iter().map(String::as_str)).collect();
    let operands = operands.join(" ");
    let name = if options.has("clear") { tr("subsidy --clear", "补贴清零") } else { name };
    let (done, holds) = if answer.is("again") {
        (tr("was done before", "以前做过"), tr("held then", "当时有"))
    } else {
        (tr("done", "完成"), tr("holds", "现有"))
    };
    let account = answer
        .text("account")
        .map(|account| tr!("; account {account} {holds} {}", "；账户 {account} {holds} {}", held(answer)));
    let undone = undone(answer);
    let holder = answer.text("name").map(|holder| tr!("; {}", "；{}", printable(holder))).unwrap_or_default();
    let unchanged = match name {
        _ if !answer.is("unchanged") => "",
        _ if options.has("clear") => tr("; nothing changed: the purse was empty", "；没有变化：补贴钱包本来就是空的"),
        "found" => tr("; nothing changed: the card was not lost", "；没有变化：这张卡没有挂失"),
        "unfreeze" => tr("; nothing changed: the card was not frozen", "；没有变化：这张卡没有冻结"),
        _ => tr("; nothing changed: the card was so already", "；没有变化：这张卡原来就是这样"),
    };
    say!(
        "{name} {operands}: {done}, entry {}{holder}{undone}{}{unchanged}",
        "{name} {operands}：{done}，流水号 {}{holder}{undone}{}{unchanged}",
        text(answer, "seq"),
        account.unwrap_or_default()
    );
}

/// What an account holds, in words. A purse that was never used is not named.
fn held(answer: &Value) -> String {
    let (balance, subsidy, uses) = (text(answer, "balance"), text(answer, "subsidy"), text(answer, "uses"));
    if matches!(subsidy.as_str(), "" | "0.00") {
        return tr!("{balance} yuan, {uses} uses", "{balance} 元，{uses} 次");
    }
    tr!(
        "{balance} yuan of cash, {subsidy} yuan of subsidy, {uses} uses",
        "现金 {balance} 元，补贴 {subsidy} 元，{uses} 次"
    )
}

/// What a void gave back or took back, and what it could not.
fn undone(answer: &Value) -> String {
    let [cash, subsidy, cleared, rest] =
        ["undone_cash", "undone_subsidy", "cleared", "rest"].map(|key| text(answer, key));
    if cash.is_empty() {
        return String::new();
    }
    // Of a credit the amounts are below zero.
    let is_taken = cash.starts_with('-') || subsidy.starts_with('-');
    let (cash, subsidy) = (cash.trim_start_matches('-'), subsidy.trim_start_matches('-'));
    let mut words = if is_taken {
        tr!("; taken back: {cash} yuan of cash", "；收回现金 {cash} 元")
    } else {
        tr!("; given back: {cash} yuan of cash", "；退回现金 {cash} 元")
    };
    if subsidy != "0.00" {
        words += &tr!(", {subsidy} yuan of subsidy", "，补贴 {subsidy} 元");
    }
    if cleared != "0.00" {
        words += &tr!(
            "; {cleared} yuan of subsidy are not given back: the purse was cleared since",
            "；补贴 {cleared} 元不退：之后已经清零"
        );
    }
    if rest != "0.00" {
        words += &tr!("; {rest} yuan are left to undo", "；还有 {rest} 元没有撤销");
    }
    words
}

// ---------------------------------------------------------------- cards

/// Prints a card and its last entries, if the ledger could be read.
pub(super) fn card(answer: &Value, entries: Option<&[Entry]>) {
    say!("card      {} {}", "卡    {} {}", text(answer, "card"), text(answer, "name"));
    say!("state     {}", "状态  {}", state(answer));
    let marks: Vec<&str> = answer.list("marks").iter().filter_map(as_text).collect();
    if marks.len() > 1 {
        say!(
            "marks     {}: each is ended by its own order",
            "标记  {}：各用各的命令取消",
            marks.join(tr(" and ", "、"))
        );
    }
    if let Some(heir) = answer.text("replaced_by") {
        say!("replaced  by {heir}", "补办  新卡 {heir}");
    }
    let account =
        answer.text("account").unwrap_or(tr("none: nobody ever used this card", "没有：这张卡从来没有人用过"));
    say!("account   {account}", "账户  {account}");
    say!("holds     {}", "余额  {}", held(answer));
    if let Some(named) = answer.text("ignored_account") {
        say!(
            "ignored   account {named} of the card table: `account` moves the card there, `rename` renames its account",
            "忽略  卡表里的账户 {named}：`account` 把卡放过去，`rename` 给它的账户换名"
        );
    }
    let limits = [
        ("valid_from", tr("from ", "从 ")),
        ("valid_until", tr("until ", "到 ")),
        ("charge_max", tr("a sale at most ", "单笔限额 ")),
        ("day_max", tr("a day at most ", "当日限额 ")),
        ("credit", tr("credit ", "透支额度 ")),
    ];
    let has = |key: &&(&str, &str)| answer.text(key.0).is_some_and(|value| value != "0.00");
    let limits: Vec<String> =
        limits.iter().filter(has).map(|(key, words)| format!("{words}{}", text(answer, key))).collect();
    if !limits.is_empty() {
        say!("terms     {}", "规定  {}", limits.join(", "));
    }
    for doubt in answer.list("in_doubt") {
        say!(
            "in doubt  sale {} of {}: no 109 came",
            "存疑  消费 {}（{}）：没有收到 109",
            text(doubt, "seq"),
            text(doubt, "asked")
        );
    }
    match entries {
        Some([]) => say!("entries   none in the ledger's files", "流水  账本文件里没有"),
        Some(entries) => print_entries(entries),
        None => (),
    }
}

/// The card's effective state and its cause.
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
        (Some("unknown-card"), _) => {
            tr("; refused: the card is not in the table", "；拒绝：卡表里没有这张卡").to_owned()
        }
        (Some(reason), true) => tr!("; refused: {reason}", "；拒绝：{reason}"),
        (Some(_), false) if table == ledger => {
            tr("; the table and the ledger say so", "；卡表和账本都这样写").to_owned()
        }
        (Some(_), false) if table == state => tr("; the card table says so", "；卡表这样写").to_owned(),
        (Some(_), false) => tr("; an order says so", "；柜台办的").to_owned(),
    };
    format!("{state} {chinese}{why}")
}

fn print_entries(entries: &[Entry]) {
    let mut table = Table::of([
        Text::new("seq", "流水号"),
        Text::new("time", "时间"),
        Text::new("kind", "类型"),
        Text::new("machine", "机号"),
        Text::new("amount", "金额"),
        Text::new("subsidy", "补贴"),
        Text::new("uses", "次数"),
        Text::new("balance", "余额"),
        Text::new("subsidy left", "补贴余额"),
        Text::new("left", "余次"),
        Text::new("ref", "关联"),
        Text::new("detail", "详情"),
    ]);
    for entry in entries {
        let or_empty = |value: Option<String>| value.unwrap_or_default();
        table.row([
            entry.seq.to_string(),
            entry.time.civil().to_string(),
            entry.kind.word().to_owned(),
            or_empty(entry.machine.map(|machine| machine.to_string())),
            or_empty(entry.amount.map(|amount| amount.to_string())),
            or_empty(entry.subsidy.map(|subsidy| subsidy.to_string())),
            or_empty(entry.uses.map(|uses| uses.to_string())),
            or_empty(entry.balance.map(|balance| balance.to_string())),
            or_empty(entry.subsidy_left.map(|left| left.to_string())),
            or_empty(entry.uses_left.map(|uses| uses.to_string())),
            or_empty(entry.about.map(|about| about.to_string())),
            entry.detail.as_str().to_owned(),
        ]);
    }
    say!("{table}");
}

/// The last entries of a card and its account, the oldest first, read from the ledger's files.
pub(super) fn last_entries(dir: &Path, answer: &Value) -> io::Result<Vec<Entry>> {
    let (card, account) = (text(answer, "card"), answer.text("account").map(str::to_owned));
    let files = HeldFiles::of_dir(dir)?;
    let mut found: VecDeque<Entry> = VecDeque::new();
    for segment in segment::list(&files)?.into_iter().rev() {
        let mut own: VecDeque<Entry> = VecDeque::new();
        let mut lines = segment::Lines::new(&files, &segment.name, None);
        while let Some(line) = lines.read()? {
            let is_own = line::columns(line.text).is_ok_and(|columns| {
                columns[7] == card.as_bytes()
                    || account.as_ref().is_some_and(|account| columns[8] == account.as_bytes())
            });
            if is_own
                && line.ended
                && let Ok(parsed) = line::parse(line.text)
            {
                own.push_back(parsed.entry);
                if own.len() > ENTRIES_MAX {
                    own.pop_front();
                }
            }
        }
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
        object = object.raw(key, value);
    }
    let Some(entries) = entries else { return object.end() };
    let entries = entries.iter().map(|entry| {
        Object::new()
            .number("seq", entry.seq)
            .text("time", entry.time)
            .text("kind", entry.kind.word())
            .text_if("machine", entry.machine)
            .text_if("amount", entry.amount)
            .text_if("subsidy", entry.subsidy)
            .number_if("uses", entry.uses)
            .text_if("balance", entry.balance)
            .text_if("subsidy_left", entry.subsidy_left)
            .number_if("uses_left", entry.uses_left)
            .number_if("ref", entry.about)
            .text("detail", entry.detail.as_str())
            .end()
    });
    object.list("entries", entries).end()
}

/// A list of cards.
pub(super) fn cards(rows: &[Value]) {
    let mut table = Table::of([
        Text::new("card", "卡号"),
        Text::new("account", "账户"),
        Text::new("name", "姓名"),
        Text::new("state", "状态"),
        Text::new("balance", "余额"),
        Text::new("subsidy", "补贴"),
        Text::new("uses", "次数"),
    ]);
    for row in rows {
        table.row(["card", "account", "name", "state", "balance", "subsidy", "uses"].map(|key| text(row, key)));
    }
    say!("{table}");
}

/// The form of the card table into which unknown cards are pasted.
pub(super) fn paste(answer: &Value) -> Paste {
    let headings: Vec<String> = answer.list("headings").iter().filter_map(as_text).map(str::to_owned).collect();
    let delimiter = answer.text("delimiter").and_then(|text| text.chars().next());
    Paste::new(&headings, delimiter.unwrap_or(','))
}

/// Unknown cards as rows of the card table in service; when and where they were seen goes to
/// stderr, and into a column of the operator's own if the table has one.
pub(super) fn unknown(paste: Option<&Paste>, rows: &[Value]) {
    let Some(paste) = paste else { return };
    say!("{}", paste.header());
    for row in rows {
        let [card, machine, at, count] = ["card", "machine", "at", "count"].map(|key| text(row, key));
        let known = row.text("known").filter(|known| !known.is_empty());
        let form = text(row, "form");
        let known = known.map(|known| {
            tr!("; perhaps card {known} of the table, {}", "；也许是卡表里的 {known}：{}", form_words(&form))
        });
        let known = known.unwrap_or_default();
        let known = tr!("machine {machine}, {at}, {count} times{known}", "机号 {machine}，{at}，{count} 次{known}");
        say!("{}", paste.row(&card, &known));
        complain!("{card}: {known}");
    }
}

// ---------------------------------------------------------------- devices

/// A list of devices.
pub(super) fn devices(rows: &[Value]) {
    let titles = [
        Text::new("machine", "机号"),
        Text::new("name", "名称"),
        Text::new("serial", "硬件号"),
        Text::new("address", "地址"),
        Text::new("seen", "上次收到"),
        Text::new("clock", "时钟"),
        Text::new("109", "109"),
        Text::new("in doubt", "存疑"),
        Text::new("frames", "报文"),
        Text::new("approved", "批准"),
        Text::new("refused", "拒绝"),
    ];
    let mut table = Table::of(titles);
    for row in rows {
        let is_registered = row.is("registered");
        let name =
            row.text("name").map_or(if is_registered { "" } else { tr("(not registered)", "（未登记）") }, |name| name);
        table.row([
            text(row, "machine"),
            name.to_owned(),
            text(row, "serial"),
            text(row, "address"),
            row.number::<u64>("seen_s").map_or(tr("not since the start", "启动以来没有").to_owned(), ago),
            row.number::<i64>("clock_offset_s").map(|ahead| format!("{ahead:+} s")).unwrap_or_default(),
            text(row, "state"),
            text(row, "in_doubt"),
            text(row, "frames"),
            text(row, "approved"),
            text(row, "refused"),
        ]);
    }
    say!("{table}");
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => tr!("{seconds} s ago", "{seconds} 秒前"),
        120..=7199 => tr!("{} min ago", "{} 分钟前", seconds / 60),
        7200..=172_799 => tr!("{} h ago", "{} 小时前", seconds / 3600),
        _ => tr!("{} days ago", "{} 天前", seconds / 86_400),
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

/// Prints the devices that answered a 000, and the number of answers that did not fit.
pub(super) fn found(asked: &Value, rows: &[Value], left_out: Option<u64>) {
    say!(
        "asked {} networks, {} devices answered",
        "问了 {} 个网络，{} 台设备应答",
        text(asked, "networks"),
        rows.len()
    );
    if let Some(left_out) = left_out {
        say!(
            "{left_out} more answers were left out: {FOUND_MAX} devices fit, registered ones first",
            "另有 {left_out} 个应答没有列出：只放得下 {FOUND_MAX} 台设备，登记过的在前"
        );
    }
    if rows.is_empty() {
        return;
    }
    let mut table = Table::of([
        Text::new("machine", "机号"),
        Text::new("serial", "硬件号"),
        Text::new("address", "地址"),
        Text::new("mask", "掩码"),
        Text::new("gateway", "网关"),
        Text::new("server", "服务器"),
        Text::new("port", "端口"),
        Text::NONE,
    ]);
    for row in rows {
        let mut marks = Vec::new();
        if !row.is("host_is_ours") {
            marks.push(tr("its server is not this machine", "它连的服务器不是本机").to_owned());
        }
        if row.text("source") != row.text("address") {
            marks.push(tr!("answered from {}", "从 {} 应答", text(row, "source")));
        }
        for what in row.list("twice") {
            if let Value::Text(what) = what {
                marks.push(tr!("{what} used twice", "{what} 重复"));
            }
        }
        let [machine, serial, address, mask, gateway, host, port] =
            ["machine", "serial", "address", "mask", "gateway", "host", "port"].map(|key| text(row, key));
        table.row([machine, serial, address, mask, gateway, host, port, marks.join("; ")]);
    }
    say!("{table}");
}

/// Prints the number of devices whose clock was set.
pub(super) fn told(answer: &Value) {
    let told = text(answer, "told");
    let devices = if told == "1" { "device" } else { "devices" };
    say!("clock set on {told} {devices}", "已给 {told} 台设备校时");
}

// ---------------------------------------------------------------- server

/// Prints whether the clock is believed now.
pub(super) fn clock_accepted(answer: &Value) {
    let why = if answer.text("clock") == Some("ok") {
        tr("believed from now on", "从现在起可信")
    } else {
        tr(
            "still not believed: it is behind the program, or never was synchronized",
            "仍不可信：比程序编译日还早，或者从未对时",
        )
    };
    say!("clock {}: {why}; entry {}", "时钟 {}：{why}；流水号 {}", text(answer, "now"), text(answer, "seq"));
}

/// An office that is forgotten.
pub(super) fn forgotten(answer: &Value) {
    say!("{} is forgotten", "不再记 {} 了", text(answer, "office"));
}

/// Prints the result of `acknowledge` or `branch`.
pub(super) fn of_ledger(answer: &Value) {
    let seq = text(answer, "seq");
    match answer.text("ledger") {
        Some(ledger) => say!(
            "the ledger goes on as {ledger}, from {}; entry {seq}",
            "账本以 {ledger} 接着记，从 {} 起；流水号 {seq}",
            text(answer, "parent")
        ),
        None => say!(
            "acknowledged: entries {} are gone; entry {seq}",
            "已确认：流水 {} 没有了；流水号 {seq}",
            text(answer, "rolled_back")
        ),
    }
}

/// Prints the last durable entry.
pub(super) fn synced(answer: &Value) {
    say!("durable up to entry {}", "已落盘到流水号 {}", text(answer, "seq"));
}

/// Prints the changes of a reload.
pub(super) fn reloaded(answer: &Value) {
    say!(
        "{} cards: {} new, {} gone, {} changed",
        "{} 张卡：新增 {}，去掉 {}，改动 {}",
        text(answer, "cards"),
        text(answer, "new"),
        text(answer, "gone"),
        text(answer, "changed")
    );
    if answer.is("unchanged") {
        say!("  both files are those in service: no entry was written", "  两个文件都是在用的：没有记流水");
    }
    let lists = [
        ("new_cards", "new", "new"),
        ("gone_cards", "gone", "gone"),
        ("changed_cards", "changed", "changed"),
        (
            "ignored_cards",
            "elsewhere",
            tr(
                "on other accounts by the ledger, which stand; `account`, `rename` and `reissue` change them",
                "账本里属于别的账户，以账本为准；用 `account`、`rename`、`reissue` 改",
            ),
        ),
        (
            "ignored_accounts",
            "ignored_figures",
            tr(
                "opened already, so the ledger's balance and uses stand, not the table's",
                "已经开户，以账本的余额和次数为准，不看卡表",
            ),
        ),
        ("at_next_start", "", tr("takes effect at the next start", "重启才生效")),
    ];
    for (list, count, words) in lists {
        let rows: Vec<&str> = answer.list(list).iter().filter_map(as_text).collect();
        let more = answer.number::<usize>(count).map_or(0, |count| count.saturating_sub(rows.len()));
        if !rows.is_empty() {
            let more = if more > 0 { tr!(" and {more} more", " 还有 {more} 个") } else { String::new() };
            say!("  {words}: {}{more}", rows.join(" "));
        }
    }
    for warning in answer.list("warnings").iter().filter_map(as_text) {
        complain!("warning: {warning}", "警告：{warning}");
    }
}

fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Prints the status object, one value per line.
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
        Value::Text(text) => say!("{} {text}", padded(path, 32)),
        other => say!("{} {other}", padded(path, 32)),
    }
}
