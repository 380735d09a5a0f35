//! Reads and writes the comma-separated fields of a datagram (protocol.md, *Transport*).
//!
//! 0x2C never occurs inside a GBK character, and no byte of a character is an ASCII blank, so
//! splitting and trimming happen on bytes, before anything is decoded.

use core::fmt::{Display, Write as _};

use heapless::Vec;

use crate::engine::model::digits::fill;

/// The fields of a frame that were not taken yet, each trimmed of ASCII blanks.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    /// `None` after the last field was taken; an empty slice is one empty field.
    rest: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// All fields of a datagram. Some firmware sends NUL, CR, LF or blanks after the last field;
    /// they are dropped.
    pub(super) fn of(datagram: &'a [u8]) -> Self {
        let mut frame = datagram;
        while let [before @ .., 0 | b'\r' | b'\n' | b' ' | b'\t'] = frame {
            frame = before;
        }
        Self { rest: Some(frame) }
    }

    /// All remaining fields as one slice with its commas, trimmed; `None` if none remains.
    pub(super) fn take_rest(&mut self) -> Option<&'a [u8]> {
        self.take_raw().map(trim)
    }

    /// All remaining fields as one slice with its commas, not trimmed; `None` if none remains.
    pub(super) fn take_raw(&mut self) -> Option<&'a [u8]> {
        self.rest.take()
    }

    /// Whether all fields were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_none()
    }

    /// Takes the last remaining field.
    pub(super) fn next_back(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let Some(comma) = rest.iter().rposition(|byte| *byte == b',') else {
            return Some(trim(rest));
        };
        self.rest = Some(&rest[..comma]);
        Some(trim(&rest[comma + 1..]))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let Some(comma) = rest.iter().position(|byte| *byte == b',') else {
            return Some(trim(rest));
        };
        self.rest = Some(&rest[comma + 1..]);
        Some(trim(&rest[..comma]))
    }
}

/// Removes ASCII blanks around a field. Nearly all fields have none: the first arm is the fast
/// path.
fn trim(field: &[u8]) -> &[u8] {
    match field {
        [first, .., last] if *first > b' ' && *last > b' ' => field,
        _ => field.trim_ascii(),
    }
}

/// Appends a frame to a buffer, field by field. Either the whole frame is appended or nothing.
pub(super) struct FrameWriter<'o, const N: usize> {
    out: &'o mut Vec<u8, N>,
    start: usize,
    fits: bool,
}

impl<'o, const N: usize> FrameWriter<'o, N> {
    /// Begins with the code, three digits wide.
    pub(super) fn begin(out: &'o mut Vec<u8, N>, code: u16) -> Self {
        let start = out.len();
        let mut digits = [0; 3];
        fill(&mut digits, u32::from(code));
        let fits = out.extend_from_slice(&digits).is_ok();
        Self { out, start, fits }
    }

    /// Bytes of this frame so far.
    pub(super) fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Adds a comma and the bytes.
    pub(super) fn field(mut self, bytes: &[u8]) -> Self {
        self.fits = self.fits && self.out.push(b',').is_ok() && self.out.extend_from_slice(bytes).is_ok();
        self
    }

    /// Adds a comma and the value as text.
    pub(super) fn number(mut self, value: impl Display) -> Self {
        self.fits = self.fits && self.out.push(b',').is_ok() && write!(self.out, "{value}").is_ok();
        self
    }

    /// Ends the frame. If a part did not fit, restores the buffer.
    pub(super) fn end(self) {
        if !self.fits {
            self.out.truncate(self.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_around_fields_and_line_ends_after_the_last_are_dropped() {
        let mut fields = Fields::of(b" a , b\t,,c d \r\n\0");
        assert_eq!(fields.clone().count(), 4);
        assert_eq!(fields.next(), Some(&b"a"[..]));
        assert_eq!(fields.next_back(), Some(&b"c d"[..]));
        assert_eq!(fields.clone().take_rest(), Some(&b"b\t,"[..]));
        assert_eq!(fields.next(), Some(&b"b"[..]));
        assert_eq!(fields.next(), Some(&b""[..]));
        assert_eq!(fields.next(), None);
    }

    #[test]
    fn a_frame_that_does_not_fit_leaves_the_buffer_as_it_was() {
        let mut out = Vec::<u8, 12>::new();
        FrameWriter::begin(&mut out, 1).field(b"00009").end();
        assert_eq!(out, b"001,00009");
        FrameWriter::begin(&mut out, 1).field(b"00010").end();
        assert_eq!(out, b"001,00009");
        FrameWriter::begin(&mut out, 2).end();
        assert_eq!(out, b"001,00009002");
    }
}
