//! The verb against a gateway that serves the demonstration's servers.

use clap::Parser as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{call, list, run};
use crate::cli::{Cli, Common, Verb};
use crate::exit::Exit;

#[test]
fn a_table_is_cut_to_the_width_and_shows_the_first_line_of_a_description() {
    let rows = [
        ("a".to_owned(), json!({"name": "one", "description": "\n First of all.\nMore."})),
        ("bb".to_owned(), json!({"name": "two", "title": "T\u{1b}[2Jwo", "description": " "})),
        ("bb".to_owned(), json!({"name": "three", "description": "A text that is longer than the table is wide."})),
    ];
    let expected = "server  tool   what it does\n\
                    a       one    First of all.\n\
                    bb      two    T\u{fffd}[2Jwo\n\
                    bb      three  A text that is longer …\n";
    assert_eq!(list::table(&rows, 38), expected);
}

#[test]
fn an_argument_is_text_where_the_tool_wants_text_and_else_json_if_it_is_some() {
    let tool = json!({"inputSchema": {"properties": {"id": {"type": "string"}, "n": {"type": "integer"}}}});
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let given = call::arguments(&words(&["id=007", "n=7", "list=[1]", "word=a=b", "empty="]), &tool);
    let expected = json!({"id": "007", "n": 7, "list": [1], "word": "a=b", "empty": ""});
    assert_eq!(given.map(Value::from).ok(), Some(expected));
    let given = call::arguments(&words(&[r#"{"id": 7}"#]), &tool);
    assert_eq!(given.map(Value::from).ok(), Some(json!({"id": 7})));
    for wrong in [&["word"][..], &["=x"], &["{\"a\": "], &["a=1", "a=2"]] {
        assert_eq!(
            call::arguments(&words(wrong), &tool).err().map(|refusal| refusal.exit),
            Some(Exit::Usage),
            "{wrong:?}"
        );
    }
}

#[test]
fn an_answer_is_shown_by_its_texts_and_nothing_in_it_moves_the_cursor() {
    let result = json!({"content": [
        {"type": "text", "text": "one\n\ttwo\u{1b}[2J\n"},
        {"type": "image", "mimeType": "image/png", "data": "AAAA"},
        {"type": "resource_link", "uri": "file:///x"},
    ]});
    assert_eq!(call::shown(&result), "one\n\ttwo\u{fffd}[2J\n[image image/png, 4 bytes of base64]\n[link file:///x]\n");
    assert_eq!(call::shown(&json!({"structuredContent": {"a": 1}})), "{\n  \"a\": 1\n}\n");
}

async fn tried(common: &Common, line: &str) -> (Exit, String) {
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
    let Verb::Tools(args) = cli.verb else { panic!("it is `tools`") };
    let common = Common { json: cli.common.json, ..common.clone() };
    let mut out = Vec::new();
    let exit = run(&common, &args, &mut out).await.unwrap();
    (exit, String::from_utf8(out).unwrap())
}

/// A gateway with `almanac` over HTTP and a server that cannot be started; what to ask it with.
async fn behind_a_gateway(work: impl AsyncFnOnce(Common)) {
    use tollhouse_proxy::handle::Handle;
    use tollhouse_proxy::record;
    let stop = CancellationToken::new();
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", upstream.local_addr().unwrap());
    let server = crate::demo::server::over_http(crate::demo::server::Name::Almanac, upstream, stop.clone());
    let yaml = format!("servers:\n  almanac: {{ url: \"{url}\" }}\n  dead: {{ command: /nonexistent/program }}\n");
    let no_variables: std::collections::BTreeMap<&str, &str> = std::collections::BTreeMap::new();
    let loaded = crate::config::load_text(std::path::Path::new("t.yaml"), &yaml, &no_variables).unwrap();
    let (recorder, _records) = record::channel(&loaded.settings.limits);
    let handle = Handle::start(&loaded.settings, recorder).unwrap();
    let listen = handle.listen(TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap();
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let common = Common { listen: Some(listen), admin: web.local_addr().ok(), ..Common::default() };
    let told = std::sync::Arc::new({
        let handle = handle.clone();
        move || crate::build::snapshot(&handle, Some(listen), &std::sync::Mutex::default())
    });
    let (_, door) = tokio::sync::watch::channel(loaded.settings.front_door.clone());
    tokio::select! {
        _ = server => panic!("the server ended"),
        _ = tollhouse_web::serve(web, tollhouse_web::Shown { health: told, recorded: None, metrics: None, login: None }, door, stop.clone()) => panic!("the listener ended"),
        () = work(common) => {}
    }
}

#[tokio::test]
async fn tools_are_listed_and_called_and_a_dead_server_hides_no_other() {
    behind_a_gateway(async |common| {
        let (exit, text) = tried(&common, "tollhouse tools").await;
        assert_eq!(exit, Exit::Fault, "one server is dead: {text}");
        assert!(text.starts_with("server   tool") && text.contains("almanac  convert"), "{text}");
        let (exit, text) = tried(&common, "tollhouse tools list --server almanac --json").await;
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((exit, first["server"].as_str()), (Exit::Ok, Some("almanac")));
        assert!(first["inputSchema"].is_object(), "{first}");
        let (exit, text) =
            tried(&common, "tollhouse tools call almanac convert value=3 from=nautical-mile to=km").await;
        assert!(exit == Exit::Ok && text.contains("5.556"), "{text}");
        let (exit, text) = tried(
            &common,
            "tollhouse tools call almanac convert {\"value\":3,\"from\":\"nautical-mile\",\"to\":\"km\"} --json",
        )
        .await;
        let result: Value = serde_json::from_str(&text).unwrap();
        assert!(exit == Exit::Ok && result["content"].is_array(), "{text}");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_called_ends_with_1_and_leaves_standard_output_empty() {
    behind_a_gateway(async |common| {
        for line in [
            "tollhouse tools call almanac convrt value=3",
            "tollhouse tools call almanack convert",
            "tollhouse tools call Not_An_Id convert",
            "tollhouse tools call dead x",
            "tollhouse tools list --server nobody",
        ] {
            assert_eq!(tried(&common, line).await, (Exit::Fault, String::new()), "{line}");
        }
    })
    .await;
}

#[tokio::test]
async fn where_nobody_listens_the_exit_code_is_3() {
    let nobody = || async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().ok()
    };
    let common = Common { listen: nobody().await, admin: nobody().await, ..Common::default() };
    for line in ["tollhouse tools", "tollhouse tools list --server a", "tollhouse tools call a b"] {
        assert_eq!(tried(&common, line).await, (Exit::Unreachable, String::new()), "{line}");
    }
}
