//! Is anything wrong, and what runs now?

use super::{Board, Kind, panel};

pub(super) const OVERVIEW: Board = Board {
    name: "overview",
    title: "Overview",
    about: "Is anything wrong, and what runs now?",
    rows: &[
        &[
            panel(Kind::Figure, "Calls a second", "reqps", "All calls, also those that reached no server.", &[(
                "calls",
                r#"sum(rate(mcp_server_operation_duration_seconds_count{job=~"$job"}[$__rate_interval]))"#,
            )]),
            panel(Kind::Figure, "Failing", "percentunit", "Of all calls, without the callers' own mistakes.", &[(
                "failing",
                r#"(sum(rate(mcp_server_operation_duration_seconds_count{job=~"$job", error_type!=""}[$__rate_interval])) or vector(0)) / sum(rate(mcp_server_operation_duration_seconds_count{job=~"$job"}[$__rate_interval]))"#,
            )])
            .warns_above(0.05),
            panel(Kind::Figure, "95 % are faster than", "s", "From a call's arrival to the end of its answer.", &[(
                "p95",
                r#"histogram_quantile(0.95, sum by (le) (rate(mcp_server_operation_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))"#,
            )]),
            panel(Kind::Figure, "Under way", "short", "Calls that have no answer yet.", &[(
                "calls",
                r#"sum(tollhouse_request_active{job=~"$job"})"#,
            )]),
            panel(Kind::Figure, "Servers not connected", "short", "Down, parked or being connected to.", &[(
                "servers",
                r#"count(tollhouse_server_state{job=~"$job", state!="connected"} == 1) or vector(0)"#,
            )])
            .warns_above(1.0),
            panel(Kind::Figure, "Open sessions", "short", "Of clients that speak the stateful protocol.", &[(
                "sessions",
                r#"sum(tollhouse_session_active{job=~"$job"})"#,
            )]),
        ],
        &[
            panel(Kind::Lines, "Calls by method", "reqps", "What clients ask for.", &[(
                "{{mcp_method_name}}",
                r#"sum by (mcp_method_name) (rate(mcp_server_operation_duration_seconds_count{job=~"$job"}[$__rate_interval]))"#,
            )]),
            panel(
                Kind::Lines,
                "How long calls take",
                "s",
                "Half, 95 % and 99 % of calls are faster. Points are traces that stand for a range.",
                &[
                    (
                        "p50",
                        r#"histogram_quantile(0.5, sum by (le) (rate(mcp_server_operation_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))"#,
                    ),
                    (
                        "p95",
                        r#"histogram_quantile(0.95, sum by (le) (rate(mcp_server_operation_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))"#,
                    ),
                    (
                        "p99",
                        r#"histogram_quantile(0.99, sum by (le) (rate(mcp_server_operation_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))"#,
                    ),
                ],
            )
            .with_exemplars(),
        ],
        &[
            panel(
                Kind::Lines,
                "The gateway's own time",
                "s",
                "What calls spend in the gateway: half and 99 % are faster. Calls that could not be sent count in full.",
                &[
                    (
                        "p50",
                        r#"histogram_quantile(0.5, sum by (le) (rate(tollhouse_overhead_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))"#,
                    ),
                    (
                        "p99",
                        r#"histogram_quantile(0.99, sum by (le) (rate(tollhouse_overhead_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))"#,
                    ),
                ],
            ),
            panel(Kind::Lines, "Bytes a second", "Bps", "Bodies of calls, without headers.", &[(
                "{{direction}}",
                r#"sum by (direction) (rate(tollhouse_payload_size_bytes_sum{job=~"$job"}[$__rate_interval]))"#,
            )]),
            panel(
                Kind::Lines,
                "Records lost",
                "short",
                "Records dropped, and calls the store did not keep. Anything above 0 is worth a look.",
                &[
                    ("dropped", r#"sum(increase(tollhouse_records_total{job=~"$job", outcome="dropped"}[$__rate_interval]))"#),
                    (
                        "not kept: {{outcome}}",
                        r#"sum by (outcome) (increase(tollhouse_store_calls_total{job=~"$job", outcome!="written"}[$__rate_interval]))"#,
                    ),
                ],
            ),
        ],
        &[
            panel(Kind::Lines, "Memory", "bytes", "Held by the process.", &[(
                "{{instance}}",
                r#"process_memory_usage_bytes{job=~"$job"}"#,
            )]),
            panel(Kind::Lines, "Processor", "short", "Cores in use.", &[(
                "{{instance}}",
                r#"sum by (instance) (rate(process_cpu_time_seconds_total{job=~"$job"}[$__rate_interval]))"#,
            )]),
            panel(Kind::Table, "Versions", "s", "Which run, and for how long.", &[(
                "",
                r#"process_uptime_seconds{job=~"$job"} * on (job, instance) group_left (version) tollhouse_build_info{job=~"$job"}"#,
            )]),
        ],
    ],
};
