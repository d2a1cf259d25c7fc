//! `docs/guide/matrix.md`: what was tried, for those who choose. It is written from the tables, after a run in which all
//! cells were as the tables say; a run that was not asked to write it looks whether it still says the same.

use std::fs;

use anyhow::{Context as _, ensure};

use super::super::Site;
use super::cast::{CLIENTS, Client, Eras, Over, SERVERS, Server};
use super::cells::{Cell, Outcome, TOGETHER, WAYS, Way};
use crate::ground::output;

const PATH: &str = "docs/guide/matrix.md";

/// What a line begins with that differs from run to run.
const DATE: &str = "Last tried in full: ";

/// How to read the table that follows.
const CELLS: &str = "
## Cells

A letter is a way on which what the client saw was equal. With a star, the two sides speak different eras, and all was equal
but for what belongs to an era.

| server |";

/// Writes the page, or compares it.
pub(super) fn keep(site: &Site<'_>, cells: &[Cell]) -> anyhow::Result<()> {
    let path = site.ground.root.join(PATH);
    if site.args.write {
        let date = output(site.command("date").args(["-u", "+%F"]))?;
        fs::write(&path, page(cells, date.trim())).with_context(|| format!("write {}", path.display()))?;
        eprintln!("  wrote {PATH}");
        return Ok(());
    }
    let kept = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let date = kept.lines().find_map(|line| line.strip_prefix(DATE)).context("find the date in it")?;
    let said = page(cells, date.trim_end_matches('.'));
    ensure!(kept == said, "{PATH} does not say what was tried; run `cargo xtask interop --write clients`");
    Ok(())
}

/// An outcome, in the words of the page.
pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Equal => "equal to what the client sees without the gateway",
        Outcome::Crossed => "equal but for what belongs to an era, which the gateway translates",
    }
}

fn page(cells: &[Cell], date: &str) -> String {
    let mut page = format!(
        "\
# Clients and servers tried

Each cell below is a connection of its own: a real client plays a scenario at a real server without the gateway, then
through it, and what it saw must be equal as JSON. This page is written by `cargo xtask interop --write clients` after such
a run; how it works is told in [among other people's programs](../internals/interop.md).

{DATE}{date}.

What is compared: what the client learns of the server as they meet (revision, name, capabilities, instructions); the whole
lists of tools, prompts, resources and templates; the results and errors of calls, reads, prompts and completions; progress;
and what the server asks of the client, with what it makes of the answer. Only times that a server tells may differ.

## Ways

| | from the client | there |
|---|---|---|
"
    );
    page.extend(WAYS.iter().map(|way| {
        let (from, there) = told(*way);
        format!("| {} | {from} | {there} |\n", letter(*way))
    }));
    page += "\n## Clients\n\n| | client | speaks | package |\n|---|---|---|---|\n";
    page.extend(clients().enumerate().map(|(at, client)| {
        let but = match client {
            Client { brief: true, .. } => "; a few steps of each scenario",
            Client { quiet: true, .. } => "; can be asked nothing",
            _ => "",
        };
        format!("| {} | {} | {} | {}{but} |\n", at + 1, client.name, spoken(client), client.package)
    }));
    page += "\n## Servers\n\n| server | reached over | speaks | package |\n|---|---|---|---|\n";
    page.extend(SERVERS.iter().map(|server| {
        format!("| {} | {} | {} | {} |\n", server.name, over(server), eras(server.eras), server.package)
    }));
    page += CELLS;
    page.extend((1..=clients().count()).map(|at| format!(" {at} |")));
    page += "\n|---|";
    page += &"---|".repeat(clients().count());
    page.extend(SERVERS.iter().map(|server| {
        let row: Vec<String> = clients().map(|client| letters(cells, client, server)).collect();
        format!("\n| {} | {} |", server.name, row.join(" | "))
    }));
    page += "\n\n";
    page.extend([Outcome::Equal, Outcome::Crossed].map(|outcome| {
        let count = cells.iter().filter(|cell| cell.outcome == outcome).count();
        format!("- {count} cells: {}\n", word(outcome))
    }));
    page
}

/// Those that have cells.
fn clients() -> impl Iterator<Item = &'static Client> {
    CLIENTS.iter().filter(|client| !client.only_compared())
}

fn letters(cells: &[Cell], client: &Client, server: &Server) -> String {
    let here = cells.iter().filter(|cell| cell.client.name == client.name && cell.server.name == server.name);
    let letters: Vec<String> = here
        .map(|cell| match (cell.outcome, letter(cell.way)) {
            (Outcome::Equal, letter) => letter.to_owned(),
            (Outcome::Crossed, letter) => format!("{letter}\\*"),
        })
        .collect();
    letters.join(" ")
}

fn letter(way: Way) -> &'static str {
    match way {
        Way::Http => "H",
        Way::Stdio => "S",
        Way::Together => "A",
        Way::Sse => "E",
    }
}

fn told(way: Way) -> (&'static str, String) {
    match way {
        Way::Http => ("streamable HTTP", "`/servers/<id>/mcp`".to_owned()),
        Way::Stdio => ("stdio", "`tollhouse stdio`, started by the client, with this server alone".to_owned()),
        Way::Together => ("streamable HTTP", format!("`/mcp`, where {} stand together", TOGETHER.join(", "))),
        Way::Sse => ("HTTP+SSE", "`/servers/<id>/sse`".to_owned()),
    }
}

fn over(server: &Server) -> &'static str {
    match server.over {
        Over::Stdio => "stdio",
        Over::Http => "streamable HTTP",
        Over::Sse => "HTTP+SSE",
    }
}

fn eras(eras: Eras) -> &'static str {
    match eras {
        Eras::Legacy => "up to 2025-11-25",
        Eras::Modern => "2026-07-28",
        Eras::Both => "both",
    }
}

fn spoken(client: &Client) -> &'static str {
    match client.eras {
        Eras::Both => "2026-07-28, else up to 2025-11-25",
        one => eras(one),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells;
    use super::{SERVERS, clients, page};

    #[test]
    fn every_client_and_server_stands_on_the_page() {
        let page = page(&cells::all(), "2026-01-01");
        for name in clients().map(|client| client.name).chain(SERVERS.iter().map(|server| server.name)) {
            assert!(page.contains(&format!("| {name} |")), "{name}");
        }
    }
}
