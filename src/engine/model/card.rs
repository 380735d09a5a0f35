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
use crate::engine::index::{Index, hash_bytes, hash_number};
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
    name_len: u16,
    code_len: u16,
    /// The card's rules.
    pub terms: Terms,
}

impl CardRow {
    /// This row's name and rules for another card and account.
    #[must_use]
    pub fn serving(&self, card: CardNo, account: u32) -> Self {
        Self { card: card.value(), account, ..self.clone() }
    }

    fn name<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.text as usize..][..usize::from(self.name_len)]
    }

    fn code<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.text as usize + usize::from(self.name_len)..][..usize::from(self.code_len)]
    }
}

/// All cards in service, found by number or member code in O(1).
pub struct CardTable {
    /// At most [`CARDS_MAX`]. On the heap: with the rows in the static tables a router of 64 MB
    /// could not map the program.
    rows: Option<Box<[CardRow]>>,
    /// At most [`CARD_TEXT_MAX`].
    text: Option<Box<[u8]>>,
    by_card: Index<{ 2 * CARDS_MAX }>,
    by_code: Index<{ 2 * CARDS_MAX }>,
}

impl CardTable {
    /// No cards.
    pub const fn new() -> Self {
        Self { rows: None, text: None, by_card: Index::new(), by_code: Index::new() }
    }

    /// Checks that the records fit.
    ///
    /// # Errors
    /// A sentence for the operator: what does not fit, and how many would.
    pub fn check_room(records: &[CardRecord]) -> Result<(), String> {
        let text: usize =
            records.iter().map(|record| record.name.len() + record.code.as_ref().map_or(0, Vec::len)).sum();
        if records.len() > CARDS_MAX {
            return Err(format!("{} cards are too many: at most {CARDS_MAX} fit", records.len()));
        }
        if text > CARD_TEXT_MAX {
            return Err(format!("names and codes take {text} bytes: at most {CARD_TEXT_MAX} fit"));
        }
        Ok(())
    }

    /// Replaces the table. `account_row` returns the book's row of a record's account.
    ///
    /// # Panics
    /// If the records do not fit: call [`CardTable::check_room`] first.
    pub fn install(&mut self, records: &[CardRecord], mut account_row: impl FnMut(&CardRecord) -> u32) {
        assert!(records.len() <= CARDS_MAX, "check_room counted the records");
        self.by_code.clear();
        // The old table goes first: a router has no memory for both.
        (self.rows, self.text) = (None, None);
        let (mut rows, mut text) = (Vec::with_capacity(records.len()), Vec::new());
        for record in records {
            let at = u32::try_from(text.len()).expect("CARD_TEXT_MAX fits 32 bits");
            let row = CardRow {
                card: record.card.value(),
                account: account_row(record),
                text: at,
                name_len: store(&mut text, &record.name),
                code_len: store(&mut text, record.code.as_deref().unwrap_or_default()),
                terms: record.terms.clone(),
            };
            rows.push(row);
        }
        (self.rows, self.text) = (Some(rows.into_boxed_slice()), Some(text.into_boxed_slice()));
        let Self { rows, text, by_card, by_code } = self;
        let (rows, text) = (rows.as_deref().unwrap_or_default(), text.as_deref().unwrap_or_default());
        by_card.fill(rows.len(), |row| hash_number(rows[row as usize].card));
        let hash_of_code = |row: u32| hash_bytes(rows[row as usize].code(text));
        for (row, record) in (0..).zip(records) {
            if record.code.is_some() {
                by_code.insert(hash_of_code(row), row, hash_of_code);
            }
        }
    }

    /// The card with this number.
    pub fn find(&self, card: CardNo) -> Option<&CardRow> {
        let value = card.value();
        let row = self.by_card.find(hash_number(value), |row| self.rows()[row as usize].card == value)?;
        Some(&self.rows()[row as usize])
    }

    /// The card with this member code.
    pub fn find_code(&self, code: &[u8]) -> Option<&CardRow> {
        let row = self.by_code.find(hash_bytes(code), |row| self.code(&self.rows()[row as usize]) == code)?;
        Some(&self.rows()[row as usize])
    }

    /// The holder's name in GBK.
    pub fn name(&self, row: &CardRow) -> &[u8] {
        row.name(self.text.as_deref().unwrap_or_default())
    }

    /// The member code; empty for none.
    pub fn code(&self, row: &CardRow) -> &[u8] {
        row.code(self.text.as_deref().unwrap_or_default())
    }

    /// All rows, in the file's order.
    pub fn rows(&self) -> &[CardRow] {
        self.rows.as_deref().unwrap_or_default()
    }
}

/// Appends to the text and returns the length of `bytes`.
fn store(text: &mut Vec<u8>, bytes: &[u8]) -> u16 {
    assert!(text.len() + bytes.len() <= CARD_TEXT_MAX, "check_room counted the text");
    text.extend_from_slice(bytes);
    u16::try_from(bytes.len()).expect("names and codes are short")
}

impl Default for CardTable {
    fn default() -> Self {
        Self::new()
    }
}
