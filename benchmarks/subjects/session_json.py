"""What a script of a few lines does with `json`: a dict for every line, no checks, no types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from session_harness import Subject, measure


class Lines:
    """The entries as dicts, and the file's path."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, encoding="utf-8") as file:
            self.entries = [json.loads(line) for line in file][1:]


def open_session(path: str) -> tuple[Lines, int]:
    """Every line parsed."""
    lines = Lines(path)
    return lines, len(lines.entries)


def context(lines: Lines) -> int:
    """The messages from the last line up to the root, or to what the last compaction kept."""
    by_id = {entry["id"]: entry for entry in lines.entries}
    entry: dict[str, Any] | None = lines.entries[-1]
    messages: list[Any] = []
    kept: str | None = None
    while entry is not None:
        if entry["type"] == "message":
            messages.append(entry["message"])
        elif entry["type"] == "compaction" and kept is None:
            messages.append(entry["summary"])
            kept = entry["firstKeptEntryId"]
        if entry["id"] == kept:
            break
        entry = by_id.get(entry["parentId"])
    return len(messages)


def append(lines: Lines, text: str) -> object:
    """One user message, in a file that is opened for it."""
    parent = lines.entries[-1]["id"]
    message = {"role": "user", "content": text, "timestamp": 1}
    number = len(lines.entries)
    entry = {"type": "message", "id": f"{number:08x}", "parentId": parent, "message": message}
    with open(lines.path, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    lines.entries.append(entry)
    return entry


def list_all(directory: str, cwd: str) -> int:
    """Sessions of `cwd` with the number of their messages."""
    found: list[int] = []
    for path in Path(directory).glob("*.jsonl"):
        with path.open(encoding="utf-8") as file:
            header, *entries = map(json.loads, file)
        if header["cwd"] == cwd:
            found.append(sum(entry["type"] == "message" for entry in entries))
    return len(found)


if __name__ == "__main__":
    measure(Subject(open_session, context, append, list_all))
