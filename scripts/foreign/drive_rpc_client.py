"""Drives the server, which is upstream's here, with this project's own client."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import steps as s

from pi_sdk import RpcClient
from pi_sdk.rpc_subscriptions import RpcEvents


async def prompt_slowly(client: RpcClient) -> RpcEvents:
    """Send the slow prompt and wait for the first piece of the answer; gives the rest."""
    events = client.events()
    await client.prompt(s.SLOW_PROMPT)
    async for event in events:
        if event.type == "message_update" and event.message.text:
            break
    return events


async def settled(events: RpcEvents) -> bool:
    """Read on to the end of a run; whether it was aborted."""
    async for event in events:
        if event.type == "agent_settled":
            return event.aborted
    raise AssertionError("the events ended")


async def main(job: s.Job, steps: s.Steps) -> None:
    async def state() -> None:
        model = (await client.get_state()).model
        s.expect("model", model and model.id, job.model)

    async def tools() -> None:
        events = await client.prompt_and_wait(s.TOOL_PROMPT)
        ended = [event.message for event in events if event.type == "message_end"]
        s.expect("messages", ended, await client.get_messages())
        s.expect("answer", await client.get_last_assistant_text(), s.TOOL_ANSWER)

    async def steer() -> None:
        events = await prompt_slowly(client)
        await client.steer(s.STEER_PROMPT)
        s.expect("aborted", await settled(events), False)
        s.expect("answer", await client.get_last_assistant_text(), s.STEER_ANSWER)

    async def abort() -> None:
        events = await prompt_slowly(client)
        await client.abort()
        s.expect("aborted", await settled(events), True)

    async def fork() -> None:
        first = (await client.get_fork_messages())[0]
        s.expect("text", (await client.fork(first.entry_id)).text, s.TOOL_PROMPT)

    command = [job.program]
    options = {"provider": job.provider, "model": job.model, "cwd": job.cwd, "env": job.env}
    async with RpcClient(command, **options) as client:
        await steps.step("state", state)
        await steps.step("prompt with tools", tools)
        await steps.step("steer", steer)
        await steps.step("abort", abort)
        await steps.step("fork", fork)


s.drive(main)
