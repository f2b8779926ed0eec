"""Kills writers of session files at random moments and checks what is left.

Every writer appends to several files at once. The next one waits for their locks already, so it
takes the files over in the moment of the kill.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from pi_ai.types import UserMessage
from pi_session import SessionManager, UnknownEntry
from pi_session.codec import parse_lines, split_lines

__all__ = ("CrashFigures", "crash_writers")

_KILLS_PER_ROUND = 5
_MOST_ACKNOWLEDGED = 30
_MOST_DELAY_SECONDS = 0.004


@dataclass
class CrashFigures:
    """What was survived: entries told of before a kill and found after it, lines torn by one."""

    kills: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    torn: int = 0


class Writer:
    """One nursery and the writer that lives in it now."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("crash_writer.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._pid = 0

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self._process.__exit__(kind, error, traceback)

    def start(self, paths: list[Path], seed: int) -> None:
        """Begin to wait for the locks of `paths`."""
        assert self._process.stdin is not None
        job = {"paths": [str(path) for path in paths], "seed": seed}
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        word, pid = self._read()
        assert word == "pid", (word, pid)
        self._pid = int(pid)

    def read_acknowledged(self, acknowledged: list[list[str]], count: int) -> None:
        """Take in the next `count` entries that are told of."""
        for _ in range(count):
            self._take_in(self._read(), acknowledged)

    def kill(self, acknowledged: list[list[str]]) -> None:
        """Kill it, and take in what it had told until then."""
        os.kill(self._pid, signal.SIGKILL)
        self._pid = 0
        while (words := self._read()) != ["end"]:
            self._take_in(words, acknowledged)

    def _take_in(self, words: list[str], acknowledged: list[list[str]]) -> None:
        assert words[0] == "ack", words
        acknowledged[int(words[1])].append(words[2])

    def _read(self) -> list[str]:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().split()


@dataclass
class Round:
    """Some files, what their writers told, and how often these were killed."""

    paths: list[Path]
    kills: int = 0
    acknowledged: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.acknowledged = [[] for _ in self.paths]


def crash_writers(directory: Path, kills: int, *, seed: int = 0, files: int = 3) -> CrashFigures:
    """Kill so many writers, one after another; raises AssertionError where something is lost."""
    chance = random.Random(seed)
    figures = CrashFigures()
    with Writer() as first, Writer() as second:
        while figures.kills < kills:
            paths = [directory / f"{figures.kills}-{number}.jsonl" for number in range(files)]
            count = min(_KILLS_PER_ROUND, kills - figures.kills)
            done = _run_round((first, second), Round(paths), count, chance)
            for path, acknowledged in zip(paths, done.acknowledged, strict=True):
                _check_closed(path, acknowledged, done.kills, figures)
                path.unlink()
            figures.kills += done.kills
    return figures


def _run_round(
    writers: tuple[Writer, Writer], files: Round, count: int, chance: random.Random
) -> Round:
    running, waiting = writers
    running.start(files.paths, chance.randrange(1 << 30))
    for number in range(count):
        running.read_acknowledged(files.acknowledged, chance.randrange(_MOST_ACKNOWLEDGED))
        # Where a file is still to be made, two writers could make it in either order.
        takes_over = number + 1 < count and all(files.acknowledged)
        if takes_over:
            waiting.start(files.paths, chance.randrange(1 << 30))
        time.sleep(chance.uniform(0, _MOST_DELAY_SECONDS))
        running.kill(files.acknowledged)
        files.kills += 1
        if not takes_over and number + 1 < count:
            waiting.start(files.paths, chance.randrange(1 << 30))
        for path, acknowledged in zip(files.paths, files.acknowledged, strict=True):
            _check_open(path, acknowledged)
        running, waiting = waiting, running
    return files


def _check_open(path: Path, acknowledged: list[str]) -> None:
    """Everything acknowledged is there, in its order, while the next writer is at work."""
    if not path.exists():
        assert not acknowledged
        return
    with SessionManager.open(path, read_only=True) as session:
        found = [entry.id for entry in session.get_entries()]
    known = set(acknowledged)
    assert [entry_id for entry_id in found if entry_id in known] == acknowledged


def _check_closed(path: Path, acknowledged: list[str], kills: int, figures: CrashFigures) -> None:
    """The file has all that was acknowledged, at most one torn line per kill, and goes on."""
    _check_open(path, acknowledged)
    with SessionManager.open(path) as session:
        added = session.append_message(UserMessage("after the last crash"))
        entries = session.get_entries()
        ids = {entry.id for entry in entries}
        assert len(ids) == len(entries)
        for entry in entries:
            assert entry.parent_id is None or entry.parent_id in ids
            assert not isinstance(entry.view, UnknownEntry)
        assert session.get_branch()[-1].id == added
        assert session.build_session_context().messages
    data = path.read_bytes()
    assert data.endswith(b"\n")
    torn = parse_lines(split_lines(data)).malformed
    # A writer may be killed between storing an entry and telling of it; the first of each, with
    # which it takes the file over, is never told of.
    unacknowledged = len(ids) - len(acknowledged) - 1
    assert torn <= kills
    assert unacknowledged <= 2 * kills
    figures.acknowledged += len(acknowledged)
    figures.unacknowledged += unacknowledged
    figures.torn += torn
