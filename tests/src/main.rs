//! The whole gateway, driven through its binary against upstreams that misbehave on purpose.
//!
//! A test is named by the row of the acceptance tables it shows (`a_22_…`); tests without a row show what the rows
//! take for granted. Every test ends with [`Gateway::ends_well`](gateway::Gateway::ends_well), which holds the
//! demands common to all rows: the process lives, a stranger's call succeeds, each call left exactly one record.
//!
//! ```no_run
//! let upstream = upstream::echo().dies_after_bytes(10).start().await;
//! let gateway = gateway().with(&upstream).start().await;
//! let answer = modern(&gateway).call("echo", json!({"nonce": "n"})).await;
//! assert_eq!((upstream.executions(), answer.outcome()), (1, "unknown".into()));
//! gateway.ends_well(&["unknown"]).await;
//! ```
//!
//! `TOLLHOUSE_BIN` names the binary to test; without it the one of this workspace is built.

#![expect(clippy::disallowed_methods, reason = "a test starts processes and reads clocks like any user would")]

// The cases, by section of the acceptance tables.
mod aggregate;
mod arguments;
mod calls;
mod canary;
mod capacity;
mod config;
mod crossing;
mod drain;
mod envelope;
mod exported;
mod front_door;
mod http2;
mod ids;
mod kept;
mod many;
mod metrics;
mod native;
mod mirrored;
mod notices;
mod names;
mod over_sse;
mod recorded;
mod reload;
mod retry;
mod sessions;
mod silence;
mod slow;
mod start;
mod state;
mod trace;
mod transport;
mod upstream_http;
mod upstream_stdio;
mod verbs;
mod wrap;

// What they are made with.
mod client;
mod home;
mod sink;
mod sse;
mod stdio;

mod gateway;
mod changing;
mod upstream;

mod http;
mod message;

mod echo;
mod wait;
