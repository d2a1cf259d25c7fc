//! What fails, where, since when?

use super::{Board, Kind, panel};

pub(super) const ERRORS: Board = Board {
    name: "errors",
    title: "Errors",
    about: "What fails, where, since when, and is it the callers, the servers or the gateway?",
    rows: &[
        &[
            panel(Kind::Figure, "Failing", "percentunit", "Of all calls, without the callers' own mistakes.", &[(
                "failing",
                r#"(sum(rate(mcp_server_operation_duration_seconds_count{job=~"$job", error_type!=""}[$__rate_interval])) or vector(0)) / sum(rate(mcp_server_operation_duration_seconds_count{job=~"$job"}[$__rate_interval]))"#,
            )])
            .warns_above(0.05),
            panel(Kind::Figure, "Tools that said so", "percentunit", "Share of tool calls whose result is an error.", &[(
                "isError",
                r#"(sum(rate(mcp_server_operation_duration_seconds_count{job=~"$job", error_type="tool_error"}[$__rate_interval])) or vector(0)) / sum(rate(mcp_server_operation_duration_seconds_count{job=~"$job", mcp_method_name="tools/call"}[$__rate_interval]))"#,
            )]),
            panel(Kind::Figure, "Callers' mistakes", "percentunit", "Share of calls with a code and no error: unknown names, arguments that do not fit.", &[(
                "mistakes",
                r#"(sum(rate(mcp_server_operation_duration_seconds_count{job=~"$job", error_type="", rpc_response_status_code!=""}[$__rate_interval])) or vector(0)) / sum(rate(mcp_server_operation_duration_seconds_count{job=~"$job"}[$__rate_interval]))"#,
            )]),
        ],
        &[
            panel(Kind::Lines, "By kind, as clients see it", "reqps", "What calls ended with.", &[(
                "{{error_type}}",
                r#"sum by (error_type) (rate(mcp_server_operation_duration_seconds_count{job=~"$job", error_type!=""}[$__rate_interval]))"#,
            )])
            .with_exemplars(),
            panel(Kind::Lines, "By server and kind", "reqps", "What attempts at servers ended with.", &[(
                "{{tollhouse_server_name}} {{error_type}}",
                r#"sum by (tollhouse_server_name, error_type) (rate(mcp_client_operation_duration_seconds_count{job=~"$job", tollhouse_server_name=~"$server", error_type!=""}[$__rate_interval]))"#,
            )]),
        ],
        &[
            panel(Kind::Table, "Of the last day", "short", "By server, tool and kind, the most frequent first.", &[(
                "",
                r#"sort_desc(sum by (tollhouse_server_name, gen_ai_tool_name, error_type) (increase(mcp_client_operation_duration_seconds_count{job=~"$job", tollhouse_server_name=~"$server", error_type!=""}[24h])) > 0)"#,
            )]),
            panel(Kind::Lines, "Given up at a limit", "short", "Messages nobody fetched, slow clients, connections without room.", &[(
                "{{kind}}",
                r#"sum by (kind) (increase(tollhouse_losses_total{job=~"$job"}[$__rate_interval]))"#,
            )]),
            panel(Kind::Lines, "HTTP requests that were refused", "reqps", "By status: 4xx the caller's doing, 5xx ours.", &[(
                "{{http_response_status_code}}",
                r#"sum by (http_response_status_code) (rate(http_server_request_duration_seconds_count{job=~"$job", http_response_status_code=~"[45].."}[$__rate_interval]))"#,
            )]),
        ],
    ],
};
