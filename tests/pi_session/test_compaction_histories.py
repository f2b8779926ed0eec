"""Compaction of histories made at random: nothing is lost, parted or done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pi_ai.estimate import estimate_context_tokens
from pi_ai.testing import FauxProvider, faux_message
from pi_ai.types import (
    AssistantMessage,
    ImageContent,
    SystemMessage,
    ToolResultMessage,
    UserMessage,
)
from pi_session import (
    CompactionError,
    CompactionSettings,
    CompactionSummaryMessage,
    SessionManager,
    SessionMessage,
    build_projection,
    compact_session,
    convert_to_llm,
    estimate_tokens,
    find_cut_point,
    fit_settings_to_window,
    generate_branch_summary,
    prepare_branch_entries,
    prepare_compaction,
    replay_system_messages,
)
from pi_session.entries import Entry
from pi_session.estimation import sum_estimates
from support.session_histories import RandomBranch
from support.summaries import scripted_summarizer

SEEDS = st.integers(0, 10_000).map(Random)
TURNS = st.integers(0, 12)
KEEP = st.sampled_from([0, 1, 20, 60, 100, 400, 1000])
HISTORIES = settings(max_examples=120)
SUMMARY = "A summary."


def session_of(random: Random, turns: int, *, wild: bool = False) -> SessionManager:
    entries = RandomBranch(random, wild=wild).build(turns)
    return SessionManager.in_memory(entries=entries)


def unsystematic(messages: Sequence[SessionMessage]) -> list[SessionMessage]:
    return [each for each in messages if not isinstance(each, SystemMessage)]


def pure_tokens(messages: Sequence[SessionMessage]) -> int:
    """The estimate of a context, its prompt counted once."""
    system = replay_system_messages(messages)
    return sum_estimates(unsystematic(messages)) + (estimate_tokens(system) if system else 0)


def unpaired(messages: Sequence[SessionMessage]) -> list[str]:
    """The ids of calls and results that have no counterpart in order."""
    open_calls: list[str] = []
    strays: list[str] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            open_calls += [call.id for call in message.tool_calls]
        elif isinstance(message, ToolResultMessage):
            if message.tool_call_id in open_calls:
                open_calls.remove(message.tool_call_id)
            else:
                strays.append(message.tool_call_id)
    return open_calls + strays


@HISTORIES
@given(SEEDS, TURNS, KEEP)
def test_what_is_kept_stays_as_it_was(random: Random, turns: int, keep: int) -> None:
    session = session_of(random, turns)
    before = session.build_projection()
    assert unpaired(before.messages) == []
    found = prepare_compaction(session.get_branch(), CompactionSettings(keep_recent_tokens=keep))
    if found is None:
        return
    summarised = [*found.messages_to_summarize, *found.turn_prefix_messages]
    ids = [item.entry.id for item in before.entries]
    kept_from = ids.index(found.first_kept_entry_id)
    kept = unsystematic([m for item in before.entries[kept_from:] for m in item.messages])
    session.append_compaction(SUMMARY, found.first_kept_entry_id, found.tokens_before)
    after = session.build_projection().messages

    replaced = unsystematic([m for item in before.entries[:kept_from] for m in item.messages])
    head = 1 if isinstance(replaced[0], CompactionSummaryMessage) else 0
    assert replaced[head:] == summarised
    assert summarised
    assert unsystematic(after)[1:] == kept
    assert unpaired(after) == []
    told = pure_tokens(after) - estimate_tokens(unsystematic(after)[0])
    assert told == pure_tokens(before.messages) - sum_estimates(replaced)


@HISTORIES
@given(SEEDS, TURNS, KEEP)
def test_no_compaction_without_progress(random: Random, turns: int, keep: int) -> None:
    session = session_of(random, turns)
    sizes = CompactionSettings(keep_recent_tokens=keep)
    for _ in range(3):
        kept: list[int] = []
        while found := prepare_compaction(session.get_branch(), sizes):
            assert found.messages_to_summarize or found.turn_prefix_messages
            ids = [entry.id for entry in session.get_branch()]
            kept.append(ids.index(found.first_kept_entry_id))
            session.append_compaction(SUMMARY, found.first_kept_entry_id, found.tokens_before)
            assert prepare_compaction(session.get_branch(), sizes) is None
            session.append_session_info("not seen by a model")
        assert kept == sorted(set(kept))
        assert len(kept) <= 2  # a failed attempt at the end can set its question free
        session.append_message(UserMessage("x" * 4 * (keep + 1), timestamp=1))


@HISTORIES
@given(SEEDS, TURNS, st.booleans(), st.sampled_from([6500, 8192, 40_000]))
def test_whole_sessions_fit_a_window(random: Random, turns: int, wild: bool, window: int) -> None:
    session = session_of(random, turns, wild=wild)
    results = [
        item.entry.id
        for item in session.build_projection().entries
        if item.messages and item.entry.role == "toolResult"
    ]
    if results:
        content = [{"type": "text", "text": "long " * window * 8}]
        session.append_context_edit(random.choice(results), {"content": content})
    sizes = fit_settings_to_window(CompactionSettings(), window)
    provider = FauxProvider([faux_message(SUMMARY)] * 2)
    summarizer = scripted_summarizer(provider, context_window=window)
    before = session.get_entry_count()
    paired = not unpaired(session.build_session_context().messages)
    try:
        result = asyncio.run(compact_session(session, summarizer))
    except CompactionError:
        assert session.get_entry_count() == before
        return
    for asked in provider.requests:
        assert estimate_context_tokens(asked.messages).tokens <= window
    after = session.build_session_context().messages
    assert result.estimated_tokens_after == sum_estimates(after)
    images = sum(
        isinstance(block, ImageContent)
        for message in convert_to_llm(after)
        for block in message.content
    )
    assert result.estimated_tokens_after - 1200 * images <= window - sizes.reserve_tokens
    if paired and not wild:
        assert unpaired(after) == []


@HISTORIES
@given(SEEDS, TURNS, KEEP, st.data())
def test_any_history_is_cut_in_range(
    random: Random, turns: int, keep: int, data: st.DataObject
) -> None:
    branch = session_of(random, turns, wild=True).get_branch()
    start = data.draw(st.integers(0, len(branch)))
    end = data.draw(st.integers(start, len(branch)))
    found = find_cut_point(branch, start, end, keep_recent_tokens=keep)
    assert start <= found.first_kept_entry_index <= max(start, end - 1)
    if found.is_split_turn:
        assert start <= found.turn_start_index < found.first_kept_entry_index


@HISTORIES
@given(SEEDS, TURNS, st.integers(0, 600))
def test_newest_part_of_a_branch_is_prepared(random: Random, turns: int, budget: int) -> None:
    branch = session_of(random, turns, wild=True).get_branch()
    whole = prepare_branch_entries(branch)
    found = prepare_branch_entries(branch, budget)
    assert found.total_tokens == sum_estimates(found.messages)
    assert whole.messages[len(whole.messages) - len(found.messages) :] == found.messages
    if budget:
        others = [m for m in found.messages if not hasattr(m, "summary")]
        assert sum_estimates(others) <= budget


@settings(max_examples=40)
@given(SEEDS, TURNS)
def test_any_branch_can_be_summarised(random: Random, turns: int) -> None:
    branch: list[Entry] = session_of(random, turns, wild=True).get_branch()
    provider = FauxProvider([faux_message(SUMMARY)])
    summarizer = scripted_summarizer(provider, context_window=8192)
    found = asyncio.run(generate_branch_summary(branch, summarizer))
    assert (found is None) == (provider.call_count == 0)
    for asked in provider.requests:
        assert estimate_context_tokens(asked.messages).tokens <= 8192
    assert build_projection(branch).entries or not branch
