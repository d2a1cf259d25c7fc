//! The bytes of MCP: what is found in them, and the few places where they are changed.

pub mod header;
pub mod sse;
