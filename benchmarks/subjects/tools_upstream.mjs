// One call of a tool of upstream's. The argument is the job as JSON; prints one line of JSON.
import { readFileSync } from "node:fs";
import * as pi from "@earendil-works/pi-coding-agent";

const job = JSON.parse(process.argv[2]);
const name = job.tool[0].toUpperCase() + job.tool.slice(1);
const create = pi[`create${name}Tool`];

function peakKb() {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "ascii"))[1]);
  } catch {
    return process.resourceUsage().maxRSS;
  }
}

if (job.warm_up) await create(job.warm_up_cwd).execute("1", job.warm_up);
const memory = peakKb();
const started = performance.now();
const result = await create(job.cwd).execute("1", job.arguments);
const wall = performance.now() - started;
const told = { wall_ms: wall, growth_mb: (peakKb() - memory) / 1024 };
console.log(JSON.stringify({ ...told, text: result.content[0].text.slice(-2000) }));
process.exit(0);
