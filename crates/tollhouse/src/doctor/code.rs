//! The codes of what is found, for search, documentation and scripts. Numbers are never given a second meaning.

use std::fmt::Write as _;

/// What kind of finding. Those in the configuration have codes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// There is no configuration.
    NoConfiguration,
    /// A program that the configuration names is not there or cannot be run.
    Program,
    /// Node.js is too old for most servers.
    OldNode,
    /// Another program listens at our address.
    AddressTaken,
    /// The gateway that runs does not serve what the configuration says.
    Outdated,
    /// A server does not start, or does not answer.
    ServerDown,
    /// A server takes long to start.
    ServerSlow,
    /// A file with secrets in it can be read by others.
    OpenFile,
    /// A client has servers of its own beside the gateway.
    Bypass,
    /// A client's entry leads to a program that is not there.
    LostProgram,
    /// A client's entry names a configuration that is not there.
    LostConfiguration,
    /// A client's entry leads to a gateway that does not run.
    NobodyThere,
    /// A client's file cannot be read.
    UnreadClient,
    /// A tool's name is longer than a client or a model takes.
    LongName,
    /// Two tools have one name.
    SameName,
    /// What was recorded is damaged, or cannot be opened.
    Store,
}

/// A code with its row of the page.
struct Row {
    code: Code,
    number: &'static str,
    found: &'static str,
    follows: &'static str,
    mend: &'static str,
}

const fn row(code: Code, number: &'static str, [found, follows, mend]: [&'static str; 3]) -> Row {
    Row { code, number, found, follows, mend }
}

/// Every code, in the order in which things are looked at.
const ROWS: [Row; 16] = [
    row(
        Code::NoConfiguration,
        "TH-D001",
        [
            "there is no configuration",
            "nothing can be served",
            "`tollhouse init` or `tollhouse add`; `--config FILE` names one elsewhere",
        ],
    ),
    row(
        Code::Program,
        "TH-D002",
        [
            "a program that the configuration names is missing or cannot be run",
            "its server never starts",
            "install it, or write its full path: programs with a window often have a shorter `PATH` than a shell",
        ],
    ),
    row(
        Code::OldNode,
        "TH-D003",
        [
            "Node.js is older than 20",
            "many servers from npm end with a syntax error or an unknown flag",
            "install a newer one, and look that `node` and `npx` belong together",
        ],
    ),
    row(
        Code::AddressTaken,
        "TH-D004",
        [
            "another program listens where Tollhouse would",
            "`tollhouse serve` ends at once; `stdio` and `wrap` need no address",
            "end that one, or write other addresses for `listen` and `admin`",
        ],
    ),
    row(
        Code::Outdated,
        "TH-D005",
        [
            "the gateway that runs does not serve what the configuration says",
            "clients see other servers than the file names",
            "it reads its file again within seconds, unless that has mistakes; another file it reads when it is started with it",
        ],
    ),
    row(
        Code::ServerDown,
        "TH-D006",
        [
            "a server does not start, or does not answer",
            "its tools are missing; calls to it fail and say so",
            "the last lines of its standard error say why; try its command in a shell",
        ],
    ),
    row(
        Code::ServerSlow,
        "TH-D007",
        [
            "a server takes more than 5 s to start",
            "clients may give up before it is there",
            "install its package, so that `npx` or `uvx` need not look for it each time; or raise `timeouts.start`",
        ],
    ),
    row(
        Code::OpenFile,
        "TH-D008",
        [
            "a file with secrets written out can be read by other users",
            "they have the secrets",
            "`--fix` takes the right from them (mode 600)",
        ],
    ),
    row(
        Code::Bypass,
        "TH-D009",
        [
            "a client has servers of its own beside the gateway",
            "calls to them are not recorded",
            "`tollhouse init --from CLIENT --repoint`, or leave it so",
        ],
    ),
    row(
        Code::LostProgram,
        "TH-D010",
        [
            "a client's entry starts a Tollhouse that is not there",
            "the client has none of the servers",
            "`--fix` writes the path of this program",
        ],
    ),
    row(
        Code::LostConfiguration,
        "TH-D011",
        [
            "a client's entry names a configuration that is not there",
            "Tollhouse ends with 78 when the client starts it",
            "put it back, or write another path into the entry",
        ],
    ),
    row(
        Code::NobodyThere,
        "TH-D012",
        [
            "a client calls a gateway by its URL and none answers there",
            "the client has none of the servers",
            "`tollhouse serve`, best started with the machine",
        ],
    ),
    row(
        Code::UnreadClient,
        "TH-D013",
        [
            "a client's file cannot be read",
            "what is in it is not known; the client may not read it either",
            "the place is where reading stopped",
        ],
    ),
    row(
        Code::LongName,
        "TH-D014",
        [
            "a tool's name is longer than a client or a model takes",
            "the tool is cut, hidden or refused there",
            "give the server a shorter id",
        ],
    ),
    row(
        Code::SameName,
        "TH-D015",
        [
            "two tools have one name",
            "only one of them can be called",
            "give their servers different ids, or tell the server's author",
        ],
    ),
    row(
        Code::Store,
        "TH-D016",
        [
            "what was recorded is damaged, was written by a later version, or is in use by another process",
            "`tollhouse serve` ends with 74, or what is in a damaged file is missing",
            "as the finding says: move the file away, end the process, or name another directory",
        ],
    ),
];

impl Code {
    /// The code as it is printed, searched for and documented.
    pub(crate) fn as_str(self) -> &'static str {
        ROWS.iter().find(|row| row.code == self).map_or("TH-D000", |row| row.number)
    }
}

const HEAD: &str = "# What `tollhouse doctor` finds

Generated by `cargo xtask docs` from the program's own table; do not edit it here.

`tollhouse doctor` looks at the configuration, the programs it names, the addresses, each server, and the files of the
clients on this machine. It starts each server once, asks it and ends it, unless a gateway runs: then that is asked.
Nothing is changed without `--fix`, which mends what cannot do harm and says what it did.

It ends with 0 if nothing keeps the program from working (there may be warnings), and with 1 if something does. With
`--json` each finding is an object on a line of its own: `severity`, `code`, `about`, `found`, `detail`, `hint`,
`mending` (`none`, `possible`, `done`).

Findings in the configuration itself have codes of the form TH-C…, which are explained
[with the errors](errors.md#findings-in-a-configuration).

| Code | What is found | What follows | What to do |
|---|---|---|---|
";

/// The page `docs/reference/doctor.md`.
pub(crate) fn page() -> String {
    let mut page = String::from(HEAD);
    for Row { number, found, follows, mend, .. } in ROWS {
        writeln!(page, "| {number} | {found} | {follows} | {mend} |").expect("a string takes what is written");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_row_and_one_number() {
        for (at, row) in ROWS.iter().enumerate() {
            assert_eq!(row.code.as_str(), format!("TH-D{:03}", at + 1), "{:?}", row.code);
        }
        assert_eq!(ROWS.last().map(|row| row.code), Some(Code::Store), "the last of them");
    }
}
