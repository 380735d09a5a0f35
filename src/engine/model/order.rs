//! Orders of an operator: money at a desk, a card's state, a door (design.md, sections 3 and 7).
//!
//! An order says who gives it, and has a name: its own key, or the file's purpose, the card and a
//! count. The same order with the same name gets the first result again and does nothing, also
//! after a restart; another order with that name is refused. The control socket reads orders, the
//! server obeys them, the ledger keeps them.

use super::card::Mark;
use super::entry::{EntrySeq, Kind};
use super::figures::Figures;
use super::ids::{AccountId, CardNo, MachineNo, UnitNo};
use super::money::{Balance, Money};
use super::text::Text;
use crate::engine::limits::NAME_LEN_MAX;

/// The operator's name as people know it, at most 32 bytes of UTF-8.
pub type Operator = Text<32>;

/// A key that a person or a program gave an order, at most 40 bytes of printable ASCII without
/// spaces.
pub type KeyText = Text<40>;

/// The purpose of a file of orders, such as `2026-12`: at most 40 bytes of UTF-8, with letters and
/// digits of any script and ASCII punctuation ([`is_purpose`]).
pub type Purpose = Text<40>;

/// A holder's name as the card table keeps it: GBK, cut to its length.
pub type Holder = heapless::Vec<u8, NAME_LEN_MAX>;

/// A person's reason, at most 96 bytes of UTF-8.
pub type Note = Text<96>;

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What is to be done.
    pub act: Act,
    /// The name by which it is done only once.
    pub key: Key,
    /// The expected holder's name; empty: it is not checked.
    pub holder: Holder,
    /// The operator.
    pub by: Operator,
    /// Why.
    pub note: Note,
}

/// The name by which an order is done only once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Its own key.
    Own(KeyText),
    /// A row of a file, named by this, its command and its card (design.md, section 8). So it stays
    /// the same row if the file is sorted or saved again.
    For {
        /// The file's purpose.
        name: Purpose,
        /// Which of the card's rows it is, from 1.
        nth: u32,
    },
}

/// Whether a text is a valid purpose. Blanks and full-width characters are not, because two
/// purposes that look alike would pay twice.
pub fn is_purpose(text: &str) -> bool {
    let is_wide = |character: char| matches!(character, '\u{FF00}'..='\u{FFEF}');
    let may_be =
        |character: char| character.is_ascii_graphic() || (!character.is_ascii() && character.is_alphanumeric());
    (1..=40).contains(&text.len()) && text.chars().all(|character| may_be(character) && !is_wide(character))
}

/// Whose account an order moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The account of this card.
    Card(CardNo),
    /// 工号: this account, whatever cards are on it today.
    Account(AccountId),
}

/// The kind of a movement of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// 充值: paid in by the holder. Above zero.
    TopUp,
    /// 补贴: paid by the employer into the subsidy purse. Above zero.
    Subsidy,
    /// 退款: cash paid back to the holder, at most the balance. Ordered above zero, booked below
    /// zero.
    PayOut,
    /// 调整: a correction of the cash, of either sign.
    Adjust,
}

impl Way {
    /// The kind of its entry.
    pub const fn kind(self) -> Kind {
        match self {
            Self::TopUp => Kind::TopUp,
            Self::Subsidy => Kind::Subsidy,
            Self::PayOut => Kind::PayOut,
            Self::Adjust => Kind::Adjust,
        }
    }

    /// The effect to book for the amount ordered.
    pub fn booked(self, amount: Balance, uses: i32) -> Figures {
        let cash = Figures { balance: amount, subsidy: Balance::ZERO, uses };
        match self {
            Self::PayOut => -cash,
            Self::TopUp | Self::Adjust => cash,
            Self::Subsidy => Figures { balance: Balance::ZERO, subsidy: amount, uses },
        }
    }
}

/// What an order does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Moves an account's figures.
    Move {
        /// Why.
        way: Way,
        /// Whose account.
        subject: Subject,
        /// Yuan.
        amount: Balance,
        /// Meals; 0 if the order moves money.
        uses: i32,
    },
    /// 补贴清零: empties an account's subsidy purse.
    Clear {
        /// Whose account.
        subject: Subject,
    },
    /// Empties the subsidy purses of all accounts, over several turns.
    ClearAll,
    /// Undoes a sale, a top-up or a subsidy, in whole or in part; all voids of an entry together
    /// never exceed it.
    Void {
        /// The entry to undo.
        sale: EntrySeq,
        /// `None`: all that is not yet undone.
        amount: Option<Money>,
        /// The card that the person has in hand; another card's entry is refused.
        card: Option<CardNo>,
    },
    /// Sets a mark on a card, or ends one. The strictest of the marks and the table's status
    /// applies.
    Mark {
        /// The card.
        card: CardNo,
        /// Which.
        mark: Mark,
    },
    /// 补办: `new` carries on the account of `old`, which is closed.
    Link {
        /// The card that is replaced.
        old: CardNo,
        /// The new card, in the table or not yet.
        new: CardNo,
    },
    /// Puts a card on another account. Balance and uses of the card's own account (`@…`) move with
    /// it; those of an account of the table stay there.
    Account {
        /// The card.
        card: CardNo,
        /// The account, of the table's kind.
        account: AccountId,
    },
    /// Gives an account another name. Its balance, its uses and its cards move to that name.
    Rename {
        /// Its name.
        old: AccountId,
        /// Its new name, of the table's kind and not in use.
        new: AccountId,
    },
    /// Gives a card's number to another holder, with the account that the table names for it now.
    Reissue {
        /// The card.
        card: CardNo,
    },
    /// Opens a door by hand.
    Open {
        /// The board.
        machine: MachineNo,
        /// Its door.
        door: UnitNo,
    },
    /// Settles a stored sale that was entered without effect (`claimed=`), once, by a correction:
    /// of zero if the sale was booked before.
    Settle {
        /// The entry without effect.
        claim: EntrySeq,
        /// The card of that entry.
        card: CardNo,
        /// Yuan, of either sign.
        amount: Balance,
        /// Meals, of either sign.
        uses: i32,
    },
}

impl Act {
    /// The older entry that the order concerns, which must be read from the ledger's files.
    pub const fn about(&self) -> Option<EntrySeq> {
        match self {
            Self::Void { sale: about, .. } | Self::Settle { claim: about, .. } => Some(*about),
            Self::Move { .. } | Self::Clear { .. } | Self::ClearAll => None,
            Self::Mark { .. } | Self::Link { .. } | Self::Open { .. } => None,
            Self::Account { .. } | Self::Rename { .. } | Self::Reissue { .. } => None,
        }
    }
}

/// The result of an order that was done, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its entry.
    pub seq: EntrySeq,
    /// Whether it was done before, so that nothing was done now.
    pub is_again: bool,
    /// The account that it moved, with what it holds after it.
    pub account: Option<(AccountId, Figures)>,
    /// The card that it is about, or one of its account; `None` for a door.
    pub card: Option<CardNo>,
    /// What a void undid.
    pub undone: Option<Undone>,
    /// How far a clear of all purses is.
    pub clearing: Option<Clearing>,
}

/// What a void undid. Of a sale the amounts are above zero, of a credit below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// Given back to the cash, or taken from it.
    pub cash: Balance,
    /// Given back to the subsidy purse, or taken from it.
    pub subsidy: Balance,
    /// Subsidy of the sale that is not given back, because the purse was cleared since.
    pub cleared: Balance,
    /// What can still be undone.
    pub rest: Money,
}

/// The last clear of all subsidy purses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clearing {
    /// Its first entry; 0: there was none.
    pub begin: EntrySeq,
    /// Accounts that it emptied so far.
    pub accounts: u32,
    /// What they held.
    pub sum: Balance,
    /// Its last entry; 0 while it goes on.
    pub end: EntrySeq,
}

impl Clearing {
    /// Whether it went through all accounts.
    pub fn is_done(&self) -> bool {
        self.begin < self.end
    }
}
