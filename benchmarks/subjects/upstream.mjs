// Upstream on Node: the counterpart of harness.py and of one subject in one file.
// Its argument is the job as JSON; it prints one line of JSON.
import { createModels, createProvider } from "@earendil-works/pi-ai";

const REPEAT_CPU_SECONDS = 0.3;
const REPEAT_STREAMS = 20;

const job = JSON.parse(process.argv[2]);
const loaders = {
  anthropic: async () =>
    (await import("@earendil-works/pi-ai/api/anthropic-messages.lazy")).anthropicMessagesApi(),
  openai: async () =>
    (await import("@earendil-works/pi-ai/api/openai-completions.lazy")).openAICompletionsApi(),
  responses: async () =>
    (await import("@earendil-works/pi-ai/api/openai-responses.lazy")).openAIResponsesApi(),
  codex: async () =>
    (await import("@earendil-works/pi-ai/api/openai-codex-responses.lazy")).openAICodexResponsesApi(),
};
const names = {
  anthropic: "anthropic-messages",
  openai: "openai-completions",
  responses: "openai-responses",
  codex: "openai-codex-responses",
};
const api = await loaders[job.wire]();
// Codex wants a token with an account in it.
const claims = { "https://api.openai.com/auth": { chatgpt_account_id: "benchmark" } };
const key = job.wire === "codex" ? `e30.${btoa(JSON.stringify(claims))}.e30` : "key";
const model = {
  id: "benchmark",
  name: "Benchmark",
  api: names[job.wire],
  provider: "benchmark",
  baseUrl: ["openai", "responses"].includes(job.wire) ? `${job.url}/v1` : job.url,
  reasoning: false,
  input: ["text"],
  cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
  contextWindow: 128000,
  maxTokens: 16000,
};
const models = createModels();
models.setProvider(
  createProvider({
    id: "benchmark",
    name: "Benchmark",
    auth: { apiKey: { name: "Key", resolve: async () => ({ auth: { apiKey: key } }) } },
    models: [model],
    api,
  }),
);

async function consume(prompt) {
  const messages = [{ role: "user", content: prompt, timestamp: Date.now() }];
  const stream = models.stream(model, { messages }, { apiKey: key });
  let events = 0;
  for await (const _ of stream) events += 1;
  const message = await stream.result();
  if (message.errorMessage) throw new Error(message.errorMessage);
  return events;
}

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const rssKb = () => Math.round(process.memoryUsage().rss / 1024);

async function repeat() {
  const started = cpuSeconds();
  const counts = [];
  while (
    counts.length === 0 ||
    (cpuSeconds() - started < REPEAT_CPU_SECONDS && counts.length < REPEAT_STREAMS)
  ) {
    counts.push(await consume(job.prompt));
  }
  return counts;
}

async function hold() {
  const before = rssKb();
  for (let i = 0; i < job.streams; i += 1) consume(job.prompt).catch(() => {});
  while (Number(await (await fetch(`${job.url}/held`)).text()) < job.streams) await sleep(50);
  await sleep(1000);
  return { streams: job.streams, rss_growth_kb: rssKb() - before };
}

for (let i = 0; i < 2; i += 1) await consume(job.warm_up);
const cpu = cpuSeconds();
const wall = performance.now();
let report;
if (job.mode === "hold") {
  report = await hold();
} else {
  const counts =
    job.mode === "concurrent"
      ? await Promise.all(Array.from({ length: job.streams }, () => consume(job.prompt)))
      : await repeat();
  report = { streams: counts.length, events: counts.reduce((a, b) => a + b, 0), reads: 0 };
}
report.cpu_seconds = cpuSeconds() - cpu;
report.wall_seconds = (performance.now() - wall) / 1000;
report.peak_rss_kb = process.resourceUsage().maxRSS;
console.log(JSON.stringify(report));
process.exit(0);
