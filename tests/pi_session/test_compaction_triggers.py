"""When a context is compacted by itself."""

from __future__ import annotations

from typing import Any

import pytest

from pi_ai.types import AssistantMessage, Model, ToolResultMessage, UserMessage
from pi_session import (
    CompactionSettings,
    CompactionTrigger,
    OverflowKind,
    build_projection,
    explain_failed_recovery,
    find_compaction_trigger,
    find_overflow,
    rearms_recovery,
)
from pi_session.entries import Entry
from support.session_entries import (
    MODEL_CHANGE,
    TIME_MS,
    a,
    calls,
    chain,
    compaction,
    edit,
    result,
    u,
    used,
    x,
)

MODEL = Model(id="m", api="x", provider="p", context_window=1000, max_tokens=100)
SETTINGS = CompactionSettings(reserve_tokens=200, keep_recent_tokens=50)
TOO_LONG = {"stopReason": "error", "errorMessage": "prompt is too long: 2 tokens > 1 maximum"}
BUSY = {"stopReason": "error", "errorMessage": "overloaded"}
LATER = {"timestamp": TIME_MS + 1}


def trigger(
    branch: list[Entry],
    at: int | None = None,
    *,
    model: Model = MODEL,
    settings: CompactionSettings = SETTINGS,
) -> CompactionTrigger | None:
    """What the answer at position `at` calls for, by default the last one."""
    if at is None:
        at = max(n for n, entry in enumerate(branch) if entry.role == "assistant")
    return find_compaction_trigger(
        branch[at], branch, build_projection(branch), model=model, settings=settings
    )


THRESHOLD = CompactionTrigger(reason="threshold")


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param((u("q"), a("", usage=used(800))), None, id="at-the-threshold"),
        pytest.param((u("q"), a("", usage=used(801))), THRESHOLD, id="above"),
        pytest.param((u("q"), a("", usage=used(801)), u(x(500))), THRESHOLD, id="answer-counts"),
        pytest.param((u("q"), a("", usage=used(799)), u(x(500))), None, id="not-what-follows"),
        pytest.param((u(x(900)), a("")), THRESHOLD, id="no-usage-is-estimated"),
        pytest.param((u(x(700)), a("")), None, id="no-usage-below"),
        pytest.param(
            (u("q"), a("", usage=used(790)), u(x(20)), a("", **BUSY)),
            THRESHOLD,
            id="error-uses-the-usage-before",
        ),
        pytest.param(
            (u(x(20)), a(x(900), usage=used(5)), edit("1", {"content": "q"})),
            THRESHOLD,
            id="edits-are-estimated",
        ),
        pytest.param(
            (u(x(900)), a("", usage=used(950)), edit("1", {"content": "q"})),
            None,
            id="edit-makes-room",
        ),
        pytest.param(
            (u("q"), a("", usage=used(950)), compaction("S", "2")), None, id="older-than-compaction"
        ),
        pytest.param(
            (u("q"), a("", usage=used(950)), compaction("S", "2"), u("r"), a("", **BUSY, **LATER)),
            None,
            id="usage-older-than-compaction",
        ),
        pytest.param(
            (u("q"), compaction("S", "1"), u("r"), a("", usage=used(950), **LATER)),
            THRESHOLD,
            id="newer-than-compaction",
        ),
    ],
)
def test_threshold(entries: tuple[dict[str, Any], ...], expected: CompactionTrigger | None) -> None:
    assert trigger(chain(*entries)) == expected


def test_nothing_is_triggered_when_disabled_or_without_an_answer() -> None:
    branch = chain(u("q"), a("", usage=used(950)))
    disabled = CompactionSettings(enabled=False, reserve_tokens=200)
    assert trigger(branch, settings=disabled) is None
    assert trigger(branch, 0) is None


def test_unknown_window_has_no_threshold() -> None:
    unknown = Model(id="m", api="x", provider="p", max_tokens=100)
    assert trigger(chain(u("q"), a("", usage=used(9999))), model=unknown) is None


def retry(overflow: OverflowKind, *omit: str) -> CompactionTrigger:
    return CompactionTrigger(reason="overflow", overflow=overflow, retry=True, omit=omit)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param((u("q"), a("", **TOO_LONG)), retry("context", "2"), id="error"),
        pytest.param((u("q"), a("", **BUSY)), None, id="other-error"),
        pytest.param(
            (u("q"), a("", **TOO_LONG, timestamp=1), compaction("S", "1")),
            None,
            id="compacted-since",
        ),
        pytest.param(
            (u("q"), a("", usage=used(1001))),
            CompactionTrigger(reason="overflow", overflow="context"),
            id="silent",
        ),
        pytest.param(
            (u("q"), a("", usage=used(991), stopReason="length")),
            retry("context", "2"),
            id="no-room-for-an-answer",
        ),
        pytest.param(
            (u("q"), a("half", usage={**used(500), "output": 99}, stopReason="length")),
            retry("length", "2"),
            id="cut-short",
        ),
        pytest.param(
            (u("q"), a("half", usage={**used(500), "output": 100}, stopReason="length")),
            None,
            id="own-limit",
        ),
        pytest.param(
            (u("q"), calls(("read", "a"), ("read", "b")), result("x", "c0"), result("y", "c1")),
            None,
            id="tool-use",
        ),
    ],
)
def test_overflow(entries: tuple[dict[str, Any], ...], expected: CompactionTrigger | None) -> None:
    assert trigger(chain(*entries)) == expected


def test_session_check_67_results_of_the_answer_are_omitted_with_it() -> None:
    cut = calls(("read", "a"), ("read", "b"))
    cut["message"] |= {"stopReason": "length", "usage": {**used(900), "output": 9}}
    branch = chain(
        u("q"), cut, result("x", "c0"), MODEL_CHANGE, result("y", "c1"), result("z", "other")
    )
    assert trigger(branch) == retry("length", "2", "3", "5")


def test_another_models_answer_is_no_overflow() -> None:
    branch = chain(u("q"), a("", model="before", **TOO_LONG))
    projection = build_projection(branch)
    assert find_overflow(branch[1], branch, projection, model=MODEL) is None
    assert find_overflow(branch[0], branch, projection, model=MODEL) is None


@pytest.mark.parametrize("target", ["1", "2"], ids=["question", "answer"])
def test_usage_shows_no_overflow_once_the_context_is_edited(target: str) -> None:
    branch = chain(u("q"), a("", usage=used(1001)), edit(target, None))
    assert find_overflow(branch[1], branch, build_projection(branch), model=MODEL) is None


def test_session_check_67_texts_of_a_failed_recovery() -> None:
    assert explain_failed_recovery("context") == (
        "Context overflow recovery failed after one compact-and-retry attempt. "
        "Try reducing context or switching to a larger-context model."
    )
    assert explain_failed_recovery("length") == (
        "Truncated response recovery failed after one compact-and-retry attempt."
    )


@pytest.mark.parametrize(
    ("message", "rearms"),
    [
        (UserMessage("q"), True),
        (AssistantMessage([]), True),
        (AssistantMessage([], stop_reason="aborted"), True),
        (AssistantMessage([], stop_reason="error"), False),
        (AssistantMessage([], stop_reason="length"), False),
        (ToolResultMessage("c", "read", []), False),
    ],
    ids=["user", "stop", "aborted", "error", "length", "result"],
)
def test_what_rearms_the_recovery(message: Any, rearms: bool) -> None:
    assert rearms_recovery(message) is rearms
