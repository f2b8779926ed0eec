"""Drives the server with the client of pi-agent-python-sdk."""

from __future__ import annotations

import asyncio

import steps as s

from pi_agent import AsyncPiClient


async def prompt_slowly(client: AsyncPiClient) -> asyncio.Task[list]:
    """Send the slow prompt and wait for the first piece of the answer; gives the whole run."""
    began = asyncio.Event()
    remove = client.on_event(lambda event: event.type == "message_update" and began.set())
    run = client.collect_events()
    await asyncio.sleep(0)
    await client.prompt(s.SLOW_PROMPT)
    await began.wait()
    remove()
    return run


async def main(job: s.Job, steps: s.Steps) -> None:
    client = AsyncPiClient(
        executable=job.program,
        cwd=job.cwd,
        provider=job.provider,
        model=job.model,
        env=job.env,
        allow_unknown_version=True,
    )

    async def state() -> None:
        s.expect("model", (await client.get_state())["model"]["id"], job.model)

    async def tools() -> None:
        result = await client.run(s.TOOL_PROMPT)
        s.expect("answer", result.text, s.TOOL_ANSWER)

    async def steer() -> None:
        run = await prompt_slowly(client)
        await client.steer(s.STEER_PROMPT)
        await run
        s.expect("answer", await client.get_last_assistant_text(), s.STEER_ANSWER)

    async def abort() -> None:
        run = await prompt_slowly(client)
        await client.abort()
        s.expect("aborted", (await run)[-1].raw["aborted"], True)

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
