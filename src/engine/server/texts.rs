//! Fills in the displays' texts.

use crate::engine::limits::TEXT_LEN_MAX;
use crate::engine::model::Figures;
use crate::engine::model::digits::Decimal;
use crate::engine::model::rules::{Piece, Template, Texts, Variable};

/// A text in GBK, ready for a reply.
pub(super) type DisplayLine = heapless::Vec<u8, { 2 * TEXT_LEN_MAX }>;

/// The values of the variables; texts are GBK.
#[derive(Clone, Copy, Default)]
pub(super) struct Values<'a> {
    pub(super) name: &'a [u8],
    pub(super) card: &'a [u8],
    pub(super) figures: Figures,
    pub(super) amount: &'a [u8],
    pub(super) reason: &'a [u8],
    pub(super) device: &'a [u8],
}

/// Fills in a template at the end of a line and cuts it to the line's room; the reply cuts it to
/// its own limit later. In place, because a line that is returned is copied with all of its room.
pub(super) fn fill(line: &mut DisplayLine, template: &Template, values: &Values) {
    for piece in &template.0 {
        let number;
        let text = match piece {
            Piece::Literal(text) => text.as_slice(),
            Piece::Variable(Variable::Name) => values.name,
            Piece::Variable(Variable::Card) => values.card,
            Piece::Variable(Variable::Amount) => values.amount,
            Piece::Variable(Variable::Reason) => values.reason,
            Piece::Variable(Variable::Device) => values.device,
            Piece::Variable(Variable::Balance) => {
                number = Decimal::yuan(values.figures.money().fen());
                number.as_bytes()
            }
            Piece::Variable(Variable::Cash) => {
                number = Decimal::yuan(values.figures.balance.fen());
                number.as_bytes()
            }
            Piece::Variable(Variable::Subsidy) => {
                number = Decimal::yuan(values.figures.subsidy.fen());
                number.as_bytes()
            }
            Piece::Variable(Variable::Uses) => {
                number = Decimal::signed(i64::from(values.figures.uses));
                number.as_bytes()
            }
        };
        let room = line.capacity() - line.len();
        let len = crate::engine::gbk::cut(text, room.min(text.len()));
        line.extend_from_slice(&text[..len]).expect("it was cut to the room that is left");
    }
}

/// The longest that a text can get, in bytes of GBK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Longest {
    /// The name of its option in `config text`.
    pub key: &'static str,
    /// Bytes, more than [`TEXT_LEN_MAX`]: displays do not show all of them.
    pub len: usize,
}

/// The texts that displays would cut with this holder's name and this device's name, both in GBK.
pub fn overlong(texts: &Texts, name: &[u8], device: &[u8]) -> Vec<Longest> {
    let worst = texts.reasons.iter().map(Vec::len).fold(texts.card_ok.len(), usize::max);
    let good = texts.card_ok.len();
    let all = [
        ("charge_ok", &texts.charge_ok, good),
        ("meal_ok", &texts.meal_ok, good),
        ("scan_ok", &texts.scan_ok, good),
        ("inquiry", &texts.inquiry, worst),
        ("declined", &texts.declined, worst),
        ("admitted", &texts.admitted, good),
        ("refused", &texts.refused, worst),
    ];
    let len_of = |piece: &Piece, reason: usize| match piece {
        Piece::Literal(text) => text.len(),
        Piece::Variable(Variable::Name) => name.len(),
        Piece::Variable(Variable::Device) => device.len(),
        Piece::Variable(Variable::Reason) => reason,
        Piece::Variable(Variable::Card) => "8888888888".len(),
        Piece::Variable(Variable::Amount) => "9999999.99".len(),
        Piece::Variable(Variable::Balance | Variable::Cash | Variable::Subsidy) => "-9999999.99".len(),
        Piece::Variable(Variable::Uses) => "-999999".len(),
    };
    let longest = all.map(|(key, template, reason)| Longest {
        key,
        len: template.0.iter().map(|piece| len_of(piece, reason)).sum(),
    });
    longest.into_iter().filter(|text| text.len > TEXT_LEN_MAX).collect()
}
