"""Session files of any size, always with the same bytes, and directories full of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ("SESSION_CWD", "Written", "write_session", "write_sessions")

SESSION_CWD = "/home/dev/project"
_TURNS_PER_QUESTION = 6
_VARIANTS = 32
_KEPT = 40
_WORDS = (
    *("the", "model", "reads", "files", "—", "then", "writes", "one", "so", "that", "tests"),
    *("pass", "again", "because", "of", "it"),
)
_CODE = (
    "def read_lines(path: Path) -> list[str]:",
    '    with path.open("r", encoding="utf-8") as file:',
    "        return [line.rstrip() for line in file if line]",
    "",
    "class Reader(Protocol):",
    '    """What a reader must do, in one line."""',
    "\tcount += 1  # tabs are there too",
    '        raise ValueError(f"no such line: {number}")',
)


class Written(NamedTuple):
    """A session file that was made: its entries, and the messages in the context at its end."""

    path: Path
    entries: int
    context: int


def write_session(path: Path, size_bytes: int, *, compact_every: int = 0) -> Written:
    """Write a session of `size_bytes`, give or take an entry.

    Questions, each answered in a few rounds of thinking, tool call and result. With
    `compact_every`, a compaction that keeps the last entries follows every so many messages.
    """
    entries = context = written = 0
    parent: str | None = None
    with path.open("wb") as file:
        written += file.write(_line(_header()))
        for number, (kind, fields) in enumerate(_entries(compact_every), start=1):
            own = {"type": kind, "id": _id(number), "parentId": parent}
            if kind == "compaction":
                fields["firstKeptEntryId"] = _id(number - _KEPT)
                context = _KEPT
            entries += 1
            context += kind in ("message", "compaction")
            written += file.write(_line(own | {"timestamp": _timestamp(number)} | fields))
            parent = _id(number)
            if written >= size_bytes:
                break
    return Written(path, entries, context)


def write_sessions(directory: Path, count: int, size_bytes: int) -> None:
    """Fill `directory` with `count` sessions of `size_bytes` each, all of `SESSION_CWD`."""
    directory.mkdir(parents=True)
    sample = directory / "sample.jsonl"
    write_session(sample, size_bytes)
    _, _, entries = sample.read_bytes().partition(b"\n")
    sample.unlink()
    for number in range(count):
        name = f"2026-11-22T10-34-19-{number:04d}Z_{_session_id(number)}.jsonl"
        (directory / name).write_bytes(_line(_header(number)) + entries)


def _header(number: int = 0) -> dict[str, object]:
    return {
        "type": "session",
        "version": 3,
        "id": _session_id(number),
        "timestamp": _timestamp(0),
        "cwd": SESSION_CWD,
    }


def _line(record: dict[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _session_id(number: int) -> str:
    return f"01a202d2-302c-717f-af1a-{number:012x}"


def _id(number: int) -> str:
    """Eight hex digits that look random; the factor is odd, so no two are alike."""
    return f"{number * 2654435761 % (1 << 32):08x}"


def _entries(compact_every: int) -> Iterator[tuple[str, dict[str, object]]]:
    """Type and own keys of every entry, without end."""
    chance = random.Random(0)
    messages = _message_variants(chance)
    yield "model_change", {"provider": "anthropic", "modelId": "claude-sonnet-4-5"}
    yield "thinking_level_change", {"thinkingLevel": "medium"}
    number = 2
    while True:
        for kind, index in _turn(chance):
            number += 1
            time_ms = _STARTED_MS + number * 50
            yield "message", {"message": messages[kind][index] | {"timestamp": time_ms}}
            if compact_every and number % compact_every == 0:
                number += 1
                yield (
                    "compaction",
                    {"summary": _prose(chance, 300), "tokensBefore": 150_000, "fromHook": False},
                )


def _turn(chance: random.Random) -> Iterator[tuple[str, int]]:
    """The messages from one question to its answer, as keys into the variants."""
    yield "user", chance.randrange(_VARIANTS)
    for _ in range(_TURNS_PER_QUESTION):
        index = chance.randrange(_VARIANTS)
        yield "assistant", index
        yield "toolResult", index
    yield "answer", chance.randrange(_VARIANTS)


def _message_variants(chance: random.Random) -> dict[str, list[dict[str, object]]]:
    """Messages by kind, a few of each; a result answers the call of the same number."""
    found: dict[str, list[dict[str, object]]] = {
        "user": [],
        "assistant": [],
        "toolResult": [],
        "answer": [],
    }
    for index in range(_VARIANTS):
        call_id = f"toolu_{index:024d}"
        said = {"type": "text", "text": _prose(chance, 25)}
        thinking = {
            "type": "thinking",
            "thinking": _prose(chance, 60),
            "thinkingSignature": chance.randbytes(150).hex(),
        }
        call = {
            "type": "toolCall",
            "id": call_id,
            "name": "read",
            "arguments": {"path": f"src/module_{index}.py", "offset": index, "limit": 200},
        }
        result = {"type": "text", "text": _code(chance, chance.randrange(20, 62))}
        found["user"].append(
            {"role": "user", "content": [{"type": "text", "text": _prose(chance, 40)}]}
        )
        found["assistant"].append(_assistant([thinking, said, call], "toolUse"))
        found["answer"].append(_assistant([said, said], "stop"))
        found["toolResult"].append(
            {
                "role": "toolResult",
                "toolCallId": call_id,
                "toolName": "read",
                "content": [result],
                "details": {"truncation": {"lines": 50, "truncated": False}},
                "isError": False,
            }
        )
    return found


def _assistant(content: list[dict[str, object]], stop_reason: str) -> dict[str, object]:
    cost = {"input": 0.0003, "output": 0.0012, "cacheRead": 0.0045, "cacheWrite": 0.0008}
    usage: dict[str, object] = {"input": 100, "output": 80, "cacheRead": 15_000, "cacheWrite": 220}
    usage |= {"totalTokens": 15_400, "cost": cost | {"total": 0.0068}}
    return {
        "role": "assistant",
        "content": content,
        "api": "anthropic-messages",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "usage": usage,
        "stopReason": stop_reason,
        "thinkingLevel": "medium",
        "durationMs": 2310,
    }


def _prose(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(_WORDS, k=words))


def _code(chance: random.Random, lines: int) -> str:
    return "\n".join(chance.choices(_CODE, k=lines))


_STARTED_MS = 1_793_491_200_000
"""The first of November 2026, as `_timestamp` has it: before the time of any run."""


def _timestamp(number: int) -> str:
    seconds = number // 20
    minutes, hours = seconds // 60, seconds // 3600
    return (
        f"2026-11-{1 + hours // 24:02d}T{hours % 24:02d}:{minutes % 60:02d}:{seconds % 60:02d}"
        f".{number % 20 * 50:03d}Z"
    )
