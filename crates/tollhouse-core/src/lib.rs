//! The vocabulary of Tollhouse: what arrives, what a call is, what remains of it.
//!
//! No I/O, no tasks, no async runtime: everything here is a value or a function of values, so that every
//! other crate may use it and none drags anything in through it. Modules stand in the order a call meets them;
//! each uses only modules listed below it.

pub mod record;

pub mod era;
pub mod context;
pub mod fault;
pub mod histogram;
pub mod ids;
pub mod redact;
pub mod shape;
pub mod sketch;
pub mod trace;
pub mod wire;

pub mod clock;
pub mod units;
