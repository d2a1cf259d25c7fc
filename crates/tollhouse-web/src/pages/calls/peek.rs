//! One call beside the list: what is known of it, and how to have the same again.

use std::net::SocketAddr;

use tollhouse_core::era::Era;
use tollhouse_core::record::{Content, Listener};
use tollhouse_core::trace::Hex;
use tollhouse_store::Call;
use tollhouse_store::question::Sum;

use super::super::address::{Address, encoded};
use super::super::text::{ago, brief, bytes, count, indented, millis, rfc3339, seen, seen_lines, time};
use super::row::{Cell, Status};
use crate::api::CallView;

/// Calls of a tool below which nothing is said of how this one compares.
const ENOUGH: u64 = 20;

/// One call, or that there is none.
pub(super) struct Peek {
    pub(super) close: String,
    pub(super) call: Option<Box<Shown>>,
}

/// What is shown of a call.
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) status: Status,
    pub(super) newer: Option<String>,
    pub(super) older: Option<String>,
    pub(super) tabs: Vec<Tab>,
    pub(super) tab: &'static str,
    pub(super) time: String,
    pub(super) moment: String,
    pub(super) ago: String,
    pub(super) total: String,
    pub(super) upstream: String,
    pub(super) own: String,
    pub(super) first: Option<String>,
    /// Widths of 1000: before the server, at it; and where the first output came.
    pub(super) timing: [u64; 3],
    /// How it compares with other calls of its tool.
    pub(super) rank: Option<[String; 2]>,
    pub(super) cells: Vec<Cell>,
    pub(super) asked_as: Option<String>,
    pub(super) session: Linked,
    pub(super) session_by: String,
    pub(super) trace: Linked,
    pub(super) parent: Option<String>,
    pub(super) spoken: String,
    pub(super) attempts: String,
    pub(super) fault: Option<String>,
    pub(super) request_id: String,
    pub(super) request_bytes: String,
    pub(super) response_bytes: String,
    pub(super) request_hash: Option<String>,
    pub(super) response_hash: Option<String>,
    pub(super) shape: Option<String>,
    pub(super) content: Option<Captured>,
    pub(super) hints: Vec<[String; 2]>,
    pub(super) copies: Vec<Copied>,
    pub(super) raw: String,
}

/// What is kept of what it carried: JSON without secrets.
pub(super) struct Captured {
    pub(super) arguments: Option<String>,
    pub(super) result: Option<String>,
    /// What was taken out or cut off, if anything was.
    pub(super) note: Option<String>,
}

/// A part of the panel.
pub(super) struct Tab {
    pub(super) name: &'static str,
    pub(super) href: String,
    pub(super) current: bool,
}

/// Text that leads somewhere.
pub(super) struct Linked {
    pub(super) text: String,
    pub(super) href: String,
}

/// A line to be copied.
pub(super) struct Copied {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) text: String,
}

const TABS: [(&str, &str); 4] =
    [("summary", "Summary"), ("request", "Request & result"), ("copy", "Copy"), ("raw", "Raw")];

impl Peek {
    /// The call that was asked for is not there.
    pub(super) fn missing(address: &Address) -> Self {
        Self { close: address.without("row").without("tab").to_string(), call: None }
    }

    /// `call`, held against `others` of its tool and with its neighbours in `list`.
    pub(super) fn of(
        address: &Address,
        call: &Call,
        others: &Sum,
        list: &[Call],
        listen: Option<SocketAddr>,
        now_us: u64,
    ) -> Self {
        let plain = address.without("row").without("tab");
        let asked = address.get("tab");
        let tab = TABS.iter().map(|(tab, _)| *tab).find(|tab| Some(*tab) == asked).unwrap_or("summary");
        let at = list.iter().position(|other| other.id == call.id);
        let neighbour =
            |at: Option<usize>| at.and_then(|at| list.get(at)).map(|call| address.with("row", call.id).to_string());
        let maybe = |field, value: &Option<Box<str>>| value.as_deref().map(|value| Cell::of(&plain, field, value));
        let cells = [
            maybe("server", &call.server),
            maybe("tool", &call.name),
            Some(Cell::of(&plain, "method", &call.method)),
            maybe("client", &call.client),
            Some(Cell::of(&plain, "principal", &call.principal)),
        ];
        let (session, trace) = (&call.session, Hex(&call.trace).to_string());
        let session_path = session_path(session);
        let shown = Shown {
            id: call.id.to_string(),
            title: brief(call.name.as_deref().unwrap_or(&call.method)),
            status: Status::of(&plain, call),
            newer: neighbour(at.and_then(|at| at.checked_sub(1))),
            older: neighbour(at.map(|at| at + 1)),
            tabs: TABS
                .map(|(key, name)| Tab { name, href: address.with("tab", key).to_string(), current: key == tab })
                .into(),
            tab,
            time: time(call.at_us, now_us),
            moment: rfc3339(call.at_us),
            ago: ago(call.at_us, now_us),
            total: millis(call.total_us),
            upstream: millis(call.upstream_us),
            own: millis(call.gateway_us()),
            first: call.first_us.map(millis),
            timing: timing(call),
            rank: rank(call, others),
            cells: cells.into_iter().flatten().collect(),
            asked_as: call.asked_as.as_deref().map(brief),
            session: Linked { text: brief(session), href: address.plain(&session_path).to_string() },
            session_by: session_by(call),
            trace: Linked { href: address.plain(&format!("/traces/{trace}")).to_string(), text: trace },
            parent: (call.parent != [0; 8]).then(|| Hex(&call.parent).to_string()),
            spoken: spoken(call),
            attempts: count(u64::from(call.attempts)),
            fault: call.fault.as_deref().map(brief),
            request_id: brief(&call.request_id),
            request_bytes: bytes(call.request_bytes),
            response_bytes: bytes(call.response_bytes),
            request_hash: call.seen.request_hash.map(|hash| Hex(&hash.0).to_string()),
            response_hash: call.seen.response_hash.map(|hash| Hex(&hash.0).to_string()),
            shape: call.seen.shape.as_deref().map(seen_lines),
            content: call.seen.content.as_deref().map(Captured::of),
            hints: call.hints.iter().map(|(key, value)| [brief(key), brief(value)]).collect(),
            copies: copies(call, listen),
            raw: serde_json::to_string_pretty(&CallView::from(call))
                .map_or_else(|error| error.to_string(), |raw| seen_lines(&raw)),
        };
        Self { close: plain.to_string(), call: Some(Box::new(shown)) }
    }
}

impl Captured {
    fn of(content: &Content) -> Self {
        let side = |side: &Option<Box<str>>| side.as_deref().map(|json| seen_lines(&indented(json)));
        let taken = (content.redactions > 0).then(|| match content.redactions {
            1 => "one secret is taken out".to_owned(),
            many => format!("{} secrets are taken out", count(u64::from(many))),
        });
        let cut = content.truncated.then(|| "what is too long is cut off".to_owned());
        let note: Vec<String> = taken.into_iter().chain(cut).collect();
        Self {
            arguments: side(&content.arguments),
            result: side(&content.result),
            note: (!note.is_empty()).then(|| note.join("; ")),
        }
    }
}

/// The rule that found the session, and how sure that is, if that is another word.
fn session_by(call: &Call) -> String {
    let (source, confidence) = (brief(&call.session_source), brief(&call.session_confidence));
    if confidence.starts_with(&source) { confidence } else { format!("{source}, {confidence}") }
}

/// Where a session is shown; one whose id is no id is looked for in the list.
fn session_path(session: &str) -> String {
    if session.len() > 1024 {
        "/sessions".to_owned()
    } else {
        format!("/sessions/{}", encoded(session).replace('/', "%2F"))
    }
}

/// Where the time went, in thousandths. The gateway is before and after the server; drawn as before it.
fn timing(call: &Call) -> [u64; 3] {
    let of = |us: u64| us.min(call.total_us).saturating_mul(1000) / call.total_us.max(1);
    let own = of(call.gateway_us());
    [own, 1000 - own, call.first_us.map_or(0, of)]
}

/// Where among the calls of its tool it stands, in words and with how many there are.
fn rank(call: &Call, others: &Sum) -> Option<[String; 2]> {
    let calls = others.total.count();
    if calls < ENOUGH {
        return None;
    }
    let slower = [99, 97, 95, 90, 75, 50]
        .into_iter()
        .find(|percent| others.total.quantile(f64::from(*percent) / 100.0).is_some_and(|us| call.total_us > us));
    let text = slower
        .map_or_else(|| "among the faster half of its tool".to_owned(), |at| format!("slower than p{at} of its tool"));
    Some([text, format!("{} calls in 24 h", count(calls))])
}

fn spoken(call: &Call) -> String {
    let way = match call.listener {
        Listener::Http => "HTTP",
        Listener::Sse => "HTTP+SSE",
        Listener::Stdio => "stdio",
    };
    let era = match call.version.era() {
        Era::Legacy => "legacy",
        Era::Modern => "modern",
    };
    format!("{way}, {} ({era})", call.version.as_str())
}

fn copies(call: &Call, listen: Option<SocketAddr>) -> Vec<Copied> {
    let mut copies = Vec::new();
    let tool = call.name.as_deref().filter(|_| *call.method == *"tools/call");
    // Values of arguments are not kept, so what is copied has a place for them.
    if let (Some(server), Some(tool)) = (call.server.as_deref(), tool) {
        let body = serde_json::json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}},
        });
        copies.push(Copied {
            id: "copy-cli",
            name: "tollhouse",
            text: format!("tollhouse tools call {} {} '{{}}'", quoted(server), quoted(tool)),
        });
        copies.push(Copied { id: "copy-rpc", name: "JSON-RPC", text: body.to_string() });
        if let Some(listen) = listen {
            let text = format!(
                "curl -s http://{listen}/servers/{}/mcp -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' \
                 -H 'mcp-protocol-version: {}' -d {}",
                encoded(server),
                call.version.as_str(),
                quoted(&body.to_string())
            );
            copies.push(Copied { id: "copy-curl", name: "curl", text });
        }
    }
    let line = format!(
        "{} {} {} {}/{} {} {} ms",
        rfc3339(call.at_us),
        call.id,
        call.client.as_deref().unwrap_or("-"),
        call.server.as_deref().unwrap_or("-"),
        call.name.as_deref().unwrap_or(&call.method),
        call.error.as_deref().unwrap_or(&call.outcome),
        millis(call.total_us)
    );
    copies.push(Copied {
        id: "copy-show",
        name: "what is kept of it",
        text: format!("tollhouse calls show {}", call.id),
    });
    copies.push(Copied { id: "copy-line", name: "one line", text: line });
    for copied in &mut copies {
        copied.text = seen(&copied.text);
    }
    copies
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    if plain && !text.starts_with('-') { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
