//! Reads and writes the comma-separated fields of a datagram (protocol.md, *Transport*).
//!
//! 0x2C never occurs inside a GBK character, and no byte of a character is an ASCII blank, so
//! splitting and trimming happen on bytes, before anything is decoded.

use core::fmt::{self, Display, Write as _};

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

/// Writes a frame at the beginning of a buffer, field by field. Bytes, because a `heapless::Vec`
/// takes a slice byte by byte.
pub(super) struct FrameWriter<'o> {
    out: &'o mut [u8],
    len: usize,
    fits: bool,
}

impl<'o> FrameWriter<'o> {
    /// Begins with the code, three digits wide.
    pub(super) fn begin(out: &'o mut [u8], code: u16) -> Self {
        let mut digits = [0; 3];
        fill(&mut digits, u32::from(code));
        let mut frame = Self { out, len: 0, fits: true };
        frame.put(&digits);
        frame
    }

    /// Bytes of this frame so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.out.get_mut(self.len..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len = end;
            }
            None => self.fits = false,
        }
    }

    /// Adds a comma and the bytes.
    pub(super) fn field(mut self, bytes: &[u8]) -> Self {
        self.put(b",");
        self.put(bytes);
        self
    }

    /// Adds a comma and the value as text.
    pub(super) fn number(mut self, value: impl Display) -> Self {
        self.put(b",");
        // What does not fit is noted by `put`.
        let _ = write!(self, "{value}");
        self
    }

    /// Ends the frame: its length; 0 if a part did not fit.
    pub(super) fn end(self) -> usize {
        if self.fits { self.len } else { 0 }
    }
}

impl fmt::Write for FrameWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// Appends the frame that `write` writes at the beginning of the room that it gets. If it does not
/// fit, `out` stays as it was.
pub(super) fn append<const N: usize>(out: &mut Vec<u8, N>, write: impl FnOnce(&mut [u8]) -> usize) {
    let mut frame = [0; N];
    let room = N - out.len();
    let len = write(&mut frame[..room]);
    out.extend_from_slice(&frame[..len]).expect("it had the room that is left");
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
        append(&mut out, |room| FrameWriter::begin(room, 1).field(b"00009").end());
        assert_eq!(out, b"001,00009");
        append(&mut out, |room| FrameWriter::begin(room, 1).field(b"00010").end());
        append(&mut out, |room| FrameWriter::begin(room, 1).number("0").end());
        assert_eq!(out, b"001,00009");
        append(&mut out, |room| FrameWriter::begin(room, 2).end());
        assert_eq!(out, b"001,00009002");
    }
}
