//! Upstreams over HTTP that break off, babble, fall silent or never end.
//!
//! Only what was not sent is tried again (`retry`), so a call that a repetition could save (READ in A-49, A-51, A-52) is
//! lost like any other. Sessions the upstream forgot (A-53) wait for recovery.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{legacy, modern};
use crate::gateway::gateway;
use crate::upstream::{self, Builder, Step, echo, event, honest, progress, text};
use crate::wait::until;

const MIB: usize = 1024 * 1024;

/// The text of a stream's answer as an upstream writes it, and what comes of it: outcome, messages before the final.
async fn check_stream(steps: impl IntoIterator<Item = Step>, outcome: &str, others: usize) {
    let upstream = echo().streams(steps).start().await;
    let gateway = gateway().with(&upstream).timeouts("{idle: 1s, hard: 5s}").start().await;
    let mut outcomes = Vec::new();
    let clients = [modern(&gateway), legacy(&gateway, "2025-06-18").await, legacy(&gateway, "2025-11-25").await];
    for client in &clients {
        let call = client.tool("echo").arguments(&json!({"nonce": "n"})).meta("progressToken", "1");
        let answer = call.send().await;
        let text = if outcome == "ok" { "n".to_owned() } else { answer.text() };
        assert_eq!(
            (answer.outcome().as_str(), answer.text(), answer.others().len(), answer.whole),
            (outcome, text, others, true),
            "{answer:?}"
        );
        outcomes.push(outcome);
    }
    assert_eq!(upstream.executions(), clients.len(), "executions");
    gateway.ends_well(&outcomes).await;
}

/// A lone answer that is no stream.
async fn check_answer(upstream: Builder, outcome: &str) {
    let upstream = upstream.start().await;
    let gateway = gateway().with(&upstream).timeouts("{idle: 1s, hard: 5s}").start().await;
    let answer = modern(&gateway).call("echo", json!({"nonce": "n"})).await;
    assert_eq!((answer.status(), answer.outcome().as_str(), upstream.executions()), (200, outcome, 1), "{answer:?}");
    gateway.ends_well(&[outcome]).await;
}

#[tokio::test]
async fn a_49_a_call_reset_before_the_first_answer_byte_may_have_run_and_is_not_sent_again() {
    let upstream = echo().resets().start().await;
    let gateway = gateway().with(&upstream).start().await;
    let answer = modern(&gateway).call("echo", json!({"nonce": "n"})).await;
    let meta = answer.json()["result"]["_meta"].clone();
    assert_eq!((upstream.executions(), answer.outcome().as_str()), (1, "unknown"), "{answer:?}");
    assert_eq!((&meta["dev.tollhouse/replaySafe"], &meta["dev.tollhouse/attempts"]), (&json!(false), &json!(1)));
    assert_eq!(meta["dev.tollhouse/callId"].as_str().map(str::len), Some(26), "a ULID: {meta}");
    assert!(meta["dev.tollhouse/cause"].is_string(), "{meta}");
    assert!(answer.text().contains("outcome unknown"), "{}", answer.text());
    gateway.ends_well(&["unknown"]).await;
}

#[tokio::test]
async fn a_49_an_answer_cut_half_way_leaves_the_outcome_unknown() {
    check_answer(echo().dies_after_bytes(10), "unknown").await;
    check_answer(echo().dies_after_bytes(0), "unknown").await;
}

#[tokio::test]
async fn a_51_a_server_error_after_the_effect_proves_nothing_about_it() {
    for status in ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"] {
        let head = format!("{status}\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked");
        check_answer(echo().scripted(&head, [text("<h1>oops</h1>")]), "unknown").await;
    }
}

#[tokio::test]
async fn an_answer_that_is_no_answer_leaves_the_outcome_unknown() {
    check_answer(echo().answers([text("not json")]), "unknown").await;
    check_answer(echo().answers([text("")]), "unknown").await;
    check_answer(echo().answers([text(r#"{"jsonrpc":"2.0","id":"other","result":$RESULT}"#)]), "unknown").await;
    check_answer(echo().answers([text(r#"{"jsonrpc":"2.0","id":$ID}"#)]), "unknown").await;
    check_answer(echo().answers([text("[$FINAL]")]), "unknown").await;
    check_answer(echo().scripted("202 Accepted\r\nContent-Length: 0", []), "unknown").await;
    check_answer(
        echo().scripted("200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked", [text("<p>")]),
        "unknown",
    )
    .await;
}

#[tokio::test]
async fn a_54_an_event_cut_inside_its_data_is_not_delivered() {
    check_stream([text("data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"resu"), Step::Cut], "unknown", 0).await;
}

#[tokio::test]
async fn a_54_a_whole_message_in_an_unfinished_event_is_not_delivered() {
    check_stream([text("data: $FINAL"), Step::Cut], "unknown", 0).await;
}

#[tokio::test]
async fn a_54_a_stream_that_ends_without_a_final_leaves_the_outcome_unknown() {
    check_stream([progress(1)], "unknown", 1).await;
}

#[tokio::test]
async fn a_54_an_empty_stream_leaves_the_outcome_unknown() {
    check_stream([], "unknown", 0).await;
}

#[tokio::test]
async fn a_54_garbage_in_place_of_the_final_leaves_the_outcome_unknown() {
    check_stream([event("{garbage")], "unknown", 0).await;
}

#[tokio::test]
async fn a_54_an_answer_to_another_id_is_not_delivered() {
    check_stream([event(r#"{"jsonrpc":"2.0","id":"other","result":{"content":[]}}"#)], "unknown", 0).await;
}

#[tokio::test]
async fn a_54_of_two_finals_the_first_counts() {
    let second = event(r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":"second"}]}}"#);
    check_stream([honest(), second], "ok", 0).await;
}

#[tokio::test]
async fn a_54_what_comes_after_the_final_is_not_delivered() {
    check_stream([progress(1), honest(), progress(2)], "ok", 1).await;
}

#[tokio::test]
async fn a_54_a_stream_left_open_after_the_final_keeps_nobody_waiting() {
    check_stream([honest(), Step::Silence], "ok", 0).await;
}

#[tokio::test]
async fn a_54_a_request_in_a_modern_stream_is_not_delivered() {
    let request = event(r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#);
    let upstream = echo().streams([request, honest()]).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let answer = modern(&gateway).call("echo", json!({"nonce": "n"})).await;
    assert_eq!((answer.outcome().as_str(), answer.others()), ("ok", vec![]));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_54_lines_may_end_in_carriage_returns() {
    check_stream([text("data: $FINAL\r\r")], "ok", 0).await;
}

#[tokio::test]
async fn a_54_lines_may_end_in_carriage_return_and_newline() {
    check_stream([text("event: message\r\nid: 1\r\nretry: 10\r\ndata: $FINAL\r\n\r\n")], "ok", 0).await;
}

#[tokio::test]
async fn a_54_a_line_end_may_be_torn_between_two_chunks() {
    check_stream([text("data: $FINAL\r"), text("\n\r"), text("\n")], "ok", 0).await;
}

#[tokio::test]
async fn a_54_a_stream_may_begin_with_a_byte_order_mark() {
    check_stream([text("\u{feff}data: $FINAL\n\n")], "ok", 0).await;
}

#[tokio::test]
async fn a_54_comments_and_empty_events_are_no_messages() {
    check_stream([text(": hello\n\n:\n\nid: 1\n\ndata:\n\nevent: ping\ndata: {}\n\n"), honest()], "ok", 0).await;
}

#[tokio::test]
async fn a_54_a_stream_of_comments_only_leaves_the_outcome_unknown() {
    check_stream([text(": hello\n\n: hello\n\n")], "unknown", 0).await;
}

#[tokio::test]
async fn a_54_data_may_come_in_several_lines_without_blanks() {
    let lines = "data:{\ndata:\"jsonrpc\":\"2.0\",\"id\":$ID,\ndata: \"result\":\ndata:$RESULT}\n\n";
    check_stream([text(lines)], "ok", 0).await;
}

#[tokio::test]
async fn a_54_a_stream_may_arrive_byte_by_byte() {
    let written = r#"data: {"jsonrpc":"2.0","id":"#;
    let rest = ",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"n\"}],\"resultType\":\"complete\"}}\n\n";
    let single = |text: &str| text.chars().map(|c| upstream::text(&c.to_string())).collect::<Vec<_>>();
    let steps = [single(written), vec![text("$ID")], single(rest)].concat();
    check_stream(steps, "ok", 0).await;
}

#[tokio::test]
async fn a_54_a_line_of_20_mib_is_given_up_at_the_limit() {
    let steps = [text("data: {\"jsonrpc\":\"2.0\",\"x\":\""), Step::Filler(20 * MIB), text("\"}\n\n"), honest()];
    let upstream = echo().streams(steps).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let before = gateway.peak_memory();
    let answer = modern(&gateway).call("echo", json!({"nonce": "n"})).await;
    assert_eq!((answer.status(), answer.outcome().as_str()), (200, "unknown"), "{answer:?}");
    assert!(answer.text().contains("10 MiB"), "the limit is named: {}", answer.text());
    assert!(gateway.peak_memory() - before < 40 * MIB, "memory grew by {}", gateway.peak_memory() - before);
    gateway.ends_well(&["unknown"]).await;
}

/// A call that ends by a clock: how long it took, and that the upstream was told.
async fn check_clock(step: Step, timeouts: &str, at_least: Duration) {
    let upstream = echo().streams([progress(0), step]).start().await;
    let gateway = gateway().with(&upstream).timeouts(timeouts).start().await;
    let (modern, legacy) = (modern(&gateway), legacy(&gateway, "2025-06-18").await);
    for client in [&modern, &legacy] {
        let start = Instant::now();
        let call = client.tool("echo").arguments(&json!({"nonce": "n"})).meta("progressToken", "1");
        let answer = call.send().await;
        let took = start.elapsed();
        assert_eq!(answer.outcome(), "unknown", "{answer:?}");
        // Late by a second at most, on a machine that does other things too.
        assert!(took >= at_least && took < at_least + Duration::from_secs(1), "it took {took:?}, not {at_least:?}");
    }
    // Both streams are closed, which the modern server takes for a cancellation; the legacy one gets a message.
    let calls = upstream.received("tools/call");
    until("the upstream's streams are closed", || calls.iter().all(|call| call.left())).await;
    until("the legacy upstream is told", || upstream.received("notifications/cancelled").len() == 1).await;
    let cancelled = &upstream.received("notifications/cancelled")[0];
    let cancelled = cancelled.message.as_ref().expect("it is a message").params["requestId"].to_string();
    assert_eq!(Some(cancelled), calls[1].message.as_ref().and_then(|call| call.id.clone()));
    gateway.ends_well(&["timeout", "timeout"]).await;
}

#[tokio::test]
async fn a_55_endless_progress_ends_at_the_hard_maximum() {
    let Step::Text(progress) = progress(1) else { unreachable!("progress is text") };
    let rising = progress.replace("\"progress\":1", "\"progress\":$N");
    let endless = Step::Endless(rising, Duration::from_millis(50));
    check_clock(endless, "{idle: 500ms, hard: 2s}", Duration::from_secs(2)).await;
}

#[tokio::test]
async fn a_55_endless_notifications_end_at_the_hard_maximum() {
    let Step::Text(notice) =
        event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"$N"}}"#)
    else {
        unreachable!("an event is text")
    };
    let endless = Step::Endless(notice, Duration::from_millis(50));
    check_clock(endless, "{idle: 5s, hard: 2s}", Duration::from_secs(2)).await;
}

#[tokio::test]
async fn a_55_silence_ends_at_the_idle_clock() {
    check_clock(Step::Silence, "{idle: 500ms, hard: 5s}", Duration::from_millis(500)).await;
}

#[tokio::test]
async fn a_55_comments_do_not_wind_the_idle_clock() {
    let comments = Step::Endless(": still here\n\n".to_owned(), Duration::from_millis(50));
    check_clock(comments, "{idle: 500ms, hard: 5s}", Duration::from_millis(500)).await;
}

#[tokio::test]
async fn a_55_a_list_that_is_never_answered_is_a_deadline_error() {
    let upstream = echo().streams([Step::Silence]).to("tools/list").start().await;
    let gateway = gateway().with(&upstream).timeouts("{start: 100ms, idle: 500ms, hard: 2s}").start().await;
    let answer = modern(&gateway).message("tools/list").send().await;
    let data = answer.json()["error"]["data"].clone();
    assert_eq!((answer.refusal(), data["replaySafe"] == true), ((200, 5041), true), "{answer:?}");
    gateway.ends_well(&[]).await;
}

/// An answer too large: reading stops near the limit, the caller learns which.
async fn check_too_large(upstream: Builder, limits: &str, named: &str, read_at_most: usize) {
    let upstream = upstream.start().await;
    let gateway = gateway().with(&upstream).limits(limits).start().await;
    let answer = modern(&gateway).call("echo", json!({"nonce": "n"})).await;
    assert_eq!((answer.status(), answer.outcome().as_str()), (200, "unknown"), "{answer:?}");
    assert!(answer.text().contains(named), "the limit {named} is named: {}", answer.text());
    until("the gateway has left", || upstream.last_call().left()).await;
    assert!(upstream.written() < read_at_most, "{} bytes were taken", upstream.written());
    gateway.ends_well(&["unknown"]).await;
}

/// What kernel buffers on both sides may hold beyond what was read: 10 MiB by Linux's defaults, up to 36 MiB where tuned.
const BUFFERED: usize = 36 * MIB;

#[tokio::test]
async fn a_56_a_result_of_50_mib_is_read_to_the_limit_only() {
    let steps = || [text("{\"jsonrpc\":\"2.0\",\"x\":\""), Step::Filler(50 * MIB), text("\"}")];
    check_too_large(echo().answers(steps()), "{}", "10 MiB", 10 * MIB + BUFFERED).await;
    check_too_large(echo().answers(steps()), "{answer: 1MiB}", "1 MiB", MIB + BUFFERED).await;
}

#[tokio::test]
async fn a_56_a_result_that_announces_50_mib_is_not_read() {
    let head = format!("200 OK\r\nContent-Type: application/json\r\nContent-Length: {}", 50 * MIB);
    check_too_large(echo().scripted(&head, [Step::Filler(50 * MIB)]), "{answer: 1MiB}", "1 MiB", BUFFERED).await;
}

#[tokio::test]
async fn a_56_a_result_just_within_the_limit_passes_whole() {
    let size = 900 * 1024;
    let result = [
        text(r#"{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"complete","content":[{"type":"text","text":""#),
        Step::Filler(size),
        text(r#""}]}}"#),
    ];
    let upstream = echo().answers(result).start().await;
    let gateway = gateway().with(&upstream).limits("{answer: 1MiB}").start().await;
    let answer = modern(&gateway).call("echo", json!({})).await;
    assert_eq!((answer.outcome().as_str(), answer.text().len()), ("ok", size));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_56_another_methods_answer_over_the_limit_is_an_error() {
    fn huge(_: &crate::echo::Message) -> String {
        format!(r#"{{"tools":[],"x":"{}"}}"#, "x".repeat(2 * MIB))
    }
    let upstream = echo().lists(huge).start().await;
    let gateway = gateway().with(&upstream).limits("{answer: 1MiB}").start().await;
    assert_eq!(modern(&gateway).message("tools/list").send().await.refusal(), (200, 4130));
    gateway.ends_well(&[]).await;
}

// Merged lists: /mcp drains every server's pages to answer for all of them.
#[tokio::test]
async fn a_56_a_list_whose_cursor_never_ends_is_drained_to_a_limit() {
    fn next(message: &crate::echo::Message) -> String {
        let page: u64 = message.params["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let next = page + 1;
        format!(
            r#"{{"tools":[{{"name":"t{page}","inputSchema":{{"type":"object"}}}}],"nextCursor":"{next}","resultType":"complete","ttlMs":0,"cacheScope":"private"}}"#
        )
    }
    let upstream = echo().lists(next).start().await;
    let gateway = gateway().with(&upstream).start().await;
    // The list is also read when the server is connected to.
    modern(&gateway).message("tools/list").send().await;
    let before = upstream.received("tools/list").len();
    let answer = modern(&gateway).at("/mcp").message("tools/list").send().await;
    let pages = upstream.received("tools/list").len() - before;
    let result = answer.json()["result"].clone();
    let tools = result["tools"].as_array().map_or(0, Vec::len);
    assert_eq!((answer.status(), tools > 2, result.get("nextCursor")), (200, true, None), "{result}");
    assert!(pages <= 100, "{pages} pages");
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_56_a_list_whose_cursor_runs_in_a_circle_is_drained_once() {
    fn circle(_: &crate::echo::Message) -> String {
        r#"{"tools":[],"nextCursor":"again","resultType":"complete","ttlMs":0,"cacheScope":"private"}"#.to_owned()
    }
    let upstream = echo().lists(circle).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let answer = modern(&gateway).at("/mcp").message("tools/list").send().await;
    let next = answer.json()["result"].get("nextCursor").cloned();
    assert_eq!((answer.status(), next), (200, None), "{answer:?}");
    // Twice when the server is connected to, and twice for the client.
    assert!(upstream.received("tools/list").len() <= 4, "{} pages", upstream.received("tools/list").len());
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_56_a_list_of_too_many_tools_is_capped() {
    // A million would not fit into the limit of an answer, and be refused for that.
    fn many(_: &crate::echo::Message) -> String {
        static LIST: OnceLock<String> = OnceLock::new();
        let list = || {
            let tools: Vec<String> = (0..100_000).map(|n| format!(r#"{{"name":"{n}"}}"#)).collect();
            format!(r#"{{"tools":[{}],"resultType":"complete","ttlMs":0,"cacheScope":"private"}}"#, tools.join(","))
        };
        LIST.get_or_init(list).clone()
    }
    let upstream = echo().lists(many).start().await;
    let gateway = gateway().with(&upstream).start().await;
    let answer = modern(&gateway).at("/mcp").message("tools/list").send().await;
    let tools = answer.json()["result"]["tools"].as_array().map_or(0, Vec::len);
    assert!((9000..=10_001).contains(&tools), "{tools} tools");
    gateway.ends_well(&[]).await;
}
