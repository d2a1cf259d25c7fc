//! The other names, by set.

use tollhouse_core::histogram::{CALL, CALLS, LONG};

use super::{Alias, As, CALL_MS, CALL_WIDE_MS, If, Set, To};
use crate::catalogue::Id;

const METHOD: &str = "mcp.method.name";
const TOOL: &str = "gen_ai.tool.name";
const ERROR: &str = "error.type";
const CODE: &str = "rpc.response.status_code";
const SERVER: &str = "tollhouse.server.name";

const TOOL_CALLS: &[If] = &[If::Is(METHOD, &["tools/call"])];
const FAILED: &[If] = &[If::Not(ERROR, &[""])];

const NETWORK: &[&str] = &["connection_refused", "connection_reset", "tls"];
const TIMEOUT: &[&str] = &["timeout", "deadline"];
const VALIDATION: &[&str] = &["-32600", "-32602", "-32702", "-32700", "malformed", "invalid_arguments"];
const EXTERNAL: &[&str] = &["tool_error", "server_error", "rejected", "invalid_response", "response_too_large"];
const SECURITY: &[&str] = &["unauthorized"];
const ELSE: &[&str] = &[
    "",
    "connection_refused",
    "connection_reset",
    "tls",
    "timeout",
    "deadline",
    "-32600",
    "-32602",
    "-32702",
    "-32700",
    "malformed",
    "invalid_arguments",
    "tool_error",
    "server_error",
    "rejected",
    "invalid_response",
    "response_too_large",
    "unauthorized",
];

/// Kinds of errors. The caller's own mistakes are no errors of the gateway's, so of them the code is looked at.
const KINDS: &[(&[If], &str)] = &[
    (&[If::Is(ERROR, NETWORK)], "network"),
    (&[If::Is(ERROR, TIMEOUT)], "timeout"),
    (&[If::Is(ERROR, VALIDATION)], "validation"),
    (&[If::Is(ERROR, &[""]), If::Is(CODE, VALIDATION)], "validation"),
    (&[If::Is(ERROR, EXTERNAL)], "external_api"),
    (&[If::Is(ERROR, SECURITY)], "security"),
    (&[If::Not(ERROR, ELSE)], "internal"),
];

const SUCCESS_OR_ERROR: &[(&[If], &str)] = &[(&[If::Is(ERROR, &[""])], "success"), (FAILED, "error")];
const OK_OR_ERROR: &[(&[If], &str)] = &[(&[If::Is(ERROR, &[""])], "ok"), (FAILED, "error")];

const PROXY: &[To] = &[
    To::Copy(METHOD, "method"),
    To::Cases(
        "transport",
        &[
            (&[If::Is("network.transport", &["tcp"])], "serve:http"),
            (&[If::Is("network.transport", &["pipe"])], "serve:stdio"),
        ],
    ),
    To::Cases("status", OK_OR_ERROR),
    To::Copy(SERVER, "server"),
    To::Copy(TOOL, "tool"),
];

/// Every other name whose metric there is.
pub(super) const ALIASES: &[Alias] = &[
    Alias {
        set: Set::Gateway,
        name: "mcp_tools_total",
        series: "mcp_tools_total",
        kind: As::Gauge,
        from: Id::CatalogItems,
        only: &[If::Is("kind", &["tool"])],
        labels: &[],
        help: "Tools that are offered.",
    },
    Alias {
        set: Set::Gateway,
        name: "mcp_tool_calls_total",
        series: "mcp_tool_calls_total",
        kind: As::Counter,
        from: Id::ServerOperation,
        only: TOOL_CALLS,
        labels: &[To::Copy(TOOL, "tool_name"), To::Cases("status", SUCCESS_OR_ERROR)],
        help: "Tool calls.",
    },
    Alias {
        set: Set::Gateway,
        name: "mcp_tool_call_duration_seconds",
        series: "mcp_tool_call_duration_seconds",
        kind: As::Histogram { scale: 1.0, bounds: &CALL, unit: Some("seconds") },
        from: Id::ServerOperation,
        only: TOOL_CALLS,
        labels: &[To::Copy(TOOL, "tool_name")],
        help: "How long tool calls took.",
    },
    Alias {
        set: Set::Gateway,
        name: "mcp_resource_reads_total",
        series: "mcp_resource_reads_total",
        kind: As::Counter,
        from: Id::ResourceReads,
        only: &[],
        labels: &[To::Copy("scheme", "resource_type")],
        help: "Resources read.",
    },
    Alias {
        set: Set::Gateway,
        name: "mcp_requests_total",
        series: "mcp_requests_total",
        kind: As::Counter,
        from: Id::HttpRequest,
        only: &[],
        labels: &[
            To::Copy("http.request.method", "method"),
            To::Copy("http.route", "path"),
            To::Copy("http.response.status_code", "status"),
        ],
        help: "HTTP requests.",
    },
    Alias {
        set: Set::Gateway,
        name: "mcp_request_duration_seconds",
        series: "mcp_request_duration_seconds",
        kind: As::Histogram { scale: 1.0, bounds: &CALL, unit: Some("seconds") },
        from: Id::HttpRequest,
        only: &[],
        labels: &[To::Copy("http.request.method", "method"), To::Copy("http.route", "path")],
        help: "How long HTTP requests took.",
    },
    Alias {
        set: Set::Gateway,
        name: "mcp_service_info",
        series: "mcp_service_info",
        kind: As::Info,
        from: Id::Build,
        only: &[],
        labels: &[To::Copy("version", "version")],
        help: "The program.",
    },
    Alias {
        set: Set::Gateway,
        name: "mcp_errors_total",
        series: "mcp_errors_total",
        kind: As::Counter,
        from: Id::ServerOperation,
        only: FAILED,
        labels: &[To::Copy(ERROR, "type"), To::Fixed("component", "proxy")],
        help: "Errors.",
    },
    Alias {
        set: Set::Gateway,
        name: "mcp_errors_total",
        series: "mcp_errors_total",
        kind: As::Counter,
        from: Id::ClientOperation,
        only: FAILED,
        labels: &[To::Copy(ERROR, "type"), To::Fixed("component", "upstream")],
        help: "Errors.",
    },
    Alias {
        set: Set::Proxy,
        name: "mcp.proxy.requests",
        series: "mcp_proxy_requests_total",
        kind: As::Counter,
        from: Id::ServerOperation,
        only: &[],
        labels: PROXY,
        help: "Requests.",
    },
    Alias {
        set: Set::Proxy,
        name: "mcp.proxy.request.duration",
        series: "mcp_proxy_request_duration_milliseconds",
        kind: As::Histogram { scale: 1000.0, bounds: &CALL_MS, unit: Some("milliseconds") },
        from: Id::ServerOperation,
        only: &[],
        labels: PROXY,
        help: "How long requests took.",
    },
    Alias {
        set: Set::Proxy,
        name: "mcp.proxy.backends.connected",
        series: "mcp_proxy_backends_connected",
        kind: As::Gauge,
        from: Id::ServerState,
        only: &[If::Is("state", &["connected"])],
        labels: &[],
        help: "Servers that are connected.",
    },
    Alias {
        set: Set::Proxy,
        name: "mcp.proxy.sessions.active",
        series: "mcp_proxy_sessions_active",
        kind: As::Gauge,
        from: Id::SessionActive,
        only: &[],
        labels: &[],
        help: "Sessions that are open.",
    },
    Alias {
        set: Set::Tools,
        name: "mcp.tool.calls",
        series: "mcp_tool_calls",
        kind: As::Unknown,
        from: Id::ServerOperation,
        only: TOOL_CALLS,
        labels: &[To::Copy(TOOL, "tool_name"), To::Cases("result", SUCCESS_OR_ERROR)],
        help: "Tool calls.",
    },
    Alias {
        set: Set::Tools,
        name: "mcp.tool.duration",
        series: "mcp_tool_duration_milliseconds",
        kind: As::Histogram { scale: 1000.0, bounds: &CALL_WIDE_MS, unit: Some("milliseconds") },
        from: Id::ServerOperation,
        only: TOOL_CALLS,
        labels: &[To::Copy(TOOL, "tool_name")],
        help: "How long tool calls took.",
    },
    Alias {
        set: Set::Tools,
        name: "mcp.tool.errors",
        series: "mcp_tool_errors",
        kind: As::Unknown,
        from: Id::ServerOperation,
        only: TOOL_CALLS,
        labels: &[To::Copy(TOOL, "tool_name"), To::Cases("error_type", KINDS)],
        help: "Tool calls that failed, by the kind of error.",
    },
    Alias {
        set: Set::Tools,
        name: "mcp.session.active",
        series: "mcp_session_active",
        kind: As::Gauge,
        from: Id::SessionActive,
        only: &[],
        labels: &[],
        help: "Sessions that are open.",
    },
    Alias {
        set: Set::Tools,
        name: "mcp.session.duration",
        series: "mcp_session_duration_seconds",
        kind: As::Histogram { scale: 1.0, bounds: &LONG, unit: Some("seconds") },
        from: Id::ServerSession,
        only: &[],
        labels: &[],
        help: "How long sessions lasted.",
    },
    Alias {
        set: Set::Tools,
        name: "mcp.session.tool_count",
        series: "mcp_session_tool_count",
        kind: As::Histogram { scale: 1.0, bounds: &CALLS, unit: None },
        from: Id::SessionCalls,
        only: &[],
        labels: &[],
        help: "Tool calls of a session.",
    },
];
