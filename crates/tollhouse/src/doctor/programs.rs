//! The programs that servers are started with.

use std::time::Duration;

use tokio::time::timeout;
use tollhouse_core::ids::ServerId;
use tollhouse_core::units::ByteSize;
use tollhouse_proxy::settings::{Command, Transport};
use tollhouse_proxy::upstream::child::{Said, Spawner, resolve};
use tollhouse_proxy::upstream::lines::Line;

use super::{Code, Finding, Say, Word};
use crate::config::Loaded;

/// Node.js before it is no longer mended, and the current libraries for servers ask for more.
const NODE_MIN: u32 = 20;
/// Asking a program for its version takes a moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks for each program; gives the servers that lack theirs.
pub(super) async fn look(loaded: &Loaded, say: Say<'_>) -> Vec<ServerId> {
    let mut missing = Vec::new();
    let mut node: Option<Command> = None;
    for server in &loaded.settings.servers {
        let Transport::Stdio(command) = &server.transport else { continue };
        if let Err(error) = resolve(command) {
            let finding = Finding::error(Code::Program, format_args!("server `{}`", server.id), error.to_string());
            say(Word::Ill(match error.hint() {
                Some(hint) => finding.hint(hint),
                None => finding,
            }));
            missing.push(server.id.clone());
        } else if command.program.file_stem().is_some_and(|name| name == "npx" || name == "node") {
            node.get_or_insert_with(|| command.clone());
        }
    }
    if let Some(npx) = node {
        // The one that `npx` finds: beside it, else in the same PATH.
        let beside = npx.program.with_file_name("node");
        let command = Command { program: beside, args: vec!["--version".into()], ..npx };
        if let Some((major, version)) = node_version(&command).await
            && major < NODE_MIN
        {
            let finding = Finding::warning(Code::OldNode, "Node.js", format!("{version} is older than {NODE_MIN}"));
            say(Word::Ill(finding.hint("install a newer one: many servers from npm need it")));
        }
    }
    missing
}

/// The version that `node --version` tells, with the number before its first dot.
async fn node_version(command: &Command) -> Option<(u32, String)> {
    let id = ServerId::new("node").ok()?;
    let mut started = Spawner::start().ok()?.spawn(&id, command, ByteSize::mib(1)).await.ok()?;
    let said = timeout(PATIENCE, started.stdout.next()).await;
    started.child.stop().await;
    let Ok(Said::Line(Line::Whole(line))) = said else { return None };
    let version = std::str::from_utf8(&line).ok()?.trim().to_owned();
    let major = version.strip_prefix('v')?.split('.').next()?.parse().ok()?;
    Some((major, version))
}
