//! Who plays: real clients and real servers, each in an exact version.

/// Which eras one speaks. A client of both asks a server first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eras {
    /// Those with sessions: up to 2025-11-25.
    Legacy,
    /// 2026-07-28 alone.
    Modern,
    /// Both.
    Both,
}

/// A program that plays scenarios, and what it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kit {
    /// A script for the Python environment of what is new.
    Python(&'static str),
    /// A script for the Python environment of what is older.
    OldPython(&'static str),
    /// A script for Node.js.
    Node(&'static str),
    /// A script for Node.js, beside the inspector.
    Inspector(&'static str),
    /// The Rust program of `tests/interop/rmcp`.
    Rmcp,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: &'static str,
    /// What it is, for a reader.
    pub(super) package: &'static str,
    pub(super) eras: Eras,
    pub(super) kit: Kit,
    /// Whether it speaks HTTP+SSE.
    pub(super) sse: bool,
    /// The same kind of client in the other era: what a server of that era tells it directly, this one should hear
    /// through the gateway.
    pub(super) twin: Option<&'static str>,
    /// Declares nothing that it could be asked for.
    pub(super) quiet: bool,
    /// Takes only the steps that a scenario calls brief: each costs it a process and a connection.
    pub(super) brief: bool,
}

/// How a server is reached without the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Stdio,
    Http,
    Sse,
}

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: &'static str,
    /// What it is, for a reader.
    pub(super) package: &'static str,
    pub(super) over: Over,
    pub(super) eras: Eras,
    /// A file of `tests/interop/scenarios`, without its end.
    pub(super) scenario: &'static str,
    /// The same server over a transport that every client speaks: what it tells directly to those that cannot reach
    /// this one.
    pub(super) alike: Option<&'static str>,
}

pub(super) const MCP: &str = "mcp==2.3.0";
pub(super) const MCP_OLD: &str = "mcp==1.30.0";
pub(super) const FASTMCP: &str = "fastmcp==4.1.2";
pub(super) const FASTMCP_OLD: &str = "fastmcp==2.14.7";
pub(super) const TIME: &str = "mcp-server-time==2026.10.19";
pub(super) const GIT: &str = "mcp-server-git==2026.10.19";
pub(super) const SDK_V1: &str = "@modelcontextprotocol/sdk@1.32.2";
pub(super) const SDK_V2: &str = "@modelcontextprotocol/client@2.4.0";
pub(super) const INSPECTOR: &str = "@modelcontextprotocol/inspector@2.12.0";
pub(super) const EVERYTHING: &str = "@modelcontextprotocol/server-everything@2026.8.31";
pub(super) const FILESYSTEM: &str = "@modelcontextprotocol/server-filesystem@2026.8.31";
pub(super) const MEMORY: &str = "@modelcontextprotocol/server-memory@2026.8.31";

const PLAIN: Client = Client {
    name: "",
    package: "",
    eras: Eras::Legacy,
    kit: Kit::Rmcp,
    sse: false,
    twin: None,
    quiet: false,
    brief: false,
};

const PYTHON: Client = Client { package: "PyPI `mcp` 2.3.0", kit: Kit::Python("mcp2.py"), sse: true, ..PLAIN };
const FAST: Client = Client { package: "PyPI `fastmcp` 4.1.2", kit: Kit::Python("fast.py"), sse: true, ..PLAIN };
const TYPESCRIPT: Client =
    Client { package: "npm `@modelcontextprotocol/client` 2.4.0", kit: Kit::Node("v2.mjs"), sse: true, ..PLAIN };
const INSPECT: Client = Client {
    package: "npm `@modelcontextprotocol/inspector` 2.12.0, `--cli`",
    kit: Kit::Inspector("inspector.mjs"),
    sse: true,
    brief: true,
    ..PLAIN
};
const RUST: Client = Client { package: "crates.io `rmcp` 3.8.0", kit: Kit::Rmcp, ..PLAIN };

/// Those that take longest come first.
pub(super) const CLIENTS: &[Client] = &[
    Client { name: "fastmcp-auto", eras: Eras::Both, twin: Some("fastmcp-old"), ..FAST },
    Client { name: "python-auto", eras: Eras::Both, twin: Some("python-legacy"), ..PYTHON },
    Client { name: "python-legacy", twin: Some("python-auto"), ..PYTHON },
    Client { name: "typescript-auto", eras: Eras::Both, twin: Some("typescript-legacy"), ..TYPESCRIPT },
    Client { name: "typescript-legacy", twin: Some("typescript-auto"), ..TYPESCRIPT },
    Client {
        name: "typescript-old",
        package: "npm `@modelcontextprotocol/sdk` 1.32.2",
        kit: Kit::Node("v1.mjs"),
        sse: true,
        twin: Some("typescript-auto"),
        ..PLAIN
    },
    Client { name: "rmcp-auto", eras: Eras::Both, twin: Some("rmcp-legacy"), ..RUST },
    Client { name: "rmcp-legacy", twin: Some("rmcp-auto"), ..RUST },
    Client {
        name: "python-old",
        package: "PyPI `mcp` 1.30.0",
        kit: Kit::OldPython("mcp1.py"),
        sse: true,
        twin: Some("python-auto"),
        ..PLAIN
    },
    Client {
        name: "fastmcp-old",
        package: "PyPI `fastmcp` 2.14.7",
        kit: Kit::OldPython("fast.py"),
        sse: true,
        twin: Some("fastmcp-auto"),
        ..PLAIN
    },
    Client { name: "inspector-legacy", twin: Some("inspector-auto"), ..INSPECT },
    Client { name: "inspector-auto", eras: Eras::Both, twin: Some("inspector-legacy"), ..INSPECT },
    Client { name: "python-modern", eras: Eras::Modern, twin: Some("python-quiet"), quiet: true, ..PYTHON },
    Client { name: "typescript-modern", eras: Eras::Modern, twin: Some("typescript-quiet"), quiet: true, ..TYPESCRIPT },
    Client { name: "rmcp-modern", eras: Eras::Modern, twin: Some("rmcp-quiet"), quiet: true, ..RUST },
    // These play for their twins alone.
    Client { name: "python-quiet", quiet: true, ..PYTHON },
    Client { name: "typescript-quiet", quiet: true, ..TYPESCRIPT },
    Client { name: "rmcp-quiet", quiet: true, ..RUST },
];

const fn server(name: &'static str, package: &'static str, over: Over, eras: Eras, scenario: &'static str) -> Server {
    Server { name, package, over, eras, scenario, alike: None }
}

const FAST_SERVER: &str = "`tests/interop/servers/fast.py` on PyPI `fastmcp` 4.1.2";
const OLD_FAST_SERVER: &str = "`tests/interop/servers/fast.py` on PyPI `fastmcp` 2.14.7";
const EVERYTHING_SERVER: &str = "npm `@modelcontextprotocol/server-everything` 2026.8.31";
const FILESYSTEM_SERVER: &str = "npm `@modelcontextprotocol/server-filesystem` 2026.8.31";
const MEMORY_SERVER: &str = "npm `@modelcontextprotocol/server-memory` 2026.8.31";
const FIXTURE: &str = "`tests/fixture`";

pub(super) const SERVERS: &[Server] = &[
    server("everything-http", EVERYTHING_SERVER, Over::Http, Eras::Legacy, "everything"),
    server("everything-stdio", EVERYTHING_SERVER, Over::Stdio, Eras::Legacy, "everything"),
    Server {
        alike: Some("everything-http"),
        ..server("everything-sse", EVERYTHING_SERVER, Over::Sse, Eras::Legacy, "everything")
    },
    server("filesystem-stdio", FILESYSTEM_SERVER, Over::Stdio, Eras::Legacy, "filesystem"),
    server("memory-stdio", MEMORY_SERVER, Over::Stdio, Eras::Legacy, "memory"),
    server("time-stdio", "PyPI `mcp-server-time` 2026.10.19", Over::Stdio, Eras::Both, "time"),
    server("git-stdio", "PyPI `mcp-server-git` 2026.10.19", Over::Stdio, Eras::Both, "git"),
    server("fast-stdio", FAST_SERVER, Over::Stdio, Eras::Both, "fast"),
    server("fast-http", FAST_SERVER, Over::Http, Eras::Both, "fast"),
    Server { alike: Some("fast-old-http"), ..server("fast-old-sse", OLD_FAST_SERVER, Over::Sse, Eras::Legacy, "fast") },
    server("fast-old-http", OLD_FAST_SERVER, Over::Http, Eras::Legacy, "fast"),
    server("fixture-http", FIXTURE, Over::Http, Eras::Both, "fixture"),
    server("fixture-modern-http", FIXTURE, Over::Http, Eras::Modern, "fixture"),
];

impl Client {
    /// The word of its scripts for its eras.
    pub(super) fn mode(&self) -> &'static str {
        match self.eras {
            Eras::Legacy => "legacy",
            Eras::Modern => "modern",
            Eras::Both => "auto",
        }
    }

    /// Whether it has no cells of its own: others are compared with it.
    pub(super) fn only_compared(&self) -> bool {
        self.quiet && self.eras == Eras::Legacy
    }

    pub(super) fn speaks(&self, over: Over) -> bool {
        over != Over::Sse || self.sse
    }
}

impl Eras {
    /// Whether two can speak to each other without anybody in between.
    pub(super) fn meet(self, other: Self) -> bool {
        self == other || self == Self::Both || other == Self::Both
    }
}

pub(super) fn client(name: &str) -> &'static Client {
    CLIENTS.iter().find(|client| client.name == name).expect("the table names its own rows")
}

pub(super) fn named(name: &str) -> &'static Server {
    SERVERS.iter().find(|server| server.name == name).expect("the table names its own rows")
}
