//! `tollhouse wrap` in the place of a command: the same server, with the same environment, under its own names.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::echo::MODERN;
use crate::gateway::gateway;
use crate::message::modern_call;
use crate::stdio::{Client, child};

/// The environment that the wrapped server says it has.
async fn environment(client: &mut Client) -> Value {
    client.send(&modern_call("1", &json!({"nonce": "n"}))).await;
    let answer = client.message().await;
    let text = answer["result"]["content"][0]["text"].as_str().expect("it answers with text");
    serde_json::from_str(text).expect("it tells its environment as JSON")
}

#[tokio::test]
async fn a_wrapped_server_keeps_its_names_in_both_eras() {
    let upstream = child();
    let mut client = gateway().wrap(&[], &upstream);
    client.send(&modern_call("1", &json!({"nonce": "modern"}))).await;
    assert_eq!(client.message().await["result"]["content"][0]["text"], "modern");
    client.ends_well(&["ok"]).await;
    let mut client = gateway().wrap(&["--name", "of-mine"], &upstream);
    client.initialize("2025-11-25").await;
    client.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    assert_eq!(client.message().await["result"]["tools"][0]["name"], "echo");
    client.ends_well(&[]).await;
}

#[tokio::test]
async fn a_wrapped_server_has_the_environment_that_the_client_gave_unless_told_otherwise() {
    let upstream = child().argument("environment");
    let from_client = || gateway().env("API_KEY", "of the entry").env("OTHER", "too");
    let mut client = from_client().wrap(&[], &upstream);
    let seen = environment(&mut client).await;
    assert_eq!([&seen["API_KEY"], &seen["OTHER"]], ["of the entry", "too"]);
    client.ends_well(&["ok"]).await;
    let mut client = from_client().wrap(&["--env", "API_KEY", "--env", "MORE=1", "--env", "UNSET"], &upstream);
    let seen = environment(&mut client).await;
    assert_eq!([&seen["API_KEY"], &seen["MORE"]], ["of the entry", "1"]);
    assert_eq!([&seen["OTHER"], &seen["UNSET"]], [&Value::Null; 2], "{seen}");
    client.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_record_names_the_conversation_that_the_client_put_into_the_environment() {
    let upstream = child();
    let mut client = gateway().env("CLAUDE_CODE_SESSION_ID", "conversation-1").wrap(&["--name", "of-mine"], &upstream);
    client.send(&modern_call("1", &json!({"nonce": "n"}))).await;
    assert!(client.message().await["result"].is_object());
    client.hang_up();
    assert_eq!(client.process.exit().await.code(), Some(0));
    let record = client.process.records().remove(0);
    assert_eq!([&record["extra"]["session"], &record["extra"]["server"]], ["conversation-1", "of-mine"], "{record}");
}

#[tokio::test]
async fn any_number_run_beside_each_other_and_beside_a_gateway() {
    let servers = [child(), child(), child(), child()];
    let [served, piped, one, other] = &servers;
    let serving = gateway().with(served).start().await;
    let mut clients = [gateway().wrap(&[], one), gateway().wrap(&[], other), gateway().with(piped).stdio()];
    for client in &mut clients {
        client.send(&modern_call("1", &json!({"nonce": "n"}))).await;
    }
    for mut client in clients {
        assert_eq!(client.message().await["result"]["content"][0]["text"], "n");
        client.ends_well(&["ok"]).await;
    }
    serving.ends_well(&[]).await;
}

#[tokio::test]
async fn a_command_that_is_missing_is_told_at_once_and_standard_output_stays_empty() {
    let mut client = gateway().wrap(&[], &child().program("no-such-program-anywhere".as_ref()));
    assert!(client.message().await.is_null(), "nothing but the protocol is written there");
    let code = client.process.exit().await.code();
    let told = client.process.stderr();
    assert_eq!(code, Some(1), "{told}");
    assert!(told.starts_with("error: `no-such-program-anywhere` is in no directory of PATH"), "{told}");
}

#[tokio::test]
async fn a_signal_ends_it_in_order() {
    let upstream = child();
    let mut client = gateway().wrap(&[], &upstream);
    client.send(&modern_call("1", &json!({"nonce": "n"}))).await;
    assert!(client.message().await["result"].is_object());
    client.process.signal(Signal::TERM);
    assert_eq!(client.process.exit().await.code(), Some(0));
    assert!(client.process.stderr().contains(MODERN), "the record names the era: {}", client.process.stderr());
}
