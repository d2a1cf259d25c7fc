"""A server of PyPI `fastmcp`: 4.x in both eras, 2.x in the legacy one.

    fast.py stdio | http | sse

Over HTTP it takes a free port and prints its URL.
"""

import socket
import sys

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError

try:
    from mcp_types import Icon, ToolAnnotations
except ImportError:
    from mcp.types import Icon, ToolAnnotations

server = FastMCP("interop-fast", version="1", instructions="Ask for the weather. — Grüezi")


@server.tool(annotations=ToolAnnotations(readOnlyHint=True), tags={"weather"})
def forecast(city: str, days: int = 3) -> dict[str, float | str | list[int]]:
    """The weather of some days.

    Without days, of three.
    """
    return {"city": city, "mean": 12.5, "highs": [14 + day for day in range(days)]}


@server.tool(icons=[Icon(src="data:image/svg+xml;base64,PHN2Zy8+", mimeType="image/svg+xml")])
async def count(to: int, context: Context) -> int:
    """Counts, and tells how far it is."""
    for done in range(1, to + 1):
        await context.report_progress(done, to, f"at {done}")
    return to


@server.tool
def break_down(why: str) -> str:
    """Fails."""
    raise ToolError(f"broke down: {why}")


@server.resource("weather://stations", mime_type="application/json")
def stations() -> str:
    """All stations."""
    return '{"stations": ["Säntis", 1.0, 1e3]}'


@server.resource("weather://{station}/now")
def now(station: str) -> str:
    """What a station measures."""
    return f"{station}: 3 °C"


@server.prompt
def report(station: str, style: str = "short") -> str:
    """Asks for a report."""
    return f"Write a {style} report about {station}."


def main():
    if sys.argv[1] == "stdio":
        server.run(transport="stdio", show_banner=False)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = "/mcp" if sys.argv[1] == "http" else "/sse"
    print(f"http://127.0.0.1:{port}{path}", flush=True)
    server.run(transport=sys.argv[1], show_banner=False, host="127.0.0.1", port=port, path=path)


main()
