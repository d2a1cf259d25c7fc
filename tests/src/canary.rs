//! Secrets that calls carry reach no record: not a file of the store, not a line, not a request to a collector, not
//! `/metrics`, not a page. Each secret is one of its kind, so that it can be looked for in bytes.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::modern;
use crate::gateway::{Gateway, gateway};
use crate::http::{ADMIN_TOKEN, request};
use crate::sink::Sink;
use crate::stdio::child;
use crate::upstream::{self, Server as _, text};
use crate::wait::eventually;

/// Said in every argument: where content is captured it is found, and nowhere else.
const HARMLESS: &str = "harmlessword";
/// A secret of the configuration.
const KNOWN: &str = "C4NARYknownvalue0123456789";
/// What a server says when it fails.
const FAILING: &str = "C4NARYfailing00112233";

/// Secrets made up one after the other.
struct Mint(u64);

impl Mint {
    /// Letters and digits, as keys have them.
    fn word(&mut self, len: usize) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";
        let mut letter = || {
            // Knuth's linear congruence: the same words in every run.
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(LETTERS[usize::try_from(self.0 >> 33).expect("31 bits") % LETTERS.len()])
        };
        (0..len).map(|_| letter()).collect()
    }

    /// A secret in the `nth` of its forms: what is looked for, and a value in which it stands.
    fn secret(&mut self, nth: usize) -> (String, Value) {
        let word = format!("C4NARY{}", self.word(18));
        let value = match nth % 18 {
            0 => json!({ "api_key": word }),
            1 => json!([{ "users": [{ "password": word }] }]),
            2 => json!({ "headers": { "Authorization": format!("Bearer {word}") } }),
            3 => json!(format!("call it with token={word} please")),
            4 => json!(format!("see https://user:{word}@api.example.com/search?q=test")),
            5 => json!(format!("see https://api.example.com/search?api_key={word}&q=test")),
            6 => json!(format!("curl -H 'Authorization: Bearer {word}' https://api.example.com")),
            7 => json!({ "x-auth-token": word }),
            8 => json!({ "clientSecret": word }),
            9 => json!(format!("psql --password {word} --host db")),
            10 => json!(json!({ "api_key": word }).to_string()),
            11 => json!(format!("-----BEGIN PRIVATE KEY-----\n{word}\n-----END PRIVATE KEY-----")),
            12 => {
                let key = format!("ghp_{}", self.word(36));
                return (key.clone(), json!({ "note": format!("the key is {key}.") }));
            }
            13 => {
                let key = format!("AKIA{}", self.word(16).to_ascii_uppercase().replace(['I', 'O'], "7"));
                return (key.clone(), json!(key));
            }
            14 => return (KNOWN.to_owned(), json!({ "note": KNOWN })),
            15 => {
                let encoded = STANDARD.encode(KNOWN);
                return (encoded.trim_end_matches('=').to_owned(), json!({ "blob": encoded }));
            }
            16 => return ("4111111111111111".to_owned(), json!({ "card": "4111111111111111" })),
            _ => {
                let token = format!("eyJhbGciOiJIUzI1NiJ9.{}.{}", self.word(40), self.word(43));
                return (token.clone(), json!(token));
            }
        };
        (word, value)
    }
}

/// A gateway with a store and a collector, a server that gives back what it gets, one that fails and one that is started.
struct Ground {
    sink: Sink,
    data: tempfile::TempDir,
    gateway: Gateway,
    secrets: Vec<String>,
    _servers: (upstream::Upstream, upstream::Upstream, crate::stdio::Upstream),
}

impl Ground {
    async fn new(capture: &str) -> Self {
        let sink = Sink::http().await;
        let echo = upstream::echo().configured_headers("{ Authorization: 'Bearer ${CANARY_KEY}' }").start().await;
        let error = format!(
            r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":-32000,"message":"login failed: password={FAILING}","data":{{"token":"{FAILING}"}}}}}}"#
        );
        let failing = upstream::echo().answers([text(&error)]).start().await;
        let started = child().argument("environment").env("{ SOME_TOKEN: '${CANARY_KEY}' }");
        let data = tempfile::tempdir().expect("a temporary directory");
        let mut yaml =
            format!("telemetry: {{ capture: {capture}, compat: [dashboard, gateway, proxy, tools] }}\nservers:\n");
        for (id, lines) in [("tested", echo.yaml()), ("failing", failing.yaml()), ("started", started.yaml())] {
            yaml = format!("{yaml}  {id}:\n");
            for line in lines {
                yaml = format!("{yaml}    {line}\n");
            }
        }
        let dir = data.path().display().to_string();
        let builder = gateway().alone().config(&yaml).without("--data-dir").argument("--data-dir").argument(&dir);
        let gateway = builder
            .env("CANARY_KEY", KNOWN)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.url())
            .env("OTEL_LOGS_EXPORTER", "otlp")
            .env("OTEL_EXPORTER_OTLP_HEADERS", &format!("authorization=Bearer {KNOWN}"))
            .env("OTEL_BSP_SCHEDULE_DELAY", "10")
            .start()
            .await;
        let secrets = vec![KNOWN.to_owned(), FAILING.to_owned()];
        Self { sink, data, gateway, secrets, _servers: (echo, failing, started) }
    }

    /// Calls that carry secrets in every place there is; how many there were.
    async fn calls(&mut self) -> usize {
        let mut mint = Mint(7);
        let client = modern(&self.gateway);
        let mut count = 0;
        // Around the lengths at which text is cut.
        for (nth, padding) in [0, 1000, 1010, 4060, 32_600, 32_700, 70_000].into_iter().cycle().take(54).enumerate() {
            let (word, value) = mint.secret(nth);
            self.secrets.push(word);
            let padding = "x ".repeat(padding / 2);
            let arguments = json!({ "said": HARMLESS, "padding": padding, "value": value, "nonce": value.to_string() });
            client.tool("echo").arguments(&arguments).send().await;
            count += 1;
        }
        let mut word = |len| {
            let word = format!("ghp_{}", mint.word(len));
            self.secrets.push(word.clone());
            word
        };
        // In names, ids, fields, addresses and methods.
        client.tool(&word(36)).raw_arguments("{}").send().await;
        let session = json!(format!("password={}", word(36))).to_string();
        client.tool("echo").raw_arguments("{}").meta("threadId", &session).send().await;
        let named = client.tool("echo").raw_arguments("{}").id(&json!(word(36)).to_string());
        named.field("Authorization", &format!("Bearer {}", word(36))).field("X-Api-Key", &word(36)).send().await;
        let uri = format!("https://user:{}@files.example/a?api_key={}", word(36), word(36));
        client.message("resources/read").params(&json!({ "uri": uri }).to_string()).send().await;
        client.message(&format!("no/{}", word(36))).send().await;
        client
            .body(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"token":"{}""#, word(36)))
            .send()
            .await;
        for server in ["failing", "started"] {
            let path = format!("/servers/{server}/mcp");
            let client = modern(&self.gateway).at(&path);
            client.tool("echo").arguments(&json!({ "said": HARMLESS })).send().await;
            count += 1;
        }
        count
    }

    /// What can be fetched: metrics, pages and the API, also of single calls.
    async fn fetched(&self) -> Vec<(String, Vec<u8>)> {
        let page = request(self.gateway.admin, "GET", "/api/v1/calls?limit=500").send().await;
        let ids: Vec<String> = page.json()["calls"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|call| {
                let of = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
                let (id, trace) = (of("id"), of("trace_id"));
                [
                    format!("/api/v1/calls/{id}"),
                    format!("/calls/{id}"),
                    format!("/calls?row={id}"),
                    format!("/api/v1/traces/{trace}"),
                    format!("/traces/{trace}"),
                ]
            })
            .collect();
        let fixed = [
            "/metrics",
            "/health",
            "/",
            "/calls",
            "/traces",
            "/sessions",
            "/errors",
            "/servers",
            "/settings",
            "/api/v1/calls?limit=500",
            "/api/v1/sessions",
            "/api/v1/errors",
            "/api/v1/figures?by=tool",
            "/api/v1/dashboard",
            "/api/v1/servers",
            "/api/v1/tools",
            "/api/v1/events",
            "/api/v1/config",
        ];
        let mut bodies = Vec::new();
        for path in fixed.into_iter().map(str::to_owned).chain(ids) {
            // Without it only the page that asks for it would be seen.
            let told =
                request(self.gateway.admin, "GET", &path).field("Authorization", &format!("Bearer {ADMIN_TOKEN}"));
            let response = told.send().await;
            bodies.push((path, response.body.clone()));
        }
        bodies
    }

    /// Waits for the calls, then ends the gateway; everything that was written of them, each with where.
    async fn written(mut self, count: usize) -> (Vec<(String, Vec<u8>)>, Vec<String>) {
        eventually("the calls are kept", async || {
            let page = request(self.gateway.admin, "GET", "/api/v1/calls?limit=500").send().await;
            (page.json()["calls"].as_array().map_or(0, Vec::len) >= count).then_some(())
        })
        .await;
        let mut all = self.fetched().await;
        self.gateway.process.signal(Signal::TERM);
        self.gateway.process.exit().await;
        all.push(("standard error".to_owned(), self.gateway.process.stderr().into_bytes()));
        {
            let got = self.sink.got();
            assert!(
                got.spans.len() >= count && !got.metrics.is_empty() && !got.logs.is_empty(),
                "all three signals came"
            );
            all.extend(got.raw.iter().map(|body| ("a request to the collector".to_owned(), body.clone())));
        }
        files(self.data.path(), &mut all);
        assert!(all.iter().any(|(place, _)| place.contains(".db")), "there is a store");
        (all, self.secrets)
    }
}

fn files(dir: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).expect("it is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.push((path.display().to_string(), std::fs::read(&path).expect("it can be read")));
        }
    }
}

/// Where the words stand.
fn found(all: &[(String, Vec<u8>)], words: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, bytes) in all {
        let text = String::from_utf8_lossy(bytes);
        for word in words {
            if let Some(at) = text.find(word.as_str()) {
                let before: String = text
                    .get(..at)
                    .unwrap_or_default()
                    .chars()
                    .rev()
                    .take(60)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .collect();
                found.push(format!("{place}: …{before}<{word}>"));
            }
        }
    }
    found
}

#[tokio::test]
async fn no_secret_is_recorded_where_content_is_captured() {
    let mut ground = Ground::new("redacted").await;
    let count = ground.calls().await;
    let (all, secrets) = ground.written(count).await;
    let leaks = found(&all, &secrets);
    assert!(leaks.is_empty(), "{} leaks\n{}", leaks.len(), leaks.join("\n"));
    // The test can fail: what is no secret is there.
    let places = found(&all, &[HARMLESS.to_owned()]);
    for place in ["/api/v1/calls", ".db", "a request to the collector"] {
        assert!(places.iter().any(|found| found.contains(place)), "{place} in {places:?}");
    }
    assert!(!places.iter().any(|found| found.starts_with("standard error") || found.starts_with("/metrics")));
}

#[tokio::test]
async fn nothing_that_calls_carry_is_recorded_unless_it_is_captured() {
    let mut ground = Ground::new("none").await;
    let count = ground.calls().await;
    let (all, mut secrets) = ground.written(count).await;
    secrets.push(HARMLESS.to_owned());
    let leaks = found(&all, &secrets);
    assert!(leaks.is_empty(), "{} leaks\n{}", leaks.len(), leaks.join("\n"));
}
