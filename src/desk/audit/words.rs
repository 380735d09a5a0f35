//! Names of kinds, reasons and columns in Chinese and English, for reports and spreadsheets.

use crate::engine::model::{Kind, Reason};

/// The name of a kind of entry: Chinese, English.
pub const fn of_kind(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Open => ("开户", "opened"),
        Kind::Charge => ("金额消费", "sale by amount"),
        Kind::Meal => ("计次消费", "sale in count mode"),
        Kind::Scan => ("扫码消费", "sale by code"),
        Kind::Offline => ("脱机消费", "offline sale"),
        Kind::Repeat => ("重刷认出", "sale tried again"),
        Kind::Matched => ("联机脱机同笔", "same sale recognized"),
        Kind::Decline => ("拒绝消费", "refused sale"),
        Kind::Confirm => ("终端回执", "confirmed"),
        Kind::Unconfirmed => ("无回执", "not confirmed"),
        Kind::TopUp => ("充值", "top-up"),
        Kind::Subsidy => ("补贴", "subsidy"),
        Kind::PayOut => ("退款", "paid out"),
        Kind::Adjust => ("调整", "adjustment"),
        Kind::Void => ("撤销", "void"),
        Kind::Link => ("补卡", "new card"),
        Kind::Status => ("卡状态", "card status"),
        Kind::Admit => ("开门", "admitted"),
        Kind::Refuse => ("拒绝开门", "kept shut"),
        Kind::Remote => ("远程开门", "opened by operator"),
        Kind::Alarm => ("报警", "alarm"),
        Kind::Keys => ("按键", "keys"),
        Kind::Boot => ("终端开机", "device started"),
        Kind::Clock => ("时钟变动", "clock stepped"),
        Kind::Start => ("启动", "server started"),
        Kind::Reload => ("重读配置", "reloaded"),
        Kind::Stop => ("停止", "server stopped"),
        Kind::Branch => ("账本分支", "ledger branched"),
        Kind::Acknowledge => ("确认缺失", "loss acknowledged"),
        Kind::Other => ("其它", "other"),
    }
}

/// The rule of a reason as a phrase: Chinese, English.
pub(crate) const fn of_rule(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Malformed => ("报文里有一项读不出来", "a field of the frame could not be read"),
        Reason::UnknownDevice => {
            ("机号未登记，而配置要求登记", "the machine number is not registered, and unknown_devices is quarantine")
        }
        Reason::MachineClash => ("这个机号属于另一台设备", "another device holds this machine number"),
        Reason::Voided => ("这笔消费已被撤销", "the sale was voided"),
        Reason::Full => ("存储已满，暂停消费", "no room for the sale"),
        Reason::UnknownCard => ("卡表里没有这张卡", "the table has no such card"),
        Reason::Closed => ("卡已注销", "the card is closed"),
        Reason::Lost => ("卡已挂失", "the card is reported lost"),
        Reason::Frozen => ("卡已冻结", "the card is frozen"),
        Reason::NotYetValid => ("卡的有效期还没开始", "before the card's first day"),
        Reason::Expired => ("卡的有效期已过", "after the card's last day"),
        Reason::Group => ("本机不受理该卡的分组", "the device does not serve the card's groups"),
        Reason::Period => ("不在该卡可用的任何餐段内", "outside every period that holds here for this card"),
        Reason::PeriodUses => ("该卡本餐次数已用完", "the card's sales in this period are used up"),
        Reason::Amount => ("金额为零", "an amount of zero"),
        Reason::ChargeMax => ("超过该卡单笔限额", "above the card's limit for one sale"),
        Reason::DayMax => ("超过该卡当日限额", "above the card's limit for one day"),
        Reason::Uses => ("次数已用完", "no uses left"),
        Reason::Balance => ("余额加透支额度不够", "balance and credit did not cover it"),
        Reason::ForeignCode => ("扫的码不是任何卡的", "the code is no card's"),
        Reason::NoDoor => ("配置里没有这扇门", "no section names the door"),
        Reason::DoorGroup => ("该卡的分组不许过这扇门", "the card is in none of the door's groups"),
        Reason::DoorTime => ("此时此门不开放", "the door is shut at this hour or day"),
        Reason::Pin => ("没有密码或密码不对", "the PIN is missing or wrong"),
        Reason::Passback => ("同一张卡刚刚过了这扇门", "the same card passed this door a moment ago"),
        Reason::Replay => ("旧的开门报文又来了一次", "an old frame came again"),
    }
}

/// The Chinese text and the word of a reason; the text is empty for an unknown word, such as one of
/// a later version.
pub fn reason(word: &str) -> (String, String) {
    Reason::from_word(word).map_or((String::new(), word.to_owned()), |known| (known.text().to_owned(), word.to_owned()))
}

/// Chinese names of the ledger's columns, in the ledger's order.
pub const COLUMNS: [&str; crate::ledger::line::COLUMNS.len()] = [
    "流水号",
    "时间",
    "时钟",
    "类型",
    "机号",
    "硬件号",
    "包序列号",
    "卡号",
    "编号",
    "金额",
    "补贴",
    "次数",
    "余额",
    "剩余补贴",
    "剩余次数",
    "终端时间",
    "记录地址",
    "关联流水",
    "详情",
    "校验",
];
