//! A legacy client before a server that knows no sessions.
