// Plays a scenario with npm `@modelcontextprotocol/sdk` 1.x, which knows the legacy era alone. See `play.mjs`.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";
import { answers, capabilities, play, task } from "./play.mjs";

const client = new Client({ name: "interop-v1", version: "1" }, { capabilities });
client.setRequestHandler(types.CreateMessageRequestSchema, answers["sampling/createMessage"]);
client.setRequestHandler(types.ElicitRequestSchema, answers["elicitation/create"]);
client.setRequestHandler(types.ListRootsRequestSchema, answers["roots/list"]);

let version;
const http = () => new StreamableHTTPClientTransport(new URL(task.url));
const stdio = () => new StdioClientTransport({ command: task.command[0], args: task.command.slice(1) });
const transport = task.url ? http() : stdio();
// The client tells the version to its transport and to nobody else.
const tell = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (chosen) => {
  version = chosen;
  tell?.(chosen);
};

await play(client, transport, () => version, (params, options) => client.callTool(params, undefined, options));
