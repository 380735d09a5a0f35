//! The columns of a card table, as one table: what the header may say and README lists (design.md, section 5).

use crate::config::options::FOREIGN_PREFIX;
use crate::problem::{Problems, shown};

/// A column we read.
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
    /// 次数
    Uses,
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
    /// Which one.
    pub column: Column,
    /// Its English name.
    pub english: &'static str,
    /// Its Chinese names; the first is ours.
    pub chinese: &'static [&'static str],
    /// What it holds.
    pub meaning: &'static str,
}

const fn column(
    column: Column,
    english: &'static str,
    chinese: &'static [&'static str],
    meaning: &'static str,
) -> ColumnSpec {
    ColumnSpec { column, english, chinese, meaning }
}

/// All columns, in the order of [`Column`]'s variants.
pub const COLUMNS: &[ColumnSpec] = &[
    column(Column::Card, "card", &["卡号"], "1 to 10 digits; required"),
    column(
        Column::Account,
        "account",
        &["编号", "学号", "工号"],
        "at most 24 bytes; none given: the card's ten digits",
    ),
    column(Column::Name, "name", &["姓名"], "as displays show it"),
    column(Column::Status, "status", &["状态"], "active 正常, lost 挂失, frozen 冻结, closed 注销; none given: active"),
    column(Column::Balance, "balance", &["余额"], "yuan; the account opens with it"),
    column(Column::Uses, "uses", &["次数"], "the account opens with them"),
    column(Column::Groups, "groups", &["分组"], "names divided by ;"),
    column(Column::Pin, "pin", &["密码"], "1 to 8 digits, for doors"),
    column(Column::DuressPin, "duress_pin", &["胁迫密码"], "1 to 8 digits; opens and raises an alarm"),
    column(Column::ValidFrom, "valid_from", &["有效期起"], "the first day"),
    column(Column::ValidUntil, "valid_until", &["有效期止"], "the last day"),
    column(Column::ChargeMax, "charge_max", &["单笔限额"], "yuan, for one sale; none given: no limit"),
    column(Column::DayMax, "day_max", &["日限额"], "yuan, for one business day; none given: no limit"),
    column(Column::Credit, "credit", &["透支额度"], "yuan that the balance may go below zero"),
    column(Column::Code, "code", &["二维码"], "a static member code, at most 128 characters of ASCII"),
];

impl Column {
    /// Its row in [`COLUMNS`].
    pub fn spec(self) -> &'static ColumnSpec {
        &COLUMNS[self as usize]
    }

    /// Its name in messages.
    pub(super) fn label(self) -> String {
        format!("{}/{}", self.spec().chinese[0], self.spec().english)
    }

    /// The column that a header's field names: in English or Chinese, or both (`card 卡号`), with a remark in
    /// brackets (`余额(元)`) or without.
    pub(super) fn named(header: &str) -> Option<Self> {
        let name = header.split(['(', '（']).next().unwrap_or_default().to_lowercase();
        let mut words = name.split(|next: char| next.is_whitespace() || next == '/').filter(|word| !word.is_empty());
        let column = Self::of_word(words.next()?)?;
        words.all(|word| Self::of_word(word) == Some(column)).then_some(column)
    }

    fn of_word(word: &str) -> Option<Self> {
        COLUMNS.iter().find(|spec| spec.english == word || spec.chinese.contains(&word)).map(|spec| spec.column)
    }
}

/// Which field of a row is which column.
#[derive(Debug)]
pub(super) struct Header {
    places: [Option<usize>; COLUMNS.len()],
    /// Fields of the header line.
    pub count: usize,
}

impl Header {
    /// Reads the header's fields; `None` if the card column is missing, for then nothing can be read.
    pub fn read<'a>(
        fields: impl Iterator<Item = &'a str>,
        line: u32,
        problems: &mut Problems,
        warnings: &mut Problems,
    ) -> Option<Self> {
        let mut header = Self { places: [None; COLUMNS.len()], count: 0 };
        let mut unknown = Vec::new();
        for (place, field) in fields.enumerate() {
            header.count = place + 1;
            let Some(column) = Column::named(field) else {
                // As in the configuration, such names are the integrator's own.
                let is_foreign = field.is_empty() || field.starts_with(FOREIGN_PREFIX);
                unknown.extend((!is_foreign).then_some(field));
                continue;
            };
            if let Some(first) = header.places[column as usize] {
                let (first, second) = (first + 1, place + 1);
                let message = format!("columns {first} and {second} both say so: delete one, or rename it");
                problems.add_in_column(line, &column.label(), message);
            } else {
                header.places[column as usize] = Some(place);
            }
        }
        if header.places[Column::Card as usize].is_none() {
            let names: Vec<&str> = COLUMNS.iter().map(|spec| spec.english).collect();
            let message = format!(
                "the first line must name the columns, and one must be card or 卡号: write a header such as {}",
                names.join(",")
            );
            problems.add(line, message);
            return None;
        }
        for field in unknown {
            let remedy = "name it x_… if it is your own, to be rid of this line";
            warnings.add(line, format!("unknown column {} is ignored; {remedy}", shown(field)));
        }
        Some(header)
    }

    /// The column's place in each row.
    pub fn place(&self, column: Column) -> Option<usize> {
        self.places[column as usize]
    }
}

/// The character that divides the header into the most known names: a comma, or `;` or a tab as some spreadsheets write.
pub(super) fn delimiter(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |delimiter: u8| {
        let fields = header.split(char::from(delimiter));
        fields.filter(|field| Column::named(field.trim().trim_matches('"')).is_some()).count()
    };
    // The last of equals wins: the comma.
    b"\t;,".iter().copied().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_its_columns() {
        for (index, spec) in COLUMNS.iter().enumerate() {
            assert_eq!(spec.column as usize, index);
        }
    }

    #[test]
    fn a_header_may_be_english_or_chinese_or_both() {
        for name in ["card", "CARD", "卡号", "card 卡号", "卡号/Card", "卡号（10位）"] {
            assert_eq!(Column::named(name), Some(Column::Card), "{name}");
        }
        assert_eq!(Column::named("余额(元)"), Some(Column::Balance));
        assert_eq!(Column::named("学号"), Some(Column::Account));
        for name in ["", "cards", "card name", "部门", "(card)"] {
            assert_eq!(Column::named(name), None, "{name}");
        }
    }

    #[test]
    fn the_delimiter_is_what_divides_the_header() {
        assert_eq!(delimiter("card,name\n1;2;3"), b',');
        assert_eq!(delimiter("\n\"卡号\";\"姓名\""), b';');
        assert_eq!(delimiter("card\tname"), b'\t');
        assert_eq!(delimiter("card"), b',');
        assert_eq!(delimiter(""), b',');
    }
}
