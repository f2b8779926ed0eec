"""Drives the server with the client of pi-py-sdk."""

from __future__ import annotations

import asyncio
from typing import Any

import steps as s
from pi_py_sdk import PiAgent, PiConfig


def kind_of(event: Any) -> str:
    return event["type"] if isinstance(event, dict) else event.type


async def prompt_slowly(client: PiAgent) -> asyncio.Task[None]:
    """Send the slow prompt and wait for the first piece of the answer; gives the rest."""
    began, settled = asyncio.Event(), asyncio.Event()
    marks = {"message_update": began, "agent_settled": settled}
    client.subscribe(lambda event: kind_of(event) in marks and marks[kind_of(event)].set())
    await client.prompt(s.SLOW_PROMPT)
    await began.wait()
    return asyncio.create_task(settled.wait())


async def main(job: s.Job, steps: s.Steps) -> None:
    config = PiConfig(
        bin=job.program, provider=job.provider, model=job.model, cwd=job.cwd, env=job.env
    )
    client = PiAgent(config=config)

    async def state() -> None:
        s.expect("model", (await client.get_state())["model"]["id"], job.model)

    async def tools() -> None:
        await client.prompt_and_wait(s.TOOL_PROMPT)
        s.expect("answer", await client.get_last_assistant_text(), s.TOOL_ANSWER)

    async def steer() -> None:
        run = await prompt_slowly(client)
        await client.steer(s.STEER_PROMPT)
        await run
        s.expect("answer", await client.get_last_assistant_text(), s.STEER_ANSWER)

    async def abort() -> None:
        run = await prompt_slowly(client)
        await client.abort()
        await run
        s.expect("streaming", (await client.get_state())["isStreaming"], False)

    async def fork() -> None:
        first = (await client.get_fork_messages())[0]
        s.expect("text", (await client.fork(first["entryId"]))["text"], s.TOOL_PROMPT)

    async with client:
        await steps.step("state", state)
        await steps.step("prompt with tools", tools)
        await steps.step("steer", steer)
        await steps.step("abort", abort)
        await steps.step("fork", fork)


s.drive(main)
