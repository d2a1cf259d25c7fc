//! The variables of OpenTelemetry, and ours beside them: what is exported, where to, and how much of it.
//!
//! Pure: a function that looks variables up comes in, settings and warnings come out. Nothing here fails: what cannot be
//! read is as good as unset and warned of, since telemetry never keeps a gateway from its work. Values may be secret,
//! so a warning names the variable and shows no more of a value than a word that was chosen from a list.
//!
//! A blank value is an unset variable, as the specification has it.
//!
//! Path: start → **`environment`** → `otlp`, `spans` and the data plane.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use tollhouse_core::trace::{Root, Sampler};

use crate::otlp::{Batching, Resource, Signal, Transport};
use endpoint::Activation;
use values::Reader;

pub use tools::Tools;

pub mod content;
pub mod metrics;

mod endpoint;
mod tools;
mod values;

#[cfg(test)]
mod tests;

/// Bytes of an attribute's value, unless something else is said.
const VALUE_MAX: usize = 4096;
/// What may be said of that.
const VALUE_RANGE: std::ops::RangeInclusive<usize> = 1024..=65_536;
/// Known to people, and of no effect.
const UNSUPPORTED: [&str; 8] = [
    "OTEL_CONFIG_FILE",
    "OTEL_EXPERIMENTAL_CONFIG_FILE",
    "OTEL_ENTITIES",
    "OTEL_EXPORTER_PROMETHEUS_HOST",
    "OTEL_EXPORTER_PROMETHEUS_PORT",
    "OTEL_EXPORTER_JAEGER_ENDPOINT",
    "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
    "MCP_TRACING_SECURITY_ENABLED",
];

/// What the variables say.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where spans go.
    pub traces: Export,
    /// Where metrics go.
    pub metrics: Export,
    /// Where log records go.
    pub logs: Export,
    /// Is the trace read that callers name, and told to servers? (`OTEL_PROPAGATORS`)
    pub context: bool,
    /// Is baggage read?
    pub baggage: bool,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// Bounds of one span.
    pub limits: Limits,
    /// Whose calls have no spans.
    pub disabled_tools: Tools,
    /// Attributes of the resource, `service.name` first.
    pub resource: Vec<(String, String)>,
    /// What was said and cannot be followed, in sentences without their full stop.
    pub warnings: Vec<String>,
}

/// Where one signal goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Export {
    /// To a collector.
    pub otlp: Option<Transport>,
    /// To standard error.
    pub console: bool,
    /// How it is put together.
    pub batching: Batching,
}

impl Export {
    /// Does it go anywhere?
    pub fn active(&self) -> bool {
        self.otlp.is_some() || self.console
    }
}

/// Bounds of one span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Attributes; what is more is counted, not sent.
    pub attributes: usize,
    /// Links.
    pub links: usize,
    /// Bytes of a value.
    pub value: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attributes: 128, links: 128, value: VALUE_MAX }
    }
}

impl Settings {
    /// Reads the variables that `lookup` knows.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader::new(lookup);
        let disabled = reader.flag("OTEL_SDK_DISABLED");
        let mut export = |signal| if disabled { Export::default() } else { export(&mut reader, signal) };
        let [traces, metrics, logs] = Signal::ALL.map(&mut export);
        let (context, baggage) = propagators(&mut reader);
        let sampler = sampler(&mut reader);
        let limits = limits(&mut reader);
        let disabled_tools = Tools::read(&reader.text("MCP_TRACING_DISABLED_TOOLS").unwrap_or_default());
        let resource = resource(&mut reader);
        for name in UNSUPPORTED {
            if reader.text(name).is_some() {
                reader.warn(format!("{name} is not supported"));
            }
        }
        let warnings = reader.into_warnings();
        Self { traces, metrics, logs, context, baggage, sampler, limits, disabled_tools, resource, warnings }
    }

    /// Where a signal goes.
    pub fn export(&self, signal: Signal) -> &Export {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
        }
    }

    /// The resource of this process, which is `version` of the program and called `instance`.
    pub fn resource(&self, version: &str, instance: &str) -> Resource {
        let mut attributes = self.resource.clone();
        for (key, value) in [("service.version", version), ("service.instance.id", instance)] {
            if !attributes.iter().any(|(known, _)| known == key) {
                attributes.push((key.to_owned(), value.to_owned()));
            }
        }
        let attribute = |(key, value): (String, String)| KeyValue {
            key,
            value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
            ..KeyValue::default()
        };
        Resource::new(attributes.into_iter().map(attribute).collect(), version)
    }

    /// The line that says where everything goes; `None` if nothing leaves.
    pub fn announcement(&self) -> Option<String> {
        let exports = Signal::ALL.map(|signal| self.export(signal));
        let (endpoint, protocol) = match exports.iter().find_map(|export| export.otlp.as_ref()) {
            Some(transport) => (transport.to_string(), transport.protocol.as_str()),
            None if exports.iter().any(|export| export.console) => ("stderr".to_owned(), "console"),
            None => return None,
        };
        Some(format!("[telemetry] OpenTelemetry initialized — endpoint={endpoint} protocol={protocol}"))
    }
}

/// Which exporters a signal has. An endpoint activates traces and metrics, and its own signal; the rest is asked for.
fn export(reader: &mut Reader<'_>, signal: Signal) -> Export {
    let batching = batching(reader, signal);
    let name = format!("OTEL_{}_EXPORTER", signal.variable());
    let Some(asked) = reader.text(&name) else {
        let by = if signal == Signal::Logs { Activation::Own } else { Activation::Any };
        let otlp = endpoint::transport(reader, signal, by);
        return Export { otlp, console: false, batching };
    };
    let mut export = Export { batching, ..Export::default() };
    for word in asked.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "otlp" => export.otlp = endpoint::transport(reader, signal, Activation::Asked),
            "console" => export.console = true,
            "none" => {}
            // It is always there, on the admin listener.
            "prometheus" if signal == Signal::Metrics => {}
            _ => reader.warn(format!("{name} names an exporter that is none of otlp, console, none")),
        }
    }
    export
}

fn batching(reader: &mut Reader<'_>, signal: Signal) -> Batching {
    let usual = Batching::default();
    let (prefix, delay) = match signal {
        Signal::Traces => ("OTEL_BSP", usual.delay),
        Signal::Logs => ("OTEL_BLRP", std::time::Duration::from_secs(1)),
        // Collected at intervals, each time as one.
        Signal::Metrics => {
            let timeout = reader.millis("OTEL_METRIC_EXPORT_TIMEOUT").unwrap_or(usual.timeout);
            return Batching { batch: 1, delay: std::time::Duration::ZERO, concurrency: 1, timeout, ..usual };
        }
    };
    let queue_items = reader.count(&format!("{prefix}_MAX_QUEUE_SIZE")).unwrap_or(usual.queue_items);
    let batch = reader.count(&format!("{prefix}_MAX_EXPORT_BATCH_SIZE")).unwrap_or(usual.batch);
    Batching {
        batch: batch.min(queue_items),
        delay: reader.millis(&format!("{prefix}_SCHEDULE_DELAY")).unwrap_or(delay),
        timeout: reader.millis(&format!("{prefix}_EXPORT_TIMEOUT")).unwrap_or(usual.timeout),
        queue_items,
        queue_bytes: usual.queue_bytes,
        concurrency: reader.count(&format!("{prefix}_MAX_CONCURRENT_EXPORTS")).unwrap_or(usual.concurrency),
    }
}

/// Are traces read, and baggage?
fn propagators(reader: &mut Reader<'_>) -> (bool, bool) {
    let Some(asked) = reader.text("OTEL_PROPAGATORS") else { return (true, true) };
    let (mut context, mut baggage) = (false, false);
    for word in asked.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "tracecontext" => context = true,
            "baggage" => baggage = true,
            "none" => {}
            _ => reader.warn("OTEL_PROPAGATORS names one that is none of tracecontext, baggage, none".to_owned()),
        }
    }
    (context, baggage)
}

fn sampler(reader: &mut Reader<'_>) -> Sampler {
    let Some(asked) = reader.text("OTEL_TRACES_SAMPLER") else { return Sampler::default() };
    let asked = asked.to_ascii_lowercase();
    let (by_parent, rule) = match asked.strip_prefix("parentbased_") {
        Some(rule) => (true, rule),
        None => (false, asked.as_str()),
    };
    let root = match rule {
        "always_on" => Root::On,
        "always_off" => Root::Off,
        "traceidratio" => Root::Ratio(reader.ratio("OTEL_TRACES_SAMPLER_ARG").unwrap_or(1.0)),
        _ => {
            reader.warn("OTEL_TRACES_SAMPLER names none of the samplers known; it is parentbased_always_on".to_owned());
            return Sampler::default();
        }
    };
    Sampler { root, by_parent }
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    let usual = Limits::default();
    let mut either = |first: &str, second: &str| reader.count(first).or_else(|| reader.count(second));
    let attributes = either("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT");
    let length = either("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT");
    let links = reader.count("OTEL_SPAN_LINK_COUNT_LIMIT").unwrap_or(usual.links);
    let mut value = usual.value;
    if let Some(asked) = reader.count("MCP_TRACING_MAX_ATTRIBUTE_SIZE") {
        value = asked.clamp(*VALUE_RANGE.start(), *VALUE_RANGE.end());
        if value != asked {
            reader.warn(format!("MCP_TRACING_MAX_ATTRIBUTE_SIZE is at least 1024 and at most 65536: it is {value}"));
        }
    }
    let value = length.map_or(value, |length| length.min(value));
    Limits { attributes: attributes.unwrap_or(usual.attributes), links, value }
}

fn resource(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    let mut given = reader.pairs("OTEL_RESOURCE_ATTRIBUTES");
    let named = given.iter().position(|(key, _)| key == "service.name").map(|at| given.remove(at).1);
    let name = reader.text("OTEL_SERVICE_NAME").or(named).unwrap_or_else(|| "tollhouse".to_owned());
    let mut attributes = vec![("service.name".to_owned(), name)];
    for (mut key, value) in given {
        if key == "deployment.environment" {
            // Its name before it was stable.
            key.push_str(".name");
        }
        if !attributes.iter().any(|(known, _)| *known == key) {
            attributes.push((key, value));
        }
    }
    attributes
}
