//! Towards the clients: bytes in, capped and checked; messages out.

mod body;
mod front_door;
pub(crate) mod http;
pub(crate) mod stdio;
