//! The story as text for one screen, and as JSON.

use std::fmt::{self, Display};

use super::{Candidate, Found, Story, later_ms};
use crate::desk::audit::words;
use crate::desk::json::{Object, string};
use crate::desk::table::{label, printable};
use crate::engine::book::{CLEAR_BEGIN, CLEAR_END};
use crate::engine::model::{Balance, Entry, Figures, Kind};
use crate::lang::tr;

impl Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = Vec::new();
        let mut line = |chinese: &str, english: &str, value: String| {
            lines.push(format!("{}{}", label(chinese, english), printable(&value)));
        };
        let entry = &self.found.entry;
        let (chinese, english) = words::of_kind(entry.kind);
        line("流水", "entry", format!("{}  {chinese} {english}", entry.seq));
        line("站点", "site", format!("{}  ledger={:016x}", self.site, self.ledger));
        if let Some(note) = &self.note {
            line("注意", "note", note.clone());
        }
        if let Some(asked) = &self.asked_about {
            line(
                "所问流水",
                "you asked about",
                tr!("{}, which is about entry {}", "{}，它关联流水 {}", one_line(self, asked), entry.seq),
            );
        }
        line("时间", "time", self.time(entry));
        if let Some(off) = &self.off {
            line("与所问时间", "off by", off.clone());
        }
        line("设备", "device", device(entry));
        line("卡", "card", card(entry));
        line("请求", "asked", asked(entry));
        for words in decided(self) {
            line("判断", "decided", words);
        }
        for words in self.figures() {
            line("余额", "balance", words);
        }
        for told in &self.about {
            line("后续", "then", one_line(self, told));
        }
        if self.more > 0 {
            line("后续", "then", tr!("{} more entries about it", "另有 {} 条关联它的流水", self.more));
        }
        line("回执", "confirmation", self.confirmation());
        for words in self.chain() {
            line("校验", "crc", words);
        }
        line("位置", "stands in", self.found.place.clone());
        if !self.others.is_empty() {
            line("此卡其它记录", "others of this card", String::new());
        }
        for other in &self.others {
            line("", "", candidate(other));
        }
        writeln!(f, "{}", lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n"))
    }
}

impl Story {
    fn time(&self, entry: &Entry) -> String {
        let own = self.calendar.civil(entry.time);
        let doubt = if entry.clock == crate::engine::model::ClockState::Unset {
            tr(" (clock not believed 时钟未校准)", "（时钟不可信）")
        } else {
            ""
        };
        let device =
            entry.device_time.as_ref().map_or(String::new(), |time| tr!("  device 终端 {}", "  终端 {}", time.raw));
        let day = entry.detail.day().map_or(String::new(), |day| tr!("  day 营业日 {day}", "  营业日 {day}"));
        let period = word(entry, "period").map_or(String::new(), |period| format!(" {period}"));
        format!("{own}{doubt}{device}{day}{period}")
    }

    fn figures(&self) -> Vec<String> {
        let entry = &self.found.entry;
        let Some(after) = entry.after() else { return Vec::new() };
        let effect = entry.effect();
        let before = after - effect;
        let sum = format!("{} {:+} = {}", before.balance, Signed(effect.balance), after.balance);
        let mut told = Vec::new();
        if before.subsidy == Balance::ZERO && after.subsidy == Balance::ZERO {
            told.push(sum);
        } else {
            told.push(tr!("cash 现金: {sum}", "现金：{sum}"));
            let sum = format!("{} {:+} = {}", before.subsidy, Signed(effect.subsidy), after.subsidy);
            told.push(tr!("subsidy 补贴: {sum}", "补贴：{sum}"));
        }
        if effect.uses != 0 {
            let sum = format!("{} {:+} = {}", before.uses, effect.uses, after.uses);
            told.push(tr!("uses 次数: {sum}", "次数：{sum}"));
        }
        if let Some(opening) = &self.opening {
            let opened = money(opening.entry.effect());
            told.push(tr!(
                "entry {} opened the account with the table's {opened} 按卡表开户",
                "流水 {} 按卡表的 {opened} 开户",
                opening.entry.seq
            ));
        } else if let Some(before) = &self.before {
            told.push(tr!("before it 上一笔: {}", "上一笔：{}", one_line(self, before)));
        }
        if let Some(left) = word(entry, "left") {
            told.push(tr!(
                "the holder had {left} (cash+subsidy/uses): the account was not opened yet 尚未开户",
                "持卡人当时有 {left}（现金+补贴/次数）：尚未开户"
            ));
        }
        if let Some(now) = self.now.filter(|now| *now != after) {
            let (money, uses) = (money(now), now.uses);
            told.push(tr!("now 现在: {money}, {uses} uses", "现在：{money}，{uses} 次"));
        }
        told
    }

    /// How often the answer was sent again, according to the entries about it.
    fn resent(&self) -> u64 {
        let ends = self.about.iter().filter(|told| matches!(told.entry.kind, Kind::Confirm | Kind::Unconfirmed));
        ends.filter_map(|told| word(&told.entry, "resent")?.parse::<u64>().ok()).sum()
    }

    fn confirmation(&self) -> String {
        let entry = &self.found.entry;
        let again = match self.resent() {
            0 => String::new(),
            1 => tr(", the answer was sent again once 重发 1 次", "，应答重发了 1 次").to_owned(),
            times => tr!(", the answer was sent again {times} times 重发 {times} 次", "，应答重发了 {times} 次"),
        };
        let find = |kind: Kind| self.about.iter().find(|told| told.entry.kind == kind);
        if let Some(confirm) = find(Kind::Confirm) {
            let after = later_ms(entry, &confirm.entry)
                .map_or(String::new(), |ms| tr!(" {}.{:03} s later", "（{}.{:03} 秒后）", ms / 1000, ms % 1000));
            return tr!(
                "the device confirmed (109) in entry {}{after} 终端已确认{again}",
                "终端已确认（109），流水 {}{after}{again}",
                confirm.entry.seq
            );
        }
        if !matches!(entry.kind, Kind::Charge | Kind::Meal | Kind::Scan) {
            let words = match entry.kind {
                Kind::Offline => tr(
                    "none is due: the terminal booked it itself, and got its 011 脱机记账，无需回执",
                    "不需要：终端自己记了账，已收到 011",
                ),
                _ => tr("none is written down for such an entry 此类流水不记回执", "此类流水不记回执"),
            };
            return words.to_owned();
        }
        let settled = [
            (Kind::Matched, tr("a 105 of the same sale 脱机记录已证实", "同一笔的 105，脱机记录已证实")),
            (Kind::Void, tr("a void 已撤销", "已撤销")),
        ];
        for (kind, words) in settled {
            if let Some(told) = find(kind) {
                return tr!(
                    "no 109, but entry {} settles it: {words}{again}",
                    "没有 109，但流水 {} 已了结：{words}{again}",
                    told.entry.seq
                );
            }
        }
        let resent = match find(Kind::Unconfirmed) {
            Some(told) => {
                tr!(
                    "resending ended with entry {}, no 109 came 重发已止，仍无回执{again}",
                    "重发到流水 {} 为止，仍没有 109{again}",
                    told.entry.seq
                )
            }
            None => tr("no 109, and no entry ended the resending 无回执", "没有 109，重发也没有结束").to_owned(),
        };
        let mute = if self.is_confirming {
            ""
        } else {
            tr("; this machine never confirms 此机从不发回执", "；此机从不发回执")
        };
        tr!("IN DOUBT 存疑: {resent}{mute}", "存疑：{resent}{mute}")
    }

    fn chain(&self) -> Vec<String> {
        let told = &self.found;
        let seq = told.entry.seq;
        let holds = told.computed == told.crc;
        let verdict = if holds {
            tr("the chain holds 链完好", "链完好")
        } else {
            tr("THE CHAIN IS BROKEN HERE 链断裂", "这里链断裂")
        };
        let after = self.after.map_or(tr("(the last entry 最后一条)", "（最后一条）").to_owned(), |head| {
            format!("{} {:08x}", head.seq, head.crc)
        });
        vec![format!("{} {:08x} → {seq} {:08x} → {after}  {verdict}", seq.0 - 1, told.chain, told.crc)]
    }

    /// The story as a JSON object.
    pub fn json(&self) -> String {
        let entry = &self.found.entry;
        let after = entry.after();
        let before = after.map(|after| after - entry.effect());
        let cash = |held: Option<Figures>| held.map(|held| held.balance);
        let subsidy = |held: Option<Figures>| held.map(|held| held.subsidy);
        Object::new()
            .text("site", &self.site)
            .text("ledger", format_args!("{:016x}", self.ledger))
            .raw("entry", entry_json(&self.found))
            .raw_or_null("asked_about", self.asked_about.as_ref().map(entry_json))
            .list("decided", decided(self).iter().map(string))
            .text_or_null("balance_before", cash(before))
            .text_or_null("balance_after", cash(after))
            .text_or_null("balance_now", cash(self.now))
            .text_or_null("subsidy_before", subsidy(before))
            .text_or_null("subsidy_after", subsidy(after))
            .text_or_null("subsidy_now", subsidy(self.now))
            .raw_or_null("opened_by", self.opening.as_ref().map(entry_json))
            .list("about", self.about.iter().map(entry_json))
            .text("confirmation", self.confirmation())
            .number("resent", self.resent())
            .flag("chain_holds", self.found.computed == self.found.crc)
            .text("crc_before", format_args!("{:08x}", self.found.chain))
            .text_or_null("crc_after", self.after.map(|head| format!("{:08x}", head.crc)))
            .text_or_null("off", self.off.as_ref())
            .list("others", self.others.iter().map(candidate_json))
            .text_or_null("note", self.note.as_ref())
            .end()
    }
}

/// An amount that prints its sign with `{:+}`.
struct Signed(Balance);

impl Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if f.sign_plus() && self.0 >= Balance::ZERO { "+" } else { "" };
        write!(f, "{sign}{}", self.0)
    }
}

fn word(entry: &Entry, key: &str) -> Option<String> {
    let bytes: Vec<u8> = entry.detail.get(key)?.bytes().collect();
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn device(entry: &Entry) -> String {
    let part = |name: &str, value: Option<String>| value.map_or(String::new(), |value| format!("{name} {value}  "));
    let words = part(tr("machine 机号", "机号"), entry.machine.map(|machine| machine.to_string()))
        + &part(tr("serial", "硬件号"), entry.serial.as_ref().map(ToString::to_string))
        + &part(tr("frame 包序列号", "包序列号"), entry.frame.map(|frame| frame.to_string()))
        + &part(tr("slot", "记录地址"), entry.slot.as_ref().map(ToString::to_string));
    if words.is_empty() { tr("none 无", "无").to_owned() } else { words }
}

fn card(entry: &Entry) -> String {
    let card = entry.card.map_or(tr("none 无", "无").to_owned(), |card| card.to_string());
    let account =
        entry.account.as_ref().map_or(String::new(), |account| tr!("  account 编号 {account}", "  编号 {account}"));
    card + &account
}

/// Cash and subsidy, as far as there is any.
fn money(sum: Figures) -> String {
    let Figures { balance, subsidy, .. } = sum;
    match (balance, subsidy) {
        (_, Balance::ZERO) => balance.to_string(),
        (Balance::ZERO, _) => tr!("{subsidy} of subsidy 补贴", "补贴 {subsidy}"),
        (..) => tr!("{balance} and {subsidy} of subsidy 补贴", "{balance} 和补贴 {subsidy}"),
    }
}

/// What the frame or the operator asked for.
fn asked(entry: &Entry) -> String {
    let taken = || -entry.effect().money();
    let code = entry.detail.code();
    let wanted = entry.detail.asked().map_or(String::new(), |asked| tr!(" of {asked}", " {asked} 的"));
    match entry.kind {
        Kind::Charge => tr!("103: a sale of {} 刷卡消费", "103：刷卡消费 {}", taken()),
        Kind::Meal => tr!("{}: one meal, count mode 计次一餐", "{}：计次一餐", code.unwrap_or(104)),
        Kind::Scan => tr!("128: a sale of {} by scanned code 扫码消费", "128：扫码消费 {}", taken()),
        Kind::Offline => match word(entry, "claimed") {
            Some(claimed) => {
                tr!(
                    "105: a sale of {claimed} that the terminal made offline 脱机消费",
                    "105：终端脱机做的消费 {claimed}"
                )
            }
            None => tr!("105: a sale{wanted} that the terminal made offline 脱机消费", "105：终端脱机做的{wanted}消费"),
        },
        Kind::Repeat | Kind::Matched | Kind::Decline | Kind::Refuse => {
            let frame = code.map_or(tr("frame", "报文").to_owned(), |code| code.to_string());
            tr!("{frame}: a request{wanted}", "{frame}：{wanted}请求")
        }
        Kind::Admit => tr("150: to pass a door 请求开门", "150：请求开门").to_owned(),
        Kind::Subsidy if entry.about.is_some() => {
            tr!("entry {}: to clear all purses 全部补贴清零", "流水 {}：全部补贴清零", about(entry))
        }
        Kind::TopUp
        | Kind::Subsidy
        | Kind::PayOut
        | Kind::Adjust
        | Kind::Void
        | Kind::Link
        | Kind::Status
        | Kind::Remote => {
            let part =
                |key: &str, name: &str| word(entry, key).map_or(String::new(), |value| format!(" {name} {value}"));
            tr!(
                "the operator{}:{}{}{}",
                "操作员{}：{}{}{}",
                word(entry, "by").map_or(String::new(), |by| format!(" {by}")),
                part("status", tr("status", "状态")),
                part("was", tr("instead of card", "代替卡")),
                part("note", tr("note", "备注"))
            )
        }
        Kind::Open | Kind::Confirm | Kind::Unconfirmed | Kind::Alarm | Kind::Keys | Kind::Boot | Kind::Clock => {
            tr("nothing", "无").to_owned()
        }
        Kind::Start | Kind::Reload | Kind::Stop | Kind::Branch | Kind::Acknowledge | Kind::Other => {
            tr("nothing", "无").to_owned()
        }
    }
}

/// The decision and its rule, in words.
fn decided(story: &Story) -> Vec<String> {
    let entry = &story.found.entry;
    let rule = |reason| {
        let (chinese, english) = words::of_rule(reason);
        tr!("{english} ({word}) {chinese}", "{chinese}（{word}）", word = reason.word())
    };
    let reason = entry.detail.reason();
    let taken = -entry.effect();
    let effect = || {
        let parts = [
            (taken.subsidy != Balance::ZERO).then(|| tr!("{} of subsidy 扣补贴", "扣补贴 {}", taken.subsidy)),
            (taken.balance != Balance::ZERO).then(|| tr!("{} from the balance 扣余额", "扣余额 {}", taken.balance)),
            (taken.uses != 0).then(|| tr!("{} of the card's uses 扣次数", "扣 {} 次", taken.uses)),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { tr("it took nothing", "没有扣").to_owned() } else { parts.join(tr(", ", "，")) }
    };
    let second = || {
        let words = tr(
            "a second or later meal of the card in this period: price_next, if the period has one 第二餐",
            "该卡本餐段的第二餐或以后：设了 price_next 就按它",
        );
        (story.meals > 0 && taken.uses == 0).then(|| words.to_owned())
    };
    match entry.kind {
        Kind::Charge | Kind::Scan => {
            vec![tr!("approved, no rule refused it 批准: {}", "批准，没有规则拒绝：{}", effect())]
        }
        Kind::Meal if entry.uses == Some(0) => {
            let first =
                tr!("approved, at the price of the period 批准，按餐段价格: {}", "批准，按餐段价格：{}", effect());
            [Some(first), second()].into_iter().flatten().collect()
        }
        Kind::Meal => {
            vec![tr!("approved, the period has no price 批准，餐段未设价格: {}", "批准，餐段未设价格：{}", effect())]
        }
        Kind::Offline => {
            let mut told = match entry.detail.get("claimed") {
                Some(_) => vec![
                    tr(
                        "not booked: it cannot be read, or is above offline_max; for a person to judge 未入账，请人工核对",
                        "未入账：读不出来，或者超过 offline_max；请人工核对",
                    )
                    .to_owned(),
                ],
                None => vec![tr!(
                    "booked: it has happened, no rule can refuse it 脱机已成交，照记: {}",
                    "脱机已成交，照记：{}",
                    effect()
                )],
            };
            told.extend(second());
            told.extend(
                reason.map(|reason| tr!("online it would have been refused: {}", "联机会被拒绝：{}", rule(reason))),
            );
            if let Some(invalid) = word(entry, "invalid") {
                let (english, chinese) = match invalid.as_str() {
                    "past" => ("is too long ago", "过早"),
                    "ahead" => ("lies ahead", "超前"),
                    _ => ("is no date", "无效"),
                };
                told.push(tr!(
                    "the device's time {english}: it counts for the day it was booked, and for no limit 终端时间{chinese}",
                    "终端时间{chinese}：算在入账那天，不计入限额"
                ));
            }
            told
        }
        Kind::Decline | Kind::Refuse => {
            let known = reason.map(rule);
            let none = || tr("no reason is written down", "没有记原因").to_owned();
            let why = known.or_else(|| word(entry, "reason")).unwrap_or_else(none);
            vec![tr!("refused 拒绝: {why}", "拒绝：{why}")]
        }
        Kind::Repeat => vec![tr!(
            "recognized as entry {} tried again: approved, nothing taken 认出是重刷，不再扣",
            "认出是流水 {} 的重刷：批准，不再扣",
            about(entry)
        )],
        Kind::Matched => {
            vec![tr!(
                "recognized as entry {}: one sale, nothing taken 认出是同一笔，不再扣",
                "认出与流水 {} 是同一笔，不再扣",
                about(entry)
            )]
        }
        Kind::Void => {
            let (sale, effect) = (about(entry), entry.effect());
            let words = if entry.is_void_of_credit() {
                tr!("undoes entry {sale}, takes back {} 撤销", "撤销流水 {sale}，收回 {}", money(-effect))
            } else {
                tr!("undoes entry {sale}, gives back {} 撤销", "撤销流水 {sale}，退回 {}", money(effect))
            };
            vec![words + &rest(entry)]
        }
        Kind::Admit => vec![tr("opened 开门", "开门").to_owned()],
        Kind::Remote => vec![tr("opened by the operator 由操作员开门", "由操作员开门").to_owned()],
        Kind::Subsidy if entry.detail.get("clear").is_some() => vec![clear(entry)],
        Kind::TopUp | Kind::Subsidy | Kind::PayOut | Kind::Adjust | Kind::Open | Kind::Link | Kind::Status => {
            let (chinese, english) = words::of_kind(entry.kind);
            vec![format!("{english} {chinese}: {}", money(entry.effect()))]
        }
        Kind::Confirm | Kind::Unconfirmed | Kind::Alarm | Kind::Keys | Kind::Boot | Kind::Clock => {
            vec![entry.detail.as_str().to_owned()]
        }
        Kind::Start | Kind::Reload | Kind::Stop | Kind::Branch | Kind::Acknowledge | Kind::Other => {
            vec![entry.detail.as_str().to_owned()]
        }
    }
}

/// What a clear did.
fn clear(entry: &Entry) -> String {
    let is = |step: &str| entry.detail.get("clear").is_some_and(|clear| clear.is(step));
    if is(CLEAR_BEGIN) {
        return tr("begins to empty every subsidy purse 开始全部补贴清零", "开始全部补贴清零").to_owned();
    }
    if is(CLEAR_END) {
        let [accounts, sum] = ["accounts", "sum"].map(|key| word(entry, key).unwrap_or_default());
        return tr!(
            "every subsidy purse is empty: it took {sum} from {accounts} accounts 全部补贴已清零",
            "全部补贴已清零：从 {accounts} 个账户收走 {sum}"
        );
    }
    let taken = -entry.effect().subsidy;
    tr!("empties the subsidy purse, took {taken} 补贴清零", "补贴清零，收走 {taken}")
}

/// Of a void: what of the sale is not given back, and what can still be undone.
fn rest(entry: &Entry) -> String {
    let cleared = word(entry, "cleared").map(|sum| {
        tr!(
            "; {sum} of subsidy is not given back, the purse was cleared since 已清零，不退",
            "；补贴 {sum} 不退，之后已清零"
        )
    });
    let rest = word(entry, "rest").map(|sum| tr!("; {sum} can still be undone 还可撤", "；还可撤 {sum}"));
    cleared.unwrap_or_default() + &rest.unwrap_or_default()
}

fn about(entry: &Entry) -> String {
    entry.about.map_or("?".to_owned(), |about| about.to_string())
}

/// An entry on one line.
fn one_line(story: &Story, found: &Found) -> String {
    let entry = &found.entry;
    let (chinese, english) = words::of_kind(entry.kind);
    let effect = entry.effect();
    let is_clear = entry.kind == Kind::Subsidy && entry.detail.get("clear").is_some();
    let amount = if is_clear {
        format!(" ({})", clear(entry))
    } else if (effect.balance, effect.subsidy) == (Balance::ZERO, Balance::ZERO) {
        String::new()
    } else {
        format!(" {}", money(effect))
    };
    let balance = entry.after().map_or(String::new(), |after| format!(" → {}", money(after)));
    let by = word(entry, "by").map_or(String::new(), |by| tr!(" by {by}", "，操作员 {by}"));
    let note = word(entry, "note").map_or(String::new(), |note| format!(" ({note})"));
    let rest = rest(entry);
    let (seq, time) = (entry.seq, story.calendar.civil(entry.time));
    tr!(
        "entry {seq} {time} {chinese} {english}{amount}{balance}{by}{note}{rest}",
        "流水 {seq} {time} {chinese}{amount}{balance}{by}{note}{rest}"
    )
}

fn candidate(other: &Candidate) -> String {
    let (chinese, english) = words::of_kind(other.kind);
    let amount = other.effect.map_or(String::new(), money);
    let machine = other.machine.map_or(String::new(), |machine| machine.to_string());
    let (seq, at) = (other.seq, other.at);
    tr!(
        "entry {seq}  {at}  {machine}  {amount}  {chinese} {english}",
        "流水 {seq}  {at}  {machine}  {amount}  {chinese}"
    )
}

fn candidate_json(other: &Candidate) -> String {
    Object::new()
        .number("seq", other.seq)
        .text("kind", other.kind.word())
        .text("at", other.at)
        .text_or_null("amount", other.effect.map(|effect| effect.balance))
        .text_or_null("subsidy", other.effect.map(|effect| effect.subsidy))
        .text_or_null("machine", other.machine)
        .end()
}

fn entry_json(found: &Found) -> String {
    let entry = &found.entry;
    Object::new()
        .number("seq", entry.seq)
        .text("time", entry.time)
        .text("clock", entry.clock.word())
        .text("kind", entry.kind.word())
        .text_or_null("machine", entry.machine)
        .text_or_null("serial", entry.serial.as_ref())
        .text_or_null("frame", entry.frame)
        .text_or_null("card", entry.card)
        .text_or_null("account", entry.account.as_ref())
        .text_or_null("amount", entry.amount)
        .text_or_null("subsidy", entry.subsidy)
        .number_or_null("uses", entry.uses)
        .text_or_null("balance", entry.balance)
        .text_or_null("subsidy_left", entry.subsidy_left)
        .number_or_null("uses_left", entry.uses_left)
        .text_or_null("device_time", entry.device_time.as_ref().map(|time| &time.raw))
        .text_or_null("slot", entry.slot.as_ref())
        .number_or_null("ref", entry.about)
        .text("detail", entry.detail.as_str())
        .text("crc", format_args!("{:08x}", found.crc))
        .end()
}
