"""Whether processes that a test started are still there."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether the process runs; a killed one may wait for init to reap it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not state.parent.parent.exists()


def wait_dead(pid: int) -> None:
    """Return when the process has ended; fails after some seconds."""
    deadline = time.monotonic() + 5
    while alive(pid):
        assert time.monotonic() < deadline, f"{pid} is still alive"
        time.sleep(0.01)


def processes_with(variable: str) -> list[int]:
    """The processes started with `NAME=value` in their environment; none where that is unknown."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found
