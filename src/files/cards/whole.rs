//! Whether a card table is whole, compared with the one before it: the table in service at a
//! reload, the good copy at a start (design.md, section 5).
//!
//! A table that a power failure cut, that lost a column in a spreadsheet, or whose rows shifted,
//! still reads without an error. What always holds: a person can accept a refused table by the
//! file's crc; a table with none of these changes is accepted.

use super::CardFile;
use super::columns::Column;
use crate::engine::model::text::HiddenAccount;
use crate::engine::model::{AccountHistory, AccountId, CardNo, CardTable, IncomingTable};
use crate::lang::tr;

/// Columns that restrict or identify cards. If one is missing, its restrictions are too.
const RESTRICTING: [Column; 11] = [
    Column::Status,
    Column::Groups,
    Column::Pin,
    Column::DuressPin,
    Column::ValidFrom,
    Column::ValidUntil,
    Column::ChargeMax,
    Column::DayMax,
    Column::Credit,
    Column::Code,
    Column::Account,
];

/// Cards that a sentence names; further ones are counted.
const SHOWN_MAX: usize = 3;

/// Cards that are gone and that the answer to a reload names.
const CARDS_NAMED: usize = 20;

/// A table that was accepted before, with the columns of its file.
#[derive(Clone, Copy)]
pub enum Before<'b> {
    /// That of a file.
    File(&'b IncomingTable, &'b [Column]),
    /// The one in service, whose rows name accounts of the ledger.
    Service(&'b CardTable, &'b dyn AccountHistory, &'b [Column]),
}

impl<'b> Before<'b> {
    fn len(self) -> usize {
        match self {
            Self::File(table, _) => table.len(),
            Self::Service(table, ..) => table.len(),
        }
    }

    fn card(self, row: usize) -> CardNo {
        match self {
            Self::File(table, _) => table.card(row),
            Self::Service(table, ..) => CardNo::from_value(table.row(row).card),
        }
    }

    fn account(self, card: CardNo) -> Option<&'b AccountId> {
        match self {
            Self::File(table, _) => table.find(card).map(|row| &table.account(row).id),
            Self::Service(table, book, _) => table.account_of(card).and_then(|row| book.name_of(row)),
        }
    }

    fn columns(self) -> &'b [Column] {
        let (Self::File(_, columns) | Self::Service(_, _, columns)) = self;
        columns
    }
}

/// The history without a ledger: no account has moved.
#[derive(Clone, Copy, Debug)]
pub struct NoHistory;

impl AccountHistory for NoHistory {
    fn has_moved(&self, _: &AccountId) -> bool {
        false
    }

    fn account_of(&self, _: CardNo) -> Option<AccountId> {
        None
    }
}

/// Reasons against accepting a file after the table before it, a sentence each; empty if the file
/// is whole.
pub fn compare(before: Before, after: &CardFile, ledger: &dyn AccountHistory) -> Vec<String> {
    let mut comparison = Comparison::default();
    while comparison.step(before, &after.table, usize::MAX) {}
    comparison.sentences(before, &after.table, &after.columns(), ledger)
}

/// A comparison in steps. The tables must not change meanwhile; the ledger may.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Rows of the table before, and of the new one, that were looked at.
    old: usize,
    new: usize,
    gone: usize,
    /// The first cards that are gone.
    gone_cards: Vec<CardNo>,
    /// Rows of the new table whose card was not on their account.
    moved: Vec<u32>,
}

impl Comparison {
    /// Looks at no more than `count` rows of each table; `false` if it has looked at all.
    pub fn step(&mut self, before: Before, after: &IncomingTable, count: usize) -> bool {
        let old = self.old..before.len().min(self.old.saturating_add(count));
        self.old = old.end;
        for card in old.map(|row| before.card(row)).filter(|card| after.find(*card).is_none()) {
            self.gone += 1;
            if self.gone_cards.len() < CARDS_NAMED {
                self.gone_cards.push(card);
            }
        }
        let new = self.new..after.len().min(self.new.saturating_add(count));
        self.new = new.end;
        let is_moved = |row: &usize| before.account(after.card(*row)) != Some(&after.account(*row).id);
        self.moved.extend(new.filter(is_moved).filter_map(|row| u32::try_from(row).ok()));
        self.old < before.len() || self.new < after.len()
    }

    /// How many cards are gone, and the first ones.
    pub fn gone(&self) -> (usize, &[CardNo]) {
        (self.gone, &self.gone_cards)
    }

    /// Reasons against the new table, a sentence each, by the ledger as it is now; after the last
    /// step.
    pub fn sentences(
        &self,
        before: Before,
        after: &IncomingTable,
        columns: &[Column],
        ledger: &dyn AccountHistory,
    ) -> Vec<String> {
        let lost_columns = lost_columns(before.columns(), columns);
        let sentences = [self.lost_cards(before.len()), lost_columns, self.strange_accounts(after, ledger)];
        sentences.into_iter().flatten().collect()
    }

    fn lost_cards(&self, of: usize) -> Option<String> {
        if !are_too_many_gone(self.gone, of) {
            return None;
        }
        let what =
            if self.gone == of { tr("all of them", "全部") } else { tr("more than a tenth", "超过十分之一") };
        let named = named(self.gone_cards.iter().map(|card| card.padded().masked().to_string()), self.gone);
        Some(tr!("it lacks {} of {of} cards, {what}: {named}", "{of} 张卡里少了 {} 张，{what}：{named}", self.gone))
    }

    /// Cards that would get accounts with somebody's money.
    fn strange_accounts(&self, after: &IncomingTable, ledger: &dyn AccountHistory) -> Option<String> {
        let rows = self.moved.iter().map(|row| *row as usize);
        let strange: Vec<usize> = rows
            .filter(|row| ledger.has_moved(&after.account(*row).id))
            // A card that has moved money keeps its account in the ledger, whatever the table says.
            .filter(|row| ledger.account_of(after.card(*row)).is_none())
            .collect();
        let sentence = |row: &usize| {
            let (line, card) = (after.line(*row), after.card(*row));
            let (card, account) = (card.masked(), &after.account(*row).id);
            tr!("line {line}: card {card} on account {}", "第 {line} 行：卡 {card} 在账户 {}", HiddenAccount(account))
        };
        let named = named(strange.iter().map(sentence), strange.len());
        (!strange.is_empty()).then(|| {
            tr!(
                "it puts cards on accounts that have moved money and that they were not on before: {named}",
                "把卡放到了动过账、以前不是它们的账户上：{named}"
            )
        })
    }
}

/// Whether `gone` of `of` cards are too many to be missing from a whole table: all, or more than a
/// tenth and more than three.
pub(super) const fn are_too_many_gone(gone: usize, of: usize) -> bool {
    of > 0 && (gone == of || (gone > 3 && gone * 10 > of))
}

fn lost_columns(before: &[Column], after: &[Column]) -> Option<String> {
    let is_gone = |column: &&Column| before.contains(column) && !after.contains(column);
    let gone: Vec<String> = RESTRICTING.iter().filter(is_gone).map(|column| column.label()).collect();
    let is_one = gone.len() == 1;
    let words = if is_one {
        tr("a column that was there", "原来有的一列")
    } else {
        tr("columns that were there", "原来有的几列")
    };
    (!gone.is_empty()).then(|| tr!("it lacks {words}: {}", "少了{words}：{}", gone.join(", ")))
}

fn named(names: impl Iterator<Item = String>, count: usize) -> String {
    let shown: Vec<String> = names.take(SHOWN_MAX).collect();
    let more = count.saturating_sub(SHOWN_MAX);
    if more == 0 { shown.join(", ") } else { tr!("{} and {more} more", "{}，还有 {more} 个", shown.join(", ")) }
}

/// The reasons against a file, and how to accept it nevertheless by its crc.
pub fn refusal(sentences: &[String], crc: u32) -> String {
    tr!(
        "{}: if this is right, `posgate ctl reload --accept {crc:08x}` takes just this file",
        "{}：如果没错，`posgate ctl reload --accept {crc:08x}` 只采用这个文件",
        sentences.join("; ")
    )
}

/// Whether a configuration is the beginning of its good copy and its last line has no LF, even if
/// that line is whole: nobody removes sections together with the LF before them.
pub fn has_lost_its_end(bytes: &[u8], copy: &[u8]) -> bool {
    let Some(rest) = copy.strip_prefix(bytes) else { return false };
    !bytes.is_empty() && !bytes.ends_with(b"\n") && !rest.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::model::rules::Names;

    /// Accounts that have moved, and cards that have moved money with their accounts.
    struct Known(Vec<&'static str>, Vec<(u64, &'static str)>);

    impl AccountHistory for Known {
        fn has_moved(&self, account: &AccountId) -> bool {
            self.0.contains(&account.as_str())
        }

        fn account_of(&self, card: CardNo) -> Option<AccountId> {
            let found = self.1.iter().find(|(known, _)| *known == card.value());
            found.map(|(_, account)| AccountId::try_from(*account).unwrap())
        }
    }

    fn file(text: &str) -> CardFile {
        super::super::parse(text.as_bytes(), Path::new("cards.csv"), &Names::default()).unwrap()
    }

    fn of_cards(cards: impl Iterator<Item = u64>) -> CardFile {
        file(&format!("card\n{}", cards.map(|card| format!("{card}\n")).collect::<String>()))
    }

    fn said(before: &CardFile, after: &CardFile, ledger: &Known) -> Vec<String> {
        compare(Before::File(&before.table, &before.columns()), after, ledger)
    }

    #[test]
    fn a_tenth_and_three_cards_may_be_missing_and_never_all() {
        let nothing = Known(Vec::new(), Vec::new());
        for (of, gone, is_whole) in [
            (100, 0, true),
            (100, 10, true),
            (100, 11, false),
            (40, 4, true),
            (39, 4, false),
            (31, 3, true),
            (12, 3, true),
            (12, 4, false),
            (4, 3, true),
            (4, 4, false),
            (3, 3, false),
            (1, 1, false),
            (1, 0, true),
        ] {
            let (before, after) = (of_cards(1..=of), of_cards(1 + gone..=of));
            assert_eq!(said(&before, &after, &nothing).is_empty(), is_whole, "{gone} of {of}");
            // New cards do not replace missing ones.
            let after = of_cards((1 + gone..=of).chain(1000..1200));
            assert_eq!(said(&before, &after, &nothing).is_empty(), is_whole, "{gone} of {of}");
        }
        let sentence = said(&of_cards(8_888_888_801..=8_888_888_850), &file(""), &nothing);
        assert_eq!(sentence, ["it lacks 50 of 50 cards, all of them: ****8801, ****8802, ****8803 and 47 more"]);
        // The table before had no cards, so none is missing.
        assert!(said(&file("card\n"), &of_cards(1..=3), &nothing).is_empty());
    }

    #[test]
    fn no_restricting_column_may_be_missing() {
        let nothing = Known(Vec::new(), Vec::new());
        let all = "card,account,name,balance,subsidy,uses,department,status,groups,pin,duress_pin,valid_from,valid_until,charge_max,day_max,credit,code";
        let table = |names: &[&str]| {
            let row: Vec<&str> = names.iter().map(|name| if *name == "card" { "1" } else { "" }).collect();
            file(&format!("{}\n{}\n", names.join(","), row.join(",")))
        };
        let names: Vec<&str> = all.split(',').collect();
        let before = table(&names);
        for (place, name) in names.iter().enumerate().skip(1) {
            let mut fewer = names.clone();
            fewer.remove(place);
            let sentences = said(&before, &table(&fewer), &nothing);
            let may_go = matches!(*name, "name" | "balance" | "subsidy" | "uses" | "department");
            assert_eq!(sentences.is_empty(), may_go, "{name}: {sentences:?}");
            assert!(may_go || sentences[0].contains(&format!("/{name}")), "{sentences:?}");
            // A new column is not a missing one.
            assert!(said(&table(&fewer), &before, &nothing).is_empty());
        }
        // Another order, and the Chinese name.
        assert!(said(&table(&["card", "status", "pin"]), &table(&["密码", "card", "状态"]), &nothing).is_empty());
    }

    #[test]
    fn no_card_gets_an_account_with_somebody_elses_money() {
        let moved = Known(vec!["S1", "@0000000009"], vec![(1, "S1"), (9, "@0000000009")]);
        let before = file("card,account\n1,S1\n2,S2\n3,S1\n");
        for (after, is_whole) in [
            ("card,account\n1,S1\n2,S2\n3,S1\n", true),
            // A typing error, a new card, rows that shifted.
            ("card,account\n1,S1\n2,S1\n3,S1\n", false),
            ("card,account\n1,S1\n2,S2\n3,S1\n4,S1\n", false),
            ("card,account\n1,S2\n2,S1\n3,S3\n", false),
            // A card that has moved money keeps its account; an account that has not moved belongs
            // to nobody yet.
            ("card,account\n1,S2\n2,S2\n3,S1\n", true),
            ("card,account\n1,S9\n2,S8\n3,S1\n4,S2\n", true),
            // A card that was unknown and bought something offline has an account of its own.
            ("card,account\n1,S1\n2,S2\n3,S1\n9,\n", true),
        ] {
            let sentences = said(&before, &file(after), &moved);
            assert_eq!(sentences.is_empty(), is_whole, "{after}: {sentences:?}");
        }
        let sentences = said(&before, &file("card,account\n1,S1\n2,S1\n3,S1\n"), &moved);
        assert!(sentences[0].ends_with("not on before: line 3: card ****0002 on account S1"), "{sentences:?}");
    }

    #[test]
    fn a_configuration_that_is_a_beginning_without_a_line_end_was_cut() {
        let copy = b"card,charge_max\r\n88,100.00\r\n89,5.00\r\n";
        // The last line of a configuration may be whole.
        for len in 0..=copy.len() {
            let is_lost = ![0, 17, 28].contains(&len) && len < 35;
            assert_eq!(has_lost_its_end(&copy[..len], copy), is_lost, "{len}");
        }
        assert!(!has_lost_its_end(b"card,charge_max\r\n89,1", copy), "another file");
    }
}
