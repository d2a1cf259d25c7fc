//! Which tools are used, how fast are they, which fail?

use super::{Board, Kind, panel};

pub(super) const TOOLS: Board = Board {
    name: "tools",
    title: "Tools",
    about: "Which tools are used, how fast are they, which fail?",
    rows: &[
        &[
            panel(Kind::Lines, "Calls by tool", "reqps", "The ten that are called most.", &[(
                "{{tollhouse_server_name}} {{gen_ai_tool_name}}",
                r#"topk(10, sum by (tollhouse_server_name, gen_ai_tool_name) (rate(mcp_client_operation_duration_seconds_count{job=~"$job", tollhouse_server_name=~"$server", mcp_method_name="tools/call"}[$__rate_interval])))"#,
            )]),
            panel(Kind::Lines, "Failing share by tool", "percentunit", "At the server, callers' own mistakes included.", &[(
                "{{tollhouse_server_name}} {{gen_ai_tool_name}}",
                r#"sum by (tollhouse_server_name, gen_ai_tool_name) (rate(mcp_client_operation_duration_seconds_count{job=~"$job", tollhouse_server_name=~"$server", mcp_method_name="tools/call", error_type!=""}[$__rate_interval])) / sum by (tollhouse_server_name, gen_ai_tool_name) (rate(mcp_client_operation_duration_seconds_count{job=~"$job", tollhouse_server_name=~"$server", mcp_method_name="tools/call"}[$__rate_interval]))"#,
            )]),
        ],
        &[
            panel(Kind::Lines, "95 % are faster than", "s", "Time at the server. Points are traces.", &[(
                "{{tollhouse_server_name}} {{gen_ai_tool_name}}",
                r#"histogram_quantile(0.95, sum by (le, tollhouse_server_name, gen_ai_tool_name) (rate(mcp_client_operation_duration_seconds_bucket{job=~"$job", tollhouse_server_name=~"$server", mcp_method_name="tools/call"}[$__rate_interval])))"#,
            )])
            .with_exemplars(),
            panel(Kind::Lines, "First sign of work", "s", "Until the first progress, event or byte came, at the median.", &[(
                "{{tollhouse_server_name}} {{gen_ai_tool_name}}",
                r#"histogram_quantile(0.5, sum by (le, tollhouse_server_name, gen_ai_tool_name) (rate(tollhouse_time_to_first_output_seconds_bucket{job=~"$job", tollhouse_server_name=~"$server"}[$__rate_interval])))"#,
            )])
            .with_exemplars(),
        ],
        &[
            panel(Kind::Table, "Calls of the last hour", "short", "By tool and what became of them.", &[(
                "",
                r#"sum by (tollhouse_server_name, gen_ai_tool_name, error_type) (increase(mcp_client_operation_duration_seconds_count{job=~"$job", tollhouse_server_name=~"$server", mcp_method_name="tools/call"}[1h]))"#,
            )]),
            panel(Kind::Table, "Mean time of the last hour", "s", "By tool.", &[(
                "",
                r#"sum by (tollhouse_server_name, gen_ai_tool_name) (rate(mcp_client_operation_duration_seconds_sum{job=~"$job", tollhouse_server_name=~"$server", mcp_method_name="tools/call"}[1h])) / (sum by (tollhouse_server_name, gen_ai_tool_name) (rate(mcp_client_operation_duration_seconds_count{job=~"$job", tollhouse_server_name=~"$server", mcp_method_name="tools/call"}[1h])) > 0)"#,
            )]),
        ],
    ],
};
