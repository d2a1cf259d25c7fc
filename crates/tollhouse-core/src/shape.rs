//! The shape of a JSON value: keys, types and lengths, never values.
