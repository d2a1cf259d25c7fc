//! Who may knock, under which name, and which of their headers go further.
//!
//! The OTLP receiver joins the routes once it exists.

use serde_json::json;

use crate::client::{legacy, modern};
use crate::gateway::{Gateway, gateway};
use crate::http::{Request, request};
use crate::upstream::{self, Upstream};

async fn echo() -> (Upstream, Gateway) {
    let upstream = upstream::echo().start().await;
    let gateway = gateway().with(&upstream).alone().start().await;
    (upstream, gateway)
}

/// Every kind of route on both listeners, none included.
fn routes(gateway: &Gateway) -> Vec<(String, Request)> {
    let client = modern(gateway);
    let call = |path: &str| client.tool("echo").raw_arguments("{}").request().to(path);
    let mut routes = Vec::new();
    for path in gateway.paths() {
        routes.push((format!("POST {path}"), call(&path)));
        for verb in ["GET", "DELETE", "OPTIONS"] {
            routes.push((format!("{verb} {path}"), request(gateway.mcp, verb, &path)));
        }
    }
    for path in ["/sse", "/servers/tested/sse"] {
        routes.push((format!("GET {path}"), request(gateway.mcp, "GET", path).field("Accept", "text/event-stream")));
        routes.push((format!("POST {path}/message"), call(&format!("{path}/message?sessionId=no-such"))));
    }
    routes.push(("POST /servers/no-such/mcp".to_owned(), call("/servers/no-such/mcp")));
    for (listener, address) in [("mcp", gateway.mcp), ("admin", gateway.admin)] {
        for path in ["/", "/healthz", "/metrics", "/api/calls", "/no-such"] {
            routes.push((format!("GET {path} ({listener})"), request(address, "GET", path)));
        }
        routes.push((format!("POST / ({listener})"), request(address, "POST", "/")));
    }
    routes
}

/// The routes that answer anything but 403 once `change` has been made to the request.
async fn open_to(gateway: &Gateway, change: impl Fn(Request) -> Request) -> Vec<(String, u16)> {
    let mut open = Vec::new();
    for (route, request) in routes(gateway) {
        let status = change(request).send().await.status();
        if status != 403 {
            open.push((route, status));
        }
    }
    open
}

#[tokio::test]
async fn a_39_a_foreign_origin_is_refused_on_every_route() {
    let (upstream, gateway) = echo().await;
    let origins = [
        "https://evil.example",
        "null",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://evil.example:7070",
        "file://",
        "chrome-extension://abcdef",
        "http://localhost@evil.example",
        "",
    ];
    for origin in origins {
        assert_eq!(open_to(&gateway, |request| request.field("Origin", origin)).await, [], "to {origin:?}");
    }
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_39_a_loopback_origin_is_welcome() {
    let (_upstream, gateway) = echo().await;
    let origins = ["http://localhost:3000", "http://127.0.0.1:7071", "http://[::1]:8080", "http://localhost"];
    for origin in origins {
        let answer = modern(&gateway).tool("echo").raw_arguments("{}").field("Origin", origin).send().await;
        assert_eq!(answer.outcome(), "ok", "to {origin}");
    }
    gateway.ends_well(&["ok"; 4]).await;
}

#[tokio::test]
async fn a_40_a_foreign_host_is_refused_on_every_route() {
    let (upstream, gateway) = echo().await;
    let hosts = [
        "attacker.com",
        "attacker.com:7070",
        "127.0.0.1.attacker.com",
        "localhost.attacker.com",
        "localhost@attacker.com",
        "169.254.169.254",
        "0.0.0.0",
        "[::2]",
    ];
    for host in hosts {
        assert_eq!(open_to(&gateway, |request| request.field("Host", host)).await, [], "to {host:?}");
    }
    assert_eq!(upstream.executions(), 0);
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_40_a_foreign_authority_in_the_request_line_is_refused() {
    let (upstream, gateway) = echo().await;
    let request = modern(&gateway).tool("echo").raw_arguments("{}").request();
    let status = request.to("http://attacker.com/mcp").send().await.status();
    assert_eq!((status, upstream.executions()), (403, 0));
    gateway.ends_well(&[]).await;
}

#[tokio::test]
async fn a_40_every_name_of_the_loopback_is_welcome() {
    let (_upstream, gateway) = echo().await;
    let port = gateway.mcp.port();
    let hosts = [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}"), "LocalHost".into()];
    for host in &hosts {
        let answer = modern(&gateway).tool("echo").raw_arguments("{}").field("Host", host).send().await;
        assert_eq!(answer.outcome(), "ok", "to {host}");
    }
    gateway.ends_well(&["ok"; 4]).await;
}

#[tokio::test]
async fn a_40_the_address_it_listens_on_is_welcome_and_another_is_not() {
    let upstream = upstream::echo().start().await;
    let builder = gateway().with(&upstream).without("--listen").argument("--listen").argument("127.0.0.2:0");
    let gateway = builder.start().await;
    let port = gateway.mcp.port();
    let mut statuses = Vec::new();
    for host in ["127.0.0.2", "127.0.0.3"] {
        let host = format!("{host}:{port}");
        let answer = modern(&gateway).tool("echo").raw_arguments("{}").field("Host", &host).send().await;
        statuses.push(answer.status());
    }
    assert_eq!(statuses, [200, 403]);
    gateway.ends_well(&["ok"]).await;
}

const CREDENTIALS: [(&str, &str); 9] = [
    ("Authorization", "Bearer the-clients-own"),
    ("Cookie", "session=the-clients-own"),
    ("X-Upstream-Authorization", "Bearer the-clients-own"),
    ("Proxy-Authorization", "Basic the-clients-own"),
    ("Proxy-Connection", "the-clients-own"),
    ("X-Forwarded-For", "the-clients-own"),
    ("Forwarded", "for=the-clients-own"),
    ("X-Api-Key", "the-clients-own"),
    ("X-Managed", "the-clients-own"),
];

#[tokio::test]
async fn a_46_the_upstream_sees_the_managed_credential_and_none_of_the_clients() {
    let headers = r#"{Authorization: "Bearer ${UPSTREAM_TOKEN}", X-Managed: "configured"}"#;
    let upstream = upstream::echo().configured_headers(headers).start().await;
    let gateway = gateway().env("UPSTREAM_TOKEN", "managed-secret").with(&upstream).start().await;
    let (modern, legacy) = (modern(&gateway), legacy(&gateway, "2025-06-18").await);
    for client in [&modern, &legacy] {
        let call = client.tool("echo").arguments(&json!({}));
        let call = CREDENTIALS.iter().fold(call, |call, (name, value)| call.field(name, value));
        assert_eq!(call.send().await.outcome(), "ok");
        let head = upstream.last_call().head.clone();
        let leaked: Vec<_> = head.fields.iter().filter(|(_, value)| value.contains("the-clients-own")).collect();
        assert_eq!(
            (leaked, head.get("authorization"), head.get("x-managed")),
            (vec![], "Bearer managed-secret", "configured")
        );
    }
    let (session, seen) = (legacy.session.clone(), upstream.last_call().head.get("mcp-session-id").to_owned());
    assert_ne!(session, Some(seen), "our session id is not the upstream's");
    assert!(!gateway.stderr().contains("managed-secret"), "the credential is in the log");
    assert!(!gateway.stderr().contains("the-clients-own"), "a client's credential is in the log");
    gateway.ends_well(&["ok", "ok"]).await;
}

#[tokio::test]
async fn a_46_discovery_and_lists_carry_the_managed_credential_too() {
    let headers = r#"{Authorization: "Bearer ${UPSTREAM_TOKEN}"}"#;
    let upstream = upstream::echo().configured_headers(headers).start().await;
    let gateway = gateway().env("UPSTREAM_TOKEN", "managed-secret").with(&upstream).start().await;
    let client = modern(&gateway);
    let list = client.message("tools/list").send().await;
    assert_eq!(list.json()["result"]["tools"][0]["name"], "echo");
    for method in ["server/discover", "tools/list"] {
        for request in upstream.received(method) {
            assert_eq!(request.head.get("authorization"), "Bearer managed-secret", "on {method}");
        }
    }
    gateway.ends_well(&[]).await;
}
