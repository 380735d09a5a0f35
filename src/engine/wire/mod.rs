//! The terminals' protocol: datagrams to requests, replies to datagrams (protocol.md).
//!
//! Parsed once, here: past this module there are no commas and no raw digits, except what is echoed
//! as it was received. Every message has one type, one parser, one emitter and one vector
//! (`tests/vectors`), in the order of the specification. Both directions stand here for both ends:
//! the server parses requests and emits replies, virtual devices and tests do the opposite.
//!
//! What always holds:
//! - no bytes make a parser or an emitter panic, and neither allocates;
//! - nothing is written beyond a buffer: a text is cut on a character boundary, and what still does
//!   not fit leaves the buffer as it was;
//! - what `emit` writes, `parse` reads back as the same value. The opposite holds for bytes in the
//!   form that `emit` writes: without blanks around fields and without fields that nobody reads.

mod fields;
pub mod reply;
pub mod request;

pub use reply::{Buffer, INVALID_TIME, Reply, ReplyCode};
pub(crate) use request::parse_knowing;
pub use request::{
    Access, Amount, Body, Code, CountedIn, DeviceFrame, Found, Keyed, Malformed, NotAFrame, OfflineSale, PinKind,
    Request, RequestNo, parse,
};
