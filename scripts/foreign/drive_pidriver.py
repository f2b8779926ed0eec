"""Drives the server with pidriver; what that has no method for goes through its transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import steps as s
from pidriver import PiClient, PiConfig


class Driver:
    """A session, and everything it has told."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.records: list[dict[str, Any]] = []
        self._ended = False
        self._news = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        # Its events leave responses out; the transport's records have them.
        transport = self.session._transport
        async for record in transport:
            self.records.append(record)
            self._news.set()
        self._ended = True
        self._news.set()

    async def saw(self, wanted: Callable[[dict[str, Any]], object], start: int) -> dict[str, Any]:
        while True:
            for record in self.records[start:]:
                if wanted(record):
                    return record
            if self._ended:
                raise RuntimeError("the server has ended")
            self._news.clear()
            await self._news.wait()

    async def ask(self, kind: str, **fields: Any) -> Any:
        start = len(self.records)
        await self.session._transport.send({"id": kind, "type": kind, **fields})
        response = await self.saw(lambda r: r.get("id") == kind, start)
        if not response["success"]:
            raise RuntimeError(response["error"])
        return response.get("data")

    async def settle(self, start: int) -> dict[str, Any]:
        return await self.saw(lambda r: r["type"] == "agent_settled", start)

    async def prompt_slowly(self) -> int:
        """Send the slow prompt and wait for the first piece of the answer."""
        start = len(self.records)
        await self.session.prompt(s.SLOW_PROMPT)
        await self.saw(lambda r: r["type"] == "message_update", start)
        return start


async def main(job: s.Job, steps: s.Steps) -> None:
    config = PiConfig(
        binary=job.program,
        provider=job.provider,
        model=job.model,
        auto_install=False,
        extra_env=job.env,
    )
    session = await PiClient(config).start("", cwd=Path(job.cwd), send_initial=False)
    driver = Driver(session)

    async def state() -> None:
        s.expect("model", (await driver.ask("get_state"))["model"]["id"], job.model)

    async def tools() -> None:
        start = len(driver.records)
        await session.prompt(s.TOOL_PROMPT)
        await driver.settle(start)
        text = (await driver.ask("get_last_assistant_text"))["text"]
        s.expect("answer", text, s.TOOL_ANSWER)

    async def steer() -> None:
        start = await driver.prompt_slowly()
        await driver.ask("steer", message=s.STEER_PROMPT)
        await driver.settle(start)
        text = (await driver.ask("get_last_assistant_text"))["text"]
        s.expect("answer", text, s.STEER_ANSWER)

    async def abort() -> None:
        start = await driver.prompt_slowly()
        await session.cancel()
        s.expect("aborted", (await driver.settle(start))["aborted"], True)

    async def fork() -> None:
        first = (await driver.ask("get_fork_messages"))["messages"][0]
        s.expect(
            "text", (await driver.ask("fork", entryId=first["entryId"]))["text"], s.TOOL_PROMPT
        )

    async with session:
        await steps.step("state", state)
        await steps.step("prompt with tools", tools)
        await steps.step("steer", steer)
        await steps.step("abort", abort)
        await steps.step("fork", fork)
    driver.reading.cancel()


s.drive(main)
