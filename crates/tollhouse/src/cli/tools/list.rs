//! `tollhouse tools list`: a line per tool.

use std::io::Write;

use anyhow::Context as _;
use serde_json::Value;

use super::{peer, servers, tools};
use crate::cli::{Common, HELP, status};
use crate::config::env::{Environment as _, Process};
use crate::config::without_controls;
use crate::exit::Exit;

/// Where nobody says how wide the terminal is.
const WIDTH_DEFAULT: usize = 100;
/// A description cut shorter says nothing.
const ABOUT_MIN: usize = 20;

/// What `tools list` takes beside the common options.
#[derive(Debug, Clone, clap::Args)]
// `tools` takes these too, and clap knows groups by the name of their type.
#[group(skip)]
#[command(
    help_template = HELP,
    before_help = "Examples:
  tollhouse tools list                 every tool of every server
  tollhouse tools list --server notes  those of one
  tollhouse tools list --json          whole definitions, one object a line"
)]
pub(crate) struct Args {
    /// Only the tools of this server
    #[arg(long, value_name = "ID")]
    pub(crate) server: Option<String>,
}

/// Writes the list. A server that tells nothing is named on standard error, and the others are listed.
pub(crate) async fn run(common: &Common, args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    let ids = match &args.server {
        Some(id) => vec![id.clone()],
        None => match servers(common.running_admin()).await {
            Ok(ids) => ids,
            Err(error) => return Ok(status::unreachable(common.running_admin(), &error)),
        },
    };
    let (mut rows, mut exit) = (Vec::new(), Exit::Ok);
    for id in ids {
        let listed = match peer(common.running_listen(), &id).await? {
            Ok(mut peer) => {
                let listed = tools(&mut peer, &id).await;
                // Nothing depends on the goodbye.
                let _ = peer.leave().await;
                listed
            }
            Err(silence) => Err(silence),
        };
        match listed {
            Ok(tools) => rows.extend(tools.into_iter().map(|tool| (id.clone(), tool))),
            Err(silence) => exit = silence.told(common).await,
        }
        if exit == Exit::Unreachable {
            return Ok(exit);
        }
    }
    if common.json {
        for (id, mut tool) in rows {
            tool["server"] = id.into();
            writeln!(out, "{tool}").context("write the list")?;
        }
    } else if !rows.is_empty() {
        let width = Process.var("COLUMNS").and_then(|width| width.to_str()?.parse().ok()).unwrap_or(WIDTH_DEFAULT);
        out.write_all(table(&rows, width).as_bytes()).context("write the list")?;
    }
    Ok(exit)
}

/// Server, tool, and what it is about, cut to `width`.
pub(super) fn table(rows: &[(String, Value)], width: usize) -> String {
    let shown: Vec<[String; 3]> = rows
        .iter()
        .map(|(id, tool)| [id.clone(), without_controls(tool["name"].as_str().unwrap_or("-")), about(tool)])
        .collect();
    let longest = |at: usize, word: &str| shown.iter().map(|row| row[at].chars().count()).fold(word.len(), usize::max);
    let (first, second) = (longest(0, "server"), longest(1, "tool"));
    let left = width.saturating_sub(first + second + 4).max(ABOUT_MIN);
    let heading = ["server", "tool", "what it does"].map(str::to_owned);
    std::iter::once(&heading)
        .chain(&shown)
        .map(|[server, tool, about]| {
            format!("{server:first$}  {tool:second$}  {}", cut(about, left)).trim_end().to_owned() + "\n"
        })
        .collect()
}

/// The first line of the description, or else the title.
fn about(tool: &Value) -> String {
    let texts = [&tool["description"], &tool["title"], &tool["annotations"]["title"]];
    let text = texts.into_iter().filter_map(Value::as_str).find(|text| !text.trim().is_empty()).unwrap_or_default();
    without_controls(text.trim().lines().next().unwrap_or_default())
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width - 1).collect();
    cut.push('…');
    cut
}
