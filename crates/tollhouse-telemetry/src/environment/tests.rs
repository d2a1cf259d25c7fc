use std::time::Duration;

use super::*;
use crate::otlp::Protocol;

fn read(variables: &[(&str, &str)]) -> Settings {
    let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::read(&|name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
}

/// Where traces, metrics and logs go, without warnings.
fn endpoints(variables: &[(&str, &str)]) -> [Option<String>; 3] {
    let settings = read(variables);
    assert_eq!(settings.warnings, Vec::<String>::new(), "{variables:?}");
    Signal::ALL.map(|signal| {
        let transport = settings.export(signal).otlp.as_ref()?;
        Some(format!("{} {transport}", transport.protocol.as_str()))
    })
}

fn traces(variables: &[(&str, &str)]) -> Transport {
    read(variables).traces.otlp.expect("traces are exported")
}

const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

#[test]
fn without_an_endpoint_nothing_is_exported() {
    for variables in [&[][..], &[(ALL, "")], &[(ALL, "  ")], &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]] {
        assert_eq!(endpoints(variables), [const { None }; 3]);
        let settings = read(variables);
        assert!(!settings.traces.active() && settings.announcement().is_none());
    }
}

#[test]
fn an_endpoint_is_understood_as_it_is_written() {
    for (written, expected) in [
        ("http://c:4318", "http/protobuf http://c:4318/v1/traces"),
        ("http://c:4318/", "http/protobuf http://c:4318/v1/traces"),
        ("https://c/otlp", "http/protobuf https://c/otlp/v1/traces"),
        ("https://c/v1/traces", "http/protobuf https://c/v1/traces"),
        ("http://c:4317", "grpc http://c:4317"),
        ("https://c:4317/ignored", "grpc https://c:4317"),
        ("c:4317", "grpc https://c:4317"),
        ("c", "grpc https://c"),
        ("localhost:4317", "grpc http://localhost:4317"),
        ("127.0.0.1:9999", "grpc http://127.0.0.1:9999"),
        ("[::1]:4317", "grpc http://[::1]:4317"),
        (" http://user:pass@c:4318 ", "http/protobuf http://c:4318/v1/traces"),
    ] {
        assert_eq!(endpoints(&[(ALL, written)])[0].as_deref(), Some(expected), "{written}");
    }
}

#[test]
fn the_endpoint_of_all_activates_traces_and_metrics_and_one_of_a_signal_that_signal() {
    let told = |text: &str| Some(format!("http/protobuf {text}"));
    assert_eq!(endpoints(&[(ALL, "http://c")]), [told("http://c/v1/traces"), told("http://c/v1/metrics"), None],);
    assert_eq!(
        endpoints(&[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c/as/it/is")]),
        [None, None, told("http://c/as/it/is")],
    );
    assert_eq!(
        endpoints(&[(ALL, "http://c"), ("OTEL_LOGS_EXPORTER", "otlp"), ("OTEL_METRICS_EXPORTER", "none")]),
        [told("http://c/v1/traces"), None, told("http://c/v1/logs")],
    );
    assert_eq!(
        endpoints(&[(ALL, "http://c"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://d/t")]),
        [told("http://d/t"), told("http://c/v1/metrics"), None],
    );
}

#[test]
fn a_protocol_that_is_named_counts() {
    for (protocol, expected) in [
        ("grpc", "grpc http://c:1234"),
        ("http/protobuf", "http/protobuf http://c:1234/v1/traces"),
        ("HTTP", "http/protobuf http://c:1234/v1/traces"),
    ] {
        let variables = [(ALL, "http://c:1234"), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
        assert_eq!(endpoints(&variables)[0].as_deref(), Some(expected));
    }
    let own = [
        (ALL, "http://c:1234"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
    ];
    assert_eq!(endpoints(&own)[0].as_deref(), Some("grpc http://c:1234"));
    let json = read(&[(ALL, "http://c"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]);
    assert_eq!(json.traces.otlp.as_ref().map(|transport| transport.protocol), Some(Protocol::Json));
    assert_eq!(json.traces.otlp.map(|transport| transport.to_string()).as_deref(), Some("http://c/v1/traces"));
    assert!(json.warnings.is_empty(), "{:?}", json.warnings);
}

#[test]
fn insecure_is_for_endpoints_without_a_scheme() {
    let with = |endpoint, value| {
        endpoints(&[(ALL, endpoint), ("OTEL_EXPORTER_OTLP_INSECURE", value)])[0].clone().unwrap_or_default()
    };
    assert_eq!(with("c:4317", "true"), "grpc http://c:4317");
    assert_eq!(with("localhost:4317", "false"), "grpc https://localhost:4317");
    assert_eq!(with("https://c:4317", "true"), "grpc https://c:4317");
}

#[test]
fn what_is_sent_along_is_of_the_signal_or_of_all() {
    let transport = traces(&[
        (ALL, "http://c"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20a%2Cb, x-scope = one"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-scope=two"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/c.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/k.pem"),
    ]);
    let headers: Vec<_> =
        transport.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(headers, [("authorization", "Bearer a,b"), ("x-scope", "two")]);
    assert_eq!((transport.timeout, transport.gzip), (Duration::from_millis(2500), true));
    let files = [&transport.tls.authorities, &transport.tls.certificate, &transport.tls.key];
    assert_eq!(files.map(|file| file.as_ref().unwrap().to_str().unwrap()), ["/ca.pem", "/c.pem", "/k.pem"]);
    assert!(!format!("{transport:?}").contains("Bearer"), "values are secret");
    let usual = traces(&[(ALL, "http://c")]);
    assert_eq!((usual.timeout, usual.gzip, usual.headers.len()), (Duration::from_secs(10), false, 0));
}

#[test]
fn exporters_are_chosen_by_name() {
    let console = read(&[("OTEL_TRACES_EXPORTER", "console")]);
    assert!(console.traces.console && console.traces.otlp.is_none() && console.traces.active());
    let none = read(&[(ALL, "http://c"), ("OTEL_TRACES_EXPORTER", "none")]);
    assert!(!none.traces.active() && none.metrics.active());
    let local = |variables: &[_]| endpoints(variables)[0].clone();
    let asked = ("OTEL_TRACES_EXPORTER", "otlp");
    assert_eq!(local(&[asked]).as_deref(), Some("http/protobuf http://localhost:4318/v1/traces"));
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    assert_eq!(local(&[asked, grpc]).as_deref(), Some("grpc http://localhost:4317"));
    assert_eq!(read(&[("OTEL_METRICS_EXPORTER", "prometheus")]).warnings.len(), 0);
    assert_eq!(read(&[("OTEL_TRACES_EXPORTER", "zipkin")]).warnings.len(), 1);
}

#[test]
fn the_switch_of_the_sdk_ends_every_export() {
    for (value, disabled) in [("true", true), ("TRUE", true), ("false", false), ("1", false), ("", false)] {
        let settings =
            read(&[(ALL, "http://c"), ("OTEL_SDK_DISABLED", value), ("OTEL_TRACES_EXPORTER", "otlp,console")]);
        assert_eq!(!settings.traces.active() && !settings.metrics.active(), disabled, "{value}");
        assert!(settings.context, "what callers say is passed on");
    }
}

#[test]
fn propagators_say_what_is_read() {
    for (value, context, baggage) in [
        ("", true, true),
        ("tracecontext,baggage", true, true),
        ("tracecontext", true, false),
        ("baggage", false, true),
        ("none", false, false),
    ] {
        let settings = read(&[("OTEL_PROPAGATORS", value)]);
        assert_eq!((settings.context, settings.baggage, settings.warnings.len()), (context, baggage, 0), "{value}");
    }
    let b3 = read(&[("OTEL_PROPAGATORS", "b3,tracecontext")]);
    assert_eq!((b3.context, b3.baggage, b3.warnings.len()), (true, false, 1));
}

#[test]
fn the_six_samplers_are_known() {
    for (name, root, by_parent) in [
        ("always_on", Root::On, false),
        ("always_off", Root::Off, false),
        ("traceidratio", Root::Ratio(0.25), false),
        ("parentbased_always_on", Root::On, true),
        ("parentbased_always_off", Root::Off, true),
        ("parentbased_traceidratio", Root::Ratio(0.25), true),
    ] {
        let settings = read(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", "0.25")]);
        assert_eq!((settings.sampler, settings.warnings.len()), (Sampler { root, by_parent }, 0), "{name}");
    }
    let unknown = read(&[("OTEL_TRACES_SAMPLER", "jaeger_remote")]);
    assert_eq!((unknown.sampler, unknown.warnings.len()), (Sampler::default(), 1));
    for wrong in ["1.5", "-1", "x", "NaN"] {
        let settings = read(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", wrong)]);
        assert_eq!((settings.sampler.root, settings.warnings.len()), (Root::Ratio(1.0), 1), "{wrong}");
    }
}

#[test]
fn batches_are_as_the_variables_say() {
    let settings = read(&[
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "2000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"),
        ("OTEL_BSP_MAX_CONCURRENT_EXPORTS", "2"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "200"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "300"),
    ]);
    let Batching { batch, delay, timeout, queue_items, concurrency, .. } = settings.traces.batching;
    assert_eq!((batch, queue_items, concurrency), (10, 1000, 2));
    assert_eq!((delay, timeout), (Duration::from_millis(100), Duration::from_secs(2)));
    assert_eq!(settings.logs.batching.delay, Duration::from_millis(200));
    assert_eq!(settings.metrics.batching.timeout, Duration::from_millis(300));
    let usual = read(&[]);
    assert_eq!(usual.traces.batching, Batching::default());
    assert_eq!(usual.logs.batching.delay, Duration::from_secs(1));
    assert_eq!(read(&[("OTEL_BSP_MAX_QUEUE_SIZE", "100")]).traces.batching.batch, 100);
    assert_eq!(read(&[("OTEL_BSP_MAX_QUEUE_SIZE", "-1")]).warnings.len(), 1);
}

#[test]
fn spans_are_limited() {
    assert_eq!(read(&[]).limits, Limits { attributes: 128, links: 128, value: 4096 });
    let count = read(&[("OTEL_ATTRIBUTE_COUNT_LIMIT", "50"), ("OTEL_SPAN_LINK_COUNT_LIMIT", "3")]).limits;
    assert_eq!((count.attributes, count.links), (50, 3));
    let own = [("OTEL_ATTRIBUTE_COUNT_LIMIT", "50"), ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "20")];
    assert_eq!(read(&own).limits.attributes, 20);
    for (size, length, expected, warnings) in [
        ("8192", "", 8192, 0),
        ("100", "", 1024, 1),
        ("100000", "", 65_536, 1),
        ("8192", "100", 100, 0),
        ("", "100000", 4096, 0),
    ] {
        let settings = read(&[("MCP_TRACING_MAX_ATTRIBUTE_SIZE", size), ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", length)]);
        assert_eq!((settings.limits.value, settings.warnings.len()), (expected, warnings), "{size} {length}");
    }
    let own = [("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100"), ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "200")];
    assert_eq!(read(&own).limits.value, 200);
}

#[test]
fn the_resource_says_who_tells() {
    let pairs = |variables: &[_]| read(variables).resource;
    let owned = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(pairs(&[]), [owned("service.name", "tollhouse")]);
    let given = ("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b,service.name=x,deployment.environment=prod");
    let rest = [owned("team", "a b"), owned("deployment.environment.name", "prod")];
    assert_eq!(pairs(&[given]), [&[owned("service.name", "x")][..], &rest].concat());
    assert_eq!(pairs(&[given, ("OTEL_SERVICE_NAME", "y")]), [&[owned("service.name", "y")][..], &rest].concat());
}

#[test]
fn what_cannot_be_used_is_warned_of_and_shows_no_value() {
    for (name, value) in [
        (ALL, "ftp://secret-host"),
        (ALL, "http://"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "se cret=x"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "secret"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "secret"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "secret"),
        ("OTEL_CONFIG_FILE", "secret"),
        ("OTEL_ENTITIES", "secret"),
        ("OTEL_SDK_DISABLED", "secret"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "secret"),
    ] {
        let endpoint = (ALL, "http://c");
        let settings = if name == ALL { read(&[(name, value)]) } else { read(&[endpoint, (name, value)]) };
        assert_eq!(settings.warnings.len(), if name == ALL { 2 } else { 1 }, "{name}: {:?}", settings.warnings);
        assert!(!settings.warnings.iter().any(|warning| warning.contains("secret")), "{:?}", settings.warnings);
    }
    let none = read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://x")]);
    assert!(none.warnings[0].starts_with("Failed to create exporter, falling back to noop tracer"));
}

#[test]
fn the_first_line_says_where_everything_goes_without_credentials() {
    let line = read(&[(ALL, "https://user:pass@c:4318/otlp?token=x")]).announcement().unwrap();
    assert_eq!(
        line,
        "[telemetry] OpenTelemetry initialized — endpoint=https://c:4318/otlp/v1/traces protocol=http/protobuf"
    );
}

#[test]
fn tools_without_spans_are_a_list() {
    let settings = read(&[("MCP_TRACING_DISABLED_TOOLS", "files__read, web")]);
    assert!(settings.disabled_tools.hold(&["web"]) && !settings.disabled_tools.hold(&["files"]));
}

#[test]
fn the_reference_names_every_variable_that_is_read() {
    let page = include_str!("../../../../docs/reference/environment.md");
    let asked = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        // So that what belongs to an endpoint is asked for.
        name.ends_with("_ENDPOINT").then(|| "c".to_owned())
    };
    let _ = (Settings::read(&lookup), metrics::Metrics::read(&lookup), content::Content::read(&lookup));
    let asked = asked.into_inner();
    assert!(asked.len() > 60, "{}", asked.len());
    for name in asked {
        let general = ["TRACES_", "METRICS_", "LOGS_"].iter().fold(name.clone(), |name, signal| {
            name.replacen(&format!("OTEL_EXPORTER_OTLP_{signal}"), "OTEL_EXPORTER_OTLP_", 1)
        });
        assert!(
            page.contains(&format!("`{name}`")) || page.contains(&format!("`{general}`")),
            "{name} is not in the reference"
        );
    }
}
