"""The writers of `crashes`: a nursery that forks one at a time, so that each starts at once.

Reads a job per line and answers with lines of its writer: `pid N`, `ack FILE ENTRY-ID` for every
entry that was stored, and `end` when the writer is dead. Run as a program.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
import traceback
from pathlib import Path

from pi_ai.types import UserMessage
from pi_session import SessionLockedError, SessionManager

_SIZES = (10, 10, 1_000, 1_000, 20_000, 400_000)


def main() -> None:
    """Fork a writer for every line of input and wait until it is dead."""
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run_writer([Path(path) for path in job["paths"]], job["seed"])
        os.waitpid(pid, 0)
        _tell("end")


def run_writer(paths: list[Path], seed: int) -> None:
    """Append to every file, each in a thread of its own, until killed or until one fails."""
    _tell(f"pid {os.getpid()}")
    for number, path in enumerate(paths):
        arguments = (number, path, random.Random(seed + number))
        threading.Thread(target=_write, args=arguments, daemon=True).start()
    threading.Event().wait()


def _write(number: int, path: Path, chance: random.Random) -> None:
    try:
        session = _take_over(path, durable=number == 0)
        while True:
            _tell(f"ack {number} {_append(session, chance)}")
    finally:  # only a failure ends it
        traceback.print_exc()
        os._exit(1)


def _take_over(path: Path, *, durable: bool) -> SessionManager:
    """The session, as soon as nobody else writes to it; its file may still have to be made."""
    while True:
        try:
            session = SessionManager.open(path, durable=durable)
            session.append_message(UserMessage("taken over"))
        except (SessionLockedError, FileExistsError):
            time.sleep(0.0005)
        else:
            return session


def _append(session: SessionManager, chance: random.Random) -> str:
    leaf = session.leaf_id
    assert leaf is not None
    match chance.randrange(12):
        case 0:
            return session.append_label_change(leaf, "here")
        case 1:
            return session.append_session_info("a name")
        case 2:
            return session.append_compaction("what was", leaf, 1)
        case 3:
            entries = session.get_entries()
            return session.branch_with_summary(chance.choice(entries).id, "left")
        case _:
            return session.append_message(UserMessage("ü" * (chance.choice(_SIZES) // 2)))


def _tell(line: str) -> None:
    os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    main()
