//! `/mcp` with several servers: one list, names that lead to one server each, and nobody hurt by a dead one.

use serde_json::{Value, json};

use crate::client::{Answer, legacy_at, modern};
use crate::gateway::{Gateway, gateway};
use crate::stdio::child;
use crate::upstream::{self, Server};

const FRONT: &str = "/mcp";

/// Servers that will never answer.
enum Dead {
    Url,
    Program,
}

impl Server for Dead {
    fn yaml(&self) -> Vec<String> {
        let line = match self {
            Self::Url => "url: http://127.0.0.1:9/mcp",
            Self::Program => "command: /no/such/program",
        };
        vec![line.to_owned()]
    }
}

/// The names of the tools in an answer, in its order.
pub(crate) fn names(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let tools = json["result"]["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// What a client of each era finds in `/mcp`'s list.
async fn listed(gateway: &Gateway) -> [Vec<String>; 2] {
    let modern = modern(gateway).at(FRONT).message("tools/list").send().await;
    let legacy = legacy_at(gateway, FRONT, "2025-06-18").await.message("tools/list").send().await;
    [names(&modern), names(&legacy)]
}

#[tokio::test]
async fn tools_of_all_servers_are_listed_under_their_servers_names_in_the_order_of_the_configuration() {
    let (one, two) = (upstream::echo().start().await, child());
    let gateway = gateway().alone().server("z-first", &one).server("a-second", &two).start().await;
    let expected = ["z-first__echo", "a-second__echo"];
    assert_eq!(listed(&gateway).await, [expected, expected]);
}

#[tokio::test]
async fn a_call_reaches_the_server_its_name_was_listed_for_and_no_other() {
    let (one, two) = (upstream::echo().start().await, upstream::echo().start().await);
    let gateway = gateway().alone().server("one", &one).server("two", &two).start().await;
    let answer = modern(&gateway).at(FRONT).call("two__echo", json!({"nonce": "n"})).await;
    assert_eq!((answer.outcome().as_str(), answer.text().as_str()), ("ok", "n"));
    let legacy = legacy_at(&gateway, FRONT, "2025-11-25").await;
    let answer = legacy.call("two__echo", json!({"nonce": "m"})).await;
    assert_eq!((answer.outcome().as_str(), answer.text().as_str()), ("ok", "m"));
    assert_eq!((one.executions(), two.executions()), (0, 2));
}

#[tokio::test]
async fn a_name_nobody_offers_is_unknown_and_reaches_nobody() {
    let (one, two) = (upstream::echo().start().await, upstream::echo().start().await);
    let gateway = gateway().alone().server("one", &one).server("two", &two).start().await;
    for name in ["echo", "three__echo", "one__", "one__echo__echo", "one_echo"] {
        let refused = modern(&gateway).at(FRONT).call(name, json!({})).await.refusal();
        let legacy = legacy_at(&gateway, FRONT, "2025-06-18").await.call(name, json!({})).await.refusal();
        assert_eq!((refused, legacy), ((200, -32602), (200, -32602)), "{name}");
    }
    assert_eq!((one.executions(), two.executions()), (0, 0));
}

#[tokio::test]
async fn what_the_modern_revision_has_removed_is_an_unknown_method_whatever_it_is_about() {
    let (one, two) = (upstream::echo().start().await, upstream::echo().start().await);
    let gateway = gateway().alone().server("one", &one).server("two", &two).start().await;
    for method in ["resources/subscribe", "resources/unsubscribe", "logging/setLevel", "ping"] {
        let asked = modern(&gateway).at(FRONT).message(method).params(r#"{"uri":"test://one"}"#).send().await;
        assert_eq!(asked.refusal(), (404, -32601), "{method}");
    }
}

#[tokio::test]
async fn a_dead_server_is_missing_from_lists_and_hurts_nobody() {
    let (living, unreachable, missing) = (upstream::echo().start().await, Dead::Url, Dead::Program);
    let gateway = gateway().alone().server("dead", &unreachable).server("gone", &missing).server("living", &living);
    let gateway = gateway.start().await;
    assert_eq!(listed(&gateway).await, [["living__echo"], ["living__echo"]]);
    let answer = modern(&gateway).at(FRONT).call("living__echo", json!({"nonce": "n"})).await;
    assert_eq!(answer.outcome(), "ok");
}

#[tokio::test]
async fn what_the_servers_can_do_is_claimed_once_and_under_the_gateways_name() {
    let (one, two) = (upstream::echo().start().await, child());
    let gateway = gateway().alone().server("one", &one).server("two", &two).start().await;
    let discovered = modern(&gateway).at(FRONT).message("server/discover").send().await.json();
    let result = &discovered["result"];
    assert_eq!(
        (&result["supportedVersions"], &result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"]),
        (&json!(["2026-07-28"]), &json!("tollhouse"))
    );
    assert_ne!(result["capabilities"]["tools"], Value::Null);
}

#[tokio::test]
async fn a_cursor_that_is_not_from_this_list_is_refused() {
    let (one, two) = (upstream::echo().start().await, upstream::echo().start().await);
    let gateway = gateway().alone().server("one", &one).server("two", &two).start().await;
    let answer = modern(&gateway).at(FRONT).message("tools/list").params(r#"{"cursor":"x"}"#).send().await;
    assert_eq!(answer.refusal(), (200, -32602));
}
