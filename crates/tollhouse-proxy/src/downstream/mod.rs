//! Towards the clients: bytes in, capped and checked; messages out.

pub(crate) mod listener;
mod connection;
mod http2;
mod http;
mod sse;
pub(crate) mod stdio;
mod duplex;
mod body;
mod front_door;
mod outbox;
mod socket;
