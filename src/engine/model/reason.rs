//! Why a request was refused: words that are never renamed (design.md, section 6).

/// Makes the enum, its words and the default texts from one table, in the ladder's order.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $word:literal $text:literal)*) => {
        /// The first rule that failed, in the order of design.md, section 6.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All reasons, in the ladder's order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable word that ledger, log and configuration use.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The default words on a display.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The reason that a ledger's word names.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)* _ => None }
            }
        }
    };
}

reasons! {
    /// Code, seq and machine are readable, another field is not.
    Malformed "malformed" "数据错误"
    /// Quarantine: the device is not registered.
    UnknownDevice "unknown-device" "设备未登记"
    /// Another device used this machine number a moment ago.
    MachineClash "machine-clash" "机号重复"
    /// The frame of a sale that was voided as a whole, sent again.
    Voided "voided" "已撤销"
    /// The ledger or a table is full; sales only.
    Full "full" "存储已满"
    /// The table has no such card.
    UnknownCard "unknown-card" "未登记卡"
    /// The card is closed.
    Closed "closed" "此卡已注销"
    /// The card is reported lost.
    Lost "lost" "此卡已挂失"
    /// The card is frozen.
    Frozen "frozen" "此卡已冻结"
    /// Before the card's first day.
    NotYetValid "not-yet-valid" "未到有效期"
    /// After the card's last day.
    Expired "expired" "已过期"
    /// The device does not serve this card's groups.
    Group "group" "本机不可用"
    /// Outside every meal period of this device for this card.
    Period "period" "不在消费时段"
    /// The card's sales in this period of this day are used up.
    PeriodUses "period-uses" "本餐次数已满"
    /// An amount of zero where one is needed.
    Amount "amount" "金额错误"
    /// Above the card's limit for one sale.
    ChargeMax "charge-max" "超单笔限额"
    /// Above the card's limit for one day.
    DayMax "day-max" "超当日限额"
    /// No uses left.
    Uses "uses" "次数不足"
    /// The balance and the credit do not cover it.
    Balance "balance" "余额不足"
    /// No card has the scanned code.
    ForeignCode "foreign-code" "暂不支持此码"
    /// No section of the configuration names this door.
    NoDoor "no-door" "此门未设置"
    /// The card is in none of the door's groups.
    DoorGroup "door-group" "无权通行"
    /// The door is shut at this hour or day.
    DoorTime "door-time" "不在通行时段"
    /// A PIN is missing or wrong.
    Pin "pin" "密码错误"
    /// The same card passed this door a moment ago.
    Passback "passback" "请勿重复通行"
    /// An old frame, sent again.
    Replay "replay" "请重新刷卡"
}

/// A display's words for a card that no rule refuses.
pub(crate) const CARD_OK_TEXT: &str = "卡可正常使用";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_its_reason() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_word(reason.word()), Some(*reason));
        }
        assert_eq!(Reason::from_word("other"), None);
    }
}
