"""What every driver does with its client, and how it reports: one line of JSON with all steps.

Runs in the client's own environment, so it knows nothing of this project.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

TOOL_PROMPT = "Read the note."
TOOL_ANSWER = "The note says: remember the milk"
SLOW_PROMPT = "Count slowly."
STEER_PROMPT = "Stop counting."
STEER_ANSWER = "I stopped counting."
_STEP_SECONDS = 20


@dataclass
class Job:
    """What the driver is told: the program to start, where, and its environment."""

    program: str
    cwd: str
    env: dict[str, str]
    provider: str = "scripted"
    model: str = "m"


@dataclass
class Steps:
    """The outcome of each step, `ok` or a line that says what went wrong."""

    outcomes: dict[str, str] = field(default_factory=dict)

    async def step(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Do one step; what it raises is its outcome."""
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                await work()
        except Exception as error:  # noqa: BLE001  # the table tells
            text = f"{str(error) or type(error).__name__} {getattr(error, 'error', '')}"
            self.outcomes[name] = " ".join(text.split())[:300]
        else:
            self.outcomes[name] = "ok"


def expect(what: str, found: object, wanted: object) -> None:
    """Raise if something is not as it should be."""
    if found != wanted:
        raise AssertionError(f"{what}: expected {wanted!r}, found {found!r}")


def drive(main: Callable[[Job, Steps], Coroutine[Any, Any, None]]) -> None:
    """Run a driver, and print what came of it."""
    steps = Steps()

    async def all_of_it() -> None:
        await steps.step("start and stop", lambda: main(Job(**json.loads(sys.argv[1])), steps))

    asyncio.run(all_of_it())
    print(json.dumps(steps.outcomes))
