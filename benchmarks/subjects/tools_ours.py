"""One call of a tool of ours. The argument is the job as JSON; prints one line of JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from typing import Any

from pi_agent.types import ToolContext
from pi_ai import AbortController
from pi_tools import create_tool


def peak_kb() -> int:
    """The most memory this process has had; its own view, since a child begins at its parent's."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak


async def main(job: dict[str, Any]) -> None:
    options: Any = {job["tool"]: {"engine": job["engine"]}} if job.get("engine") else None
    tool = create_tool(job["tool"], job["cwd"], options)
    context = ToolContext(tool_call_id="1", signal=AbortController().signal)
    if job["warm_up"]:
        await create_tool(job["tool"], job["warm_up_cwd"], options).execute(job["warm_up"], context)
    memory, started = peak_kb(), time.perf_counter()
    result = await tool.execute(job["arguments"], context)
    wall = time.perf_counter() - started
    told = {"wall_ms": wall * 1000, "growth_mb": (peak_kb() - memory) / 1024}
    print(json.dumps({**told, "text": result.content[0].text[-2000:]}))


asyncio.run(main(json.loads(sys.argv[1])))
