//! The configuration is read again while calls go on.
//!
//! That lists have changed is told to clients by notices, which have tests of their own.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Answer, legacy, legacy_at, modern};
use crate::gateway::{Builder, Gateway, gateway};
use crate::http::request;
use crate::message::{legacy_call, modern_call};
use crate::stdio::{child, exists};
use crate::upstream::{self, Server};
use crate::wait::{soon, until};

const FRONT: &str = "/mcp";

/// A configuration of nothing but these servers.
fn of(servers: &[(&str, &dyn Server)]) -> Builder {
    servers.iter().fold(gateway().alone(), |builder, (id, server)| builder.server(id, *server))
}

/// The names of the tools at `/mcp`, in its order.
fn names(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let tools = json["result"]["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["name"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn listed(gateway: &Gateway) -> Vec<String> {
    names(&modern(gateway).at(FRONT).message("tools/list").send().await)
}

async fn health(gateway: &Gateway) -> Value {
    request(gateway.admin, "GET", "/health").send().await.json()
}

#[tokio::test]
async fn a_82_a_file_with_mistakes_changes_nothing_and_every_mistake_is_told_with_its_place() {
    let upstream = upstream::echo().start().await;
    let gateway = of(&[("tested", &upstream)]).start().await;
    for signalled in [true, false] {
        let before = gateway.stderr().matches("the configuration was not taken").count();
        let comment = if signalled { "# by signal" } else { "# by looking" };
        gateway.rewrite_raw(&format!("servers:\n  A:\n    url: ftp://127.0.0.1/mcp\n  b: {{}}\n{comment}\n"));
        if signalled {
            gateway.signal(Signal::HUP);
        }
        until("it is refused", || gateway.stderr().matches("the configuration was not taken").count() > before).await;
    }
    let told = gateway.stderr();
    for place in ["tollhouse.yaml:2:3", "tollhouse.yaml:3:", "tollhouse.yaml:4:3"] {
        assert!(told.contains(place), "{place} in {told}");
    }
    let reloads = health(&gateway).await["reloads"].clone();
    assert_eq!(
        (&reloads["applied"], &reloads["refused"], &reloads["last"]["result"]),
        (&json!(0), &json!(2), &json!("refused"))
    );
    assert!(reloads["last"]["error"].as_str().is_some_and(|error| error.contains("tollhouse.yaml:2:3")), "{reloads}");
    assert_eq!(modern(&gateway).call("echo", json!({"nonce": "n"})).await.text(), "n");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_82_a_file_that_is_gone_or_empty_for_a_while_changes_nothing() {
    let upstream = upstream::echo().start().await;
    let gateway = of(&[("tested", &upstream)]).start().await;
    gateway.rewrite_raw("");
    gateway.signal(Signal::HUP);
    until("it is refused", || gateway.stderr().contains("the file is empty")).await;
    assert_eq!(modern(&gateway).call("echo", json!({"nonce": "n"})).await.text(), "n");
    gateway.reload(&of(&[("tested", &upstream)])).await;
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_82_a_removed_server_is_gone_at_once_and_its_calls_in_flight_finish() {
    let (kept, http, process) = (upstream::echo().start().await, upstream::echo().held().start().await, child());
    let gateway = of(&[("tested", &kept), ("http", &http), ("process", &process)]).start().await;
    let session = legacy_at(&gateway, FRONT, "2025-06-18").await;
    let own = legacy_at(&gateway, "/servers/process/mcp", "2025-06-18").await;
    let modern_client = modern(&gateway).at(FRONT);
    let gated = json!({"nonce": "g", "gate": process.gate()});
    let held = json!({"nonce": "h"});
    let ((in_one, in_session, gated_one, gated_session, gated_own), ()) = tokio::join!(
        async {
            tokio::join!(
                modern_client.call("http__echo", held.clone()),
                session.call("http__echo", held.clone()),
                modern_client.call("process__echo", gated.clone()),
                session.call("process__echo", gated.clone()),
                own.call("echo", gated.clone()),
            )
        },
        async {
            http.executed(2).await;
            until("the processes hold their calls", || process.executions() == 3).await;
            let processes = process.starts();
            gateway.reload(&of(&[("tested", &kept)])).await;
            assert_eq!(gateway.reloads()[0]["removed"], "http, process");
            assert_eq!(listed(&gateway).await, ["echo"]);
            let gone = modern(&gateway).at("/servers/http/mcp").call("echo", json!({})).await;
            assert_eq!((gone.status(), http.executions()), (404, 2));
            assert_eq!(own.message("tools/list").send().await.status(), 404);
            assert!(processes.iter().all(|pid| exists(*pid)), "a process with a call in flight has ended");
            assert_eq!(gateway.stderr().matches("\"taken out\"").count(), 0);
            http.release(2);
            process.open();
        }
    );
    assert_eq!([in_one.text(), in_session.text()], ["h", "h"]);
    assert_eq!([gated_one.text(), gated_session.text(), gated_own.text()], ["g", "g", "g"]);
    until("the processes have ended", || !process.starts().into_iter().any(exists)).await;
    until("the server's sessions are ended", || http.deleted() == 1).await;
    // The session goes on with the server that is left.
    assert_eq!(session.call("echo", json!({"nonce": "n"})).await.text(), "n");
    gateway.ends_well(&["ok"; 6]).await;
}

#[tokio::test]
async fn a_82_a_removed_servers_calls_have_no_longer_than_a_drain() {
    let (kept, http, process) = (upstream::echo().start().await, upstream::echo().held().start().await, child());
    let all: [(&str, &dyn Server); 3] = [("tested", &kept), ("http", &http), ("process", &process)];
    let gateway = of(&all).limits("{drain: 1s}").start().await;
    let client = modern(&gateway).at(FRONT);
    let gate = process.gate();
    let (ended, ()) = tokio::join!(
        async {
            tokio::join!(
                client.call("http__echo", json!({"nonce": "n"})),
                client.call("process__echo", json!({"nonce": "n", "gate": gate}))
            )
        },
        async {
            http.executed(1).await;
            until("the process holds its call", || process.executions() == 1).await;
            gateway.reload(&of(&all[..1]).limits("{drain: 1s}")).await;
        }
    );
    assert_eq!([ended.0.outcome(), ended.1.outcome()], ["unknown", "unknown"]);
    assert!(ended.0.text().contains("taken out of the configuration"), "{}", ended.0.text());
    until("the process has ended", || !process.starts().into_iter().any(exists)).await;
    gateway.ends_well(&["unknown", "unknown"]).await;
}

#[tokio::test]
async fn an_added_server_appears_for_clients_of_both_eras_without_a_signal() {
    let (one, two, three) = (upstream::echo().start().await, upstream::echo().start().await, child());
    let gateway = of(&[("tested", &one)]).start().await;
    let session = legacy_at(&gateway, FRONT, "2025-11-25").await;
    assert_eq!(listed(&gateway).await, ["echo"]);
    gateway.rewrite(&of(&[("new", &two), ("tested", &one), ("process", &three)]));
    until("the configuration was read again", || gateway.reloads().len() == 1).await;
    assert_eq!(gateway.reloads()[0], json!({"added": "new, process", "unchanged": 1}));
    let expected = ["new__echo", "tested__echo", "process__echo"];
    assert_eq!(listed(&gateway).await, expected);
    assert_eq!(names(&session.message("tools/list").send().await), expected);
    for name in expected {
        assert_eq!(session.call(name, json!({"nonce": name})).await.text(), name);
    }
    let own = modern(&gateway).at("/servers/new/mcp").call("echo", json!({"nonce": "n"})).await;
    assert_eq!(own.text(), "n");
    gateway.ends_well(&["ok"; 4]).await;
}

#[tokio::test]
async fn a_changed_server_is_replaced_and_an_unchanged_one_keeps_its_processes() {
    let (same, changing) = (child(), child().argument("environment").env("{COLOUR: red}"));
    let gateway = of(&[("tested", &same), ("changing", &changing)]).start().await;
    let (client, session) = (modern(&gateway).at("/servers/changing/mcp"), legacy(&gateway, "2025-06-18").await);
    let own = legacy_at(&gateway, "/servers/changing/mcp", "2025-06-18").await;
    let colour = |answer: &Answer| serde_json::from_str::<Value>(&answer.text()).unwrap_or_default()["COLOUR"].clone();
    assert_eq!(colour(&client.call("echo", json!({})).await), "red");
    assert_eq!(modern(&gateway).call("echo", json!({"nonce": "n"})).await.text(), "n");
    assert_eq!(session.call("echo", json!({"nonce": "n"})).await.text(), "n");
    let (processes, others) = (same.starts(), changing.starts());
    let changing = changing.env("{COLOUR: blue}");
    gateway.reload(&of(&[("tested", &same), ("changing", &changing)])).await;
    assert_eq!(gateway.reloads()[0], json!({"changed": "changing", "unchanged": 1}));
    assert_eq!(colour(&client.call("echo", json!({})).await), "blue");
    until("the former processes have ended", || !others.iter().any(|pid| exists(*pid))).await;
    // A session of the former server is not known to the one in its place: its client begins anew.
    assert_eq!(own.message("tools/list").send().await.status(), 404);
    assert_eq!(session.call("echo", json!({"nonce": "n"})).await.text(), "n");
    assert_eq!(same.starts(), processes, "an unchanged server was started again");
    gateway.ends_well(&["ok"; 5]).await;
}

#[tokio::test]
async fn of_two_quick_changes_the_last_one_is_in_force() {
    let (one, two, three) =
        (upstream::echo().start().await, upstream::echo().start().await, upstream::echo().start().await);
    let gateway = of(&[("tested", &one)]).start().await;
    gateway.overwrite(&of(&[("tested", &one), ("two", &two)]));
    gateway.overwrite(&of(&[("tested", &one), ("three", &three)]));
    until("the last one is in force", || gateway.reloads().iter().any(|told| told.to_string().contains("three"))).await;
    assert_eq!(listed(&gateway).await, ["tested__echo", "three__echo"]);
    // And by signals, one right after the other.
    gateway.rewrite(&of(&[("tested", &one), ("two", &two)]));
    gateway.signal(Signal::HUP);
    gateway.rewrite(&of(&[("tested", &one)]));
    gateway.signal(Signal::HUP);
    soon("the last one to be in force", async {
        while listed(&gateway).await != ["echo"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn limits_names_and_doors_change_at_once_and_addresses_need_a_restart() {
    let upstream = upstream::echo().start().await;
    let gateway = of(&[("tested", &upstream)]).start().await;
    let door = async |host: &str| {
        let call = modern(&gateway);
        let call = call.tool("echo").raw_arguments("{}").request().field("Host", host);
        call.send().await.status()
    };
    let large = json!({"nonce": "x".repeat(2048)});
    let own = modern(&gateway);
    assert_eq!((own.call("echo", large.clone()).await.status(), door("gate.example").await), (200, 403));
    let [line, ..] = &upstream.yaml()[..] else { panic!("an upstream has a URL") };
    let yaml = format!(
        "servers: {{tested: {{{}}}}}\nlimits: {{request: 1KiB}}\nallowed_hosts: [gate.example]\nnames: {{prefix: always}}\nlog: {{level: debug}}\n",
        line.replace("url: ", "url: \"") + "\""
    );
    gateway.rewrite_raw(&yaml);
    gateway.signal(Signal::HUP);
    until("it is told what needs a restart", || gateway.stderr().contains("needs a restart")).await;
    assert!(gateway.stderr().contains("\"keys\":\"log\""), "{}", gateway.stderr());
    assert_eq!(gateway.reloads()[0], json!({"unchanged": 1}));
    assert_eq!((own.call("echo", large).await.status(), door("gate.example").await), (413, 200));
    let admin = request(gateway.admin, "GET", "/health").field("Host", "gate.example").send().await;
    assert_eq!((admin.status(), listed(&gateway).await), (200, vec!["tested__echo".to_owned()]));
    assert_eq!(admin.json()["reloads"]["applied"], 1);
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_gateway_on_stdio_follows_its_file_too() {
    let (one, two) = (upstream::echo().start().await, child());
    let mut client = of(&[("one", &one)]).stdio();
    client.initialize("2025-06-18").await;
    client.send(&legacy_call("1", &json!({"nonce": "n"}))).await;
    assert_eq!(client.message().await["result"]["content"][0]["text"], "n");
    client.process.reload(&of(&[("two", &two)])).await;
    client.send(&legacy_call("2", &json!({"nonce": "m"}))).await;
    assert_eq!(client.message().await["result"]["content"][0]["text"], "m");
    client.send(&modern_call("3", &json!({"nonce": "o"}))).await;
    assert_eq!(client.message().await["result"]["content"][0]["text"], "o");
    until("the former server's session is ended", || one.deleted() == 1).await;
    assert_eq!((one.executions(), two.executions()), (1, 2));
    client.ends_well(&["ok"; 3]).await;
}
