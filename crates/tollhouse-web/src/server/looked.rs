//! Pages, the stream and the login through a real socket, over a store that holds what a test puts there.

mod hostile;
mod login;
mod replayed;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tollhouse_core::clock;
use tollhouse_core::trace::Hex;
use tollhouse_proxy::settings::FrontDoor;
use tollhouse_store::conformance::call;
use tollhouse_store::event::Kind;
use tollhouse_store::question::Happened;
use tollhouse_store::{Call, Event, Store, memory};

use super::{Shown, serve};
use crate::api::Recorded;
use crate::health::{Losses, Phase, Reloads, Server, Snapshot, State};
use crate::login::Login;
use crate::settings::{Origin, Setting};

/// A listener with a store.
struct Desk {
    address: String,
    recorded: Recorded,
    _stop: DropGuard,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        })
    }
}

async fn desk(server: &str, calls: Vec<Call>, login: Option<Arc<Login>>) -> Desk {
    desk_with(server, calls, login, &[]).await
}

/// The same with a configuration.
async fn desk_with(server: &str, calls: Vec<Call>, login: Option<Arc<Login>>, settings: &[Setting]) -> Desk {
    let (writer, reader) = memory::open();
    let recorded = Recorded::new(Arc::new(Store::over(writer, &reader).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Server {
        id: server.to_owned(),
        transport: "stdio".to_owned(),
        era: Some("both".to_owned()),
        state: State::Failed,
        reason: Some(format!("it said {server}")),
        restarts: 2,
        last_error: None,
        last_error_at_unix_ms: None,
        tools: Some(3),
        unvalidated_tools: None,
    };
    let health = move || Snapshot {
        version: "1.2.3",
        listen: "127.0.0.1:7070".parse().ok(),
        uptime_s: 7,
        phase: Phase::Serving,
        sessions: 2,
        calls_in_flight: 1,
        records_dropped: 0,
        losses: Losses::default(),
        reloads: Reloads::default(),
        servers: vec![server.clone()],
    };
    let settings = watch::channel(Arc::from(settings)).1;
    let shown = Shown { recorded: Some(recorded.clone()), settings, login, ..Shown::health(health) };
    let (_, front_door) = watch::channel(FrontDoor::default());
    let stop = CancellationToken::new();
    let token = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "it ends with the guard")]
    tokio::spawn(async move { serve(listener, shown, front_door, token).await });
    let desk = Desk { address, recorded, _stop: stop.drop_guard() };
    desk.record(calls).await;
    desk
}

impl Desk {
    /// Records calls, and waits until they are kept and summed up.
    async fn record(&self, calls: Vec<Call>) {
        let store = self.recorded.store();
        let expected = store.counts().written + calls.len() as u64;
        for call in &calls {
            self.recorded.show(call);
        }
        store.push(calls);
        while store.counts().summed < expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Notes what happened, and waits until it is kept.
    async fn note(&self, events: Vec<Event>) {
        let expected = events.len();
        for event in events {
            self.recorded.store().note(event);
        }
        let kept = || self.recorded.store().read(move |reader| reader.events(&Happened::default(), None, expected));
        while kept().await.unwrap().len() < expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "").await
    }
}

/// A call that is a minute old.
fn recent(nth: u64) -> Call {
    let at_us = clock::unix_millis(clock::wall()) * 1000 - 60_000_000;
    Call { at_us: at_us + nth, ..call(nth) }
}

/// A page without what differs from one answer to the next.
fn settled(page: &str) -> String {
    let mut page = page.to_owned();
    for (before, after) in [("nonce=\"", '"'), ("/assets/", '/'), ("after=", '"')] {
        let mut out = String::new();
        let mut rest = page.as_str();
        while let Some((head, tail)) = rest.split_once(before) {
            out.push_str(head);
            out.push_str(before);
            out.push('…');
            rest = tail.get(tail.find(after).unwrap()..).unwrap();
        }
        out.push_str(rest);
        page = out;
    }
    // How long ago something was depends on the day of the test.
    let mut words: Vec<String> = page.split(' ').map(str::to_owned).collect();
    for at in 2..words.len() {
        if words[at].starts_with("ago") {
            let digits = words[at - 2].trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
            words[at - 2] = format!("{digits}…");
            words[at - 1] = "…".to_owned();
        }
    }
    words.join(" ")
}

#[tokio::test]
async fn pages_look_like_this() {
    let calls: Vec<Call> = (0..25).map(call).collect();
    let row = calls[22].id;
    let then = tollhouse_store::conformance::NOON_US;
    let range = format!("range={}..{}", moment(then), moment(then + 300_000_000));
    let trace = Hex(&calls[22].trace).to_string();
    let settings = [
        Setting {
            key: "listen".to_owned(),
            value: "127.0.0.1:7070".to_owned(),
            origin: Origin::Default,
            place: String::new(),
        },
        Setting {
            key: "servers.files.command".to_owned(),
            value: "files-server".to_owned(),
            origin: Origin::File,
            place: "tollhouse.yaml:3:5".to_owned(),
        },
    ];
    let desk = desk_with("files", calls, None, &settings).await;
    let definition = r#"{"name":"tool-2","description":"Reads.","inputSchema":{"type":"object","required":["path"]}}"#;
    let added = Event::new(Kind::ToolAdded, then).at("files").of("tool-2").body(definition);
    let down = Event::new(Kind::ServerDown, then + 1).at("files").detail("connection refused");
    desk.note(vec![added, down]).await;
    for (name, path) in [
        ("overview", format!("/?{range}")),
        ("traces", format!("/traces?{range}")),
        ("trace", format!("/traces/{trace}?row={row}")),
        ("sessions", format!("/sessions?{range}")),
        ("session", format!("/sessions/session-1?principal=anonymous&{range}")),
        ("errors", format!("/errors?{range}")),
        ("servers", format!("/servers?{range}")),
        ("server", format!("/servers/files?{range}")),
        ("tool", format!("/servers/files/tools/tool-2?{range}")),
        ("settings", "/settings".to_owned()),
        ("calls", format!("/calls?{range}&f=server:eq:files&off=!tool:eq:tool-2")),
        ("call", format!("/calls?{range}&f=outcome:eq:tool_error&row={row}")),
        ("call-copy", format!("/calls?{range}&f=outcome:eq:tool_error&row={row}&tab=copy")),
        ("nothing", "/calls?range=5m".to_owned()),
    ] {
        let answer = desk.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        insta::assert_snapshot!(name, settled(&answer.body));
    }
}

fn moment(at_us: u64) -> String {
    crate::pages::rfc3339(at_us)
}

#[tokio::test]
async fn every_page_has_a_strict_policy_with_a_nonce_of_its_own() {
    let desk = desk("files", (0..3).map(recent).collect(), None).await;
    let mut nonces = std::collections::BTreeSet::new();
    for path in ["/", "/calls", "/calls?row=x", "/traces", "/sessions", "/errors", "/traces/x", "/calls?add=cost:1"] {
        let answer = desk.get(path).await;
        let policy = answer.field("content-security-policy").unwrap_or_default().to_owned();
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "'strict-dynamic'",
            "trusted-types 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        let nonce = policy
            .split_once("'nonce-")
            .and_then(|(_, rest)| rest.split_once('\''))
            .map(|(nonce, _)| nonce.to_owned())
            .unwrap();
        assert!(answer.body.contains(&format!("nonce=\"{nonce}\"")) && nonces.insert(nonce), "{path}");
    }
    let api = desk.get("/api/v1/calls").await;
    assert!(api.field("content-security-policy").unwrap().contains("default-src 'none'"));
}

#[tokio::test]
async fn every_link_of_the_list_keeps_what_was_chosen_and_what_is_not_known() {
    let desk = desk("files", (0..120).map(recent).collect(), None).await;
    let body = desk.get("/calls?range=6h&f=server:eq:files&mood=good").await.body;
    let links: Vec<&str> =
        body.split("href=\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(href, _)| href).collect();
    let ours: Vec<_> = links.iter().filter(|href| href.starts_with("/calls?") && href.contains("row=")).collect();
    assert!(ours.len() >= 60, "{}", ours.len());
    for href in ours {
        assert!(
            href.contains("range=6h") && href.contains("f=server:eq:files") && href.contains("mood=good"),
            "{href}"
        );
    }
}

#[tokio::test]
async fn the_list_goes_back_by_key_to_the_oldest_call_and_shows_each_once() {
    let desk = desk("files", (0..250).map(recent).collect(), None).await;
    let (mut path, mut seen) = ("/calls?range=1h".to_owned(), Vec::new());
    loop {
        let body = desk.get(&path).await.body;
        seen.extend(body.split("<tr id=\"c-").skip(1).filter_map(|rest| rest.get(..26)).map(str::to_owned));
        let Some((_, rest)) = body.split_once("rel=\"next\" href=\"") else { break };
        path = rest.split_once('"').unwrap().0.replace("&#38;", "&").replace("&amp;", "&");
    }
    let mut once = seen.clone();
    once.dedup();
    assert_eq!((seen.len(), once.len()), (250, 250));
    assert!(seen.is_sorted_by(|newer, older| newer > older));
}

#[tokio::test]
async fn words_lead_to_an_address_and_a_page_that_is_none_says_so() {
    let desk = desk("files", vec![recent(1)], None).await;
    let answer = desk.get("/calls?range=6h&add=server:files+failed").await;
    assert_eq!((answer.status, answer.field("location")), (303, Some("/calls?range=6h&f=server:eq:files&errors=true")));
    let page = desk.ask("GET", "/nope", "Accept: text/html\r\n", "").await;
    assert!(page.status == 404 && page.body.contains("There is no such page.") && page.body.contains("<h1>"));
    assert_eq!(desk.get("/nope").await.body, "no such page\n");
    assert_eq!(desk.get("/traces/00000000000000000000000000000001").await.status, 404);
}

#[tokio::test]
async fn somebody_new_is_told_what_to_do_first() {
    let desk = desk("files", vec![], None).await;
    let body = desk.get("/").await.body;
    assert!(
        body.contains("Nothing has been called yet")
            && body.contains("http://127.0.0.1:7070/mcp")
            && body.contains("tollhouse doctor")
    );
    desk.record(vec![recent(1)]).await;
    assert!(!desk.get("/?range=5m").await.body.contains("Nothing has been called yet"));
}

/// Templates with their texts.
fn templates() -> Vec<(String, String)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.display().to_string(), std::fs::read_to_string(&path).unwrap())
    };
    std::fs::read_dir(dir).unwrap().map(file).collect()
}

#[test]
fn templates_have_no_style_no_handler_and_nothing_that_is_not_escaped_but_charts() {
    // What draws itself, and escapes what it was given: see `charts`.
    let charts = ["svg", "picture", "bar", "spark", "scale"];
    let templates = templates();
    assert!(templates.len() >= 15);
    for (file, text) in templates {
        assert!(!text.contains(" style=") && !text.contains("javascript:"), "{file}");
        let handlers = text.split_whitespace().filter(|word| word.starts_with("on") && word.contains("=\""));
        assert_eq!(handlers.collect::<Vec<_>>(), Vec::<&str>::new(), "{file}");
        for (before, _) in text.match_indices("|safe").map(|(at, _)| text.split_at(at)) {
            let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
            assert!(charts.contains(&name), "{file}: {name}");
        }
        assert!(!text.contains("| safe") && !text.contains("escape none"), "{file}");
    }
}
