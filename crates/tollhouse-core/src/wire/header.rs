//! The HTTP headers that mirror a call.
