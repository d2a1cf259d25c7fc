//! What the things of several servers are called at `/mcp`, and that each name leads to one thing.

use serde_json::json;

use crate::client::{Answer, legacy_at, modern};
use crate::echo::Message;
use crate::gateway::{Gateway, gateway};
use crate::upstream::{self, Upstream, echo, text};

const FRONT: &str = "/mcp";

fn tools(message: &Message, names: &[&str]) -> String {
    let hints = if message.modern() { r#","resultType":"complete","ttlMs":0,"cacheScope":"private""# } else { "" };
    let tools: Vec<_> =
        names.iter().map(|name| format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}}}}"#)).collect();
    format!(r#"{{"tools":[{}]{hints}}}"#, tools.join(","))
}

/// A server of any tool, which lists these.
async fn offering(list: fn(&Message) -> String) -> Upstream {
    echo().lists(list).answers([text("$FINAL")]).start().await
}

/// `search` and a tool whose name looks like one with a prefix.
async fn first() -> Upstream {
    offering(|message| tools(message, &["search", "a__b"])).await
}

/// `search` and a tool that nobody else has.
async fn second() -> Upstream {
    offering(|message| tools(message, &["own", "search"])).await
}

/// The names of the tools in an answer, in its order.
fn names(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let tools = json["result"]["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["name"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn listed(gateway: &Gateway) -> Vec<String> {
    names(&modern(gateway).at(FRONT).message("tools/list").send().await)
}

/// The tools these servers were called for last.
fn called(upstream: &Upstream) -> Vec<String> {
    let calls = upstream.received("tools/call");
    calls
        .iter()
        .map(|call| call.message.as_ref().map_or(String::new(), |call| call.params["name"].to_string()))
        .collect()
}

/// What is listed in this mode, and that each listed name reaches the tool it was made of, for clients of both eras.
async fn check_mode(mode: &str, expected: [(&str, usize, &str); 4]) {
    let servers = [first().await, second().await];
    let builder = gateway().alone().server("one", &servers[0]).server("two", &servers[1]);
    let gateway = builder.names(&format!("{{prefix: {mode}}}")).start().await;
    let expected: Vec<_> = expected.into_iter().filter(|(name, ..)| !name.is_empty()).collect();
    let listed = listed(&gateway).await;
    assert_eq!(listed, expected.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), "{mode}");
    let legacy = legacy_at(&gateway, FRONT, "2025-06-18").await;
    let mut reached = [Vec::new(), Vec::new()];
    for (name, server, local) in &expected {
        for client in [&modern(&gateway).at(FRONT), &legacy] {
            let answer = client.call(name, json!({"nonce": name})).await;
            assert_eq!((answer.outcome().as_str(), answer.text().as_str()), ("ok", *name), "{mode}: {answer:?}");
            reached[*server].push(format!("\"{local}\""));
        }
    }
    assert_eq!([called(&servers[0]), called(&servers[1])], reached, "{mode}");
}

#[tokio::test]
async fn a_66_tools_of_one_name_are_called_by_distinct_names_and_no_name_is_taken_apart() {
    let prefixed =
        [("one__search", 0, "search"), ("one__a__b", 0, "a__b"), ("two__own", 1, "own"), ("two__search", 1, "search")];
    check_mode("conditional", prefixed).await;
    check_mode("always", prefixed).await;
}

#[tokio::test]
async fn a_66_a_prefix_on_collision_is_for_shared_names_alone() {
    let expected = [("one__search", 0, "search"), ("a__b", 0, "a__b"), ("own", 1, "own"), ("two__search", 1, "search")];
    check_mode("on_collision", expected).await;
}

#[tokio::test]
async fn a_66_without_prefixes_the_first_server_keeps_a_shared_name_and_one_warning_says_so() {
    check_mode("never", [("search", 0, "search"), ("a__b", 0, "a__b"), ("own", 1, "own"), ("", 0, "")]).await;
    let servers = [first().await, second().await];
    let gateway = gateway().alone().server("one", &servers[0]).server("two", &servers[1]).names("{prefix: never}");
    let gateway = gateway.start().await;
    assert_eq!(listed(&gateway).await, listed(&gateway).await);
    let told = gateway.stderr();
    let warnings: Vec<_> = told.lines().filter(|line| line.contains("left out of the lists")).collect();
    let [warning] = warnings[..] else { panic!("{} warnings: {told}", warnings.len()) };
    assert!(warning.contains("\"two\"") && warning.contains("\"search\""), "{warning}");
}

#[tokio::test]
async fn a_66_a_single_server_keeps_its_names_unless_prefixes_are_always_there() {
    for (mode, expected) in
        [("conditional", "search"), ("on_collision", "search"), ("never", "search"), ("always", "one__search")]
    {
        let server = first().await;
        let gateway = gateway().alone().server("one", &server).names(&format!("{{prefix: {mode}}}")).start().await;
        assert_eq!(listed(&gateway).await[0], expected, "{mode}");
        let answer = modern(&gateway).at(FRONT).call(expected, json!({"nonce": "n"})).await;
        assert_eq!((answer.text().as_str(), called(&server)), ("n", vec!["\"search\"".to_owned()]), "{mode}");
    }
}

#[tokio::test]
async fn a_66_names_over_the_limit_are_cut_stay_distinct_and_are_the_same_in_every_run() {
    fn long(message: &Message) -> String {
        let long = "x".repeat(70);
        tools(message, &[&format!("{long}1"), &format!("{long}2"), "short"])
    }
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (server, other) = (offering(long).await, second().await);
        let builder = gateway().alone().server("one", &server).server("two", &other).names("{max_length: 60}");
        let gateway = builder.start().await;
        let names = listed(&gateway).await;
        assert_eq!(names.iter().map(String::len).collect::<Vec<_>>(), [60, 60, 10, 8, 11], "{names:?}");
        for name in &names[..2] {
            assert_eq!(modern(&gateway).at(FRONT).call(name, json!({"nonce": "n"})).await.outcome(), "ok");
        }
        assert_eq!(called(&server), ["1", "2"].map(|end| format!("\"{}{end}\"", "x".repeat(70))));
        runs.push(names);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0][0], runs[0][1]);
}

#[tokio::test]
async fn a_66_a_list_is_the_same_to_the_byte_when_nothing_has_changed() {
    let servers = [first().await, second().await];
    let gateway = gateway().alone().server("one", &servers[0]).server("two", &servers[1]).start().await;
    let client = legacy_at(&gateway, FRONT, "2025-11-25").await;
    let mut lists = Vec::new();
    for _ in 0..3 {
        lists.push(client.message("tools/list").id("7").send().await.finals().join(""));
    }
    assert_eq!((&lists[1], &lists[2], lists[0].contains("one__search")), (&lists[0], &lists[0], true));
}

#[tokio::test]
async fn a_resource_that_a_result_named_is_read_from_the_server_whose_result_it_was() {
    let link = r#"{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"complete","content":[{"type":"resource_link","uri":"made://1","name":"n"},{"type":"resource","resource":{"uri":"made://2","text":"t"}}]}}"#;
    let (one, two) = (upstream::echo().start().await, echo().answers([text(link)]).start().await);
    let gateway = gateway().alone().server("one", &one).server("two", &two).start().await;
    let client = modern(&gateway).at(FRONT);
    let read = async |uri: &str| {
        let params = json!({"uri": uri}).to_string();
        client.message("resources/read").params(&params).field("Mcp-Name", uri).send().await.refusal()
    };
    assert_eq!(read("made://1").await, (200, -32602));
    assert_eq!(client.call("two__echo", json!({})).await.outcome(), "ok");
    // The server that is asked knows no such method, which shows that it was asked.
    assert_eq!(
        [read("made://1").await, read("made://2").await, read("made://3").await],
        [(404, -32601), (404, -32601), (200, -32602)]
    );
    assert_eq!([&one, &two].map(|server| server.received("resources/read").len()), [0, 2]);
}

#[tokio::test]
async fn a_66_prompts_are_named_like_tools() {
    let list = r#"{"jsonrpc":"2.0","id":$ID,"result":{"prompts":[{"name":"greet"}],"resultType":"complete","ttlMs":0,"cacheScope":"private"}}"#;
    let server = async || echo().to("prompts/list").answers([text(list)]).start().await;
    let (one, two) = (server().await, server().await);
    let gateway = gateway().alone().server("one", &one).server("two", &two).start().await;
    let client = modern(&gateway).at(FRONT);
    let listed = client.message("prompts/list").send().await.json();
    let names = |list: &serde_json::Value| [&list[0], &list[1]].map(|prompt| prompt["name"].clone());
    assert_eq!(names(&listed["result"]["prompts"]), ["one__greet", "two__greet"]);
    let asked = client.message("prompts/get").params(r#"{"name":"two__greet"}"#).field("Mcp-Name", "two__greet");
    // The server knows no such method, which shows that it was asked.
    assert_eq!(asked.send().await.refusal(), (404, -32601));
    let got = two.received("prompts/get");
    let [got] = &got[..] else { panic!("{} requests reached the server", got.len()) };
    assert_eq!(got.message.as_ref().map(|message| message.params["name"].clone()), Some(json!("greet")));
    assert_eq!((got.head.get("mcp-name"), one.received("prompts/get").len()), ("greet", 0));
}

#[tokio::test]
async fn a_resource_that_two_servers_list_is_the_first_ones_and_one_warning_says_so() {
    let list = r#"{"jsonrpc":"2.0","id":$ID,"result":{"resources":[{"uri":"file:///x","name":"$NAME"}],"resultType":"complete","ttlMs":0,"cacheScope":"private"}}"#;
    let server =
        async |name: &str| echo().to("resources/list").answers([text(&list.replace("$NAME", name))]).start().await;
    let (one, two) = (server("first").await, server("second").await);
    // The order is the file's, not the alphabet's.
    let gateway = gateway().alone().server("z", &one).server("a", &two).start().await;
    let client = modern(&gateway).at(FRONT);
    for _ in 0..2 {
        let listed = client.message("resources/list").send().await.json();
        assert_eq!(listed["result"]["resources"], json!([{"uri": "file:///x", "name": "first"}]));
    }
    let read = client.message("resources/read").params(r#"{"uri":"file:///x"}"#).field("Mcp-Name", "file:///x");
    assert_eq!(read.send().await.refusal(), (404, -32601));
    assert_eq!([&one, &two].map(|server| server.received("resources/read").len()), [1, 0]);
    assert_eq!(gateway.stderr().matches("left out of the lists").count(), 1, "{}", gateway.stderr());
}
