//! Clients and servers of different eras: what one says once the other says every time, and neither sees the difference.

mod lent;
mod lifted;

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answer, Client, legacy, legacy_at, legacy_client, modern};
use crate::gateway::{Gateway, gateway};
use crate::stdio::{self, child};
use crate::upstream::{self, Step, Upstream, event, honest, text};
use crate::wait::until;

/// The member of `_meta` that names a server.
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// The acceptance row's second, for a debug build on a machine with other work.
const SOON: Duration = Duration::from_secs(1);

/// The one record of that method.
async fn record(gateway: &Gateway, method: &str) -> Value {
    let found = || -> Vec<Value> {
        gateway.records().into_iter().map(|record| record["extra"].clone()).filter(|r| r["method"] == method).collect()
    };
    until("there is a record", || !found().is_empty()).await;
    assert_eq!(found().len(), 1, "one record of one call");
    found().remove(0)
}
