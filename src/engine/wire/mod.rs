//! The terminals' protocol: datagrams to requests, replies to datagrams (protocol.md).
//!
//! Datagrams are parsed here and nowhere else: other modules see no commas and no raw digits,
//! except in fields that a reply echoes as received. Every message has one type, one parser, one
//! emitter and one vector (`tests/vectors`), in the order of the specification. Each message has
//! both directions: the server parses requests and emits replies; virtual devices and tests emit
//! requests and parse replies.
//!
//! *Invariants:*
//! - No parser or emitter panics, whatever the bytes, and none allocates.
//! - An emitter never writes beyond its buffer: it cuts a text on a character boundary; if the
//!   message still does not fit, the buffer stays as it was.
//! - `parse` reads what `emit` writes as the same value. `emit` writes what `parse` read as the
//!   same bytes if the datagram had no blanks around fields and no fields that `parse` skips.

mod fields;
pub mod reply;
pub mod request;

pub use reply::{Buffer, INVALID_TIME, Reply, ReplyCode};
pub use request::{
    Access, Amount, Body, Code, CountedIn, DeviceFrame, Found, Malformed, NotAFrame, OfflineSale, PinKind, Request,
    RequestNo, parse,
};
pub(crate) use request::{Keyed, parse_knowing};
