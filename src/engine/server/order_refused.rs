//! Why an operator's order is refused: a sentence each, which says what to do (design.md, section
//! 8).

use core::fmt;

use crate::engine::limits::{LINKS_MAX, NAMES_KEPT_MIN, RENAMED_CARDS_MAX, VOIDS_KEPT_MIN};
use crate::engine::model::text::{Hidden, HiddenAccount, Unnumbered};
use crate::engine::model::{AccountId, CardNo, CardStatus, EntrySeq, Figures, Kind, MachineNo, Money, UnitNo};

/// The most uses that one order may move.
pub(crate) const USES_MAX: i32 = 999_999;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident $({ $($field:ident: $type:ty),* })? $word:literal)*) => {
        /// Why an order is refused. Nothing was changed.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are the values in the sentence")]
        pub enum Refused { $($(#[$doc])* $name $({ $($field: $type),* })?,)* }

        impl Refused {
            /// The words of all reasons; several reasons may share a word.
            #[cfg(test)]
            pub(crate) const WORDS: &[&str] = &[$($word,)*];

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
    /// The card is gone from the table, though the ledger has its account.
    NotInTable { card: CardNo } "not-in-table"
    /// Credit for a closed card.
    Closed { card: CardNo } "closed"
    /// Another card replaced it.
    Replaced { card: CardNo, successor: CardNo } "replaced"
    /// The table's own status is stricter than the one ordered.
    TableSays { card: CardNo, status: CardStatus } "table-says"
    /// The card is closed, which no mark ends.
    ClosedForEver { card: CardNo } "other-state"
    /// Another mark than the one to end stops the card.
    OtherMark { card: CardNo, status: CardStatus } "other-state"
    /// The order would move nothing.
    Zero "zero"
    /// The amount is negative, which only an adjustment may be.
    Negative "negative"
    /// The amount or the uses exceed the limit of one order.
    TooMuch "too-much"
    /// The payout exceeds the account's figures.
    Overdraw { figures: Figures } "overdraw"
    /// The ledger's files do not hold the entry.
    NoSuchEntry { seq: EntrySeq } "no-such-entry"
    /// The ledger's files cannot be read there, or are damaged.
    Unreadable { seq: EntrySeq } "unreadable"
    /// All subsidy purses are being emptied, by the order of this entry.
    Busy { seq: EntrySeq } "busy"
    /// The subsidy purse was emptied since the subsidy was paid.
    ClearedSince { seq: EntrySeq } "cleared"
    /// The entry is neither a booked sale nor a credit.
    NotASale { seq: EntrySeq, kind: Kind, about: Option<EntrySeq> } "not-a-sale"
    /// The sale was voided in full before.
    AlreadyVoided { seq: EntrySeq } "already-voided"
    /// The void exceeds what is left of the sale.
    MoreThanLeft { seq: EntrySeq, left: Money } "more-than-left"
    /// The entry is not a stored sale without effect.
    NotAClaim { seq: EntrySeq, kind: Kind } "not-a-claim"
    /// The entry without effect is of another card.
    OtherCard { seq: EntrySeq, card: CardNo } "other-card"
    /// An order settled the entry before.
    AlreadySettled { seq: EntrySeq } "already-settled"
    /// Nobody knows any more whether the sale was voided before.
    TooOld { seq: EntrySeq } "too-old"
    /// The account that paid was renamed, and its name moved money of others since.
    PurseUnknown { seq: EntrySeq } "purse-unknown"
    /// A card cannot replace itself.
    SameCard "same-card"
    /// A closed card cannot be replaced.
    OldCardClosed { card: CardNo } "closed"
    /// The new card is used already.
    NewCardHasAccount { card: CardNo, account: AccountId } "new-card-has-account"
    /// The table gives the new card money of its own.
    NewCardHasFigures { card: CardNo, figures: Figures } "new-card-has-figures"
    /// The new card is stopped.
    NewCardStopped { card: CardNo, status: CardStatus } "new-card-stopped"
    /// The name begins with `@`, as only a card's own account does.
    OwnAccount { account: AccountId } "own-account"
    /// The card is on this account already.
    SameAccount { card: CardNo, account: AccountId } "same-account"
    /// Neither the table nor the ledger has the account.
    NoSuchAccount { account: AccountId } "no-such-account"
    /// The account's name is in use.
    AccountTaken { account: AccountId } "account-taken"
    /// More cards would move than one order may move.
    TooManyToRename { account: AccountId } "too-many-cards"
    /// The table names no other holder's account for the number.
    SameHolder { card: CardNo, account: AccountId } "same-holder"
    /// The account that the table names for the number is in use, by the former holder or by
    /// somebody else.
    AnothersAccount { card: CardNo, account: AccountId, may_be_own: bool } "same-holder"
    /// The card that replaced this one has no row of its own and would get the new holder's.
    SuccessorNotInTable { card: CardNo, successor: CardNo } "not-in-table"
    /// Too many cards were replaced one after another without a row in the table.
    TooManyLinks "too-many-links"
    /// The key was used for another order.
    KeyUsed { seq: EntrySeq } "key-used"
    /// The card's row in the file of this name was another order.
    NameUsed { seq: EntrySeq } "key-used"
    /// Rows of the file of this name were named by card, and this one is by account, or the other
    /// way round.
    NamedOtherwise { seq: EntrySeq } "key-used"
    /// Rows of the file of this name may be forgotten.
    NameForgotten "name-forgotten"
    /// The card table names another holder.
    OtherHolder { card: CardNo, table: String, told: String } "other-holder"
    /// Nothing can be written.
    Full "full"
    /// The server cannot draw an id for a branch.
    NoName "no-name"
    /// No older copy of the ledger waits to be acknowledged.
    NotRolledBack "not-rolled-back"
    /// There is no room for another account or card.
    TooManyCards "too-many-cards"
    /// The device was not heard since the start.
    NotSeen { machine: MachineNo } "not-seen"
    /// No section registers the device, and only registered devices are served.
    Quarantined { machine: MachineNo } "quarantined"
    /// No section names the door.
    NoDoor { machine: MachineNo, door: UnitNo } "no-door"
    /// The clock is not believed, so no device gets its time.
    ClockUnset "clock-unset"
    /// The text is empty or would break the frame.
    BadText "bad-text"
}

impl fmt::Display for Refused {
    #[allow(clippy::too_many_lines, reason = "one sentence per reason")]
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
                "card {card} was replaced by {successor}: order it for that card, which `posgate ctl card` shows",
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
            Self::TooMuch => write!(f, "too much: at most {} and {USES_MAX} uses per order", Money::MAX),
            Self::Overdraw { figures: Figures { balance, subsidy, uses } } => {
                write!(
                    f,
                    "the account holds {balance} of cash, {subsidy} of subsidy and {uses} uses: take no more than that from each"
                )
            }
            Self::Busy { seq } => write!(
                f,
                "all subsidy purses are being emptied since entry {seq}: order it again in a moment, or see `posgate ctl status`"
            ),
            Self::ClearedSince { seq } => write!(
                f,
                "the subsidy purse was cleared since entry {seq}: nothing is left of that subsidy to take back"
            ),
            Self::NoSuchEntry { seq } => write!(
                f,
                "the ledger here has no entry {}: check the number with `posgate ledger show`; correct an archived one with adjust",
                // A long number may be a card's.
                Unnumbered(&seq.to_string())
            ),
            Self::Unreadable { seq } => write!(
                f,
                "entry {seq} cannot be read from the ledger's files: run `posgate ledger verify`; adjust corrects a balance meanwhile"
            ),
            Self::NotASale { seq, kind, about: Some(about) } => {
                write!(f, "entry {seq} is a {} about {about}: void that sale or credit", kind.word())
            }
            Self::NotASale { seq, kind, about: None } => {
                write!(
                    f,
                    "entry {seq} cannot be voided (kind {}): only booked sales, top-ups and subsidies can; adjust corrects cash",
                    kind.word()
                )
            }
            Self::AlreadyVoided { seq } => write!(f, "nothing is left of entry {seq}: it was voided before"),
            Self::MoreThanLeft { seq, left } => write!(f, "only {left} is left of entry {seq}: void at most that"),
            Self::NotAClaim { seq, kind } => write!(
                f,
                "entry {seq} is not a stored sale without effect ({}): `--about` takes one with claimed= in its detail",
                kind.word()
            ),
            Self::OtherCard { seq, card } => {
                write!(
                    f,
                    "entry {seq} is of card {card}: name that card, or the one that replaced it",
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
                "the account that paid sale {seq} was renamed twice since, so nobody can tell which account it is now: use adjust"
            ),
            Self::SameCard => write!(f, "a card cannot replace itself: name the old card, then the new one"),
            Self::OldCardClosed { card } => write!(
                f,
                "card {card} is closed and cannot be replaced: put a new card on its account with `account`, or settle it with payout or adjust",
                card = card.masked()
            ),
            Self::NewCardHasAccount { card, account } => {
                write!(
                    f,
                    "card {card} is used already, by account {account}: take an unused card",
                    card = card.masked(),
                    account = HiddenAccount(account)
                )
            }
            Self::NewCardHasFigures { card, figures: Figures { balance, subsidy, uses } } => write!(
                f,
                "the card table gives card {card} {balance}, {subsidy} of subsidy and {uses} uses of its own: empty these columns, then reload",
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
                "account {account} begins with @, which only a card's own account does: name one of the table's kind, such as a student number",
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
                "account {account} is in use: take a free name, or put single cards on it with `account`",
                account = HiddenAccount(account)
            ),
            Self::TooManyToRename { account } => write!(
                f,
                "more than {RENAMED_CARDS_MAX} cards of account {account} never moved money: put them on the new one with `account`, or in the table",
                account = HiddenAccount(account)
            ),
            Self::SameHolder { card, account } => write!(
                f,
                "the card table has card {card} on account {account}, which is the same holder's: write the new holder's account there, reload, then reissue",
                card = card.masked(),
                account = HiddenAccount(account)
            ),
            Self::AnothersAccount { card, account, may_be_own } => {
                let none = if *may_be_own { ", or none for the card's own" } else { "" };
                write!(
                    f,
                    "the card table has card {card} on account {account}, which is in use: write an unused account there{none}, reload, then reissue; if the new holder is to share {account}, `account` puts the card on it afterwards",
                    card = card.masked(),
                    account = HiddenAccount(account)
                )
            }
            Self::SuccessorNotInTable { card, successor } => write!(
                f,
                "card {successor} replaced {card} and uses its row: add {successor} to the card table and reload, then reissue",
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
                "this name was used for another order of this card, entry {seq}: put the row back as it was; to do this as well, put this row alone into a file and give that another name (the whole file under another name would be done twice)"
            ),
            Self::NamedOtherwise { seq } => write!(
                f,
                "the rows under this name, from entry {seq} on, were given the other way, by card or by account: nobody could tell which were done before, so go on in that way, or give what was never done another name"
            ),
            Self::NameForgotten => write!(
                f,
                "only the last {NAMES_KEPT_MIN} orders are remembered, and this may be an older one of this name: check with `posgate ledger show`, and give another name to what was never done"
            ),
            Self::OtherHolder { card, table, told } => write!(
                f,
                "the card table says that card {} is held by {table}, not by {told}: correct the card or the name",
                card.masked(),
                table = Hidden(table),
                told = Hidden(told)
            ),
            Self::NoName => write!(f, "this server cannot draw an id for a branch: start it with a configuration"),
            Self::NotRolledBack => {
                write!(f, "no older copy of the ledger waits to be acknowledged: there is nothing to do")
            }
            Self::Full => write!(f, "nothing can be written: make room on the ledger's disk, then order again"),
            Self::TooManyCards => write!(f, "there is no room for another card: remove cards from the card table"),
            Self::NotSeen { machine } => {
                write!(
                    f,
                    "machine {machine} sent nothing since the start, so its address is unknown: use a card or a key there first"
                )
            }
            Self::Quarantined { machine } => {
                write!(
                    f,
                    "no `config device` registers machine {machine}, and only registered devices are served: add one, then reload"
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
                "the text must be one line without commas, and not empty: write ， for a comma and \\n for a new line"
            ),
        }
    }
}

impl core::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    /// No sentence holds more than the last four digits of a card's number, nor of an account with
    /// such a name.
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
