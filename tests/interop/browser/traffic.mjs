// Calls of either era, good and bad, so that every page has something to show.

const MODERN = "2026-07-28";
const LEGACY = "2025-06-18";
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

const JSON_OR_STREAM = { "content-type": "application/json", accept: "application/json, text/event-stream" };

async function post(url, body, headers) {
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ jsonrpc: "2.0", ...body }) });
  return { said: await answer.text(), headers: answer.headers };
}

/** A call of the newer era. */
function modern(gateway, server, trace, name, args) {
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "walker", version: "1" },
    traceparent: `00-${trace}-00f067aa0ba902b7-01`,
  };
  const headers = { ...JSON_OR_STREAM, "mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": name };
  const params = { name, arguments: args, _meta };
  return post(`${gateway}/servers/${server}/mcp`, { id: 1, method: "tools/call", params }, headers);
}

/** A conversation of the older era. */
async function conversation(gateway, names) {
  const url = `${gateway}/servers/notes/mcp`;
  const hello = { protocolVersion: LEGACY, capabilities: {}, clientInfo: { name: "walker", version: "1" } };
  const { headers } = await post(url, { id: 1, method: "initialize", params: hello }, JSON_OR_STREAM);
  const known = { ...JSON_OR_STREAM, "mcp-session-id": headers.get("mcp-session-id"), "mcp-protocol-version": LEGACY };
  await post(url, { method: "notifications/initialized" }, known);
  await post(url, { id: 2, method: "tools/list", params: {} }, known);
  for (const [name, args] of names) {
    await post(url, { id: 3, method: "tools/call", params: { name, arguments: args } }, known);
  }
}

export async function traffic(gateway) {
  for (let round = 0; round < 12; round += 1) {
    const trace = TRACE.slice(0, 30) + String(10 + round);
    await modern(gateway, "almanac", trace, "moon_phase", { date: "2026-01-01" });
    await Promise.all([
      modern(gateway, "almanac", trace, "convert", { value: 1, from: "km", to: "m" }),
      modern(gateway, "almanac", trace, "convert", { value: 1, from: "km", to: "kg" }),
      modern(gateway, "notes", trace, "list_notes", {}),
    ]);
    await modern(gateway, "notes", trace, "made-up-by-a-caller", {});
    if (round % 3 === 0) await modern(gateway, "gone", trace, "anything", {});
    if (round % 6 === 0) await modern(gateway, "almanac", trace, "moon_calendar", { date: "2026-01-01", days: 5 });
  }
  for (let nth = 0; nth < 3; nth += 1) {
    await conversation(gateway, [["add_note", { text: `note ${nth}` }], ["list_notes", {}], ["read_note", { id: 99 }]]);
  }
}
