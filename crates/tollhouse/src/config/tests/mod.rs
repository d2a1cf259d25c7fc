//! Configurations that people could write, and what they are told.
//!
//! `bad/` holds files that are refused; what is printed for each is a golden file beside it, so a case is added by
//! adding a file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tollhouse_core::units::ByteSize;
use tollhouse_proxy::settings::{Command, Limits, Naming, OverHttp, Prefix, Server, Timeouts, Transport};
use tollhouse_telemetry::metrics::Histograms;

use super::env::{Environment, Process};
use super::{
    ADMIN_DEFAULT, Code, LISTEN_DEFAULT, Loaded, Report, Severity, Store, check_listen, load, reference, schema,
};

const BAD: &str = "src/config/tests/bad";
const EXAMPLES: &str = "../../examples";

fn variables() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("EMPTY", ""),
        ("TWO_LINES", "canary\n"),
        ("TOKEN", "canary-of-the-variable"),
        ("TICKETS_TOKEN", "canary-of-tickets"),
    ])
}

/// Loads `text` as a file of that name.
fn loaded(name: &str, text: impl AsRef<[u8]>) -> Result<Loaded, Report> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a file in it");
    load(&path, &variables()).map_err(|report| named(report, name))
}

/// The report as if the file were named `name`.
fn named(mut report: Report, name: &str) -> Report {
    for finding in &mut report.findings {
        name.clone_into(&mut finding.file);
    }
    report
}

fn accepted(name: &str, text: &str) -> Loaded {
    loaded(name, text).unwrap_or_else(|report| panic!("{text}\n{report}"))
}

fn codes(result: Result<Loaded, Report>) -> Vec<Code> {
    let findings = result.map_or_else(|report| report.findings, |loaded| loaded.notices);
    findings.iter().map(|finding| finding.code).collect()
}

fn server(yaml: &str) -> Server {
    accepted("t.yaml", &format!("servers: {{ s: {yaml} }}")).settings.servers.remove(0)
}

fn command(yaml: &str) -> Command {
    let Transport::Stdio(command) = server(yaml).transport else { panic!("{yaml} is started") };
    command
}

fn files_in(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("its entries").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

fn bad_files() -> Vec<(String, String)> {
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).expect("bad files are UTF-8"))
    };
    files_in(BAD).into_iter().map(read).collect()
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_what_to_do() {
    for (name, text) in bad_files() {
        let report = loaded(&name, &text).map(|_| ()).expect_err(&name);
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "reports", omit_expression => true }, {
            insta::assert_snapshot!(name, report);
        });
    }
}

#[test]
fn no_report_shows_a_secret() {
    for (name, text) in bad_files() {
        let report = loaded(&name, &text).map(|_| ()).expect_err(&name).to_string();
        assert!(!report.contains("canary"), "{report}");
    }
}

#[test]
fn names_in_the_file_do_not_move_the_cursor_of_the_terminal() {
    let text = r#"{ "servers": { "a[2J
": { "comand": "x", "type": "[31mred" } } }"#;
    let report = loaded("client.json", text).map(|_| ()).expect_err("it has no command").to_string();
    assert!(!report.contains('\u{1b}'), "{report:?}");
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_move_no_place() {
    for (name, text) in bad_files() {
        let report = loaded(&name, &text).map(|_| ()).expect_err(&name);
        let windows = loaded(&name, format!("\u{feff}{}", text.replace('\n', "\r\n"))).map(|_| ()).expect_err(&name);
        assert_eq!(report.to_string(), windows.to_string());
    }
}

#[test]
fn a_file_cut_off_anywhere_is_refused_or_read_and_never_ends_the_program() {
    let example = std::fs::read_to_string(format!("{EXAMPLES}/two-servers.yaml")).expect("the example is there");
    // The bomb takes its time up to the limit, at each length again.
    let files = bad_files().into_iter().filter(|(name, _)| name != "alias-bomb.yaml");
    for (name, text) in files.chain([("t.yaml".to_owned(), example)]) {
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let (cut, _) = text.split_at(end);
            let mut findings = super::Findings::about(&name);
            let loaded = super::meaning(Path::new(&name), cut, &variables(), &mut findings);
            assert!(loaded.is_some() || findings.any_error(), "{name} cut at {end}: refused without a reason");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_as_such() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = load(&folder.path().join("none.yaml"), &variables()).map(|_| ()).expect_err("there is none");
    insta::assert_snapshot!(named(missing, "none.yaml"), @r#"
    error[TH-C001]: the configuration cannot be read
      there is no such file
      none.yaml
    hint: give its path with `--config`
    "#);
    let directory = load(folder.path(), &variables()).map(|_| ()).expect_err("it is a directory");
    insta::assert_snapshot!(named(directory, "etc"), @r#"
    error[TH-C001]: the configuration cannot be read
      it is a directory
      etc
    hint: name the file in it
    "#);
    let utf16: Vec<u8> = "\u{feff}servers:".encode_utf16().flat_map(u16::to_le_bytes).collect();
    insta::assert_snapshot!(loaded("utf16.yaml", utf16).map(|_| ()).expect_err("UTF-16"), @r#"
    error[TH-C003]: the file is not UTF-8
      it is UTF-16
      utf16.yaml
    hint: save it as UTF-8
    "#);
    insta::assert_snapshot!(loaded("latin.yaml", b"a: \xe9").map(|_| ()).expect_err("Latin-1"), @r#"
    error[TH-C003]: the file is not UTF-8
      at byte 3
      latin.yaml
    hint: save it as UTF-8
    "#);
    let large = "# filler\n".repeat(120_000);
    insta::assert_snapshot!(loaded("large.yaml", large).map(|_| ()).expect_err("too large"), @r#"
    error[TH-C002]: the file is larger than 1 MiB
      a configuration is smaller than that
      large.yaml
    "#);
}

#[test]
fn all_examples_load_and_only_say_what_is_not_in_force() {
    for path in files_in(EXAMPLES).into_iter().filter(|path| path.extension().is_some_and(|end| end == "yaml")) {
        let loaded = load(&path, &variables()).unwrap_or_else(|report| panic!("{report}"));
        let others = loaded.notices.iter().find(|notice| notice.code != Code::NotInForce);
        assert!(others.is_none(), "{}: {others:?}", path.display());
    }
}

#[test]
fn the_example_with_every_default_changes_nothing() {
    let text = std::fs::read_to_string(format!("{EXAMPLES}/every-key.yaml")).expect("the example is there");
    let loaded = accepted("every-key.yaml", &text);
    assert_eq!(loaded.settings.limits, Limits::default());
    assert_eq!(loaded.settings.servers[0].timeouts, Timeouts::default());
    assert_eq!(loaded.settings.front_door.hosts, ["gateway.example"]);
    assert_eq!(loaded.settings.front_door.origins, ["https://app.example"]);
}

/// The blocks as the document about observability, recovery and timeouts writes them, in both spellings.
const BLOCKS: [&str; 7] = [
    "observability:\n  enabled: true\n  trace_propagation: true\n  cost_tracking: true\n  tool_tracking: true\n",
    "observability:\n  track_decisions: true\n  track_cost: true\n  track_tools: true\n",
    "session_recovery:\n  enabled: true\n  checkpoint_interval: 60\n  max_checkpoints: 10\n",
    "timeout_handling:\n  tool_call_timeout_ms: 30000\n  session_timeout_ms: 300000\n  retry_backoff_ms: 1000\n  \
     max_retries: 3\n  error_threshold: 0.05\n",
    "tool_config:\n  max_concurrent: 5\n  timeout_ms: 30000\n  retry_attempts: 3\n  error_threshold: 0.05\n",
    "alerts:\n  - name: \"MCP Tool Call Error Rate\"\n    condition: \"error_rate > 0.05\"\n    action: \"notify\"\n  \
     - name: \"MCP Token Cost\"\n    condition: \"token_cost > 100\"\n    action: \"notify\"\n  - name: \"MCP Session \
     Recovery\"\n    condition: \"session_recovery > 3\"\n    action: \"notify\"\n",
    "tool_config:\n",
];

#[test]
fn each_documented_block_loads_as_written_with_one_notice() {
    for block in BLOCKS {
        let loaded = accepted("t.yaml", &format!("servers: {{ s: {{ command: x }} }}\n{block}"));
        let notices: Vec<_> = loaded.notices.iter().map(ToString::to_string).collect();
        let (part, _) = block.split_once(':').expect("a block has a name");
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(
            notices[0].starts_with(&format!("warning[TH-C019]: accepted, not yet in force: {part}")),
            "{notices:?}"
        );
    }
}

#[test]
fn the_blocks_set_the_clocks_and_closer_keys_go_before_farther_ones() {
    let ms = Duration::from_millis;
    let default = Timeouts::default();
    for (blocks, idle, hard, session_idle) in [
        ("", default.idle, default.hard, Limits::default().session_idle),
        ("tool_config:", ms(30_000), ms(300_000), Limits::default().session_idle),
        ("timeout_handling:", ms(30_000), ms(300_000), ms(300_000)),
        ("timeout_handling: { tool_call_timeout_ms: 5000 }\ntool_config:", ms(5000), ms(300_000), ms(300_000)),
        (
            "timeout_handling: { tool_call_timeout_ms: 5000 }\ntool_config: { timeout_ms: 7000 }",
            ms(7000),
            ms(300_000),
            ms(300_000),
        ),
        ("tool_config: { timeout_ms: 600000 }", ms(600_000), ms(600_000), Limits::default().session_idle),
        ("timeout_handling: { session_timeout_ms: 1000 }", ms(30_000), ms(300_000), ms(1000)),
        ("timeout_handling:\nlimits: { session_idle: 1h }", ms(30_000), ms(300_000), ms(3_600_000)),
    ] {
        let settings = accepted("t.yaml", &format!("servers: {{ s: {{ command: x }} }}\n{blocks}\n")).settings;
        let clocks = settings.servers[0].timeouts;
        assert_eq!((clocks.idle, clocks.hard, settings.limits.session_idle), (idle, hard, session_idle), "{blocks}");
    }
    let own = accepted("t.yaml", "servers: { s: { command: x, timeouts: { idle: 2s } } }\ntool_config:\n");
    assert_eq!(own.settings.servers[0].timeouts, Timeouts { idle: ms(2000), hard: ms(300_000), ..default });
}

#[test]
fn a_started_server_gets_its_texts_as_written_and_its_variables_replaced() {
    let expected = Command {
        program: "npx".into(),
        args: ["-y", "1.10", "true", "${A}", "x"].map(OsString::from).into(),
        env: vec![("PORT".into(), "8080".into()), ("NONE".into(), OsString::new())],
        cwd: Some("/srv".into()),
    };
    let yaml = r#"{ command: npx, args: [-y, 1.10, true, "$${A}", "${B:-x}"], env: { PORT: 8080, NONE: "" }, cwd: "${env:C:-/srv}" }"#;
    assert_eq!(command(yaml), expected);
}

#[test]
fn headers_are_sent_as_meant_and_shown_to_nobody() {
    let server =
        server(r#"{ url: "http://[::1]:9/mcp?a=b", headers: { Authorization: "Bearer ${TOKEN}", X-Tenant: 7 } }"#);
    let Transport::Http { url, headers, .. } = &server.transport else { panic!("it is called") };
    assert_eq!(url.to_string(), "http://[::1]:9/mcp?a=b");
    assert_eq!(headers["authorization"].to_str().ok(), Some("Bearer canary-of-the-variable"));
    assert_eq!(headers["x-tenant"].to_str().ok(), Some("7"));
    assert!(!format!("{server:?}").contains("canary"), "{server:?}");
}

#[test]
fn names_are_given_by_the_rule_of_the_file_within_what_clients_take() {
    let naming =
        |yaml: &str| accepted("t.yaml", &format!("servers: {{ s: {{ command: c }} }}\n{yaml}")).settings.naming;
    assert_eq!(naming(""), Naming { prefix: Prefix::Conditional, max_length: 64 });
    let written = naming("names: { prefix: on_collision, max_length: 60 }");
    assert_eq!(written, Naming { prefix: Prefix::OnCollision, max_length: 60 });
    for wrong in ["prefix: sometimes", "prefix: true", "max_length: 39", "max_length: 129"] {
        let text = format!("servers: {{ s: {{ command: c }} }}\nnames: {{ {wrong} }}");
        assert!(loaded("t.yaml", &text).is_err(), "{wrong}");
    }
}

#[test]
fn servers_keep_the_order_of_the_file() {
    let loaded = accepted("t.yaml", "servers:\n  z: { command: x }\n  a: { command: x }\n  m: { command: x }\n");
    let ids: Vec<_> = loaded.settings.servers.iter().map(|server| server.id.as_str()).collect();
    assert_eq!(ids, ["z", "a", "m"]);
}

#[test]
fn repeated_parts_may_be_written_once_and_merged() {
    let text =
        "servers:\n  a: &base\n    command: x\n    timeouts: { idle: 1s }\n  b:\n    <<: *base\n    command: y\n";
    let servers = accepted("t.yaml", text).settings.servers;
    let programs: Vec<_> = servers
        .iter()
        .map(|server| match &server.transport {
            Transport::Stdio(command) => command.program.display().to_string(),
            Transport::Http { .. } => String::new(),
        })
        .collect();
    assert_eq!(programs, ["x", "y"]);
    assert_eq!(servers[1].timeouts.idle, Duration::from_secs(1));
}

#[test]
fn what_is_written_about_listeners_and_logs_is_handed_on() {
    let loaded = accepted(
        "t.yaml",
        "listen: localhost:80\nadmin: '[::1]:0'\nservers: { s: { command: x } }\nlog: { level: 'Warn', format: text }\n\
         limits: { request: 1.5MiB }\n",
    );
    assert_eq!(loaded.listen.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:80"));
    assert_eq!(loaded.admin.map(|address| address.to_string()).as_deref(), Some("[::1]:0"));
    assert_eq!(loaded.log, super::Log { level: Some("warn".into()), format: Some(super::LogFormat::Text) });
    assert_eq!(loaded.settings.limits.request, ByteSize(1_572_864));
    let bare = accepted("t.yaml", "servers: { s: { command: x } }");
    assert_eq!((bare.listen, bare.admin, bare.log), (None, None, super::Log::default()));
}

#[test]
fn a_client_file_loads_with_all_that_clients_write_into_it() {
    let text = r#"{
        // Written by an editor.
        "mcpServers": {
            "files": { "command": "npx", "args": ["-y", "server", ], "env": { "A": "${TOKEN}" }, "disabled": false },
            "GitHub Issues": {
                "type": "http", "url": "https://issues.example/mcp",
                "headers": { "Authorization": "Bearer ghp_canary0123456789abcd" }, "autoApprove": ["read"],
            },
            "streamed": { "type": "streamable-http", "url": "https://streamed.example/mcp", "env": {}, "args": ["-y"] },
            "old": { "type": "sse", "url": "https://old.example/sse" },
            "off": { "command": "${input:x}", "disabled": true },
            /* this very program */ "tollhouse": { "command": "tollhouse", "args": ["stdio"] },
        },
        "theme": "dark",
    }"#;
    let loaded = accepted("client.json", text);
    let ids: Vec<_> = loaded.settings.servers.iter().map(|server| server.id.as_str()).collect();
    assert_eq!(ids, ["files", "github-issues", "streamed", "old"]);
    let over = loaded.settings.servers.iter().map(|server| match server.transport {
        Transport::Http { over, .. } => over,
        Transport::Stdio(_) => None,
    });
    assert_eq!(over.collect::<Vec<_>>(), [None, None, None, Some(OverHttp::Sse)]);
    let mut notices = String::new();
    for mut notice in loaded.notices {
        assert_eq!(notice.severity, Severity::Warning);
        "client.json".clone_into(&mut notice.file);
        let _ = writeln!(notices, "{notice}\n");
    }
    assert!(!notices.contains("canary"), "{notices}");
    insta::assert_snapshot!(notices, @r#"
    warning[TH-C012]: server `GitHub Issues` is called `github-issues` here
      its id becomes part of tool names: 1 to 24 of a-z, 0-9 and -
      client.json:5:13   mcpServers.GitHub Issues

    warning[TH-C016]: `mcpServers.GitHub Issues.headers.Authorization` has a secret written out
      whoever reads the file has it
      client.json:7:47   mcpServers.GitHub Issues.headers.Authorization
    hint: put it into a variable and write `${NAME}`

    warning[TH-C006]: `mcpServers.GitHub Issues.autoApprove` is not read by Tollhouse
      client.json:7:84   mcpServers.GitHub Issues.autoApprove

    warning[TH-C011]: `mcpServers.streamed.args` is without effect
      it belongs to a server with `command`; this one has `url`
      client.json:9:104   mcpServers.streamed.args

    warning[TH-C012]: server `tollhouse` is left out: that is Tollhouse itself
      an entry of that name is most often this program, which would then call itself
      client.json:12:37   mcpServers.tollhouse
    hint: if it is another server, rename it
    "#);
}

#[test]
fn the_servers_of_a_client_are_found_under_each_of_its_names() {
    for text in [
        r#"{ "mcpServers": { "a": { "command": "x" } } }"#,
        r#"{ "servers": { "a": { "command": "x" } } }"#,
        r#"{ "mcp": { "servers": { "a": { "command": "x" } } } }"#,
    ] {
        assert_eq!(accepted("settings.json", text).settings.servers.len(), 1, "{text}");
        assert_eq!(accepted("without-an-ending", text).settings.servers.len(), 1, "{text}");
    }
    assert_eq!(accepted("without-an-ending", "servers: { a: { command: x } }").settings.servers.len(), 1);
}

#[test]
fn a_secret_written_out_is_refused_unless_the_server_allows_it() {
    let with = |allow: bool| {
        format!(
            "servers: {{ s: {{ url: 'https://s.example', headers: {{ X-Api-Key: abc }}, allow_literal_secrets: {allow} }} }}"
        )
    };
    assert_eq!(codes(loaded("t.yaml", with(false))), [Code::LiteralSecret]);
    let allowed = accepted("t.yaml", &with(true));
    assert_eq!(allowed.notices.iter().map(|notice| notice.code).collect::<Vec<_>>(), [Code::LiteralSecret]);
}

#[test]
fn the_variables_of_the_process_are_those_it_was_started_with() {
    assert_eq!(Process.var("CARGO_PKG_NAME"), Some("tollhouse".into()), "cargo sets it for every test");
    assert_eq!(Process.var("TOLLHOUSE_TEST_OF_NO_SUCH_NAME"), None);
}

#[test]
fn trace_context_is_injected_unless_the_variable_says_no() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("t.yaml");
    std::fs::write(&path, "servers: { s: { command: x } }").expect("a file in it");
    for (value, injected) in [("0", false), ("False", false), ("no", false), ("1", true), ("", true)] {
        let env = BTreeMap::from([("MCP_OTEL_INJECT_TRACEPARENT", value)]);
        assert_eq!(load(&path, &env).expect("it loads").settings.inject_trace, injected, "{value}");
    }
}

#[test]
fn an_address_that_others_reach_is_refused_without_authentication() {
    for (address, insecure, open) in [
        (LISTEN_DEFAULT, false, true),
        (ADMIN_DEFAULT, false, true),
        ("127.8.9.1:7070", false, true),
        ("[::1]:7070", false, true),
        ("[::ffff:127.0.0.1]:7070", false, true),
        ("0.0.0.0:7070", false, false),
        ("[::]:7070", false, false),
        ("192.168.1.5:7070", false, false),
        ("0.0.0.0:7070", true, true),
    ] {
        assert_eq!(check_listen(address.parse().expect("an address"), insecure).is_ok(), open, "{address}");
    }
    let refusal = check_listen("0.0.0.0:7070".parse().expect("an address"), false).expect_err("it is open");
    insta::assert_snapshot!(refusal, @r#"
    error[TH-C018]: `0.0.0.0:7070` can be reached from other machines, and nobody is asked who they are
      this version has no authentication: whoever reaches the address may call every tool
    hint: listen on `127.0.0.1:7070`, or say `--insecure` if something in front of it asks
    "#);
}

#[test]
fn what_is_kept_and_where_is_read_and_nothing_else_is_needed() {
    let store = |yaml: &str| accepted("t.yaml", &format!("servers: {{ s: {{ command: x }} }}\n{yaml}\n")).store;
    assert_eq!(store(""), Store::default());
    let told = store("store: { path: /var/lib/t, calls: 3d, disk_budget: 2GiB }");
    assert_eq!((told.off, told.path.as_deref()), (false, Some(Path::new("/var/lib/t"))));
    assert_eq!((told.keep.calls_us, told.keep.disk), (3 * 86_400_000_000, 2 << 30));
    assert_eq!(told.keep.sessions_us, Store::default().keep.sessions_us);
    assert!(store("store: { enabled: false }").off);
    assert_eq!(codes(loaded("t.yaml", "servers: { s: { command: x } }\nstore: { path: here }\n")), [Code::Value]);
}

#[test]
fn calls_are_told_in_classic_ranges_unless_others_are_asked_for() {
    let told = |yaml: &str| accepted("t.yaml", &format!("servers: {{ s: {{ command: x }} }}\n{yaml}\n")).histograms;
    assert_eq!(told(""), Histograms::Classic);
    assert_eq!(told("telemetry: { metrics: { histograms: native } }"), Histograms::Native);
    assert_eq!(told("telemetry: { metrics: { histograms: both } }"), Histograms::Both);
    let refused = "servers: { s: { command: x } }\ntelemetry: { metrics: { off: [tool] } }\n";
    assert_eq!(codes(loaded("t.yaml", refused)), [Code::Later]);
}

#[test]
fn the_schema_knows_every_key_and_default_that_is_read() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["$defs"]["Limits"]["properties"]["request"]["default"], "10MiB");
    assert_eq!(schema["$defs"]["Timeouts"]["properties"]["idle"]["default"], "5min");
    // Each default is a value that the file may hold.
    for (block, definition) in schema["$defs"].as_object().expect("blocks") {
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            let Some(default) = property.get("default") else { continue };
            let path = match block.as_str() {
                "Limits" => "limits",
                "Names" => "names",
                "Log" => "log",
                "Retry" => "retry",
                "Observability" => "observability",
                "Store" => "store",
                "Telemetry" => "telemetry",
                "Metrics" => "telemetry.metrics",
                "ToolConfig" => "tool_config",
                "TimeoutHandling" => "timeout_handling",
                "SessionRecovery" => "session_recovery",
                "Server" | "Timeouts" => continue,
                other => panic!("{other} has defaults and no place in this test"),
            };
            let within = |inner: String, block: &str| format!("{block}: {{ {inner} }}");
            let written = path.rsplit('.').fold(format!("{key}: {default}"), within);
            accepted("t.yaml", &format!("servers: {{ s: {{ command: x }} }}\n{written}\n"));
        }
    }
}

#[test]
fn the_reference_page_says_what_the_program_reads() {
    let path = Path::new("../../docs/reference/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder of the page");
        std::fs::write(path, reference()).expect("the page");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == reference(), "docs/reference/configuration.md is out of date: run this test with UPDATE_DOCS=1");
}
