//! What may still be written, and what that means for the devices (design.md, section 12).
//!
//! | | sales (103 104 128) | 105 | doors | entries |
//! |---|---|---|---|---|
//! | open | decided | booked, 011 | decided | all |
//! | reserve | `full`; a retry of one in doubt is approved again | no 011: the terminals keep them safe | decided | no refusals, keys, boots, alarms: counted |
//! | nothing | `full`; a retry of one in doubt is approved again | no 011 | decided, and opened without an entry: counted | none |
//!
//! What was answered before is answered again in every state: that rests on entries that are
//! durable. Where a sync could not prove that they are (a read-only medium may show what it never
//! got), no 011 leaves.
//!
//! *Open* and *reserve* follow the free bytes. *Nothing* is entered by a start only, and ends with
//! the process: the next start does what was left out.

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
    /// The start found no room, or a read-only file system.
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

    /// Takes note of how much room there is: `free` bytes. Not where nothing can be written.
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

    /// From now on, and for as long as the process lives, nothing can be written; `is_proven`: a
    /// sync says that what was replayed is durable.
    pub fn serve_without_entries(&mut self, free: u64, is_proven: bool) {
        self.take_room(Room::Nothing, free);
        self.is_proven = is_proven;
    }
}
