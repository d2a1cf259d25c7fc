//! In which form metrics are told to who fetches them, by what he says he accepts.
//!
//! A Prometheus asks for protobuf when it takes native histograms, which no text can say. Everybody else reads OpenMetrics.

use super::Histograms;
use super::protobuf;
use super::snapshot::Snapshot;
use super::text;

/// A form metrics are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    Text,
    /// Messages of Prometheus, each with its length before it.
    Protobuf,
}

impl Form {
    /// The form for a header `Accept` (RFC 9110, 12.5.1): protobuf where it is rated above every text, or as high as
    /// those that are named after it.
    pub fn of(accepted: &str) -> Self {
        let ranges: Vec<(Self, f64)> = accepted.split(',').filter_map(range).collect();
        let best = ranges.iter().map(|(_, rated)| *rated).fold(0.0, f64::max);
        let first = ranges.into_iter().find(|(_, rated)| *rated > 0.0 && *rated >= best);
        first.map_or(Self::Text, |(form, _)| form)
    }

    /// What it is called in a header.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Text => text::MEDIA_TYPE,
            Self::Protobuf => protobuf::MEDIA_TYPE,
        }
    }

    /// The snapshot in this form.
    pub fn write(self, snapshot: &Snapshot, histograms: Histograms) -> Vec<u8> {
        match self {
            Self::Text => text::open_metrics(snapshot).into_bytes(),
            Self::Protobuf => protobuf::delimited(snapshot, histograms),
        }
    }
}

/// One range of a header `Accept`, if it is one of ours, and how it is rated.
fn range(written: &str) -> Option<(Form, f64)> {
    let mut parts = written.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let (mut message, mut delimited, mut rated) = (false, false, 1.0);
    for (parameter, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match parameter.trim().to_ascii_lowercase().as_str() {
            "proto" => message = value == "io.prometheus.client.MetricFamily",
            "encoding" => delimited = value == "delimited",
            "q" => rated = value.parse().unwrap_or(0.0),
            _ => {}
        }
    }
    match name.as_str() {
        "application/vnd.google.protobuf" => (message && delimited).then_some((Form::Protobuf, rated)),
        "application/openmetrics-text" | "text/plain" | "text/*" | "*/*" => Some((Form::Text, rated)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accepted: &str, expected: Form) {
        assert_eq!(Form::of(accepted), expected, "{accepted}");
    }

    #[test]
    fn who_prefers_protobuf_gets_it() {
        // As a Prometheus 2.42 asks with native histograms switched on.
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
             application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Form::Protobuf,
        );
        check(
            "application/vnd.google.protobuf; proto=\"io.prometheus.client.MetricFamily\"; encoding=delimited, */*",
            Form::Protobuf,
        );
    }

    #[test]
    fn everybody_else_reads_text() {
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        check("", Form::Text);
        check("*/*", Form::Text);
        check("text/html,application/xhtml+xml,*/*;q=0.8", Form::Text);
        check(&format!("application/openmetrics-text;version=1.0.0;q=0.6,{protobuf};q=0.5"), Form::Text);
        check(&format!("text/plain,{protobuf}"), Form::Text);
        check(&format!("{protobuf};q=0,text/plain;q=0.1"), Form::Text);
        check("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", Form::Text);
        check("application/vnd.google.protobuf", Form::Text);
    }
}
