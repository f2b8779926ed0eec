// Upstream's agent on Node: the counterpart of agent_harness.py and of one subject in one file.
// Its argument is the job as JSON; it prints one line of JSON.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Agent } from "@earendil-works/pi-agent-core";
import { AssistantMessageEventStream, createModels, createProvider, Type } from "@earendil-works/pi-ai";

const WARM_UPS = 2;
const REPEAT_CPU_SECONDS = 0.3;
const REPEAT_PROMPTS = 20;

const job = JSON.parse(process.argv[2]);
setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc");
const noUsage = () => ({
  input: 0,
  output: 0,
  cacheRead: 0,
  cacheWrite: 0,
  totalTokens: 0,
  cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 },
});
const nextTick = () => new Promise((resolve) => setImmediate(resolve));

// --- the script ---

let left = 0;
let number = 0;
const nextCall = () => {
  if (left === 0) return undefined;
  left -= 1;
  number += 1;
  return `call_${number}`;
};

async function push(model, stream) {
  const message = {
    role: "assistant",
    content: [],
    api: model.api,
    provider: model.provider,
    model: model.id,
    usage: noUsage(),
    stopReason: "stop",
    timestamp: Date.now(),
  };
  stream.push({ type: "start", partial: message });
  await nextTick();
  const text = { type: "text", text: "" };
  message.content.push(text);
  stream.push({ type: "text_start", contentIndex: 0, partial: message });
  for (const delta of job.text) {
    text.text += delta;
    stream.push({ type: "text_delta", contentIndex: 0, delta, partial: message });
  }
  stream.push({ type: "text_end", contentIndex: 0, content: text.text, partial: message });
  const id = nextCall();
  if (id !== undefined) {
    const call = { type: "toolCall", id, name: "look_up", arguments: {} };
    message.content.push(call);
    stream.push({ type: "toolcall_start", contentIndex: 1, partial: message });
    for (const delta of job.arguments) {
      stream.push({ type: "toolcall_delta", contentIndex: 1, delta, partial: message });
    }
    call.arguments = JSON.parse(job.arguments.join(""));
    stream.push({ type: "toolcall_end", contentIndex: 1, toolCall: call, partial: message });
    message.stopReason = "toolUse";
  }
  stream.push({ type: "done", reason: message.stopReason, message });
}

function stream(model) {
  const events = new AssistantMessageEventStream();
  push(model, events);
  return events;
}

const model = {
  id: "scripted",
  name: "Scripted",
  api: "scripted",
  provider: "scripted",
  baseUrl: "http://localhost:0",
  reasoning: false,
  input: ["text"],
  cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
  contextWindow: 100000000,
  maxTokens: 16000,
};
const models = createModels();
models.setProvider(
  createProvider({
    id: "scripted",
    name: "Scripted",
    auth: { apiKey: { name: "Key", resolve: async () => ({ auth: { apiKey: "key" } }) } },
    models: [model],
    api: { stream, streamSimple: stream },
  }),
);

// --- the tools ---

let calls = 0;
let hold;
const ok = () => ({ content: [{ type: "text", text: "ok" }], details: {} });
const plain = () => {
  calls += 1;
  return ok();
};
const waiting = async () => {
  calls += 1;
  if (hold) await hold;
  return ok();
};
const text = (description) => Type.String({ description });
const tool = (name, description, properties, execute = async () => ok()) => ({
  name,
  label: name,
  description,
  parameters: Type.Object(properties),
  execute,
});
const tools = [
  tool(
    "look_up",
    "Look something up.",
    { path: text("Where it is.") },
    job.tool === "async" ? waiting : plain,
  ),
  tool("write_down", "Write something down.", { path: text("Where."), text: text("What.") }),
  tool("replace_text", "Replace a text by another.", {
    path: text("Where."),
    old: text("What is there."),
    new: text("What shall be there."),
    every: Type.Optional(
      Type.Boolean({ description: "Wherever it stands, not the first time only." }),
    ),
  }),
  tool("run_command", "Run a command.", {
    command: text("The command line."),
    timeout_seconds: Type.Optional(Type.Integer({ description: "When to give up." })),
  }),
];

// --- measuring ---

const create = () =>
  new Agent({
    initialState: { systemPrompt: job.system_prompt, model, tools },
    streamFn: (...request) => models.streamSimple(...request),
  });

async function ask(agent, turns) {
  const before = calls;
  let events = 0;
  agent.subscribe((event) => {
    if (event.type) events += 1;
  });
  left = turns;
  await agent.prompt(job.prompt);
  const last = agent.state.messages.at(-1);
  const answer = last.errorMessage ?? last.content[0]?.text;
  if (calls - before !== turns || answer !== job.text.join("")) {
    throw new Error(`${calls - before} tool calls of ${turns}, the last answer: ${answer}`);
  }
  return events;
}

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const rssKb = () => Math.round(process.memoryUsage().rss / 1024);
const heapKb = () => Math.round(process.memoryUsage().heapUsed / 1024);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function answerPrompts() {
  collectGarbage();
  const cpu = cpuSeconds();
  const wall = performance.now();
  let prompts = 0;
  let events = 0;
  while (
    prompts === 0 ||
    (cpuSeconds() - cpu < REPEAT_CPU_SECONDS && prompts < REPEAT_PROMPTS)
  ) {
    events += await ask(create(), job.turns);
    prompts += 1;
  }
  return {
    turns: prompts * job.turns,
    events,
    cpu_seconds: cpuSeconds() - cpu,
    wall_seconds: (performance.now() - wall) / 1000,
  };
}

async function holdAgents() {
  collectGarbage();
  const before = [rssKb(), heapKb()];
  const agents = Array.from({ length: job.agents }, create);
  if (job.mode === "answered") {
    for (const agent of agents) await ask(agent, 1);
  }
  if (job.mode === "running") {
    hold = new Promise(() => {});
    calls = 0;
    left = job.agents;
    for (const agent of agents) {
      agent.subscribe(() => {});
      agent.prompt(job.prompt).catch(() => {});
    }
    while (calls < job.agents) await sleep(10);
  }
  collectGarbage();
  await sleep(1000);
  // what the warm-up freed is used again before resident memory grows
  const growth = Math.max(rssKb() - before[0], heapKb() - before[1]);
  return { agents: agents.length, rss_growth_kb: growth };
}

for (let i = 0; i < WARM_UPS; i += 1) await ask(create(), job.warm_up);
const report = job.mode === "turns" ? await answerPrompts() : await holdAgents();
report.peak_rss_kb = process.resourceUsage().maxRSS;
console.log(JSON.stringify(report));
process.exit(0);
