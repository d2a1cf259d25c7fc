//! Children that die, babble, hang on, or are not there at all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Client, legacy, modern};
use crate::gateway::{Gateway, gateway};
use crate::stdio::{Upstream, child, exists};
use crate::wait::{PATIENCE, until};

const MIB: usize = 1024 * 1024;

/// A call to a child that is already there: how it ends, and how long that takes.
///
/// The vices show at a call, so another server method is asked first to have the child started.
async fn timed(client: &Client) -> (String, Duration) {
    client.message("tools/list").send().await;
    let start = Instant::now();
    let answer = client.call("echo", json!({"nonce": "n"})).await;
    (answer.outcome(), start.elapsed())
}

/// A child with this vice fails a call with this outcome, soon, and leaves no zombie.
async fn check_vice(child: Upstream, outcome: &str, within: Duration) {
    let gateway = gateway().with(&child).start().await;
    let (modern, legacy) = (modern(&gateway), legacy(&gateway, "2025-06-18").await);
    for client in [&modern, &legacy] {
        let (seen, took) = timed(client).await;
        assert_eq!(seen, outcome);
        assert!(took < within, "it took {took:?}");
    }
    no_zombies(&gateway).await;
    assert_eq!(child.executions(), 2, "each call ran once");
    gateway.ends_well(&[outcome, outcome]).await;
}

async fn no_zombies(gateway: &Gateway) {
    until("no zombie is left", || gateway.children().iter().all(|&(_, state)| state != 'Z')).await;
}

/// The row says 100 ms; a debug build on a machine with other work gets five times that.
const AT_ONCE: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_57_prose_on_stdout_is_skipped() {
    let child = child().argument("banner");
    let gateway = gateway().with(&child).start().await;
    let (modern, legacy) = (modern(&gateway), legacy(&gateway, "2025-06-18").await);
    let answers = [modern.call("echo", json!({"nonce": "a"})).await, legacy.call("echo", json!({"nonce": "b"})).await];
    assert_eq!([answers[0].text(), answers[1].text()], ["a", "b"]);
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_57_half_a_line_before_the_end_is_no_answer() {
    check_vice(child().argument("half-line"), "unknown", AT_ONCE).await;
}

#[tokio::test]
async fn a_57_a_child_that_exits_mid_call_fails_the_call_at_once() {
    check_vice(child().argument("exit").argument("0"), "unknown", AT_ONCE).await;
    check_vice(child().argument("exit").argument("1"), "unknown", AT_ONCE).await;
}

#[tokio::test]
async fn a_57_a_child_that_crashes_mid_call_fails_the_call_at_once() {
    check_vice(child().argument("segfault"), "unknown", AT_ONCE).await;
}

#[tokio::test]
async fn a_57_a_child_that_closes_stdout_fails_the_call_though_it_lives() {
    check_vice(child().argument("closed-stdout"), "unknown", AT_ONCE).await;
}

#[tokio::test]
async fn a_57_noise_without_a_newline_ends_the_child() {
    check_vice(child().argument("noise").argument(&(5 * MIB).to_string()), "unknown", Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_57_a_line_over_the_limit_fails_its_call() {
    let child = child().argument("long-line").argument(&(2 * MIB).to_string());
    let gateway = gateway().with(&child).limits("{line: 1MiB}").start().await;
    let answer = modern(&gateway).call("echo", json!({"nonce": "n"})).await;
    assert_eq!((answer.outcome().as_str(), child.executions()), ("unknown", 1), "{answer:?}");
    assert!(answer.text().contains("1 MiB"), "the limit is named: {}", answer.text());
    gateway.ends_well(&["unknown"]).await;
}

#[tokio::test]
async fn a_57_a_line_over_the_default_limit_fails_its_call() {
    let child = child().argument("long-line").argument(&(17 * MIB).to_string());
    check_vice(child, "unknown", Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_57_a_long_line_within_the_limits_passes_whole() {
    let child = child().argument("long-line").argument(&(5 * MIB).to_string());
    let gateway = gateway().with(&child).start().await;
    let answer = modern(&gateway).call("echo", json!({"nonce": "n"})).await;
    assert_eq!((answer.outcome().as_str(), answer.text().len()), ("ok", 5 * MIB));
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_57_a_full_stderr_blocks_nobody() {
    let child = child().argument("stderr").argument(&MIB.to_string());
    let gateway = gateway().with(&child).start().await;
    let answer = modern(&gateway).call("echo", json!({"nonce": "n"})).await;
    assert_eq!(answer.text(), "n");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_57_calls_go_to_a_fresh_child_after_one_has_died() {
    let child = child().argument("exit").argument("1");
    let gateway = gateway().with(&child).start().await;
    let client = modern(&gateway);
    assert_eq!(client.call("echo", json!({"nonce": "first"})).await.outcome(), "unknown");
    let start = Instant::now();
    let mut refused = 0;
    // Until the back-off is over, calls are refused unsent.
    loop {
        let outcome = client.call("echo", json!({"nonce": "second"})).await.outcome();
        if outcome != "not_executed" {
            assert_eq!(outcome, "unknown");
            break;
        }
        refused += 1;
        assert!(start.elapsed() < PATIENCE, "no fresh child within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((child.ledger(), child.starts().len()), (vec!["first".to_owned(), "second".to_owned()], 2));
    no_zombies(&gateway).await;
    let mut outcomes = vec!["not_executed"; refused];
    outcomes.extend(["unknown", "unknown"]);
    gateway.ends_well(&outcomes).await;
}

#[tokio::test]
async fn a_57_a_child_that_keeps_exiting_is_parked() {
    let child = child().argument("exit-at-start").argument("3");
    let gateway = gateway().with(&child).start().await;
    let client = modern(&gateway);
    // Started at 0, 0.5, 1.5, 3.5 and 7.5 s, and then no more.
    until("it is said that it is not tried again", || gateway.stderr().contains("and not tried again")).await;
    assert_eq!(child.starts().len(), 5);
    no_zombies(&gateway).await;
    let answer = client.call("echo", json!({})).await;
    assert!(answer.text().contains("the licence has run out"), "its last words are passed on: {}", answer.text());
    gateway.ends_well(&["not_executed"]).await;
}

#[tokio::test]
async fn a_57_a_child_that_answers_nothing_is_given_up_when_its_start_takes_too_long() {
    let child = child().argument("mute");
    let gateway = gateway().with(&child).timeouts("{start: 1s}").start().await;
    let answer = modern(&gateway).call("echo", json!({"nonce": "n"})).await;
    assert_eq!((answer.outcome().as_str(), child.executions()), ("not_executed", 0), "{answer:?}");
    gateway.ends_well(&["not_executed"]).await;
}

#[tokio::test]
async fn a_57_a_program_that_is_not_there_or_not_executable_was_not_executed() {
    for program in ["/no/such/program", "/etc/hostname"] {
        let missing = child().program(program.as_ref());
        let gateway = gateway().with(&missing).start().await;
        let answer = modern(&gateway).call("echo", json!({})).await;
        assert_eq!(answer.outcome(), "not_executed", "{program}: {answer:?}");
        gateway.ends_well(&["not_executed"]).await;
    }
}

/// Ends the gateway and waits until these processes are gone, too.
async fn leaves_none(mut gateway: Gateway, processes: Vec<i32>) {
    assert!(!processes.is_empty() && processes.iter().all(|&pid| exists(pid)), "they live before the end");
    gateway.process.signal(rustix::process::Signal::TERM);
    assert_eq!(gateway.process.exit().await.code(), Some(0), "{}", gateway.stderr());
    until("no process is left", || !processes.iter().any(|&pid| exists(pid))).await;
}

#[tokio::test]
async fn a_57_a_child_that_ignores_the_end_of_stdin_is_killed() {
    let child = child().argument("ignores-eof");
    let gateway = gateway().with(&child).start().await;
    assert_eq!(modern(&gateway).call("echo", json!({"nonce": "n"})).await.text(), "n");
    leaves_none(gateway, child.starts()).await;
}

#[tokio::test]
async fn a_57_a_grandchild_is_killed_with_its_parent() {
    let child = child().argument("grandchild");
    let gateway = gateway().with(&child).start().await;
    assert_eq!(modern(&gateway).call("echo", json!({"nonce": "n"})).await.text(), "n");
    leaves_none(gateway, [child.starts(), child.grandchildren()].concat()).await;
}

#[tokio::test]
async fn a_57_the_end_of_a_session_ends_its_child() {
    let child = child();
    let gateway = gateway().with(&child).start().await;
    let client = legacy(&gateway, "2025-06-18").await;
    assert_eq!(client.call("echo", json!({"nonce": "n"})).await.text(), "n");
    let children = child.starts();
    assert_eq!(client.verb("DELETE").send().await.status() / 100, 2);
    let own = *children.last().expect("the session had a child");
    until("the session's child is gone", || !exists(own)).await;
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_57_a_child_sees_the_allow_list_and_what_is_declared_for_it() {
    let child = child().argument("environment").env(r#"{DECLARED: "yes", FROM_US: "${GIVEN}"}"#);
    let gateway = gateway()
        .env("GIVEN", "given")
        .env("AWS_SECRET_ACCESS_KEY", "canary")
        .env("LD_PRELOAD", "")
        .env("LC_TIME", "C")
        .with(&child)
        .start()
        .await;
    let answer = modern(&gateway).call("echo", json!({})).await;
    let mut seen: BTreeMap<String, String> = serde_json::from_str(&answer.text()).expect("a map of strings");
    assert_eq!((seen.remove("DECLARED").as_deref(), seen.remove("FROM_US").as_deref()), (Some("yes"), Some("given")));
    let allowed = ["PATH", "HOME", "LOGNAME", "SHELL", "TERM", "USER", "LANG", "TMPDIR", "TZ"];
    seen.retain(|name, _| !allowed.contains(&name.as_str()) && !name.starts_with("LC_"));
    assert_eq!(seen, BTreeMap::new(), "variables beyond the allow-list");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_57_a_child_holds_its_three_pipes_and_nothing_else() {
    let child = child().argument("descriptors");
    let gateway = gateway().with(&child).start().await;
    let client = modern(&gateway);
    // A second connection, so that there is more than one descriptor to leak.
    let _other = legacy(&gateway, "2025-06-18").await;
    let text = client.call("echo", json!({})).await.text();
    let numbers: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(numbers, ["0", "1", "2"], "{text}");
    gateway.ends_well(&["ok"]).await;
}

#[tokio::test]
async fn a_57_many_deaths_leave_no_zombies_and_no_descriptors() {
    let child = child();
    let gateway = gateway().with(&child).start().await;
    let descriptors =
        |gateway: &Gateway| std::fs::read_dir(format!("/proc/{}/fd", gateway.pid())).expect("it runs").count();
    let session = async || {
        let client = legacy(&gateway, "2025-06-18").await;
        let text = client.call("echo", json!({"nonce": "n"})).await.text();
        client.verb("DELETE").send().await;
        text
    };
    // The first ones may leave pools and caches behind.
    assert_eq!([session().await, session().await], ["n", "n"]);
    until("the first children are gone", || gateway.children().len() <= 1).await;
    let before = descriptors(&gateway);
    for _ in 0..50 {
        assert_eq!(session().await, "n");
    }
    no_zombies(&gateway).await;
    until("the descriptors have returned", || descriptors(&gateway) <= before + 2).await;
    gateway.ends_well(&["ok"; 52]).await;
}
