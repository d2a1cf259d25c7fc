"""Plays scenarios with the client of PyPI `mcp` 2.x, in either era. See `play.py`."""

from contextlib import asynccontextmanager

import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.sse import sse_client

from play import ELICITED, SAMPLED, environment, main, plain

MODES = {"legacy": "legacy", "auto": "auto", "modern": "2026-07-28"}


class Renamed:
    """The client, and where its methods take something else than the other clients' do."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        return getattr(self.client, name)

    async def call_tool(self, name, arguments, told):
        return await self.client.call_tool(name, arguments, progress_callback=told)


@asynccontextmanager
async def connect(play, task, asked):
    async def sample(_context, params):
        asked.append({"sampling": plain(params)})
        return types.CreateMessageResult.model_validate(SAMPLED)

    async def elicit(_context, params):
        asked.append({"elicitation": plain(params)})
        return types.ElicitResult(action="accept", content=ELICITED)

    async def roots(_context):
        return types.ListRootsResult(roots=[types.Root(uri=play["roots"], name="interop")])

    if "sse" in play:
        server = sse_client(play["sse"])
    elif "url" in play:
        server = play["url"]
    else:
        program, *args = play["command"]
        server = StdioServerParameters(command=program, args=args, env=environment(play))
    answers = {"sampling_callback": sample, "elicitation_callback": elicit, "list_roots_callback": roots}
    async with Client(server, mode=MODES[task["mode"]], **({} if task["quiet"] else answers)) as client:
        yield Renamed(client), {
            "version": client.protocol_version,
            "info": client.server_info and plain(client.server_info),
            "capabilities": plain(client.server_capabilities),
            "instructions": client.instructions,
        }


main(connect, types, MCPError)
