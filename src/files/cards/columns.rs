//! The columns of a card table, as one table: the names that a header may have, and the manual
//! lists (design.md, section 5).

use crate::files::problem::masked;
use crate::files::sheet::heading::{Holds, Named, label, nearest};
use crate::files::sheet::{Layout, Unknown};
use crate::lang::{Text, tr};

/// A column of the card table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// 卡号
    Card,
    /// 编号
    Account,
    /// 姓名
    Name,
    /// 状态
    Status,
    /// 余额
    Balance,
    /// 补贴
    Subsidy,
    /// 次数
    Uses,
    /// 部门
    Department,
    /// 分组
    Groups,
    /// 密码
    Pin,
    /// 胁迫密码
    DuressPin,
    /// 有效期起
    ValidFrom,
    /// 有效期止
    ValidUntil,
    /// 单笔限额
    ChargeMax,
    /// 日限额
    DayMax,
    /// 透支额度
    Credit,
    /// 二维码
    Code,
}

/// A column's names and meaning.
#[derive(Debug)]
pub struct ColumnSpec {
    /// The column.
    pub column: Column,
    /// The kind of its values.
    pub holds: Holds,
    /// Its English name.
    pub english: &'static str,
    /// Its Chinese names; messages use the first.
    pub chinese: &'static [&'static str],
    /// Names that offices and other programs use.
    pub aliases: &'static [&'static str],
    /// Its content, for the manual.
    pub meaning: &'static str,
}

impl Named for ColumnSpec {
    fn english(&self) -> &'static str {
        self.english
    }

    fn chinese(&self) -> &'static [&'static str] {
        self.chinese
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    fn holds(&self) -> Holds {
        self.holds
    }
}

const fn column(
    column: Column,
    holds: Holds,
    english: &'static str,
    chinese: &'static [&'static str],
    aliases: &'static [&'static str],
    meaning: &'static str,
) -> ColumnSpec {
    ColumnSpec { column, holds, english, chinese, aliases, meaning }
}

/// Names of the card's number in card tables and in files of orders.
pub(crate) const CARD_ALIASES: &[&str] = &[
    "ic卡号",
    "id卡号",
    "卡片号",
    "卡片号码",
    "卡号码",
    "卡片编号",
    "card no",
    "card no.",
    "card number",
    "card num",
    "card id",
    "cardno",
    "ic card no",
    "id card no",
    "十进制卡号",
    "10位卡号",
];
/// Names of the holder's name.
pub(crate) const NAME_ALIASES: &[&str] = &[
    "名字",
    "持卡人",
    "持卡人姓名",
    "人员姓名",
    "学生姓名",
    "员工姓名",
    "教工姓名",
    "职工姓名",
    "用户姓名",
    "full name",
    "holder",
];
/// Names of the department.
pub(crate) const DEPARTMENT_ALIASES: &[&str] = &["部门名称", "所属部门", "科室", "dept", "dept."];

/// All columns, in the order of [`Column`]'s variants.
pub const COLUMNS: &[ColumnSpec] = &[
    column(Column::Card, Holds::Card, "card", &["卡号"], CARD_ALIASES, "1 to 10 digits; required"),
    column(
        Column::Account,
        Holds::Name,
        "account",
        &["编号", "学号", "工号"],
        &[
            "人员编号",
            "学工号",
            "学籍号",
            "职工号",
            "教工号",
            "员工号",
            "员工编号",
            "学生编号",
            "职工编号",
            "教工编号",
            "用户编号",
            "个人编号",
            "账号",
            "帐号",
            "账户",
            "帐户",
            "账户编号",
            "帐户编号",
            "账户号",
            "account no",
            "account no.",
            "account id",
            "account number",
            "student no",
            "student id",
            "staff no",
            "staff id",
            "employee no",
            "employee id",
        ],
        "at most 24 bytes; none given: the card's own, @ and ten digits",
    ),
    column(Column::Name, Holds::Text, "name", &["姓名"], NAME_ALIASES, "as displays show it"),
    column(
        Column::Status,
        Holds::Word,
        "status",
        &["状态"],
        &["卡状态", "卡片状态", "卡状况", "卡片状况", "使用状态", "卡使用状态", "card status", "card state"],
        "active 正常, lost 挂失, frozen 冻结, closed 注销; none given: active",
    ),
    column(
        Column::Balance,
        Holds::Yuan,
        "balance",
        &["余额"],
        &[
            "账户余额",
            "帐户余额",
            "卡余额",
            "卡内余额",
            "卡片余额",
            "当前余额",
            "剩余金额",
            "现金余额",
            "开户余额",
            "期初余额",
            "初始余额",
            "account balance",
            "opening balance",
            "card balance",
        ],
        "yuan; the account opens with it",
    ),
    column(
        Column::Subsidy,
        Holds::Yuan,
        "subsidy",
        &["补贴"],
        &["补贴余额", "补助", "补助余额", "补贴账户余额", "subsidy balance"],
        "empty or 0.00: it is not served yet",
    ),
    column(
        Column::Uses,
        Holds::Count,
        "uses",
        &["次数"],
        &["剩余次数", "可用次数", "余次", "uses left"],
        "the account opens with them",
    ),
    column(
        Column::Department,
        Holds::Text,
        "department",
        &["部门"],
        DEPARTMENT_ALIASES,
        "for people; it decides nothing",
    ),
    column(Column::Groups, Holds::List, "groups", &["分组"], &["组别", "所属分组", "group"], "names divided by ;"),
    column(
        Column::Pin,
        Holds::Secret,
        "pin",
        &["密码"],
        &["卡密码", "开门密码", "门禁密码", "card pin", "pin code"],
        "1 to 8 digits, for doors",
    ),
    column(
        Column::DuressPin,
        Holds::Secret,
        "duress_pin",
        &["胁迫密码"],
        &["胁迫码", "挟持密码"],
        "1 to 8 digits; opens and raises an alarm",
    ),
    column(
        Column::ValidFrom,
        Holds::Date,
        "valid_from",
        &["有效期起"],
        &[
            "有效期从",
            "有效期开始",
            "有效期自",
            "有效开始日期",
            "有效期开始日期",
            "有效起始日期",
            "有效期起始日期",
            "生效日期",
            "启用日期",
            "开始日期",
            "起始日期",
            "有效期起日",
            "start date",
            "valid since",
        ],
        "the first day",
    ),
    column(
        Column::ValidUntil,
        Holds::Date,
        "valid_until",
        &["有效期止"],
        &[
            "有效期至",
            "有效期到",
            "有效期限至",
            "有效至",
            "有效期结束",
            "有效期截止",
            "有效期终止",
            "有效截止日期",
            "有效期截止日期",
            "有效结束日期",
            "有效期结束日期",
            "有效期止日",
            "截止日期",
            "到期日",
            "到期日期",
            "失效日期",
            "结束日期",
            "valid to",
            "valid thru",
            "valid till",
            "expires",
            "expiry",
            "expiry date",
            "expiration date",
            "end date",
        ],
        "the last day",
    ),
    column(
        Column::ChargeMax,
        Holds::Yuan,
        "charge_max",
        &["单笔限额"],
        &["单次限额", "每笔限额", "每次限额", "单笔消费限额", "单次消费限额", "单笔最高", "单笔上限", "单笔限"],
        "yuan, for one sale; none given: no limit",
    ),
    column(
        Column::DayMax,
        Holds::Yuan,
        "day_max",
        &["日限额"],
        &[
            "日限",
            "每日限额",
            "每天限额",
            "当日限额",
            "单日限额",
            "日消费限额",
            "每日消费限额",
            "日累计限额",
            "日上限",
            "daily max",
            "daily limit",
            "day limit",
        ],
        "yuan, for one business day; none given: no limit",
    ),
    column(
        Column::Credit,
        Holds::Yuan,
        "credit",
        &["透支额度"],
        &["透支额", "透支限额", "可透支额度", "可透支金额", "透支金额上限", "credit limit", "overdraft limit"],
        "yuan that the balance may go below zero",
    ),
    column(
        Column::Code,
        Holds::Secret,
        "code",
        &["二维码"],
        &["会员码", "静态码", "二维码内容", "qr code", "member code"],
        "a static member code, at most 128 characters of ASCII",
    ),
];

/// Words in headings that restrict cards, and the columns that such a heading may mean. Ignoring
/// the heading would let barred cards pay.
const RESTRICTING: &[(&[&str], &[Column])] = &[
    (
        &[
            "状态",
            "状况",
            "挂失",
            "丢失",
            "遗失",
            "冻结",
            "锁定",
            "锁卡",
            "注销",
            "销户",
            "销卡",
            "作废",
            "吊销",
            "停用",
            "停卡",
            "停止",
            "暂停",
            "禁用",
            "禁止",
            "封禁",
            "封卡",
            "拉黑",
            "黑名单",
            "退卡",
            "status",
            "blacklist",
            "blocked",
            "banned",
            "inactive",
            "isactive",
            "locked",
            "disabled",
            "enabled",
            "suspended",
            "revoked",
            "frozen",
        ],
        &[Column::Status],
    ),
    (&["启用", "是否可用", "是否在用", "activated"], &[Column::Status, Column::ValidFrom]),
    (&["透支", "credit", "overdraft"], &[Column::Credit]),
    (&["胁迫", "挟持", "duress"], &[Column::DuressPin]),
    (&["密码", "口令", "pin", "password", "passwd"], &[Column::Pin]),
    (
        &["有效", "失效", "到期", "过期", "生效", "截止", "终止", "期限", "valid", "expir", "until"],
        &[Column::ValidFrom, Column::ValidUntil],
    ),
    (
        &[
            "限额",
            "限次",
            "上限",
            "限制",
            "最高消费",
            "消费额度",
            "日额度",
            "limit",
            "_max",
            "max_",
            "quota",
            "maximum",
        ],
        &[Column::ChargeMax, Column::DayMax],
    ),
    // A card's groups decide where and when it works, by the rules of the configuration.
    (
        &[
            "权限",
            "授权",
            "门禁",
            "通行",
            "开门",
            "门组",
            "门区",
            "门点",
            "白名单",
            "时段",
            "时间段",
            "时间组",
            "时区",
            "限时",
            "限定",
            "限用",
            "范围",
            "适用",
            "允许",
            "准许",
            "可用门",
            "可用餐",
            "可用时",
            "可用食",
            "可用机",
            "可用终端",
            "可用区",
            "access",
            "permi",
            "privilege",
            "allowed",
            "authori",
            "restrict",
            "whitelist",
            "schedule",
            "timezone",
            "timeslot",
            "doors",
            "doorgroup",
        ],
        &[Column::Groups],
    ),
];

/// Words that restrict cards if they are the whole heading. Within other words they mean something
/// else.
const RESTRICTING_ALONE: &[(&[&str], &[Column])] = &[
    (&["lost", "active"], &[Column::Status]),
    (&["cap", "max", "daily cap", "day cap"], &[Column::ChargeMax, Column::DayMax]),
    (&["door", "period", "periods", "time slot", "门", "餐别", "使用时间", "消费时间"], &[Column::Groups]),
];

/// The layout of a card table. An unknown column is ignored with a warning, unless it seems to
/// restrict cards.
pub(super) const LAYOUT: Layout<ColumnSpec> = Layout {
    columns: COLUMNS,
    first: &[Column::Card as usize],
    wanted: Text::new(
        "the first line must name the columns, and one must be card or 卡号: write a header such as card,account,name,status,balance",
        "第一行要写列名，其中要有 卡号 或 card：例如 卡号,编号,姓名,状态,余额",
    ),
    unknown,
    is_fen: false,
};

fn unknown(heading: &str) -> Unknown {
    let lower = heading.to_lowercase().replace("pinyin", "");
    let squashed: String = lower.chars().filter(|next| !next.is_whitespace()).collect();
    let restricting = RESTRICTING.iter().find(|(words, _)| words.iter().any(|word| squashed.contains(word)));
    let bare = lower.trim().replace(['_', '-'], " ");
    let alone = || RESTRICTING_ALONE.iter().find(|(words, _)| words.contains(&bare.as_str()));
    let restricting = restricting.or_else(alone);
    // A mistyped `groups` removes rights and grants none, so it is only a warning: 班组 may be
    // anything.
    let columns =
        RESTRICTING.iter().flat_map(|(_, columns)| columns.iter()).filter(|column| **column != Column::Groups);
    let near = nearest(heading, columns.map(|column| column.spec())).map(|spec| vec![spec.column]);
    if let Some(columns) = restricting.map(|(_, columns)| columns.to_vec()).or(near) {
        let names: Vec<String> = columns.iter().map(|column| column.label()).collect();
        return Unknown::Refuse(tr!(
            "unknown column {}: it seems to restrict cards: if it is {}, use that name; if it restricts nothing, name it x_…",
            "没有 {} 这一列，听起来却像是限制卡的：如果是 {}，请改成这个名称；不限制什么，就写成 x_…",
            masked(heading),
            names.join(tr(" or ", " 或 "))
        ));
    }
    let near = nearest(heading, COLUMNS)
        .map(|spec| tr!(" (if it is {}, use that name)", "（如果是 {}，请改成这个名称）", label(spec)));
    let remedy = tr("if it is your own, name it x_… to stop this warning", "自己用的请写成 x_…，就不再提示");
    Unknown::Warn(tr!(
        "unknown column {} is ignored{}; {remedy}",
        "不认识的列 {}，不读{}；{remedy}",
        masked(heading),
        near.unwrap_or_default()
    ))
}

impl Column {
    /// The column's row in [`COLUMNS`].
    pub fn spec(self) -> &'static ColumnSpec {
        &COLUMNS[self as usize]
    }

    /// The column's name in messages.
    pub(super) fn label(self) -> String {
        label(self.spec())
    }
}
