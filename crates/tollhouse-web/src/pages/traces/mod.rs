//! `/traces`: where the time went. A list to search in, and one trace as a waterfall over all the servers it reached.
//!
//! The list looks at the newest calls that are wanted, a bounded number of them, and shows the traces they belong to; where it ends early, it says so
//! and where to go on.

mod list;
mod one;
mod row;

pub(super) use list::page as list;
pub(super) use one::page as one;

use tollhouse_core::trace::Hex;
use tollhouse_store::Call;

use super::text::{count, millis, seen};
use crate::charts::{Stretch, Svg, lanes};

/// Calls of one trace that are read.
const CALLS_MAX: usize = 5000;
/// Calls that the small picture of a trace shows.
const PICTURED: usize = 60;

/// A trace id as it is written.
fn parsed(id: &str) -> Option<[u8; 16]> {
    let hexadecimal = id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    hexadecimal.then(|| u128::from_str_radix(id, 16).ok()).flatten().map(u128::to_be_bytes)
}

/// The calls of a trace, summed up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Summary {
    id: String,
    from_us: u64,
    long_us: u64,
    calls: usize,
    failed: usize,
    servers: Vec<String>,
    client: Option<String>,
    /// The first calls by name.
    names: String,
    picture: Svg,
}

impl Summary {
    /// `calls` are in order of their arrival and not empty.
    fn of(id: [u8; 16], calls: &[Call]) -> Self {
        let from_us = calls.iter().map(|call| call.at_us).min().unwrap_or_default();
        let to_us = calls.iter().map(Call::ended_us).max().unwrap_or_default();
        let failed = calls.iter().filter(|call| call.failed()).count();
        let mut servers: Vec<String> = calls.iter().flat_map(Call::servers).map(seen).collect();
        servers.sort_unstable();
        servers.dedup();
        let mut names: Vec<&str> = Vec::new();
        for name in calls.iter().map(|call| call.name.as_deref().unwrap_or(&call.method)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let more = names.len().saturating_sub(3);
        let mut text = names.iter().take(3).map(|name| seen(name)).collect::<Vec<_>>().join(", ");
        if more > 0 {
            text = format!("{text} and {more} more");
        }
        let stretches: Vec<Stretch> = calls.iter().take(PICTURED).map(stretch).collect();
        let title = format!("{} calls, {} failed", count(calls.len() as u64), count(failed as u64));
        Self {
            id: Hex(&id).to_string(),
            from_us,
            long_us: to_us.saturating_sub(from_us),
            calls: calls.len(),
            failed,
            servers,
            client: calls.iter().find_map(|call| call.client.as_deref()).map(seen),
            names: text,
            picture: lanes(&title, [from_us, to_us], &stretches).svg,
        }
    }
}

/// A call as a stretch of time.
pub(super) fn stretch(call: &Call) -> Stretch {
    let name = call.name.as_deref().unwrap_or(&call.method);
    let server = call.server.as_deref().unwrap_or("the gateway");
    Stretch {
        from_us: call.at_us,
        to_us: call.ended_us(),
        class: if call.failed() { "call bad" } else { "call" },
        title: format!("{name} at {server}: {}, {} ms", call.outcome, millis(call.total_us)),
    }
}
