"""What a subject's process tells about itself: its memory, its limits, whether it has settled.

Imported by the harnesses, in every subject's own virtual environment: standard library only.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time

__all__ = ("peak_rss_kb", "raise_open_files", "rss_kb", "settle")

_OPEN_FILES = 4096
_SETTLE_LOOKS = 20
_SETTLED_CPU_SECONDS = 0.02


def raise_open_files() -> None:
    """Allow as many open files as a thousand streams or sessions need."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _OPEN_FILES), hard))


async def settle() -> None:
    """Wait until the process has nothing left to do but its housekeeping."""
    for _ in range(_SETTLE_LOOKS):
        cpu = time.process_time()
        await asyncio.sleep(0.3)
        if time.process_time() - cpu < _SETTLED_CPU_SECONDS:
            return


def peak_rss_kb() -> int:
    """The most memory this process has had. Linux's `ru_maxrss` is no use: it survives an exec."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak


def rss_kb() -> int:
    """Resident memory now; where the system does not tell, its peak so far."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize() // 1024
    except OSError:
        return peak_rss_kb()
