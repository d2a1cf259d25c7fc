// The part of a scenario that both generations of the TypeScript client have in common: their methods have the same
// names. What comes of it is printed as JSON.

import { readFileSync } from "node:fs";

/** The task: {"mode": "auto" | "legacy", "url": URL or "command": [WORDS], "scenario": PATH}. */
export const task = JSON.parse(readFileSync(process.argv[2], "utf8"));

export const capabilities = { sampling: {}, elicitation: {}, roots: {} };

const asked = [];

/** What the client answers to a server's requests. */
export const answers = {
  "sampling/createMessage": (request) => {
    asked.push({ sampling: request.params });
    return { role: "assistant", content: { type: "text", text: "Paris" }, model: "none", stopReason: "endTurn" };
  },
  "elicitation/create": (request) => {
    asked.push({ elicitation: request.params });
    return { action: "accept", content: { name: "Ada", check: true, integer: 7 } };
  },
  "roots/list": () => ({ roots: [{ uri: "file:///srv/interop", name: "interop" }] }),
};

const lists = {
  tools: (client) => client.listTools(),
  prompts: (client) => client.listPrompts(),
  resources: (client) => client.listResources(),
  templates: (client) => client.listResourceTemplates(),
};

function take(client, step, call) {
  if (step.list) return lists[step.list](client);
  if (step.call) return call({ name: step.call, arguments: step.arguments });
  if (step.read) return client.readResource({ uri: step.read });
  if (step.prompt) return client.getPrompt({ name: step.prompt, arguments: step.arguments });
  if (step.complete) {
    const context = step.context && { context: { arguments: step.context } };
    return client.complete({ ref: step.complete, argument: step.argument, ...context });
  }
  if (step.level) return client.setLoggingLevel(step.level);
  if (step.subscribe) return client.subscribeResource({ uri: step.subscribe });
  if (step.unsubscribe) return client.unsubscribeResource({ uri: step.unsubscribe });
  throw new Error(`no such step: ${JSON.stringify(step)}`);
}

/** Connects, takes every step and prints the transcript; `call` is how this generation calls a tool. */
export async function play(client, transport, version, call) {
  await client.connect(transport);
  // Looked up on the wire, because the client forgets who waits for progress as soon as it has seen the answer, and
  // then sometimes drops the last notification before it.
  let progress = [];
  const receive = transport.onmessage;
  transport.onmessage = (message, extra) => {
    const { progress: done, total, message: text } = message.params ?? {};
    if (message.method === "notifications/progress") progress.push([done, total, text]);
    return receive(message, extra);
  };
  const server = {
    version: version(),
    info: client.getServerVersion(),
    capabilities: client.getServerCapabilities(),
    instructions: client.getInstructions(),
  };
  const steps = [];
  for (const step of JSON.parse(readFileSync(task.scenario, "utf8")).steps) {
    progress = [];
    // Whoever gives a function here asks for progress.
    const options = { onprogress: () => {} };
    let came;
    try {
      came = { result: await take(client, step, (params) => call(params, options)) };
    } catch (error) {
      came = { error: { code: error.code, message: error.message, data: error.data } };
    }
    steps.push({ step, ...came, progress });
  }
  await client.close();
  console.log(JSON.stringify({ server, steps, asked }));
}
