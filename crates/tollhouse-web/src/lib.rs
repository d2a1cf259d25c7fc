//! The admin listener of Tollhouse: what an operator, a probe or a supervisor may ask the program itself.
//!
//! It has its own address, apart from the one agents use, so that a firewall can tell them apart and a full data
//! plane does not silence its own alarm. It knows nothing of the path of a call: what it shows comes through
//! [`Health`] as a plain value, or from the store as [`Recorded`].
//!
//! Modules stand in the order a request meets them: the door, then the page.

mod server;
mod login;
mod pages;
mod events;

pub mod front_door;
pub mod api;
mod feed;
pub mod health;
pub mod settings;
mod charts;
mod tree;
pub mod usage;

pub use api::Recorded;
pub use health::{Health, Losses, Phase, Reload, Reloads, Report, Server, Snapshot, State, Status, Taken};
pub use login::Login;
pub use server::{Error, Figures, Shown, serve};
pub use settings::{Origin, Setting, Settings};
