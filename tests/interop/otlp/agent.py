"""An agent with OpenTelemetry calls tools through the gateway; a collector that everyone sends to tells us what it got.

    agent.py GATEWAY SINK PROTOCOL

GATEWAY is the origin of a gateway before `one` and `two` (`server.py`, over standard input and output and over HTTP). SINK
is the port at which the collector hands on what it gets, as protobuf over HTTP; PROTOCOL is what the gateway speaks to it.
Prints what is wrong, and ends with 1 if anything is.
"""

import asyncio
import gzip
import http.server
import sys
import threading
import time
from collections import Counter

from exporting import export
from mcp import Client
from opentelemetry import trace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

GATEWAY, SINK, JSON = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "http/json"
MODES = ("legacy", "2026-07-28")
SERVERS = ("one", "two")
# In an argument; nobody has asked for contents, so it is to be seen nowhere.
SECRET = "canary-4f1e9c77"
SETTLED = 25

SERVER, CLIENT, ERROR = 2, 3, 2


class Sink(http.server.BaseHTTPRequestHandler):
    """What the collector has handed on."""

    protocol_version = "HTTP/1.1"
    raw, spans, metrics, logs = [], [], {}, []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        {"/v1/traces": self.traces, "/v1/metrics": self.measured, "/v1/logs": self.lines}[self.path](body)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def traces(self, body):
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = attributes(group.resource)
            for scope in group.scope_spans:
                Sink.spans += [Span(resource, span) for span in scope.spans]
                if resource["service.name"] == "tollhouse":
                    Sink.raw.append(body)

    def measured(self, body):
        for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            assert attributes(group.resource)["service.name"] == "tollhouse"
            Sink.raw.append(body)
            for scope in group.scope_metrics:
                # Sums since the start: the newest says it all.
                Sink.metrics |= {metric.name: metric for metric in scope.metrics}

    def lines(self, body):
        for group in ExportLogsServiceRequest.FromString(body).resource_logs:
            assert attributes(group.resource)["service.name"] == "tollhouse"
            Sink.raw.append(body)
            for scope in group.scope_logs:
                Sink.logs += scope.log_records

    def log_message(self, *_):
        pass


class Span:
    """A span, and whose it is."""

    def __init__(self, resource, span):
        self.service = resource["service.name"]
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.name, self.kind, self.status = span.name, span.kind, span.status.code
        self.attributes = attributes(span)

    def __repr__(self):
        return f"{self.service}: {self.name} ({self.id} below {self.parent or 'nothing'})"


def attributes(of):
    found = {}
    for pair in of.attributes:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = kind and getattr(pair.value, kind)
    return found


async def calls(mode):
    """The calls of one conversation with each server, all of one trace, whose id is the answer."""
    with trace.get_tracer("agent").start_as_current_span(f"work {mode}") as span:
        for server in SERVERS:
            async with Client(f"{GATEWAY}/servers/{server}/mcp", mode=mode) as client:
                added = await client.call_tool("add", {"a": 2, "b": 3, "note": SECRET})
                assert added.structured_content == {"result": 5}, added
                broken = await client.call_tool("break_down", {"why": SECRET})
                assert broken.is_error, broken
        return format(span.get_span_context().trace_id, "032x")


def wait(what, ready):
    end = time.monotonic() + SETTLED
    while not ready():
        if time.monotonic() > end:
            return [f"{what} did not come within {SETTLED} s"]
        time.sleep(0.1)
    return []


# From the agent's call to the server's work: who, and what kind of span.
PATH = [("agent", CLIENT), ("tollhouse", SERVER), ("tollhouse", CLIENT), (None, SERVER)]


def tree(mode, trace_id):
    """What is wrong with the trace of one conversation with each server."""
    spans = [span for span in Sink.spans if span.trace == trace_id]
    known = {span.id: span for span in spans}
    if len(known) != len(spans):
        yield f"{mode}: spans came twice"
    roots = [span for span in spans if span.parent not in known]
    if [(root.service, root.parent) for root in roots] != [("agent", "")]:
        yield f"{mode}: the trace has the roots {roots}"
    for server in SERVERS:
        for tool in ("add", "break_down"):
            ends = [span for span in spans if span.service == server and span.attributes.get("gen_ai.tool.name") == tool]
            if len(ends) != 1:
                yield f"{mode}: {server} has {len(ends)} spans of {tool}"
                continue
            path, span = [], ends[0]
            while span:
                path.append(span)
                span = known.get(span.parent)
            # Below the agent's own span.
            path = path[-2::-1]
            found = [(span.service, span.kind) for span in path]
            if found != PATH[:-1] + [(server, SERVER)]:
                yield f"{mode}: the way to {tool} at {server} is {path}"
                continue
            yield from gateway(mode, tool, path[1:3])


def gateway(mode, tool, spans):
    for span in spans:
        failed = tool == "break_down"
        expected = {
            "mcp.method.name": "tools/call",
            "gen_ai.tool.name": tool,
            "gen_ai.operation.name": "execute_tool",
        } | ({"error.type": "tool_error"} if failed else {})
        for key, value in expected.items():
            if span.attributes.get(key) != value:
                yield f"{mode}: {span} has {key} = {span.attributes.get(key)}, not {value}"
        if not failed and "error.type" in span.attributes:
            yield f"{mode}: {span} went well, and has an error"
        if (span.status == ERROR) != failed or span.name != f"tools/call {tool}":
            yield f"{mode}: {span} has the status {span.status}"


def counted(name, method):
    metric = Sink.metrics.get(name)
    if not metric:
        return 0
    points = [point for point in metric.histogram.data_points if attributes(point).get("mcp.method.name") == method]
    return sum(point.count for point in points)


def measured(calls):
    # This collector is made of a crate that reads no counts from strings, as OTLP's JSON has them: of a histogram it hands
    # on the name alone. What is in it is looked at by the tests of the gateway.
    for name in () if JSON else ("mcp.server.operation.duration", "mcp.client.operation.duration"):
        yield from wait(f"{calls} calls in {name}", lambda: counted(name, "tools/call") >= calls)
        if counted(name, "tools/call") != calls:
            yield f"{name} counts {counted(name, 'tools/call')} calls instead of {calls}"
    told = ("tollhouse.server.state", "process.memory.usage", "tollhouse.records", "mcp.server.operation.duration")
    if JSON:
        yield from wait(f"all of {told}", lambda: all(name in Sink.metrics for name in told))
    for name in told:
        if name not in Sink.metrics:
            yield f"{name} is not told in {sorted(Sink.metrics)}"


def logged(traces):
    lines = [line for line in Sink.logs if line.trace_id.hex() in traces]
    if not lines:
        yield f"none of {len(Sink.logs)} log records names a trace of the agent"
    spans = {span.id for span in Sink.spans if span.service == "tollhouse"}
    for line in lines:
        if line.span_id.hex() not in spans:
            yield f"a log record names the span {line.span_id.hex()}, which did not come"


def main():
    sink = http.server.ThreadingHTTPServer(("127.0.0.1", SINK), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    export("agent")
    traces = {mode: asyncio.run(calls(mode)) for mode in MODES}
    made = len(MODES) * len(SERVERS) * 2

    def whole():
        ends = Counter(span.trace for span in Sink.spans if span.attributes.get("gen_ai.tool.name"))
        # Of each call: two of the gateway, one of the server.
        return all(ends[id] >= 3 * made / len(MODES) for id in traces.values())

    wrong = wait("all spans of the calls", whole)
    for mode, id in traces.items():
        wrong += tree(mode, id)
    print(f"{len(Sink.spans)} spans, {made} calls in {len(traces)} traces")
    wrong += measured(made)
    print(f"{len(Sink.metrics)} metrics")
    wrong += wait("log records", lambda: not list(logged(set(traces.values()))))
    wrong += logged(set(traces.values()))
    print(f"{len(Sink.logs)} log records")
    if any(SECRET.encode() in body for body in Sink.raw):
        wrong.append("an argument was sent, which nobody asked for")
    for line in wrong:
        print(line)
    sys.exit(bool(wrong))


main()
