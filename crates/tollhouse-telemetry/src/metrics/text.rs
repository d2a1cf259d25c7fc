//! Metrics as OpenMetrics 1.0 text, as a Prometheus fetches it.

use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use tollhouse_core::histogram::{Counted, Example};
use tollhouse_core::trace::Hex;

use super::snapshot::{Family, Head, Series, Snapshot, Value};

/// The media type of [`open_metrics`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The whole text, with the mark of its end.
pub fn open_metrics(snapshot: &Snapshot) -> String {
    let mut text = String::with_capacity(16 << 10);
    write_all(&mut text, snapshot).expect("writing to memory does not fail");
    text
}

fn write_all(text: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    for family in &snapshot.families {
        write_family(text, family)?;
    }
    text.push_str("# EOF\n");
    Ok(())
}

fn write_family(text: &mut String, family: &Family) -> std::fmt::Result {
    let Head { family: name, series, exposed_kind, exposed_unit, help, .. } = &family.head;
    writeln!(text, "# TYPE {name} {exposed_kind}")?;
    if let Some(unit) = exposed_unit {
        writeln!(text, "# UNIT {name} {unit}")?;
    }
    writeln!(text, "# HELP {name} {}", escaped(help))?;
    for Series { labels, value } in &family.series {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, word)| format!("{}=\"{}\"", name.replace('.', "_"), escaped(word.as_str())))
            .collect();
        let labels = labels.join(",");
        match value {
            Value::Number(number) if labels.is_empty() => writeln!(text, "{series} {number}")?,
            Value::Number(number) => writeln!(text, "{series}{{{labels}}} {number}")?,
            Value::Ranges(counted) => write_ranges(text, series, &labels, counted)?,
        }
    }
    Ok(())
}

fn write_ranges(text: &mut String, name: &str, labels: &str, counted: &Counted) -> std::fmt::Result {
    let (comma, braced) = if labels.is_empty() { ("", String::new()) } else { (",", format!("{{{labels}}}")) };
    let mut below = 0;
    for (range, count) in counted.counts.iter().enumerate() {
        below += count;
        match counted.bounds.get(range) {
            // With a decimal point, as OpenMetrics writes the bounds of all programs alike.
            Some(bound) => write!(text, "{name}_bucket{{{labels}{comma}le=\"{bound:?}\"}} {below}")?,
            None => write!(text, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {below}")?,
        }
        if let Some(Some(Example { value, trace_id, span_id, at })) = counted.examples.get(range) {
            let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            write!(
                text,
                " # {{trace_id=\"{}\",span_id=\"{}\"}} {value} {}.{:03}",
                Hex(trace_id),
                Hex(span_id),
                at.as_secs(),
                at.subsec_millis()
            )?;
        }
        text.push('\n');
    }
    writeln!(text, "{name}_sum{braced} {}", counted.sum)?;
    writeln!(text, "{name}_count{braced} {below}")
}

/// As a label's value and a description are written.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
