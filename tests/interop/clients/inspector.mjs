// Plays scenarios with the command line of npm `@modelcontextprotocol/inspector`, which connects anew for each step. See
// `play.mjs`; of the steps it takes those that its command line has a method for.

import { spawn } from "node:child_process";
import { readFileSync, writeSync } from "node:fs";
import { fileURLToPath } from "node:url";

const task = JSON.parse(readFileSync(process.argv[2], "utf8"));
const program = fileURLToPath(import.meta.resolve("@modelcontextprotocol/inspector/clients/launcher/build/index.js"));

/** How many run at once: most of their time they wait for a process to start or to end. */
const AT_ONCE = 5;

const LISTS = {
  tools: "tools/list",
  prompts: "prompts/list",
  resources: "resources/list",
  templates: "resources/templates/list",
};

function words(step) {
  if (step.list) return ["--method", LISTS[step.list]];
  if (step.call) {
    const given = ["--tool-args-json", JSON.stringify(step.arguments)];
    return ["--method", "tools/call", "--tool-name", step.call, ...given];
  }
  if (step.read) return ["--method", "resources/read", "--uri", step.read];
  if (step.prompt) {
    const given = Object.entries(step.arguments ?? {}).map(([name, value]) => `${name}=${value}`);
    return ["--method", "prompts/get", "--prompt-name", step.prompt, ...(given.length ? ["--prompt-args", ...given] : [])];
  }
  return undefined;
}

function place({ sse, url, command, env }) {
  if (sse) return ["--transport", "sse", "--server-url", sse];
  if (url) return ["--transport", "http", "--server-url", url];
  return [...Object.entries(env ?? {}).flatMap(([name, value]) => ["-e", `${name}=${value}`]), "--", ...command];
}

/** One call of the program: its status, and what it wrote on both streams, as JSON where it is JSON. */
function call(play, step) {
  const all = ["--format", "json", "--quiet", "--protocol-era", task.mode, ...words(step), ...place(play)];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, "--cli", ...all], { stdio: ["ignore", "pipe", "pipe"] });
    let [out, err] = ["", ""];
    child.stdout.on("data", (text) => (out += text));
    child.stderr.on("data", (text) => (err += text));
    child.on("error", reject);
    child.on("close", (status) => resolve({ step, status, ...result(out), ...complaint(err), progress: [] }));
  });
}

function result(out) {
  try {
    return JSON.parse(out);
  } catch {
    return out.trim() ? { said: out.trim() } : {};
  }
}

function complaint(err) {
  const last = err.trim().split("\n").at(-1);
  try {
    return { error: JSON.parse(last).error };
  } catch {
    return last ? { complaint: last } : {};
  }
}

for (const play of task.plays) {
  const wanted = play.steps.filter(words);
  const steps = new Array(wanted.length);
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < wanted.length; at = next++) steps[at] = await call(play, wanted[at]);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const failed = steps.every((step) => step.result === undefined);
  const line = failed
    ? { failure: `no step gives a result: ${JSON.stringify(steps[0])}` }
    : { transcript: { server: null, steps, asked: [] } };
  writeSync(1, `${JSON.stringify({ name: play.name, ...line })}\n`);
}
