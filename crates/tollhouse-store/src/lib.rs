//! What must survive of calls: kept, summed up, found again.
//!
//! A finished call becomes a [`Call`], a plain value. A [`Store`] takes them in batches and never lets anybody wait:
//! what does not fit is dropped and counted. It keeps them in an engine, of which there are two: files of SQLite, and
//! memory for tests. Both keep the same promises, which stand as cases in [`conformance`].
//!
//! - What was appended is visible to every question within a second, and survives the end of the process. A power cut
//!   may lose the last calls, never damage the rest.
//! - Sums (calls, errors, percentiles over time) are kept per minute as calls come in; no question about them reads
//!   single calls.
//! - Everything has a limit: files are given up oldest first, by age and by the room they take.
//!
//! Modules stand in the order a call travels; each uses only those below it.

mod store;
pub mod sqlite;
pub mod memory;
pub mod conformance;
pub mod engine;
mod figures;
pub mod roll;
pub mod question;
pub mod event;
pub mod call;

pub use call::{Call, Leg, Sending};
pub use engine::Error;
pub use event::Event;
pub use store::{Counts, Options, Store};
