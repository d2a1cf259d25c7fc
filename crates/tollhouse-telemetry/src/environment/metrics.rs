//! The variables of the export of metrics that are about no endpoint.

use std::time::Duration;

use crate::metrics::Examples;
use crate::metrics::export::Settings;
use crate::metrics::otlp::Temporality;

/// What they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// How often everything is told.
    pub interval: Duration,
    /// Since when what is told was counted.
    pub temporality: Temporality,
    /// Are histograms of calls told in ranges that grow by a factor?
    pub exponential: bool,
    /// Whose traces stand as examples; `None` if nothing is said.
    pub examples: Option<Examples>,
    /// What was said and cannot be followed, in sentences without their full stop.
    pub warnings: Vec<String>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(1),
            temporality: Temporality::default(),
            exponential: false,
            examples: None,
            warnings: Vec::new(),
        }
    }
}

impl Metrics {
    /// How often and in which form metrics are told.
    pub fn settings(&self) -> Settings {
        Settings { interval: self.interval, temporality: self.temporality, exponential: self.exponential }
    }

    /// Reads the variables that `lookup` knows; a blank one is unset.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| lookup(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut said = Self::default();
        let name = "OTEL_METRIC_EXPORT_INTERVAL";
        match text(name).map(|text| text.parse::<u64>()) {
            None => {}
            Some(Ok(seconds @ 1..1000)) => {
                said.interval = Duration::from_secs(seconds);
                said.warnings.push(format!(
                    "{name} is in milliseconds; {seconds} is taken for seconds, since nothing collects as often"
                ));
            }
            Some(Ok(millis @ 1000..)) => said.interval = Duration::from_millis(millis),
            Some(Ok(0) | Err(_)) => said.warnings.push(format!("{name} is no number of milliseconds; 60,000 it is")),
        }
        let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        match text(name).map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("cumulative") => {}
            Some("delta") => said.temporality = Temporality::Delta,
            Some("lowmemory") => said.temporality = Temporality::LowMemory,
            Some(_) => said.warnings.push(format!("{name} is not known; it is cumulative")),
        }
        let name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
        match text(name).map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("explicit_bucket_histogram") => {}
            Some("base2_exponential_bucket_histogram") => said.exponential = true,
            Some(_) => said.warnings.push(format!("{name} is not known; ranges are explicit")),
        }
        let name = "OTEL_METRICS_EXEMPLAR_FILTER";
        if let Some(filter) = text(name) {
            said.examples = Examples::parse(&filter.to_ascii_lowercase());
            if said.examples.is_none() {
                said.warnings.push(format!("{name} is not known; every call may be an example"));
            }
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Metrics {
        Metrics::read(&|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(read("", ""), Metrics::default());
        assert_eq!(read("OTEL_METRIC_EXPORT_INTERVAL", " "), Metrics::default());
    }

    #[test]
    fn each_variable_has_its_effect() {
        let interval = |value| read("OTEL_METRIC_EXPORT_INTERVAL", value).interval;
        assert_eq!(interval("5000"), Duration::from_secs(5));
        assert_eq!(interval("60"), Duration::from_mins(1), "somebody means seconds");
        assert_eq!(interval("0"), Duration::from_mins(1));
        let temporality = |value| read("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", value).temporality;
        assert_eq!(temporality("Delta"), Temporality::Delta);
        assert_eq!(temporality("lowmemory"), Temporality::LowMemory);
        assert_eq!(temporality("cumulative"), Temporality::Cumulative);
        let aggregation = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
        assert!(read(aggregation, "base2_exponential_bucket_histogram").exponential);
        assert!(!read(aggregation, "explicit_bucket_histogram").exponential);
        assert_eq!(read("OTEL_METRICS_EXEMPLAR_FILTER", "always_off").examples, Some(Examples::Off));
    }

    #[test]
    fn what_is_not_understood_is_warned_of_by_its_name_only() {
        for name in [
            "OTEL_METRIC_EXPORT_INTERVAL",
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "OTEL_METRICS_EXEMPLAR_FILTER",
        ] {
            let said = read(name, "s3cret");
            assert!(said.warnings.len() == 1 && said.warnings[0].starts_with(name), "{:?}", said.warnings);
            assert!(!said.warnings[0].contains("s3cret"));
        }
    }
}
