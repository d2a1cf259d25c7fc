//! How a thing is called at the endpoint of all servers.
//!
//! Model APIs refuse long names, so a name is cut at a limit, and what was cut is told apart by a hash of the whole. A
//! name that is taken by another thing gets a hash too, of its own: two things never share a name.

use std::borrow::Cow;

use tollhouse_core::ids::ServerId;

use super::Kind;
use crate::settings::{Naming, Prefix};

/// `_` and eight hexadecimal digits.
const HASH: usize = 9;
/// Hashes that are tried. So many things with one hash are somebody's intent; the rest is left out.
const TRIES: u32 = 64;

/// Which names are exposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exposure {
    /// As the server has it, to the letter. Of two servers the first keeps it, the other's is left out.
    Verbatim,
    /// Under the server's id.
    Prefixed,
    /// Under the server's id where two servers have it, else as the server has it.
    OnCollision,
    /// As the server has it, cut. Of two servers the first keeps it, the other's is left out.
    Bare,
}

impl Exposure {
    /// How things of this kind are exposed. What is found by URI keeps it: others may refer to it.
    pub(super) const fn of(kind: Kind, naming: Naming) -> Self {
        match (kind, naming.prefix) {
            (Kind::Resource | Kind::Template, _) => Self::Verbatim,
            (Kind::Tool | Kind::Prompt, Prefix::Conditional | Prefix::Always) => Self::Prefixed,
            (Kind::Tool | Kind::Prompt, Prefix::OnCollision) => Self::OnCollision,
            (Kind::Tool | Kind::Prompt, Prefix::Never) => Self::Bare,
        }
    }

    /// The name of what `server` calls `local`, as far as it is `free`. `shared`: another server has the same.
    pub(super) fn name(
        self,
        server: &ServerId,
        local: &str,
        shared: bool,
        max: usize,
        free: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let prefixed = || format!("{server}__{local}");
        let whole = match self {
            Self::Verbatim => return free(local).then(|| local.to_owned()),
            Self::Bare => {
                let name = cut(local, max);
                // Taken by the same name of another server; a different one that was cut alike has the same hash.
                return free(&name).then(|| name.into_owned());
            }
            Self::Prefixed => prefixed(),
            Self::OnCollision if shared => prefixed(),
            Self::OnCollision => {
                let name = cut(local, max);
                if free(&name) {
                    return Some(name.into_owned());
                }
                prefixed()
            }
        };
        let name = cut(&whole, max);
        if free(&name) {
            return Some(name.into_owned());
        }
        (0..TRIES).map(|round| hashed(&whole, max, round)).find(|name| free(name))
    }
}

/// `whole`, or as much of it as fits before its hash.
fn cut(whole: &str, max: usize) -> Cow<'_, str> {
    if whole.len() <= max { Cow::Borrowed(whole) } else { Cow::Owned(hashed(whole, max, 0)) }
}

/// The beginning of `whole` and a hash of all of it, another one in each round.
fn hashed(whole: &str, max: usize, round: u32) -> String {
    let (kept, _) = whole.split_at(whole.floor_char_boundary(max.saturating_sub(HASH)));
    format!("{kept}_{:08x}", fnv(whole.as_bytes()).wrapping_add(round))
}

/// FNV-1a (Fowler, Noll, Vo), 32 bits: the same in every process and version.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
