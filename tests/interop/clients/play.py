"""The part of a scenario that the Python clients have in common. See `mcp1.py`, `mcp2.py`, `fast.py`.

A client is given one argument, a file: {"mode": "legacy" | "auto" | "modern", "quiet": whether it can be asked nothing,
"plays": [PLAY]}, where a play is {"name", "url" or "sse" or "command" and "env", "steps", "roots"}. It prints one line of JSON for each play: {"name",
"transcript"}, or {"name", "failure"} if it could not connect or had to stop.
"""

import asyncio
import json
import os
import sys

# One play: connecting, every step, leaving.
LIMIT = 30


def plain(value):
    """A result as it would be on the wire."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


def environment(play):
    """What a server is started with."""
    return {**os.environ, **play.get("env", {})}


SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "none", "stopReason": "endTurn"}
ELICITED = {"name": "Ada", "check": True, "integer": 7}


async def take(client, types, step, told):
    """Takes one step. The methods have the same names in every client but for those that `client` renames."""
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
            return await client.call_tool(name, step["arguments"], told)
        case {"read": uri}:
            return await client.read_resource(uri)
        case {"prompt": name}:
            return await client.get_prompt(name, step.get("arguments"))
        case {"complete": {"type": "ref/prompt", "name": name}}:
            ref = types.PromptReference(type="ref/prompt", name=name)
            return await client.complete(ref, step["argument"], step.get("context"))
        case {"complete": {"uri": uri}}:
            ref = types.ResourceTemplateReference(type="ref/resource", uri=uri)
            return await client.complete(ref, step["argument"], step.get("context"))
        case {"level": level}:
            return await client.set_logging_level(level)
        case {"subscribe": uri}:
            return await client.subscribe_resource(uri)
        case {"unsubscribe": uri}:
            return await client.unsubscribe_resource(uri)
    raise ValueError(f"no such step: {step}")


async def play(connect, types, refused, task, one):
    asked, taken = [], []
    async with connect(one, task, asked) as (client, met):
        for step in one["steps"]:
            progress = []

            async def told(done, total, message):
                progress.append([done, total, message])

            try:
                result = await take(client, types, step, told)
                came = {"result": None if result is None else plain(result)}
            except refused as error:
                came = {"error": plain(error.error)}
            except (NotImplementedError, RuntimeError, ValueError) as error:
                # Of its own making: what a client refuses to send, or to believe.
                came = {"raised": f"{type(error).__name__}: {error}"}
            taken.append({"step": step, **came, "progress": progress})
    return {"server": met, "steps": taken, "asked": asked}


def first(error):
    """The error at the bottom of groups of one."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def main(connect, types, refused):
    with open(sys.argv[1]) as file:
        task = json.load(file)

    async def all_plays():
        for one in task["plays"]:
            try:
                async with asyncio.timeout(LIMIT):
                    line = {"transcript": await play(connect, types, refused, task, one)}
            except Exception as error:
                line = {"failure": first(error)}
            print(json.dumps({"name": one["name"], **line}), flush=True)

    asyncio.run(all_plays())
