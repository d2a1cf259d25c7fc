//! The demonstration: two servers, and an agent that uses them through a gateway.
//!
//! It takes no short cuts. The servers are children of the gateway like any others, and the agent knows nothing but
//! the gateway's public address, so what is seen is what any client would get.

pub(crate) mod agent;

pub(crate) mod server;

use std::path::Path;

use tollhouse_core::ids::ServerId;
use tollhouse_proxy::retry;
use tollhouse_proxy::settings::{Command, Server, Timeouts, Transport};

use self::server::Name;

/// The demonstration's servers as a gateway is told of them; `program` is this binary.
pub(crate) fn servers(program: &Path) -> Vec<Server> {
    let server = |name: Name| Server {
        id: ServerId::new(name.as_str()).expect("both names are short and in lower case"),
        transport: Transport::Stdio(Command {
            program: program.to_owned(),
            args: vec!["demo-server".into(), name.as_str().into()],
            env: Vec::new(),
            cwd: None,
        }),
        timeouts: Timeouts::default(),
        retry: retry::Config::default(),
        validate_arguments: false,
    };
    Name::ALL.map(server).into()
}
