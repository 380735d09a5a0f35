//! Cards as the table describes them, in a table of fixed capacity (design.md, section 5).
//!
//! The table is what the operator wrote: who a card belongs to, what it may do, and the figures its
//! account opens with. What happened since is the book's.

use core::fmt::Write as _;
use core::num::NonZeroU32;

use super::ids::{AccountId, CardNo};
use super::money::{Balance, Money};
use super::text::Text;
use super::time::Date;
use crate::engine::index::{Index, hash_bytes, hash_number};
use crate::engine::limits::{CARD_TEXT_MAX, CARDS_MAX};

/// What the operator says of a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CardStatus {
    /// 正常.
    #[default]
    Active,
    /// 冻结.
    Frozen,
    /// 挂失.
    Lost,
    /// 注销. The strictest: statuses compare by strictness.
    Closed,
}

impl CardStatus {
    /// All of them, the strictest last.
    pub const ALL: &[Self] = &[Self::Active, Self::Frozen, Self::Lost, Self::Closed];

    /// The word of the table and the ledger.
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

/// What an order says of a card: a mark is set, or ended by its own order (design.md, section 8).
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
    /// `close`: for ever.
    Closed,
}

impl Mark {
    /// All of them.
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

    /// The status that it sets or ends.
    pub const fn status(self) -> CardStatus {
        match self {
            Self::Lost | Self::Found => CardStatus::Lost,
            Self::Frozen | Self::Unfrozen => CardStatus::Frozen,
            Self::Closed => CardStatus::Closed,
        }
    }

    /// Whether it ends a mark.
    pub const fn is_end(self) -> bool {
        match self {
            Self::Found | Self::Unfrozen => true,
            Self::Lost | Self::Frozen | Self::Closed => false,
        }
    }
}

/// The marks that stand on a card: each was set, and is ended, by its own order, so none hides
/// another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    is_frozen: bool,
    is_lost: bool,
    is_closed: bool,
}

impl Marks {
    /// Those that bear these words, which stand between commas; `None` for a word of none of them.
    /// Empty: none.
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

    /// Takes note of an order.
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

    /// Whether this mark stands; of none for `Active`.
    pub fn has(self, status: CardStatus) -> bool {
        match status {
            CardStatus::Active => self == Self::default(),
            CardStatus::Frozen => self.is_frozen,
            CardStatus::Lost => self.is_lost,
            CardStatus::Closed => self.is_closed,
        }
    }

    /// The marks that stand, the least strict first.
    pub(crate) fn statuses(self) -> impl Iterator<Item = CardStatus> {
        CardStatus::ALL[1..].iter().copied().filter(move |status| self.has(*status))
    }

    /// The strictest.
    pub fn status(self) -> CardStatus {
        self.statuses().last().unwrap_or_default()
    }
}

/// A set of group (or place) names, one bit for each name that the configuration mentions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSet(pub u64);

impl GroupSet {
    /// Whether the set holds no name.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the two share a name.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a rule that names these groups holds for a card of `groups`: a rule that names none
    /// holds for all.
    pub const fn admits(self, groups: Self) -> bool {
        self.is_empty() || self.meets(groups)
    }
}

/// A PIN of one to eight digits. It is compared, and never written anywhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The number that a 1 and the digits make: zeros before them count, and a table's row without
    /// a PIN takes no room for one.
    marked: NonZeroU32,
}

impl Pin {
    /// One to eight digits; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > 8 || !text.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let marked = text.iter().fold(1, |value, digit| value * 10 + u32::from(digit - b'0'));
        NonZeroU32::new(marked).map(|marked| Self { marked })
    }

    /// The digits as they were keyed: only for a virtual device's frame, which is how a PIN reaches
    /// a server.
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

/// What a card may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// 状态. What the table says; the ledger may be stricter.
    pub status: CardStatus,
    /// 分组: those that the configuration mentions.
    pub groups: GroupSet,
    /// 密码: must follow at doors that want one.
    pub pin: Option<Pin>,
    /// 胁迫密码: opens like `pin`, and raises an alarm.
    pub duress_pin: Option<Pin>,
    /// 有效期起: the first day.
    pub valid_from: Option<Date>,
    /// 有效期止: the last day.
    pub valid_until: Option<Date>,
    /// 单笔限额: of one sale.
    pub charge_max: Option<Money>,
    /// 日限额: of one business day.
    pub day_max: Option<Money>,
    /// 透支额度: how far below zero the balance may go.
    pub credit: Money,
}

/// One row of a card file, read and checked.
#[derive(Clone, Debug)]
pub struct CardRecord {
    /// 卡号.
    pub card: CardNo,
    /// 编号; the card's own (`@` and ten digits) if the file names none.
    pub account: AccountId,
    /// 姓名, as a display shows it: GBK, cleaned and cut.
    pub name: Vec<u8>,
    /// 余额: the opening figure of the account; `None` if the field is empty.
    pub balance: Option<Balance>,
    /// 次数: the opening figure of the account; `None` if the field is empty.
    pub uses: Option<i32>,
    /// 部门, for people: it decides nothing.
    pub department: String,
    /// Whether this row itself states a figure; others of its account may have it from another row.
    pub states_figures: bool,
    /// 二维码: a static member code; at most [`crate::engine::limits::CODE_LEN_MAX`] bytes.
    pub code: Option<Vec<u8>>,
    /// What the card may do.
    pub terms: Terms,
    /// The file's line, from 1.
    pub line: u32,
}

/// What the ledger says of a card table's accounts.
pub trait AccountHistory {
    /// Whether the account has moved money.
    fn has_moved(&self, account: &AccountId) -> bool;

    /// The account that the card moved last, or that it carries on.
    fn account_of(&self, card: CardNo) -> Option<AccountId>;
}

/// A card in service.
#[derive(Clone, Debug)]
pub struct CardRow {
    /// Its number's value.
    pub card: u64,
    /// Its account's row in the book.
    pub account: u32,
    /// Where its holder's name stands in the table's text, and behind that its code.
    text: u32,
    name_len: u16,
    code_len: u16,
    /// What it may do.
    pub terms: Terms,
}

impl CardRow {
    /// The row as it serves another card, and another account.
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
    /// At most [`CARDS_MAX`]. Not in the static of the tables: with it a router of 64 MB would not
    /// map the program.
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

    /// Whether the records fit; else what does not, with the number that would.
    ///
    /// # Errors
    /// A sentence for the operator.
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

    /// Replaces the table. `account_row` gives the book's row of each record's account.
    ///
    /// # Panics
    /// If the records do not fit: [`CardTable::check_room`] comes first.
    pub fn install(&mut self, records: &[CardRecord], mut account_row: impl FnMut(&CardRecord) -> u32) {
        assert!(records.len() <= CARDS_MAX, "check_room counted the records");
        self.by_code.clear();
        // The old table first: a router has no room for both.
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

    /// The card whose member code this is.
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

/// Adds to the text, and gives the length.
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
