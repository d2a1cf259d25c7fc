//! Towards the clients: bytes in, capped and checked; messages out.

mod body;
mod duplex;
mod front_door;
pub(crate) mod http;
mod sse;
pub(crate) mod stdio;
