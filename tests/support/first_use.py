"""Python processes in which eight threads do the same thing for the first time at once."""

from __future__ import annotations

import subprocess
import sys

__all__ = ("first_uses_at_once",)

_THREADS = """
import sys, threading

sys.setswitchinterval(1e-6)
start = threading.Barrier(8)
done = []

def run():
    start.wait()
    use()
    done.append(1)

threads = [threading.Thread(target=run) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(done))
"""


def first_uses_at_once(code: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a process that runs `code`, and `use` of it in threads.

    (0, "8\\n", "") if nothing happened to it.
    """
    done = subprocess.run(
        [sys.executable, "-c", code + _THREADS],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
