//! The values that all rooms share: money, numbers, times, entries, cards and rules.
//!
//! No module here does IO, reads a clock or knows the wire or the ledger's text. Each type keeps
//! its rule: a value that exists is valid.

pub mod calendar;
pub mod card;
pub mod digits;
pub mod entry;
pub mod figures;
pub mod forms;
pub mod ids;
pub mod money;
pub mod order;
pub mod reason;
pub mod rules;
pub mod text;
pub mod time;
pub mod trouble;

pub use calendar::{Calendar, DayKind, DayRange, Weekdays};
pub use card::{
    AccountHistory, CardRecord, CardRow, CardStatus, CardTable, GroupSet, IncomingAccount, IncomingRow, IncomingTable,
    Mark, Marks, Pin, Stated, Terms,
};
pub use entry::{ClockState, Detail, Entry, EntrySeq, Kind, MissingEntries};
pub use figures::Figures;
pub(crate) use ids::is_own_account;
pub use ids::{AccountId, CardNo, FrameSeq, MachineNo, Serial, UnitNo};
pub use money::{Balance, Money};
pub use order::{Act, Done, Key, Order, Subject, Way};
pub use reason::Reason;
pub use rules::Rules;
pub use text::Text;
pub use time::{Civil, Date, DeviceTime, Mono, Now, Stamp, TimeOfDay, Wall, ZoneChange, ZoneChanges};
pub use trouble::Trouble;
