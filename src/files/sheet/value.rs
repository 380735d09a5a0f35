//! The values of cells: card numbers, amounts, dates, as offices and their spreadsheets write them.
//!
//! Digits may be full-width and have a spreadsheet's mark of text (`'0088`). A value with one
//! meaning is read; for any other the error says what it looks like and what to write. No error
//! holds a card's number or a PIN: [`shown`] hides them.

use std::borrow::Cow;

use crate::engine::model::{Balance, CardNo, Civil, Date, Money};
use crate::files::problem::shown;
use crate::lang::tr;

/// Uses that an account can open with, owe, or get.
pub(crate) const USES_MAX: i32 = 9_999_999;

pub(in crate::files) fn as_text() -> &'static str {
    tr("format the column as text and enter it again", "把这一列设成文本格式，再重新输入")
}

/// Full-width forms of ASCII as half-width ones, and an ideographic blank as a blank: an input
/// method writes `８８` for 88.
pub(crate) fn half_width(text: &str) -> Cow<'_, str> {
    let is_full = |next: char| matches!(next, '\u{FF01}'..='\u{FF5E}' | '\u{3000}');
    if !text.contains(is_full) {
        return Cow::Borrowed(text);
    }
    let half = |next: char| match next {
        '\u{3000}' => ' ',
        full if is_full(full) => char::from_u32(full as u32 - 0xFEE0).unwrap_or(full),
        other => other,
    };
    Cow::Owned(text.chars().map(half).collect())
}

/// A number in plain form: half-width, with one kind of minus, without a spreadsheet's mark of
/// text.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let is_minus = |next: char| matches!(next, '\u{2010}'..='\u{2013}' | '\u{2212}' | '\u{FE63}');
    let is_joint = |next: char| matches!(next, '\u{200C}' | '\u{200D}');
    let text = half_width(text);
    let text = if text.contains(|next| is_minus(next) || is_joint(next)) {
        let kept = text.chars().filter(|next| !is_joint(*next));
        Cow::Owned(kept.map(|next| if is_minus(next) { '-' } else { next }).collect())
    } else {
        text
    };
    // The mark of a text, and quotes that no CSV knows.
    let is_opening = |next: char| matches!(next, '\'' | '’' | '‘' | '“') || next.is_whitespace();
    let is_closing = |next: char| next == '”' || next.is_whitespace();
    // What is read again, such as an account in a file that `import` wrote, stays what it is.
    let bare = text.trim_start_matches(is_opening).trim_end_matches(is_closing);
    if bare.len() == text.len() { text } else { Cow::Owned(bare.to_owned()) }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether two neighbouring fields look like one amount with a comma for the thousands: `1` and
/// `234.50`.
pub(super) fn is_grouped(head: &str, tail: &str) -> bool {
    let (head, tail) = (plain(head), plain(tail));
    let head = head.trim_start_matches(['-', '+', '¥', '￥', '$', '(']).trim();
    let (whole, fraction) = tail.split_once('.').unwrap_or((&tail, "0"));
    is_digits(head)
        && head.len() <= 3
        && !head.starts_with('0')
        && is_digits(whole)
        && whole.len() == 3
        && is_digits(fraction)
        && fraction.len() <= 2
}

/// Whether two neighbouring fields look like a number as it is printed on cards: `077` and `30211`.
pub(super) fn is_wiegand(head: &str, tail: &str) -> bool {
    let (head, tail) = (plain(head), plain(tail));
    let is = |text: &str, len: usize, most: u32| {
        text.len() == len && is_digits(text) && text.parse().is_ok_and(|value: u32| value <= most)
    };
    is(&head, 3, 255) && is(&tail, 5, 65_535)
}

/// Whether a spreadsheet has changed a long number: `8.88889E+09`.
pub(crate) fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else {
        return false;
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    is_digits(whole) && is_digits(fraction) && exponent.strip_prefix('+').is_some_and(is_digits)
}

/// The error for a cell in which a spreadsheet or a formula left no value.
fn no_value(text: &str) -> Option<String> {
    const MISTAKES: [&str; 9] =
        ["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!"];
    if MISTAKES.contains(&text) || (!text.is_empty() && text.bytes().all(|byte| byte == b'#')) {
        return Some(tr("it is a spreadsheet's mark of a mistake, or of a column that is too narrow: correct the formula, or widen the column, and export again", "这是电子表格的出错标记，或者列太窄：改好公式或加宽这一列，再导出").to_owned());
    }
    if text.starts_with('=') {
        return Some(tr("it is a formula: export its value", "这是公式：请导出它的值").to_owned());
    }
    None
}

fn scientific() -> String {
    tr!("it is what a spreadsheet makes of a long number: {}", "长数字被电子表格改成了这样：{}", as_text())
}

/// A card's number.
pub(crate) fn card(text: &str) -> Result<CardNo, String> {
    let wanted = tr("write the number as a terminal sends it, 1 to 10 digits", "请写终端发来的卡号，1 到 10 位数字");
    let forms = tr("`posgate cards number TEXT` shows what it may be", "`posgate cards number TEXT` 说明它可能是什么");
    let is_full_width = text.contains('，');
    let text = &*plain(text);
    if let Some(number) = CardNo::parse(text.as_bytes()) {
        if number.value() == 0 {
            return Err(tr(
                "no card has the number 0: write the card's own, or delete the row",
                "没有卡号是 0 的卡：请写卡号，或者删掉这一行",
            )
            .into());
        }
        return Ok(number.padded());
    }
    if let Some(sentence) = no_value(text) {
        return Err(sentence);
    }
    if is_scientific(text) || is_scientific(&text.replace(['E', 'e'], "E+")) {
        return Err(scientific());
    }
    if text
        .split_once('.')
        .is_some_and(|(whole, fraction)| is_digits(whole) && fraction.bytes().all(|byte| byte == b'0'))
    {
        return Err(tr!("a card number has no decimals: {}", "卡号没有小数：{}", as_text()));
    }
    if is_digits(text) {
        return Err(tr!("more than 10 digits: {wanted}", "超过 10 位：{wanted}"));
    }
    if text
        .split_once([',', ':', '-', '/', ' ', '，'])
        .filter(|(facility, number)| is_digits(facility) && is_digits(number))
        .is_some_and(|(facility, number)| is_wiegand(&format!("{facility:0>3}"), &format!("{number:0>5}")))
    {
        return Err(tr!(
            "it looks like a number as it is printed on a card, 077,30211: {wanted}; {forms}",
            "这像是卡面上印的号码 077,30211：{wanted}；{forms}"
        ));
    }
    if is_full_width {
        return Err(tr(
            "the row is divided by full-width commas: write half-width ones",
            "这一行用全角逗号分隔：请改成半角",
        )
        .into());
    }
    if text.contains([';', '；', '\t', '|']) {
        return Err(tr(
            "the row has another delimiter than the headings: use the same for both",
            "这一行的分隔符与列名那行不同：请用同一个",
        )
        .into());
    }
    if ["合计", "总计", "小计", "共计", "total", "sum"].iter().any(|word| text.to_lowercase().starts_with(word))
    {
        return Err(tr("this row adds up the others: delete it", "这一行是合计：请删掉").into());
    }
    let digits: String =
        text.chars().filter(|next| !matches!(next, ' ' | '\u{A0}' | ',' | '-' | '.' | '_' | '/')).collect();
    if is_digits(&digits) && !text.starts_with('-') {
        return Err(tr!(
            "there are other characters between its digits: {wanted}, without blanks and signs",
            "数字中间夹着别的：{wanted}，没有空白和符号"
        ));
    }
    let hex: String = text.chars().filter(|next| !matches!(next, ' ' | ':' | '-')).collect();
    let hex = hex.strip_prefix("0x").or_else(|| hex.strip_prefix("0X")).unwrap_or(&hex);
    let hex = hex.strip_suffix(['h', 'H']).unwrap_or(hex);
    if hex.len() >= 4 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(tr!("it looks hexadecimal: {wanted}; {forms}", "这像是十六进制：{wanted}；{forms}"));
    }
    Err(tr!("{}: {wanted}; {forms}", "{}：{wanted}；{forms}", shown(text)))
}

/// An amount in plain form: `+5` is 5 and `.50` is 0.50.
fn plain_amount(text: &str) -> Cow<'_, str> {
    let text = plain(text);
    match text.strip_prefix('+').unwrap_or(&text) {
        bare if bare.starts_with('.') => Cow::Owned(format!("0{bare}")),
        bare if bare.len() < text.len() => Cow::Owned(bare.to_owned()),
        _ => text,
    }
}

/// Signed yuan, within the bounds of orders and opening figures.
pub(crate) fn balance(text: &str) -> Result<Balance, String> {
    let text = &*plain_amount(text);
    let largest = Balance::from(Money::MAX);
    Balance::parse(text.as_bytes())
        .filter(|balance| (-largest..=largest).contains(balance))
        .ok_or_else(|| amount_wanted(text, tr("-9999999.99 to 9999999.99", "-9999999.99 到 9999999.99")))
}

/// Yuan, not below zero.
pub(crate) fn money(text: &str) -> Result<Money, String> {
    let text = &*plain_amount(text);
    Money::parse(text.as_bytes()).ok_or_else(|| amount_wanted(text, tr("0.00 to 9999999.99", "0.00 到 9999999.99")))
}

/// A whole number of fen as yuan: `550` is `5.50`.
pub(crate) fn yuan_of_fen(text: &str) -> Result<String, String> {
    // Larger numbers are no amounts, and would overflow.
    const DIGITS_MAX: usize = 12;
    let fen = plain(text).parse().ok().filter(|_| text.len() <= DIGITS_MAX);
    fen.map(|fen| Balance::from_fen(fen).to_string()).ok_or_else(|| {
        tr!(
            "{}: by --fen amounts are whole numbers of fen, such as 550",
            "{}：用了 --fen，金额要写整数的分，例如 550",
            shown(text)
        )
    })
}

/// The error for a text that is not an amount: what it looks like, and what to write.
pub(crate) fn amount_wanted(text: &str, bounds: &str) -> String {
    let text = &*plain(text);
    let bare = text.trim_end_matches(['元', ' ']).trim_start_matches(['-', '+', '¥', '￥', '$', ' ']);
    let decimal_comma = bare.rsplit_once([',', '，']).is_some_and(|(head, tail)| {
        is_digits(tail)
            && tail.len() <= 2
            && head.chars().all(|next| next.is_ascii_digit() || next == '.' || next.is_whitespace())
    });
    if let Some(sentence) = no_value(text) {
        return sentence;
    }
    let remedy = if text.trim_matches(['-', ' ', '¥', '￥']).is_empty() {
        tr(
            "a dash may be nothing or 0.00: write which, or leave it empty",
            "横线可能是空，也可能是 0.00：请写清楚，或者留空",
        )
    } else if text.contains(['¥', '￥', '元', '圆', '块', '$', '€'])
        || text.to_ascii_uppercase().contains("RMB")
        || text.to_ascii_uppercase().contains("CNY")
    {
        tr("write it without a currency", "不要写货币符号")
    } else if text.contains(['分', '角', '毛', '万', '千']) {
        tr("write yuan, without a unit", "请写元，不带单位")
    } else if text.contains('(') {
        tr("brackets mean below zero: write it with a minus in front", "括号表示负数：请在前面写负号")
    } else if decimal_comma {
        tr("it looks like a decimal comma: write a point", "这像是小数逗号：请写小数点")
    } else if text.contains([',', '，', '\'', '’', '_'])
        || (text.contains(char::is_whitespace) && text.contains(|next: char| next.is_ascii_digit()))
    {
        tr("write it without separators of thousands", "不要写千位分隔符")
    } else if text.contains(['E', 'e']) {
        tr("format the column as a number with two decimals", "把这一列设成两位小数的数值格式")
    } else if text.contains('%') {
        tr(
            "format the column as a number with two decimals, not as a percentage",
            "把这一列设成两位小数的数值格式，不要用百分比",
        )
    } else if text.ends_with('-') {
        tr("write the minus in front", "负号请写在前面")
    } else if text.contains('。') || text.ends_with('.') {
        tr("write a point (.) with digits on both sides, or none", "小数点（.）两边都要有数字，或者不写")
    } else {
        tr("write yuan with at most two decimals", "请写元，至多两位小数")
    };
    tr!("{}: {remedy}, from {bounds}, such as 12.50", "{}：{remedy}，范围 {bounds}，例如 12.50", shown(text))
}

/// A whole number of uses, below zero too.
pub(crate) fn uses(text: &str) -> Result<i32, String> {
    let text = &*plain(text);
    if let Some(sentence) = no_value(text) {
        return Err(sentence);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let value = is_digits(digits).then(|| text.parse().ok()).flatten();
    value.filter(|value| (-USES_MAX..=USES_MAX).contains(value)).ok_or_else(|| {
        tr!(
            "{}: write a whole number of uses, at most {USES_MAX}, such as 20",
            "{}：请写次数，整数，至多 {USES_MAX}，例如 20",
            shown(text)
        )
    })
}

/// A day: `2026-11-22`, `2026/11/22`, `2026.11.22`, `2026年11月22日` (spreadsheets leave zeros
/// out), `20261122`, each with a midnight time or without one.
pub(crate) fn date(text: &str) -> Result<Date, String> {
    let text = &*plain(text);
    let wanted = || {
        tr!(
            "{}: write a date of the calendar as 2026-11-22 or 2026/11/22",
            "{}：请写日期，如 2026-11-22 或 2026/11/22",
            shown(text)
        )
    };
    if let Some(sentence) = no_value(text) {
        return Err(sentence);
    }
    let (day, time) = match text.rsplit_once(['T', ' ']) {
        Some((day, time)) if parts(text).is_none() => (day.trim(), time.trim()),
        _ => (text, ""),
    };
    if !time.is_empty() && time.contains(|next: char| next.is_ascii_digit()) && parts(day).is_some() {
        let is_midnight = time.chars().all(|next| matches!(next, '0' | ':' | '.')) && time.contains(':');
        if !is_midnight {
            return Err(tr(
                "it holds a time of day: write the day alone, the first or the last that counts, as 2026-11-22",
                "里面有时刻：只写日期，即第一天或最后一天，如 2026-11-22",
            )
            .into());
        }
    } else if !time.is_empty() {
        return Err(wanted());
    }
    if let Some((year, month, day)) = parts(day) {
        return Date::parse(format!("{year}-{month:0>2}-{day:0>2}").as_bytes()).ok_or_else(wanted);
    }
    Err(foreign_date(day).unwrap_or_else(wanted))
}

/// Year, month and day of a date that begins with the year.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    if text.len() == 8 && is_digits(text) {
        return Some((&text[..4], &text[4..6], &text[6..]));
    }
    let (year, month, day) = if let Some((year, rest)) = text.split_once('年') {
        let (month, day) = rest.split_once('月')?;
        (year, month, day.strip_suffix(['日', '号'])?)
    } else {
        let separator = text.chars().find(|next| matches!(next, '-' | '/' | '.'))?;
        let mut parts = text.split(separator);
        let all = (parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then_some(all)?
    };
    let (year, month, day) = (year.trim(), month.trim(), day.trim());
    let is_pair = |text: &str| is_digits(text) && text.len() <= 2;
    (is_digits(year) && year.len() == 4 && is_pair(month) && is_pair(day)).then_some((year, month, day))
}

/// The error for a date of another form.
fn foreign_date(text: &str) -> Option<String> {
    let (serial, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if serial.len() == 5 && is_digits(serial) && is_digits(fraction) {
        let day = serial.parse().ok().and_then(of_serial)?;
        return Some(tr!(
            "it looks like a spreadsheet's date number, perhaps {day}: format the column as a date and export again, or write it as 2026-11-22",
            "这像是电子表格的日期序号，也许是 {day}：把这一列设成日期格式再导出，或者写成 2026-11-22"
        ));
    }
    if ["长期", "永久", "无", "不限", "无限期", "永久有效", "长期有效", "never", "none", "n/a", "-", "--"]
        .contains(&text.to_lowercase().as_str())
    {
        return Some(
            tr("for no such day leave it empty; else write it as 2026-11-22", "没有期限就留空；有就写成 2026-11-22")
                .into(),
        );
    }
    let numbers: Vec<&str> =
        text.split(['-', '/', '.', ' ', '年', '月', '日', '号']).filter(|part| !part.is_empty()).collect();
    match numbers.as_slice() {
        [first, second, year]
            if numbers.iter().all(|part| is_digits(part))
                && year.len() == 4
                && first.len() <= 2
                && second.len() <= 2 =>
        {
            let is_day = |part: &str| part.parse().is_ok_and(|number: u8| number > 12);
            let sentence = if is_day(first) {
                tr("the day comes first", "日写在最前面")
            } else if is_day(second) {
                tr("the month comes first", "月写在最前面")
            } else {
                tr("the first number may be the day or the month", "最前面是日还是月，看不出来")
            };
            Some(tr!("{sentence}: write the year first, as 2026-11-22", "{sentence}：请先写年，如 2026-11-22"))
        }
        [_, _, _] if numbers.iter().all(|part| is_digits(part) && part.len() <= 2) => Some(
            tr("the year has two digits: write four, as 2026-11-22", "年份只有两位：请写四位，如 2026-11-22").into(),
        ),
        [year, _] if numbers.iter().all(|part| is_digits(part)) && year.len() == 4 => {
            Some(tr("the day is missing: write it as 2026-11-22", "缺了日：请写成 2026-11-22").into())
        }
        _ if text.bytes().filter(u8::is_ascii_alphabetic).count() >= 3
            && text.contains(|next: char| next.is_ascii_digit()) =>
        {
            Some(
                tr("the month is a word: write it as a number, as 2026-11-22", "月份写成了词：请写数字，如 2026-11-22")
                    .into(),
            )
        }
        _ => None,
    }
}

/// The day of a spreadsheet's date number, which counts from the 30th of December 1899; `None` if
/// it is implausible for a card.
fn of_serial(serial: i64) -> Option<Date> {
    const OF_1970: i64 = 25_569;
    const DAY_S: i64 = 86_400;
    let day = Civil((serial - OF_1970) * DAY_S).date();
    (1950..2200).contains(&day.year_month_day().0).then_some(day)
}

/// A name: half-width, in one line, not changed into a number by a spreadsheet.
pub(crate) fn name(text: &str) -> Result<Cow<'_, str>, String> {
    let text = plain(text);
    if let Some(sentence) = no_value(&text) {
        return Err(sentence);
    }
    if is_scientific(&text) {
        return Err(scientific());
    }
    if text.split_once('.').is_some_and(|(whole, fraction)| {
        is_digits(whole) && whole.len() > 4 && is_digits(fraction) && fraction.bytes().all(|byte| byte == b'0')
    }) {
        return Err(tr!("a number has no decimals here: {}", "这里的数没有小数：{}", as_text()));
    }
    if text.chars().any(char::is_control) {
        return Err(tr(
            "it holds a line end or control character: write it in one line",
            "里面有换行或控制字符：请写在一行里",
        )
        .into());
    }
    Ok(text)
}

/// Whether a spreadsheet may have rounded a long number: it keeps 15 digits and writes zeros for
/// the rest.
pub(crate) fn is_rounded(text: &str) -> bool {
    const DIGITS_KEPT: usize = 15;
    is_digits(text) && text.len() > DIGITS_KEPT + 1 && text[DIGITS_KEPT..].bytes().all(|byte| byte == b'0')
}
