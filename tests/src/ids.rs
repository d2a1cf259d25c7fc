//! Who gets which answer: ids, progress tokens, cancellations and sessions of different clients never mix.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Stream, legacy, modern};
use crate::gateway::gateway;
use crate::message::{cancel, legacy_call, modern_call};
use crate::stdio::{self, child};
use crate::upstream::{self, Step, event, honest, progress, text};
use crate::wait::until;

/// Two clients' calls are answered only once both are in the upstream's hands.
fn meets(calls: usize) -> [Step; 2] {
    [Step::Gathered(calls), text("$FINAL")]
}

#[tokio::test]
async fn a_22_one_session_may_use_one_id_for_two_calls_at_once() {
    let upstream = upstream::echo().answers(meets(2)).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let call = |nonce: &str| client.tool("echo").id("1").arguments(&json!({"nonce": nonce}));
    let (first, second) = (call("first"), call("second"));
    let (first, second) = tokio::join!(first.send(), second.send());
    assert_eq!([first.text(), second.text()], ["first", "second"]);
    assert_eq!([first.raw_id(), second.raw_id()], ["1", "1"]);
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_22_on_stdio_the_second_call_of_an_id_in_flight_is_refused_unsent() {
    let upstream = upstream::echo().held().start().await;
    let mut client = gateway().with(&upstream).alone().stdio();
    client.initialize("2025-06-18").await;
    client.send(&legacy_call("1", &json!({"nonce": "first"}))).await;
    upstream.executed(1).await;
    client.send(&legacy_call("1", &json!({"nonce": "second"}))).await;
    assert_eq!(client.message().await["error"]["code"], -32600);
    upstream.release(2);
    let answer = client.message().await;
    assert_eq!((&answer["result"]["content"][0]["text"], upstream.executions()), (&json!("first"), 1));
    client.ends_well(&["ok"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_23_fifty_clients_on_one_child_each_get_their_own_answers() {
    const CLIENTS: usize = 50;
    const CALLS: usize = 1000;
    let child = child();
    let gateway = gateway().with(&child).start().await;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = modern(&gateway);
        clients.spawn(async move {
            let mut foreign = 0;
            for call in 0..CALLS {
                let nonce = format!("{number}/{call}");
                let answer = client.call("echo", json!({"nonce": nonce, "ledger": "off"})).await;
                foreign += usize::from((answer.text(), answer.raw_id()) != (nonce, call.to_string()));
            }
            foreign
        });
    }
    let foreign: usize = clients.join_all().await.into_iter().sum();
    assert_eq!((foreign, child.starts().len()), (0, 1), "answers that were not the caller's, and processes");
    until("every call has left its record", || gateway.recorded() >= CLIENTS * CALLS).await;
    gateway.ends_well(&vec!["ok"; CLIENTS * CALLS]).await;
}

/// Ids as clients write them.
fn ids() -> Vec<String> {
    let long = format!("\"{}\"", "x".repeat(256));
    let written =
        ["1", "\"1\"", "0", "-1", "9007199254740993", "-9223372036854775808", "\"\"", r#""\u00e9""#, "\"é𝄞\""];
    written.into_iter().map(ToOwned::to_owned).chain([long, r#""a\/b\"c""#.to_owned()]).collect()
}

#[tokio::test]
async fn a_24_ids_come_back_byte_by_byte_over_http() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let (modern, legacy) = (modern(&gateway), legacy(&gateway, "2025-11-25").await);
    let mut outcomes = Vec::new();
    for id in ids() {
        for client in [&modern, &legacy] {
            let answer = client.tool("echo").raw_arguments("{}").id(&id).send().await;
            assert_eq!(answer.raw_id(), id);
            outcomes.push("ok");
        }
    }
    gateway.ends_well(&outcomes).await;
}

#[tokio::test]
async fn a_24_ids_come_back_byte_by_byte_from_a_child_and_from_errors() {
    let child = child();
    let gateway = gateway().with(&child).start().await;
    let client = modern(&gateway);
    for id in ids() {
        let answer = client.tool("no-such").raw_arguments("{}").id(&id).send().await;
        assert_eq!((answer.json()["error"]["code"].clone(), answer.raw_id()), (json!(-32602), id));
    }
    gateway.ends_well(&vec!["error"; ids().len()]).await;
}

/// Progress among the messages: (token, message).
fn progress_of(messages: &[Value]) -> Vec<(Value, String)> {
    let progress = messages.iter().filter(|message| message["method"] == "notifications/progress");
    progress
        .map(|message| {
            let params = &message["params"];
            (params["progressToken"].clone(), params["message"].as_str().unwrap_or_default().to_owned())
        })
        .collect()
}

#[tokio::test]
async fn a_25_each_client_sees_its_own_progress_over_http() {
    let steps = [Step::Gathered(2), progress(1), progress(2), honest()];
    let upstream = upstream::echo().streams(steps).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let (first, second) = (modern(&gateway), modern(&gateway));
    let first = first.tool("echo").arguments(&json!({"nonce": "first"})).meta("progressToken", "\"t\"");
    let second = second.tool("echo").arguments(&json!({"nonce": "second"})).meta("progressToken", "\"t\"");
    let (first, second) = tokio::join!(first.send(), second.send());
    let seen = |nonce: &str| vec![(json!("t"), nonce.to_owned()); 2];
    assert_eq!([progress_of(&first.others()), progress_of(&second.others())], [seen("first"), seen("second")]);
    assert_eq!([first.text(), second.text()], ["first", "second"]);
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_25_each_client_sees_its_own_progress_from_a_child_they_share() {
    let child = child();
    let gateway = gateway().with(&child).start().await;
    let arguments = |nonce: &str| json!({"nonce": nonce, "progress": 3, "gate": child.gate()});
    let (first, second) = (modern(&gateway), modern(&gateway));
    let first = first.tool("echo").arguments(&arguments("first")).meta("progressToken", "1");
    let second = second.tool("echo").arguments(&arguments("second")).meta("progressToken", "1");
    let open = async {
        until("both calls have reached the child", || child.executions() == 2).await;
        child.open();
    };
    let (first, second, ()) = tokio::join!(first.send(), second.send(), open);
    let seen = |nonce: &str| vec![(json!(1), nonce.to_owned()); 3];
    assert_eq!([progress_of(&first.others()), progress_of(&second.others())], [seen("first"), seen("second")]);
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_25_progress_nobody_asked_for_or_that_does_not_rise_is_dropped() {
    let foreign = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"x","progress":1}}"#;
    let steps = [progress(2), progress(2), progress(1), event(foreign), progress(3), honest()];
    let upstream = upstream::echo().streams(steps).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = modern(&gateway);
    let call = || client.tool("echo").arguments(&json!({"nonce": "n"}));
    let asked = call().meta("progressToken", "7").send().await;
    let values: Vec<Value> = asked.others().iter().map(|message| message["params"]["progress"].clone()).collect();
    let unasked = call().send().await;
    assert_eq!((values, unasked.others()), (vec![json!(2), json!(3)], vec![]));
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_26_cancelling_an_unknown_or_finished_id_changes_nothing() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let call = || client.tool("echo").arguments(&json!({"nonce": "n"})).id("1");
    let unknown = client.cancel("1").await.status();
    let first = call().send().await.text();
    let finished = client.cancel("1").await.status();
    let second = call().send().await.text();
    assert_eq!((unknown, first.as_str(), finished, second.as_str()), (202, "n", 202, "n"));
    assert_eq!(upstream.received("notifications/cancelled").len(), 0, "there was nothing to cancel");
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_26_cancelling_another_sessions_id_changes_nothing() {
    let upstream = upstream::echo().held().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let (caller, stranger) = (legacy(&gateway, "2025-06-18").await, legacy(&gateway, "2025-06-18").await);
    let call = caller.tool("echo").arguments(&json!({"nonce": "n"})).id("1");
    let meddle = async {
        upstream.executed(1).await;
        let status = stranger.cancel("1").await.status();
        upstream.release(1);
        status
    };
    let (answer, status) = tokio::join!(call.send(), meddle);
    assert_eq!((answer.text().as_str(), status), ("n", 202));
    assert_eq!(upstream.received("notifications/cancelled").len(), 0, "it was somebody else's to cancel");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_26_a_cancellation_reaches_the_upstream_with_the_upstreams_id() {
    let upstream = upstream::echo().held().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let call = client.tool("echo").arguments(&json!({"nonce": "n"})).id("\"mine\"");
    let _open = call.sent().await;
    upstream.executed(1).await;
    assert_eq!(client.cancel("\"mine\"").await.status(), 202);
    until("the upstream is told", || !upstream.received("notifications/cancelled").is_empty()).await;
    let told = &upstream.received("notifications/cancelled")[0];
    let cancelled = told.message.as_ref().expect("it is a message").params["requestId"].to_string();
    let called = upstream.last_call().message.as_ref().and_then(|call| call.id.clone());
    assert_eq!(Some(cancelled), called);
    gateway.ends_well(&["cancelled"]).await;
}

// The durable outcome of a race waits for the journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_27_a_cancellation_that_races_the_result_leaves_one_final_or_none_over_http() {
    const RACES: usize = 1000;
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    let mut finals = BTreeMap::new();
    for race in 0..RACES {
        let id = race.to_string();
        let call = client.tool("echo").arguments(&json!({"nonce": id})).id(&id);
        let answered = async { Stream::of(call.sent().await).await.rest().await };
        let (answer, cancelled) = tokio::join!(answered, client.cancel(&id));
        assert_eq!(cancelled.status(), 202);
        *finals.entry(answer.finals().len()).or_insert(0) += 1;
    }
    assert!(finals.keys().all(|&finals| finals <= 1), "finals of a call, and how often: {finals:?}");
    until("every race has left its record", || gateway.outcomes().len() >= RACES).await;
    // Which way each race went is chance; that each left one record is not.
    let outcomes = gateway.outcomes();
    let known = outcomes.iter().filter(|outcome| ["ok", "cancelled"].contains(&outcome.as_str())).count();
    assert_eq!((outcomes.len(), known), (RACES, RACES));
    let outcomes: Vec<&str> = outcomes.iter().map(String::as_str).collect();
    gateway.ends_well(&outcomes).await;
}

#[tokio::test]
async fn a_27_a_cancellation_that_races_the_result_leaves_one_final_or_none_on_stdio() {
    const RACES: usize = 1000;
    let child = child();
    let mut client = gateway().with(&child).alone().stdio();
    let mut finals = BTreeMap::<String, usize>::new();
    for race in 0..RACES {
        let id = race.to_string();
        let call = modern_call(&id, &json!({"nonce": id, "ledger": "off"}));
        client.send(&format!("{call}\n{}", cancel(&id))).await;
    }
    client.send(&modern_call("\"last\"", &json!({"nonce": "last", "ledger": "off"}))).await;
    loop {
        let message = client.message().await;
        if message["id"] == "last" {
            break;
        }
        *finals.entry(message["id"].to_string()).or_default() += 1;
    }
    assert_eq!(finals.iter().find(|&(_, &finals)| finals > 1), None, "an id with more than one final");
    until("every race has left its record", || client.process.recorded() > RACES).await;
    // Which way each race went is chance; that each left one record is not.
    let outcomes = client.process.outcomes();
    let outcomes: Vec<&str> = outcomes.iter().map(String::as_str).collect();
    assert_eq!(outcomes.len(), RACES + 1, "records");
    client.ends_well(&outcomes).await;
}

#[tokio::test]
async fn a_27_a_late_answer_to_a_cancelled_call_is_not_delivered() {
    let child = child();
    let mut client = gateway().with(&child).alone().stdio();
    client.send(&modern_call("1", &json!({"nonce": "late", "gate": child.gate()}))).await;
    until("the call has reached the child", || child.executions() == 1).await;
    client.send(&cancel("1")).await;
    until("the cancellation has been recorded", || client.process.outcomes() == ["cancelled"]).await;
    child.open();
    // The child answers both in turn, so the late answer would come first.
    client.send(&modern_call("2", &json!({"nonce": "next"}))).await;
    let message = client.message().await;
    assert_eq!((&message["id"], &message["result"]["content"][0]["text"]), (&json!(2), &json!("next")));
    client.ends_well(&["cancelled", "ok"]).await;
}

// That another principal's session answers like an unknown one, waits for authentication.
#[tokio::test]
async fn a_28_an_unknown_session_is_404_and_a_missing_one_400() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let mut client = legacy(&gateway, "2025-06-18").await;
    let call = |client: &crate::client::Client| client.tool("echo").raw_arguments("{}").request();
    let missing = call(&client).without("Mcp-Session-Id").send().await.status();
    client.session = Some("no-such-session".to_owned());
    let unknown = call(&client).send().await.status();
    let stream = client.verb("GET").send().await.status();
    let delete = client.verb("DELETE").send().await.status();
    assert_eq!([missing, unknown, stream, delete], [400, 404, 404, 404]);
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_28_a_session_belongs_to_the_path_it_was_opened_at() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let client = legacy(&gateway, "2025-06-18").await.at("/mcp");
    assert_eq!(client.tool("echo").raw_arguments("{}").send().await.status(), 404);
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_28_initialize_with_a_stale_session_opens_a_new_one() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let mut client = legacy(&gateway, "2025-06-18").await;
    client.session = Some("no-such-session".to_owned());
    let params = r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"tests","version":"1"}}"#;
    let answer = client.message("initialize").params(params).send().await;
    let session = answer.head.get("mcp-session-id");
    assert_eq!((answer.status(), session.is_empty(), session == "no-such-session"), (200, false, false));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_28_sessions_have_ids_nobody_guesses() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let session = legacy(&gateway, "2025-06-18").await.session.expect("initialize gave one");
        // 128 bits take 22 characters of base 64 and more of anything plainer.
        assert!(session.len() >= 22 && session.bytes().all(|byte| byte.is_ascii_graphic()), "{session}");
        ids.insert(session);
    }
    assert_eq!(ids.len(), 20);
    let leaked: Vec<_> = ids.iter().filter(|id| id.contains("upstream-session")).collect();
    assert_eq!(leaked, Vec::<&String>::new(), "session ids of the upstream that reached a client");
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_30_a_stream_is_resumed_only_by_an_id_of_it() {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let (client, stranger) = (legacy(&gateway, "2025-11-25").await, legacy(&gateway, "2025-11-25").await);
    let answer = client.call("echo", json!({"nonce": "n"})).await;
    let id = answer.events[0].id.clone().expect("the stream begins with a priming event");
    let resume = |client: &crate::client::Client, id: &str| client.verb("GET").field("Last-Event-ID", id);
    let garbage = resume(&client, "?").send().await.status();
    let foreign = resume(&stranger, &id).send().await.status();
    let own = Stream::of(resume(&client, &id).sent().await).await.rest().await;
    assert_eq!((garbage, foreign, own.status(), own.text().as_str()), (400, 404, 200, "n"));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_22_answers_of_a_child_find_their_sessions_though_all_use_one_id() {
    let child = child();
    let gateway = gateway().with(&child).start().await;
    let clients = [legacy(&gateway, "2025-06-18").await, legacy(&gateway, "2025-11-25").await];
    let call = |client: usize, nonce: &str| {
        clients[client].tool("echo").id("1").arguments(&json!({"nonce": nonce, "gate": child.gate()}))
    };
    let open = async {
        until("both calls have reached their children", || child.executions() == 2).await;
        child.open();
    };
    let (first, second) = (call(0, "first"), call(1, "second"));
    let (first, second, ()) = tokio::join!(first.send(), second.send(), open);
    assert_eq!([first.text(), second.text()], ["first", "second"]);
    assert!(child.starts().into_iter().all(stdio::exists), "a child of a living session has ended");
    gateway.ends_well(&["ok", "ok"]).await;
}
