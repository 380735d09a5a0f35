//! What may still be written, and what that means for the devices (design.md, section 12).
//!
//! | | sales (103 104 128) | 105 | doors | entries |
//! |---|---|---|---|---|
//! | open | decided | booked, 011 | decided | all |
//! | reserve | `full`; a retry of one in doubt is approved again | no 011: the terminals keep them safe | decided | no refusals, keys, boots, alarms: counted |
//! | nothing | `full` | no 011 | decided, and opened without an entry: counted | none |
//!
//! What was answered before is answered again in every state: that rests on entries that are durable.

use log::{error, info, warn};

use super::Server;

/// What may still be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// Everything.
    #[default]
    Open,
    /// Only the reserve is left: for admissions, the operator, and what ends a sale.
    Reserve,
    /// The last write found no room.
    Nothing,
}

impl Room {
    /// The word that status uses.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Reserve => "reserve",
            Self::Nothing => "nothing",
        }
    }
}

impl Server<'_> {
    /// What may still be written, as it was seen last.
    pub fn room(&self) -> Room {
        self.room
    }

    /// Takes note of how much room there is: `free` bytes.
    pub fn take_room(&mut self, room: Room, free: u64) {
        if room == self.room {
            return;
        }
        self.room = room;
        match room {
            Room::Open => info!("room free={free}: sales and stored records are taken again"),
            Room::Reserve => {
                warn!("full free={free}: only the reserve is left; sales are refused, terminals keep their records");
            }
            Room::Nothing => {
                error!("full free={free}: nothing can be written; doors open by the table without an entry");
            }
        }
    }

    /// The entries since the last sync are gone: so are all commands that might tell of them, and the book, which the caller replays.
    /// Devices ask again.
    pub fn forget_turn(&mut self) {
        self.forget_commands();
        self.rewind_book();
    }
}
