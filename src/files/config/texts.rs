//! Display texts: from `$name {$balance}\n` to pieces that a reply fills in (design.md, section 6).
//!
//! Literals are GBK from here on. A text may hold no comma, which would divide the frame's fields,
//! and no line end, which would not break a display's line. `\n` as two bytes is the display's line
//! break, and braces have a meaning for it: both stay unchanged.

use crate::engine::gbk;
use crate::engine::limits::TEXT_LEN_MAX;
use crate::engine::model::rules::{Piece, Template, Variable};
use crate::lang::tr;

const VARIABLES: &[(&str, Variable)] = &[
    ("name", Variable::Name),
    ("card", Variable::Card),
    ("balance", Variable::Balance),
    ("cash", Variable::Cash),
    ("subsidy", Variable::Subsidy),
    ("uses", Variable::Uses),
    ("amount", Variable::Amount),
    ("reason", Variable::Reason),
    ("device", Variable::Device),
];

/// A text with variables; else what to write instead.
pub(super) fn template(text: &str) -> Result<Template, String> {
    check_plain(text)?;
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        literal.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            literal.push('$');
            rest = after;
            continue;
        }
        let len = rest.find(|next: char| !next.is_ascii_alphanumeric() && next != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(len);
        let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == word) else {
            let known: Vec<String> = VARIABLES.iter().map(|(known, _)| format!("${known}")).collect();
            return Err(tr!(
                "unknown variable ${word}: write one of {}, or $$ for a dollar",
                "没有 ${word} 这个变量：请写 {} 之一；美元符号写 $$",
                known.join(" ")
            ));
        };
        push_literal(&mut pieces, &mut literal);
        pieces.push(Piece::Variable(*variable));
        rest = after;
    }
    literal.push_str(rest);
    push_literal(&mut pieces, &mut literal);
    let len: usize = pieces.iter().map(|piece| if let Piece::Literal(bytes) = piece { bytes.len() } else { 0 }).sum();
    check_len(len)?;
    Ok(Template(pieces))
}

/// Words without variables, as GBK; else what to write instead.
pub(super) fn words(text: &str) -> Result<Vec<u8>, String> {
    check_plain(text)?;
    let encoded = gbk::encode(text);
    check_len(encoded.len())?;
    Ok(encoded)
}

/// Characters that the displays' character set lacks.
pub(super) fn missing_characters(text: &str) -> String {
    let is_missing = |character: &char| *character != '?' && gbk::encode(character.encode_utf8(&mut [0; 4])) == b"?";
    text.chars().filter(is_missing).collect()
}

fn check_plain(text: &str) -> Result<(), String> {
    if text.contains(',') {
        return Err(tr(
            "a comma would divide the frame: write ， or a blank instead",
            "半角逗号会把报文切开：请写 ， 或空格",
        )
        .into());
    }
    if text.chars().any(char::is_control) {
        return Err(tr(
            r"a text is one line: write \n for a line break of the display",
            r"文字要写在一行里：显示屏换行处请写 \n",
        )
        .into());
    }
    Ok(())
}

fn check_len(len: usize) -> Result<(), String> {
    if len > TEXT_LEN_MAX {
        return Err(tr!(
            "{len} bytes of GBK are too long for a display: write at most {TEXT_LEN_MAX}",
            "GBK 有 {len} 字节，显示屏放不下：至多写 {TEXT_LEN_MAX}"
        ));
    }
    Ok(())
}

fn push_literal(pieces: &mut Vec<Piece>, literal: &mut String) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(gbk::encode(literal)));
        literal.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Piece {
        Piece::Literal(gbk::encode(text))
    }

    #[test]
    fn a_text_is_cut_into_literals_and_variables() {
        assert_eq!(
            template(r"姓名:$name {$balance}\n").expect("a text").0,
            [
                literal("姓名:"),
                Piece::Variable(Variable::Name),
                literal(" {"),
                Piece::Variable(Variable::Balance),
                literal(r"}\n")
            ]
        );
        assert_eq!(
            template("$amount元 $$5 $$").expect("a text").0,
            [Piece::Variable(Variable::Amount), literal("元 $5 $")]
        );
        assert_eq!(template("").expect("a text").0, []);
    }

    #[test]
    fn an_unknown_variable_lists_the_known_ones() {
        for text in ["$nam", "$", "a$ b", "$name_x", "$余额"] {
            let message = template(text).expect_err(text);
            assert!(message.contains("$name $card $balance $cash $subsidy $uses $amount $reason $device"), "{message}");
        }
    }

    #[test]
    fn a_text_that_would_break_the_frame_is_refused() {
        for text in ["a,b", "a\nb", "a\rb", "a\tb"] {
            assert!(template(text).is_err(), "{text:?}");
            assert!(words(text).is_err(), "{text:?}");
        }
        assert!(template("全角，可以").is_ok());
        assert!(template(&"长".repeat(TEXT_LEN_MAX / 2)).is_ok());
        assert!(template(&"长".repeat(TEXT_LEN_MAX / 2 + 1)).is_err());
    }

    #[test]
    fn characters_outside_gbk_are_found() {
        assert_eq!(missing_characters("张三?😀€"), "😀€");
    }
}
