//! The bytes of MCP: what is found in them, and the few places where they are changed.
//!
//! A message is never parsed into a tree and written out again: typed models lose fields, change `1` into `1.0`
//! and cost more than everything else a gateway does. Instead the received bytes are validated once ([`scan`]),
//! the members the gateway reads are remembered as spans of those bytes ([`envelope`]), and what must differ is
//! cut in ([`splice`]). Everything else leaves bit-identical.

pub mod envelope;
pub mod sse;

pub mod header;
pub mod method;

pub mod scan;
pub mod splice;

pub mod members;
mod plain;

pub use envelope::{Envelope, EnvelopeError, Form};
pub use members::{Members, Span};
