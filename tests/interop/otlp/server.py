"""A server of PyPI `mcp` 2.x, which makes spans of the calls it gets.

    server.py NAME [PORT]

Over standard input and output, or streamable HTTP at PORT.
"""

import sys

from exporting import export
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

name = sys.argv[1]
server = MCPServer(name)


@server.tool()
def add(a: int, b: int, note: str = "") -> int:
    """Adds."""
    return a + b


@server.tool()
def break_down(why: str) -> str:
    """Fails."""
    raise ToolError("broke down")


export(name)
if len(sys.argv) > 2:
    server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
else:
    server.run()
