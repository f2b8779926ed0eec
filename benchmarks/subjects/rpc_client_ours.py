"""pi_sdk.RpcClient: its CPU while a server streams an answer to it."""

import asyncio
import json
import sys
import time

from process import peak_rss_kb

from pi_sdk import RpcClient


async def main() -> None:
    """Drive the server that the job names; print what was seen and used."""
    job = json.loads(sys.argv[1])
    client = RpcClient(
        job["server"],
        provider="bench",
        model="bench",
        args=["--no-session"],
        cwd=job["environment"]["HOME"],
        env=job["environment"],
    )
    async with client:
        await ask(client, job["prompt"])
        cpu = time.process_time()
        events = await ask(client, job["prompt"])
        cpu = time.process_time() - cpu
    print(json.dumps({"events": events, "cpu_seconds": cpu, "peak_rss_kb": peak_rss_kb()}))


async def ask(client: RpcClient, prompt: str) -> int:
    """Iterate over a run; the number of changes of its message."""
    seen = 0
    events = client.events()
    await client.prompt(prompt)
    async for event in events:
        if event.type == "message_update":
            seen += 1
        elif event.type == "agent_settled":
            break
    return seen


asyncio.run(main())
