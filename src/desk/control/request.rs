//! Parses a line of the control socket into a [`ControlRequest`], or into a sentence that says what
//! to write instead.
//!
//! One table, [`COMMANDS`], has every command with its fields, for the parser and for the manual.
//! Money is yuan in a string; numbers of cards, machines and doors are digits in a string; counts
//! are JSON numbers.
//!
//! `posgate ctl` parses its own lines before it sends them, so that a person reads the sentence in
//! their language. The server speaks English.

use crate::desk::json::{self, Value};
use crate::engine::gbk;
use crate::engine::limits::{CONTROL_WAIT_S_MAX, NAME_LEN_MAX};
use crate::engine::model::order::{Holder, KeyText, Note, Operator, Purpose, is_purpose};
use crate::engine::model::{
    AccountId, Act, Balance, CardNo, EntrySeq, Key, MachineNo, Mark, Money, Order, Subject, Text, UnitNo, Way,
};
use crate::files::problem::hidden;
use crate::lang::{self, tr};
use crate::ledger::Head;
use crate::ledger::acks::{OfficeName, office_name};

/// Most uses in one order.
const USES_MAX: i32 = crate::engine::server::USES_MAX;

/// How the crc of a refused card table is written, as a predicate of a field or option.
pub fn crc_wanted() -> &'static str {
    tr(
        "must be the crc that the refusal names: 8 digits of hexadecimal, such as 1a2b3c4d",
        "要写拒绝时给出的 crc：8 位十六进制数，例如 1a2b3c4d",
    )
}

/// Reads a crc of 8 hexadecimal digits.
pub fn crc_of(text: &str) -> Option<u32> {
    let is_hex = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|_| is_hex)
}

/// How the purpose of a file of orders is written, as a predicate of a field or option.
pub fn purpose_wanted() -> &'static str {
    tr(
        "must say what the file is for, such as 2026-12: 1 to 40 letters, digits and signs without blanks, none of them full-width",
        "要说明文件是做什么的，例如 2026-12：1 到 40 个字母、数字和符号，不含空白和全角字符",
    )
}

/// Most bytes of a text field.
const TEXT_LEN_MAX: usize = 240;

/// A parsed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRequest {
    /// An order.
    Order {
        /// The word of its command.
        cmd: &'static str,
        /// The order.
        order: Order,
        /// Whether to check it only.
        is_dry: bool,
    },
    /// Pay out the account's whole balance; the order's amount is zero.
    PayOutAll {
        /// The order.
        order: Order,
        /// Whether to check it only.
        is_dry: bool,
    },
    /// Show a card.
    Card(CardNo),
    /// List cards.
    Cards {
        /// Text in name, card or account; empty for all.
        search: String,
        /// The cursor: rows to skip.
        after: usize,
    },
    /// List swiped cards that are in no table.
    Unknown {
        /// The cursor.
        after: usize,
    },
    /// List devices.
    Devices {
        /// The cursor.
        after: usize,
    },
    /// Send 000 to the served networks.
    Discover {
        /// The devices' port.
        port: u16,
    },
    /// List the devices that answered the last 000.
    Found {
        /// The cursor.
        after: usize,
    },
    /// Set the clock of a device; of all devices if `None`.
    Clock(Option<MachineNo>),
    /// Show a text on a display.
    Show {
        /// The device.
        machine: MachineNo,
        /// The text; `\n` breaks a line.
        text: String,
    },
    /// Show the status.
    Status,
    /// Read configuration and cards again.
    Reload {
        /// The CRC-32 of the only card table to accept, even if it seems incomplete.
        accept: Option<u32>,
    },
    /// Believe the clock as it is.
    ClockAccept {
        /// Who gives the order.
        by: Operator,
    },
    /// Acknowledge that an older copy of the ledger is served.
    Acknowledge {
        /// Who gives the order.
        by: Operator,
        /// A note for the ledger.
        note: Note,
    },
    /// Begin a branch of the ledger.
    Branch {
        /// Who gives the order.
        by: Operator,
        /// Why.
        note: Note,
    },
    /// Make all entries durable.
    Sync,
    /// Show the last durable entry.
    Head,
    /// Show it once it is later than one.
    Wait {
        /// The entry that the client has.
        after: EntrySeq,
        /// After so many seconds it is shown as it is then.
        max_s: u32,
    },
    /// Show the crc of an entry.
    CrcOf(EntrySeq),
    /// This client is an office's stream from now on.
    Link(OfficeName),
    /// The office of this client has everything up to this entry.
    Ack {
        /// The ledger.
        ledger: u64,
        /// The entry.
        head: Head,
    },
    /// Forget an office.
    ForgetOffice {
        /// Its name.
        office: OfficeName,
        /// Who gives the order.
        by: Operator,
    },
}

impl ControlRequest {
    /// Whether it reads a segment of the ledger or many rows.
    pub(crate) fn is_heavy(&self) -> bool {
        match self {
            Self::Order { order, .. } => order.act.about().is_some(),
            Self::PayOutAll { .. }
            | Self::Card(_)
            | Self::Cards { .. }
            | Self::Found { .. }
            | Self::Discover { .. } => true,
            Self::Unknown { .. } | Self::Devices { .. } | Self::Clock(_) | Self::Reload { .. } | Self::Status => true,
            // It begins a segment.
            Self::Branch { .. } => true,
            Self::Show { .. } | Self::ClockAccept { .. } | Self::Acknowledge { .. } => false,
            Self::Sync | Self::Head | Self::Wait { .. } => false,
            // They read some pieces of a segment, or write a file.
            Self::CrcOf(_) | Self::Ack { .. } | Self::ForgetOffice { .. } => true,
            Self::Link(_) => true,
        }
    }
}

/// A command of the socket.
#[derive(Debug)]
pub struct CommandSpec {
    /// The value of `cmd`.
    pub name: &'static str,
    /// Required fields.
    pub needs: &'static [&'static str],
    /// Optional fields.
    pub takes: &'static [&'static str],
    /// What it does.
    pub meaning: lang::Text,
}

const fn command(
    name: &'static str,
    needs: &'static [&'static str],
    takes: &'static [&'static str],
    en: &'static str,
    zh: &'static str,
) -> CommandSpec {
    CommandSpec { name, needs, takes, meaning: lang::Text::new(en, zh) }
}

/// Optional fields of orders. Those that a file may contain have, instead of a `key`, what the file
/// is `for` and which of the card's rows it is (`nth`), and the holder's `name`.
const ORDER: &[&str] = &["key", "note", "dry"];
const ROW: &[&str] = &["key", "for", "nth", "name", "note", "dry"];
const MOVE: &[&str] = &["account", "amount", "uses", "key", "for", "nth", "name", "note", "dry"];
const SUBSIDY: &[&str] = &["account", "amount", "uses", "clear", "all", "key", "for", "nth", "name", "note", "dry"];
const ADJUST: &[&str] = &["account", "amount", "uses", "about", "key", "for", "nth", "name", "note", "dry"];
const VOID: &[&str] = &["amount", "card", "key", "note", "dry"];

/// All commands, in the manual's order.
pub const COMMANDS: &[CommandSpec] = &[
    command("topup", &["card", "by"], MOVE, "credit paid in by the holder", "充值：持卡人付钱"),
    command(
        "subsidy",
        &["card", "by"],
        SUBSIDY,
        "subsidy paid in by the employer; with `clear`, the purse is emptied, with `all` every purse",
        "补贴：单位付钱；`clear` 清零，`all` 全部清零",
    ),
    command("payout", &["card", "by"], MOVE, "credit paid back; `amount` may be `all`", "退款；`amount` 可以写 `all`"),
    command(
        "adjust",
        &["card", "by"],
        ADJUST,
        "a correction, positive or negative; `about` settles a stored sale that was not booked",
        "调整，可正可负；`about` 补记没有入账的脱机消费",
    ),
    command(
        "void",
        &["seq", "by"],
        VOID,
        "undo a sale or a credit, whole or `amount` of it",
        "撤销消费、充值或补贴，全部或其中的 `amount`",
    ),
    command("lost", &["card", "by"], ROW, "block a lost card", "挂失"),
    command("found", &["card", "by"], ROW, "take `lost` back", "解挂"),
    command("freeze", &["card", "by"], ROW, "block a card for a while", "冻结"),
    command("unfreeze", &["card", "by"], ROW, "take `freeze` back", "解冻"),
    command("close", &["card", "by"], ROW, "end a card", "注销"),
    command(
        "replace",
        &["old", "new", "by"],
        ORDER,
        "`new` carries on the account of `old`",
        "补卡：`new` 接着用 `old` 的账户",
    ),
    command("account", &["card", "account", "by"], ROW, "put a card on another account", "把卡放到另一个账户"),
    command("rename", &["old", "new", "by"], ROW, "give an account another name", "给账户换名"),
    command("reissue", &["card", "by"], ORDER, "give a card's number to another holder", "把卡号给另一个人"),
    command("open", &["machine", "door", "by"], ORDER, "open a door by hand", "远程开门"),
    command("card", &["card"], &[], "what a card is and holds", "卡的状态和余额"),
    command("cards", &[], &["search", "after"], "the table's cards", "卡表里的卡"),
    command(
        "unknown",
        &[],
        &["after"],
        "the last cards that were swiped and are in no table",
        "最近刷过、但卡表里没有的卡",
    ),
    command("devices", &[], &["after"], "the devices, registered or seen", "设备：登记过的，或见过的"),
    command("discover", &[], &["port"], "send 000 into the served networks", "向服务的网络发 000，找设备"),
    command(
        "found-devices",
        &[],
        &["after"],
        "the devices that answered a 000 since the last `discover`",
        "上次 `discover` 以来应答了 000 的设备",
    ),
    command(
        "clock",
        &["machine"],
        &[],
        "set a device's clock (003); `machine` may be `all`",
        "给设备校时（003）；`machine` 可以写 `all`",
    ),
    command("show", &["machine", "text"], &[], "show a text (009)", "在设备上显示文字（009）"),
    command("status", &[], &[], "the server's status", "服务器的状态"),
    command("reload", &[], &["accept"], "read configuration and cards again", "重读配置和卡表"),
    command("clock-accept", &["by"], &[], "believe the clock as it is", "认可现在的时钟"),
    command(
        "acknowledge",
        &["by"],
        &["note"],
        "confirm that an older copy of the ledger is served: ends the hourly error",
        "确认已看到账本是旧副本：不再每小时报错",
    ),
    command("branch", &["by"], &["note"], "begin a branch of the ledger, under a new number", "账本另立分支，接着记"),
    command("sync", &[], &[], "make every entry durable", "全部流水落盘"),
    command("head", &[], &[], "the last entry that is durable, with its crc", "账本末条，带 crc"),
    command("wait", &["after"], &["max_s"], "the same once it is later than `after`", "账本末条超过 `after` 时的应答"),
    command("crc_of", &["seq"], &[], "the crc of an entry", "一条流水的 crc"),
    command("link", &["office"], &[], "this client is an office's stream from now on", "此后这个客户就是总部的连接"),
    command(
        "ack",
        &["ledger", "seq", "crc"],
        &[],
        "the office has everything up to this entry",
        "总部已有到这一条为止的全部流水",
    ),
    command("forget-office", &["office", "by"], &[], "forget what an office has", "不再记总部收到了哪里"),
];

/// Parses a line.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn parse(line: &[u8]) -> Result<ControlRequest, String> {
    read(&value_of(line)?)
}

/// The JSON value of a line.
pub(super) fn value_of(line: &[u8]) -> Result<Value, String> {
    let text = core::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
    json::parse(text).map_err(|wrong| format!("{wrong}; send an object such as {{\"cmd\":\"status\"}}"))
}

/// Reads the value of a line.
pub(super) fn read(value: &Value) -> Result<ControlRequest, String> {
    let Value::Object(members) = value else {
        return Err(format!("this is {}: send an object such as {{\"cmd\":\"status\"}}", value.sort()));
    };
    let Some(cmd) = value.text("cmd") else {
        return Err("name a command: \"cmd\" is missing or not a string".to_owned());
    };
    let Some(spec) = COMMANDS.iter().find(|spec| spec.name == cmd) else {
        let names: Vec<&str> = COMMANDS.iter().map(|spec| spec.name).collect();
        return Err(format!(
            "unknown command {}: there are {}",
            json::string(shortened(&hidden(cmd))),
            names.join(", ")
        ));
    };
    let knows = |key: &str| key == "cmd" || spec.needs.contains(&key) || spec.takes.contains(&key);
    if let Some((key, _)) = members.iter().find(|(key, _)| !knows(key)) {
        let fields: Vec<&str> = spec.needs.iter().chain(spec.takes).copied().collect();
        let fields = if fields.is_empty() { "nothing more".to_owned() } else { fields.join(", ") };
        return Err(format!("{cmd} does not take {}: it takes {fields}", json::string(shortened(&hidden(key)))));
    }
    // An account stands for a card where it may; all purses need neither.
    let has_other = |key: &str| {
        key == "card" && ["account", "all"].iter().any(|other| spec.takes.contains(other) && value.get(other).is_some())
    };
    if let Some(key) = spec.needs.iter().find(|key| value.get(key).is_none() && !has_other(key)) {
        return Err(format!("{cmd} needs \"{key}\""));
    }
    Members { value }.request(spec.name)
}

/// The members of a request; their names are checked.
struct Members<'a> {
    value: &'a Value,
}

impl Members<'_> {
    fn request(&self, cmd: &'static str) -> Result<ControlRequest, String> {
        let way = |way| self.movement(cmd, way);
        let mark = |mark| self.order(cmd, Act::Mark { card: self.card("card")?, mark });
        match cmd {
            "topup" => way(Way::TopUp),
            "subsidy" if self.flag("clear")? || self.flag("all")? => self.clear(cmd),
            "subsidy" => way(Way::Subsidy),
            "payout" => way(Way::PayOut),
            "adjust" => way(Way::Adjust),
            "void" => {
                let sale = EntrySeq(self.count("seq")?.unwrap_or_default());
                let amount = self.money("amount")?;
                let card = if self.value.get("card").is_some() { Some(self.card("card")?) } else { None };
                self.order(cmd, Act::Void { sale, amount, card })
            }
            "lost" => mark(Mark::Lost),
            "freeze" => mark(Mark::Frozen),
            "close" => mark(Mark::Closed),
            "found" => mark(Mark::Found),
            "unfreeze" => mark(Mark::Unfrozen),
            "replace" => self.order(cmd, Act::Link { old: self.card("old")?, new: self.card("new")? }),
            "account" => {
                let account = self.account("account")?;
                self.order(cmd, Act::Account { card: self.card("card")?, account })
            }
            "rename" => self.order(cmd, Act::Rename { old: self.account("old")?, new: self.account("new")? }),
            "reissue" => self.order(cmd, Act::Reissue { card: self.card("card")? }),
            "open" => {
                let door = self.digits("door", tr("a door's number", "门号"), UnitNo::parse)?;
                self.order(cmd, Act::Open { machine: self.machine("machine")?, door })
            }
            "card" => Ok(ControlRequest::Card(self.card("card")?)),
            "cards" => {
                Ok(ControlRequest::Cards { search: self.text("search")?.unwrap_or_default(), after: self.after()? })
            }
            "unknown" => Ok(ControlRequest::Unknown { after: self.after()? }),
            "devices" => Ok(ControlRequest::Devices { after: self.after()? }),
            "discover" => Ok(ControlRequest::Discover { port: self.port()? }),
            "found-devices" => Ok(ControlRequest::Found { after: self.after()? }),
            "clock" if self.value.text("machine") == Some("all") => Ok(ControlRequest::Clock(None)),
            "clock" => Ok(ControlRequest::Clock(Some(self.machine("machine")?))),
            "show" => {
                let text = self.text("text")?.unwrap_or_default();
                Ok(ControlRequest::Show { machine: self.machine("machine")?, text })
            }
            "status" => Ok(ControlRequest::Status),
            "reload" => Ok(ControlRequest::Reload { accept: self.accept()? }),
            "clock-accept" => Ok(ControlRequest::ClockAccept { by: self.by()? }),
            "acknowledge" => Ok(ControlRequest::Acknowledge { by: self.by()?, note: self.note()? }),
            "branch" => Ok(ControlRequest::Branch { by: self.by()?, note: self.note()? }),
            "sync" => Ok(ControlRequest::Sync),
            "head" => Ok(ControlRequest::Head),
            "wait" => {
                let after = EntrySeq(self.count("after")?.unwrap_or_default());
                let max_s = self.count("max_s")?.map_or(Ok(CONTROL_WAIT_S_MAX), u32::try_from);
                let max_s = max_s.ok().filter(|max_s| *max_s <= CONTROL_WAIT_S_MAX);
                let wanted = || format!("\"max_s\" must be a number of seconds up to {CONTROL_WAIT_S_MAX}");
                Ok(ControlRequest::Wait { after, max_s: max_s.ok_or_else(wanted)? })
            }
            "crc_of" => Ok(ControlRequest::CrcOf(self.seq()?)),
            "link" => Ok(ControlRequest::Link(self.office()?)),
            "ack" => {
                let ledger = self.hex("ledger", 16)?;
                let crc = self.hex("crc", 8)? as u32;
                Ok(ControlRequest::Ack { ledger, head: Head { seq: self.seq()?, crc } })
            }
            "forget-office" => Ok(ControlRequest::ForgetOffice { office: self.office()?, by: self.by()? }),
            _ => Err(format!("unknown command {cmd}")),
        }
    }

    /// An order that moves money or uses.
    fn movement(&self, cmd: &'static str, way: Way) -> Result<ControlRequest, String> {
        let subject = self.subject(cmd)?;
        let uses = self.uses()?;
        let is_all = way == Way::PayOut && self.value.text("amount") == Some("all");
        let amount = match self.value.get("amount") {
            None | Some(Value::Null) if uses != 0 => Balance::ZERO,
            None | Some(Value::Null) => return Err(format!("{cmd} needs \"amount\" or \"uses\"")),
            Some(_) if is_all => Balance::ZERO,
            Some(_) if way == Way::Adjust => self.signed("amount")?,
            Some(_) => self.money("amount")?.unwrap_or_default().into(),
        };
        if let Some(claim) = self.count("about")? {
            let Subject::Card(card) = subject else {
                return Err(tr(
                    "\"about\" settles a sale of a card: write \"card\"",
                    "about 补记一张卡的消费：请写 card",
                )
                .to_owned());
            };
            return self.order(cmd, Act::Settle { claim: EntrySeq(claim), card, amount, uses });
        }
        let request = self.order(cmd, Act::Move { way, subject, amount, uses })?;
        Ok(match request {
            ControlRequest::Order { order, is_dry, .. } if is_all => ControlRequest::PayOutAll { order, is_dry },
            other => other,
        })
    }

    /// Whose account an order moves: a card's, or one that is named.
    fn subject(&self, cmd: &str) -> Result<Subject, String> {
        let is_there = |key| self.value.get(key).is_some();
        match (is_there("card"), is_there("account")) {
            (true, true) => Err(tr!(
                "{cmd} takes \"card\" or \"account\", not both: leave one out",
                "{cmd} 只写 card 或 account，不要两个都写"
            )),
            (false, true) => self.account("account").map(Subject::Account),
            (_, false) => self.card("card").map(Subject::Card),
        }
    }

    /// An order that empties subsidy purses.
    fn clear(&self, cmd: &'static str) -> Result<ControlRequest, String> {
        let is_there = |key: &&&str| self.value.get(key).is_some();
        if let Some(key) = ["amount", "uses"].iter().find(is_there) {
            return Err(tr!("\"clear\" empties the purse: leave \"{key}\" out", "clear 是全部清零：不要写 {key}"));
        }
        if !self.flag("all")? {
            return self.order(cmd, Act::Clear { subject: self.subject(cmd)? });
        }
        if !self.flag("clear")? {
            return Err(tr("\"all\" goes with \"clear\"", "all 只与 clear 一起写").to_owned());
        }
        match ["card", "account", "name", "nth"].iter().find(is_there) {
            Some(key) => Err(tr!("\"all\" means every purse: leave \"{key}\" out", "all 是所有人：不要写 {key}")),
            None => self.order(cmd, Act::ClearAll),
        }
    }

    fn order(&self, cmd: &'static str, act: Act) -> Result<ControlRequest, String> {
        let by = self.by()?;
        let note = self.note()?;
        let order = Order { act, key: self.key()?, holder: self.holder()?, by, note };
        Ok(ControlRequest::Order { cmd, order, is_dry: self.flag("dry")? })
    }

    fn note(&self) -> Result<Note, String> {
        let note = self.text("note")?.unwrap_or_default();
        let note = Note::try_from(note.trim()).ok().filter(|note| !note.chars().any(char::is_control));
        note.ok_or_else(|| {
            tr(
                "\"note\" is too long, or has control characters: write at most 96 bytes",
                "note（备注）太长，或者有控制字符：至多写 96 字节",
            )
            .to_owned()
        })
    }

    /// An account's name.
    fn account(&self, key: &str) -> Result<AccountId, String> {
        let text = self.text(key)?.unwrap_or_default();
        let text = text.trim();
        let account =
            AccountId::try_from(text).ok().filter(|_| !text.is_empty() && !text.chars().any(char::is_control));
        account.ok_or_else(|| {
            tr!(
                "\"{key}\" must name an account, in 1 to 24 bytes (a Chinese character takes 3)",
                "{key} 要写账户编号，1 到 24 字节（一个汉字 3 字节）"
            )
        })
    }

    fn seq(&self) -> Result<EntrySeq, String> {
        Ok(EntrySeq(self.count("seq")?.unwrap_or_default()))
    }

    fn office(&self) -> Result<OfficeName, String> {
        let office = self.text("office")?.and_then(|text| office_name(&text));
        office.ok_or_else(|| {
            tr(
                "\"office\" must be an office's name: 1 to 25 letters, digits, - and _",
                "office 要写总部的名称：1 到 25 个字母、数字、- 和 _",
            )
            .to_owned()
        })
    }

    /// Hexadecimal digits of which there are so many.
    fn hex(&self, key: &str, len: usize) -> Result<u64, String> {
        let text =
            self.text(key)?.filter(|text| text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = text.and_then(|text| u64::from_str_radix(&text, 16).ok());
        number.ok_or_else(|| format!("\"{key}\" must be {len} hexadecimal digits"))
    }

    fn by(&self) -> Result<Operator, String> {
        let by = self.text("by")?.unwrap_or_default();
        let by = by.trim();
        let operator = Operator::try_from(by).ok().filter(|_| !by.is_empty() && !by.chars().any(char::is_control));
        operator.ok_or_else(|| {
            tr("\"by\" must name who orders it, in 1 to 32 bytes", "by 要写是谁办的，1 到 32 字节").to_owned()
        })
    }

    fn key(&self) -> Result<Key, String> {
        let (key, purpose, nth) = (self.text("key")?, self.text("for")?, self.count("nth")?);
        match (key, purpose) {
            (Some(key), None) if nth.is_none() => {
                let own = KeyText::try_from(key.as_str()).ok().filter(|_| is_key(&key));
                Ok(Key::Own(own.ok_or("\"key\" must be 1 to 40 characters of printable ASCII without blanks")?))
            }
            (None, Some(purpose)) => {
                let name = Purpose::try_from(purpose.as_str()).ok().filter(|_| is_purpose(&purpose));
                let name = name.ok_or_else(|| format!("\"for\" {}", purpose_wanted()))?;
                let nth = u32::try_from(nth.unwrap_or(1)).ok().filter(|nth| *nth > 0);
                let nth = nth.ok_or("\"nth\" must be a number from 1: which of the card's rows in its file it is")?;
                Ok(Key::For { name, nth })
            }
            (None | Some(_), None) | (Some(_), Some(_)) => Err(
                "an order needs a \"key\"; a row of a file \"for\", and \"nth\": an order that is sent again with them is done once"
                    .to_owned(),
            ),
        }
    }

    /// The holder's name, encoded and cut as in the card table.
    fn holder(&self) -> Result<Holder, String> {
        let name = self.text("name")?.unwrap_or_default();
        let holder = Holder::from_slice(&gbk::encode_data(&name, NAME_LEN_MAX));
        Ok(holder.expect("it was cut to the length"))
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) if text.len() <= TEXT_LEN_MAX => Ok(Some(text.clone())),
            Some(Value::Text(_)) => {
                Err(tr!("\"{key}\" is longer than {TEXT_LEN_MAX} bytes", "{key} 超过 {TEXT_LEN_MAX} 字节"))
            }
            Some(other) => Err(format!("\"{key}\" is {}: write a string", other.sort())),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Flag(flag)) => Ok(*flag),
            Some(other) => Err(format!("\"{key}\" is {}: write true or false", other.sort())),
        }
    }

    fn accept(&self) -> Result<Option<u32>, String> {
        let Some(text) = self.text("accept")? else { return Ok(None) };
        let crc = crc_of(&text);
        crc.map(Some).ok_or_else(|| format!("\"accept\" {}", crc_wanted()))
    }

    fn count(&self, key: &str) -> Result<Option<u64>, String> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(digits)) => {
                let count = digits.parse().map_err(|_| format!("\"{key}\" must be a whole number from 0"))?;
                Ok(Some(count))
            }
            Some(other) => Err(format!("\"{key}\" is {}: write a number without quotes", other.sort())),
        }
    }

    fn after(&self) -> Result<usize, String> {
        let after = self.count("after")?.unwrap_or_default();
        usize::try_from(after).map_err(|_| "\"after\" must be the \"next\" of an answer".to_owned())
    }

    fn port(&self) -> Result<u16, String> {
        match self.count("port")? {
            None => Ok(DISCOVER_PORT),
            Some(port) => {
                let port = u16::try_from(port).ok().filter(|port| *port > 0);
                port.ok_or_else(|| {
                    tr("\"port\" must be a number from 1 to 65535", "port 要写 1 到 65535 的数").to_owned()
                })
            }
        }
    }

    fn uses(&self) -> Result<i32, String> {
        match self.value.get("uses") {
            None | Some(Value::Null) => Ok(0),
            Some(Value::Number(digits)) => {
                let uses = digits.parse::<i32>().ok().filter(|uses| (-USES_MAX..=USES_MAX).contains(uses));
                uses.ok_or_else(|| {
                    tr!(
                        "\"uses\" must be a whole number of meals, at most {USES_MAX}",
                        "uses（次数）要写整数，至多 {USES_MAX}"
                    )
                })
            }
            Some(other) => Err(format!("\"uses\" is {}: write a number without quotes", other.sort())),
        }
    }

    fn money(&self, key: &str) -> Result<Option<Money>, String> {
        let Some(text) = self.yuan(key)? else { return Ok(None) };
        let wanted = || {
            tr!(
                "\"{key}\" is {}: write yuan above zero with at most two decimals, up to 9999999.99, such as 5.50",
                "{key}（金额）是 {}：请写大于零的元，至多两位小数，不超过 9999999.99，例如 5.50",
                quoted(&text)
            )
        };
        Money::parse(text.as_bytes()).map(Some).ok_or_else(wanted)
    }

    fn signed(&self, key: &str) -> Result<Balance, String> {
        let text = self.yuan(key)?.unwrap_or_default();
        let digits = text.strip_prefix('+').unwrap_or(&text);
        let balance = Balance::parse(digits.as_bytes()).filter(|_| !digits.starts_with('-') || !text.starts_with('+'));
        let balance = balance.filter(|balance| balance.fen().unsigned_abs() <= u64::from(Money::MAX.fen()));
        let wanted = || {
            tr!(
                "\"{key}\" is {}: write yuan with at most two decimals, such as -5.50 or +5.50",
                "{key}（金额）是 {}：请写元，至多两位小数，例如 -5.50 或 +5.50",
                quoted(&text)
            )
        };
        balance.ok_or_else(wanted)
    }

    fn yuan(&self, key: &str) -> Result<Option<String>, String> {
        match self.value.get(key) {
            Some(Value::Number(_)) => Err(format!("\"{key}\" is a number: write yuan in quotes, such as \"5.50\"")),
            _ => self.text(key),
        }
    }

    fn card(&self, key: &str) -> Result<CardNo, String> {
        self.digits(key, tr("a card's number", "卡号"), CardNo::parse).map(|card| card.padded())
    }

    fn machine(&self, key: &str) -> Result<MachineNo, String> {
        self.digits(key, tr("a machine number", "机号"), MachineNo::parse)
    }

    fn digits<T>(&self, key: &str, what: &str, parse: fn(&[u8]) -> Option<T>) -> Result<T, String> {
        let text = self.text(key)?.unwrap_or_default();
        parse(text.as_bytes()).ok_or_else(|| {
            tr!(
                "\"{key}\" is {}: write {what}, 1 to 10 digits",
                "{key} 是 {}：请写{what}，1 到 10 位数字",
                quoted(&text)
            )
        })
    }
}

/// The UDP port at which devices listen for a 000 (protocol.md, *Transport*).
pub const DISCOVER_PORT: u16 = 39_190;

/// Whether a text is a valid key: 1 to 40 printable ASCII characters without blanks.
pub fn is_key(key: &str) -> bool {
    (1..=40).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What was typed, for an answer: in quotes, shortened, with the last four of its digits.
fn quoted(text: &str) -> String {
    json::string(shortened(&hidden(text)))
}

/// A word, cut to at most 43 bytes: the length of an answer is limited.
fn shortened(word: &str) -> Text<60> {
    let mut text = Text::new();
    for character in word.chars() {
        if text.len() + character.len_utf8() > 40 {
            text.push('…').expect("20 bytes are left");
            break;
        }
        text.push(character).expect("at most 40 bytes");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        parse(line.as_bytes()).expect_err(line)
    }

    fn order(line: &str) -> Order {
        match parse(line.as_bytes()) {
            Ok(ControlRequest::Order { order, .. } | ControlRequest::PayOutAll { order, .. }) => order,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_command_of_the_table_is_parsed() {
        for spec in COMMANDS {
            let field = |key: &&str| match *key {
                "seq" | "after" => format!("\"{key}\":12"),
                "ledger" => "\"ledger\":\"00000000000000a1\"".to_owned(),
                "crc" => "\"crc\":\"0000c0de\"".to_owned(),
                "old" | "new" if spec.name == "rename" => format!("\"{key}\":\"S{key}\""),
                "card" | "old" | "new" => format!("\"{key}\":\"88\""),
                "by" if spec.takes.contains(&"key") => "\"by\":\"li\",\"key\":\"k1\"".to_owned(),
                _ => format!("\"{key}\":\"1\""),
            };
            let mut fields: Vec<String> = spec.needs.iter().map(field).collect();
            if spec.takes.contains(&"uses") {
                fields.push("\"amount\":\"1.50\"".to_owned());
            }
            fields.insert(0, format!("\"cmd\":\"{}\"", spec.name));
            let line = format!("{{{}}}", fields.join(","));
            assert!(parse(line.as_bytes()).is_ok(), "{line}: {:?}", parse(line.as_bytes()));
        }
    }

    #[test]
    fn a_topup_has_card_amount_key_and_operator() {
        let line = r#"{"cmd":"topup","card":"88","amount":"5.5","key":"a-1","by":"li","note":"现金"}"#;
        let Order { act, key, by, note, .. } = order(line);
        let card = CardNo::parse(b"0000000088").unwrap();
        assert_eq!(
            act,
            Act::Move { way: Way::TopUp, subject: Subject::Card(card), amount: Balance::from_fen(550), uses: 0 }
        );
        assert_eq!(key, Key::Own(KeyText::try_from("a-1").unwrap()));
        assert_eq!((by.as_str(), note.as_str()), ("li", "现金"));
    }

    #[test]
    fn a_row_of_a_file_has_a_purpose_instead_of_a_key() {
        let line = r#"{"cmd":"adjust","card":"88","amount":"-0.01","uses":-2,"for":"2026-12","nth":7,"name":" 张三 ","by":"li"}"#;
        let Order { act, key, holder, .. } = order(line);
        assert_eq!(key, Key::For { name: Purpose::try_from("2026-12").unwrap(), nth: 7 });
        assert_eq!(holder.as_slice(), gbk::encode("张三"));
        let Order { key, .. } = order(r#"{"cmd":"lost","card":"88","for":"毕业=2026","by":"li"}"#);
        assert_eq!(key, Key::For { name: Purpose::try_from("毕业=2026").unwrap(), nth: 1 });
        assert!(matches!(act, Act::Move { amount, uses: -2, .. } if amount == Balance::from_fen(-1)));
        let line = r#"{"cmd":"adjust","card":"88","amount":"-5.50","about":1234,"key":"k","by":"li"}"#;
        let Order { act, .. } = order(line);
        let settled = |amount| amount == Balance::from_fen(-550);
        assert!(matches!(act, Act::Settle { claim: EntrySeq(1234), amount, uses: 0, .. } if settled(amount)));
    }

    #[test]
    fn a_mistake_is_named_with_what_to_write_instead() {
        for (line, words) in [
            ("", "send an object"),
            ("[]", "this is a list"),
            ("{}", "\"cmd\" is missing"),
            (r#"{"cmd":7}"#, "\"cmd\" is missing"),
            (r#"{"cmd":"toup"}"#, "unknown command \"toup\": there are topup, "),
            (r#"{"cmd":"status","x":1}"#, "status does not take \"x\": it takes nothing more"),
            (r#"{"cmd":"cards","find":"x"}"#, "it takes search, after"),
            (r#"{"cmd":"card"}"#, "card needs \"card\""),
            (r#"{"cmd":"card","card":88}"#, "\"card\" is a number: write a string"),
            (
                r#"{"cmd":"card","card":"12345678901"}"#,
                "\"card\" is \"****8901\": write a card's number, 1 to 10 digits",
            ),
            (r#"{"cmd":"topup","card":"8","key":"k","by":"li"}"#, "needs \"amount\" or \"uses\""),
            (r#"{"cmd":"topup","card":"8","key":"k","by":"li","amount":5.5}"#, "write yuan in quotes"),
            (
                r#"{"cmd":"topup","card":"8","key":"k","by":"li","amount":"5.501"}"#,
                "\"amount\" is \"5.501\": write yuan",
            ),
            (r#"{"cmd":"topup","card":"8","key":"k","by":"li","amount":"-5"}"#, "above zero"),
            (r#"{"cmd":"topup","card":"8","key":"k","by":"li","amount":"all"}"#, "at most two decimals"),
            (r#"{"cmd":"adjust","card":"8","key":"k","by":"li","amount":"+-5"}"#, "such as"),
            (r#"{"cmd":"adjust","card":"8","key":"k","by":"li","amount":"10000000"}"#, "such as"),
            (r#"{"cmd":"topup","card":"8","key":"k","by":"li","uses":"5"}"#, "\"uses\" is a string"),
            (r#"{"cmd":"topup","card":"8","key":"k","by":"li","uses":1.5}"#, "whole number"),
            (r#"{"cmd":"topup","card":"8","key":"k","by":"","amount":"1"}"#, "\"by\" must name"),
            (r#"{"cmd":"topup","card":"8","by":"li","amount":"1"}"#, "needs a \"key\""),
            (r#"{"cmd":"topup","card":"8","key":"a b","by":"li","amount":"1"}"#, "without blanks"),
            (r#"{"cmd":"topup","card":"8","for":"","by":"li","amount":"1"}"#, "\"for\" must say what"),
            (r#"{"cmd":"topup","card":"8","for":"2026 12","by":"li","amount":"1"}"#, "without blanks"),
            (r#"{"cmd":"topup","card":"8","for":"２０２６","by":"li","amount":"1"}"#, "none of them full-width"),
            (r#"{"cmd":"topup","card":"8","for":"一二三四五六七八九十一二三四","by":"li","amount":"1"}"#, "1 to 40"),
            (r#"{"cmd":"topup","card":"8","for":"x","nth":0,"by":"li","amount":"1"}"#, "from 1"),
            (r#"{"cmd":"topup","card":"8","for":"x","nth":"1","by":"li","amount":"1"}"#, "without quotes"),
            (r#"{"cmd":"topup","card":"8","nth":1,"by":"li","amount":"1"}"#, "\"for\", and \"nth\""),
            (r#"{"cmd":"topup","card":"8","key":"k","for":"x","by":"li","amount":"1"}"#, "\"for\", and \"nth\""),
            (r#"{"cmd":"topup","card":"8","key":"k","nth":1,"by":"li","amount":"1"}"#, "\"for\", and \"nth\""),
            (r#"{"cmd":"topup","card":"8","batch":"12","line":1,"by":"li","amount":"1"}"#, "does not take \"batch\""),
            (r#"{"cmd":"lost","card":"8","key":"k","by":"a\nb"}"#, "\"by\" must name"),
            (r#"{"cmd":"replace","old":"8","new":"9","for":"x","by":"li"}"#, "it takes old, new, by, key, note, dry"),
            (r#"{"cmd":"reload","accept":1}"#, "\"accept\" is a number: write a string"),
            (r#"{"cmd":"reload","accept":true}"#, "write a string"),
            (r#"{"cmd":"reload","accept":"+a2b3c4d"}"#, "8 digits of hexadecimal"),
            (r#"{"cmd":"reload","accept":"1a2b3c4"}"#, "the crc that the refusal names"),
            (r#"{"cmd":"discover","port":0}"#, "from 1 to 65535"),
            (r#"{"cmd":"wait","after":1,"max_s":61}"#, "a number of seconds up to 60"),
            (r#"{"cmd":"wait","after":"1"}"#, "write a number without quotes"),
            (r#"{"cmd":"crc_of"}"#, "crc_of needs \"seq\""),
        ] {
            let said = refused(line);
            assert!(said.contains(words), "{line}: {said}");
            assert!(!said.contains('\n') && said.len() < 600, "{said}");
        }
    }
}
