//! What an operator orders: money at a desk, a card's state, a door (design.md, sections 3 and 7).
//!
//! An order names who gives it and carries a key: the same key again gets the first result and does nothing, also
//! after a restart. The control socket reads orders, the server obeys them, the ledger keeps them.

use super::card::Mark;
use super::entry::{EntrySeq, Kind};
use super::ids::{AccountId, CardNo, MachineNo, UnitNo};
use super::money::{Balance, Money};
use super::text::Text;

/// Who orders: a name as people know it, at most 32 bytes of UTF-8.
pub type Operator = Text<32>;

/// A key that a person or a program gave an order, at most 40 bytes of printable ASCII without spaces.
pub type KeyText = Text<40>;

/// The digest of a batch file and its command: 16 hexadecimal digits.
pub type Digest = Text<16>;

/// A person's reason, at most 96 bytes of UTF-8.
pub type Note = Text<96>;

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What is to be done.
    pub act: Act,
    /// What makes it done once.
    pub key: Key,
    /// Who orders it.
    pub by: Operator,
    /// Why.
    pub note: Note,
}

/// What makes an order done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A key of its own.
    Own(KeyText),
    /// A line of a batch file, the first is 1. Lines of one batch are done strictly in order.
    Line {
        /// Of the file and the command.
        digest: Digest,
        /// The line's number among the orders of the file.
        line: u32,
    },
}

/// Which way money comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// 充值: paid in by the holder. Above zero.
    TopUp,
    /// 补贴: paid by the employer. Above zero.
    Subsidy,
    /// 退款: paid back to the holder, never more than there is. Given above zero, booked below.
    PayOut,
    /// 调整: a correction, of either sign.
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

    /// What is booked of what is given.
    pub fn booked(self, amount: Balance, uses: i32) -> (Balance, i32) {
        match self {
            Self::PayOut => (-amount, uses.saturating_neg()),
            Self::TopUp | Self::Subsidy | Self::Adjust => (amount, uses),
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
        /// A card of the account.
        card: CardNo,
        /// Yuan.
        amount: Balance,
        /// Meals; 0 where money is meant.
        uses: i32,
    },
    /// Undoes a sale, whole or in part: never more than the sale in all.
    Void {
        /// The sale's entry.
        sale: EntrySeq,
        /// `None`: what is left of it.
        amount: Option<Money>,
    },
    /// Sets a mark on a card, or ends one: the strictest of the marks and the table's word holds.
    Mark {
        /// The card.
        card: CardNo,
        /// Which.
        mark: Mark,
    },
    /// 补办: `new` carries on the account of `old`, which is closed.
    Link {
        /// The card that is given up.
        old: CardNo,
        /// The card that follows it, in the table or not yet.
        new: CardNo,
    },
    /// Opens a door by hand.
    Open {
        /// The board.
        machine: MachineNo,
        /// Its door.
        door: UnitNo,
    },
}

/// An order that was done, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its entry; of a batch's line that was done before, the batch's first.
    pub first: EntrySeq,
    /// The same entry; of a batch's line that was done before, the batch's last so far.
    pub last: EntrySeq,
    /// Whether it was done before, and now nothing.
    pub is_again: bool,
    /// The account that it moved, and what it held then; of a batch's line that was done before, what it holds now.
    pub account: Option<(AccountId, Balance, i32)>,
}
