"""Counts, tokens and costs of sessions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.types import AssistantMessage, Cost, ToolCall, ToolResultMessage, Usage, UserMessage
from pi_session import SessionManager, session_stats
from support.session_trees import RANDOM_SESSIONS, Raw, root_path, session_entries, usage_of

STORED = Path(__file__).parent / "data" / "all_entry_types.jsonl"


def usage(total: float, **counts: Any) -> Usage:
    return Usage(input=1, total_tokens=1, cost=Cost(total=total), **counts)


def answer(model: str, total: float, **fields: Any) -> AssistantMessage:
    return AssistantMessage(provider="p", model=model, usage=usage(total), **fields)


def stats_of(message: Raw | None = None, **entry: Any) -> Any:
    """The statistics of one line."""
    line = {"type": "message", "id": "a", "message": message, **entry}
    return SessionManager.in_memory(entries=[line]).stats()


def test_session_section_14_totals_add_every_kind_of_usage_of_all_branches() -> None:
    session = SessionManager.in_memory()
    first = session.append_message(UserMessage("q"))
    session.append_message(answer("m1", 1))
    session.append_message(ToolResultMessage("c", "t", [], usage=usage(2)))
    session.branch(first)
    session.append_message(answer("m2", 4, stop_reason="aborted"))
    session.append_usage("cache_warm", "p", "m1", usage(8))
    session.append_compaction("S", None, 5, usage=usage(16))
    last = session.branch_with_summary(first, "B", usage=usage(32))

    stats = session.stats()
    assert stats.usage.cost.total == 63
    assert stats.usage.input == stats.usage.total_tokens == 6
    assert {row.name: (row.calls, row.failed, row.usage.cost.total) for row in stats.by_model} == {
        "branch_summary": (1, 0, 32),
        "compaction": (1, 0, 16),
        "p/m1": (2, 0, 9),
        "p/m2": (1, 1, 4),
        "toolResult": (1, 0, 2),
    }
    assert [row.name for row in stats.by_model] == [
        "branch_summary",
        "compaction",
        "p/m1",
        "p/m2",
        "toolResult",
    ]
    assert {row.name: row.usage.cost.total for row in stats.by_source} == {
        "assistant": 5,
        "branch_summary": 32,
        "compaction": 16,
        "toolResult": 2,
        "usage": 8,
    }
    assert session.stats(last).usage.cost.total == 32


def test_sdk_section_14_3_messages_are_counted_by_role() -> None:
    session = SessionManager.open(STORED, read_only=True)
    stats = session.stats()
    assert (stats.entries, stats.total_messages) == (16, 6)
    assert (stats.user_messages, stats.assistant_messages, stats.tool_results) == (1, 2, 1)
    assert (stats.tool_calls, stats.tools, stats.tool_errors) == (1, {"read": 1}, 0)
    session.close()


def test_tools_are_counted_by_name_most_used_first() -> None:
    session = SessionManager.in_memory()
    for names in (["read", "bash"], ["edit"], ["bash"]):
        session.append_message(AssistantMessage([ToolCall("c", name) for name in names]))
    session.append_message(ToolResultMessage("c", "bash", [], is_error=True))
    stats = session.stats()
    assert list(stats.tools.items()) == [("bash", 2), ("edit", 1), ("read", 1)]
    assert (stats.tool_calls, stats.tool_results, stats.tool_errors) == (4, 1, 1)


ANSWER: Raw = {"role": "assistant", "content": [], "provider": "p", "model": "m", "timestamp": 1}
TOKENS = {"input": 1, "output": 2, "cacheRead": 3, "cacheWrite": 4}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            {**ANSWER, "usage": {**TOKENS, "totalTokens": 9, "cost": {"total": 5}}},
            Usage(1, 2, 3, 4, total_tokens=9, cost=Cost(total=5, total_from_provider=False)),
            id="whole",
        ),
        pytest.param(
            {**ANSWER, "usage": {**TOKENS, "cost": {"total": 5, "totalFromProvider": True}}},
            Usage(1, 2, 3, 4, total_tokens=10, cost=Cost(total=5, total_from_provider=True)),
            id="no-total-of-tokens",
        ),
        pytest.param(
            {**ANSWER, "usage": TOKENS},
            Usage(1, 2, 3, 4, total_tokens=10, cost=Cost(total_from_provider=False, unpriced=True)),
            id="no-cost",
        ),
        pytest.param(
            {**ANSWER, "usage": {**TOKENS, "cost": None, "input": 1.0}},
            Usage(1, 2, 3, 4, total_tokens=10, cost=Cost(total_from_provider=False, unpriced=True)),
            id="whole-numbers-as-floats",
        ),
        pytest.param(
            {**ANSWER, "usage": {"input": "many", "output": 2, "cost": {"total": 1}}},
            Usage(output=2, total_tokens=2, cost=Cost(total=1, total_from_provider=False)),
            id="a-count-that-is-none",
        ),
        pytest.param(
            {**ANSWER, "usage": {"reasoning": 3, "cost": {"input": 2}}},
            Usage(reasoning=3, cost=Cost(input=2, total_from_provider=False)),
            id="parts-without-totals",
        ),
        pytest.param(ANSWER, Usage(cost=Cost(total_from_provider=False)), id="no-usage"),
        pytest.param(
            {**ANSWER, "usage": 5}, Usage(cost=Cost(total_from_provider=False)), id="no-object"
        ),
        pytest.param(
            {"role": "toolResult", "usage": {"output": 2, "cost": {"total": 1}}},
            Usage(output=2, total_tokens=2, cost=Cost(total=1, total_from_provider=False)),
            id="a-result-of-no-call",
        ),
    ],
)
def test_usage_is_read_from_lines_in_any_state(message: Raw, expected: Usage) -> None:
    assert stats_of(message).usage == expected


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"message": None}, id="no-message"),
        pytest.param({"message": {"role": 5, "content": {}}}, id="no-role"),
        pytest.param({"type": "usage"}, id="usage-without-usage"),
        pytest.param({"type": "compaction", "usage": [1], "summary": 5}, id="broken-compaction"),
        pytest.param({"type": "later", "usage": {"input": 5}}, id="unknown-type"),
    ],
)
def test_lines_without_readable_usage_count_as_entries_only(entry: Raw) -> None:
    stats = stats_of(**entry)
    assert stats.entries == 1
    assert stats.by_model == []
    assert stats.usage.total_tokens == 0


def test_the_total_is_the_providers_only_if_every_cost_is() -> None:
    billed = Usage(input=1, cost=Cost(total=1, total_from_provider=True))
    session = SessionManager.in_memory()
    session.append_message(AssistantMessage(usage=billed))
    session.append_message(AssistantMessage(stop_reason="error"))  # has used nothing
    assert session.stats().usage.cost.total_from_provider
    session.append_message(answer("m", 1))
    assert not session.stats().usage.cost.total_from_provider
    assert session_stats(session.get_entries()[:1]).usage.cost.total_from_provider


def test_answers_without_a_model_stand_under_their_kind() -> None:
    session = SessionManager.in_memory()
    session.append_message(AssistantMessage(usage=usage(1)))
    (row,) = session.stats().by_model
    assert (row.name, row.provider, row.model) == ("assistant", None, None)


def test_records_are_flat_and_add_up() -> None:
    session = SessionManager.open(STORED, read_only=True)
    (record,) = session.stats().records()
    assert record == {
        "name": "anthropic/claude-sonnet-4-5",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "calls": 3,
        "failed": 1,
        "input_tokens": 20,
        "output_tokens": 10,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "total_tokens": 30,
        "input_cost": 0.00006,
        "output_cost": pytest.approx(0.00015),
        "cache_read_cost": 0,
        "cache_write_cost": 0,
        "total_cost": 0.00021,
        "total_from_provider": False,
        "unpriced": False,
    }
    assert json.loads(json.dumps(record)) == record


def test_counting_leaves_the_file_alone_and_keeps_no_bodies(tmp_path: Path) -> None:
    path = Path(shutil.copy(STORED, tmp_path / "s.jsonl"))
    before = path.read_bytes()
    with SessionManager.open(path, read_only=True) as session:
        session.stats()
        session.branches()
        assert all(entry._view is None for entry in session if entry.type == "message")
    assert path.read_bytes() == before


def naive(entries: list[Raw]) -> dict[str, Any]:
    """Sums over plain dicts; prices are binary fractions, so the order does not matter."""
    found = [usage for usage in map(usage_of, entries) if usage is not None]
    costs = [usage.get("cost", {}) for usage in found]
    kinds = ["input", "output", "cacheRead", "cacheWrite"]
    return {
        "tokens": [sum(usage[kind] for usage in found) for kind in kinds],
        "total": sum(u.get("totalTokens") or sum(u[kind] for kind in kinds) for u in found),
        "reasoning": sum(usage.get("reasoning", 0) for usage in found),
        "cost": [sum(cost.get(kind, 0) for cost in costs) for kind in [*kinds, "total"]],
    }


def as_naive(usage: Usage) -> dict[str, Any]:
    cost = usage.cost
    return {
        "tokens": [usage.input, usage.output, usage.cache_read, usage.cache_write],
        "total": usage.total_tokens,
        "reasoning": usage.reasoning or 0,
        "cost": [cost.input, cost.output, cost.cache_read, cost.cache_write, cost.total],
    }


@RANDOM_SESSIONS
@given(session_entries(), st.data())
def test_totals_are_the_plain_sums(entries: list[Raw], data: st.DataObject) -> None:
    session = SessionManager.in_memory(entries=entries)
    stats = session.stats()
    assert stats.entries == len(session) == len(entries)
    assert as_naive(stats.usage) == naive(entries)
    for rows in (stats.by_model, stats.by_source):
        parts = [as_naive(row.usage) for row in rows]
        for key in ("total", "reasoning"):
            assert sum(part[key] for part in parts) == as_naive(stats.usage)[key]
        assert sum(row.usage.cost.total for row in rows) == stats.usage.cost.total

    leaf = data.draw(st.sampled_from(entries))["id"]
    on_path = set(root_path(entries, leaf))
    expected = [entry for entry in entries if entry["id"] in on_path]
    assert as_naive(session.stats(leaf).usage) == naive(expected)

    for branch in session.branches():
        path = root_path(entries, branch.leaf_id)
        assert branch.entries == len(path)
        assert as_naive(branch.usage) == naive([e for e in entries if e["id"] in path])
        own = path[len(path) - branch.own_entries :]
        assert as_naive(branch.own_usage) == naive([e for e in entries if e["id"] in own])
