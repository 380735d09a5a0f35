//! Which entries may still be written, and what that means for devices (design.md, section 12).
//!
//! | | sales (103 104 128) | 105 | doors | entries |
//! |---|---|---|---|---|
//! | open | decided | booked, 011 | decided | all |
//! | reserve | `full`; a retry of a sale in doubt is approved again | no 011: the terminals keep them safe | decided | no refusals, keys, boots, alarms: counted |
//! | nothing | `full`; a retry of a sale in doubt is approved again | no 011 | decided, and opened without an entry: counted | none |
//!
//! A frame that was answered before is answered again in every state, because its entry is durable.
//! If no sync could prove that (a read-only medium may show data that it never stored), no 011
//! leaves.
//!
//! *Open* and *reserve* follow the free bytes. *Nothing* begins only at a start and ends with the
//! process; the next start makes up for what was left out.

use log::{error, info, warn};

use super::Server;

/// Which entries may still be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// All entries.
    #[default]
    Open,
    /// Only the reserve is left: for admissions, the operator's entries, and those that end a
    /// sale's doubt.
    Reserve,
    /// None: the start found no room, or a read-only file system.
    Nothing,
}

impl Room {
    /// The word in status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Reserve => "reserve",
            Self::Nothing => "nothing",
        }
    }
}

impl Server<'_> {
    /// Which entries may still be written, by the last check.
    pub fn room(&self) -> Room {
        self.room
    }

    /// Sets the state of the room; `free`: free bytes, for the log. Not called while nothing can be
    /// written.
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

    /// Enters the state *nothing* until the process ends; `is_proven`: a sync proved that all
    /// replayed entries are durable.
    pub(crate) fn serve_without_entries(&mut self, free: u64, is_proven: bool) {
        self.take_room(Room::Nothing, free);
        self.is_proven = is_proven;
    }
}
