//! When a notice is due: what of the servers' lists was shown, which of it may have changed, who waits to be told.
//!
//! Servers say that a list has changed as often as they like, some of them with every list they give, and a client
//! that hears of it asks for the list. So a notice is no message that is passed on: it is a flag. Raised again it is
//! still one flag, and it is taken down when the list has been read ([`view`]), or when its notice went out
//! ([`pace`]). Whatever is raised last is dealt with last, so the last change is never lost.
//!
//! Nothing here waits or reads: [`crate::router`] does, and sessions and listens keep these as their state.

pub(crate) mod board;
pub(crate) mod pace;
pub(crate) mod view;
