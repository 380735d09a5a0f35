//! What a cell says: card numbers, amounts, dates, as offices and their spreadsheets write them.
//!
//! Digits may be full-width and carry a spreadsheet's mark of text (`'0088`); a value with one meaning is read, for any other the sentence says what it
//! looks like and what to write. No sentence holds a card's number or a PIN: [`shown`] hides them.

use std::borrow::Cow;

use crate::engine::model::{Balance, CardNo, Civil, Date, Money};
use crate::files::problem::shown;

/// Uses that an account can open with, owe, or get.
pub(crate) const USES_MAX: i32 = 9_999_999;

const AS_TEXT: &str = "format the column as text and enter it again";

/// Full-width forms of ASCII as half-width ones, and an ideographic blank as a blank: `８８` is what an input method makes of 88.
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

/// A number as a person sees it: half-width, one sort of minus, without a spreadsheet's mark of text.
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
    let bare = text.trim_start_matches(['\'', '’', '‘', '“']).trim_end_matches('”');
    if bare.len() == text.len() { text } else { Cow::Owned(bare.trim().to_owned()) }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether two neighbouring fields look like one amount with a comma for the thousands: `1` and `234.50`.
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

/// What a spreadsheet makes of a long number: `8.88889E+09`.
pub(crate) fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else {
        return false;
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    is_digits(whole) && is_digits(fraction) && exponent.strip_prefix('+').is_some_and(is_digits)
}

/// What a spreadsheet or a formula leaves in a cell instead of a value.
fn no_value(text: &str) -> Option<String> {
    const MISTAKES: [&str; 9] =
        ["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!"];
    if MISTAKES.contains(&text) || (!text.is_empty() && text.bytes().all(|byte| byte == b'#')) {
        return Some("it is a spreadsheet's mark of a mistake, or of a column that is too narrow: correct the formula, or widen the column, and export again".to_owned());
    }
    if text.starts_with('=') {
        return Some("it is a formula: export its value".to_owned());
    }
    None
}

fn scientific() -> String {
    format!("it is what a spreadsheet makes of a long number: {AS_TEXT}")
}

/// A card's number.
pub(crate) fn card(text: &str) -> Result<CardNo, String> {
    const WANTED: &str = "write the number as a terminal sends it, 1 to 10 digits";
    const FORMS: &str = "`posgate cards number TEXT` shows what it may be";
    let is_full_width = text.contains('，');
    let text = &*plain(text);
    if let Some(number) = CardNo::parse(text.as_bytes()) {
        if number.value() == 0 {
            return Err("no card has the number 0: write the card's own, or delete the row".into());
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
        return Err(format!("a card number has no decimals: {AS_TEXT}"));
    }
    if is_digits(text) {
        return Err(format!("more than 10 digits: {WANTED}"));
    }
    if text
        .split_once([',', ':', '-', '/', ' ', '，'])
        .filter(|(facility, number)| is_digits(facility) && is_digits(number))
        .is_some_and(|(facility, number)| is_wiegand(&format!("{facility:0>3}"), &format!("{number:0>5}")))
    {
        return Err(format!("it looks like a number as it is printed on a card, 077,30211: {WANTED}; {FORMS}"));
    }
    if is_full_width {
        return Err("the row is divided by full-width commas: write half-width ones".into());
    }
    if text.contains([';', '；', '\t', '|']) {
        return Err("the row is divided by another sign than the headings: divide both by the same".into());
    }
    if ["合计", "总计", "小计", "共计", "total", "sum"].iter().any(|word| text.to_lowercase().starts_with(word))
    {
        return Err("this row adds up the others: delete it".into());
    }
    let digits: String =
        text.chars().filter(|next| !matches!(next, ' ' | '\u{A0}' | ',' | '-' | '.' | '_' | '/')).collect();
    if is_digits(&digits) && !text.starts_with('-') {
        return Err(format!("something stands between its digits: {WANTED}, without blanks and signs"));
    }
    let hex: String = text.chars().filter(|next| !matches!(next, ' ' | ':' | '-')).collect();
    let hex = hex.strip_prefix("0x").or_else(|| hex.strip_prefix("0X")).unwrap_or(&hex);
    let hex = hex.strip_suffix(['h', 'H']).unwrap_or(hex);
    if hex.len() >= 4 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("it looks hexadecimal: {WANTED}; {FORMS}"));
    }
    Err(format!("{}: {WANTED}; {FORMS}", shown(text)))
}

/// An amount as a person sees it: `+5` and `.50` say what they mean.
fn plain_amount(text: &str) -> Cow<'_, str> {
    let text = plain(text);
    match text.strip_prefix('+').unwrap_or(&text) {
        bare if bare.starts_with('.') => Cow::Owned(format!("0{bare}")),
        bare if bare.len() < text.len() => Cow::Owned(bare.to_owned()),
        _ => text,
    }
}

/// Signed yuan, within what an order or an opening figure may be.
pub(crate) fn balance(text: &str) -> Result<Balance, String> {
    let text = &*plain_amount(text);
    let largest = Balance::from(Money::MAX);
    Balance::parse(text.as_bytes())
        .filter(|balance| (-largest..=largest).contains(balance))
        .ok_or_else(|| amount_wanted(text, "-9999999.99 to 9999999.99"))
}

/// Yuan, not below zero.
pub(crate) fn money(text: &str) -> Result<Money, String> {
    let text = &*plain_amount(text);
    Money::parse(text.as_bytes()).ok_or_else(|| amount_wanted(text, "0.00 to 9999999.99"))
}

/// What is said of a text that is no amount: what it looks like, and what to write.
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
        "a dash may be nothing or 0.00: write which, or leave it empty"
    } else if text.contains(['¥', '￥', '元', '圆', '块', '$', '€'])
        || text.to_ascii_uppercase().contains("RMB")
        || text.to_ascii_uppercase().contains("CNY")
    {
        "write it without a currency"
    } else if text.contains(['分', '角', '毛', '万', '千']) {
        "write yuan, without a unit"
    } else if text.contains('(') {
        "brackets mean below zero: write it with a minus in front"
    } else if decimal_comma {
        "it looks like a decimal comma: write a point"
    } else if text.contains([',', '，', '\'', '’', '_'])
        || (text.contains(char::is_whitespace) && text.contains(|next: char| next.is_ascii_digit()))
    {
        "write it without separators of thousands"
    } else if text.contains(['E', 'e']) {
        "format the column as a number with two decimals"
    } else if text.contains('%') {
        "format the column as a number with two decimals, not as a percentage"
    } else if text.ends_with('-') {
        "write the minus in front"
    } else if text.contains('。') || text.ends_with('.') {
        "write a point (.) with digits on both sides, or none"
    } else {
        "write yuan with at most two decimals"
    };
    format!("{}: {remedy}, from {bounds}, such as 12.50", shown(text))
}

/// A whole number of uses, below zero too.
pub(crate) fn uses(text: &str) -> Result<i32, String> {
    let text = &*plain(text);
    if let Some(sentence) = no_value(text) {
        return Err(sentence);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let value = is_digits(digits).then(|| text.parse().ok()).flatten();
    value
        .filter(|value| (-USES_MAX..=USES_MAX).contains(value))
        .ok_or_else(|| format!("{}: write a whole number of uses, at most {USES_MAX}, such as 20", shown(text)))
}

/// A day: `2026-11-22`, `2026/11/22`, `2026.11.22`, `2026年11月22日` (spreadsheets leave zeros out), `20261122`, each with a midnight time or without
/// one.
pub(crate) fn date(text: &str) -> Result<Date, String> {
    let text = &*plain(text);
    let wanted = || format!("{}: write a date of the calendar as 2026-11-22 or 2026/11/22", shown(text));
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
            return Err(
                "it holds a time of day: write the day alone, the first or the last that counts, as 2026-11-22".into(),
            );
        }
    } else if !time.is_empty() {
        return Err(wanted());
    }
    if let Some((year, month, day)) = parts(day) {
        return Date::parse(format!("{year}-{month:0>2}-{day:0>2}").as_bytes()).ok_or_else(wanted);
    }
    Err(foreign_date(day).unwrap_or_else(wanted))
}

/// Year, month and day, where the year comes first.
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

/// What a date of another kind looks like.
fn foreign_date(text: &str) -> Option<String> {
    let (serial, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if serial.len() == 5 && is_digits(serial) && is_digits(fraction) {
        let day = serial.parse().ok().and_then(of_serial)?;
        return Some(format!(
            "it looks like a spreadsheet's number of a date, perhaps {day}: format the column as a date and export again, or write it as 2026-11-22"
        ));
    }
    if ["长期", "永久", "无", "不限", "无限期", "永久有效", "长期有效", "never", "none", "n/a", "-", "--"]
        .contains(&text.to_lowercase().as_str())
    {
        return Some("for no such day leave it empty; else write it as 2026-11-22".into());
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
                "the day stands first"
            } else if is_day(second) {
                "the month stands first"
            } else {
                "the day or the month stands first, and which of them cannot be told"
            };
            Some(format!("{sentence}: write the year first, as 2026-11-22"))
        }
        [_, _, _] if numbers.iter().all(|part| is_digits(part) && part.len() <= 2) => {
            Some("the year has two digits: write four, as 2026-11-22".into())
        }
        [year, _] if numbers.iter().all(|part| is_digits(part)) && year.len() == 4 => {
            Some("the day is missing: write it as 2026-11-22".into())
        }
        _ if text.bytes().filter(u8::is_ascii_alphabetic).count() >= 3
            && text.contains(|next: char| next.is_ascii_digit()) =>
        {
            Some("the month is a word: write it as a number, as 2026-11-22".into())
        }
        _ => None,
    }
}

/// The day of a spreadsheet's number, which counts from the 30th of December 1899; `None` if no card is of that time.
fn of_serial(serial: i64) -> Option<Date> {
    const OF_1970: i64 = 25_569;
    const DAY_S: i64 = 86_400;
    let day = Civil((serial - OF_1970) * DAY_S).date();
    (1950..2200).contains(&day.year_month_day().0).then_some(day)
}

/// A text that is a name: half-width, in one line, not turned into a number.
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
        return Err(format!("a number has no decimals here: {AS_TEXT}"));
    }
    if text.chars().any(char::is_control) {
        return Err("it holds a line end or control character: write it in one line".into());
    }
    Ok(text)
}

/// Whether a spreadsheet may have rounded a long number: it keeps 15 digits and writes zeros for the rest.
pub(crate) fn is_rounded(text: &str) -> bool {
    const DIGITS_KEPT: usize = 15;
    is_digits(text) && text.len() > DIGITS_KEPT + 1 && text[DIGITS_KEPT..].bytes().all(|byte| byte == b'0')
}
