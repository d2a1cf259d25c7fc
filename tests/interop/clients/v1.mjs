// Plays scenarios with npm `@modelcontextprotocol/sdk` 1.x, which knows the legacy era alone. See `play.mjs`.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";
import { capabilities, playAll } from "./play.mjs";

function reach({ sse, url, command, env }) {
  if (sse) return new SSEClientTransport(new URL(sse));
  if (url) return new StreamableHTTPClientTransport(new URL(url));
  return new StdioClientTransport({ command: command[0], args: command.slice(1), env: { ...process.env, ...env } });
}

await playAll((play, answers) => {
  const client = new Client({ name: "interop-v1", version: "1" }, { capabilities });
  client.setRequestHandler(types.CreateMessageRequestSchema, answers["sampling/createMessage"]);
  client.setRequestHandler(types.ElicitRequestSchema, answers["elicitation/create"]);
  client.setRequestHandler(types.ListRootsRequestSchema, answers["roots/list"]);
  let version;
  const transport = reach(play);
  // The client tells the version to its transport and to nobody else.
  const tell = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = (chosen) => {
    version = chosen;
    tell?.(chosen);
  };
  const call = (params, options) => client.callTool(params, undefined, options);
  return { client, transport, version: () => version, call };
});
