//! The desk: what the employer and the cashier order with `posgate ctl`, and what each answer must
//! say.

use std::io;

use posgate::desk::json::Value;

use super::Story;
use super::canteen::{self, SPARE_CARD, subsidy_of};
use super::hall::{Running, Said};
use super::model::{self, Flow, Purses, Standing, fen, yuan};

/// Less cash than this, in fen, and somebody pays some in.
const POOR: i64 = 1500;

impl Story {
    /// The employer's file, twice: the second time does nothing.
    pub(super) fn grant(&mut self, service: &mut Running) -> io::Result<()> {
        let month = self.month.to_string();
        let file = self.directory.join("subsidy.csv");
        let own = |(place, own): (usize, _)| (own, subsidy_of(place));
        let rows: Vec<(&model::Account, i64)> = self.model.accounts.iter().enumerate().map(own).collect();
        canteen::write_orders(&file, &rows)?;
        let sum = rows.iter().map(|(_, amount)| amount).sum();
        self.say(&format!("补贴发放: the employer pays in {} for {month}, by a file that is given twice", yuan(sum)));
        let file = file.display().to_string();
        for _ in 0..2 {
            let said = self.hall.ctl(service, &["subsidy", "--file", &file, "--for", &month, "--yes"])?;
            self.expect_code(0, &["subsidy", "--file"], &said);
        }
        for who in 0..self.model.accounts.len() {
            self.model.order(who, Flow::Subsidies, Purses::subsidy(subsidy_of(who)));
        }
        Ok(())
    }

    pub(super) fn top_up_file(&mut self, service: &mut Running) -> io::Result<()> {
        let month = self.month.to_string();
        let file = self.directory.join("topups.csv");
        let mut rows = Vec::new();
        for who in (0..self.model.accounts.len()).step_by(5) {
            rows.push((who, self.amount(2000, 9000)));
        }
        let own = |(who, amount): &(usize, i64)| (&self.model.accounts[*who], *amount);
        canteen::write_orders(&file, &rows.iter().map(own).collect::<Vec<_>>())?;
        let file = file.display().to_string();
        let said = self.hall.ctl(service, &["topup", "--file", &file, "--for", &month])?;
        if self.expect_code(0, &["topup", "--file"], &said) {
            for (who, amount) in rows {
                self.model.order(who, Flow::TopUps, Purses::cash(amount));
                self.tally.orders += 1;
            }
        }
        Ok(())
    }

    /// Whoever is short of cash pays some in, some by card and some by 工号.
    pub(super) fn top_ups(&mut self, service: &mut Running) -> io::Result<()> {
        for who in 0..self.model.accounts.len() {
            let own = &self.model.accounts[who];
            if own.standing == Standing::Good && own.held.cash < POOR {
                let (card, id) = (own.card.to_string(), own.id.clone());
                let fen = 100 * self.amount(30, 90);
                let amount = yuan(fen);
                let by_card = ["topup", &card, &amount, "--json"];
                let by_account = ["topup", "--account", &id, &amount, "--json"];
                let words = if who % 2 == 0 { &by_card[..] } else { &by_account };
                self.money(service, who, words, Flow::TopUps, Purses::cash(fen))?;
            }
        }
        Ok(())
    }

    /// A top-up of ten times too much is undone.
    pub(super) fn void_top_up(&mut self, service: &mut Running) -> io::Result<()> {
        let who = self.somebody();
        let card = self.model.accounts[who].card.to_string();
        self.say(&format!("{} gets 200.00 for 20.00; the desk undoes it", self.model.accounts[who].holder));
        let wrong = ["topup", &card, "200.00", "--json"];
        let Some(answer) = self.money(service, who, &wrong, Flow::TopUps, Purses::cash(20_000))? else { return Ok(()) };
        let seq = answer.number::<u64>("seq").unwrap_or_default().to_string();
        self.money(service, who, &["void", &seq, "--json"], Flow::TopUpVoids, Purses::cash(-20_000))?;
        self.money(service, who, &["topup", &card, "20.00", "--json"], Flow::TopUps, Purses::cash(2000))?;
        Ok(())
    }

    /// A subsidy that was paid in twice is taken back.
    pub(super) fn void_grant(&mut self, service: &mut Running) -> io::Result<()> {
        let who = self.somebody();
        let id = self.model.accounts[who].id.clone();
        self.say(&format!(
            "{} gets a subsidy of 50.00 by mistake; the desk takes it back",
            self.model.accounts[who].holder
        ));
        let words = ["subsidy", "--account", &id, "50.00", "--json"];
        let granted = self.money(service, who, &words, Flow::Subsidies, Purses::subsidy(5000))?;
        let Some(answer) = granted else { return Ok(()) };
        let seq = answer.number::<u64>("seq").unwrap_or_default().to_string();
        self.money(service, who, &["void", &seq, "--json"], Flow::SubsidyVoids, Purses::subsidy(-5000))?;
        Ok(())
    }

    pub(super) fn adjust(&mut self, service: &mut Running) -> io::Result<()> {
        let who = self.somebody();
        let card = self.model.accounts[who].card.to_string();
        let words = ["adjust", &card, "+1.50", "--json", "--note", "盘点"];
        self.money(service, who, &words, Flow::Adjusts, Purses::cash(150)).map(drop)
    }

    pub(super) fn lose(&mut self, service: &mut Running, who: usize) -> io::Result<()> {
        let own = &self.model.accounts[who];
        let card = own.card.to_string();
        self.say(&format!("{} loses the card {card}: it is blocked", own.holder));
        if self.order(service, &["lost", &card, "--json"])?.is_some() {
            self.model.accounts[who].standing = Standing::Lost;
        }
        Ok(())
    }

    pub(super) fn replace(&mut self, service: &mut Running, who: usize) -> io::Result<()> {
        let own = &self.model.accounts[who];
        let (old, new) = (own.card.to_string(), (SPARE_CARD + 1).to_string());
        self.say(&format!("{} gets the card {new} for it", own.holder));
        if self.order(service, &["replace", &old, &new, "--json"])?.is_some() {
            let own = &mut self.model.accounts[who];
            (own.card, own.standing) = (SPARE_CARD + 1, Standing::Good);
            self.trust_everybody();
        }
        Ok(())
    }

    /// Somebody leaves: the subsidy goes back to the employer, the cash to the holder.
    pub(super) fn leave(&mut self, service: &mut Running, who: usize) -> io::Result<()> {
        let own = &self.model.accounts[who];
        let (card, id, held) = (own.card.to_string(), own.id.clone(), own.held);
        let [cash, subsidy] = [held.cash, held.subsidy].map(yuan);
        self.say(&format!("{} leaves: {subsidy} of subsidy are cleared, {cash} of cash paid out", own.holder));
        if self.order(service, &["subsidy", "--account", &id, "--clear", "--json"])?.is_some() {
            self.model.clear(who);
        }
        if held.cash > 0 {
            let words = ["payout", &card, "all", "--yes", "--json"];
            self.money(service, who, &words, Flow::PayOuts, Purses::cash(-held.cash))?;
        }
        if self.order(service, &["close", &card, "--yes", "--json"])?.is_some() {
            self.model.accounts[who].standing = Standing::Closed;
        }
        Ok(())
    }

    /// Undoes somebody's last sale of today, or a part of it.
    pub(super) fn void(&mut self, service: &mut Running, who: usize, part: Option<i64>) -> io::Result<()> {
        let Some((sale, _)) = self.last[who].filter(|(_, day)| *day == self.today()) else { return Ok(()) };
        let cost = self.model.sales[sale].paid.both();
        // All of it is no part.
        self.void_sale(service, sale, part.filter(|part| *part < cost))
    }

    fn void_sale(&mut self, service: &mut Running, sale: usize, part: Option<i64>) -> io::Result<()> {
        let model::Sale { account: who, paid, back, .. } = self.model.sales[sale];
        if back == paid {
            return Ok(());
        }
        let card = self.model.accounts[who].card.to_string();
        let Some(seq) = self.seq_of(service, &card, paid)? else {
            self.differs(who, "its last entries", &format!("a sale of {paid}"), "none");
            return Ok(());
        };
        let amount = part.map(yuan);
        let mut words = vec!["void", &seq, "--card", &card, "--json"];
        words.extend(amount.iter().flat_map(|amount| ["--amount", amount]));
        if let Some(answer) = self.order(service, &words)? {
            self.model.void_sale(sale, part);
            self.compare(who, &words, &answer);
            self.tally.orders += 1;
        }
        Ok(())
    }

    /// A sale of the month is undone after its clear: the subsidy that paid for it stays away.
    pub(super) fn void_after_clear(&mut self, service: &mut Running) -> io::Result<()> {
        let is_whole = |sale: &model::Sale| sale.paid.subsidy > 0 && sale.back == Purses::default();
        let sales = self.last.iter().flatten().map(|(sale, _)| *sale);
        let sales = sales.filter(|sale| is_whole(&self.model.sales[*sale]));
        // One that both purses paid tells most.
        let Some(sale) = sales.max_by_key(|sale| (self.model.sales[*sale].paid.cash > 0, *sale)) else { return Ok(()) };
        let model::Sale { account, paid, .. } = self.model.sales[sale];
        self.say(&format!(
            "a sale of {} is undone after the clear: {} of cash come back, {} of subsidy do not",
            self.model.accounts[account].holder,
            yuan(paid.cash),
            yuan(paid.subsidy)
        ));
        self.void_sale(service, sale, None)
    }

    /// The number of a card's last sale that took this, as the desk finds it.
    fn seq_of(&mut self, service: &mut Running, card: &str, paid: Purses) -> io::Result<Option<String>> {
        let Some(answer) = self.order(service, &["card", card, "--json"])? else { return Ok(None) };
        let is_it = |entry: &&Value| {
            let member = |name| entry.text(name).and_then(fen);
            let is_sale = matches!(entry.text("kind"), Some("charge" | "meal"));
            is_sale && member("amount") == Some(-paid.cash) && member("subsidy") == Some(-paid.subsidy)
        };
        let found = answer.list("entries").iter().rev().find(is_it);
        Ok(found.and_then(|entry| entry.number::<u64>("seq")).map(|seq| seq.to_string()))
    }

    /// An order that must be done; gives its answer.
    pub(super) fn order(&mut self, service: &mut Running, words: &[&str]) -> io::Result<Option<Value>> {
        let said = self.hall.ctl(service, words)?;
        if !self.expect_code(0, words, &said) {
            return Ok(None);
        }
        // Above the answer stands the key.
        let line = said.out.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default().to_owned();
        Said { out: line, ..said }.json().map(Some)
    }

    /// An order that moves an account; its answer says what that holds.
    fn money(
        &mut self,
        service: &mut Running,
        who: usize,
        words: &[&str],
        flow: Flow,
        by: Purses,
    ) -> io::Result<Option<Value>> {
        let answer = self.order(service, words)?;
        if let Some(answer) = &answer {
            self.model.order(who, flow, by);
            self.tally.orders += 1;
            self.compare(who, words, answer);
        }
        Ok(answer)
    }

    /// Compares the figures in an answer.
    fn compare(&mut self, who: usize, words: &[&str], answer: &Value) {
        let held = self.model.accounts[who].held;
        let member = |name| answer.text(name).and_then(fen);
        let found = member("balance").zip(member("subsidy")).map(|(cash, subsidy)| Purses { cash, subsidy });
        if found != Some(held) {
            let found = found.map_or_else(|| answer.to_string(), |found| found.to_string());
            self.differs(who, &words.join(" "), &held.to_string(), &found);
        }
    }

    pub(super) fn expect_code(&mut self, code: i32, words: &[&str], said: &Said) -> bool {
        let is_so = said.code == Some(code);
        if !is_so {
            let Said { code: found, out, complaint } = said;
            let (when, words) = (self.hall.civil(), words.join(" "));
            self.wrong
                .push(format!("{when} ctl {words}: expected exit code {code}, found {found:?}: {out}{complaint}"));
        }
        is_so
    }
}
