//! Why an operator's order is not obeyed: one sentence that says what to do (design.md, section 8).

use core::fmt;

use crate::engine::book::Figures;
use crate::engine::limits::{LINKS_MAX, NAMES_KEPT_MIN, RENAMED_CARDS_MAX, VOIDS_KEPT_MIN};
use crate::engine::model::text::{Hidden, HiddenAccount, Unnumbered};
use crate::engine::model::{AccountId, CardNo, CardStatus, EntrySeq, Kind, MachineNo, Money, UnitNo};

/// The most uses that one order moves.
pub const USES_MAX: i32 = 999_999;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident $({ $($field:ident: $type:ty),* })? $word:literal)*) => {
        /// Why an order is not obeyed. Nothing of it was done.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are what the sentence names")]
        pub enum Refused { $($(#[$doc])* $name $({ $($field: $type),* })?,)* }

        impl Refused {
            /// The words of all reasons; a word may stand for several.
            pub const WORDS: &[&str] = &[$($word,)*];

            /// A word for programs. Words may be added and are never renamed.
            pub const fn word(&self) -> &'static str {
                match self { $(Self::$name $({ $($field: _),* })? => $word,)* }
            }
        }
    };
}

refusals! {
    /// Neither the table nor the ledger has the card.
    UnknownCard { card: CardNo } "unknown-card"
    /// The card's account lives on, and the card is gone from the table.
    NotInTable { card: CardNo } "not-in-table"
    /// Credit for a closed card.
    Closed { card: CardNo } "closed"
    /// Another card carries on the account.
    Replaced { card: CardNo, successor: CardNo } "replaced"
    /// The table's own word is stricter than the one wanted.
    TableSays { card: CardNo, status: CardStatus } "table-says"
    /// A closed card stays closed.
    ClosedForEver { card: CardNo } "other-state"
    /// The card is stopped by another mark than the one to be ended.
    OtherMark { card: CardNo, status: CardStatus } "other-state"
    /// Nothing would move.
    Zero "zero"
    /// A negative amount where only an adjustment may be.
    Negative "negative"
    /// More than anybody means.
    TooMuch "too-much"
    /// More would be paid back than there is.
    Overdraw { figures: Figures } "overdraw"
    /// The ledger's files do not hold the entry.
    NoSuchEntry { seq: EntrySeq } "no-such-entry"
    /// The ledger's files cannot be read there, or are damaged.
    Unreadable { seq: EntrySeq } "unreadable"
    /// A void, say, or a sale that was not booked.
    NotASale { seq: EntrySeq, kind: Kind, about: Option<EntrySeq> } "not-a-sale"
    /// Nothing is left of the sale.
    AlreadyVoided { seq: EntrySeq } "already-voided"
    /// Less is left of the sale.
    MoreThanLeft { seq: EntrySeq, left: Money } "more-than-left"
    /// A sale that was booked, say: nothing of it is open.
    NotAClaim { seq: EntrySeq, kind: Kind } "not-a-claim"
    /// What was entered without effect is of another card.
    OtherCard { seq: EntrySeq, card: CardNo } "other-card"
    /// An order about it was done before.
    AlreadySettled { seq: EntrySeq } "already-settled"
    /// Whether the sale was voided before is not known any more.
    TooOld { seq: EntrySeq } "too-old"
    /// The name of the account that paid was somebody else's twice since.
    PurseUnknown { seq: EntrySeq } "purse-unknown"
    /// A card cannot follow itself.
    SameCard "same-card"
    /// Nobody carries on a closed card's account.
    OldCardClosed { card: CardNo } "closed"
    /// The new card is used already.
    NewCardHasAccount { card: CardNo, account: AccountId } "new-card-has-account"
    /// The table gives the new card money of its own.
    NewCardHasFigures { card: CardNo, figures: Figures } "new-card-has-figures"
    /// The new card is stopped.
    NewCardStopped { card: CardNo, status: CardStatus } "new-card-stopped"
    /// Only a card's own account begins so.
    OwnAccount { account: AccountId } "own-account"
    /// The card is on it.
    SameAccount { card: CardNo, account: AccountId } "same-account"
    /// Neither the table nor the ledger has the account.
    NoSuchAccount { account: AccountId } "no-such-account"
    /// The name is somebody's.
    AccountTaken { account: AccountId } "account-taken"
    /// More cards would come along than one order takes.
    TooManyToRename { account: AccountId } "too-many-cards"
    /// The table has no other holder for the number.
    SameHolder { card: CardNo, account: AccountId } "same-holder"
    /// The account that the table has for the number is in use: one that the card was on, or
    /// somebody else's.
    AnothersAccount { card: CardNo, account: AccountId, may_be_own: bool } "same-holder"
    /// The card that carries on would be served by another holder's row.
    SuccessorNotInTable { card: CardNo, successor: CardNo } "not-in-table"
    /// Too many cards in a row that the table does not have.
    TooManyLinks "too-many-links"
    /// The key stands for another order.
    KeyUsed { seq: EntrySeq } "key-used"
    /// The row of the card in the file of this name was another order.
    NameUsed { seq: EntrySeq } "key-used"
    /// Rows of the file of this name are remembered no more.
    NameForgotten "name-forgotten"
    /// The card table names another holder.
    OtherHolder { card: CardNo, table: String, told: String } "other-holder"
    /// Nothing can be written.
    Full "full"
    /// Nobody draws names here.
    NoName "no-name"
    /// No older copy of the ledger waits for a person.
    NotRolledBack "not-rolled-back"
    /// No room for another account or card.
    TooManyCards "too-many-cards"
    /// The device was not heard since the start.
    NotSeen { machine: MachineNo } "not-seen"
    /// No section registers the device, and only registered ones are served.
    Quarantined { machine: MachineNo } "quarantined"
    /// No section names the door.
    NoDoor { machine: MachineNo, door: UnitNo } "no-door"
    /// No device is told a time that is not believed.
    ClockUnset "clock-unset"
    /// Nothing to show, or what would break a frame.
    BadText "bad-text"
}

impl fmt::Display for Refused {
    #[allow(clippy::too_many_lines, reason = "a sentence each")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCard { card } => write!(
                f,
                "neither the card table nor the ledger has card {card}: check the number, or add the card to the table and reload",
                card = card.masked()
            ),
            Self::NotInTable { card } => {
                write!(
                    f,
                    "card {card} is gone from the card table: put it back and reload, or use adjust or payout",
                    card = card.masked()
                )
            }
            Self::Closed { card } => {
                write!(
                    f,
                    "card {card} is closed: give credit to a card in use; adjust and payout settle a closed one",
                    card = card.masked()
                )
            }
            Self::Replaced { card, successor } => write!(
                f,
                "card {card} was replaced by {successor}: name that one, which `posgate ctl card` shows",
                card = card.masked(),
                successor = successor.masked()
            ),
            Self::TableSays { card, status } => write!(
                f,
                "the card table says that card {card} is {}: change its status there, then reload",
                status.word(),
                card = card.masked()
            ),
            Self::ClosedForEver { card } => write!(
                f,
                "card {card} is closed, and a closed card stays closed: `reissue` gives its number to another holder",
                card = card.masked()
            ),
            Self::OtherMark { card, status } => {
                let (not, remedy) = match status {
                    CardStatus::Lost => ("frozen", "found"),
                    CardStatus::Active | CardStatus::Frozen | CardStatus::Closed => ("lost", "unfreeze"),
                };
                write!(f, "card {card} is {}, not {not}: use {remedy}", status.word(), card = card.masked())
            }
            Self::Zero => write!(f, "nothing would move: give an amount above 0.00, or uses"),
            Self::Negative => write!(f, "the amount is negative: give it without a sign, or use adjust"),
            Self::TooMuch => write!(f, "that is too much: at most {} and {USES_MAX} uses in one order", Money::MAX),
            Self::Overdraw { figures: Figures { balance, uses } } => {
                write!(f, "the account holds {balance} and {uses} uses: pay out no more than that")
            }
            Self::NoSuchEntry { seq } => write!(
                f,
                "the ledger here has no entry {}: check the number with `posgate ledger show`; what was archived is adjusted",
                // A number that long may be a card's.
                Unnumbered(&seq.to_string())
            ),
            Self::Unreadable { seq } => write!(
                f,
                "entry {seq} cannot be read from the ledger's files: run `posgate ledger verify`; adjust corrects a balance meanwhile"
            ),
            Self::NotASale { seq, kind, about: Some(about) } => {
                write!(f, "entry {seq} is a {} about {about}, and no sale: void the sale", kind.word())
            }
            Self::NotASale { seq, kind, about: None } => {
                write!(f, "entry {seq} is no sale that was booked ({}): only those are voided", kind.word())
            }
            Self::AlreadyVoided { seq } => write!(f, "nothing is left of sale {seq}: it was voided before"),
            Self::MoreThanLeft { seq, left } => write!(f, "only {left} is left of sale {seq}: void at most that"),
            Self::NotAClaim { seq, kind } => write!(
                f,
                "entry {seq} is no stored sale without effect ({}): `--about` names one with claimed= in its detail",
                kind.word()
            ),
            Self::OtherCard { seq, card } => {
                write!(
                    f,
                    "entry {seq} is of card {card}: name that one, or the one that follows it",
                    card = card.masked()
                )
            }
            Self::AlreadySettled { seq } => {
                write!(f, "entry {seq} was settled before: adjust without `--about` corrects that")
            }
            Self::TooOld { seq } => write!(
                f,
                "sale {seq} is older than the last {VOIDS_KEPT_MIN} voids, one of which may be its own: use adjust"
            ),
            Self::PurseUnknown { seq } => write!(
                f,
                "the account that paid sale {seq} has had other names twice since, and where it is cannot be told: use adjust"
            ),
            Self::SameCard => write!(f, "a card cannot replace itself: name the old card, then the new one"),
            Self::OldCardClosed { card } => write!(
                f,
                "card {card} is closed, and nothing follows it: put a new card on its account with `account`, or settle it with payout or adjust",
                card = card.masked()
            ),
            Self::NewCardHasAccount { card, account } => {
                write!(
                    f,
                    "card {card} is used already, by account {account}: take a card that nobody used",
                    card = card.masked(),
                    account = HiddenAccount(account)
                )
            }
            Self::NewCardHasFigures { card, figures: Figures { balance, uses } } => write!(
                f,
                "the card table gives card {card} {balance} and {uses} uses of its own: empty these columns, then reload",
                card = card.masked()
            ),
            Self::NewCardStopped { card, status } => {
                write!(
                    f,
                    "card {card} is {}: make it active first, or take another",
                    status.word(),
                    card = card.masked()
                )
            }
            Self::OwnAccount { account } => write!(
                f,
                "account {account} begins with @, as only a card's own does: name one of the table's kind, such as a student number",
                account = HiddenAccount(account)
            ),
            Self::SameAccount { card, account } => write!(
                f,
                "card {card} is on account {account}: nothing to do",
                card = card.masked(),
                account = HiddenAccount(account)
            ),
            Self::NoSuchAccount { account } => write!(
                f,
                "neither the card table nor the ledger has account {account}: check the name with `posgate ctl cards --search`",
                account = HiddenAccount(account)
            ),
            Self::AccountTaken { account } => write!(
                f,
                "account {account} is somebody's: take a name that is free, or put single cards on it with `account`",
                account = HiddenAccount(account)
            ),
            Self::TooManyToRename { account } => write!(
                f,
                "more than {RENAMED_CARDS_MAX} cards of account {account} never moved money: put them on the new one with `account`, or in the table",
                account = HiddenAccount(account)
            ),
            Self::SameHolder { card, account } => write!(
                f,
                "the card table has card {card} on account {account}, which is no other holder's: write the new holder's account there, reload, then reissue",
                card = card.masked(),
                account = HiddenAccount(account)
            ),
            Self::AnothersAccount { card, account, may_be_own } => {
                let none = if *may_be_own { ", or none for the card's own" } else { "" };
                write!(
                    f,
                    "the card table has card {card} on account {account}, which is in use: write there an account that nobody has{none}, reload, then reissue; if the new holder is to share {account}, `account` puts the card on it afterwards",
                    card = card.masked(),
                    account = HiddenAccount(account)
                )
            }
            Self::SuccessorNotInTable { card, successor } => write!(
                f,
                "card {successor} follows {card} and is served by its row: add {successor} to the card table and reload, then reissue",
                card = card.masked(),
                successor = successor.masked()
            ),
            Self::TooManyLinks => write!(
                f,
                "{LINKS_MAX} cards in a row were replaced, and the card table has none of them: add the newest, then reload"
            ),
            Self::KeyUsed { seq } => write!(f, "this key was used for another order, entry {seq}: take a new key"),
            Self::NameUsed { seq } => write!(
                f,
                "something else was ordered for this card under this name, entry {seq}: put the row back as it was; if this is to be done as well, give it in a file of another name"
            ),
            Self::NameForgotten => write!(
                f,
                "orders under this name are older than the last {NAMES_KEPT_MIN} that are remembered, and this may be one of them: look at `posgate ledger show`, and give what was never done under another name"
            ),
            Self::OtherHolder { card, table, told } => write!(
                f,
                "the card table says that card {} is held by {table}, and not by {told}: correct the card, or the name",
                card.masked(),
                table = Hidden(table),
                told = Hidden(told)
            ),
            Self::NoName => write!(f, "this server draws no names for branches: start it with a configuration"),
            Self::NotRolledBack => {
                write!(f, "no older copy of the ledger waits to be acknowledged: nothing is to be done")
            }
            Self::Full => write!(f, "nothing can be written: make room on the ledger's disk, then order again"),
            Self::TooManyCards => write!(f, "there is no room for another card: take cards out of the card table"),
            Self::NotSeen { machine } => {
                write!(
                    f,
                    "machine {machine} sent nothing since the start, so its address is not known: let it say something"
                )
            }
            Self::Quarantined { machine } => {
                write!(
                    f,
                    "no `config device` registers machine {machine}, and others are not served: add one, then reload"
                )
            }
            Self::NoDoor { machine, door } => {
                write!(f, "no `config door` names door {door} of machine {machine}: add one, then reload")
            }
            Self::ClockUnset => {
                write!(f, "the clock is not believed: set it, or accept it as it is with `posgate ctl clock-accept`")
            }
            Self::BadText => write!(
                f,
                "a text is one line without commas, and not empty: write ， for a comma and \\n for a new line"
            ),
        }
    }
}

impl core::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    /// No sentence holds more than the last four digits of a card's number, nor of an account that
    /// is called as a card is.
    #[test]
    fn a_sentence_shows_the_last_four_digits_of_a_card() {
        let number = |text: &str| CardNo::parse(text.as_bytes()).expect("ten digits");
        let (card, successor) = (number("8765438801"), number("8765438802"));
        let (seq, figures) = (EntrySeq(7), Figures::default());
        let named = |account: &str| AccountId::try_from(account).expect("it is short");
        for account in [card.own_account(), named("8765438803"), named("8765438803张"), named("87654 38803")] {
            for refused in [
                Refused::UnknownCard { card },
                Refused::NotInTable { card },
                Refused::Closed { card },
                Refused::Replaced { card, successor },
                Refused::TableSays { card, status: CardStatus::Lost },
                Refused::ClosedForEver { card },
                Refused::OtherMark { card, status: CardStatus::Lost },
                Refused::OtherCard { seq, card },
                Refused::NoSuchEntry { seq: EntrySeq(8_765_438_801) },
                Refused::OldCardClosed { card },
                Refused::NewCardHasAccount { card, account },
                Refused::NewCardHasFigures { card, figures },
                Refused::NewCardStopped { card, status: CardStatus::Lost },
                Refused::OwnAccount { account },
                Refused::SameAccount { card, account },
                Refused::NoSuchAccount { account },
                Refused::AccountTaken { account },
                Refused::TooManyToRename { account },
                Refused::SameHolder { card, account },
                Refused::AnothersAccount { card, account, may_be_own: true },
                Refused::SuccessorNotInTable { card, successor },
                Refused::OtherHolder { card, table: account.to_string(), told: "张三8765438804".to_owned() },
            ] {
                let sentence = refused.to_string();
                assert!(!sentence.contains("8765") && !sentence.contains("7654"), "{sentence}");
                assert!(sentence.contains("****"), "{sentence}");
            }
        }
    }
}
