"""Runs one subject's sessions in a process of its own and prints what it took, as a line of JSON.

Standard library only: imported by every Python subject.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from process import peak_rss_kb

__all__ = ("Subject", "measure")


@dataclass(frozen=True)
class Subject:
    """What is measured. `open` gives a session and its number of entries, `context` the number of
    messages, `list_all` how many sessions a directory has. `append` adds a user message.
    """

    open: Callable[[str], tuple[Any, int]]
    context: Callable[[Any], int]
    append: Callable[[Any, str], object]
    list_all: Callable[[str, str], int]


def measure(subject: Subject) -> None:
    """Run the job of the command line: `open`, `context`, `append` or `list`.

    Its `path` is a file, for `list` a directory; `warm_up` is a small one of the same kind.
    """
    job = json.loads(sys.argv[1])
    run(subject, job | {"path": job["warm_up"], "appends": 2}, timed=False)
    gc.collect()
    print(json.dumps(run(subject, job, timed=True)), flush=True)


def run(subject: Subject, job: dict[str, Any], *, timed: bool) -> dict[str, float]:
    """Do the job once. `count`: entries, messages, appended entries or sessions."""
    session: Any = None
    if job["mode"] == "append":
        session, _ = subject.open(job["path"])
    cpu, wall = time.process_time(), time.perf_counter()
    match job["mode"]:
        case "open":
            session, count = subject.open(job["path"])
        case "context":
            session, _ = subject.open(job["path"])
            count = subject.context(session)
        case "append":
            count = job["appends"]
            for number in range(count):
                subject.append(session, f"message {number}: {job['text']}")
        case _:
            count = subject.list_all(job["path"], job["cwd"])
    return {
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "peak_rss_kb": peak_rss_kb() if timed else 0,
        "count": count,
    }
