//! Every section and option that posgate knows, as one table: the basis of `check` and of the
//! manual (design.md, sections 4 and 6).
//!
//! A default is written as in a file and is read by the same code. An option without a default is
//! off if it is not given. Each [`Form`] names its bounds, so that an error can say what to write
//! instead.

use crate::engine::limits::{PERIODS_MAX, PIN_TRIES_MAX, TEXT_LEN_MAX};
use crate::lang::tr;

/// A type of section.
#[derive(Debug)]
pub struct SectionSpec {
    /// The word after `config`.
    pub kind: &'static str,
    /// What it describes.
    pub meaning: &'static str,
    /// How many there may be; `None`: any number, and all of them count as one.
    pub count_max: Option<usize>,
    /// The options that it may have.
    pub options: &'static [OptionSpec],
}

/// An option or list.
#[derive(Debug)]
pub struct OptionSpec {
    /// Its name.
    pub key: &'static str,
    /// Whether it is written `list` and may be given several times.
    pub is_list: bool,
    /// The value if it is not given, as it would be written; `None`: no value.
    pub default: Option<&'static str>,
    /// The form of its values.
    pub form: Form,
    /// What it does.
    pub meaning: &'static str,
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any value: another program reads it.
    Foreign,
    /// Yes or no, in UCI's words.
    Flag,
    /// A whole number within bounds.
    Number {
        /// The least.
        min: u32,
        /// The greatest.
        max: u32,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// Yuan.
    Money,
    /// `HH:MM`, before midnight.
    Time,
    /// `HH:MM`, or `24:00`.
    TimeEnd,
    /// Days of the week.
    Days,
    /// A date, or the first and the last one of several.
    Dates,
    /// A machine number.
    Machine,
    /// A device's serial.
    Serial,
    /// An IPv4 address.
    Address,
    /// An IPv4 address, with a port or without.
    Endpoint,
    /// An IPv4 network.
    Network,
    /// A network interface.
    Interface,
    /// A file or directory.
    Path,
    /// A file; empty: none.
    PathOrNone,
    /// A text for people of at most this many bytes.
    Label {
        /// Bytes of UTF-8.
        len_max: usize,
    },
    /// The name of a group or a place.
    Name,
    /// A PIN: its value is never shown.
    Pin,
    /// A POSIX TZ, or a zone's name.
    Zone,
    /// A display's text with variables.
    Template,
    /// Plain words for a display.
    Words,
    /// The three numbers after a text.
    Trailer,
}

impl Form {
    /// The value to write: the end of a sentence that begins with "write" or 请写.
    pub fn wanted(self) -> String {
        match self {
            Self::Foreign => tr("anything", "什么都可以").into(),
            Self::Flag => tr(
                "1 or 0 (also on, off, yes, no, true, false, enabled, disabled)",
                " 1 或 0（也可写 on、off、yes、no、true、false、enabled、disabled）",
            )
            .into(),
            Self::Number { min, max } => tr!("a whole number from {min} to {max}", " {min} 到 {max} 的整数"),
            Self::Word(words) => tr!("{}", " {}", words.join(tr(" or ", " 或 "))),
            Self::Money => tr(
                "yuan with at most two decimals, up to 9999999.99, such as 12.50",
                "元，至多两位小数，最大 9999999.99，例如 12.50",
            )
            .into(),
            Self::Time => tr("a time from 00:00 to 23:59, such as 07:30", " 00:00 到 23:59 的时刻，例如 07:30").into(),
            Self::TimeEnd => {
                tr("a time from 00:00 to 24:00, such as 13:30", " 00:00 到 24:00 的时刻，例如 13:30").into()
            }
            Self::Days => tr(
                "days as numbers, 1 = Monday to 7 = Sunday, such as 1-5 or 1,3,5 or 6-7",
                "星期几的数字，1 是周一，7 是周日，例如 1-5、1,3,5 或 6-7",
            )
            .into(),
            Self::Dates => tr(
                "a date that exists, such as 2026-10-10, or the first and the last one, such as 2026-10-01..2026-10-07",
                "日历上有的日期，例如 2026-10-10，或者首尾两天，例如 2026-10-01..2026-10-07",
            )
            .into(),
            Self::Machine => {
                tr("a machine number of 1 to 10 digits, such as 00002", " 1 到 10 位数字的机号，例如 00002").into()
            }
            Self::Serial => tr(
                "the serial that the device sends, at most 20 letters and digits",
                "设备发来的硬件号，至多 20 个字母和数字",
            )
            .into(),
            Self::Address => tr("an IPv4 address such as 192.168.1.218", " IPv4 地址，例如 192.168.1.218").into(),
            Self::Endpoint => tr(
                "an IPv4 address such as 0.0.0.0, or one with a port such as 0.0.0.0:39192",
                " IPv4 地址，例如 0.0.0.0，或带端口，例如 0.0.0.0:39192",
            )
            .into(),
            Self::Network => tr(
                "an IPv4 network such as 192.168.1.0/24, or one address",
                " IPv4 网段，例如 192.168.1.0/24，或者一个地址",
            )
            .into(),
            Self::Interface => {
                tr("a network interface such as br-lan, at most 15 characters", "网卡名，例如 br-lan，至多 15 个字符")
                    .into()
            }
            Self::Path => {
                tr("a path, absolute or relative to this file", "路径：绝对路径，或从本文件算起的相对路径").into()
            }
            Self::PathOrNone => tr(
                "a path, absolute or relative to this file, or '' for none",
                "路径：绝对路径，或从本文件算起的相对路径；不要就写 ''",
            )
            .into(),
            Self::Label { len_max } => tr!(
                "a text of 1 to {len_max} bytes (a Chinese character takes 3)",
                " 1 到 {len_max} 字节的文字（一个汉字占 3 字节）"
            ),
            Self::Name => tr("a name of 1 to 64 bytes without ;", " 1 到 64 字节的名称，不含 ;").into(),
            Self::Pin => tr("a PIN of 1 to 8 digits", " 1 到 8 位数字的密码").into(),
            Self::Zone => tr(
                "a POSIX TZ (CST-8 is China's time, UTC0 is UTC), or a zone's name where this machine has its file",
                " POSIX TZ（CST-8 是中国时间，UTC0 是 UTC），或者本机有其文件的时区名",
            )
            .into(),
            Self::Template => tr!(
                "a text in one line of at most {TEXT_LEN_MAX} bytes of GBK, without commas, with \\n where the display breaks a line",
                "一行文字，GBK 至多 {TEXT_LEN_MAX} 字节，没有半角逗号，显示屏换行处写 \\n"
            ),
            Self::Words => tr!(
                "words in one line of at most {TEXT_LEN_MAX} bytes of GBK, without commas",
                "一行文字，GBK 至多 {TEXT_LEN_MAX} 字节，没有半角逗号"
            ),
            Self::Trailer => tr("three numbers from 0 to 255 such as 20,0,1", "三个 0 到 255 的数，例如 20,0,1").into(),
        }
    }
}

const SECONDS_OF_DAY: Form = Form::Number { min: 0, max: 86_400 };
const RATE: Form = Form::Number { min: 0, max: 1_000_000 };

const fn option(key: &'static str, default: &'static str, form: Form, meaning: &'static str) -> OptionSpec {
    OptionSpec { key, is_list: false, default: Some(default), form, meaning }
}

const fn unset(key: &'static str, form: Form, meaning: &'static str) -> OptionSpec {
    OptionSpec { key, is_list: false, default: None, form, meaning }
}

const fn list(key: &'static str, form: Form, meaning: &'static str) -> OptionSpec {
    OptionSpec { key, is_list: true, default: None, form, meaning }
}

/// `config server`.
pub(crate) const SERVER: &SectionSpec = &SectionSpec {
    kind: "server",
    meaning: "the server itself",
    count_max: Some(1),
    options: &[
        option("enabled", "1", Form::Flag, "read by the init script; posgate itself ignores it"),
        list("interface", Form::Foreign, "OpenWrt networks; the init script turns them into bind_device"),
        OptionSpec {
            key: "listen",
            is_list: true,
            default: Some("0.0.0.0:39192"),
            form: Form::Endpoint,
            meaning: "addresses to listen on; a reply leaves from the address that was asked",
        },
        list("bind_device", Form::Interface, "only frames arriving on these interfaces; none given: all"),
        list("allow", Form::Network, "sources outside are dropped and counted; none given: every source"),
        option("cards", "/etc/posgate/cards.csv", Form::Path, "the card table"),
        option("ledger_dir", "/etc/posgate/ledger", Form::Path, "where the ledger lives; it must survive a power cut"),
        unset(
            "identity",
            Form::Path,
            "the file that says which ledger this machine serves; none given: `identity` beside the card table",
        ),
        option("site", "site1", Form::Label { len_max: 64 }, "a label in every segment's header and export"),
        option("unknown_devices", "serve", Form::Word(&["serve", "quarantine"]), "devices that no section registers"),
        option("clock", "trust", Form::Word(&["trust", "ntp"]), "when the wall clock is believed"),
        unset("timezone", Form::Zone, "none given: TZ, /etc/TZ, /etc/localtime, UTC, in this order"),
        option("day_start", "00:00", Form::Time, "when the business day begins"),
        option("clock_tolerance_s", "30", SECONDS_OF_DAY, "how far a device's clock may be off before 003"),
        option("resend_first_ms", "500", Form::Number { min: 10, max: 60_000 }, "before the first resend; doubles"),
        option("resend_max", "4", Form::Number { min: 0, max: 10 }, "resends at most"),
        option(
            "door_ttl_ms",
            "3000",
            Form::Number { min: 0, max: 60_000 },
            "a 050 older than this is never sent again",
        ),
        option("ack_109", "0", Form::Flag, "whether a 109 gets a 001 (inferred: no source says)"),
        option("same_sale_s", "30", SECONDS_OF_DAY, "a sale in doubt tried again within this is the same; 0: off"),
        option("offline_match_s", "120", SECONDS_OF_DAY, "a 105 this near to a sale in doubt is that sale; 0: off"),
        option("offline_max", "1000.00", Form::Money, "a larger 105 is not booked but listed"),
        option(
            "pin_tries",
            "5",
            Form::Number { min: 0, max: PIN_TRIES_MAX },
            "wrong PINs per minute that stop more; 0: off",
        ),
        option("clash_window_s", "60", SECONDS_OF_DAY, "how long a machine number stays with its last user"),
        option("rate_source", "100", RATE, "frames per second from one address; 0: no limit"),
        option("rate_total", "0", RATE, "frames per second from all together; 0: no limit"),
        option("segment_bytes", "1048576", Form::Number { min: 1024, max: 1 << 30 }, "a ledger segment's size"),
        option("reserve_bytes", "262144", Form::Number { min: 0, max: 1 << 30 }, "free space below which sales stop"),
        option(
            "keep_days",
            "40",
            Form::Number { min: 1, max: 36_500 },
            "days for which entries stay here that every office has; without an office they stay",
        ),
        list("office_may", Form::Word(&["orders"]), "what an office may do (posgate link); none given: it only reads"),
        option("control", "/var/run/posgate/ctl.sock", Form::PathOrNone, "the control socket"),
        option("status", "/var/run/posgate/status.json", Form::PathOrNone, "the status file"),
        option("metrics", "", Form::PathOrNone, "the Prometheus text file"),
        option("log", "info", Form::Word(&["error", "warn", "info", "debug", "trace"]), "RUST_LOG overrides it"),
    ],
};

/// `config device`.
pub(crate) const DEVICE: &SectionSpec = &SectionSpec {
    kind: "device",
    meaning: "a registered device: its machine number belongs to this serial or address alone",
    count_max: Some(crate::engine::limits::DEVICES_MAX),
    options: &[
        unset("machine", Form::Machine, "the machine number; required"),
        unset("name", Form::Label { len_max: 96 }, "for people, and $device on displays"),
        unset("serial", Form::Serial, "the serial it must send, if it sends one"),
        unset("address", Form::Address, "the address it must send from"),
        option("kind", "pos", Form::Word(&["pos", "board"]), "a terminal or an access board"),
        list("place", Form::Name, "chooses the periods that hold here"),
        list("group", Form::Name, "only cards of one of these groups may pay here; none given: every card"),
        option("subsidy", "1", Form::Flag, "whether the subsidy purse may pay here"),
    ],
};

/// `config period`.
pub(crate) const PERIOD: &SectionSpec = &SectionSpec {
    kind: "period",
    meaning: "a meal period",
    count_max: Some(PERIODS_MAX),
    options: &[
        unset("name", Form::Label { len_max: 24 }, "what the ledger's period= says; required"),
        unset("from", Form::Time, "its first minute; required"),
        unset("to", Form::TimeEnd, "its end, exclusive; may cross midnight; required"),
        option("days", "1-7", Form::Days, "1 = Monday; the calendar moves them"),
        list("place", Form::Name, "where it holds; none given: everywhere"),
        list("group", Form::Name, "cards it holds for; none given: all"),
        option("uses_max", "0", Form::Number { min: 0, max: 65_535 }, "a card's sales in it per day; 0: no limit"),
        unset("price", Form::Money, "what count mode takes from the balance; none given: one of the card's uses"),
        unset("price_next", Form::Money, "a card's second and later meals in it of one day; none given: price"),
        option("subsidy", "1", Form::Flag, "whether the subsidy purse may pay in this period"),
    ],
};

/// `config door`.
pub const DOOR: &SectionSpec = &SectionSpec {
    kind: "door",
    meaning: "who may pass a door, when; several for one door: any may admit",
    count_max: Some(crate::engine::limits::DOOR_RULES_MAX),
    options: &[
        unset("machine", Form::Machine, "the board's machine number; required"),
        unset("door", Form::Number { min: 0, max: 65_535 }, "the door on that board; required"),
        list("group", Form::Name, "groups of cards; none given: every valid card"),
        option("from", "00:00", Form::Time, "the first minute"),
        option("to", "24:00", Form::TimeEnd, "the end, exclusive; may cross midnight"),
        option(
            "days",
            "1-7",
            Form::Days,
            "1 = Monday; the calendar moves them; a span across midnight belongs to the day it began",
        ),
        option("pin", "none", Form::Word(&["none", "card"]), "card: the card's PIN must follow"),
        unset("open_pin", Form::Pin, "opens without a card; empty: never"),
        option("passback_s", "0", SECONDS_OF_DAY, "the same card again within this is refused; 0: never"),
        option("relay_s", "5", Form::Number { min: 0, max: 255 }, "050's last number but one (inferred)"),
        option("left_open_s", "20", Form::Number { min: 0, max: 65_535 }, "050's last number; longer open: an alarm"),
    ],
};

/// `config calendar`.
pub(crate) const CALENDAR: &SectionSpec = &SectionSpec {
    kind: "calendar",
    meaning: "days that are not what their weekday says, for periods and doors; several sections add up",
    count_max: None,
    options: &[
        list("off", Form::Dates, "holidays: as Sundays"),
        list("work", Form::Dates, "days worked instead: as Mondays"),
    ],
};

/// `config text`.
pub const TEXT: &SectionSpec = &SectionSpec {
    kind: "text",
    meaning: "what displays show",
    count_max: None,
    options: &[
        option("charge_ok", r"姓名:$name {$balance}\n", Form::Template, "008 of an amount"),
        option("meal_ok", r"姓名:$name {$uses}\n", Form::Template, "008 of a meal"),
        option("scan_ok", r"姓名:$name {$balance}\n", Form::Template, "008 of a code"),
        option("inquiry", r"卡号:$card\n姓名:$name\n余额:$balance\n状态:$reason\n", Form::Template, "009"),
        option("declined", r"姓名:$name\n余额:$balance\n状态:$reason\n", Form::Template, "006"),
        option("admitted", r"卡号:$card\n姓名:$name\n状态:欢迎光临\n", Form::Template, "050"),
        option("refused", r"卡号:$card\n姓名:$name\n状态:$reason\n", Form::Template, "051"),
        option("display_ok", "20,0,1", Form::Trailer, "after 008's text (inferred: seconds, a flag, a sound)"),
        option("display_declined", "20,0,6", Form::Trailer, "after 006's text"),
        option("display_inquiry", "20,1,0", Form::Trailer, "after 009's text"),
        option("display_admitted", "20,1,0", Form::Trailer, "after 050's text"),
        option("display_refused", "20,1,3", Form::Trailer, "after 051's text"),
        option(
            "card_ok",
            crate::engine::model::reason::CARD_OK_TEXT,
            Form::Words,
            "$reason of a card that nothing refuses",
        ),
    ],
};

/// The beginning of the options of `config text` that replace a reason's words: `reason_`, then the
/// reason's word with `_` for `-`.
pub(crate) const REASON_PREFIX: &str = "reason_";

/// All sections, in the order of design.md.
pub const SECTIONS: &[&SectionSpec] = &[SERVER, DEVICE, PERIOD, DOOR, CALENDAR, TEXT];

/// The beginning of the integrator's own names, which are never read and never an error.
pub(crate) const FOREIGN_PREFIX: &str = "x_";

impl SectionSpec {
    /// The option of this name.
    pub fn option(&self, key: &str) -> Option<&'static OptionSpec> {
        self.options.iter().find(|option| option.key == key)
    }
}
