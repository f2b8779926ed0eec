"""Whatever a conversation does, its requests fit the window: sessions on a scripted provider."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import Struct, field
from msgspec.structs import replace

from pi_agent import tool
from pi_ai import AssistantMessage, ToolCall, ToolResultMessage
from pi_ai.retry import RetryPolicy
from pi_ai.testing import FauxProvider, faux_message, faux_tool_call
from pi_sdk import SessionSettings, create_agent
from pi_session import CompactionSettings, SessionManager
from pi_session.compaction_prompts import SYSTEM_PROMPT
from pi_session.estimation import sum_estimates

OVERFLOW = "prompt is too long"


@tool
async def fetch(size: int) -> str:
    """Fetch a page.

    Args:
        size: How long it is.
    """
    return "page " * (size // 5)


class Talk(Struct):
    """A conversation: of each prompt its length and, turn by turn, the lengths of pages fetched.

    Lengths are percents of the window. `steer` is what the user says after every page; `broken`
    are the numbers of the summaries that fail, `cut` of the answers that end in the middle of a
    call. The provider takes requests of `real` percent of the window that it claims to have.
    """

    window: int
    reserve: int
    keep: int
    prompts: list[tuple[int, list[list[int]]]]
    broken: frozenset[int] = frozenset()
    summary: int = 5
    steer: int = 0
    cut: frozenset[int] = frozenset()
    real: int = 100


class Provider(Struct):
    """Answers as the talk says, and as a real one would where a request is too long."""

    talk: Talk
    rounds: list[list[int]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    summaries: int = 0
    failed_summaries: int = 0
    answers: int = 0
    unpaired: list[str] = field(default_factory=list)

    def length(self, percent: int) -> int:
        """So many percent of the window in characters."""
        return self.talk.window * 4 * percent // 100

    def answer(self, request: Any) -> AssistantMessage:
        # Each estimate is rounded up; the provider counts all of it at once.
        size = sum_estimates(request.messages) - len(request.messages)
        self.sizes.append(size)
        self.unpaired += unpaired(request.messages)
        if size > self.talk.window * self.talk.real // 100:
            return faux_message("", stop_reason="error", error_message=OVERFLOW)
        if request.messages[0].content == SYSTEM_PROMPT:
            self.summaries += 1
            if self.summaries - 1 in self.talk.broken:
                self.failed_summaries += 1
                return faux_message("", stop_reason="error", error_message="no such thing")
            return faux_message("s" * self.length(self.talk.summary))
        self.answers += 1
        if self.answers - 1 in self.talk.cut:
            return faux_message([faux_tool_call("fetch", {"size": 0})], stop_reason="length")
        if self.rounds:
            pages = self.rounds.pop(0)
            return faux_message(
                [faux_tool_call("fetch", {"size": self.length(page)}) for page in pages]
            )
        return faux_message("done " * 20)


def unpaired(messages: Any) -> list[str]:
    """The calls without a result, and the results without a call before them."""
    open_calls: dict[str, None] = {}
    faults: list[str] = []
    for message in messages:
        if isinstance(message, ToolResultMessage):
            if message.tool_call_id not in open_calls:
                faults.append(f"result {message.tool_call_id}")
            open_calls.pop(message.tool_call_id, None)
            continue
        if message.role != "system":
            faults += open_calls
            open_calls = {}
        if isinstance(message, AssistantMessage):
            open_calls = {b.id: None for b in message.content if isinstance(b, ToolCall)}
    return [*faults, *open_calls]


def hold(talk: Talk, project: Path, **more: Any) -> tuple[Provider, list[Any], list[str]]:
    """Have the conversation; gives the provider, the events, and why each answer stopped."""
    provider = Provider(talk)

    async def main() -> tuple[list[Any], list[str]]:
        faux = FauxProvider([provider.answer] * 10_000)
        options = {
            "model": replace(faux.model, context_window=talk.window, max_tokens=1000),
            "models": faux.models,
            "session_manager": SessionManager.in_memory(project),
            "session_settings": SessionSettings(
                compaction=CompactionSettings(
                    reserve_tokens=talk.reserve, keep_recent_tokens=talk.keep
                ),
                retry=RetryPolicy(max_retries=1, base_delay_ms=0),
            ),
            "system_prompt": "Be brief.",
            "no_tools": "builtin",
            "custom_tools": [fetch],
            "context_files": False,
            "cwd": project,
        }
        events: list[Any] = []
        reasons: list[str] = []
        async with create_agent(**{**options, **more}) as session:
            session.subscribe(events.append)

            async def steer(event: Any) -> None:
                if talk.steer and event.type == "tool_execution_end":
                    await session.steer("q" * provider.length(talk.steer))

            session.subscribe(steer)
            for size, rounds in talk.prompts:
                provider.rounds = [list(pages) for pages in rounds]
                last = await session.prompt("p" * provider.length(size))
                assert last is not None
                reasons.append(last.stop_reason)
        return events, reasons

    events, reasons = asyncio.run(main())
    return provider, events, reasons


def check_events(events: list[Any]) -> None:
    """Every start has its end, and something happened between two compactions.

    After one that failed, no other is tried in the same run, and after an answer that was asked
    for again, no other is until something was said.
    """
    running = failed = recovered = False
    news = True
    for event in events:
        match event.type:
            case "compaction_start":
                assert not running
                assert news, "compacted twice without anything new"
                assert not failed, "tried again in the run in which it had failed"
                running = True
            case "compaction_end":
                assert running or event.error_message is not None
                failed = running and event.result is None
                running, news = False, event.result is None
                assert (event.result is None) == (event.error_message is not None)
                if event.result is not None:
                    assert event.result.estimated_tokens_after is not None
                if event.will_retry:
                    assert not recovered, "asked again and again"
                    recovered = True
            case "message_end":
                news = True
                if event.message.role in ("user", "assistant"):
                    reason = getattr(event.message, "stop_reason", "stop")
                    recovered = recovered and reason in ("error", "length")
            case "agent_end" | "agent_settled":
                failed = False
            case _:
                pass
    assert not running


def check_failures(events: list[Any], provider: Provider) -> None:
    """Every answer that stays without another is told of, and every summary that failed."""
    told = failed = False
    failures = 0
    for event in events:
        match event.type:
            case "compaction_end":
                told = event.error_message is not None
                failures += told and event.error_message.endswith("no such thing")
            case "message_end" if event.message.role == "assistant":
                failed, told = event.message.stop_reason in ("error", "length"), False
            case "agent_settled":
                assert told or not failed
            case _:
                pass
    assert failures == provider.failed_summaries


PAGES = st.lists(st.sampled_from([0, 1, 5, 20, 45, 90, 300, 1000]), min_size=1, max_size=2)
TALKS = st.builds(
    Talk,
    window=st.sampled_from([6000, 9000, 20_000]),
    # Estimates leave out the words around a summary; a reserve of 0 has no room for those.
    reserve=st.sampled_from([200, 500, 3000, 100_000]),
    keep=st.sampled_from([0, 100, 2000, 100_000]),
    prompts=st.lists(
        st.tuples(st.sampled_from([0, 1, 8, 20, 45, 70]), st.lists(PAGES, max_size=4)),
        min_size=1,
        max_size=7,
    ),
    summary=st.sampled_from([1, 5]),
    steer=st.sampled_from([0, 0, 1, 20]),
)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(TALKS)
@example(Talk(6000, 3000, 2000, [(20, [[45], [45], [45]])] * 6))
@example(Talk(6000, 100_000, 0, [(20, [[300, 300]] * 4)] * 3))
@example(Talk(9000, 3000, 2000, [(20, [[20, 20]] * 4)] * 3, steer=20))
@example(Talk(6000, 0, 100_000, [(70, [[0, 0]])], steer=20))
def test_no_request_is_larger_than_the_window(tmp_path_factory, talk):
    provider, events, reasons = hold(talk, tmp_path_factory.getbasetemp())
    assert max(provider.sizes) <= talk.window
    assert provider.unpaired == []
    assert set(reasons) == {"stop"}
    check_events(events)


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(TALKS, st.frozensets(st.integers(0, 6)))
def test_summaries_that_fail_break_nothing(tmp_path_factory, talk, broken):
    talk.broken = broken
    provider, events, reasons = hold(talk, tmp_path_factory.getbasetemp())
    assert provider.unpaired == []
    assert set(reasons) <= {"stop", "error"}
    check_events(events)
    check_failures(events, provider)


CUTS = st.frozensets(st.integers(0, 12), max_size=5)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(TALKS, st.sampled_from([30, 60, 90, 100]), CUTS)
def test_a_provider_that_takes_less_than_it_claims_is_survived(tmp_path_factory, talk, real, cut):
    talk.real, talk.cut = real, cut
    provider, events, reasons = hold(talk, tmp_path_factory.getbasetemp())
    assert max(provider.sizes) <= talk.window
    assert provider.unpaired == []
    assert set(reasons) <= {"stop", "error", "length"}
    check_events(events)
    check_failures(events, provider)


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(TALKS, st.sampled_from([30, 100]), CUTS)
def test_turned_off_it_does_nothing_whatever_happens(tmp_path_factory, talk, real, cut):
    talk.real, talk.cut = real, cut
    fixed = SessionSettings(
        compaction=CompactionSettings(
            enabled=False, reserve_tokens=talk.reserve, keep_recent_tokens=talk.keep
        )
    )
    provider, events, _ = hold(talk, tmp_path_factory.getbasetemp(), session_settings=fixed)
    assert provider.summaries == 0
    assert provider.unpaired == []
    assert not {"compaction_start", "compaction_end", "entry_appended"} & {e.type for e in events}


@pytest.mark.parametrize("results", [1, 2], ids=["one", "two"])
@pytest.mark.parametrize("first", [True, False], ids=["first-prompt", "later"])
def test_a_tool_result_ten_times_the_window_is_survived(tmp_path, results, first):
    before = [] if first else [(20, [[20]])] * 4
    talk = Talk(8000, 2000, 1000, [*before, (1, [[1000] * results])])
    provider, events, reasons = hold(talk, tmp_path)
    assert max(provider.sizes) <= talk.window
    assert set(reasons) == {"stop"}
    assert provider.unpaired == []
    assert "entry_appended" in [event.type for event in events]
    check_events(events)


def test_a_prompt_larger_than_the_window_is_recovered_from_or_told(tmp_path):
    provider, events, reasons = hold(Talk(6000, 1000, 500, [(5, []), (150, []), (5, [])]), tmp_path)
    assert reasons == ["stop", "stop", "stop"]
    assert [size > 6000 for size in provider.sizes].count(True) == 1
    ends = [event for event in events if event.type == "compaction_end"]
    assert [(end.reason, end.will_retry) for end in ends if end.result][-1] == ("overflow", True)
    check_events(events)


def test_nothing_is_compacted_or_shortened_when_it_is_turned_off(tmp_path):
    talk = Talk(6000, 1000, 500, [(20, [[45], [90]])] * 3)
    off = SessionSettings(compaction=CompactionSettings(enabled=False))
    provider, events, reasons = hold(talk, tmp_path, session_settings=off)
    assert reasons[-1] == "error"
    assert max(provider.sizes) > talk.window
    assert not {"compaction_start", "compaction_end", "entry_appended"} & {e.type for e in events}


def test_a_recovery_keeps_less_where_the_rest_would_not_fit(tmp_path):
    """The first summary fails, so that the request that is too long is made after all."""
    talk = Talk(6000, 0, 100_000, [(70, [[0, 0]])], frozenset({0}), steer=20)
    provider, events, reasons = hold(talk, tmp_path)
    assert reasons == ["stop"]
    assert (provider.summaries, [size > 6000 for size in provider.sizes].count(True)) == (2, 1)
    ends = [event for event in events if event.type == "compaction_end"]
    assert [(end.reason, end.will_retry) for end in ends] == [
        ("threshold", False),
        ("overflow", True),
    ]
    check_events(events)
