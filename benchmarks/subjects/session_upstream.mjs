// Upstream on Node: the counterpart of session_harness.py and of one subject in one file.
// Its argument is the job as JSON; it prints one line of JSON.
import { SessionManager } from "@earendil-works/pi-coding-agent";

const job = JSON.parse(process.argv[2]);

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

async function run(mode, path, appends) {
  const session = mode === "append" ? SessionManager.open(path) : null;
  const cpu = cpuSeconds();
  const wall = performance.now();
  let count = 0;
  if (mode === "open") {
    count = SessionManager.open(path).getEntries().length;
  } else if (mode === "context") {
    count = SessionManager.open(path).buildSessionContext().messages.length;
  } else if (mode === "append") {
    for (; count < appends; count += 1) {
      const content = `message ${count}: ${job.text}`;
      session.appendMessage({ role: "user", content, timestamp: Date.now() });
    }
  } else {
    count = (await SessionManager.list(job.cwd, path)).length;
  }
  return {
    cpu_seconds: cpuSeconds() - cpu,
    wall_seconds: (performance.now() - wall) / 1000,
    peak_rss_kb: process.resourceUsage().maxRSS,
    count,
  };
}

await run(job.mode, job.warm_up, 2);
console.log(JSON.stringify(await run(job.mode, job.path, job.appends)));
process.exit(0);
