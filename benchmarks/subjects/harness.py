"""Runs one subject in a process of its own and prints what it took, as one line of JSON.

Imported by every Python subject, in the subject's own virtual environment: standard library only.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from process import peak_rss_kb, raise_open_files, rss_kb, settle

__all__ = ("Consume", "Job", "Tally", "measure")

_GROUP = 50
_STALLED_SECONDS = 30.0
_REPEAT_CPU_SECONDS = 0.3
_REPEAT_STREAMS = 20


@dataclass(frozen=True)
class Job:
    """What to do. `streams` run side by side; `repeat`: one after another; `hold`: stay open.

    `url` is the server's origin, `prompt` and `warm_up` name what it answers.
    """

    url: str
    wire: str
    mode: str
    streams: int
    prompt: str
    warm_up: str


@dataclass(frozen=True)
class Tally:
    """What one stream gave: events, and reads from the socket where the subject knows them."""

    events: int
    reads: int = 0


Consume = Callable[[str], Awaitable[Tally]]
"""Ask with this prompt and read the answer to its end, event by event."""


def measure(prepare: Callable[[Job], Consume]) -> None:
    """Run the job of the command line with the client that `prepare` makes."""
    job = Job(**json.loads(sys.argv[1]))
    raise_open_files()
    asyncio.run(_run(job, prepare))


async def _run(job: Job, prepare: Callable[[Job], Consume]) -> None:
    consume = prepare(job)
    for _ in range(2):
        await consume(job.warm_up)
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    if job.mode == "hold":
        report = await _hold(job, consume)
    else:
        tallies = await (_side_by_side if job.mode == "concurrent" else _repeat)(job, consume)
        report = {
            "streams": len(tallies),
            "events": sum(tally.events for tally in tallies),
            "reads": sum(tally.reads for tally in tallies),
        }
    report |= {
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "peak_rss_kb": peak_rss_kb(),
    }
    print(json.dumps(report), flush=True)


async def _side_by_side(job: Job, consume: Consume) -> list[Tally]:
    return await asyncio.gather(*(consume(job.prompt) for _ in range(job.streams)))


async def _repeat(job: Job, consume: Consume) -> list[Tally]:
    """One stream after another until the clock has something to measure."""
    started = time.process_time()
    tallies: list[Tally] = []
    while not tallies or (
        time.process_time() - started < _REPEAT_CPU_SECONDS and len(tallies) < _REPEAT_STREAMS
    ):
        tallies.append(await consume(job.prompt))
    return tallies


async def _hold(job: Job, consume: Consume) -> dict[str, int]:
    """Open every stream, wait until all that was sent has been read, look at the memory."""
    before = rss_kb()
    tasks: list[asyncio.Future[Tally]] = []
    while len(tasks) < job.streams:  # in small groups: a burst of connections overflows queues
        group = min(_GROUP, job.streams - len(tasks))
        tasks += [asyncio.ensure_future(consume(job.prompt)) for _ in range(group)]
        await _wait_until_open(job.url, tasks)
    await settle()
    growth = rss_kb() - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {"streams": len(tasks), "rss_growth_kb": growth}


async def _wait_until_open(url: str, tasks: list[asyncio.Future[Tally]]) -> None:
    """Return when the server holds every stream; some clients open fewer and wait for ever."""
    deadline = time.monotonic() + _STALLED_SECONDS
    while (held := await _held(url)) < len(tasks):
        await asyncio.sleep(0.01)
        for task in tasks:
            if task.done():
                task.result()
                raise RuntimeError("a stream ended that should have stayed open")
        if time.monotonic() > deadline:
            raise RuntimeError(f"holds {held} of {len(tasks)} streams open, the others wait")


async def _held(url: str) -> int:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /held HTTP/1.1\r\n\r\n")
    answer = await reader.readuntil(b"\r\n\r\n")
    length = int(answer.lower().split(b"content-length:")[1].split()[0])
    held = int(await reader.readexactly(length))
    writer.close()
    return held
