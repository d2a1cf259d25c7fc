// Plays a scenario with npm `@modelcontextprotocol/client` 2.x, in either era. See `play.mjs`.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { answers, capabilities, play, task } from "./play.mjs";

const client = new Client(
  { name: "interop-v2", version: "1" },
  { capabilities, versionNegotiation: { mode: task.mode } },
);
for (const [method, answer] of Object.entries(answers)) client.setRequestHandler(method, answer);

const http = () => new StreamableHTTPClientTransport(new URL(task.url));
const stdio = () => new StdioClientTransport({ command: task.command[0], args: task.command.slice(1) });

await play(
  client,
  task.url ? http() : stdio(),
  () => client.getNegotiatedProtocolVersion(),
  (params, options) => client.callTool(params, options),
);
