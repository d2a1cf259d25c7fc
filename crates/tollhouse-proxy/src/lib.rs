//! The data plane of Tollhouse: the path of a call.
//!
//! Modules stand in the order a call travels; each uses only modules listed below it. A call arrives in
//! `downstream`, `dispatch` finds out who answers it, with `router` where several servers stand behind one path;
//! `exchange` sends it to one of the servers in [`upstream`] and waits, and it comes back through the same functions.
//! Whatever became of it leaves through [`record`] as one value. `gateway` is what all calls share.

pub mod handle;

mod reload;
mod downstream;
mod dispatch;
mod router;
mod exchange;
mod crossing;
mod links;
mod gateway;
mod fleet;
mod names;
mod seal;
mod follow_ups;
mod session;
mod notices;
mod kinds;
pub mod upstream;
mod mirrored;
pub mod definitions;
mod arguments;
pub mod record;
pub mod losses;
pub mod tally;
mod answer;
mod call;
mod traced;
mod asked_back;
mod meta;
mod clocks;
mod failure;
mod log_level;

pub mod settings;
pub mod retry;

pub use handle::Handle;
