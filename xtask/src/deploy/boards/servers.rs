//! Which servers are there, and are they well?

use super::{Board, Kind, panel};

pub(super) const SERVERS: Board = Board {
    name: "servers",
    title: "Servers",
    about: "Which servers are there, and are they well?",
    rows: &[
        &[
            panel(Kind::Table, "State", "short", "Of each server, at each instance.", &[(
                "",
                r#"tollhouse_server_state{job=~"$job", tollhouse_server_name=~"$server"} == 1"#,
            )]),
            panel(Kind::Table, "Tools offered", "short", "As last counted.", &[(
                "",
                r#"max by (tollhouse_server_name) (tollhouse_catalog_items{job=~"$job", tollhouse_server_name=~"$server", kind="tool"})"#,
            )]),
        ],
        &[
            panel(Kind::Lines, "Calls", "reqps", "All methods.", &[(
                "{{tollhouse_server_name}}",
                r#"sum by (tollhouse_server_name) (rate(mcp_client_operation_duration_seconds_count{job=~"$job", tollhouse_server_name=~"$server"}[$__rate_interval]))"#,
            )]),
            panel(Kind::Lines, "Waiting at once", "short", "Calls under way at each server, on average.", &[(
                "{{tollhouse_server_name}}",
                r#"sum by (tollhouse_server_name) (rate(mcp_client_operation_duration_seconds_sum{job=~"$job", tollhouse_server_name=~"$server"}[$__rate_interval]))"#,
            )]),
        ],
        &[
            panel(Kind::Lines, "95 % are faster than", "s", "Time at the server. Points are traces.", &[(
                "{{tollhouse_server_name}}",
                r#"histogram_quantile(0.95, sum by (le, tollhouse_server_name) (rate(mcp_client_operation_duration_seconds_bucket{job=~"$job", tollhouse_server_name=~"$server"}[$__rate_interval])))"#,
            )])
            .with_exemplars(),
            panel(Kind::Lines, "Failures by kind", "reqps", "Of attempts at each server.", &[(
                "{{tollhouse_server_name}} {{error_type}}",
                r#"sum by (tollhouse_server_name, error_type) (rate(mcp_client_operation_duration_seconds_count{job=~"$job", tollhouse_server_name=~"$server", error_type!=""}[$__rate_interval]))"#,
            )]),
        ],
        &[panel(Kind::Lines, "Resources read", "reqps", "By the scheme of their URI.", &[(
            "{{tollhouse_server_name}} {{scheme}}",
            r#"sum by (tollhouse_server_name, scheme) (rate(tollhouse_resource_reads_total{job=~"$job", tollhouse_server_name=~"$server"}[$__rate_interval]))"#,
        )])],
    ],
};
