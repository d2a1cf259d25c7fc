//! Configurations that must not start: exit code 78, and a message that leads to the mistake.
//!
//! Keys of short or default value and world-readable secret files wait for authentication.

use crate::gateway::gateway;
use crate::upstream;

/// A configuration is refused with a message that holds all of this.
async fn check_refused(yaml: &str, told: &[&str]) {
    let (code, stderr) = gateway().config(yaml).refused().await;
    let missing: Vec<_> = told.iter().filter(|part| !stderr.contains(**part)).collect();
    assert_eq!((code, missing), (Some(78), Vec::<&&str>::new()), "of:\n{stderr}");
}

#[tokio::test]
async fn a_59_an_unknown_key_is_refused_where_it_stands() {
    check_refused(
        "servers:\n  a:\n    url: http://127.0.0.1:1/mcp\n    timeout: 5s\n",
        &["tollhouse.yaml:4:5", "timeout"],
    )
    .await;
    check_refused("serverz: {}\n", &["tollhouse.yaml:1:1", "serverz"]).await;
}

#[tokio::test]
async fn a_59_a_value_of_the_wrong_type_is_refused_where_it_stands() {
    let server = "servers:\n  a:\n    url: http://127.0.0.1:1/mcp\n";
    check_refused(&format!("{server}    timeouts: {{idle: soon}}\n"), &["tollhouse.yaml:4:", "idle"]).await;
    check_refused(&format!("{server}limits: {{answer: many}}\n"), &["tollhouse.yaml:4:", "answer"]).await;
    check_refused(&format!("{server}limits: [1]\n"), &["tollhouse.yaml:4:"]).await;
    check_refused("servers: 7\n", &["tollhouse.yaml:1:"]).await;
}

#[tokio::test]
async fn a_59_what_is_no_yaml_is_refused_where_it_breaks() {
    check_refused("servers:\n  a: {url: \"http://127.0.0.1:1/mcp\n", &["tollhouse.yaml:"]).await;
}

#[tokio::test]
async fn a_59_a_server_id_that_cannot_be_a_prefix_is_refused() {
    for id in ["Files", "a_b", "a.b", "tollhouse", "x-very-long-id-of-a-server"] {
        check_refused(&format!("servers:\n  {id}:\n    url: http://127.0.0.1:1/mcp\n"), &["tollhouse.yaml:2:", id])
            .await;
    }
}

#[tokio::test]
async fn a_59_a_server_id_given_twice_is_refused() {
    let yaml = "servers:\n  a:\n    url: http://127.0.0.1:1/mcp\n  a:\n    url: http://127.0.0.1:2/mcp\n";
    check_refused(yaml, &["tollhouse.yaml:4:"]).await;
}

#[tokio::test]
async fn a_59_a_server_is_reached_in_one_way() {
    check_refused(
        "servers:\n  a:\n    url: http://127.0.0.1:1/mcp\n    command: npx\n",
        &["tollhouse.yaml:", "command"],
    )
    .await;
    check_refused("servers:\n  a: {}\n", &["tollhouse.yaml:2:", "url", "command"]).await;
    check_refused("servers:\n  a:\n    url: ftp://127.0.0.1/mcp\n", &["tollhouse.yaml:3:", "url"]).await;
    check_refused("servers:\n  a:\n    url: not a url\n", &["tollhouse.yaml:3:"]).await;
}

#[tokio::test]
async fn a_59_a_variable_that_is_not_set_is_refused_by_name() {
    let yaml = "servers:\n  a:\n    url: http://127.0.0.1:1/mcp\n    headers: {Authorization: \"Bearer ${NOT_SET_ANYWHERE}\"}\n";
    check_refused(yaml, &["tollhouse.yaml:4:", "NOT_SET_ANYWHERE"]).await;
}

#[tokio::test]
async fn a_59_a_secret_written_in_the_file_is_refused_and_not_repeated() {
    let yaml = "servers:\n  a:\n    url: http://127.0.0.1:1/mcp\n    headers: {Authorization: \"Bearer sk-canary-0123456789abcdef\"}\n";
    let (code, stderr) = gateway().config(yaml).refused().await;
    let named = stderr.contains("tollhouse.yaml:4:") && stderr.to_lowercase().contains("authorization");
    assert_eq!((code, named, stderr.contains("canary")), (Some(78), true, false), "{stderr}");
}

#[tokio::test]
async fn a_59_every_mistake_is_reported_at_once() {
    let yaml = "servers:\n  A:\n    url: ftp://127.0.0.1/mcp\n  b: {}\n";
    check_refused(yaml, &["tollhouse.yaml:2:", "tollhouse.yaml:3:", "tollhouse.yaml:4:"]).await;
}

#[tokio::test]
async fn a_59_an_open_door_without_authentication_is_refused() {
    let upstream = upstream::echo().start().await;
    for listen in ["0.0.0.0:0", "[::]:0"] {
        for flag in ["--listen", "--admin"] {
            let (code, stderr) =
                gateway().with(&upstream).without(flag).argument(flag).argument(listen).refused().await;
            assert_eq!((code, stderr.contains("authentication")), (Some(78), true), "{flag} {listen}: {stderr}");
        }
    }
}

#[tokio::test]
async fn a_59_wrong_usage_is_no_wrong_configuration() {
    let upstream = upstream::echo().start().await;
    let (code, stderr) = gateway().with(&upstream).argument("--no-such-flag").refused().await;
    assert_eq!((code, stderr.contains("--no-such-flag")), (Some(2), true), "{stderr}");
}
