//! Sums of a report by department, person, machine and the like, one or two of them crossed:
//! `posgate ledger report --by` (design.md, section 3).
//!
//! One machine makes them all: each entry that moves an account belongs to one *flow*, such as
//! sales or top-ups, and in each table to one row. The close's own sums by flow are the table
//! without any `--by`.
//!
//! *Invariants:*
//! - The rows of every table make the close's movements, in each purse.
//! - Memory is one sum per row and flow that occurs, regardless of the number of entries.

use std::collections::BTreeMap;

use super::people::People;
use super::totals::Sum;
use crate::desk::json::Object;
use crate::desk::paper::Paper;
use crate::desk::table::{Table, printable};
use crate::engine::model::{AccountId, Balance, CardNo, Date, Entry, Kind};
use crate::lang::tr;

/// Printed for what an entry, or the card table, does not have.
pub(super) const NONE: &str = "-";

/// What the rows of a table stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// 部门 of the card table.
    Department,
    /// The account, with its holder's name.
    Person,
    /// 机号; of a void that of its sale.
    Machine,
    /// 餐段 of a sale, and of the void of one.
    Period,
    /// 分组 of the card: all of them together are one row.
    Group,
    /// The month of the business day.
    Month,
    /// The business day.
    Day,
}

impl By {
    /// Every one.
    pub const ALL: [Self; 7] =
        [Self::Department, Self::Person, Self::Machine, Self::Period, Self::Group, Self::Month, Self::Day];

    /// Its name: Chinese, and the word of the command line.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Department => ("部门", "department"),
            Self::Person => ("人员", "person"),
            Self::Machine => ("机号", "machine"),
            Self::Period => ("餐段", "period"),
            Self::Group => ("分组", "group"),
            Self::Month => ("月份", "month"),
            Self::Day => ("营业日", "day"),
        }
    }

    /// Reads one or two of them, separated by a comma.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let find = |word: &str| Self::ALL.into_iter().find(|by| by.words().1 == word.trim());
        let found: Option<Vec<Self>> = text.split(',').map(find).collect();
        found.filter(|found| found.len() == 1 || found.len() == 2 && found[0] != found[1]).ok_or_else(|| {
            let words = Self::ALL.map(|by| by.words().1).join(" ");
            tr!(
                "--by {}: write one of {words}, or two with a comma, such as department,period",
                "--by {}：请写 {words} 之一，或者用逗号隔开的两个，如 department,period",
                printable(text)
            )
        })
    }
}

/// A kind of movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Sales, also offline ones.
    Sale,
    /// What voids of sales gave back.
    SaleVoid,
    /// Sales less their voids. No entry is of this flow.
    Net,
    /// Paid in by holders.
    TopUp,
    /// Top-ups undone.
    TopUpVoid,
    /// Paid in by the employer.
    Grant,
    /// Subsidies undone.
    GrantVoid,
    /// Subsidies cleared at a month's end.
    Clear,
    /// Paid back to holders.
    PayOut,
    /// Corrections.
    Adjust,
    /// Opening figures of the card table.
    Open,
    /// What moves between accounts, and kinds of later versions.
    Other,
}

const FLOWS: usize = 12;

/// How many of them, the first ones, are about sales.
const SALES: usize = 3;

impl Flow {
    /// Each, in the order of a table.
    const ALL: [Self; FLOWS] = [
        Self::Sale,
        Self::SaleVoid,
        Self::Net,
        Self::TopUp,
        Self::TopUpVoid,
        Self::Grant,
        Self::GrantVoid,
        Self::Clear,
        Self::PayOut,
        Self::Adjust,
        Self::Open,
        Self::Other,
    ];

    /// Chinese, English, and the member of JSON.
    const fn words(self) -> [&'static str; 3] {
        match self {
            Self::Sale => ["消费", "sales", "sales"],
            Self::SaleVoid => ["撤", "void", "voids"],
            Self::Net => ["净", "net", "net"],
            Self::TopUp => ["充值", "top-ups", "topups"],
            Self::TopUpVoid => ["撤充值", "top-up voids", "topup_voids"],
            Self::Grant => ["发放", "grants", "subsidies"],
            Self::GrantVoid => ["撤发放", "grant voids", "subsidy_voids"],
            Self::Clear => ["清零", "cleared", "cleared"],
            Self::PayOut => ["退款", "paid out", "payouts"],
            Self::Adjust => ["调整", "adjusted", "adjusts"],
            Self::Open => ["开户", "opened", "opened"],
            Self::Other => ["其它", "other", "other"],
        }
    }

    /// Of an entry; `None` if it moves nothing.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        entry.account?;
        match entry.kind {
            Kind::Charge | Kind::Meal | Kind::Scan => Some(Self::Sale),
            Kind::Offline if entry.detail.get("claimed").is_none() => Some(Self::Sale),
            Kind::TopUp => Some(Self::TopUp),
            Kind::Subsidy if entry.subsidy < Some(Balance::ZERO) || entry.detail.get("clear").is_some() => {
                Some(Self::Clear)
            }
            Kind::Subsidy => Some(Self::Grant),
            Kind::PayOut => Some(Self::PayOut),
            Kind::Adjust => Some(Self::Adjust),
            Kind::Open => Some(Self::Open),
            Kind::Void => Some(match entry.detail.get("of") {
                Some(of) if of.is(Kind::TopUp.word()) => Self::TopUpVoid,
                Some(of) if of.is(Kind::Subsidy.word()) => Self::GrantVoid,
                Some(_) | None => Self::SaleVoid,
            }),
            Kind::Offline
            | Kind::Repeat
            | Kind::Matched
            | Kind::Decline
            | Kind::Confirm
            | Kind::Unconfirmed
            | Kind::Link
            | Kind::Status
            | Kind::Admit
            | Kind::Refuse
            | Kind::Remote
            | Kind::Alarm
            | Kind::Keys
            | Kind::Boot
            | Kind::Clock
            | Kind::Start
            | Kind::Reload
            | Kind::Stop
            | Kind::Branch
            | Kind::Acknowledge
            | Kind::Other => entry.moves().then_some(Self::Other),
        }
    }
}

/// A sum of each flow. Sales are what was taken; the others have the ledger's signs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flows([Sum; FLOWS]);

impl Flows {
    pub(super) fn get(&self, flow: Flow) -> Sum {
        match flow {
            Flow::Sale => self.0[Flow::Sale as usize].taken(),
            Flow::Net => {
                let mut net = self.0[Flow::Sale as usize];
                net += self.0[Flow::SaleVoid as usize];
                net.taken()
            }
            other => self.0[other as usize],
        }
    }

    /// All that moved.
    pub(super) fn moved(&self) -> Sum {
        let mut moved = Sum::default();
        self.0.iter().for_each(|sum| moved += *sum);
        moved
    }

    fn json(&self, object: Object) -> String {
        let moved = Flow::ALL.into_iter().filter(|flow| self.get(*flow).count > 0);
        let object = moved.fold(object, |object, flow| object.raw(flow.words()[2], self.get(flow).json()));
        object.raw("moved", self.moved().json()).end()
    }
}

/// Whose an entry is, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whose {
    pub(super) account: Option<AccountId>,
    pub(super) card: Option<CardNo>,
    pub(super) day: Date,
}

/// The sums of a table.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    by: Vec<By>,
    people: Option<People>,
    /// By row and flow: the words of the row, each with a tab after it, then a letter of the flow.
    sums: BTreeMap<String, Sum>,
    key: String,
}

impl Groups {
    /// A table of these rows, or of one row; `people` are the holders if a card table is at hand.
    pub fn new(by: Vec<By>, people: Option<People>) -> Self {
        Self { by, people, ..Self::default() }
    }

    /// The holders, if a card table is at hand.
    pub fn people(&self) -> Option<&People> {
        self.people.as_ref()
    }

    /// Whether the table wants holders and has none.
    pub(super) fn lacks_people(&self) -> bool {
        self.people.is_none() && self.by.iter().any(|by| matches!(by, By::Department | By::Group | By::Person))
    }

    /// Adds a movement. Machine and period are those of `sale`: of a void those of what it undid.
    pub(super) fn add(&mut self, flow: Flow, whose: &Whose, sale: Option<&Entry>, sum: Sum) {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for by in &self.by {
            let before = key.len();
            self.push_word(*by, whose, sale, &mut key);
            if key[before..].contains(char::is_control) {
                let plain = printable(&key[before..]);
                key.replace_range(before.., &plain);
            }
            key.push_str(if key.len() == before { "-\t" } else { "\t" });
        }
        key.push(char::from(b'a' + flow as u8));
        match self.sums.get_mut(&key) {
            Some(known) => *known += sum,
            None => {
                self.sums.insert(key.clone(), sum);
            }
        }
        self.key = key;
    }

    fn push_word(&self, by: By, whose: &Whose, sale: Option<&Entry>, key: &mut String) {
        let record = || self.people.as_ref().and_then(|people| people.of(whose.account.as_ref()?, whose.card));
        match by {
            By::Department => key.push_str(record().map_or("", |record| record.department.as_str())),
            By::Person => key.push_str(whose.account.as_deref().unwrap_or_default()),
            By::Machine => {
                if let Some(machine) = sale.and_then(|sale| sale.machine) {
                    key.push_str(&super::report::machine_text(machine));
                }
            }
            By::Period => key.push_str(&sale.and_then(|sale| super::report::word(sale, "period")).unwrap_or_default()),
            By::Group => {
                if let (Some(people), Some(record)) = (&self.people, record()) {
                    key.push_str(&people.groups(record));
                }
            }
            By::Month => key.extend(whose.day.to_string().chars().take(7)),
            By::Day => key.push_str(&whose.day.to_string()),
        }
    }

    /// Takes each row: its words, a tab after each, and its sums.
    fn each(&self, take: &mut dyn FnMut(&str, &Flows)) {
        let mut row: Option<(&str, Flows)> = None;
        for (key, sum) in &self.sums {
            let (words, flow) = key.split_at(key.len() - 1);
            if row.as_ref().is_none_or(|(before, _)| *before != words)
                && let Some((words, flows)) = row.replace((words, Flows::default()))
            {
                take(words, &flows);
            }
            if let Some((_, flows)) = &mut row {
                flows.0[usize::from(flow.as_bytes()[0] - b'a')] += *sum;
            }
        }
        if let Some((words, flows)) = row {
            take(words, &flows);
        }
    }

    /// The sums of all rows.
    pub(super) fn all(&self) -> Flows {
        let mut all = Flows::default();
        self.each(&mut |_, flows| all.0.iter_mut().zip(flows.0).for_each(|(all, sum)| *all += sum));
        all
    }

    /// The cells of a row that say what it stands for: the words, and after a person the name.
    fn words(&self, words: &str) -> Vec<String> {
        let mut cells = Vec::new();
        for (by, word) in self.by.iter().zip(words.split('\t')) {
            cells.push(word.to_owned());
            if *by == By::Person {
                cells.push(self.name(word));
            }
        }
        cells
    }

    fn name(&self, account: &str) -> String {
        let record = |people: &People| {
            let [name, ..] = people.words(people.of(&AccountId::try_from(account).ok()?, None));
            Some(name)
        };
        self.people.as_ref().and_then(record).unwrap_or_default()
    }

    /// The sums: for a spreadsheet one table of all figures, else one of the sales and one of the
    /// rest, each with the rows and the columns where something moved, and the sum of all.
    pub(super) fn print<'a>(&'a self, paper: &mut Paper<'a>, is_for_spreadsheet: bool) {
        if is_for_spreadsheet {
            return paper.table(self.table(&Flow::ALL, true));
        }
        paper.heading("消费", "sales");
        paper.table(self.table(&Flow::ALL[..SALES], false));
        paper.heading("充值、补贴和其它", "top-ups, subsidies and other movements");
        paper.table(self.table(&Flow::ALL[SALES..], false));
    }

    fn table(&self, flows: &'static [Flow], is_for_spreadsheet: bool) -> Table<'_> {
        let mut table = Table::bilingual();
        for by in &self.by {
            let (chinese, english) = by.words();
            table.texts(&[[chinese, english]]);
            if *by == By::Person {
                table.texts(&[["姓名", "name"]]);
            }
        }
        let figures_of = move |flow: Flow| figures_of(flow, is_for_spreadsheet);
        for flow in flows {
            // Above the table of sales it stands that they are sales.
            let is_plain = *flow == Flow::Sale && !is_for_spreadsheet;
            let [chinese, english, _] = if is_plain { [""; 3] } else { flow.words() };
            for figure in figures_of(*flow) {
                let [zh, en] = FIGURES[figure];
                table.numbers(&[[&format!("{chinese}{zh}"), format!("{english} {en}").trim_start()]]);
            }
        }
        if !is_for_spreadsheet {
            table.be_brief();
        }
        let cells = move |mut cells: Vec<String>, sums: &Flows| {
            for flow in flows {
                let Sum { count, amount, subsidy, uses } = sums.get(*flow);
                let figures = [count.to_string(), amount.to_string(), subsidy.to_string(), uses.to_string()];
                cells.extend(figures_of(*flow).map(|figure| figures[figure].clone()));
            }
            cells
        };
        table.make_rows(Box::new(move |take| {
            self.each(&mut |words, sums| {
                if is_for_spreadsheet || flows.iter().any(|flow| sums.get(*flow).count > 0) {
                    take(&cells(self.words(words), sums));
                }
            });
            if !is_for_spreadsheet {
                let mut words = self.words("");
                words.resize(self.words(&"\t".repeat(self.by.len())).len(), String::new());
                if let Some(first) = words.first_mut() {
                    "合计 all".clone_into(first);
                }
                take(&cells(words, &self.all()));
            }
        }));
        table
    }

    /// The rows as JSON objects, and the sum of all.
    pub(super) fn json(&self, object: Object) -> Object {
        let mut rows = Vec::new();
        self.each(&mut |words, flows| {
            let mut object = Object::new();
            for (by, word) in self.by.iter().zip(words.split('\t')) {
                object = object.text(by.words().1, word);
                if *by == By::Person {
                    object = object.text("name", self.name(word));
                }
            }
            rows.push(flows.json(object));
        });
        object
            .list("by", self.by.iter().map(|by| crate::desk::json::string(by.words().1)))
            .list("rows", rows)
            .raw("all", self.all().json(Object::new()))
    }
}

/// The figures of a sum in a table's titles: Chinese, English.
const FIGURES: [[&str; 2]; 4] = [["笔数", "n"], ["现金", "cash"], ["补贴", "subs."], ["次数", "uses"]];

/// Which of them a table has: on paper only sales are counted, and net sales nowhere.
fn figures_of(flow: Flow, is_for_spreadsheet: bool) -> core::ops::Range<usize> {
    let is_counted = flow == Flow::Sale || is_for_spreadsheet && flow != Flow::Net;
    usize::from(!is_counted)..FIGURES.len()
}

/// A line of the sheet from which a day is booked: what moved from whom to whom.
struct Booking {
    words: [&'static str; 3],
    /// From, to: Chinese, English.
    way: [&'static str; 2],
    flow: Flow,
    /// What of it was undone.
    undone: Option<Flow>,
    figure: fn(&Sum) -> Balance,
    /// Whether the ledger's sign says the opposite way.
    is_out: bool,
    /// Whether it is printed if it is zero.
    is_usual: bool,
}

const fn cash(sum: &Sum) -> Balance {
    sum.amount
}

const fn subsidy(sum: &Sum) -> Balance {
    sum.subsidy
}

const HOLDER_CANTEEN: [&str; 2] = ["个人→食堂", "holder>canteen"];
const CANTEEN_HOLDER: [&str; 2] = ["食堂→个人", "canteen>holder"];
const EMPLOYER_CANTEEN: [&str; 2] = ["单位→食堂", "employer>canteen"];
const EMPLOYER_HOLDER: [&str; 2] = ["单位→个人", "employer>holder"];
const HOLDER_EMPLOYER: [&str; 2] = ["个人→单位", "holder>employer"];
const NOBODY: [&str; 2] = ["账面", "books"];

const fn booking(
    words: [&'static str; 3],
    way: [&'static str; 2],
    (flow, undone): (Flow, Option<Flow>),
    figure: fn(&Sum) -> Balance,
) -> Booking {
    let is_usual = matches!(flow, Flow::Sale | Flow::TopUp | Flow::Grant | Flow::PayOut);
    Booking { words, way, flow, undone, figure, is_out: matches!(flow, Flow::PayOut | Flow::Clear), is_usual }
}

const BOOKINGS: [Booking; 13] = {
    let sale = (Flow::Sale, Some(Flow::SaleVoid));
    let top_up = (Flow::TopUp, Some(Flow::TopUpVoid));
    let grant = (Flow::Grant, Some(Flow::GrantVoid));
    [
        booking(["现金消费", "cash sales", "cash_sales"], HOLDER_CANTEEN, sale, cash),
        booking(["补贴消费", "subsidies", "subsidy_sales"], EMPLOYER_CANTEEN, sale, subsidy),
        booking(["充值", "top-ups", "topups"], HOLDER_CANTEEN, top_up, cash),
        booking(["补贴发放", "granted", "subsidies"], EMPLOYER_HOLDER, grant, subsidy),
        Booking {
            is_usual: false,
            ..booking(["发放现金", "as cash", "subsidies_as_cash"], EMPLOYER_HOLDER, grant, cash)
        },
        booking(["补贴清零", "cleared", "cleared"], HOLDER_EMPLOYER, (Flow::Clear, None), subsidy),
        booking(["退款", "paid out", "payouts"], CANTEEN_HOLDER, (Flow::PayOut, None), cash),
        booking(["现金调整", "adjusted", "cash_adjusts"], NOBODY, (Flow::Adjust, None), cash),
        booking(["补贴调整", "adjusted", "subsidy_adjusts"], NOBODY, (Flow::Adjust, None), subsidy),
        booking(["开户现金", "opened", "cash_opened"], NOBODY, (Flow::Open, None), cash),
        booking(["开户补贴", "opened", "subsidy_opened"], NOBODY, (Flow::Open, None), subsidy),
        booking(["其它现金", "other", "other_cash"], NOBODY, (Flow::Other, None), cash),
        booking(["其它补贴", "other", "other_subsidy"], NOBODY, (Flow::Other, None), subsidy),
    ]
};

impl Booking {
    /// In all, undone, and what is left; `None` if none of it moved and it is not usual.
    fn figures(&self, flows: &Flows) -> Option<[Balance; 3]> {
        let gross = (self.figure)(&flows.get(self.flow));
        let gross = if self.is_out { -gross } else { gross };
        let undone = self.undone.map_or(Balance::ZERO, |flow| (self.figure)(&flows.get(flow)));
        // A void of a sale gives back, one of a credit takes.
        let undone = if self.flow == Flow::Sale { undone } else { -undone };
        let is_zero = gross == Balance::ZERO && undone == Balance::ZERO;
        (self.is_usual || !is_zero).then(|| [gross, undone, gross - undone])
    }
}

/// The sheet from which the days are booked.
pub(super) fn print_bookings(flows: &Flows, paper: &mut Paper) {
    paper.heading("往来", "who owes whom");
    let mut table = Table::bilingual();
    table.texts(&[["项目", "item"], ["往来", "from > to"]]);
    table.numbers(&[["发生额", "gross"], ["撤销", "undone"], ["净额", "net"]]);
    for booking in &BOOKINGS {
        if let Some(figures) = booking.figures(flows) {
            let [chinese, english, _] = booking.words;
            let [from, to] = booking.way;
            let words = [format!("{chinese} {english}"), format!("{from} {to}")];
            table.row(words.into_iter().chain(figures.map(|figure| figure.to_string())));
        }
    }
    paper.table(table);
}

/// The same as JSON objects.
pub(super) fn bookings_json(flows: &Flows) -> Vec<String> {
    let object = |booking: &Booking| {
        let [gross, undone, net] = booking.figures(flows)?;
        let (from, to) = booking.way[1].split_once('>').unzip();
        let object = Object::new().text("item", booking.words[2]).text_or_null("from", from).text_or_null("to", to);
        Some(object.text("gross", gross).text("undone", undone).text("net", net).end())
    };
    BOOKINGS.iter().filter_map(object).collect()
}
