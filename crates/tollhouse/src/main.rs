//! (to be written)

#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the program does not read its configuration yet"))]
mod config;

fn main() {}
