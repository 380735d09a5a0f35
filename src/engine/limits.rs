//! Every capacity of the server, with its reason and what happens when it is reached.
//!
//! Nothing grows after start-up: each table below has room for a fixed number of rows, and "full"
//! is a normal answer with a defined behavior (design.md, sections 2 and 12). The big tables live
//! in `.bss`, so a row that is never used costs an address and no memory.

/// A device's buffer: a longer datagram is no frame (protocol.md, *Transport*). It is dropped and
/// counted.
pub const DATAGRAM_LEN_MAX: usize = 1024;

/// The longest reply we emit: a 011 echoes three fields of a datagram as received and may put a
/// longer time between them; every other reply is a text of at most [`TEXT_LEN_MAX`] and short
/// numbers.
pub const REPLY_LEN_MAX: usize = DATAGRAM_LEN_MAX + 64;

/// Bytes of GBK in one display text. The displays likely hold 4 lines of 16 half-width cells
/// (inferred); the seed's own longest text is 66 bytes. A longer text is cut, and neither a
/// character, a figure nor a line break is split.
pub const TEXT_LEN_MAX: usize = 240;

/// Datagrams handled in one turn of the loop. More wait for the next turn, unless syncs take long:
/// then also what comes within [`TURN_BEYOND_MS_MAX`].
pub const TURN_DATAGRAMS_MAX: usize = 1024;

/// How long a turn may take datagrams beyond [`TURN_DATAGRAMS_MAX`], in milliseconds, and no longer
/// than the last turn's sync took: so a flood leaves the disk half of the time, and one sync serves
/// more sales. Only where more waits than a turn takes does anybody wait for this. Measured with
/// syncs of 30 ms under 100,000 datagrams a second: of a sale the p99 fell from 1.1 s to 0.6 s.
pub const TURN_BEYOND_MS_MAX: u64 = 50;

/// Datagrams, or timers, that are handled between two looks at the room left in a turn's buffers:
/// at most so many.
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

/// Frames of one turn that are decided after its live requests (105s, and what their devices send
/// behind them): as many as its one write likely has room for. The turn takes no more, so each of
/// them finds its place.
pub const ASIDE_MAX: usize = TAIL_LEN_MAX / FRAME_ENTRIES_BYTES;

/// Entries that one frame, timer or signal can lead to: `clock`, `open`, two alarms, the decision
/// itself, and, where a device gives way to another, `unconfirmed` for each of its commands and one
/// excess line a limited kind. Exceeding it is our mistake.
pub const ENTRIES_MAX: usize = 5 + (READERS_MAX + 2) + 5;

/// Bytes of one ledger line, LF included. Columns are bounded so that the longest fits
/// (`ledger::line` adds them up).
pub const LINE_LEN_MAX: usize = 1088;

/// Bytes of the `detail` column, its values escaped (`%XX`). The line may double each of them, and
/// still fits.
pub const DETAIL_LEN_MAX: usize = 300;

/// Bytes appended to the ledger in one write, and, the same, bytes at its end that a power cut may
/// have spoiled: recovery cuts there and nowhere else, and writes them again after a stop that was
/// not clean (design.md, sections 1 and 9). A turn takes no more frames when their entries likely
/// would not fit; some 300 sales do.
pub const TAIL_LEN_MAX: usize = 64 * 1024;

/// Bytes that are written, synced and removed again to try whether there is room: a tail that is
/// cut is copied, and a tail is written again, so a start that finds so many can mend the ledger.
pub const ROOM_TRIED_LEN: usize = 2 * TAIL_LEN_MAX;

/// Bytes in one turn's replies. A turn ends when another frame's replies might not fit.
pub const MAIL_BYTES_MAX: usize = 512 * 1024;

/// Replies in one turn: at most three short ones a datagram, and as many from timers.
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

/// Accounts that ever moved, or stand in the table. Beyond it a sale is refused and a 105 gets no
/// 011; counted.
pub const ACCOUNTS_MAX: usize = 65_536;

/// Devices known at once. The one idle longest gives way, never a registered one, and one with a
/// sale in doubt or a command on its way to none but a registered one; where nobody may, a sale and
/// a door are refused as `full`, also after a restart, when those in doubt were not heard yet. With
/// at most as many sections of devices, each of those finds its place.
pub const DEVICES_MAX: usize = 1024;

/// Frames with a device time that are remembered a device, however old (design.md, section 8). As
/// many again of which the answers stand in no entry: enquiries, refusals beyond the entry limit,
/// and what was decided while nothing could be written. Were they fewer, a full disk would let a
/// recorded door's frame in sooner.
pub const RECENT_FRAMES_MAX: usize = 32;

/// Approvals that tell whether a device confirms (design.md, sections 8 and 10).
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
/// key that is forgotten is a new one. Under the name of a file of which a row may be forgotten, no
/// further row is done. So a file has at most as many rows.
pub const NAMES_KEPT_MIN: usize = 32_768;

/// Files of orders remembered by their names: at least this many. The name of one that is forgotten
/// is a new one: it was used before as many others.
pub const FILES_KEPT_MIN: usize = 4096;

/// Voids remembered: at least this many. A sale older than the newest one forgotten may have been
/// voided, and is not voided any more.
pub const VOIDS_KEPT_MIN: usize = 4096;

/// Card numbers given to another holder that are remembered: more than an office hands out anew in
/// the 31 days for which a 105's time is believed. A record of an older holder would move the
/// present one's account.
pub const REISSUES_KEPT_MIN: usize = 1024;

/// Cards of one account that never moved money and that a new name of the account takes along, an
/// entry each; with more of them the order is refused, and an operator renames the account in the
/// table.
pub const RENAMED_CARDS_MAX: usize = 8;

/// Cards in a row of which each was replaced by the next, none of the later ones in the table. One
/// more is refused.
pub const LINKS_MAX: usize = 64;

/// Unknown cards that are shown: those seen last.
pub const UNKNOWN_CARDS_MAX: usize = 64;

/// Different period names in one ledger. The sales of later ones share the last place, so a limit
/// errs towards refusing.
pub const PERIOD_NAMES_MAX: usize = 255;

/// Periods of one day that are counted a card. A sale in a further one counts as used up.
pub const PERIODS_PER_DAY_MAX: usize = 8;

/// Commands on their way: one and a 011 a terminal, one a reader of a board. When full a command is
/// sent once.
pub const PENDING_MAX: usize = 2048;

/// The most that `pin_tries` can be.
pub const PIN_TRIES_MAX: u32 = 100;

/// Wrong PINs of the last minute that are counted; the oldest gives way. A source sends 6,000
/// frames a minute at most, so that only who knows hundreds of cards' numbers makes others' tries
/// forgotten.
pub const PIN_TRIES_KEPT_MAX: usize = 2048;

/// Cards at doors, and doors, whose PINs are refused unread; the oldest gives way.
pub const PIN_STOPS_MAX: usize = 256;

/// Readers of one board that can have a command pending; a further one replaces the oldest.
pub const READERS_MAX: usize = 8;

/// Timers: one a pending command, one a device (the excess entry), and a handful of the server's
/// own.
pub const TIMERS_MAX: usize = PENDING_MAX + DEVICES_MAX + 64;

/// Source addresses with a rate bucket of their own, in sets of four; one whose bucket is full
/// again gives way, the one idle longest first. Where none is, those who find no place share a
/// bucket, one a set.
pub const SOURCES_MAX: usize = 4096;

/// Sections of the configuration: meal periods.
pub const PERIODS_MAX: usize = 64;

/// Sections of the configuration: door rules.
pub const DOOR_RULES_MAX: usize = 512;

/// Names of card groups, and of places, that the configuration may mention: a bit each.
pub const GROUPS_MAX: usize = 64;

/// Limited kinds (`decline refuse keys boot alarm`) written a minute: a device, and in all
/// (design.md, section 7).
pub const LIMITED_PER_DEVICE: u32 = 20;
/// See [`LIMITED_PER_DEVICE`].
pub const LIMITED_IN_ALL: u32 = 200;

/// Clients of the control socket. One more takes the place of one that was silent for a minute, or
/// is told "busy": a desk's program, a web page's, a person and a monitor are four.
pub const CONTROL_CLIENTS_MAX: usize = 8;

/// Bytes of one line on the control socket, each way, its LF not counted. A longer one gets an
/// error and the close.
pub const CONTROL_LINE_MAX: usize = 4096;

/// Bytes of answers kept for a client; while none of [`CONTROL_LINE_MAX`] fits any more, nothing is
/// read from it.
pub const CONTROL_OUTPUT_LEN: usize = 4 * (CONTROL_LINE_MAX + 1);

/// Control lines handled in one turn: their entries, an `open` without a detail and one of
/// [`LINE_LEN_MAX`] each, fit the half of the turn's bytes that the devices'
/// frames leave.
pub const CONTROL_TURN_LINES: usize = 16;

/// Rows of a table that one control line looks at: a search goes on with the cursor that its answer
/// gives.
pub const CONTROL_ROWS_MAX: usize = 1024;

/// Devices that answered a 000, kept for `ctl discover`: one a source address, for anybody can send
/// answers. When full a registered one takes the place of one that is not; else the newcomer is
/// left out, and counted.
pub const FOUND_MAX: usize = 256;
