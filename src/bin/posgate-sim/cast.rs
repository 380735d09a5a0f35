//! Who plays: the devices and cards of `deploy/example`.

use posgate::engine::model::{CardNo, MachineNo, Serial};

/// A registered device of the example.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its number.
    pub machine: u16,
    /// Its serial.
    pub serial: &'static str,
}

impl Part {
    /// Its number.
    pub fn machine(self) -> MachineNo {
        MachineNo::from_value(self.machine)
    }

    /// Its serial.
    pub fn serial(self) -> Option<Serial> {
        Serial::try_from(self.serial).ok()
    }
}

/// The first window: money.
pub const WINDOW_1: Part = Part { machine: 1, serial: "1000000001" };
/// The second window: one use a meal, for some groups only.
pub const WINDOW_2: Part = Part { machine: 2, serial: "1000000002" };
/// The shop: no meal periods.
pub const SHOP: Part = Part { machine: 3, serial: "1000000003" };
/// The board of two doors.
pub const BOARD: Part = Part { machine: 7, serial: "1000000007" };

/// All of them.
pub const PARTS: [Part; 4] = [WINDOW_1, WINDOW_2, SHOP, BOARD];

/// 张三: staff, with a PIN and a duress PIN.
pub const ZHANG: u64 = 8_888_888_801;
/// 李四: staff. Only the lost approval moves this account, so that its balance tells.
pub const LI: u64 = 8_888_888_802;
/// 王五: a student; meals.
pub const WANG: u64 = 8_888_888_803;
/// 赵六: a student. Only offline sales move this account.
pub const ZHAO: u64 = 8_888_888_804;
/// 孙七: lost.
pub const LOST: u64 = 8_888_888_805;
/// 周八: frozen.
pub const FROZEN: u64 = 8_888_888_806;
/// 吴九: expired.
pub const EXPIRED: u64 = 8_888_888_807;
/// 郑十: not yet valid.
pub const NOT_YET: u64 = 8_888_888_808;
/// 冯一: neither money nor uses.
pub const EMPTY: u64 = 8_888_888_809;
/// 陈二: may overdraw.
pub const OVERDRAFT: u64 = 8_888_888_810;
/// 褚父: shares an account.
pub const FATHER: u64 = 8_888_888_811;
/// 褚子: the same account.
pub const SON: u64 = 8_888_888_812;
/// 卫会员: has the code [`MEMBER_CODE`].
pub const MEMBER: u64 = 8_888_888_813;
/// 蒋商: has the code [`COMMA_CODE`].
pub const MERCHANT: u64 = 8_888_888_814;
/// 沈三: at most 20.00 a sale.
pub const CHARGE_MAX: u64 = 8_888_888_815;
/// 韩四: at most 50.00 a day.
pub const DAY_MAX: u64 = 8_888_888_816;
/// 杨五: closed.
pub const CLOSED: u64 = 8_888_888_817;
/// 朱访客: in no group.
pub const VISITOR: u64 = 8_888_888_818;
/// 秦六: money, but no uses.
pub const NO_USES: u64 = 8_888_888_819;
/// 尤七: in debt.
pub const DEBTOR: u64 = 8_888_888_820;
/// In no table.
pub const STRANGER: u64 = 9_999_999_999;

/// Cards that are good for a sale at any terminal without groups.
pub const BUYERS: [u64; 6] = [ZHANG, WANG, FATHER, SON, MEMBER, MERCHANT];

/// A member code.
pub const MEMBER_CODE: &str = "MEMBER-0013-8F3A";
/// A member code that holds the protocol's comma.
pub const COMMA_CODE: &str = "QR,0014,SHOP";
/// What a payment app shows: no card's.
pub const FOREIGN_CODE: &str = "134567890123456789";

/// [`ZHANG`]'s PIN.
pub const ZHANG_PIN: &str = "1234";
/// [`ZHANG`]'s duress PIN.
pub const ZHANG_DURESS: &str = "4321";
/// [`LI`]'s PIN.
pub const LI_PIN: &str = "2468";
/// Opens door 1 without a card.
pub const OPEN_PIN: &str = "13572468";

/// A card's number, as devices write it.
pub fn card(number: u64) -> CardNo {
    CardNo::from_value(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cast_stands_in_the_example() {
        // As committed: whoever tries the README's ten minutes edits the example's own table.
        let cards = include_str!("../../../tests/support/example-cards.csv");
        let row = |number: u64| {
            let row = cards.lines().find(|line| line.starts_with(&number.to_string()));
            row.unwrap_or_else(|| panic!("no row of {number}")).to_owned()
        };
        for (number, word) in [
            (ZHANG, ZHANG_PIN),
            (ZHANG, ZHANG_DURESS),
            (LI, LI_PIN),
            (WANG, "student"),
            (ZHAO, "正常"),
            (LOST, "挂失"),
            (FROZEN, "冻结"),
            (EXPIRED, "2020-12-31"),
            (NOT_YET, "2099-01-01"),
            (EMPTY, "0.00,0"),
            (OVERDRAFT, "20000.00"),
            (FATHER, "F001"),
            (SON, "F001"),
            (MEMBER, MEMBER_CODE),
            (MERCHANT, COMMA_CODE),
            (CHARGE_MAX, ",20.00,"),
            (DAY_MAX, ",50.00,"),
            (CLOSED, "注销"),
            (VISITOR, "正常"),
            (NO_USES, "20000.00,0"),
            (DEBTOR, "-12.50"),
        ] {
            assert!(row(number).contains(word), "{number} has {word}");
        }
        assert!(!cards.contains(&STRANGER.to_string()) && !cards.contains(FOREIGN_CODE));
        let config = include_str!("../../../deploy/example/posgate");
        for part in PARTS {
            let section = format!("option machine '{}'", part.machine());
            let after = &config[config.find(&section).expect("a section")..];
            let next = after.find("config device").unwrap_or(after.len());
            assert!(after[..next].contains(part.serial), "{section}");
        }
        assert!(config.contains(OPEN_PIN));
    }
}
