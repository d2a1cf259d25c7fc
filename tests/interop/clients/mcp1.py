"""Plays scenarios with the client of PyPI `mcp` 1.x, which knows the legacy era alone. See `play.py`."""

from contextlib import asynccontextmanager

import mcp.types as types
from mcp import ClientSession, McpError, StdioServerParameters, stdio_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from play import ELICITED, SAMPLED, environment, main, plain


class Renamed:
    """The session, and where its methods take something else than the other clients' do."""

    def __init__(self, session):
        self.session = session

    def __getattr__(self, name):
        return getattr(self.session, name)

    async def call_tool(self, name, arguments, told):
        return await self.session.call_tool(name, arguments, progress_callback=told)


def transport(play):
    if "sse" in play:
        return sse_client(play["sse"])
    if "url" in play:
        return streamable_http_client(play["url"])
    program, *args = play["command"]
    return stdio_client(StdioServerParameters(command=program, args=args, env=environment(play)))


@asynccontextmanager
async def connect(play, _task, asked):
    async def sample(_context, params):
        asked.append({"sampling": plain(params)})
        return types.CreateMessageResult.model_validate(SAMPLED)

    async def elicit(_context, params):
        asked.append({"elicitation": plain(params)})
        return types.ElicitResult(action="accept", content=ELICITED)

    async def roots(_context):
        return types.ListRootsResult(roots=[types.Root(uri=play["roots"], name="interop")])

    async with transport(play) as (read, write, *_):
        async with ClientSession(
            read, write, sampling_callback=sample, elicitation_callback=elicit, list_roots_callback=roots
        ) as session:
            met = await session.initialize()
            yield Renamed(session), {
                "version": met.protocolVersion,
                "info": plain(met.serverInfo),
                "capabilities": plain(met.capabilities),
                "instructions": met.instructions,
            }


main(connect, types, McpError)
