//! Conversations, and the streams that answer requests.

use super::{Board, Kind, panel};

pub(super) const SESSIONS: Board = Board {
    name: "sessions",
    title: "Sessions",
    about: "Conversations of clients that speak the stateful protocol, and the streams that answer requests.",
    rows: &[
        &[
            panel(
                Kind::Figure,
                "Open",
                "short",
                "Sessions that have not ended.",
                &[("sessions", r#"sum(tollhouse_session_active{job=~"$job"})"#)],
            ),
            panel(
                Kind::Figure,
                "Tools called by each",
                "short",
                "Mean of the sessions that ended within six hours.",
                &[(
                    "calls",
                    r#"sum(rate(tollhouse_session_tool_calls_sum{job=~"$job"}[6h])) / sum(rate(tollhouse_session_tool_calls_count{job=~"$job"}[6h]))"#,
                )],
            ),
            panel(
                Kind::Figure,
                "Evicted",
                "short",
                "Ended within the hour to make room for others.",
                &[("sessions", r#"sum(increase(tollhouse_session_ended_total{job=~"$job", outcome="failed"}[1h]))"#)],
            )
            .warns_above(1.0),
        ],
        &[
            panel(
                Kind::Lines,
                "Open by transport",
                "short",
                "Over HTTP, and over standard input and output.",
                &[("{{network_transport}}", r#"sum by (network_transport) (tollhouse_session_active{job=~"$job"})"#)],
            ),
            panel(
                Kind::Lines,
                "How they end",
                "short",
                "Ended by either side, expired, or evicted.",
                &[(
                    "{{outcome}}",
                    r#"sum by (outcome) (increase(tollhouse_session_ended_total{job=~"$job"}[$__rate_interval]))"#,
                )],
            ),
        ],
        &[
            panel(
                Kind::Lines,
                "How long they last",
                "s",
                "Half and 95 % are shorter.",
                &[
                    (
                        "p50",
                        r#"histogram_quantile(0.5, sum by (le) (rate(mcp_server_session_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))"#,
                    ),
                    (
                        "p95",
                        r#"histogram_quantile(0.95, sum by (le) (rate(mcp_server_session_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))"#,
                    ),
                ],
            ),
            panel(
                Kind::Lines,
                "How long streams are open",
                "s",
                "95 % are shorter, by the method they answer.",
                &[(
                    "{{mcp_method_name}}",
                    r#"histogram_quantile(0.95, sum by (le, mcp_method_name) (rate(tollhouse_stream_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))"#,
                )],
            ),
            panel(
                Kind::Lines,
                "Calls by revision",
                "reqps",
                "Which revision of the protocol clients speak.",
                &[(
                    "{{mcp_protocol_version}}",
                    r#"sum by (mcp_protocol_version) (rate(mcp_server_operation_duration_seconds_count{job=~"$job"}[$__rate_interval]))"#,
                )],
            ),
        ],
    ],
};
