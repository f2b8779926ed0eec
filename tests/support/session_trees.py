"""Random sessions as plain entries, and the plain arithmetic that they are checked against."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Raw = dict[str, Any]

RANDOM_SESSIONS = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""How often tests of random sessions run."""

TEXTS = st.text(max_size=12) | st.sampled_from(
    ["<script>alert(1)</script>", "\"'><b onclick=x>", "&lt;", "\x1b[31mred", "\u202eabc", "a\nb"]
)
PRICES = st.sampled_from([0, 0.25, 0.5, 3])
COSTS = st.fixed_dictionaries(
    {"input": PRICES, "output": PRICES, "cacheRead": PRICES, "cacheWrite": PRICES, "total": PRICES},
    optional={"totalFromProvider": st.booleans()},
)
COUNTS = st.integers(0, 9)
USAGES = st.fixed_dictionaries(
    {"input": COUNTS, "output": COUNTS, "cacheRead": COUNTS, "cacheWrite": COUNTS},
    optional={"totalTokens": COUNTS, "reasoning": COUNTS, "cacheWrite1h": COUNTS, "cost": COSTS},
)
MODELS = st.sampled_from([("p", "m1"), ("p", "m2"), ("p/m", "1"), ("q", "m1")])


def _message(draw: st.DrawFn) -> Raw:
    text = draw(TEXTS)
    blocks = [{"type": "text", "text": text}]
    match draw(st.sampled_from(["system", "user", "assistant", "assistant", "toolResult", "bash"])):
        case "assistant":
            provider, model = draw(MODELS)
            calls = [
                {"type": "toolCall", "id": f"c{number}", "name": name, "arguments": {"path": text}}
                for number, name in enumerate(draw(st.lists(TEXTS, max_size=2)))
            ]
            return {
                "role": "assistant",
                "content": blocks + calls,
                "api": "a",
                "provider": provider,
                "model": model,
                "usage": draw(USAGES),
                "stopReason": draw(st.sampled_from(["stop", "toolUse", "error", "aborted"])),
                "timestamp": 1,
            }
        case "toolResult":
            found = {"toolCallId": "c0", "toolName": text, "isError": draw(st.booleans())}
            usage = draw(st.none() | USAGES)
            message = {"role": "toolResult", **found, "content": blocks, "timestamp": 1}
            return message if usage is None else {**message, "usage": usage}
        case "bash":
            done = {"output": text, "exitCode": 1, "cancelled": False, "truncated": False}
            return {"role": "bashExecution", "command": text, **done, "timestamp": 1}
        case role:
            return {"role": role, "content": text, "timestamp": 1}


def _own_keys(draw: st.DrawFn, known: list[str]) -> Raw:
    text = draw(TEXTS)
    target = draw(st.sampled_from(known)) if known else "none"
    match draw(st.sampled_from(["message"] * 6 + ["usage", "summary", "label", "other"])):
        case "message":
            return {"type": "message", "message": _message(draw)}
        case "usage":
            provider, model = draw(MODELS)
            usage = {"provider": provider, "model": model, "usage": draw(USAGES)}
            return {"type": "usage", "kind": text, **usage}
        case "summary":
            usage = draw(st.none() | USAGES)
            entry = draw(
                st.sampled_from(
                    [
                        {"type": "compaction", "firstKeptEntryId": target, "tokensBefore": 5},
                        {"type": "branch_summary", "fromId": target},
                    ]
                )
            )
            entry = {**entry, "summary": text}
            return entry if usage is None else {**entry, "usage": usage}
        case "label":
            return {"type": "label", "targetId": target, "label": text}
        case _:
            return draw(
                st.sampled_from(
                    [
                        {"type": "custom", "customType": text},
                        {"type": "session_info", "name": text},
                        {"type": "model_change", "provider": text, "modelId": text},
                        {"type": "thinking_level_change", "thinkingLevel": text},
                        {"type": "custom_message", "customType": text, "content": text},
                        {"type": "context_edit", "targetId": target, "replacement": None},
                        {"type": text},
                    ]
                )
            )


@st.composite
def session_entries(draw: st.DrawFn, max_size: int = 12) -> list[Raw]:
    """The entries of a session with several branches; a parent is always an earlier entry."""
    entries: list[Raw] = []
    for number in range(draw(st.integers(1, max_size))):
        known = [entry["id"] for entry in entries]
        parent = draw(st.sampled_from([*known[-1:], *known[-1:], *known])) if known else None
        if known and draw(st.integers(0, 9)) == 0:
            parent = None
        base = {
            "id": f"e{number}",
            "parentId": parent,
            "timestamp": f"2026-01-01T00:00:{number:02}Z",
        }
        own = _own_keys(draw, known)
        if own["type"] != "session":
            entries.append({**own, **base})
    return entries


def root_path(entries: list[Raw], entry_id: str | None) -> list[str]:
    """The ids from root to an entry."""
    parents = {entry["id"]: entry["parentId"] for entry in entries}
    path: list[str] = []
    while entry_id is not None:
        path.insert(0, entry_id)
        entry_id = parents[entry_id]
    return path


def usage_of(entry: Raw) -> Raw | None:
    """The usage of an entry as it is stored."""
    if entry["type"] == "message":
        return entry["message"].get("usage")
    return entry.get("usage")
