//! The daily close, to be written in any form, and as JSON.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::{Desk, LISTED_MAX, List, Listed, Report, Sales, Sum};
use crate::desk::audit::attendance::NO_TABLE;
use crate::desk::audit::groups::Flow;
use crate::desk::audit::{groups, words};
use crate::desk::json::{Object, string};
use crate::desk::paper::Paper;
use crate::desk::table::{Table, printable};
use crate::engine::model::{Balance, Date, Kind, Stamp};
use crate::ledger::Head;

/// The kinds whose entries move money, in the order of the balance sheet.
const MOVING: [Kind; 11] = [
    Kind::Open,
    Kind::Charge,
    Kind::Meal,
    Kind::Scan,
    Kind::Offline,
    Kind::TopUp,
    Kind::Subsidy,
    Kind::PayOut,
    Kind::Adjust,
    Kind::Void,
    Kind::Other,
];

fn second(stamp: Stamp) -> String {
    stamp.civil().to_string()
}

fn place(head: Head, stamp: Stamp) -> String {
    format!("{head}  {}", second(stamp))
}

impl Report {
    /// From the first day to the last.
    fn span(&self) -> String {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from == to => from.to_string(),
            (from, to) => {
                let text = |day: Option<Date>| day.map_or("…".to_owned(), |day| day.to_string());
                format!("{} – {}", text(from), text(to))
            }
        }
    }

    /// What it is called: of one day, one month, or other days.
    fn title(&self) -> &'static str {
        let (Some(from), Some(to)) = (self.from, self.to) else { return "结账 close" };
        let month = |day: Date| day.year_month_day().0 * 12 + day.year_month_day().1.cast_signed();
        let next = Date(to.0.saturating_add(1));
        match (from == to, from.year_month_day().2, month(to) - month(from), next.year_month_day().2) {
            (true, ..) => "日结 daily close",
            (false, 1, 0, 1) => "月结 monthly close",
            (false, ..) => "结账 close",
        }
    }

    /// A report with its title, and of which ledger and days it is.
    pub(in crate::desk::audit) fn head<'a>(&self, title: &str) -> Paper<'a> {
        let mut out = Paper::new(title);
        out.line("站点", "site", printable(&self.site));
        out.line("账本", "ledger", format_args!("{:016x}", self.ledger));
        out.line("营业日", "business day", self.span());
        out.line("流水条数", "entries", self.entries);
        if let Some([first, last]) = self.ends {
            out.line("首条", "first", place(first.0, first.1));
            out.line("末条", "last", place(last.0, last.1));
        }
        out.line("账本末条", "head of the ledger", self.head);
        for note in &self.notes {
            out.line("注意", "note", note);
        }
        out
    }

    /// The close.
    pub fn paper(&self) -> Paper<'_> {
        let mut paper = self.head(self.title());
        let out = &mut paper;
        self.print_sales(out);
        print_reasons(out, "拒绝消费", "refused sales", &self.refused);
        self.print_desk(out);
        self.print_offline(out);
        self.print_doubts(out);
        for (list, chinese, english) in [
            (&self.voids, "撤销", "voids"),
            (&self.adjusts, "调整", "adjustments"),
            (&self.late, "补记：写于以后的日子", "written on a later day"),
        ] {
            print_list(out, chinese, english, list);
        }
        self.print_doors(out);
        groups::print_bookings(&self.groups.all(), out);
        self.print_balance(out);
        paper
    }

    /// The table by department, person and the like, alone for a spreadsheet.
    pub fn groups_paper(&self, is_for_spreadsheet: bool) -> Paper<'_> {
        let mut paper = self.head("汇总 sums");
        if self.groups.lacks_people() {
            paper.line("注意", "note", NO_TABLE);
        }
        self.groups.print(&mut paper, is_for_spreadsheet);
        self.print_balance(&mut paper);
        paper
    }

    /// The same as a JSON object.
    pub fn groups_json(&self) -> String {
        let object = self.begin_json(self.groups.lacks_people().then(|| string(NO_TABLE)));
        self.end_json(self.groups.json(object))
    }

    fn print_sales(&self, out: &mut Paper) {
        out.heading("各机消费", "sales by machine");
        print_sales(out, ("机号", "machine"), self.machines.iter(), Some(&self.sales));
        out.heading("各餐段消费", "sales by period");
        print_sales(out, ("餐段", "period"), self.periods.iter(), None);
        if self.days.len() > 1 {
            out.heading("各日消费", "sales by day");
            print_sales(out, ("营业日", "day"), self.days.iter(), Some(&self.sales));
        }
    }

    fn print_desk(&self, out: &mut Paper) {
        out.heading("柜台", "at the desk");
        if self.operators.is_empty() {
            out.text("无 none");
            return;
        }
        let mut table = Table::bilingual();
        table.texts(&[["操作员", "operator"]]);
        for titles in [
            ["充值", "top-ups"],
            ["补贴", "subsidies"],
            ["清零", "cleared"],
            ["退款", "paid out"],
            ["调整", "adjusted"],
            ["撤销", "voids"],
        ] {
            table.numbers(&[["笔", "n"], titles]);
        }
        table.numbers(&[["撤补贴", "subs. v."], ["次数", "uses"]]);
        let mut all = Desk::default();
        for (name, desk) in &self.operators {
            table.row(desk_cells(name, desk));
            all.top_up += desk.top_up;
            all.subsidy += desk.subsidy;
            all.clear += desk.clear;
            all.pay_out += desk.pay_out;
            all.adjust += desk.adjust;
            all.void += desk.void;
        }
        table.row(desk_cells("合计 all", &all));
        out.table(table);
    }

    fn print_offline(&self, out: &mut Paper) {
        out.heading("脱机消费", "offline sales");
        let booked = self.sales.offline.taken();
        out.line("已入账", "booked", format_args!("{}  {}", booked.count, money_and_uses(booked)));
        out.line("未入账", "not booked", self.not_booked.sum.count);
        for (list, chinese, english) in [
            (&self.not_booked, "未入账，请人工核对", "not booked, for a person to judge"),
            (&self.invalid_times, "终端时间不可信", "with a device time that was not believed"),
            (&self.overdrafts, "透支", "below zero"),
            (&self.bad_cards, "联机会被拒绝", "online a rule would have refused them"),
        ] {
            print_list(out, chinese, english, list);
        }
    }

    fn print_doubts(&self, out: &mut Paper) {
        out.heading("存疑消费：已批准，没有回执", "doubtful sales: approved, never confirmed");
        if self.doubtful.sum.count == 0 && self.mute.is_empty() {
            out.text("无 none");
        }
        print_rows(out, &self.doubtful);
        for (machine, sum) in &self.mute {
            let taken = sum.taken();
            let words = "从不发回执，不逐笔列出 never confirms, not listed";
            out.text(&format!("{machine}  {} {}  {words}", taken.count, money_and_uses(taken)));
        }
    }

    fn print_doors(&self, out: &mut Paper) {
        let count = |wanted: Kind| self.kinds.iter().find(|(kind, _)| *kind == wanted).map_or(0, |(_, sum)| sum.count);
        if [Kind::Admit, Kind::Refuse, Kind::Remote, Kind::Alarm].into_iter().all(|kind| count(kind) == 0) {
            return;
        }
        out.heading("门禁", "doors");
        for kind in [Kind::Admit, Kind::Remote] {
            let (chinese, english) = words::of_kind(kind);
            out.line(chinese, english, count(kind));
        }
        for (rule, alarms) in &self.alarms {
            out.line("报警", &format!("alarm {}", printable(rule)), alarms);
        }
        if !self.kept_shut.is_empty() {
            print_reasons(out, "拒绝开门", "kept shut", &self.kept_shut);
        }
    }

    fn print_balance(&self, out: &mut Paper) {
        out.heading("账目平衡", "balance of all accounts");
        let mut table = Table::bilingual();
        table.texts(&[["", ""]]);
        table.numbers(&[["笔数", "count"], ["现金", "cash"], ["补贴", "subsidy"], ["次数", "uses"]]);
        let row = |name: String, count: Option<u64>, sum: Sum| {
            let count = count.map_or(String::new(), |count| count.to_string());
            [name, count, sum.amount.to_string(), sum.subsidy.to_string(), sum.uses.to_string()]
        };
        let flows = self.groups.all();
        table.row(row("期初 opening".to_owned(), None, self.opening));
        for (kind, sum) in self.kinds.iter().filter(|(kind, sum)| MOVING.contains(kind) && sum.count > 0) {
            if *kind == Kind::Subsidy {
                // Paid in and cleared, apart.
                for (name, flow) in [("补贴发放 granted", Flow::Grant), ("补贴清零 cleared", Flow::Clear)] {
                    let sum = flows.get(flow);
                    if sum.count > 0 {
                        table.row(row(name.to_owned(), Some(sum.count), sum));
                    }
                }
                continue;
            }
            let (chinese, english) = words::of_kind(*kind);
            table.row(row(format!("{chinese} {english}"), Some(sum.count), *sum));
        }
        table.row(row("变动合计 moved".to_owned(), None, self.moved));
        table.row(row("期末 closing".to_owned(), None, self.closing));
        out.table(table);
        if !self.is_total_known {
            out.text("期初只含出现过的账户 opening: only of accounts that occur in what was given");
        }
        out.text(if self.is_balanced() {
            "平 balanced: 期初 + 变动 = 期末 opening + moved = closing"
        } else {
            "不平 NOT BALANCED: run `posgate ledger verify`"
        });
    }

    /// The report as a JSON object.
    pub fn json(&self) -> String {
        let end = |index: usize| self.ends.map(|ends| head_json(ends[index].0).text("time", ends[index].1).end());
        let kinds = self.kinds.iter().filter(|(_, sum)| sum.count > 0);
        let kinds = kinds.fold(Object::new(), |kinds, (kind, sum)| kinds.raw(kind.word(), sum.json()));
        let mute =
            |(machine, sum): (_, &Sum)| Object::new().text("machine", machine).raw("sales", sum.taken().json()).end();
        let object = self
            .begin_json(None)
            .raw_or_null("first", end(0))
            .raw_or_null("last", end(1))
            .raw("kinds", kinds.end())
            .list("machines", self.machines.iter().map(sales_json))
            .list("periods", self.periods.iter().map(sales_json))
            .list("days", self.days.iter().map(sales_json))
            .list("refused", self.refused.iter().map(count_json))
            .list("kept_shut", self.kept_shut.iter().map(count_json))
            .list("alarms", self.alarms.iter().map(count_json))
            .list("operators", self.operators.iter().map(desk_json))
            .raw("not_booked", list_json(&self.not_booked))
            .raw("invalid_times", list_json(&self.invalid_times))
            .raw("overdrafts", list_json(&self.overdrafts))
            .raw("bad_cards", list_json(&self.bad_cards))
            .raw("doubtful", list_json(&self.doubtful))
            .list("mute", self.mute.iter().map(mute))
            .raw("voids", list_json(&self.voids))
            .raw("adjusts", list_json(&self.adjusts))
            .raw("late", list_json(&self.late))
            .list("owed", groups::bookings_json(&self.groups.all()));
        self.end_json(object)
    }

    /// The first members of any report: of which ledger and days it is.
    pub(in crate::desk::audit) fn begin_json(&self, note: Option<String>) -> Object {
        Object::new()
            .text("site", &self.site)
            .text("ledger", format_args!("{:016x}", self.ledger))
            .text_or_null("from", self.from)
            .text_or_null("to", self.to)
            .list("notes", self.notes.iter().map(string).chain(note))
            .number("entries", self.entries)
            .raw("head", head_json(self.head).end())
    }

    fn end_json(&self, object: Object) -> String {
        object
            .raw("opening", total_json(self.opening))
            .raw("moved", total_json(self.moved))
            .raw("closing", total_json(self.closing))
            .flag("balanced", self.is_balanced())
            .flag("total_known", self.is_total_known)
            .end()
    }
}

fn money_and_uses(sum: Sum) -> String {
    let subsidy = (sum.subsidy != Balance::ZERO).then(|| format!("{} 补贴 subsidy", sum.subsidy));
    let uses = (sum.uses != 0).then(|| format!("{} 次 uses", sum.uses));
    [Some(sum.amount.to_string()), subsidy, uses].into_iter().flatten().collect::<Vec<_>>().join(" + ")
}

fn print_sales<'a, N: Display + 'a>(
    out: &mut Paper,
    (chinese, english): (&'static str, &'static str),
    rows: impl Iterator<Item = (N, &'a Sales)>,
    all: Option<&Sales>,
) {
    let mut table = Table::bilingual();
    table.texts(&[[chinese, english]]);
    table.numbers(&[
        ["笔数", "sales"],
        ["现金", "cash"],
        ["补贴", "subsidy"],
        ["次数", "uses"],
        ["刷卡", "amount"],
        ["计次", "count"],
        ["扫码", "code"],
        ["脱机", "offline"],
        ["撤现金", "voids"],
        ["撤补贴", "subs. v."],
        ["拒绝", "refused"],
    ]);
    let mut add = |name: String, sales: &Sales| {
        let sum = sales.all().taken();
        table.row([
            name,
            sum.count.to_string(),
            sum.amount.to_string(),
            sum.subsidy.to_string(),
            sum.uses.to_string(),
            sales.charge.taken().both().to_string(),
            sales.meal.taken().both().to_string(),
            sales.scan.taken().both().to_string(),
            sales.offline.taken().both().to_string(),
            sales.void.amount.to_string(),
            sales.void.subsidy.to_string(),
            sales.refused.to_string(),
        ]);
    };
    for (name, sales) in rows {
        add(name.to_string(), sales);
    }
    if let Some(all) = all {
        add("合计 all".to_owned(), all);
    }
    out.table(table);
}

fn print_reasons(out: &mut Paper, chinese: &str, english: &str, reasons: &BTreeMap<String, u64>) {
    out.heading(chinese, english);
    if reasons.is_empty() {
        out.text("无 none");
    }
    let mut sorted: Vec<_> = reasons.iter().collect();
    sorted.sort_by_key(|(_, count)| core::cmp::Reverse(**count));
    for (reason, count) in sorted {
        let (chinese, english) = match reason.as_str() {
            "left-out" => ("未逐笔记录".to_owned(), "beyond the limit a minute".to_owned()),
            known => words::reason(known),
        };
        out.line(&chinese, &printable(&english), count);
    }
}

fn desk_cells(name: &str, desk: &Desk) -> Vec<String> {
    let mut cells = vec![name.to_owned()];
    // What the employer pays in may go into either purse.
    let [subsidy, clear] = [desk.subsidy, desk.clear].map(|sum| Sum { amount: sum.both(), ..sum });
    let mut uses = 0_i64;
    for sum in [desk.top_up, subsidy, clear, desk.pay_out, desk.adjust, desk.void] {
        cells.extend([sum.count.to_string(), sum.amount.to_string()]);
        uses = uses.saturating_add(sum.uses);
    }
    cells.extend([desk.void.subsidy.to_string(), uses.to_string()]);
    cells
}

fn print_list(out: &mut Paper, chinese: &str, english: &str, list: &List) {
    if list.sum.count > 0 {
        out.heading(chinese, english);
        print_rows(out, list);
    }
}

fn print_rows(out: &mut Paper, list: &List) {
    let mut table = Table::bilingual();
    table.numbers(&[["流水号", "seq"]]);
    table.texts(&[["时间", "time"], ["类型", "kind"], ["机号", "machine"], ["卡号", "card"]]);
    table.numbers(&[["现金", "cash"], ["补贴", "subsidy"], ["余额", "balance"], ["关联", "ref"]]);
    table.texts(&[["说明", "what"]]);
    for row in &list.rows {
        let text = |value: Option<String>| value.unwrap_or_default();
        table.row([
            row.seq.to_string(),
            second(row.time),
            words::of_kind(row.kind).0.to_owned(),
            text(row.machine.map(|machine| machine.to_string())),
            text(row.card.map(|card| card.to_string())),
            text(row.amount.map(|amount| amount.to_string())),
            text(row.subsidy.map(|subsidy| subsidy.to_string())),
            text(row.balance.map(|balance| balance.to_string())),
            text(row.about.map(|about| about.to_string())),
            row.what.clone(),
        ]);
    }
    if !list.rows.is_empty() {
        out.table(table);
    }
    let more = list.sum.count.saturating_sub(list.rows.len() as u64);
    if more > 0 {
        out.text(&format!("另有 {more} 条未列 {more} more not listed (at most {LISTED_MAX})"));
    }
    if list.sum.count > 1 {
        out.text(&format!("合计 all: {}  {}", list.sum.count, money_and_uses(list.sum)));
    }
}

/// An entry's number and the chain after it.
pub(in crate::desk::audit) fn head_json(head: Head) -> Object {
    Object::new().number("seq", head.seq).text("crc", format_args!("{:08x}", head.crc))
}

fn sales_json((name, sales): (impl Display, &Sales)) -> String {
    Object::new()
        .text("name", name)
        .raw("sales", sales.all().taken().json())
        .raw("charge", sales.charge.taken().json())
        .raw("meal", sales.meal.taken().json())
        .raw("scan", sales.scan.taken().json())
        .raw("offline", sales.offline.taken().json())
        .raw("void", sales.void.json())
        .number("refused", sales.refused)
        .end()
}

fn desk_json((name, desk): (&String, &Desk)) -> String {
    Object::new()
        .text("by", name)
        .raw("topup", desk.top_up.json())
        .raw("subsidy", desk.subsidy.json())
        .raw("cleared", desk.clear.json())
        .raw("payout", desk.pay_out.json())
        .raw("adjust", desk.adjust.json())
        .raw("void", desk.void.json())
        .end()
}

fn count_json((name, count): (&String, &u64)) -> String {
    Object::new().text("name", name).number("count", *count).end()
}

fn total_json(sum: Sum) -> String {
    Object::new().text("amount", sum.amount).text("subsidy", sum.subsidy).number("uses", sum.uses).end()
}

fn list_json(list: &List) -> String {
    Object::new().raw("all", list.sum.json()).list("listed", list.rows.iter().map(listed_json)).end()
}

fn listed_json(row: &Listed) -> String {
    Object::new()
        .number("seq", row.seq)
        .text("time", row.time)
        .text("kind", row.kind.word())
        .text_or_null("machine", row.machine)
        .text_or_null("card", row.card)
        .text_or_null("amount", row.amount)
        .text_or_null("subsidy", row.subsidy)
        .text_or_null("balance", row.balance)
        .number_or_null("ref", row.about)
        .text("what", &row.what)
        .end()
}
