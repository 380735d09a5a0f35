//! Filling in the displays' texts.

use crate::book::Figures;
use crate::limits::TEXT_LEN_MAX;
use crate::model::digits::Decimal;
use crate::model::rules::{Piece, Template, Variable};

/// A text in GBK, ready for a reply.
pub(super) type Line = heapless::Vec<u8, { 2 * TEXT_LEN_MAX }>;

/// What the variables stand for; texts in GBK.
#[derive(Clone, Copy, Default)]
pub(super) struct Values<'a> {
    pub(super) name: &'a [u8],
    pub(super) card: &'a [u8],
    pub(super) figures: Figures,
    pub(super) amount: &'a [u8],
    pub(super) reason: &'a [u8],
    pub(super) device: &'a [u8],
}

/// Fills in a template. What goes beyond the buffer is left out; the reply is cut to its own limit later.
pub(super) fn fill(template: &Template, values: &Values) -> Line {
    let mut line = Line::new();
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
                number = Decimal::yuan(values.figures.balance.fen());
                number.as_bytes()
            }
            Piece::Variable(Variable::Uses) => {
                number = Decimal::signed(i64::from(values.figures.uses));
                number.as_bytes()
            }
        };
        let room = line.capacity() - line.len();
        let len = crate::gbk::cut(text, room.min(text.len()));
        line.extend_from_slice(&text[..len]).expect("it was cut to the room left");
    }
    line
}
