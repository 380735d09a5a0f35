//! `posgate cards diff`: what another card table would change, card by card and field by field.
//!
//! Both files are read as the server reads them, so a status in Chinese equals one in English. PINs
//! and member codes are secrets: it reports only that they changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use super::columns::{Column, LAYOUT};
use super::{CardFile, parse, read_file};
use crate::engine::gbk;
use crate::engine::model::rules::Names;
use crate::engine::model::{AccountId, Balance, CardNo, CardRecord, Figures};
use crate::files::problem::{Problem, Problems};
use crate::files::sheet::{self, value};
use crate::lang::tr;

/// A card table with the names of groups, which a [`CardRecord`] does not hold.
#[derive(Clone, Debug)]
pub struct Table {
    /// The cards.
    pub file: CardFile,
    groups: HashMap<u64, BTreeSet<String>>,
}

impl Table {
    /// Reads a card file.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the file's order.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        let bytes = read_file(path)?;
        let file = parse(&bytes, path, &Names::default())?;
        Ok(Self { file, groups: groups_by_card(&bytes, path) })
    }

    fn by_card(&self) -> BTreeMap<u64, &CardRecord> {
        self.file.records.iter().map(|record| (record.card.value(), record)).collect()
    }

    fn groups_of(&self, card: CardNo) -> String {
        let names = self.groups.get(&card.value()).into_iter().flatten();
        names.map(String::as_str).collect::<Vec<_>>().join(";")
    }
}

/// The groups of each card of a file that was parsed before.
fn groups_by_card(bytes: &[u8], path: &Path) -> HashMap<u64, BTreeSet<String>> {
    let (mut nobody, mut nothing) = (Problems::new(path), Problems::new(path));
    let mut groups = HashMap::new();
    sheet::read(bytes, &LAYOUT, &mut nobody, &mut nothing, |cells, _| {
        let names =
            cells.text(Column::Groups as usize).split([';', '；']).map(str::trim).filter(|name| !name.is_empty());
        if let Ok(card) = value::card(cells.text(Column::Card as usize)) {
            groups.insert(card.value(), names.map(str::to_owned).collect());
        }
    });
    groups
}

/// Figures of the new table that will not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The account.
    pub account: AccountId,
    /// The figures of the new table.
    pub figures: Figures,
    /// Those of the ledger, which has opened the account.
    pub opened: Figures,
}

/// What differs between two tables; its `Display` is the list.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Cards that only the new table has: number, account, name, and opening figures.
    pub new: Vec<String>,
    /// Cards that only the old table has.
    pub gone: Vec<String>,
    /// Cards of both tables that changed, a sentence each.
    pub changed: Vec<String>,
    /// The number of unchanged cards.
    pub same: usize,
    /// Figures that a start would ignore.
    pub ignored: Vec<Ignored>,
    /// Cards whose account in the new table would be ignored, because the ledger has another:
    /// number and sentence.
    pub elsewhere: Vec<(CardNo, String)>,
    /// Whether a reload would refuse the new table, because too many cards are gone.
    pub loses_many: bool,
}

impl Difference {
    /// Compares two tables. `opened`: what the accounts hold that the ledger has opened; empty
    /// without a ledger.
    pub fn between(old: &Table, new: &Table, opened: &HashMap<AccountId, Figures>) -> Self {
        let (before, after) = (old.by_card(), new.by_card());
        let mut difference = Self::default();
        for (card, record) in &after {
            match before.get(card) {
                None => difference.new.push(whole(record, new)),
                Some(was) => {
                    let changes = changes(was, record, old, new);
                    if changes.is_empty() {
                        difference.same += 1;
                    } else {
                        difference.changed.push(format!("{}: {}", head(record), changes.join("; ")));
                    }
                }
            }
        }
        for (card, record) in &before {
            if !after.contains_key(card) {
                difference.gone.push(head(record));
            }
        }
        difference.loses_many = super::whole::are_too_many_gone(difference.gone.len(), before.len());
        difference.ignored = ignored(old, new, opened);
        difference
    }
}

/// Opening figures by account: of rows that share one, the row that states them.
fn figures(table: &Table) -> BTreeMap<AccountId, Figures> {
    let records = table.file.records.iter();
    records.map(|record| (record.account, record.figures())).collect()
}

/// The new figures of accounts that are open: those that the old table did not have.
fn ignored(old: &Table, new: &Table, opened: &HashMap<AccountId, Figures>) -> Vec<Ignored> {
    let before = figures(old);
    let mut ignored = Vec::new();
    for (account, figures) in figures(new) {
        let was = before.get(&account).copied().unwrap_or_default();
        if let Some(opened) = opened.get(&account).filter(|_| was != figures) {
            ignored.push(Ignored { account, figures, opened: *opened });
        }
    }
    ignored
}

fn name(record: &CardRecord) -> String {
    gbk::decode(&record.name).into_owned()
}

fn head(record: &CardRecord) -> String {
    format!("{} {} {}", record.card, record.account, name(record)).trim_end().to_owned()
}

/// A new card, with each field that is not the default.
fn whole(record: &CardRecord, table: &Table) -> String {
    let nothing = CardRecord {
        subsidy: None,
        card: record.card,
        account: record.account,
        name: record.name.clone(),
        balance: None,
        uses: None,
        states_figures: false,
        department: String::new(),
        code: None,
        terms: crate::engine::model::card::Terms {
            status: crate::engine::model::CardStatus::Active,
            groups: crate::engine::model::GroupSet::default(),
            pin: None,
            duress_pin: None,
            valid_from: None,
            valid_until: None,
            charge_max: None,
            day_max: None,
            credit: crate::engine::model::Money::ZERO,
        },
        line: 0,
    };
    let none = Table { file: CardFile { records: Vec::new(), ..table.file.clone() }, groups: HashMap::new() };
    let set = changes(&nothing, record, &none, table);
    let words: Vec<String> = set.iter().map(|change| change.replace(" - → ", " ")).collect();
    if words.is_empty() { head(record) } else { format!("{}: {}", head(record), words.join("; ")) }
}

fn text<T: fmt::Display>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// The fields that differ, in the order of the columns.
fn changes(was: &CardRecord, now: &CardRecord, old: &Table, new: &Table) -> Vec<String> {
    let mut list = Vec::new();
    let mut compare = |column: Column, was: Option<String>, now: Option<String>| {
        if was != now {
            let shown = |value: Option<String>| value.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
            list.push(format!("{} {} → {}", column.spec().english, shown(was), shown(now)));
        }
    };
    // An empty figure and a zero open an account alike.
    let money = |value: Option<Balance>| text(value.filter(|balance| *balance != Balance::ZERO));
    let (before, after) = (&was.terms, &now.terms);
    compare(Column::Account, text(Some(&was.account)), text(Some(&now.account)));
    compare(Column::Name, Some(name(was)), Some(name(now)));
    compare(Column::Status, text(Some(before.status.word())), text(Some(after.status.word())));
    compare(Column::Balance, money(was.balance), money(now.balance));
    compare(Column::Subsidy, money(was.subsidy), money(now.subsidy));
    compare(Column::Uses, text(was.uses.filter(|uses| *uses != 0)), text(now.uses.filter(|uses| *uses != 0)));
    compare(Column::Department, Some(was.department.clone()), Some(now.department.clone()));
    compare(Column::Groups, Some(old.groups_of(was.card)), Some(new.groups_of(now.card)));
    compare(Column::ValidFrom, text(before.valid_from), text(after.valid_from));
    compare(Column::ValidUntil, text(before.valid_until), text(after.valid_until));
    compare(Column::ChargeMax, text(before.charge_max), text(after.charge_max));
    compare(Column::DayMax, text(before.day_max), text(after.day_max));
    compare(Column::Credit, text(Some(before.credit)), text(Some(after.credit)));
    for (column, is_changed) in [
        (Column::Pin, before.pin != after.pin),
        (Column::DuressPin, before.duress_pin != after.duress_pin),
        (Column::Code, was.code != now.code),
    ] {
        if is_changed {
            list.push(tr!("{} changed", "{} 改了", column.spec().english));
        }
    }
    list
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, lines) in [
            (tr("new      ", "新增     "), &self.new),
            (tr("gone     ", "去掉     "), &self.gone),
            (tr("changed  ", "改动     "), &self.changed),
        ] {
            for line in lines {
                writeln!(f, "{word}{line}")?;
            }
        }
        for Ignored { account, figures: Figures { balance, subsidy, uses }, opened } in &self.ignored {
            writeln!(
                f,
                "{}",
                tr!(
                    "ignored  {account}: balance {balance} subsidy {subsidy} uses {uses}: the account is open in the ledger with {}, {} of subsidy and {} uses, which count; use `posgate ctl topup`, `subsidy` or `adjust`",
                    "不起作用 {account}：余额 {balance} 补贴 {subsidy} 次数 {uses}：账本里已开户，有 {} 元、补贴 {} 元、{} 次，以账本为准；请用 `posgate ctl topup`、`subsidy` 或 `adjust`",
                    opened.balance,
                    opened.subsidy,
                    opened.uses
                )
            )?;
        }
        for (card, sentence) in &self.elsewhere {
            writeln!(f, "{}{card}: {sentence}", tr("ignored  ", "不起作用 "))?;
        }
        if self.loses_many {
            writeln!(
                f,
                "{}",
                tr(
                    "note     so many cards would be gone that a reload refuses the file; it says how to accept it nevertheless",
                    "注意     去掉的卡太多，重读会拒绝这个文件；它会说明怎样仍然采用"
                )
            )?;
        }
        let Self { new, gone, changed, same, ignored, elsewhere, .. } = self;
        f.write_str(&tr!(
            "{} new, {} gone, {} changed, {same} the same; {} figures ignored",
            "新增 {}，去掉 {}，改动 {}，相同 {same}；不起作用的开户数 {}",
            new.len(),
            gone.len(),
            changed.len(),
            ignored.len()
        ))?;
        match elsewhere.len() {
            0 => Ok(()),
            count => f.write_str(&tr!(
                "; {count} cards keep other accounts, as the ledger has them",
                "；{count} 张卡在账本里属于别的账户，以账本为准"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        let path = Path::new("cards.csv");
        let file = parse(text.as_bytes(), path, &Names::default()).unwrap_or_else(|problems| panic!("{problems:?}"));
        Table { file, groups: groups_by_card(text.as_bytes(), path) }
    }

    fn between(old: &str, new: &str) -> Difference {
        Difference::between(&table(old), &table(new), &HashMap::new())
    }

    #[test]
    fn every_field_that_changed_is_named_and_no_secret_is() {
        let old = "card,account,name,status,balance,uses,groups,pin,duress_pin,valid_from,valid_until,charge_max,day_max,credit,code\n\
                   1,A,张三,正常,1.00,2,staff;guest,1111,2222,2026-01-01,2026-12-31,5,10,0,SECRET-1\n";
        let new = "card,account,name,status,balance,uses,groups,pin,duress_pin,valid_from,valid_until,charge_max,day_max,credit,code\n\
                   1,B,张三丰,lost,2.00,3,staff,3333,4444,2026-01-02,2027-12-31,6,11,1,SECRET-2\n";
        let difference = between(old, new);
        assert_eq!((difference.new.len(), difference.gone.len(), difference.changed.len()), (0, 0, 1));
        let text = difference.to_string();
        for words in [
            "account A → B",
            "name 张三 → 张三丰",
            "status active → lost",
            "balance 1.00 → 2.00",
            "uses 2 → 3",
            "groups guest;staff → staff",
            "valid_from 2026-01-01 → 2026-01-02",
            "valid_until 2026-12-31 → 2027-12-31",
            "charge_max 5.00 → 6.00",
            "day_max 10.00 → 11.00",
            "credit 0.00 → 1.00",
            "; pin changed",
            "duress_pin changed",
            "code changed",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        for secret in ["1111", "2222", "3333", "4444", "SECRET"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }

    #[test]
    fn another_notation_is_not_a_change() {
        let difference = between(
            "card,状态,有效期止,groups,balance\n0001,正常,2026/6/1,a;b,\n",
            "card,status,valid_until,groups,balance\n1,active,2026-06-01,b;a,0.00\n",
        );
        assert_eq!(difference.to_string(), "0 new, 0 gone, 0 changed, 1 the same; 0 figures ignored");
    }

    #[test]
    fn new_cards_say_what_they_open_with_and_gone_ones_are_counted() {
        let difference = between("card,name\n1,a\n2,b\n", "card,name,balance\n1,a,\n3,张三,5\n");
        let text = difference.to_string();
        assert!(text.contains("new      0000000003 @0000000003 张三: balance 5.00\n"), "{text}");
        assert!(text.contains("gone     0000000002 @0000000002 b\n"), "{text}");
        // The rule is that of a reload: more than a tenth, and more than three.
        assert!(!text.contains("a reload refuses"), "{text}");
        let cards =
            |first: u32| table(&format!("card\n{}", (first..=40).map(|card| format!("{card}\n")).collect::<String>()));
        for (gone, is_refused) in [(4, false), (5, true)] {
            let difference = Difference::between(&cards(1), &cards(1 + gone), &HashMap::new());
            assert_eq!(
                (difference.loses_many, difference.to_string().contains("a reload refuses")),
                (is_refused, is_refused)
            );
        }
    }

    #[test]
    fn figures_of_open_accounts_are_ignored_and_reported() {
        let opened = Figures { balance: Balance::from_fen(9450), ..Figures::ZERO };
        let open = HashMap::from([(AccountId::try_from("A").unwrap(), opened)]);
        let old = table("card,account,balance\n1,A,100\n2,B,100\n");
        let new = table("card,account,balance\n1,A,200\n2,B,200\n");
        let difference = Difference::between(&old, &new, &open);
        assert_eq!(difference.ignored.len(), 1);
        assert!(
            difference.to_string().contains(
                "ignored  A: balance 200.00 subsidy 0.00 uses 0: the account is open in the ledger with 94.50"
            )
        );
        assert!(Difference::between(&new, &new, &open).ignored.is_empty());
    }
}
