// Drives the RPC server from Node: JSON lines over a child process.
// PYTHON names the interpreter; arguments go to the server, such as --model openai/gpt-5-mini.
import { spawn } from "node:child_process";

const command = ["-m", "pi_sdk.rpc", "--no-session", ...process.argv.slice(2)];
const server = spawn(process.env.PYTHON ?? "python3", command, { stdio: ["pipe", "pipe", "inherit"] });
const send = (record) => server.stdin.write(`${JSON.stringify(record)}\n`);

function handle(record) {
  if (record.type === "message_update") {
    process.stdout.write(record.assistantMessageEvent.delta ?? "");
  } else if (record.type === "response" && !record.success) {
    console.error(`${record.command}: ${record.error}`);
    server.stdin.end();
  } else if (record.type === "agent_settled") {
    server.stdin.end(); // not before: the end of its input aborts the run
  }
}

let rest = "";
server.stdout.setEncoding("utf8");
server.stdout.on("data", (data) => {
  const lines = (rest + data).split("\n"); // line feeds only: readline also splits at U+2028
  rest = lines.pop();
  for (const line of lines) handle(JSON.parse(line));
});
server.on("exit", (code) => console.log(`\nexit status: ${code}`));

send({ id: "ask", type: "prompt", message: "Say hello" });
