//! The state that a server hands to a client to bring back (`requestState`): each server gets its own, and only its own.

use serde_json::{Value, json};

use crate::client::{Client, modern};
use crate::echo::Message;
use crate::gateway::gateway;
use crate::upstream::{Upstream, echo, event, text};

const FRONT: &str = "/mcp";

/// The server's state as it writes it, with escapes that a careless hand would lose.
const STATE: &str = r#""step \u0032\/3 \u00e9""#;

fn two_tools(_: &Message) -> String {
    r#"{"tools":[{"name":"echo","inputSchema":{}},{"name":"other","inputSchema":{}}],"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#.to_owned()
}

/// A server that needs something of the client first, whatever it is called for: as one message or as a stream.
async fn asking(streamed: bool) -> Upstream {
    let answer = format!(
        r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"resultType":"input_required","requestState":{STATE},"inputRequests":{{"k":{{"method":"roots/list"}}}}}}}}"#
    );
    let server = echo().modern_only().lists(two_tools);
    let server = if streamed { server.streams([event(&answer)]) } else { server.answers([text(&answer)]) };
    server.start().await
}

/// The state that the answer to a call gives.
async fn given(client: &Client, tool: &str, arguments: &Value) -> String {
    let answer = client.call(tool, arguments.clone()).await.json();
    let result = &answer["result"];
    assert_eq!(
        (&result["resultType"], &result["inputRequests"]["k"]["method"]),
        (&json!("input_required"), &json!("roots/list"))
    );
    result["requestState"].as_str().expect("the answer gives a state").to_owned()
}

/// Calls again with a state, as it shall stand on the wire: HTTP status and error code.
async fn retried(client: &Client, tool: &str, arguments: &Value, state: &str) -> (u16, i64) {
    let params = format!(r#"{{"requestState":{state},"inputResponses":{{"k":{{"roots":[]}}}}}}"#);
    client.tool(tool).arguments(arguments).params(&params).send().await.refusal()
}

/// The state of the last call, as the server got it.
fn got(server: &Upstream) -> String {
    let body = server.last_call().body.clone();
    let (_, rest) = body.split_once(r#""requestState":"#).expect("the call has a state");
    let (state, _) = rest.split_once(r#","inputResponses""#).expect("responses follow the state");
    state.to_owned()
}

#[tokio::test]
async fn a_85_a_state_comes_back_to_its_server_to_the_byte_and_to_no_other_request() {
    for streamed in [false, true] {
        let (one, two) = (asking(streamed).await, asking(streamed).await);
        let gateway = gateway().alone().server("one", &one).server("two", &two).start().await;
        let (client, arguments) = (modern(&gateway).at(FRONT), json!({"x": 1}));
        let state = given(&client, "one__echo", &arguments).await;
        assert!(!state.contains("step"), "{state}");
        let quoted = format!("\"{state}\"");
        // Again, too: a retry may be lost and repeated as long as the state lives.
        for _ in 0..2 {
            assert_eq!(retried(&client, "one__echo", &arguments, &quoted).await, (200, 0));
            assert_eq!(got(&one), STATE);
        }
        let before = (one.executions(), two.executions());
        let (head, tail) = state.split_at(state.len() / 2);
        let flipped = if tail.starts_with('A') {
            tail.replacen('A', "B", 1)
        } else {
            format!("A{}", tail.get(1..).expect("ASCII"))
        };
        for (tool, arguments, state) in [
            ("one__other", &arguments, quoted.as_str()),
            ("two__echo", &arguments, &quoted),
            ("one__echo", &json!({"x": 2}), &quoted),
            ("one__echo", &arguments, &format!("\"{head}{flipped}\"")),
            ("one__echo", &arguments, &format!("\"{head}\"")),
            ("one__echo", &arguments, STATE),
            ("one__echo", &arguments, "\"\""),
            ("one__echo", &arguments, "7"),
        ] {
            assert_eq!(retried(&client, tool, arguments, state).await, (200, -32602), "{tool} {arguments} {state}");
        }
        assert_eq!((one.executions(), two.executions()), before, "nothing of it was sent on");
        let twice = format!(r#"{{"requestState":{quoted},"requestState":{quoted}}}"#);
        let refused = client.tool("one__echo").arguments(&arguments).params(&twice).send().await.refusal();
        assert_eq!((refused, one.executions()), ((400, -32600), before.0));
    }
}

#[tokio::test]
async fn a_85_a_state_of_another_run_of_the_gateway_is_not_taken() {
    let (one, two) = (asking(false).await, asking(false).await);
    let run = async || gateway().alone().server("one", &one).server("two", &two).start().await;
    let (first, second) = (run().await, run().await);
    let state = given(&modern(&first).at(FRONT), "one__echo", &json!({})).await;
    let client = modern(&second).at(FRONT);
    assert_eq!(retried(&client, "one__echo", &json!({}), &format!("\"{state}\"")).await, (200, -32602));
    assert_eq!(one.executions(), 1);
}

#[tokio::test]
async fn where_one_server_stands_alone_its_state_is_its_own_business() {
    let (one, two) = (asking(false).await, asking(false).await);
    let both = gateway().alone().server("one", &one).server("two", &two).start().await;
    let single = gateway().alone().server("one", &one).start().await;
    for client in
        [modern(&both).at("/servers/one/mcp"), modern(&single).at("/servers/one/mcp"), modern(&single).at(FRONT)]
    {
        let answer = client.call("echo", json!({})).await;
        assert!(answer.finals()[0].contains(&format!(r#""requestState":{STATE}"#)), "{answer:?}");
        for state in [STATE, "\"anything\""] {
            assert_eq!(retried(&client, "echo", &json!({}), state).await, (200, 0));
            assert_eq!(got(&one), state);
        }
    }
    assert_eq!((one.executions(), two.executions()), (9, 0));
}
