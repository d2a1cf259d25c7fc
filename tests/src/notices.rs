//! Changes of lists and resources: who is told, how often, and who is not.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::changing::{Changing, changing};
use crate::client::{Client, Stream, legacy_at, legacy_client, modern};
use crate::echo::Eras;
use crate::gateway::{Gateway, gateway};
use crate::stdio::child;
use crate::upstream;
use crate::wait::{soon, until};

const FRONT: &str = "/mcp";
const TOOLS: &str = r#"{"notifications":{"toolsListChanged":true}}"#;
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
/// What a child says of its tools, in each era.
const SAYS: [&str; 2] = [
    r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":$LISTEN}}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
];
/// Nothing is said for this long: longer than a notice may be held back.
const QUIET: Duration = Duration::from_millis(1600);

/// Somebody who hears of changes, and can ask what has changed.
struct Hearer {
    client: Client,
    stream: Stream,
}

impl Hearer {
    /// A modern client that listens at `path` for what `filter` says, under the id `id`.
    async fn modern(gateway: &Gateway, path: &str, id: &str, filter: &str) -> (Self, Value) {
        let client = modern(gateway).at(path);
        let stream = client.message("subscriptions/listen").id(id).params(filter).open().await;
        let mut hearer = Self { client, stream };
        let first = hearer.next().await;
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
        assert_eq!(first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].to_string(), id);
        let accepted = first["params"]["notifications"].clone();
        (hearer, accepted)
    }

    /// A legacy client that reads the stream of its session at `path`.
    async fn legacy(gateway: &Gateway, path: &str) -> Self {
        let client = legacy_at(gateway, path, "2025-06-18").await;
        let stream = Stream::of(client.verb("GET").sent().await).await;
        Self { client, stream }
    }

    async fn next(&mut self) -> Value {
        // Comments keep the stream alive, not the test.
        let event = soon("a message", self.stream.next()).await.expect("the stream goes on");
        serde_json::from_str(&event.data).expect("every event is a message")
    }

    /// The method of the next message.
    async fn method(&mut self) -> String {
        self.next().await["method"].as_str().unwrap_or_default().to_owned()
    }

    /// Is nothing said for a while?
    async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(QUIET, self.stream.next()).await.is_err()
    }

    /// The tools it is shown.
    async fn tools(&self) -> Vec<String> {
        let answer = self.client.message("tools/list").send().await.json();
        let tools = answer["result"]["tools"].as_array().cloned().unwrap_or_default();
        tools.iter().map(|tool| tool["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn is_shown(&self, tool: &str) -> bool {
        self.tools().await.iter().any(|shown| shown == tool)
    }
}

/// A client of this era that hears of changed tools of all servers.
async fn hearer(gateway: &Gateway, server: &Changing, era: Eras) -> Hearer {
    let hearer = match era {
        Eras::Modern => {
            let (hearer, accepted) = Hearer::modern(gateway, FRONT, "\"a\"", TOOLS).await;
            assert_eq!(accepted, json!({"toolsListChanged": true}));
            hearer
        }
        _ => Hearer::legacy(gateway, FRONT).await,
    };
    heard(server, 1).await;
    hearer
}

/// Waits until so many listens and streams of the server are read.
async fn heard(server: &Changing, readers: usize) {
    until("the server is heard", || server.listens().len() + server.streams() == readers).await;
}

#[tokio::test]
async fn a_65_ten_thousand_words_for_a_change_become_few_lists_and_fewer_notices() {
    for era in [Eras::Modern, Eras::Legacy] {
        let server = changing(era).await;
        let gateway = gateway().with(&server).start().await;
        let mut hearer = hearer(&gateway, &server, era).await;
        assert!(hearer.is_shown("tested__echo").await);
        let (lists, start) = (server.lists(), Instant::now());
        // A thousand at once, ten times in a second, and another list each time.
        for round in 0..10 {
            server.set_tools(&[&format!("round-{round}")]);
            for _ in 0..1000 {
                server.announce("tools");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        server.set_tools(&["last"]);
        server.announce("tools");
        let last = Instant::now();
        let mut heard = 0;
        loop {
            assert_eq!(hearer.method().await, TOOLS_CHANGED);
            heard += 1;
            if hearer.is_shown("tested__last").await {
                break;
            }
        }
        assert!(last.elapsed() < Duration::from_secs(4), "the last change was told after {:?}", last.elapsed());
        // It may have seen the last change before that was noticed, which follows then, and the one before may, too.
        let mut more = 0;
        while !hearer.is_quiet().await {
            more += 1;
        }
        assert!(more <= 2, "{more} notices more");
        let seconds = usize::try_from(start.elapsed().as_secs()).expect("a few");
        // The client itself has asked once for each notice.
        let lists = server.lists() - lists - heard;
        assert!(heard + more <= 2 + seconds && lists <= 3 + seconds, "{heard} notices, {lists} lists in {seconds} s");
        gateway.ends_well(&[]).await;
    }
}

#[tokio::test]
async fn a_65_a_server_that_says_so_with_every_list_causes_no_loop() {
    for era in [Eras::Modern, Eras::Legacy] {
        let server = changing(era).await;
        server.echo_lists();
        let gateway = gateway().with(&server).start().await;
        let mut hearer = hearer(&gateway, &server, era).await;
        assert!(hearer.is_shown("tested__echo").await);
        let (lists, start) = (server.lists(), Instant::now());
        while start.elapsed() < Duration::from_secs(5) {
            assert!(hearer.is_quiet().await, "nothing has changed");
        }
        let lists = server.lists() - lists;
        assert!(lists <= 7, "{lists} lists in {:?}", start.elapsed());
        // A real change is told all the same, once.
        server.set_tools(&["late"]);
        server.announce("tools");
        let announced = Instant::now();
        assert_eq!(hearer.method().await, TOOLS_CHANGED);
        assert!(announced.elapsed() < Duration::from_secs(3), "it took {:?}", announced.elapsed());
        assert!(hearer.is_shown("tested__late").await && hearer.is_quiet().await);
        gateway.ends_well(&[]).await;
    }
}

#[tokio::test]
async fn a_server_that_dies_takes_its_tools_with_it_and_brings_them_back_with_one_notice_each() {
    for era in [Eras::Modern, Eras::Legacy] {
        let mut server = changing(era).await;
        let gateway = gateway().with(&server).start().await;
        let mut hearer = hearer(&gateway, &server, era).await;
        assert!(hearer.is_shown("tested__echo").await);
        server.die().await;
        assert_eq!(hearer.method().await, TOOLS_CHANGED);
        assert_eq!(hearer.tools().await, ["neighbour__echo"]);
        assert!(hearer.is_quiet().await);
        server.come_back().await;
        assert_eq!(hearer.method().await, TOOLS_CHANGED);
        assert!(hearer.is_shown("tested__echo").await && hearer.is_quiet().await);
        // It is heard as before.
        heard(&server, 1).await;
        server.set_tools(&["more"]);
        server.announce("tools");
        assert_eq!(hearer.method().await, TOOLS_CHANGED);
        assert!(hearer.is_shown("tested__more").await);
        gateway.ends_well(&[]).await;
    }
}

#[tokio::test]
async fn a_server_that_comes_late_joins_sessions_that_are_open() {
    let mut server = changing(Eras::Legacy).await;
    server.die().await;
    let gateway = gateway().with(&server).start().await;
    let mut hearer = Hearer::legacy(&gateway, FRONT).await;
    assert_eq!(hearer.tools().await, ["neighbour__echo"]);
    server.come_back().await;
    assert_eq!(hearer.method().await, TOOLS_CHANGED);
    assert!(hearer.is_shown("tested__echo").await);
    let answer = hearer.client.call("tested__echo", json!({"nonce": "n"})).await;
    assert_eq!(answer.text(), "n");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_server_that_joins_or_leaves_by_the_configuration_changes_the_lists_with_one_notice() {
    for era in [Eras::Modern, Eras::Legacy] {
        let (server, other) = (changing(era).await, upstream::echo().start().await);
        let two = || gateway().alone().with(&server).server("other", &other);
        let late = changing(era).await;
        let mut gateway = two().start().await;
        let mut hearer = hearer(&gateway, &server, era).await;
        assert_eq!(hearer.tools().await, ["tested__echo", "other__echo"]);
        gateway.reload(&two().server("late", &late)).await;
        assert_eq!(hearer.method().await, TOOLS_CHANGED);
        assert!(hearer.is_shown("late__echo").await && hearer.is_quiet().await);
        heard(&late, 1).await;
        late.set_tools(&["more"]);
        late.announce("tools");
        assert_eq!(hearer.method().await, TOOLS_CHANGED);
        assert!(hearer.is_shown("late__more").await);
        gateway.reload(&two()).await;
        assert_eq!(hearer.method().await, TOOLS_CHANGED);
        assert_eq!(hearer.tools().await, ["tested__echo", "other__echo"]);
        assert!(hearer.is_quiet().await);
        heard(&late, 0).await;
        assert!(gateway.process.alive(), "{}", gateway.stderr());
    }
}

#[tokio::test]
async fn an_announcement_without_a_change_is_no_notice() {
    for era in [Eras::Modern, Eras::Legacy] {
        let server = changing(era).await;
        let gateway = gateway().with(&server).start().await;
        let mut hearer = hearer(&gateway, &server, era).await;
        assert!(hearer.is_shown("tested__echo").await);
        let lists = server.lists();
        server.announce("tools");
        until("the list was read again", || server.lists() > lists).await;
        assert!(hearer.is_quiet().await);
        gateway.ends_well(&[]).await;
    }
}

#[tokio::test]
async fn each_listen_hears_what_it_asked_for_under_its_own_id() {
    let server = changing(Eras::Modern).await;
    server.set_resources(&["test://a"]);
    let gateway = gateway().with(&server).start().await;
    let resources = r#"{"notifications":{"resourcesListChanged":true,"promptsListChanged":false}}"#;
    let (mut one, _) = Hearer::modern(&gateway, FRONT, "1", TOOLS).await;
    let (mut other, accepted) = Hearer::modern(&gateway, FRONT, "\"1\"", resources).await;
    assert_eq!(accepted, json!({"resourcesListChanged": true}));
    server.set_tools(&["more"]);
    server.set_resources(&["test://b"]);
    server.announce("tools");
    server.announce("resources");
    let expected = json!({"jsonrpc": "2.0", "method": TOOLS_CHANGED, "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": 1}}});
    assert_eq!(one.next().await, expected);
    let heard = other.next().await;
    let id = &heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    assert_eq!((heard["method"].as_str(), id), (Some("notifications/resources/list_changed"), &json!("1")));
    assert!(one.is_quiet().await && other.is_quiet().await);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_listen_hears_of_resources_of_several_servers_and_of_no_others() {
    let (one, two) = (changing(Eras::Modern).await, changing(Eras::Modern).await);
    one.set_resources(&["test://one", "test://not-asked-for"]);
    two.set_resources(&["test://two"]);
    let gateway = gateway().with(&one).server("two", &two).start().await;
    let asked = |uris: &[&str]| json!({"notifications": {"resourceSubscriptions": uris}}).to_string();
    let filter = asked(&["test://one", "test://two", "test://nobody"]);
    let (mut hearer, accepted) = Hearer::modern(&gateway, FRONT, "\"x\"", &filter).await;
    assert_eq!(accepted, json!({"resourceSubscriptions": ["test://one", "test://two"]}));
    let (mut narrow, _) = Hearer::modern(&gateway, FRONT, "2", &asked(&["test://two"])).await;
    for (server, uri) in [(&one, "test://one"), (&one, "test://not-asked-for"), (&two, "test://two")] {
        server.update(uri);
    }
    let mut heard = Vec::new();
    for _ in 0..2 {
        let notice = hearer.next().await;
        assert_eq!(notice["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "x");
        heard.push(notice["params"]["uri"].as_str().unwrap_or_default().to_owned());
    }
    heard.sort();
    assert_eq!(heard, ["test://one", "test://two"]);
    assert_eq!(narrow.next().await["params"]["uri"], "test://two");
    assert!(hearer.is_quiet().await && narrow.is_quiet().await);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_server_is_listened_to_once_and_only_while_somebody_wants_it() {
    let server = changing(Eras::Modern).await;
    server.set_resources(&["test://a"]);
    let gateway = gateway().with(&server).start().await;
    assert_eq!(server.listens(), Vec::<Value>::new());
    let (one, _) = Hearer::modern(&gateway, FRONT, "1", TOOLS).await;
    let (two, _) = Hearer::modern(&gateway, FRONT, "1", TOOLS).await;
    assert_eq!(server.listens(), [json!({"toolsListChanged": true})]);
    let resource = r#"{"notifications":{"resourceSubscriptions":["test://a"]}}"#;
    let (three, _) = Hearer::modern(&gateway, FRONT, "1", resource).await;
    let both = json!({"toolsListChanged": true, "resourceSubscriptions": ["test://a"]});
    until("one listen is for all of them", || server.listens() == [both.clone()]).await;
    drop((one, three));
    drop(two);
    until("nobody listens to the server", || server.listens().is_empty()).await;
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_drain_ends_listens_with_their_result_and_does_not_wait_for_them() {
    let server = changing(Eras::Modern).await;
    let mut gateway = gateway().with(&server).start().await;
    let (mut merged, _) = Hearer::modern(&gateway, FRONT, "\"m\"", TOOLS).await;
    let (mut passed, _) = Hearer::modern(&gateway, &gateway.path(), "7", TOOLS).await;
    let start = Instant::now();
    gateway.process.signal(Signal::TERM);
    for (hearer, id) in [(&mut merged, json!("m")), (&mut passed, json!(7))] {
        let last = hearer.next().await;
        let named = &last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert_eq!((&last["id"], named), (&id, &id), "{last}");
        assert!(hearer.stream.next().await.is_none(), "nothing follows");
    }
    assert_eq!(gateway.process.exit().await.code(), Some(0), "{}", gateway.stderr());
    assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
}

#[tokio::test]
async fn a_listen_too_many_is_refused_and_calls_are_not() {
    let server = changing(Eras::Modern).await;
    let gateway = gateway().with(&server).limits("{listens: 2, calls: 1}").start().await;
    let (one, _) = Hearer::modern(&gateway, FRONT, "1", TOOLS).await;
    let (_two, _) = Hearer::modern(&gateway, &gateway.path(), "2", TOOLS).await;
    let third = async || {
        let refused = modern(&gateway).at(FRONT).message("subscriptions/listen").params(TOOLS).open().await;
        refused.head.line.contains(" 429 ")
    };
    assert!(third().await);
    let answer = modern(&gateway).at(FRONT).call("tested__echo", json!({"nonce": "n"})).await;
    assert_eq!(answer.text(), "n");
    drop(one);
    // Its place is free once it was noticed that it left.
    let start = Instant::now();
    while third().await {
        assert!(start.elapsed() < crate::wait::PATIENCE, "its place is never free");
    }
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_filter_that_is_none_is_refused() {
    let server = changing(Eras::Modern).await;
    let gateway = gateway().with(&server).start().await;
    for params in ["{}", r#"{"notifications":[]}"#, r#"{"notifications":"all"}"#] {
        let refused = modern(&gateway).at(FRONT).message("subscriptions/listen").params(params).send().await;
        assert_eq!(refused.refusal(), (400, -32602), "{params}");
    }
    let legacy = legacy_at(&gateway, FRONT, "2025-06-18").await;
    let refused = legacy.message("subscriptions/listen").params(TOOLS).send().await;
    assert_eq!(refused.refusal(), (200, -32601));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_65_one_servers_own_notices_pass_at_most_once_a_second_and_the_last_is_not_lost() {
    let server = changing(Eras::Dual).await;
    let gateway = gateway().with(&server).start().await;
    let (mut modern, _) = Hearer::modern(&gateway, &gateway.path(), "1", TOOLS).await;
    let mut legacy = Hearer::legacy(&gateway, &gateway.path()).await;
    heard(&server, 2).await;
    for _ in 0..10_000 {
        server.announce("tools");
    }
    for hearer in [&mut modern, &mut legacy] {
        assert_eq!([hearer.method().await, hearer.method().await], [TOOLS_CHANGED, TOOLS_CHANGED]);
        // On a busy machine the storm may last longer than a second.
        let mut more = 0;
        while !hearer.is_quiet().await {
            more += 1;
        }
        assert!(more <= 3, "{more} notices more");
    }
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_legacy_session_hears_of_the_resources_it_subscribed_to() {
    let server = changing(Eras::Legacy).await;
    server.set_resources(&["test://a", "test://b"]);
    let gateway = gateway().with(&server).start().await;
    let mut hearer = Hearer::legacy(&gateway, FRONT).await;
    heard(&server, 1).await;
    let subscribed = hearer.client.message("resources/subscribe").params(r#"{"uri":"test://a"}"#).send().await;
    assert_eq!(subscribed.json()["result"], json!({}));
    server.update("test://b");
    server.update("test://a");
    assert_eq!(hearer.next().await["params"]["uri"], "test://a");
    gateway.ends_well(&[]).await;
}

/// The paths of a session before one modern server and before several, and what the tool `more` is called there.
fn paths(gateway: &Gateway) -> [(String, &'static str); 2] {
    [(gateway.path(), "more"), (FRONT.to_owned(), "tested__more")]
}

/// Subscribes to a resource, or ends that.
async fn subscribe(hearer: &Hearer, method: &str, uri: &str) {
    let answer = hearer.client.message(method).params(&json!({"uri": uri}).to_string()).send().await;
    assert_eq!(answer.json()["result"], json!({}), "{}", answer.json());
}

#[tokio::test]
async fn a_session_hears_of_the_lists_of_a_modern_server() {
    let mut server = changing(Eras::Modern).await;
    let gateway = gateway().with(&server).start().await;
    for (path, more) in paths(&gateway) {
        server.set_tools(&[]);
        server.set_resources(&[]);
        let mut hearer = Hearer::legacy(&gateway, &path).await;
        heard(&server, 1).await;
        assert!(!hearer.is_shown(more).await);
        // What it was shown counts at the endpoint of all servers, what the gateway has seen at that of one.
        hearer.client.message("resources/list").send().await;
        until("the gateway has seen its tools", || server.lists() > 1).await;
        server.set_tools(&["more"]);
        server.announce("tools");
        assert_eq!(hearer.next().await, json!({"jsonrpc": "2.0", "method": TOOLS_CHANGED}));
        assert!(hearer.is_shown(more).await);
        server.set_resources(&["test://a"]);
        server.announce("resources");
        assert_eq!(hearer.method().await, "notifications/resources/list_changed");
        assert!(hearer.is_quiet().await);
        // It is heard again once it is back.
        server.die().await;
        server.set_tools(&[]);
        server.come_back().await;
        while hearer.is_shown(more).await || hearer.tools().await.is_empty() {
            hearer.method().await;
        }
        heard(&server, 1).await;
        drop(hearer.stream);
        hearer.client.verb("DELETE").sent().await;
        until("nobody listens to the server", || server.listens().is_empty()).await;
    }
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn sessions_hear_of_the_resources_of_a_modern_server_that_they_subscribed_to() {
    let server = changing(Eras::Modern).await;
    server.set_resources(&["test://a", "test://b"]);
    let gateway = gateway().with(&server).start().await;
    for (path, _) in paths(&gateway) {
        let (mut one, mut other) = (Hearer::legacy(&gateway, &path).await, Hearer::legacy(&gateway, &path).await);
        subscribe(&one, "resources/subscribe", "test://a").await;
        subscribe(&one, "resources/subscribe", "test://b").await;
        subscribe(&other, "resources/subscribe", "test://b").await;
        let asked = |server: &Changing| server.listens().iter().map(|l| l["resourceSubscriptions"].clone()).collect();
        let asked: fn(&Changing) -> Vec<Value> = asked;
        until("one listen is for both", || asked(&server) == [json!(["test://a", "test://b"])]).await;
        server.update("test://a");
        let notice =
            json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "test://a"}});
        assert_eq!(one.next().await, notice);
        subscribe(&one, "resources/unsubscribe", "test://b").await;
        server.update("test://b");
        assert_eq!(other.next().await["params"]["uri"], "test://b");
        assert!(one.is_quiet().await && other.is_quiet().await);
        for hearer in [one, other] {
            drop(hearer.stream);
            hearer.client.verb("DELETE").sent().await;
        }
        until("nobody listens to the server", || server.listens().is_empty()).await;
    }
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_modern_child_that_dies_is_listened_to_again_for_the_sessions_that_subscribed() {
    let server = child().argument("modern").argument("changes");
    let gateway = gateway().with(&server).start().await;
    let mut hearer = Hearer::legacy(&gateway, &gateway.path()).await;
    subscribe(&hearer, "resources/subscribe", "test://child").await;
    let says = r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"test://child","_meta":{"io.modelcontextprotocol/subscriptionId":$LISTEN,"own":1}}}"#;
    server.say(says);
    assert_eq!(hearer.next().await["params"], json!({"uri": "test://child", "_meta": {"own": 1}}));
    server.say("exit");
    // What it lists was away for a moment: one notice for each kind.
    let mut heard = [hearer.method().await, hearer.method().await];
    heard.sort();
    assert_eq!(heard, ["notifications/resources/list_changed", TOOLS_CHANGED]);
    assert!(hearer.is_quiet().await);
    server.say(says);
    assert_eq!(hearer.next().await["params"]["uri"], "test://child");
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn what_a_child_logs_reaches_the_call_it_is_of_beside_a_listen() {
    let server = child().argument("modern").argument("changes");
    let gateway = gateway().with(&server).start().await;
    let hearer = Hearer::legacy(&gateway, &gateway.path()).await;
    subscribe(&hearer, "resources/subscribe", "test://child").await;
    let answer = hearer.client.call("echo", json!({"nonce": "n", "log": "said"})).await;
    let others: Vec<_> = answer.others().iter().map(|other| other["params"]["data"].clone()).collect();
    assert_eq!((answer.text(), others), ("n".to_owned(), vec![json!("said")]));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_modern_client_hears_of_a_server_that_knows_sessions_only() {
    let mut server = changing(Eras::Legacy).await;
    server.set_resources(&["test://a", "test://b"]);
    let gateway = gateway().with(&server).start().await;
    for (path, more) in paths(&gateway) {
        let filter = r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["test://a"]}}"#;
        let (mut hearer, accepted) = Hearer::modern(&gateway, &path, "\"a\"", filter).await;
        assert_eq!(accepted, json!({"toolsListChanged": true, "resourceSubscriptions": ["test://a"]}));
        let other = r#"{"notifications":{"resourceSubscriptions":["test://b"]}}"#;
        let (mut other, accepted) = Hearer::modern(&gateway, &path, "7", other).await;
        assert_eq!(accepted, json!({"resourceSubscriptions": ["test://b"]}));
        heard(&server, 1).await;
        server.set_tools(&["more"]);
        server.announce("tools");
        let notice = hearer.next().await;
        let id = &notice["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert_eq!((notice["method"].as_str(), id), (Some(TOOLS_CHANGED), &json!("a")));
        assert!(hearer.is_shown(more).await);
        server.update("test://a");
        server.update("test://b");
        assert_eq!(hearer.next().await["params"]["uri"], "test://a");
        assert_eq!(other.next().await["params"]["uri"], "test://b");
        assert!(hearer.is_quiet().await && other.is_quiet().await);
        server.die().await;
        assert_eq!(hearer.method().await, TOOLS_CHANGED);
        server.come_back().await;
        assert_eq!(hearer.method().await, TOOLS_CHANGED);
        heard(&server, 1).await;
        drop(other);
        server.update("test://a");
        assert_eq!(hearer.next().await["params"]["uri"], "test://a");
        drop(hearer);
        until("nobody listens to the server", || server.streams() == 0).await;
        server.set_tools(&[]);
    }
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_modern_client_hears_of_a_child_that_knows_sessions_only() {
    let server = child().argument("legacy").argument("changes");
    let gateway = gateway().with(&server).start().await;
    let (mut hearer, _) = Hearer::modern(&gateway, &gateway.path(), "1", TOOLS).await;
    // Nobody has called yet: the one process is that in which it is heard.
    server.set_tools(&["more"]);
    server.say(SAYS[1]);
    assert_eq!(hearer.method().await, TOOLS_CHANGED);
    assert!(hearer.is_shown("more").await && hearer.is_quiet().await);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn what_a_modern_server_tells_of_is_claimed_to_sessions() {
    let server = changing(Eras::Modern).await;
    let gateway = gateway().with(&server).start().await;
    for (path, _) in paths(&gateway) {
        let client = legacy_client(&gateway, "2025-06-18").at(&path);
        let params = r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#;
        let result = client.message("initialize").params(params).send().await.json()["result"].clone();
        let expected = json!({"tools": {"listChanged": true}, "resources": {"listChanged": true, "subscribe": true}});
        assert_eq!(result["capabilities"], expected);
    }
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn what_modern_clients_may_listen_for_is_claimed() {
    let server = changing(Eras::Modern).await;
    let gateway = gateway().with(&server).start().await;
    let discovered = modern(&gateway).at(FRONT).message("server/discover").send().await.json();
    let expected = json!({"tools": {"listChanged": true}, "resources": {"listChanged": true, "subscribe": true}});
    assert_eq!(discovered["result"]["capabilities"], expected);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_65_a_child_that_says_so_ten_thousand_times_causes_few_notices() {
    for (era, says) in [Eras::Modern, Eras::Legacy].into_iter().zip(SAYS) {
        let word = if era == Eras::Modern { "modern" } else { "legacy" };
        let server = child().argument(word).argument("changes");
        let gateway = gateway().with(&server).start().await;
        let mut hearer = match era {
            Eras::Modern => Hearer::modern(&gateway, FRONT, "1", TOOLS).await.0,
            _ => Hearer::legacy(&gateway, FRONT).await,
        };
        assert!(hearer.is_shown("tested__echo").await);
        server.set_tools(&["more"]);
        server.say(&vec![says; 10_000].join("\n"));
        let mut heard = 0;
        while heard == 0 || !hearer.is_shown("tested__more").await {
            assert_eq!(hearer.method().await, TOOLS_CHANGED);
            heard += 1;
        }
        while !hearer.is_quiet().await {
            heard += 1;
        }
        assert!(heard <= 3, "{heard} notices of one change");
        gateway.ends_well(&[]).await;
    }
}

#[tokio::test]
async fn a_child_that_all_share_dies_with_its_tools_and_comes_back_with_one_notice_each() {
    let server = child().argument("modern").argument("changes");
    let gateway = gateway().with(&server).start().await;
    let (mut hearer, _) = Hearer::modern(&gateway, FRONT, "1", TOOLS).await;
    server.say("exit");
    assert_eq!(hearer.method().await, TOOLS_CHANGED);
    assert_eq!(hearer.method().await, TOOLS_CHANGED);
    assert!(hearer.is_shown("tested__echo").await && hearer.is_quiet().await);
    server.set_tools(&["more"]);
    server.say(SAYS[0]);
    assert_eq!(hearer.method().await, TOOLS_CHANGED);
    assert!(hearer.is_shown("tested__more").await);
    // Nobody is left: the child is told.
    drop(hearer);
    until("the child's listen is given up", || server.cancelled().len() == 1).await;
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_sessions_own_child_that_dies_is_replaced_unnoticed_and_told_of_its_subscriptions() {
    let server = child().argument("legacy").argument("changes");
    let gateway = gateway().with(&server).start().await;
    let mut hearer = Hearer::legacy(&gateway, FRONT).await;
    assert!(hearer.is_shown("tested__echo").await);
    let subscribed = hearer.client.message("resources/subscribe").params(r#"{"uri":"test://child"}"#).send().await;
    assert_eq!(subscribed.json()["result"], json!({}));
    server.say("exit");
    until("its successor is told", || server.subscribed().len() == 2).await;
    assert!(hearer.is_quiet().await, "its list is the same");
    server.say(r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"test://child"}}"#);
    assert_eq!(hearer.next().await["params"]["uri"], "test://child");
    gateway.ends_well(&[]).await;
}

/// A modern client on a pipe before two servers, one of which changes: its listen `"l"` is open.
async fn piped(server: &Changing, other: &upstream::Upstream) -> crate::stdio::Client {
    let mut client = gateway().with(server).server("other", other).stdio();
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": crate::echo::MODERN, "io.modelcontextprotocol/clientCapabilities": {}
    });
    let params = json!({"notifications": {"toolsListChanged": true}, "_meta": meta});
    client
        .send(&json!({"jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen", "params": params}).to_string())
        .await;
    let first = client.message().await;
    assert_eq!(first["params"]["notifications"], json!({"toolsListChanged": true}), "{first}");
    client
}

#[tokio::test]
async fn a_client_on_a_pipe_hears_what_it_listens_for_until_it_cancels() {
    let (server, other) = (changing(Eras::Modern).await, upstream::echo().start().await);
    let mut client = piped(&server, &other).await;
    server.set_tools(&["more"]);
    server.announce("tools");
    let notice = client.message().await;
    let id = &notice["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    assert_eq!((notice["method"].as_str(), id), (Some(TOOLS_CHANGED), &json!("l")));
    client.send(&crate::message::cancel("\"l\"")).await;
    until("nobody listens to the server", || server.listens().is_empty()).await;
    server.announce("tools");
    assert!(client.is_quiet(QUIET).await);
    client.ends_well(&[]).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_its_listen() {
    let (server, other) = (changing(Eras::Modern).await, upstream::echo().start().await);
    let mut client = piped(&server, &other).await;
    client.hang_up();
    assert_eq!(client.process.exit().await.code(), Some(0), "{}", client.process.stderr());
}

#[tokio::test]
async fn a_drain_ends_a_listen_on_a_pipe_in_both_ways_that_clients_wait_for() {
    let (server, other) = (changing(Eras::Modern).await, upstream::echo().start().await);
    let mut client = piped(&server, &other).await;
    client.process.signal(Signal::TERM);
    let cancelled = client.message().await;
    let expected = (Some("notifications/cancelled"), &json!("l"));
    assert_eq!((cancelled["method"].as_str(), &cancelled["params"]["requestId"]), expected);
    let last = client.message().await;
    let named = &last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    assert_eq!((&last["id"], named), (&json!("l"), &json!("l")));
    assert_eq!(client.process.exit().await.code(), Some(0), "{}", client.process.stderr());
}
