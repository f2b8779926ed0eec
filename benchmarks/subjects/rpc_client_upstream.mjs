// Upstream's RpcClient: the counterpart of rpc_client_ours.py.
import { RpcClient } from "./package/dist/bundle/index.js";

const job = JSON.parse(process.argv[2]);
const client = new RpcClient({
  cliPath: job.server.at(-1),
  provider: "bench",
  model: "bench",
  args: ["--no-session"],
  cwd: job.environment.HOME,
  env: { ...job.environment, PATH: `${process.execPath.replace(/\/[^/]+$/, "")}:${process.env.PATH}` },
});

async function ask(prompt) {
  let seen = 0;
  let remove;
  const settled = new Promise((resolve) => {
    remove = client.onEvent((event) => {
      if (event.type === "message_update") seen += 1;
      if (event.type === "agent_settled") resolve();
    });
  });
  await client.prompt(prompt);
  await settled;
  remove();
  return seen;
}

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

await client.start();
await ask(job.prompt);
const before = cpuSeconds();
const events = await ask(job.prompt);
const cpu = cpuSeconds() - before;
await client.stop();
console.log(
  JSON.stringify({ events, cpu_seconds: cpu, peak_rss_kb: process.resourceUsage().maxRSS }),
);
process.exit(0);
