// Plays scenarios with npm `@modelcontextprotocol/client` 2.x, in either era. See `play.mjs`.

import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { capabilities, playAll, task } from "./play.mjs";

const MODES = { legacy: "legacy", auto: "auto", modern: { pin: "2026-07-28" } };

function reach({ sse, url, command, env }) {
  if (sse) return new SSEClientTransport(new URL(sse));
  if (url) return new StreamableHTTPClientTransport(new URL(url));
  return new StdioClientTransport({ command: command[0], args: command.slice(1), env: { ...process.env, ...env } });
}

await playAll((play, answers) => {
  const client = new Client(
    { name: "interop-v2", version: "1" },
    { capabilities, versionNegotiation: { mode: MODES[task.mode] } },
  );
  for (const [method, answer] of Object.entries(answers)) client.setRequestHandler(method, answer);
  const version = () => client.getNegotiatedProtocolVersion();
  return { client, transport: reach(play), version, call: (params, options) => client.callTool(params, options) };
});
