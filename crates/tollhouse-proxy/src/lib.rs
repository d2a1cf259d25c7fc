//! The data plane of Tollhouse: the path of a call.
//!
//! Modules stand in the order a call travels; each uses only modules listed below it. A call arrives in
//! [`downstream`], is sorted out by [`dispatch`] with what [`session`] and [`router`] know, is sent and awaited in
//! [`exchange`] over one of the [`upstream`]s, and comes back through the same functions. Whatever became of it
//! leaves through [`record`] as one value.

pub mod handle;

mod downstream;
mod router;
mod dispatch;
mod exchange;
mod gateway;
mod session;
pub mod upstream;
pub mod record;
mod answer;
mod call;
mod meta;
mod clocks;
mod failure;

pub mod settings;

pub use handle::Handle;
