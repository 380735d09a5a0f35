//! Every capacity of the server, with its reason and what happens when it is reached.
//!
//! Nothing grows after start-up: each table below has room for a fixed number of rows, and "full"
//! is a normal answer with a defined behavior (design.md, sections 2 and 12). The big tables live
//! in `.bss`, so a row that is never used costs an address and no memory.

/// The size of a device's buffer: a longer datagram is not a frame (protocol.md, *Transport*). It
/// is dropped and counted.
pub const DATAGRAM_LEN_MAX: usize = 1024;

/// The longest reply: a 011 echoes three fields of a datagram as received, and its time may be
/// longer than the received one; every other reply is a text of at most [`TEXT_LEN_MAX`] and short
/// numbers.
pub const REPLY_LEN_MAX: usize = DATAGRAM_LEN_MAX + 64;

/// Bytes of GBK in one display text. The displays likely hold 4 lines of 16 half-width cells
/// (inferred); the seed's own longest text is 66 bytes. A longer text is cut, but not within a
/// character, a number or a line break.
pub const TEXT_LEN_MAX: usize = 240;

/// Datagrams handled in one turn of the loop. Further ones wait for the next turn. After a slow
/// sync a turn goes on receiving for up to [`TURN_BEYOND_MS_MAX`].
pub const TURN_DATAGRAMS_MAX: usize = 1024;

/// How long a turn may receive beyond [`TURN_DATAGRAMS_MAX`], in milliseconds, but no longer than
/// the last turn's sync took: so under a flood the disk has half of the time, and one sync serves
/// more sales. This delays sales only if more datagrams wait than one turn takes. Measured with
/// syncs of 30 ms under 100,000 datagrams per second: the p99 of a sale fell from 1.1 s to 0.6 s.
pub const TURN_BEYOND_MS_MAX: u64 = 50;

/// At most this many datagrams or timers are handled before the turn checks the room in its buffers
/// again.
pub const TURN_BATCH: usize = 64;

/// A turn stops receiving if its write has room for fewer frames than this.
pub const TURN_BATCH_MIN: usize = 16;

/// Budget of bytes per frame for its entries: a sale that opens its account and ends a command that
/// nobody confirmed. Measured with the ledger's 20 columns: 526 with the longest account, period,
/// serial and amounts (`open` 155, `scan` 253, `unconfirmed` 118), and 410 with usual ones; a sale
/// of an account that is open has 170 to 240, a 105 up to 260, a door 130, a 109 100. What a turn's
/// last frames need beyond it (an alarm, a device that gives way) is written in a second piece, and
/// never overflows.
pub const FRAME_ENTRIES_BYTES: usize = 544;

/// Frames of one turn that are decided after its live requests (105s, and the frames that their
/// devices send after them): as many as fit in the turn's one write by [`FRAME_ENTRIES_BYTES`]. The
/// turn takes no more than these, so each has room.
pub const ASIDE_MAX: usize = TAIL_LEN_MAX / FRAME_ENTRIES_BYTES;

/// Entries that one frame, timer or signal can lead to: `clock`, `open`, two alarms, the decision
/// itself, and, where a device gives way to another, `unconfirmed` for each of its commands and one
/// excess line per limited kind. Exceeding it is a bug.
/// A clear of subsidy purses leads to more: for each purse its `open` and its `subsidy`, and to a
/// `clock` and the last one.
pub const ENTRIES_MAX: usize = max(5 + (READERS_MAX + 2) + 5, 2 * CLEARED_PER_TURN + 2);

/// Subsidy purses that one turn empties while all are emptied: their entries take 13 KB of the
/// turn's write at most, and 10,000 purses some 300 turns.
pub const CLEARED_PER_TURN: usize = 32;

/// Cards and accounts that one turn looks at for that, whether they hold subsidy or not.
pub const CLEAR_LOOKED_AT: usize = 1024;

/// Bytes of one ledger line, LF included. Columns are bounded so that the longest fits
/// (`ledger::line` adds them up).
pub const LINE_LEN_MAX: usize = 1088;

/// Bytes of the `detail` column, its values escaped (`%XX`). The line may double each of them, and
/// still fits.
pub const DETAIL_LEN_MAX: usize = 300;

/// Bytes appended to the ledger in one write, and, the same, bytes at its end that a power cut may
/// have spoiled: recovery cuts there and nowhere else, and writes them again after a stop that was
/// not clean (design.md, sections 1 and 9). A turn stops receiving when further entries might not
/// fit. Measured with 1,024 terminals that sell as fast as they are answered, sales with their 109s
/// a sync: 193 with 64 KiB, 414 with 128, 850 with 256. But with 256 KiB a start would need more
/// room than the reserve that is shipped ([`ROOM_TRIED_LEN`]), and a router twice the memory.
pub const TAIL_LEN_MAX: usize = 128 * 1024;

/// Recovery writes the tail again in pieces of this many bytes, each synced before the next one: a
/// file system that writes elsewhere first (F2FS, UBIFS, JFFS2) needs room for one piece and not
/// for the whole tail, and a router so much memory.
pub const MENDED_LEN: usize = 64 * 1024;

/// Bytes that a trial writes, syncs and removes while nothing can be written: the next start needs
/// room for a copy of the tail that it cuts and for a piece of the tail that it writes again. Less
/// than the reserve that is shipped, so that a start below it may still write.
pub const ROOM_TRIED_LEN: usize = TAIL_LEN_MAX + MENDED_LEN;

/// Bytes in one turn's replies. A turn ends when another frame's replies might not fit.
pub const MAIL_BYTES_MAX: usize = 512 * 1024;

/// Replies in one turn: at most three short ones per datagram, and the rest from timers.
pub const MAIL_COUNT_MAX: usize = 4 * TURN_DATAGRAMS_MAX;

/// Cards in the table. A longer table is refused at load, with this number.
pub const CARDS_MAX: usize = 65_536;

/// Bytes of names and member codes of all cards. A table that needs more is refused at load.
pub const CARD_TEXT_MAX: usize = 2 * 1024 * 1024;

/// Bytes of GBK kept of a name: twenty Chinese characters. A longer one is cut on a character
/// boundary.
pub const NAME_LEN_MAX: usize = 40;

/// Bytes of a static member code.
pub const CODE_LEN_MAX: usize = 128;

/// Accounts that ever moved or that are in the table. Beyond it a sale is refused and a 105 gets no
/// 011; counted.
pub const ACCOUNTS_MAX: usize = 65_536;

/// Devices known at once. A new device replaces the one idle longest. A registered device is never
/// replaced; one with a sale in doubt or a pending command is replaced only by a registered one. If
/// none can be replaced, a sale and a door request are refused as `full`; after a restart too, when
/// the devices with a sale in doubt have not been heard yet. The configuration has at most as many
/// device sections, so every registered device has room.
pub const DEVICES_MAX: usize = 1024;

/// Frames with a device time that are remembered per device, however old (design.md, section 8). As
/// many again are remembered whose answers are in no entry: enquiries, refusals beyond the entry
/// limit, and decisions made while nothing could be written. With fewer, a recording of a door's
/// frame could be accepted sooner on a full disk.
pub const RECENT_FRAMES_MAX: usize = 32;

/// Last approvals from which the server concludes whether a device confirms (design.md, sections 8
/// and 10).
pub const APPROVALS_MAX: usize = 10;

/// Offline sales remembered: at least this many; twice as many fit, and the older half goes when
/// full.
pub const OFFLINE_KEPT_MIN: usize = 16_384;

/// Sales in doubt kept: at least this many, whatever their age (design.md, section 8).
pub const DOUBTS_KEPT_MIN: usize = 4096;

/// Admissions kept for the pass-back rule: at least this many.
pub const PASSES_KEPT_MIN: usize = 4096;

/// Names of operators' orders remembered, keys and rows of files together: at least this many
/// (design.md, section 8); twice as many fit, 64 bytes each, and the older half goes when full. A
/// forgotten key counts as new. If a row of a file may be forgotten, no further row is done under
/// that file's name; so a file has at most this many rows.
pub const NAMES_KEPT_MIN: usize = 32_768;

/// Files of orders remembered by their names: at least this many. A forgotten name counts as new:
/// at least this many other files came after it.
pub const FILES_KEPT_MIN: usize = 4096;

/// Voids remembered: at least this many. A sale older than the newest forgotten void's may have
/// been voided, so it can no longer be voided.
pub const VOIDS_KEPT_MIN: usize = 4096;

/// Reissued card numbers that are remembered: more than an office reissues in the 31 days for which
/// a 105's time is believed. If one were forgotten, a former holder's stored sale would move the
/// present holder's account.
pub const REISSUES_KEPT_MIN: usize = 1024;

/// Cards of one account that never moved money and that `rename` takes along, one entry each. With
/// more of them the order is refused, and an operator renames the account in the table.
pub const RENAMED_CARDS_MAX: usize = 8;

/// The longest chain of replaced cards: each replaced the one before, and only the first may be in
/// the table. A further replacement is refused.
pub const LINKS_MAX: usize = 64;

/// Unknown cards that are listed: those seen last.
pub const UNKNOWN_CARDS_MAX: usize = 64;

/// Different period names in one ledger. Sales of further ones share the last place, so a limit may
/// refuse too early, never too late.
pub const PERIOD_NAMES_MAX: usize = 255;

/// Periods of one day that are counted per card. In a further period the card's sales count as used
/// up.
pub const PERIODS_PER_DAY_MAX: usize = 8;

/// Pending commands: one and a 011 per terminal, one per reader of a board. When full, a command is
/// sent once and not resent.
pub const PENDING_MAX: usize = 2048;

/// The most that `pin_tries` can be.
pub const PIN_TRIES_MAX: u32 = 100;

/// Wrong PINs of the last minute that are counted; the oldest gives way. A source sends at most
/// 6,000 frames per minute, so only an attacker who knows hundreds of card numbers can push out the
/// tries of others.
pub const PIN_TRIES_KEPT_MAX: usize = 2048;

/// Cards at doors, and doors, whose PINs are refused unread; the oldest gives way.
pub const PIN_STOPS_MAX: usize = 256;

/// Readers of one board that can have a command pending; a further one replaces the oldest.
pub const READERS_MAX: usize = 8;

/// Timers: one per pending command, one per device (the excess entry), and a few of the server's
/// own.
pub const TIMERS_MAX: usize = PENDING_MAX + DEVICES_MAX + 64;

/// Source addresses with a rate bucket of their own, in sets of four. A new source replaces one
/// whose bucket is full again, the one idle longest first. If there is none, further sources share
/// one bucket per set.
pub const SOURCES_MAX: usize = 4096;

/// Sections of the configuration: meal periods.
pub const PERIODS_MAX: usize = 64;

/// Sections of the configuration: door rules.
pub const DOOR_RULES_MAX: usize = 512;

/// Ranges of days in the calendar, of all its sections together: eight years of a country with a
/// dozen a year. More are an error of the configuration.
pub const CALENDAR_RANGES_MAX: usize = 128;

/// Names of card groups, and of places, that the configuration may mention: one bit each.
pub const GROUPS_MAX: usize = 64;

/// Limited kinds (`decline refuse keys boot alarm`) written per minute: per device, and in all
/// (design.md, section 7).
pub const LIMITED_PER_DEVICE: u32 = 20;
/// See [`LIMITED_PER_DEVICE`].
pub const LIMITED_IN_ALL: u32 = 200;

/// Clients of the control socket. A further one replaces a client that was silent for a minute, or
/// gets the answer "busy": an office has two, and a desk's program, web pages that wait for the
/// next sale, a person and a monitor have one each. Each has some 12 KB at most.
pub const CONTROL_CLIENTS_MAX: usize = 32;

/// Seconds that a client may wait for the next entry in one line (`wait`): then it gets the last
/// one, which shows both sides that the other is there.
pub const CONTROL_WAIT_S_MAX: u32 = 60;

/// Offices whose acknowledgements are kept. One more is not heard: the operator forgets one that is
/// gone.
pub const OFFICES_MAX: usize = 4;

/// Bytes of one line on the control socket, each way, its LF not counted. After a longer one the
/// client gets an error and is disconnected.
pub const CONTROL_LINE_MAX: usize = 4096;

/// Bytes of answers buffered per client. While an answer of [`CONTROL_LINE_MAX`] does not fit, the
/// server does not read from that client.
pub const CONTROL_OUTPUT_LEN: usize = 2 * (CONTROL_LINE_MAX + 1);

/// Control lines handled in one turn: their entries, an `open` without a detail and one of
/// [`LINE_LEN_MAX`] each, fit the half of the turn's bytes that the devices'
/// frames leave.
pub const CONTROL_TURN_LINES: usize = 16;

/// Rows of a table that one control line searches. The answer has a cursor with which the search
/// continues.
pub const CONTROL_ROWS_MAX: usize = 1024;

/// Devices that answered a 000, kept for `ctl discover`: one per source address, since anybody can
/// send answers. When full, a registered device replaces one that is not; any other is left out and
/// counted.
pub const FOUND_MAX: usize = 256;

/// The larger one, for capacities.
const fn max(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}
