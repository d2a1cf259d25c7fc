//! What a person reads who starts the gateway: where it is, how its servers are, why it does not start.

use tokio::net::TcpListener;

use crate::gateway::gateway;
use crate::stdio::child;
use crate::upstream;
use crate::wait::until;

#[tokio::test]
async fn a_start_is_told_in_one_line_for_each_address_and_each_server() {
    let (one, other) = (upstream::echo().start().await, child());
    let gateway = gateway().server("one", &one).server("other", &other).start().await;
    until("every server is connected", || gateway.stderr().matches("\"message\":\"connected\"").count() == 3).await;
    let (mcp, told) = (gateway.mcp, gateway.stderr());
    assert!(told.contains(&format!("each server by itself at http://{mcp}/servers/<id>/mcp: one, other, ")), "{told}");
    assert!(told.contains("`tollhouse dashboard` gives a link to the pages"), "{told}");
    assert_eq!(told.lines().count(), 4 + 3, "{told}");
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_with_the_flag_that_names_another() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let address = taken.local_addr().expect("it is bound").to_string();
    let upstream = upstream::echo().start().await;
    for flag in ["--listen", "--admin"] {
        let told = gateway().with(&upstream).without(flag).argument(flag).argument(&address).refused().await;
        let expected = format!(
            "error: listen on {address}: another program does so already, perhaps another gateway\n\
             hint: end that one, or name another address with `{flag}`"
        );
        assert_eq!(told, (Some(1), expected));
    }
}

#[tokio::test]
async fn a_program_that_is_missing_is_told_once_with_what_to_do_and_without_the_directories_of_the_machine() {
    let missing = child().program("no-such-program-anywhere".as_ref());
    let gateway = gateway().with(&missing).argument("--log-level").argument("debug").start().await;
    until("it has been tried again", || gateway.stderr().contains("still not connected")).await;
    let told = gateway.stderr();
    assert_eq!(told.matches("not connected; it is tried again").count(), 1, "{told}");
    assert!(told.contains("is in no directory of PATH; install it, or give the full path of"), "{told}");
    let path = std::env::var("PATH").expect("tests run with a PATH");
    assert!(!told.contains(&path), "{told}");
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn what_is_not_yet_in_force_is_told_with_its_place() {
    let yaml = "servers:\n  a: { url: \"http://127.0.0.1:1/mcp\" }\nobservability: {}\n";
    let gateway = gateway().alone().config(yaml).start().await;
    let told = gateway.stderr();
    assert!(told.contains("\"message\":\"accepted, not yet in force: observability\""), "{told}");
    assert!(told.contains("\"code\":\"TH-C019\"") && told.contains("tollhouse.yaml:3:1\""), "{told}");
}
