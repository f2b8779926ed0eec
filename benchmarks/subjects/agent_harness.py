"""Runs the agents of one library in a process of its own and prints what they took, as JSON.

Imported by every Python subject of agent_loop.py, in the subject's own virtual environment:
standard library only.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from process import peak_rss_kb, raise_open_files, rss_kb, settle

__all__ = ("Answer", "Job", "Library", "Script", "Tools", "measure")

_WARM_UPS = 2
_REPEAT_CPU_SECONDS = 0.3
_REPEAT_PROMPTS = 20
_STALLED_SECONDS = 60.0

A = TypeVar("A")


@dataclass(frozen=True)
class Job:
    """What to do. `turns`: answer prompts. The other modes hold so many `agents`: `idle` new ones,
    `answered` ones after a prompt of one turn, `running` ones that wait inside their tools.

    A prompt takes `turns` turns. Every answer of the model is the pieces of `text` and a call of
    the tool `look_up` with the pieces of `arguments`; the last is the text alone. `tool` says
    whether the tool is an `async` or a `plain` function.
    """

    mode: str
    tool: str
    turns: int
    warm_up: int
    agents: int
    system_prompt: str
    prompt: str
    text: list[str]
    arguments: list[str]


@dataclass(frozen=True)
class Answer:
    """What came of a prompt: the text of the last message, and how many events were seen."""

    text: str
    events: int


class Script:
    """What the model answers next."""

    def __init__(self, job: Job) -> None:
        self.text = job.text
        self.arguments = job.arguments
        self._left = 0
        self._number = 0

    @property
    def left(self) -> int:
        """How many answers with a call are to come."""
        return self._left

    def begin(self, calls: int) -> None:
        """So many answers with a call come next, then one without."""
        self._left = calls

    def next_call(self) -> str | None:
        """The id of the call in the next answer, None if it holds none."""
        if not self._left:
            return None
        self._left -= 1
        self._number += 1
        return f"call_{self._number}"


class Tools:
    """The functions that agents get as tools, four of them; the model calls the first."""

    def __init__(self, job: Job) -> None:
        self.calls = 0
        self.hold: asyncio.Event | None = None
        first = self._async_tool() if job.tool == "async" else self._plain_tool()
        self.functions = (first, *_others())

    def _async_tool(self) -> Callable[..., object]:
        async def look_up(path: str) -> str:
            """Look something up.

            Args:
                path: Where it is.
            """
            self.calls += 1
            if self.hold is not None:
                await self.hold.wait()
            return "ok"

        return look_up

    def _plain_tool(self) -> Callable[..., object]:
        def look_up(path: str) -> str:
            """Look something up.

            Args:
                path: Where it is.
            """
            self.calls += 1
            return "ok"

        return look_up


def _others() -> tuple[Callable[..., object], ...]:
    async def write_down(path: str, text: str) -> str:
        """Write something down.

        Args:
            path: Where.
            text: What.
        """
        return f"{path}: {text}"

    async def replace_text(path: str, old: str, new: str, every: bool = False) -> str:
        """Replace a text by another.

        Args:
            path: Where.
            old: What is there.
            new: What shall be there.
            every: Wherever it stands, not the first time only.
        """
        return f"{path}: {old} {new} {every}"

    async def run_command(command: str, timeout_seconds: int = 60) -> str:
        """Run a command.

        Args:
            command: The command line.
            timeout_seconds: When to give up.
        """
        return f"{command} {timeout_seconds}"

    return (write_down, replace_text, run_command)


class Library(ABC, Generic[A]):
    """How one library makes an agent and asks it something."""

    def __init__(self, job: Job, script: Script, tools: Tools) -> None:
        self.job = job
        self.script = script
        self.tools = tools

    @abstractmethod
    async def create(self) -> A:
        """A new agent with the job's system prompt and all tools."""

    @abstractmethod
    async def ask(self, agent: A) -> Answer:
        """Prompt the agent, look at every event, return when it is done."""

    async def close(self, agent: A) -> None:
        """End an agent; nothing, for most."""


def measure(make: Callable[[Job, Script, Tools], Library[A]]) -> None:
    """Run the job of the command line with a library."""
    job = Job(**json.loads(sys.argv[1]))
    raise_open_files()
    asyncio.run(_run(job, make(job, Script(job), Tools(job))))


async def _run(job: Job, library: Library[A]) -> None:
    for _ in range(_WARM_UPS):
        await _prompt(library, job.warm_up)
    report = await _answer_prompts(job, library) if job.mode == "turns" else await _hold(library)
    print(json.dumps(report | {"peak_rss_kb": peak_rss_kb()}), flush=True)


async def _prompt(library: Library[A], turns: int) -> int:
    """One prompt to an agent of its own; gives the number of events."""
    library.script.begin(turns)  # before there is an agent: some make its answers with it
    agent = await library.create()
    answer = await _ask(library, agent, turns)
    await library.close(agent)
    return answer.events


async def _ask(library: Library[A], agent: A, turns: int) -> Answer:
    """Prompt an agent. Raises RuntimeError if it did not do what the script says."""
    before = library.tools.calls
    library.script.begin(turns)
    answer = await library.ask(agent)
    called = library.tools.calls - before
    if called != turns or answer.text != "".join(library.script.text):
        raise RuntimeError(f"{called} tool calls of {turns}, the last answer: {answer.text!r}")
    return answer


async def _answer_prompts(job: Job, library: Library[A]) -> dict[str, float]:
    """One prompt after another until the clock has something to measure."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    prompts = events = 0
    while not prompts or (
        time.process_time() - cpu < _REPEAT_CPU_SECONDS and prompts < _REPEAT_PROMPTS
    ):
        events += await _prompt(library, job.turns)
        prompts += 1
    return {
        "turns": prompts * job.turns,
        "events": events,
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
    }


async def _hold(library: Library[A]) -> dict[str, float]:
    """Make all agents, let them wait inside their tools if they shall run, look at the memory."""
    job, tools = library.job, library.tools
    gc.collect()
    before = rss_kb()
    agents = [await library.create() for _ in range(job.agents)]
    tasks: list[asyncio.Future[Answer]] = []
    if job.mode == "answered":
        for agent in agents:
            await _ask(library, agent, 1)
    if job.mode == "running":
        tools.calls, tools.hold = 0, asyncio.Event()
        library.script.begin(job.agents)
        tasks = [asyncio.ensure_future(library.ask(agent)) for agent in agents]
        await _wait_until(lambda: tools.calls == job.agents, tasks)
    gc.collect()
    await settle()
    growth = rss_kb() - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for agent in agents:
        await library.close(agent)
    return {"agents": len(agents), "rss_growth_kb": growth}


async def _wait_until(all_inside: Callable[[], bool], tasks: list[asyncio.Future[Answer]]) -> None:
    deadline = time.monotonic() + _STALLED_SECONDS
    while not all_inside():
        await asyncio.sleep(0.01)
        for task in tasks:
            if task.done():
                raise RuntimeError(f"an agent stopped before its tool was done: {task.result()}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all of {len(tasks)} agents are inside their tools")
