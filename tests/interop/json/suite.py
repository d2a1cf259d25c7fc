"""Sends every file of JSONTestSuite through the gateway.

    suite.py SDIST URL...

SDIST is an archive with the files in `data/parsing`, some packed with xz; each URL leads to `recorder.py`. What must not
be accepted (`n_`) is sent as a body: it is refused with 400 and -32700, soon. What must be (`y_`) is sent as an
argument: its bytes arrive unchanged. What may be (`i_`) does either. Prints what is wrong, and ends with 1 if anything is.
"""

import base64
import http.client
import json
import lzma
import sys
import tarfile
import time
from urllib.parse import urlsplit

# As published; another archive would be another suite.
COUNTS = {"n": 188, "y": 95, "i": 35}

# A refusal takes no longer. The best of three counts: the machine may be busy with something else.
SOON = 0.050
TRIES = 3

HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "record",
}

BEFORE = (
    b'{"jsonrpc":"2.0","id":"suite","method":"tools/call","params":{"_meta":{'
    b'"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}},'
    b'"name":"record","arguments":{"x":'
)
AFTER = b"}}}"


def files(path):
    with tarfile.open(path) as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            if member.isfile() and folder.endswith("data/parsing") and name[:2] in ("n_", "y_", "i_"):
                held = archive.extractfile(member).read()
                yield name, lzma.decompress(held) if name.endswith(".xz") else held


def post(url, body):
    """Status, body and seconds."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=10)
    connection.connect()
    began = time.perf_counter()
    connection.request("POST", place.path, body, HEADERS)
    answer = connection.getresponse()
    said = answer.read()
    took = time.perf_counter() - began
    connection.close()
    return answer.status, said, took


def refused(url, body):
    """What is wrong with the refusal of a body that is not JSON."""
    times = []
    for _ in range(TRIES):
        status, said, took = post(url, body)
        times.append(took)
        error = json.loads(said).get("error", {}) if status == 400 else {}
        if error.get("code") != -32700:
            return f"{status} {said[:200]!r}"
        if took <= SOON:
            return None
    return f"refused in {min(times) * 1000:.0f} ms"


def carried(url, value, required):
    """What is wrong with the passage of a value as an argument."""
    status, said, _ = post(url, BEFORE + value + AFTER)
    if status == 400 and not required:
        return None
    if status != 200:
        return f"{status} {said[:200]!r}"
    arrived = base64.b64decode(json.loads(said)["result"]["content"][0]["text"])
    return None if b'"arguments":{"x":' + value + b"}" in arrived else f"arrived as {arrived[-200:]!r}"


def main():
    suite = list(files(sys.argv[1]))
    counts = {kind: sum(name.startswith(kind + "_") for name, _ in suite) for kind in COUNTS}
    wrong = [] if counts == COUNTS else [f"the archive holds {counts}, not {COUNTS}"]
    for url in sys.argv[2:]:
        for name, held in suite:
            finding = refused(url, held) if name.startswith("n_") else carried(url, held, name.startswith("y_"))
            if finding:
                wrong.append(f"{name} at {urlsplit(url).path}: {finding}")
    print("\n".join(wrong) or f"{sum(counts.values())} files at {len(sys.argv) - 2} addresses")
    sys.exit(bool(wrong))


main()
