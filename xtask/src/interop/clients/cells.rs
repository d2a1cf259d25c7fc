//! What is tried, and what must come of it: every client at every server, on every way that the client can take.
//!
//! Clients of one era meet servers of the other in it too: what they then get is compared with what their twins get.

use super::cast::{CLIENTS, Client, Eras, SERVERS, Server, client, named};

/// A way from a client through the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `/servers/<id>/mcp`.
    Http,
    /// `tollhouse stdio`, started by the client.
    Stdio,
    /// `/mcp`, where several servers stand together.
    Together,
    /// HTTP+SSE.
    Sse,
}

/// What must come of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What the client sees is what it sees without the gateway.
    Equal,
    /// The two sides speak different eras: what the client sees is what its twin sees, but for what belongs to an era.
    Crossed,
}

/// One client at one server on one way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) client: &'static Client,
    pub(super) server: &'static Server,
    pub(super) way: Way,
    pub(super) outcome: Outcome,
}

/// In the order of the page.
pub(super) const WAYS: [Way; 4] = [Way::Http, Way::Stdio, Way::Together, Way::Sse];

/// The servers that stand together behind `/mcp`.
pub(super) const TOGETHER: [&str; 4] = ["everything-http", "filesystem-stdio", "git-stdio", "fast-http"];

/// The clients that come to `/mcp`.
const TO_ALL: [&str; 7] =
    ["fastmcp-auto", "python-auto", "python-old", "typescript-auto", "typescript-old", "rmcp-auto", "rmcp-legacy"];

/// Over standard input and output only one server of a kind is tried: behind the gateway's door it is the same way.
const BY_STDIO: [&str; 6] =
    ["everything-http", "everything-stdio", "filesystem-stdio", "git-stdio", "fast-http", "fixture-modern-http"];

/// Where the clients go that take long for each step.
const BRIEFLY: [&str; 6] =
    ["everything-http", "everything-sse", "filesystem-stdio", "fast-http", "fixture-http", "fixture-modern-http"];

/// Over HTTP+SSE towards the client.
const BY_SSE: [&str; 2] = ["everything-http", "git-stdio"];

/// Every cell.
pub(super) fn all() -> Vec<Cell> {
    let of = |client| {
        SERVERS.iter().flat_map(move |server| WAYS.into_iter().filter_map(move |way| cell(client, server, way)))
    };
    CLIENTS.iter().filter(|client| !client.only_compared()).flat_map(of).collect()
}

fn cell(client: &'static Client, server: &'static Server, way: Way) -> Option<Cell> {
    let tried = match way {
        Way::Http => !client.brief || BRIEFLY.contains(&server.name),
        Way::Stdio => BY_STDIO.contains(&server.name) && !client.brief,
        Way::Together => {
            // What a client that can be asked hears there from a server that asks, no client hears directly.
            let asks = client.eras == Eras::Both && server.name == "everything-http";
            TOGETHER.contains(&server.name) && TO_ALL.contains(&client.name) && !asks
        }
        Way::Sse => client.sse && client.eras == Eras::Legacy && !client.brief && BY_SSE.contains(&server.name),
    };
    tried.then(|| Cell { client, server, way, outcome: outcome(client, server, way) })
}

/// What must come of it. To be changed with the gateway.
fn outcome(client: &Client, server: &Server, way: Way) -> Outcome {
    match (client.eras, server.eras) {
        // Behind `/mcp` stand servers of both eras: whoever may choose is modern there.
        (Eras::Both, Eras::Legacy) if way == Way::Together => Outcome::Crossed,
        (client, server) if !client.meet(server) => Outcome::Crossed,
        _ => Outcome::Equal,
    }
}

impl Cell {
    pub(super) fn name(&self) -> String {
        format!("{} at {} by {}", self.client.name, self.server.name, self.way.name())
    }

    /// Who plays at which server, without the gateway, what this cell is compared with.
    pub(super) fn direct(&self) -> (&'static Client, &'static Server) {
        let who = match self.outcome {
            Outcome::Crossed => self.client.twin.map_or(self.client, client),
            Outcome::Equal => self.client,
        };
        let whom = match self.server.alike {
            Some(alike) if !who.speaks(self.server.over) => named(alike),
            _ => self.server,
        };
        (who, whom)
    }
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Stdio => "stdio",
            Self::Together => "all",
            Self::Sse => "sse",
        }
    }
}
