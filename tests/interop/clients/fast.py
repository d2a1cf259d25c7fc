"""Plays scenarios with the client of PyPI `fastmcp`: 4.x in either era, 2.x in the legacy one. See `play.py`."""

from contextlib import asynccontextmanager

from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport

try:
    import mcp_types as types
    from mcp import MCPError as Refused
except ImportError:
    import mcp.types as types
    from mcp import McpError as Refused

from play import ELICITED, SAMPLED, environment, main, plain

MODES = {"legacy": "legacy", "auto": "auto", "modern": "2026-07-28"}


class Renamed:
    """The client's methods that answer with what was on the wire."""

    def __init__(self, client):
        self.client = client
        # The client has no such methods, its session has.
        self.subscribe_resource = client.session.subscribe_resource
        self.unsubscribe_resource = client.session.unsubscribe_resource
        self.set_logging_level = client.set_logging_level

    def __getattr__(self, name):
        return getattr(self.client, f"{name}_mcp")

    async def call_tool(self, name, arguments, told):
        return await self.client.call_tool_mcp(name, arguments, progress_handler=told)


def transport(play):
    if "sse" in play:
        return SSETransport(play["sse"])
    if "url" in play:
        return StreamableHttpTransport(play["url"])
    program, *args = play["command"]
    return StdioTransport(program, args, env=environment(play), keep_alive=False)


@asynccontextmanager
async def connect(play, task, asked):
    async def sample(_messages, params, _context):
        asked.append({"sampling": plain(params)})
        return types.CreateMessageResult.model_validate(SAMPLED)

    async def elicit(_message, _type, params, _context):
        asked.append({"elicitation": plain(params)})
        return ElicitResult(action="accept", content=ELICITED)

    # 2.x knows no modes.
    chosen = {} if types.__name__ == "mcp.types" else {"mode": MODES[task["mode"]]}
    async with Client(
        transport(play), roots=[play["roots"]], sampling_handler=sample, elicitation_handler=elicit, **chosen
    ) as client:
        met = client.initialize_result
        version = getattr(met, "protocolVersion", None) or getattr(met, "protocol_version", None)
        info = getattr(met, "serverInfo", None) or getattr(met, "server_info", None)
        yield Renamed(client), {
            "version": version,
            "info": info and plain(info),
            "capabilities": met and plain(met.capabilities),
            "instructions": met and met.instructions,
        }


main(connect, types, Refused)
