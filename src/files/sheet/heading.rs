//! What a heading means: the column that it names, and whether a remark in it changes the column's
//! meaning.
//!
//! Headings are compared without blanks, `*`, `:`, `_` and case, full-width forms as half-width
//! ones. A remark in brackets is ignored only if it is known to change no meaning: amounts in fen,
//! cards in hexadecimal, or dates of another form would be misread.

use super::value::half_width;
use crate::files::config::options::FOREIGN_PREFIX;
use crate::files::problem::distance;
use crate::lang::tr;

/// A column's names.
pub trait Named {
    /// Its English name.
    fn english(&self) -> &'static str;
    /// Its Chinese names; messages use the first.
    fn chinese(&self) -> &'static [&'static str];
    /// Names that offices and other programs use.
    fn aliases(&self) -> &'static [&'static str];
    /// The kind of its values.
    fn holds(&self) -> Holds;
}

/// The kind of a column's values. It decides which remarks change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A card's number, in decimal.
    Card,
    /// Yuan.
    Yuan,
    /// A whole number.
    Count,
    /// A date.
    Date,
    /// One of a few words.
    Word,
    /// Names that decide what a card may do, divided by `;`.
    List,
    /// A secret, which no message shows.
    Secret,
    /// A name that decides which account a row is on.
    Name,
    /// A text that decides nothing.
    Text,
}

/// What a heading is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heading {
    /// A column's name; the column's index.
    Column(usize),
    /// A column's name with words that change its meaning; the index, and why it is refused.
    Changed(usize, String),
    /// The integrator's own heading, or an empty one.
    Own,
    /// Any other heading.
    Unknown,
}

impl Heading {
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::Column(column) | Self::Changed(column, _) => Some(*column),
            Self::Own | Self::Unknown => None,
        }
    }
}

/// A column's name in messages.
pub(crate) fn label(column: &impl Named) -> String {
    format!("{}/{}", column.chinese()[0], column.english())
}

/// Reads a heading: in English or Chinese, or both (`card 卡号`), with a remark in brackets
/// (`余额(元)`) or without.
pub(crate) fn read<T: Named>(heading: &str, columns: &[T]) -> Heading {
    let text = half_width(heading).to_lowercase();
    let text = text.trim();
    if text.is_empty() || text.starts_with(FOREIGN_PREFIX) {
        return Heading::Own;
    }
    let squashed = squash(text);
    if let Some(column) = of_word(&squashed, columns) {
        return Heading::Column(column);
    }
    let (name, remarks) = divide(text);
    // 有效期(止)
    if let Some(column) = of_word(&squash(&[&*name, &remarks.concat()].concat()), columns) {
        return Heading::Column(column);
    }
    if let Some(column) = of_name(&name, columns) {
        return match remarks.iter().find_map(|remark| changes(remark, column, columns)) {
            None => Heading::Column(column),
            Some(sentence) => Heading::Changed(column, sentence),
        };
    }
    // A unit without brackets: 余额分, amount fen, hex卡号. Any other addition makes another name.
    let all =
        columns.iter().enumerate().flat_map(|(column, named)| words(named).map(move |word| (column, squash(word))));
    for (column, word) in all.filter(|(column, _)| !matches!(columns[*column].holds(), Holds::Name | Holds::Text)) {
        let Some(rest) = squashed.strip_prefix(&*word).or_else(|| squashed.strip_suffix(&*word)) else { continue };
        let rest = rest.trim_matches(|next: char| !next.is_alphanumeric());
        let holds = columns[column].holds();
        if is_plain_remark(rest, holds) {
            return Heading::Column(column);
        }
        if let Some(sentence) = unit(rest, holds).filter(|_| !is_of_another_number(rest)) {
            return Heading::Changed(column, sentence.to_owned());
        }
    }
    Heading::Unknown
}

/// The column whose name differs from the heading by one or two letters: `staus`.
pub(crate) fn nearest<'c, T: Named>(heading: &str, columns: impl IntoIterator<Item = &'c T>) -> Option<&'c T> {
    let squashed = squash(&half_width(heading).to_lowercase());
    columns.into_iter().find(|column| {
        let name = squash(column.english());
        let near = if name.len() > 5 { 2 } else { usize::from(name.len() > 3) };
        squashed.is_ascii()
            && squashed.len() + near >= name.len()
            && name.len() + near >= squashed.len()
            && distance(&squashed, &name) <= near
    })
}

fn words(column: &impl Named) -> impl Iterator<Item = &'static str> {
    [column.english()].into_iter().chain(column.chinese().iter().copied()).chain(column.aliases().iter().copied())
}

/// The text without the blanks and marks that only decorate a heading.
fn squash(text: &str) -> String {
    text.chars()
        .filter(|next| !next.is_whitespace() && !matches!(next, '*' | ':' | '_' | '\u{200B}'..='\u{200F}' | '\u{FEFF}'))
        .collect()
}

fn of_word<T: Named>(word: &str, columns: &[T]) -> Option<usize> {
    columns.iter().position(|column| words(column).any(|known| squash(known) == word))
}

/// The column that a heading without its remarks names.
fn of_name<T: Named>(name: &str, columns: &[T]) -> Option<usize> {
    if let Some(column) = of_word(&squash(name), columns) {
        return Some(column);
    }
    // Both languages, or two words of one: each must name the same column.
    let all = |parts: &[&str]| {
        let mut parts = parts.iter().map(|part| squash(part)).filter(|part| !part.is_empty());
        let column = of_word(&parts.next()?, columns)?;
        parts.all(|part| of_word(&part, columns) == Some(column)).then_some(column)
    };
    let words: Vec<&str> = name.split(|next: char| next.is_whitespace() || matches!(next, '/' | '|' | '、')).collect();
    let is_ascii = |next: char| next.is_ascii();
    let boundary = name.find(|next: char| !is_ascii(next)).filter(|place| *place > 0).or_else(|| name.find(is_ascii));
    all(&words).or_else(|| boundary.and_then(|place| all(&[&name[..place], &name[place..]])))
}

/// A heading without its brackets, and the remarks in them.
fn divide(text: &str) -> (String, Vec<String>) {
    let (mut name, mut remarks): (String, Vec<String>) = (String::new(), Vec::new());
    let mut depth = 0_u32;
    for character in text.chars() {
        match character {
            '(' | '[' | '【' | '〔' | '{' | '<' | '《' => {
                if depth == 0 {
                    remarks.push(String::new());
                }
                depth += 1;
            }
            ')' | ']' | '】' | '〕' | '}' | '>' | '》' => depth = depth.saturating_sub(1),
            _ if depth > 0 => remarks.last_mut().expect("a bracket opened it").push(character),
            _ => name.push(character),
        }
    }
    (name, remarks)
}

/// Why a remark cannot be ignored.
fn changes<T: Named>(remark: &str, column: usize, columns: &[T]) -> Option<String> {
    let holds = columns[column].holds();
    let squashed = squash(remark);
    if let Some(sentence) = unit(&squashed, holds) {
        return Some(sentence.to_owned());
    }
    let mut parts = squashed.split(['/', ',', ';', '、', '|', '，', '；', '.']).filter(|part| !part.is_empty());
    let is_plain = is_plain_remark(&squashed, holds)
        || parts.all(|part| is_plain_remark(part, holds) || of_word(part, columns) == Some(column));
    (!is_plain).then(|| {
        tr!(
            "the remark may change what the column means: write {} without it",
            "附注可能改变这一列的意思：请只写 {}",
            label(&columns[column])
        )
    })
}

/// Remarks that change nothing, whatever the column.
const PLAIN: &[&str] = &[
    "必填",
    "选填",
    "可选",
    "可空",
    "可为空",
    "必须",
    "可不填",
    "不填",
    "required",
    "optional",
    "文本",
    "文本格式",
    "text",
];

/// Whether a remark changes no meaning.
fn is_plain_remark(remark: &str, holds: Holds) -> bool {
    let known: &[&str] = match holds {
        Holds::Card => &[
            "10位",
            "十位",
            "1-10位",
            "1~10位",
            "10位数",
            "10位数字",
            "10位十进制",
            "十进制",
            "10进制",
            "decimal",
            "dec",
            "10digits",
            "数字",
            "digits",
        ],
        Holds::Yuan => &[
            "元",
            "单位元",
            "人民币",
            "人民币元",
            "元人民币",
            "yuan",
            "rmb",
            "cny",
            "¥",
            "¥元",
            "元/次",
            "元/日",
            "元/天",
            "元/笔",
            "剩余",
            "当前",
            "现有",
            "期初",
            "初始",
            "每日",
            "每天",
            "每次",
            "每笔",
            "单笔",
            "现金",
            "两位小数",
            "2位小数",
            "保留两位小数",
            "0不允许",
            "inyuan",
        ],
        Holds::Count => {
            &["次", "剩余", "当前", "现有", "期初", "初始", "餐", "份", "整数", "单位次", "times", "meals", "left"]
        }
        Holds::Date => &[
            "含",
            "含当日",
            "含当天",
            "inclusive",
            "年月日",
            "年-月-日",
            "年/月/日",
            "yyyy-mm-dd",
            "yyyy/mm/dd",
            "yyyymmdd",
            "日期",
            "date",
            "格式2026-11-22",
        ],
        Holds::Word => &["正常", "挂失", "冻结", "注销", "active", "lost", "frozen", "closed", "缺省正常", "默认正常"],
        Holds::List => &[
            "用;分隔",
            "用；分隔",
            ";分隔",
            "；分隔",
            "分号分隔",
            "用分号分隔",
            "多个用;分隔",
            "多个用分号分隔",
            "多个用;隔开",
        ],
        Holds::Secret => &[
            "数字",
            "1-8位",
            "1~8位",
            "8位",
            "6位",
            "4位",
            "1-8位数字",
            "4位数字",
            "6位数字",
            "开门",
            "门禁",
            "digits",
        ],
        Holds::Name => &["唯一", "学号", "工号", "学号/工号", "学号或工号", "unique"],
        Holds::Text => return true,
    };
    remark.is_empty() || PLAIN.contains(&remark) || known.contains(&remark)
}

/// 物理卡号 and the like, without brackets, are columns of their own beside 卡号.
fn is_of_another_number(words: &str) -> bool {
    ["内码", "外码", "印刷", "逻辑", "物理", "8位", "18位"].contains(&words)
}

/// The error for a remark that is known to change the meaning.
fn unit(remark: &str, holds: Holds) -> Option<&'static str> {
    let parts = || remark.split(['/', ',', ';', '、', ' ', '|']);
    let is_any = |known: &[&str]| {
        let bare =
            |part: &str| part.trim_start_matches("单位").trim_start_matches("in").trim_start_matches("unit").to_owned();
        known.contains(&remark) || parts().any(|part| known.contains(&part) || known.contains(&bare(part).as_str()))
    };
    match holds {
        Holds::Yuan if is_any(&["分", "人民币分", "分人民币", "fen", "cent", "cents", "分钱"]) => Some(tr(
            "its amounts are fen: divide them by 100, and name the column without the unit; posgate reads yuan, such as 5.50",
            "金额是分：请除以 100，列名不带单位；posgate 读的是元，例如 5.50",
        )),
        Holds::Yuan if is_any(&["角", "毛", "jiao", "dime"]) => Some(tr(
            "its amounts are tenths of a yuan: divide them by 10, and name the column without the unit; posgate reads yuan, such as 5.50",
            "金额是角：请除以 10，列名不带单位；posgate 读的是元，例如 5.50",
        )),
        Holds::Yuan
            if is_any(&[
                "万", "万元", "千", "千元", "百元", "百", "亿", "亿元", "k", "w", "wan", "thousand", "10k", "×100",
                "*100", "x100", "100",
            ]) =>
        {
            Some(tr(
                "its amounts are in a larger unit: multiply them, and name the column without the unit; posgate reads yuan, such as 5.50",
                "金额的单位比元大：请乘成元，列名不带单位；posgate 读的是元，例如 5.50",
            ))
        }
        Holds::Yuan
            if is_any(&[
                "美元", "港币", "港元", "欧元", "usd", "hkd", "eur", "$", "€", "积分", "points", "点", "次", "%",
            ]) =>
        {
            Some(tr(
                "its amounts are not yuan: posgate reads yuan, such as 5.50",
                "金额不是元：posgate 读的是元，例如 5.50",
            ))
        }
        Holds::Card
            if ["16", "十六进", "hex", "0x"].iter().any(|word| remark.contains(word)) && !remark.contains("10进") =>
        {
            Some(tr(
                "its numbers are hexadecimal: write what a terminal sends, decimal digits; `posgate cards number TEXT` shows what a number may be",
                "卡号是十六进制：请写终端发来的十进制数字；`posgate cards number TEXT` 说明一个号码可能是什么",
            ))
        }
        Holds::Card
            if [
                "8进", "八进", "二进", "2进", "oct", "bin", "反", "倒", "逆", "rev", "wiegand", "韦根", "wg", "3+5",
                "8位", "八位", "18位", "内码", "外码", "印刷", "逻辑", "物理",
            ]
            .iter()
            .any(|word| remark.contains(word)) =>
        {
            Some(tr(
                "its numbers are perhaps not what a terminal sends: write that, 1 to 10 decimal digits; `posgate cards number TEXT` shows what a printed number may be",
                "卡号也许不是终端发来的：请写终端发来的 1 到 10 位十进制数字；`posgate cards number TEXT` 说明卡面上的号码可能是什么",
            ))
        }
        Holds::Date
            if [
                "序列",
                "serial",
                "时间戳",
                "timestamp",
                "unix",
                "天数",
                "days",
                "农历",
                "不含",
                "exclusive",
                "日/月",
                "dd/mm",
                "mm/dd",
                "dd-mm",
                "mm-dd-yy",
                "月/日",
            ]
            .iter()
            .any(|word| {
                remark.contains(word)
                    && !remark.contains("yyyy-mm-dd")
                    && !remark.contains("yyyy/mm/dd")
                    && !remark.contains("年/月/日")
            }) =>
        {
            Some(tr(
                "its dates are of another kind: write the first or last day that counts, as 2026-11-22",
                "日期是另一种：请写第一天或最后一天，如 2026-11-22",
            ))
        }
        Holds::Count
            if is_any(&[
                "元",
                "yuan",
                "分",
                "已用",
                "used",
                "已使用",
                "上限",
                "每日",
                "每天",
                "每餐",
                "每月",
                "max",
            ]) =>
        {
            Some(tr(
                "its numbers are something else: the column holds the uses that the account opens with",
                "这些数是别的：这一列是开户的次数",
            ))
        }
        Holds::Secret
            if ["md5", "加密", "密文", "hash", "sha", "hex", "16"].iter().any(|word| remark.contains(word)) =>
        {
            Some(tr("its values are encrypted: write the digits that a person keys", "值是加密的：请写人按的数字"))
        }
        Holds::Card
        | Holds::Yuan
        | Holds::Count
        | Holds::Date
        | Holds::Word
        | Holds::List
        | Holds::Secret
        | Holds::Name
        | Holds::Text => None,
    }
}
