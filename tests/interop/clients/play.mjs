// The part of a scenario that both generations of the TypeScript client have in common: their methods have the same
// names.
//
// A client is given one argument, a file: {"mode": "legacy" | "auto" | "modern", "quiet": whether it can be asked nothing,
// "plays": [PLAY]}, where a play is {"name", "url" or "sse" or "command" and "env", "steps", "roots"}. It prints one line of JSON for each play: {"name",
// "transcript"}, or {"name", "failure"} if it could not connect or had to stop.

import { readFileSync, writeSync } from "node:fs";

/** One play: connecting, every step, leaving. In milliseconds. */
const LIMIT = 30_000;

export const task = JSON.parse(readFileSync(process.argv[2], "utf8"));

// The clients write what they have to say to the console, which is where the transcripts go.
console.debug = console.info = console.log = console.error;

export const capabilities = task.quiet ? {} : { sampling: {}, elicitation: {}, roots: {} };

/** What the client answers to a server's requests in this play. */
function answers(play, asked) {
  if (task.quiet) return {};
  return {
    "sampling/createMessage": (request) => {
      asked.push({ sampling: request.params });
      return { role: "assistant", content: { type: "text", text: "Paris" }, model: "none", stopReason: "endTurn" };
    },
    "elicitation/create": (request) => {
      asked.push({ elicitation: request.params });
      return { action: "accept", content: { name: "Ada", check: true, integer: 7 } };
    },
    "roots/list": () => ({ roots: [{ uri: play.roots, name: "interop" }] }),
  };
}

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

async function run(kind, play) {
  const asked = [];
  const { client, transport, version, call } = kind(play, answers(play, asked));
  try {
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
    for (const step of play.steps) {
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
    return { server, steps, asked };
  } finally {
    await client.close();
  }
}

/** Plays all; `kind` makes a client of this generation, and says how it tells its version and calls a tool. */
export async function playAll(kind) {
  for (const play of task.plays) {
    let line;
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not over after ${LIMIT} ms`)), LIMIT);
    });
    try {
      line = { transcript: await Promise.race([run(kind, play), late]) };
    } catch (error) {
      line = { failure: `${error.name}: ${error.message}` };
    }
    clearTimeout(timer);
    writeSync(1, `${JSON.stringify({ name: play.name, ...line })}\n`);
  }
  // `sdk` 1.x still waits to reconnect a stream of a client that it has closed.
  process.exit(0);
}
