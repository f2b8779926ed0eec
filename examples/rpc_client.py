"""Drive the RPC server from a plain client: JSON lines over a child process."""

from __future__ import annotations

import json
import subprocess
import sys


def main() -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "pi_sdk.rpc", "--no-session"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert server.stdin is not None
    assert server.stdout is not None

    def send(**command: object) -> None:
        print(json.dumps(command), file=server.stdin, flush=True)

    send(id="state", type="get_state")
    state = json.loads(server.stdout.readline())["data"]
    print("model:", state.get("model", {}).get("id", "none"))
    send(id="ask", type="prompt", message="Say hello")
    for line in server.stdout:
        record = json.loads(line)
        if record["type"] == "response" and not record["success"]:
            print(record["error"].splitlines()[0])  # without a key: No model selected.
            break
        if record["type"] == "message_update":
            print(record["assistantMessageEvent"].get("delta", ""), end="")
        if record["type"] == "agent_settled":
            break
    server.stdin.close()
    server.stdout.close()
    print("exit status:", server.wait())


if __name__ == "__main__":
    main()
