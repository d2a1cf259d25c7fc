//! What the dashboards show: a table, from which `grafana` makes their files.

/// A dashboard.
pub(super) struct Board {
    /// Part of its file's name and of its `uid`; never changed.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) rows: &'static [&'static [Panel]],
}

/// One of its panels.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) kind: Kind,
    /// As Grafana calls it.
    pub(super) unit: &'static str,
    /// What it says, and what to make of it.
    pub(super) about: &'static str,
    /// Legends and queries.
    pub(super) queries: &'static [(&'static str, &'static str)],
    /// Is it red above this?
    pub(super) warns_above: Option<f64>,
    /// Are there traces that stand for its figures?
    pub(super) exemplars: bool,
}

/// How figures are drawn.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// One figure.
    Figure,
    /// Lines over time.
    Lines,
    /// A table of the present.
    Table,
}

impl Kind {
    pub(super) const fn plugin(self) -> &'static str {
        match self {
            Self::Figure => "stat",
            Self::Lines => "timeseries",
            Self::Table => "table",
        }
    }

    /// In rows of Grafana's grid.
    pub(super) const fn height(self) -> u32 {
        match self {
            Self::Figure => 4,
            Self::Lines | Self::Table => 9,
        }
    }
}

const fn panel(
    kind: Kind,
    title: &'static str,
    unit: &'static str,
    about: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, kind, unit, about, queries, warns_above: None, exemplars: false }
}

impl Panel {
    const fn warns_above(mut self, bound: f64) -> Self {
        self.warns_above = Some(bound);
        self
    }

    const fn with_exemplars(mut self) -> Self {
        self.exemplars = true;
        self
    }
}

/// Every dashboard.
pub(super) const BOARDS: &[Board] = &[OVERVIEW, TOOLS, SERVERS, SESSIONS, ERRORS];

const OVERVIEW: Board = Board {
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

const TOOLS: Board = Board {
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

const SERVERS: Board = Board {
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

const SESSIONS: Board = Board {
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

const ERRORS: Board = Board {
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
