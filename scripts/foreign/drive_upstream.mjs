// Drives the server with upstream's own RpcClient. Its second argument is where that is installed.
import { pathToFileURL } from "node:url";

const job = JSON.parse(process.argv[2]);
const { RpcClient } = await import(pathToFileURL(process.argv[3]).href);
const STEP_MS = 20_000;
const outcomes = {};

async function step(name, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("took too long")), STEP_MS);
  });
  try {
    await Promise.race([work(), late]);
    outcomes[name] = "ok";
  } catch (error) {
    outcomes[name] = error.message.split(/\s+/).join(" ").slice(0, 300);
  }
  clearTimeout(timer);
}

function expect(what, found, wanted) {
  if (found !== wanted) throw new Error(`${what}: expected ${wanted}, found ${found}`);
}

// The wrapper that it starts with Node hands over to the server.
const client = new RpcClient({
  cliPath: job.wrapper,
  cwd: job.cwd,
  provider: job.provider,
  model: job.model,
  env: job.env,
});

const seen = (type) =>
  new Promise((resolve) => {
    const remove = client.onEvent((event) => {
      if (event.type !== type) return;
      remove();
      resolve(event);
    });
  });

async function promptSlowly() {
  const began = seen("message_update");
  await client.prompt(job.slow_prompt);
  await began;
}

await step("start and stop", async () => {
  await client.start();
  await step("state", async () => {
    expect("model", (await client.getState()).model.id, job.model);
  });
  await step("prompt with tools", async () => {
    await client.promptAndWait(job.tool_prompt);
    expect("answer", await client.getLastAssistantText(), job.tool_answer);
  });
  await step("steer", async () => {
    await promptSlowly();
    const settled = seen("agent_settled");
    await client.steer(job.steer_prompt);
    await settled;
    expect("answer", await client.getLastAssistantText(), job.steer_answer);
  });
  await step("abort", async () => {
    await promptSlowly();
    const settled = seen("agent_settled");
    await client.abort();
    expect("aborted", (await settled).aborted, true);
  });
  await step("fork", async () => {
    const [first] = await client.getForkMessages();
    expect("text", (await client.fork(first.entryId)).text, job.tool_prompt);
  });
  await client.stop();
});
console.log(JSON.stringify(outcomes));
process.exit(0);
