//! The operator's configuration, as values for the decisions (design.md, sections 4 and 6).
//!
//! `config` makes it; it is installed whole at start and at a reload.

use core::net::Ipv4Addr;

use super::calendar::{Calendar, Weekdays};
use super::card::{GroupSet, Pin};
use super::ids::{AccountId, MachineNo, Serial};
use super::money::Money;
use super::reason::Reason;
use super::time::{Date, TimeOfDay};

/// How a device that no section registers is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownDevices {
    /// It is served like any other.
    #[default]
    Serve,
    /// It gets a 001 and a refusal; no money, no door, no 011.
    Quarantine,
}

/// When the wall clock is believed (design.md, section 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockTrust {
    /// Believed, unless it is behind the ledger or the program's build date.
    #[default]
    Trust,
    /// As `Trust`, but only after the kernel was synchronized in this boot.
    Ntp,
}

/// The names of groups (or places) in the configuration: one bit each, in order of appearance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// The bit of a name, added if it is new; `None` beyond [`crate::engine::limits::GROUPS_MAX`]
    /// names.
    pub(crate) fn intern(&mut self, name: &str) -> Option<GroupSet> {
        if self.lookup(name).is_empty() {
            if self.0.len() == crate::engine::limits::GROUPS_MAX {
                return None;
            }
            self.0.push(name.to_owned());
        }
        Some(self.lookup(name))
    }

    /// The bit of a name; the empty set if the configuration does not mention it.
    pub fn lookup(&self, name: &str) -> GroupSet {
        self.0.iter().position(|known| known == name).map_or(GroupSet(0), |bit| GroupSet(1 << bit))
    }

    /// The number of names.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names in a set.
    pub fn names(&self, set: GroupSet) -> impl Iterator<Item = &str> {
        self.0.iter().enumerate().filter(move |(bit, _)| set.0 >> bit & 1 == 1).map(|(_, name)| name.as_str())
    }
}

/// The kind of device that a section configures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceKind {
    /// 消费机.
    #[default]
    Pos,
    /// 门禁控制板.
    Board,
}

impl DeviceKind {
    /// The configuration's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pos => "pos",
            Self::Board => "board",
        }
    }
}

/// `config device`: a registered device.
#[derive(Clone, Debug)]
pub struct DeviceRule {
    /// The machine number; no other device has it.
    pub machine: MachineNo,
    /// For people, and `$device` on displays.
    pub name: String,
    /// `name` as a display shows it.
    pub name_gbk: Vec<u8>,
    /// The hardware serial it must send, if it sends one.
    pub serial: Option<Serial>,
    /// The address it must send from.
    pub address: Option<Ipv4Addr>,
    /// Terminal or board.
    pub kind: DeviceKind,
    /// The places whose periods apply here.
    pub places: GroupSet,
    /// Only cards of one of these may pay here; empty: every card.
    pub groups: GroupSet,
    /// Whether the subsidy purse may pay here.
    pub subsidy: bool,
}

/// `config period`: a meal period.
#[derive(Clone, Debug)]
pub struct Period {
    /// Its name, as in the ledger's `period=`. At most 24 bytes.
    pub name: AccountId,
    /// Inclusive.
    pub from: TimeOfDay,
    /// Exclusive; not later than `from`: it crosses midnight.
    pub to: TimeOfDay,
    /// The days on which it is served: those of its sales' business day.
    pub days: Weekdays,
    /// The places where it applies; empty: everywhere.
    pub places: GroupSet,
    /// The groups that it applies to; empty: every card.
    pub groups: GroupSet,
    /// Most sales of a card in this period of one day; 0: no limit.
    pub uses_max: u32,
    /// The amount that count mode takes from the balance; `None`: it takes one use.
    pub price: Option<Money>,
    /// The price of a card's second and later meals in count mode in this period of one day;
    /// `None`: `price`. Never without `price`.
    pub price_next: Option<Money>,
    /// Whether the subsidy purse may pay in this period.
    pub subsidy: bool,
}

/// `config door`: who may pass, when.
#[derive(Clone, Debug)]
pub struct DoorRule {
    /// The board.
    pub machine: MachineNo,
    /// The door or relay on it.
    pub door: u32,
    /// The groups whose cards it admits; empty: every valid card.
    pub groups: GroupSet,
    /// Inclusive.
    pub from: TimeOfDay,
    /// Exclusive; not later than `from`: it crosses midnight. `00:00` to `24:00` is always.
    pub to: TimeOfDay,
    /// A span that crosses midnight belongs to the day it began.
    pub days: Weekdays,
    /// Whether the card's PIN must follow.
    pub card_pin: bool,
    /// The door's own PIN, which opens without a card.
    pub open_pin: Option<Pin>,
    /// The same card again within this many seconds is refused; 0: never.
    pub passback_s: u32,
    /// 050's last number but one: likely relay seconds (inferred).
    pub relay_s: u32,
    /// 050's last number: likely the door-left-open limit (inferred). An open door longer than this
    /// is an alarm.
    pub left_open_s: u32,
}

/// A variable of a display text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `$name`
    Name,
    /// `$card`
    Card,
    /// `$balance`: cash and subsidy together.
    Balance,
    /// `$cash`
    Cash,
    /// `$subsidy`
    Subsidy,
    /// `$uses`
    Uses,
    /// `$amount`
    Amount,
    /// `$reason`
    Reason,
    /// `$device`
    Device,
}

/// A piece of a display text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// GBK, as it goes out.
    Literal(Vec<u8>),
    /// Filled in for each reply.
    Variable(Variable),
}

/// A display text, ready to be filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

/// The three numbers after a text, as the wire writes them (`20,0,1`): display seconds, then a flag
/// and a sound (inferred).
pub type Trailer = super::text::Text<16>;

/// `config text`: every text and number of the displays (design.md, section 6).
#[derive(Clone, Debug)]
pub struct Texts {
    /// 008 of an amount.
    pub charge_ok: Template,
    /// 008 of a meal.
    pub meal_ok: Template,
    /// 008 of a code.
    pub scan_ok: Template,
    /// 009.
    pub inquiry: Template,
    /// 006.
    pub declined: Template,
    /// 050.
    pub admitted: Template,
    /// 051.
    pub refused: Template,
    /// After 008's text.
    pub display_ok: Trailer,
    /// After 006's text.
    pub display_declined: Trailer,
    /// After 009's text.
    pub display_inquiry: Trailer,
    /// After 050's text.
    pub display_admitted: Trailer,
    /// After 051's text.
    pub display_refused: Trailer,
    /// The words for each reason, in the order of [`Reason::ALL`]; GBK.
    pub reasons: Vec<Vec<u8>>,
    /// The words for a card that nothing refuses; GBK.
    pub card_ok: Vec<u8>,
}

impl Texts {
    /// The words for a reason; GBK.
    pub fn reason(&self, reason: Reason) -> &[u8] {
        &self.reasons[reason as usize]
    }
}

/// An IPv4 network that frames may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its address, host bits cleared.
    pub address: Ipv4Addr,
    /// 0 to 32.
    pub prefix_len: u8,
}

impl Network {
    /// Whether the network holds the address.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_len)).unwrap_or(0);
        address.to_bits() & mask == self.address.to_bits()
    }
}

/// All that decisions depend on besides cards and book.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Networks whose frames are accepted; empty: all.
    pub allow: Vec<Network>,
    /// What happens to devices that no section registers.
    pub unknown_devices: UnknownDevices,
    /// When the wall clock is believed.
    pub clock: ClockTrust,
    /// When the business day begins.
    pub day_start: TimeOfDay,
    /// Seconds that a device's clock may be off before it gets a 003.
    pub clock_tolerance_s: u32,
    /// Time before the first resend; doubled for each further one.
    pub resend_first_ms: u32,
    /// Most resends.
    pub resend_max: u8,
    /// A 050 older than this is never sent again.
    pub door_ttl_ms: u32,
    /// Whether a 109 gets a 001.
    pub ack_109: bool,
    /// A sale in doubt that is tried again within this time is the same sale; 0: never.
    pub same_sale_s: u32,
    /// A 105 within this time of a sale in doubt is that sale; 0: never.
    pub offline_match_s: u32,
    /// A 105 above this amount is listed, not booked.
    pub offline_max: Money,
    /// How long a machine number stays with the device that last used it.
    pub clash_window_s: u32,
    /// After this many wrong PINs within a minute, of a card at a door or of a door, PINs there are
    /// refused for a minute; 0: never.
    pub pin_tries: u32,
    /// Frames per second from one address; 0: no limit.
    pub rate_source: u32,
    /// Frames per second from all addresses; 0: no limit.
    pub rate_total: u32,
    /// Registered devices, at most one per machine number.
    pub devices: Vec<DeviceRule>,
    /// Meal periods, in the file's order.
    pub periods: Vec<Period>,
    /// Door rules, in the file's order.
    pub doors: Vec<DoorRule>,
    /// Days that are not what their weekday says, for periods and doors.
    pub calendar: Calendar,
    /// What displays show.
    pub texts: Texts,
    /// Groups that devices, periods and doors mention.
    pub groups: Names,
    /// Places that devices and periods mention.
    pub places: Names,
    /// The day before which no clock is believed: the program's build date.
    pub built_on: Date,
}

impl Rules {
    /// The section that registers this machine number.
    pub fn device(&self, machine: MachineNo) -> Option<&DeviceRule> {
        self.devices.iter().find(|device| device.machine == machine)
    }
}
