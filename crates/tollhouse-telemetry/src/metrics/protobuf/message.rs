//! The messages of Prometheus' protobuf form, by the fields of `io/prometheus/client/metrics.proto` that are written here.
//!
//! Its names are those of the published file; summaries, floating histograms and negative ranges are left out, since
//! nothing here is counted so.

/// A metric with all its series.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricFamily {
    /// That of its series.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// What it counts.
    #[prost(string, optional, tag = "2")]
    pub help: Option<String>,
    /// What kind it is.
    #[prost(enumeration = "MetricType", optional, tag = "3")]
    pub r#type: Option<i32>,
    /// Its series.
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
    /// The unit, as it stands in the name.
    #[prost(string, optional, tag = "5")]
    pub unit: Option<String>,
}

/// What kind a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MetricType {
    /// Only rises.
    Counter = 0,
    /// Rises and falls.
    Gauge = 1,
    /// Nobody says.
    Untyped = 3,
    /// Counts by range.
    Histogram = 4,
}

/// One series: its labels, and the one member that its kind fills.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metric {
    /// By what it is told apart.
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    /// That of a gauge.
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Number>,
    /// That of a counter.
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Number>,
    /// That of what has no kind.
    #[prost(message, optional, tag = "5")]
    pub untyped: Option<Number>,
    /// That of a histogram.
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<Histogram>,
}

/// A label.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LabelPair {
    /// Its name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Its value.
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// `Gauge`, `Counter` and `Untyped`, which begin alike.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Number {
    /// The number.
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
}

/// Values by range: classic in `bucket`, native in what follows it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// How many values there were.
    #[prost(uint64, optional, tag = "1")]
    pub sample_count: Option<u64>,
    /// Of all values.
    #[prost(double, optional, tag = "2")]
    pub sample_sum: Option<f64>,
    /// The classic ranges, by rising bounds.
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
    /// How fine the native ranges are: -4 to 8.
    #[prost(sint32, optional, tag = "5")]
    pub schema: Option<i32>,
    /// Up to where a value is taken for zero.
    #[prost(double, optional, tag = "6")]
    pub zero_threshold: Option<f64>,
    /// How many are.
    #[prost(uint64, optional, tag = "7")]
    pub zero_count: Option<u64>,
    /// Which ranges the numbers that follow belong to.
    #[prost(message, repeated, tag = "12")]
    pub positive_span: Vec<BucketSpan>,
    /// By range, how many more than in the one before.
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    pub positive_delta: Vec<i64>,
    /// Traces of values, where no classic range has them.
    #[prost(message, repeated, tag = "16")]
    pub exemplars: Vec<Exemplar>,
}

/// A classic range.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Bucket {
    /// Values up to its bound.
    #[prost(uint64, optional, tag = "1")]
    pub cumulative_count: Option<u64>,
    /// Its bound.
    #[prost(double, optional, tag = "2")]
    pub upper_bound: Option<f64>,
    /// The trace of a value that lies in it.
    #[prost(message, optional, tag = "3")]
    pub exemplar: Option<Exemplar>,
}

/// Native ranges in a row.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BucketSpan {
    /// The index of the first range of all; later, how many are left out before.
    #[prost(sint32, optional, tag = "1")]
    pub offset: Option<i32>,
    /// How many there are.
    #[prost(uint32, optional, tag = "2")]
    pub length: Option<u32>,
}

/// The trace of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// Its ids.
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    /// The value.
    #[prost(double, optional, tag = "2")]
    pub value: Option<f64>,
    /// When.
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Timestamp {
    /// Since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Beyond them.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}
