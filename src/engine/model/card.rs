//! Cards of the card table, in memory of a fixed capacity (design.md, section 5).
//!
//! The card table states each card's holder, its limits and its account's opening figures. The book
//! has what happened since.

use core::fmt::Write as _;
use core::num::NonZeroU32;

use super::figures::Figures;
use super::ids::{AccountId, CardNo};
use super::money::{Balance, Money};
use super::text::Text;
use super::time::Date;
use crate::engine::index::{GrowingIndex, hash_bytes, hash_number, hash_words};
use crate::engine::limits::{CARD_TEXT_MAX, CARDS_MAX};

/// A card's status, by strictness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CardStatus {
    /// 正常.
    #[default]
    Active,
    /// 冻结.
    Frozen,
    /// 挂失.
    Lost,
    /// 注销. The strictest.
    Closed,
}

impl CardStatus {
    /// All statuses, the strictest last.
    pub const ALL: &[Self] = &[Self::Active, Self::Frozen, Self::Lost, Self::Closed];

    /// The word in the table and the ledger.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Frozen => "frozen",
            Self::Lost => "lost",
            Self::Closed => "closed",
        }
    }

    /// The status that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.word() == word)
    }
}

/// An order about a card's state: it sets a mark or ends one (design.md, section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// `lost`.
    Lost,
    /// `found`: ends `Lost`.
    Found,
    /// `freeze`.
    Frozen,
    /// `unfreeze`: ends `Frozen`.
    Unfrozen,
    /// `close`: nothing ends it but a reissue of the number.
    Closed,
}

impl Mark {
    /// All marks.
    pub const ALL: &[Self] = &[Self::Lost, Self::Found, Self::Frozen, Self::Unfrozen, Self::Closed];

    /// The ledger's word: `status=` of a `status` entry.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Found => "found",
            Self::Frozen => "frozen",
            Self::Unfrozen => "unfrozen",
            Self::Closed => "closed",
        }
    }

    /// The status that the order sets or ends.
    pub const fn status(self) -> CardStatus {
        match self {
            Self::Lost | Self::Found => CardStatus::Lost,
            Self::Frozen | Self::Unfrozen => CardStatus::Frozen,
            Self::Closed => CardStatus::Closed,
        }
    }

    /// Whether the order ends a mark.
    pub const fn is_end(self) -> bool {
        match self {
            Self::Found | Self::Unfrozen => true,
            Self::Lost | Self::Frozen | Self::Closed => false,
        }
    }
}

/// The marks of a card. Each is set and ended by its own orders, so none hides another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    is_frozen: bool,
    is_lost: bool,
    is_closed: bool,
}

impl Marks {
    /// From the marks' words, divided by commas; `None` for an unknown word.
    pub(crate) fn from_words(words: &str) -> Option<Self> {
        let mut marks = Self::default();
        for word in words.split(',').filter(|word| !word.is_empty()) {
            match CardStatus::from_word(word)? {
                CardStatus::Active => return None,
                status => *marks.place_of(status)? = true,
            }
        }
        Some(marks)
    }

    /// Sets or ends a mark.
    pub fn apply(&mut self, mark: Mark) {
        if let Some(place) = self.place_of(mark.status()) {
            *place = !mark.is_end();
        }
    }

    fn place_of(&mut self, status: CardStatus) -> Option<&mut bool> {
        match status {
            CardStatus::Active => None,
            CardStatus::Frozen => Some(&mut self.is_frozen),
            CardStatus::Lost => Some(&mut self.is_lost),
            CardStatus::Closed => Some(&mut self.is_closed),
        }
    }

    /// Whether the mark of this status is set; for `Active`: whether none is set.
    pub fn has(self, status: CardStatus) -> bool {
        match status {
            CardStatus::Active => self == Self::default(),
            CardStatus::Frozen => self.is_frozen,
            CardStatus::Lost => self.is_lost,
            CardStatus::Closed => self.is_closed,
        }
    }

    /// The marks that are set, the least strict first.
    pub(crate) fn statuses(self) -> impl Iterator<Item = CardStatus> {
        CardStatus::ALL[1..].iter().copied().filter(move |status| self.has(*status))
    }

    /// The strictest mark.
    pub fn status(self) -> CardStatus {
        self.statuses().last().unwrap_or_default()
    }
}

/// A set of names of groups (or places): one bit per name in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSet(pub u64);

impl GroupSet {
    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether both sets have a name in common.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a rule with this set applies to a card of `groups`. A rule without names applies to
    /// all.
    pub const fn admits(self, groups: Self) -> bool {
        self.is_empty() || self.meets(groups)
    }
}

/// A PIN of one to eight digits. It is compared and never written to ledger, log or status.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The digits after a leading 1, as a number. So leading zeros count, and an `Option` of it
    /// takes no more room.
    marked: NonZeroU32,
}

impl Pin {
    /// From one to eight digits; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > 8 || !text.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let marked = text.iter().fold(1, |value, digit| value * 10 + u32::from(digit - b'0'));
        NonZeroU32::new(marked).map(|marked| Self { marked })
    }

    /// The digits as keyed, only for the frames of virtual devices.
    pub fn digits(&self) -> Text<8> {
        let mut text = Text::<9>::new();
        write!(text, "{}", self.marked).expect("a PIN has at most eight digits");
        Text::try_from(&text[1..]).expect("without its mark")
    }
}

impl core::fmt::Debug for Pin {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Pin(****)")
    }
}

/// A card's rules in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// 状态, by the table; the ledger may be stricter.
    pub status: CardStatus,
    /// 分组: the groups that the configuration names.
    pub groups: GroupSet,
    /// 密码: needed at doors that ask for one.
    pub pin: Option<Pin>,
    /// 胁迫密码: opens as `pin` does and raises an alarm.
    pub duress_pin: Option<Pin>,
    /// 有效期起: the first day.
    pub valid_from: Option<Date>,
    /// 有效期止: the last day.
    pub valid_until: Option<Date>,
    /// 单笔限额: per sale.
    pub charge_max: Option<Money>,
    /// 日限额: per business day.
    pub day_max: Option<Money>,
    /// 透支额度: how far below zero the balance may go.
    pub credit: Money,
}

impl Terms {
    fn hash(&self) -> u32 {
        let pin = |pin: Option<Pin>| pin.map_or(0, |pin| u64::from(pin.marked.get()));
        let date = |date: Option<Date>| date.map_or(0, |date| u64::from(date.0.cast_unsigned()) + 1);
        let money = |money: Option<Money>| money.map_or(0, |money| u64::from(money.fen()) + 1);
        let words = [
            self.groups.0,
            pin(self.pin) << 32 | pin(self.duress_pin),
            date(self.valid_from) << 32 ^ date(self.valid_until),
            money(self.charge_max) << 32 ^ money(self.day_max),
            u64::from(self.credit.fen()) << 8 | self.status as u64,
        ];
        hash_words(words)
    }
}

/// A row of a card file, parsed and checked.
#[derive(Clone, Debug)]
pub struct CardRecord {
    /// 卡号.
    pub card: CardNo,
    /// 编号; the card's own (`@` and ten digits) if the file names none.
    pub account: AccountId,
    /// 姓名 as displays show it: GBK, without control characters, cut to its length.
    pub name: Vec<u8>,
    /// 余额: the opening figure of the account; `None` if the field is empty.
    pub balance: Option<Balance>,
    /// 补贴: the opening figure of the account; `None` if the field is empty.
    pub subsidy: Option<Balance>,
    /// 次数: the opening figure of the account; `None` if the field is empty.
    pub uses: Option<i32>,
    /// 部门, for people; no rule uses it.
    pub department: String,
    /// Whether this row itself states an opening figure; its account may get figures from another
    /// row.
    pub states_figures: bool,
    /// 二维码: a static member code; at most [`crate::engine::limits::CODE_LEN_MAX`] bytes.
    pub code: Option<Vec<u8>>,
    /// What the card may do.
    pub terms: Terms,
    /// The line in the file, from 1.
    pub line: u32,
}

impl CardRecord {
    /// The row's opening figures; an empty field is zero.
    pub fn figures(&self) -> Figures {
        Figures {
            balance: self.balance.unwrap_or_default(),
            subsidy: self.subsidy.unwrap_or_default(),
            uses: self.uses.unwrap_or_default(),
        }
    }
}

/// The ledger's data for checks of a card table.
pub trait AccountHistory {
    /// Whether the account has moved money.
    fn has_moved(&self, account: &AccountId) -> bool;

    /// The account that the ledger has for the card.
    fn account_of(&self, card: CardNo) -> Option<AccountId>;

    /// The name of the account in a row that the table in service refers to.
    fn name_of(&self, _row: u32) -> Option<&AccountId> {
        None
    }
}

/// A card of the table in service.
#[derive(Clone, Debug)]
pub struct CardRow {
    /// The card number's value.
    pub card: u64,
    /// The row of its account in the book.
    pub account: u32,
    /// Index of the holder's name in the table's text; the member code follows it.
    text: u32,
    name_len: u8,
    code_len: u8,
    /// The card's rules.
    pub terms: Terms,
}

impl CardRow {
    /// This row's name and rules for another card and account.
    #[must_use]
    pub fn serving(self, card: CardNo, account: u32) -> Self {
        Self { card: card.value(), account, ..self }
    }
}

/// A card as it is kept: a third of a [`CardRow`], because most cards share their rules with many
/// others.
#[derive(Clone, Debug)]
struct Packed {
    card: u64,
    /// The row of its account in the book; until the table is in service, its account's place among
    /// the table's.
    account: u32,
    text: u32,
    /// The place of its rules among the table's.
    terms: u32,
    name_len: u8,
    code_len: u8,
    /// Whether the row itself states an opening figure.
    states_figures: bool,
}

/// Cards, found by number or member code in O(1).
#[derive(Clone, Debug, Default)]
struct Cards {
    rows: Vec<Packed>,
    text: Vec<u8>,
    terms: Vec<Terms>,
    by_card: GrowingIndex,
    by_code: GrowingIndex,
}

impl Cards {
    const NONE: &Self = &Self {
        rows: Vec::new(),
        text: Vec::new(),
        terms: Vec::new(),
        by_card: GrowingIndex::new(),
        by_code: GrowingIndex::new(),
    };

    fn find(&self, card: CardNo) -> Option<u32> {
        let value = card.value();
        self.by_card.find(hash_number(value), |row| self.rows[row as usize].card == value)
    }

    fn find_code(&self, code: &[u8]) -> Option<u32> {
        self.by_code.find(hash_bytes(code), |row| self.code_of(&self.rows[row as usize]) == code)
    }

    fn code_of(&self, row: &Packed) -> &[u8] {
        &self.text[row.text as usize + usize::from(row.name_len)..][..usize::from(row.code_len)]
    }

    fn row(&self, row: u32) -> CardRow {
        let Packed { card, account, text, name_len, code_len, .. } = self.rows[row as usize];
        CardRow { card, account, text, name_len, code_len, terms: self.terms_of(row).clone() }
    }

    fn terms_of(&self, row: u32) -> &Terms {
        &self.terms[self.rows[row as usize].terms as usize]
    }
}

/// All cards in service.
pub struct CardTable {
    /// On the heap: with the rows in the static tables a router of 64 MB could not map the program.
    cards: Option<Box<Cards>>,
}

impl CardTable {
    /// No cards.
    pub const fn new() -> Self {
        Self { cards: None }
    }

    fn cards(&self) -> &Cards {
        self.cards.as_deref().unwrap_or(Cards::NONE)
    }

    /// Replaces the table.
    pub(crate) fn take(&mut self, new: IncomingTable) {
        self.cards = Some(new.cards);
    }

    /// The card with this number.
    pub fn find(&self, card: CardNo) -> Option<CardRow> {
        self.cards().find(card).map(|row| self.cards().row(row))
    }

    /// The row of the book's account that the table names for this card.
    pub(crate) fn account_of(&self, card: CardNo) -> Option<u32> {
        self.cards().find(card).map(|row| self.cards().rows[row as usize].account)
    }

    /// The card with this member code.
    pub fn find_code(&self, code: &[u8]) -> Option<CardRow> {
        self.cards().find_code(code).map(|row| self.cards().row(row))
    }

    /// The holder's name in GBK.
    pub fn name(&self, row: &CardRow) -> &[u8] {
        &self.cards().text[row.text as usize..][..usize::from(row.name_len)]
    }

    /// The member code; empty for none.
    pub fn code(&self, row: &CardRow) -> &[u8] {
        &self.cards().text[row.text as usize + usize::from(row.name_len)..][..usize::from(row.code_len)]
    }

    /// All rows, in the file's order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = CardRow> {
        (0..self.len()).map(|row| self.row(row))
    }

    /// Each card and the row of its account in the book, without its rules.
    pub(crate) fn numbers(&self) -> impl ExactSizeIterator<Item = (CardNo, u32)> {
        self.cards().rows.iter().map(|row| (CardNo::from_value(row.card), row.account))
    }

    /// As [`CardTable::numbers`], of one row, if there is one.
    pub(crate) fn number(&self, row: usize) -> Option<(CardNo, u32)> {
        self.cards().rows.get(row).map(|row| (CardNo::from_value(row.card), row.account))
    }

    /// The number of cards.
    pub fn len(&self) -> usize {
        self.cards().rows.len()
    }

    /// Whether there is no card.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The card in this row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> CardRow {
        self.cards().row(u32::try_from(row).expect("CARDS_MAX fits 32 bits"))
    }
}

/// A card table on its way into service. It is filled row by row, so that terminals can be served
/// meanwhile, and then replaces the one in service at once.
#[derive(Clone, Debug)]
pub struct IncomingTable {
    cards: Box<Cards>,
    by_terms: GrowingIndex,
    /// The line of each row.
    lines: Vec<u32>,
    accounts: Vec<IncomingAccount>,
    by_account: GrowingIndex,
    /// Rows, and bytes of their names and codes, also of those for which there was no room.
    count: usize,
    text_len: usize,
    /// Where the book has each account, as far as it was looked up; [`NOWHERE`]: it had none.
    account_rows: Vec<u32>,
    /// Where the book has each card's past, likewise.
    state_rows: Vec<u32>,
    /// How many cards with a past the book had when the last of `state_rows` was looked up, at the
    /// least.
    states: usize,
}

/// No row.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// An account of an incoming table, with the opening figures that its rows state.
#[derive(Clone, Debug)]
pub struct IncomingAccount {
    /// Its name.
    pub id: AccountId,
    balance: Balance,
    subsidy: Balance,
    uses: i32,
    /// The line that states each figure, in this order; 0: none does.
    lines: [u32; 3],
}

impl IncomingAccount {
    /// The opening figures; one that is not stated is zero.
    pub fn figures(&self) -> Figures {
        Figures { balance: self.balance, subsidy: self.subsidy, uses: self.uses }
    }

    /// Each opening figure with the line that states it.
    pub fn stated(&self) -> Stated {
        let Self { balance, subsidy, uses, lines, .. } = self;
        let line = |place: usize| Some(lines[place]).filter(|line| *line != 0);
        Stated {
            balance: line(0).map(|line| (*balance, line)),
            subsidy: line(1).map(|line| (*subsidy, line)),
            uses: line(2).map(|line| (*uses, line)),
        }
    }

    fn state(&mut self, stated: Stated) {
        let Stated { balance, subsidy, uses } = stated;
        let line_of = |line: Option<u32>| line.unwrap_or(0);
        self.lines = [
            line_of(balance.map(|(_, line)| line)),
            line_of(subsidy.map(|(_, line)| line)),
            line_of(uses.map(|(_, line)| line)),
        ];
        self.balance = balance.map_or(Balance::ZERO, |(balance, _)| balance);
        self.subsidy = subsidy.map_or(Balance::ZERO, |(subsidy, _)| subsidy);
        self.uses = uses.map_or(0, |(uses, _)| uses);
    }
}

/// An account's opening figures, each with the line that states it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stated {
    /// 余额.
    pub balance: Option<(Balance, u32)>,
    /// 补贴.
    pub subsidy: Option<(Balance, u32)>,
    /// 次数.
    pub uses: Option<(i32, u32)>,
}

/// A row for an incoming table.
#[derive(Clone, Copy, Debug)]
pub struct IncomingRow<'a> {
    /// 卡号.
    pub card: CardNo,
    /// The account's place: [`IncomingTable::place_of`].
    pub account: usize,
    /// The holder's name in GBK.
    pub name: &'a [u8],
    /// The member code; empty for none.
    pub code: &'a [u8],
    /// Whether the row itself states an opening figure.
    pub states_figures: bool,
    /// What the card may do.
    pub terms: &'a Terms,
    /// The line in the file.
    pub line: u32,
}

impl IncomingTable {
    /// An empty table with room for so many rows; more are taken if they come, up to
    /// [`CARDS_MAX`].
    pub fn with_room(rows: usize) -> Self {
        let rows = rows.min(CARDS_MAX);
        let mut cards = Box::<Cards>::default();
        cards.rows.reserve_exact(rows);
        cards.by_card = GrowingIndex::with_room(rows);
        Self {
            cards,
            by_terms: GrowingIndex::new(),
            lines: Vec::with_capacity(rows),
            accounts: Vec::with_capacity(rows),
            by_account: GrowingIndex::with_room(rows),
            count: 0,
            text_len: 0,
            account_rows: Vec::new(),
            state_rows: Vec::new(),
            states: usize::MAX,
        }
    }

    /// A table of these records.
    pub fn of(records: &[CardRecord]) -> Self {
        let mut table = Self::with_room(records.len());
        for record in records {
            let account = table.place_of(&record.account);
            // Records that share an account all carry its figures.
            let known = table.accounts[account].stated();
            table.accounts[account].state(Stated {
                balance: record.balance.map(|balance| (balance, record.line)).or(known.balance),
                subsidy: record.subsidy.map(|subsidy| (subsidy, record.line)).or(known.subsidy),
                uses: record.uses.map(|uses| (uses, record.line)).or(known.uses),
            });
            table.add(IncomingRow {
                card: record.card,
                account,
                name: &record.name,
                code: record.code.as_deref().unwrap_or_default(),
                states_figures: record.states_figures,
                terms: &record.terms,
                line: record.line,
            });
        }
        table
    }

    /// The place of an account among the table's, added if it is new.
    pub fn place_of(&mut self, id: &AccountId) -> usize {
        let hash = hash_bytes(id.as_bytes());
        let accounts = &self.accounts;
        if let Some(place) = self.by_account.find(hash, |place| accounts[place as usize].id == *id) {
            return place as usize;
        }
        let place = accounts.len();
        self.by_account.insert(hash, place, |place| hash_bytes(accounts[place as usize].id.as_bytes()));
        let (balance, subsidy) = (Balance::ZERO, Balance::ZERO);
        self.accounts.push(IncomingAccount { id: *id, balance, subsidy, uses: 0, lines: [0; 3] });
        place
    }

    /// Adds a row, whose card and code are not in the table yet. One that does not fit is counted:
    /// [`IncomingTable::check_room`].
    pub fn add(&mut self, row: IncomingRow) {
        self.count += 1;
        self.text_len += row.name.len() + row.code.len();
        let lens = (u8::try_from(row.name.len()), u8::try_from(row.code.len()));
        let (Ok(name_len), Ok(code_len), true) = (lens.0, lens.1, self.has_room()) else { return };
        let terms = self.place_of_terms(row.terms);
        let Cards { rows, text, by_card, by_code, .. } = &mut *self.cards;
        let at = u32::try_from(text.len()).expect("CARD_TEXT_MAX fits 32 bits");
        text.extend_from_slice(row.name);
        text.extend_from_slice(row.code);
        let account = u32::try_from(row.account).expect("as many as CARDS_MAX");
        let (card, number, states_figures) = (row.card.value(), rows.len(), row.states_figures);
        rows.push(Packed { card, account, text: at, terms, name_len, code_len, states_figures });
        self.lines.push(row.line);
        by_card.insert(hash_number(card), number, |row| hash_number(rows[row as usize].card));
        if code_len > 0 {
            let code_of = |row: u32| {
                let row: &Packed = &rows[row as usize];
                &text[row.text as usize + usize::from(row.name_len)..][..usize::from(row.code_len)]
            };
            by_code.insert(hash_bytes(row.code), number, |row| hash_bytes(code_of(row)));
        }
    }

    fn place_of_terms(&mut self, terms: &Terms) -> u32 {
        let hash = terms.hash();
        let known = &mut self.cards.terms;
        if let Some(place) = self.by_terms.find(hash, |place| known[place as usize] == *terms) {
            return place;
        }
        let place = known.len();
        known.push(terms.clone());
        self.by_terms.insert(hash, place, |place| known[place as usize].hash());
        u32::try_from(place).expect("CARDS_MAX fits 32 bits")
    }

    /// Whether there are as many rows as fit.
    pub const fn is_full(&self) -> bool {
        self.count >= CARDS_MAX
    }

    /// Counts a row for which there is no room.
    pub const fn count_one(&mut self) {
        self.count += 1;
    }

    fn has_room(&self) -> bool {
        self.count <= CARDS_MAX && self.text_len <= CARD_TEXT_MAX
    }

    /// Checks that the rows fit.
    ///
    /// # Errors
    /// A sentence for the operator: what does not fit, and how many would.
    pub fn check_room(&self) -> Result<(), String> {
        if self.count > CARDS_MAX {
            return Err(format!("{} cards are too many: at most {CARDS_MAX} fit", self.count));
        }
        if self.text_len > CARD_TEXT_MAX {
            return Err(format!("names and codes take {} bytes: at most {CARD_TEXT_MAX} fit", self.text_len));
        }
        Ok(())
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.cards.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of a card.
    pub fn find(&self, card: CardNo) -> Option<usize> {
        self.cards.find(card).map(|row| row as usize)
    }

    /// The row of a member code.
    pub fn find_code(&self, code: &[u8]) -> Option<usize> {
        self.cards.find_code(code).map(|row| row as usize)
    }

    /// The card of a row.
    pub fn card(&self, row: usize) -> CardNo {
        CardNo::from_value(self.cards.rows[row].card).padded()
    }

    /// The account of a row.
    pub fn account(&self, row: usize) -> &IncomingAccount {
        &self.accounts[self.cards.rows[row].account as usize]
    }

    /// Sets the opening figures of the account in this place.
    pub fn state(&mut self, place: usize, stated: Stated) {
        self.accounts[place].state(stated);
    }

    /// All accounts, in the order of their first rows.
    pub fn accounts(&self) -> &[IncomingAccount] {
        &self.accounts
    }

    /// The line of a row.
    pub fn line(&self, row: usize) -> u32 {
        self.lines[row]
    }

    /// Whether a row equals one of the table in service in name, code and rules.
    pub fn is_as(&self, row: usize, table: &CardTable, other: &CardRow) -> bool {
        let own = self.cards.row(u32::try_from(row).expect("CARDS_MAX fits 32 bits"));
        let name = &self.cards.text[own.text as usize..][..usize::from(own.name_len)];
        name == table.name(other)
            && self.cards.code_of(&self.cards.rows[row]) == table.code(other)
            && own.terms == other.terms
    }

    /// Looks up where the book has accounts and cards, for at most `count` of each; `false` if all
    /// are. It makes [`Book::install`](crate::engine::book::Book::install) faster.
    pub(crate) fn look_up(
        &mut self,
        count: usize,
        states: usize,
        account_row: impl Fn(&AccountId) -> Option<u32>,
        state_row: impl Fn(u64) -> Option<u32>,
    ) -> bool {
        self.states = self.states.min(states);
        let Self { accounts, account_rows, state_rows, cards, .. } = self;
        let next = &accounts[account_rows.len()..];
        if account_rows.is_empty() {
            account_rows.reserve_exact(accounts.len());
            state_rows.reserve_exact(cards.rows.len());
        }
        account_rows.extend(next.iter().take(count).map(|account| account_row(&account.id).unwrap_or(NOWHERE)));
        let next = &cards.rows[state_rows.len()..];
        state_rows.extend(next.iter().take(count).map(|row| state_row(row.card).unwrap_or(NOWHERE)));
        account_rows.len() < accounts.len() || state_rows.len() < cards.rows.len()
    }

    /// What [`IncomingTable::look_up`] found: the rows of accounts and of cards, and how many cards
    /// the book had then at the least.
    pub(crate) fn looked_up(&mut self) -> (Vec<u32>, Vec<u32>, usize) {
        (core::mem::take(&mut self.account_rows), core::mem::take(&mut self.state_rows), self.states)
    }

    /// Gives each row the row of its account in the book. `put` receives the row, its card, its
    /// account's place, and the account's opening figures if the row states any.
    pub(crate) fn put_on_accounts(&mut self, mut put: impl FnMut(usize, u64, u32, Option<Figures>) -> u32) {
        for (number, row) in self.cards.rows.iter_mut().enumerate() {
            let figures = row.states_figures.then(|| self.accounts[row.account as usize].figures());
            row.account = put(number, row.card, row.account, figures);
        }
    }
}

impl Default for CardTable {
    fn default() -> Self {
        Self::new()
    }
}
