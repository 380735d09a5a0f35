//! The month's close: what `posgate ledger verify` and `ledger report` make of the ledger's files,
//! beside what the model says, in each purse and to the fen.

use std::io;

use posgate::desk::json::Value;
use posgate::desk::table::{padded, width};

use super::hall::Hall;
use super::model::{Flow, Model, Purses, Sums, fen, yuan};

/// An item of the sheet from which a month is booked.
struct Booked {
    /// Its name in the report's `owed`; Chinese and English for people.
    words: [&'static str; 3],
    flow: Flow,
    undone: Option<Flow>,
    purse: fn(Purses) -> i64,
    /// Whether it leaves an account.
    is_out: bool,
}

const fn cash(purses: Purses) -> i64 {
    purses.cash
}

const fn subsidy(purses: Purses) -> i64 {
    purses.subsidy
}

const fn booked(
    words: [&'static str; 3],
    flow: Flow,
    undone: Option<Flow>,
    purse: fn(Purses) -> i64,
    is_out: bool,
) -> Booked {
    Booked { words, flow, undone, purse, is_out }
}

const BOOKED: [Booked; 9] = [
    booked(["cash_sales", "现金消费", "cash sales"], Flow::Sales, Some(Flow::Voids), cash, true),
    booked(["subsidy_sales", "补贴消费", "subsidy sales"], Flow::Sales, Some(Flow::Voids), subsidy, true),
    booked(["topups", "充值", "top-ups"], Flow::TopUps, Some(Flow::TopUpVoids), cash, false),
    booked(["subsidies", "补贴发放", "granted"], Flow::Subsidies, Some(Flow::SubsidyVoids), subsidy, false),
    booked(["cleared", "补贴清零", "cleared"], Flow::Cleared, None, subsidy, true),
    booked(["payouts", "退款", "refunds"], Flow::PayOuts, None, cash, true),
    booked(["cash_adjusts", "现金调整", "adjusted"], Flow::Adjusts, None, cash, false),
    booked(["cash_opened", "开户现金", "opened, cash"], Flow::Opened, None, cash, false),
    booked(["subsidy_opened", "开户补贴", "opened, subsidy"], Flow::Opened, None, subsidy, false),
];

impl Booked {
    /// Gross, undone and net, each without a sign where it goes its usual way.
    fn figures(&self, sums: &Sums) -> [i64; 3] {
        let own = |flow: Flow| (self.purse)(sums.get(&flow).copied().unwrap_or_default());
        let sign = if self.is_out { -1 } else { 1 };
        let (gross, undone) = (sign * own(self.flow), -sign * self.undone.map_or(0, own));
        [gross, undone, gross - undone]
    }
}

/// Compares the month's reports with the model. Gives every difference: what it is about, what was
/// expected and what was found.
///
/// # Errors
/// If the program cannot be run.
pub fn compare(hall: &Hall, model: &Model, month: &str) -> io::Result<Vec<String>> {
    let mut found = Differences::default();
    let verified = hall.posgate(&["ledger", "verify"])?;
    if verified.code != Some(0) {
        found.0.push(format!("ledger verify: expected exit code 0, found {:?}: {}", verified.code, verified.out));
    }
    let mut report = |what: &[&str]| -> io::Result<Value> {
        let said = hall.posgate(&[&["ledger", "report", "--month", month, "--json"], what].concat())?;
        if said.code != Some(0) {
            let what = what.join(" ");
            found
                .0
                .push(format!("ledger report {what}: expected exit code 0, found {:?}: {}", said.code, said.complaint));
        }
        // What does not balance is printed all the same.
        said.json()
    };
    let (whole, balances) = (report(&[])?, report(&["--balances"])?);
    let (departments, people) = (report(&["--by", "department"])?, report(&["--by", "person"])?);
    found.whole(&whole, model);
    found.balances(&balances, model);
    let of_departments = model.departments().into_iter();
    found.rows(&departments, "department", of_departments.map(|(name, (sales, sums))| (name.to_owned(), sales, sums)));
    let moved = model.accounts.iter().filter(|own| !own.sums.is_empty());
    found.rows(&people, "person", moved.map(|own| (own.id.clone(), own.sales, own.sums.clone())));
    Ok(found.0)
}

/// Where report and model differ.
#[derive(Debug, Default)]
struct Differences(Vec<String>);

impl Differences {
    fn money(&mut self, what: &str, expected: i64, found: Option<&str>) {
        if found.and_then(fen) != Some(expected) {
            self.0.push(format!("{what}: expected {}, found {}", yuan(expected), found.unwrap_or("nothing")));
        }
    }

    /// Both purses of a sum of a report; one that it leaves out is zero.
    fn purses(&mut self, what: &str, expected: Purses, found: Option<&Value>) {
        let member = |name| found.map_or(Some("0.00"), |sum| sum.text(name));
        self.money(&format!("{what}, cash"), expected.cash, member("amount"));
        self.money(&format!("{what}, subsidy"), expected.subsidy, member("subsidy"));
    }

    /// The month as it is booked.
    fn whole(&mut self, report: &Value, model: &Model) {
        let (_, sums) = model.all();
        let mut held = Purses::default();
        model.accounts.iter().filter(|own| !own.sums.is_empty()).for_each(|own| held += own.held);
        self.purses("all accounts, closing", held, report.get("closing"));
        let owed = report.list("owed");
        for item in &BOOKED {
            let [name, _, english] = item.words;
            let row = owed.iter().find(|row| row.text("item") == Some(name));
            for (member, expected) in ["gross", "undone", "net"].into_iter().zip(item.figures(&sums)) {
                let found = row.map_or(Some("0.00"), |row| row.text(member));
                self.money(&format!("the month, {english}, {member}"), expected, found);
            }
        }
        for row in owed {
            let name = row.text("item").unwrap_or_default();
            if BOOKED.iter().all(|item| item.words[0] != name) {
                self.money(&format!("the month, {name}"), 0, row.text("gross"));
            }
        }
    }

    /// A table of a report: its rows are exactly these, and each kind of movement is in it.
    fn rows(&mut self, report: &Value, by: &str, wanted: impl Iterator<Item = (String, u32, Sums)>) {
        let mut rows: Vec<&Value> = report.list("rows").iter().collect();
        for (name, sales, sums) in wanted {
            let place = rows.iter().position(|row| row.text(by) == Some(&name));
            let row = place.map(|place| rows.swap_remove(place));
            let what = format!("{by} {name}");
            let sold = row.and_then(|row| row.get("sales")).and_then(|sum| sum.number("count")).unwrap_or(0_u32);
            if sold != sales {
                self.0.push(format!("{what}, sales: expected {sales} of them, found {sold}"));
            }
            for flow in Flow::ALL {
                let own = sums.get(&flow).copied().unwrap_or_default();
                let own = if flow == Flow::Sales { -own } else { own };
                let [member, _, english] = flow.words();
                self.purses(&format!("{what}, {english}"), own, row.and_then(|row| row.get(member)));
            }
        }
        for row in rows {
            self.0.push(format!("{by} {}: expected no row, found {row}", row.text(by).unwrap_or_default()));
        }
    }

    /// What every account holds at the month's end.
    fn balances(&mut self, report: &Value, model: &Model) {
        let accounts = report.list("accounts");
        for own in &model.accounts {
            let row = accounts.iter().find(|row| row.text("account") == Some(&own.id));
            let member = |name| row.and_then(|row| row.text(name));
            self.money(&format!("account {} {}, cash", own.id, own.holder), own.held.cash, member("balance"));
            self.money(&format!("account {} {}, subsidy", own.id, own.holder), own.held.subsidy, member("subsidy"));
        }
        if accounts.len() != model.accounts.len() {
            self.0.push(format!("accounts: expected {}, found {}", model.accounts.len(), accounts.len()));
        }
    }
}

/// Prints the close: the sums that are booked, and those of each department.
pub fn print(model: &Model) {
    let (sales, all) = model.all();
    println!("往来 who owes whom{:>30}{:>12}{:>12}", "gross", "undone", "net");
    for item in &BOOKED {
        let [_, chinese, english] = item.words;
        let [gross, undone, net] = item.figures(&all).map(yuan);
        println!("  {}{gross:>12}{undone:>12}{net:>12}", padded(&format!("{chinese} {english}"), 34));
    }
    println!("部门 by department{:>12}{:>12}{:>12}{:>12}{:>12}", "sales", "cash", "subsidy", "granted", "cleared");
    let own = model.departments().into_iter().map(|(name, (sales, sums))| (name, sales, sums));
    for (name, sales, sums) in own.chain([("合计 all", sales, all.clone())]) {
        let [spent_cash, spent_subsidy] = [0, 1].map(|item: usize| yuan(BOOKED[item].figures(&sums)[2]));
        let [granted, cleared] = [3, 4].map(|item: usize| yuan(BOOKED[item].figures(&sums)[2]));
        let name = padded(name, 16 - width("  "));
        println!("  {name}{sales:>14}{spent_cash:>12}{spent_subsidy:>12}{granted:>12}{cleared:>12}");
    }
    let mut held = Purses::default();
    model.accounts.iter().for_each(|own| held += own.held);
    println!("期末 closing: {} yuan of cash, {} yuan of subsidy", yuan(held.cash), yuan(held.subsidy));
}
