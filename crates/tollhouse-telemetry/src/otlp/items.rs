//! Spans, metrics or log records as they lie in a request, and what stands around them.

use std::time::SystemTime;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// The field that holds the scopes of a resource, and the items of a scope.
const NESTED: u32 = 2;

/// Items of one signal, encoded. An exporter sends them together.
#[derive(Debug, Clone, Default)]
pub struct Items {
    bytes: Vec<u8>,
    count: usize,
    kept: bool,
    /// When the first of the calls they tell of was over.
    ended: Option<SystemTime>,
}

impl Items {
    /// No items. Those of a `kept` class may use the part of the queue that is held for them.
    pub fn new(kept: bool) -> Self {
        Self { kept, ..Self::default() }
    }

    /// Adds a `Span`, a `Metric` or a `LogRecord`; what else is pushed, no collector understands.
    pub fn push(&mut self, item: &impl Message) {
        let len = item.encoded_len();
        self.bytes.reserve(len + 6);
        encode_key(NESTED, WireType::LengthDelimited, &mut self.bytes);
        encode_varint(len as u64, &mut self.bytes);
        item.encode_raw(&mut self.bytes);
        self.count += 1;
    }

    /// Adds one that is encoded already.
    pub(crate) fn push_written(&mut self, item: &[u8]) {
        self.bytes.reserve(item.len() + 6);
        put(NESTED, item.len(), &mut self.bytes);
        self.bytes.extend_from_slice(item);
        self.count += 1;
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes they take.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// They tell of a call that was over at `at`.
    pub(crate) fn ended(&mut self, at: SystemTime) {
        self.ended = Some(self.ended.map_or(at, |first| first.min(at)));
    }

    /// When the first of the calls they tell of was over, if they tell of any.
    pub(crate) fn first_ended(&self) -> Option<SystemTime> {
        self.ended
    }

    /// May they use the part of the queue that is held for what is always kept?
    pub fn kept(&self) -> bool {
        self.kept
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Who tells: the resource of a request, and the scope of its items. Encoded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    resource: Box<[u8]>,
    scope: Box<[u8]>,
}

impl Resource {
    /// The resource of these attributes; the scope is the program itself.
    pub fn new(attributes: Vec<KeyValue>, version: &str) -> Self {
        let resource = v1::Resource { attributes, ..v1::Resource::default() };
        let scope =
            InstrumentationScope { name: "tollhouse".to_owned(), version: version.to_owned(), ..Default::default() };
        let first = |message: &[u8]| {
            let mut field = Vec::with_capacity(message.len() + 6);
            put(1, message.len(), &mut field);
            field.extend_from_slice(message);
            field.into_boxed_slice()
        };
        Self { resource: first(&resource.encode_to_vec()), scope: first(&scope.encode_to_vec()) }
    }

    /// The request that tells of `batch`, behind `room` bytes for what the transport puts in front.
    pub(crate) fn request(&self, batch: &[Items], room: usize) -> Vec<u8> {
        let items: usize = batch.iter().map(Items::size).sum();
        let scope = self.scope.len() + items;
        let scope_field = 1 + encoded_len_varint(scope as u64) + scope;
        let resource = self.resource.len() + scope_field;
        let mut request = Vec::with_capacity(room + resource + 6);
        request.resize(room, 0);
        put(1, resource, &mut request);
        request.extend_from_slice(&self.resource);
        put(NESTED, scope, &mut request);
        request.extend_from_slice(&self.scope);
        for items in batch {
            request.extend_from_slice(items.bytes());
        }
        request
    }
}

fn put(field: u32, len: usize, into: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, into);
    encode_varint(len as u64, into);
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use opentelemetry_proto::tonic::metrics::v1::Metric;
    use opentelemetry_proto::tonic::trace::v1::Span;

    use super::*;

    fn resource() -> Resource {
        let name = KeyValue { key: "service.name".to_owned(), ..KeyValue::default() };
        Resource::new(vec![name], "1.2.3")
    }

    #[test]
    fn a_request_of_each_signal_holds_its_resource_scope_and_items() {
        let (mut spans, mut metrics, mut logs) = (Items::default(), Items::default(), Items::default());
        for name in ["a", "b"] {
            spans.push(&Span { name: name.repeat(200), ..Span::default() });
            metrics.push(&Metric { name: name.to_owned(), ..Metric::default() });
            logs.push(&LogRecord { event_name: name.to_owned(), ..LogRecord::default() });
        }
        let request = resource().request(&[spans.clone(), spans], 5);
        let traces = ExportTraceServiceRequest::decode(&request[5..]).unwrap();
        let [told] = &traces.resource_spans[..] else { panic!("one resource: {traces:?}") };
        assert_eq!(told.resource.as_ref().unwrap().attributes[0].key, "service.name");
        assert_eq!(told.scope_spans[0].scope.as_ref().unwrap().version, "1.2.3");
        let names: Vec<_> = told.scope_spans[0].spans.iter().map(|span| span.name.len()).collect();
        assert_eq!(names, [200; 4]);
        let request = resource().request(&[metrics], 0);
        let told = ExportMetricsServiceRequest::decode(&request[..]).unwrap();
        assert_eq!(told.resource_metrics[0].scope_metrics[0].metrics[1].name, "b");
        let request = resource().request(&[logs], 0);
        let told = ExportLogsServiceRequest::decode(&request[..]).unwrap();
        assert_eq!(told.resource_logs[0].scope_logs[0].log_records[1].event_name, "b");
    }
}
