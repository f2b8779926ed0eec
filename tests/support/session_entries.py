"""Entries of one branch, written short: `chain(u("hi"), a("yes"))`."""

from __future__ import annotations

from typing import Any

from pi_session.codec import entries_from_objects
from pi_session.entries import Entry

TIME = "2024-12-03T13:20:04.123Z"
TIME_MS = 1733232004123


def chain(*fields: dict[str, Any]) -> list[Entry]:
    """Entries 1, 2, 3..., each below the one before."""
    return entries_from_objects(
        {"id": str(n), "parentId": str(n - 1) if n > 1 else None, "timestamp": TIME, **entry}
        for n, entry in enumerate(fields, start=1)
    )


def message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message entry."""
    return {
        "type": "message",
        "message": {"role": role, "content": content, "timestamp": 1, **more},
    }


def x(tokens: int) -> str:
    """A text of so many tokens by a session's estimate."""
    return "x" * 4 * tokens


def u(text: str) -> dict[str, Any]:
    """A question."""
    return message("user", text)


def a(text: str, provider: str = "p", model: str = "m", **more: Any) -> dict[str, Any]:
    """An answer without usage."""
    content = [{"type": "text", "text": text}]
    return message("assistant", content, provider=provider, model=model, **more)


def used(tokens: int) -> dict[str, Any]:
    """A usage of so many tokens, for an answer."""
    counts = {"input": tokens, "output": 0, "cacheRead": 0, "cacheWrite": 0}
    return {**counts, "totalTokens": tokens, "cost": {}}


def calls(*named: tuple[str, str]) -> dict[str, Any]:
    """An answer that calls tools, each with a path; the calls are c0, c1, ..."""
    blocks = [
        {"type": "toolCall", "id": f"c{n}", "name": name, "arguments": {"path": path}}
        for n, (name, path) in enumerate(named)
    ]
    return message("assistant", blocks, provider="p", model="m", stopReason="toolUse")


def result(text: str, call_id: str = "c0", **more: Any) -> dict[str, Any]:
    """What a call gave."""
    content = [{"type": "text", "text": text}]
    return message("toolResult", content, toolCallId=call_id, toolName="read", **more)


def compaction(summary: str, kept: str | None, **more: Any) -> dict[str, Any]:
    """An earlier compaction."""
    entry = {"type": "compaction", "summary": summary, "tokensBefore": 9, **more}
    return entry if kept is None else {**entry, "firstKeptEntryId": kept}


def branch_summary(summary: str, **more: Any) -> dict[str, Any]:
    """What happened on another branch."""
    return {"type": "branch_summary", "fromId": "root", "summary": summary, **more}


def edit(target: str, replacement: Any) -> dict[str, Any]:
    """A context edit."""
    return {"type": "context_edit", "targetId": target, "replacement": replacement}


def files(read: list[str], modified: list[str]) -> dict[str, Any]:
    """The details of a summary."""
    return {"readFiles": read, "modifiedFiles": modified}


MODEL_CHANGE = {"type": "model_change", "provider": "p", "modelId": "m"}
LEVEL_CHANGE = {"type": "thinking_level_change", "thinkingLevel": "low"}
