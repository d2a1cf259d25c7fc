//! Metrics, as JSON.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, exemplar, number_data_point,
};
use serde_json::Value;

use super::{Members, double, list};

pub(super) fn metric(metric: &Metric) -> Value {
    let members =
        Members::new().text("name", &metric.name).text("description", &metric.description).text("unit", &metric.unit);
    match &metric.data {
        Some(Data::Gauge(gauge)) => members.with("gauge", points(list(&gauge.data_points, number)).value()),
        Some(Data::Sum(sum)) => {
            let told =
                points(list(&sum.data_points, number)).small("aggregationTemporality", sum.aggregation_temporality);
            members.with("sum", told.with("isMonotonic", sum.is_monotonic.into()).value())
        }
        Some(Data::Histogram(told)) => {
            let points = points(list(&told.data_points, ranges));
            members.with("histogram", points.small("aggregationTemporality", told.aggregation_temporality).value())
        }
        Some(Data::ExponentialHistogram(told)) => {
            let points = points(list(&told.data_points, growing));
            let told = points.small("aggregationTemporality", told.aggregation_temporality).value();
            members.with("exponentialHistogram", told)
        }
        // Nothing is counted so here.
        Some(Data::Summary(_)) | None => members,
    }
    .value()
}

fn points(points: Value) -> Members {
    Members::new().with("dataPoints", points)
}

fn number(point: &NumberDataPoint) -> Value {
    let members = Members::new()
        .attributes(&point.attributes)
        .whole("startTimeUnixNano", point.start_time_unix_nano)
        .whole("timeUnixNano", point.time_unix_nano);
    match point.value {
        Some(number_data_point::Value::AsInt(number)) => members.with("asInt", number.to_string().into()),
        Some(number_data_point::Value::AsDouble(number)) => members.with("asDouble", double(number)),
        None => members,
    }
    .with("exemplars", list(&point.exemplars, exemplar))
    .small("flags", point.flags)
    .value()
}

fn ranges(point: &HistogramDataPoint) -> Value {
    Members::new()
        .attributes(&point.attributes)
        .whole("startTimeUnixNano", point.start_time_unix_nano)
        .whole("timeUnixNano", point.time_unix_nano)
        .with("count", point.count.to_string().into())
        .with("sum", point.sum.map(double).into())
        .with("bucketCounts", list(&point.bucket_counts, |count| count.to_string().into()))
        .with("explicitBounds", list(&point.explicit_bounds, |bound| double(*bound)))
        .with("exemplars", list(&point.exemplars, exemplar))
        .small("flags", point.flags)
        .value()
}

fn growing(point: &ExponentialHistogramDataPoint) -> Value {
    let positive = point.positive.as_ref().map(|buckets| {
        let counts = list(&buckets.bucket_counts, |count| count.to_string().into());
        Members::new().small("offset", buckets.offset).with("bucketCounts", counts).value()
    });
    Members::new()
        .attributes(&point.attributes)
        .whole("startTimeUnixNano", point.start_time_unix_nano)
        .whole("timeUnixNano", point.time_unix_nano)
        .with("count", point.count.to_string().into())
        .with("sum", point.sum.map(double).into())
        .small("scale", point.scale)
        .whole("zeroCount", point.zero_count)
        .with("positive", positive.into())
        .with("exemplars", list(&point.exemplars, exemplar))
        .small("flags", point.flags)
        .value()
}

fn exemplar(told: &Exemplar) -> Value {
    let members = Members::new().whole("timeUnixNano", told.time_unix_nano);
    match told.value {
        Some(exemplar::Value::AsInt(number)) => members.with("asInt", number.to_string().into()),
        Some(exemplar::Value::AsDouble(number)) => members.with("asDouble", double(number)),
        None => members,
    }
    .id("spanId", &told.span_id)
    .id("traceId", &told.trace_id)
    .value()
}
