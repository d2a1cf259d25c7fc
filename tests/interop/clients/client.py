"""Plays a scenario with the client of PyPI `mcp` 2.x and prints what came of it as JSON.

    client.py TASK

The task is a file: {"mode": "auto" | "legacy", "url": URL or "command": [WORDS], "scenario": PATH}.
"""

import asyncio
import json
import sys

import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters

asked = []


def plain(value):
    """A result as it would be on the wire."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


async def sample(_context, params):
    asked.append({"sampling": plain(params)})
    text = types.TextContent(type="text", text="Paris")
    return types.CreateMessageResult(role="assistant", content=text, model="none", stop_reason="endTurn")


async def elicit(_context, params):
    asked.append({"elicitation": plain(params)})
    return types.ElicitResult(action="accept", content={"name": "Ada", "check": True, "integer": 7})


async def roots(_context):
    return types.ListRootsResult(roots=[types.Root(uri="file:///srv/interop", name="interop")])


async def take(client, step, progress):
    async def told(done, total, message):
        progress.append([done, total, message])

    match step:
        case {"list": "tools"}:
            return await client.list_tools()
        case {"list": "prompts"}:
            return await client.list_prompts()
        case {"list": "resources"}:
            return await client.list_resources()
        case {"list": "templates"}:
            return await client.list_resource_templates()
        case {"call": name}:
            return await client.call_tool(name, step["arguments"], progress_callback=told)
        case {"read": uri}:
            return await client.read_resource(uri)
        case {"prompt": name}:
            return await client.get_prompt(name, step.get("arguments"))
        case {"complete": {"type": "ref/prompt", "name": name}}:
            return await client.complete(types.PromptReference(name=name), step["argument"], step.get("context"))
        case {"complete": {"uri": uri}}:
            return await client.complete(types.ResourceTemplateReference(uri=uri), step["argument"], step.get("context"))
        case {"level": level}:
            return await client.set_logging_level(level)
        case {"subscribe": uri}:
            return await client.subscribe_resource(uri)
        case {"unsubscribe": uri}:
            return await client.unsubscribe_resource(uri)
    raise ValueError(f"no such step: {step}")


async def play(task, steps):
    server = task.get("url") or StdioServerParameters(command=task["command"][0], args=task["command"][1:])
    taken = []
    async with Client(
        server, mode=task["mode"], sampling_callback=sample, elicitation_callback=elicit, list_roots_callback=roots
    ) as client:
        met = {
            "version": client.protocol_version,
            "info": client.server_info and plain(client.server_info),
            "capabilities": plain(client.server_capabilities),
            "instructions": client.instructions,
        }
        for step in steps:
            progress = []
            try:
                came = {"result": plain(await take(client, step, progress))}
            except MCPError as error:
                came = {"error": plain(error.error)}
            taken.append({"step": step, **came, "progress": progress})
    return {"server": met, "steps": taken, "asked": asked}


def main():
    with open(sys.argv[1]) as file:
        task = json.load(file)
    with open(task["scenario"]) as file:
        steps = json.load(file)["steps"]
    print(json.dumps(asyncio.run(play(task, steps))))


main()
