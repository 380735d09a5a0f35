//! Views for a desk: cards, and the devices that answered a 000. Nothing here changes anything but
//! the table of found devices.

use core::fmt;
use core::net::Ipv4Addr;

use super::Server;
use crate::engine::book::AccountConflict;
use crate::engine::limits::FOUND_MAX;
use crate::engine::model::text::HiddenAccount;
use crate::engine::model::text::text_from_lossy;
use crate::engine::model::{AccountId, CardNo, CardRow, CardStatus, Figures, Marks, Now, Reason, Serial, Text};
use crate::engine::policy;
use crate::engine::wire;

/// A card as a desk sees it.
#[derive(Clone, Debug)]
pub(crate) struct CardView {
    /// Its row in the table, or that of the card that it replaced.
    pub row: Option<CardRow>,
    /// Its account, if it has one.
    pub account: Option<AccountId>,
    /// The account's figures.
    pub figures: Figures,
    /// The table's status; active if the table does not have the card.
    pub table: CardStatus,
    /// The ledger's status: the strictest mark.
    pub ledger: CardStatus,
    /// The marks that orders set.
    pub marks: Marks,
    /// Why the card is refused, if it is.
    pub reason: Option<Reason>,
    /// The card that replaced it.
    pub successor: Option<CardNo>,
    /// The account that the table names for it and that is ignored.
    pub ignored: Option<IgnoredAccount>,
}

/// A card for which the table and the ledger name different accounts: the table's is ignored
/// (design.md, section 5).
#[derive(Clone, Debug)]
pub struct IgnoredAccount {
    /// The card.
    pub card: CardNo,
    /// The account that the table names.
    pub named: AccountId,
    /// The card's account by the ledger.
    pub account: AccountId,
    /// That account's figures.
    pub figures: Figures,
}

impl fmt::Display for IgnoredAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { named, account, figures: Figures { balance, subsidy, uses }, .. } = self;
        let (named, account) = (HiddenAccount(named), HiddenAccount(account));
        write!(
            f,
            "the table names account {named}, which is ignored: the card moved account {account} ({balance}, {subsidy} of subsidy and {uses} uses) and stays there; \
             `posgate ctl account` puts a card on another account, `rename` gives an account another name, `reissue` gives the number to \
             another holder"
        )
    }
}

/// A device that answered a 000.
#[derive(Clone, Debug)]
pub(crate) struct FoundDevice {
    /// The source address of the answer.
    pub source: Ipv4Addr,
    /// Its address by the answer.
    pub address: Text<16>,
    /// Its mask.
    pub mask: Text<16>,
    /// Its gateway.
    pub gateway: Text<16>,
    /// The server address that it is set to.
    pub host: Text<16>,
    /// The server port that it is set to.
    pub port: Text<8>,
    /// Its serial.
    pub serial: Option<Serial>,
    /// Whether a section of the configuration names its serial or its source address.
    pub is_registered: bool,
    /// Whether answers with another serial came from its source address.
    pub is_shared: bool,
}

impl FoundDevice {
    /// Whether it is the device with this address and serial: serials are equal, or one is missing
    /// and addresses are equal (design.md, section 13).
    pub fn is(&self, address: Ipv4Addr, serial: Option<&Serial>) -> bool {
        match (&self.serial, serial) {
            (Some(own), Some(serial)) => own == serial,
            _ => self.source == address,
        }
    }
}

/// The devices that answered since the last 000: one per source address.
pub(super) struct FoundDevices {
    rows: heapless::Vec<FoundDevice, FOUND_MAX>,
    /// The number of answers without a place.
    left_out: u32,
}

impl FoundDevices {
    pub(super) const fn new() -> Self {
        Self { rows: heapless::Vec::new(), left_out: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.left_out = 0;
    }

    /// Adds a device. A newer answer from the same address replaces the older one if the serial is
    /// the same, or if only the newer one is of a registered device.
    fn add(&mut self, device: FoundDevice) {
        if let Some(known) = self.rows.iter_mut().find(|known| known.source == device.source) {
            let is_shared = known.is_shared || known.serial != device.serial;
            if known.serial == device.serial || (device.is_registered && !known.is_registered) {
                *known = device;
            }
            known.is_shared = is_shared;
            return;
        }
        let Err(device) = self.rows.push(device) else { return };
        self.left_out = self.left_out.saturating_add(1);
        if device.is_registered
            && let Some(place) = self.rows.iter().rposition(|known| !known.is_registered)
        {
            self.rows[place] = device;
        }
    }
}

impl Server<'_> {
    /// The view of a card; `None` if neither table nor ledger has it.
    pub(crate) fn card_view(&self, now: &Now, card: CardNo) -> Option<CardView> {
        let book = &self.tables.book;
        let (table, ledger) = self.statuses_of(card)?;
        let row = self.card_row(card);
        let account = self.account_of(card);
        let today = self.business_time(now, self.clock.state, None).date();
        let checked = row.as_ref().map_or(Err(Reason::UnknownCard), |row| policy::check_card(book, row, today));
        Some(CardView {
            account: account.map(|row| book.account(row).id),
            figures: account.map(|row| book.account(row).figures()).unwrap_or_default(),
            table,
            ledger,
            marks: book.marks_of(card),
            reason: checked.err(),
            successor: book.successor(card),
            ignored: self.tables.cards.account_of(card).and_then(|named| self.ignored_of(card, named)),
            row,
        })
    }

    /// The cards for which table and ledger name different accounts, in the table's order.
    pub fn ignored_accounts(&self) -> impl Iterator<Item = IgnoredAccount> {
        self.tables.cards.numbers().filter_map(|(card, named)| self.ignored_of(card, named))
    }

    /// As [`Server::ignored_accounts`], of at most `count` rows of the table from row `from` on.
    pub(crate) fn ignored_accounts_of(&self, from: usize, count: usize) -> impl Iterator<Item = IgnoredAccount> {
        let rows = from..self.tables.cards.len().min(from.saturating_add(count));
        rows.filter_map(|row| self.tables.cards.number(row)).filter_map(|(card, named)| self.ignored_of(card, named))
    }

    fn ignored_of(&self, card: CardNo, named: u32) -> Option<IgnoredAccount> {
        let AccountConflict { card, named, account } = self.tables.book.account_conflict(card, named)?;
        let account = self.tables.book.account(account);
        Some(IgnoredAccount { card, named, account: account.id, figures: account.figures() })
    }

    /// The devices that answered a 000 since [`Server::forget_found`]: registered ones first, then
    /// by arrival.
    pub(crate) fn found(&self) -> impl Iterator<Item = &FoundDevice> {
        let rows = &self.tables.found.rows;
        let registered = rows.iter().filter(|device| device.is_registered);
        registered.chain(rows.iter().filter(|device| !device.is_registered))
    }

    /// The number of answers that [`Server::found`] has no place for.
    pub(crate) fn found_left_out(&self) -> u32 {
        self.tables.found.left_out
    }

    /// Forgets all answers, before another 000.
    pub(crate) fn forget_found(&mut self) {
        self.tables.found.clear();
    }

    /// Notes a 100, the answer to a 000.
    pub(super) fn note_found(&mut self, source: Ipv4Addr, found: &wire::Found) {
        let is_registered = self
            .rules
            .devices
            .iter()
            .any(|rule| rule.address == Some(source) || (rule.serial.is_some() && rule.serial == found.serial));
        self.tables.found.add(FoundDevice {
            source,
            address: text_from_lossy(found.device_ip),
            mask: text_from_lossy(found.mask),
            gateway: text_from_lossy(found.gateway),
            host: text_from_lossy(found.host_ip),
            port: text_from_lossy(found.port),
            serial: found.serial,
            is_registered,
            is_shared: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u16, serial: &str, is_registered: bool) -> FoundDevice {
        let [high, low] = number.to_be_bytes();
        FoundDevice {
            source: Ipv4Addr::new(10, 0, high, low),
            address: Text::new(),
            mask: Text::new(),
            gateway: Text::new(),
            host: Text::new(),
            port: Text::new(),
            serial: crate::engine::model::text::text_from(serial.as_bytes()).map(Serial::from),
            is_registered,
            is_shared: false,
        }
    }

    /// Anybody at the screen may read the log and `check`, and an account's name may be a card's
    /// number.
    #[test]
    fn an_account_that_is_ignored_is_named_without_a_cards_whole_number() {
        let card = CardNo::from_value(8_765_438_801);
        let account = |text: &str| AccountId::try_from(text).unwrap();
        for (named, shown) in [("8765438802", "****8802"), ("S8765438802", "S****8802"), ("S002", "S002")] {
            let ignored = IgnoredAccount {
                card,
                named: account(named),
                account: card.own_account(),
                figures: Figures::default(),
            };
            let words =
                format!("the table names account {shown}, which is ignored: the card moved account @****8801 (");
            assert!(ignored.to_string().starts_with(&words), "{ignored}");
        }
    }

    #[test]
    fn forged_answers_hide_no_registered_device_and_answers_left_out_are_counted() {
        let mut found = FoundDevices::new();
        let count = u16::try_from(FOUND_MAX).unwrap() + 36;
        for number in 1..=count {
            found.add(device(number, "1", false));
        }
        assert_eq!((found.rows.len(), found.left_out), (FOUND_MAX, 36));
        found.add(device(1000, "77", true));
        found.add(device(1001, "78", true));
        assert_eq!((found.rows.len(), found.left_out), (FOUND_MAX, 38));
        let registered = found.rows.iter().filter(|device| device.is_registered).count();
        assert_eq!((registered, found.rows[0].source), (2, Ipv4Addr::new(10, 0, 0, 1)), "the first stays");
    }

    #[test]
    fn devices_are_equal_by_serial_or_by_address_if_a_serial_is_missing() {
        let serial = |text: &str| crate::engine::model::text::text_from(text.as_bytes()).map(Serial::from);
        let (here, there) = (Ipv4Addr::new(10, 0, 0, 7), Ipv4Addr::new(10, 0, 0, 8));
        let (named, nameless) = (device(7, "1", false), FoundDevice { serial: None, ..device(7, "1", false) });
        for (found, address, other, is_it) in [
            (&named, there, Some("1"), true),
            (&named, here, Some("2"), false),
            (&named, here, None, true),
            (&named, there, None, false),
            (&nameless, here, Some("1"), true),
            (&nameless, there, Some("1"), false),
            (&nameless, here, None, true),
            (&nameless, there, None, false),
        ] {
            assert_eq!(found.is(address, other.and_then(serial).as_ref()), is_it, "{address} {other:?}");
        }
    }

    #[test]
    fn an_address_takes_one_place_whatever_serials_it_sends() {
        let mut found = FoundDevices::new();
        for serial in ["1", "1", "2", "3"] {
            found.add(device(7, serial, false));
        }
        assert_eq!((found.rows.len(), found.left_out), (1, 0));
        assert!(found.rows[0].is_shared && found.rows[0].serial.is_some_and(|serial| serial.is(b"1")));
        found.add(device(7, "4", true));
        found.add(device(7, "5", true));
        assert!(found.rows[0].is_shared && found.rows[0].serial.is_some_and(|serial| serial.is(b"4")));
    }
}
