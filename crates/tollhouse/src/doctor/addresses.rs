//! The addresses where Tollhouse serves, and whether it does.

use tokio::net::TcpListener;
use tollhouse_web::{Reload, Report, Taken};

use super::{Code, Finding, Patient, Say, Word};
use crate::client::health;
use crate::config::Loaded;

/// Looks whether a gateway answers, or could listen; gives what a running one says.
pub(super) async fn look(patient: &Patient<'_>, loaded: Option<&Loaded>, say: Say<'_>) -> Option<Report> {
    let [listen, admin] = patient.addresses;
    let asked = health(admin).await.ok().and_then(|body| serde_json::from_slice::<Report>(&body).ok());
    if let Some(report) = asked {
        let at = report.listen.map(|listen| format!("http://{listen}/mcp, ")).unwrap_or_default();
        say(Word::Well("gateway".to_owned(), format!("runs: {at}health at {admin}, version {}", report.version)));
        if let Some(loaded) = loaded {
            outdated(&report, loaded, say);
        }
        return Some(report);
    }
    let mut free = true;
    for (address, key) in [(listen, "listen"), (admin, "admin")] {
        if let Err(error) = TcpListener::bind(address).await {
            free = false;
            let found = match error.kind() {
                std::io::ErrorKind::AddrInUse => format!("another program listens at {address}"),
                _ => format!("{address} cannot be listened at: {error}"),
            };
            let hint =
                format!("end that one, or write another address: `{key}: {}:0` takes any that is free", address.ip());
            say(Word::Ill(Finding::error(Code::AddressTaken, "addresses", found).hint(hint)));
        }
    }
    if free {
        say(Word::Well("gateway".to_owned(), format!("does not run; {listen} and {admin} are free")));
    }
    None
}

/// Says how the gateway that runs differs from the configuration.
fn outdated(report: &Report, loaded: &Loaded, say: Say<'_>) {
    if let Some(Reload { result: Taken::Refused, error, .. }) = &report.reloads.last {
        let finding = Finding::warning(Code::Outdated, "gateway", "it has refused the changed configuration");
        let finding = error.iter().fold(finding, Finding::detail);
        say(Word::Ill(finding.hint("mend the file: it is read again by itself")));
    }
    let configured: Vec<String> = loaded.settings.servers.iter().map(|server| server.id.to_string()).collect();
    let served: Vec<&String> = report.servers.iter().map(|server| &server.id).collect();
    let missing: Vec<&str> = configured.iter().filter(|id| !served.contains(id)).map(String::as_str).collect();
    let more: Vec<&str> = served.iter().filter(|id| !configured.contains(id)).map(|id| id.as_str()).collect();
    let parts: Vec<String> = [("does not serve", missing), ("still serves", more)]
        .into_iter()
        .filter(|(_, ids)| !ids.is_empty())
        .map(|(what, ids)| format!("{what} {}", ids.join(", ")))
        .collect();
    if !parts.is_empty() {
        let finding = Finding::warning(Code::Outdated, "gateway", format!("it {}", parts.join(" and ")));
        let hint =
            "a changed file is read within seconds; if it runs with another one, start it with this by `--config`";
        say(Word::Ill(finding.hint(hint)));
    }
}
