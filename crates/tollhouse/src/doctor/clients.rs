//! The files of clients: whether they lead to the gateway, and whether they arrive.

use std::path::Path;

use tollhouse_proxy::settings::Command;
use tollhouse_proxy::upstream::child::resolve;

use super::{Code, Finding, Mending, Patient, Say, Word, counted, files, shown};
use crate::config::{Code as Config, Entry, Severity, Tree, Written, outline, text};
use crate::setup::clients::Client;
use crate::setup::file::{Before, replace};
use crate::setup::layout::Layout;
use crate::setup::pointer::program;
use crate::setup::takeover::is_ours;

/// Looks at the file of `client`; gives the client if it has all servers from the gateway.
pub(super) fn look(client: Client, file: &Path, patient: &Patient<'_>, running: bool, say: Say<'_>) -> Option<Client> {
    let title = client.title();
    let read = text(file).and_then(|text| outline(file, &text).map(|outline| (text, outline)));
    let (content, outline) = match read {
        Ok(read) => read,
        // It knows no server yet.
        Err(report) if report.findings.iter().all(|finding| finding.code == Config::Empty) => return None,
        Err(report) => {
            for finding in report.findings.into_iter().filter(|finding| finding.severity == Severity::Error) {
                let place = finding.place.map(|place| format!("{}:{}:{}", file.display(), place.line, place.column));
                let told = Finding::warning(Code::UnreadClient, title, finding.found);
                let detail = finding.detail.into_iter().chain(place);
                say(Word::Ill(detail.fold(told, Finding::detail)));
            }
            return None;
        }
    };
    let (layout, tree) = (Layout::of(file, &content)?, Tree::of(file, &content)?);
    // Our own entry, which is no server, holds the secrets of those whose place it took.
    let ours = || layout.names().filter(|name| is_ours(name)).filter_map(|name| tree.entry(name));
    let held = || ours().any(|entry| entry.pairs("env").iter().any(|(name, value)| files::is_secret(name, value)));
    if outline.servers.iter().any(|(_, server)| files::holds_secret(server)) || held() {
        files::look(file, title, patient.mend, say);
    }
    let gateway = format!("http://{}/", patient.addresses[0]);
    let mut leads = Vec::new();
    for name in layout.names() {
        let Some(entry) = tree.entry(name) else { continue };
        let way = way(&entry, &gateway);
        match &way {
            Lead::Past if is_ours(name) => leads.push(true),
            Lead::Past => {}
            Lead::Started { program, config } => {
                let arrived = arrives(client, file, &content, (name, program, config.as_deref()), patient, say);
                leads.push(is_ours(name) || config.is_some());
                if !arrived {
                    return leads.contains(&true).then_some(client);
                }
            }
            Lead::Called => {
                leads.push(true);
                if !running {
                    let found = format!("it calls {gateway}… and no gateway answers there");
                    let hint = "start one with `tollhouse serve`";
                    say(Word::Ill(Finding::error(Code::NobodyThere, title, found).hint(hint)));
                }
            }
        }
    }
    let past: Vec<&str> = outline
        .servers
        .iter()
        .zip(&outline.entries)
        .filter(|(_, name)| tree.entry(name).is_some_and(|entry| way(&entry, &gateway) == Lead::Past))
        .map(|((_, server), _): (&(_, Written), _)| server.name.as_str())
        .collect();
    if past.is_empty() {
        if !leads.is_empty() {
            say(Word::Well(title.to_owned(), format!("{} leads here", shown(file, patient.env))));
        }
    } else {
        let found = format!("it has {} past the gateway: {}", counted(past.len(), "server"), past.join(", "));
        let finding = Finding::warning(Code::Bypass, title, found).detail(shown(file, patient.env));
        let hint = format!("`tollhouse init --from {} --repoint` leads it here", client.as_str());
        say(Word::Ill(finding.hint(hint)));
    }
    leads.contains(&true).then_some(client)
}

/// Where an entry leads.
#[derive(Debug, PartialEq, Eq)]
enum Lead {
    /// To a program that is Tollhouse by its name, with this configuration.
    Started { program: String, config: Option<String> },
    /// To our URL.
    Called,
    /// Elsewhere.
    Past,
}

fn way(entry: &Entry<'_>, gateway: &str) -> Lead {
    let url = ["url", "httpUrl", "serverUrl"].into_iter().find_map(|key| entry.text(key));
    if url.is_some_and(|url| url.starts_with(gateway)) {
        return Lead::Called;
    }
    let Some(program) = entry.text("command") else { return Lead::Past };
    let args = entry.texts("args");
    let serves = args.iter().any(|arg| *arg == "stdio" || *arg == "wrap");
    if Path::new(program).file_stem().is_none_or(|stem| stem != "tollhouse") || !serves {
        return Lead::Past;
    }
    let config = args.iter().position(|arg| *arg == "--config").and_then(|at| args.get(at + 1));
    Lead::Started { program: program.to_owned(), config: config.map(|config| (*config).to_owned()) }
}

/// Looks whether an entry that starts Tollhouse can.
fn arrives(
    client: Client,
    file: &Path,
    content: &str,
    (name, path, config): (&str, &str, Option<&str>),
    patient: &Patient<'_>,
    say: Say<'_>,
) -> bool {
    let title = client.title();
    let command = Command { program: path.into(), args: Vec::new(), env: Vec::new(), cwd: None };
    if resolve(&command).is_err() {
        let mut finding =
            Finding::error(Code::LostProgram, title, format!("its entry `{name}` starts {path}, which is not there"))
                .detail(shown(file, patient.env));
        let own = program(patient.env).filter(|own| own != path);
        let mended = own.and_then(|own| Some((moved(file, content, name, [path, &own])?, own)));
        match mended {
            Some((text, own)) if patient.mend => match replace(file, Before::Text(content), &text) {
                Ok(()) => finding.mending = Mending::Done(format!("it starts {own} now; start {title} again")),
                Err(error) => finding.detail.push(format!("it cannot be mended: {error:#}")),
            },
            Some((_, own)) => {
                finding.mending = Mending::Possible;
                finding.hint = Some(format!("`tollhouse doctor --fix` writes {own}"));
            }
            None => finding.hint = Some("write the path of a Tollhouse that is there".to_owned()),
        }
        say(Word::Ill(finding));
        return false;
    }
    if let Some(config) = config.filter(|config| Path::new(config).is_absolute() && !Path::new(config).exists()) {
        let found = format!("its entry `{name}` names {config}, which is not there");
        let hint = "`tollhouse init --undo` leads the client back to its own servers";
        say(Word::Ill(
            Finding::error(Code::LostConfiguration, title, found).detail(shown(file, patient.env)).hint(hint),
        ));
        return false;
    }
    true
}

/// The text with another program in the entry `name`; `None` if nothing else would say the same.
fn moved(file: &Path, content: &str, name: &str, [from, to]: [&str; 2]) -> Option<String> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let names = [name.to_owned()];
    let layout = Layout::of(file, content)?;
    let written = layout.written(content, &names);
    let changed = written.replacen(&quoted(from), &quoted(to), 1);
    let text = content.replacen(&written, &changed, 1);
    let (before, after) = (Tree::of(file, content)?, Tree::of(file, &text)?);
    let others = layout.names().filter(|other| *other != name).all(|other| before.entry(other) == after.entry(other));
    let (was, is) = (before.entry(name)?, after.entry(name)?);
    let same = others && before.rest_equals(&after) && was.texts("args") == is.texts("args");
    (same && is.text("command") == Some(to)).then_some(text)
}
