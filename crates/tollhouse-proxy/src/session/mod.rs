//! Whose call it is: the era of a request, the conversation it belongs to, and the state of legacy sessions.

pub(crate) mod bell;
pub(crate) mod changes;
pub(crate) mod era;
pub(crate) mod identify;
pub(crate) mod lent;

pub(crate) mod legacy;
pub(crate) mod mailbox;
pub(crate) mod outbox;
pub(crate) mod streams;
