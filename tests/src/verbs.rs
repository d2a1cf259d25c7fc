//! The verbs that set the program up and look at it, as a new user meets them.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::gateway::{Gateway, gateway};
use crate::home::Home;
use crate::stdio::{Upstream, child};
use crate::upstream;
use crate::wait::{soon, until};

/// The own configuration of a home, for a gateway at these addresses.
const OWN: &str = ".config/tollhouse/tollhouse.yaml";

fn at(gateway: &Gateway, servers: &str) -> String {
    format!("listen: {}\nadmin: {}\nservers:\n{servers}", gateway.mcp, gateway.admin)
}

/// An address that is free at any time, and at which nobody answers.
const NOBODY: &str = "127.0.0.1:0";

/// A server's entry in a client's file.
fn entry(server: &Upstream, env: &Value) -> Value {
    let words = server.words();
    json!({"command": words[0], "args": &words[1..], "env": env})
}

#[tokio::test]
async fn status_finds_the_gateway_by_its_configuration_and_tells_every_server() {
    let (well, missing) = (child(), child().program("no-such-program-anywhere".as_ref()));
    let gateway = gateway().alone().server("well", &well).server("ill", &missing).start().await;
    until("both are settled", || {
        let told = gateway.stderr();
        told.contains("\"connected\"") && told.contains("not connected; it is tried again")
    })
    .await;
    let home = Home::new();
    home.write(OWN, &at(&gateway, "  a: { url: \"http://127.0.0.1:1/mcp\" }\n"));
    let said = home.run(&["status"]).await;
    assert_eq!(said.code, Some(1), "a server is down: {said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[0].starts_with(&format!("degraded · http://{}/mcp · version ", gateway.mcp)), "{said:?}");
    let row = |name: &str| lines.iter().find(|line| line.starts_with(name)).copied().unwrap_or_default().to_owned();
    assert!(row("well").contains("connected  stdio      modern"), "{said:?}");
    assert!(row("ill").contains("failed") && row("ill").contains("is in no directory of PATH"), "{said:?}");
    let said = home.run(&["status", "--json"]).await;
    let report: Value = serde_json::from_str(&said.out).expect("one JSON document");
    assert_eq!((said.code, &report["servers"][0]["state"]), (Some(1), &json!("connected")));
    assert_eq!(report["listen"], gateway.mcp.to_string());
}

#[tokio::test]
async fn status_ends_with_0_if_all_is_well_and_with_3_if_nobody_answers() {
    let served = upstream::echo().start().await;
    let gateway = gateway().with(&served).start().await;
    until("both are there", || gateway.stderr().matches("\"message\":\"connected\"").count() == 2).await;
    let home = Home::new();
    let admin = gateway.admin.to_string();
    assert_eq!(home.run(&["status", "--admin", &admin]).await.code, Some(0));
    assert_eq!(home.run(&["health", "--admin", &admin]).await.code, Some(0), "its former name");
    gateway.ends_well(&[]).await;
    let said = home.run(&["status", "--admin", NOBODY]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(3), ""));
    assert!(said.err.starts_with("error: no gateway answers at ") && said.err.contains("hint: "), "{said:?}");
}

#[tokio::test]
async fn a_client_that_was_led_here_starts_the_same_servers_with_its_own_secrets_and_is_led_back_to_the_byte() {
    let server = child().argument("environment");
    let home = Home::new();
    let file = json!({"theme": "dark", "mcpServers": {"mine": entry(&server, &json!({"API_KEY": "canary"}))}});
    let before = format!("// kept\n{file:#}\n");
    home.write(".cursor/mcp.json", &before);
    let said = home.run(&["init", "--repoint"]).await;
    assert!(said.code == Some(0) && !said.out.contains("canary"), "{said:?}");
    assert!(!home.read(OWN).contains("canary"));
    let led = home.read(".cursor/mcp.json");
    let kept = home.path(".cursor/mcp.json.before-tollhouse");
    let mode = std::fs::metadata(&kept).expect("what was there is kept").permissions().mode() & 0o777;
    assert_eq!((std::fs::read_to_string(&kept).ok(), mode), (Some(before.clone()), 0o600));

    let read: Value =
        serde_json::from_str(led.trim_start_matches("// kept\n")).expect("it is JSON but for the comment");
    assert_eq!(read["theme"], "dark");
    let entry = &read["mcpServers"]["tollhouse"];
    let words: Vec<&str> = entry["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let variables = entry["env"].as_object().into_iter().flatten();
    let mut command = home.command(&words);
    command.envs(variables.map(|(name, value)| (name, value.as_str().expect("variables are text"))));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut started = command.spawn().expect("the entry's command can be run");
    let call = crate::message::modern_call("1", &json!({"nonce": "n"}));
    let mut stdin = started.stdin.take().expect("it is piped");
    stdin.write_all(format!("{call}\n").as_bytes()).await.expect("it reads");
    let mut lines = BufReader::new(started.stdout.take().expect("it is piped")).lines();
    let answer = soon("an answer", lines.next_line()).await.expect("it writes UTF-8").unwrap_or_default();
    assert!(answer.contains("API_KEY") && answer.contains("canary"), "{answer}");
    drop(stdin);
    assert!(soon("its end", started.wait()).await.is_ok_and(|status| status.success()));

    let said = home.run(&["doctor", "--config", OWN, "--json"]).await;
    assert!(said.out.contains("TH-D008"), "the entry that came holds the secret: {said:?}");
    let said = home.run(&["init", "--undo"]).await;
    assert_eq!((said.code, home.read(".cursor/mcp.json")), (Some(0), before));
    assert!(!kept.exists());
}

#[tokio::test]
async fn a_client_of_a_gateway_that_runs_is_led_to_its_url() {
    let home = Home::new();
    let server = entry(&child(), &json!({}));
    for (file, section, key) in [
        (".gemini/settings.json", "mcpServers", "httpUrl"),
        (".codeium/windsurf/mcp_config.json", "mcpServers", "serverUrl"),
        (".config/Code/User/mcp.json", "servers", "url"),
        (".claude.json", "mcpServers", "url"),
    ] {
        home.write(file, &json!({section: {"mine": server}}).to_string());
        let said = home.run(&["init", "--from", home.path(file).to_str().expect("UTF-8"), "--repoint=url"]).await;
        let read: Value = serde_json::from_str(&home.read(file)).expect("it is JSON");
        assert_eq!(read[section], json!({"tollhouse": read[section]["tollhouse"]}), "{said:?}");
        assert_eq!(read[section]["tollhouse"][key], "http://127.0.0.1:7070/mcp", "{file}");
    }
    home.write(".codex/config.toml", "model = \"m\"\n\n[mcp_servers.other]\ncommand = \"other\"\n");
    assert_eq!(home.run(&["init", "--from", "codex", "--repoint=url"]).await.code, Some(0));
    let expected = "model = \"m\"\n\n[mcp_servers.tollhouse]\nurl = \"http://127.0.0.1:7070/mcp\"\n";
    assert_eq!(home.read(".codex/config.toml"), expected);
    home.write(".config/Claude/claude_desktop_config.json", &json!({"mcpServers": {"mine": server}}).to_string());
    let said = home.run(&["init", "--from", "claude-desktop", "--repoint=url"]).await;
    assert!(said.code == Some(1) && said.err.contains("Claude Desktop calls no server by its URL"), "{said:?}");
}

#[tokio::test]
async fn a_doctor_names_what_is_wrong_by_its_code_and_mends_what_cannot_harm() {
    let (well, ill) = (child(), child().argument("exit-at-start").argument("3"));
    let home = Home::new();
    let server = |upstream: &Upstream| entry(upstream, &json!({})).to_string();
    let (listen, admin) = (NOBODY, NOBODY);
    let yaml = format!(
        "listen: {listen}\nadmin: {admin}\nservers:\n  well: {}\n  ill: {}\n  gone: {{ command: no-such-program-anywhere }}\n",
        server(&well),
        server(&ill)
    );
    home.write(OWN, &yaml);
    let lost = json!({"mcpServers": {"tollhouse": {"command": "/nowhere/tollhouse", "args": ["stdio", "--config", home.path(OWN)]}}});
    home.write(".cursor/mcp.json", &format!("{lost:#}"));
    home.write(".codex/config.toml", "[mcp_servers.own]\ncommand = \"own\"\nenv = { A_TOKEN = \"canary\" }\n");
    home.write(
        ".gemini/settings.json",
        &json!({"mcpServers": {"t": {"httpUrl": format!("http://{listen}/mcp")}}}).to_string(),
    );
    home.write(".claude.json", "{ \"mcpServers\": [ }");

    let said = home.run(&["doctor", "--json"]).await;
    let found = said.objects();
    let mut codes: Vec<&str> = found.iter().filter_map(|finding| finding["code"].as_str()).collect();
    codes.sort_unstable();
    let expected = ["TH-D002", "TH-D006", "TH-D008", "TH-D009", "TH-D010", "TH-D012", "TH-D013"];
    assert_eq!((said.code, codes), (Some(1), expected.to_vec()), "{said:?}");
    let about = |code: &str| found.iter().find(|finding| finding["code"] == code).cloned().unwrap_or_default();
    assert_eq!(about("TH-D006")["about"], "server `ill`");
    assert_eq!(about("TH-D006")["detail"][0], "│ cannot start: the licence has run out", "its last words");
    assert!(!said.out.contains("canary") && !said.err.contains("canary"), "{said:?}");

    let said = home.run(&["doctor", "--fix"]).await;
    assert!(said.out.contains("; 2 mended"), "{said:?}");
    let mode = std::fs::metadata(home.path(".codex/config.toml")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let own = crate::gateway::binary().to_str().expect("UTF-8");
    assert_eq!(home.read(".cursor/mcp.json"), format!("{lost:#}").replace("/nowhere/tollhouse", own));
}

#[tokio::test]
async fn a_doctor_who_finds_nothing_says_so_and_asks_a_gateway_that_runs_instead_of_starting_servers_again() {
    let (one, home) = (child(), Home::new());
    let server = entry(&one, &json!({})).to_string();
    home.write(OWN, &format!("listen: {NOBODY}\nadmin: {NOBODY}\nservers:\n  one: {server}\n"));
    let said = home.run(&["doctor"]).await;
    assert!(said.code == Some(0) && said.out.ends_with("\nnothing is wrong\n"), "{said:?}");
    assert!(said.out.contains("server `one`") && said.out.contains("modern, 1 tool"), "{said:?}");
    let starts = one.starts().len();
    let gateway = gateway().alone().server("one", &one).start().await;
    until("it is there", || gateway.stderr().contains("\"connected\"")).await;
    home.write(OWN, &at(&gateway, &format!("  one: {server}\n  new: {{ url: \"http://127.0.0.1:1/mcp\" }}\n")));
    let said = home.run(&["doctor", "--json"]).await;
    let codes: Vec<Value> = said.objects().iter().map(|finding| finding["code"].clone()).collect();
    assert_eq!((said.code, codes), (Some(0), vec![json!("TH-D005")]), "{said:?}");
    assert_eq!(one.starts().len(), starts + 1, "started once more, by the gateway");
}

#[tokio::test]
async fn a_doctor_says_that_an_address_is_taken_and_that_there_is_no_configuration() {
    let home = Home::new();
    let said = home.run(&["doctor", "--json"]).await;
    let codes: Vec<Value> = said.objects().iter().map(|finding| finding["code"].clone()).collect();
    assert!(said.code == Some(1) && codes.contains(&json!("TH-D001")), "{said:?}");
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let taken = taken.local_addr().map(|address| (taken, address)).expect("it is bound");
    home.write(
        OWN,
        &format!("listen: {}\nadmin: {}\nservers:\n  a: {{ url: \"http://127.0.0.1:1/mcp\" }}\n", taken.1, NOBODY),
    );
    let said = home.run(&["doctor"]).await;
    assert!(said.out.contains("TH-D004") && said.out.contains(&taken.1.to_string()), "{said:?}");
}

#[tokio::test]
async fn a_server_is_added_listed_called_and_removed_without_an_editor() {
    let home = Home::new();
    let server = child();
    let words = server.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(home.run(&[&["add", "mine", "--"], words.as_slice()].concat()).await.code, Some(0));
    let listed = home.run(&["list", "--json"]).await;
    assert_eq!(listed.objects()[0]["server"], "mine");
    let gateway = gateway().alone().config(&home.read(OWN)).start().await;
    until("it is there", || gateway.stderr().contains("\"connected\"")).await;
    // From here on the configuration says where the gateway is.
    home.write(OWN, &format!("listen: {}\nadmin: {}\n{}", gateway.mcp, gateway.admin, home.read(OWN)));
    let tools = home.run(&["tools"]).await;
    assert!(tools.code == Some(0) && tools.out.contains("mine    echo"), "{tools:?}");
    let called = home.run(&["tools", "call", "mine", "echo", "nonce=hello"]).await;
    assert_eq!((called.code, called.out.as_str()), (Some(0), "hello\n"), "{called:?}");
    let removed = home.run(&["remove", "mine"]).await;
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(home.run(&["list"]).await.out, "");
}

#[tokio::test]
async fn completions_know_every_verb() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).await.out;
        for verb in ["wrap", "status", "doctor", "init"] {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
        assert!(script.contains("repoint"), "{shell}");
    }
}
