"""Asks a Prometheus every question of the PromQL cookbook and of the dashboards, after calls whose number it knows.

    ask.py GATEWAY ADMIN PROMETHEUS COOKBOOK BOARDS COLLECTOR NATIVE

The first three are origins: of the gateway before `almanac`, `notes` (the demonstration's servers) and `gone` (nobody is
there), of its admin listener, and of a Prometheus that fetches from it every second. COOKBOOK is the cookbook as JSON, BOARDS a list
of the dashboards' queries with their places, COLLECTOR the port where the gateway expects one, NATIVE the origin of another
Prometheus, which takes native histograms.
Prints what is wrong, and ends with 1 if anything is.

`rate` and `increase` guess what happened before the first and after the last scrape of a range: about a second more than
there was. So what is counted over time may come out a quarter too high; what is a ratio or stands still may not.
"""

import http.server
import json
import math
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

GATEWAY, ADMIN, PROMETHEUS = sys.argv[1:4]

MODERN, LEGACY = "2026-07-28", "2025-06-18"
ROUNDS = 18
SESSIONS = 4
SETTLED = 30

# Of calls within a round.
PHASES, SLOW_DAYS = 3, 12

# Every request of one trace, so that it is known which exemplars there can be.
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes traces, and refuses metrics."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if self.path == "/v1/traces" else 400)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def request(url, body=None, headers=None, method=None):
    asked = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read().decode()


def message(said):
    """The last message of an answer, be it JSON or a stream."""
    lines = [line[5:] for line in said.splitlines() if line.startswith("data:")]
    return json.loads(lines[-1] if lines else said)


def modern(server, method, params, name=None, **more):
    meta = more | {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    }
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": method,
    }
    if name:
        headers["Mcp-Name"] = name
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    return message(request(f"{GATEWAY}/servers/{server}/mcp", json.dumps(body).encode(), headers)[2])


def tool(server, name, **arguments):
    return modern(server, "tools/call", {"name": name, "arguments": arguments}, name)


def calendar(date, days):
    """Slow, and told as a stream."""
    asked = {"name": "moon_calendar", "arguments": {"date": date, "days": days}}
    return modern("almanac", "tools/call", asked, "moon_calendar", progressToken="days")


class Session:
    """A conversation of the older era with `notes`."""

    def __init__(self):
        self.headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        client = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "ask", "version": "1"}}
        _, headers, _ = self.post({"id": 1, "method": "initialize", "params": client})
        self.headers |= {"Mcp-Session-Id": headers["Mcp-Session-Id"], "MCP-Protocol-Version": LEGACY}
        self.post({"method": "notifications/initialized"})

    def post(self, said):
        body = json.dumps({"jsonrpc": "2.0", **said}).encode()
        return request(f"{GATEWAY}/servers/notes/mcp", body, self.headers)

    def list_notes(self):
        self.post({"id": 2, "method": "tools/call", "params": {"name": "list_notes", "arguments": {}}})

    def end(self):
        request(f"{GATEWAY}/servers/notes/mcp", headers=self.headers, method="DELETE")


def one_round():
    for _ in range(PHASES):
        tool("almanac", "moon_phase", date="2026-01-01")
    tool("almanac", "convert", value=1, **{"from": "km", "to": "m"})
    refused = tool("almanac", "convert", value=1, **{"from": "km", "to": "kg"})
    assert refused["result"]["isError"], refused
    calendar("2026-01-01", SLOW_DAYS)
    read = modern("notes", "resources/read", {"uri": "notes://1"}, "notes://1")
    assert "result" in read, read
    modern("notes", "tools/list", {})
    unknown = tool("notes", "made-up-by-a-caller")
    assert unknown["error"]["code"] == -32602, unknown
    assert tool("gone", "anything")["result"]["isError"]
    # No call: it is refused before one is made of it.
    assert request(f"{GATEWAY}/servers/none/mcp", b"{", {"Content-Type": "application/json"})[0] == 404


def one_session():
    session = Session()
    session.list_notes()
    session.list_notes()
    session.end()


# What the rounds and sessions amount to: calls with a tool's name, without one, and opened sessions.
ROUND_SENT = PHASES + 6
CALLS = ROUNDS * (ROUND_SENT + 1) + SESSIONS * 3


def ask(query, path="query", of=PROMETHEUS, **more):
    words = urllib.parse.urlencode({"query": query, **more})
    status, _, said = request(f"{of}/api/v1/{path}?{words}")
    answer = json.loads(said)
    if status != 200 or answer["status"] != "success":
        raise AssertionError(f"{query}: {said}")
    return answer["data"]


def figures(query):
    """Each label set without the metric's name, and its number."""
    return {
        frozenset((k, v) for k, v in found["metric"].items() if k != "__name__"): float(found["value"][1])
        for found in ask(query)["result"]
    }


def exposed():
    return request(f"{ADMIN}/metrics")[2]


def counted(text):
    lines = [line for line in text.splitlines() if line.startswith("mcp_server_operation_duration_seconds_count")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def settle(calls):
    """Waits until all calls are counted, and known to the Prometheus."""
    end = time.monotonic() + SETTLED
    while True:
        here = counted(exposed())
        there = sum(figures("sum(mcp_server_operation_duration_seconds_count)").values())
        ended = sum(figures("sum(mcp_client_operation_duration_seconds_count)").values())
        if here >= calls and there == here and ended:
            return here
        if time.monotonic() > end:
            raise AssertionError(f"{calls} calls were made, {here} are counted, {there} are known to the Prometheus")
        time.sleep(0.1)


# What is expected: by labels, about how much. None of the labels named may be missing; others are allowed.
def near(number, above=0.25, below=0.03):
    return lambda found: number * (1 - below) <= found <= number * (1 + above)


def exactly(number):
    return lambda found: math.isclose(found, number, rel_tol=1e-9, abs_tol=1e-9)


def between(low, high):
    return lambda found: low <= found <= high


def about(number):
    return between(number * 0.9, number * 1.1)


def by_tool(**tools):
    places = {"moon_phase": "almanac", "convert": "almanac", "moon_calendar": "almanac", "list_notes": "notes"}
    return {(("gen_ai_tool_name", tool), ("tollhouse_server_name", places[tool])): check for tool, check in tools.items()}


R, S = ROUNDS, SESSIONS
MINUTES_5 = 300
FAILED = 2 * R  # by tool_error and connection_refused
EXPECTED = {
    "calls-per-second": {(): near(CALLS / MINUTES_5)},
    "calls-by-tool": by_tool(
        moon_phase=near(PHASES * R), convert=near(2 * R), moon_calendar=near(R), list_notes=near(2 * S)
    ),
    "busiest-tools": by_tool(moon_phase=near(PHASES * R / MINUTES_5), convert=near(2 * R / MINUTES_5)),
    "calls-by-method": {
        (("mcp_method_name", "tools/call"),): near((PHASES + 5) * R + 2 * S),
        (("mcp_method_name", "resources/read"),): near(R),
        (("mcp_method_name", "tools/list"),): near(R),
        (("mcp_method_name", "initialize"),): near(S),
    },
    "calls-by-revision": {
        (("mcp_protocol_version", MODERN),): about((CALLS - 3 * S) / CALLS),
        (("mcp_protocol_version", LEGACY),): about(3 * S / CALLS),
    },
    "resource-reads": {(("scheme", "other"), ("tollhouse_server_name", "notes")): near(R)},
    "bytes-per-second": {
        (("direction", "in"),): between(CALLS * 100 / MINUTES_5, CALLS * 1000 / MINUTES_5),
        (("direction", "out"),): between(CALLS * 50 / MINUTES_5, CALLS * 3000 / MINUTES_5),
    },
    "large-answers": {(): between(256, 16384)},
    "calls-under-way": {(): exactly(0)},
    "failing-share": by_tool(convert=about(1 / 2)) | {
        (("gen_ai_tool_name", "_OTHER"), ("tollhouse_server_name", "gone")): exactly(1),
        (("gen_ai_tool_name", "_OTHER"), ("tollhouse_server_name", "notes")): exactly(1),
    },
    "failing-share-served": {(): about(FAILED / CALLS)},
    "errors-by-kind": {
        (("error_type", "tool_error"), ("tollhouse_server_name", "almanac")): near(R),
        (("error_type", "connection_refused"), ("tollhouse_server_name", "gone")): near(R),
        (("error_type", "-32602"), ("tollhouse_server_name", "notes")): near(R),
    },
    "callers-mistakes": {(("rpc_response_status_code", "-32602"),): near(R)},
    "slow-tools": by_tool(moon_calendar=between(0.5, 2), moon_phase=between(0, 0.5)),
    "mean-time": by_tool(moon_calendar=between(0.5, 2), moon_phase=between(0, 0.5)),
    # All of `almanac` but the calendar, on a machine that may be busy.
    "within-half-a-second": {
        (("tollhouse_server_name", "almanac"),): between(0.6, 1 - 0.9 / (PHASES + 3)),
        (("tollhouse_server_name", "notes"),): between(0.8, 1),
    },
    "first-output": {(("gen_ai_tool_name", "moon_phase"),): between(0, 0.5)},
    "where-time-goes": {(("tollhouse_server_name", "almanac"),): between(R * 0.5 / MINUTES_5, R * 3 / MINUTES_5)},
    "gateway-time": {(("mcp_method_name", "tools/call"),): between(5e-6, 1)},
    "gateway-share": {(): between(1e-6, 0.5)},
    "processor": {(): between(1e-5, 2)},
    "memory": {(): between(1 << 20, 1 << 30)},
    "uptime": {(): between(1, 600)},
    "records-lost": {(("outcome", "recorded"),): near(CALLS), (("outcome", "dropped"),): exactly(0)},
    "items-sent": {
        # A span or two of each call, and those of sessions.
        (("signal", "traces"), ("outcome", "accepted")): between(CALLS, 4 * CALLS),
        (("signal", "metrics"), ("outcome", "dropped")): between(10, 10000),
    },
    "spans-waiting": {(): between(0, 0.1)},
    "version": {(): exactly(1)},
    "servers-not-connected": {(("tollhouse_server_name", "gone"),): exactly(1)},
    "tools-offered": {
        (("tollhouse_server_name", "almanac"),): exactly(5),
        (("tollhouse_server_name", "notes"),): exactly(4),
    },
    "sessions-open": {(): exactly(1)},
    "sessions-ended": {(("outcome", "success"),): near(S)},
    "calls-per-session": {(): about(2)},
    "http-answers": {(("http_route", "/servers/{id}/mcp"), ("http_response_status_code", "200")): between(0.1, 10)},
}


def answer(recipe):
    """What is wrong with the answer to one question."""
    expected = EXPECTED[recipe["id"]]
    found = figures(recipe["query"])
    for labels, check in expected.items():
        matching = [number for had, number in found.items() if set(labels) <= had]
        if len(matching) != 1:
            yield f"{recipe['id']}: {len(matching)} answers for {dict(labels)} in {found}"
        elif not check(matching[0]):
            yield f"{recipe['id']}: {matching[0]} for {dict(labels)} does not agree with the calls made"


# What a dashboard's variables stand for.
VARIABLES = {"$job": "tollhouse", "$server": ".*", "$__rate_interval": "1m"}

def board(panel):
    """What is wrong with what a panel of a dashboard shows. Its figures are those of the cookbook; here it has some."""
    query = panel["query"]
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    found = figures(query)
    if not found:
        yield f"{panel['place']}: nothing is shown by {query}"
    # No number is what a tool has that was not called in the range.
    elif all(map(math.isnan, found.values())) or any(number < 0 for number in found.values()):
        yield f"{panel['place']}: {found} is shown by {query}"


def exemplars(text, began):
    """If the gateway tells which traces stand for its figures, they are found again by them."""
    if "# {trace_id=" not in text:
        yield "no exemplars are told"
        return
    series = "mcp_server_operation_duration_seconds_bucket"
    known = ask(series, "query_exemplars", start=began, end=time.time())
    traces = {one["labels"]["trace_id"] for found in known for one in found["exemplars"]}
    if TRACE not in traces:
        yield f"the trace of all calls is no exemplar in {traces}"
        return
    print(f"exemplars of {len(known)} series, {len(traces)} traces")
    known_by = {"Authorization": f"Bearer {os.environ['TOLLHOUSE_ADMIN_TOKEN']}"}
    status, _, said = request(f"{ADMIN}/api/v1/traces/{TRACE}", headers=known_by)
    if status != 200 or "moon_phase" not in said:
        yield f"the gateway does not know the trace of an exemplar: {status}"


DURATION = "mcp_server_operation_duration_seconds"
# Of a range, as a classic histogram has them around an answer.
BOUNDS = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]


def number(query, of):
    """The one number that this Prometheus answers with."""
    found = ask(query, of=of)["result"]
    assert len(found) == 1, f"{query}: {found}"
    return float(found[0]["value"][1])


def native(began):
    """A Prometheus that takes native histograms has the same calls, and says more closely how long they took."""
    of, end = sys.argv[7], time.monotonic() + SETTLED
    counted = lambda: sum(float(one["value"][1]) for one in ask(f"histogram_count({DURATION})", of=of)["result"])
    expected = sum(figures(f"sum({DURATION}_count)").values())
    while (told := counted()) != expected:
        if time.monotonic() > end:
            yield f"{expected} calls are in classic histograms, {told} in native ones"
            return
        time.sleep(0.2)
    if ask(f"{DURATION}_bucket", of=of)["result"]:
        yield "there are classic ranges where native ones were asked for"
    said = []
    for part in (0.5, 0.95):
        # The same moment for both, so that the same scrapes are in the range; one that has just begun may differ.
        classic = number(f"histogram_quantile({part}, sum by (le) (rate({DURATION}_bucket[1m])))", PROMETHEUS)
        close = number(f"histogram_quantile({part}, sum(rate({DURATION}[1m])))", of)
        said.append(f"{part}: {close:.6f} s of native, {classic:.6f} s of classic ranges")
        at = next(at for at, bound in enumerate(BOUNDS) if classic <= bound)
        # Scrapes of the two lie apart by up to a second, so that a quantile may fall into the range beside.
        low, high = BOUNDS[max(at - 2, 0)], BOUNDS[min(at + 1, len(BOUNDS) - 1)]
        if not low < close <= high:
            yield f"the {part} quantile is {close} by native ranges and {classic} by classic ones"
    known = ask(DURATION, "query_exemplars", of=of, start=began, end=time.time())
    if TRACE not in {one["labels"]["trace_id"] for found in known for one in found["exemplars"]}:
        yield f"the trace of all calls is no exemplar of a native histogram: {known}"
    print(f"native histograms: {told:.0f} calls; {'; '.join(said)}; exemplars of {len(known)} series")
    # What rules compute of classic histograms is not told by the gateway.
    scraped = "count by (__name__) ({job='tollhouse', __name__!~'.*:.*|mcp_.*|.*_bucket'})"
    names = lambda of: {one["metric"]["__name__"] for one in ask(scraped, of=of)["result"]}
    here, there = names(PROMETHEUS), names(of)
    # A native histogram is one series, under the name of its family.
    missing = {name for name in here - there if not re.search("_(count|sum)$", name)}
    if missing:
        yield f"{missing} are in text and not in protobuf"


def rules():
    """Every rule was computed, and the one alert that has a reason is on its way."""
    status, _, said = request(f"{PROMETHEUS}/api/v1/rules")
    found = [rule for group in json.loads(said)["data"]["groups"] for rule in group["rules"]]
    for rule in found:
        if rule["health"] != "ok":
            yield f"rule {rule['name']}: {rule['health']} {rule.get('lastError')}"
    raised = {(alert["labels"]["alertname"]) for rule in found for alert in rule.get("alerts", [])}
    for name, why in {"TollhouseServerDown": "the server `gone` is down", "TollhouseExportFailing": "metrics are refused"}.items():
        if name not in raised:
            yield f"alerts are {raised}, but {why}"
    for name in raised & {"TollhouseDown", "TollhouseAbsent", "TollhouseRecordsDropped", "TollhouseStoreFailing"}:
        yield f"{name} is raised without a reason"
    print(f"{len(found)} rules computed; raised: {', '.join(sorted(raised))}")


def main():
    with open(sys.argv[4], encoding="utf-8") as file:
        cookbook = json.load(file)
    missing = {recipe["id"] for recipe in cookbook} ^ set(EXPECTED)
    assert not missing, f"a question without an expected answer, or the other way round: {missing}"

    collector = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[6])), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()

    began = time.time()
    kept = Session()
    tool("notes", "add_note", title="Remember", text="to count")
    # Once each, so that every series is there before it is counted.
    one_round()
    one_session()
    before = settle(ROUND_SENT + 1 + 3 + 2)
    for turn in range(ROUNDS):
        one_round()
        if turn % (ROUNDS // SESSIONS) == 0 and turn // (ROUNDS // SESSIONS) < SESSIONS:
            one_session()
    after = settle(before + CALLS)
    wrong = [f"{after - before} calls were counted, {CALLS} were made"] if after - before != CALLS else []
    for recipe in cookbook:
        wrong += answer(recipe)
    print(f"{len(cookbook)} questions asked after {CALLS} calls")
    with open(sys.argv[5], encoding="utf-8") as file:
        panels = json.load(file)
    for panel in panels:
        wrong += board(panel)
    print(f"{len(panels)} queries of dashboards have an answer")
    wrong += exemplars(exposed(), began)
    wrong += native(began)
    wrong += rules()
    kept.end()
    for line in wrong:
        print(line)
    sys.exit(bool(wrong))


main()
