//! Is everything recorded, kept and sent?

use super::{Board, Kind, panel};

pub(super) const TELEMETRY: Board = Board {
    name: "telemetry",
    title: "Telemetry",
    about: "Is everything recorded, kept and sent, and what does that take?",
    rows: &[
        &[
            panel(Kind::Figure, "Not recorded", "short", "Records dropped within the hour.", &[(
                "records",
                r#"sum(increase(tollhouse_records_total{job=~"$job", outcome="dropped"}[1h]))"#,
            )])
            .warns_above(1.0),
            panel(Kind::Figure, "Not kept", "short", "Calls the store did not keep within the hour.", &[(
                "calls",
                r#"sum(increase(tollhouse_store_calls_total{job=~"$job", outcome!="written"}[1h]))"#,
            )])
            .warns_above(1.0),
            panel(Kind::Figure, "Not sent", "short", "Spans, metrics and log records dropped or rejected within the hour.", &[(
                "items",
                r#"sum(increase(tollhouse_otlp_items_total{job=~"$job", outcome!="accepted"}[1h])) or vector(0)"#,
            )])
            .warns_above(1.0),
            panel(Kind::Figure, "Seen after", "s", "Nineteen of twenty calls can be found so long after they ended.", &[(
                "p95",
                r#"histogram_quantile(0.95, sum by (le) (rate(tollhouse_trace_delay_seconds_bucket{job=~"$job", stage="stored"}[$__rate_interval])))"#,
            )])
            .warns_above(5.0),
        ],
        &[
            panel(Kind::Lines, "Sent", "cps", "To collectors, and taken by them.", &[(
                "{{signal}}",
                r#"sum by (signal) (rate(tollhouse_otlp_items_total{job=~"$job", outcome="accepted"}[$__rate_interval]))"#,
            )]),
            panel(Kind::Lines, "Not sent, and why", "short", "Dropped by us or rejected by a collector.", &[(
                "{{signal}} {{outcome}} {{reason}}",
                r#"sum by (signal, outcome, reason) (increase(tollhouse_otlp_items_total{job=~"$job", outcome!="accepted"}[$__rate_interval]))"#,
            )]),
            panel(Kind::Lines, "Spans that wait", "percentunit", "Of those that may.", &[(
                "{{instance}}",
                r#"otel_sdk_processor_span_queue_size{job=~"$job"} / otel_sdk_processor_span_queue_capacity{job=~"$job"}"#,
            )]),
        ],
        &[
            panel(
                Kind::Lines,
                "What a record takes",
                "s",
                "To count, log and put down one call, after its answer: half and 99 % take less.",
                &[
                    (
                        "p50",
                        r#"histogram_quantile(0.5, sum by (le) (rate(tollhouse_overhead_observe_duration_seconds_bucket{job=~"$job", stage="pipeline"}[$__rate_interval])))"#,
                    ),
                    (
                        "p99",
                        r#"histogram_quantile(0.99, sum by (le) (rate(tollhouse_overhead_observe_duration_seconds_bucket{job=~"$job", stage="pipeline"}[$__rate_interval])))"#,
                    ),
                ],
            ),
            panel(Kind::Lines, "Records and kept calls", "cps", "Two lines that should be one.", &[
                ("recorded", r#"sum(rate(tollhouse_records_total{job=~"$job", outcome="recorded"}[$__rate_interval]))"#),
                ("kept", r#"sum(rate(tollhouse_store_calls_total{job=~"$job", outcome="written"}[$__rate_interval]))"#),
            ]),
        ],
        &[
            panel(Kind::Figure, "Figures that differ", "short", "Minutes within the day of which counted, summed up and stored calls are not the same.", &[(
                "minutes",
                r#"sum(increase(tollhouse_dashboard_consistency_total{job=~"$job", result="different"}[1d]))"#,
            )])
            .warns_above(1.0),
            panel(Kind::Lines, "Pages and the API", "cps", "What people and programs ask of what is recorded.", &[(
                "{{view}} {{outcome}}",
                r#"sum by (view, outcome) (rate(tollhouse_dashboard_requests_total{job=~"$job"}[$__rate_interval]))"#,
            )]),
            panel(Kind::Lines, "Open pages", "short", "Those that are told of changes.", &[(
                "{{view}}",
                r#"sum by (view) (tollhouse_dashboard_views_open{job=~"$job"})"#,
            )]),
        ],
    ],
};
