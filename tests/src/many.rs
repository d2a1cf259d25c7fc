//! Fifty servers, of which twenty are dead in one way or another: nobody else notices.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::aggregate::names;
use crate::client::{legacy_at, modern};
use crate::gateway::{Gateway, gateway};
use crate::stdio::exists;
use crate::upstream::{Server, Upstream, echo};
use crate::wait::until;

const FRONT: &str = "/mcp";
const LIVING: usize = 30;
const DEAD_OF_A_KIND: usize = 5;

/// Servers that will never answer, by what is the matter with them.
struct Dead(&'static str, Vec<String>);

impl Server for Dead {
    fn yaml(&self) -> Vec<String> {
        self.1.clone()
    }
}

/// Twenty dead servers and one that hangs, which must live as long as they do.
async fn dead() -> (Vec<Dead>, Upstream) {
    let hanging = echo().start().await;
    hanging.falls_silent(true);
    let refusing = vec!["url: http://127.0.0.1:1/mcp".to_owned()];
    let leaving =
        vec!["command: sh".to_owned(), r#"args: [-c, "echo the licence has run out >&2; exit 3"]"#.to_owned()];
    // A program that talks back, but not MCP.
    let wrong = vec!["command: cat".to_owned()];
    let kinds = [("refusing", refusing), ("hanging", hanging.yaml()), ("leaving", leaving), ("wrong", wrong)];
    let dead = kinds.into_iter().flat_map(|(kind, yaml)| (0..DEAD_OF_A_KIND).map(move |_| Dead(kind, yaml.clone())));
    (dead.collect(), hanging)
}

/// A gateway before dead and living servers in turn, those it may expect in lists, and what must live as long.
async fn crowd() -> (Gateway, Vec<String>, Vec<Upstream>) {
    let (dead, hanging) = dead().await;
    let mut living = Vec::new();
    let (mut gateway, mut expected) = (gateway().alone(), Vec::new());
    let mut dead = dead.iter().enumerate();
    for number in 0..LIVING {
        if let Some((number, server)) = dead.next() {
            gateway = gateway.server(&format!("{}-{number}", server.0), server);
        }
        living.push(echo().start().await);
        gateway = gateway.server(&format!("living-{number}"), &living[number]);
        expected.push(format!("living-{number}__echo"));
    }
    living.push(hanging);
    (gateway.start().await, expected, living)
}

#[tokio::test]
async fn fifty_servers_of_which_twenty_are_dead_serve_like_thirty() {
    let (gateway, expected, living) = crowd().await;
    let start = Instant::now();
    let client = modern(&gateway).at(FRONT);
    assert_eq!(names(&client.message("tools/list").send().await), expected);
    // Who has not answered by then is left out. Twice the time, for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(10), "the first list took {:?}", start.elapsed());

    let start = Instant::now();
    let legacy = legacy_at(&gateway, FRONT, "2025-06-18").await;
    for _ in 0..5 {
        assert_eq!(names(&client.message("tools/list").send().await), expected);
        assert_eq!(names(&legacy.message("tools/list").send().await), expected);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "later lists took {:?}", start.elapsed());

    for (number, name) in expected.iter().enumerate() {
        let nonce = number.to_string();
        assert_eq!(client.call(name, json!({"nonce": nonce})).await.text(), nonce);
        assert_eq!(legacy.call(name, json!({"nonce": nonce})).await.text(), nonce);
    }
    assert!(living[..LIVING].iter().all(|server| server.executions() == 2), "each call reached its own server");

    for (server, reason) in [
        ("refusing-0", "connection refused"),
        ("leaving-10", "the licence has run out"),
        ("wrong-15", "the server refused the session"),
    ] {
        let told = gateway.becomes(server, "failed").await;
        assert!(told["reason"].as_str().is_some_and(|told| told.contains(reason)), "{told}");
    }
    let hanging = gateway.health_of("hanging-5").await;
    let why = [("starting", "it has not answered yet"), ("failed", "no answer within 30 s")];
    let told = (hanging["state"].as_str().unwrap_or_default(), hanging["reason"].as_str().unwrap_or_default());
    assert!(why.contains(&told), "{hanging}");
    for number in 0..LIVING {
        assert_eq!(gateway.health_of(&format!("living-{number}")).await["state"], "connected");
    }
}

#[tokio::test]
async fn what_many_dead_servers_leave_behind_ends_with_the_gateway() {
    let (mut gateway, ..) = crowd().await;
    gateway.becomes("leaving-10", "failed").await;
    let children: Vec<i32> = gateway.children().iter().map(|&(pid, _)| pid).collect();
    gateway.process.signal(rustix::process::Signal::TERM);
    assert_eq!(gateway.process.exit().await.code(), Some(0), "{}", gateway.stderr());
    until("no process is left", || !children.iter().any(|&pid| exists(pid))).await;
}

#[tokio::test]
async fn a_server_that_comes_late_joins_lists_and_sessions_that_began_without_it() {
    let (early, late) = (echo().start().await, echo().closed());
    let gateway = gateway().alone().server("early", &early).server("late", &late).start().await;
    let (modern, legacy) = (modern(&gateway).at(FRONT), legacy_at(&gateway, FRONT, "2025-06-18").await);
    for client in [&modern, &legacy] {
        assert_eq!(names(&client.message("tools/list").send().await), ["early__echo"]);
    }
    let late = late.open();
    gateway.becomes("late", "connected").await;
    for client in [&modern, &legacy] {
        assert_eq!(names(&client.message("tools/list").send().await), ["early__echo", "late__echo"]);
        assert_eq!(client.call("late__echo", json!({"nonce": "n"})).await.text(), "n");
    }
    assert_eq!(late.executions(), 2);
}

#[tokio::test]
async fn a_server_that_hangs_over_a_list_is_left_out_of_it_and_noticed() {
    let (living, hanging) = (echo().start().await, echo().start().await);
    let builder = gateway().alone().with(&hanging).server("living", &living);
    let gateway = builder.timeouts("{start: 1s}").start().await;
    let client = modern(&gateway).at(FRONT);
    assert_eq!(names(&client.message("tools/list").send().await), ["tested__echo", "living__echo"]);
    hanging.falls_silent(true);
    assert_eq!(names(&client.message("tools/list").send().await), ["living__echo"]);
    gateway.becomes("tested", "failed").await;
    hanging.falls_silent(false);
    gateway.becomes("tested", "connected").await;
    assert_eq!(names(&client.message("tools/list").send().await), ["tested__echo", "living__echo"]);
}
